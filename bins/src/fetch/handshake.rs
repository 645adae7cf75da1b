//! The handshake of an https connection: what it says about the server, and what goes wrong in it.
use super::app::Fetch;
use super::net::FetchCx;
use super::report::{Report, Seen};
use super::run::Waits;
use crate::outcome::{Code, Failure};
use crate::tls;
use proto_core::x509::{Certificate, Date};
use proto_core::{About, Grounds, Info, Token};

const DAY: i64 = 86_400;

impl Fetch {
    /// All layers of a connection are ready: the request may go.
    pub(super) fn ready(&mut self, t: Token, info: &Info, cx: &mut FetchCx<'_>) {
        let Some(run) = self.run.as_mut().filter(|r| r.waits == Waits::Handshake) else { return };
        if info.secure.is_some() {
            run.times.secured.get_or_insert(cx.now);
            self.noted(cx);
            self.agreed(info, cx);
        }
        if self.o.report.as_ref().is_some_and(|r| r.only) {
            self.net.conns.close(t);
            if let Some(run) = &mut self.run {
                run.link = None;
            }
            return self.next(None, cx);
        }
        self.send(cx);
    }
    /// `--explain`: what passed in the handshake.
    fn noted(&mut self, cx: &mut FetchCx<'_>) {
        for line in self.o.tls.as_ref().map(|tls| tls.noted()).unwrap_or_default() {
            self.screen.note(&line, cx);
        }
    }
    /// Tells what both sides have agreed on.
    fn agreed(&mut self, info: &Info, cx: &mut FetchCx<'_>) {
        let (Some(run), Some(secure)) = (&self.run, &info.secure) else { return };
        for d in secure.ignored.iter().filter(|_| !self.o.show.quiet) {
            let detail = if d.detail.is_empty() { String::new() } else { format!(" ({})", d.detail) };
            let line = format!("{}: warning: {}{detail}", self.o.name, d.reason);
            self.screen.note(&line, cx);
        }
        let Some(report) = &self.o.report else { return };
        let seen = Seen {
            url: &run.url.to_string(),
            secure,
            alpn: &info.alpn,
            again: run.again,
            shown: run.url.origin == run.home && self.o.tls.as_ref().is_ok_and(|tls| tls.own().is_some()),
            now: Date(Fetch::now_s(cx)),
        };
        let text = match report.json {
            true => Some(seen.json()),
            false => Some(seen.block(self.o.show.verbose)),
        };
        let chain = secure.chain.clone();
        self.tell(text, cx);
        if let Some(leaf) = chain.first() {
            self.warn_of_end(leaf, cx);
        }
        self.keep_chain(&chain);
    }
    /// Puts a report where the head of an answer goes, or on standard output if it is all that is wanted.
    fn tell(&mut self, text: Option<String>, cx: &mut FetchCx<'_>) {
        let (Some(text), Some(report)) = (text, &self.o.report) else { return };
        let show = &self.o.show;
        if report.json || report.only || !(show.verbose || show.body_only || show.quiet) {
            self.screen.put(text.as_bytes(), cx);
        } else if show.verbose {
            self.screen.note(text.trim_end(), cx);
        }
    }
    /// `--warn-days`.
    fn warn_of_end(&mut self, leaf: &[u8], cx: &mut FetchCx<'_>) {
        let days = self.o.report.as_ref().and_then(|r| r.warn_days);
        let (Some(days), Ok(c)) = (days, Certificate::parse(leaf)) else { return };
        let left = c.not_after.0 - Fetch::now_s(cx);
        if left < i64::from(days) * DAY {
            let left = left.max(0) / DAY;
            let s = if left == 1 { "" } else { "s" };
            let text = format!("warning: certificate ends in {left} day{s}, at {}", c.not_after);
            self.complain(&Failure::new(Code::Answered, text), cx);
        }
    }
    fn keep_chain(&mut self, chain: &[proto_core::Bytes]) {
        if let Some(path) = self.o.report.as_ref().and_then(|r| r.chain_out.clone()) {
            self.chain = Some((path, super::report::pem(chain)));
        }
    }
    /// A layer has failed: in words, and whether another attempt may fare better.
    pub(super) fn told(&mut self, grounds: &Grounds, cx: &mut FetchCx<'_>) -> (Failure, bool) {
        self.noted(cx);
        let passing = matches!(grounds.about, About::Cut | About::Time);
        let Some(run) = &self.run else { return (tls::failure(grounds), passing) };
        let truncated = grounds.defects.first().is_some_and(|d| d.word == "truncated");
        if truncated {
            return (super::trouble::truncated(run), true);
        }
        let Some(Report { json, .. }) = self.o.report.as_ref() else { return (tls::failure(grounds), passing) };
        let home = run.url.origin == run.home;
        let own = self.o.tls.as_ref().ok().and_then(|t| t.own()).filter(|_| home);
        let ready = run.waits != Waits::Handshake;
        let failure = tls::told(grounds, own, ready, cx.wall());
        let url = run.url.to_string();
        let text = match (json, self.o.show.verbose) {
            (true, _) => Some(super::report::failed_json(&url, grounds, failure.code)),
            (false, true) => Some(super::report::chain(&grounds.chain)),
            _ => None,
        };
        let chain = grounds.chain.clone();
        self.keep_chain(&chain);
        self.tell(text.filter(|t| !t.is_empty()), cx);
        (failure, passing)
    }
    /// How a failure is shown: what has lines of its own stands alone.
    pub(super) fn complaint(&self, failure: &Failure) -> String {
        match failure.text.starts_with("Error: ") {
            true => failure.text.clone(),
            false => format!("{}: {failure}", self.o.name),
        }
    }
}
