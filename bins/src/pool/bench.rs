//! `benchmark_client`: requests over some connections, each sent when the last was answered; throughput and latency.
use crate::dialer::{Dialer, Source, Target};
use crate::latency::Histogram;
use crate::outcome::{Code, Failure, network};
use crate::text::Thousands;
use crate::work::Work;
use core::convert::Infallible;
use core::time::Duration;
use proto_core::http1::{Client, Config, Length, Times, client};
use proto_core::{
    Addr, App, Bytes, ConnEvent, Conns, Cx, Deadline, Fault, Feed, Input, Instant, Reason, Slots, Step, Token,
};
use std::collections::BTreeMap;

type BenchCx<'a> = Cx<'a, Infallible, Infallible>;

/// The part byte of the first connection's dialer, and of the others.
const DIAL: u8 = 1;
const CONN: u8 = 0;
/// The largest answer that can be right.
const ANSWER_MAX: usize = 4096;
/// Connections that fail in a row before it is given up.
const FAILURES: u32 = 16;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers, one after the other.
    pub targets: Vec<Target>,
    /// Requests to each.
    pub requests: u64,
    /// Instead of a number of requests: for so long.
    pub duration: Option<Duration>,
    /// Connections at once.
    pub conns: usize,
    /// The work asked for; the server's own if `None`.
    pub work: Option<Work>,
    /// The path asked for instead of `/work`.
    pub path: Option<String>,
    /// JSON instead of text.
    pub json: bool,
    /// More figures.
    pub verbose: bool,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// What came of one server.
#[derive(Clone, Debug, Default)]
struct Run {
    sent: u64,
    answered: u64,
    rejected: u64,
    /// Answers other than 200 and 503.
    errors: u64,
    latency: Histogram,
    began: Instant,
    ended: Instant,
}

#[derive(Debug, Default)]
struct Busy {
    since: Option<Instant>,
    status: u16,
    body: Vec<u8>,
}

/// The app.
#[derive(Debug)]
pub struct Bench {
    options: Options,
    source: Source,
    /// Which server.
    now: usize,
    dialer: Option<Dialer>,
    /// What has dialed: it knows what lies beneath all connections.
    dialed: Option<Dialer>,
    at: Option<Addr>,
    conns: Conns<Client>,
    busy: Slots<Busy>,
    connecting: usize,
    failures: u32,
    run: Run,
    runs: Vec<Run>,
    /// Right answers, by what they say was done.
    known: BTreeMap<String, Bytes>,
    stdout: Option<Token>,
    stderr: Option<Token>,
    over: bool,
}

