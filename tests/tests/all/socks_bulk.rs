//! A gigabyte each way through `socks5_proxy`, with readers that stall and neighbours that reset.
use super::socks::{patient, proxy, target, through};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tests::process::PATIENCE;

/// Bytes that repeat after a prime number of them, so that no piece that is lost, doubled or moved goes unnoticed.
const PERIOD: usize = 1_000_003;
/// A reader stops after so many bytes, until the other one has come as far.
const STEP: usize = 32 << 20;

fn pattern(salt: u64) -> Vec<u8> {
    let once: Vec<u8> = (0..PERIOD).map(|i| super::socks::byte(i, salt)).collect();
    once.repeat(2)
}

/// How far both readers are.
#[derive(Default)]
struct Progress {
    at: Mutex<[usize; 2]>,
    moved: Condvar,
}

impl Progress {
    fn set(&self, who: usize, at: usize) {
        self.at.lock().expect("no panic")[who] = at;
        self.moved.notify_all();
    }
    fn wait(&self, other: usize, at: usize) {
        let far = self.at.lock().expect("no panic");
        let (_far, late) = self.moved.wait_timeout_while(far, PATIENCE, |far| far[other] < at).expect("no panic");
        assert!(!late.timed_out(), "the other direction goes on while this one is stalled");
    }
}

fn send(mut to: TcpStream, len: usize, salt: u64) {
    let (pattern, mut at) = (pattern(salt), 0);
    while at < len {
        let from = at % PERIOD;
        let n = (300_007 + at % 500_000).min(PERIOD).min(len - at);
        to.write_all(&pattern[from..from + n]).expect("it reads");
        at += n;
    }
    to.shutdown(Shutdown::Write).expect("a socket");
}

/// Reads to the end and compares. Of the two readers one stops at whole steps, the other at halves, so that either waits for the
/// other in turn.
fn receive(mut from: TcpStream, len: usize, salt: u64, who: usize, progress: &Progress) {
    let (pattern, mut buf, mut at) = (pattern(salt), vec![0; PERIOD], 0);
    let mut stop = if who == 0 { STEP } else { STEP / 2 };
    loop {
        match from.read(&mut buf).expect("it sends") {
            0 => break,
            n => {
                assert!(buf[..n] == pattern[at % PERIOD..at % PERIOD + n], "reader {who} at {at}");
                at += n;
            }
        }
        progress.set(who, at);
        if at >= stop {
            progress.wait(1 - who, stop.saturating_sub(STEP / 2).min(len));
            stop += STEP;
        }
    }
    assert_eq!(at, len, "reader {who}");
}

fn both_ways(driver: &str, more: &[&str], len: usize) {
    let (mut tool, port) = proxy(driver, &[&["-q"], more].concat());
    let (l, at) = target();
    let before = tool.memory();
    let (c, t) = (through(port, at), patient(l.accept().expect("it connects").0));
    let progress = Arc::new(Progress::default());
    let over = Arc::new(AtomicUsize::new(0));
    let mut threads = Vec::new();
    for (who, (a, b)) in [(&c, &t), (&t, &c)].into_iter().enumerate() {
        let (a, b) = (a.try_clone().expect("a socket"), b.try_clone().expect("a socket"));
        let (progress, over, salt) = (progress.clone(), over.clone(), who as u64);
        threads.push(std::thread::spawn(move || send(a, len, salt)));
        threads.push(std::thread::spawn(move || {
            receive(b, len, salt, who, &progress);
            over.fetch_add(1, Ordering::Relaxed);
        }));
    }
    // Meanwhile others reset in the middle of what they send, now the client and now the target.
    let (mut most, mut resets) = (0, 0);
    while over.load(Ordering::Relaxed) < 2 && !threads.iter().all(JoinHandle::is_finished) {
        let (c, (t, _)) = (through(port, at), l.accept().expect("it connects"));
        let (mut first, mut second) = if resets % 2 == 0 { (c, patient(t)) } else { (patient(t), c) };
        first.write_all(&[7; 100_000]).expect("it reads");
        second.read_exact(&mut [0; 10_000]).expect("it sends");
        rustix::net::sockopt::set_socket_linger(&first, Some(Duration::ZERO)).expect("a socket");
        drop(first);
        while matches!(second.read(&mut [0; 10_000]), Ok(1..)) {}
        resets += 1;
        most = most.max(tool.memory().saturating_sub(before));
    }
    for thread in threads {
        thread.join().expect("whole and in order");
    }
    assert!(resets >= 3, "{driver}: {resets} resets");
    // Two directions and those of one neighbour, each with a limit and a read; one buffer of bulk, and what pools keep.
    assert!(most < 16 << 20, "{driver}: {most} bytes more");
    assert!(!tool.has_line(), "{driver}: it is quiet");
    println!("{driver}: {len} bytes each way, {resets} resets, at most {} KiB more memory", most >> 10);
    drop((c, t));
    assert_eq!(tool.stop().code, Some(0), "{driver}");
}

#[test]
fn sk_09_a_gigabyte_each_way_with_stalls_and_resets() {
    both_ways("auto", &[], 1 << 30);
    both_ways("epoll", &[], 1 << 30);
}

#[test]
fn sk_09_a_tenth_of_that_copied() {
    both_ways("epoll", &["--relay", "copy"], 100 << 20);
}
