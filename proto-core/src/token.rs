//! Names for what the driver holds: tokens live, op ids are answered once.
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

/// Something with a life of its own in the driver: a connection, a listener, a datagram socket, standard input.
///
/// `generation:32 | part:8 | index:24`. A token of something closed finds nothing, so a late answer
/// never reaches whoever has the slot now. The part byte says which part of the app it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

impl Token {
    /// The largest number of tokens alive at once.
    pub const MAX: usize = 1 << 24;

    /// From its three fields; `index` is below 2^24.
    pub const fn new(index: u32, part: u8, generation: u32) -> Self {
        Token((generation as u64) << 32 | (part as u64) << 24 | (index & 0xff_ffff) as u64)
    }
    /// The slot: dense, for tables.
    pub const fn index(self) -> usize {
        (self.0 & 0xff_ffff) as usize
    }
    /// Which part of the app it belongs to.
    pub const fn part(self) -> u8 {
        (self.0 >> 24) as u8
    }
    /// How often the slot was used before.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
    /// All 64 bits, for a driver's bookkeeping.
    pub const fn to_bits(self) -> u64 {
        self.0
    }
    /// The reverse of [`Token::to_bits`].
    pub const fn from_bits(bits: u64) -> Self {
        Token(bits)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.part(), self.index(), self.generation())
    }
}

/// A question to the driver, answered exactly once: `part:8 | key:56`, the key chosen by who asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(u64);

impl OpId {
    /// `key` is below 2^56.
    pub const fn new(part: u8, key: u64) -> Self {
        OpId((part as u64) << 56 | (key & 0xff_ffff_ffff_ffff))
    }
    /// Which part of the app asked.
    pub const fn part(self) -> u8 {
        (self.0 >> 56) as u8
    }
    /// The asker's key.
    pub const fn key(self) -> u64 {
        self.0 & 0xff_ffff_ffff_ffff
    }
    /// All 64 bits.
    pub const fn to_bits(self) -> u64 {
        self.0
    }
    /// The reverse of [`OpId::to_bits`].
    pub const fn from_bits(bits: u64) -> Self {
        OpId(bits)
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.part(), self.key())
    }
}

/// One of several loops that run the same app and share nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Shard(pub u16);

/// An open file. It stays open until the last queued segment that names it is confirmed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct FileId(pub u32);

/// A directory that paths are relative to; directories are opened like files.
pub type DirId = FileId;

/// Where a socket is, or should be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Addr {
    /// IPv4 or IPv6 and a port.
    Ip(SocketAddr),
    /// A Unix socket's path; empty for an unnamed one.
    Unix(Arc<str>),
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Ip(a) => a.fmt(f),
            Addr::Unix(p) if p.is_empty() => f.write_str("unix socket"),
            Addr::Unix(p) => write!(f, "unix:{p}"),
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(a: SocketAddr) -> Self {
        Addr::Ip(a)
    }
}
