//! A steady echo allocates nothing: storage circulates. Counted on the driver's thread only.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]
mod common;

use common::apps::{Ctx, In, tell};
use common::{Seen, begin, start_with};
use drivers::{Buffers, Config, Kind};
use proto_core::Input;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Sender;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts what each thread asks for.
struct Counting;

// SAFETY: everything is left to the system's allocator; a counter without a destructor allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: passed on as it came.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on as it came.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: passed on as it came.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Echoes; a `?` is answered by telling the test how often its thread has allocated.
struct Echo {
    tell: Sender<Seen>,
    /// Allocates once per message: what the test must notice.
    wasteful: bool,
}

impl Echo {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        let Input::Bytes(t, chunk) = input else { return };
        if chunk.starts_with(b"?") {
            let count = COUNT.get();
            return tell(&self.tell, Seen::Said(count.to_string()));
        }
        if self.wasteful {
            std::hint::black_box(chunk.to_vec());
        }
        if let Some(tx) = cx.tx(t) {
            tx.forward(chunk);
        }
    }
}
plain_app!(Echo);

const CONNECTIONS: usize = 8;
const ROUNDS: usize = 500;

/// Allocations per message once everything is warm.
fn per_message(kind: Kind, config: Config, size: usize, wasteful: bool) -> f64 {
    let run = start_with(kind, config, move |tell| Echo { tell, wasteful });
    let crowd: Vec<_> = (0..CONNECTIONS).map(|_| run.connect()).collect();
    let message = vec![b'm'; size];
    let talk = || {
        let mut back = vec![0; size];
        for _ in 0..ROUNDS {
            crowd.iter().for_each(|mut c| c.write_all(&message).unwrap());
            crowd.iter().for_each(|mut c| c.read_exact(&mut back).unwrap());
        }
    };
    let count = |mut c: &TcpStream| -> u64 {
        c.write_all(b"?").unwrap();
        let Seen::Said(n) = run.until(|s| matches!(s, Seen::Said(_))) else { unreachable!() };
        n.parse().unwrap()
    };
    talk();
    let before = count(&crowd[0]);
    talk();
    let after = count(&crowd[0]);
    drop(crowd);
    run.end();
    (after - before) as f64 / (CONNECTIONS * ROUNDS) as f64
}

/// At most one allocation in a hundred messages.
fn steady(kind: Kind, config: Config) {
    let Some(_alone) = begin(kind, config.clone()) else { return };
    for size in [64, 1500] {
        let n = per_message(kind, config.clone(), size, false);
        assert!(n <= 0.01, "{n} allocations per message of {size} bytes");
    }
    let n = per_message(kind, config, 64, true);
    assert!(n >= 1.0, "the control: an app that allocates is noticed, {n}");
}

#[test]
fn epoll_allocates_nothing() {
    steady(Kind::Epoll, Config::default());
}
#[test]
fn poll_allocates_nothing() {
    steady(Kind::Poll, Config::default());
}
#[test]
fn io_uring_allocates_nothing() {
    steady(Kind::IoUring, Config::default());
}
#[test]
fn linked_io_uring_allocates_nothing() {
    steady(Kind::IoUring, Config { link: true, ..Config::default() });
}
#[test]
fn io_uring_with_fixed_buffers_allocates_nothing() {
    steady(Kind::IoUring, Config { lend: Some(Buffers::Fixed), ..Config::default() });
}
