//! Cuts a connection into whole requests, for servers that look at a request only when all of it is there.
//!
//! States: *head* -> *body* (by length or chunked) -> *head* of the next one ..., or *over* after the last request.
//! Memory: what is not whole yet stays with the caller, at most [`Limits::head`] + twice [`Limits::body`] +
//! [`Limits::chunk_framing`] + [`Limits::trailers`] bytes.
use super::Refusal;
use super::chunked::{Decoder, Part};
use super::head::{Framing, Head, HeadReader, Method, Version};
use super::rules::{Config, Limits, Page, Rules};
use crate::{Fault, Instant, Machine, Rx, Step, Tx};
use alloc::sync::Arc;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A whole request. Answer it before the next poll: answers go out in the order of requests.
    Request {
        /// Head and body, byte for byte as they came.
        raw: &'b mut [u8],
        /// How many of these bytes are the head, with its empty line.
        head_len: usize,
        /// Its method. The answer to `HEAD` has no body.
        method: Method,
        /// Its version.
        version: Version,
        /// False: this is the last request, and the answer must say `Connection: close`.
        keep_alive: bool,
    },
}

#[derive(Debug)]
enum State {
    Head(HeadReader),
    Body {
        head: Head,
        /// Bytes of the request that are understood.
        at: usize,
        chunks: Decoder,
    },
    Over,
}

/// The machine.
#[derive(Debug)]
pub struct Requests {
    rules: Rules,
    state: State,
    /// The stream's byte at which the request begins.
    base: u64,
    /// The empty line before the request was skipped.
    blank: bool,
}

impl Requests {
    /// With the given limits.
    pub fn new(limits: Limits) -> Self {
        Requests {
            rules: Rules::new(Arc::new(Config { limits, ..Config::SERVER })),
            state: State::Head(HeadReader::default()),
            base: 0,
            blank: false,
        }
    }
    /// No request is under way: this is the moment to close an idle connection.
    pub fn is_idle(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.is_fresh())
    }

    fn step<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event<'b>>, Refusal> {
        if let State::Head(reader) = &mut self.state {
            if reader.is_fresh() {
                // One empty line before a request is tolerated (RFC 9112 2.2): old clients end a body with it.
                if !self.blank && rx.peek().starts_with(b"\r\n") {
                    rx.take(2);
                    (self.blank, self.base) = (true, self.base + 2);
                }
                if rx.is_eof() {
                    self.state = State::Over;
                    return Ok(Step::Closed);
                }
                if rx.is_empty() || !self.blank && !rx.is_last() && rx.peek() == b"\r" {
                    return Ok(Step::NeedMore);
                }
                if tx.room() == 0 {
                    return Ok(Step::Paused);
                }
            }
            let Some(len) = reader.read(rx.peek(), &mut self.rules)? else { return wait(rx) };
            let head = reader.judge(rx.peek().get(..len).unwrap_or_default(), &mut self.rules)?;
            self.begin(head, tx)?;
        }
        self.body(rx)
    }
    /// The head is whole.
    fn begin(&mut self, head: Head, tx: &mut Tx) -> Result<(), Refusal> {
        if head.method == Method::Connect {
            return Err(Refusal::new(501, "RFC 9110 9.3.6", "a request for a tunnel", head.len));
        }
        let has_body = match head.framing {
            Framing::Length(n) if n > self.rules.config.limits.body => {
                return Err(Refusal::new(413, "RFC 9110 15.5.14", "a body that is too large", head.len));
            }
            Framing::Length(n) => n > 0,
            Framing::Chunked | Framing::UntilClose => true,
        };
        if has_body && head.expects_continue {
            tx.put(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.state = State::Body { at: head.len, head, chunks: Decoder::default() };
        Ok(())
    }
    fn body<'b>(&mut self, rx: &mut Rx<'b>) -> Result<Step<Event<'b>>, Refusal> {
        let State::Body { head, at, chunks } = &mut self.state else { return Ok(Step::Closed) };
        let whole = match head.framing {
            Framing::Length(n) => head.len.saturating_add(usize::try_from(n).unwrap_or(usize::MAX)),
            Framing::Chunked if skip_chunks(chunks, rx.peek(), at, &mut self.rules)? => *at,
            Framing::Chunked | Framing::UntilClose => return wait(rx),
        };
        if rx.len() < whole {
            return wait(rx);
        }
        let Head { len: head_len, method, version, keep_alive, .. } = *head;
        self.base += whole as u64;
        self.blank = false;
        self.state = if keep_alive { State::Head(HeadReader::default()) } else { State::Over };
        Ok(Step::Event(Event::Request { raw: rx.take(whole), head_len, method, version, keep_alive }))
    }
}

/// The request is unfinished.
fn wait<'b>(rx: &Rx<'b>) -> Result<Step<Event<'b>>, Refusal> {
    if rx.is_last() {
        return Err(Refusal::new(400, "RFC 9112 8", "a request that was cut short", rx.len()));
    }
    Ok(Step::NeedMore)
}

/// Goes over the chunks in `input` from `at` on; true when the last is there.
fn skip_chunks(decoder: &mut Decoder, input: &[u8], at: &mut usize, rules: &mut Rules) -> Result<bool, Refusal> {
    loop {
        let rest = input.get(*at..).unwrap_or_default();
        match decoder.next(rest, rules).map_err(|r| Refusal { at: r.at + *at, ..r })? {
            Part::NeedMore => return Ok(false),
            Part::Framing(n) | Part::Data(n) => *at += n,
            Part::End(n) => {
                *at += n;
                return Ok(true);
            }
        }
    }
}

impl Machine for Requests {
    type Event<'b> = Event<'b>;

    fn poll<'b>(&mut self, _: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event<'b>>, Fault> {
        self.step(rx, tx).map_err(|refusal| {
            self.state = State::Over;
            refusal.tell(Page::Empty, false, tx);
            refusal.fault(self.base)
        })
    }
}
