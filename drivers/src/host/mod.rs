//! What every driver shares: the app, its tokens, the order of inputs and ops, and everything that is not the network.
//!
//! Invariant: ops of one input are done before the next input is delivered.
//! Invariant: every token ends with exactly one `Closed`, every question and job with exactly one answer.
mod files;
mod letters;
mod net_op;
mod relay;
mod streams;
mod timers;

pub use letters::{Mail, Post, Sender, mailbox};
pub use net_op::NetOp;
pub use timers::Due;
use timers::Linger;

use crate::clock::{self, Clock};
use crate::config::{Config, Error};
use crate::disk::{Disk, Outcome};
use crate::record::Recorder;
use crate::workers::Workers;
use crate::{signals, stdio, terminal};
use proto_core::{
    Addr, Answer, App, Ask, Bytes, Counters, Cx, Env, Flight, Input, Instant, Listener, Lost, Op, OpId, Reason, Shard,
    Start, Table, Token, Trouble, Tty, Wall,
};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

/// How a driver presents itself to the app.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `epoll`, ...
    pub name: &'static str,
    /// Connections it can hold.
    pub capacity: usize,
    /// What else it says.
    pub facts: Vec<(String, String)>,
}

/// One loop's place among its sisters.
pub struct Place<M> {
    /// Which one.
    pub shard: Shard,
    /// All of them, this one included.
    pub all: Vec<Sender<M>>,
}

/// Size of the storage that input is received into.
pub const CHUNK: usize = 64 << 10;
/// How old the time of day may get before it is compared with the clock again.
const WALL_AGE: Duration = Duration::from_secs(60);

/// The part of a loop that is the same for all drivers.
pub struct Host<A: App> {
    /// The program.
    pub app: A,
    /// Its outputs.
    pub table: Table,
    /// The time of the last input.
    pub now: Instant,
    /// What the driver counts; apps see it through [`Cx::counters`].
    pub counters: Counters,
    /// Tokens that have room again and were not told yet. A driver tells those it finds, and leaves what comes of that
    /// for its next turn: an app that puts more each time must not keep it from the others.
    pub writable: VecDeque<Token>,
    pub(crate) clock: Clock,
    ops: VecDeque<Op<A::Job, A::Msg>>,
    env: Env,
    exit: Option<u8>,
    place: Place<A::Msg>,
    local: VecDeque<Mail<A::Msg>>,
    workers: Workers<A>,
    disk: Disk<Sender<A::Msg>>,
    leaving: files::Leaving,
    outputs: [stdio::Output; 2],
    input: Option<stdio::Input>,
    /// Kept for its end: the signals are watched as long as the host lives.
    signals: Option<signals::Watch>,
    /// Kept for its end, too.
    raw: Option<terminal::Raw>,
    lingers: BTreeMap<Token, Linger>,
    pauses: BTreeMap<Token, Instant>,
    relays: relay::Relays,
    recorder: Option<Recorder>,
    /// The recording has ended early, and the app was not told yet.
    unsaid: Option<Error>,
    /// What the app sees besides its inputs comes from a recording.
    replayed: bool,
    start: Start,
}

