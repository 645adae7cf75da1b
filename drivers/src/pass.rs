//! Relays in bulk: from one socket into the other at once, past the output. Through a pipe nothing is copied (`splice`); through a
//! buffer it is copied once in and once out, as ever, but in larger pieces. Small messages go the ordinary way, which is cheaper.
//!
//! One pipe and one buffer serve a whole loop: they are empty between any two calls. What the other socket does not take is queued
//! as if it had been received; so order, limits and ends are those of any relay. To be sure that this is little, the other socket
//! is asked first how much it has room for.
use crate::sock;
use proto_core::Reason;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// A stream that gives less than this at once is no longer in bulk.
pub const SMALL: usize = 16 << 10;
/// Tried beyond what the other socket has room for: so much may have to be queued.
const MARGIN: usize = 64 << 10;
/// Moved at once at most. Each piece wakes whoever waits for it, which is half of the cost or more: a byte in pieces of 1 MiB costs
/// two thirds of what it costs in pieces of 256 KiB, and that was half of what it costs in pieces of 64.
const MOST: usize = 1 << 20;
/// Splices where the kernel did not do it.
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// How it went.
#[derive(Debug)]
pub enum Passed {
    /// It cannot be done this way, or the stream has ended: receive.
    Not,
    /// There is nothing to be had.
    Nothing,
    /// The source has failed, which it says only once.
    Failed(Reason),
    /// `n` bytes were taken, and there may be more; what the other side did not take is left, and perhaps it has failed.
    Moved { n: usize, left: Vec<u8>, failed: Option<Reason>, more: bool },
}

/// What bytes go through.
#[derive(Debug, Default)]
pub struct Way {
    pipe: Pipe,
    /// Empty until something is copied.
    buffer: Vec<u8>,
}

#[derive(Debug, Default)]
enum Pipe {
    /// Nobody has needed it yet.
    #[default]
    None,
    /// Its ends, to read and to write, and its size.
    Open(OwnedFd, OwnedFd, usize),
    /// The system does not give one.
    Refused,
}

impl Pipe {
    fn open(&mut self) -> Option<(&OwnedFd, &OwnedFd, usize)> {
        if let Pipe::None = self {
            *self = match pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC) {
                Ok((r, w)) => {
                    let size = fcntl_setpipe_size(&w, MOST).unwrap_or(MARGIN);
                    Pipe::Open(r, w, size.min(MOST))
                }
                Err(_) => Pipe::Refused,
            };
        }
        if let Pipe::Open(r, w, size) = self { Some((r, w, *size)) } else { None }
    }
}

impl Way {
    /// Moves what has come on one socket into the other, within the kernel. Both must be such that they do not block. Adds the calls
    /// that it makes to `calls`.
    pub fn splice(&mut self, from: &OwnedFd, to: &OwnedFd, calls: &mut u64) -> Passed {
        let Some((r, w, size)) = self.pipe.open() else { return Passed::Not };
        *calls += 2;
        let most = room(to).min(size);
        let n = match retry_on_intr(|| splice(from, None, w, None, most, FLAGS)) {
            Ok(0) | Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => return Passed::Not,
            Ok(n) => n,
            Err(Errno::AGAIN) => return Passed::Nothing,
            Err(e) => return Passed::Failed(sock::reason(e)),
        };
        let (mut rest, mut failed) = (n, None);
        while rest > 0 && failed.is_none() {
            *calls += 1;
            match splice(r, None, to, None, rest, FLAGS) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(m) => rest = rest.saturating_sub(m),
                Err(Errno::INTR) => {}
                Err(e) => failed = Some(sock::reason(e)),
            }
        }
        let mut left = vec![0; rest];
        let mut at = 0;
        while at < rest {
            *calls += 1;
            match rustix::io::read(r, left.get_mut(at..).unwrap_or_default()) {
                Ok(0) | Err(_) => break,
                Ok(m) => at += m,
            }
        }
        debug_assert_eq!(at, rest, "the pipe is empty between calls");
        // A pipe may be full before the socket is empty: it holds so many pieces, however small they are.
        Passed::Moved { n, left, failed, more: true }
    }
    /// The same by copying. Neither side waits, be the sockets such that they block or not.
    pub fn copy(&mut self, from: &OwnedFd, to: &OwnedFd, calls: &mut u64) -> Passed {
        if self.buffer.is_empty() {
            self.buffer = vec![0; MOST];
        }
        let most = room(to).min(self.buffer.len());
        *calls += 2;
        let into = self.buffer.get_mut(..most).unwrap_or_default();
        let n = match retry_on_intr(|| recv(from, &mut *into, RecvFlags::DONTWAIT)) {
            Ok((0, _)) => return Passed::Not,
            Ok((n, _)) => n,
            Err(Errno::AGAIN) => return Passed::Nothing,
            Err(e) => return Passed::Failed(sock::reason(e)),
        };
        let (mut at, mut failed) = (0, None);
        while at < n && failed.is_none() {
            *calls += 1;
            match send(to, self.buffer.get(at..n).unwrap_or_default(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(m) => at += m,
                Err(Errno::INTR) => {}
                Err(e) => failed = Some(sock::reason(e)),
            }
        }
        Passed::Moved { n, left: self.buffer.get(at..n).unwrap_or_default().to_vec(), failed, more: n == most }
    }
}

/// How much is worth a try: a little more than the socket has room for, so that one whose reader is slow is filled to the brim, and
/// then not tried before much of that is gone.
fn room(to: &OwnedFd) -> usize {
    sock::send_room(to.as_fd()).saturating_add(MARGIN).min(MOST)
}
