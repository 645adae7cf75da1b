//! The executor: polls tasks that were woken, and turns what they want into ops.
use super::socket::Phase;
use super::state::{Handle, Order, Outcome, Seed, State, Wait, lock};
use super::{BUDGET, BoxFuture, WINDOW};
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use proto_core::{Bytes, Cx, Deadline, Input, Instant, Op, OpId, Slots, Token};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::Wake;

/// How long the peer of a connection that a task has closed may take.
const LINGER: Duration = Duration::from_secs(2);

/// There are as many tasks as there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany;

/// What has happened so far, and what there is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Tasks.
    pub tasks: usize,
    /// Timers, questions and jobs that are waited for, and those that nobody waits for any more.
    pub waits: usize,
    /// Timers.
    pub timers: usize,
    /// Connections.
    pub sockets: usize,
    /// Tasks that ended by a panic.
    pub panics: u64,
    /// Answers that found nobody.
    pub late: u64,
    /// Times that a task was polled.
    pub polls: u64,
}

#[derive(Debug, Default)]
struct Ready(Mutex<VecDeque<u64>>);

#[derive(Debug)]
struct TaskWaker {
    id: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            lock(&self.ready.0).push_back(self.id);
        }
    }
}

struct Task {
    name: &'static str,
    future: BoxFuture<()>,
    waker: Arc<TaskWaker>,
}

/// A part that runs tasks. Its tokens and questions carry the part byte it was made with.
pub struct Executor<J, R> {
    part: u8,
    handle: Handle<J, R>,
    tasks: BTreeMap<u64, Task>,
    ready: Arc<Ready>,
    by_token: Slots<u64>,
    /// Tasks are polled in a random order, as in no order that a test could rely on.
    dice: Option<u64>,
    panics: u64,
    polls: u64,
}

impl<J, R> core::fmt::Debug for Executor<J, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Executor").field("tasks", &self.tasks.len()).finish()
    }
}

