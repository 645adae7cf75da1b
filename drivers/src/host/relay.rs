//! Relays: what comes on one stream goes out on another, and the app hears of the end only.
//!
//! It is done where input is delivered, so it is the same for every driver, in simulations and in recordings: what a relay
//! takes is recorded as the input that it would have been, and a replay takes it again.
use super::Host;
use proto_core::{App, Input, RelayEnd, Slots, Token};

#[derive(Debug)]
struct Relay {
    to: Token,
    total: u64,
    quota: u64,
    /// Reading waits until the other side has room.
    full: bool,
}

/// All relays of a loop.
#[derive(Debug, Default)]
pub struct Relays {
    by_source: Slots<Relay>,
    /// The source of each relay, by its other side.
    sources: Slots<Token>,
    /// A driver that can may move bytes without showing them here.
    splice: bool,
}

impl Relays {
    /// A driver may splice, or not.
    pub fn new(splice: bool) -> Self {
        Relays { splice, ..Relays::default() }
    }
}

impl<A: App + 'static> Host<A> {
    /// See [`proto_core::Op::Relay`].
    #[cold]
    pub(crate) fn relay(&mut self, from: Token, to: Token, quota: Option<u64>) {
        self.forget_relay(from);
        self.stop_relay_to(to);
        let open = self.table.tx(to).is_some_and(|tx| !tx.is_finished());
        if !open || !self.table.is_live(from) || self.is_lingering(from) {
            return; // whoever has gone is told, or has been
        }
        let full = self.table.tx(to).is_some_and(|tx| tx.room() == 0);
        let relay = Relay { to, total: 0, quota: quota.unwrap_or(u64::MAX), full };
        self.relays.by_source.insert(from, relay);
        self.relays.sources.insert(to, from);
        self.table.want(from, !full);
    }
    fn forget_relay(&mut self, from: Token) -> Option<Relay> {
        let relay = self.relays.by_source.remove(from)?;
        self.relays.sources.remove(relay.to);
        Some(relay)
    }
    /// The other side is gone: its source is not read, until the app says.
    fn stop_relay_to(&mut self, to: Token) {
        if let Some(from) = self.relays.sources.get(to).copied() {
            self.forget_relay(from);
            self.table.want(from, false);
        }
    }
    /// A token is closed, or the app closes it.
    pub(super) fn end_relays(&mut self, t: Token) {
        if !self.relays.by_source.is_empty() {
            self.forget_relay(t);
            self.stop_relay_to(t);
        }
    }
    /// Where a driver may send what comes on `from` without showing it: the other side of its relay, if nothing is queued there.
    /// A recording has to see all, and so has a relay that counts.
    pub(crate) fn passes(&self, from: Token) -> Option<Token> {
        if self.recorder.is_some() {
            return None;
        }
        let relay = self.relays.by_source.get(from).filter(|r| !r.full && r.quota == u64::MAX)?;
        let open = self.table.tx(relay.to).is_some_and(|tx| tx.is_empty() && !tx.is_finished());
        (open && self.table.is_wanted(from) && !self.is_lingering(from)).then_some(relay.to)
    }
    /// It may do so within the kernel.
    pub(crate) fn may_splice(&self) -> bool {
        self.relays.splice
    }
    /// A driver has done so, with `n` bytes, within the kernel or by copying.
    pub(crate) fn passed(&mut self, from: Token, to: Token, n: usize, spliced: bool) {
        self.now = self.now.max(self.clock.now());
        self.counters.bytes_in += n as u64;
        self.counters.bytes_out += n as u64;
        *if spliced { &mut self.counters.spliced } else { &mut self.counters.relayed } += n as u64;
        self.table.received(from, n, self.now);
        self.table.passed(to, n, self.now);
        if let Some(relay) = self.relays.by_source.get_mut(from) {
            relay.total += n as u64;
        }
    }
    /// Does with an input what a relay does; gives back what the app is told, if anything.
    #[inline]
    pub(super) fn relayed<'a>(&mut self, input: Input<'a, A::Msg>) -> Option<Input<'a, A::Msg>> {
        if self.relays.by_source.is_empty() { Some(input) } else { self.relay_input(input) }
    }
    fn relay_input<'a>(&mut self, input: Input<'a, A::Msg>) -> Option<Input<'a, A::Msg>> {
        match input {
            Input::Bytes(from, chunk) => {
                let Some(relay) = self.relays.by_source.get_mut(from) else { return Some(Input::Bytes(from, chunk)) };
                relay.total += chunk.len() as u64;
                self.counters.relayed += chunk.len() as u64;
                let room = self.table.pass_on(relay.to, chunk);
                if relay.total >= relay.quota {
                    return self.relay_ends(from, RelayEnd::Quota);
                }
                if room == 0 {
                    relay.full = true;
                    self.table.want(from, false);
                }
                None
            }
            Input::Eof(from) if self.relays.by_source.get(from).is_some() => self.relay_ends(from, RelayEnd::Eof),
            Input::Writable(to) => {
                let Some(from) = self.relays.sources.get(to).copied() else { return Some(Input::Writable(to)) };
                if let Some(relay) = self.relays.by_source.get_mut(from)
                    && std::mem::take(&mut relay.full)
                {
                    self.table.want(from, true);
                }
                None
            }
            other => Some(other),
        }
    }
    fn relay_ends<'a>(&mut self, from: Token, end: RelayEnd) -> Option<Input<'a, A::Msg>> {
        let Relay { to, total, .. } = self.forget_relay(from)?;
        match end {
            RelayEnd::Quota => self.table.want(from, false),
            RelayEnd::Eof => self.table.finish(to),
        }
        Some(Input::Relayed { from, total, end })
    }
}
