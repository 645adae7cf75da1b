//! What is done to sockets with the lock held: it never waits.
use super::socket::{Io, Kind, Socket, Stop};
use super::{State, roles};
use crate::{ready, sock};
use proto_core::{Addr, Answer, App, Bytes, Chunk, ConnectOpts, FileId, Input, Next, Peer, Reason, Token};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{SendFlags, Shutdown, SocketAddrAny, send, sendto, shutdown, sockopt};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

/// Why an output does not go on without a thread that waits.
pub enum Obstacle {
    /// The socket is full.
    Full,
    /// The next piece must be read: file, offset, length.
    File(Arc<File>, u64, usize),
}

impl<A: App + 'static> State<A> {
    fn insert(&mut self, t: Token, sock: &Arc<Socket>, kind: Kind, stop: Option<Stop>) {
        self.conns.insert(t, Io { sock: sock.clone(), kind, stop, eof: false, shut: false });
    }
    /// Accepts on a socket from now on.
    pub(super) fn listen(&mut self, t: Token, fd: OwnedFd) -> Result<(), Reason> {
        let (sock, stop) = (Socket::new(fd), Stop::new()?);
        let theirs = (sock.clone(), stop.clone());
        self.spawn(move |s| roles::acceptor(s, t, theirs.0, &theirs.1))?;
        self.insert(t, &sock, Kind::Listener, Some(stop));
        Ok(())
    }
    pub(super) fn datagrams(&mut self, t: Token, fd: OwnedFd) -> Result<(), Reason> {
        let sock = Socket::new(fd);
        let theirs = sock.clone();
        self.spawn(move |s| roles::datagrams(s, t, theirs))?;
        self.insert(t, &sock, Kind::Datagram, None);
        Ok(())
    }
    /// Begins to connect. A blocking `connect` could not be called off, so a thread polls.
    pub(super) fn connect(&mut self, t: Token, to: &Addr, o: &ConnectOpts) -> Result<(), Reason> {
        let fd = self.spare.connecting(to, o).map_err(sock::reason)?;
        let (sock, stop) = (Socket::new(fd), Stop::new()?);
        let theirs = (sock.clone(), stop.clone());
        self.spawn(move |s| roles::connector(s, t, &theirs.0, theirs.1))?;
        self.insert(t, &sock, Kind::Connecting, Some(stop));
        Ok(())
    }
    /// A connection attempt has ended; true if it is a connection now.
    pub(super) fn connected(&mut self, t: Token) -> bool {
        let Some(io) = self.conns.get_mut(t) else { return false };
        let fate = match sockopt::socket_error(&io.sock.fd) {
            Ok(Ok(())) => sock::connected_peer(&io.sock.fd),
            Ok(Err(e)) | Err(e) => Err(e),
        };
        match fate.and_then(|peer| ioctl_fionbio(&io.sock.fd, false).map(|()| peer)) {
            Ok(peer) => {
                (io.kind, io.stop) = (Kind::Stream, None);
                self.tell(Input::Connected { conn: t, peer });
                self.attend(t);
                true
            }
            Err(e) => {
                let why = sock::refusal(&io.sock.fd, e);
                self.die(t, why);
                false
            }
        }
    }
    /// A listener has a new connection. Its reader comes first: without one it would be of no use.
    pub(super) fn accepted(&mut self, l: Token, fd: OwnedFd, remote: Option<SocketAddrAny>) {
        let t = self.host.open(l);
        let peer = Peer { remote: sock::addr(remote), local: None, fd: fd.as_raw_fd() as u32 };
        let sock = Socket::new(fd);
        let theirs = sock.clone();
        if let Err(why) = self.spawn(move |s| roles::reader(s, t, &theirs)) {
            self.host.retire(t);
            return self.host.accept_failed(l, why);
        }
        self.insert(t, &sock, Kind::Stream, None);
        self.host.counters.accepted += 1;
        self.tell(Input::Accepted { conn: t, listener: l, peer });
    }

    /// The peer has said its last byte.
    pub(super) fn at_end(&mut self, t: Token) {
        if let Some(io) = self.conns.get_mut(t) {
            io.eof = true;
        }
        if !self.host.is_lingering(t) {
            self.tell(Input::Eof(t));
        }
        self.served(t);
    }
    pub(super) fn received(&mut self, t: Token, store: &mut Vec<u8>, n: usize) {
        if self.host.is_lingering(t) {
            return; // read to be discarded
        }
        self.host.deliver(Input::Bytes(t, Chunk::new(store, n)));
        self.served(t);
    }
    /// The output of the connection just served goes first.
    fn served(&mut self, t: Token) {
        self.host.table.served(t);
        self.pump(t);
        self.ops();
    }

    /// Sends what a connection has, as far as the socket takes it; the rest is a writer's.
    pub(super) fn pump(&mut self, t: Token) {
        if self.conns.get(t).is_none_or(|io| io.kind != Kind::Stream || io.stop.is_some()) {
            return;
        }
        if let Some(obstacle) = self.push(t)
            && let Err(why) = self.hire_writer(t, obstacle)
        {
            self.die(t, why);
        }
    }
    fn hire_writer(&mut self, t: Token, obstacle: Obstacle) -> Result<(), Reason> {
        let stop = Stop::new()?;
        let Some(sock) = self.conns.get(t).map(|io| io.sock.clone()) else { return Ok(()) };
        let theirs = stop.clone();
        self.spawn(move |s| roles::writer(s, t, &sock, &theirs, obstacle))?;
        if let Some(io) = self.conns.get_mut(t) {
            io.stop = Some(stop);
        }
        Ok(())
    }
    /// The output has no obstacle any more: whoever makes output sends it.
    pub(super) fn dismiss_writer(&mut self, t: Token) {
        if let Some(io) = self.conns.get_mut(t) {
            io.stop = None;
        }
    }
    /// Sends until something is in the way; for the writer itself, or when there is none.
    pub(super) fn push(&mut self, t: Token) -> Option<Obstacle> {
        loop {
            let io = self.conns.get_mut(t)?;
            let tx = self.host.table.tx(t)?;
            match tx.next() {
                Next::Empty => {
                    if tx.is_finished() && !io.shut {
                        io.shut = true;
                        let _ = shutdown(&io.sock.fd, Shutdown::Write); // a reset peer says so on reading
                    }
                    if io.shut && io.eof {
                        self.die(t, Reason::Finished);
                    }
                    return None;
                }
                Next::File { file, offset, len } => return self.file_obstacle(t, file, offset, len),
                Next::Bytes => {}
            }
            self.host.counters.syscalls += 1;
            match ready::send_chunks(&io.sock.fd, tx) {
                Ok(n) => self.host.consumed(t, n),
                Err(Errno::AGAIN) => return Some(Obstacle::Full),
                Err(Errno::INTR) => {}
                Err(e) => {
                    self.die(t, sock::reason(e));
                    return None;
                }
            }
        }
    }
    fn file_obstacle(&mut self, t: Token, file: FileId, offset: u64, len: usize) -> Option<Obstacle> {
        let found = self.host.file(file).cloned();
        if found.is_none() {
            self.die(t, Reason::FileShort);
        }
        found.map(|f| Obstacle::File(f, offset, len))
    }
    /// What a writer has read of the file at the front of its output.
    pub(super) fn supplied(&mut self, t: Token, read: std::io::Result<Vec<u8>>) {
        match read.map(|v| self.host.supply(t, Bytes::from(v))) {
            Ok(true) => {}
            Ok(false) => self.die(t, Reason::FileShort),
            Err(e) => self.die(t, sock::io_reason(&e)),
        }
    }
    pub(super) fn send_to(&mut self, t: Token, to: Option<Addr>, data: Vec<u8>) {
        let Some(io) = self.conns.get(t) else { return };
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        self.host.counters.syscalls += 1;
        let sent = match &to {
            None => send(&io.sock.fd, &data, flags),
            Some(to) => sock::with_addr(to, |a| sendto(&io.sock.fd, &data, flags, a)),
        };
        match sent {
            Ok(n) => self.host.counters.bytes_out += n as u64,
            Err(_) => {
                self.dropped += 1;
                self.host.counters.datagrams_dropped += 1;
            }
        }
        self.host.table.pool.put_tail(data);
    }
    pub(super) fn info(&self, t: Token) -> Result<Answer, Reason> {
        let info = self.conns.get(t).and_then(|io| sock::tcp_info(&io.sock.fd));
        info.map(|(rtt_us, queued)| Answer::SocketInfo { rtt: Duration::from_micros(rtt_us.into()), queued })
            .ok_or(Reason::NotFound)
    }
}
