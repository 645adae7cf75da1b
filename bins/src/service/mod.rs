//! The life of a server, as a part: banner, log, limits on clients, signals, draining, statistics, control socket.
use crate::log::Format;
use crate::outcome::Code;
use crate::stats::{Look, Stats, Totals};
use crate::text::Clock;
use crate::tls::Reload;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use proto_core::{
    Bytes, Cx, Deadline, Input, Instant, Op, Reason, Shard, Signal, Slots, Start, Timers, Token, Trouble,
};
use std::collections::BTreeMap;

mod control;
mod guard;
mod guests;
pub mod metrics;
mod settings;
mod waiting;

pub use control::CONTROL;
use control::Control;
pub use guard::days_left;
use guests::Client;
pub use guests::Refusal;
pub use metrics::METRICS;
use metrics::{Known, Metrics};
pub use settings::Settings;
use waiting::Waiting;

/// What shards tell each other.
#[derive(Clone, Debug)]
pub enum Note {
    /// Stop accepting and drain.
    Drain,
    /// Stop now.
    Stop,
    /// Send your totals.
    Ask,
    /// My totals.
    Totals(Totals),
    /// Read your files again.
    Reload,
    /// Of an app that has jobs: what one of them made.
    Made(Bytes),
}

/// Context of a server app: notes between shards.
pub type ServerCx<'a, J> = Cx<'a, J, Note>;

