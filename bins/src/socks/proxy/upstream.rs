//! Through another proxy: it is connected to instead of the target, and asked for that.
use super::{Proxy, ProxyCx};
use crate::socks::connector::{Attempts, OUT};
use crate::socks::session::Phase;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use proto_core::socks5::{Client, ClientEvent, Command, Credentials, Destination, Host, Reply};
use proto_core::{ConnEvent, Deadline, Fault, Feed, Step, Token};

/// The handshake has no limit of its own: the session has one.
const NEVER: Duration = Duration::from_secs(1 << 20);

impl Proxy {
    /// The target is reached through the upstream, which is told `host`.
    pub(super) fn go_upstream(&mut self, t: Token, host: &str, port: u16, limit: Deadline, cx: &mut ProxyCx<'_>) {
        let Some(at) = self.options.upstream.as_ref().map(|up| up.at.origin.clone()) else { return };
        let Ok(beyond) = Destination::new(host, port) else {
            return self.refuse(t, Reply::GeneralFailure, format_args!("not a name"), cx);
        };
        if let Some(s) = self.sessions.get_mut(&t) {
            s.beyond = Some(beyond);
        }
        let host = at.host.trim_matches(['[', ']']);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.dial_upstream(t, &[ip], at.port, limit, cx);
        }
        self.set(t, Phase::Resolving { name: host.into(), port: at.port, limit, bind: false }, cx);
        self.lookups.start(t, host, cx);
        self.known_now(cx);
    }
    /// Its addresses are known. No rule is asked about them: who runs this proxy has chosen it.
    pub(super) fn dial_upstream(&mut self, t: Token, ips: &[IpAddr], port: u16, limit: Deadline, cx: &mut ProxyCx<'_>) {
        let mut attempts = Attempts::new(ips, port, limit);
        attempts.advance(t, self.options.bind, &mut self.clients, cx);
        self.set(t, Phase::Connecting(attempts), cx);
    }
    /// It is there.
    pub(super) fn ask_upstream(&mut self, t: Token, out: Token, limit: Deadline, cx: &mut ProxyCx<'_>) {
        let beyond = self.sessions.get_mut(&t).and_then(|s| s.beyond.clone());
        let (Some(beyond), Some(upstream)) = (beyond, &self.options.upstream) else { return cx.abort(out) };
        let login = upstream.at.user.as_ref().and_then(|(u, p)| Credentials::new(u.as_bytes(), p.as_bytes()).ok());
        self.ups.insert(out, Client::new(Command::Connect, beyond, login, NEVER), Vec::new(), cx);
        let now = cx.now;
        if let Some((client, tx)) = self.ups.machine(out, cx) {
            let begun = client.start(now, tx);
            debug_assert!(begun.is_ok(), "it is new");
        }
        self.set(t, Phase::Asking { out, limit }, cx);
    }
    /// It says something, or nothing more.
    pub(super) fn upstream_says(&mut self, out: Token, mut feed: Feed<'_>, cx: &mut ProxyCx<'_>) {
        let told = loop {
            match self.ups.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(ClientEvent::Open(address)))) => {
                    let ip = if let Host::Ip(ip) = address.host { ip } else { Ipv4Addr::UNSPECIFIED.into() };
                    break Some(Ok(SocketAddr::new(ip, address.port)));
                }
                Ok(Step::Event(_)) => {}
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break None,
                Err(fault) => break Some(Err(fault)),
            }
        };
        self.ups.done(feed);
        let Some(&t) = self.clients.get(out) else { return cx.abort(out) };
        match told {
            Some(Ok(bound)) => {
                let early = self.ups.release(out, cx).map(|mut conn| conn.take_tail()).unwrap_or_default();
                self.forward(t, out, bound, cx);
                if let Some(tx) = cx.tx(t).filter(|_| !early.is_empty()) {
                    tx.put(&early);
                }
            }
            Some(Err(fault)) => self.upstream_refuses(t, &fault, cx),
            None => {}
        }
    }
    /// Its answer is passed on, if it is one; what else it says is trouble of ours.
    fn upstream_refuses(&mut self, t: Token, fault: &Fault, cx: &mut ProxyCx<'_>) {
        let reply = u8::try_from(fault.code).ok().and_then(Reply::of).filter(|r| r.text() == fault.what);
        self.refuse(t, reply.unwrap_or(Reply::GeneralFailure), format_args!("upstream: {}", fault.what), cx);
    }
    /// A connection to it that is of no use any more.
    pub(super) fn leave_upstream(&mut self, out: Token, cx: &mut ProxyCx<'_>) {
        debug_assert_eq!(out.part(), OUT, "no other is asked");
        self.ups.remove(out);
        self.clients.remove(out);
        cx.abort(out);
    }
}
