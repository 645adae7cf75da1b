//! From the root to the answer, referral by referral.
use super::show::{self, Style};
use core::net::{IpAddr, SocketAddr};
use proto_core::dns::{Asked, Domain, Message, Rcode, Reply, Section, Type};

/// Referrals that are followed.
const DEPTH_MAX: usize = 24;
/// Servers of one zone that are used.
const SERVERS_MAX: usize = 13;

/// The servers of the root (IANA's root hints): name, IPv4 and IPv6 address.
const ROOT: [(&str, &str, &str); 13] = [
    ("a", "198.41.0.4", "2001:503:ba3e::2:30"),
    ("b", "170.247.170.2", "2801:1b8:10::b"),
    ("c", "192.33.4.12", "2001:500:2::c"),
    ("d", "199.7.91.13", "2001:500:2d::d"),
    ("e", "192.203.230.10", "2001:500:a8::e"),
    ("f", "192.5.5.241", "2001:500:2f::f"),
    ("g", "192.112.36.4", "2001:500:12::d0d"),
    ("h", "198.97.190.53", "2001:500:1::53"),
    ("i", "192.36.148.17", "2001:7fe::53"),
    ("j", "192.58.128.30", "2001:503:c27::2:30"),
    ("k", "193.0.14.129", "2001:7fd::1"),
    ("l", "199.7.83.42", "2001:500:9f::42"),
    ("m", "202.12.27.33", "2001:dc3::35"),
];

/// The addresses of the root's servers, IPv4 first.
pub fn root(port: u16) -> Vec<SocketAddr> {
    let v4 = ROOT.iter().filter_map(|(_, ip, _)| ip.parse::<IpAddr>().ok());
    let v6 = ROOT.iter().filter_map(|(.., ip)| ip.parse::<IpAddr>().ok());
    v4.chain(v6).map(|ip| SocketAddr::new(ip, port)).collect()
}

/// Where it is.
#[derive(Debug)]
pub struct Trace {
    /// The zone whose servers are asked now.
    zone: Domain,
    depth: usize,
}

/// What a reply leads to.
#[derive(Debug)]
pub enum Next {
    /// It is the answer.
    Answer,
    /// These servers know more.
    Servers(Vec<IpAddr>),
    /// A server of this name does, and its addresses were not told.
    Name(Domain),
    /// Nowhere.
    Lame(&'static str),
}

impl Default for Trace {
    fn default() -> Self {
        Trace { zone: Domain::root(), depth: 0 }
    }
}

impl Trace {
    /// Looks at a reply; the lines to print, and what to do next.
    pub fn step(&mut self, reply: &Reply, asked: &Asked, style: &Style) -> (String, Next) {
        let Ok(m) = Message::parse(&reply.bytes) else { return (String::new(), Next::Lame("no message")) };
        let records = || m.records().into_iter().flatten().flatten();
        let mut text = String::new();
        let referral = records().find(|r| r.section == Section::Authority && r.kind == Type::NS);
        let answered = m.header().flags.is_authoritative() || records().any(|r| r.section == Section::Answer);
        let next = match referral {
            _ if answered || m.rcode() != Rcode::NO_ERROR => {
                text.push_str(&show::message(&m, Some(asked), style));
                Next::Answer
            }
            None => Next::Lame("neither an answer nor a referral"),
            Some(ns) => {
                let zone = ns.name.to_domain();
                let names: Vec<Domain> = records()
                    .filter(|r| r.section == Section::Authority && r.kind == Type::NS && r.name.is(&ns.name))
                    .filter_map(|r| {
                        text.push_str(&format!("{}\n", show::record(&r, style)));
                        Some(r.target()?.to_domain())
                    })
                    .take(SERVERS_MAX)
                    .collect();
                // Down only, and towards the name: else two zones could send us to and fro for ever.
                if !asked.name.is_within(&zone) || !zone.is_within(&self.zone) || zone == self.zone {
                    Next::Lame("a referral that leads away from the name")
                } else {
                    // Addresses of servers within the zone that refers: what else is told is not believed.
                    let believed = |d: &Domain| d.is_within(&self.zone) && names.contains(d);
                    let glue = records().filter(|r| r.section == Section::Additional && believed(&r.name.to_domain()));
                    let ips: Vec<IpAddr> = glue.filter_map(|r| r.ip()).take(2 * SERVERS_MAX).collect();
                    self.zone = zone;
                    self.depth += 1;
                    match names.into_iter().next() {
                        _ if self.depth > DEPTH_MAX => Next::Lame("too many referrals"),
                        _ if !ips.is_empty() => Next::Servers(ips),
                        Some(name) => Next::Name(name),
                        None => Next::Lame("a referral to nobody"),
                    }
                }
            }
        };
        let ms = reply.took.as_secs_f64() * 1000.0;
        let from = show::server(&reply.server);
        let name = ROOT.iter().find(|(_, v4, v6)| [*v4, *v6].contains(&reply.server.ip().to_string().as_str()));
        let name = name.map_or(String::new(), |(n, ..)| format!(" ({n}.root-servers.net)"));
        text.push_str(&format!("Received {} bytes from {from}{name} in {ms:.1} ms\n\n", reply.bytes.len()));
        (text, next)
    }
}
