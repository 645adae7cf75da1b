//! HTTP/1.x on the wire (RFC 9112): both sides of a connection, bodies streamed, and every breach refused.
//!
//! Two readings are an error: whatever another implementation could understand differently is refused, never repaired,
//! since a proxy in front of us may have chosen the other reading. So there is no bare LF, no folded line, no second
//! `Content-Length`, and no `Transfer-Encoding` but exactly `chunked`.
//!
//! # A server
//! ```
//! use proto_core::http1::{Config, Server, server};
//! use proto_core::{Instant, Machine, Rx, Step, Tx};
//!
//! let (mut http, mut tx) = (Server::new(Config::SERVER), Tx::default());
//! let mut input = *b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /two";
//! let mut rx = Rx::new(&mut input, false);
//! loop {
//!     match http.poll(Instant::default(), &mut rx, &mut tx).unwrap() {
//!         Step::Event(server::Event::Request(request)) => {
//!             assert_eq!((request.method_name(), request.target()), ("GET", "/hello"));
//!             assert_eq!(request.field("host"), Some(&b"a"[..]));
//!             let head = server::Response::new(200).typed("text/plain");
//!             http.respond_whole(&mut tx, &head, b"hi").unwrap();
//!         }
//!         Step::Event(_) => {} // pieces of a body that nobody wants
//!         Step::NeedMore => break,
//!         Step::Paused | Step::Closed => unreachable!(),
//!     }
//! }
//! assert_eq!(rx.peek(), b"GET /two"); // the caller keeps it and shows it again with more
//! assert_eq!(tx.front(), b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi");
//! ```
//! # A client
//! ```
//! use proto_core::http1::{Client, Config, Length, client};
//! use proto_core::{Instant, Machine, Rx, Step, Tx};
//!
//! let (mut http, mut tx) = (Client::new(Config::CLIENT), Tx::default());
//! let request = client::Request::new("GET", "/", &[("Host", b"a")]);
//! http.request(&mut tx, &request, Length::None).unwrap();
//! assert_eq!(tx.front(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
//!
//! let mut input = *b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
//! let (mut rx, mut body) = (Rx::new(&mut input, false), Vec::new());
//! loop {
//!     match http.poll(Instant::default(), &mut rx, &mut tx).unwrap() {
//!         Step::Event(client::Event::Response(response)) => assert_eq!(response.status(), 200),
//!         Step::Event(client::Event::Body(bytes)) => body.extend_from_slice(bytes),
//!         Step::Event(client::Event::End) => break,
//!         other => unreachable!("{other:?}"),
//!     }
//! }
//! assert_eq!(body, b"hi");
//! assert!(http.is_idle()); // ready for the next request
//! ```
//! # Files
//! | file | what |
//! |---|---|
//! | `server`, `client` | [`Server`] and [`Client`]: the machines |
//! | `requests` | [`Requests`]: a machine for whole requests, kept in one piece |
//! | `lines`, `section` | where heads and their lines end, found without looking at a byte twice |
//! | `head`, `response` | what the head of a request or an answer says |
//! | `fields` | fields, and the values that decide: lengths, hosts, lists |
//! | `chunked`, `receive` | bodies that come in |
//! | `write`, `send` | heads and bodies that go out |
//! | `clock`, `rules` | times, limits, and what may be forgiven |
//! | `detect` | [`looks_like_request`]: HTTP or something else? |
mod chunked;
pub mod client;
mod clock;
mod detect;
mod fields;
pub mod form;
mod head;
mod lines;
mod receive;
mod requests;
mod response;
mod rules;
mod section;
mod send;
pub mod server;
mod write;

pub use client::Client;
pub use detect::{DETECT_MAX, looks_like_request};
pub use fields::{Field, Fields};
pub use head::{Framing, Method, Version};
pub use requests::{Event, Requests};
pub use rules::{Config, Lenient, Limits, MAX_FIELDS, Page, Times};
pub use send::Length;
pub use server::Server;
pub(crate) use write::put_number;
pub use write::{FieldBlock, reason};

/// Why a message is not accepted, before it becomes a [`crate::Fault`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// The status to answer with.
    pub status: u16,
    /// The rule's source.
    pub rule: &'static str,
    /// What the peer did.
    pub what: &'static str,
    /// Where it was noticed, counted from the first byte of what was shown.
    pub at: usize,
}

#[cfg(test)]
mod conns_tests;
