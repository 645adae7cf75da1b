//! Bytes of connections: in with a budget, out as far as the socket takes them.
use super::{BUDGET, FLUSH, Kind, Poller, Ready, SEGMENTS};
use crate::pass::{Passed, SMALL};
use crate::sock;
use proto_core::{App, Chunk, Input, Next, Reason, Token, Tx};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};
use std::io::IoSlice;

impl<A: App + 'static, P: Poller> Ready<A, P> {
    #[inline]
    pub(super) fn drain(&mut self, t: Token, to_the_end: bool) {
        let mut budget = BUDGET;
        while budget > 0 {
            if !self.wants(t) {
                return;
            }
            let Some(io) = self.conns.get_mut(t).filter(|io| io.readable && !io.eof) else { return };
            if io.bulk
                && let Some(n) = self.pass(t, to_the_end)
            {
                budget = budget.saturating_sub(n);
                self.after_input(t);
                continue;
            }
            let Some(io) = self.conns.get_mut(t) else { return };
            self.host.counters.syscalls += 1;
            match recv(&io.fd, &mut self.scratch[..], RecvFlags::empty()) {
                Ok((0, _)) => {
                    io.eof = true;
                    if !self.host.is_lingering(t) {
                        self.tell(Input::Eof(t));
                    }
                }
                Ok((n, _)) => {
                    io.bulk = n >= SMALL;
                    if n < self.scratch.len() && !to_the_end {
                        io.readable = false;
                        self.poller.used_up(t, true);
                    }
                    budget = budget.saturating_sub(n);
                    self.received(t, n);
                }
                Err(Errno::AGAIN) => {
                    io.readable = false;
                    return self.poller.used_up(t, true);
                }
                Err(Errno::INTR) => continue,
                Err(e) => self.die(t, sock::reason(e)),
            }
            self.after_input(t);
        }
        self.later(t);
    }
    /// Passes on in bulk what has come on `t`, if it is relayed; how much. `None`: it is to be received.
    fn pass(&mut self, t: Token, to_the_end: bool) -> Option<usize> {
        let to = self.host.passes(t)?;
        let (from, other) = (self.conns.get(t)?, self.conns.get(to)?);
        if other.kind != Kind::Stream || other.blocked || other.shut {
            return None;
        }
        let (splices, calls) = (self.host.may_splice(), &mut self.host.counters.syscalls);
        let spliced = if splices { self.way.splice(&from.fd, &other.fd, calls) } else { Passed::Not };
        let (passed, spliced) = match spliced {
            Passed::Not => (self.way.copy(&from.fd, &other.fd, calls), false),
            passed => (passed, true),
        };
        let (n, mut left, failed, more) = match passed {
            Passed::Not => return None,
            Passed::Nothing => {
                self.conns.get_mut(t)?.readable = false;
                self.poller.used_up(t, true);
                return Some(0);
            }
            Passed::Failed(why) => {
                self.die(t, why);
                return Some(0);
            }
            Passed::Moved { n, left, failed, more } => (n, left, failed, more || to_the_end),
        };
        self.host.passed(t, to, n - left.len(), spliced);
        self.unflushed += n - left.len();
        if let Some(io) = self.conns.get_mut(t) {
            io.bulk = n >= SMALL;
            io.readable = more;
        }
        if !more {
            self.poller.used_up(t, true);
        }
        match failed {
            Some(why) => self.die(to, why),
            None if left.is_empty() => {}
            None => {
                let rest = left.len();
                self.unflushed += rest;
                // Sending it will find out that the socket is full.
                self.host.deliver(Input::Bytes(t, Chunk::new(&mut left, rest)));
            }
        }
        Some(n)
    }
    /// The served connection's output goes out at once.
    #[inline]
    fn after_input(&mut self, t: Token) {
        self.host.table.served(t);
        self.pump(t);
        self.ops();
        if self.unflushed >= FLUSH {
            self.settle();
        }
    }
    #[inline]
    fn received(&mut self, t: Token, n: usize) {
        if self.host.is_lingering(t) {
            return; // read to be discarded
        }
        self.unflushed += n;
        self.host.deliver(Input::Bytes(t, Chunk::new(&mut self.scratch, n)));
        if self.scratch.is_empty() {
            self.scratch = self.host.table.pool.chunk();
        }
    }
    /// Sends what a connection has, as far as the socket takes it.
    #[inline]
    pub(super) fn pump(&mut self, t: Token) {
        let Some(io) = self.conns.get_mut(t) else { return };
        while !io.blocked && io.kind == Kind::Stream {
            let Some(tx) = self.host.table.tx(t) else { return };
            let sent = match tx.next() {
                Next::Empty => {
                    if tx.is_finished() && !io.shut {
                        io.shut = true;
                        // After the end of input closing follows, which sends the FIN.
                        if !io.eof {
                            self.host.counters.syscalls += 1;
                            let _ = shutdown(&io.fd, Shutdown::Write); // a reset peer says so on reading
                        }
                    }
                    break;
                }
                Next::Bytes => send_chunks(&io.fd, tx),
                Next::File { file, offset, len } => match self.host.file(file) {
                    Some(f) => {
                        let mut at = offset;
                        match rustix::fs::sendfile(&io.fd, f, Some(&mut at), len) {
                            Ok(0) => return self.die(t, Reason::FileShort),
                            r => r,
                        }
                    }
                    None => return self.die(t, Reason::FileShort),
                },
            };
            self.host.counters.syscalls += 1;
            match sent {
                Ok(n) => self.host.consumed(t, n),
                Err(Errno::AGAIN) => {
                    io.blocked = true;
                    self.poller.used_up(t, false);
                }
                Err(Errno::INTR) => {}
                Err(e) => return self.die(t, sock::reason(e)),
            }
        }
        if io.shut && io.eof {
            self.die(t, Reason::Finished);
        }
    }
}

/// Sends what is at the front of an output without waiting, be the socket blocking or not.
#[inline]
pub fn send_chunks(fd: &OwnedFd, tx: &Tx) -> rustix::io::Result<usize> {
    // What comes before a file leaves in one packet with its beginning.
    let more = if tx.has_file() { SendFlags::MORE } else { SendFlags::empty() };
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT | more;
    let mut chunks = tx.chunks();
    match (chunks.next(), chunks.next()) {
        (None, _) => Ok(0),
        (Some(b), None) => send(fd, b, flags),
        (Some(a), Some(b)) => {
            let mut slices = [IoSlice::new(&[]); SEGMENTS];
            let mut n = 0;
            for (s, b) in slices.iter_mut().zip([a, b].into_iter().chain(chunks)) {
                *s = IoSlice::new(b);
                n += 1;
            }
            sendmsg(fd, slices.get(..n).unwrap_or_default(), &mut SendAncillaryBuffer::default(), flags)
        }
    }
}
