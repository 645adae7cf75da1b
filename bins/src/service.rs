//! The life of a server, as a part: banner, log, limits on clients, signals, draining, statistics, control socket.
use crate::cli::{Cidr, ServerArgs};
use crate::outcome::Code;
use crate::stats::{Stats, Totals};
use crate::text::Clock;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use proto_core::{
    Addr, Cx, Deadline, Input, Instant, Op, Peer, Reason, Shard, Signal, Slots, Start, Timers, Token, Trouble,
};
use std::collections::BTreeMap;

/// The part byte of the control socket and its connections.
pub const CONTROL: u8 = 250;
/// How long a refused client may take to read why.
const REFUSAL: Duration = Duration::from_secs(2);

/// What shards tell each other.
#[derive(Clone, Copy, Debug)]
pub enum Note {
    /// Stop accepting and drain.
    Drain,
    /// Stop now.
    Stop,
    /// Send your totals.
    Ask,
    /// My totals.
    Totals(Totals),
}

/// Context of a server app: no jobs of its own, notes between shards.
pub type ServerCx<'a, J> = Cx<'a, J, Note>;

/// Why a client is turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its address is not allowed.
    Address,
    /// There are as many clients as there may be.
    Full(u32),
    /// Its address has as many connections as it may have.
    PerAddress(u32),
}

/// What the app is to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// Go on.
    On,
    /// Tell the clients and finish their connections; no new ones come.
    Drain,
}

#[derive(Debug)]
struct Client {
    ip: Option<IpAddr>,
    seen: u64,
}

/// A server's limits and settings, from its flags.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    max: u32,
    per_ip: Option<u32>,
    /// Clients over the limit wait in the backlog instead of being refused.
    pub queue: bool,
    idle: Option<Duration>,
    drain: Duration,
    allow: Vec<Cidr>,
    deny: Vec<Cidr>,
    stats: Option<Duration>,
    quiet: bool,
    /// Print more.
    pub verbose: bool,
    /// Times in UTC.
    pub utc: bool,
    ring: bool,
}

impl Settings {
    /// `default_max`: clients at once without `--max-conns`; `None` is what the driver can hold.
    pub fn new(args: &ServerArgs, default_max: Option<u32>) -> Self {
        Settings {
            max: args.max_conns.or(default_max).unwrap_or(0),
            per_ip: args.max_conns_per_ip,
            queue: false,
            idle: args.idle_timeout,
            drain: args.drain,
            allow: args.allow_from.clone(),
            deny: args.deny_from.clone(),
            stats: args.stats.map(|s| if s.is_zero() { Duration::from_secs(1) } else { s }),
            quiet: args.quiet,
            verbose: args.verbose,
            utc: args.utc,
            ring: false,
        }
    }
}

/// The part.
#[derive(Debug)]
pub struct Service {
    /// Settings; `max` is known after the start.
    pub settings: Settings,
    stdout: Option<Token>,
    stderr: Option<Token>,
    listeners: Vec<Token>,
    clients: Slots<Client>,
    by_ip: BTreeMap<IpAddr, u32>,
    idle: Timers<Token>,
    stopping: Option<Deadline>,
    stats: Stats,
    driver: String,
    shard: Shard,
    shards: u16,
    last_complaint: Option<Instant>,
    complaints: u64,
}

