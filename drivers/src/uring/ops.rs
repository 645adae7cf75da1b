//! What apps ask for, how connections begin and end, and datagrams.
use super::conns::{Chain, Io, Kind, Listed, Watch};
use super::ring::{Code, Done};
use super::{Driver, News};
use crate::host::NetOp;
use crate::sock;
use proto_core::{Addr, Answer, App, ConnectOpts, Input, Reason, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recvfrom, send, sendto, shutdown};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Datagrams received per turn, before others are served.
const BATCH: usize = 64;

impl<A: App + 'static> Driver<A> {
    #[cold]
    pub(super) fn op(&mut self, op: NetOp) {
        let done = match op {
            NetOp::Connect(t, to, o) => self.connect(t, &to, &o).map_err(|e| (t, e)),
            NetOp::Listen(t, at) => {
                sock::listener(&at, 1024, false, false).map(|fd| self.bound(t, fd, Kind::Listener)).map_err(|e| (t, e))
            }
            NetOp::Udp(t, at, to) => sock::datagram(at.as_ref(), to.as_ref(), false)
                .map(|fd| self.bound(t, fd, Kind::Datagram))
                .map_err(|e| (t, e)),
            NetOp::Raw(t, at, protocol) => {
                sock::raw(at, protocol, false).map(|fd| self.bound(t, fd, Kind::Datagram)).map_err(|e| (t, e))
            }
            NetOp::SendTo(t, to, data) => {
                self.send_to(t, to, data);
                Ok(())
            }
            NetOp::Close(t) => {
                match self.conns.live(t).map(|io| io.kind) {
                    Some(Kind::Stream) => self.attend(t),
                    Some(_) => self.die(t, Reason::Finished),
                    None => {} // a standard stream ends with the program
                }
                Ok(())
            }
            NetOp::Abort(t) => {
                if let Some(io) = self.conns.live(t) {
                    sock::reset_on_close(&io.fd);
                }
                self.die(t, Reason::Aborted);
                Ok(())
            }
            NetOp::Info(id, t) => {
                let info = self.conns.live(t).and_then(|io| sock::tcp_info(&io.fd));
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
    fn bound(&mut self, t: Token, fd: OwnedFd, kind: Kind) {
        let local = sock::local(&fd);
        self.conns.insert(Io::new(t, fd, kind));
        match kind {
            Kind::Listener => self.arm_accept(t),
            _ => self.watch_datagrams(t),
        }
        self.news.push_back(News::Bound(t, local));
    }
    #[allow(unsafe_code)]
    fn connect(&mut self, t: Token, to: &Addr, o: &ConnectOpts) -> rustix::io::Result<()> {
        if !self.conns.is_free(t) {
            return Ok(()); // the host sees to it; what is in flight for a token must stay where it is
        }
        let fd = sock::prepare(to, o, false)?;
        let to = sock::with_addr(to, |a| Ok(Box::new(a.clone())))?;
        let (at, len) = (to.as_ptr().cast(), to.addr_len());
        let mut io = Io::new(t, fd, Kind::Connecting);
        io.watch = Watch::Connect;
        // SAFETY: the address stays in its box, which `io` owns until the completion: see `connected` and `release`.
        unsafe { self.ring.connect(&io.fd, t, at, len) };
        io.cold().to = Some(to);
        self.conns.insert(io);
        Ok(())
    }
    /// A connection begins: at once, or when it is on the kernel's list of files if all must be.
    pub(super) fn begin(&mut self, t: Token) {
        if self.ring.form.direct
            && let Some(io) = self.conns.live(t)
        {
            io.listed = if self.ring.enlist(t, Some(&io.fd)) { Listed::First } else { Listed::Never };
        }
        self.arm(t);
    }
    pub(super) fn connected(&mut self, d: Done) {
        let Some(io) = self.conns.of(d.token()) else { return };
        let t = io.token;
        io.watch = Watch::Nothing;
        io.cold = None;
        if io.closing {
            return self.release(t);
        }
        match d.outcome().and_then(|_| sock::connected_peer(&io.fd)) {
            Ok(peer) => {
                io.kind = Kind::Stream;
                self.tell(Input::Connected { conn: t, peer });
                self.pump(t);
                self.begin(t);
            }
            Err(e) => {
                let why = sock::refusal(&io.fd, e);
                self.die(t, why);
            }
        }
        self.ops();
    }

    /// Ends a socket. The app is told by [`Driver::ops`], at once; of a listener or a datagram socket when its address
    /// is free again, which is when the kernel has let go of it.
    #[cold]
    pub(super) fn die(&mut self, t: Token, why: Reason) {
        let Some(io) = self.conns.live(t) else { return };
        io.closing = true;
        let code = match io.watch {
            Watch::Nothing => None,
            Watch::Recv => Some(Code::Recv),
            Watch::Once => Some(Code::Once),
            Watch::Poll => Some(Code::Poll),
            Watch::Accept => Some(Code::Accept),
            Watch::Connect => Some(Code::Connect),
        };
        if io.chain != Chain::No {
            // Its receive may be neither with the socket nor cancelled when the kernel looks for it: let it end at once.
            let _ = shutdown(&io.fd, Shutdown::Read);
        }
        if io.flight.is_some() {
            self.ring.cancel(Code::Send, t);
        }
        if let Some(code) = code.filter(|_| !io.cancelled) {
            self.ring.cancel(code, t);
        }
        if io.listed == Listed::Yes {
            io.listed = Listed::Leaving;
            self.ring.enlist(t, None);
        }
        if matches!(io.kind, Kind::Stream | Kind::Connecting) {
            self.news.push_back(News::Closed(t, why));
        } else {
            io.cold().why = Some(why);
        }
        self.release(t);
    }
    /// The list of files has been changed.
    #[cold]
    pub(super) fn enlisted(&mut self, d: Done) {
        let Some(io) = self.conns.of(d.token()) else { return };
        let t = io.token;
        io.listed = match (io.listed, d.outcome()) {
            (Listed::Soon | Listed::First, Ok(1)) if io.closing => {
                self.ring.enlist(t, None);
                Listed::Leaving
            }
            (Listed::Soon | Listed::First, Ok(1)) => Listed::Yes,
            _ => Listed::Never,
        };
        if io.closing {
            return self.release(t);
        }
        self.arm(t);
    }
    /// Closes the descriptor of a socket that is over, if the kernel has let go of it.
    pub(super) fn release(&mut self, t: Token) {
        let Some(io) = self.conns.any(t).filter(|io| io.closing && io.is_at_rest()) else { return };
        let (told, why) = (io.told, io.cold.as_mut().and_then(|c| c.why.take()));
        self.conns.remove(t);
        if told {
            self.host.retire(t);
        }
        if let Some(why) = why {
            self.news.push_back(News::Closed(t, why));
            self.ops();
        }
    }
    pub(super) fn say_closed(&mut self, t: Token, why: Reason) {
        self.host.say_closed(t, why);
        match self.conns.any(t) {
            Some(io) => io.told = true,
            None => self.host.retire(t),
        }
    }

    fn watch_datagrams(&mut self, t: Token) {
        // A poll that ends with the first news would end at once while there is input.
        let multishot = self.ring.form.multishot;
        if let Some(io) = self.conns.live(t).filter(|io| io.watch == Watch::Nothing && (multishot || !io.readable)) {
            io.watch = Watch::Poll;
            self.ring.poll(io.target(), t, false);
        }
    }
    /// A poll of a datagram socket has completed.
    pub(super) fn polled_datagrams(&mut self, t: Token, outcome: rustix::io::Result<usize>) {
        match outcome {
            Ok(_) => {
                if let Some(io) = self.conns.live(t) {
                    io.readable = true;
                }
                self.datagrams(t);
            }
            Err(Errno::CANCELED) => {}
            Err(e) => self.die(t, sock::reason(e)),
        }
        self.watch_datagrams(t);
        self.ops();
    }
    pub(super) fn datagrams(&mut self, t: Token) {
        for _ in 0..BATCH {
            let wanted = self.host.table.is_wanted(t);
            let Some(io) = self.conns.live(t).filter(|io| wanted && io.readable) else {
                return self.watch_datagrams(t);
            };
            self.host.counters.syscalls += 1;
            let mut buf = std::mem::take(&mut self.scratch);
            match recvfrom(&io.fd, &mut buf[..], RecvFlags::DONTWAIT) {
                Ok((n, _, from)) => {
                    let data = buf.get_mut(..n).unwrap_or_default();
                    self.host.counters.bytes_in += n as u64;
                    self.tell(Input::Datagram { socket: t, from: sock::addr(from), data });
                }
                Err(Errno::AGAIN) => io.readable = false,
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
    fn send_to(&mut self, t: Token, to: Option<Addr>, data: Vec<u8>) {
        let Some(io) = self.conns.live(t).filter(|io| io.kind == Kind::Datagram) else { return };
        self.host.counters.syscalls += 1;
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = match &to {
            None => send(&io.fd, &data, flags),
            Some(to) => sock::with_addr(to, |a| sendto(&io.fd, &data, flags, a)),
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
}
