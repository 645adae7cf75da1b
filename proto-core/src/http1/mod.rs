//! HTTP/1.x on the wire (RFC 9112): heads, chunked bodies, and a machine that cuts a connection into whole requests.
//!
//! Two readings are an error: whatever another implementation could understand differently is refused, never repaired,
//! since a proxy in front of us may have chosen the other reading. So there is no bare LF, no folded line, no second
//! `Content-Length`, and no `Transfer-Encoding` but exactly `chunked`.
//!
//! | file | what |
//! |---|---|
//! | `lines` | lines that end in CRLF, found without looking at a byte twice |
//! | `head` | request line and fields, and what they say about the body |
//! | `fields` | field values that decide: lengths, hosts, lists |
//! | `chunked` | the chunked coding |
//! | `requests` | [`Requests`]: the machine |
//! | `detect` | [`looks_like_request`]: HTTP or something else? |
//!
//! ```
//! use proto_core::{Instant, Machine, Rx, Step, Tx, http1};
//!
//! let mut requests = http1::Requests::new(http1::Limits::default());
//! let mut tx = Tx::default();
//! let mut input = *b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /two";
//! let mut rx = Rx::new(&mut input, false);
//! match requests.poll(Instant::default(), &mut rx, &mut tx).unwrap() {
//!     Step::Event(http1::Event::Request { raw, keep_alive, .. }) => assert!(raw.starts_with(b"GET / ") && keep_alive),
//!     _ => unreachable!(),
//! }
//! assert_eq!(rx.peek(), b"GET /two");
//! ```
mod chunked;
mod detect;
mod fields;
mod head;
mod lines;
mod requests;

pub use chunked::{Decoder, Part};
pub use detect::{DETECT_MAX, looks_like_request};
pub use head::{Framing, Head, HeadReader, MAX_FIELDS, Method, Version};
pub use requests::{Event, Requests};

use crate::{Fault, Tx};

/// What is bounded, and where. All sizes are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Request line without its end. RFC 9112 3 asks for at least 8,000. Beyond it: 414.
    pub request_line: usize,
    /// Request line, fields and the empty line. Cookies of browsers stay below 8 KiB; nginx and Apache allow as much.
    /// Beyond it: 431.
    pub head: usize,
    /// Number of fields, in a head or in a trailer section; at most [`MAX_FIELDS`]. Many small fields cost more than
    /// few large ones. Beyond it: 431.
    pub fields: usize,
    /// A body's content, without the chunked coding. Beyond it: 413.
    pub body: u64,
    /// A chunk's size line with its extensions, without its end. Nobody uses extensions. Beyond it: 400.
    pub chunk_line: usize,
    /// All bytes that the chunked coding adds to a body, so that chunks of one byte do not multiply it. Beyond it: 413.
    pub chunk_framing: u64,
    /// Trailer section with its empty line. Beyond it: 431.
    pub trailers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line: 8 << 10,
            head: 16 << 10,
            fields: MAX_FIELDS,
            body: 1 << 20,
            chunk_line: 256,
            chunk_framing: 256 << 10,
            trailers: 8 << 10,
        }
    }
}

/// Why a message is not accepted, before it becomes a [`Fault`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The status to answer with.
    pub status: u16,
    /// The rule's source.
    pub rule: &'static str,
    /// What the peer did.
    pub what: &'static str,
    /// Where it was noticed, counted from the first byte of what was shown.
    pub at: usize,
}

impl Refusal {
    pub(crate) fn new(status: u16, rule: &'static str, what: &'static str, at: usize) -> Self {
        Refusal { status, rule, what, at }
    }
    /// Puts the last words into `tx`: an answer without a body, and the announcement that this is the end.
    /// `base` is the stream's byte from which [`Refusal::at`] counts.
    pub fn tell(self, base: u64, tx: &mut Tx) -> Fault {
        tx.put(status_line(self.status));
        tx.put(b"Content-Length: 0\r\nConnection: close\r\n\r\n");
        Fault { rule: self.rule, what: self.what, code: u32::from(self.status), offset: base + self.at as u64 }
    }
}

/// The status line of an answer, with its CRLF.
fn status_line(status: u16) -> &'static [u8] {
    match status {
        413 => b"HTTP/1.1 413 Content Too Large\r\n",
        414 => b"HTTP/1.1 414 URI Too Long\r\n",
        417 => b"HTTP/1.1 417 Expectation Failed\r\n",
        431 => b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        501 => b"HTTP/1.1 501 Not Implemented\r\n",
        505 => b"HTTP/1.1 505 HTTP Version Not Supported\r\n",
        _ => b"HTTP/1.1 400 Bad Request\r\n",
    }
}
