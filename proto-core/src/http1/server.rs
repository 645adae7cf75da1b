//! The server's side of a connection.
//!
//! ```text
//!            head            last byte of the body        answer complete
//!   Head ----------> Body ---------------------> Whole ------------------> Head (keep-alive) or Over
//!     \________________________no body___________^
//! ```
//! The answer runs beside it: *awaited* from the head on, *sending* after [`Server::respond`], *complete* with its last
//! byte. An answer that is complete before the body is read ends the matter: no more events of that request come, and
//! the rest of its body is dropped, up to [`Limits::drain`] bytes; beyond that the connection closes.
//!
//! A request that is pipelined behind an unanswered one waits ([`Step::Paused`]). When something that was put later
//! completes the answer, [`Machine::deadline`] falls due at once, so that a driver polls the kept bytes again.
//!
//! [`Limits::drain`]: super::Limits::drain
use super::Refusal;
use super::clock::{Clock, Due, Phase};
use super::head::{Framing, HeadReader, Method, Version};
use super::receive::{Incoming, Piece};
use super::rules::{Config, Rules};
use super::send::Outgoing;
use crate::{Deadline, Fault, Instant, Machine, Rx, Step, Tx};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

mod answer;
mod event;
pub use answer::Response;
pub use event::{Event, Request};

#[derive(Debug)]
enum Reading {
    Head(HeadReader),
    Body(Incoming),
    /// The request is read.
    Whole,
    Upgraded,
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// There is no request.
    None,
    Awaited,
    Sending,
    Complete,
}

/// What an answer must know of its request.
#[derive(Clone, Copy, Debug)]
struct Asked {
    method: Method,
    version: Version,
    upgrade: bool,
    /// `100 Continue` is expected and was neither sent nor made needless by the body.
    continues: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Server {
    rules: Rules,
    reading: Reading,
    answer: Answer,
    asked: Asked,
    sending: Outgoing,
    clock: Clock,
    /// The connection may be used for another request.
    keep: bool,
    /// The empty line before the request was skipped.
    blank: bool,
    held: bool,
    /// Something happened outside of a poll that a poll should go on with.
    woken: bool,
    /// An event for the next poll, or a fault.
    upgraded: bool,
    dropped: u64,
    requests: u32,
}

impl Server {
    /// With the given settings: a `Config`, or an `Arc` of one that many connections share.
    pub fn new(config: impl Into<Arc<Config>>) -> Self {
        let mut clock = Clock::default();
        clock.enter(Phase::First);
        Server {
            rules: Rules::new(config.into()),
            reading: Reading::Head(HeadReader::default()),
            answer: Answer::None,
            asked: Asked { method: Method::Other, version: Version::Http11, upgrade: false, continues: false },
            sending: Outgoing::default(),
            clock,
            keep: true,
            blank: false,
            held: false,
            woken: false,
            upgraded: false,
            dropped: 0,
            requests: 0,
        }
    }
    /// No request is under way: this is the moment to close an idle connection.
    pub fn is_idle(&self) -> bool {
        matches!(&self.reading, Reading::Head(head) if head.is_fresh())
    }
    /// A request waits for [`Server::respond`].
    pub fn is_awaiting(&self) -> bool {
        self.answer == Answer::Awaited
    }
    /// The answer to the request under way, or to the next one, is the last: it says `Connection: close`. A connection
    /// that is idle stays open for that request; close it when it had its time.
    pub fn close_after(&mut self) {
        self.keep = false;
    }
    /// Takes no more of the body until it is let go, for an app whose own consumer is full. The body's clock stands
    /// still. After letting go, poll.
    pub fn hold(&mut self, on: bool) {
        self.woken |= self.held && !on;
        self.held = on;
        if matches!(self.reading, Reading::Body(_)) {
            self.clock.enter(if on { Phase::Off } else { Phase::Body });
        }
    }
    /// What the last heads and bodies broke and was forgiven, with places in the stream. At most 64 are kept.
    pub fn take_forgiven(&mut self) -> Vec<Fault> {
        core::mem::take(&mut self.rules.forgiven)
    }
    /// A [`Step::Paused`] that room in the output does not end: the answer, or letting go of the body, does.
    pub fn waits_for_app(&self) -> bool {
        match self.reading {
            Reading::Body(_) => self.held,
            Reading::Whole => self.answer != Answer::Complete,
            Reading::Upgraded => true,
            Reading::Head(_) | Reading::Over => false,
        }
    }