impl<J: Send + Unpin + 'static, R: Send + 'static> Executor<J, R> {
    /// For at most `max_tasks` tasks at once.
    pub fn new(part: u8, max_tasks: usize) -> Self {
        Executor {
            part,
            handle: Handle(Arc::new(Mutex::new(State::new(max_tasks)))),
            tasks: BTreeMap::new(),
            ready: Arc::default(),
            by_token: Slots::default(),
            dice: None,
            panics: 0,
            polls: 0,
        }
    }
    /// The same, but whichever of the woken tasks `seed` says is polled next.
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.dice = Some(seed);
        self
    }
    /// What tasks are given.
    pub fn handle(&self) -> &Handle<J, R> {
        &self.handle
    }
    /// What there is.
    pub fn counts(&self) -> Counts {
        let state = self.handle.lock();
        Counts {
            tasks: state.tasks,
            waits: state.waits.len(),
            timers: state.sleeping,
            sockets: state.sockets.len(),
            panics: self.panics,
            late: state.late,
            polls: self.polls,
        }
    }
    /// Names and numbers of tasks, oldest first.
    pub fn names(&self) -> impl Iterator<Item = (u64, &'static str)> {
        self.tasks.iter().map(|(id, task)| (*id, task.name))
    }
    /// What tasks have called [`Handle::notify`] with since the last time.
    pub fn notices(&self) -> Vec<u64> {
        core::mem::take(&mut self.handle.lock().notices)
    }

    /// Takes an input of the executor's part; `made` takes a job's result out of the app's message.
    pub fn input<M>(&mut self, input: Input<'_, M>, made: impl FnOnce(M) -> Option<R>, cx: &mut Cx<'_, J, M>) {
        match input {
            Input::Answer(id, answer) => self.finish(id.key(), Outcome::Answer(answer)),
            Input::Job(id, result) => {
                let result = result.and_then(|m| made(m).ok_or(proto_core::Lost::Cancelled));
                self.finish(id.key(), Outcome::Job(result));
            }
            Input::Connected { conn, .. } => self.on_socket(conn, |s| s.phase = Phase::Open),
            Input::Bytes(t, chunk) => {
                let bytes = Bytes::copy_from_slice(&chunk);
                let mut full = false;
                self.on_socket(t, |s| {
                    if s.leaving {
                        return; // swallowed
                    }
                    s.unread += bytes.len();
                    s.inbox.push_back(bytes);
                    full = s.unread >= WINDOW;
                });
                if full {
                    cx.read(t, false);
                }
            }
            Input::Eof(t) => self.on_socket(t, |s| s.eof = true),
            Input::Writable(t) => {
                if let Some(key) = self.by_token.get(t) {
                    self.handle.lock().orders.push(Order::Touch(*key));
                }
            }
            Input::Closed(t, why) => {
                self.on_socket(t, |s| s.phase = Phase::Over(why));
                let key = self.by_token.remove(t);
                self.forget_left(key);
            }
            _ => {}
        }
    }
    fn finish(&mut self, id: u64, outcome: Outcome<R>) {
        let waker = self.handle.lock().finish(id, outcome);
        waker.into_iter().for_each(Waker::wake);
    }
    /// A connection that was closed by its task, and is over before all was sent.
    fn forget_left(&self, key: Option<u64>) {
        let mut state = self.handle.lock();
        if let Some(key) = key.filter(|key| state.sockets.get(key).is_some_and(|s| s.leaving)) {
            state.sockets.remove(&key);
        }
    }
    fn on_socket(&mut self, t: Token, f: impl FnOnce(&mut super::socket::Sock)) {
        let Some(key) = self.by_token.get(t) else { return };
        let wakers = self.handle.lock().sockets.get_mut(key).map(|sock| {
            f(sock);
            sock.wakers()
        });
        wakers.into_iter().flatten().flatten().for_each(Waker::wake);
    }

    /// The last but one line of `handle`, before connections are settled: lets woken tasks run and does what they want.
    pub fn run<M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.handle.lock().now = cx.now;
        self.fire(cx.now);
        for _ in 0..BUDGET {
            self.begin_and_end();
            let Some(id) = self.next() else { break };
            self.poll(id);
        }
        self.begin_and_end();
        self.obey(cx);
    }
    /// When it wants to run again.
    pub fn deadline(&self) -> Option<Deadline> {
        let state = self.handle.lock();
        if !lock(&self.ready.0).is_empty() || !state.orders.is_empty() || !state.killed.is_empty() {
            return Some(Deadline::new(state.now, Duration::ZERO, "tasks that are ready"));
        }
        let (at, _) = state.timers.next()?;
        Some(Deadline { at, since: state.now, why: "a task's timer" })
    }
    fn fire(&mut self, now: Instant) {
        loop {
            let mut state = self.handle.lock();
            let Some(id) = state.timers.pop(now) else { return };
            let waker = state.finish(id, Outcome::Time);
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
    }
    fn next(&mut self) -> Option<u64> {
        let mut ready = lock(&self.ready.0);
        let Some(dice) = &mut self.dice else { return ready.pop_front() };
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let len = ready.len().max(1);
        let at = (*dice >> 33) as usize % len;
        ready.swap_remove_back(at)
    }
    /// Takes in new tasks and drops those that nobody wants any more, until dropping brings forth nothing new.
    fn begin_and_end(&mut self) {
        loop {
            let (seeds, killed) = {
                let mut state = self.handle.lock();
                (core::mem::take(&mut state.seeds), core::mem::take(&mut state.killed))
            };
            if seeds.is_empty() && killed.is_empty() {
                return;
            }
            for Seed { id, name, future } in seeds {
                let waker = Arc::new(TaskWaker { id, queued: AtomicBool::new(false), ready: self.ready.clone() });
                waker.wake_by_ref();
                self.tasks.insert(id, Task { name, future, waker });
            }
            killed.into_iter().for_each(|id| self.end(id));
        }
    }
    fn poll(&mut self, id: u64) {
        let Some(task) = self.tasks.get_mut(&id) else { return }; // woken after its end
        // Before the poll: what wakes it during the poll queues it again.
        task.waker.queued.store(false, Ordering::Release);
        let waker = Waker::from(task.waker.clone());
        self.polls += 1;
        let polled = drivers::catch(|| task.future.as_mut().poll(&mut Context::from_waker(&waker)));
        match polled {
            Some(Poll::Pending) => {}
            Some(Poll::Ready(())) => self.end(id),
            None => {
                self.panics += 1;
                self.end(id);
            }
        }
    }
    fn end(&mut self, id: u64) {
        let Some(task) = self.tasks.remove(&id) else { return };
        self.handle.lock().tasks -= 1;
        if drivers::catch(|| drop(task)).is_none() {
            self.panics += 1;
        }
    }

    fn obey<M>(&mut self, cx: &mut Cx<'_, J, M>) {
        loop {
            let orders = core::mem::take(&mut self.handle.lock().orders);
            if orders.is_empty() {
                return;
            }
            orders.into_iter().for_each(|order| self.obey_one(order, cx));
        }
    }
    fn obey_one<M>(&mut self, order: Order<J>, cx: &mut Cx<'_, J, M>) {
        let name = |id| OpId::new(self.part, id);
        match order {
            Order::Ask(id, ask) => {
                if self.is_still_wanted(id) || matches!(ask, proto_core::Ask::CloseFile(_)) {
                    cx.ask(name(id), ask);
                }
            }
            Order::Job(id, job, hold) => {
                if self.is_still_wanted(id) {
                    cx.op(Op::Job { id: name(id), job, hold });
                }
            }
            Order::Cancel(id) => {
                if self.handle.lock().waits.contains_key(&id) {
                    cx.op(Op::Cancel(name(id)));
                }
            }
            Order::Connect(key, to) => {
                if !self.handle.lock().sockets.contains_key(&key) {
                    return; // given up in the same turn
                }
                let token = cx.connect(self.part, to);
                self.by_token.insert(token, key);
                if let Some(sock) = self.handle.lock().sockets.get_mut(&key) {
                    sock.token = Some(token);
                }
            }
            Order::Touch(key) => self.touch(key, cx),
            Order::Leave(token) => {
                self.by_token.remove(token);
                cx.abort(token);
            }
        }
    }
    /// A question that was given up before the driver heard of it is not asked.
    fn is_still_wanted(&self, id: u64) -> bool {
        let mut state = self.handle.lock();
        if let Some(Wait::Orphan) = state.waits.get(&id) {
            state.waits.remove(&id);
            return false;
        }
        true
    }
    /// Moves a connection's output on, and reads as long as there is room.
    fn touch<M>(&mut self, key: u64, cx: &mut Cx<'_, J, M>) {
        let mut state = self.handle.lock();
        let Some(sock) = state.sockets.get_mut(&key) else { return };
        let Some(token) = sock.token else { return };
        cx.read(token, sock.unread < WINDOW);
        if sock.phase != Phase::Open {
            return;
        }
        let Some(tx) = cx.tx(token).filter(|tx| !tx.is_finished()) else { return };
        // Of one that is closed all goes at once: at most a window, and the driver gives up on a peer that never reads.
        while (tx.room() > 0 || sock.leaving)
            && let Some(bytes) = sock.outbox.pop_front()
        {
            sock.unsent = sock.unsent.saturating_sub(bytes.len());
            tx.share(bytes);
        }
        let all = sock.outbox.is_empty();
        if sock.finished && all {
            tx.finish();
        }
        let waker = if sock.unsent <= WINDOW { sock.writer.take() } else { None };
        if sock.leaving && all {
            state.sockets.remove(&key);
            self.by_token.remove(token);
            cx.close(token, LINGER);
        }
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<J, R> Drop for Executor<J, R> {
    /// Tasks hold the state, and the state holds what they are to begin: the circle ends here.
    fn drop(&mut self) {
        let tasks = core::mem::take(&mut self.tasks);
        let seeds = core::mem::take(&mut self.handle.lock().seeds);
        let _ = drivers::catch(|| drop((tasks, seeds))); // a panic in a destructor changes nothing any more
    }
}

/// What a task gives; dropping it cancels the task.
pub struct Child<T, J, R> {
    handle: Handle<J, R>,
    id: u64,
    slot: Arc<Mutex<Slot<T>>>,
    detached: bool,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    /// The task is gone, with or without a value.
    over: bool,
    waker: Option<Waker>,
}

/// Says that the task is gone, however it went.
struct Farewell<T>(Arc<Mutex<Slot<T>>>);

impl<T> Drop for Farewell<T> {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        slot.over = true;
        let waker = slot.waker.take();
        drop(slot);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T, J, R> Child<T, J, R> {
    /// Lets the task go on by itself.
    pub fn detach(mut self) -> u64 {
        self.detached = true;
        self.id
    }
}

impl<T, J, R> Future for Child<T, J, R> {
    /// `Err` if the task was cancelled or panicked.
    type Output = Result<T, super::Panicked>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.slot);
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Ok(value));
        }
        if slot.over {
            return Poll::Ready(Err(super::Panicked));
        }
        let old = slot.waker.replace(cx.waker().clone());
        drop(slot);
        drop(old);
        Poll::Pending
    }
}

impl<T, J, R> Drop for Child<T, J, R> {
    fn drop(&mut self) {
        if !self.detached && !lock(&self.slot).over {
            self.handle.lock().killed.push(self.id);
        }
    }
}

impl<J, R> Handle<J, R> {
    /// Begins a task. It ends with its handle, unless that is [`Child::detach`]ed.
    ///
    /// # Errors
    /// [`TooMany`]; the future is dropped.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<Child<T, J, R>, TooMany> {
        let slot = Arc::new(Mutex::new(Slot { value: None, over: false, waker: None }));
        let farewell = Farewell(slot.clone());
        let mut state = self.lock();
        if state.tasks >= state.max_tasks {
            drop(state);
            return Err(TooMany);
        }
        state.tasks += 1;
        let id = state.key();
        let future: BoxFuture<()> = Box::pin(async move {
            let value = future.await;
            lock(&farewell.0).value = Some(value);
        });
        state.seeds.push(Seed { id, name, future });
        drop(state);
        Ok(Child { handle: self.clone(), id, slot, detached: false })
    }
    /// Ends a task that was detached.
    pub fn kill(&self, id: u64) {
        self.lock().killed.push(id);
    }
}
