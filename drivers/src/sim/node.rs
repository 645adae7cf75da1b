//! One machine of a simulation: a host, its sockets, and the order in which the contract wants things done.
mod sockets;

use super::files::Files;
use super::rng::hash;
use super::script::NodeConfig;
use super::{Local, NodeId, Notice, TURN, World};
use crate::host::{CHUNK, Due, Facts, Host};
use crate::record::told;
use crate::{Config, Error, workers};
use proto_core::{
    Addr, Answer, App, Ask, Input, Instant, Lost, Op, OpId, Peer, Reason, Shard, Slots, Token, Trouble, Wall,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A node whatever its app is.
pub trait AnyNode {
    fn start(&mut self, w: &mut World);
    fn notice(&mut self, n: Notice, w: &mut World);
    /// When it wants [`AnyNode::timers`] to be called.
    fn due(&self) -> Option<Instant>;
    fn timers(&mut self, w: &mut World);
    /// Standard output (0) or error (1).
    fn output(&self, i: usize) -> &[u8];
    fn exit(&self) -> Option<u8>;
    fn peak_queued(&self) -> usize;
    fn check_quiescent(&self, w: &World) -> Result<(), String>;
    fn end_recording(&mut self) -> Result<(), Error>;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Connecting(u64),
    Stream(u64),
    Listener,
    Datagram,
}

#[derive(Debug)]
struct Io {
    kind: Kind,
    /// The last write did not take everything.
    blocked: bool,
    /// A retry is under way: the kernel says "try again".
    again: bool,
    eof: bool,
    shut: bool,
    linger0: bool,
}

#[derive(Debug)]
enum News<M> {
    Closed(Token, Reason),
    Bound(Token, Addr),
    Answer(OpId, Result<Answer, Reason>),
    Job(OpId, Result<M, Lost>),
    Post(M),
    Dropped(u64),
}

struct Job<J> {
    job: J,
    begins: Instant,
}

/// Bytes as a trace shows them.
fn digest(b: &[u8]) -> String {
    let head = b.get(..16).unwrap_or(b).escape_ascii();
    format!("{} bytes, hash {:08x}: \"{head}\"", b.len(), hash(b) as u32)
}

pub struct Node<A: App> {
    id: NodeId,
    host: Host<A>,
    ios: Slots<Io>,
    news: VecDeque<News<A::Msg>>,
    /// Sockets to be served after the others.
    later: BTreeSet<Token>,
    files: Files,
    jobs: BTreeMap<OpId, Job<A::Job>>,
    /// When each worker has nothing to do any more.
    workers: Vec<Instant>,
    job_queue: usize,
    /// Until its end.
    stdin: Option<Token>,
    reads_stdin: bool,
    typed: VecDeque<Vec<u8>>,
    script: Vec<(Duration, Vec<u8>)>,
    streams: [(Token, Vec<u8>); 2],
    print: bool,
    backlog: usize,
    capacity: usize,
    /// Sockets there may be.
    descriptors: usize,
    limit: usize,
    listen: Vec<Addr>,
    exit: Option<u8>,
    /// How its recording ended.
    recorded: Result<(), Error>,
    peak: usize,
    last_turn: Instant,
}

impl<A: App + 'static> Node<A> {
    pub fn new(id: NodeId, app: A, config: NodeConfig, w: &mut World) -> Result<Self, Error> {
        let NodeConfig { listen, stdin, files: _, config, capacity, backlog, tty, print, descriptors, filters: _ } =
            config;
        let mut listeners = Vec::new();
        for (part, at) in &listen {
            let at = w.pick(id, at).map_err(|why| Error::Unavailable(format!("cannot listen on {at}: {why}")))?;
            listeners.push((*part, at));
        }
        let seed = config.seed.unwrap_or_else(|| w.io.seed());
        let config = Config { stdin: stdin.is_some(), seed: Some(seed), ..config };
        let facts = Facts { name: "sim", capacity, facts: Vec::new() };
        let wall = Wall { unix_ns: w.wall_ns(), utc_offset_s: 0 };
        let mut host = Host::simulated(app, &listeners, &config, facts, w.now, wall)?;
        let start = host.start_mut();
        start.tty = tty;
        let (stdin_token, streams) = (start.stdin, [(start.stdout, Vec::new()), (start.stderr, Vec::new())]);
        Ok(Node {
            id,
            host,
            ios: Slots::default(),
            news: VecDeque::new(),
            later: BTreeSet::new(),
            files: Files::new(id),
            jobs: BTreeMap::new(),
            workers: vec![Instant::default(); config.workers.max(1)],
            job_queue: config.job_queue.max(1),
            stdin: stdin_token,
            reads_stdin: stdin_token.is_some(),
            typed: VecDeque::new(),
            script: stdin.unwrap_or_default(),
            streams,
            print,
            backlog,
            capacity,
            descriptors,
            limit: config.out_buffer,
            listen: listeners.into_iter().map(|(_, at)| at).collect(),
            exit: None,
            recorded: Ok(()),
            peak: 0,
            last_turn: Instant::default(),
        })
    }

    fn tell(&mut self, input: Input<'_, A::Msg>, w: &mut World) {
        self.deliver(input, w);
        self.ops(w);
    }
    fn deliver(&mut self, input: Input<'_, A::Msg>, w: &mut World) {
        if self.exit.is_some() {
            return;
        }
        self.host.set_now(w.now);
        let what = match &input {
            Input::Bytes(t, chunk) => format!("Bytes({t:?}, {})", digest(chunk)),
            Input::Datagram { socket, from, data } => format!("Datagram({socket:?}, from {from}, {})", digest(data)),
            input => format!("{:?}", told(input)),
        };
        w.trace.add(format!("{} n{} > {what}", w.now.as_nanos(), self.id.0));
        self.host.deliver(input);
    }
    fn ops(&mut self, w: &mut World) {
        loop {
            if let Some(op) = self.host.take_op() {
                w.trace.add(format!("{} n{} < {}", w.now.as_nanos(), self.id.0, op.describe()));
                self.op(op, w);
                continue;
            }
            match self.news.pop_front() {
                Some(News::Closed(t, why)) => {
                    w.trace.add(format!("{} n{} > closed {t:?} {why:?}", w.now.as_nanos(), self.id.0));
                    self.host.set_now(w.now);
                    self.host.closed(t, why);
                }
                Some(News::Bound(socket, local)) => self.deliver(Input::Bound { socket, local }, w),
                Some(News::Answer(id, answer)) => self.deliver(Input::Answer(id, answer), w),
                Some(News::Job(id, result)) => self.deliver(Input::Job(id, result), w),
                Some(News::Post(msg)) => self.deliver(Input::Post(Shard(0), msg), w),
                Some(News::Dropped(count)) => self.deliver(Input::Trouble(Trouble::DatagramsDropped { count }), w),
                None => return,
            }
        }
    }
    /// Everybody's output, and what follows from it.
    fn settle(&mut self, w: &mut World) {
        loop {
            self.ops(w);
            if let Some(t) = self.host.table.next_dirty() {
                self.attend(t, w);
            } else if let Some(t) = self.host.writable.pop_front() {
                if self.host.table.is_live(t) {
                    self.tell(Input::Writable(t), w);
                }
            } else if let Some(t) = self.later.pop_first() {
                self.serve(t, w);
            } else if self.host.has_local_mail() && self.exit.is_none() {
                self.host.set_now(w.now);
                for mail in self.host.mail(false) {
                    w.trace.add(format!("{} n{} > trouble in the driver", w.now.as_nanos(), self.id.0));
                    self.host.open_mail(mail);
                    self.ops(w);
                }
            } else {
                break;
            }
        }
        if self.exit.is_some() {
            self.end(w);
        }
    }
    fn attend(&mut self, t: Token, w: &mut World) {
        if self.streams.iter().any(|(s, _)| *s == t) {
            return self.print(t);
        }
        self.pump(t, w);
        self.later.insert(t); // its input may have been switched on again
    }
    /// What is there to be read, after a change that may have made it wanted.
    fn serve(&mut self, t: Token, w: &mut World) {
        if self.stdin == Some(t) {
            return self.read_stdin(t, w);
        }
        match self.ios.get(t).map(|io| io.kind) {
            Some(Kind::Stream(end)) => self.drain(t, end, w),
            Some(Kind::Listener) => self.accept(t, w),
            Some(Kind::Datagram) => self.datagrams(t, w),
            Some(Kind::Connecting(_)) | None => {}
        }
    }
    fn wants(&self, t: Token) -> bool {
        self.host.table.is_wanted(t) || self.host.is_lingering(t)
    }

    fn op(&mut self, op: Op<A::Job, A::Msg>, w: &mut World) {
        if let Some((t, why)) = self.host.ends_bare(&op) {
            return self.news.push_back(News::Closed(t, why));
        }
        if self.host.is_misplaced(&op) {
            return;
        }
        match op {
            Op::Connect { conn, .. } if self.ios.len() >= self.descriptors => {
                self.news.push_back(News::Closed(conn, Reason::Descriptors));
            }
            Op::Connect { conn, to, opts } => match w.connect(self.id, conn, &to, opts.bind.as_ref()) {
                Ok(end) => {
                    self.add(conn, Kind::Connecting(end));
                    if let Some(io) = self.ios.get_mut(conn) {
                        io.linger0 = opts.linger0;
                    }
                }
                Err(why) => self.news.push_back(News::Closed(conn, why)),
            },
            Op::Listen { listener, at } => {
                let bound = w.listen(self.id, listener, &at, self.backlog);
                self.bound(listener, Kind::Listener, bound);
            }
            Op::Udp { socket, bind, to } => {
                let bound = w.udp(self.id, socket, bind.as_ref(), to.as_ref()).map(Addr::Ip);
                self.bound(socket, Kind::Datagram, bound);
            }
            // The network has connections and datagrams, no packets.
            Op::Raw { socket, .. } => self.news.push_back(News::Closed(socket, Reason::Unsupported)),
            Op::SendTo { socket, to, data } => {
                let n = data.len() as u64;
                if w.send_to(self.id, socket, to.as_ref(), data) {
                    self.host.counters.bytes_out += n;
                } else if self.ios.get(socket).is_some() {
                    self.host.counters.datagrams_dropped += 1;
                    self.news.push_back(News::Dropped(1));
                }
            }
            Op::Relay { from, to, quota } => self.host.relay(from, to, quota),
            Op::Close { conn, linger } => {
                self.host.linger(conn, linger);
                match self.ios.get(conn).map(|io| io.kind) {
                    Some(Kind::Stream(_)) => self.attend(conn, w),
                    Some(_) => self.die(conn, Reason::Finished, w),
                    None => {} // a standard stream ends with the program
                }
            }
            Op::Abort(t) => self.die(t, Reason::Aborted, w),
            Op::Ask(id, Ask::SocketInfo(t)) => {
                let rtt = w.plan.delay.base * 2;
                let known = self.ios.get(t).map(|_| Answer::SocketInfo { rtt, queued: 0 });
                self.news.push_back(News::Answer(id, known.ok_or(Reason::NotFound)));
            }
            Op::Ask(id, ask) => {
                let table = &self.host.table;
                self.files.forget(|f| table.tokens().any(|t| table.tx(t).is_some_and(|tx| tx.files().any(|g| g == f))));
                if let Some(answer) = self.files.ask(id, ask, w) {
                    self.news.push_back(News::Answer(id, answer));
                }
            }
            Op::Job { id, job, hold } => self.start_job(id, job, hold, w),
            Op::Cancel(id) => {
                if self.jobs.get(&id).is_some_and(|j| j.begins > w.now) {
                    self.jobs.remove(&id);
                    self.news.push_back(News::Job(id, Err(Lost::Cancelled)));
                } else if self.files.cancel(id) {
                    self.news.push_back(News::Answer(id, Err(Reason::Cancelled)));
                }
            }
            Op::Post { to: Shard(0), msg } => self.news.push_back(News::Post(msg)),
            Op::Post { .. } => {}     // there is no such shard
            Op::Terminal { .. } => {} // a script types keys or lines, whichever it is meant to
            Op::Exit(code) => self.exit = self.exit.or(Some(code)),
        }
    }
    fn bound(&mut self, t: Token, kind: Kind, bound: Result<Addr, Reason>) {
        match bound {
            Ok(local) => {
                self.add(t, kind);
                self.news.push_back(News::Bound(t, local));
            }
            Err(why) => self.news.push_back(News::Closed(t, why)),
        }
    }
    fn start_job(&mut self, id: OpId, job: A::Job, hold: Duration, w: &mut World) {
        let waiting = self.jobs.values().filter(|j| j.begins > w.now).count();
        let Some(free) = self.workers.iter_mut().min().filter(|_| waiting < self.job_queue) else {
            return self.news.push_back(News::Job(id, Err(Lost::Full)));
        };
        let begins = w.now.max(*free);
        let ends = begins.after(hold + w.io.time(w.plan.job));
        *free = ends;
        self.jobs.insert(id, Job { job, begins });
        w.local(ends.since(w.now), self.id, Local::Job(id));
    }

    fn local(&mut self, what: Local, w: &mut World) {
        match what {
            Local::Retry(t) => {
                if let Some(io) = self.ios.get_mut(t) {
                    io.again = false;
                    self.attend(t, w);
                }
            }
            Local::Unreachable(socket) if self.ios.get(socket).is_some() => {
                self.tell(Input::Unreachable { socket, why: Reason::PortUnreachable }, w);
            }
            Local::Unreachable(_) => {}
            Local::Disk(id) => {
                for (id, answer) in self.files.finish(id, w) {
                    self.news.push_back(News::Answer(id, answer));
                }
            }
            Local::Job(id) => {
                if let Some(Job { job, .. }) = self.jobs.remove(&id) {
                    let result = workers::perform::<A>(job, Duration::ZERO);
                    self.tell(Input::Job(id, result), w);
                }
            }
            Local::Stdin(bytes) => {
                self.typed.push_back(bytes);
                if let Some(t) = self.stdin {
                    self.read_stdin(t, w);
                }
            }
            Local::Signal(signal) => self.tell(Input::Signal(signal), w),
            Local::Jump(ns) => self.host.jump(ns),
            Local::PowerCut => {} // the simulation has seen to it
        }
    }
    fn connected(&mut self, t: Token, w: &mut World) {
        let Some(io) = self.ios.get_mut(t) else { return };
        let Kind::Connecting(end) = io.kind else { return };
        let Some(e) = w.ends.get(&end) else { return };
        io.kind = Kind::Stream(end);
        let peer = Peer { remote: e.remote.clone(), local: Some(e.local.clone()), fd: t.index() as u32 };
        self.tell(Input::Connected { conn: t, peer }, w);
        self.attend(t, w);
    }
    /// The program has ended: the kernel closes what it held.
    fn end(&mut self, w: &mut World) {
        self.streams.each_ref().map(|(t, _)| *t).into_iter().for_each(|t| self.print(t));
        let open: Vec<_> = self.ios.iter().map(|(t, _)| t).collect();
        for t in open {
            self.die(t, Reason::Finished, w);
        }
        self.news.clear();
        self.jobs.clear();
        self.files.end(w);
        self.recorded = self.host.end_recording();
    }
}

