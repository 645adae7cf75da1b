//! The network: byte streams in order with a bounded window, datagrams, and what goes wrong on the way.
//!
//! A connection has two ends, numbered `2k` (who connected) and `2k + 1`. What an end writes is unacknowledged until the
//! other program has read it, so one that stops reading blocks the writer after a window. Packets of one direction never
//! overtake each other, except an RST, which makes the rest vanish.
mod datagrams;

pub use datagrams::Datagrams;

use super::{Event, Filter, NodeId, Notice, World};
use proto_core::{Addr, Instant, Reason, Token};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    pub node: NodeId,
    /// `None` while nobody has accepted it.
    pub token: Option<Token>,
    pub local: Addr,
    pub remote: Addr,
    /// Has arrived and was not read.
    pub inbox: VecDeque<u8>,
    /// The peer's FIN has arrived.
    pub fin_in: bool,
    /// Our FIN is on its way.
    fin_out: bool,
    /// Written and not yet read by the peer.
    unacked: usize,
    /// What was written and vanishes.
    swallow: bool,
    /// When the last packet sent to this end arrives.
    last_arrival: Instant,
    /// When the last byte this end wrote leaves it (bandwidth).
    busy_until: Instant,
    /// Nobody holds it any more.
    pub dead: bool,
    /// It went without a word: its machine lost power then.
    silent: Option<Instant>,
}

/// What travels.
#[derive(Debug)]
pub enum Packet {
    Bytes(Vec<u8>),
    Fin,
}

/// A bound listener.
#[derive(Debug)]
pub struct Listening {
    pub node: NodeId,
    pub token: Token,
    at: Addr,
    backlog: usize,
    queue: VecDeque<u64>,
}

/// Bytes in a packet.
const SEGMENT: usize = 1460;
/// A retransmission comes this much later.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// Tries to connect to a full listener, and to reach a machine without power: 1, 2, 4 ... seconds apart.
const TRIES: u8 = 6;
/// What the kernel says about a machine that is not there.
const NO_ROUTE: Duration = Duration::from_secs(3);

/// The address of a node: 10.0.0.1 is the first.
pub fn ip_of(node: NodeId) -> IpAddr {
    let n = node.0 + 1;
    IpAddr::V4(Ipv4Addr::new(10, (n >> 16) as u8, (n >> 8) as u8, n as u8))
}

fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

impl World {
    fn node_at(&self, ip: IpAddr, from: NodeId) -> Option<NodeId> {
        if is_own(ip) {
            return Some(from);
        }
        (0..self.up.len()).map(NodeId).find(|n| ip_of(*n) == ip)
    }
    /// The address others see, of something that `node` bound and `to` is reached from.
    fn seen(&self, node: NodeId, to: IpAddr, port: u16) -> SocketAddr {
        let ip = match to {
            ip if is_own(ip) && ip.is_ipv6() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip if is_own(ip) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => ip_of(node),
        };
        SocketAddr::new(ip, port)
    }
    fn ephemeral(&mut self) -> u16 {
        self.port = if self.port == u16::MAX { 32768 } else { self.port + 1 };
        self.port
    }
    /// Time on the way from one node to another; partitions hold it up.
    fn way(&mut self, from: NodeId, to: NodeId) -> Duration {
        let delay =
            if from == to { Duration::from_micros(1 + self.net.below(9)) } else { self.net.time(self.plan.delay) };
        let delay = delay.max(Duration::from_nanos(1));
        match self.partition_end(from, to) {
            Some(end) => end.since(self.now) + delay,
            None => delay,
        }
    }
    fn partition_end(&self, a: NodeId, b: NodeId) -> Option<Instant> {
        let hit = |p: &&(NodeId, NodeId, Instant)| (p.0, p.1) == (a, b) || (p.0, p.1) == (b, a);
        self.partitions.iter().filter(hit).map(|p| p.2).filter(|end| *end > self.now).max()
    }
    /// Packets to the other end, after whatever was sent to it before.
    fn dispatch(&mut self, from: u64, packet: Packet, extra: Duration) {
        let (Some(me), Some(peer)) = (self.ends.get(&from), self.ends.get(&(from ^ 1))) else { return };
        let (a, b, leaves) = (me.node, peer.node, me.busy_until.max(self.now));
        let way = self.way(a, b);
        let Some(peer) = self.ends.get_mut(&(from ^ 1)) else { return };
        let at = leaves.after(way + extra).max(peer.last_arrival);
        peer.last_arrival = at;
        self.at(at, Event::Arrive { end: from ^ 1, packet, left: leaves, tries: 0 });
    }

