//! The contract of Drywire, and its protocols as pure state machines.
//!
//! A network program is a pure function from inputs to outputs; a driver is the only thing that
//! touches the outside world. This crate holds both halves of that agreement: what a program may
//! be told ([`Input`]) and may ask for ([`Op`], [`Tx`]), and the machines that turn bytes into
//! events and back ([`Machine`]).
//!
//! Six concepts, nothing else has a trait:
//! [`Rx`]/[`Tx`] (bytes lent in, segments out), [`Machine`] (one protocol), [`Layer`] (bytes to
//! bytes), [`Conn`] (layers, unfinished tail and machine), [`App`] (inputs to ops), and the driver,
//! which lives in another crate.
//!
//! Invariant: nothing here touches `std`, a clock, randomness that was not handed in, a log or I/O. Only `tls`, which is
//! built with the feature of that name, needs `std` and makes keys of its own.
//!
//! # Embedding a machine by hand
//! ```
//! use proto_core::{Instant, Machine, Rx, Step, Tx, line};
//!
//! let mut lines = line::Lines::new(line::Limits::default());
//! let mut tx = Tx::default();
//! let mut input = *b"hello\r\nwor";
//! let mut rx = Rx::new(&mut input, false);
//! match lines.poll(Instant::default(), &mut rx, &mut tx).unwrap() {
//!     Step::Event(line::Event::Line(l)) => assert_eq!(l, b"hello"),
//!     _ => unreachable!(),
//! }
//! assert!(matches!(lines.poll(Instant::default(), &mut rx, &mut tx), Ok(Step::NeedMore)));
//! assert_eq!(rx.peek(), b"wor"); // the caller keeps the tail and shows it again with more
//! ```
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(feature = "tls")]
extern crate std;

mod app;
mod ask;
mod chunk;
mod conn;
mod conns;
pub mod dns;
pub mod echo;
mod fault;
pub mod half_open;
pub mod http1;
mod input;
mod layer;
pub mod line;
mod machine;
mod op;
pub mod pipe;
pub mod proxy;
pub mod proxy_header;
mod slots;
pub mod socks5;
mod start;
mod table;
pub mod terminal;
mod time;
mod timers;
#[cfg(feature = "tls")]
pub mod tls;
mod token;
mod tx;
pub mod x509;

pub use app::{App, Counters, Cx, Env};
pub use ask::{Answer, Ask, Entry, How, Meta};
pub use bytes::Bytes;
pub use chunk::{COPY_MAX, Chunk, Pool};
pub use conn::{Conn, ConnEvent, Feed};
pub use conns::Conns;
pub use fault::{Fault, Misuse, Reason};
pub use input::{Input, Lost, Peer, RelayEnd, Signal, Trouble};
pub use layer::{About, Defect, Grounds, Info, Layer, Sealed, Secure};
pub use machine::{Machine, Rx, Step};
pub use op::{ConnectOpts, Op};
pub use slots::Slots;
pub use start::{Listener, Start, Tty};
pub use table::{Stat, Table};
pub use time::{Deadline, Instant, Wall};
pub use timers::Timers;
pub use token::{Addr, DirId, FileId, OpId, Shard, Token};
pub use tx::{Flight, Next, Tx};
