//! Byte transforms beneath a machine: TLS, proxies, PROXY headers.
use crate::{Bytes, Deadline, Fault, FileId, Instant, Tx, Wall};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::net::SocketAddr;

/// What a layer learned when it became ready.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Info {
    /// The protocol agreed on (ALPN), empty if none.
    pub alpn: Vec<u8>,
    /// Who the peer proved to be, empty if nobody.
    pub peer: String,
    /// Where a balancer says that the connection comes from.
    pub from: Option<Box<SocketAddr>>,
    /// What a layer that encrypts has agreed on.
    pub secure: Option<Box<Secure>>,
}

/// What the two sides of an encrypted connection agreed on, and what was shown for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Secure {
    /// The protocol's version as people write it: `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite by its registered name, such as `TLS_AES_256_GCM_SHA384`.
    pub suite: &'static str,
    /// The group of the key exchange, such as `X25519`; empty if there was none.
    pub group: String,
    /// An earlier session was continued.
    pub resumed: bool,
    /// The name that a client asked for (SNI).
    pub server_name: Option<String>,
    /// The peer's certificates in DER, its own first.
    pub chain: Vec<Bytes>,
    /// The stapled OCSP response, empty if none came.
    pub staple: Vec<u8>,
    /// What is wrong with them and was told to be ignored.
    pub ignored: Vec<Defect>,
    /// The peer asked for a certificate of this side.
    pub wanted: bool,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Defect {
    /// For programs: `expired`, `unknown_issuer`.
    pub word: &'static str,
    /// For people: `certificate has expired`.
    pub reason: String,
    /// The fact behind it, if there is one to tell.
    pub detail: String,
}

/// What a layer has to say about a fault of its own, beyond what fits into a [`Fault`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grounds {
    /// What it was about.
    pub about: About,
    /// All that is wrong, what weighs most first; at least one.
    pub defects: Vec<Defect>,
    /// The certificates that the peer showed, in DER, its own first.
    pub chain: Vec<Bytes>,
    /// The alert that the peer sent, by number.
    pub alert: Option<u8>,
    /// The peer asked for a certificate of this side.
    pub wanted: bool,
}

/// What a fault of a layer is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum About {
    /// The peer's bytes.
    #[default]
    Protocol,
    /// Who the peer is.
    Certificate,
    /// What the two sides can do; the peer said no, or we did.
    Agreement,
    /// It took too long.
    Time,
    /// The connection ended where it must not.
    Cut,
}

/// How far sealing got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Sealed {
    /// Everything in `plain` is on the wire.
    All,
    /// The wire has no room.
    WireFull,
    /// The layer cannot seal yet (handshake).
    NotReady,
    /// The bytes of a file range come next; somebody must read them.
    NeedFile {
        /// Which file.
        file: FileId,
        /// Where in it.
        offset: u64,
        /// How many bytes, at most 64 KiB.
        len: u32,
    },
}

/// Turns wire bytes into plain bytes and back. None is the fast case: without layers nothing is copied.
pub trait Layer: Send {
    /// The time of day, told before [`Layer::start`] and [`Layer::open`]: certificates have dates.
    fn tell_time(&mut self, _wall: Wall) {}
    /// Sends the first flight, if this side speaks first.
    fn start(&mut self, now: Instant, wire: &mut Tx);
    /// Takes what it can from the front of `input`, appends what that means to `plain`, answers on `wire`.
    /// `Some` exactly once: at the moment it became ready, whatever follows in `input`; it is called again for that.
    fn open(
        &mut self,
        now: Instant,
        input: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        wire: &mut Tx,
    ) -> Result<Option<Info>, Fault>;
    /// Moves bytes from `plain` to `wire` while that has room. What it writes is never shorter than what it takes:
    /// whoever pauses until the wire has room relies on it.
    fn seal(&mut self, now: Instant, plain: &mut Tx, wire: &mut Tx) -> Result<Sealed, Fault>;
    /// The wire's input has ended. An error if that cuts something short.
    fn end_of_input(&mut self, wire: &mut Tx) -> Result<(), Fault>;
    /// The peer has said its last plain byte, although the wire may be open still (close_notify).
    fn is_ended(&self) -> bool {
        false
    }
    /// Says goodbye (close_notify), after the last plain byte was sealed.
    fn close(&mut self, wire: &mut Tx);
    /// More about the fault it has returned.
    fn grounds(&self) -> Option<&Grounds> {
        None
    }
    /// When [`Layer::on_deadline`] is to be called.
    fn deadline(&self) -> Option<Deadline> {
        None
    }
    /// The deadline has passed.
    fn on_deadline(&mut self, _now: Instant, _wire: &mut Tx) -> Result<(), Fault> {
        Ok(())
    }
}
