//! What is bounded, what is timed, and what is forgiven.
use super::Refusal;
use crate::{Fault, Tx};
use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;

/// The largest number of fields that [`Limits::fields`] can allow.
pub const MAX_FIELDS: usize = 100;

/// What is bounded, and where. All sizes are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Request line or status line without its end. RFC 9112 3 asks for at least 8,000. Beyond it: 414.
    pub request_line: usize,
    /// First line, fields and the empty line. Cookies of browsers stay below 8 KiB. Beyond it: 431.
    pub head: usize,
    /// Number of fields in a head; at most [`MAX_FIELDS`]. Many small fields cost more than few large ones. Beyond it: 431.
    pub fields: usize,
    /// A body's content, without the chunked coding. Beyond it: 413.
    pub body: u64,
    /// A chunk's size line with its extensions, without its end. Nobody uses extensions. Beyond it: 400.
    pub chunk_line: usize,
    /// All extensions of one body together. Beyond it: 400.
    pub chunk_extensions: u64,
    /// How many bytes more than content the chunked coding may take, so that chunks of one byte do not multiply a body.
    /// Beyond it: 413.
    pub chunk_framing: u64,
    /// Trailer section with its empty line. Beyond it: 431.
    pub trailers: usize,
    /// Number of trailers; at most [`MAX_FIELDS`]. Beyond it: 431.
    pub trailer_fields: usize,
    /// Server: content that is read and dropped after an answer that did not wait for it. Beyond it the connection closes.
    pub drain: u64,
    /// Server: requests of one connection; the answer to the last says `Connection: close`.
    pub requests: u32,
    /// Client: requests whose answers are outstanding. Beyond it: [`crate::Misuse`].
    pub pipeline: usize,
    /// Client: 1xx answers to one request.
    pub informational: u32,
}

impl Limits {
    /// Of a server.
    pub const SERVER: Limits = Limits {
        request_line: 8 << 10,
        head: 32 << 10,
        fields: MAX_FIELDS,
        body: 1 << 20,
        chunk_line: 256,
        chunk_extensions: 4 << 10,
        chunk_framing: 256 << 10,
        trailers: 8 << 10,
        trailer_fields: 32,
        drain: 64 << 10,
        requests: 1000,
        pipeline: 16,
        informational: 16,
    };
    /// Of a client: what it asked for may be large.
    pub const CLIENT: Limits = Limits { request_line: 16 << 10, head: 64 << 10, body: u64::MAX, ..Limits::SERVER };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::SERVER
    }
}

/// How long a peer may take. [`Duration::MAX`] is forever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// From a head's first byte to its last; on a server's new connection from the start on. A server answers 408, or
    /// closes silently if no byte has come.
    pub head: Duration,
    /// Server: until the next request begins. Client: from the request to the first byte of its answer.
    pub idle: Duration,
    /// A body may be slower than [`Times::body_rate`] for this long.
    pub body_grace: Duration,
    /// Bytes per second that a body must have on average after the grace. 0: a byte at least once per grace.
    pub body_rate: u32,
    /// How long output may wait without a single byte being taken.
    pub stall: Duration,
}

impl Times {
    /// Of a server.
    pub const SERVER: Times = Times {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        body_grace: Duration::from_secs(10),
        body_rate: 1024,
        stall: Duration::from_secs(30),
    };
    /// Of a client: servers may be slow.
    pub const CLIENT: Times = Times {
        head: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        body_grace: Duration::from_secs(60),
        body_rate: 0,
        stall: Duration::from_secs(30),
    };
}

/// Breaches that may be forgiven, each by its own switch. The default forgives none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lenient {
    /// Lines that end in LF without CR (RFC 9112 2.2).
    pub bare_lf: bool,
    /// Fields that go on in the next line (RFC 9112 5.2): read as one line with spaces.
    pub fold: bool,
    /// White space between a field's name and its colon (RFC 9112 5.1).
    pub space_before_colon: bool,
    /// The same `Content-Length` several times (RFC 9110 8.6).
    pub same_lengths: bool,
    /// `Content-Length` beside `Transfer-Encoding`, which wins (RFC 9112 6.3). The connection is not used again.
    pub coding_wins: bool,
    /// A status line that ends behind the status, without the space that belongs there (RFC 9112 4).
    pub no_space_after_status: bool,
}