impl<A: App + 'static> Host<A> {
    /// A host on the real world. `listeners` are the part and address of each that is bound.
    pub fn new(
        app: A,
        listeners: &[(u8, Addr)],
        config: &Config,
        facts: Facts,
        place: Place<A::Msg>,
    ) -> Result<Self, Error> {
        let mut table = Table::new(CHUNK, config.out_buffer);
        let first = place.shard == Shard(0);
        let mut start = start(&mut table, listeners, config.stdin && first, facts);
        start.seed = match config.seed {
            Some(seed) => seed,
            None => os_seed()?,
        };
        (start.shard, start.shards) = (place.shard, place.all.len() as u16);
        (start.now, start.wall, start.tty) = (Clock::Real.now(), clock::wall(), tty());
        let mut host = Host::build(app, table, start, config, place, Clock::Real)?;
        let me = host.bell();
        if first {
            host.signals = Some(signals::watch(me.clone()).map_err(Error::system("watch signals"))?);
        }
        host.name_terminal();
        host.input = host.start.stdin.map(|t| stdio::Input::start(t, me));
        Ok(host)
    }
    /// A host whose clock is set by hand ([`Host::set_now`]) and that touches nothing: for simulators and replays, which
    /// take every op with [`Host::take_op`].
    pub fn simulated(
        app: A,
        listeners: &[(u8, Addr)],
        config: &Config,
        facts: Facts,
        now: Instant,
        wall: Wall,
    ) -> Result<Self, Error> {
        let mut table = Table::new(CHUNK, config.out_buffer);
        let mut start = start(&mut table, listeners, config.stdin, facts);
        (start.seed, start.now, start.wall) = (config.seed.unwrap_or_default(), now, wall);
        let place = Place { shard: Shard(0), all: vec![mailbox()?] };
        Host::build(app, table, start, config, place, Clock::Virtual(now))
    }
    fn build(
        app: A,
        table: Table,
        start: Start,
        config: &Config,
        place: Place<A::Msg>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let recorder = match &config.record {
            Some(path) => Some(Recorder::create(path, place.shard, &config.command, config.out_buffer)?),
            None => None,
        };
        let me = place.all.get(usize::from(place.shard.0)).cloned();
        let me = me.ok_or_else(|| Error::Unavailable("a shard without a mailbox".into()))?;
        Ok(Host {
            app,
            now: start.now,
            counters: Counters::default(),
            writable: VecDeque::new(),
            clock,
            ops: VecDeque::new(),
            env: Env::new(start.seed, start.wall, start.now),
            exit: None,
            place,
            local: VecDeque::new(),
            workers: Workers::new(config.workers, config.job_queue, me.clone()),
            disk: Disk::new(me),
            leaving: files::Leaving::default(),
            outputs: [stdio::Output::stdout(start.stdout), stdio::Output::stderr(start.stderr)],
            input: None,
            signals: None,
            raw: None,
            lingers: BTreeMap::new(),
            pauses: BTreeMap::new(),
            relays: relay::Relays::new(config.splice),
            recorder,
            unsaid: None,
            replayed: false,
            table,
            start,
        })
    }
    /// Sets the clock of a simulated host; it never goes back.
    pub fn set_now(&mut self, now: Instant) {
        self.clock = Clock::Virtual(now);
    }
    /// The facts the app starts with, to be changed before [`Host::start`].
    pub fn start_mut(&mut self) -> &mut Start {
        &mut self.start
    }
    /// The tokens of the listeners, in the order they were given.
    pub fn listeners(&self) -> Vec<Token> {
        self.start.listeners.iter().map(|l| l.token).collect()
    }
    /// Where mail for this loop goes.
    pub fn bell(&self) -> Sender<A::Msg> {
        let own = self.place.all.get(usize::from(self.place.shard.0));
        own.cloned().unwrap_or_else(|| unreachable!("checked by new"))
    }
    /// Sets what the app of a replay sees besides its inputs; from now on nothing else does.
    pub fn set_facts(&mut self, wall: Wall, wall_at: Instant, counters: Counters) {
        self.replayed = true;
        (self.env.wall, self.env.wall_at, self.env.counters) = (wall, wall_at, counters);
    }
    /// The time of day of a simulated host jumps by `ns`.
    pub fn jump(&mut self, ns: i64) {
        self.env.wall.unix_ns = self.env.wall.unix_ns.saturating_add(ns);
    }
    /// Delivers the first input.
    pub fn start(&mut self) {
        let start = self.start.clone();
        if let Some(r) = &mut self.recorder {
            r.begin(&start);
        }
        self.deliver(Input::Start(&start));
    }

    /// Hands an input to the app.
    #[inline]
    pub fn deliver(&mut self, input: Input<'_, A::Msg>) {
        if self.exit.is_some() {
            return; // nothing is heard after Exit
        }
        debug_assert!(self.ops.is_empty(), "ops of the last input were not done");
        self.now = self.now.max(self.clock.now());
        self.counters.inputs += 1;
        match &input {
            Input::Bytes(t, chunk) => {
                debug_assert!(self.table.is_wanted(*t), "{t:?} is paused");
                self.counters.bytes_in += chunk.len() as u64;
                self.table.received(*t, chunk.len(), self.now);
            }
            Input::Writable(_) | Input::Datagram { .. } => {}
            _ => self.refresh(),
        }
        if let Some(r) = &mut self.recorder {
            r.input(self.now, &input);
        }
        let Some(input) = self.relayed(input) else { return };
        let mut cx = Cx::new(self.now, &mut self.table, &mut self.ops, &mut self.env);
        self.app.handle(input, &mut cx);
        if self.recorder.as_ref().is_some_and(Recorder::has_ended) {
            self.lose_recording();
        }
    }
    /// The recording has ended early: the app is told, once, and the service goes on without.
    #[cold]
    fn lose_recording(&mut self) {
        let Some(recorder) = self.recorder.take() else { return };
        let path = recorder.path().display().to_string();
        if let Some(why) = recorder.why_ended() {
            self.unsaid = Some(Error::Recording { path, why });
            self.local.push_back(Mail::Trouble(Trouble::RecordingEnded { why }));
        }
    }
    /// Lets the app see new counters and, now and then, a new time of day.
    fn refresh(&mut self) {
        if self.replayed {
            return;
        }
        self.env.counters = self.counters;
        if self.now.since(self.env.wall_at) > WALL_AGE && matches!(self.clock, Clock::Real) {
            (self.env.wall, self.env.wall_at) = (clock::wall(), self.now);
        }
        if let Some(r) = &mut self.recorder {
            r.facts(self.env.wall, self.env.wall_at, &self.env.counters);
        }
    }
    /// Delivers `Closed` and retires the token.
    pub fn closed(&mut self, t: Token, why: Reason) {
        self.say_closed(t, why);
        self.retire(t);
    }
    /// Delivers `Closed`; a driver that still has the kernel working on the token's output retires it later.
    pub fn say_closed(&mut self, t: Token, why: Reason) {
        self.lingers.remove(&t);
        self.pauses.remove(&t);
        self.end_relays(t);
        self.deliver(Input::Closed(t, why));
    }
    /// The token's slot is free.
    pub fn retire(&mut self, t: Token) {
        if let Some(r) = &mut self.recorder {
            r.retired(t, &self.table);
        }
        self.table.close(t);
        self.sent_some(t);
    }
    /// A new connection's token.
    pub fn open(&mut self, listener: Token) -> Token {
        let t = self.table.open(listener.part());
        if let Some(r) = &mut self.recorder {
            r.opened(t);
        }
        t
    }

    /// The next op that the driver must do; what the host can do is done on the way.
    #[inline]
    pub fn next_op(&mut self) -> Option<NetOp> {
        loop {
            let op = self.take_op()?;
            if let Some((t, why)) = self.ends_bare(&op) {
                self.local.push_back(Mail::Ended(t, why));
            } else if let Some(op) = self.real(op) {
                return Some(op);
            }
        }
    }
    /// The next op as the app gave it, for a driver that does everything itself.
    #[inline]
    pub fn take_op(&mut self) -> Option<Op<A::Job, A::Msg>> {
        let op = self.ops.pop_front()?;
        if let Some(r) = &mut self.recorder {
            r.op(&op);
        }
        Some(op)
    }
    /// The op ends a token that has no socket: its `Closed` is all there is to do.
    pub fn ends_bare(&mut self, op: &Op<A::Job, A::Msg>) -> Option<(Token, Reason)> {
        let (t, why) = match *op {
            Op::Close { conn, .. } => (conn, Reason::Finished),
            Op::Abort(t) => (t, Reason::Aborted),
            _ => return None,
        };
        self.table.engage(t).then_some((t, why))
    }
    /// The op wants a socket for a token that is gone, or has one.
    pub fn is_misplaced(&mut self, op: &Op<A::Job, A::Msg>) -> bool {
        match *op {
            Op::Connect { conn: t, .. }
            | Op::Listen { listener: t, .. }
            | Op::Udp { socket: t, .. }
            | Op::Raw { socket: t, .. } => !self.table.engage(t),
            _ => false,
        }
    }
    #[cold]
    fn real(&mut self, op: Op<A::Job, A::Msg>) -> Option<NetOp> {
        if self.is_misplaced(&op) {
            return None;
        }
        match op {
            Op::Connect { conn, to, opts } => return Some(NetOp::Connect(conn, to, opts)),
            Op::Listen { listener, at } => return Some(NetOp::Listen(listener, at)),
            Op::Udp { socket, bind, to } => return Some(NetOp::Udp(socket, bind, to)),
            Op::Raw { socket, at, protocol } => return Some(NetOp::Raw(socket, at, protocol)),
            Op::SendTo { socket, to, data } => return Some(NetOp::SendTo(socket, to, data)),
            Op::Abort(t) => return Some(NetOp::Abort(t)),
            Op::Close { conn, linger } => {
                self.linger(conn, linger);
                return Some(NetOp::Close(conn));
            }
            Op::Ask(id, Ask::SocketInfo(t)) => return Some(NetOp::Info(id, t)),
            Op::Ask(id, ask) => {
                if let Some(done) = self.ask_disk(id, ask) {
                    self.local.push_back(Mail::Disk(Outcome::known(id, done)));
                }
            }
            Op::Job { id, job, hold } => {
                if let Some(result) = self.workers.start(id, job, hold) {
                    self.local.push_back(Mail::Job(id, result));
                }
            }
            Op::Cancel(id) => {
                if self.workers.cancel(id) {
                    self.local.push_back(Mail::Job(id, Err(Lost::Cancelled)));
                } else if self.disk.cancel(id) {
                    self.local.push_back(Mail::Disk(Outcome::known(id, Err(Reason::Cancelled))));
                }
            }
            Op::Post { to, msg } => {
                if let Some(sister) = self.place.all.get(usize::from(to.0)) {
                    sister.send(Mail::Post(self.place.shard, msg));
                }
            }
            Op::Relay { from, to, quota } => self.relay(from, to, quota),
            Op::Terminal { raw } => self.terminal(raw),
            Op::Exit(code) => self.exit = self.exit.or(Some(code)),
        }
        None
    }
    /// The exit code, once the app has asked to end.
    #[inline]
    pub fn exit(&self) -> Option<u8> {
        self.exit
    }
    /// The driver's answer to a question.
    pub fn answer(&mut self, id: OpId, done: Result<Answer, Reason>) {
        self.local.push_back(Mail::Disk(Outcome::known(id, done)));
    }
    /// Ends the recording in order. An error if it is not whole and the app has not heard of it.
    pub fn end_recording(&mut self) -> Result<(), Error> {
        if let Some(r) = self.recorder.take() {
            let path = r.path().display().to_string();
            r.finish(&self.table).map_err(|why| Error::Recording { path, why })?;
        }
        self.unsaid.take().map_or(Ok(()), Err)
    }

    /// The kernel took `n` bytes of a token's `chunks`, or of the file range at its front.
    #[inline]
    pub fn consumed(&mut self, t: Token, n: usize) {
        self.record_sent(t, n);
        self.counters.bytes_out += n as u64;
        if self.table.consume(t, n, self.now) {
            self.writable.push_back(t);
        }
        self.sent_some(t);
    }
    /// A token's flight is over, of which the kernel took `n` bytes.
    #[inline]
    pub fn landed(&mut self, t: Token, n: usize, flight: &mut Flight) {
        if let Some(r) = &mut self.recorder {
            r.sent_bytes(t, flight.chunks(), n);
        }
        self.counters.bytes_out += n as u64;
        if self.table.land(t, n, flight, self.now) {
            self.writable.push_back(t);
        }
        self.sent_some(t);
    }
    #[inline]
    fn record_sent(&mut self, t: Token, n: usize) {
        if let (Some(r), Some(tx)) = (&mut self.recorder, self.table.tx(t)) {
            r.sent(t, tx, n);
        }
    }

    /// An open file, to send from.
    pub fn file(&self, id: proto_core::FileId) -> Option<&Arc<File>> {
        self.disk.file(id)
    }
    /// Replaces the file range at the front of an output by bytes read from it; false if the file is shorter.
    pub fn supply(&mut self, t: Token, bytes: Bytes) -> bool {
        match self.table.tx_mut(t) {
            Some(tx) if !bytes.is_empty() => tx.supply(bytes),
            _ => return false,
        }
        self.sent_some(t);
        true
    }
}

fn start(table: &mut Table, listeners: &[(u8, Addr)], stdin: bool, facts: Facts) -> Start {
    let (stdout, stderr) = (table.open(0), table.open(0));
    let stdin = stdin.then(|| table.open(0));
    let listeners = listeners.iter().map(|(part, at)| Listener { token: table.open(*part), at: at.clone() }).collect();
    Start {
        listeners,
        stdin,
        stdout,
        stderr,
        tty: Tty::default(),
        seed: [0; 32],
        shard: Shard(0),
        shards: 1,
        capacity: facts.capacity,
        driver: facts.name.into(),
        facts: facts.facts,
        now: Instant::default(),
        wall: Wall::default(),
    }
}

fn tty() -> Tty {
    let (columns, rows) = signals::terminal_size();
    Tty { stdin: std::io::stdin().is_terminal(), stdout: std::io::stdout().is_terminal(), columns, rows }
}

fn os_seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    random(&mut seed)?;
    Ok(seed)
}

/// Fills at most 256 bytes with what nobody can guess.
pub fn random(bytes: &mut [u8]) -> Result<(), Error> {
    let n = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Error::system("getrandom")(e.into()))?;
    debug_assert_eq!(n, bytes.len());
    Ok(())
}
