//! `threadpool_server` and `single_thread_server`: the loop talks, workers work, and each answer finds its connection.
//!
//! A job has a number that is never used again, and the number knows the connection's token, which has a generation. So a
//! result that comes late finds nobody: not the next client of the slot, and not the next request of the connection.
use super::tally::Tally;
use crate::front::{Desk, Front};
use crate::service::{Note, ServerCx, Settings};
use crate::work::{Kind, Work, parse_size};
use core::time::Duration;
use proto_core::http1::server::{Request, Response};
use proto_core::http1::{Config, Limits, Method};
use proto_core::{App, Deadline, Input, Instant, Lost, Op, OpId, Slots, Start, Timers, Token};
use std::collections::BTreeMap;

/// The part byte of jobs.
const JOBS: u8 = 1;

/// What a server of work is told by its flags.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads; 0: the loop works itself.
    pub workers: usize,
    /// Jobs that may wait for a worker.
    pub queue: usize,
    /// What `/work` does if the request does not say.
    pub work: Work,
    /// When a request for work is given up.
    pub timeout: Duration,
    /// What happens when there is no room.
    pub policy: Policy,
}

/// What happens to a request for which there is no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Policy {
    /// It is answered with 503.
    #[default]
    Reject,
    /// The one that has waited longest is, and this one waits.
    DropOldest,
}

/// The app.
#[derive(Debug)]
pub struct PoolServer {
    front: Front,
    pool: Pool,
}

#[derive(Debug)]
struct Under {
    /// `None`: the request was given up, and its result is for nobody.
    conn: Option<Token>,
    since: Instant,
    cancelled: bool,
}

/// Jobs under way, and whose they are.
#[derive(Debug)]
struct Pool {
    options: Options,
    jobs: BTreeMap<u64, Under>,
    by_conn: Slots<u64>,
    deadlines: Timers<u64>,
    next: u64,
    tally: Tally,
}

type PoolCx<'a> = ServerCx<'a, Work>;

impl PoolServer {
    /// With the service's settings.
    pub fn new(settings: Settings, options: Options) -> Self {
        let limits = Limits { head: 16 << 10, requests: u32::MAX, ..Limits::SERVER };
        PoolServer {
            front: Front::new(settings, Config { limits, ..Config::SERVER }),
            pool: Pool {
                options,
                jobs: BTreeMap::new(),
                by_conn: Slots::default(),
                deadlines: Timers::default(),
                next: 0,
                tally: Tally::default(),
            },
        }
    }
    /// What it has done.
    pub fn tally(&self) -> &Tally {
        &self.pool.tally
    }
    fn start(&mut self, start: &Start, cx: &mut PoolCx<'_>) {
        let at = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
        let how = match self.pool.options.workers {
            0 => "a single thread".into(),
            1 => "1 worker thread".into(),
            n => format!("{n} worker threads"),
        };
        self.front.start(start, &format!("Starting server on {at} with {how}"), cx);
    }
}

impl Pool {
    /// As many as may be under way.
    fn room(&self) -> usize {
        match self.options.workers {
            0 => usize::MAX,
            n => n + self.options.queue,
        }
    }
    fn work(&mut self, t: Token, work: Work, front: &mut Front, cx: &mut PoolCx<'_>) {
        self.tally.requests += 1;
        if self.jobs.len() >= self.room() && !(self.options.policy == Policy::DropOldest && self.drop_oldest(front, cx))
        {
            return self.reject(t, front, cx);
        }
        self.next += 1;
        let id = self.next;
        self.jobs.insert(id, Under { conn: Some(t), since: cx.now, cancelled: false });
        self.by_conn.insert(t, id);
        self.deadlines.arm(id, cx.now.after(self.options.timeout));
        cx.op(Op::Job { id: OpId::new(JOBS, id), job: work, hold: work.hold() });
    }
    fn reject(&mut self, t: Token, front: &mut Front, cx: &mut PoolCx<'_>) {
        self.tally.rejected += 1;
        front.page(t, &Response::new(503).fields(&[("Retry-After", b"1")]), cx);
    }
    /// Gives up the request that has waited longest; its job may be beyond recall, and then takes its place for longer.
    fn drop_oldest(&mut self, front: &mut Front, cx: &mut PoolCx<'_>) -> bool {
        let waiting = self.options.workers; // those before it have a worker
        let Some((id, conn)) = self.jobs.iter().filter_map(|(id, j)| Some((*id, j.conn?))).nth(waiting) else {
            return false;
        };
        self.give_up(id, cx);
        self.reject(conn, front, cx);
        true
    }
    /// The job's result is for nobody from now on; if it has not begun it never does.
    fn give_up(&mut self, id: u64, cx: &mut PoolCx<'_>) {
        self.deadlines.disarm(id);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Some(conn) = job.conn.take() {
            self.by_conn.remove(conn);
            cx.op(Op::Cancel(OpId::new(JOBS, id)));
        }
    }
    fn done(&mut self, id: u64, result: Result<Note, Lost>, front: &mut Front, cx: &mut PoolCx<'_>) {
        self.deadlines.disarm(id);
        let Some(job) = self.jobs.remove(&id) else { return };
        let Some(conn) = job.conn else {
            match result {
                Err(Lost::Cancelled) if job.cancelled => self.tally.cancelled += 1,
                Err(Lost::Cancelled) => {}
                _ if job.cancelled => {
                    self.tally.orphaned += 1;
                    self.tally.late += 1;
                }
                _ => self.tally.late += 1,
            }
            return;
        };
        self.by_conn.remove(conn);
        match result {
            Ok(Note::Made(line)) => {
                self.tally.ok += 1;
                self.tally.times.add(cx.now.since(job.since));
                front.respond(conn, &Response::new(200).typed("text/plain"), &line, cx);
            }
            Err(Lost::Full) => self.reject(conn, front, cx),
            Ok(_) | Err(Lost::Panicked | Lost::Cancelled) => {
                self.tally.panics += 1;
                front.page(conn, &Response::new(500), cx);
            }
        }
    }
    fn due(&mut self, front: &mut Front, cx: &mut PoolCx<'_>) {
        while let Some(id) = self.deadlines.pop(cx.now) {
            let Some(conn) = self.jobs.get(&id).and_then(|j| j.conn) else { continue };
            self.give_up(id, cx);
            self.tally.timeouts += 1;
            front.page(conn, &Response::new(503).fields(&[("Retry-After", b"1")]), cx);
        }
    }
}