impl Bench {
    /// With names looked up by `source`.
    pub fn with_source(mut self, source: Source) -> Self {
        self.source = source;
        self
    }
    /// With the given options.
    pub fn new(options: Options) -> Self {
        Bench {
            options,
            source: Source::Own,
            now: 0,
            dialer: None,
            dialed: None,
            at: None,
            conns: Conns::new(CONN),
            busy: Slots::default(),
            connecting: 0,
            failures: 0,
            run: Run::default(),
            runs: Vec::new(),
            known: BTreeMap::new(),
            stdout: None,
            stderr: None,
            over: false,
        }
    }
    fn target(&self) -> Option<&Target> {
        self.options.targets.get(self.now)
    }
    fn begin(&mut self, cx: &mut BenchCx<'_>) {
        let Some(target) = self.target().cloned() else { return self.report(cx) };
        let mut dialer = Dialer::new(DIAL, target).with_source(self.source);
        dialer.start(cx);
        (self.dialer, self.failures) = (Some(dialer), 0);
    }
    /// The first connection is there: its address serves for the others.
    fn dialed(&mut self, first: Token, at: Addr, cx: &mut BenchCx<'_>) {
        self.run = Run { began: cx.now, ended: cx.now, ..Run::default() };
        self.at = Some(at);
        self.join(first, cx);
        self.fill(cx);
    }
    /// As many connections as there are requests for.
    fn fill(&mut self, cx: &mut BenchCx<'_>) {
        let Some(at) = self.at.clone() else { return };
        while self.busy.len() + self.connecting < self.options.conns && self.left(cx.now) > self.connecting as u64 {
            self.connecting += 1;
            cx.connect(CONN, at.clone());
        }
    }
    /// Requests that are still to be sent.
    fn left(&self, now: Instant) -> u64 {
        match self.options.duration {
            Some(d) if now.since(self.run.began) < d => u64::MAX,
            Some(_) => 0,
            None => self.options.requests.saturating_sub(self.run.sent),
        }
    }
    fn join(&mut self, t: Token, cx: &mut BenchCx<'_>) {
        let times = Times { idle: self.options.timeout, ..Times::CLIENT };
        let layers = self.dialed.as_ref().map_or(Ok(Vec::new()), Dialer::layers);
        let layers = match layers {
            Ok(layers) => layers,
            Err(failure) => return self.fail(failure, cx),
        };
        self.conns.insert(t, Client::new(Config { times, ..Config::CLIENT }), layers, cx);
        self.busy.insert(t, Busy::default());
        self.ask(t, cx);
    }
    /// The next request of a connection, or its end.
    fn ask(&mut self, t: Token, cx: &mut BenchCx<'_>) {
        let more = self.left(cx.now) > 0;
        let Some((http, tx)) = self.conns.machine(t, cx) else { return };
        if !more || !http.is_ready() {
            return self.conns.close(t);
        }
        let path = match (self.options.path.clone(), self.options.work) {
            (Some(path), _) => path,
            (None, Some(w)) => format!("/work?kind={}&n={}", w.kind.name(), w.size),
            (None, None) => "/work".into(),
        };
        let host = self.options.targets.get(self.now).map_or_else(String::new, ToString::to_string);
        let fields = [("Host", host.as_bytes())];
        let request = client::Request::new("GET", &path, &fields);
        if http.request(tx, &request, Length::None).is_ok() {
            self.run.sent += 1;
            if let Some(busy) = self.busy.get_mut(t) {
                *busy = Busy { since: Some(cx.now), ..Busy::default() };
            }
        }
    }
    fn read(&mut self, mut feed: Feed<'_>, t: Token, cx: &mut BenchCx<'_>) {
        let failed = loop {
            let event = match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(event))) => event,
                Ok(Step::Event(ConnEvent::Ready(_))) => continue,
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break None,
                Err(fault) => break Some(self.failure(&fault)),
            };
            let Some(busy) = self.busy.get_mut(t) else { break None };
            let whole = match event {
                client::Event::Response(head) => {
                    busy.status = head.status();
                    !head.has_body()
                }
                client::Event::Body(bytes) => {
                    let room = ANSWER_MAX.saturating_sub(busy.body.len());
                    busy.body.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
                    false
                }
                client::Event::End => true,
                client::Event::Informational(_) | client::Event::Trailers(_) | client::Event::Upgraded(_) => false,
            };
            if whole && let Err(why) = self.answered(t, cx) {
                break Some(Failure::new(Code::Protocol, why));
            }
        };
        self.conns.done(feed);
        if let Some(failure) = failed {
            self.fail(failure, cx);
        }
    }
    fn answered(&mut self, t: Token, cx: &mut BenchCx<'_>) -> Result<(), String> {
        let Some(busy) = self.busy.get_mut(t) else { return Ok(()) };
        let Busy { since, status, body } = core::mem::take(busy);
        self.failures = 0;
        match status {
            200 => {
                self.check(&body)?;
                self.run.answered += 1;
                self.run.latency.add(cx.now.since(since.unwrap_or(cx.now)));
            }
            503 => self.run.rejected += 1,
            500 => self.run.errors += 1,
            other => return Err(format!("answer {other} instead of 200: is this a server of work?")),
        }
        self.run.ended = cx.now;
        self.ask(t, cx);
        Ok(())
    }
    /// Does the work that the answer says was done, once for each kind and size.
    fn check(&mut self, body: &[u8]) -> Result<(), String> {
        let line = core::str::from_utf8(body).unwrap_or_default();
        let wrong = || format!("wrong answer: '{}'", String::from_utf8_lossy(body).trim_end().escape_debug());
        let (what, _) = line.rsplit_once(' ').ok_or_else(wrong)?;
        if let Some(right) = self.known.get(what) {
            return if **right == *body { Ok(()) } else { Err(wrong()) };
        }
        let work = Work::of_answer(line).map_err(|_| wrong())?;
        let most = 10 * work.kind.size().max(self.options.work.map_or(0, |w| w.size));
        if self.options.work.is_some_and(|w| w != work) || work.size > most || work.kind == crate::work::Kind::Panic {
            return Err(wrong());
        }
        let right = work.run();
        let same = *right == *body;
        self.known.insert(what.into(), right);
        if same { Ok(()) } else { Err(wrong()) }
    }
    fn closed(&mut self, t: Token, why: Reason, cx: &mut BenchCx<'_>) {
        self.conns.remove(t);
        match self.busy.remove(t) {
            None => self.connecting = self.connecting.saturating_sub(1),
            Some(Busy { since: Some(_), .. }) => self.run.sent -= 1, // to be sent again
            Some(_) => return self.go_on(cx),
        }
        self.failures += 1;
        if self.failures > FAILURES {
            let to = self.target().map_or_else(String::new, ToString::to_string);
            let text = format!("connection to {to}: {why}");
            return self.fail(Failure::new(network(why), text), cx);
        }
        self.go_on(cx);
    }
    fn go_on(&mut self, cx: &mut BenchCx<'_>) {
        if self.over {
            return;
        }
        self.fill(cx);
        if self.busy.is_empty() && self.connecting == 0 && self.at.is_some() {
            self.at = None;
            self.runs.push(core::mem::take(&mut self.run));
            self.now += 1;
            self.begin(cx);
        }
    }
    /// What a fault means if it is of the proxy on the way.
    fn of_proxy(&self, fault: &Fault) -> Option<Failure> {
        self.dialed.as_ref().and_then(|d| d.failure(fault))
    }
    fn failure(&self, fault: &Fault) -> Failure {
        self.of_proxy(fault).unwrap_or_else(|| Failure::new(Code::Protocol, fault.to_string()))
    }
    fn settle(&mut self, cx: &mut BenchCx<'_>) {
        let mut first = None;
        self.conns.settle(cx, |_, fault| first = first.take().or(Some(fault)));
        if let Some(fault) = first {
            self.fail(self.failure(&fault), cx);
        }
    }
    fn fail(&mut self, failure: Failure, cx: &mut BenchCx<'_>) {
        if core::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some(tx) = self.stderr.and_then(|t| cx.tx(t)) {
            tx.put(format!("benchmark_client: {failure}\n").as_bytes());
        }
        cx.exit(failure.code as u8);
    }
    fn report(&mut self, cx: &mut BenchCx<'_>) {
        self.over = true;
        let mut text = String::new();
        for (run, target) in self.runs.iter().zip(&self.options.targets) {
            if self.options.json {
                text.push_str(&run.json(target));
            } else {
                if self.runs.len() > 1 {
                    text.push_str(&format!("{target}\n"));
                }
                text.push_str(&run.text(self.options.verbose));
            }
        }
        if let ([a, b], false) = (&self.runs[..], self.options.json) {
            let ratio = if b.rate() > 0.0 { a.rate() / b.rate() } else { 0.0 };
            text.push_str(&format!("Ratio: {ratio:.2}\n"));
        }
        if let Some(tx) = self.stdout.and_then(|t| cx.tx(t)) {
            tx.put(text.as_bytes());
        }
        cx.exit(Code::Ok as u8);
    }
}

