//! The client's side of a connection.
//!
//! ```text
//!            1xx                    head            last byte of the body
//!   Head <---------- Head ---------------> Body ---------------------------> Head (keep-alive) or Over
//!                      \_____no body______________________________________^
//! ```
//! Answers come in the order of requests, which may be sent ahead of them, up to [`Limits::pipeline`]. The request's own
//! body runs beside it. An answer that is over before it was sent ends the connection.
//!
//! [`Limits::pipeline`]: super::Limits::pipeline
use super::Refusal;
use super::clock::{Clock, Due, Phase};
use super::head::Framing;
use super::receive::{Incoming, Piece};
use super::response::{ResponseHead, ResponseReader};
use super::rules::{Config, Rules};
use super::send::Outgoing;
use crate::{Deadline, Fault, Instant, Machine, Rx, Step, Tx};
use alloc::vec::Vec;
use alloc::{collections::VecDeque, sync::Arc};
use core::time::Duration;

mod ask;
mod event;
pub use ask::Request;
pub use event::{Event, Response};

#[derive(Debug)]
enum Reading {
    Head(ResponseReader),
    Body(Incoming),
    Upgraded,
    Over,
}

/// What an answer's reader must know of its request.
#[derive(Clone, Copy, Debug)]
struct Asked {
    head: bool,
    connect: bool,
    upgrade: bool,
    close: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Client {
    rules: Rules,
    reading: Reading,
    /// Requests without an answer, the one being answered first.
    asked: VecDeque<Asked>,
    sending: Outgoing,
    /// A request's body is under way.
    busy: bool,
    clock: Clock,
    /// The connection may be used for another request.
    keep: bool,
    held: bool,
    /// A byte of the first answer that is outstanding has come.
    heard: bool,
    informational: u32,
    woken: bool,
}

impl Client {
    /// With the given settings: a `Config`, or an `Arc` of one that many connections share.
    pub fn new(config: impl Into<Arc<Config>>) -> Self {
        Client {
            rules: Rules::new(config.into()),
            reading: Reading::Head(ResponseReader::default()),
            asked: VecDeque::new(),
            sending: Outgoing::default(),
            busy: false,
            clock: Clock::default(),
            keep: true,
            held: false,
            heard: false,
            informational: 0,
            woken: false,
        }
    }
    /// Requests whose answers are not complete.
    pub fn outstanding(&self) -> usize {
        self.asked.len()
    }
    /// A request's body is not all sent yet.
    pub fn is_sending(&self) -> bool {
        self.busy
    }
    /// Another request may be sent now.
    pub fn is_ready(&self) -> bool {
        let open = matches!(self.reading, Reading::Head(_) | Reading::Body(_));
        open && self.keep && !self.busy && self.asked.len() < self.rules.config.limits.pipeline
    }
    /// Nothing is outstanding and the connection may be used again: it can go back to a pool.
    pub fn is_idle(&self) -> bool {
        self.is_ready() && self.asked.is_empty()
    }
    /// A byte of the answer to the oldest request has come, so that the server must have seen it: it may not simply be
    /// sent again. Stays as it was when the connection fails.
    pub fn has_heard(&self) -> bool {
        self.heard
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
    /// A [`Step::Paused`] that room in the output does not end: letting go of the body does, or taking the machine away.
    pub fn waits_for_app(&self) -> bool {
        match self.reading {
            Reading::Body(_) => self.held,
            Reading::Upgraded => true,
            Reading::Head(_) | Reading::Over => false,
        }
    }

    fn step<'b>(&mut self, rx: &mut Rx<'b>) -> Result<Step<Event<'b>>, Refusal> {
        match &mut self.reading {
            Reading::Head(_) => self.read_head(rx),
            Reading::Body(_) => self.read_body(rx),
            Reading::Upgraded if rx.is_eof() => Ok(Step::Closed),
            Reading::Upgraded => Ok(Step::Paused),
            Reading::Over => Ok(Step::Closed),
        }
    }
    fn read_head<'b>(&mut self, rx: &mut Rx<'b>) -> Result<Step<Event<'b>>, Refusal> {
        let Reading::Head(reader) = &mut self.reading else { return Ok(Step::Closed) };
        let Some(asked) = self.asked.front().copied() else {
            if rx.is_eof() {
                self.end();
                return Ok(Step::Closed);
            }
            if rx.is_empty() {
                return Ok(Step::NeedMore);
            }
            return Err(Refusal::new(502, "RFC 9112 9.2", "an answer that nobody asked for", 0));
        };
        if !rx.is_empty() && reader.is_fresh() {
            self.heard = true;
            self.clock.enter_now(Phase::Head);
        }
        let Some(len) = reader.read(rx.peek(), &mut self.rules)? else {
            return match rx.is_last() {
                true if rx.is_empty() => {
                    Err(Refusal::new(502, "RFC 9112 8", "a connection closed before an answer", 0))
                }
                true => Err(Refusal::new(502, "RFC 9112 8", "an answer that was cut short", rx.len())),
                false => Ok(Step::NeedMore),
            };
        };
        let raw = rx.take(len);
        reader.unfold(raw);
        let head = reader.judge(raw, &mut self.rules)?;
        self.decide(raw, head, asked)
    }
    /// What follows a whole head (RFC 9112 6.3).
    fn decide<'b>(&mut self, raw: &'b [u8], mut head: ResponseHead, asked: Asked) -> Result<Step<Event<'b>>, Refusal> {
        let status = head.status;
        if status == 101 && !(asked.upgrade && head.upgrade) {
            return Err(Refusal::new(502, "RFC 9110 7.8", "an upgrade that nobody asked for", raw.len()));
        }
        let hands_over = status == 101 || asked.connect && (200..300).contains(&status);
        if asked.head || hands_over || matches!(status, 100..=199 | 204 | 304) {
            head.framing = Framing::Length(0);
        }
        if matches!(head.framing, Framing::Length(n) if n > self.rules.config.limits.body) {
            return Err(Refusal::new(502, "RFC 9110 15.5.14", "a body that is too large", raw.len()));
        }
        if (100..200).contains(&status) && !hands_over {
            self.informational += 1;
            if self.informational > self.rules.config.limits.informational {
                return Err(Refusal::new(502, "RFC 9110 15.2", "too many informational answers", raw.len()));
            }
            self.rules.base += raw.len() as u64;
            self.reading = Reading::Head(ResponseReader::default());
            self.clock.enter_now(if self.busy { Phase::Off } else { Phase::Answer });
            return Ok(Step::Event(Event::Informational(Response { raw, head })));
        }
        self.rules.base += raw.len() as u64;
        if hands_over {
            self.reading = Reading::Upgraded;
            self.asked.clear();
            self.clock.enter(Phase::Off);
            return Ok(Step::Event(Event::Upgraded(Response { raw, head })));
        }
        self.keep &= head.keep_alive && !asked.close && head.framing != Framing::UntilClose;
        if head.framing == Framing::Length(0) {
            self.answered();
        } else {
            self.reading = Reading::Body(Incoming::new(head.framing));
            self.clock.enter_now(Phase::Body);
        }
        Ok(Step::Event(Event::Response(Response { raw, head })))
    }
    fn read_body<'b>(&mut self, rx: &mut Rx<'b>) -> Result<Step<Event<'b>>, Refusal> {
        let Reading::Body(incoming) = &mut self.reading else { return Ok(Step::Closed) };
        if self.held {
            return Ok(Step::Paused);
        }
        Ok(match incoming.next(rx, &mut self.rules)? {
            Piece::NeedMore => Step::NeedMore,
            Piece::Data(bytes) => {
                self.clock.body(bytes.len(), &self.rules.config.times);
                Step::Event(Event::Body(bytes))
            }
            Piece::Trailers(fields) => Step::Event(Event::Trailers(fields)),
            Piece::End => {
                self.answered();
                Step::Event(Event::End)
            }
        })
    }
    /// The answer to the oldest request is complete.
    fn answered(&mut self) {
        self.asked.pop_front();
        (self.heard, self.informational) = (false, 0);
        if self.busy && self.asked.is_empty() {
            self.keep = false; // the rest of the request's body is not worth sending
            self.sending.abandon();
            self.busy = false;
        }
        if !self.keep {
            return self.end();
        }
        self.reading = Reading::Head(ResponseReader::default());
        // The last request may still be on its way out.
        let waits = self.asked.len() > usize::from(self.busy);
        self.clock.enter_now(if waits { Phase::Answer } else { Phase::Off });
    }
    fn end(&mut self) {
        self.reading = Reading::Over;
        self.keep = false;
        self.clock.enter(Phase::Off);
    }
    fn fail(&mut self, refusal: Refusal) -> Fault {
        self.end();
        // Of the reader's statuses, which are what a server would say.
        Refusal { status: 502, ..refusal }.fault(self.rules.base)
    }
    fn send(&mut self, tx: &mut Tx) {
        self.sending.fill(tx);
        self.sent();
    }
    /// Notes whether the request's body is all framed now.
    fn sent(&mut self) {
        if self.busy && self.sending.is_over() {
            self.busy = false;
            if self.clock.phase() == Phase::Off && matches!(&self.reading, Reading::Head(r) if r.is_fresh()) {
                self.clock.enter(Phase::Answer);
            }
        }
    }
}

impl Machine for Client {
    type Event<'b> = Event<'b>;

    fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event<'b>>, Fault> {
        self.clock.tick(now, tx);
        let before = tx.len();
        self.send(tx);
        self.clock.wrote(before, tx);
        self.woken = false;
        if let Some(fault) = self.sending.fault() {
            self.end();
            return Err(fault);
        }
        self.step(rx).map_err(|refusal| self.fail(refusal))
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
        let what = match due {
            Due::Stall => "a request that was not read",
            Due::Phase(Phase::Answer) => "an answer that did not begin in time",
            Due::Phase(Phase::Body) => "a body that is too slow",
            Due::Phase(_) => "a head that is too slow",
        };
        self.end();
        Err(Refusal::new(504, "RFC 9112 9.5", what, 0).fault(self.rules.base))
    }
}