/// The work that a query asks for.
fn asked(query: &str, default: Work) -> Result<Work, String> {
    let mut work = default;
    let mut sized = false;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("kind", kind) => {
                work.kind = kind.parse::<Kind>()?;
                if !sized {
                    work.size = work.kind.size();
                }
            }
            ("n", n) => (work.size, sized) = (parse_size(n)?, true),
            (other, _) => return Err(format!("no parameter '{}'; there are kind and n", other.escape_debug())),
        }
    }
    Ok(work)
}

impl Desk<Work> for Pool {
    fn request(&mut self, t: Token, request: &Request<'_>, front: &mut Front, cx: &mut PoolCx<'_>) {
        let (path, query) = request.target().split_once('?').unwrap_or((request.target(), ""));
        let known = matches!(path, "/work" | "/health" | "/stats" | "/");
        if !known {
            return front.page(t, &Response::new(404), cx);
        }
        if !matches!(request.method(), Method::Get | Method::Head) {
            return front.page(t, &Response::new(405).fields(&[("Allow", b"GET, HEAD")]), cx);
        }
        match path {
            "/work" => match asked(query, self.options.work) {
                Ok(work) => self.work(t, work, front, cx),
                Err(why) => {
                    let text = format!("{why}\n");
                    front.respond(t, &Response::new(400).typed("text/plain"), text.as_bytes(), cx);
                }
            },
            "/stats" => {
                let under_way = self.jobs.values().filter(|j| j.conn.is_some()).count();
                let json = self.tally.json(self.options.workers, self.options.queue, under_way);
                front.respond(t, &Response::new(200).typed("application/json"), json.as_bytes(), cx);
            }
            "/health" => front.respond(t, &Response::new(200).typed("text/plain"), b"ok\n", cx),
            _ => front.respond(t, &Response::new(200).typed("text/plain"), b"/work /health /stats\n", cx),
        }
    }
    fn gone(&mut self, t: Token, _: &mut Front, cx: &mut PoolCx<'_>) {
        if let Some(id) = self.by_conn.get(t).copied() {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.cancelled = true;
            }
            self.give_up(id, cx);
        }
    }
}

impl App for PoolServer {
    type Job = Work;
    type Msg = Note;

    fn handle(&mut self, input: Input<'_, Note>, cx: &mut PoolCx<'_>) {
        let PoolServer { front, pool } = self;
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Job(id, result) => pool.done(id.key(), result, front, cx),
            other => {
                if matches!(other, Input::Deadline) {
                    pool.due(front, cx);
                }
                front.handle(other, pool, cx);
            }
        }
        self.front.settle(&mut self.pool, cx);
    }
    fn deadline(&self) -> Option<Deadline> {
        let job = self.pool.deadlines.next().map(|(at, _)| Deadline { at, since: at, why: "job" });
        Deadline::earliest(self.front.deadline(), job)
    }
    fn work(job: Work) -> Note {
        Note::Made(job.run())
    }
}
