//! What is not a stream of bytes: accepting, datagrams, and the ops that make, connect and close sockets.
use super::{BATCH, Kind, News, Poller, Ready};
use crate::host::NetOp;
use crate::sock;
use proto_core::{Addr, Answer, App, Input, Peer, Reason, Token};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, acceptfrom_with, recvfrom, send, sendto, sockopt};
use std::time::Duration;

impl<A: App + 'static, P: Poller> Ready<A, P> {
    pub(super) fn accept(&mut self, l: Token) {
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
    pub(super) fn datagrams(&mut self, t: Token) {
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
    pub(super) fn op(&mut self, op: NetOp) {
        let done = match op {
            NetOp::Connect(t, to, o) => self
                .spare
                .connecting(&to, &o)
                .and_then(|fd| self.add(t, fd, Kind::Connecting))
                .map(|()| self.arm(t))
                .map_err(|e| (t, e)),
            NetOp::Listen(t, at) => sock::listener(&at, 1024, false, true)
                .and_then(|fd| self.bound(t, fd, Kind::Listener))
                .map_err(|e| (t, e)),
            NetOp::Udp(t, at, to) => sock::datagram(at.as_ref(), to.as_ref(), true)
                .and_then(|fd| self.bound(t, fd, Kind::Datagram))
                .map_err(|e| (t, e)),
            NetOp::Raw(t, at, protocol) => {
                sock::raw(at, protocol, true).and_then(|fd| self.bound(t, fd, Kind::Datagram)).map_err(|e| (t, e))
            }
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
    pub(super) fn bound(&mut self, t: Token, fd: OwnedFd, kind: Kind) -> rustix::io::Result<()> {
        let local = sock::local(&fd);
        self.add(t, fd, kind)?;
        self.arm(t);
        self.news.push_back(News::Bound(t, local));
        Ok(())
    }
    pub(super) fn close(&mut self, t: Token) {
        match self.conns.get_mut(t) {
            Some(io) if io.kind == Kind::Stream => self.attend(t),
            Some(_) => self.die(t, Reason::Finished),
            None => {} // a standard stream ends with the program
        }
    }
    pub(super) fn connected(&mut self, t: Token) {
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
            Err(e) => {
                let why = sock::refusal(&io.fd, e);
                self.die(t, why);
            }
        }
    }
    pub(super) fn send_to(&mut self, t: Token, to: Option<Addr>, data: Vec<u8>) {
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
}
