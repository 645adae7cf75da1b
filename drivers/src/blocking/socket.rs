//! A socket that several threads use, and how they are stopped.
use parking_lot::{Condvar, MutexGuard};
use proto_core::Reason;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Stream,
    Connecting,
    Listener,
    Datagram,
}

/// Closed by the last thread that uses it.
#[derive(Debug)]
pub struct Socket {
    pub fd: OwnedFd,
    /// Its reader waits here while nobody wants input.
    gate: Condvar,
}

impl Socket {
    pub fn new(fd: OwnedFd) -> Arc<Socket> {
        Arc::new(Socket { fd, gate: Condvar::new() })
    }
    /// Lets the reader look again.
    pub fn open_gate(&self) {
        self.gate.notify_all();
    }
    /// Waits for [`Socket::open_gate`].
    pub fn wait_at_gate<T>(&self, lock: &mut MutexGuard<'_, T>) {
        self.gate.wait(lock);
    }
}

/// What the tables hold of a socket.
#[derive(Debug)]
pub struct Io {
    pub sock: Arc<Socket>,
    pub kind: Kind,
    /// Of the thread that polls the socket: acceptor, connector or, of a stream, writer.
    pub stop: Option<Stop>,
    pub eof: bool,
    pub shut: bool,
}

impl Io {
    /// Makes the socket's threads leave. The peer sees nothing of it: what it sees is the close that follows, FIN or RST.
    pub fn cancel(&self) {
        if matches!(self.kind, Kind::Stream | Kind::Datagram) {
            // Wakes `recv`, of unconnected datagram sockets too although those answer ENOTCONN. A listener is not shut
            // down: that would end it for other processes that it is shared with.
            let _ = shutdown(&self.sock.fd, Shutdown::Read);
        }
        if let Some(stop) = &self.stop {
            stop.ring();
        }
        self.sock.open_gate();
    }
}

/// Ends a wait for readiness: `shutdown` does not wake a thread that waits for room.
#[derive(Clone, Debug)]
pub struct Stop(Arc<OwnedFd>);

impl Stop {
    pub fn new() -> Result<Stop, Reason> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        fd.map(|fd| Stop(Arc::new(fd))).map_err(crate::sock::reason)
    }
    fn ring(&self) {
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes()); // it rings once and for ever
    }
    /// Returns when the socket is ready or has failed, or when this rings: look what has happened.
    pub fn wait(&self, sock: &Socket, flags: PollFlags) {
        loop {
            let mut fds = [PollFd::new(&sock.fd, flags), PollFd::new(&*self.0, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => {}
                Err(Errno::NOMEM) => std::thread::yield_now(), // kernel memory comes back
                _ => return,
            }
        }
    }
}
