//! What goes around a datagram between a client and its proxy (RFC 1928 section 7): two zero bytes, the number of a
//! fragment, an address. Fragments are refused, as the RFC allows.
use super::address::{self, Wrong};
use super::{Address, Host};
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Why a datagram is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// It ends within its header.
    Short,
    /// The reserved bytes are not zero.
    Reserved,
    /// It is a fragment.
    Fragment,
    /// Its address is of no known kind, or its name is none, or its port is 0.
    Address,
}

/// Takes a datagram apart: where it goes to (or comes from), and what it carries.
///
/// # Errors
/// It is to be dropped.
pub fn parse(b: &[u8]) -> Result<(Address<'_>, &[u8]), Bad> {
    let (head, rest) = b.split_first_chunk::<3>().ok_or(Bad::Short)?;
    match *head {
        [0, 0, 0] => {}
        [0, 0, _] => return Err(Bad::Fragment),
        _ => return Err(Bad::Reserved),
    }
    let bad = |wrong| if wrong == Wrong::Short { Bad::Short } else { Bad::Address };
    let n = address::length(rest).map_err(bad)?;
    let (address, payload) = rest.split_at_checked(n).ok_or(Bad::Short)?;
    let address = address::read(address).map_err(bad)?;
    if address.port == 0 { Err(Bad::Address) } else { Ok((address, payload)) }
}

/// Bytes that a header has at most: two reserved, fragment, kind, length, name, port.
pub const HEADER_MAX: usize = 2 + 1 + 1 + 1 + 255 + 2;

/// Puts a header before a payload; `into` is emptied first.
pub fn wrap(address: &Address<'_>, payload: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&[0, 0, 0]);
    address::write(address, &mut |b| into.extend_from_slice(b));
    into.extend_from_slice(payload);
}

/// The header of a datagram that came from `from`, before its payload.
pub fn wrap_from(from: SocketAddr, payload: &[u8], into: &mut Vec<u8>) {
    wrap(&Address { host: Host::Ip(from.ip()), port: from.port() }, payload, into);
}
