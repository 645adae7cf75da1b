//! Connections: how a host is reached, and a pool of those that are free.
use super::address::{Address, Origin, Scheme};
use super::options::Reach;
use super::secured::Secured;
use crate::cli::Cidr;
use crate::dialer::{Dialer, Target};
use crate::outcome::Failure;
use crate::via::{Proxy, Speaks, basic};
use core::convert::Infallible;
use core::net::IpAddr;
use core::time::Duration;
use proto_core::http1::{Client, Config};
use proto_core::{Conns, Cx, Deadline, Input, Instant, Layer, Token};
use std::sync::Arc;

/// What an app of this tool is given.
pub type FetchCx<'a> = Cx<'a, Infallible, Infallible>;

/// The part byte of questions about file ranges.
const CONNS: u8 = 2;
/// Part bytes of dialers, one after the other: an answer to one that was given up finds nobody.
const DIAL: core::ops::RangeInclusive<u8> = 16..=250;
/// Connections that are kept.
const IDLE_MAX: usize = 6;
/// For how long.
const IDLE: Duration = Duration::from_secs(90);

/// What a connection is to: one that is free serves who asks for the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// Who answers. Plain HTTP by a proxy is the proxy's answer, for every host.
    origin: Origin,
    /// How it is reached.
    route: Route,
    /// It is secured as what the command line leads to: see [`Secured::differs`].
    home: bool,
}

/// How a host is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// By its name or address.
    Direct,
    /// By a Unix socket.
    Unix(String),
    /// By a proxy that is asked for the whole URL.
    Proxy(Address),
    /// Through a proxy that passes on what is said.
    Tunnel(Proxy),
}

impl Route {
    /// What `Proxy-Authorization` says.
    pub fn auth(&self) -> Option<String> {
        match self {
            Route::Proxy(proxy) => proxy.user.as_ref().map(|(n, p)| basic(n, p)),
            Route::Direct | Route::Unix(_) | Route::Tunnel(_) => None,
        }
    }
}

/// How `to` is reached.
pub fn route(reach: &Reach, to: &Origin) -> Route {
    if let Some(path) = &reach.unix {
        return Route::Unix(path.clone());
    }
    let env = if to.scheme == Scheme::Http { &reach.env.0 } else { &reach.env.1 };
    let env = env.as_ref().filter(|_| !is_exempt(&reach.no_proxy, to));
    match reach.via.as_ref().or(env) {
        None => Route::Direct,
        Some(Proxy { speaks: Speaks::Http, at }) if to.scheme == Scheme::Http && !reach.tunnel => {
            Route::Proxy(at.clone())
        }
        Some(proxy) => Route::Tunnel(proxy.clone()),
    }
}

/// Whether `NO_PROXY` names the host: `*`, a domain with all beneath it, an address or a block of them, each with a port or
/// without.
fn is_exempt(list: &str, to: &Origin) -> bool {
    list.split([',', ' ']).filter(|e| !e.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let (Some(ip), Ok(block)) = (to.ip(), entry.trim_matches(['[', ']']).parse::<Cidr>()) {
            return block.contains(ip);
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
            _ => (entry, None),
        };
        if port.is_some_and(|p| p.parse() != Ok(to.port)) {
            return false;
        }
        let name = name.trim_matches(['[', ']']).trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        let beneath = to.host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'));
        to.host == name || beneath && to.ip().is_none()
    })
}

/// What lies between the wire and HTTP, from the wire upwards. Nothing is sent if it cannot be had.
///
/// # Errors
/// What this program cannot do.
fn layers(
    dialer: &Dialer,
    Key { origin: to, home, .. }: &Key,
    tls: &Result<Secured, Failure>,
    within: Duration,
) -> Result<Vec<Box<dyn Layer>>, Failure> {
    let mut layers = dialer.layers()?;
    if to.scheme == Scheme::Https {
        let tls = tls.as_ref().map_err(Failure::clone)?;
        layers.extend(tls.layers(&to.host, *home, within)?);
    }
    Ok(layers)
}

#[derive(Debug)]
struct Idle {
    key: Key,
    token: Token,
    number: u32,
    remote: String,
    since: Instant,
}

