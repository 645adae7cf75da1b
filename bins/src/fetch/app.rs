//! The app: URLs one after the other, and what every input means for the one whose turn it is.
use super::cookies::Jar;
use super::file::{Download, Said, Wish};
use super::judge;
use super::net::{FetchCx, Net};
use super::options::{Fail, Options, Out};
use super::prep::{PREP, Prep};
use super::run::{Run, Waits};
use super::show::{self, Figure, Figures, Screen};
use crate::keeper::Keeper;
use crate::outcome::{Code, Failure};
use crate::text::{Escaped, Thousands, span};
use core::convert::Infallible;
use core::time::Duration;
use proto_core::{Answer, App, Deadline, Input, OpId, Reason, Signal, Start, Token};

/// The part byte of questions about the file.
const FILE: u8 = 4;
/// The part byte of questions about files that are written at the end.
const JAR: u8 = 5;
/// How often the bar is drawn, and from when on.
const BAR_EVERY: Duration = Duration::from_millis(200);
pub(super) const BAR_FROM: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Fetch {
    pub(super) o: Options,
    pub(super) net: Net,
    pub(super) screen: Screen,
    pub(super) prep: Prep,
    pub(super) jar: Jar,
    pub(super) run: Option<Run>,
    /// Which URL.
    pub(super) at: usize,
    /// Keys of questions about files that are free.
    key: u64,
    /// The first failure decides.
    code: Option<Code>,
    keeper: Option<Keeper>,
    /// A file for the certificates of the last handshake, and those.
    pub(super) chain: Option<(String, String)>,
    over: bool,
    ready: bool,
    interrupted: bool,
    stdin: Option<Token>,
}

