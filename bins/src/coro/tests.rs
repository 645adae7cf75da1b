//! The executor without a driver: what it asks for is looked at, and answered by hand.
use super::*;
use core::time::Duration;
use proto_core::{Addr, Answer, App, Ask, Bytes, Chunk, Cx, Env, FileId, How, Input, Instant, Meta, Op, OpId, Peer};
use proto_core::{Reason, Table, Token, Wall};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

const PART: u8 = 9;

type Tasks = Handle<u32, u32>;

struct World {
    executor: Executor<u32, u32>,
    table: Table,
    ops: VecDeque<Op<u32, u32>>,
    env: Env,
    now: Instant,
    log: Log,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }
    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(" ")
    }
}

/// Says so when it is dropped.
struct Dropped(Log, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

impl World {
    fn new() -> World {
        World::with_room(MAX_TASKS)
    }
    fn with_room(tasks: usize) -> World {
        World {
            executor: Executor::new(PART, tasks),
            table: Table::new(1 << 16, 1 << 16),
            ops: VecDeque::new(),
            env: Env::new([0; 32], Wall::default(), Instant::default()),
            now: Instant::default(),
            log: Log::default(),
        }
    }
    fn tasks(&self) -> Tasks {
        self.executor.handle().clone()
    }
    fn with<T>(&mut self, f: impl FnOnce(&mut Executor<u32, u32>, &mut Cx<'_, u32, u32>) -> T) -> T {
        let mut cx = Cx::new(self.now, &mut self.table, &mut self.ops, &mut self.env);
        f(&mut self.executor, &mut cx)
    }
    fn run(&mut self) -> Vec<String> {
        self.with(|e, cx| e.run(cx));
        self.ops.drain(..).map(|op| op.describe()).collect()
    }
    fn input(&mut self, input: Input<'_, u32>) -> Vec<String> {
        self.with(|e, cx| e.input(input, Some, cx));
        self.run()
    }
    fn answer(&mut self, key: u64, answer: Result<Answer, Reason>) -> Vec<String> {
        self.input(Input::Answer(OpId::new(PART, key), answer))
    }
    fn at(&mut self, ms: u64) -> Vec<String> {
        self.now = Instant::default().after(Duration::from_millis(ms));
        self.run()
    }
    /// Begins a task whose name is said with what it gives.
    fn spawn<F>(&self, name: &'static str, f: impl FnOnce(Tasks) -> F) -> u64
    where
        F: Future<Output = String> + Send + 'static,
    {
        let (log, future) = (self.log.clone(), f(self.tasks()));
        let task = async move { log.say(format!("{name}:{}", future.await)) };
        self.tasks().spawn(name, task).unwrap().detach()
    }
    fn is_at_rest(&self) -> bool {
        let c = self.executor.counts();
        (c.tasks, c.waits, c.timers, c.sockets) == (0, 0, 0, 0) && self.executor.deadline().is_none()
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn read(file: u32) -> Ask {
    Ask::Read { file: FileId(file), offset: 0, len: 8 }
}

fn bytes(text: &'static str) -> Result<Answer, Reason> {
    Ok(Answer::Read(Bytes::from_static(text.as_bytes())))
}

fn show(answer: Result<Answer, Reason>) -> String {
    match answer {
        Ok(Answer::Read(b)) => String::from_utf8_lossy(&b).into_owned(),
        other => format!("{other:?}"),
    }
}

async fn ask(tasks: Tasks, ask: Ask) -> String {
    show(tasks.ask(ask).await)
}

fn opened() -> Result<Answer, Reason> {
    Ok(Answer::Opened { file: FileId(7), meta: Meta::default() })
}

#[test]
fn timers_fire_in_their_order() {
    let mut w = World::new();
    for (name, wait) in [("c", 30), ("a", 10), ("b", 20)] {
        w.spawn(name, |t| async move {
            t.sleep(ms(wait)).await;
            String::new()
        });
    }
    w.run();
    assert_eq!(w.executor.deadline().map(|d| d.at), Some(Instant::default().after(ms(10))));
    w.at(9);
    assert_eq!(w.log.take(), "");
    w.at(25);
    assert_eq!(w.log.take(), "a: b:");
    w.at(30);
    assert_eq!(w.log.take(), "c:");
    assert!(w.is_at_rest());
}

#[test]
fn dropping_a_task_cancels_what_it_waits_for() {
    let mut w = World::new();
    let sleeper = w.spawn("sleeper", |t| async move {
        t.sleep(ms(10)).await;
        String::new()
    });
    let asker = w.spawn("asker", |t| ask(t, read(1)));
    let worker = w.spawn("worker", |t| async move { format!("{:?}", t.job(5, ms(0)).await) });
    assert_eq!(w.run().len(), 2, "a question and a job");
    for id in [sleeper, asker, worker] {
        w.tasks().kill(id);
    }
    assert_eq!(w.run(), ["cancel 9#5", "cancel 9#6"]);
    assert_eq!(w.executor.counts().timers, 0);
    w.answer(5, Err(Reason::Cancelled));
    w.input(Input::Job(OpId::new(PART, 6), Ok(25)));
    assert_eq!((w.executor.counts().late, w.log.take()), (2, String::new()));
    assert!(w.is_at_rest());
}

#[test]
fn a_late_answer_never_reaches_another() {
    let mut w = World::new();
    let first = w.spawn("first", |t| ask(t, read(1)));
    assert_eq!(w.run(), ["ask 9#2 Read { file: FileId(1), offset: 0, len: 8 }"]);
    w.tasks().kill(first);
    w.spawn("second", |t| ask(t, read(1)));
    let ops = w.run();
    assert_eq!(ops, ["cancel 9#2", "ask 9#4 Read { file: FileId(1), offset: 0, len: 8 }"]);
    w.answer(2, bytes("of the first"));
    assert_eq!(w.log.take(), "");
    w.answer(4, bytes("mine"));
    assert_eq!(w.log.take(), "second:mine");
    w.answer(4, bytes("again")); // which no driver does
    assert!(w.is_at_rest());
}

#[test]
fn a_file_opened_for_nobody_is_closed() {
    let mut w = World::new();
    let id = w.spawn("reader", |t| async move { format!("{:?}", t.read_file(None, "a", 100).await) });
    w.run();
    w.tasks().kill(id);
    w.run();
    assert_eq!(w.answer(2, opened()), ["ask 9#3 CloseFile(FileId(7))"]);
    w.answer(3, Ok(Answer::Done));
    assert!(w.is_at_rest());
    // The same with an answer that was delivered, and dropped before it was looked at.
    let id = w.spawn("reader", |t| async move { format!("{:?}", t.open(None, "a", How::default()).await.is_ok()) });
    w.run();
    w.with(|e, cx| e.input(Input::Answer(OpId::new(PART, 5), opened()), Some, cx));
    w.tasks().kill(id);
    w.with(|e, _| e.handle().lock().killed.len());
    let ops = w.run();
    assert!(ops.iter().any(|op| op.ends_with("CloseFile(FileId(7))")), "{ops:?}");
}

#[test]
fn what_is_given_up_at_once_is_never_asked() {
    let mut w = World::new();
    w.spawn("both", |t| async move {
        let first = select(t.yield_now(), t.ask(read(1)));
        let _ = select(core::future::ready(()), t.ask(read(2))).await;
        match first.await {
            Either::Left(()) => "left".into(),
            Either::Right(_) => "right".into(),
        }
    });
    assert_eq!(w.run(), Vec::<String>::new());
    assert_eq!(w.log.take(), "both:left");
    assert!(w.is_at_rest());
}

#[test]
fn a_panic_ends_its_task_and_nobody_elses() {
    let mut w = World::new();
    let log = w.log.clone();
    let tasks = w.tasks();
    let (parent, inner) = (log.clone(), tasks.clone());
    let parent = async move {
        let guard = Dropped(parent.clone(), "guard");
        let child = inner.spawn("child", async move {
            let _guard = guard;
            inner_panic();
        });
        let outcome = child.unwrap().await;
        parent.say(format!("{outcome:?}"));
        let outcome = caught(async { inner_panic() }).await;
        parent.say(format!("{outcome:?}"));
    };
    tasks.spawn("parent", parent).unwrap().detach();
    w.spawn("other", |t| async move {
        t.sleep(ms(1)).await;
        "lives".into()
    });
    w.run();
    w.at(1);
    assert_eq!(log.take(), "guard Err(Panicked) Err(Panicked) other:lives");
    assert_eq!(w.executor.counts().panics, 1, "the second was caught by its own task");
    assert!(w.is_at_rest());
}

#[allow(clippy::panic, reason = "what is tested")]
fn inner_panic() {
    panic!("on purpose")
}

#[test]
fn children_end_with_their_parents() {
    let mut w = World::new();
    let (log, tasks) = (w.log.clone(), w.tasks());
    let inner = tasks.clone();
    let id = tasks.spawn("parent", async move {
        let (a, b, again) = (Dropped(log.clone(), "child"), Dropped(log.clone(), "grandchild"), inner.clone());
        let child = inner.spawn("child", async move {
            let _a = a;
            let sleep = again.sleep(ms(5));
            let _grandchild = again.spawn("grandchild", async move {
                let _b = b;
                sleep.await;
            });
            core::future::pending::<()>().await;
        });
        let _ = child.unwrap().await;
    });
    let id = id.unwrap().detach();
    w.run();
    assert_eq!(w.executor.counts().tasks, 3);
    w.tasks().kill(id);
    w.run();
    assert_eq!(w.log.take(), "child grandchild");
    assert!(w.is_at_rest());
}

#[test]
fn a_task_that_always_yields_starves_nobody() {
    let mut w = World::new();
    w.spawn("greedy", |t| async move {
        for _ in 0..1000 {
            t.yield_now().await;
        }
        "done".into()
    });
    w.run();
    assert_eq!(w.executor.counts().polls, BUDGET as u64, "then inputs are looked at");
    assert_eq!(w.executor.deadline().map(|d| d.at), Some(w.now));
    w.spawn("other", |_| async { "now".into() });
    w.run();
    assert_eq!(w.log.take(), "other:now");
    while w.executor.deadline().is_some() {
        w.run();
    }
    assert_eq!(w.log.take(), "greedy:done");
}

#[test]
fn tasks_are_bounded() {
    let mut w = World::with_room(2);
    let begin = |w: &World| w.tasks().spawn("t", core::future::pending::<()>());
    let (a, b) = (begin(&w).unwrap(), begin(&w).unwrap());
    assert_eq!(begin(&w).err(), Some(TooMany));
    w.run();
    drop(a);
    w.run();
    let c = begin(&w).unwrap();
    assert_eq!(begin(&w).err(), Some(TooMany));
    drop((b, c));
    w.run();
    assert!(w.is_at_rest());
}

#[test]
fn waking_a_task_that_is_over_is_harmless() {
    let mut w = World::new();
    let slot: Arc<Mutex<Option<core::task::Waker>>> = Arc::default();
    let keep = slot.clone();
    w.spawn("quick", |_| async move {
        core::future::poll_fn(|cx| {
            *keep.lock().unwrap() = Some(cx.waker().clone());
            core::task::Poll::Ready(String::new())
        })
        .await
    });
    w.run();
    slot.lock().unwrap().take().unwrap().wake();
    assert_eq!(w.run(), Vec::<String>::new());
    assert!(w.is_at_rest());
}

#[test]
fn time_runs_out_for_what_takes_too_long() {
    let mut w = World::new();
    w.spawn("slow", |t| async move { format!("{:?}", timeout(&t, ms(10), t.ask(read(1))).await) });
    w.spawn("fast", |t| async move { format!("{:?}", timeout(&t, ms(10), t.sleep(ms(5))).await) });
    w.run();
    w.at(5);
    assert_eq!(w.log.take(), "fast:Ok(())");
    let ops = w.at(10);
    assert_eq!(w.log.take(), "slow:Err(Elapsed)");
    assert_eq!(ops.len(), 1, "{ops:?}: the question is given up");
    let key = 3;
    w.answer(key, Err(Reason::Cancelled));
    assert!(w.is_at_rest());
}

#[test]
fn many_at_once_and_one_after_the_other() {
    let mut w = World::new();
    w.spawn("all", |t| async move {
        let (a, b) = join(t.sleep(ms(3)), t.sleep(ms(7))).await;
        let all = (0..3).map(|i| {
            let t = t.clone();
            let future: BoxFuture<u64> = Box::pin(async move {
                t.sleep(ms(10 - i)).await;
                i
            });
            future
        });
        format!("{a:?}{b:?}{:?}", join_all(all.collect()).await)
    });
    w.run();
    (1..=20).for_each(|at| drop(w.at(at)));
    assert_eq!(w.log.take(), "all:()()[0, 1, 2]");
    assert!(w.is_at_rest());
}

#[test]
fn channels_hold_no_more_than_they_may() {
    let mut w = World::new();
    let (sender, mut receiver) = channel::<u32>(2);
    let log = w.log.clone();
    w.spawn("sender", |_| async move {
        for i in 0..5 {
            if sender.send(i).await.is_err() {
                return "refused".into();
            }
            log.say(format!("+{i}"));
        }
        "sent".into()
    });
    w.run();
    assert_eq!(w.log.take(), "+0 +1", "the third waits");
    let log = w.log.clone();
    w.spawn("receiver", |_| async move {
        let mut sum = 0;
        while let Some(i) = receiver.receive().await {
            log.say(format!("-{i}"));
            sum += i;
            if sum > 5 {
                return format!("{sum}");
            }
        }
        "closed".into()
    });
    w.run();
    assert!(w.log.take().contains("receiver:6"));
    assert!(w.is_at_rest());
    let (sender, receiver) = channel::<u32>(1);
    drop(receiver);
    w.spawn("late", |_| async move { format!("{:?}", sender.send(4).await) });
    w.run();
    assert_eq!(w.log.take(), "late:Err(Refused(4))");
}

#[test]
fn a_semaphore_has_so_many_places_and_loses_none() {
    let mut w = World::new();
    let gate = Semaphore::new(2);
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let (gate, log) = (gate.clone(), w.log.clone());
        ids.push(w.spawn(name, |t| async move {
            let _permit = gate.acquire().await;
            log.say(name);
            t.sleep(ms(10)).await;
            String::new()
        }));
    }
    w.run();
    assert_eq!(w.log.take(), "a b");
    w.tasks().kill(ids[2]); // while it waits
    w.run();
    w.at(10);
    assert_eq!(w.log.take(), "a: b: d e");
    w.at(20);
    w.log.take();
    assert!(w.is_at_rest());
    w.spawn("f", |_| async move {
        let permits = (gate.acquire().await, gate.acquire().await);
        drop(permits);
        "both".into()
    });
    w.run();
    assert_eq!(w.log.take(), "f:both");
}

fn address() -> Addr {
    Addr::Ip("10.0.0.1:80".parse().unwrap())
}

/// Connects a task's socket; its token.
fn connected(w: &mut World) -> Token {
    w.with(|e, cx| e.run(cx));
    let Some(Op::Connect { conn, .. }) = w.ops.pop_front() else { unreachable!("no connect") };
    w.input(Input::Connected { conn, peer: Peer { remote: address(), local: None, fd: 0 } });
    conn
}

fn give(w: &mut World, t: Token, text: &[u8]) -> Vec<String> {
    let mut store = text.to_vec();
    let len = store.len();
    w.input(Input::Bytes(t, Chunk::new(&mut store, len)))
}

#[test]
fn a_connection_is_read_only_as_fast_as_its_task() {
    let mut w = World::new();
    w.spawn("reader", |t| async move {
        let mut socket = t.connect(address()).await.unwrap();
        t.sleep(ms(10)).await;
        let mut n = 0;
        while let Ok(Some(b)) = socket.read().await {
            n += b.len();
        }
        format!("{n}")
    });
    let t = connected(&mut w);
    for _ in 0..WINDOW / 16_384 {
        assert!(w.table.is_wanted(t));
        give(&mut w, t, &[b'x'; 16_384]);
    }
    assert!(!w.table.is_wanted(t), "nobody reads: no more of it");
    w.at(10);
    assert!(w.table.is_wanted(t));
    w.input(Input::Eof(t));
    assert_eq!(w.log.take(), format!("reader:{WINDOW}"));
    assert!(w.is_at_rest());
}

#[test]
fn a_connection_is_written_only_as_fast_as_its_peer_reads() {
    let mut w = World::new();
    w.table = Table::new(1 << 16, 1000);
    w.spawn("writer", |t| async move {
        let mut socket = t.connect(address()).await.unwrap();
        let mut n = 0;
        while n < 10 * WINDOW && socket.write(vec![0; 4096].into()).await.is_ok() {
            n += 4096;
        }
        socket.close();
        format!("{n}")
    });
    let t = connected(&mut w);
    let mut sent = 0;
    for _ in 0..10_000 {
        let closed = !w.log.0.lock().unwrap().is_empty();
        assert!(closed || w.table.tx(t).is_none_or(|tx| tx.len() <= 8192), "no more than the output's own limit");
        let n = w.table.tx(t).map_or(0, |tx| tx.len());
        sent += n;
        if w.table.consume(t, n, w.now) {
            let ops = w.input(Input::Writable(t));
            if ops.iter().any(|op| op.starts_with("close")) {
                break;
            }
        } else {
            w.run();
        }
    }
    let left = w.table.tx(t).map_or(0, |tx| tx.len());
    assert_eq!((sent + left, w.log.take()), (10 * WINDOW, format!("writer:{}", 10 * WINDOW)));
    assert!(w.is_at_rest());
}

#[test]
fn a_connection_that_is_dropped_is_reset_and_hears_nothing_more() {
    let mut w = World::new();
    let id = w.spawn("idle", |t| async move {
        let mut socket = t.connect(address()).await.unwrap();
        format!("{:?}", socket.read().await)
    });
    let t = connected(&mut w);
    w.tasks().kill(id);
    assert_eq!(w.run(), [format!("abort {t:?}")]);
    give(&mut w, t, b"late");
    w.input(Input::Closed(t, Reason::Aborted));
    assert!(w.is_at_rest());
    // A connect that is given up.
    let id = w.spawn("connecting", |t| async move { format!("{:?}", t.connect(address()).await.is_ok()) });
    w.run();
    w.tasks().kill(id);
    assert_eq!(w.run().len(), 1);
    // One that fails.
    w.spawn("refused", |t| async move { format!("{:?}", t.connect(address()).await.err()) });
    w.with(|e, cx| e.run(cx));
    let Some(Op::Connect { conn, .. }) = w.ops.pop_front() else { unreachable!("no connect") };
    w.input(Input::Closed(conn, Reason::Refused));
    assert_eq!(w.log.take(), "refused:Some(Refused)");
    assert!(w.is_at_rest());
}

/// Everything a task can wait for, one after the other.
async fn everything(t: Tasks) -> String {
    t.sleep(ms(1)).await;
    let file = t.open(None, "a", How { read: true, ..How::default() }).await.map_err(|e| e.to_string());
    let text = match &file {
        Ok(file) => file.read(0, 100).await.map_or(0, |b| b.len()),
        Err(_) => 0,
    };
    let made = t.job(6, ms(3)).await.unwrap_or(0);
    let (a, _) = join(t.job(7, ms(1)), t.sleep(ms(2))).await;
    let child = t.spawn("child", {
        let t = t.clone();
        async move {
            t.sleep(ms(4)).await;
            8
        }
    });
    let child = child.map_err(|_| ()).unwrap().await.unwrap_or(0);
    let mut socket = t.connect(Addr::Ip("10.0.0.2:7".parse().unwrap())).await.unwrap();
    socket.write(Bytes::from_static(b"ping")).await.unwrap();
    let back = socket.read().await.unwrap().map_or(0, |b| b.len());
    socket.close();
    format!("{text} {made} {} {child} {back}", a.unwrap_or(0))
}

/// Runs one task in a simulation, and drops it when it was polled so many times.
struct OneTask {
    executor: Executor<u32, u32>,
    log: Log,
    task: u64,
    drop_after: u64,
    counts: Arc<Mutex<Counts>>,
}

impl App for OneTask {
    type Job = u32;
    type Msg = u32;
    fn handle(&mut self, input: Input<'_, u32>, cx: &mut Cx<'_, u32, u32>) {
        match input {
            Input::Start(_) => {
                let (log, tasks) = (self.log.clone(), self.executor.handle().clone());
                let task = async move { log.say(everything(tasks).await) };
                self.task = self.executor.handle().spawn("everything", task).unwrap().detach();
            }
            other => self.executor.input(other, Some, cx),
        }
        if self.executor.counts().polls == self.drop_after {
            self.executor.handle().kill(self.task);
        }
        self.executor.run(cx);
        if self.executor.counts().polls == self.drop_after {
            self.executor.handle().kill(self.task);
            self.executor.run(cx);
        }
        *self.counts.lock().unwrap() = self.executor.counts();
    }
    fn deadline(&self) -> Option<proto_core::Deadline> {
        self.executor.deadline()
    }
    fn work(job: u32) -> u32 {
        job * 10
    }
}

/// What the task said, and what was left of it.
fn one_task(seed: u64, drop_after: u64, plan: &str) -> Result<(String, Counts), String> {
    use drivers::sim::{NodeConfig, Sim};
    let mut sim = Sim::new(seed, plan.parse()?);
    let (log, counts) = (Log::default(), Arc::<Mutex<Counts>>::default());
    let executor = Executor::new(PART, 10).shuffled(seed);
    let app = OneTask { executor, log: log.clone(), task: 0, drop_after, counts: counts.clone() };
    let files = vec![("a".into(), b"hello".to_vec())];
    sim.add("tasks", app, NodeConfig { files, ..NodeConfig::default() }).map_err(|e| e.to_string())?;
    let settings = crate::service::Settings::default();
    let echo = crate::echo::load::LoadEcho::new(settings, proto_core::echo::Mode::Off);
    sim.add("echo", echo, NodeConfig::server(7)).map_err(|e| e.to_string())?;
    sim.run(Duration::from_secs(100));
    let counts = *counts.lock().unwrap();
    sim.check_quiescent()?;
    Ok((log.take(), counts))
}

#[test]
fn a_task_can_be_dropped_wherever_it_waits() {
    let (said, whole) = one_task(1, u64::MAX, "").unwrap();
    assert_eq!(said, "5 60 70 8 4");
    assert!(whole.polls >= 9, "{whole:?}");
    let mut dropped = 0;
    for drop_after in 1..whole.polls {
        for seed in 0..10 {
            let (said, left) = one_task(seed, drop_after, "delay=5ms±5ms,disk=slow:30%,job=2ms±1ms").unwrap();
            let rest = (left.tasks, left.waits, left.timers, left.sockets);
            assert_eq!(rest, (0, 0, 0, 0), "dropped after {drop_after}, seed {seed}: {left:?}");
            assert!(said.is_empty() || said == "5 60 70 8 4", "dropped after {drop_after}, seed {seed}: {said}");
            dropped += u64::from(said.is_empty());
        }
    }
    assert!(dropped > 5 * whole.polls, "{dropped} were dropped in time");
}

#[test]
fn tasks_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Executor<u32, u32>>();
    is_send::<Tasks>();
}