    fn step<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event<'b>>, Refusal> {
        loop {
            match &mut self.reading {
                Reading::Head(_) => return self.read_head(rx, tx),
                Reading::Body(_) => {
                    if let Some(step) = self.read_body(rx)? {
                        return Ok(step);
                    }
                }
                Reading::Whole if self.answer == Answer::Complete => self.next_request(),
                Reading::Whole if rx.is_empty() && !rx.is_last() => return Ok(Step::NeedMore),
                Reading::Whole => return Ok(Step::Paused),
                Reading::Upgraded if self.upgraded => {
                    self.upgraded = false;
                    return Ok(Step::Event(Event::Upgraded));
                }
                Reading::Upgraded if rx.is_eof() => return Ok(Step::Closed),
                Reading::Upgraded => return Ok(Step::Paused),
                Reading::Over => return Ok(Step::Closed),
            }
        }
    }
    fn next_request(&mut self) {
        self.answer = Answer::None;
        self.reading = if self.keep { Reading::Head(HeadReader::default()) } else { Reading::Over };
        self.blank = false;
        self.clock.enter_now(if self.keep { Phase::Idle } else { Phase::Off });
    }
    fn read_head<'b>(&mut self, rx: &mut Rx<'b>, tx: &Tx) -> Result<Step<Event<'b>>, Refusal> {
        let Reading::Head(reader) = &mut self.reading else { return Ok(Step::Closed) };
        if reader.is_fresh() {
            // One empty line before a request is tolerated (RFC 9112 2.2): old clients end a body with it.
            if !self.blank && rx.peek().starts_with(b"\r\n") {
                rx.take(2);
                (self.blank, self.rules.base) = (true, self.rules.base + 2);
            }
            if rx.is_eof() {
                self.end();
                return Ok(Step::Closed);
            }
            if rx.is_empty() || !self.blank && !rx.is_last() && rx.peek() == b"\r" {
                return Ok(Step::NeedMore);
            }
            if tx.room() == 0 {
                return Ok(Step::Paused);
            }
            self.clock.enter_now(Phase::Head);
        }
        let Some(len) = reader.read(rx.peek(), &mut self.rules)? else {
            if rx.is_last() {
                return Err(Refusal::new(400, "RFC 9112 8", "a request that was cut short", rx.len()));
            }
            return Ok(Step::NeedMore);
        };
        let raw = rx.take(len);
        reader.unfold(raw);
        let head = reader.judge(raw, &mut self.rules)?;
        self.asked = Asked {
            method: head.method,
            version: head.version,
            upgrade: head.upgrade,
            continues: head.expects_continue,
        };
        if head.method == Method::Connect && !self.rules.config.tunnels {
            return Err(Refusal::new(501, "RFC 9110 9.3.6", "a request for a tunnel", len));
        }
        if let Framing::Length(n) = head.framing
            && n > self.rules.config.limits.body
        {
            return Err(Refusal::new(413, "RFC 9110 15.5.14", "a body that is too large", len));
        }
        self.rules.base += len as u64;
        self.requests += 1;
        self.keep &= head.keep_alive && self.requests < self.rules.config.limits.requests;
        (self.answer, self.dropped) = (Answer::Awaited, 0);
        self.asked.continues &= head.framing != Framing::Length(0);
        self.reading = match head.framing {
            Framing::Length(0) => Reading::Whole,
            framing => Reading::Body(Incoming::new(framing)),
        };
        let body = head.framing != Framing::Length(0);
        // Who waits for 100 Continue is waited for only when it was sent.
        self.clock.enter_now(if body && !self.asked.continues { Phase::Body } else { Phase::Off });
        Ok(Step::Event(Event::Request(Request { raw, head })))
    }
    /// `None` to go on with the state.
    fn read_body<'b>(&mut self, rx: &mut Rx<'b>) -> Result<Option<Step<Event<'b>>>, Refusal> {
        let Reading::Body(incoming) = &mut self.reading else { return Ok(None) };
        let drains = self.answer == Answer::Complete;
        if drains
            && (!self.keep
                || self.asked.continues
                || incoming.left().saturating_add(self.dropped) > self.rules.config.limits.drain)
        {
            self.end();
            return Ok(None);
        }
        if self.held && !drains {
            return Ok(Some(Step::Paused));
        }
        if self.asked.continues && !rx.is_empty() {
            self.asked.continues = false; // it sends the body all the same
            self.clock.enter_now(Phase::Body);
        }
        Ok(Some(match incoming.next(rx, &mut self.rules)? {
            Piece::NeedMore => Step::NeedMore,
            Piece::Data(bytes) => {
                self.clock.body(bytes.len(), &self.rules.config.times);
                if drains {
                    self.dropped += bytes.len() as u64;
                    return Ok(None);
                }
                Step::Event(Event::Body(bytes))
            }
            Piece::Trailers(_) if drains => return Ok(None),
            Piece::Trailers(fields) => Step::Event(Event::Trailers(fields)),
            Piece::End => {
                self.reading = Reading::Whole;
                self.clock.enter(Phase::Off);
                if drains {
                    return Ok(None);
                }
                Step::Event(Event::End)
            }
        }))
    }
    fn end(&mut self) {
        self.reading = Reading::Over;
        self.clock.enter(Phase::Off);
    }
    /// Says why, if an answer is still possible.
    fn refuse(&mut self, refusal: Refusal, tx: &mut Tx) -> Fault {
        self.end();
        if matches!(self.answer, Answer::None | Answer::Awaited) {
            let mute = self.answer == Answer::Awaited && self.asked.method == Method::Head;
            refusal.tell(self.rules.config.page, mute, tx);
            self.answer = Answer::Complete;
        }
        refusal.fault(self.rules.base)
    }
    /// Frames what the app has put.
    fn send(&mut self, tx: &mut Tx) {
        if self.answer == Answer::Sending {
            self.sending.fill(tx);
            self.sent();
        }
    }
    /// Notes whether the answer is complete now.
    fn sent(&mut self) {
        if self.answer == Answer::Sending && self.sending.is_over() {
            self.answer = Answer::Complete;
            self.woken = true;
            if matches!(self.reading, Reading::Body(_)) {
                self.clock.enter(Phase::Body);
            }
        }
    }
}

