//! The threads of one loop: counted, and every one joined.
//!
//! A thread that ends joins the one that ended before it, so that no stack waits for the end of the program, and
//! whoever joins the last one has joined all.
use super::limits::STACK;
use super::{Locked, Shared, State};
use parking_lot::{Condvar, MutexGuard};
use proto_core::{App, Reason};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

#[derive(Debug, Default)]
pub struct Threads {
    alive: BTreeMap<u64, JoinHandle<()>>,
    next: u64,
    /// The last that has ended and was not joined.
    last: Option<JoinHandle<()>>,
    none_left: Arc<Condvar>,
}

impl Threads {
    /// Thread `id` ends now; the one it must join.
    fn end(&mut self, id: u64) -> Option<JoinHandle<()>> {
        let own = self.alive.remove(&id);
        if self.alive.is_empty() {
            self.none_left.notify_all();
        }
        std::mem::replace(&mut self.last, own)
    }
}

/// Gives the lock up for `f`, to whoever waits longest.
#[inline]
pub fn unlocked<A: App, R>(s: &mut Locked<'_, A>, f: impl FnOnce() -> R) -> R {
    let turns = s.turns.clone();
    MutexGuard::unlocked(s, || {
        turns.give();
        let result = f();
        turns.take();
        result
    })
}

impl<A: App + 'static> Shared<A> {
    /// Calls `f` with the lock held and gives the lock to whoever waits longest. A panic is a bug of the app, whose state
    /// cannot be trusted any more: everything stops before another thread gets in. `None` then.
    pub(super) fn enter<R>(&self, f: impl FnOnce(&mut Locked<'_, A>) -> R) -> Option<R> {
        self.turns.take();
        let mut s = self.state.lock();
        let result = catch_unwind(AssertUnwindSafe(|| f(&mut s)));
        let result = result.map_err(|panic| {
            s.panic.get_or_insert(panic);
            s.stop();
        });
        drop(s);
        self.turns.give();
        result.ok()
    }
    /// Waits until every thread has ended.
    pub(super) fn join(&self) {
        let mut s = self.state.lock();
        let none_left = s.threads.none_left.clone();
        while !s.threads.alive.is_empty() {
            none_left.wait(&mut s);
        }
        let last = s.threads.last.take();
        drop(s);
        if let Some(t) = last {
            let _ = t.join(); // panics were caught
        }
    }
}

impl<A: App + 'static> State<A> {
    /// Starts a thread that begins with the lock.
    pub(super) fn spawn(&mut self, body: impl FnOnce(&mut Locked<'_, A>) + Send + 'static) -> Result<(), Reason> {
        let shared = self.me.upgrade().ok_or(Reason::Cancelled)?;
        let id = self.threads.next;
        self.threads.next += 1;
        let thread = Builder::new().name("connection".into()).stack_size(STACK).spawn(move || {
            shared.enter(body);
            // The caller of `spawn` holds the lock until the handle is in its place, so this finds it.
            let before = shared.enter(|s| s.threads.end(id)).flatten();
            drop(shared);
            if let Some(t) = before {
                let _ = t.join(); // panics were caught
            }
        });
        let thread = thread.map_err(|_| Reason::Capacity)?;
        self.threads.alive.insert(id, thread);
        Ok(())
    }
}
