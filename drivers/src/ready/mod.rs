//! The loop of the readiness drivers: `select`, `poll`, `epoll` and `async` differ only in how they wait.
//!
//! Readiness is remembered per socket (`readable`, `blocked`), as edge-triggered polling demands; level-triggered
//! pollers are told what to watch from the same two facts. The served connection's output goes out at once, everyone
//! else's once per turn or after [`FLUSH`] bytes of input. A socket whose budget is used up, or whose reading was
//! resumed, goes on a list that is served after the others.
mod sockets;
mod streams;

pub use streams::send_chunks;

use crate::host::{Due, Host};
use crate::listen::Bound;
use crate::pass::Way;
use crate::{Error, icmp, sock};
use proto_core::{Addr, App, Input, Reason, Slots, Token, Trouble};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::sockopt;
use std::collections::VecDeque;
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
    /// Its last input came in bulk: a relay passes it on past the output.
    bulk: bool,
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
    /// For the next connect of this turn.
    spare: sock::Spare,
    /// What relays in bulk go through.
    way: Way,
}

impl<A: App + 'static, P: Poller> Ready<A, P> {
    /// Takes over the listeners and starts the app.
    pub fn new(mut host: Host<A>, mut poller: P, listeners: Vec<Bound>) -> Result<Self, Error> {
        let scratch = host.table.pool.chunk();
        poller.add(host.bell().waker().fd(), BELL).map_err(|e| Error::system("watch the mailbox")(e.into()))?;
        poller.interest(host.bell().waker().fd(), BELL, true, false);
        let (again, news, spare) = (Vec::new(), VecDeque::new(), sock::Spare::default());
        let (conns, way) = (Slots::default(), Way::default());
        let mut r = Ready { host, poller, conns, again, news, scratch, unflushed: 0, dropped: 0, spare, way };
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
                Due::Cut(t) => {
                    if let Some(io) = self.conns.get(t) {
                        sock::give_up(&io.fd);
                    }
                    self.die(t, Reason::TimedOut);
                }
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
        self.spare.close();
        self.host.exit()
    }

    fn add(&mut self, t: Token, fd: OwnedFd, kind: Kind) -> rustix::io::Result<()> {
        self.host.counters.epoll_ctl += 1;
        self.poller.add(fd.as_fd(), t)?;
        let blocked = kind == Kind::Connecting;
        let armed = (false, false);
        self.conns.insert(
            t,
            Io { fd, kind, readable: false, blocked, eof: false, shut: false, queued: false, bulk: false, armed },
        );
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
        if e.error && self.is_deaf(e.token) {
            self.failed(e.token);
        }
        self.arm(e.token);
    }
    /// Nobody reads the socket, so nobody would hear of its end.
    fn is_deaf(&self, t: Token) -> bool {
        !self.wants(t) || self.conns.get(t).is_some_and(|io| io.kind == Kind::Connecting)
    }
    /// A socket whose input is not wanted, or not there yet, has an error: nobody would read it.
    #[cold]
    fn failed(&mut self, t: Token) {
        let Some(io) = self.conns.get(t) else { return };
        // What ICMP says of an attempt to connect; said of a connection it is only taken off the queue.
        let icmp = icmp::take(&io.fd).filter(|_| io.kind == Kind::Connecting);
        let error = sockopt::socket_error(&io.fd).ok().and_then(Result::err).map(sock::reason);
        if let Some(why) = icmp.or(error).filter(|_| matches!(io.kind, Kind::Stream | Kind::Connecting)) {
            self.die(t, why);
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
    /// Everybody's output, and one round of what follows from it: see [`Host::writable`].
    #[inline]
    fn settle(&mut self) {
        self.unflushed = 0;
        self.flush();
        for _ in 0..self.host.writable.len() {
            if let Some(t) = self.host.writable.pop_front()
                && self.host.table.is_live(t)
            {
                self.tell(Input::Writable(t));
            }
        }
        self.flush();
    }
    #[inline]
    fn flush(&mut self) {
        loop {
            self.ops();
            let Some(t) = self.host.table.next_dirty() else { return };
            self.attend(t);
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
    /// Closes a socket; the app is told by [`Ready::ops`].
    #[cold]
    fn die(&mut self, t: Token, why: Reason) {
        if let Some(io) = self.conns.remove(t) {
            self.poller.remove(io.fd.as_fd(), t);
            self.news.push_back(News::Closed(t, why));
        }
    }
}
