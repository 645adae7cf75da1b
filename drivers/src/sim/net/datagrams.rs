//! Datagrams: lost, doubled and out of order, as the plan says.
use super::super::plan::Spread;
use super::super::{Event, Local, NodeId, Notice, World};
use proto_core::{Addr, Reason, Token};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

/// Datagrams a socket holds that nobody reads.
const DATAGRAMS: usize = 256;

/// A bound datagram socket.
#[derive(Debug)]
pub struct Datagrams {
    pub node: NodeId,
    pub token: Token,
    pub local: SocketAddr,
    peer: Option<SocketAddr>,
    pub inbox: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl World {
    /// Binds a datagram socket.
    pub fn udp(
        &mut self,
        node: NodeId,
        token: Token,
        bind: Option<&Addr>,
        peer: Option<&Addr>,
    ) -> Result<SocketAddr, Reason> {
        let peer = match peer {
            Some(Addr::Ip(a)) => Some(*a),
            Some(Addr::Unix(_)) => return Err(Reason::Unsupported),
            None => None,
        };
        let local = match bind.map(|a| self.pick(node, a)).transpose()? {
            Some(Addr::Ip(a)) => a,
            Some(Addr::Unix(_)) => return Err(Reason::Unsupported),
            None => {
                let port = self.ephemeral();
                peer.map_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), |p| self.seen(node, p.ip(), port))
            }
        };
        if self.datagrams.iter().any(|d| d.node == node && d.local == local) {
            return Err(Reason::AddrInUse);
        }
        self.datagrams.push(Datagrams { node, token, local, peer, inbox: VecDeque::new() });
        Ok(local)
    }
    /// The socket of a token.
    pub fn socket(&mut self, node: NodeId, t: Token) -> Option<&mut Datagrams> {
        self.datagrams.iter_mut().find(|d| d.node == node && d.token == t)
    }
    /// Sends a datagram; false if that is not possible.
    pub fn send_to(&mut self, node: NodeId, t: Token, to: Option<&Addr>, data: Vec<u8>) -> bool {
        let Some(socket) = self.datagrams.iter().find(|d| d.node == node && d.token == t) else { return false };
        let to = match to {
            Some(Addr::Ip(a)) => Some(*a),
            Some(Addr::Unix(_)) => None,
            None => socket.peer,
        };
        let port = socket.local.port();
        let Some(to) = to else { return false };
        let Some(there) = self.node_at(to.ip(), node) else { return false };
        let from = self.seen(node, to.ip(), port);
        if self.net.happens(self.plan.loss) || !self.is_up(there) || self.partition_end(node, there).is_some() {
            return true;
        }
        let copies = 1 + usize::from(self.net.happens(self.plan.dup));
        for _ in 0..copies {
            let mut way = self.way(node, there);
            if self.net.happens(self.plan.reorder) {
                let Spread { base, plus_minus } = self.plan.delay;
                way += self.net.within((base + plus_minus) * 3);
            }
            self.after(way, Event::Datagram { node: there, to, from, sender: (node, t), data: data.clone() });
        }
        true
    }
    /// A datagram has arrived.
    pub fn datagram(
        &mut self,
        node: NodeId,
        to: SocketAddr,
        from: SocketAddr,
        sender: (NodeId, Token),
        data: Vec<u8>,
    ) -> Option<(NodeId, Notice)> {
        if self.filter(node, sender.0, &Addr::Ip(to)).is_some() {
            return None;
        }
        let found = self.datagrams.iter_mut().find(|d| {
            let any = d.local.ip().is_unspecified() && d.local.is_ipv4() == to.is_ipv4();
            let ours = d.node == node && d.local.port() == to.port() && (d.local.ip() == to.ip() || any);
            ours && d.peer.is_none_or(|p| p == from)
        });
        if let Some(d) = found {
            if d.inbox.len() < DATAGRAMS {
                d.inbox.push_back((from, data));
            }
            return Some((d.node, Notice::Readable(d.token)));
        }
        if self.is_up(node) && self.socket(sender.0, sender.1).is_some_and(|d| d.peer.is_some()) {
            let way = self.way(node, sender.0);
            let life = self.life(sender.0);
            self.after(way, Event::Local(sender.0, life, Local::Unreachable(sender.1)));
        }
        None
    }
}
