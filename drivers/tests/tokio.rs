//! The driver `async`, on its own runtime and inside somebody else's.
#![allow(clippy::unwrap_used)] // a test fails by panicking
mod common;

use common::{LIMIT, apps::Echo, descriptors_are_back_to};
use drivers::{Bound, Config, Kind, serve};
use proto_core::Addr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use tokio::runtime::Builder;

scenarios!(Kind::Async);

fn bind() -> (Bound, SocketAddr) {
    let bound = Bound::new(&Addr::Ip(SocketAddr::from(([127, 0, 0, 1], 0))), 0, 64, false).unwrap();
    let Addr::Ip(at) = bound.at else { panic!("an IP address was bound") };
    (bound, at)
}

fn ping(c: &mut TcpStream) {
    c.set_read_timeout(Some(LIMIT)).unwrap();
    c.write_all(b"ping").unwrap();
    let mut back = [0; 4];
    c.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"ping");
}

/// Two programs and somebody's own task share a runtime with several threads; then one of them is dropped.
#[test]
fn serves_inside_a_runtime_and_may_be_dropped() {
    let _alone = common::alone();
    let before = common::descriptors();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ((a, at), (b, other), (tell, _seen)) = (bind(), bind(), channel());
    let first = runtime.spawn(serve(Echo(tell.clone()), vec![a], Config::default()));
    let second = runtime.spawn(serve(Echo(tell), vec![b], Config::default()));
    let (mut one, mut two) = (TcpStream::connect(at).unwrap(), TcpStream::connect(other).unwrap());
    for _ in 0..1000 {
        ping(&mut one);
        ping(&mut two);
    }
    first.abort();
    assert!(runtime.block_on(first).unwrap_err().is_cancelled());
    assert_eq!(one.read(&mut [0]).unwrap(), 0, "its connections end with it");
    assert!(TcpStream::connect(at).is_err(), "and its listeners");
    for _ in 0..1000 {
        ping(&mut two);
    }
    drop((runtime, two, one));
    drop(second);
    descriptors_are_back_to(before);
}

/// A busy program leaves others in the runtime their turns.
#[test]
fn other_tasks_of_the_runtime_go_on() {
    let _alone = common::alone();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ((a, at), (tell, _seen)) = (bind(), channel());
    let mut c = TcpStream::connect(at).unwrap();
    let flood = std::thread::spawn(move || {
        let mut from = c.try_clone().unwrap();
        let reader = std::thread::spawn(move || while matches!(from.read(&mut [0; 4096]), Ok(1..)) {});
        while c.write_all(&[1; 4096]).is_ok() {}
        reader.join().unwrap();
    });
    runtime.block_on(async {
        let program = tokio::spawn(serve(Echo(tell), vec![a], Config::default()));
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // a timer of somebody else's comes too
        program.abort();
        assert!(program.await.unwrap_err().is_cancelled());
    });
    flood.join().unwrap();
}
