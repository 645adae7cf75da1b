//! What the driver knows of each socket, by slot: 40 bytes. What few sockets need is elsewhere.
use super::ring::{Target, bits};
use proto_core::{Flight, Instant, Reason, Token};
use rustix::net::SocketAddrAny;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Pieces per send.
pub const SEGMENTS: usize = 32;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Stream,
    Connecting,
    Listener,
    Datagram,
}

/// The operation that waits for input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watch {
    Nothing,
    /// Multishot receive into provided buffers.
    Recv,
    /// The same for the next bytes only.
    Once,
    /// Multishot poll, then plain calls while the data is in the cache.
    Poll,
    Accept,
    Connect,
}

/// Whether a connection is on the kernel's list of files. Getting there costs about as much as is saved by ten sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listed {
    /// It has sent so often since it began.
    No(u8),
    /// Asked for; nothing else is asked for before it has been granted.
    First,
    /// Asked for.
    Soon,
    Yes,
    /// Being taken off.
    Leaving,
    /// It cannot be, or has been.
    Never,
}

/// Whether the send in flight is the head of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chain {
    No,
    Whole,
    /// The send is being given up, since it would block and the receive waits for it.
    Broken,
}

/// A socket.
pub struct Io {
    pub token: Token,
    pub fd: OwnedFd,
    pub kind: Kind,
    /// What is in flight for input; a last completion follows.
    pub watch: Watch,
    /// It is being given up.
    pub cancelled: bool,
    /// What the kernel is sending: kept until it has told how that came out.
    pub flight: Option<Box<Flight>>,
    pub chain: Chain,
    /// A receive into a buffer of the pool is in flight: see [`Cold::reading`].
    pub reading: bool,
    /// On the list of those that found no buffer of the pool.
    pub starving: bool,
    pub listed: Listed,
    /// Served by poll and plain calls: for bulk, and while input is not wanted.
    pub bulk: bool,
    /// Small receives in a row of one that is served so.
    pub small: u8,
    /// There may be input that no completion will tell of.
    pub readable: bool,
    /// A poll has told of the end: read until it is there.
    pub hup: bool,
    /// The peer has said its last byte.
    pub eof: bool,
    /// It said so while the app did not listen.
    pub eof_untold: bool,
    /// Our FIN is out.
    pub shut: bool,
    /// On the list of those to be served again.
    pub queued: bool,
    /// One at a time: of a listener that the app has switched off before, so that no more connections than it wants
    /// are accepted; of a connection whose multishot receives the kernel keeps ending.
    pub single: bool,
    /// Over; only completions are waited for.
    pub closing: bool,
    /// The app knows.
    pub told: bool,
    pub cold: Option<Box<Cold>>,
}

/// What few sockets need.
#[derive(Default)]
pub struct Cold {
    /// Input that came while the app did not want any and before it could be stopped. At most what all provided
    /// buffers hold.
    pub parked: VecDeque<Vec<u8>>,
    /// Connections that came so.
    pub accepted: VecDeque<OwnedFd>,
    /// What a send of several pieces refers to.
    pub message: Option<Box<Message>>,
    /// What a connect refers to.
    pub to: Option<Box<SocketAddrAny>>,
    /// The buffer that a receive in flight names.
    pub reading: Option<u16>,
    /// How often the kernel has ended multishot receives by itself since then.
    pub ends: u16,
    pub ends_since: Instant,
    /// Why it is over, if the app is told when the descriptor is closed.
    pub why: Option<Reason>,
}

/// For `sendmsg`; it stays where it is while a send is in flight.
pub struct Message {
    pub header: libc::msghdr,
    pub pieces: [libc::iovec; SEGMENTS],
}

impl Io {
    pub fn new(token: Token, fd: OwnedFd, kind: Kind) -> Io {
        Io {
            token,
            fd,
            kind,
            watch: Watch::Nothing,
            cancelled: false,
            flight: None,
            chain: Chain::No,
            reading: false,
            starving: false,
            listed: Listed::No(0),
            bulk: false,
            small: 0,
            readable: false,
            hup: false,
            eof: false,
            eof_untold: false,
            shut: false,
            queued: false,
            single: false,
            closing: false,
            told: false,
            cold: None,
        }
    }
    pub fn cold(&mut self) -> &mut Cold {
        self.cold.get_or_insert_default()
    }
    /// Input waits in memory.
    #[inline]
    pub fn has_parked(&self) -> bool {
        self.cold.as_ref().is_some_and(|c| !c.parked.is_empty())
    }
    /// What its operations name.
    #[inline]
    pub fn target(&self) -> Target<'_> {
        match self.listed {
            Listed::Yes => Target::Enlisted(self.token.index() as u32),
            _ => Target::Plain(&self.fd),
        }
    }
    /// The kernel has ended a multishot receive that nobody had given up; `most` times a second are borne with.
    #[cold]
    pub fn count_end(&mut self, now: Instant, most: u16) {
        let cold = self.cold();
        if now.since(cold.ends_since) >= SECOND {
            (cold.ends, cold.ends_since) = (0, now);
        }
        cold.ends += 1;
        self.single |= cold.ends > most;
    }
    /// Nothing of it is with the kernel.
    pub fn is_at_rest(&self) -> bool {
        let idle = self.watch == Watch::Nothing && self.flight.is_none() && !self.reading;
        idle && matches!(self.listed, Listed::No(_) | Listed::Never)
    }
}

/// All sockets, by slot.
#[derive(Default)]
pub struct Conns(Vec<Option<Io>>);

impl Conns {
    /// The slot of a token is free.
    pub fn is_free(&self, t: Token) -> bool {
        self.0.get(t.index()).is_none_or(Option::is_none)
    }
    pub fn insert(&mut self, io: Io) {
        let at = io.token.index();
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(at) {
            debug_assert!(slot.is_none(), "{:?} in a slot that the kernel still uses", io.token);
            *slot = Some(io);
        }
    }
    /// The socket that a completion is for.
    #[inline]
    pub fn of(&mut self, name: u64) -> Option<&mut Io> {
        let io = self.0.get_mut(Token::from_bits(name).index())?.as_mut()?;
        (bits(io.token) == name).then_some(io)
    }
    /// A socket, over or not.
    #[inline]
    pub fn any(&mut self, t: Token) -> Option<&mut Io> {
        self.0.get_mut(t.index())?.as_mut().filter(|io| io.token == t)
    }
    /// A socket that is not over.
    #[inline]
    pub fn live(&mut self, t: Token) -> Option<&mut Io> {
        self.any(t).filter(|io| !io.closing)
    }
    /// Two sockets that are not over.
    pub fn both(&self, a: Token, b: Token) -> Option<[&Io; 2]> {
        let live = |t: Token| self.0.get(t.index())?.as_ref().filter(|io| io.token == t && !io.closing);
        Some([live(a)?, live(b)?])
    }
    pub fn remove(&mut self, t: Token) -> Option<Io> {
        self.any(t)?;
        self.0.get_mut(t.index())?.take()
    }
    /// Every connection that is not over.
    pub fn streams(&self) -> Vec<Token> {
        let live = self.0.iter().flatten().filter(|io| !io.closing && io.kind == Kind::Stream);
        live.map(|io| io.token).collect()
    }
}