impl Run {
    /// Answers per second.
    fn rate(&self) -> f64 {
        let s = self.ended.since(self.began).as_secs_f64();
        if s > 0.0 { self.answered as f64 / s } else { 0.0 }
    }
    fn text(&self, verbose: bool) -> String {
        let ms = |d: Duration| format!("{:.1}ms", d.as_secs_f64() * 1000.0);
        let l = &self.latency;
        let mut text = format!("Results:\nThroughput: {} req/s\n", Thousands(self.rate().round() as u64));
        if verbose {
            text.push_str(&format!("Latency p50: {}\nLatency p95: {}\n", ms(l.per_mille(500)), ms(l.per_mille(950))));
        }
        text.push_str(&format!("Latency p99: {}\n", ms(l.per_mille(990))));
        if verbose {
            text.push_str(&format!("Latency max: {}\n", ms(l.max())));
        }
        for (n, what) in [(self.rejected, "Rejected"), (self.errors, "Errors")] {
            if n > 0 {
                text.push_str(&format!("{what}: {n}\n"));
            }
        }
        text
    }
    fn json(&self, target: &Target) -> String {
        let us = |d: Duration| d.as_micros();
        let l = &self.latency;
        format!(
            "{{\"target\":\"{}\",\"answered\":{},\"rejected\":{},\"errors\":{},\"per_second\":{:.1},\"p50_us\":{},\
             \"p95_us\":{},\"p99_us\":{},\"max_us\":{}}}\n",
            target.to_string().escape_default(),
            self.answered,
            self.rejected,
            self.errors,
            self.rate(),
            us(l.per_mille(500)),
            us(l.per_mille(950)),
            us(l.per_mille(990)),
            us(l.max()),
        )
    }
}

