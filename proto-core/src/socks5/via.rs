//! A proxy beneath a machine: the client's side as a layer.
use super::{Client, ClientEvent, Command, Credentials, Destination};
use crate::{Deadline, Fault, Info, Instant, Layer, Machine, Rx, Sealed, Step, Tx};
use alloc::vec::Vec;
use core::time::Duration;

/// Asks a proxy for a connection, then passes bytes on as they are. Layers above it talk to the destination: they may be
/// another `Via`, or TLS.
#[derive(Clone, Debug)]
pub struct Via(Client);

impl Via {
    /// To `to`, through the proxy that the wire leads to.
    pub fn new(to: Destination, credentials: Option<Credentials>, within: Duration) -> Self {
        Via(Client::new(Command::Connect, to, credentials, within))
    }
    fn talk(&mut self, now: Instant, input: &mut Vec<u8>, eof: bool, wire: &mut Tx) -> Result<bool, Fault> {
        let before = input.len();
        let mut rx = Rx::new(input, eof);
        let step = self.0.poll(now, &mut rx, wire)?;
        let open = matches!(step, Step::Event(ClientEvent::Open(_)));
        let left = rx.len();
        input.drain(..before - left);
        Ok(open)
    }
}

impl Layer for Via {
    fn start(&mut self, now: Instant, wire: &mut Tx) {
        let begun = self.0.start(now, wire);
        debug_assert!(begun.is_ok(), "started twice");
    }
    fn open(
        &mut self,
        now: Instant,
        input: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        wire: &mut Tx,
    ) -> Result<Option<Info>, Fault> {
        if !self.0.is_open() {
            return Ok(self.talk(now, input, false, wire)?.then(Info::default));
        }
        plain.append(input);
        Ok(None)
    }
    fn seal(&mut self, _: Instant, plain: &mut Tx, wire: &mut Tx) -> Result<Sealed, Fault> {
        if !self.0.is_open() {
            return Ok(Sealed::NotReady);
        }
        wire.append(plain, wire.room());
        Ok(if plain.is_empty() { Sealed::All } else { Sealed::WireFull })
    }
    fn end_of_input(&mut self, wire: &mut Tx) -> Result<(), Fault> {
        if self.0.is_open() {
            return Ok(());
        }
        self.talk(Instant::default(), &mut Vec::new(), true, wire).map(drop)
    }
    fn close(&mut self, _: &mut Tx) {}
    fn deadline(&self) -> Option<Deadline> {
        self.0.deadline()
    }
    fn on_deadline(&mut self, now: Instant, wire: &mut Tx) -> Result<(), Fault> {
        self.0.on_deadline(now, wire)
    }
}
