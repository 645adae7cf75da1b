//! Relays in bulk without copying: the kernel moves what one socket has received into a pipe, and from there into the other
//! socket. Small messages are copied, which is cheaper: a splice is two system calls and a pipe besides.
//!
//! One pipe serves all: it is empty between any two calls. What the other socket does not take is read back, and queued as if it
//! had been received; so order, limits and ends are those of a relay that copies.
use super::{BUDGET, Kind, Poller, Ready};
use crate::sock;
use proto_core::{App, Token};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

/// A stream that gives less than this at once is copied until it gives more.
const SMALL: usize = 16 << 10;

/// The pipe.
#[derive(Debug, Default)]
pub enum Pipe {
    /// Nobody has needed it yet.
    #[default]
    None,
    /// Its ends: to read, to write.
    Open(OwnedFd, OwnedFd),
    /// The system does not give one: relays copy.
    Refused,
}

impl Pipe {
    fn open(&mut self) -> Option<(&OwnedFd, &OwnedFd)> {
        if let Pipe::None = self {
            *self = match pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC) {
                Ok((r, w)) => Pipe::Open(r, w),
                Err(_) => Pipe::Refused,
            };
        }
        if let Pipe::Open(r, w) = self { Some((r, w)) } else { None }
    }
}

impl<A: App + 'static, P: Poller> Ready<A, P> {
    /// Moves what has come on `t` to where it is relayed; how much. `None`: it is to be received instead, whatever that gives.
    pub(super) fn splice(&mut self, t: Token) -> Option<usize> {
        let to = self.host.splices(t)?;
        let (from, other) = (self.conns.get(t)?, self.conns.get(to)?);
        if other.kind != Kind::Stream || other.blocked || other.shut {
            return None;
        }
        let (r, w) = self.pipe.open()?;
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        self.host.counters.syscalls += 1;
        let n = match splice(&from.fd, None, w, None, BUDGET, flags) {
            Ok(n @ 1..) => n,
            // An error of a socket is told once: a receive after it would find a clean end.
            Err(e) if !matches!(e, Errno::AGAIN | Errno::INTR | Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                self.die(t, sock::reason(e));
                return Some(0);
            }
            _ => {
                self.conns.get_mut(t)?.bulk = false;
                return None;
            }
        };
        let (mut left, mut failed) = (n, None);
        while left > 0 {
            self.host.counters.syscalls += 1;
            match splice(r, None, &other.fd, None, left, flags) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(m) => left = left.saturating_sub(m),
                Err(Errno::INTR) => {}
                Err(e) => {
                    failed = Some(sock::reason(e));
                    break;
                }
            }
        }
        self.host.spliced(t, to, n - left);
        if left > 0 {
            self.host.counters.syscalls += 1;
            // Less than was moved into it, which fits the scratch.
            let read = rustix::io::read(r, self.scratch.get_mut(..left).unwrap_or_default()).unwrap_or(0);
            debug_assert_eq!(read, left, "the pipe is empty between calls");
            match failed {
                Some(why) => self.die(to, why),
                None => self.received(t, read), // sending it will find out that the socket is full
            }
        }
        self.unflushed += n - left;
        if let Some(io) = self.conns.get_mut(t) {
            io.bulk = n >= SMALL;
        }
        Some(n)
    }
}
