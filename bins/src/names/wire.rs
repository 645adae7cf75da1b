//! Carries out what a [`Stub`] wants: a datagram socket or a connection per attempt.
use super::streams::{Carrier, Streams};
use core::net::SocketAddr;
use proto_core::dns::{Act, Stub, TryId};
use proto_core::{Addr, Cx, Input, Op, Reason, Slots, Token};
use rand_core::RngCore;
use std::collections::BTreeMap;

/// Where datagrams are sent from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ports {
    /// A new socket for each attempt, so that its port is as hard to guess as its id.
    #[default]
    Fresh,
    /// So many sockets per server, which attempts share: for thousands of questions to a server of one's own.
    Shared(usize),
}

/// What a token is for.
#[derive(Debug)]
enum Socket {
    /// The message waits for the socket to be bound.
    Udp { id: TryId, message: Option<Vec<u8>> },
    /// The same, for all attempts that share it.
    Shared { bound: bool, waiting: Vec<Vec<u8>> },
}

/// The sockets of one stub.
#[derive(Debug)]
pub struct Wire {
    part: u8,
    ports: Ports,
    sockets: Slots<Socket>,
    /// Connections.
    pub streams: Streams,
    tries: BTreeMap<TryId, (Token, u16)>,
    shared: BTreeMap<SocketAddr, Vec<Token>>,
    /// Attempts by shared socket and message id.
    routes: BTreeMap<(Token, u16), TryId>,
}

