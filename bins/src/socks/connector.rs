//! One client's connection to its target: checked addresses, tried one beside the other (RFC 8305), within one deadline.
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::{Addr, ConnectOpts, Cx, Deadline, Instant, Op, Reason, Slots, Token};
use std::collections::VecDeque;

/// How long an attempt has before the next one starts beside it (RFC 8305 section 8).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of a name that are tried.
const MOST: usize = 16;

/// The part byte of outgoing connections.
pub const OUT: u8 = 1;

/// The attempts.
#[derive(Debug)]
pub struct Attempts {
    todo: VecDeque<SocketAddr>,
    trying: Vec<(Token, SocketAddr)>,
    next: Option<Deadline>,
    limit: Deadline,
    last: Reason,
}

impl Attempts {
    /// Tries `ips`, of which there is one at least, alternating between the families, IPv6 first.
    pub fn new(ips: &[IpAddr], port: u16, limit: Deadline) -> Self {
        let (mut v6, mut v4) = (ips.iter().filter(|ip| ip.is_ipv6()), ips.iter().filter(|ip| ip.is_ipv4()));
        let mut order: Vec<&IpAddr> = Vec::new();
        loop {
            let round = [v6.next(), v4.next()];
            if round == [None; 2] {
                break;
            }
            order.extend(round.into_iter().flatten());
        }
        let todo = order.into_iter().take(MOST).map(|ip| SocketAddr::new(*ip, port)).collect();
        Attempts { todo, trying: Vec::new(), next: None, limit, last: Reason::TimedOut }
    }
    /// Starts the next attempt; `clients` learns whose it is.
    pub fn advance<J, M>(
        &mut self,
        client: Token,
        bind: Option<IpAddr>,
        clients: &mut Slots<Token>,
        cx: &mut Cx<'_, J, M>,
    ) {
        self.next = None;
        let Some(to) = self.todo.pop_front() else { return };
        let conn = cx.token(OUT);
        let bind = bind.filter(|ip| ip.is_ipv4() == to.is_ipv4()).map(|ip| Addr::Ip(SocketAddr::new(ip, 0)));
        cx.op(Op::Connect { conn, to: Addr::Ip(to), opts: ConnectOpts { bind, ..ConnectOpts::default() } });
        clients.insert(conn, client);
        self.trying.push((conn, to));
        self.next = (!self.todo.is_empty()).then(|| Deadline::new(cx.now, STAGGER, "next address"));
    }
    /// One is there: the others are given up. Where it leads to, if it is one of these.
    pub fn connected<J, M>(&mut self, t: Token, cx: &mut Cx<'_, J, M>) -> Option<SocketAddr> {
        let (_, to) = *self.trying.iter().find(|(c, _)| *c == t)?;
        self.trying.retain(|(c, _)| *c != t);
        self.abort(cx);
        Some(to)
    }
    /// One has failed: true if it was one of these.
    pub fn failed(&mut self, t: Token, why: Reason) -> bool {
        let before = self.trying.len();
        self.trying.retain(|(c, _)| *c != t);
        self.last = why;
        before != self.trying.len()
    }
    /// Nothing is left to be tried: why the last one failed.
    pub fn is_over(&self) -> Option<Reason> {
        (self.trying.is_empty() && self.todo.is_empty()).then_some(self.last)
    }
    /// No attempt is under way.
    pub fn is_idle(&self) -> bool {
        self.trying.is_empty()
    }
    /// The time for the next attempt has come.
    pub fn is_next(&self, now: Instant) -> bool {
        self.next.is_some_and(|d| d.at <= now)
    }
    /// Until when.
    pub fn limit(&self) -> Deadline {
        self.limit
    }
    /// There is no time left.
    pub fn is_late(&self, now: Instant) -> bool {
        self.limit.at <= now
    }
    /// Gives everything up.
    pub fn abort<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.todo.clear();
        self.next = None;
        self.trying.drain(..).for_each(|(t, _)| cx.abort(t));
    }
    /// What it waits for.
    pub fn deadline(&self) -> Deadline {
        Deadline::earliest(Some(self.limit), self.next).unwrap_or(self.limit)
    }
}
