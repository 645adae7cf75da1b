//! A part that connects by name: resolves, tries the addresses one after the other without waiting for each to fail
//! (RFC 8305), and reports the first connection or why there is none.
use crate::names::Names;
use crate::outcome::{Code, Failure, network};
use crate::via::Proxy;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::{Addr, Answer, Ask, Cx, Deadline, Fault, Input, Instant, Layer, OpId, Peer, Reason, Token};

/// How long an attempt has before the next one starts beside it (RFC 8305 section 8).
pub const STAGGER: Duration = Duration::from_millis(250);

/// What to connect to, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// A name, an address, or the path of a Unix socket.
    pub host: String,
    /// `None`: `host` is a Unix socket.
    pub port: Option<u16>,
    /// Addresses that may be used.
    pub family: Family,
    /// For resolving and connecting together.
    pub timeout: Duration,
    /// Through a proxy.
    pub via: Option<Proxy>,
}

/// Which address families may be used; of both, IPv6 first.
pub use proto_core::dns::Family;
/// Who looks up names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Source {
    /// Our own resolver.
    #[default]
    Own,
    /// The operating system's, for names that only it knows (LDAP, mDNS).
    System,
}

/// The first key of the questions about files.
const FILES: u64 = 0x6e61_6d65_7300;

impl core::fmt::Display for Target {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "unix:{}", self.host),
        }
    }
}

/// One name being connected to.
#[derive(Debug)]
pub struct Dialer {
    part: u8,
    target: Target,
    started: Instant,
    /// The target's address, if a proxy is to be told that instead of its name.
    found: Option<IpAddr>,
    todo: Vec<Addr>,
    tried: Vec<Addr>,
    /// Attempts under way.
    trying: Vec<Token>,
    next_at: Option<Instant>,
    last: Reason,
    done: bool,
    source: Source,
    key: u32,
    names: Names,
}

