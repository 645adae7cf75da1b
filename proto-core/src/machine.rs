//! Protocol machines and the input lent to them.
use crate::{Deadline, Fault, Instant, Tx};
use core::mem;

/// Input lent for one call. What [`Rx::take`] returns lives as long as the lent buffer, so events borrow it.
#[derive(Debug)]
pub struct Rx<'b> {
    rest: &'b mut [u8],
    eof: bool,
}

impl<'b> Rx<'b> {
    /// Lends `rest`; `eof` says that nothing will follow it.
    pub fn new(rest: &'b mut [u8], eof: bool) -> Self {
        Rx { rest, eof }
    }
    /// All that is there.
    pub fn peek(&self) -> &[u8] {
        self.rest
    }
    /// Bytes that are there.
    pub fn len(&self) -> usize {
        self.rest.len()
    }
    /// Nothing is there now.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    /// Nothing is there and nothing will follow.
    pub fn is_eof(&self) -> bool {
        self.eof && self.rest.is_empty()
    }
    /// Nothing will follow what is there.
    pub fn is_last(&self) -> bool {
        self.eof
    }
    /// Takes the first `n` bytes, or all if there are fewer. Mutable: protocols unmask and decrypt in place.
    pub fn take(&mut self, n: usize) -> &'b mut [u8] {
        let all = mem::take(&mut self.rest);
        let (head, tail) = all.split_at_mut(n.min(all.len()));
        self.rest = tail;
        head
    }
}

/// What a machine answers to [`Machine::poll`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Step<E> {
    /// Something happened; poll again.
    Event(E),
    /// The bytes end within something; show them again together with more.
    NeedMore,
    /// There is no room in `tx` for what the next bytes cause, so they were not taken. Poll again when there is.
    Paused,
    /// The protocol is over; bytes that follow mean nothing.
    Closed,
}

/// One side of one protocol on one connection: bytes in, events and bytes out. No clock, no I/O.
///
/// Laws, which the test bed checks for every machine:
/// - *Chunking never changes meaning.* However the input is cut: the same events, output and faults.
/// - *Need-more is not an error*, and at end of input ([`Rx::is_eof`]) it is not an answer either: `Closed`, an
///   event or a truncation [`Fault`] is.
/// - *Work is linear in the input*: a machine that waits remembers how far it has looked.
/// - *Bounded*: what is kept for later is limited by the protocol's `Limits`.
pub trait Machine {
    /// What happened; borrows the input.
    type Event<'b>;

    /// Takes one step. `tx` is where answers go.
    fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Self::Event<'b>>, Fault>;
    /// Puts what is ready into `tx.room()`: late scheduling, so that what matters most goes first.
    fn fill(&mut self, _now: Instant, _tx: &mut Tx) {}
    /// When [`Machine::on_deadline`] is to be called.
    fn deadline(&self) -> Option<Deadline> {
        None
    }
    /// The deadline has passed. Kept bytes are polled again afterwards.
    fn on_deadline(&mut self, _now: Instant, _tx: &mut Tx) -> Result<(), Fault> {
        Ok(())
    }
}