impl Wire {
    /// Its tokens carry `part`.
    pub fn new(part: u8, ports: Ports) -> Self {
        let (tries, shared, routes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let streams = Streams::new(part, Carrier::Tcp);
        Wire { part, ports, sockets: Slots::default(), streams, tries, shared, routes }
    }
    /// Does all that the stub wants done now.
    pub fn act<J, M>(&mut self, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        while let Some(act) = stub.next_act() {
            match act {
                Act::Udp { id, server, message } => match self.ports {
                    Ports::Fresh => {
                        let socket = cx.token(self.part);
                        cx.op(Op::Udp { socket, bind: None, to: Some(server.into()) });
                        self.sockets.insert(socket, Socket::Udp { id, message: Some(message) });
                        self.tries.insert(id, (socket, 0));
                    }
                    Ports::Shared(n) => self.share(n, id, server, message, cx),
                },
                Act::Tcp { id, server, message } => match self.streams.reuse(id, server, message, cx) {
                    Ok(conn) => drop(self.tries.insert(id, (conn, 0))),
                    Err(message) => self.connect(id, server, message, cx),
                },
                Act::Drop(id) => {
                    let Some((t, key)) = self.tries.remove(&id) else { continue };
                    if self.streams.drop(t, cx) || self.routes.remove(&(t, key)).is_some() {
                        continue; // a socket that is shared stays
                    }
                    if self.sockets.remove(t).is_some() {
                        cx.abort(t);
                    }
                }
            }
        }
    }
    fn connect<J, M>(&mut self, id: TryId, server: SocketAddr, message: Vec<u8>, cx: &mut Cx<'_, J, M>) {
        let conn = cx.connect(self.part, self.streams.way_to(server).into());
        self.streams.open(conn, id, server, message);
        self.tries.insert(id, (conn, 0));
    }
    fn share<J, M>(&mut self, n: usize, id: TryId, server: SocketAddr, message: Vec<u8>, cx: &mut Cx<'_, J, M>) {
        let key = message.first_chunk().map_or(0, |b| u16::from_be_bytes(*b));
        let part = self.part;
        let sockets = &mut self.sockets;
        let mut open = || {
            let socket = cx.token(part);
            cx.op(Op::Udp { socket, bind: None, to: Some(server.into()) });
            sockets.insert(socket, Socket::Shared { bound: false, waiting: Vec::new() });
            socket
        };
        let all = self.shared.entry(server).or_insert_with(|| (0..n.max(1)).map(|_| open()).collect());
        if all.is_empty() {
            all.push(open()); // the others were closed by the system
        }
        let start = cx.rng().next_u32() as usize;
        let free = (0..all.len()).filter_map(|i| all.get((start.wrapping_add(i)) % all.len()));
        let Some(&t) = { free }.find(|t| !self.routes.contains_key(&(**t, key))) else { return };
        self.routes.insert((t, key), id);
        self.tries.insert(id, (t, key));
        match self.sockets.get_mut(t) {
            Some(Socket::Shared { bound: false, waiting }) => waiting.push(message),
            Some(_) => cx.op(Op::SendTo { socket: t, to: None, data: message }),
            None => {}
        }
    }
    /// Closes everything.
    pub fn close<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.sockets.iter().for_each(|(t, _)| cx.abort(t));
        self.streams.close(cx);
        (self.sockets, self.shared) = (Slots::default(), BTreeMap::new());
        (self.tries, self.routes) = (BTreeMap::new(), BTreeMap::new());
    }
    /// Takes an input; false if it is about none of its sockets.
    pub fn handle<J, M>(&mut self, stub: &mut Stub, input: &Input<'_, M>, cx: &mut Cx<'_, J, M>) -> bool {
        let is_of_a_stream = self.streams.handle(stub, input, cx);
        while let Some((id, server, message)) = self.streams.next_again() {
            self.connect(id, server, message, cx);
        }
        if is_of_a_stream {
            return true;
        }
        let token = match input {
            Input::Bound { socket, .. } | Input::Datagram { socket, .. } | Input::Unreachable { socket, .. } => *socket,
            Input::Closed(t, _) => *t,
            _ => return false,
        };
        let Some(socket) = self.sockets.get_mut(token) else { return false };
        match (socket, input) {
            (Socket::Udp { message, .. }, Input::Bound { .. }) => {
                if let Some(data) = message.take() {
                    cx.op(Op::SendTo { socket: token, to: None, data });
                }
            }
            (Socket::Udp { id, .. }, Input::Datagram { from: Addr::Ip(from), data, .. }) => {
                let id = *id;
                stub.on_datagram(id, *from, data, cx.now, cx.rng());
            }
            (Socket::Udp { id, .. }, Input::Unreachable { why, .. }) => {
                let id = *id;
                stub.on_closed(id, *why, cx.now, cx.rng());
            }
            (Socket::Shared { bound, waiting }, Input::Bound { .. }) => {
                *bound = true;
                for data in std::mem::take(waiting) {
                    cx.op(Op::SendTo { socket: token, to: None, data });
                }
            }
            (Socket::Shared { .. }, Input::Datagram { from: Addr::Ip(from), data, .. }) => {
                let key = data.first_chunk().map_or(0, |b| u16::from_be_bytes(*b));
                if let Some(id) = self.routes.get(&(token, key)).copied() {
                    stub.on_datagram(id, *from, data, cx.now, cx.rng());
                }
            }
            (Socket::Shared { .. }, Input::Unreachable { why, .. }) => self.lost(token, *why, stub, cx),
            (_, Input::Closed(_, why)) => self.closed(token, *why, stub, cx),
            _ => {}
        }
        true
    }
    /// All attempts of a shared socket have failed.
    fn lost<J, M>(&mut self, t: Token, why: Reason, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        let range = self.routes.range((t, 0)..=(t, u16::MAX));
        let ids: Vec<TryId> = range.map(|(_, id)| *id).collect();
        ids.into_iter().for_each(|id| stub.on_closed(id, why, cx.now, cx.rng()));
    }
    fn closed<J, M>(&mut self, t: Token, why: Reason, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        match self.sockets.remove(t) {
            Some(Socket::Udp { id, .. }) => stub.on_closed(id, why, cx.now, cx.rng()),
            Some(Socket::Shared { .. }) => {
                self.shared.values_mut().for_each(|all| all.retain(|x| *x != t));
                self.lost(t, why, stub, cx);
            }
            None => {}
        }
    }
}