/// What the app is to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// Go on.
    On,
    /// Tell the clients and finish their connections; no new ones come.
    Drain,
    /// Certificates and revocation lists were read anew: what was allowed may not be any more.
    Reloaded,
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
    control: Control,
    metrics: Metrics,
    refused: u64,
    waiting: Waiting,
    reload: Reload,
    full_of_driver: bool,
    /// The app has something to finish when all clients are gone.
    held: bool,
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
            control: Control::default(),
            metrics: Metrics::default(),
            refused: 0,
            waiting: Waiting::default(),
            reload: Reload::default(),
            full_of_driver: false,
            held: false,
        }
    }
    /// Takes the facts; the first shard prints the banner.
    pub fn start<J>(&mut self, start: &Start, banner: &str, cx: &mut ServerCx<'_, J>) {
        (self.stdout, self.stderr) = (Some(start.stdout), Some(start.stderr));
        self.listeners = start.listeners.iter().map(|l| l.token).filter(|t| !is_own(*t)).collect();
        let holds = u32::try_from(start.capacity).unwrap_or(u32::MAX);
        self.full_of_driver = self.settings.max == 0 || holds < self.settings.max;
        self.settings.max = if self.settings.max == 0 { holds } else { self.settings.max.min(holds) };
        self.settings.ring = start.driver == "io_uring";
        self.driver = start.driver.clone();
        (self.shard, self.shards) = (start.shard, start.shards);
        let s = &self.settings;
        self.stats.start(cx.now, start.shards, Look { ring: s.ring, json: s.json, verbose: s.verbose });
        if start.shard != Shard(0) {
            // The first loop alone knows the numbers of all.
            let own = start.listeners.iter().filter(|l| is_own(l.token));
            own.for_each(|l| cx.close(l.token, Duration::ZERO));
        } else {
            self.print(cx, format_args!("{banner}"));
            for (_, note) in start.facts.iter().filter(|(name, _)| name == "note") {
                self.warn(cx, format_args!("{}: {note}", start.driver));
            }
        }
    }
    /// One line of data on standard output, always.
    pub fn print<J>(&self, cx: &mut ServerCx<'_, J>, line: fmt::Arguments<'_>) {
        let format = if self.settings.raw { Format::Text } else { self.settings.format };
        write_line(self.stdout, cx, format.line(cx.wall(), line));
    }
    /// A line of a format of the app's own on standard output.
    pub fn print_raw<J>(&self, cx: &mut ServerCx<'_, J>, line: String) {
        write_line(self.stdout, cx, line);
    }
    /// One event line, unless `--quiet`.
    pub fn log<J>(&self, cx: &mut ServerCx<'_, J>, line: fmt::Arguments<'_>) {
        if self.logs() {
            self.print(cx, line);
        }
    }
    /// Events are printed.
    pub fn logs(&self) -> bool {
        !self.settings.quiet && !self.settings.raw && self.stdout.is_some()
    }
    /// One event line that begins with the time.
    pub fn log_at<J>(&self, cx: &mut ServerCx<'_, J>, line: fmt::Arguments<'_>) {
        if self.settings.format != Format::Text {
            return self.log(cx, line); // it has a time of its own
        }
        let clock = Clock { wall: cx.wall(), utc: self.settings.utc };
        self.log(cx, format_args!("{clock} {line}"));
    }
    /// A warning on standard error.
    pub fn warn<J>(&self, cx: &mut ServerCx<'_, J>, line: fmt::Arguments<'_>) {
        write_line(self.stderr, cx, line.to_string());
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
    /// It is the driver that cannot hold more clients, not a limit that was set.
    pub fn is_full_of_driver(&self) -> bool {
        self.full_of_driver
    }
    /// All clients.
    pub fn tokens(&self) -> Vec<Token> {
        self.clients.iter().map(|(t, _)| t).collect()
    }
    /// It is stopping: no new clients, the old ones are finishing.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Lines that come over the control socket are the app's, but for `stats`.
    pub fn take_orders(&mut self) {
        self.control.takes_orders = true;
    }
    /// The next of them, and who sent it.
    pub fn next_order(&mut self) -> Option<(Token, String)> {
        self.control.next_order()
    }
    /// The answer to an order, without the line end.
    pub fn answer_order<J>(&mut self, t: Token, text: &str, cx: &mut ServerCx<'_, J>) {
        self.control.answer(t, &format!("{text}\n"), cx);
        self.control.settle(cx);
    }
    /// The app has something to finish when all clients are gone, and tells when it has: with [`Service::let_go`].
    pub fn hold(&mut self) {
        self.held = true;
    }
    /// It has finished.
    pub fn let_go<J>(&mut self, cx: &mut ServerCx<'_, J>) {
        self.held = false;
        if self.is_stopping() {
            self.exit_if_drained(cx);
        }
    }
    fn exit_if_drained<J>(&self, cx: &mut ServerCx<'_, J>) {
        if self.clients.is_empty() && !self.held {
            self.say_goodbye(cx);
        }
    }
    fn say_goodbye<J>(&self, cx: &mut ServerCx<'_, J>) {
        if self.settings.ring && !self.settings.raw && self.shard == Shard(0) {
            for line in self.stats.ring_lines(&self.totals(cx)) {
                self.print(cx, format_args!("{line}"));
            }
        }
        cx.exit(Code::Ok as u8);
    }
    fn totals<J>(&self, cx: &ServerCx<'_, J>) -> Totals {
        Totals { active: self.clients.len() as u64, refused: self.refused, counters: *cx.counters() }
    }

    /// The answer to `input` may show what [`Service::tell_more`] says: say it first.
    pub fn is_scraped(input: &Input<'_, Note>) -> bool {
        Metrics::is_question(input)
    }
    /// Metrics of the app's own, made with [`metrics::put`].
    pub fn tell_more(&mut self, text: String) {
        self.metrics.more = text;
    }

    /// Takes what concerns the life of the server. `Life::Drain`: the app finishes its connections now.
    pub fn handle<J>(&mut self, input: &Input<'_, Note>, cx: &mut ServerCx<'_, J>) -> Life {
        if Control::concerns(input) {
            let totals = self.totals(cx);
            if self.control.handle(input, &mut self.stats, &totals, cx) {
                self.tell(Note::Ask, cx);
            }
        }
        if Metrics::concerns(input) {
            let totals = self.stats.sum(&self.totals(cx));
            let known = Known { totals, stopping: self.stopping.is_some(), others: self.shards - 1 };
            if self.metrics.handle(input, &known, cx) {
                self.tell(Note::Ask, cx);
            }
        }
        if let Some(n) = self.waiting.handle(input, &self.listeners, cx).filter(|n| *n > 0) {
            self.log(cx, format_args!("{n} {} waiting", if n == 1 { "client" } else { "clients" }));
        }
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
            Input::Signal(Signal::Reload) => {
                self.tell(Note::Reload, cx);
                self.begin_reload(cx);
                Life::On
            }
            Input::Post(_, Note::Reload) => {
                self.begin_reload(cx);
                Life::On
            }
            Input::Answer(..) => self.reloading(input, cx),
            Input::Post(_, Note::Drain) => self.stop(false, cx),
            Input::Post(_, Note::Stop) => self.stop(true, cx),
            Input::Post(from, Note::Ask) => {
                let totals = self.totals(cx);
                cx.op(Op::Post { to: *from, msg: Note::Totals(totals) });
                Life::On
            }
            Input::Post(from, Note::Totals(totals)) => {
                self.stats.heard(*from, *totals);
                let sum = self.stats.sum(&self.totals(cx));
                self.metrics.heard(&sum, cx);
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
            cx.op(Op::Post { to, msg: note.clone() });
        }
    }
    fn stop<J>(&mut self, now: bool, cx: &mut ServerCx<'_, J>) -> Life {
        if now {
            self.say_goodbye(cx);
            return Life::On;
        }
        self.waiting.watch(false, cx.now);
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
        let parts = [self.stats.deadline(), self.control.deadline(), self.metrics.deadline(), self.waiting.deadline()];
        [idle, self.stopping].into_iter().chain(parts).fold(None, Deadline::earliest)
    }
    fn due<J>(&mut self, cx: &mut ServerCx<'_, J>) -> Life {
        if self.stopping.is_some_and(|d| d.at <= cx.now) {
            self.say_goodbye(cx);
        }
        let totals = self.totals(cx);
        let report = self.stats.due(&totals, cx.now);
        for line in report.lines {
            self.print_raw(cx, line);
        }
        for (conn, answer) in report.answers {
            self.control.finish(conn, &answer, cx);
        }
        if report.ask {
            self.tell(Note::Ask, cx);
        }
        Life::On
    }
}

/// A listener that is not for clients.
fn is_own(t: Token) -> bool {
    matches!(t.part(), CONTROL | METRICS)
}

/// Appends a line to an output stream. A stream that nobody reads loses lines, it never holds the server up.
fn write_line<J>(to: Option<Token>, cx: &mut ServerCx<'_, J>, mut line: String) {
    let Some(tx) = to.and_then(|t| cx.tx(t)) else { return };
    if tx.room() > 0 {
        line.push('\n');
        tx.put(line.as_bytes());
    }
}
