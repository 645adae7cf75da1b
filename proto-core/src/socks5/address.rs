//! Addresses on the wire: a kind, a host, a port (RFC 1928 section 5).
use crate::Tx;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const V4: u8 = 1;
const NAME: u8 = 3;
const V6: u8 = 4;

/// Where to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host<'b> {
    /// An address.
    Ip(IpAddr),
    /// A domain name, which is one: see [`is_name`].
    Name(&'b str),
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(IpAddr::V4(a)) => a.fmt(f),
            Host::Ip(IpAddr::V6(a)) => write!(f, "[{a}]"),
            Host::Name(n) => f.write_str(n),
        }
    }
}

/// A host and a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address<'b> {
    /// The host.
    pub host: Host<'b>,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl From<SocketAddr> for Address<'_> {
    fn from(a: SocketAddr) -> Self {
        Address { host: Host::Ip(a.ip()), port: a.port() }
    }
}

/// Why bytes are no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// They end within it.
    Short,
    /// Its kind is unknown.
    Kind,
    /// Its name is none.
    Name,
}

/// What can stand for a host in DNS as it is written: labels of 1 to 63 letters, digits, `-` and `_`, joined by dots, at
/// most 253 bytes without a dot at the end. Everything else is refused: NUL, spaces and line ends because they cut a name
/// short elsewhere, and what is not ASCII because two programs could read it differently.
pub fn is_name(b: &[u8]) -> bool {
    let b = b.strip_suffix(b".").unwrap_or(b);
    let label = |l: &[u8]| {
        (1..=63).contains(&l.len()) && l.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
    };
    b.len() <= 253 && b.split(|c| *c == b'.').all(label)
}

/// Bytes of the address at the front of `b`, its kind included; [`Wrong::Short`] if that is not to be told yet.
pub fn length(b: &[u8]) -> Result<usize, Wrong> {
    match *b {
        [] | [NAME] => Err(Wrong::Short),
        [V4, ..] => Ok(1 + 4 + 2),
        [V6, ..] => Ok(1 + 16 + 2),
        [NAME, 0, ..] => Err(Wrong::Name),
        [NAME, n, ..] => Ok(2 + usize::from(n) + 2),
        _ => Err(Wrong::Kind),
    }
}

/// The address that `b` is, all of it.
pub fn read(b: &[u8]) -> Result<Address<'_>, Wrong> {
    let (host, port) = b.split_last_chunk::<2>().ok_or(Wrong::Short)?;
    let host = match host {
        [V4, ip @ ..] => Host::Ip(Ipv4Addr::from(<[u8; 4]>::try_from(ip).map_err(|_| Wrong::Short)?).into()),
        [V6, ip @ ..] => Host::Ip(Ipv6Addr::from(<[u8; 16]>::try_from(ip).map_err(|_| Wrong::Short)?).into()),
        [NAME, n, name @ ..] if name.len() == usize::from(*n) => match core::str::from_utf8(name) {
            Ok(text) if is_name(name) => Host::Name(text),
            _ => return Err(Wrong::Name),
        },
        [NAME, ..] | [] => return Err(Wrong::Short),
        _ => return Err(Wrong::Kind),
    };
    Ok(Address { host, port: u16::from_be_bytes(*port) })
}

/// Writes an address. A name has at most 255 bytes, which [`is_name`] sees to.
pub fn write(a: &Address<'_>, put: &mut impl FnMut(&[u8])) {
    match a.host {
        Host::Ip(IpAddr::V4(ip)) => {
            put(&[V4]);
            put(&ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            put(&[V6]);
            put(&ip.octets());
        }
        Host::Name(name) => {
            let name = name.as_bytes().get(..255).unwrap_or(name.as_bytes());
            put(&[NAME, name.len() as u8]);
            put(name);
        }
    }
    put(&a.port.to_be_bytes());
}

/// The same into an output.
pub fn put(a: &Address<'_>, tx: &mut Tx) {
    write(a, &mut |b| tx.put(b));
}
