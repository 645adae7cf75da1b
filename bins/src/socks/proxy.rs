//! The app: sessions from their handshake to their end.
use super::account::Accounts;
use super::association::SOCKETS;
use super::auth::{Access, Reload, Sources};
use super::connector::OUT;
use super::ledger::Ledger;
use super::lookup::Lookups;
use super::session::{Phase, Session};
use crate::lockout::Lockout;
use crate::service::{Life, Note, Refusal, ServerCx, Service, Settings};
use crate::users::Check;
use crate::via::Proxy as Via;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::proxy::{Config, Event, Server};
use proto_core::socks5::{self, Client, Limits, Offers, Reply};
use proto_core::{
    Addr, App, Bytes, ConnEvent, Conns, Deadline, Fault, Feed, Input, Peer, Signal, Slots, Start, Step, Timers, Token,
    http1,
};
use std::collections::BTreeMap;
use std::sync::Arc;

mod ends;
mod login;
mod sockets;
mod target;
mod upstream;
mod usage;

/// Part bytes of questions and jobs.
pub(super) const NAMES: u8 = 2;
const JUDGES: u8 = 3;
const FILES: u8 = 4;
const LEDGER: u8 = 6;
/// How long a client may take to close its side.
const LINGER: Duration = Duration::from_secs(2);
/// When a failed login is told.
const PENALTY: Duration = Duration::from_secs(1);

/// What a proxy is told by its flags.
#[derive(Clone, Debug)]
pub struct Options {
    /// What clients may do at the start.
    pub access: Access,
    /// Where that comes from.
    pub sources: Sources,
    /// Who has logged in may come again without.
    pub auth_once: bool,
    /// Resolving and connecting together.
    pub connect_timeout: Duration,
    /// Our address on outgoing connections.
    pub bind: Option<IpAddr>,
    /// Sessions that may be connecting at once.
    pub pending: usize,
    /// What users may use, and have used.
    pub accounts: Accounts,
    /// The file that remembers it.
    pub usage: Option<String>,
    /// Of the handshake, and of what comes before its reply.
    pub limits: Limits,
    /// How long one direction may be over while the other is not.
    pub half: Duration,
    /// Failed logins of an address in a minute after which it is refused for another.
    pub failures: u32,
    /// UDP associations at once; with 0 the command is refused.
    pub associations: usize,
    /// BIND is served.
    pub bind_command: bool,
    /// SOCKS 4 and 4a are served, too.
    pub socks4: bool,
    /// CONNECT of HTTP is, too.
    pub http: bool,
    /// Another SOCKS proxy, through which all targets are reached.
    pub upstream: Option<Via>,
    /// Name servers to ask instead of those of `resolv.conf`.
    pub dns: Vec<SocketAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            access: Access::default(),
            sources: Sources::default(),
            auth_once: false,
            connect_timeout: Duration::from_secs(10),
            bind: None,
            pending: 1024,
            accounts: Accounts::default(),
            usage: None,
            limits: Limits::default(),
            half: Duration::from_secs(600),
            failures: 10,
            associations: 0,
            bind_command: false,
            socks4: false,
            http: false,
            upstream: None,
            dns: Vec::new(),
        }
    }
}

/// The app.
#[derive(Debug)]
pub struct Proxy {
    /// The life of the server.
    pub service: Service,
    conns: Conns<Server>,
    /// For clients that speak HTTP.
    http: Option<Arc<http1::Config>>,
    /// Connections to the upstream that has not answered yet.
    ups: Conns<Client>,
    /// By client. A session may outlive that: the token is not used again, its slot is.
    sessions: BTreeMap<Token, Session>,
    /// The client of each outgoing connection.
    clients: Slots<Token>,
    options: Options,
    lookups: Lookups,
    guard: Lockout,
    reload: Reload,
    /// The client of each login that is being checked.
    judged: BTreeMap<u64, Token>,
    timers: Timers<Token>,
    connecting: usize,
    ledger: Ledger,
    listeners: Vec<SocketAddr>,
    number: u64,
    jobs: u64,
    stopping: bool,
    associations: usize,
    /// What was refused, for statistics.
    pub refused: u64,
    /// Datagrams that were dropped, of associations that are over.
    pub dropped: u64,
    /// Where each listener listens.
    doors: Slots<SocketAddr>,
}