    /// Binds a listener; port 0 picks one.
    pub fn listen(&mut self, node: NodeId, token: Token, at: &Addr, backlog: usize) -> Result<Addr, Reason> {
        let at = self.pick(node, at)?;
        if self.listeners.iter().any(|l| l.node == node && l.at == at) {
            return Err(Reason::AddrInUse);
        }
        self.listeners.push(Listening { node, token, at: at.clone(), backlog, queue: VecDeque::new() });
        Ok(at)
    }
    /// The address with a port in it, if it is one of this node's.
    pub fn pick(&mut self, node: NodeId, at: &Addr) -> Result<Addr, Reason> {
        match at {
            Addr::Ip(a) if !is_own(a.ip()) && a.ip() != ip_of(node) => Err(Reason::AddrNotAvailable),
            Addr::Ip(a) if a.port() == 0 => Ok(Addr::Ip(SocketAddr::new(a.ip(), self.ephemeral()))),
            at => Ok(at.clone()),
        }
    }
    fn listener_for(&self, to: &Addr, from: NodeId) -> Option<usize> {
        let node = match to {
            Addr::Ip(a) => self.node_at(a.ip(), from)?,
            Addr::Unix(_) => from,
        };
        self.listeners.iter().position(|l| {
            l.node == node
                && match (&l.at, to) {
                    (Addr::Ip(l), Addr::Ip(to)) => {
                        let any = l.ip().is_unspecified() && l.is_ipv4() == to.is_ipv4();
                        l.port() == to.port() && (l.ip() == to.ip() || any)
                    }
                    (l, to) => l == to,
                }
        })
    }
    /// What the firewall of a node does with a packet of another one.
    fn filter(&self, there: NodeId, from: NodeId, to: &Addr) -> Option<Filter> {
        let Addr::Ip(to) = to else { return None };
        let all = self.filters.get(there.0).filter(|_| there != from)?;
        all.iter().find(|(ports, _)| ports.contains(&to.port())).map(|(_, filter)| *filter)
    }
    /// Begins to connect; the node hears of the end by a `Local` event.
    pub fn connect(&mut self, node: NodeId, token: Token, to: &Addr, bind: Option<&Addr>) -> Result<u64, Reason> {
        let local = match (bind, to) {
            (Some(at), _) => self.pick(node, at)?,
            (None, Addr::Ip(a)) => {
                let port = self.ephemeral();
                Addr::Ip(self.seen(node, a.ip(), port))
            }
            (None, Addr::Unix(_)) => Addr::Unix("".into()),
        };
        let there = match to {
            Addr::Ip(a) => self.node_at(a.ip(), node),
            Addr::Unix(_) => Some(node),
        };
        let id = self.next_end;
        self.next_end += 2;
        self.ends.insert(id, end(node, Some(token), local, to.clone()));
        match there {
            Some(_) if self.net.happens(self.plan.refuse) => self.fail_connect(id, Duration::ZERO, Reason::Refused),
            Some(there) => {
                let way = self.way(node, there);
                self.after(way, Event::Syn { end: id, tries: 0 });
            }
            None => self.fail_connect(id, NO_ROUTE, Reason::HostUnreachable),
        }
        Ok(id)
    }
    fn fail_connect(&mut self, id: u64, wait: Duration, why: Reason) {
        let way = self.net.time(self.plan.delay).max(Duration::from_nanos(1));
        self.after(wait + way, Event::Rst { end: id, why });
    }
    /// A connect has arrived.
    pub fn syn(&mut self, id: u64, tries: u8) -> Option<(NodeId, Notice)> {
        let client = self.ends.get(&id).filter(|e| !e.dead)?;
        let (node, local, to) = (client.node, client.local.clone(), client.remote.clone());
        let at = self.listener_for(&to, node);
        let there = match &to {
            Addr::Ip(a) => self.node_at(a.ip(), node)?,
            Addr::Unix(_) => node,
        };
        let filter = self.filter(there, node, &to);
        if let Some(Filter::Reject(why)) = filter {
            self.fail_connect(id, Duration::ZERO, why);
            return None;
        }
        let lost = filter.is_some() || self.net.happens(self.plan.loss);
        let full = at.and_then(|i| self.listeners.get(i)).is_some_and(|l| l.queue.len() >= l.backlog);
        if full || lost || !self.is_up(there) {
            if tries == TRIES {
                self.fail_connect(id, Duration::ZERO, Reason::TimedOut);
            } else {
                self.after(Duration::from_secs(1 << tries), Event::Syn { end: id, tries: tries + 1 });
            }
            return None;
        }
        let Some(listener) = at.and_then(|i| self.listeners.get_mut(i)) else {
            self.fail_connect(id, Duration::ZERO, Reason::Refused);
            return None;
        };
        listener.queue.push_back(id + 1);
        let (server, token) = (listener.node, listener.token);
        self.ends.insert(id + 1, end(server, None, to, local));
        let back = self.way(server, node);
        let at = self.now.after(back);
        if let Some(client) = self.ends.get_mut(&id) {
            client.last_arrival = at;
        }
        self.at(at, Event::Established { end: id });
        Some((server, Notice::Acceptable(token)))
    }
    /// The next connection of a listener.
    pub fn accept(&mut self, listener: Token, node: NodeId) -> Option<u64> {
        let l = self.listeners.iter_mut().find(|l| l.node == node && l.token == listener)?;
        while let Some(id) = l.queue.pop_front() {
            if self.ends.get(&id).is_some_and(|e| !e.dead) {
                return Some(id);
            }
        }
        None
    }
    /// Stops listening; who waits is reset.
    pub fn unlisten(&mut self, listener: Token, node: NodeId) {
        let Some(at) = self.listeners.iter().position(|l| l.node == node && l.token == listener) else { return };
        for id in self.listeners.swap_remove(at).queue {
            self.reset(id);
        }
    }