impl App for Bench {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut BenchCx<'_>) {
        if let Some(done) = self.dialer.as_mut().and_then(|d| d.handle(&input, cx)) {
            self.dialed = self.dialer.take();
            match done {
                Ok((t, peer)) => self.dialed(t, peer.remote, cx),
                Err(failure) => self.fail(failure, cx),
            }
            return self.settle(cx);
        }
        match input {
            Input::Start(start) => {
                (self.stdout, self.stderr) = (Some(start.stdout), Some(start.stderr));
                self.begin(cx);
            }
            Input::Connected { conn, .. } if conn.part() == CONN => {
                self.connecting = self.connecting.saturating_sub(1);
                self.join(conn, cx);
            }
            Input::Bytes(t, chunk) => {
                let feed = self.conns.feed(t, chunk, cx);
                self.read(feed, t, cx);
            }
            Input::Eof(t) => {
                let idle = self.busy.get(t).is_some_and(|b| b.since.is_none());
                let feed = self.conns.end(t, cx);
                if idle {
                    self.conns.done(feed);
                    self.conns.close(t);
                } else {
                    self.read(feed, t, cx);
                }
            }
            Input::Writable(t) => {
                let feed = self.conns.resume(t, cx);
                self.read(feed, t, cx);
            }
            Input::Closed(t, why) if self.conns.peek(t).is_some() || t.part() == CONN => self.closed(t, why, cx),
            Input::Signal(_) => {
                let text = "interrupted";
                self.fail(Failure::new(Code::Interrupted, text), cx);
            }
            Input::Deadline => {
                while let Some((t, told)) = self.conns.due(cx) {
                    if let Err(fault) = told {
                        let late = || Failure::new(Code::Timeout, format!("no answer: {}", fault.what));
                        let failure = self.of_proxy(&fault).unwrap_or_else(late);
                        self.fail(failure, cx);
                    }
                    let feed = self.conns.resume(t, cx);
                    self.read(feed, t, cx);
                }
            }
            _ => {}
        }
        self.settle(cx);
    }
    fn deadline(&self) -> Option<Deadline> {
        Deadline::earliest(self.dialer.as_ref().and_then(Dialer::deadline), self.conns.deadline())
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