type ProxyCx<'a> = ServerCx<'a, Check>;

impl Proxy {
    /// With the service's settings.
    pub fn new(settings: Settings, options: Options) -> Self {
        Proxy {
            service: Service::new(settings),
            conns: Conns::new(0),
            http: options.http.then(Config::http),
            ups: Conns::new(OUT),
            sessions: BTreeMap::new(),
            clients: Slots::default(),
            lookups: Lookups::new(NAMES, options.dns.clone()),
            guard: Lockout::new(options.failures),
            ledger: Ledger::new(LEDGER, options.usage.clone()),
            options,
            reload: Reload::new(FILES),
            judged: BTreeMap::new(),
            timers: Timers::default(),
            connecting: 0,
            listeners: Vec::new(),
            number: 0,
            jobs: 0,
            stopping: false,
            associations: 0,
            refused: 0,
            dropped: 0,
            doors: Slots::default(),
        }
    }
    fn start(&mut self, start: &Start, cx: &mut ProxyCx<'_>) {
        // Each session may need two descriptors.
        let half = u32::try_from(start.capacity / 2).unwrap_or(u32::MAX).max(1);
        let max = &mut self.service.settings.max;
        *max = if *max == 0 { half } else { (*max).min(half) };
        for l in start.listeners.iter().filter(|l| l.token.part() == 0) {
            if let Addr::Ip(a) = l.at {
                self.listeners.push(a);
                self.doors.insert(l.token, a);
            }
        }
        let at = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
        if self.ledger.is_kept() {
            self.service.hold();
        }
        self.service.start(start, &format!("SOCKS5 proxy listening on {at}"), cx);
        if start.shard.0 == 0 {
            let how = match (&self.options.access.users, self.options.auth_once) {
                (None, _) => "none",
                (Some(_), false) => "username/password required",
                (Some(_), true) => "username/password required once per address",
            };
            self.service.print(cx, format_args!("Authentication: {how}"));
            let also = match (self.options.socks4, self.options.http) {
                (true, true) => "Also: SOCKS4, HTTP CONNECT",
                (true, false) => "Also: SOCKS4",
                (false, true) => "Also: HTTP CONNECT",
                (false, false) => return,
            };
            self.service.print(cx, format_args!("{also}"));
        }
    }
    /// A line of the log about a session.
    fn say(&self, t: Token, text: fmt::Arguments<'_>, cx: &mut ProxyCx<'_>) {
        if !self.service.logs() {
            return;
        }
        match self.sessions.get(&t).filter(|_| self.service.settings.verbose) {
            Some(s) => self.service.log_at(cx, format_args!("#{} {text}", s.number)),
            None => self.service.log_at(cx, text),
        }
    }
    fn say_of_client(&self, t: Token, text: fmt::Arguments<'_>, cx: &mut ProxyCx<'_>) {
        if let Some(s) = self.sessions.get(&t) {
            self.say(t, format_args!("Client {}: {text}", s.peer), cx);
        }
    }