impl<A: App + 'static> AnyNode for Node<A> {
    fn start(&mut self, w: &mut World) {
        for (t, at) in self.host.listeners().into_iter().zip(std::mem::take(&mut self.listen)) {
            match w.listen(self.id, t, &at, self.backlog) {
                Ok(_) => self.add(t, Kind::Listener),
                Err(why) => self.news.push_back(News::Closed(t, why)),
            }
        }
        for (at, bytes) in std::mem::take(&mut self.script) {
            w.local(at, self.id, Local::Stdin(bytes));
        }
        w.trace.add(format!("{} n{} starts", w.now.as_nanos(), self.id.0));
        self.host.set_now(w.now);
        self.host.start();
        self.settle(w);
    }
    fn notice(&mut self, n: Notice, w: &mut World) {
        if self.exit.is_some() {
            return;
        }
        match n {
            Notice::Connected(t) => self.connected(t, w),
            Notice::Acceptable(t) | Notice::Readable(t) => self.serve(t, w),
            Notice::Room(t) => {
                if let Some(io) = self.ios.get_mut(t) {
                    io.blocked = false;
                    self.pump(t, w);
                }
            }
            Notice::Closed(t, why) => self.die(t, why, w),
            Notice::Local(what) => self.local(what, w),
        }
        self.settle(w);
    }
    fn due(&self) -> Option<Instant> {
        if self.exit.is_some() {
            return None;
        }
        if self.host.has_local_mail() {
            return Some(self.last_turn.after(TURN));
        }
        self.host.next_due().map(|at| at.max(self.last_turn.after(TURN)))
    }
    fn timers(&mut self, w: &mut World) {
        self.last_turn = w.now;
        self.host.set_now(w.now);
        while let Some(due) = self.host.due() {
            match due {
                Due::Cut(t) => self.die(t, Reason::TimedOut, w),
                Due::Accept(l) => self.accept(l, w),
            }
            self.ops(w);
        }
        if self.host.is_app_due() {
            self.tell(Input::Deadline, w);
        }
        self.settle(w);
    }
    fn output(&self, i: usize) -> &[u8] {
        self.streams.get(i).map_or(&[], |(_, out)| out)
    }
    fn exit(&self) -> Option<u8> {
        self.exit
    }
    fn peak_queued(&self) -> usize {
        self.peak
    }
    fn check_quiescent(&self, w: &World) -> Result<(), String> {
        if self.peak > self.limit + CHUNK {
            return Err(format!("{} bytes were queued for one connection, the limit is {}", self.peak, self.limit));
        }
        if self.exit.is_some() || !w.is_up(self.id) {
            return Ok(());
        }
        if let Some((t, io)) = self.ios.iter().find(|(_, io)| io.kind != Kind::Listener) {
            return Err(format!("{t:?} is not closed: {io:?}"));
        }
        if let Some(t) = self.host.table.tokens().find(|t| self.host.table.tx(*t).is_some_and(|tx| !tx.is_empty())) {
            return Err(format!("the output of {t:?} is not empty"));
        }
        let expected = 2 + usize::from(self.reads_stdin) + self.ios.len();
        match self.host.table.live() {
            n if n == expected => Ok(()),
            n => Err(format!("{n} tokens are alive, of which {expected} belong to something")),
        }
    }
    fn end_recording(&mut self) -> Result<(), Error> {
        self.host.end_recording()?;
        std::mem::replace(&mut self.recorded, Ok(()))
    }
}