impl Lenient {
    /// Everything that can be forgiven.
    pub const ALL: Lenient = Lenient {
        bare_lf: true,
        fold: true,
        space_before_colon: true,
        same_lengths: true,
        coding_wins: true,
        no_space_after_status: true,
    };
    /// Nothing.
    pub const STRICT: Lenient = Lenient {
        bare_lf: false,
        fold: false,
        space_before_colon: false,
        same_lengths: false,
        coding_wins: false,
        no_space_after_status: false,
    };
}

/// The body of answers that a server gives by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Page {
    /// None.
    #[default]
    Empty,
    /// One line of HTML: `<h1>400 Bad Request</h1>`.
    Html,
}

/// The settings of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Sizes and counts.
    pub limits: Limits,
    /// Times.
    pub times: Times,
    /// What is forgiven.
    pub lenient: Lenient,
    /// Server: requests for a tunnel (CONNECT) reach the app. Else they are answered with 501.
    pub tunnels: bool,
    /// Server: say `Connection: keep-alive` in HTTP/1.1 too, where it goes without saying.
    pub say_keep_alive: bool,
    /// Server: the body of its own answers.
    pub page: Page,
}

impl Config {
    /// Of a server.
    pub const SERVER: Config = Config {
        limits: Limits::SERVER,
        times: Times::SERVER,
        lenient: Lenient::STRICT,
        tunnels: false,
        say_keep_alive: false,
        page: Page::Empty,
    };
    /// Of a client.
    pub const CLIENT: Config = Config { limits: Limits::CLIENT, times: Times::CLIENT, ..Config::SERVER };
}

/// Breaches that are remembered at once; more are forgiven without being noted.
const NOTED: usize = 64;

/// What a reader goes by, and what it forgave.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Shared: a connection should not take memory for what is the same everywhere.
    pub(crate) config: Arc<Config>,
    /// The stream's byte from which offsets of what is shown count.
    pub(crate) base: u64,
    pub(crate) forgiven: Vec<Fault>,
}

impl Rules {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Rules { config, base: 0, forgiven: Vec::new() }
    }
    /// Notes the breach if it is `allowed`.
    pub(crate) fn forgive(&mut self, allowed: bool, refusal: Refusal) -> Result<(), Refusal> {
        if !allowed {
            return Err(refusal);
        }
        if self.forgiven.len() < NOTED {
            self.forgiven.push(refusal.fault(self.base));
        }
        Ok(())
    }
}

impl Refusal {
    pub(crate) fn new(status: u16, rule: &'static str, what: &'static str, at: usize) -> Self {
        Refusal { status, rule, what, at }
    }
    /// As a fault; `base` is the stream's byte from which [`Refusal::at`] counts.
    pub(crate) fn fault(self, base: u64) -> Fault {
        Fault { rule: self.rule, what: self.what, code: u32::from(self.status), offset: base + self.at as u64 }
    }
    /// Puts the last words into `tx`: an answer, and the announcement that this is the end.
    pub(crate) fn tell(self, page: Page, mute: bool, tx: &mut Tx) {
        let reason = super::write::reason(self.status);
        let status =
            [b'0' + (self.status / 100) as u8, b'0' + (self.status / 10 % 10) as u8, b'0' + (self.status % 10) as u8];
        tx.put(b"HTTP/1.1 ");
        tx.put(&status);
        tx.put(b" ");
        tx.put(reason.as_bytes());
        match page {
            Page::Empty => tx.put(b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            Page::Html => {
                let len = reason.len() + 14; // at most two digits
                tx.put(b"\r\nContent-Type: text/html\r\nContent-Length: ");
                tx.put(&[b'0' + (len / 10) as u8, b'0' + (len % 10) as u8]);
                tx.put(b"\r\nConnection: close\r\n\r\n");
                if !mute {
                    tx.put(b"<h1>");
                    tx.put(&status);
                    tx.put(b" ");
                    tx.put(reason.as_bytes());
                    tx.put(b"</h1>\n");
                }
            }
        }
    }
}