impl Dialer {
    /// A dialer whose tokens and questions carry `part`.
    pub fn new(part: u8, target: Target) -> Self {
        let (todo, tried, trying) = (Vec::new(), Vec::new(), Vec::new());
        let (started, found, last) = (Instant::default(), None, Reason::NotFound);
        let (source, names) = (Source::Own, Names::new(part, FILES));
        let (next_at, done, key) = (None, false, 0);
        Dialer { part, target, started, found, todo, tried, trying, next_at, last, done, source, key, names }
    }
    /// For one of several at once of the same part: `key`, below 2^24, keeps their questions apart.
    pub fn with_key(self, key: u32) -> Self {
        let names = Names::new(self.part, FILES + 8 * u64::from(key));
        Dialer { key, names, ..self }
    }
    /// With names looked up by `source`.
    pub fn with_source(self, source: Source) -> Self {
        Dialer { source, ..self }
    }
    /// What it connects to.
    pub fn target(&self) -> &Target {
        &self.target
    }
    /// Begins (again).
    pub fn start<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        (self.started, self.done, self.found) = (cx.now, false, None);
        self.tried.clear();
        self.look(cx);
    }
    /// What is wanted first of all: the target; of a proxy that is to be told its address, that; else the proxy.
    fn goal(&self) -> (&str, Option<u16>) {
        match &self.target.via {
            Some(via) if via.wants_name() || self.found.is_some() => (&via.at.origin.host, Some(via.at.origin.port)),
            _ => (&self.target.host, self.target.port),
        }
    }
    fn look<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        let (host, port) = self.goal();
        let host = host.trim_matches(['[', ']']).to_string();
        if port.is_none() {
            self.todo = vec![Addr::Unix(host.into())];
            return self.attempt(cx);
        }
        match (self.source, host.parse::<IpAddr>()) {
            (Source::System, Err(_)) => cx.ask(self.id(), Ask::Resolve { host }),
            (_, Ok(ip)) => self.resolved(&[ip], cx),
            (Source::Own, Err(_)) => {
                self.names.lookup(0, &host, self.target.family, cx);
                // What needs no server is known now, and has addresses: it can only be `localhost`.
                if let Some((_, Ok(ips))) = self.names.next_done() {
                    self.resolved(&ips, cx);
                }
            }
        }
    }
    /// What lies between a connection and the target's stream: nothing, or what asks a proxy for it.
    ///
    /// # Errors
    /// The proxy cannot be asked for that.
    pub fn layers(&self) -> Result<Vec<Box<dyn Layer>>, Failure> {
        let Target { host, port, timeout, via, .. } = &self.target;
        let Some((via, port)) = via.as_ref().zip(*port) else { return Ok(Vec::new()) };
        let host = self.found.map_or_else(|| host.trim_matches(['[', ']']).to_string(), |ip| ip.to_string());
        Ok(vec![via.layer(&host, port, *timeout)?])
    }
    /// What a fault of a connection means if it is of the proxy's layer.
    pub fn failure(&self, fault: &Fault) -> Option<Failure> {
        self.target.via.as_ref()?.failure(fault, &self.target.to_string())
    }
    fn id(&self) -> OpId {
        OpId::new(self.part, u64::from(self.key))
    }
    fn resolved<J, M>(&mut self, ips: &[IpAddr], cx: &mut Cx<'_, J, M>) {
        let port = self.goal().1.unwrap_or_default();
        let usable = |ip: &&IpAddr| self.target.family.has(ip);
        if self.target.via.as_ref().is_some_and(|via| !via.wants_name()) && self.found.is_none() {
            self.found = ips.iter().copied().find(|ip| usable(&ip));
            return if self.found.is_some() {
                self.look(cx)
            };
        }
        let (v6, v4): (Vec<&IpAddr>, Vec<&IpAddr>) = ips.iter().filter(usable).partition(|ip| ip.is_ipv6());
        let mut v4 = v4.into_iter();
        // Alternating, IPv6 first (RFC 8305 section 4).
        let mut order: Vec<IpAddr> = v6.into_iter().flat_map(|ip| [Some(*ip), v4.next().copied()]).flatten().collect();
        order.extend(v4);
        self.todo = order.into_iter().map(|ip| Addr::Ip(SocketAddr::new(ip, port))).collect();
        self.attempt(cx);
    }
    fn attempt<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.next_at = None;
        if self.todo.is_empty() {
            return;
        }
        let to = self.todo.remove(0);
        self.tried.push(to.clone());
        self.trying.push(cx.connect(self.part, to));
        self.next_at = (!self.todo.is_empty()).then(|| cx.now.after(STAGGER));
    }
    /// Takes an input; false if it is none of the dialer's.
    pub fn handle<J, M>(
        &mut self,
        input: &Input<'_, M>,
        cx: &mut Cx<'_, J, M>,
    ) -> Option<Result<(Token, Peer), Failure>> {
        if !self.done && self.names.handle(input, cx) || matches!(input, Input::Deadline) {
            match self.names.next_done() {
                Some((_, Ok(ips))) => self.resolved(&ips, cx),
                Some((_, Err(why))) => return Some(self.no_name(&why.to_string())),
                None => {}
            }
        }
        match input {
            Input::Answer(id, answer) if *id == self.id() && !self.done => match answer {
                Ok(Answer::Resolved(ips)) => {
                    let before = self.found;
                    self.resolved(ips, cx);
                    if self.trying.is_empty() && self.found == before {
                        Some(self.no_name("no address of that family"))
                    } else {
                        None
                    }
                }
                Err(Reason::NotFound) => Some(self.no_name("NXDOMAIN")),
                _ => Some(self.no_name("the resolver does not answer")),
            },
            Input::Connected { conn, peer } if self.forget(*conn) => {
                self.done = true;
                self.names.rest(cx);
                for other in self.trying.drain(..) {
                    cx.abort(other);
                }
                Some(Ok((*conn, peer.clone())))
            }
            Input::Closed(t, why) if self.forget(*t) => {
                self.last = *why;
                self.attempt(cx);
                if self.trying.is_empty() && self.todo.is_empty() { Some(self.failed()) } else { None }
            }
            Input::Deadline if !self.done => self.due(cx),
            _ => None,
        }
    }
    fn forget(&mut self, t: Token) -> bool {
        let before = self.trying.len();
        self.trying.retain(|x| *x != t);
        before != self.trying.len()
    }
    fn due<J, M>(&mut self, cx: &mut Cx<'_, J, M>) -> Option<Result<(Token, Peer), Failure>> {
        if self.next_at.is_some_and(|at| at <= cx.now) {
            self.attempt(cx);
        }
        if cx.now < self.started.after(self.target.timeout) {
            return None;
        }
        self.last = Reason::TimedOut;
        self.names.rest(cx);
        if self.tried.is_empty() {
            return Some(self.no_name("no name server answers"));
        }
        for t in self.trying.drain(..) {
            cx.abort(t);
        }
        Some(self.failed())
    }
    /// When it wants an `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        if self.done {
            return None;
        }
        let limit = Deadline::new(self.started, self.target.timeout, "connection");
        let next = self.next_at.map(|at| Deadline { at, since: self.started, why: "next address" });
        Deadline::earliest(self.names.deadline(), Deadline::earliest(Some(limit), next))
    }
    fn no_name(&mut self, why: &str) -> Result<(Token, Peer), Failure> {
        self.done = true;
        Err(Failure::new(Code::Name, format!("cannot resolve '{}': {why}", self.goal().0)))
    }
    fn failed(&mut self) -> Result<(Token, Peer), Failure> {
        self.done = true;
        let name = |a: &Addr| match a {
            Addr::Ip(a) => a.ip().to_string(),
            unix => unix.to_string(),
        };
        let tried: Vec<String> = self.tried.iter().map(name).collect();
        let why = match self.last {
            Reason::TimedOut => format!("no answer within {}", crate::text::span(self.target.timeout)),
            Reason::NotFound => "no such file".into(),
            other => other.to_string(),
        };
        let tried = if self.target.port.is_some() { format!(" (tried {})", tried.join(", ")) } else { String::new() };
        let to = match &self.target.via {
            Some(via) => format!("the proxy {}", via.at.origin.host_port()),
            None => self.target.to_string(),
        };
        let text = format!("connect to {to}: {why}{tried}");
        Err(Failure::new(network(self.last), text))
    }
}
