//! Listeners: multishot accept. It may accept more than the app wants just then; these wait, and from then on
//! connections are accepted one at a time.
use super::Driver;
use super::conns::{Io, Kind, Watch};
use super::ring::{Code, Done};
use crate::sock;
use proto_core::{App, Input, Token};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

impl<A: App + 'static> Driver<A> {
    /// Begins or ends accepting, as the app and the pauses want it.
    pub(super) fn arm_accept(&mut self, l: Token) {
        let wanted = self.host.is_accepting(l);
        let Some(io) = self.conns.live(l) else { return };
        let waiting = io.cold.as_ref().is_some_and(|c| !c.accepted.is_empty());
        io.single |= !wanted;
        match (wanted, io.watch) {
            (true, _) if waiting => self.later(l),
            (true, Watch::Nothing) => {
                (io.watch, io.cancelled) = (Watch::Accept, false);
                self.ring.accept(&io.fd, l, io.single);
            }
            (false, Watch::Accept) if !io.cancelled => {
                io.cancelled = true;
                self.ring.cancel(Code::Accept, l);
            }
            _ => {}
        }
    }
    pub(super) fn accepted(&mut self, d: Done) {
        let fd = d.descriptor();
        let Some(io) = self.conns.of(d.token()) else { return };
        let l = io.token;
        if !d.more() {
            io.watch = Watch::Nothing;
        }
        if io.closing {
            return self.release(l);
        }
        match (fd, d.outcome()) {
            (Some(fd), _) if self.host.is_accepting(l) => self.welcome(l, fd),
            (Some(fd), _) => io.cold().accepted.push_back(fd),
            (None, Err(e @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::INVAL))) => {
                self.host.accept_failed(l, sock::reason(e));
                self.ops();
            }
            (None, Ok(_) | Err(Errno::CANCELED)) => {}
            // ECONNABORTED and its like: the next one.
            (None, Err(_)) => self.host.counters.accept_errors += 1,
        }
        self.arm_accept(l);
    }
    /// Those that came while the app wanted none.
    pub(super) fn unpark(&mut self, l: Token) {
        while self.host.is_accepting(l) {
            let next = self.conns.live(l).and_then(|io| io.cold.as_mut()?.accepted.pop_front());
            let Some(fd) = next else { break };
            self.welcome(l, fd);
        }
        self.arm_accept(l);
    }
    fn welcome(&mut self, l: Token, fd: OwnedFd) {
        self.host.counters.syscalls += 1;
        let Ok(peer) = sock::peer(&fd) else {
            self.host.counters.accept_errors += 1; // reset already: as if it had been so before it was accepted
            return;
        };
        let t = self.host.open(l);
        self.conns.insert(Io::new(t, fd, Kind::Stream));
        self.host.counters.accepted += 1;
        self.tell(Input::Accepted { conn: t, listener: l, peer });
        self.begin(t);
    }
}
