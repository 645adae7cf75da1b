//! Commands that need a socket of the session's own: BIND and UDP ASSOCIATE.
//!
//! Where it is bound: at the address by which the other side reaches this machine. If a listener does not tell (it listens on
//! all addresses), a datagram socket that is connected to the other side does, which sends nothing.
use super::{Proxy, ProxyCx};
use crate::socks::association::{Association, Door, Dropped, SOCKETS};
use crate::socks::policy::{Who, address_of};
use crate::socks::session::{Listening, Opening, Phase, Session, What};
use crate::socks::text::Volume;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::dns::Known;
use proto_core::socks5::{Address, Host, Reply};
use proto_core::{Addr, Deadline, Op, Peer, Reason, Token};

/// How long a listener of BIND waits for its connection.
const BIND: Duration = Duration::from_secs(30);

impl Proxy {
    /// Begins with UDP ASSOCIATE. The address is where the client says that its datagrams come from.
    pub(super) fn associate(&mut self, t: Token, address: &Address<'_>, limit: Deadline, cx: &mut ProxyCx<'_>) {
        let Some((from, local)) = self.sessions.get(&t).map(|s| (s.from, s.local)) else { return };
        let Some(ip) = from else {
            return self.refuse(t, Reply::GeneralFailure, format_args!("a client without an address"), cx);
        };
        if self.associations >= self.options.associations {
            self.refused += 1;
            return self.refuse(t, Reply::GeneralFailure, format_args!("too many UDP associations"), cx);
        }
        let port = (address.host == Host::Ip(ip) && address.port != 0).then_some(address.port);
        self.open(t, What::Udp { port }, local, ip, limit, cx);
    }
    /// Begins with BIND, for a connection from one of `peers`, which were checked.
    pub(super) fn bind(&mut self, t: Token, peers: Vec<IpAddr>, limit: Deadline, cx: &mut ProxyCx<'_>) {
        let Some(&first) = peers.first() else { return };
        let local = self.options.bind.filter(|ip| ip.is_ipv4() == first.is_ipv4());
        self.open(t, What::Bind { peers }, local, first, limit, cx);
    }
    /// Opens a socket at `local`, or at the address that leads to `other`.
    fn open(
        &mut self,
        t: Token,
        what: What,
        local: Option<IpAddr>,
        other: IpAddr,
        limit: Deadline,
        cx: &mut ProxyCx<'_>,
    ) {
        let socket = cx.token(SOCKETS);
        match local {
            Some(ip) => {
                let at = Addr::Ip(SocketAddr::new(ip, 0));
                cx.op(match &what {
                    What::Udp { .. } => Op::Udp { socket, bind: Some(at), to: None },
                    What::Bind { .. } => Op::Listen { listener: socket, at },
                });
            }
            None => {
                // Any port will do: nothing is sent.
                let to = Some(Addr::Ip(SocketAddr::new(other, 9)));
                cx.op(Op::Udp { socket, bind: None, to });
            }
        }
        self.clients.insert(socket, t);
        let opening = Opening { what, socket, probe: local.is_none(), other, limit };
        self.set(t, Phase::Opening(opening), cx);
    }
    /// A socket is there.
    pub(super) fn bound(&mut self, socket: Token, local: &Addr, cx: &mut ProxyCx<'_>) {
        let Some(&t) = self.clients.get(socket) else { return cx.abort(socket) };
        let Addr::Ip(local) = *local else { return cx.abort(socket) };
        let opening = match self.sessions.get_mut(&t).map(|s| &mut s.phase) {
            Some(Phase::Associated(a)) => return a.bound(socket, cx),
            Some(Phase::Opening(o)) if o.socket == socket => o.clone(),
            _ => return cx.abort(socket),
        };
        if opening.probe {
            self.clients.remove(socket);
            cx.abort(socket);
            return self.open(t, opening.what, Some(local.ip()), opening.other, opening.limit, cx);
        }
        let Some((server, tx)) = self.conns.machine(t, cx) else { return cx.abort(socket) };
        if server.reply(tx, Reply::Succeeded, local).is_err() {
            return cx.abort(socket);
        }
        match opening.what {
            What::Bind { peers } => {
                self.say(t, format_args!("Listening on {local}"), cx);
                let limit = Deadline::new(cx.now, BIND, "connection from the target");
                self.set(t, Phase::Listening(Listening { socket, peers, limit }), cx);
            }
            What::Udp { port } => {
                self.say(t, format_args!("UDP relay on {local}"), cx);
                // Whatever the client says on this connection is not for us; that it ends is.
                self.conns.release(t, cx);
                cx.read(t, true);
                self.associations += 1;
                self.set(t, Phase::Associated(Box::new(Association::new(opening.other, port, socket))), cx);
            }
        }
    }
    /// Somebody has connected to a listener of BIND.
    pub(super) fn arrived(&mut self, conn: Token, listener: Token, peer: &Peer, cx: &mut ProxyCx<'_>) {
        let Some(&t) = self.clients.get(listener) else { return cx.abort(conn) };
        let Some(Phase::Listening(l)) = self.sessions.get(&t).map(|s| &s.phase) else { return cx.abort(conn) };
        let Addr::Ip(remote) = peer.remote else { return cx.abort(conn) };
        if !l.peers.contains(&remote.ip().to_canonical()) {
            self.refused += 1;
            self.say(t, format_args!("{remote} is not who was expected"), cx);
            return cx.abort(conn);
        }
        self.clients.remove(listener);
        cx.abort(listener);
        self.clients.insert(conn, t);
        self.forward(t, conn, remote, cx);
    }
    /// A socket is gone.
    pub(super) fn socket_closed(&mut self, socket: Token, why: Reason, cx: &mut ProxyCx<'_>) {
        let Some(t) = self.clients.remove(socket) else { return };
        match self.sessions.get(&t).map(|s| &s.phase) {
            Some(Phase::Opening(_) | Phase::Listening(_)) => {
                self.refuse(t, Reply::GeneralFailure, format_args!("no socket: {why}"), cx);
            }
            Some(Phase::Associated(_)) => {
                self.say(t, format_args!("a socket has failed: {why}"), cx);
                self.cut(t, cx);
            }
            _ => self.out_closed(t, socket, why, cx),
        }
    }

