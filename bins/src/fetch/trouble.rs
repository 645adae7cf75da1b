//! What goes wrong, in words, and whether it is worth another attempt.
use super::app::Fetch;
use super::judge;
use super::net::{FetchCx, Route};
use super::run::{Run, Waits};
use super::starttls;
use crate::outcome::{Code, Failure, network};
use crate::text::{Escaped, Thousands, span};
use proto_core::http1::{Framing, Times};
use proto_core::{Fault, Reason, Token};

/// The machine's words for what a failure of the network can be, too.
const SHORT: &str = "a body that was cut short";
const EARLY: &str = "a connection closed before an answer";

impl Fetch {
    /// A rule was broken on a connection.
    pub(super) fn faulted(&mut self, t: Token, fault: Fault, cx: &mut FetchCx<'_>) {
        self.net.forget(t);
        if !self.is_current(t) {
            return;
        }
        if self.run.as_ref().is_none_or(|r| r.got.ended) {
            return;
        }
        if let Some(grounds) = self.net.conns.peek(t).and_then(|c| c.grounds()).cloned() {
            let (failure, passing) = self.told(&grounds, cx);
            return self.broke(failure, passing, cx);
        }
        let Some(run) = &self.run else { return };
        let network = fault.what == SHORT || fault.what == EARLY || fault.code == 504;
        let failure = words(run, &fault, &self.o.http.times);
        self.broke(failure, network, cx);
    }
    pub(super) fn closed(&mut self, t: Token, why: Reason, cx: &mut FetchCx<'_>) {
        self.net.forget(t);
        let current = self.is_current(t);
        self.net.conns.remove(t);
        if !current {
            return;
        }
        let Some(run) = &self.run else { return };
        let failure = match run.got.status {
            0 if run.waits == Waits::Handshake && network(why) == Code::Connect => {
                Failure::new(Code::Protocol, format!("{why} during handshake with {}", run.url.origin.host_port()))
            }
            0 if why == Reason::FileShort => Failure::new(Code::Local, "a file of the body became shorter meanwhile"),
            0 => Failure::new(network(why), format!("connection to {}: {why}", run.url.origin.host_port())),
            _ => Failure::new(Code::Protocol, format!("{why}: {}", progress(run))),
        };
        self.broke(failure, why != Reason::FileShort, cx);
    }
    /// The connection of the request is of no use any more; `network`: another one might be.
    pub(super) fn broke(&mut self, failure: Failure, network: bool, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        let link = run.link.take();
        let idempotent = judge::is_idempotent(&run.method);
        if let Some(link) = &link {
            self.net.forget(link.token);
            self.net.conns.close(link.token);
        }
        // The server may have closed it before it saw the request: that is nobody's fault, and tried anew at once.
        if network && link.is_some_and(|l| l.reused) && !run.got.heard && idempotent {
            run.fresh = true;
            return self.connect(cx);
        }
        self.failed(failure, network && idempotent, cx);
    }
    /// An attempt has failed; `network`: for reasons that may pass.
    pub(super) fn failed(&mut self, failure: Failure, network: bool, cx: &mut FetchCx<'_>) {
        let Some(run) = &mut self.run else { return };
        if network && run.tries < self.o.retry && !run.shown && failure.code != Code::Local {
            let n = run.tries + 1;
            self.drop_link(cx);
            return self.again(judge::wait(None, n, 0), &failure.text, cx);
        }
        self.abandon(failure, cx);
    }
    /// The URL is given up.
    pub(super) fn abandon(&mut self, failure: Failure, cx: &mut FetchCx<'_>) {
        self.drop_link(cx);
        self.next(Some(failure), cx);
    }
    fn drop_link(&mut self, cx: &mut FetchCx<'_>) {
        self.net.give_up();
        if let Some(link) = self.run.as_mut().and_then(|r| r.link.take()) {
            self.net.forget(link.token);
            self.net.conns.remove(link.token);
            cx.abort(link.token);
        }
    }
}

/// How much of a body has come.
fn progress(run: &Run) -> String {
    match run.got.framing {
        Some(Framing::Length(n)) => format!("got {} of {} bytes", Thousands(run.got.body), Thousands(n)),
        Some(Framing::Chunked) => format!("got {} bytes, the last chunk is missing", Thousands(run.got.body)),
        _ => format!("got {} bytes", Thousands(run.got.body)),
    }
}

/// TLS was cut off: whether something is missing is not known if the body ends with the connection.
pub(super) fn truncated(run: &Run) -> Failure {
    match (run.got.status, run.got.framing) {
        (0, _) => Failure::new(Code::Connect, "connection closed before the answer"),
        (_, Some(Framing::UntilClose)) => {
            let text = format!("warning: connection cut without TLS close: {}", progress(run));
            Failure::new(Code::Protocol, text)
        }
        _ => Failure::new(Code::Protocol, format!("connection closed: {}", progress(run))),
    }
}

fn words(run: &Run, fault: &Fault, times: &Times) -> Failure {
    let protocol = |text: String| Failure::new(Code::Protocol, text);
    let timeout = |d, what: &str| Failure::new(Code::Timeout, format!("timeout after {} waiting for {what}", span(d)));
    if fault.rule == starttls::RULE {
        let late = fault.what.ends_with("in time");
        let code = if late { Code::Timeout } else { Code::Protocol };
        return Failure::new(code, format!("STARTTLS with {}: {}", run.url.origin.host_port(), fault.what));
    }
    if let (Route::Tunnel(proxy), 0) = (&run.route, run.got.status)
        && let Some(failure) = proxy.failure(fault, &run.url.origin.host_port())
    {
        return failure;
    }
    match (fault.what, fault.code) {
        ("an answer that did not begin in time", 504) if run.waits == Waits::Handshake => {
            Failure::new(Code::Timeout, format!("tunnel to {}: the proxy does not answer", run.url.origin.host_port()))
        }
        ("an answer that is not HTTP", _) => {
            protocol(format!("not an HTTP response: at byte {}: \"{}\"", fault.offset, Escaped(&run.got.first)))
        }
        (SHORT, _) => protocol(format!("connection closed: {}", progress(run))),
        (EARLY, _) => Failure::new(Code::Connect, "connection closed before the answer"),
        ("an answer that did not begin in time", 504) => timeout(times.idle, "the first byte"),
        ("a head that is too slow", 504) => timeout(times.head, "the rest of the head"),
        ("a body that is too slow", 504) => timeout(times.body_grace, "the rest of the body"),
        ("a request that was not read", 504) => timeout(times.stall, "the server to read the request"),
        _ => protocol(fault.to_string()),
    }
}
