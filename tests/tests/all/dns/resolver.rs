//! The resolver: which names are tried, what is believed, what is kept.
use super::{name, reply};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::Instant;
use proto_core::dns::{
    Act, Config, Family, Hosts, Known, Message, Policy, ResolvConf, Resolver, TryId, Type, Unresolved,
};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use std::sync::Arc;

type Records = Vec<(&'static str, Type, u32, &'static str)>;

/// A resolver beside a server that answers by `zone`, which is told name and type.
struct World<F> {
    resolver: Resolver,
    rng: ChaCha12Rng,
    now: Instant,
    zone: F,
    /// `name type` of each question.
    asked: Vec<String>,
    silent: Vec<(TryId, SocketAddr, Vec<u8>)>,
}

const SOA: (&str, Type, u32, &str) = ("example", Type::SOA, 600, "a. b. 1 2 3 4 30");

/// What a zone says: flags with the code, and records; `None` for silence.
type Says = Option<(u16, Records)>;

impl<F: FnMut(&str, Type) -> Says> World<F> {
    fn new(conf: &str, hosts: &str, zone: F) -> Self {
        let conf = ResolvConf::parse(format!("nameserver 192.0.2.53\n{conf}").as_bytes());
        let config = Config { conf, hosts: Hosts::parse(hosts.as_bytes()) };
        let servers = config.conf.servers.clone();
        let policy = Policy { servers, mixed_case: false, ..Policy::default() };
        let resolver = Resolver::with_policy(config, Arc::new(policy));
        let (rng, now) = (ChaCha12Rng::seed_from_u64(3), Instant::from_nanos(1));
        World { resolver, rng, now, zone, asked: Vec::new(), silent: Vec::new() }
    }
    fn serve(&mut self) {
        self.resolver.turn(self.now, &mut self.rng);
        while let Some(act) = self.resolver.stub.next_act() {
            let (Act::Udp { id, server, message } | Act::Tcp { id, server, message }) = act else { continue };
            let m = Message::parse(&message).unwrap();
            let q = m.question().unwrap().unwrap();
            let text = q.name.to_string();
            let text = text.trim_end_matches('.');
            self.asked.push(format!("{text} {}", q.kind));
            match (self.zone)(text, q.kind) {
                Some((flags, records)) => {
                    let data = reply(&message, flags, &records);
                    self.resolver.stub.on_datagram(id, server, &data, self.now, &mut self.rng);
                }
                None => self.silent.push((id, server, message)),
            }
            self.resolver.turn(self.now, &mut self.rng);
        }
    }
    fn start(&mut self, key: u64, host: &str, family: Family) {
        self.resolver.lookup(key, host, family, self.now, &mut self.rng);
        self.serve();
    }
    fn pass(&mut self) {
        self.now = self.resolver.deadline().expect("it waits").at;
        self.serve();
    }
    fn get(&mut self, host: &str) -> Known {
        self.get_of(host, Family::V4)
    }
    fn get_of(&mut self, host: &str, family: Family) -> Known {
        self.start(0, host, family);
        loop {
            if let Some((key, known)) = self.resolver.next_done() {
                assert_eq!(key, 0);
                return known;
            }
            self.pass();
        }
    }
}

fn ips(text: &str) -> Known {
    Ok(text.split(' ').map(|t| t.parse().unwrap()).collect())
}

#[test]
fn literals_localhost_and_hosts_ask_nobody() {
    let mut w =
        World::new("", "10.0.0.9 box.lan box\n::9 box\n127.0.0.5 localhost", |n, _| panic!("{n} was asked for"));
    for (host, family, want) in [
        ("192.0.2.7", Family::Any, ips("192.0.2.7")),
        ("::1", Family::V4, Err(Unresolved::NoAddress)),
        ("localhost", Family::Any, ips("::1 127.0.0.1")),
        ("LocalHost.", Family::V4, ips("127.0.0.1")),
        ("a.localhost", Family::V6, ips("::1")),
        ("box", Family::Any, ips("10.0.0.9 ::9")),
        ("BOX.LAN.", Family::Any, ips("10.0.0.9")),
        ("box.lan", Family::V6, Err(Unresolved::NoAddress)),
        ("a..b", Family::Any, Err(Unresolved::BadName(proto_core::dns::BadName::EmptyLabel))),
    ] {
        assert_eq!(w.get_of(host, family), want, "{host}");
    }
}

