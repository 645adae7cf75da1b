//! `--scan`: what a server takes of what there is, one handshake after the other.
use super::address::Origin;
use super::net::{FetchCx, Net};
use super::options::Reach;
use super::secured::Secured;
use super::show::Screen;
use crate::outcome::{Code, Failure};
use core::convert::Infallible;
use proto_core::{App, ConnEvent, Deadline, Feed, Input, Signal, Step, Token, http1};

/// A handshake to be tried.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Under which heading it is shown; one that is the same as before is not shown again.
    pub heading: String,
    /// What is tried, alone.
    pub what: String,
    /// The settings in which nothing else is offered.
    pub tls: Secured,
}

/// What is scanned.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// How connections are made.
    pub reach: Reach,
    /// To whom.
    pub to: Origin,
    /// What is tried.
    pub probes: Vec<Probe>,
}

/// The app.
#[derive(Debug)]
pub struct Scan {
    o: Scanned,
    net: Net,
    screen: Screen,
    at: usize,
    link: Option<Token>,
    /// One of them was taken.
    some: bool,
    over: bool,
}

impl Scan {
    /// Tries all of it.
    pub fn new(o: Scanned) -> Self {
        let none = Err(Failure::new(Code::Bug, "nothing is tried yet"));
        let net = Net::new(http1::Config::CLIENT, none);
        Scan { o, net, screen: Screen::default(), at: 0, link: None, some: false, over: false }
    }
    /// The next handshake.
    fn turn(&mut self, cx: &mut FetchCx<'_>) {
        let Some(probe) = self.o.probes.get(self.at) else {
            self.over = true;
            let code = if self.some { Code::Ok } else { Code::Tls };
            return cx.exit(code as u8);
        };
        let before = self.at.checked_sub(1).and_then(|i| self.o.probes.get(i));
        if before.is_none_or(|b| b.heading != probe.heading) {
            self.screen.put(format!("{}:\n", probe.heading).as_bytes(), cx);
        }
        self.net.secure(Ok(probe.tls.clone()));
        if let Err(failure) = self.net.open(&self.o.reach, &self.o.to, (true, true), cx) {
            self.fail(&failure, cx);
        }
    }
    /// Nobody can be asked at all.
    fn fail(&mut self, failure: &Failure, cx: &mut FetchCx<'_>) {
        self.screen.note(&format!("https_client: {failure}"), cx);
        self.over = true;
        cx.exit(failure.code as u8);
    }
    fn is_current(&self, t: Token) -> bool {
        self.link == Some(t)
    }
    /// One handshake is over.
    fn found(&mut self, why_not: Option<&str>, cx: &mut FetchCx<'_>) {
        if let Some(t) = self.link.take() {
            self.net.conns.close(t);
        }
        let what = self.o.probes.get(self.at).map_or("", |p| &p.what);
        let line = match why_not {
            None => format!("  {what}: yes\n"),
            Some(why) => format!("  {what}: no ({why})\n"),
        };
        self.some |= why_not.is_none();
        self.screen.put(line.as_bytes(), cx);
        self.at += 1;
        self.turn(cx);
    }
    fn faulted(&mut self, t: Token, what: &str, cx: &mut FetchCx<'_>) {
        if self.is_current(t) {
            let grounds = self.net.conns.peek(t).and_then(|c| c.grounds());
            let why = grounds.and_then(|g| g.defects.first()).map_or_else(|| what.into(), |d| d.reason.clone());
            self.found(Some(&why), cx);
        }
    }
    fn read(&mut self, t: Token, mut feed: Feed<'_>, cx: &mut FetchCx<'_>) {
        let (mut ready, mut fault) = (false, None);
        loop {
            match self.net.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Ready(_))) => ready = true,
                Ok(Step::Event(ConnEvent::Machine(_))) => {} // who answers what was not asked
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break,
                Err(e) => {
                    fault = Some(e);
                    break;
                }
            }
        }
        self.net.conns.done(feed);
        if ready && self.is_current(t) {
            self.found(None, cx);
        } else if let Some(fault) = fault {
            self.faulted(t, fault.what, cx);
        }
    }
    fn input(&mut self, input: Input<'_, Infallible>, cx: &mut FetchCx<'_>) {
        match self.net.dialed(&input, &self.o.reach, cx) {
            Some(Ok(link)) => return self.link = Some(link.token),
            Some(Err(failure)) => return self.fail(&failure, cx),
            None => {}
        }
        match input {
            Input::Start(start) => {
                self.screen = Screen::new(start);
                if let Some(stdin) = start.stdin {
                    cx.read(stdin, false);
                }
                self.turn(cx);
            }
            Input::Bytes(t, chunk) => {
                let feed = self.net.conns.feed(t, chunk, cx);
                self.read(t, feed, cx);
            }
            Input::Eof(t) => {
                let feed = self.net.conns.end(t, cx);
                self.read(t, feed, cx);
            }
            Input::Connected { conn, .. } if self.net.is_stray(conn) => cx.abort(conn),
            Input::Closed(t, _) if self.screen.is_out(t) => cx.exit(Code::Ok as u8), // whoever read it has gone
            Input::Closed(t, why) => {
                self.faulted(t, &why.to_string(), cx);
                self.net.conns.remove(t);
            }
            Input::Answer(id, answer) => {
                self.net.conns.answer(id, &answer);
            }
            Input::Deadline => {
                while let Some((t, told)) = self.net.conns.due(cx) {
                    if let Err(fault) = told {
                        self.faulted(t, fault.what, cx);
                    }
                }
            }
            Input::Signal(Signal::Interrupt | Signal::Terminate) => {
                self.over = true;
                cx.exit(Code::Interrupted as u8);
            }
            _ => {}
        }
    }
}

impl App for Scan {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut FetchCx<'_>) {
        self.input(input, cx);
        let mut faults = Vec::new();
        self.net.conns.settle(cx, |t, fault| faults.push((t, fault)));
        for (t, fault) in faults {
            self.faulted(t, fault.what, cx);
            self.net.conns.settle(cx, |_, _| {}); // a second fault changes nothing
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        if self.over { None } else { self.net.deadline() }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
