//! What passes over a node's sockets and standard streams, as far as the plan lets it.
use super::{Io, Kind, News, Node};
use crate::host::CHUNK;
use crate::sim::{Local, World};
use proto_core::{App, Chunk, Input, Next, Peer, Reason, Token, Tx};
use std::io::Write;
use std::time::Duration;

impl<A: App + 'static> Node<A> {
    pub(super) fn print(&mut self, t: Token) {
        while let Some(b) = self.host.table.tx(t).and_then(|tx| tx.chunks().find(|c| !c.is_empty())) {
            let b = b.to_vec();
            self.host.consumed(t, b.len());
            if self.print {
                // As with a real one, a reader that is gone ends the output and nothing else.
                let _ = match self.streams.iter().position(|(s, _)| *s == t) {
                    Some(0) => std::io::stdout().write_all(&b),
                    _ => std::io::stderr().write_all(&b),
                };
            }
            self.streams.iter_mut().filter(|(s, _)| *s == t).for_each(|(_, out)| out.extend_from_slice(&b));
        }
    }
    pub(super) fn read_stdin(&mut self, t: Token, w: &mut World) {
        while self.exit.is_none() && self.host.table.is_wanted(t) {
            let Some(mut bytes) = self.typed.pop_front() else { return };
            if bytes.is_empty() {
                self.stdin = None;
                return self.tell(Input::Eof(t), w);
            }
            let n = bytes.len();
            self.tell(Input::Bytes(t, Chunk::new(&mut bytes, n)), w);
        }
    }

    /// The kernel says "try again"; a little later it is tried again.
    fn again(&mut self, t: Token, w: &mut World) {
        if let Some(io) = self.ios.get_mut(t) {
            io.again = true;
            let wait = Duration::from_micros(1 + w.net.below(500));
            w.local(wait, self.id, Local::Retry(t));
        }
    }
    pub(super) fn drain(&mut self, t: Token, end: u64, w: &mut World) {
        let mut taken = 0;
        while self.exit.is_none() && self.wants(t) {
            let Some(io) = self.ios.get_mut(t).filter(|io| !io.eof && !io.again) else { break };
            let Some(e) = w.ends.get_mut(&end) else { break };
            if e.inbox.is_empty() {
                if !e.fin_in {
                    break;
                }
                io.eof = true;
                if !self.host.is_lingering(t) {
                    self.tell(Input::Eof(t), w);
                }
            } else if w.net.happens(w.plan.again) {
                self.again(t, w);
                break;
            } else {
                let most = w.plan.split.map_or(CHUNK, |n| w.net.upto(n.min(CHUNK)));
                let n = most.min(e.inbox.len());
                let mut bytes: Vec<u8> = e.inbox.drain(..n).collect();
                taken += n;
                if !self.host.is_lingering(t) {
                    self.deliver(Input::Bytes(t, Chunk::new(&mut bytes, n)), w);
                }
            }
            self.pump(t, w);
            self.ops(w);
        }
        if taken > 0 {
            w.read(end, taken);
        }
    }
    pub(super) fn accept(&mut self, l: Token, w: &mut World) {
        while self.exit.is_none() && self.host.is_accepting(l) {
            if self.ios.len() >= self.capacity {
                w.trace.add(format!("{} n{} > accepting on {l:?} pauses", w.now.as_nanos(), self.id.0));
                self.host.set_now(w.now);
                self.host.accept_failed(l, Reason::Descriptors);
                return self.ops(w);
            }
            let Some(end) = w.accept(l, self.id) else { return };
            let t = self.host.open(l);
            self.add(t, Kind::Stream(end));
            let Some(e) = w.ends.get_mut(&end) else { continue };
            e.token = Some(t);
            let peer = Peer { remote: e.remote.clone(), local: None, fd: t.index() as u32 };
            self.host.counters.accepted += 1;
            self.tell(Input::Accepted { conn: t, listener: l, peer }, w);
            self.later.insert(t); // bytes may be there already
        }
    }
    pub(super) fn datagrams(&mut self, t: Token, w: &mut World) {
        while self.exit.is_none() && self.host.table.is_wanted(t) {
            let Some((from, mut data)) = w.socket(self.id, t).and_then(|d| d.inbox.pop_front()) else { return };
            self.tell(Input::Datagram { socket: t, from: from.into(), data: &mut data }, w);
        }
    }
    /// Sends what a connection has, as far as the window and the plan let it.
    pub(super) fn pump(&mut self, t: Token, w: &mut World) {
        self.peak = self.peak.max(self.host.table.tx(t).map_or(0, Tx::len));
        while let Some(io) = self.ios.get_mut(t).filter(|io| !io.blocked && !io.again) {
            let (Kind::Stream(end), Some(tx)) = (io.kind, self.host.table.tx(t)) else { return };
            let room = w.room(end);
            let bytes = match tx.next() {
                Next::Empty => {
                    if tx.is_finished() && !io.shut {
                        io.shut = true;
                        w.fin(end);
                    }
                    break;
                }
                _ if room == 0 => {
                    io.blocked = true;
                    break;
                }
                Next::Bytes => tx.chunks().flatten().take(room).copied().collect(),
                Next::File { file, offset, len } => {
                    let bytes = self.files.read(file, offset, len.min(room), w);
                    if bytes.is_empty() {
                        return self.die(t, Reason::FileShort, w);
                    }
                    bytes
                }
            };
            self.write(t, end, bytes, w);
        }
        if self.ios.get(t).is_some_and(|io| io.shut && io.eof) {
            self.die(t, Reason::Finished, w);
        }
    }
    fn write(&mut self, t: Token, end: u64, mut bytes: Vec<u8>, w: &mut World) {
        if w.net.happens(w.plan.again) {
            return self.again(t, w);
        }
        if w.net.happens(w.plan.short) {
            bytes.truncate(w.net.upto(bytes.len()));
            self.again(t, w);
        }
        let n = bytes.len();
        w.send(end, bytes);
        self.host.consumed(t, n);
    }
    pub(super) fn add(&mut self, t: Token, kind: Kind) {
        self.ios.insert(t, Io { kind, blocked: false, again: false, eof: false, shut: false, linger0: false });
    }
    /// Closes a socket; the app is told by [`Node::ops`].
    pub(super) fn die(&mut self, t: Token, why: Reason, w: &mut World) {
        let Some(io) = self.ios.remove(t) else { return };
        match io.kind {
            Kind::Connecting(end) => w.reset(end),
            Kind::Stream(end) if why == Reason::Aborted => w.reset(end),
            Kind::Stream(end) => w.close(end, io.linger0),
            Kind::Listener => w.unlisten(t, self.id),
            Kind::Datagram => w.datagrams.retain(|d| (d.node, d.token) != (self.id, t)),
        }
        self.news.push_back(News::Closed(t, why));
    }
}
