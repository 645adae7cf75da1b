//! Between tasks: channels and semaphores.
use super::state::lock;
use core::future::poll_fn;
use core::mem;
use core::task::{Poll, Waker};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

/// Nobody receives any more; the value comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused<T>(pub T);

#[derive(Debug)]
struct Chan<T> {
    queue: VecDeque<T>,
    limit: usize,
    senders: usize,
    receiver: bool,
    /// Who waits for room, woken all at once: there are few.
    full: Vec<Waker>,
    empty: Option<Waker>,
}

/// The sending end.
#[derive(Debug)]
pub struct Sender<T>(Arc<Mutex<Chan<T>>>);

/// The receiving end.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Mutex<Chan<T>>>);

/// A queue between tasks that holds `limit` values; 32 is a good number.
pub fn channel<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    let chan =
        Chan { queue: VecDeque::new(), limit: limit.max(1), senders: 1, receiver: true, full: Vec::new(), empty: None };
    let chan = Arc::new(Mutex::new(chan));
    (Sender(chan.clone()), Receiver(chan))
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.0).senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut chan = lock(&self.0);
        chan.senders -= 1;
        let waker = if chan.senders == 0 { chan.empty.take() } else { None };
        drop(chan);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut chan = lock(&self.0);
        chan.receiver = false;
        let (left, full) = (mem::take(&mut chan.queue), mem::take(&mut chan.full));
        drop(chan);
        drop(left);
        full.into_iter().for_each(Waker::wake);
    }
}

impl<T> Sender<T> {
    /// Waits for room.
    ///
    /// # Errors
    /// The value, if nobody receives any more.
    pub async fn send(&self, value: T) -> Result<(), Refused<T>> {
        let mut value = Some(value);
        poll_fn(|cx| {
            let mut chan = lock(&self.0);
            let Some(v) = value.take() else { return Poll::Ready(Ok(())) };
            if !chan.receiver {
                return Poll::Ready(Err(Refused(v)));
            }
            if chan.queue.len() >= chan.limit {
                value = Some(v);
                if !chan.full.iter().any(|w| w.will_wake(cx.waker())) {
                    chan.full.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
            chan.queue.push_back(v);
            let waker = chan.empty.take();
            drop(chan);
            waker.into_iter().for_each(Waker::wake);
            Poll::Ready(Ok(()))
        })
        .await
    }
}

impl<T> Receiver<T> {
    /// The next value; `None` when all senders are gone.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|cx| {
            let mut chan = lock(&self.0);
            if let Some(value) = chan.queue.pop_front() {
                let full = mem::take(&mut chan.full);
                drop(chan);
                full.into_iter().for_each(Waker::wake);
                return Poll::Ready(Some(value));
            }
            if chan.senders == 0 {
                return Poll::Ready(None);
            }
            let old = chan.empty.replace(cx.waker().clone());
            drop(chan);
            drop(old);
            Poll::Pending
        })
        .await
    }
}

#[derive(Debug, Default)]
struct Gate {
    free: usize,
    next: u64,
    waiting: BTreeMap<u64, Waker>,
}

/// At most so many at once, in the order they came.
#[derive(Clone, Debug)]
pub struct Semaphore(Arc<Mutex<Gate>>);

/// One of the places; given back when it is dropped.
#[derive(Debug)]
pub struct Permit(Semaphore);

impl Semaphore {
    /// With `places` places.
    pub fn new(places: usize) -> Self {
        Semaphore(Arc::new(Mutex::new(Gate { free: places, ..Gate::default() })))
    }
    /// Waits for a place.
    pub async fn acquire(&self) -> Permit {
        let mut turn = Turn { gate: self, number: None };
        poll_fn(|cx| {
            let mut gate = lock(&self.0);
            let first = gate.waiting.keys().next().copied();
            if gate.free > 0 && (first.is_none() || first == turn.number) {
                gate.free -= 1;
                let mine = turn.number.take().and_then(|n| gate.waiting.remove(&n));
                let next = if gate.free > 0 { gate.waiting.values().next().cloned() } else { None };
                drop(gate);
                drop(mine);
                next.into_iter().for_each(Waker::wake);
                return Poll::Ready(());
            }
            let number = turn.number.unwrap_or_else(|| {
                gate.next += 1;
                gate.next
            });
            turn.number = Some(number);
            let old = gate.waiting.insert(number, cx.waker().clone());
            drop(gate);
            drop(old);
            Poll::Pending
        })
        .await;
        Permit(self.clone())
    }
    fn wake_first(&self) {
        let gate = lock(&self.0);
        let first = if gate.free > 0 { gate.waiting.values().next().cloned() } else { None };
        drop(gate);
        first.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.0.0).free += 1;
        self.0.wake_first();
    }
}

/// A place in the queue; who leaves it lets the next one look.
struct Turn<'a> {
    gate: &'a Semaphore,
    number: Option<u64>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mine = lock(&self.gate.0).waiting.remove(&number);
        drop(mine);
        self.gate.wake_first();
    }
}
