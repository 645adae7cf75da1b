//! Threads for jobs. A job that panics is reported; its worker lives on.
use crate::host::{Mail, Post, Sender};
use crate::mail::Queue;
use proto_core::{App, Lost, OpId};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

thread_local! {
    static IN_JOB: Cell<bool> = const { Cell::new(false) };
}

/// The current thread runs a job, or something else under [`catch`]: a panic here is caught, and a panic hook should not end the process.
pub fn in_job() -> bool {
    IN_JOB.get()
}

struct Task<J> {
    id: OpId,
    job: J,
    hold: Duration,
}

/// The workers of one loop; none means that jobs run inline.
pub struct Workers<A: App> {
    queue: Arc<Queue<Task<A::Job>>>,
    threads: Vec<JoinHandle<()>>,
}

impl<A: App + 'static> Workers<A> {
    pub fn new(threads: usize, limit: usize, to: Sender<A::Msg>) -> Self {
        let queue = Arc::new(Queue::new(limit));
        let spawn = |_| {
            let (queue, to) = (queue.clone(), to.clone());
            std::thread::spawn(move || {
                while let Some(Task { id, job, hold }) = queue.pop() {
                    to.post(Mail::Job(id, perform::<A>(job, hold)));
                }
            })
        };
        Workers { threads: (0..threads).map(spawn).collect(), queue }
    }
    /// Begins a job; its result comes back at once if there are no workers or no room.
    pub fn start(&self, id: OpId, job: A::Job, hold: Duration) -> Option<Result<A::Msg, Lost>> {
        if self.threads.is_empty() {
            return Some(perform::<A>(job, hold));
        }
        self.queue.push(Task { id, job, hold }).err().map(|_| Err(Lost::Full))
    }
    /// Takes back a job that has not begun.
    pub fn cancel(&self, id: OpId) -> bool {
        self.queue.cancel(|t| t.id == id).is_some()
    }
}

/// Does a job, and catches its panic.
pub fn perform<A: App>(job: A::Job, hold: Duration) -> Result<A::Msg, Lost> {
    let result = catch(|| A::work(job));
    if !hold.is_zero() {
        std::thread::sleep(hold);
    }
    result.ok_or(Lost::Panicked)
}

/// Runs what may panic without that being the end: `None` if it did. Whatever it borrows must make sense afterwards.
pub fn catch<T>(f: impl FnOnce() -> T) -> Option<T> {
    let outer = IN_JOB.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    IN_JOB.set(outer);
    result.ok()
}

impl<A: App> Drop for Workers<A> {
    fn drop(&mut self) {
        self.queue.close();
        for t in self.threads.drain(..) {
            let _ = t.join(); // panics were caught and told
        }
    }
}
