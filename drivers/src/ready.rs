//! The loop of the readiness drivers: `select`, `poll`, `epoll` and `async` differ only in how they wait.
//!
//! Readiness is remembered per socket (`readable`, `blocked`), as edge-triggered polling demands; level-triggered
//! pollers are told what to watch from the same two facts. The served connection's output goes out at once, everyone
//! else's once per turn or after [`FLUSH`] bytes of input. A socket whose budget is used up, or whose reading was
//! resumed, goes on a list that is served after the others.
use crate::host::{Due, Host, NetOp};
use crate::listen::Bound;
use crate::{Error, sock};
use proto_core::{Addr, Answer, App, Chunk, Input, Next, Peer, Reason, Slots, Token, Trouble, Tx};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, acceptfrom_with, recv, recvfrom, send, sendmsg,
    sendto, shutdown, sockopt,
};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Duration;

/// Waits for sockets.
pub trait Poller {
    /// Reports a state again and again until it is gone, so it must know what is wanted.
    const LEVEL: bool;
    /// Watches a socket; all of it if edge-triggered, nothing yet if level-triggered.
    fn add(&mut self, fd: BorrowedFd<'_>, t: Token) -> rustix::io::Result<()>;
    /// Forgets a socket, before it is closed.
    fn remove(&mut self, fd: BorrowedFd<'_>, t: Token);
    /// What is wanted of a socket has changed (level-triggered only).
    fn interest(&mut self, _fd: BorrowedFd<'_>, _t: Token, _read: bool, _write: bool) {}
    /// A socket would block (for pollers that cache readiness).
    fn used_up(&mut self, _t: Token, _read: bool) {}
}

/// What a poller reports.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub token: Token,
    pub readable: bool,
    pub writable: bool,
    /// The end of input may follow what is readable: read until it says so.
    pub hup: bool,
    pub error: bool,
}

/// The token of the bell that rings for mail.
pub const BELL: Token = Token::from_bits(u64::MAX);
/// Bytes of one connection per turn, before others are served.
const BUDGET: usize = 64 << 10;
/// Connections accepted, or datagrams received, per turn.
const BATCH: usize = 64;
/// Input after which everybody's output is flushed.
const FLUSH: usize = 64 << 10;
/// Segments per send.
const SEGMENTS: usize = 64;

#[derive(Debug)]
enum News {
    Closed(Token, Reason),
    Bound(Token, Addr),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Stream,
    Connecting,
    Listener,
    Datagram,
}

#[derive(Debug)]
struct Io {
    fd: OwnedFd,
    kind: Kind,
    readable: bool,
    blocked: bool,
    eof: bool,
    shut: bool,
    /// On the list of those to be served again.
    queued: bool,
    /// What a level-triggered poller watches: reading, writing.
    armed: (bool, bool),
}

/// A loop over readiness. The poller is dropped before the sockets it watches: the order of the fields matters.
pub struct Ready<A: App, P> {
    pub host: Host<A>,
    pub poller: P,
    conns: Slots<Io>,
    again: Vec<Token>,
    /// What ops have caused and the app was not told yet.
    news: VecDeque<News>,
    /// What reads go into; replaced when the app keeps it.
    scratch: Vec<u8>,
    /// Input delivered since everybody's output was flushed.
    unflushed: usize,
    /// Datagrams dropped and not told yet.
    dropped: u64,
}

impl<A: App + 'static, P: Poller> Ready<A, P> {
    /// Takes over the listeners and starts the app.
    pub fn new(mut host: Host<A>, mut poller: P, listeners: Vec<Bound>) -> Result<Self, Error> {
        let scratch = host.table.pool.chunk();
        poller.add(host.bell().waker().fd(), BELL).map_err(|e| Error::system("watch the mailbox")(e.into()))?;
        poller.interest(host.bell().waker().fd(), BELL, true, false);
        let (again, news) = (Vec::new(), VecDeque::new());
        let mut r = Ready { host, poller, conns: Slots::default(), again, news, scratch, unflushed: 0, dropped: 0 };
        for (t, bound) in r.host.listeners().into_iter().zip(listeners) {
            r.add(t, bound.fd, Kind::Listener).map_err(|e| Error::system("watch a listener")(e.into()))?;
            r.arm(t);
        }
        r.host.start();
        r.settle();
        Ok(r)
    }
    /// How long to wait.
    pub fn timeout(&self) -> Option<Duration> {
        if self.again.is_empty() { self.host.timeout() } else { Some(Duration::ZERO) }
    }
    /// One turn over what the wait has reported. The exit code, once the app has ended.
    pub fn turn(&mut self, events: impl Iterator<Item = Event>) -> Option<u8> {
        self.host.counters.wakeups += 1;
        self.host.counters.syscalls += 1;
        for e in events {
            self.host.counters.events += 1;
            self.event(e);
        }
        for t in std::mem::take(&mut self.again) {
            if let Some(io) = self.conns.get_mut(t) {
                io.queued = false;
                self.serve(t, true);
            }
        }
        while let Some(due) = self.host.due() {
            match due {
                Due::Cut(t) => self.die(t, Reason::TimedOut),
                Due::Accept(t) => {
                    self.later(t);
                    self.arm(t);
                }
            }
            self.ops();
        }
        if self.host.is_app_due() {
            self.tell(Input::Deadline);
        }
        self.settle();
        if self.host.has_local_mail() {
            self.mail(false);
        }
        if self.dropped > 0 {
            let count = std::mem::take(&mut self.dropped);
            self.tell(Input::Trouble(Trouble::DatagramsDropped { count }));
            self.settle();
        }
        self.host.exit()
    }

    fn add(&mut self, t: Token, fd: OwnedFd, kind: Kind) -> rustix::io::Result<()> {
        self.host.counters.epoll_ctl += 1;
        self.poller.add(fd.as_fd(), t)?;
        let blocked = kind == Kind::Connecting;
        let armed = (false, false);
        self.conns.insert(t, Io { fd, kind, readable: false, blocked, eof: false, shut: false, queued: false, armed });
        Ok(())
    }
    #[inline]
    fn event(&mut self, e: Event) {
        if e.token == BELL {
            self.host.bell().waker().clear();
            self.poller.used_up(BELL, true);
            return self.mail(true);
        }
        let Some(io) = self.conns.get_mut(e.token) else { return };
        if io.blocked && e.writable {
            io.blocked = false;
            match io.kind {
                Kind::Connecting => self.connected(e.token),
                _ => self.pump(e.token),
            }
            self.ops();
        }
        if e.readable
            && let Some(io) = self.conns.get_mut(e.token)
        {
            io.readable = true;
            // After a short read there is only more to come if this event told of the end.
            self.serve(e.token, e.hup);
        }
        if e.error && !self.wants(e.token) {
            self.failed(e.token);
        }
        self.arm(e.token);
    }
    /// A socket whose input is not wanted has an error: nobody would read it.
    #[cold]
    fn failed(&mut self, t: Token) {
        let Some(io) = self.conns.get(t).filter(|io| io.kind == Kind::Stream) else { return };
        if let Ok(Err(e)) = sockopt::socket_error(&io.fd) {
            self.die(t, sock::reason(e));
            self.ops();
        }
    }
    #[cold]
    fn mail(&mut self, rung: bool) {
        for mail in self.host.mail(rung) {
            self.host.open_mail(mail);
            self.ops();
        }
        self.settle();
    }

    /// Delivers an input and does its ops.
    #[inline]
    fn tell(&mut self, input: Input<'_, A::Msg>) {
        self.host.deliver(input);
        self.ops();
    }
    /// Ops, then the news that they and failed sends have caused, until nothing is left. A loop, not recursion: the end of
    /// one connection may cause that of another ten thousand times.
    #[inline]
    fn ops(&mut self) {
        loop {
            if let Some(op) = self.host.next_op() {
                self.op(op);
            } else {
                match self.news.pop_front() {
                    Some(News::Closed(t, why)) => self.host.closed(t, why),
                    Some(News::Bound(socket, local)) => self.host.deliver(Input::Bound { socket, local }),
                    None => return,
                }
            }
        }
    }
    /// Everybody's output, and what follows from it.
    #[inline]
    fn settle(&mut self) {
        self.unflushed = 0;
        loop {
            self.ops();
            if let Some(t) = self.host.table.next_dirty() {
                self.attend(t);
            } else if let Some(t) = self.host.writable.pop() {
                if self.host.table.is_live(t) {
                    self.tell(Input::Writable(t));
                }
            } else {
                return;
            }
        }
    }
    #[inline]
    fn attend(&mut self, t: Token) {
        let Some(io) = self.conns.get(t) else {
            self.host.pump_stdio(t);
            return;
        };
        if io.kind == Kind::Stream {
            self.pump(t);
        }
        if self.conns.get(t).is_some_and(|io| io.readable && !io.queued) && self.wants(t) {
            self.later(t); // its input was switched on again, and no new edge will come
        }
        self.arm(t);
    }
    #[inline]
    fn wants(&self, t: Token) -> bool {
        self.host.table.is_wanted(t) || self.host.is_lingering(t)
    }
    fn later(&mut self, t: Token) {
        if let Some(io) = self.conns.get_mut(t)
            && !std::mem::replace(&mut io.queued, true)
        {
            self.again.push(t);
        }
    }
    /// Tells a level-triggered poller what to watch.
    #[inline]
    fn arm(&mut self, t: Token) {
        if !P::LEVEL {
            return;
        }
        let Some(io) = self.conns.get(t) else { return };
        let read = match io.kind {
            Kind::Stream => self.wants(t) && !io.eof,
            Kind::Connecting => false,
            Kind::Listener => self.host.is_accepting(t),
            Kind::Datagram => self.host.table.is_wanted(t),
        };
        let want = (read, io.blocked);
        if want != io.armed {
            self.poller.interest(io.fd.as_fd(), t, want.0, want.1);
            if let Some(io) = self.conns.get_mut(t) {
                io.armed = want;
            }
        }
    }

    #[inline]
    fn serve(&mut self, t: Token, to_the_end: bool) {
        match self.conns.get(t).map(|io| io.kind) {
            Some(Kind::Stream) => self.drain(t, to_the_end),
            Some(Kind::Listener) => self.accept(t),
            Some(Kind::Datagram) => self.datagrams(t),
            Some(Kind::Connecting) | None => {}
        }
        self.arm(t);
    }
    #[inline]
    fn drain(&mut self, t: Token, to_the_end: bool) {
        let mut budget = BUDGET;
        while budget > 0 {
            if !self.wants(t) {
                return;
            }
            let Some(io) = self.conns.get_mut(t).filter(|io| io.readable && !io.eof) else { return };
            self.host.counters.syscalls += 1;
            match recv(&io.fd, &mut self.scratch[..], RecvFlags::empty()) {
                Ok((0, _)) => {
                    io.eof = true;
                    if !self.host.is_lingering(t) {
                        self.tell(Input::Eof(t));
                    }
                }
                Ok((n, _)) => {
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
            self.host.table.served(t);
            self.pump(t);
            self.ops();
            if self.unflushed >= FLUSH {
                self.settle();
            }
        }
        self.later(t);
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
    fn accept(&mut self, l: Token) {
        for _ in 0..BATCH {
            let Some(io) = self.conns.get_mut(l).filter(|_| self.host.is_accepting(l)) else { return };
            self.host.counters.syscalls += 1;
            let why = match acceptfrom_with(&io.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((fd, remote)) => {
                    let t = self.host.open(l);
                    let peer = Peer { remote: sock::addr(remote), local: None, fd: fd.as_raw_fd() as u32 };
                    match self.add(t, fd, Kind::Stream) {
                        Ok(()) => {
                            self.host.counters.accepted += 1;
                            self.tell(Input::Accepted { conn: t, listener: l, peer });
                            self.arm(t);
                            continue;
                        }
                        Err(e) => {
                            self.host.retire(t);
                            sock::reason(e)
                        }
                    }
                }
                Err(Errno::AGAIN) => {
                    io.readable = false;
                    return self.poller.used_up(l, true);
                }
                Err(e @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => sock::reason(e),
                Err(_) => {
                    self.host.counters.accept_errors += 1; // ECONNABORTED and its like: the next one
                    continue;
                }
            };
            self.host.accept_failed(l, why);
            return self.ops();
        }
        self.later(l);
    }
    fn datagrams(&mut self, t: Token) {
        for _ in 0..BATCH {
            let Some(io) = self.conns.get_mut(t).filter(|_| self.host.table.is_wanted(t)) else { return };
            self.host.counters.syscalls += 1;
            let mut buf = std::mem::take(&mut self.scratch);
            match recvfrom(&io.fd, &mut buf[..], RecvFlags::empty()) {
                Ok((n, _, from)) => {
                    let data = buf.get_mut(..n).unwrap_or_default();
                    self.host.counters.bytes_in += n as u64;
                    self.tell(Input::Datagram { socket: t, from: sock::addr(from), data });
                }
                Err(Errno::AGAIN) => {
                    self.scratch = buf;
                    io.readable = false;
                    return self.poller.used_up(t, true);
                }
                Err(Errno::INTR) => {}
                Err(e) => {
                    let why = if e == Errno::CONNREFUSED { Reason::PortUnreachable } else { sock::reason(e) };
                    self.tell(Input::Unreachable { socket: t, why });
                }
            }
            self.scratch = buf;
        }
        self.later(t);
    }

    #[cold]
    fn op(&mut self, op: NetOp) {
        let done = match op {
            NetOp::Connect(t, to, o) => sock::connecting(&to, o.bind.as_ref(), o.linger0, true)
                .and_then(|fd| self.add(t, fd, Kind::Connecting))
                .map(|()| self.arm(t))
                .map_err(|e| (t, e)),
            NetOp::Listen(t, at) => sock::listener(&at, 1024, false, true)
                .and_then(|fd| self.bound(t, fd, Kind::Listener))
                .map_err(|e| (t, e)),
            NetOp::Udp(t, at, to) => sock::datagram(at.as_ref(), to.as_ref(), true)
                .and_then(|fd| self.bound(t, fd, Kind::Datagram))
                .map_err(|e| (t, e)),
            NetOp::SendTo(t, to, data) => {
                self.send_to(t, to, data);
                Ok(())
            }
            NetOp::Close(t) => {
                self.close(t);
                Ok(())
            }
            NetOp::Abort(t) => {
                if let Some(io) = self.conns.get(t) {
                    sock::reset_on_close(&io.fd);
                }
                self.die(t, Reason::Aborted);
                Ok(())
            }
            NetOp::Info(id, t) => {
                let info = self.conns.get(t).and_then(|io| sock::tcp_info(&io.fd));
                let answer = info
                    .map(|(rtt_us, queued)| Answer::SocketInfo { rtt: Duration::from_micros(rtt_us.into()), queued });
                self.host.answer(id, answer.ok_or(Reason::NotFound));
                Ok(())
            }
        };
        if let Err((t, e)) = done {
            self.news.push_back(News::Closed(t, sock::reason(e)));
        }
    }
    fn bound(&mut self, t: Token, fd: OwnedFd, kind: Kind) -> rustix::io::Result<()> {
        let local = sock::local(&fd);
        self.add(t, fd, kind)?;
        self.arm(t);
        self.news.push_back(News::Bound(t, local));
        Ok(())
    }
    fn close(&mut self, t: Token) {
        match self.conns.get_mut(t) {
            Some(io) if io.kind == Kind::Stream => self.attend(t),
            Some(_) => self.die(t, Reason::Finished),
            None => {} // a standard stream ends with the program
        }
    }
    fn connected(&mut self, t: Token) {
        let Some(io) = self.conns.get_mut(t) else { return };
        let fate = match sockopt::socket_error(&io.fd) {
            Ok(Ok(())) => sock::connected_peer(&io.fd),
            Ok(Err(e)) | Err(e) => Err(e),
        };
        match fate {
            Ok(peer) => {
                io.kind = Kind::Stream;
                self.tell(Input::Connected { conn: t, peer });
                self.attend(t);
            }
            Err(e) => self.die(t, sock::reason(e)),
        }
    }
    fn send_to(&mut self, t: Token, to: Option<Addr>, data: Vec<u8>) {
        let Some(io) = self.conns.get(t) else { return };
        self.host.counters.syscalls += 1;
        let sent = match &to {
            None => send(&io.fd, &data, SendFlags::NOSIGNAL),
            Some(to) => sock::with_addr(to, |a| sendto(&io.fd, &data, SendFlags::NOSIGNAL, a)),
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

    /// Sends what a connection has, as far as the socket takes it.
    #[inline]
    fn pump(&mut self, t: Token) {
        let Some(io) = self.conns.get_mut(t) else { return };
        while !io.blocked && io.kind == Kind::Stream {
            let Some(tx) = self.host.table.tx(t) else { return };
            let sent = match tx.next() {
                Next::Empty => {
                    if tx.is_finished() && !io.shut {
                        io.shut = true;
                        let _ = shutdown(&io.fd, Shutdown::Write); // a reset peer says so on reading
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
    /// Closes a socket; the app is told by [`Ready::ops`].
    #[cold]
    fn die(&mut self, t: Token, why: Reason) {
        if let Some(io) = self.conns.remove(t) {
            self.poller.remove(io.fd.as_fd(), t);
            self.news.push_back(News::Closed(t, why));
        }
    }
}

/// Sends what is at the front of an output without waiting, be the socket blocking or not.
#[inline]
pub fn send_chunks(fd: &OwnedFd, tx: &Tx) -> rustix::io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
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
