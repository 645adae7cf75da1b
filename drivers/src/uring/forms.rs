//! The forms of use that are chosen by hand: receives that name their buffer, and chains.
use super::Driver;
use super::conns::{Chain, Kind, Watch};
use super::ring::{Code, Done};
use crate::sock;
use proto_core::{App, Chunk, Input, Token};
use rustix::io::Errno;
use std::time::Duration;

/// How long a send that is the head of a chain may wait if nothing else happens. One that can go does not wait.
pub const STUCK: Duration = Duration::from_millis(1);

/// Connections whose send is the head of a chain, by the turn in which it was asked for.
#[derive(Default)]
pub struct Chains {
    pub new: Vec<Token>,
    old: Vec<Token>,
}

impl<A: App + 'static> Driver<A> {
    /// Asks for what is there, if a buffer of the pool is free: else when one comes back.
    pub(super) fn read(&mut self, t: Token) {
        if !self.wants(t) {
            return;
        }
        let most = self.scratch.len();
        let Some(io) = self.conns.live(t) else { return };
        if !io.readable || io.eof || io.reading || io.has_parked() || io.kind != Kind::Stream {
            return;
        }
        let Some(id) = self.ring.pool.take() else {
            if !std::mem::replace(&mut io.starving, true) {
                self.starved.push_back(t);
            }
            return;
        };
        io.reading = true;
        io.cold().reading = Some(id);
        self.ring.read(io.target(), t, id, most);
    }
    /// A receive into a buffer of the pool has completed.
    pub(super) fn was_read(&mut self, d: Done) {
        let Some(io) = self.conns.of(d.token()) else { return };
        let t = io.token;
        io.reading = false;
        let Some(id) = io.cold().reading.take() else { return };
        if io.closing {
            self.ring.pool.put(id);
            return self.release(t);
        }
        match d.outcome() {
            Ok(0) => {
                io.readable = false;
                self.ended(t);
            }
            Ok(n) => {
                // After a short read there is only more to come if a poll has told of the end.
                let full = self.ring.pool.get(id).is_some_and(|b| n == b.len().min(self.scratch.len()));
                io.readable = full || io.hup;
                self.filled(t, id, n);
            }
            Err(Errno::AGAIN) => io.readable = false,
            Err(Errno::INTR | Errno::CANCELED | Errno::NOBUFS) => {} // asked for again
            Err(e) => self.die(t, sock::reason(e)),
        }
        self.ring.pool.put(id);
        self.ops();
        self.later_or_arm(t);
    }
    /// Others first, if there is more to be read.
    fn later_or_arm(&mut self, t: Token) {
        match self.conns.live(t).map(|io| io.readable && !io.eof) {
            Some(true) => self.later(t),
            Some(false) => self.arm(t),
            None => {}
        }
    }
    /// Bytes in a buffer of the pool. A registered one is not lent to the app, who might keep it.
    fn filled(&mut self, t: Token, id: u16, n: usize) {
        let fixed = self.ring.pool.is_fixed();
        let lingering = self.host.is_lingering(t);
        let (Some(io), Some(buffer)) = (self.conns.live(t), self.ring.pool.get(id)) else { return };
        if io.has_parked() || !lingering && !self.host.table.is_wanted(t) {
            let bytes = buffer.get(..n).unwrap_or_default().to_vec();
            io.cold().parked.push_back(bytes);
        } else if fixed {
            if let (Some(to), Some(from)) = (self.scratch.get_mut(..n), buffer.get(..n)) {
                to.copy_from_slice(from);
            }
            self.bytes(t, n);
        } else if !lingering {
            self.unflushed += n;
            self.host.deliver(Input::Bytes(t, Chunk::new(buffer, n)));
            self.after_input(t);
        }
    }

    /// The next send may have the next receive behind it: none is in flight, and one is wanted.
    pub(super) fn may_link(&mut self, t: Token) -> bool {
        let wanted = self.host.table.is_wanted(t) && !self.host.is_lingering(t);
        let Some(io) = self.conns.live(t) else { return false };
        wanted && io.watch == Watch::Nothing && !io.eof && !io.bulk && !io.has_parked()
    }
    /// Breaks the chains whose send would block: the peer may want to be heard before it reads. A send that can go goes
    /// within the call that hands it over, so one that has not completed a turn later waits for the peer.
    pub(super) fn break_chains(&mut self) {
        let mut old = std::mem::take(&mut self.chains.old);
        for t in old.drain(..) {
            if let Some(io) = self.conns.live(t).filter(|io| io.chain == Chain::Whole) {
                io.chain = Chain::Broken;
                self.ring.cancel(Code::Send, t);
            }
        }
        self.chains.old = std::mem::replace(&mut self.chains.new, old);
    }
}

impl Chains {
    /// There may be something to do for [`Driver::break_chains`].
    #[inline]
    pub fn are_there(&self) -> bool {
        !self.new.is_empty() || !self.old.is_empty()
    }
}
