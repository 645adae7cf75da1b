//! DNS: messages with all records borrowed, names, zone-file text, and a stub resolver as state machines.
//!
//! | file | what |
//! |---|---|
//! | `name`, `domain` | names in a message (RFC 1035 4.1.4), and names of our own |
//! | `header`, `types`, `layout` | flags and codes; the shape of every record type, as a table |
//! | `message`, `value` | reading: sections, records and the fields of their data; nothing is allocated |
//! | `write`, `text`, `zone` | writing: messages with compression in linear time, and zone-file text both ways |
//! | `edns` | EDNS(0) (RFC 6891) |
//! | `stream` | the framing of messages over TCP (RFC 1035 4.2.2), a [`crate::Machine`] |
//! | `stub` | questions to servers: tries, matching of replies, the change to TCP |
//! | `conf`, `hosts`, `cache`, `resolver` | `resolv.conf`, `/etc/hosts`, what is known, and addresses of names |
//!
//! ```
//! use proto_core::dns::{Domain, Flags, Message, Type, Writer};
//!
//! let name: Domain = "www.example".parse().unwrap();
//! let mut w = Writer::new(0x1234, Flags::QUERY.with_recursion());
//! w.question(&name, Type::A, 1).unwrap();
//! let bytes = w.finish();
//! let message = Message::parse(&bytes).unwrap();
//! assert_eq!(message.question().unwrap().unwrap().name.to_string(), "www.example.");
//! assert_eq!(message.check(), Ok(bytes.len()));
//! ```
//!
//! Limits: a name has 255 bytes and its pointers lead to ever smaller offsets, so at most 127 labels and 127 jumps; a message
//! has 65,535 bytes; counts in the header reserve nothing. So the work for a message is linear in its size, with a name's
//! 255 bytes as the factor.
mod cache;
mod conf;
mod domain;
mod edns;
mod header;
mod hosts;
mod layout;
mod message;
mod name;
mod resolver;
mod stream;
mod stub;
mod text;
mod types;
mod value;
mod write;
mod zone;

pub use cache::{Cache, Known};
pub use conf::ResolvConf;
pub use domain::{BadName, Domain};
pub use edns::{Edns, EdnsOption, ede_name};
pub use header::{Flags, Opcode, Rcode};
pub use hosts::Hosts;
pub use layout::{Field, Layout};
pub use message::{Header, Message, Question, Record, Records, Section};
pub use name::{Labels, Name};
pub use resolver::{Config, Family, Resolver, Unresolved};
pub use stream::{Frame, Frames};
pub use stub::{Act, Asked, Dropped, Failed, Policy, QueryId, Reply, Stub, Tcp, TryId, Via};
pub use text::{Text, write_time};
pub use types::{Class, Type};
pub use value::{Bitmap, Fields, SvcParam, SvcParams, Value};
pub use write::{TooLong, Writer};
pub use zone::{BadData, data_from_text};

use crate::Fault;

/// Bytes of a header.
pub const HEADER: usize = 12;
/// Bytes of the longest message.
pub const MESSAGE_MAX: usize = 65_535;
/// Bytes of the longest name, with its lengths and the root.
pub const NAME_MAX: usize = 255;
/// Bytes of the longest label.
pub const LABEL_MAX: usize = 63;
/// Labels of the longest name, without the root.
pub const LABELS_MAX: usize = 127;
/// The port of name servers.
pub const PORT: u16 = 53;

/// A rule of RFC 1035 that was broken at `offset`.
#[cold]
fn fault(what: &'static str, rule: &'static str, offset: usize) -> Fault {
    Fault { rule, what, code: 0, offset: offset as u64 }
}
