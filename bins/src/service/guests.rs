//! Who may be a client: limits, blocks of addresses, silence.
use super::{ServerCx, Service};
use crate::cli::Cidr;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use proto_core::{Addr, Instant, Peer, Token};

/// How long a refused client may take to read why.
const REFUSAL: Duration = Duration::from_secs(2);
/// Blocks of addresses that may be refused.
const BANS: usize = 1024;

/// Why a client is turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its address is not allowed.
    Address,
    /// There are as many clients as there may be.
    Full(u32),
    /// Its address has as many connections as it may have.
    PerAddress(u32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Address => f.write_str("not allowed"),
            Refusal::Full(n) => write!(f, "{n} clients already"),
            Refusal::PerAddress(n) => write!(f, "{n} connections from there already"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Client {
    ip: Option<IpAddr>,
    seen: u64,
}

impl Service {
    /// Refuses a block of addresses from now on; the clients that are from there. `None`: there are too many blocks.
    pub fn ban(&mut self, block: Cidr) -> Option<Vec<Token>> {
        let deny = &mut self.settings.deny;
        if !deny.contains(&block) {
            if deny.len() >= BANS {
                return None;
            }
            deny.push(block);
        }
        let from_there = |c: &Client| c.ip.is_some_and(|ip| block.contains(ip));
        Some(self.clients.iter().filter(|(_, c)| from_there(c)).map(|(t, _)| t).collect())
    }
    /// Takes a ban back. False if there was none.
    pub fn unban(&mut self, block: Cidr) -> bool {
        let before = self.settings.deny.len();
        self.settings.deny.retain(|b| *b != block);
        self.settings.deny.len() < before
    }
    /// The blocks that are refused.
    pub fn bans(&self) -> &[Cidr] {
        &self.settings.deny
    }

    /// Clients from this address are served.
    pub fn allows(&self, ip: IpAddr) -> bool {
        let s = &self.settings;
        let within = |blocks: &[Cidr]| blocks.iter().any(|b| b.contains(ip));
        !within(&s.deny) && (s.allow.is_empty() || within(&s.allow))
    }
    /// Decides on a new client. A refused one is the app's to send away, with [`Service::turn_away`].
    pub fn admit<J>(&mut self, conn: Token, peer: &Peer, cx: &mut ServerCx<'_, J>) -> Result<(), Refusal> {
        let ip = match &peer.remote {
            Addr::Ip(a) => Some(a.ip().to_canonical()),
            Addr::Unix(_) => None,
        };
        let s = &self.settings;
        if let Some(ip) = ip {
            // Whom a balancer speaks for is judged when it has said so.
            let speaks_for_others = s.headed && s.trusts(&peer.remote);
            if !speaks_for_others && !self.allows(ip) {
                return Err(Refusal::Address);
            }
            let count = self.by_ip.get(&ip).copied().unwrap_or(0);
            if let Some(limit) = s.per_ip.filter(|limit| count >= *limit) {
                return Err(Refusal::PerAddress(limit));
            }
        }
        if self.clients.len() >= s.max as usize {
            return Err(Refusal::Full(s.max));
        }
        if let Some(ip) = ip {
            *self.by_ip.entry(ip).or_default() += 1;
        }
        self.clients.insert(conn, Client { ip, seen: 0 });
        if let Some(limit) = self.settings.idle {
            self.idle.arm(conn, cx.now.after(limit));
        }
        self.hold_listeners(cx);
        Ok(())
    }
    /// Sends a refused client away, with a text if the protocol has one.
    pub fn turn_away<J>(&mut self, conn: Token, text: &str, cx: &mut ServerCx<'_, J>) {
        self.refused += 1;
        // A client that speaks TLS could not read it.
        if let Some(tx) = cx.tx(conn).filter(|_| !self.settings.guard.is_on()) {
            tx.put(text.as_bytes());
        }
        cx.close(conn, REFUSAL);
    }
    fn hold_listeners<J>(&mut self, cx: &mut ServerCx<'_, J>) {
        let full = self.settings.queue && self.clients.len() >= self.settings.max as usize;
        for &l in &self.listeners {
            cx.accept(l, !full && self.stopping.is_none());
        }
        if self.settings.verbose {
            self.waiting.watch(full && self.stopping.is_none(), cx.now);
        }
    }
    /// A client is gone. True if it was one (and not a refused connection).
    pub fn closed<J>(&mut self, conn: Token, cx: &mut ServerCx<'_, J>) -> bool {
        let Some(client) = self.clients.remove(conn) else { return false };
        self.idle.disarm(conn);
        if let Some(ip) = client.ip
            && let Some(n) = self.by_ip.get_mut(&ip)
        {
            *n -= 1;
            if *n == 0 {
                self.by_ip.remove(&ip);
            }
        }
        if self.stopping.is_some() {
            self.exit_if_drained(cx);
        } else {
            self.hold_listeners(cx);
        }
        true
    }
    /// Something has moved for a client elsewhere than on its connection.
    pub fn moved(&mut self, conn: Token, now: Instant) {
        if let Some(client) = self.clients.get_mut(conn) {
            client.seen = now.as_nanos();
        }
    }
    /// A client on which nothing has moved for the idle timeout, and that timeout. The app ends it.
    pub fn next_idle<J>(&mut self, cx: &ServerCx<'_, J>) -> Option<(Token, Duration)> {
        let limit = self.settings.idle?;
        while let Some(t) = self.idle.pop(cx.now) {
            let Some(client) = self.clients.get_mut(t) else { continue };
            let last = cx.stat(t).last.max(Instant::from_nanos(client.seen));
            if client.seen == 0 && last == Instant::default() || last.after(limit) <= cx.now {
                return Some((t, limit));
            }
            client.seen = last.as_nanos();
            self.idle.arm(t, last.after(limit));
        }
        None
    }
}
