//! Connections: sending.
use super::Driver;
use super::conns::{Chain, Kind, Listed, Message, SEGMENTS, Watch};
use super::ring::Done;
use crate::ready::send_chunks;
use crate::sock;
use proto_core::{App, Bytes, Next, Reason, Token};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use std::os::unix::fs::FileExt;

/// Sends after which a connection is worth a place on the kernel's list of files.
const BUSY: u8 = 32;
/// Bytes of a file read at once.
const FILE_READ: usize = 64 << 10;

impl<A: App + 'static> Driver<A> {
    /// Sends what a connection has: as far as the socket takes it if it is bulk, and one send in flight besides.
    #[inline]
    pub(super) fn pump(&mut self, t: Token) {
        let Some(io) = self.conns.live(t) else { return };
        if io.flight.is_some() || io.kind != Kind::Stream {
            return;
        }
        if io.bulk {
            self.send_now(t);
        }
        self.send_later(t);
    }
    /// Sends with plain calls until nothing is left or the socket would block.
    pub(super) fn send_now(&mut self, t: Token) {
        while let Some(Next::Bytes) = self.front(t) {
            let (Some(io), Some(tx)) = (self.conns.live(t), self.host.table.tx(t)) else { return };
            self.host.counters.syscalls += 1;
            match send_chunks(&io.fd, tx) {
                Ok(n) => self.host.consumed(t, n),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(e) => return self.die(t, sock::reason(e)),
            }
        }
    }
    /// Leaves a send to the kernel.
    #[inline]
    #[allow(unsafe_code)]
    fn send_later(&mut self, t: Token) {
        match self.front(t) {
            Some(Next::Bytes) => {}
            Some(Next::Empty) => return self.finished(t),
            Some(Next::File { .. }) | None => return,
        }
        let links = self.ring.form.link && self.may_link(t);
        let (Some(io), Some(tx)) = (self.conns.live(t), self.host.table.tx_mut(t)) else { return };
        let mut flight = self.spare.pop().unwrap_or_default();
        if !tx.launch(SEGMENTS, &mut flight) {
            return self.spare.push(flight);
        }
        if let Listed::No(n) = &mut io.listed {
            *n += 1;
            if *n == BUSY {
                io.listed = if self.ring.enlist(t, Some(&io.fd)) { Listed::Soon } else { Listed::Never };
            }
        }
        {
            let mut chunks = flight.chunks();
            match (chunks.next(), chunks.next()) {
                (None, _) => {} // not from `launch`
                (Some(b), None) => {
                    if links {
                        (io.watch, io.cancelled, io.readable, io.chain) = (Watch::Once, false, false, Chain::Whole);
                        self.chains.new.push(t);
                        // SAFETY: as below.
                        unsafe { self.ring.send_and_recv(io.target(), t, b.as_ptr(), b.len()) }
                    } else {
                        // SAFETY: the bytes stay where they are as long as the flight lives. The connection keeps it until
                        // the send has completed, and lives as long: see `sent` and `release`.
                        unsafe { self.ring.send(io.target(), t, b.as_ptr(), b.len()) }
                    }
                }
                (Some(a), Some(b)) => {
                    let message = io.cold.get_or_insert_default().message.get_or_insert_with(Message::empty);
                    let header = message.refer_to([a, b].into_iter().chain(chunks));
                    // SAFETY: as above; the message stays in its box, which the connection keeps as long.
                    unsafe { self.ring.send_message(io.target(), t, header) }
                }
            }
        }
        io.flight = Some(flight);
    }
    /// What is to be sent next; a file's bytes are read first, since there is no sending from a file that would not
    /// block or go to a thread. `None` if the connection has ended.
    #[inline]
    fn front(&mut self, t: Token) -> Option<Next> {
        match self.host.table.tx(t)?.next() {
            Next::File { file, offset, len } => {
                let mut bytes = vec![0; len.min(FILE_READ)];
                self.host.counters.syscalls += 1;
                let n = self.host.file(file).and_then(|f| f.read_at(&mut bytes, offset).ok()).unwrap_or_default();
                bytes.truncate(n);
                if !self.host.supply(t, Bytes::from(bytes)) {
                    self.die(t, Reason::FileShort);
                    return None;
                }
                Some(Next::Bytes)
            }
            next => Some(next),
        }
    }
    /// There is nothing to send: perhaps for ever.
    #[inline]
    fn finished(&mut self, t: Token) {
        if !self.host.table.tx(t).is_some_and(|tx| tx.is_finished()) {
            return;
        }
        let Some(io) = self.conns.live(t) else { return };
        let heard = io.eof && !io.eof_untold && !io.has_parked();
        if !io.shut && !heard {
            self.host.counters.syscalls += 1;
            let _ = shutdown(&io.fd, Shutdown::Write); // a reset peer says so on reading
        }
        io.shut = true;
        if heard {
            self.die(t, Reason::Finished); // closing sends the FIN, if it is not out
        }
    }
    /// A send has completed.
    #[inline]
    pub(super) fn sent(&mut self, d: Done) {
        let Some(io) = self.conns.of(d.token()) else { return };
        let t = io.token;
        let Some(mut flight) = io.flight.take() else { return };
        let broken = std::mem::replace(&mut io.chain, Chain::No) == Chain::Broken;
        let closing = io.closing;
        let outcome = d.outcome();
        self.host.landed(t, outcome.unwrap_or_default(), &mut flight);
        self.spare.push(flight);
        if closing {
            return self.release(t);
        }
        match outcome {
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::CANCELED) if broken => {} // sent again, by itself
            Err(e) => {
                self.die(t, sock::reason(e));
                return self.ops();
            }
        }
        self.pump(t);
        if !self.news.is_empty() {
            self.ops();
        }
    }
}

impl Message {
    #[allow(unsafe_code)]
    fn empty() -> Box<Message> {
        // SAFETY: both are structures of integers and pointers, for which zero is a value.
        Box::new(unsafe { std::mem::zeroed() })
    }
    /// Makes it refer to `parts`, of which there are at most [`SEGMENTS`].
    fn refer_to<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) -> *const libc::msghdr {
        let mut n = 0;
        for (piece, part) in self.pieces.iter_mut().zip(parts) {
            *piece = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
            n += 1;
        }
        self.header.msg_iov = self.pieces.as_mut_ptr();
        self.header.msg_iovlen = n;
        &self.header
    }
}
