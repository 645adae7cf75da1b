//! Counts allocations of the thread that makes them.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static MADE: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came; counting touches a thread-local integer that
// needs neither allocation nor a destructor.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MADE.with(|n| n.set(n.get() + 1));
        hold(layout.size() as i64);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        hold(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        MADE.with(|n| n.set(n.get() + 1));
        hold(size as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn hold(bytes: i64) {
    HELD.with(|n| n.set(n.get() + bytes));
}

/// Bytes that this thread has allocated and not given back. C libraries are not counted.
pub fn live() -> i64 {
    HELD.get()
}

/// Allocations that `f` makes on this thread. Nothing is counted unless [`Counting`] is the global allocator.
pub fn allocations(f: impl FnOnce()) -> u64 {
    let before = MADE.get();
    f();
    MADE.get() - before
}
