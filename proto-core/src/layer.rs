//! Byte transforms beneath a machine: TLS, proxies, PROXY headers.
use crate::{Deadline, Fault, FileId, Instant, Tx};
use alloc::{string::String, vec::Vec};

/// What a layer learned when it became ready.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Info {
    /// The protocol agreed on (ALPN), empty if none.
    pub alpn: Vec<u8>,
    /// Who the peer proved to be, empty if nobody.
    pub peer: String,
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
    /// Says goodbye (close_notify), after the last plain byte was sealed.
    fn close(&mut self, wire: &mut Tx);
    /// When [`Layer::on_deadline`] is to be called.
    fn deadline(&self) -> Option<Deadline> {
        None
    }
    /// The deadline has passed.
    fn on_deadline(&mut self, _now: Instant, _wire: &mut Tx) -> Result<(), Fault> {
        Ok(())
    }
}