impl Fetch {
    /// With what the command line says.
    pub fn new(o: Options) -> Self {
        let prep = Prep::new(&o.upload, o.bearer_file.as_deref(), o.netrc.as_deref(), &o.cookie_files);
        Fetch {
            net: Net::new(o.http, o.tls.clone()),
            o,
            screen: Screen::default(),
            prep,
            jar: Jar::default(),
            run: None,
            at: 0,
            key: 0,
            code: None,
            keeper: None,
            chain: None,
            over: false,
            ready: false,
            interrupted: false,
            stdin: None,
        }
    }
    pub(super) fn now_s(cx: &FetchCx<'_>) -> i64 {
        cx.wall().unix_ns.div_euclid(1_000_000_000)
    }
    fn start(&mut self, start: &Start, cx: &mut FetchCx<'_>) {
        self.screen = Screen::new(start);
        self.stdin = start.stdin;
        if let (Some(stdin), false) = (self.stdin, self.prep.wants_stdin()) {
            cx.read(stdin, false);
        }
        if self.prep.next(cx) {
            self.prepared(cx);
        }
    }
    fn prepared(&mut self, cx: &mut FetchCx<'_>) {
        if core::mem::replace(&mut self.ready, true) {
            return;
        }
        let now = Fetch::now_s(cx);
        for text in core::mem::take(&mut self.prep.found.cookies) {
            self.jar.read(&text, now);
        }
        self.turn(cx);
    }
    /// Ends before anything was fetched.
    fn unprepared(&mut self, failure: &Failure, cx: &mut FetchCx<'_>) {
        self.complain(failure, cx);
        self.over = true;
        cx.exit(failure.code as u8);
    }
    pub(super) fn complain(&mut self, failure: &Failure, cx: &mut FetchCx<'_>) {
        let text = self.complaint(failure);
        self.screen.note(&text, cx);
        self.code.get_or_insert(failure.code);
    }
    /// The next URL's turn.
    fn turn(&mut self, cx: &mut FetchCx<'_>) {
        let Some(job) = self.o.jobs.get(self.at) else { return self.end(cx) };
        let body = self.o.upload.some;
        let method = match &self.o.method {
            Some(m) => m.clone(),
            None if self.o.show.head_method => "HEAD".into(),
            None if body => "POST".into(),
            None => "GET".into(),
        };
        let mut run = Run::new(&job.url, method, body, cx.now);
        (run.fresh, run.again) = (job.again, job.again);
        let name = match &job.out {
            Out::Stdout | Out::Remote { header: true } => None,
            Out::File(name) => Some(name.clone()),
            Out::Remote { header: false } => judge::safe_name(job.url.path()).or(Some("index.html".into())),
        };
        run.download = name.map(|n| self.download(&n));
        self.run = Some(run);
        match self.run.as_mut().and_then(|r| r.download.as_mut()) {
            Some(file) => file.open(cx),
            None => self.connect(cx),
        }
    }
    pub(super) fn download(&self, name: &str) -> Download {
        Download::new(FILE, self.key, name, Wish { resume: self.o.resume, force: self.o.force })
    }
    /// The URL is through; so is the run if it was the last.
    pub(super) fn next(&mut self, failure: Option<Failure>, cx: &mut FetchCx<'_>) {
        self.screen.clear(cx);
        if let Some(run) = self.run.as_mut().filter(|r| r.download.as_ref().is_some_and(Download::is_noting)) {
            run.waits = Waits::Leaving;
            run.failure = run.failure.take().or(failure);
            return;
        }
        let Some(mut run) = self.run.take() else { return };
        if let Some(failure) = &failure {
            let kept = run.download.as_ref().and_then(Download::kept);
            let kept = kept.map_or(String::new(), |name| format!(" ({name} is kept)"));
            let kept = if failure.text.ends_with("is kept)") || failure.text.contains("is kept,") { "" } else { &kept };
            self.complain(&Failure { text: format!("{}{kept}", failure.text), ..failure.clone() }, cx);
        }
        if let Some(file) = &mut run.download {
            file.give_up(cx);
            self.key = file.key();
        }
        self.net.give_up();
        run.failure = failure;
        self.report(&run, cx);
        self.at += 1;
        self.turn(cx);
    }
    /// Tells what was asked for with `-w` and `--timing`.
    fn report(&mut self, run: &Run, cx: &mut FetchCx<'_>) {
        let figures = self.figures(run, cx);
        if let Some(format) = &self.o.write_out {
            self.screen.put(show::write_out(format, &figures).as_bytes(), cx);
        }
        if self.o.timing {
            self.screen.note(&show::json(&figures), cx);
        }
    }
    fn figures(&self, run: &Run, cx: &FetchCx<'_>) -> Figures {
        let t = &run.times;
        let since = |at: Option<proto_core::Instant>| Figure::Span(at.map_or(Duration::ZERO, |at| at.since(t.began)));
        let total = cx.now.since(t.began);
        let text = |s: &str| Figure::Text(s.into());
        let version = match run.got.version {
            None => "0",
            Some(proto_core::http1::Version::Http10) => "1.0",
            Some(_) => "1.1",
        };
        let (ip, port) = run.remote.rsplit_once(':').unwrap_or((&run.remote, "0"));
        let speed = run.got.body as f64 / total.as_secs_f64().max(0.000_001);
        let file = run.download.as_ref().map_or("", |d| d.name());
        let code = run.failure.as_ref().map_or(0, |f| u64::from(f.code as u8));
        vec![
            ("url_effective", Figure::Text(run.url.to_string())),
            ("method", text(&run.method)),
            ("scheme", text(run.url.origin.scheme.name())),
            ("http_code", Figure::Count(run.got.status.into())),
            ("response_code", Figure::Count(run.got.status.into())),
            ("http_version", text(version)),
            ("content_type", text(&run.got.media)),
            ("size_header", Figure::Count(run.got.head)),
            ("size_download", Figure::Count(run.got.body)),
            ("speed_download", Figure::Count(speed as u64)),
            ("num_redirects", Figure::Count(run.hops.into())),
            ("num_connects", Figure::Count(run.connects.into())),
            ("num_retries", Figure::Count(run.tries.into())),
            ("remote_ip", text(ip.trim_matches(['[', ']']))),
            ("remote_port", Figure::Count(port.parse().unwrap_or(0))),
            ("filename_effective", text(file)),
            ("time_connect", since(t.connected)),
            ("time_appconnect", since(t.secured)),
            ("time_pretransfer", since(t.sent)),
            ("time_starttransfer", since(t.first)),
            ("time_total", Figure::Span(total)),
            ("exitcode", Figure::Count(code)),
            ("errormsg", text(run.failure.as_ref().map_or("", |f| &f.text))),
        ]
    }
    /// All URLs are through: the cookies are written, and that was it.
    fn end(&mut self, cx: &mut FetchCx<'_>) {
        if core::mem::replace(&mut self.over, true) {
            return;
        }
        self.keep_next(cx);
    }
    /// What is written at the end: one file after the other.
    fn keep_next(&mut self, cx: &mut FetchCx<'_>) {
        let next = self.keeper.as_ref().map_or(OpId::new(JAR, 0), Keeper::next);
        let keys = |o: &Options| o.tls.as_ref().map(|t| t.take_keys()).unwrap_or_default();
        self.keeper = if let Some(path) = self.o.jar.take() {
            Some(Keeper::begin(&path, self.jar.write(Fetch::now_s(cx)), next, cx))
        } else if let Some((path, pem)) = self.chain.take() {
            Some(Keeper::begin(&path, pem, next, cx))
        } else {
            self.o.keylog.take().map(|path| Keeper::add(&path, keys(&self.o), next, cx))
        };
        if self.keeper.is_none() {
            self.exit(cx);
        }
    }
    fn exit(&self, cx: &mut FetchCx<'_>) {
        cx.exit(self.code.unwrap_or(Code::Ok) as u8);
    }
    fn keep(&mut self, id: OpId, answer: &Result<Answer, Reason>, cx: &mut FetchCx<'_>) {
        let Some(keeper) = &mut self.keeper else { return };
        match keeper.answer(id, answer, cx) {
            Ok(false) => {}
            Ok(true) => self.keep_next(cx),
            Err(failure) => {
                self.complain(&failure, cx);
                self.keep_next(cx);
            }
        }
    }
    fn answered(&mut self, id: OpId, answer: &Result<Answer, Reason>, cx: &mut FetchCx<'_>) {
        if self.net.conns.answer(id, answer) {
            return;
        }
        match id.part() {
            PREP => match self.prep.answer(answer, cx) {
                Ok(true) => self.prepared(cx),
                Ok(false) => {}
                Err(failure) => self.unprepared(&failure, cx),
            },
            FILE => self.file_said(id, answer, cx),
            JAR => self.keep(id, answer, cx),
            _ => {}
        }
    }
    fn file_said(&mut self, id: OpId, answer: &Result<Answer, Reason>, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        let Some(file) = run.download.as_mut().filter(|f| f.owns(id.key())) else { return };
        let said = file.answer(id.key(), answer, cx);
        self.key = file.key();
        if run.waits == Waits::Leaving {
            let failure = run.failure.take().or(said.err());
            return if self.interrupted { self.interrupt(cx) } else { self.next(failure, cx) };
        }
        match said {
            Ok(None) => {}
            Ok(Some(Said::Ready(_))) if run.waits == Waits::Named => self.named(cx),
            Ok(Some(Said::Ready(have))) => {
                run.from = have;
                self.connect(cx);
            }
            Ok(Some(Said::Room)) => self.pump(cx),
            Ok(Some(Said::Done)) => self.saved(cx),
            Err(failure) => self.abandon(failure, cx),
        }
    }
    fn saved(&mut self, cx: &mut FetchCx<'_>) {
        let Some(run) = &self.run else { return };
        let failure = match &run.got.after {
            super::run::After::Fail(f) if self.o.fail == Fail::WithBody => Some(f.clone()),
            _ => None,
        };
        if let Some(file) = run.download.as_ref().filter(|_| !self.o.show.quiet) {
            let line = format!("Downloaded {} bytes to {}\n", Thousands(file.at()), Escaped(file.name().as_bytes()));
            self.screen.clear(cx);
            self.screen.put(line.as_bytes(), cx);
        }
        self.next(failure, cx);
    }
    fn due(&mut self, cx: &mut FetchCx<'_>) {
        while let Some((t, told)) = self.net.conns.due(cx) {
            if let Err(fault) = told {
                self.faulted(t, fault, cx);
            }
            let feed = self.net.conns.resume(t, cx);
            self.read(feed, t, cx);
        }
        let now = cx.now;
        let Some(run) = &mut self.run else { return };
        if let Some(limit) = self.o.timeout.filter(|l| now >= run.times.began.after(*l)) {
            let text = format!("timeout after {} waiting for {}", span(limit), run.phase());
            return self.abandon(Failure::new(Code::Timeout, text), cx);
        }
        if run.bar_at.is_some_and(|at| at <= now) {
            run.bar_at = Some(now.after(BAR_EVERY));
            let passed = now.since(run.times.body.unwrap_or(now));
            let (from, got) = (run.from, run.got.body);
            let all = run.promised().map(|n| from + n);
            let text = show::bar(from + got, all, passed, self.screen.tty.unwrap_or(80));
            self.screen.bar(&text, cx);
        }
        let Some(run) = &mut self.run else { return };
        if run.slow_until.is_some_and(|at| at <= now) {
            run.slow_until = None;
            self.pump(cx);
        }
        match self.run.as_ref().map(|r| r.waits.clone()) {
            Some(Waits::Continue(at)) if at <= now => self.put_body(cx),
            Some(Waits::Again(d)) if d.at <= now => self.connect(cx),
            _ => {}
        }
    }
    fn interrupt(&mut self, cx: &mut FetchCx<'_>) {
        self.screen.clear(cx);
        let again = core::mem::replace(&mut self.interrupted, true);
        if let Some(run) = self.run.as_mut().filter(|r| r.download.as_ref().is_some_and(Download::is_noting))
            && !again
        {
            run.waits = Waits::Leaving;
            return;
        }
        if let Some(file) = self.run.as_mut().and_then(|r| r.download.as_mut()) {
            file.give_up(cx);
        }
        self.over = true;
        self.run = None;
        cx.exit(Code::Interrupted as u8);
    }
    fn input(&mut self, input: Input<'_, Infallible>, cx: &mut FetchCx<'_>) {
        if let Some(dialed) = self.net.dialed(&input, &self.o.reach, cx) {
            return match dialed {
                Ok(link) => self.connected(link, cx),
                Err(failure) => self.failed(failure, true, cx),
            };
        }
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Bytes(t, chunk) if self.stdin == Some(t) => {
                if let Err(failure) = self.prep.stdin(&chunk) {
                    self.unprepared(&failure, cx);
                }
            }
            Input::Eof(t) if self.stdin == Some(t) => {
                self.prep.stdin_over(&mut self.o.upload);
                if self.prep.is_over() {
                    self.prepared(cx);
                }
            }
            Input::Bytes(t, chunk) => {
                let feed = self.net.conns.feed(t, chunk, cx);
                self.read(feed, t, cx);
            }
            Input::Eof(t) => {
                let feed = self.net.conns.end(t, cx);
                self.read(feed, t, cx);
            }
            Input::Writable(t) if self.screen.is_out(t) => self.pump(cx),
            Input::Writable(t) => {
                let feed = self.net.conns.resume(t, cx);
                self.read(feed, t, cx);
            }
            Input::Connected { conn, .. } if self.net.is_stray(conn) => cx.abort(conn),
            Input::Closed(t, _) if self.screen.is_out(t) => {
                self.over = true;
                cx.exit(self.code.unwrap_or(Code::Ok) as u8); // whoever read it has gone
            }
            Input::Closed(t, why) => self.closed(t, why, cx),
            Input::Answer(id, answer) => self.answered(id, &answer, cx),
            Input::Deadline => self.due(cx),
            Input::Signal(Signal::Interrupt | Signal::Terminate) => self.interrupt(cx),
            _ => {}
        }
    }
}

impl App for Fetch {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut FetchCx<'_>) {
        self.input(input, cx);
        let mut faults = Vec::new();
        self.net.conns.settle(cx, |t, fault| faults.push((t, fault)));
        for (t, fault) in faults {
            self.faulted(t, fault, cx);
            self.net.conns.settle(cx, |_, _| {}); // a second fault changes nothing
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        let timer = |at, why| Deadline { at, since: at, why };
        let run = self.run.as_ref().filter(|_| !self.over);
        let own = run.and_then(|run| {
            let wait = match &run.waits {
                Waits::Continue(at) => Some(timer(*at, "100 Continue")),
                Waits::Again(d) => Some(*d),
                _ => None,
            };
            let limit = self.o.timeout.map(|l| Deadline::new(run.times.began, l, "the whole"));
            let slow = run.slow_until.map(|at| timer(at, "the rate"));
            let bar = run.bar_at.map(|at| timer(at, "the bar"));
            [wait, limit, slow, bar].into_iter().fold(None, Deadline::earliest)
        });
        Deadline::earliest(self.net.deadline(), own)
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
