//! What tasks and their executor share: waits, timers, and what is to be asked of the driver.
use super::BoxFuture;
use super::socket::Sock;
use core::task::Waker;
use core::time::Duration;
use proto_core::{Addr, Answer, Ask, FileId, Instant, Lost, Reason, Timers, Token};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// How a wait ended.
#[derive(Debug)]
pub(super) enum Outcome<R> {
    Time,
    Answer(Result<Answer, Reason>),
    Job(Result<R, Lost>),
}

/// What a future waits for.
#[derive(Debug)]
pub(super) enum Want<J> {
    Time(Duration),
    Ask(Ask),
    Job(J, Duration),
}

#[derive(Debug)]
pub(super) enum Wait<R> {
    /// `asked`: the driver will answer.
    Pending {
        asked: bool,
        waker: Waker,
    },
    Over(Outcome<R>),
    /// Nobody waits any more, and the driver will answer.
    Orphan,
}

/// What the executor is to do with its `Cx`.
pub(super) enum Order<J> {
    Ask(u64, Ask),
    Job(u64, J, Duration),
    Cancel(u64),
    Connect(u64, Addr),
    /// A connection's output, end or reading has changed.
    Touch(u64),
    /// A connection that its task has dropped.
    Leave(Token),
}

/// A task that is to begin.
pub(super) struct Seed {
    pub id: u64,
    pub name: &'static str,
    pub future: BoxFuture<()>,
}

pub(super) struct State<J, R> {
    pub now: Instant,
    next: u64,
    pub waits: BTreeMap<u64, Wait<R>>,
    pub timers: Timers<u64>,
    /// Timers that are waited for.
    pub sleeping: usize,
    pub orders: Vec<Order<J>>,
    pub sockets: BTreeMap<u64, Sock>,
    pub seeds: Vec<Seed>,
    /// Tasks whose handles were dropped.
    pub killed: Vec<u64>,
    /// Tasks that exist, those to begin included.
    pub tasks: usize,
    pub max_tasks: usize,
    /// What [`Handle::notify`] was called with.
    pub notices: Vec<u64>,
    /// Answers that found nobody.
    pub late: u64,
}

impl<J, R> State<J, R> {
    pub fn new(max_tasks: usize) -> Self {
        State {
            now: Instant::default(),
            next: 0,
            waits: BTreeMap::new(),
            timers: Timers::default(),
            sleeping: 0,
            orders: Vec::new(),
            sockets: BTreeMap::new(),
            seeds: Vec::new(),
            killed: Vec::new(),
            tasks: 0,
            max_tasks,
            notices: Vec::new(),
            late: 0,
        }
    }
    /// A number that was never used: at a million a second they last for two thousand years.
    pub fn key(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
    pub fn begin(&mut self, want: Want<J>, waker: Waker) -> u64 {
        let id = self.key();
        let asked = !matches!(want, Want::Time(_));
        match want {
            Want::Time(wait) => {
                self.timers.arm(id, self.now.after(wait));
                self.sleeping += 1;
            }
            Want::Ask(ask) => self.orders.push(Order::Ask(id, ask)),
            Want::Job(job, hold) => self.orders.push(Order::Job(id, job, hold)),
        }
        self.waits.insert(id, Wait::Pending { asked, waker });
        id
    }
    /// An outcome has come; who is to be woken.
    pub fn finish(&mut self, id: u64, outcome: Outcome<R>) -> Option<Waker> {
        match self.waits.remove(&id) {
            Some(Wait::Pending { waker, asked }) => {
                self.sleeping -= usize::from(!asked);
                self.waits.insert(id, Wait::Over(outcome));
                Some(waker)
            }
            Some(Wait::Orphan) => {
                self.late += 1;
                self.discard(outcome);
                None
            }
            Some(over @ Wait::Over(_)) => {
                self.waits.insert(id, over);
                None
            }
            None => None,
        }
    }
    /// The future of a wait was dropped. What it leaves is the caller's to drop when the lock is free.
    pub fn abandon(&mut self, id: u64) -> Option<Wait<R>> {
        let wait = self.waits.remove(&id)?;
        match wait {
            Wait::Pending { asked: false, .. } => {
                self.timers.disarm(id);
                self.sleeping -= 1;
                Some(wait)
            }
            Wait::Pending { asked: true, .. } => {
                self.waits.insert(id, Wait::Orphan);
                self.orders.push(Order::Cancel(id));
                Some(wait)
            }
            Wait::Over(outcome) => {
                self.discard(outcome);
                None
            }
            Wait::Orphan => None,
        }
    }
    /// A file that was opened for nobody is closed.
    fn discard(&mut self, outcome: Outcome<R>) {
        if let Outcome::Answer(Ok(Answer::Opened { file, .. })) = outcome {
            self.close_file(file);
        }
    }
    pub fn close_file(&mut self, file: FileId) {
        let id = self.key();
        self.waits.insert(id, Wait::Orphan);
        self.orders.push(Order::Ask(id, Ask::CloseFile(file)));
    }
}

/// What a task has of its executor: it asks, waits and spawns with this.
pub struct Handle<J, R>(pub(super) Arc<Mutex<State<J, R>>>);

impl<J, R> Clone for Handle<J, R> {
    fn clone(&self) -> Self {
        Handle(self.0.clone())
    }
}

impl<J, R> core::fmt::Debug for Handle<J, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Handle")
    }
}

impl<J, R> Handle<J, R> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        lock(&self.0)
    }
    /// The time of the input that is being handled.
    pub fn now(&self) -> Instant {
        self.lock().now
    }
    /// Tells the app that something concerns it: it finds `key` in [`super::Executor::notices`].
    pub fn notify(&self, key: u64) {
        let mut state = self.lock();
        if state.notices.last() != Some(&key) {
            state.notices.push(key);
        }
    }
}

/// No code of a task runs under a lock, so a poisoned one is still whole.
pub(super) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}
