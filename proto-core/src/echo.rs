//! Echo, for raw clients and for HTTP load generators alike.
//!
//! States: *undecided* (at most 16 bytes, at most 200 ms) -> *plain* (bytes come back as they are) or *HTTP* (each
//! request is answered with its own bytes as the body). [`Mode`] may decide beforehand.
use crate::{Deadline, Fault, Instant, Machine, Rx, Step, Tx, http1};
use alloc::boxed::Box;
use core::time::Duration;

/// Whether requests of HTTP/1.x are answered as such.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// The first bytes of a connection decide: [`http1::looks_like_request`].
    #[default]
    Auto,
    /// Every connection is HTTP.
    On,
    /// None is.
    Off,
}

/// What is bounded, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Of requests.
    pub http: http1::Limits,
    /// How long bytes wait that may yet become a request: no more than a person notices.
    pub undecided: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { http: http1::Limits::default(), undecided: Duration::from_millis(200) }
    }
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// Bytes to be sent back.
    Bytes(&'b mut [u8]),
    /// A request of this many bytes. Its answer is in the output.
    Answered(usize),
}

#[derive(Debug)]
enum State {
    /// The time at which the first of the waiting bytes came.
    Undecided(Option<Instant>),
    Plain,
    Http(Box<http1::Requests>),
}

/// The machine.
#[derive(Debug)]
pub struct Echo {
    limits: Limits,
    state: State,
}

impl Echo {
    /// With the given limits.
    pub fn new(mode: Mode, limits: Limits) -> Self {
        let state = match mode {
            Mode::Auto => State::Undecided(None),
            Mode::On => State::Http(Box::new(http1::Requests::new(limits.http))),
            Mode::Off => State::Plain,
        };
        Echo { limits, state }
    }
    /// It is a plain echo for good: whoever knows a cheaper way to send bytes back may take the connection over.
    pub fn is_plain(&self) -> bool {
        matches!(self.state, State::Plain)
    }
    /// It is HTTP.
    pub fn is_http(&self) -> bool {
        matches!(self.state, State::Http(_))
    }
    /// False if more bytes are needed.
    fn decide(&mut self, now: Instant, rx: &Rx<'_>) -> bool {
        let State::Undecided(since) = &mut self.state else { return true };
        match http1::looks_like_request(rx.peek()) {
            Some(true) => self.state = State::Http(Box::new(http1::Requests::new(self.limits.http))),
            Some(false) => self.state = State::Plain,
            None if rx.is_last() => self.state = State::Plain,
            None if rx.is_empty() => return false,
            None => {
                since.get_or_insert(now);
                return false;
            }
        }
        true
    }
}

impl Machine for Echo {
    type Event<'b> = Event<'b>;

    fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event<'b>>, Fault> {
        if !self.decide(now, rx) {
            return Ok(Step::NeedMore);
        }
        let State::Http(requests) = &mut self.state else {
            return Ok(match (rx.is_empty(), rx.is_last()) {
                (true, true) => Step::Closed,
                (true, false) => Step::NeedMore,
                (false, _) if tx.room() == 0 => Step::Paused,
                (false, _) => Step::Event(Event::Bytes(rx.take(rx.len()))),
            });
        };
        Ok(match requests.poll(now, rx, tx)? {
            Step::Event(http1::Event::Request { raw, method, version, keep_alive, .. }) => {
                answer(raw, method, version, keep_alive, tx);
                Step::Event(Event::Answered(raw.len()))
            }
            Step::NeedMore => Step::NeedMore,
            Step::Paused => Step::Paused,
            Step::Closed => Step::Closed,
        })
    }
    fn deadline(&self) -> Option<Deadline> {
        match self.state {
            State::Undecided(Some(since)) => Some(Deadline::new(since, self.limits.undecided, "more of a request")),
            State::Undecided(None) | State::Plain | State::Http(_) => None,
        }
    }
    fn on_deadline(&mut self, _: Instant, _: &mut Tx) -> Result<(), Fault> {
        if let State::Undecided(Some(_)) = self.state {
            self.state = State::Plain;
        }
        Ok(())
    }
}

/// The request itself as the answer's body.
fn answer(raw: &[u8], method: http1::Method, version: http1::Version, keep_alive: bool, tx: &mut Tx) {
    tx.put(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ");
    http1::put_number(raw.len() as u64, tx);
    // HTTP/1.0 keeps a connection only if it is told so (RFC 9112 9.3).
    tx.put(match (keep_alive, version) {
        (true, http1::Version::Http11) => b"\r\n\r\n",
        (true, http1::Version::Http10) => b"\r\nConnection: keep-alive\r\n\r\n",
        (false, _) => b"\r\nConnection: close\r\n\r\n",
    });
    if method != http1::Method::Head {
        tx.put(raw); // the length is told to HEAD too, the body is not (RFC 9110 9.3.2)
    }
}
