//! `resolv.conf` (resolv.conf(5)) as text.
use super::{Domain, PORT};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;

/// Servers that are read; more are ignored, as everywhere.
const SERVERS_MAX: usize = 3;
/// Domains of the search list that are read.
const SEARCH_MAX: usize = 6;
/// Lines that are read.
const LINES_MAX: usize = 1000;

/// What the file says, or what holds without it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvConf {
    /// Servers, at most 3; empty if none is named.
    pub servers: Vec<SocketAddr>,
    /// Domains that are appended to names, at most 6.
    pub search: Vec<Domain>,
    /// Names with this many dots are tried as they are first.
    pub ndots: u8,
    /// How long the first try waits.
    pub timeout: Option<Duration>,
    /// Rounds over all servers.
    pub attempts: Option<u8>,
    /// `options use-vc`: TCP from the start.
    pub tcp: bool,
}

impl Default for ResolvConf {
    fn default() -> Self {
        let (servers, search) = (Vec::new(), Vec::new());
        ResolvConf { servers, search, ndots: 1, timeout: None, attempts: None, tcp: false }
    }
}

impl ResolvConf {
    /// Reads a file. What is not understood is passed over, as all resolvers do.
    pub fn parse(text: &[u8]) -> Self {
        let mut conf = ResolvConf::default();
        for line in text.split(|b| *b == b'\n').take(LINES_MAX) {
            let Ok(line) = core::str::from_utf8(line) else { continue };
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    if let Some(server) = words.next().and_then(server)
                        && conf.servers.len() < SERVERS_MAX
                    {
                        conf.servers.push(server);
                    }
                }
                // The last of these lines is the one that counts.
                Some("search" | "domain") => {
                    conf.search = words.take(SEARCH_MAX).filter_map(|w| w.parse().ok()).collect();
                }
                Some("options") => words.for_each(|w| conf.option(w)),
                _ => {}
            }
        }
        conf
    }
    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        let number = || value.parse::<u8>().ok();
        match (name, number()) {
            ("ndots", Some(n)) => self.ndots = n.min(15),
            ("timeout", Some(n @ 1..)) => self.timeout = Some(Duration::from_secs(u64::from(n.min(30)))),
            ("attempts", Some(n @ 1..)) => self.attempts = Some(n.min(5)),
            ("use-vc", _) => self.tcp = true,
            _ => {}
        }
    }
}

/// An address, of IPv6 perhaps with the number of an interface: `fe80::1%2`.
fn server(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, PORT));
    }
    let (ip, scope) = text.split_once('%')?;
    let (ip, scope) = (ip.parse::<Ipv6Addr>().ok()?, scope.parse().ok()?);
    Some(SocketAddr::V6(SocketAddrV6::new(ip, PORT, 0, scope)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_file_as_they_are() {
        let text = b"# comment\nnameserver 192.0.2.1 ; first\nnameserver 2001:db8::1\nnameserver fe80::1%2\nnameserver 10.0.0.1\n\
            domain old.example\nsearch a.example b.example. bad..name\noptions ndots:2 timeout:99 attempts:9 use-vc rotate x:y\n\
            nameserver\nnameserver x\n\xff\xfe\nsortlist 1.2.3.4\noptions ndots:300 attempts:0";
        let conf = ResolvConf::parse(text);
        let servers: Vec<_> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%2]:53"]);
        let search: Vec<_> = conf.search.iter().map(ToString::to_string).collect();
        assert_eq!(search, ["a.example.", "b.example."]);
        assert_eq!((conf.ndots, conf.attempts, conf.tcp), (2, Some(5), true));
        assert_eq!(conf.timeout, Some(Duration::from_secs(30)));
        assert_eq!(ResolvConf::parse(b""), ResolvConf::default());
        assert_eq!(
            ResolvConf::parse(&b"nameserver 10.0.0.1\n".repeat(if cfg!(miri) { 100 } else { 100_000 })).servers.len(),
            SERVERS_MAX
        );
        let late = [b"\n".repeat(LINES_MAX), b"nameserver 10.0.0.1".to_vec()].concat();
        assert_eq!(ResolvConf::parse(&late).servers.len(), 0, "lines past the limit are not read");
    }
}