    fn accepted(&mut self, t: Token, listener: Token, peer: &Peer, cx: &mut ProxyCx<'_>) {
        let from = if let Addr::Ip(a) = &peer.remote { Some(a.ip().to_canonical()) } else { None };
        let brute = from.is_some_and(|ip| self.guard.is_refused(ip, cx.now));
        let refusal = if brute { Err(Refusal::Address) } else { self.service.admit(t, peer, cx) };
        if refusal.is_err() {
            self.refused += 1;
            return cx.abort(t);
        }
        let known = self.options.auth_once && from.is_some_and(|ip| self.guard.is_known(ip, cx.now));
        let users = self.options.access.users.is_some();
        let offers = Offers { open: !users || known, password: users };
        let socks = socks5::Config { offers, v4: self.options.socks4, limits: self.options.limits };
        let config = Config { socks, http: self.http.clone() };
        self.conns.insert(t, Server::new(config, cx.now), Vec::new(), cx);
        self.number += 1;
        let (number, peer) = (self.number, peer.remote.clone());
        let phase = Phase::Handshake;
        let local = self.doors.get(listener).map(|a| a.ip().to_canonical()).filter(|ip| !ip.is_unspecified());
        self.sessions
            .insert(t, Session { number, peer, from, local, user: None, phase, target: String::new(), beyond: None });
    }
    fn read(&mut self, t: Token, mut feed: Feed<'_>, cx: &mut ProxyCx<'_>) {
        loop {
            match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(Event::Login { user, password }))) => {
                    self.login(t, &user, &password, cx);
                }
                Ok(Step::Event(ConnEvent::Machine(Event::Request { command, to }))) => {
                    self.request(t, command, &to.address(), cx);
                }
                Ok(Step::Event(ConnEvent::Ready(_))) => {}
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break,
                Err(fault) => {
                    self.fault(t, &fault, cx);
                    break;
                }
            }
        }
        self.conns.done(feed);
    }
    fn fault(&mut self, t: Token, fault: &Fault, cx: &mut ProxyCx<'_>) {
        match (fault.what, fault.code) {
            ("closed during handshake", _) => {
                self.say_of_client(t, format_args!("closed during handshake after {} bytes", fault.offset), cx);
            }
            ("not SOCKS5", version) => self.say_of_client(t, format_args!("not SOCKS5: version {version}"), cx),
            (what, _) => self.say_of_client(t, format_args!("{what}"), cx),
        }
        self.leave(t, cx);
    }

    fn set(&mut self, t: Token, phase: Phase, _: &mut ProxyCx<'_>) {
        let Some(s) = self.sessions.get_mut(&t) else { return };
        let (before, after) = (s.phase.is_under_way(), phase.is_under_way());
        self.connecting = self.connecting + usize::from(after) - usize::from(before);
        s.phase = phase;
        self.rearm(t);
    }
    fn rearm(&mut self, t: Token) {
        if let Some(d) = self.sessions.get(&t).and_then(|s| s.deadline(self.options.half)) {
            self.timers.arm(t, d.at);
        }
    }

    fn due(&mut self, cx: &mut ProxyCx<'_>) {
        self.ledger.due(&mut self.options.accounts, cx);
        while let Some((t, told)) = self.conns.due(cx) {
            if let Err(fault) = told {
                self.fault(t, &fault, cx);
            }
            let feed = self.conns.resume(t, cx);
            self.read(t, feed, cx);
        }
        while let Some((t, limit)) = self.service.next_idle(cx) {
            self.say_of_client(t, format_args!("nothing moved for {}", crate::text::span(limit)), cx);
            self.cut(t, cx);
        }
        while let Some(t) = self.timers.pop(cx.now) {
            let Some(s) = self.sessions.get_mut(&t) else { continue };
            let Some(d) = s.deadline(self.options.half) else { continue };
            if d.at > cx.now {
                self.timers.arm(t, d.at);
                continue;
            }
            self.session_due(t, cx);
        }
    }
    fn session_due(&mut self, t: Token, cx: &mut ProxyCx<'_>) {
        let (now, half) = (cx.now, self.options.half);
        match self.sessions.get_mut(&t).map(|s| &mut s.phase) {
            Some(Phase::Penalty(_)) => self.judge(t, false, cx),
            Some(Phase::Listening(_)) => self.refuse(t, Reply::HostUnreachable, format_args!("nobody has come"), cx),
            Some(Phase::Opening(_)) => self.refuse(t, Reply::GeneralFailure, format_args!("timeout"), cx),
            Some(Phase::Resolving { .. } | Phase::Asking { .. }) => {
                self.refuse(t, Reply::HostUnreachable, format_args!("timeout"), cx)
            }
            Some(Phase::Connecting(attempts)) if attempts.is_late(now) => {
                self.refuse(t, Reply::HostUnreachable, format_args!("timeout"), cx);
            }
            Some(Phase::Connecting(_)) => self.next_attempt(t, cx),
            Some(Phase::Relaying(flow)) if flow.is_stale(half, now) => {
                self.say_of_client(t, format_args!("half closed for too long"), cx);
                self.cut(t, cx);
            }
            Some(Phase::Relaying(flow)) => {
                flow.resume(t, cx);
                if flow.is_reporting(now) {
                    self.report(t, cx);
                }
                self.rearm(t);
            }
            _ => {}
        }
    }
}

impl App for Proxy {
    type Job = Check;
    type Msg = Note;