impl Service {
    /// With the given settings.
    pub fn new(settings: Settings) -> Self {
        Service {
            stats: Stats::new(settings.stats),
            settings,
            stdout: None,
            stderr: None,
            listeners: Vec::new(),
            clients: Slots::default(),
            by_ip: BTreeMap::new(),
            idle: Timers::default(),
            stopping: None,
            driver: String::new(),
            shard: Shard(0),
            shards: 1,
            last_complaint: None,
            complaints: 0,
        }
    }
    /// Takes the facts; the first shard prints the banner.
    pub fn start<J>(&mut self, start: &Start, banner: &str, cx: &mut ServerCx<'_, J>) {
        (self.stdout, self.stderr) = (Some(start.stdout), Some(start.stderr));
        self.listeners = start.listeners.iter().map(|l| l.token).filter(|t| t.part() != CONTROL).collect();
        let holds = u32::try_from(start.capacity).unwrap_or(u32::MAX);
        self.settings.max = if self.settings.max == 0 { holds } else { self.settings.max.min(holds) };
        self.settings.ring = start.driver == "io_uring";
        self.driver = start.driver.clone();
        (self.shard, self.shards) = (start.shard, start.shards);
        self.stats.start(cx.now, start.shards, self.settings.ring);
        if start.shard == Shard(0) {
            self.print(cx, format_args!("{banner}"));
            for (_, note) in start.facts.iter().filter(|(name, _)| name == "note") {
                self.warn(cx, format_args!("{}: {note}", start.driver));
            }
        }
    }
    /// One line of data on standard output, always.
    pub fn print<J>(&self, cx: &mut ServerCx<'_, J>, line: fmt::Arguments<'_>) {
        write_line(self.stdout, cx, line);
    }
    /// One event line, unless `--quiet`.
    pub fn log<J>(&self, cx: &mut ServerCx<'_, J>, line: fmt::Arguments<'_>) {
        if !self.settings.quiet {
            write_line(self.stdout, cx, line);
        }
    }
    /// Events are printed.
    pub fn logs(&self) -> bool {
        !self.settings.quiet && self.stdout.is_some()
    }
    /// One event line that begins with the time.
    pub fn log_at<J>(&self, cx: &mut ServerCx<'_, J>, line: fmt::Arguments<'_>) {
        let clock = Clock { wall: cx.wall(), utc: self.settings.utc };
        self.log(cx, format_args!("{clock} {line}"));
    }
    /// A warning on standard error.
    pub fn warn<J>(&self, cx: &mut ServerCx<'_, J>, line: fmt::Arguments<'_>) {
        write_line(self.stderr, cx, line);
    }
    /// Clients now.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }
    /// It was admitted and is not gone.
    pub fn is_client(&self, t: Token) -> bool {
        self.clients.get(t).is_some()
    }
    /// The driver's name.
    pub fn driver(&self) -> &str {
        &self.driver
    }
    /// All clients.
    pub fn tokens(&self) -> Vec<Token> {
        self.clients.iter().map(|(t, _)| t).collect()
    }
    /// It is stopping: no new clients, the old ones are finishing.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Decides on a new client. A refused one is the app's to send away, with [`Service::turn_away`].
    pub fn admit<J>(&mut self, conn: Token, peer: &Peer, cx: &mut ServerCx<'_, J>) -> Result<(), Refusal> {
        let ip = match &peer.remote {
            Addr::Ip(a) => Some(a.ip().to_canonical()),
            Addr::Unix(_) => None,
        };
        let s = &self.settings;
        if let Some(ip) = ip {
            let within = |blocks: &[Cidr]| blocks.iter().any(|b| b.contains(ip));
            if within(&s.deny) || !s.allow.is_empty() && !within(&s.allow) {
                return Err(Refusal::Address);
            }
            let count = self.by_ip.get(&ip).copied().unwrap_or(0);
            if let Some(limit) = s.per_ip.filter(|limit| count >= *limit) {
                return Err(Refusal::PerAddress(limit));
            }
        }
        if self.clients.len() >= s.max as usize {
            return Err(Refusal::Full(s.max));
        }
        if let Some(ip) = ip {
            *self.by_ip.entry(ip).or_default() += 1;
        }
        self.clients.insert(conn, Client { ip, seen: 0 });
        if let Some(limit) = self.settings.idle {
            self.idle.arm(conn, cx.now.after(limit));
        }
        self.hold_listeners(cx);
        Ok(())
    }
    /// Sends a refused client away, with a text if the protocol has one.
    pub fn turn_away<J>(&mut self, conn: Token, text: &str, cx: &mut ServerCx<'_, J>) {
        if let Some(tx) = cx.tx(conn) {
            tx.put(text.as_bytes());
        }
        cx.close(conn, REFUSAL);
    }
    fn hold_listeners<J>(&self, cx: &mut ServerCx<'_, J>) {
        let full = self.settings.queue && self.clients.len() >= self.settings.max as usize;
        for &l in &self.listeners {
            cx.accept(l, !full && self.stopping.is_none());
        }
    }
    /// A client is gone. True if it was one (and not a refused connection).
    pub fn closed<J>(&mut self, conn: Token, cx: &mut ServerCx<'_, J>) -> bool {
        let Some(client) = self.clients.remove(conn) else { return false };
        self.idle.disarm(conn);
        if let Some(ip) = client.ip
            && let Some(n) = self.by_ip.get_mut(&ip)
        {
            *n -= 1;
            if *n == 0 {
                self.by_ip.remove(&ip);
            }
        }
        if self.stopping.is_some() {
            self.exit_if_drained(cx);
        } else {
            self.hold_listeners(cx);
        }
        true
    }
    fn exit_if_drained<J>(&self, cx: &mut ServerCx<'_, J>) {
        if self.clients.is_empty() {
            self.say_goodbye(cx);
        }
    }
    fn say_goodbye<J>(&self, cx: &mut ServerCx<'_, J>) {
        if self.settings.ring && self.shard == Shard(0) {
            for line in self.stats.ring_lines(&self.totals(cx)) {
                self.print(cx, format_args!("{line}"));
            }
        }
        cx.exit(Code::Ok as u8);
    }
    fn totals<J>(&self, cx: &ServerCx<'_, J>) -> Totals {
        Totals { active: self.clients.len() as u64, counters: *cx.counters() }
    }

