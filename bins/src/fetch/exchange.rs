//! One request and its answer.
use super::app::{BAR_FROM, Fetch};
use super::body::too_large;
use super::decode::Decoder;
use super::judge;
use super::net::{FetchCx, Link, route};
use super::options::{Fail, Out};
use super::pretty::Pretty;
use super::request::{Head, Wanted};
use super::run::{After, Dest, Got, Waits};
use super::secrets::netrc;
use super::show::{self, Plain};
use crate::outcome::{Code, Failure};
use crate::text::{Escaped, span};
use core::time::Duration;
use proto_core::http1::client::{self, Event, Response};
use proto_core::http1::{Framing, Length, reason};
use proto_core::{ConnEvent, Feed, Instant, Step, Token};

/// From this size on a body waits for the server to say that it wants it.
const EXPECT: u64 = 1 << 20;
/// How long.
const EXPECT_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a body that nobody wants and that are read all the same, so that the connection can be used again.
const DRAIN: u64 = 64 << 10;
/// First bytes of an answer that are kept, for who speaks something else.
const FIRST: usize = 32;

impl Fetch {
    /// A connection for the request, free or new.
    pub(super) fn connect(&mut self, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        run.waits = Waits::Connection;
        run.route = route(&self.o.reach, &run.url.origin);
        run.got = Got::default();
        let home = run.url.origin == run.home;
        match self.net.open(&self.o.reach, &run.url.origin, (home, run.fresh), cx) {
            Ok(None) => {}
            Ok(Some(link)) => {
                let line = format!("* reusing connection {}", link.number);
                run.remote.clone_from(&link.remote);
                run.link = Some(link);
                if self.o.show.verbose || self.o.explain {
                    self.screen.note(&line, cx);
                }
                self.send(cx);
            }
            Err(failure) => self.abandon(failure, cx),
        }
    }
    pub(super) fn connected(&mut self, link: Link, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        if self.o.explain {
            self.screen.note(&format!("* connection {} to {}", link.number, link.remote), cx);
        }
        run.times.connected.get_or_insert(cx.now);
        run.connects += 1;
        run.remote.clone_from(&link.remote);
        let ready = self.net.conns.peek(link.token).is_none_or(|c| c.is_ready());
        run.link = Some(link);
        if ready {
            self.send(cx);
        } else {
            run.waits = Waits::Handshake; // nothing is said to who is not known yet
        }
    }
    /// The request's head, from everything that has a say in it.
    fn head(&self, cx: &FetchCx<'_>) -> Option<Head> {
        let run = self.run.as_ref()?;
        let found = &self.prep.found;
        let length = run.with_body.then(|| self.o.upload.len(&found.body));
        let home = run.url.origin == run.home;
        let bearer = found.bearer.as_ref().filter(|_| home).map(|t| format!("Bearer {t}"));
        let by_host = || {
            let found = netrc(&found.netrc, &run.url.origin.host);
            found.map(|(name, password)| crate::via::basic(&name, &password.0))
        };
        let kept = run.download.as_ref().and_then(|d| d.validator());
        let wanted = Wanted {
            url: &run.url,
            first: &run.home,
            route: &run.route,
            method: &run.method,
            length,
            auth: bearer.or_else(by_host),
            cookies: self.jar.get(&run.url, Fetch::now_s(cx)),
            from: (run.from > 0).then_some((run.from, kept)),
            expect: length.is_some_and(|n| n > EXPECT),
        };
        Some(Head::new(&self.o, &wanted))
    }
    pub(super) fn send(&mut self, cx: &mut FetchCx<'_>) {
        let Some(head) = self.head(cx) else { return };
        if self.o.show.verbose {
            for line in head.lines() {
                self.screen.note(&format!("> {}", Plain(&line)), cx);
            }
            self.screen.note(">", cx);
        }
        let Some(run) = &mut self.run else { return };
        let Some(token) = run.link.as_ref().map(|l| l.token) else { return };
        run.times.sent = Some(cx.now);
        run.waits = Waits::Answer;
        let expects = head.fields.iter().any(|(n, v)| n.eq_ignore_ascii_case("expect") && v == b"100-continue");
        let fields: Vec<(&str, &[u8])> = head.fields.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        let request = client::Request::new(&head.method, &head.target, &fields);
        let length = head.length.map_or(Length::None, Length::Known);
        let asked = self.net.conns.machine(token, cx).map(|(http, tx)| http.request(tx, &request, length));
        match asked {
            Some(Ok(())) => {}
            Some(Err(why)) => {
                return self.abandon(Failure::usage(format!("cannot send this request: {}", why.0)), cx);
            }
            // It ended while it was free, and nobody has told yet.
            None => return self.broke(Failure::new(Code::Connect, "connection closed before the answer"), true, cx),
        }
        let Some(run) = self.run.as_mut().filter(|_| head.length.is_some()) else { return };
        if expects && head.length != Some(0) {
            run.waits = Waits::Continue(cx.now.after(EXPECT_WAIT));
        } else {
            self.put_body(cx);
        }
    }
    pub(super) fn put_body(&mut self, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        run.waits = Waits::Answer;
        let Some(token) = run.link.as_ref().map(|l| l.token) else { return };
        if let Some((http, _)) = self.net.conns.machine(token, cx)
            && let Some(tx) = http.body()
        {
            self.o.upload.put(&self.prep.found.body, tx);
        }
    }
    pub(super) fn is_current(&self, t: Token) -> bool {
        self.run.as_ref().and_then(|r| r.link.as_ref()).is_some_and(|l| l.token == t)
    }
    /// Notes that something was heard, and the first bytes of what is not understood yet.
    fn hears(&mut self, t: Token, unread: &[u8], now: Instant) {
        if unread.is_empty() {
            return; // a layer's own business
        }
        if !self.is_current(t) {
            return self.net.forget(t); // who speaks unasked is not used again
        }
        let Some(run) = &mut self.run else { return };
        run.got.heard = true;
        if run.got.status == 0 {
            run.got.first = unread.iter().take(FIRST).copied().collect();
        }
        if run.got.head == 0 {
            run.times.first.get_or_insert(now);
        }
    }
    pub(super) fn read(&mut self, mut feed: Feed<'_>, t: Token, cx: &mut FetchCx<'_>) {
        let mut trouble = None;
        self.hears(t, feed.unread(), cx.now);
        loop {
            let event = match self.net.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(event))) => event,
                Ok(Step::Event(ConnEvent::Ready(info))) => {
                    if self.is_current(t) {
                        self.ready(t, &info, cx);
                    }
                    continue;
                }
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break,
                Err(fault) => {
                    trouble = Some(Err(fault));
                    break;
                }
            };
            if self.is_current(t)
                && let Err(failure) = self.event(event, t, cx)
            {
                trouble = Some(Ok(failure));
                break;
            }
        }
        self.net.conns.done(feed);
        match trouble {
            Some(Ok(failure)) => self.failed(failure, false, cx),
            Some(Err(fault)) => self.faulted(t, fault, cx),
            None => {}
        }
        if self.is_current(t) && self.run.as_ref().is_some_and(|r| r.got.ended) {
            self.whole(cx);
        }
    }
    fn event(&mut self, event: Event<'_>, t: Token, cx: &mut FetchCx<'_>) -> Result<(), Failure> {
        match event {
            Event::Informational(r) => {
                self.show_head(&r, false, cx);
                if r.status() == 100 && matches!(self.run.as_ref().map(|r| &r.waits), Some(Waits::Continue(_))) {
                    self.put_body(cx);
                }
                Ok(())
            }
            Event::Response(r) => self.response(&r, t, cx),
            Event::Body(bytes) => self.body(bytes, cx),
            Event::Trailers(fields) => {
                for f in fields.filter(|_| self.o.show.verbose) {
                    let line = format!("< {}: {}", f.name, Plain(f.value));
                    self.screen.note(&line, cx);
                }
                Ok(())
            }
            Event::End => self.ended(cx),
            Event::Upgraded(_) => Err(Failure::new(Code::Protocol, "an upgrade that nobody asked for")),
        }
    }
    fn show_head(&mut self, r: &Response<'_>, plain: bool, cx: &mut FetchCx<'_>) {
        if self.o.show.verbose {
            for line in show::lines(r.raw()) {
                self.screen.note(&format!("< {line}"), cx);
            }
            self.screen.note("<", cx);
        } else if plain {
            let text: String = show::lines(r.raw()).map(|l| l + "\n").collect();
            self.screen.put(text.as_bytes(), cx);
            self.screen.put(b"\n", cx);
        }
    }
    fn response(&mut self, r: &Response<'_>, t: Token, cx: &mut FetchCx<'_>) -> Result<(), Failure> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let now_s = Fetch::now_s(cx);
        for value in r.fields().values("set-cookie") {
            self.jar.set(value, &run.url, now_s);
        }
        run.got.status = r.status();
        run.got.version = Some(r.version());
        run.got.framing = Some(r.framing());
        run.got.head = r.raw().len() as u64;
        run.got.media = r.field("content-type").map_or(String::new(), |v| String::from_utf8_lossy(v).into_owned());
        run.got.validator = judge::validator(r);
        if !matches!(run.waits, Waits::Answer) || r.status() >= 300 {
            run.waits = Waits::Answer;
            if let Some((http, _)) = self.net.conns.machine(t, cx) {
                http.stop_sending(); // it has heard enough
            }
        }
        let after = self.after(r, cx)?;
        let quiet = matches!(after, After::Again(_) | After::Whole)
            || matches!(after, After::Fail(_)) && self.o.fail != Fail::WithBody;
        let to_file = self.o.jobs.get(self.at).is_some_and(|j| j.out != Out::Stdout);
        self.show_head(r, !quiet && !to_file && !self.o.show.body_only && !self.o.show.quiet, cx);
        self.lint(t, cx);
        let Some(run) = &mut self.run else { return Ok(()) };
        let wanted = matches!(after, After::Next) || matches!(after, After::Fail(_)) && !quiet;
        run.got.dest = match (wanted, to_file) {
            (true, true) => Dest::Save,
            (true, false) if !self.o.show.head_only => Dest::Show,
            _ => Dest::Drop,
        };
        run.got.after = after;
        if run.got.dest == Dest::Drop {
            let much = !matches!(r.framing(), Framing::Length(n) if n <= DRAIN);
            run.got.enough = r.has_body() && much;
            run.got.ended = !r.has_body() || much;
            return Ok(());
        }
        self.receive(r, cx)
    }
    /// The body that follows is wanted.
    fn receive(&mut self, r: &Response<'_>, cx: &mut FetchCx<'_>) -> Result<(), Failure> {
        let Some(run) = &mut self.run else { return Ok(()) };
        run.got.ended = !r.has_body();
        run.times.body = Some(cx.now);
        if matches!(r.framing(), Framing::Length(n) if n > self.o.max_body) {
            return Err(too_large(self.o.max_body));
        }
        let mut warning = None;
        if self.o.compressed && r.has_body() {
            match Decoder::new(r.fields().values("content-encoding")) {
                Ok(decoder) => run.got.decoder = decoder,
                Err(why) => warning = Some(why),
            }
        }
        if run.got.dest == Dest::Show && self.screen.tty.is_some() && is_json(&run.got.media) && !self.o.show.raw {
            run.got.pretty = Some(Pretty::new(self.o.show.colour));
        }
        if self.o.show.progress && self.screen.tty.is_some() && run.got.dest == Dest::Save && r.has_body() {
            run.bar_at = Some(cx.now.after(BAR_FROM));
        }
        if run.got.dest == Dest::Save {
            match &mut run.download {
                Some(file) => file.begin(run.from, run.got.validator.clone(), cx),
                None => self.name_by(r, cx),
            }
        }
        if let Some(why) = warning.filter(|_| !self.o.show.quiet) {
            self.screen.note(&format!("{}: warning: {why}: the body is left as it is", self.o.name), cx);
        }
        Ok(())
    }
    /// The head names the file.
    fn name_by(&mut self, r: &Response<'_>, cx: &mut FetchCx<'_>) {
        let said = r.field("content-disposition").and_then(judge::file_name);
        let Some(url) = self.run.as_ref().map(|r| r.url.clone()) else { return };
        let name = said.or_else(|| judge::safe_name(url.path())).unwrap_or("index.html".into());
        let mut file = self.download(&name);
        file.open(cx);
        if let Some(run) = &mut self.run {
            (run.download, run.waits) = (Some(file), Waits::Named);
        }
        self.hold(true, cx);
    }
    /// The file that the head named is open.
    pub(super) fn named(&mut self, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        run.waits = Waits::Answer;
        let validator = run.got.validator.clone();
        if let Some(file) = &mut run.download {
            file.begin(0, validator, cx);
        }
        if run.link.is_none() {
            return self.finish(cx); // the body was empty, and the exchange is over
        }
        self.pump(cx);
    }
    /// What follows this answer.
    fn after(&mut self, r: &Response<'_>, cx: &mut FetchCx<'_>) -> Result<After, Failure> {
        let now_s = Fetch::now_s(cx);
        let Some(run) = &mut self.run else { return Ok(After::Next) };
        let status = r.status();
        if let Some(follow) = self.o.follow {
            let rule = (follow, self.o.path_as_is);
            if let Some(redirect) = judge::redirect(status, r.field("location"), &run.method, &run.url, rule)? {
                if run.hops == follow.most {
                    return Err(Failure::new(Code::Protocol, format!("too many redirects ({})", follow.most)));
                }
                return Ok(After::Redirect(redirect));
            }
        }
        if judge::is_transient(status) && run.tries < self.o.retry {
            return Ok(After::Again(judge::wait(r.field("retry-after"), run.tries + 1, now_s)));
        }
        let refused = || {
            let words = if r.reason().is_empty() { reason(status).as_bytes() } else { r.reason() };
            Failure::new(Code::Answered, format!("{} answered {status} {}", run.url, Escaped(words)))
        };
        if run.from > 0 {
            let have = run.from;
            match (status, r.field("content-range")) {
                (206, Some(range)) if judge::content_range(range).is_some_and(|(first, _)| first == have) => {}
                (206, _) => {
                    return Err(Failure::new(Code::Protocol, format!("not the range that was asked for ({have}-)")));
                }
                (416, Some(range)) if judge::whole_length(range) == Some(have) => return Ok(After::Whole),
                (200..300, _) => run.from = 0, // all of it again
                _ => return Ok(After::Fail(refused())),
            }
        }
        Ok(if status >= 400 && self.o.fail != Fail::Never { After::Fail(refused()) } else { After::Next })
    }
    /// The exchange is over: the connection goes back or ends, and what follows begins.
    fn whole(&mut self, cx: &mut FetchCx<'_>) {
        self.let_go(cx);
        let Some(run) = &mut self.run else { return };
        if run.waits == Waits::Named {
            return; // the file is being opened
        }
        match core::mem::take(&mut run.got.after) {
            After::Redirect(redirect) => {
                run.hops += 1;
                run.fresh = false;
                run.url = redirect.to;
                if redirect.becomes_get {
                    run.with_body = false;
                    run.method = "GET".into();
                }
                self.connect(cx);
            }
            After::Again(wait) => {
                let why = format!("{}", run.got.status);
                self.again(wait, &why, cx);
            }
            After::Fail(failure) if self.o.fail != Fail::WithBody => self.next(Some(failure), cx),
            after => {
                run.got.after = after;
                self.finish(cx);
            }
        }
    }
    /// The connection goes back to the pool if it can be used again.
    fn let_go(&mut self, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        let Some(link) = run.link.take() else { return };
        (run.fresh, run.bar_at, run.slow_until) = (false, None, None);
        let (token, number) = (link.token, link.number);
        if run.got.enough {
            self.net.conns.close(token);
        } else {
            let home = run.url.origin == run.home;
            self.net.keep(link, (&self.o.reach, &run.url.origin, home), cx);
        }
        if self.o.explain {
            let kept = self.net.has_kept(token);
            let how = if kept { "can be used again" } else { "ends: one side said so, or the body did" };
            self.screen.note(&format!("* connection {number} {how}"), cx);
        }
    }
    /// The body is whole: it only needs to be saved.
    fn finish(&mut self, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        match (&mut run.download, run.got.dest == Dest::Save || matches!(run.got.after, After::Whole)) {
            (Some(file), true) => {
                run.waits = Waits::Disk;
                file.finish(cx);
            }
            _ => {
                let failure = if let After::Fail(f) = &run.got.after { Some(f.clone()) } else { None };
                self.next(failure, cx);
            }
        }
    }
    /// Tries again later.
    pub(super) fn again(&mut self, wait: Duration, why: &str, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        run.tries += 1;
        run.fresh = true;
        run.waits = Waits::Again(proto_core::Deadline::new(cx.now, wait, "the next attempt"));
        // What is there need not come again, if it can be told from another state of the same thing.
        let decoded = run.got.decoder.is_some();
        if let Some(file) = run.download.as_mut() {
            file.flush(cx);
            run.from = if file.validator().is_some() && !decoded { file.at() } else { 0 };
        }
        if !self.o.show.quiet {
            let (n, all) = (run.tries, self.o.retry);
            self.screen.note(&format!("{}: {why}: attempt {n} of {all} in {}", self.o.name, span(wait)), cx);
        }
    }
    /// What a lenient reading has forgiven.
    fn lint(&mut self, t: Token, cx: &mut FetchCx<'_>) {
        if !self.o.lint {
            return;
        }
        let faults = self.net.conns.get(t).map(|c| c.machine.take_forgiven()).unwrap_or_default();
        for fault in faults {
            self.screen.note(&format!("lint: {fault}"), cx);
        }
    }
}

/// `application/json`, or a media type made of it (RFC 6839 3.1).
fn is_json(media: &str) -> bool {
    let kind = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}