    /// A datagram, from the client or for it.
    pub(super) fn datagram(&mut self, socket: Token, from: &Addr, data: &[u8], cx: &mut ProxyCx<'_>) {
        let (Some(&t), Addr::Ip(from)) = (self.clients.get(socket), from) else { return };
        let Some(Phase::Associated(a)) = self.sessions.get_mut(&t).map(|s| &mut s.phase) else { return };
        if !a.is_inside(socket) {
            if self.may_pass(t, data.len(), cx)
                && let Some(Phase::Associated(a)) = self.sessions.get_mut(&t).map(|s| &mut s.phase)
            {
                a.heard(*from, data, cx);
            }
        } else {
            match a.accept(*from, data) {
                Ok((address, payload)) => self.send_on(t, &address, payload, cx),
                Err(why) => a.drops.count(why),
            }
        }
        self.service.moved(t, cx.now);
    }
    fn send_on(&mut self, t: Token, address: &Address<'_>, payload: &[u8], cx: &mut ProxyCx<'_>) {
        let name = match address.host {
            Host::Ip(ip) => return self.send_to(t, None, &[ip], address.port, payload, cx),
            Host::Name(name) => name,
        };
        if let Some(ip) = address_of(name) {
            return self.send_to(t, None, &[ip], address.port, payload, cx);
        }
        let Some(Session { user, from, phase: Phase::Associated(a), .. }) = self.sessions.get_mut(&t) else { return };
        let who = Who { user: user.as_deref(), from: *from };
        if self.options.access.policy.check_name(&who, name, address.port).is_err() {
            return a.drops.count(Dropped::Denied);
        }
        if a.join(name, address.port, payload) {
            return;
        }
        if !a.may_ask() || self.connecting.max(self.lookups.len()) >= self.options.pending {
            return a.drops.count(Dropped::Full);
        }
        let key = self.lookups.start(t, name, cx);
        a.ask(key, name, address.port, payload);
        self.known_now(cx);
    }
    /// A name that datagrams wait for is known, or not.
    pub(super) fn known_for_datagrams(&mut self, t: Token, key: u64, known: &Known, cx: &mut ProxyCx<'_>) {
        let Some(Phase::Associated(a)) = self.sessions.get_mut(&t).map(|s| &mut s.phase) else { return };
        let Some((name, port, waiting)) = a.answered(key) else { return };
        match known {
            Ok(ips) => waiting.iter().for_each(|payload| self.send_to(t, Some(&name), ips, port, payload, cx)),
            Err(_) => waiting.iter().for_each(|_| a.drops.count(Dropped::Name)),
        }
    }
    /// Sends to the first of `ips` that may be reached. IPv4 comes first: that IPv6 leads nowhere would not be noticed.
    fn send_to(
        &mut self,
        t: Token,
        name: Option<&str>,
        ips: &[IpAddr],
        port: u16,
        payload: &[u8],
        cx: &mut ProxyCx<'_>,
    ) {
        let who = self.who(t);
        let ordered = ips.iter().filter(|ip| ip.is_ipv4()).chain(ips.iter().filter(|ip| ip.is_ipv6()));
        let allowed = { ordered }.find(|ip| self.options.access.policy.check(&who, name, **ip, port).is_ok());
        if allowed.is_some() && !self.may_pass(t, payload.len(), cx) {
            return;
        }
        let Some(Phase::Associated(a)) = self.sessions.get_mut(&t).map(|s| &mut s.phase) else { return };
        let Some(ip) = allowed else { return a.drops.count(Dropped::Denied) };
        let mut door = Door { client: t, bind: self.options.bind, clients: &mut self.clients };
        a.send(SocketAddr::new(*ip, port), payload, &mut door, cx);
    }
    /// An association ends: what it has moved and dropped is told.
    pub(super) fn dissociate(&mut self, t: Token, cx: &mut ProxyCx<'_>) {
        let Some(Phase::Associated(a)) = self.sessions.get(&t).map(|s| &s.phase) else { return };
        let ([up, down], drops) = (a.moved, a.drops);
        let sockets: Vec<Token> = a.sockets().collect();
        for socket in sockets {
            self.clients.remove(socket);
            cx.abort(socket);
        }
        self.associations -= 1;
        self.dropped += drops.total();
        self.say(t, format_args!("Transferred: {} up, {} down", Volume(up), Volume(down)), cx);
        if drops.total() > 0 {
            self.say(t, format_args!("Dropped datagrams: {drops}"), cx);
        }
        self.say(t, format_args!("Connection closed"), cx);
    }
}
