//! What other threads have to say to a loop, and work for threads: two small queues.
//!
//! Both are one mutex each. The mailbox wakes its loop only when it was empty, so a burst costs one wake-up; the
//! loop clears the wake-up *before* it takes the mail, so none is lost.
#[cfg(loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // No user code runs under these locks, so a poisoned one is still whole.
    m.lock().unwrap_or_else(|e| e.into_inner())
}

/// Mail for one loop.
#[derive(Debug)]
pub struct Mailbox<T, W> {
    mail: Mutex<VecDeque<T>>,
    waker: W,
}

/// Wakes a loop that waits.
pub trait Wake {
    /// From any thread.
    fn wake(&self);
}

impl<T, W: Wake> Mailbox<T, W> {
    /// An empty one.
    pub fn new(waker: W) -> Self {
        Mailbox { mail: Mutex::new(VecDeque::new()), waker }
    }
    /// What wakes the loop.
    pub fn waker(&self) -> &W {
        &self.waker
    }
    /// Puts mail in.
    pub fn send(&self, mail: T) {
        let mut q = lock(&self.mail);
        q.push_back(mail);
        let first = q.len() == 1;
        drop(q);
        if first {
            self.waker.wake();
        }
    }
    /// Takes everything, after the wake-up was cleared.
    pub fn take(&self) -> VecDeque<T> {
        std::mem::take(&mut *lock(&self.mail))
    }
}

/// Work for threads: bounded, first in first out.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct State<T> {
    work: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    /// Holds at most `limit` pieces.
    pub fn new(limit: usize) -> Self {
        Queue { state: Mutex::new(State { work: VecDeque::new(), closed: false }), changed: Condvar::new(), limit }
    }
    /// Adds work, or gives it back if the queue is full or closed.
    pub fn push(&self, work: T) -> Result<(), T> {
        let mut s = lock(&self.state);
        if s.closed || s.work.len() >= self.limit {
            return Err(work);
        }
        s.work.push_back(work);
        drop(s);
        self.changed.notify_one();
        Ok(())
    }
    /// Waits for work; `None` when the queue is closed and empty.
    pub fn pop(&self) -> Option<T> {
        let mut s = lock(&self.state);
        loop {
            if let Some(work) = s.work.pop_front() {
                return Some(work);
            }
            if s.closed {
                return None;
            }
            s = self.changed.wait(s).unwrap_or_else(|e| e.into_inner());
        }
    }
    /// Takes out the first piece that matches, if it has not begun.
    pub fn cancel(&self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let mut s = lock(&self.state);
        let at = s.work.iter().position(is_it)?;
        s.work.remove(at)
    }
    /// No more work; what is queued is still done.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}
