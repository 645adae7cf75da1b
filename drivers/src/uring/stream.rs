//! Connections: receiving in two forms, end of input.
use super::conns::{Io, Kind, Listed, Watch};
use super::ring::{Code, Done};
use super::{Driver, FLUSH};
use crate::pass::Passed;
use crate::sock;
use proto_core::{App, Chunk, Input, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};

/// Bytes of one connection per turn, before others are served.
const BUDGET: usize = 64 << 10;
/// Short receives in a row that take a connection back from bulk.
const SMALL: u8 = 16;
/// Multishot receives of a connection that the kernel may end by itself per second, before they are given up.
const ENDS: u16 = 1000;

impl<A: App + 'static> Driver<A> {
    /// Begins to wait for input, in the form that fits, unless that is being done.
    #[inline]
    pub(super) fn arm(&mut self, t: Token) {
        let wanted = self.wants(t);
        let Some(io) = self.conns.live(t) else { return };
        if io.watch != Watch::Nothing || io.eof || io.kind != Kind::Stream {
            return;
        }
        if io.listed == Listed::First || io.reading {
            return; // goes on when that is done
        }
        io.cancelled = false;
        if self.ring.pool.is_used() {
            return self.arm_poll(t);
        }
        if !wanted {
            (io.bulk, io.small) = (true, 0);
        }
        if io.bulk {
            return self.arm_poll(t);
        }
        io.readable = false;
        if io.single || self.ring.form.link || !self.ring.form.multishot {
            io.watch = Watch::Once;
            self.ring.recv_once(io.target(), t);
        } else {
            io.watch = Watch::Recv;
            self.ring.recv(io.target(), t);
        }
    }
    /// A poll that ends with the first news would end at once while there is input, so it does not look for any then.
    fn arm_poll(&mut self, t: Token) {
        let wanted = self.wants(t);
        let Some(io) = self.conns.live(t) else { return };
        let ready = io.readable && !self.ring.form.multishot;
        if ready && (wanted || io.hup) {
            return; // it is read, or has told everything
        }
        io.watch = Watch::Poll;
        self.ring.poll(io.target(), t, ready);
    }
    /// Gives up the present form of waiting; the other one begins when its last completion is there.
    fn change_form(&mut self, t: Token) {
        let Some(io) = self.conns.live(t).filter(|io| !io.cancelled) else { return };
        let code = match io.watch {
            Watch::Recv => Code::Recv,
            Watch::Once => Code::Once,
            Watch::Poll => Code::Poll,
            _ => return,
        };
        io.cancelled = true;
        self.ring.cancel(code, t);
    }
    /// A receive into provided buffers has got something.
    #[inline]
    pub(super) fn received(&mut self, d: Done) {
        let Some(io) = self.conns.of(d.token()) else { return };
        let t = io.token;
        let ended = !d.more();
        if ended {
            let given_up = io.cancelled || !matches!(d.outcome(), Ok(1..) | Err(Errno::CANCELED));
            if io.watch == Watch::Recv && !given_up {
                io.count_end(self.host.now, ENDS);
            }
            io.watch = Watch::Nothing;
        }
        let closing = io.closing;
        if let Some(id) = d.buffer() {
            if !closing && d.res > 0 {
                self.buffer(t, id, d.res as usize);
            }
            self.ring.buffers.put(id);
        }
        if closing {
            return self.release(t);
        }
        let starved = d.res <= 0 && self.received_none(t, d.outcome());
        if ended && !starved {
            self.arm(t);
        }
    }
    /// Bytes in a provided buffer.
    #[inline]
    fn buffer(&mut self, t: Token, id: u16, n: usize) {
        let full = n == self.ring.buffers.size();
        let Some(io) = self.conns.live(t) else { return };
        if full && !io.bulk {
            (io.bulk, io.small) = (true, 0);
            self.change_form(t);
        }
        let Some(io) = self.conns.live(t) else { return };
        let Some(buffer) = self.ring.buffers.get(id) else { return };
        if self.host.is_lingering(t) {
            return; // read to be discarded
        }
        if io.has_parked() || !self.host.table.is_wanted(t) {
            let bytes = buffer.get(..n).unwrap_or_default().to_vec();
            return io.cold().parked.push_back(bytes);
        }
        self.unflushed += n;
        self.host.deliver(Input::Bytes(t, Chunk::new(buffer, n)));
        self.after_input(t);
    }
    /// The served connection's output goes out at once.
    #[inline]
    pub(super) fn after_input(&mut self, t: Token) {
        self.host.table.served(t);
        self.pump(t);
        if !self.host.table.is_wanted(t) {
            self.switched(t);
        }
        self.ops();
        if self.unflushed >= FLUSH {
            self.settle();
        }
    }
    /// A receive has ended without bytes; true if it found no buffer.
    #[cold]
    fn received_none(&mut self, t: Token, outcome: rustix::io::Result<usize>) -> bool {
        match outcome {
            Ok(_) => self.ended(t),
            Err(Errno::NOBUFS) => {
                self.starved.push_back(t);
                return true;
            }
            Err(Errno::CANCELED | Errno::INTR | Errno::AGAIN) => {} // armed again
            Err(e) => self.die(t, sock::reason(e)),
        }
        self.ops();
        false
    }
    /// The peer has said its last byte.
    pub(super) fn ended(&mut self, t: Token) {
        let lingering = self.host.is_lingering(t);
        let wanted = self.host.table.is_wanted(t);
        let Some(io) = self.conns.live(t) else { return };
        io.eof = true;
        if lingering {
            return self.pump(t);
        }
        if io.has_parked() || !wanted {
            io.eof_untold = true;
            return;
        }
        self.tell(Input::Eof(t));
        self.pump(t);
    }
    /// The app has touched a switch: input is wanted again, or no more.
    pub(super) fn switched(&mut self, t: Token) {
        let wanted = self.wants(t);
        let Some(io) = self.conns.live(t) else { return };
        match (wanted, io.watch) {
            (true, _) if io.eof_untold || io.readable || io.has_parked() => self.later(t),
            (true, Watch::Nothing) => self.arm(t),
            (false, Watch::Recv | Watch::Once) => {
                (io.bulk, io.small) = (true, 0);
                self.change_form(t);
            }
            _ => {}
        }
    }
    /// Goes on with a connection whose budget was used up, or whose input was switched on again.
    pub(super) fn resume(&mut self, t: Token) {
        if !self.ring.form.multishot && self.conns.live(t).is_some_and(|io| io.watch == Watch::Poll && io.readable) {
            self.change_form(t); // it does not look for input
        }
        while self.wants(t) {
            let lingering = self.host.is_lingering(t);
            let Some(io) = self.conns.live(t) else { return };
            if let Some(mut bytes) = io.cold.as_mut().and_then(|c| c.parked.pop_front()) {
                if !lingering {
                    let n = bytes.len();
                    self.unflushed += n;
                    self.host.deliver(Input::Bytes(t, Chunk::new(&mut bytes, n)));
                    self.after_input(t);
                }
            } else if std::mem::take(&mut io.eof_untold) {
                if !lingering {
                    self.tell(Input::Eof(t));
                }
                self.pump(t);
                self.ops();
            } else {
                break;
            }
        }
        self.drain(t);
        self.arm(t);
    }

    /// A poll has something to tell.
    pub(super) fn polled(&mut self, d: Done) {
        let Some(io) = self.conns.of(d.token()) else { return };
        let t = io.token;
        if !d.more() {
            (io.watch, io.cancelled) = (Watch::Nothing, false);
        }
        if io.closing {
            return self.release(t);
        }
        if io.kind == Kind::Datagram {
            return self.polled_datagrams(t, d.outcome());
        }
        let is = |bits: i16| d.res > 0 && d.res & i32::from(bits) != 0;
        if d.res > 0 {
            io.readable = true;
            // After a short read there is only more to come if a poll has told of the end.
            io.hup |= is(libc::POLLHUP | libc::POLLERR | libc::POLLRDHUP);
            self.drain(t);
            if is(libc::POLLERR) && !self.wants(t) {
                self.failed(t);
            }
        } else if let Err(e) = d.outcome()
            && e != Errno::CANCELED
        {
            self.die(t, sock::reason(e));
            self.ops();
        }
        self.arm(t);
    }
    /// A socket whose input is not wanted has an error: nobody would read it.
    #[cold]
    fn failed(&mut self, t: Token) {
        let Some(io) = self.conns.live(t) else { return };
        if let Ok(Err(e)) = sockopt::socket_error(&io.fd) {
            self.die(t, sock::reason(e));
            self.ops();
        }
    }
    /// Reads with plain calls, unless a receive is in flight that would come second.
    #[inline]
    fn drain(&mut self, t: Token) {
        if self.ring.pool.is_used() {
            return self.read(t);
        }
        let mut budget = BUDGET;
        while budget > 0 {
            if !self.wants(t) {
                return;
            }
            let Some(io) = self.conns.live(t) else { return };
            if !io.readable || io.eof || matches!(io.watch, Watch::Recv | Watch::Once) || io.has_parked() {
                return;
            }
            if io.bulk
                && let Some(n) = self.pass(t)
            {
                budget = budget.saturating_sub(n);
                self.after_input(t);
                continue;
            }
            let Some(io) = self.conns.live(t) else { return };
            self.host.counters.syscalls += 1;
            match recv(&io.fd, &mut self.scratch[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    self.ended(t);
                    return self.ops();
                }
                Ok((n, _)) => {
                    budget = budget.saturating_sub(n);
                    io.readable = n == self.scratch.len() || io.hup;
                    let small = n < self.ring.buffers.size();
                    if weigh(io, small) {
                        self.change_form(t);
                    }
                    self.bytes(t, n);
                }
                Err(Errno::AGAIN) => io.readable = false,
                Err(Errno::INTR) => {}
                Err(e) => {
                    self.die(t, sock::reason(e));
                    return self.ops();
                }
            }
        }
        self.later(t);
    }
    /// Passes on in bulk what has come on `t`, if it is relayed; how much. `None`: it is to be received.
    ///
    /// By copying: a splice that does not wait needs descriptors that do not block, and the ring those that do; and the ring's own
    /// splice runs on worker threads, always.
    fn pass(&mut self, t: Token) -> Option<usize> {
        let to = self.host.passes(t)?;
        let Driver { conns, way, host, .. } = self;
        let [from, other] = conns.both(t, to)?;
        let ready = other.kind == Kind::Stream && other.flight.is_none() && !other.shut;
        if !ready {
            return None;
        }
        let (n, mut left, failed, more) = match way.copy(&from.fd, &other.fd, &mut host.counters.syscalls) {
            Passed::Not => return None,
            Passed::Nothing => {
                self.conns.live(t)?.readable = false;
                return Some(0);
            }
            Passed::Failed(why) => {
                self.die(t, why);
                return Some(0);
            }
            Passed::Moved { n, left, failed, more } => (n, left, failed, more),
        };
        host.passed(t, to, n - left.len(), false);
        self.unflushed += n;
        let io = self.conns.live(t)?;
        io.readable = more || io.hup;
        if weigh(io, n < crate::pass::SMALL) {
            self.change_form(t);
        }
        match failed {
            Some(why) => self.die(to, why),
            None if left.is_empty() => {}
            None => {
                let rest = left.len();
                self.host.deliver(Input::Bytes(t, Chunk::new(&mut left, rest)));
            }
        }
        Some(n)
    }
    #[inline]
    pub(super) fn bytes(&mut self, t: Token, n: usize) {
        if self.host.is_lingering(t) {
            return; // read to be discarded
        }
        self.unflushed += n;
        self.host.deliver(Input::Bytes(t, Chunk::new(&mut self.scratch, n)));
        if self.scratch.is_empty() {
            self.scratch = self.host.table.pool.chunk();
        }
        self.after_input(t);
    }
}

/// Counts short receives of a connection in bulk; true if it is to be taken back.
#[inline]
fn weigh(io: &mut Io, small: bool) -> bool {
    io.small = if small { io.small.saturating_add(1) } else { 0 };
    if io.small < SMALL {
        return false;
    }
    io.bulk = false;
    true
}
