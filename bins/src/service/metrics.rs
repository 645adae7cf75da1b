//! Metrics over HTTP, as a part: the numbers of the server in the text form of Prometheus, and whether it lives and
//! takes clients. Our own HTTP/1 machine on a listener of its own.
use crate::stats::Totals;
use core::fmt::{Display, Write};
use core::time::Duration;
use proto_core::http1::server::{Event, Response};
use proto_core::http1::{Config, Limits, Method, Server, Times};
use proto_core::{Chunk, ConnEvent, Conns, Cx, Deadline, Feed, Input, Step, Token};
use std::sync::Arc;

/// The part byte of the listener and its connections.
pub const METRICS: u8 = 249;
/// Connections at once: a few scrapers and probes.
const SESSIONS: usize = 64;
/// The text form, in the version of which it is.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The part.
#[derive(Debug)]
pub struct Metrics {
    conns: Conns<Server>,
    config: Arc<Config>,
    /// Who waits for the numbers of the other loops.
    waiting: Vec<Token>,
    /// How many of these are still to come.
    missing: u16,
    /// What the app adds, in the same form.
    pub more: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let limits = Limits { body: 0, drain: 0, ..Limits::SERVER };
        let times = Times { head: Duration::from_secs(5), idle: Duration::from_secs(120), ..Times::SERVER };
        let config = Arc::new(Config { limits, times, ..Config::SERVER });
        Metrics { conns: Conns::new(METRICS), config, waiting: Vec::new(), missing: 0, more: String::new() }
    }
}

/// What is known of the server when somebody asks.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its numbers, all loops together.
    pub totals: Totals,
    /// It takes no clients any more.
    pub stopping: bool,
    /// Loops besides this one.
    pub others: u16,
}

impl Metrics {
    /// An input may be its own.
    pub fn concerns<M>(input: &Input<'_, M>) -> bool {
        match input {
            Input::Accepted { conn: t, .. } | Input::Bytes(t, _) | Input::Writable(t) | Input::Eof(t) => {
                t.part() == METRICS
            }
            Input::Closed(t, _) => t.part() == METRICS,
            Input::Deadline => true,
            _ => false,
        }
    }
    /// Somebody may ask for the numbers with it.
    pub fn is_question<M>(input: &Input<'_, M>) -> bool {
        matches!(input, Input::Bytes(t, _) if t.part() == METRICS)
    }
    /// Takes the inputs of its connections. True: the other loops are to be asked for their numbers.
    pub fn handle<J, M>(&mut self, input: &Input<'_, M>, known: &Known, cx: &mut Cx<'_, J, M>) -> bool {
        let mut ask = false;
        match input {
            Input::Accepted { conn, .. } if conn.part() == METRICS => {
                self.conns.insert(*conn, Server::new(self.config.clone()), Vec::new(), cx);
                if self.conns.len() > SESSIONS {
                    self.conns.close(*conn);
                }
            }
            Input::Bytes(t, chunk) if t.part() == METRICS => {
                let mut copy = chunk.to_vec(); // small and rare
                let n = copy.len();
                let feed = self.conns.feed(*t, Chunk::new(&mut copy, n), cx);
                ask = self.read(feed, *t, known, cx);
            }
            Input::Writable(t) if t.part() == METRICS => {
                let feed = self.conns.resume(*t, cx);
                ask = self.read(feed, *t, known, cx);
            }
            Input::Eof(t) if t.part() == METRICS => {
                let feed = self.conns.end(*t, cx);
                ask = self.read(feed, *t, known, cx);
            }
            Input::Closed(t, _) if t.part() == METRICS => {
                self.conns.remove(*t);
                self.waiting.retain(|w| w != t);
            }
            Input::Deadline => {
                while let Some((t, _)) = self.conns.due(cx) {
                    let feed = self.conns.resume(t, cx);
                    ask |= self.read(feed, t, known, cx);
                }
            }
            _ => return false,
        }
        self.conns.settle(cx, |_, _| {}); // the answer says what was wrong
        ask
    }
    fn read<J, M>(&mut self, mut feed: Feed<'_>, t: Token, known: &Known, cx: &mut Cx<'_, J, M>) -> bool {
        let mut ask = false;
        loop {
            let (method, target) = match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(Event::Request(request)))) => {
                    (request.method(), request.target().split('?').next().unwrap_or_default().to_string())
                }
                Ok(Step::Event(_)) => continue,
                Ok(Step::NeedMore | Step::Paused | Step::Closed) | Err(_) => break,
            };
            match (method, target.as_str()) {
                (Method::Get | Method::Head, "/metrics") if known.others == 0 => {
                    let text = text(&known.totals) + &self.more;
                    self.answer(t, 200, &text, cx);
                }
                (Method::Get | Method::Head, "/metrics") => {
                    ask = self.waiting.is_empty();
                    self.missing = if ask { known.others } else { self.missing };
                    self.waiting.push(t);
                }
                (Method::Get | Method::Head, "/healthz") => self.answer(t, 200, "ok\n", cx),
                (Method::Get | Method::Head, "/readyz") if known.stopping => self.answer(t, 503, "stopping\n", cx),
                (Method::Get | Method::Head, "/readyz") => self.answer(t, 200, "ok\n", cx),
                (Method::Get | Method::Head, _) => self.answer(t, 404, "/metrics, /healthz, /readyz\n", cx),
                _ => self.answer(t, 405, "GET and HEAD\n", cx),
            }
        }
        self.conns.done(feed);
        ask
    }
    fn answer<J, M>(&mut self, t: Token, status: u16, text: &str, cx: &mut Cx<'_, J, M>) {
        let Some((http, tx)) = self.conns.machine(t, cx) else { return };
        let head = Response::new(status).typed(TEXT);
        let head = if status == 405 { head.fields(&[("Allow", b"GET, HEAD")]) } else { head };
        let _ = http.respond_whole(tx, &head, text.as_bytes()); // there is a request, and the text is whole
    }
    /// Another loop has told its numbers; the last of them lets those who wait go on.
    pub fn heard<J, M>(&mut self, totals: &Totals, cx: &mut Cx<'_, J, M>) {
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 || self.waiting.is_empty() {
            return;
        }
        let text = text(totals) + &self.more;
        for t in core::mem::take(&mut self.waiting) {
            self.answer(t, 200, &text, cx);
            let feed = self.conns.resume(t, cx);
            self.conns.done(feed);
        }
        self.conns.settle(cx, |_, _| {});
    }
    /// When it wants `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        self.conns.deadline()
    }
}