    /// Bytes that an end may write at once now: with a bandwidth, packets leave one by one.
    pub fn room(&self, id: u64) -> usize {
        let most = if self.plan.bw.is_some() { SEGMENT } else { usize::MAX };
        self.ends.get(&id).map_or(0, |e| self.window.saturating_sub(e.unacked)).min(most)
    }
    /// Sends bytes, at most [`World::room`].
    pub fn send(&mut self, id: u64, bytes: Vec<u8>) {
        let n = bytes.len();
        let bw = self.plan.bw;
        let now = self.now;
        let Some(e) = self.ends.get_mut(&id) else { return };
        e.unacked += n;
        if let Some(bw) = bw {
            let takes = Duration::from_nanos(((n as u128 * 1_000_000_000) / u128::from(bw)) as u64);
            e.busy_until = e.busy_until.max(now).after(takes);
        }
        if e.swallow {
            return self.after(RETRANSMIT, Event::Ack { end: id, n });
        }
        if self.net.happens(self.plan.reset) {
            return self.cut(id);
        }
        let mut extra = Duration::ZERO;
        if self.net.happens(self.plan.loss) {
            extra += RETRANSMIT;
        }
        if self.net.happens(self.plan.stall.0) {
            extra += self.plan.stall.1;
        }
        self.dispatch(id, Packet::Bytes(bytes), extra);
        if self.net.happens(self.plan.halfclose) {
            self.dispatch(id, Packet::Fin, Duration::ZERO);
            if let Some(e) = self.ends.get_mut(&id) {
                e.swallow = true;
            }
        }
    }
    /// No more will be written.
    pub fn fin(&mut self, id: u64) {
        let Some(e) = self.ends.get_mut(&id) else { return };
        if !std::mem::replace(&mut e.fin_out, true) && !e.swallow {
            self.dispatch(id, Packet::Fin, Duration::ZERO);
        }
    }
    /// The program has read `n` bytes: the writer hears of it.
    pub fn read(&mut self, id: u64, n: usize) {
        let (Some(me), Some(peer)) = (self.ends.get(&id), self.ends.get(&(id ^ 1))) else { return };
        let (a, b) = (me.node, peer.node);
        let way = self.way(a, b);
        self.after(way, Event::Ack { end: id ^ 1, n });
    }
    /// What was written has been read.
    pub fn ack(&mut self, id: u64, n: usize) -> Option<(NodeId, Notice)> {
        let e = self.ends.get_mut(&id).filter(|e| !e.dead)?;
        e.unacked = e.unacked.saturating_sub(n);
        Some((e.node, Notice::Room(e.token?)))
    }
    /// A packet has arrived.
    pub fn arrive(&mut self, id: u64, packet: Packet, left: Instant, tries: u8) -> Option<(NodeId, Notice)> {
        if self.ends.get(&(id ^ 1)).and_then(|e| e.silent).is_some_and(|gone| gone < left) {
            return None; // it was still with the machine that lost power
        }
        let e = self.ends.get_mut(&id)?;
        if e.dead {
            let (node, silent) = (e.node, e.silent.is_some());
            self.arrive_dead(id, packet, tries, silent && !self.is_up(node));
            return None;
        }
        match packet {
            Packet::Bytes(b) => e.inbox.extend(b),
            Packet::Fin => e.fin_in = true,
        }
        Some((e.node, Notice::Readable(e.token?)))
    }
    fn arrive_dead(&mut self, id: u64, packet: Packet, tries: u8, dark: bool) {
        if dark && tries < TRIES {
            let (wait, left) = (Duration::from_secs(1 << tries), self.now);
            return self.after(wait, Event::Arrive { end: id, packet, left, tries: tries + 1 });
        }
        if matches!(packet, Packet::Fin) && !dark {
            return self.forget(id); // both are through
        }
        let why = if dark { Reason::TimedOut } else { Reason::Reset };
        let way = self.net.time(self.plan.delay).max(Duration::from_nanos(1));
        self.after(way, Event::Rst { end: id ^ 1, why });
    }
    /// An RST, or whatever else ends a connection at once.
    pub fn rst(&mut self, id: u64, why: Reason) -> Option<(NodeId, Notice)> {
        let e = self.ends.get_mut(&id).filter(|e| !e.dead)?;
        e.dead = true;
        let told = e.token.map(|t| (e.node, Notice::Closed(t, why)));
        self.forget(id);
        told
    }
    /// The network resets a connection on both sides.
    pub fn cut(&mut self, id: u64) {
        for end in [id, id ^ 1] {
            if let Some(e) = self.ends.get_mut(&end) {
                e.swallow = true; // nothing gets past what was lost
            }
            let way = self.net.time(self.plan.delay).max(Duration::from_nanos(1));
            self.after(way, Event::Rst { end, why: Reason::Reset });
        }
    }
    /// The program drops an end and resets the connection.
    pub fn reset(&mut self, id: u64) {
        let Some(e) = self.ends.get_mut(&id).filter(|e| !e.dead) else { return };
        e.dead = true;
        let node = e.node;
        if let Some(peer) = self.ends.get(&(id ^ 1)).map(|p| p.node) {
            let way = self.way(node, peer);
            self.after(way, Event::Rst { end: id ^ 1, why: Reason::Reset });
        }
        self.forget(id);
    }
    /// The program drops an end: FIN, or an RST if it leaves something unread.
    pub fn close(&mut self, id: u64, linger0: bool) {
        let Some(e) = self.ends.get(&id) else { return };
        if linger0 || !e.inbox.is_empty() {
            return self.reset(id);
        }
        self.fin(id);
        if let Some(e) = self.ends.get_mut(&id) {
            e.dead = true;
        }
        self.forget(id);
    }
    /// Both ends are dead.
    fn forget(&mut self, id: u64) {
        if [id, id ^ 1].iter().all(|i| self.ends.get(i).is_none_or(|e| e.dead)) {
            self.ends.remove(&id);
            self.ends.remove(&(id ^ 1));
        }
    }
    /// A machine has lost its power: nothing of it answers any more.
    pub fn vanish(&mut self, node: NodeId) {
        let now = self.now;
        for e in self.ends.values_mut().filter(|e| e.node == node) {
            (e.dead, e.silent) = (true, Some(now));
        }
        self.listeners.retain(|l| l.node != node);
        self.datagrams.retain(|d| d.node != node);
    }
}

fn end(node: NodeId, token: Option<Token>, local: Addr, remote: Addr) -> End {
    End {
        node,
        token,
        local,
        remote,
        inbox: VecDeque::new(),
        fin_in: false,
        fin_out: false,
        unacked: 0,
        swallow: false,
        last_arrival: Instant::default(),
        busy_until: Instant::default(),
        dead: false,
        silent: None,
    }
}