#[test]
fn the_search_list() {
    let zone = |n: &str, _: Type| {
        Some(match n {
            "www.b.example" => (0, vec![("", Type::A, 60, "192.0.2.1")]),
            "empty.a.example" => (0, vec![SOA]),
            "fails.a.example" => (2, vec![]),
            _ => (3, vec![SOA]),
        })
    };
    let mut w = World::new("search a.example b.example\noptions ndots:2", "", zone);
    for (host, want, asked) in [
        ("www", ips("192.0.2.1"), "www.a.example www.b.example"),
        ("www.b.example", ips("192.0.2.1"), "www.b.example"),
        ("x.y.z", Err(Unresolved::NoSuchName), "x.y.z x.y.z.a.example x.y.z.b.example"),
        ("x.y", Err(Unresolved::NoSuchName), "x.y.a.example x.y.b.example x.y"),
        ("x.", Err(Unresolved::NoSuchName), "x"),
        ("empty", Err(Unresolved::NoAddress), "empty.a.example empty.b.example empty"),
    ] {
        let before = w.asked.len();
        assert_eq!(w.get(host), want, "{host}");
        let all: Vec<&str> = w.asked[before..].iter().map(|a| a.split(' ').next().unwrap()).collect();
        // Names that are known already are not asked for again.
        let asked: Vec<&str> = asked.split(' ').filter(|n| !w.asked[..before].contains(&format!("{n} A"))).collect();
        assert_eq!(all, asked, "{host}");
    }
    assert_eq!(w.get("fails"), Err(Unresolved::Refused(proto_core::dns::Rcode::SERVER_FAILURE)));
}

#[test]
fn a_server_that_is_silent_leaks_no_other_names() {
    let mut w = World::new("search a.example", "", |_, _| None);
    assert_eq!(w.get("www.host.example"), Err(Unresolved::NoAnswer));
    assert!(w.asked.iter().all(|a| a == "www.host.example A"), "{:?}", w.asked);
    assert_eq!(w.asked.len(), 3);
}

#[test]
fn both_families_at_once_and_neither_waits_for_ever() {
    let zone = |_: &str, kind: Type| match kind {
        Type::A => Some((0, vec![("", Type::A, 60, "192.0.2.1")])),
        _ => None,
    };
    let mut w = World::new("", "", zone);
    let began = w.now;
    assert_eq!(w.get_of("www.example", Family::Any), ips("192.0.2.1"));
    assert_eq!(w.now.since(began), Duration::from_millis(50));
    assert_eq!(w.asked, ["www.example AAAA", "www.example A"]);
    let both = |_: &str, kind: Type| {
        Some((0, vec![("", kind, 60, if kind == Type::A { "192.0.2.1" } else { "2001:db8::1" })]))
    };
    let mut w = World::new("", "", both);
    assert_eq!(w.get_of("www.example", Family::Any), ips("2001:db8::1 192.0.2.1"));
}

#[test]
fn chains_are_followed_within_a_reply_and_beyond() {
    let zone = |n: &str, _: Type| {
        Some((
            0,
            match n {
                "a.example" => vec![
                    ("", Type::CNAME, 60, "b.example."),
                    ("b.example", Type::CNAME, 60, "c.example."),
                    ("c.example", Type::A, 60, "192.0.2.3"),
                ],
                // Out of order, with what nobody asked for between.
                "mixed.example" => vec![
                    ("z.example", Type::A, 60, "203.0.113.66"),
                    ("y.example", Type::A, 60, "192.0.2.4"),
                    ("", Type::CNAME, 60, "y.example."),
                ],
                "far.example" => vec![("", Type::CNAME, 60, "end.elsewhere.")],
                "end.elsewhere" => vec![("", Type::A, 60, "192.0.2.5")],
                "circle.example" => vec![("", Type::CNAME, 60, "circle.example.")],
                "round.example" => vec![("", Type::CNAME, 60, "back.example.")],
                "back.example" => vec![("", Type::CNAME, 60, "round.example.")],
                // What is not on the way is not believed (CVE-2025-40778 and its like).
                "poison.example" => vec![("bank.example", Type::A, 60, "203.0.113.66"), SOA],
                _ => return Some((3, vec![SOA])),
            },
        ))
    };
    let mut w = World::new("", "", zone);
    assert_eq!(w.get("a.example"), ips("192.0.2.3"));
    assert_eq!(w.get("mixed.example"), ips("192.0.2.4"));
    assert_eq!(w.get("far.example"), ips("192.0.2.5"));
    assert_eq!(w.get("circle.example"), Err(Unresolved::Chain));
    assert_eq!(w.get("round.example"), Err(Unresolved::Chain));
    let asked = w.asked.iter().filter(|a| a.starts_with("round") || a.starts_with("back")).count();
    assert_eq!(asked, 17, "sixteen steps, and not one more");
    assert_eq!(w.get("poison.example"), Err(Unresolved::NoAddress));
    assert_eq!(w.get("bank.example"), Err(Unresolved::NoSuchName), "it was asked for, not remembered");
    assert!(w.asked.contains(&"bank.example A".into()));
}

