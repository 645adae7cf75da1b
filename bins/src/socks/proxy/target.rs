//! Where a client wants to go, and the way there.
use super::usage::USED_UP;
use super::{Proxy, ProxyCx};
use crate::reach;
use crate::socks::connector::Attempts;
use crate::socks::policy::{Who, address_of};
use crate::socks::session::{Flow, Phase};
use crate::via::Proxy as Via;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use proto_core::dns::{Known, Unresolved};
use proto_core::socks5::{Address, Command, Host, Reply};
use proto_core::{Addr, Deadline, Peer, Reason, Token};

/// What is to be done with the addresses of a target.
#[derive(Clone, Copy)]
struct Goal {
    port: u16,
    limit: Deadline,
    /// To expect a connection from there, not to make one.
    bind: bool,
}

impl Proxy {
    pub(super) fn request(&mut self, t: Token, command: Command, address: &Address<'_>, cx: &mut ProxyCx<'_>) {
        let Some(s) = self.sessions.get_mut(&t) else { return };
        s.target = format!("{address}");
        self.say(t, format_args!("{} {address}", command.name()), cx);
        let allowed = match command {
            Command::Connect => true,
            _ if self.options.upstream.is_some() => false,
            Command::Bind => self.options.bind_command,
            Command::UdpAssociate => self.options.associations > 0,
        };
        if !allowed {
            return self.refuse(t, Reply::CommandNotSupported, format_args!("command not supported"), cx);
        }
        let user = self.sessions.get(&t).and_then(|s| s.user.as_ref());
        if user.is_some_and(|u| self.options.accounts.is_crowded(u)) {
            self.refused += 1;
            return self.refuse(t, Reply::GeneralFailure, format_args!("too many sessions of the user"), cx);
        }
        if user.is_some_and(|u| self.options.accounts.is_used_up(u, cx.wall())) {
            self.refused += 1;
            return self.refuse(t, Reply::NotAllowed, format_args!("{USED_UP}"), cx);
        }
        // A question that nobody waits for any more still keeps the resolver busy.
        if self.connecting.max(self.lookups.len()) >= self.options.pending {
            self.refused += 1;
            return self.refuse(t, Reply::GeneralFailure, format_args!("too many connections under way"), cx);
        }
        let limit = Deadline::new(cx.now, self.options.connect_timeout, "connection");
        if command == Command::UdpAssociate {
            return self.associate(t, address, limit, cx);
        }
        let (bind, port) = (command == Command::Bind, address.port);
        let name = match address.host {
            Host::Ip(ip) => return self.checked(t, None, &[ip], Goal { port, limit, bind }, cx),
            Host::Name(name) => name,
        };
        if let Some(ip) = address_of(name) {
            return self.checked(t, None, &[ip], Goal { port, limit, bind }, cx);
        }
        if let Err(rule) = self.options.access.policy.check_name(&self.who(t), name, port) {
            return self.deny(t, &rule, cx);
        }
        if self.options.upstream.as_ref().is_some_and(Via::wants_name) {
            return self.go_upstream(t, name, port, limit, cx);
        }
        self.set(t, Phase::Resolving { name: name.into(), port, limit, bind }, cx);
        self.lookups.start(t, name, cx);
        self.known_now(cx);
    }
    /// Goes on with lookups that are over: some need nobody else.
    pub(super) fn known_now(&mut self, cx: &mut ProxyCx<'_>) {
        while let Some((t, key, known)) = self.lookups.next_done() {
            match self.sessions.get(&t).map(|s| &s.phase) {
                Some(Phase::Associated(_)) => self.known_for_datagrams(t, key, &known, cx),
                _ => self.resolved(t, known, cx),
            }
        }
    }
    pub(super) fn who(&self, t: Token) -> Who<'_> {
        self.sessions.get(&t).map_or(Who::default(), |s| Who { user: s.user.as_deref(), from: s.from })
    }
    pub(super) fn deny(&mut self, t: Token, rule: &str, cx: &mut ProxyCx<'_>) {
        self.refuse(t, Reply::NotAllowed, format_args!("denied by rule: {rule}"), cx);
    }
    fn resolved(&mut self, t: Token, known: Known, cx: &mut ProxyCx<'_>) {
        let Some(s) = self.sessions.get(&t) else { return };
        let Phase::Resolving { name, port, limit, bind } = &s.phase else { return };
        let upstream = s.beyond.is_some();
        let (name, goal) = (name.clone(), Goal { port: *port, limit: *limit, bind: *bind });
        match known {
            Ok(ips) if upstream => self.dial_upstream(t, &ips, goal.port, goal.limit, cx),
            Err(why) if upstream => self.refuse(t, Reply::GeneralFailure, format_args!("upstream {name}: {why}"), cx),
            Ok(ips) => self.checked(t, Some(&name), &ips, goal, cx),
            Err(Unresolved::NoSuchName) => self.refuse(t, Reply::HostUnreachable, format_args!("name not found"), cx),
            Err(Unresolved::Busy) => {
                self.refused += 1;
                self.refuse(t, Reply::GeneralFailure, format_args!("too many lookups under way"), cx);
            }
            Err(why) => self.refuse(t, Reply::HostUnreachable, format_args!("{why}"), cx),
        }
    }
    /// Goes on with those of `ips` that may be reached: with the very addresses that were checked.
    fn checked(&mut self, t: Token, name: Option<&str>, ips: &[IpAddr], goal: Goal, cx: &mut ProxyCx<'_>) {
        let Goal { port, limit, bind } = goal;
        let (policy, who) = (&self.options.access.policy, self.who(t));
        let mut why = None;
        let mut good = Vec::new();
        for ip in ips.iter().copied() {
            let own = self.listeners.contains(&SocketAddr::new(reach::inner(ip), port));
            match policy.check(&who, name, ip, port) {
                _ if own => why = why.or(Some("own listener".to_string())),
                Ok(()) => good.push(ip),
                Err(rule) => why = why.or(Some(rule)),
            }
        }
        if good.is_empty() {
            return match why {
                Some(rule) => self.deny(t, &rule, cx),
                None => self.refuse(t, Reply::HostUnreachable, format_args!("name without an address"), cx),
            };
        }
        if bind {
            return self.bind(t, good.iter().map(IpAddr::to_canonical).collect(), limit, cx);
        }
        // An upstream is told one address. IPv4 comes first: more of them can reach that.
        let first = good.iter().find(|ip| ip.is_ipv4()).or(good.first());
        if let Some(first) = first.filter(|_| self.options.upstream.is_some()) {
            return self.go_upstream(t, &first.to_string(), port, limit, cx);
        }
        let mut attempts = Attempts::new(&good, port, limit);
        attempts.advance(t, self.options.bind, &mut self.clients, cx);
        self.set(t, Phase::Connecting(attempts), cx);
    }
    /// Answers a request with "no"; the connection ends.
    pub(super) fn refuse(&mut self, t: Token, reply: Reply, why: fmt::Arguments<'_>, cx: &mut ProxyCx<'_>) {
        self.say(t, format_args!("Failed: {why}"), cx);
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        if let Some((server, tx)) = self.conns.machine(t, cx) {
            let told = server.reply(tx, reply, nowhere);
            debug_assert!(told.is_ok(), "{told:?}");
        }
        self.leave(t, cx);
        self.conns.close(t);
    }
    pub(super) fn connected(&mut self, out: Token, peer: &Peer, cx: &mut ProxyCx<'_>) {
        let Some(&t) = self.clients.get(out) else { return cx.abort(out) };
        let Some(Phase::Connecting(attempts)) = self.sessions.get_mut(&t).map(|s| &mut s.phase) else {
            return cx.abort(out);
        };
        let Some(to) = attempts.connected(out, cx) else { return cx.abort(out) };
        let limit = attempts.limit();
        let local = if let Some(Addr::Ip(a)) = peer.local { Some(a) } else { None };
        // A listener on all addresses of this machine is reached by any of them.
        let ports = self.listeners.iter().any(|l| l.ip().is_unspecified() && l.port() == to.port());
        if ports && local.is_some_and(|l| l.ip().to_canonical() == to.ip().to_canonical()) {
            cx.abort(out);
            return self.deny(t, "own listener", cx);
        }
        if self.sessions.get(&t).is_some_and(|s| s.beyond.is_some()) {
            return self.ask_upstream(t, out, limit, cx);
        }
        let bound = local.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        self.forward(t, out, bound, cx);
    }
    /// The way is there: the client hears of it, and from now on bytes go both ways.
    pub(super) fn forward(&mut self, t: Token, out: Token, bound: SocketAddr, cx: &mut ProxyCx<'_>) {
        let Some((server, tx)) = self.conns.machine(t, cx) else { return cx.abort(out) };
        if server.reply(tx, Reply::Succeeded, bound).is_err() {
            return cx.abort(out);
        }
        let base = cx.stat(t).sent + cx.queued(t) as u64;
        self.say(t, format_args!("Connection established, forwarding"), cx);
        let early = self.conns.release(t, cx).map(|mut conn| conn.take_tail()).unwrap_or_default();
        if let Some(tx) = cx.tx(out).filter(|_| !early.is_empty()) {
            tx.put(&early);
        }
        self.set(t, Phase::Relaying(Flow::new(out, base, cx.now)), cx);
        self.permit(t, 0, 0, cx);
        self.permit(t, 1, 0, cx);
    }
    pub(super) fn next_attempt(&mut self, t: Token, cx: &mut ProxyCx<'_>) {
        let Some(Phase::Connecting(attempts)) = self.sessions.get_mut(&t).map(|s| &mut s.phase) else { return };
        if let Some(why) = attempts.is_over() {
            if self.sessions.get(&t).is_some_and(|s| s.beyond.is_some()) {
                return self.refuse(t, Reply::GeneralFailure, format_args!("upstream: {why}"), cx);
            }
            let reply = Reply::to_failure(why);
            return match why {
                Reason::TimedOut => self.refuse(t, reply, format_args!("timeout"), cx),
                why => self.refuse(t, reply, format_args!("{why}"), cx),
            };
        }
        if attempts.is_idle() || attempts.is_next(cx.now) {
            attempts.advance(t, self.options.bind, &mut self.clients, cx);
        }
        self.rearm(t);
    }
}
