//! Where clients may go. What a proxy's neighbours trust it with is refused unless it was allowed by address; the rest is
//! allowed unless a rule forbids it.
use crate::cli::Cidr;
use crate::reach;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::str::FromStr;

/// Which hosts a rule is about.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Hosts {
    All,
    /// A kind of address, such as loopback.
    Kind(&'static str),
    Block(Cidr),
    /// A name as it was asked for.
    Name(String),
    /// Every name that ends so, with the dot.
    Suffix(String),
}

/// A rule's destinations: hosts and perhaps ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Where {
    hosts: Hosts,
    ports: Option<(u16, u16)>,
    text: String,
}

/// What kinds of addresses have names.
const KINDS: [&str; 8] =
    ["loopback", "link-local", "metadata", "multicast", "unspecified", "reserved", "private", "shared"];

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Where {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "'{s}' is not a destination such as 10.0.0.0/8, loopback, example.com, *.example.com, *:25 or [::1]:80"
            )
        };
        let (host, ports) = split_ports(s).ok_or_else(bad)?;
        let ports = ports.map(|p| range(p).ok_or_else(bad)).transpose()?;
        let kind = KINDS.iter().find(|k| **k == host);
        let hosts = if host == "*" {
            Hosts::All
        } else if let Some(kind) = kind {
            Hosts::Kind(kind)
        } else if let Ok(block) = host.parse::<Cidr>() {
            Hosts::Block(block)
        } else {
            let (name, all) = host.strip_prefix("*.").map_or((host, false), |rest| (rest, true));
            let plain = proto_core::socks5::is_name(name.as_bytes()) && !looks_like_a_number(name);
            let name = plain.then(|| canonical(name)).ok_or_else(bad)?;
            if all { Hosts::Suffix(format!(".{name}")) } else { Hosts::Name(name) }
        };
        Ok(Where { hosts, ports, text: s.into() })
    }
}