impl Machine for Server {
    type Event<'b> = Event<'b>;

    fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event<'b>>, Fault> {
        self.clock.tick(now, tx);
        let before = tx.len();
        self.send(tx);
        self.woken = false;
        if let Some(fault) = self.sending.fault() {
            self.end();
            return Err(fault);
        }
        let step = self.step(rx, tx).map_err(|refusal| self.refuse(refusal, tx));
        self.clock.wrote(before, tx);
        step
    }
    fn fill(&mut self, now: Instant, tx: &mut Tx) {
        self.clock.tick(now, tx);
        let before = tx.len();
        self.send(tx);
        self.clock.wrote(before, tx);
    }
    fn deadline(&self) -> Option<Deadline> {
        if self.woken {
            return Some(Deadline::new(self.clock.now(), Duration::ZERO, "next poll"));
        }
        self.clock.deadline(&self.rules.config.times).map(|(_, deadline)| deadline)
    }
    fn on_deadline(&mut self, now: Instant, tx: &mut Tx) -> Result<(), Fault> {
        self.clock.tick(now, tx);
        let Some((due, deadline)) = self.clock.deadline(&self.rules.config.times) else { return Ok(()) };
        if self.woken || deadline.at > now {
            self.woken = false;
            return Ok(());
        }
        let phase = match due {
            Due::Phase(phase) => phase,
            Due::Stall => {
                self.end();
                return Err(Refusal::new(408, "RFC 9112 9.5", "an answer that was not read", 0).fault(self.rules.base));
            }
        };
        match phase {
            // Nothing was asked, so there is nothing to answer (RFC 9112 9.5).
            Phase::First | Phase::Idle if self.is_idle() => self.end(),
            Phase::Off => {}
            _ => {
                let what = if phase == Phase::Body { "a body that is too slow" } else { "a head that is too slow" };
                return Err(self.refuse(Refusal::new(408, "RFC 9110 15.5.9", what, 0), tx));
            }
        }
        Ok(())
    }
}