#[test]
fn a_chain_of_sixteen_is_followed_and_one_of_seventeen_is_not() {
    for (n, fits) in [(16, true), (17, false)] {
        let zone = move |name: &str, _: Type| {
            let k: usize = name.trim_start_matches('n').split('.').next().unwrap().parse().unwrap();
            let next: &'static str = Box::leak(format!("n{}.example.", k + 1).into_boxed_str());
            Some((0, if k < n { vec![("", Type::CNAME, 9, next)] } else { vec![("", Type::A, 9, "192.0.2.1")] }))
        };
        let mut w = World::new("", "", zone);
        assert_eq!(w.get("n0.example").is_ok(), fits, "{n}");
    }
}

#[test]
fn answers_are_kept_as_long_as_they_live() {
    let zone = |n: &str, _: Type| {
        Some(match n {
            "short.example" => (0, vec![("", Type::A, 10, "192.0.2.1")]),
            "chain.example" => (0, vec![("", Type::CNAME, 5, "t.example."), ("t.example", Type::A, 999, "192.0.2.2")]),
            "zero.example" => (0, vec![("", Type::A, 0, "192.0.2.3")]),
            "no.example" => (3, vec![SOA]),
            _ => (3, vec![]),
        })
    };
    let mut w = World::new("", "", zone);
    for (host, lives) in
        [("short.example", 10), ("chain.example", 5), ("zero.example", 0), ("no.example", 30), ("bare.example", 0)]
    {
        let first = w.get(host);
        let before = w.asked.len();
        let began = w.now;
        if lives > 0 {
            w.now = began.after(Duration::from_secs(lives) - Duration::from_nanos(1));
            assert_eq!(w.get(host), first);
            assert_eq!(w.asked.len(), before, "{host} is known");
        }
        w.now = began.after(Duration::from_secs(lives));
        assert_eq!(w.get(host), first);
        assert!(w.asked.len() > before, "{host} is asked for again");
    }
}

/// Whoever asks often gives nobody more guesses: the same question is under way once (birthday attack).
#[test]
fn the_same_question_is_shared() {
    let mut w = World::new("", "", |_, _| None);
    for key in 0..1000 {
        w.start(key, "www.example", Family::V4);
    }
    assert_eq!(w.asked, ["www.example A"]);
    let (id, server, message) = w.silent.remove(0);
    let data = reply(&message, 0, &[("", Type::A, 60, "192.0.2.1")]);
    w.resolver.stub.on_datagram(id, server, &data, w.now, &mut w.rng);
    w.serve();
    let done: Vec<(u64, Known)> = std::iter::from_fn(|| w.resolver.next_done()).collect();
    assert_eq!(done.len(), 1000);
    assert!(done.iter().all(|(_, known)| *known == ips("192.0.2.1")));
}

#[test]
fn there_is_an_end_to_lookups_at_once() {
    let mut w = World::new("", "", |_, _| None);
    for key in 0..5000 {
        w.start(key, &format!("n{key}.example"), Family::V4);
    }
    let refused = std::iter::from_fn(|| w.resolver.next_done()).filter(|(_, k)| *k == Err(Unresolved::Busy)).count();
    assert_eq!(refused, 5000 - 4096);
    w.resolver.rest();
    assert!(w.resolver.stub.is_empty() && w.resolver.deadline().is_none());
}

#[test]
fn a_lookup_that_was_cancelled_is_not_answered_but_remembered() {
    let mut w = World::new("", "", |_, _| None);
    w.start(1, "www.example", Family::V4);
    w.resolver.cancel(1);
    let (id, server, message) = w.silent.remove(0);
    let data = reply(&message, 0, &[("", Type::A, 60, "192.0.2.1")]);
    w.resolver.stub.on_datagram(id, server, &data, w.now, &mut w.rng);
    w.serve();
    assert!(w.resolver.next_done().is_none());
    let known = w.resolver.cache().get(&name("www.example"), Type::A, w.now).cloned();
    assert_eq!(known, Some(Ok(vec![IpAddr::from([192, 0, 2, 1])])));
}

