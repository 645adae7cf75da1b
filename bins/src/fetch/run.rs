//! One URL on its way: redirects, attempts, and the answer that is coming.
use super::address::{Address, Origin};
use super::decode::Decoder;
use super::file::Download;
use super::judge::Redirect;
use super::net::{Link, Route};
use super::pretty::Pretty;
use crate::outcome::Failure;
use core::time::Duration;
use proto_core::http1::{Framing, Version};
use proto_core::{Deadline, Instant};

/// What is waited for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Waits {
    /// The file to be opened.
    #[default]
    File,
    /// A connection.
    Connection,
    /// Its layers: a tunnel to be open, a handshake to be over.
    Handshake,
    /// `100 Continue`, until then.
    Continue(Instant),
    /// The answer.
    Answer,
    /// The file that the head named to be opened.
    Named,
    /// The time of the next attempt.
    Again(Deadline),
    /// The disk.
    Disk,
    /// The disk, to be given up then.
    Leaving,
}

/// Where a body goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dest {
    /// Nowhere.
    #[default]
    Drop,
    /// Standard output.
    Show,
    /// The file.
    Save,
}

/// What follows an answer.
#[derive(Clone, Debug, Default)]
pub enum After {
    /// The next URL.
    #[default]
    Next,
    /// Another request.
    Redirect(Redirect),
    /// Another attempt after a while.
    Again(Duration),
    /// The file is whole already.
    Whole,
    /// A failure.
    Fail(Failure),
}

/// An answer.
#[derive(Debug, Default)]
pub struct Got {
    /// Its status; 0 while there is none.
    pub status: u16,
    /// Its version.
    pub version: Option<Version>,
    /// `Content-Type`.
    pub media: String,
    /// How its body ends.
    pub framing: Option<Framing>,
    /// Its first bytes as they came, for who speaks something else.
    pub first: Vec<u8>,
    /// A byte of it has come.
    pub heard: bool,
    /// Bytes of its head.
    pub head: u64,
    /// Bytes of its body, as they came and as they were shown or saved.
    pub body: u64,
    /// See `body`.
    pub out: u64,
    /// What undoes its codings.
    pub decoder: Option<Decoder>,
    /// What makes it readable on a terminal.
    pub pretty: Option<Pretty>,
    /// Where its body goes.
    pub dest: Dest,
    /// What follows it.
    pub after: After,
    /// It is whole.
    pub ended: bool,
    /// Its body is worth no more reading: the connection ends with it.
    pub enough: bool,
    /// What tells this state of the body from others.
    pub validator: Option<String>,
}

/// When things happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// The URL's turn.
    pub began: Instant,
    /// A connection was there.
    pub connected: Option<Instant>,
    /// Its handshake was over.
    pub secured: Option<Instant>,
    /// The last request was sent.
    pub sent: Option<Instant>,
    /// The first byte of the last answer came.
    pub first: Option<Instant>,
    /// The body of the last answer began.
    pub body: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub struct Run {
    /// Where we are now.
    pub url: Address,
    /// Where we began: what is secret was meant for there.
    pub home: Origin,
    /// The method.
    pub method: String,
    /// The body goes with it.
    pub with_body: bool,
    /// Redirects and attempts so far.
    pub hops: u32,
    /// See `hops`.
    pub tries: u32,
    /// How it is reached.
    pub route: Route,
    /// The connection.
    pub link: Option<Link>,
    /// New connections of this URL.
    pub connects: u32,
    /// Who is at its other end.
    pub remote: String,
    /// Only a new connection will do.
    pub fresh: bool,
    /// See [`super::options::Job::again`].
    pub again: bool,
    /// What is waited for.
    pub waits: Waits,
    /// The file.
    pub download: Option<Download>,
    /// The request asked for the body from this byte on.
    pub from: u64,
    /// The answer.
    pub got: Got,
    /// When things happened.
    pub times: Times,
    /// A byte of a body was shown, so that a further attempt would show it twice.
    pub shown: bool,
    /// What is received is held back: until then, by `--limit-rate`.
    pub slow_until: Option<Instant>,
    /// When the bar is drawn next.
    pub bar_at: Option<Instant>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

impl Run {
    /// At the beginning.
    pub fn new(url: &Address, method: String, with_body: bool, now: Instant) -> Self {
        Run {
            url: url.clone(),
            home: url.origin.clone(),
            method,
            with_body,
            hops: 0,
            tries: 0,
            route: Route::Direct,
            link: None,
            connects: 0,
            remote: String::new(),
            fresh: false,
            again: false,
            waits: Waits::File,
            download: None,
            from: 0,
            got: Got::default(),
            times: Times { began: now, ..Times::default() },
            shown: false,
            slow_until: None,
            bar_at: None,
            failure: None,
        }
    }
    /// Bytes of the body that were announced.
    pub fn promised(&self) -> Option<u64> {
        if let Some(Framing::Length(n)) = self.got.framing { Some(n) } else { None }
    }
    /// What a timeout was waiting for.
    pub fn phase(&self) -> &'static str {
        match self.waits {
            Waits::File | Waits::Named | Waits::Disk | Waits::Leaving => "the disk",
            Waits::Connection => "a connection",
            Waits::Handshake => "the handshake",
            Waits::Again(_) => "the next attempt",
            Waits::Continue(_) | Waits::Answer if self.got.status > 0 => "the rest of the body",
            Waits::Continue(_) | Waits::Answer if self.got.heard => "the rest of the head",
            Waits::Continue(_) | Waits::Answer => "the first byte",
        }
    }
}
