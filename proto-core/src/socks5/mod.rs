//! SOCKS 5: a client asks a proxy to connect for it (RFC 1928), perhaps after a name and a password (RFC 1929).
//!
//! ```text
//! client                                proxy
//! 05 n methods            ->
//!                         <-            05 method | 05 FF
//! 01 len name len word    ->                                  method 02 only
//!                         <-            01 00 | 01 01
//! 05 command 00 address   ->
//!                         <-            05 reply 00 address
//! bytes                  <->            bytes                 after reply 00
//! ```
//! [`Server`] and [`Client`] are the two sides; both end where the plain stream begins. [`Via`] is the client as a
//! [`crate::Layer`]: whatever runs above it does not know that there is a proxy. [`datagram`] is what goes around a datagram.
//!
//! A server may speak SOCKS 4 and 4a, too ([`Config::v4`]).
//!
//! Limits are those of the format: a greeting has at most 257 bytes, a login 513, a request 262. What a client sends
//! before its reply is kept up to [`Limits::early`]. A byte that the RFC calls reserved must be zero, and a domain name
//! must be one ([`is_name`]): what could be read in two ways is refused.
mod address;
mod client;
pub mod datagram;
mod offers;
mod reply;
mod server;
mod v4;
mod via;

#[cfg(test)]
mod tests;

pub use address::{Address, Host, is_name};
pub use client::{Client, ClientEvent, Credentials, Destination};
pub use offers::{Method, Offers};
pub use reply::Reply;
pub(crate) use server::{CUT, LATE};
pub use server::{Config, Limits, Server, ServerEvent};
pub use via::Via;

/// What a client asks for (RFC 1928 section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// A connection to the address.
    Connect,
    /// A listener for one connection from the address.
    Bind,
    /// A relay of datagrams.
    UdpAssociate,
}

impl Command {
    /// The byte of a request.
    pub const fn code(self) -> u8 {
        match self {
            Command::Connect => 1,
            Command::Bind => 2,
            Command::UdpAssociate => 3,
        }
    }
    const fn of(code: u8) -> Option<Command> {
        match code {
            1 => Some(Command::Connect),
            2 => Some(Command::Bind),
            3 => Some(Command::UdpAssociate),
            _ => None,
        }
    }
    /// As logs have it.
    pub const fn name(self) -> &'static str {
        match self {
            Command::Connect => "CONNECT",
            Command::Bind => "BIND",
            Command::UdpAssociate => "UDP ASSOCIATE",
        }
    }
}

/// The version in every message but that of a login.
const VERSION: u8 = 5;
/// The version of a login (RFC 1929 section 2).
const LOGIN_VERSION: u8 = 1;
/// No method is acceptable (RFC 1928 section 3).
const NO_METHOD: u8 = 0xff;