/// What a server may say beside a CNAME, or instead of the one that a DNAME stands for: the chain from the name decides, nothing
/// else, and its length is bounded however much of it one reply holds.
#[test]
fn odd_chains() {
    let long = |n: usize| -> Records {
        let name = |i: usize| -> &'static str { Box::leak(format!("n{i}.example.").into_boxed_str()) };
        let mut all: Records = (0..n).map(|i| (name(i), Type::CNAME, 60, name(i + 1))).collect();
        all.push((name(n), Type::A, 60, "192.0.2.9"));
        all
    };
    let zone = move |n: &str, _: Type| {
        let records = match n {
            "n0.example" => long(1000),
            "n984.example" => long(1000).into_iter().skip(984).collect(),
            // A name with a CNAME has nothing else (RFC 1034 3.6.2): the CNAME counts.
            "both.example" => vec![
                ("", Type::A, 60, "203.0.113.66"),
                ("", Type::CNAME, 60, "target.example."),
                ("target.example", Type::A, 60, "192.0.2.1"),
            ],
            "twice.example" => vec![
                ("", Type::CNAME, 60, "target.example."),
                ("", Type::CNAME, 60, "other.example."),
                ("other.example", Type::A, 60, "203.0.113.66"),
                ("target.example", Type::A, 60, "192.0.2.1"),
            ],
            // What a DNAME alone would lead to is not made up, and one that contradicts the CNAME changes nothing.
            "x.bare.example" => {
                vec![("bare.example", Type::DNAME, 60, "far.example."), ("x.far.example", Type::A, 60, "203.0.113.66")]
            }
            "x.moved.example" => vec![
                ("moved.example", Type::DNAME, 60, "far.example."),
                ("", Type::CNAME, 60, "target.example."),
                ("x.far.example", Type::A, 60, "203.0.113.66"),
                ("target.example", Type::A, 60, "192.0.2.1"),
            ],
            // Addresses of other kinds, classes of data and sections are no answer.
            "wrong.example" => vec![("", Type::AAAA, 60, "2001:db8::66"), SOA],
            "root.example" => vec![("", Type::CNAME, 60, ".")],
            _ => return Some((3, vec![SOA])),
        };
        Some((0, records))
    };
    let mut w = World::new("", "", zone);
    assert_eq!(w.get("n0.example"), Err(Unresolved::Chain), "a thousand steps");
    assert_eq!(w.asked.len(), 1, "and no question more");
    assert_eq!(w.get("n984.example"), ips("192.0.2.9"), "the control: sixteen");
    for host in ["both.example", "twice.example", "x.moved.example"] {
        assert_eq!(w.get(host), ips("192.0.2.1"), "{host}");
    }
    for host in ["x.bare.example", "wrong.example"] {
        assert_eq!(w.get(host), Err(Unresolved::NoAddress), "{host}");
    }
    assert_eq!(w.get("root.example"), Err(Unresolved::NoSuchName));
}

/// Texts that some systems take for addresses are names here, so that a check of addresses cannot be led astray.
#[test]
fn odd_addresses_are_names() {
    let mut w = World::new("", "", |_, _| Some((3, vec![SOA])));
    for host in ["0177.0.0.1", "0x7f.0.0.1", "127.1", "2130706433", "127.0.0.1.example", "1.2.3.4.5", "::1%lo", "[::1]"]
    {
        let before = w.asked.len();
        assert_eq!(w.get(host), Err(Unresolved::NoSuchName), "{host}");
        assert!(w.asked.len() > before, "{host} was asked for");
    }
    // With NUL, space and dot in a label a name stays what it is.
    for (host, asked) in [
        ("a\\000b.example", "a\\000b.example A"),
        ("a\\.b.example", "a\\.b.example A"),
        ("a b.example", "a\\032b.example A"),
    ] {
        let _ = w.get(host);
        assert_eq!(w.asked.last().map(String::as_str), Some(asked), "{host}");
    }
}

/// All that a server says is told, addresses of this machine included: who connects decides, by the address it connects to.
#[test]
fn answers_are_told_as_they_are() {
    let all = ["127.0.0.1", "169.254.169.254", "192.0.2.1", "0.0.0.0"];
    let zone = move |_: &str, _: Type| Some((0, all.map(|ip| ("", Type::A, 60, ip)).to_vec()));
    let mut w = World::new("", "", zone);
    assert_eq!(w.get("rebind.example"), ips(&all.join(" ")));
}