/// A connection to send a request on.
#[derive(Debug)]
pub struct Link {
    /// Which.
    pub token: Token,
    /// The how manyth of this run, from 1.
    pub number: u32,
    /// Who is at its other end.
    pub remote: String,
    /// It was used before.
    pub reused: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Net {
    /// The machines.
    pub conns: Conns<Client>,
    config: Arc<Config>,
    tls: Result<Secured, Failure>,
    idle: Vec<Idle>,
    dialing: Option<(Dialer, Key)>,
    part: u8,
    number: u32,
}

impl Net {
    /// With the settings of the machines, and of https.
    pub fn new(config: Config, tls: Result<Secured, Failure>) -> Self {
        let (conns, config) = (Conns::new(CONNS), Arc::new(config));
        Net { conns, config, tls, idle: Vec::new(), dialing: None, part: *DIAL.start(), number: 0 }
    }
    /// Connections to come are secured so.
    pub fn secure(&mut self, tls: Result<Secured, Failure>) {
        self.tls = tls;
    }
    fn key(&self, reach: &Reach, to: &Origin, home: bool) -> Key {
        let home = home && to.scheme == Scheme::Https && self.tls.as_ref().is_ok_and(Secured::differs);
        Key { origin: to.clone(), route: route(reach, to), home }
    }
    /// A free connection, or else the beginning of a new one, of which [`Net::dialed`] tells. `home`: the command line led
    /// there, and no redirect.
    ///
    /// # Errors
    /// This kind of connection cannot be had.
    pub fn open(
        &mut self,
        reach: &Reach,
        to: &Origin,
        (home, fresh): (bool, bool),
        cx: &mut FetchCx<'_>,
    ) -> Result<Option<Link>, Failure> {
        let key = self.key(reach, to, home);
        let dialer = Dialer::new(self.next_part(), target(reach, &key.origin, &key.route));
        layers(&dialer, &key, &self.tls, reach.timeout)?;
        let old = |i: &Idle| cx.now.since(i.since) > IDLE;
        for t in self.idle.extract_if(.., |i| old(i)).map(|i| i.token).collect::<Vec<_>>() {
            self.conns.close(t);
        }
        if !fresh && let Some(at) = self.idle.iter().rposition(|i| i.key.serves(&key)) {
            let Idle { token, number, remote, .. } = self.idle.remove(at);
            return Ok(Some(Link { token, number, remote, reused: true }));
        }
        let (dialer, _) = self.dialing.insert((dialer, key));
        dialer.start(cx);
        Ok(None)
    }
    fn next_part(&mut self) -> u8 {
        self.part = if self.part == *DIAL.end() { *DIAL.start() } else { self.part + 1 };
        self.part
    }
    /// Gives an input to the dialer: a connection, or why there is none.
    pub fn dialed(
        &mut self,
        input: &Input<'_, Infallible>,
        reach: &Reach,
        cx: &mut FetchCx<'_>,
    ) -> Option<Result<Link, Failure>> {
        let (dialer, ..) = self.dialing.as_mut()?;
        let (token, peer) = match dialer.handle(input, cx)? {
            Ok(done) => done,
            Err(failure) => {
                self.dialing = None;
                return Some(Err(failure));
            }
        };
        let (dialer, key) = self.dialing.take()?;
        let layers = match layers(&dialer, &key, &self.tls, reach.timeout) {
            Ok(layers) => layers,
            Err(failure) => return Some(Err(failure)),
        };
        self.number += 1;
        self.conns.insert(token, Client::new(self.config.clone()), layers, cx);
        Some(Ok(Link { token, number: self.number, remote: peer.remote.to_string(), reused: false }))
    }
    /// Gives up what is being dialed. Connections of it that come all the same are reset.
    pub fn give_up(&mut self) {
        self.dialing = None;
    }
    /// A connection that nobody asked for any more.
    pub fn is_stray(&self, t: Token) -> bool {
        DIAL.contains(&t.part()) && self.conns.peek(t).is_none()
    }
    /// Keeps a connection that is free; others are closed.
    pub fn keep(&mut self, link: Link, (reach, to, home): (&Reach, &Origin, bool), cx: &FetchCx<'_>) {
        if !self.conns.peek(link.token).is_some_and(|c| !c.is_over() && c.machine.is_idle() && c.tail_len() == 0) {
            return self.conns.close(link.token);
        }
        if self.idle.len() == IDLE_MAX {
            let oldest = self.idle.remove(0);
            self.conns.close(oldest.token);
        }
        let key = self.key(reach, to, home);
        let Link { token, number, remote, .. } = link;
        self.idle.push(Idle { key, token, number, remote, since: cx.now });
    }
    /// It was kept.
    pub fn has_kept(&self, t: Token) -> bool {
        self.idle.iter().any(|i| i.token == t)
    }
    /// A connection is not free any more.
    pub fn forget(&mut self, t: Token) {
        self.idle.retain(|i| i.token != t);
    }
    /// When an [`Input::Deadline`] is wanted.
    pub fn deadline(&self) -> Option<Deadline> {
        let dialing = self.dialing.as_ref().and_then(|(d, _)| d.deadline());
        Deadline::earliest(self.conns.deadline(), dialing)
    }
}

impl Key {
    /// A proxy that is asked for whole URLs is one server for all hosts.
    fn serves(&self, other: &Key) -> bool {
        self.route == other.route
            && self.home == other.home
            && (matches!(self.route, Route::Proxy(_)) || self.origin == other.origin)
    }
}

/// The address that `--resolve` gives.
fn fixed(reach: &Reach, to: &Origin) -> Option<IpAddr> {
    reach.resolve.iter().find(|(host, port, _)| (host, *port) == (&to.host, to.port)).map(|r| r.2)
}

fn target(reach: &Reach, to: &Origin, route: &Route) -> Target {
    let place = |o: &Origin| fixed(reach, o).map_or_else(|| o.host.clone(), |ip| ip.to_string());
    let (host, port, via) = match route {
        Route::Unix(path) => (path.clone(), None, None),
        Route::Proxy(proxy) => (place(&proxy.origin), Some(proxy.origin.port), None),
        Route::Direct => (place(to), Some(to.port), None),
        Route::Tunnel(proxy) => {
            let mut via = proxy.clone();
            via.at.origin.host = place(&proxy.at.origin);
            let host = if proxy.wants_name() { to.host.clone() } else { place(to) };
            (host, Some(to.port), Some(via))
        }
    };
    Target { host, port, family: reach.family, timeout: reach.timeout, via }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_a_proxy() {
        let exempt = |list: &str, url: &str| is_exempt(list, &Address::parse(url, false).expect("a URL").origin);
        for (list, url) in [
            ("*", "http://a/"),
            ("a, b", "http://b/"),
            (".example.com", "http://www.example.com/"),
            ("*.example.com", "http://www.example.com/"),
            ("example.com", "http://example.com/"),
            ("127.0.0.0/8", "http://127.0.0.1/"),
            ("::1", "http://[::1]/"),
            ("a:8080", "http://a:8080/"),
        ] {
            assert!(exempt(list, url), "{list} {url}");
        }
        for (list, url) in [
            ("", "http://a/"),
            ("ample.com", "http://example.com/"),
            ("a:8080", "http://a/"),
            ("10.0.0.0/8", "http://127.0.0.1/"),
            ("0.0.1", "http://127.0.0.1/"),
        ] {
            assert!(!exempt(list, url), "{list} {url}");
        }
    }

    #[test]
    fn what_is_not_the_same_does_not_share_a_connection() {
        let key = |url: &str, via: Option<&str>, tunnel| {
            let via = via.map(|v| Proxy::parse(v).expect("a URL"));
            let origin = Address::parse(url, false).expect("a URL").origin;
            let reach = Reach { via, tunnel, ..Reach::default() };
            Key { route: route(&reach, &origin), origin, home: false }
        };
        let a = key("http://a/", None, false);
        assert!(a.serves(&key("http://a/x", None, false)));
        for other in ["http://b/", "http://a:81/", "https://a:80/"] {
            assert!(!a.serves(&key(other, None, false)), "{other}");
        }
        let proxied = key("http://a/", Some("http://p:3128"), false);
        assert!(!a.serves(&proxied) && proxied.serves(&key("http://b/", Some("http://p:3128"), false)));
        assert!(!proxied.serves(&key("http://a/", Some("http://u:x@p:3128"), false)), "other credentials");
        let tunnel = key("http://a/", Some("http://p:3128"), true);
        assert!(!tunnel.serves(&key("http://b/", Some("http://p:3128"), true)));
        let socks = key("http://a/", Some("socks5://p"), false);
        assert!(socks.serves(&key("http://a/", Some("socks5://p:1080"), false)));
        for other in ["socks5h://p", "socks5://u:x@p", "http://p:1080"] {
            assert!(!socks.serves(&key("http://a/", Some(other), false)), "{other}");
        }
        let known = key("https://a/", None, false);
        assert!(!known.serves(&Key { home: true, ..known.clone() }), "it was not told who we are");
    }
}
