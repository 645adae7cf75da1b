//! The load: an app that keeps a fixed number of requests under way on many connections.
use bytes::Bytes;
use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use drivers::{Config, Kind};
use proto_core::{Addr, App, ConnectOpts, Cx, Deadline, Input, Instant, Op, Slots, Token};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Connects under way at once.
const AT_ONCE: usize = 64;
/// How often it looks whether to stop.
const LOOK: Duration = Duration::from_millis(20);

/// What is sent, and what comes back for it.
#[derive(Clone, Debug)]
pub struct Work {
    /// One request.
    pub request: Bytes,
    /// Bytes of an answer: all are of one length.
    pub answer: usize,
    /// Requests under way on each connection.
    pub depth: usize,
    /// Connections.
    pub conns: usize,
}

/// What the load and its owner share.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Connections that have sent their first requests.
    pub open: AtomicU64,
    /// Whole answers received.
    pub answers: AtomicU64,
    stop: AtomicBool,
}

struct Load {
    work: Work,
    to: Addr,
    gauge: Arc<Gauge>,
    /// Bytes of an unfinished answer, per connection.
    got: Slots<usize>,
    begun: usize,
    look: Instant,
}

type LoadCx<'a> = Cx<'a, Infallible, Infallible>;

impl Load {
    fn more(&mut self, cx: &mut LoadCx<'_>) {
        while self.begun < self.work.conns && self.begun - self.got.len() < AT_ONCE {
            self.begun += 1;
            let conn = cx.token(1);
            let opts = ConnectOpts { linger0: true, ..ConnectOpts::default() }; // no port left in TIME_WAIT
            cx.op(Op::Connect { conn, to: self.to.clone(), opts });
        }
    }
    fn send(&self, t: Token, times: usize, cx: &mut LoadCx<'_>) {
        let Some(tx) = cx.tx(t) else { return };
        for _ in 0..times {
            if self.work.request.len() <= 1024 {
                tx.put(&self.work.request);
            } else {
                tx.share(self.work.request.clone());
            }
        }
    }
}

impl App for Load {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut LoadCx<'_>) {
        match input {
            Input::Start(_) => self.more(cx),
            Input::Connected { conn, .. } => {
                self.got.insert(conn, 0);
                self.send(conn, self.work.depth, cx);
                self.gauge.open.fetch_add(1, Ordering::Relaxed);
                self.more(cx);
            }
            Input::Bytes(t, chunk) => {
                let Some(got) = self.got.get_mut(t) else { return };
                *got += chunk.len();
                let whole = *got / self.work.answer;
                *got %= self.work.answer;
                self.gauge.answers.fetch_add(whole as u64, Ordering::Relaxed);
                self.send(t, whole, cx);
            }
            Input::Closed(t, why) if t.part() == 1 => {
                eprintln!("bench: a connection ended: {why}");
                cx.exit(4);
            }
            Input::Deadline => {
                self.look = cx.now.after(LOOK);
                if self.gauge.stop.load(Ordering::Relaxed) {
                    cx.exit(0);
                }
            }
            _ => {}
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        Some(Deadline { at: self.look, since: self.look, why: "look whether to stop" })
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

/// A load that runs on a thread of its own.
pub struct Running {
    /// What it has done so far.
    pub gauge: Arc<Gauge>,
    thread: JoinHandle<Result<u8, drivers::Error>>,
}

/// Starts it, bound to one core if `core` says so.
pub fn start(to: SocketAddr, work: Work, core: Option<usize>) -> Running {
    let gauge = Arc::new(Gauge::default());
    let app = Load {
        work,
        to: Addr::Ip(to),
        gauge: gauge.clone(),
        got: Slots::default(),
        begun: 0,
        look: Instant::default(),
    };
    let thread = std::thread::spawn(move || {
        if let Some(core) = core {
            let _ = crate::server::pin(None, core); // said so
        }
        let app = std::sync::Mutex::new(Some(app));
        let take = |_| app.lock().ok().and_then(|mut a| a.take()).expect("one thread");
        drivers::run(Kind::Auto, take, Vec::new(), &Config { buffers: (1024, 4096), ..Config::default() })
    });
    Running { gauge, thread }
}

impl Running {
    /// It has failed, or has been stopped.
    pub fn ended(&self) -> bool {
        self.thread.is_finished()
    }
    /// Stops it; `false` if it had failed.
    pub fn stop(self) -> bool {
        self.gauge.stop.store(true, Ordering::Relaxed);
        matches!(self.thread.join(), Ok(Ok(0)))
    }
}