    /// Takes what concerns the life of the server. `Life::Drain`: the app finishes its connections now.
    pub fn handle<J>(&mut self, input: &Input<'_, Note>, cx: &mut ServerCx<'_, J>) -> Life {
        match input {
            Input::Signal(Signal::Interrupt | Signal::Terminate) => {
                let again = self.stopping.is_some();
                self.tell(if again { Note::Stop } else { Note::Drain }, cx);
                self.stop(again, cx)
            }
            Input::Signal(Signal::Report) => {
                let totals = self.totals(cx);
                for line in self.stats.lines(&totals, cx.now) {
                    self.warn(cx, format_args!("{line}"));
                }
                Life::On
            }
            Input::Post(_, Note::Drain) => self.stop(false, cx),
            Input::Post(_, Note::Stop) => self.stop(true, cx),
            Input::Post(from, Note::Ask) => {
                let totals = self.totals(cx);
                cx.op(Op::Post { to: *from, msg: Note::Totals(totals) });
                Life::On
            }
            Input::Post(from, Note::Totals(totals)) => {
                self.stats.heard(*from, *totals);
                Life::On
            }
            Input::Accepted { conn, .. } if conn.part() == CONTROL => {
                let totals = self.totals(cx);
                self.stats.asked(*conn, &totals, cx.now);
                self.tell(Note::Ask, cx);
                Life::On
            }
            Input::Eof(t) if t.part() == CONTROL => Life::On,
            Input::Closed(t, _) if t.part() == CONTROL => {
                self.stats.gone(*t);
                Life::On
            }
            Input::Closed(t, Reason::BrokenPipe) if Some(*t) == self.stdout => {
                self.stdout = None; // nobody reads the log: go on without
                Life::On
            }
            Input::Trouble(trouble) => {
                self.complain(*trouble, cx);
                Life::On
            }
            Input::Deadline => self.due(cx),
            _ => Life::On,
        }
    }
    fn tell<J>(&self, note: Note, cx: &mut ServerCx<'_, J>) {
        for to in (0..self.shards).map(Shard).filter(|to| *to != self.shard && self.shard == Shard(0)) {
            cx.op(Op::Post { to, msg: note });
        }
    }
    fn stop<J>(&mut self, now: bool, cx: &mut ServerCx<'_, J>) -> Life {
        if now {
            self.say_goodbye(cx);
            return Life::On;
        }
        self.stopping = Some(Deadline::new(cx.now, self.settings.drain, "clients to finish"));
        for l in std::mem::take(&mut self.listeners) {
            cx.close(l, Duration::ZERO);
        }
        self.exit_if_drained(cx);
        Life::Drain
    }
    /// At most one line a second, with the count of what it stands for.
    fn complain<J>(&mut self, trouble: Trouble, cx: &mut ServerCx<'_, J>) {
        self.complaints += 1;
        if self.last_complaint.is_some_and(|at| cx.now.since(at) < Duration::from_secs(1)) {
            return;
        }
        let n = std::mem::take(&mut self.complaints);
        self.last_complaint = Some(cx.now);
        match trouble {
            Trouble::AcceptPaused { why, .. } => {
                self.warn(cx, format_args!("accepting paused for 100 ms: {why} ({n} times; raise ulimit -n)"));
            }
            Trouble::DatagramsDropped { count } => self.warn(cx, format_args!("{count} datagrams dropped")),
            Trouble::RecordingEnded { why } => self.warn(cx, format_args!("the recording has ended early: {why}")),
        }
    }

    /// When it wants `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        let idle = self.idle.next().map(|(at, _)| Deadline { at, since: at, why: "idle client" });
        Deadline::earliest(Deadline::earliest(idle, self.stopping), self.stats.deadline())
    }
    fn due<J>(&mut self, cx: &mut ServerCx<'_, J>) -> Life {
        if self.stopping.is_some_and(|d| d.at <= cx.now) {
            self.say_goodbye(cx);
        }
        let totals = self.totals(cx);
        let report = self.stats.due(&totals, cx.now);
        for line in report.lines {
            self.print(cx, format_args!("{line}"));
        }
        for (conn, answer) in report.answers {
            if let Some(tx) = cx.tx(conn) {
                tx.put(answer.as_bytes());
            }
            cx.close(conn, REFUSAL);
        }
        if report.ask {
            self.tell(Note::Ask, cx);
        }
        Life::On
    }
    /// A client on which nothing has moved for the idle timeout, and that timeout. The app ends it.
    pub fn next_idle<J>(&mut self, cx: &ServerCx<'_, J>) -> Option<(Token, Duration)> {
        let limit = self.settings.idle?;
        while let Some(t) = self.idle.pop(cx.now) {
            let Some(client) = self.clients.get_mut(t) else { continue };
            let last = cx.stat(t).last.max(Instant::from_nanos(client.seen));
            if client.seen == 0 && last == Instant::default() || last.after(limit) <= cx.now {
                return Some((t, limit));
            }
            client.seen = last.as_nanos();
            self.idle.arm(t, last.after(limit));
        }
        None
    }
}

/// Appends a line to an output stream. A stream that nobody reads loses lines, it never holds the server up.
fn write_line<J>(to: Option<Token>, cx: &mut ServerCx<'_, J>, line: fmt::Arguments<'_>) {
    let Some(tx) = to.and_then(|t| cx.tx(t)) else { return };
    if tx.room() > 0 {
        tx.put(format!("{line}\n").as_bytes());
    }
}