    fn handle(&mut self, input: Input<'_, Note>, cx: &mut ProxyCx<'_>) {
        let input = match input {
            Input::Bytes(t, chunk) if self.conns.peek(t).is_some() => {
                let feed = self.conns.feed(t, chunk, cx);
                self.read(t, feed, cx);
                return self.settle(cx);
            }
            other => other,
        };
        let is_of_a_name = self.lookups.handle(&input, cx);
        self.known_now(cx);
        if is_of_a_name {
            return self.settle(cx);
        }
        if Service::is_scraped(&input) {
            self.tell_users(cx);
        }
        if self.service.handle(&input, cx) == Life::Drain {
            self.drain(cx);
        }
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Accepted { conn, listener, peer } if conn.part() == 0 => self.accepted(conn, listener, &peer, cx),
            Input::Accepted { conn, listener, peer } if conn.part() == SOCKETS => {
                self.arrived(conn, listener, &peer, cx);
            }
            Input::Bound { socket, local } if socket.part() == SOCKETS => self.bound(socket, &local, cx),
            Input::Datagram { socket, from, data } if socket.part() == SOCKETS => {
                self.datagram(socket, &from, data, cx);
            }
            Input::Connected { conn, peer } if conn.part() == OUT => self.connected(conn, &peer, cx),
            Input::Bytes(out, chunk) if self.ups.peek(out).is_some() => {
                let feed = self.ups.feed(out, chunk, cx);
                self.upstream_says(out, feed, cx);
            }
            Input::Eof(out) if self.ups.peek(out).is_some() => {
                let feed = self.ups.end(out, cx);
                self.upstream_says(out, feed, cx);
            }
            Input::Writable(t) if self.conns.peek(t).is_some() => {
                let feed = self.conns.resume(t, cx);
                self.read(t, feed, cx);
            }
            Input::Eof(t) if self.conns.peek(t).is_some() => {
                let feed = self.conns.end(t, cx);
                self.read(t, feed, cx);
            }
            // The connection of an association ends it, and says nothing else.
            Input::Eof(t) if matches!(self.sessions.get(&t).map(|s| &s.phase), Some(Phase::Associated(_))) => {
                self.leave(t, cx);
                cx.close(t, LINGER);
            }
            Input::Relayed { from, total, end } => self.relayed(from, total, end, cx),
            Input::Closed(t, why) => self.closed(t, why, cx),
            Input::Answer(id, answer) if id.part() == LEDGER => {
                if let Err(failure) = self.ledger.answer(id, &answer, &mut self.options.accounts, cx) {
                    self.service.warn(cx, format_args!("{}", failure.text));
                    if self.service.is_stopping() {
                        self.service.let_go(cx);
                    }
                }
            }
            Input::Answer(id, answer) if id.part() == FILES => {
                if let Some(done) = self.reload.answered(id, answer, &self.options.sources, cx) {
                    self.reloaded(done, cx);
                }
            }
            Input::Job(id, result) => self.verdict(id, result, cx),
            Input::Signal(Signal::Reload) => {
                if let Some(done) = self.reload.start(&self.options.sources, cx) {
                    self.reloaded(done, cx);
                }
            }
            Input::Deadline => self.due(cx),
            _ => {}
        }
        self.settle(cx);
    }
    fn deadline(&self) -> Option<Deadline> {
        let timer = self.timers.next().map(|(at, _)| Deadline { at, since: at, why: "a session" });
        let conns = Deadline::earliest(self.conns.deadline(), timer);
        let conns = Deadline::earliest(self.ledger.deadline(), conns);
        let conns = Deadline::earliest(self.lookups.deadline(), conns);
        Deadline::earliest(self.service.deadline(), conns)
    }
    fn work(job: Check) -> Note {
        Note::Made(Bytes::copy_from_slice(&[u8::from(job.run())]))
    }
}

impl Proxy {
    fn settle(&mut self, cx: &mut ProxyCx<'_>) {
        let mut failed = Vec::new();
        self.conns.settle(cx, |t, fault| failed.push((t, fault)));
        self.ups.settle(cx, |_, _| {}); // no layers that could fault
        for (t, fault) in failed {
            self.fault(t, &fault, cx);
        }
        if self.service.is_stopping() && self.sessions.is_empty() {
            self.close_books(cx);
        }
    }
}