/// Name, kind, what it is, and values by their labels.
type Row<'r> = (&'static str, &'static str, &'static str, &'r [(&'static str, u64)]);

/// Adds one metric, of which there are several by their labels.
pub fn put<L: Display>(out: &mut String, name: &str, kind: &str, help: &str, values: impl Iterator<Item = (L, u64)>) {
    let _ = write!(out, "# HELP drywire_{name} {help}\n# TYPE drywire_{name} {kind}\n"); // a String takes all
    for (labels, value) in values {
        let _ = writeln!(out, "drywire_{name}{labels} {value}");
    }
}

/// The numbers in the text form of Prometheus. The names are the same for every server.
fn text(totals: &Totals) -> String {
    let c = &totals.counters;
    let rows: [Row<'_>; 6] = [
        ("connections_active", "gauge", "Clients connected now", &[("", totals.active)]),
        ("connections_total", "counter", "Connections accepted", &[("", c.accepted)]),
        (
            "bytes_total",
            "counter",
            "Bytes received and sent",
            &[("{dir=\"in\"}", c.bytes_in), ("{dir=\"out\"}", c.bytes_out)],
        ),
        ("driver_syscalls_total", "counter", "System calls for I/O and waiting", &[("", c.syscalls)]),
        ("limit_hits_total", "counter", "Clients turned away", &[("{limit=\"clients\"}", totals.refused)]),
        (
            "faults_total",
            "counter",
            "Errors of the driver",
            &[("{code=\"accept\"}", c.accept_errors), ("{code=\"cq_overflow\"}", c.cq_overflow)],
        ),
    ];
    let mut out = String::new();
    for (name, kind, help, values) in rows {
        put(&mut out, name, kind, help, values.iter().copied());
    }
    out
}