/// Host and ports: `h`, `h:p`, `[v6]`, `[v6]:p`; an IPv6 block without brackets has no ports.
fn split_ports(s: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = s.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(ports) => Some((host, Some(ports))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match s.split_once(':') {
        Some((host, ports)) if !ports.contains(':') => Some((host, Some(ports))),
        _ => Some((s, None)),
    }
}

fn range(s: &str) -> Option<(u16, u16)> {
    let (a, b) = s.split_once('-').unwrap_or((s, s));
    let (a, b) = (crate::cli::port(a).ok()?, crate::cli::port(b).ok()?);
    (a <= b).then_some((a, b))
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Some programs read such a name as an address (`127.1`, `0x7f000001`, `0`): its last label is a number.
pub fn looks_like_a_number(name: &str) -> bool {
    let last = canonical(name);
    let last = last.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit())
}

/// An address that a name of four decimal numbers is.
pub fn address_of(name: &str) -> Option<IpAddr> {
    name.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

impl Where {
    /// It is about addresses, not names: only such a rule can allow what is refused by default.
    fn is_by_address(&self) -> bool {
        matches!(self.hosts, Hosts::Kind(_) | Hosts::Block(_))
    }
    fn covers(&self, name: Option<&str>, ip: Option<IpAddr>, port: u16) -> bool {
        let host = match &self.hosts {
            Hosts::All => true,
            Hosts::Kind(kind) => ip.is_some_and(|ip| is_kind(ip, kind)),
            Hosts::Block(block) => ip.is_some_and(|ip| block.contains(ip)),
            Hosts::Name(n) => name == Some(n),
            Hosts::Suffix(end) => name.is_some_and(|n| n.ends_with(end.as_str())),
        };
        host && self.ports.is_none_or(|(a, b)| (a..=b).contains(&port))
    }
}

fn is_kind(ip: IpAddr, kind: &str) -> bool {
    match kind {
        "private" => is_private(ip) && reach::kind(ip).is_none(),
        "shared" => matches!(ip, IpAddr::V4(a) if matches!(a.octets(), [100, 64..=127, ..])),
        kind => reach::kind(ip) == Some(kind),
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => a.is_private(),
        IpAddr::V6(a) => a.is_unique_local(),
    }
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    allow: bool,
    to: Where,
    /// Only for this user.
    user: Option<Vec<u8>>,
    /// Only for clients from there.
    from: Option<Cidr>,
    /// As it was written.
    text: String,
}

impl Rule {
    /// Of a flag.
    pub fn of_flag(allow: bool, to: Where) -> Rule {
        let text = format!("{} {to}", if allow { "--allow" } else { "--deny" });
        Rule { allow, to, user: None, from: None, text }
    }
    /// A line of a rules file: `allow|deny DESTINATION [user=NAME] [from=CIDR]`.
    fn parse(line: &str) -> Result<Rule, String> {
        let mut words = line.split_whitespace();
        let allow = match words.next() {
            Some("allow") => true,
            Some("deny") => false,
            other => return Err(format!("'{}': expected allow or deny", other.unwrap_or_default().escape_debug())),
        };
        let to = words.next().ok_or("expected a destination")?.parse()?;
        let (mut user, mut from) = (None, None);
        for word in words {
            match word.split_once('=') {
                Some(("user", name)) if !name.is_empty() => user = Some(name.as_bytes().to_vec()),
                Some(("from", block)) => from = Some(block.parse()?),
                _ => return Err(format!("'{}': expected user=NAME or from=CIDR", word.escape_debug())),
            }
        }
        Ok(Rule { allow, to, user, from, text: line.trim().into() })
    }
    /// The rules of a file.
    ///
    /// # Errors
    /// The line, and what is wrong with it.
    pub fn parse_all(text: &str) -> Result<Vec<Rule>, (usize, String)> {
        let lines = text.lines().enumerate().map(|(n, l)| (n + 1, l.split('#').next().unwrap_or_default()));
        let lines = lines.filter(|(_, l)| !l.trim().is_empty());
        lines.map(|(n, l)| Rule::parse(l).map_err(|e| (n, e))).collect()
    }
    fn is_for(&self, who: &Who<'_>) -> bool {
        let user = self.user.as_deref().is_none_or(|u| who.user == Some(u));
        user && self.from.is_none_or(|block| who.from.is_some_and(|ip| block.contains(ip)))
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Who<'a> {
    /// Its name, if it logged in.
    pub user: Option<&'a [u8]>,
    /// Its address, if it has one.
    pub from: Option<IpAddr>,
}

/// All rules, in order: the first that covers a destination decides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

impl Policy {
    /// With rules in their order.
    pub fn new(rules: Vec<Rule>) -> Policy {
        Policy { rules }
    }
    /// Decides on an address, which a `name` may have led to.
    ///
    /// # Errors
    /// What forbids it: a kind of address, or a rule.
    pub fn check(&self, who: &Who<'_>, name: Option<&str>, ip: IpAddr, port: u16) -> Result<(), String> {
        let (name, ip) = (name.map(canonical), reach::inner(ip));
        let mut rules = self.rules.iter().filter(|r| r.is_for(who) && r.to.covers(name.as_deref(), Some(ip), port));
        if let Some(kind) = reach::kind(ip) {
            // A name says nothing about where it leads: only an address can open this door.
            return match rules.find(|r| !r.allow || r.to.is_by_address()) {
                Some(rule) if rule.allow => Ok(()),
                Some(rule) => Err(rule.text.clone()),
                None => Err(kind.into()),
            };
        }
        match rules.next() {
            Some(rule) if !rule.allow => Err(rule.text.clone()),
            _ => Ok(()),
        }
    }
    /// Decides on a name before anybody is asked about it.
    ///
    /// # Errors
    /// What forbids it whatever its addresses are.
    pub fn check_name(&self, who: &Who<'_>, name: &str, port: u16) -> Result<(), String> {
        if looks_like_a_number(name) {
            return Err("a name that looks like a number".into());
        }
        let name = canonical(name);
        // A rule about addresses that comes first may allow what a later one about names forbids.
        let first =
            self.rules.iter().find(|r| r.is_for(who) && (r.to.is_by_address() || r.to.covers(Some(&name), None, port)));
        match first {
            Some(rule) if !rule.allow && !rule.to.is_by_address() => Err(rule.text.clone()),
            _ => Ok(()),
        }
    }
}
