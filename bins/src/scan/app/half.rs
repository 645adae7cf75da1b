//! Half-open scanning: one raw socket per family for all probes, and our own address for each host.
//!
//! Which of our addresses leads to a host only the system knows, and the checksum needs it: a datagram socket that is
//! connected there tells it, and nothing is sent.
use super::{PROBES, Scan, ScanCx, Stage};
use crate::outcome::{Code, Failure};
use crate::scan::options::How;
use crate::scan::{State, Why};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use proto_core::half_open::{PROTOCOL, Prober};
use proto_core::{Addr, Op, Reason, Slots, Token};
use rand_core::RngCore;
use std::collections::BTreeMap;

/// Hosts for which our address is remembered; with more, the first are forgotten and asked again.
const HOSTS: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Raw {
    prober: Prober,
    /// Of IPv4 and IPv6.
    sockets: [Option<Token>; 2],
    /// Those that are not open yet.
    opening: usize,
    /// Our address as each host sees it.
    us: BTreeMap<u32, IpAddr>,
    /// The sockets that ask for it, for a target each.
    routes: Slots<u64>,
}

impl Scan {
    /// Opens raw sockets if the scan is to use them; false if it begins at once.
    pub(super) fn open_raw(&mut self, cx: &mut ScanCx<'_>) -> bool {
        if self.o.how == How::Connect {
            return false;
        }
        let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let sockets = any.map(|at| {
            self.targets.has_family(at.is_ipv6()).then(|| {
                let socket = cx.token(PROBES);
                cx.op(Op::Raw { socket, at, protocol: PROTOCOL });
                socket
            })
        });
        let opening = sockets.iter().flatten().count();
        let prober = Prober::new(cx.rng().next_u64());
        self.raw = Some(Raw { prober, sockets, opening, us: BTreeMap::new(), routes: Slots::default() });
        self.stage = Stage::Opening;
        true
    }
    /// A raw socket is open; or a socket that was opened to learn our address.
    pub(super) fn raw_bound(&mut self, socket: Token, local: &Addr, cx: &mut ScanCx<'_>) -> bool {
        let Some(raw) = &mut self.raw else { return false };
        if raw.sockets.contains(&Some(socket)) {
            raw.opening -= 1;
            if raw.opening == 0 {
                self.go(cx);
            }
            return true;
        }
        let Some(target) = raw.routes.remove(socket) else { return false };
        cx.close(socket, Duration::ZERO);
        if let (Addr::Ip(local), Some((_, host, _))) = (local, self.place(target))
            && let Some(raw) = &mut self.raw
        {
            if raw.us.len() >= HOSTS {
                raw.us.pop_first();
            }
            raw.us.insert(host, local.ip());
            self.send_syn(target, cx);
        }
        true
    }
    /// The same have failed.
    pub(super) fn raw_closed(&mut self, socket: Token, why: Reason, cx: &mut ScanCx<'_>) -> bool {
        let Some(raw) = &mut self.raw else { return false };
        if let Some(target) = raw.routes.remove(socket) {
            self.failed(target, why, cx);
            return true;
        }
        if !raw.sockets.contains(&Some(socket)) {
            return false;
        }
        let Stage::Opening = self.stage else { return true };
        let text = match why {
            Reason::Prohibited | Reason::Denied => "SYN scan needs CAP_NET_RAW".into(),
            why => format!("SYN scan needs a raw socket: {why}"),
        };
        let opened: Vec<Token> = raw.sockets.into_iter().flatten().filter(|t| *t != socket).collect();
        self.raw = None;
        opened.into_iter().for_each(|t| cx.close(t, Duration::ZERO));
        if self.o.how == How::Auto {
            self.complain(&format!("{text}; using connect scan"), cx);
            self.go(cx);
        } else {
            self.fail(&Failure::new(Code::Local, text), cx);
        }
        true
    }
    /// Asks a target; first for our address, if that is not known.
    pub(super) fn send_syn(&mut self, target: u64, cx: &mut ScanCx<'_>) {
        let (Some((ip, host, port)), Some(raw)) = (self.place(target), &mut self.raw) else { return };
        let Some(us) = raw.us.get(&host) else {
            let socket = cx.token(PROBES);
            // The port means nothing: nothing is sent.
            cx.op(Op::Udp { socket, bind: None, to: Some(Addr::Ip(SocketAddr::new(ip, 9))) });
            raw.routes.insert(socket, target);
            return;
        };
        let packet = raw.prober.syn(*us, SocketAddr::new(ip, port));
        let socket = if ip.is_ipv4() { raw.sockets[0] } else { raw.sockets[1] };
        if let Some(socket) = socket {
            // A raw socket of IPv6 insists on port 0.
            cx.send_to(socket, Some(Addr::Ip(SocketAddr::new(ip, 0))), &packet);
        }
    }
    /// A packet came: perhaps an answer.
    pub(super) fn packet(&mut self, socket: Token, from: &Addr, packet: &[u8], cx: &mut ScanCx<'_>) -> bool {
        let Some(raw) = self.raw.as_ref().filter(|raw| raw.sockets.contains(&Some(socket))) else { return false };
        let Addr::Ip(from) = from else { return true };
        let ip = from.ip();
        let known = self.targets.place(ip).and_then(|host| {
            let us = raw.us.get(&u32::try_from(host).ok()?)?;
            let answer = raw.prober.answer(*us, ip, packet)?;
            let port = u64::from(self.o.ports.place(answer.port)?);
            Some((host * u64::from(self.o.ports.len().max(1)) + port, answer.open))
        });
        let Some((target, open)) = known else { return true };
        let (state, why) = if open { (State::Open, Why::SynAck) } else { (State::Closed, Why::Rst) };
        // The kernel, which knows of no connection, answers a SYN-ACK with an RST.
        if self.sweep.as_mut().is_some_and(|s| s.heard(target, cx.now)) {
            self.known(target, state, why, None, cx);
        }
        true
    }
    /// What ICMP says about a raw socket is about no packet in particular.
    pub(super) fn is_raw(&self, socket: Token) -> bool {
        self.raw.as_ref().is_some_and(|raw| raw.sockets.contains(&Some(socket)))
    }
}
