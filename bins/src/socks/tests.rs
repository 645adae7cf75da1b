//! The proxy by hand, where an answer can change from one question to the next, and in simulations with faults.
use super::auth::{Access, Sources};
use super::policy::{Policy, Rule, Where, Who};
use super::proxy::{Options, Proxy};
use super::visit::{Visitor, Visits};
use crate::echo::load::LoadEcho;
use crate::front::scripted::{Client, Heard, Leave, Script};
use crate::service::{Note, Settings};
use crate::users::{Check, Users};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use drivers::Config;
use drivers::sim::{NodeConfig, NodeId, Plan, Sim, check_seeds};
use proto_core::{
    Addr, Answer, App, Ask, Chunk, Cx, Env, Input, Instant, Listener, Op, OpId, Peer, Reason, Shard, Signal, Start,
    Table, Token, Tty, Wall, echo::Mode,
};
use std::collections::VecDeque;

fn policy(allow: &[&str], deny: &[&str]) -> Policy {
    let of = |on: bool, list: &[&str]| -> Vec<Rule> {
        list.iter().map(|s| Rule::of_flag(on, s.parse::<Where>().unwrap())).collect()
    };
    Policy::new([of(false, deny), of(true, allow)].concat())
}

/// Addresses that lead to the proxy's neighbours, in all spellings, and the flag that opens each.
#[rustfmt::skip]
const NEIGHBOURS: &[(&str, &str)] = &[
    ("127.0.0.1", "loopback"), ("127.0.0.2", "loopback"), ("127.1.2.3", "loopback"), ("127.255.255.255", "loopback"),
    ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"), ("::ffff:7f00:1", "loopback"),
    ("64:ff9b::127.0.0.1", "loopback"), ("64:ff9b::7f00:1", "loopback"), ("64:ff9b:1::7f00:1", "loopback"),
    ("64:ff9b:1:fffe::127.0.0.1", "loopback"), ("2002:7f00:1::", "loopback"), ("2002:7f00:1::1", "loopback"),
    ("2002:7fff:ffff:1:2:3:4:5", "loopback"), ("2001:0:4136:e378:8000:63bf:80ff:fffe", "loopback"),
    ("::127.0.0.1", "reserved"), ("::7f00:1", "reserved"), ("::2", "reserved"), ("::10.0.0.1", "reserved"),
    ("0.0.0.0", "unspecified"), ("0.0.0.1", "unspecified"), ("0.255.255.255", "unspecified"), ("::", "unspecified"),
    ("::ffff:0.0.0.0", "unspecified"), ("64:ff9b::", "unspecified"), ("2002::", "unspecified"),
    ("169.254.0.1", "link-local"), ("169.254.1.1", "link-local"), ("169.254.255.255", "link-local"),
    ("::ffff:169.254.1.1", "link-local"), ("64:ff9b::a9fe:101", "link-local"), ("2002:a9fe:101::", "link-local"),
    ("fe80::1", "link-local"), ("fe80::ffff", "link-local"), ("febf:ffff::1", "link-local"), ("fe90::1", "link-local"),
    ("169.254.169.254", "metadata"), ("::ffff:169.254.169.254", "metadata"), ("::ffff:a9fe:a9fe", "metadata"),
    ("64:ff9b::a9fe:a9fe", "metadata"), ("64:ff9b:1::a9fe:a9fe", "metadata"), ("2002:a9fe:a9fe::1", "metadata"),
    ("fd00:ec2::254", "metadata"), ("2001:0:0:0:0:0:5601:5601", "metadata"),
    ("224.0.0.1", "multicast"), ("224.0.0.251", "multicast"), ("239.255.255.255", "multicast"),
    ("::ffff:224.0.0.1", "multicast"), ("64:ff9b::e000:1", "multicast"), ("2002:e000:1::", "multicast"),
    ("ff00::", "multicast"), ("ff02::1", "multicast"), ("ff05::2", "multicast"), ("ffff::1", "multicast"),
    ("240.0.0.1", "reserved"), ("255.255.255.255", "reserved"), ("::ffff:255.255.255.255", "reserved"),
    ("64:ff9b::ffff:ffff", "reserved"), ("2002:ffff:ffff::", "reserved"), ("250.1.2.3", "reserved"),
];

#[test]
fn sk_01_neighbours_are_refused_by_default() {
    assert!(NEIGHBOURS.len() >= 60, "{}", NEIGHBOURS.len());
    let safe = policy(&[], &[]);
    for (ip, kind) in NEIGHBOURS {
        let ip: IpAddr = ip.parse().unwrap();
        assert_eq!(safe.check(&Who::default(), None, ip, 80), Err((*kind).into()), "{ip}");
        // Neither a name nor a rule for everything opens the door, but an address does.
        let names = policy(&["example.com", "*.com", "*"], &[]);
        assert!(names.check(&Who::default(), Some("example.com"), ip, 80).is_err(), "{ip}");
        assert_eq!(policy(&[kind], &[]).check(&Who::default(), None, ip, 80), Ok(()), "{ip}: --allow {kind}");
        let others = ["loopback", "link-local", "metadata", "multicast", "unspecified", "reserved", "private"];
        let others: Vec<&str> = others.into_iter().filter(|k| k != kind).collect();
        assert!(policy(&others, &[]).check(&Who::default(), None, ip, 80).is_err(), "{ip}: the others");
    }
    for ip in
        ["93.184.216.34", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "2606:4700::1", "fd00::1", "1.1.1.1"]
    {
        assert_eq!(safe.check(&Who::default(), None, ip.parse().unwrap(), 80), Ok(()), "{ip}");
    }
}

#[test]
fn rules_decide_in_their_order() {
    let p = |text: &str| Policy::new(Rule::parse_all(text).unwrap());
    let alice = Who { user: Some(b"alice"), from: Some("10.0.0.5".parse().unwrap()) };
    let go =
        |p: &Policy, who: &Who<'_>, name: Option<&str>, ip: &str, port| p.check(who, name, ip.parse().unwrap(), port);
    let some =
        p("# comment\nallow 10.1.0.0/16:443 user=alice\ndeny 10.0.0.0/8\ndeny *:25 # mail\n\ndeny *.evil.example\n");
    assert_eq!(go(&some, &alice, None, "10.1.2.3", 443), Ok(()));
    assert_eq!(go(&some, &Who::default(), None, "10.1.2.3", 443), Err("deny 10.0.0.0/8".into()));
    assert_eq!(go(&some, &alice, None, "10.1.2.3", 80), Err("deny 10.0.0.0/8".into()));
    assert_eq!(go(&some, &alice, None, "::ffff:10.1.2.3", 80), Err("deny 10.0.0.0/8".into()));
    assert_eq!(go(&some, &alice, None, "1.2.3.4", 25), Err("deny *:25".into()));
    assert_eq!(go(&some, &alice, Some("A.EVIL.example."), "1.2.3.4", 80), Err("deny *.evil.example".into()));
    assert_eq!(go(&some, &alice, Some("evil.example"), "1.2.3.4", 80), Ok(()), "the name itself is another rule");
    let only = p("allow example.com:443\nallow 192.0.2.0/24:1000-2000 from=10.0.0.0/8\ndeny *");
    assert_eq!(go(&only, &alice, Some("example.com"), "1.2.3.4", 443), Ok(()));
    assert_eq!(go(&only, &alice, Some("example.com"), "127.0.0.1", 443), Err("deny *".into()));
    assert_eq!(go(&only, &alice, None, "1.2.3.4", 443), Err("deny *".into()));
    assert_eq!(go(&only, &alice, None, "192.0.2.1", 2000), Ok(()));
    assert_eq!(go(&only, &Who::default(), None, "192.0.2.1", 2000), Err("deny *".into()));
    assert_eq!(only.check_name(&alice, "example.org", 443), Ok(()), "its address may be allowed");
    assert_eq!(policy(&[], &["*.org"]).check_name(&alice, "Example.ORG.", 443), Err("--deny *.org".into()));
    for (deny, ip) in
        [("private", "192.168.1.1"), ("private", "fd00::1"), ("private", "2002:0a00:1::"), ("shared", "100.64.0.1")]
    {
        assert_eq!(go(&policy(&[], &[deny]), &alice, None, ip, 80), Err(format!("--deny {deny}")), "{ip}");
    }
    // What is denied by flag stays denied, whatever is allowed.
    assert_eq!(go(&policy(&["loopback"], &["*:25"]), &alice, None, "127.0.0.1", 25), Err("--deny *:25".into()));
}

#[test]
fn sk_02_names_that_are_numbers_are_refused() {
    let open = policy(&["loopback"], &[]);
    for name in ["127.1", "0", "0x7f000001", "0x7f.1", "1.2.3.04.5", "2130706433", "a.1", "A.0XFF", "127.0.0.1.", "0x"]
    {
        assert!(open.check_name(&Who::default(), name, 80).is_err(), "{name}");
    }
    for name in ["example.com", "1.example", "0xg", "a.b-1", "x1"] {
        assert_eq!(open.check_name(&Who::default(), name, 80), Ok(()), "{name}");
    }
}

#[test]
fn bad_rules_are_named() {
    for (text, line, what) in [
        ("allow 10.0.0.0/33", 1, "'10.0.0.0/33' is not a destination"),
        ("\npermit *", 2, "'permit': expected allow or deny"),
        ("deny", 1, "expected a destination"),
        ("deny *:99999", 1, "'*:99999' is not a destination"),
        ("deny *:20-10", 1, "is not a destination"),
        ("deny 127.1", 1, "is not a destination"),
        ("deny a..b", 1, "is not a destination"),
        ("deny [::1", 1, "is not a destination"),
        ("deny * user=", 1, "'user=': expected user=NAME or from=CIDR"),
        ("deny * from=x", 1, "'x' is not a block of addresses"),
        ("deny * 25", 1, "'25': expected user=NAME or from=CIDR"),
    ] {
        let (n, why) = Rule::parse_all(text).unwrap_err();
        assert!(n == line && why.contains(what), "{text}: {n}: {why}");
    }
}

/// A proxy whose world is a few tables.
struct Desk {
    app: Proxy,
    table: Table,
    ops: VecDeque<Op<Check, Note>>,
    env: Env,
    now: Instant,
    listener: Token,
}

impl Desk {
    fn new(options: Options) -> Desk {
        let mut table = Table::new(64 << 10, 64 << 10);
        let (stdout, stderr, listener) = (table.open(0), table.open(0), table.open(0));
        let at = Addr::Ip("127.0.0.1:1080".parse().unwrap());
        let start = Start {
            listeners: vec![Listener { token: listener, at }],
            stdin: None,
            stdout,
            stderr,
            tty: Tty::default(),
            seed: [0; 32],
            shard: Shard(0),
            shards: 1,
            capacity: 100_000,
            driver: "desk".into(),
            facts: Vec::new(),
            now: Instant::default(),
            wall: Wall::default(),
        };
        let (ops, env) = (VecDeque::new(), Env::new([0; 32], Wall::default(), Instant::default()));
        let app = Proxy::new(Settings { quiet: true, ..Settings::default() }, options);
        let mut desk = Desk { app, table, ops, env, now: Instant::default(), listener };
        desk.give(Input::Start(&start));
        desk
    }
    fn give(&mut self, input: Input<'_, Note>) -> Vec<Op<Check, Note>> {
        let mut cx = Cx::new(self.now, &mut self.table, &mut self.ops, &mut self.env);
        self.app.handle(input, &mut cx);
        self.ops.drain(..).collect()
    }
    fn bytes(&mut self, t: Token, bytes: &[u8]) -> Vec<Op<Check, Note>> {
        let mut v = bytes.to_vec();
        let n = v.len();
        self.give(Input::Bytes(t, Chunk::new(&mut v, n)))
    }
    /// A client that has asked for `host`.
    fn ask(&mut self, host: &[u8]) -> (Token, Vec<Op<Check, Note>>) {
        let conn = self.table.open(0);
        let remote = Addr::Ip("10.9.9.9:5".parse().unwrap());
        let listener = self.listener;
        self.give(Input::Accepted { conn, listener, peer: Peer { remote, local: None, fd: 0 } });
        let mut request = vec![5, 1, 0, 5, 1, 0, 3, host.len() as u8];
        request.extend_from_slice(host);
        request.extend_from_slice(&[0, 80]);
        let ops = self.bytes(conn, &request);
        (conn, ops)
    }
    fn close(&mut self, t: Token) {
        let out: Vec<u8> = self.heard(t);
        assert!(out.len() >= 2);
        self.give(Input::Closed(t, Reason::Finished));
        self.table.close(t);
    }
    fn heard(&self, t: Token) -> Vec<u8> {
        self.table.tx(t).map(|tx| tx.chunks().flatten().copied().collect()).unwrap_or_default()
    }
}

fn asked(ops: &[Op<Check, Note>]) -> Vec<OpId> {
    ops.iter().filter_map(|op| if let Op::Ask(id, Ask::Resolve { .. }) = op { Some(*id) } else { None }).collect()
}

fn connects(ops: &[Op<Check, Note>]) -> Vec<SocketAddr> {
    let to = |op: &Op<Check, Note>| if let Op::Connect { to: Addr::Ip(a), .. } = op { Some(*a) } else { None };
    ops.iter().filter_map(to).collect()
}

/// Ten thousand requests for a name that leads somewhere else whenever it is asked about; the addresses connected to.
fn flip_flop(allow: &[&str]) -> Vec<SocketAddr> {
    let mut desk =
        Desk::new(Options { access: Access { users: None, policy: policy(allow, &[]) }, ..Options::default() });
    let good: IpAddr = "93.184.216.34".parse().unwrap();
    let mut reached = Vec::new();
    for n in 0..10_000usize {
        let bad: IpAddr = NEIGHBOURS[n % NEIGHBOURS.len()].0.parse().unwrap();
        let (t, ops) = desk.ask(b"rebind.example");
        let ids = asked(&ops);
        assert_eq!((ids.len(), connects(&ops).len()), (1, 0), "one question, and nothing before its answer");
        let ips = match n % 4 {
            0 => vec![good],
            1 => vec![bad],
            2 => vec![bad, good],
            _ => vec![good, bad],
        };
        let ops = desk.give(Input::Answer(ids[0], Ok(Answer::Resolved(ips))));
        assert!(asked(&ops).is_empty(), "no second question between check and connect");
        reached.extend(connects(&ops));
        for op in &ops {
            if let Op::Connect { conn, .. } = op {
                // The attempt fails: the next address, if there is one, was checked as well.
                let ops = desk.give(Input::Closed(*conn, Reason::Refused));
                desk.table.close(*conn);
                reached.extend(connects(&ops));
                for op in ops {
                    if let Op::Connect { conn, .. } = op {
                        desk.give(Input::Closed(conn, Reason::Refused));
                        desk.table.close(conn);
                    }
                }
            }
        }
        let reply = desk.heard(t);
        assert!(reply.get(3).is_some_and(|code| [2, 5].contains(code)), "{reply:?}");
        desk.close(t);
    }
    reached
}

#[test]
fn sk_02_a_name_that_changes_between_check_and_connect_leads_nowhere() {
    let reached = flip_flop(&[]);
    assert_eq!(reached.len(), 7500);
    assert!(reached.iter().all(|a| a.ip().to_string() == "93.184.216.34"), "what was checked is what is connected to");
    // With the door open the same script does get in.
    let reached = flip_flop(&["loopback", "metadata"]);
    assert!(reached.iter().any(|a| a.ip().is_loopback()), "the check is what holds");
}

#[test]
fn sk_12_connections_under_way_are_bounded() {
    let mut desk = Desk::new(Options { pending: 10, ..Options::default() });
    let mut codes = Vec::new();
    for n in 0..20u8 {
        let (t, ops) = desk.ask(format!("10.0.0.{n}").as_bytes());
        assert_eq!(connects(&ops).len(), usize::from(n < 10));
        codes.push(desk.heard(t).get(3).copied());
    }
    assert_eq!(codes[..10], [None; 10], "they wait");
    assert_eq!(codes[10..], [Some(1); 10]);
    assert_eq!(desk.app.refused, 10);
}

#[test]
fn an_answer_that_comes_too_late_finds_nobody() {
    let mut desk = Desk::new(Options::default());
    let (t, ops) = desk.ask(b"slow.example");
    let id = asked(&ops)[0];
    let ops = desk.give(Input::Closed(t, Reason::Reset));
    assert!(ops.iter().any(|op| matches!(op, Op::Cancel(c) if *c == id)), "the question is given up");
    desk.table.close(t);
    let ops = desk.give(Input::Answer(id, Ok(Answer::Resolved(vec!["93.184.216.34".parse().unwrap()]))));
    assert!(connects(&ops).is_empty());
}

/// A simulated proxy with a target and clients.
struct Stage {
    sim: Sim,
    proxy: NodeId,
    target: NodeId,
}

fn users() -> Access {
    Access { users: Some(Users::parse("user:pass\nbob:word").unwrap()), ..Access::default() }
}

impl Stage {
    fn new(seed: u64, plan: &str, options: Options) -> Stage {
        let mut sim = Sim::new(seed, plan.parse::<Plan>().unwrap());
        let settings =
            Settings { drain: Duration::from_secs(10), idle: Some(Duration::from_secs(3600)), ..Settings::default() };
        let config = Config { workers: 2, ..Config::default() };
        let app = Proxy::new(settings, options);
        let proxy = sim.add("proxy", app, NodeConfig { config, ..NodeConfig::server(1080) }).unwrap();
        let echo = LoadEcho::new(Settings::default(), Mode::Off);
        let target = sim.add("target", echo, NodeConfig::server(7)).unwrap();
        Stage { sim, proxy, target }
    }
    fn visitor(&mut self, visits: Visits) -> NodeId {
        let n = self.sim.steps();
        let app = Visitor::new(("proxy".into(), 1080), visits);
        self.sim.add(&format!("visitor{n}"), app, NodeConfig::default()).unwrap()
    }
    /// Somebody who sends bytes.
    fn talker(&mut self, name: &str, send: &[u8], leave: Leave) -> Heard {
        let to = self.sim.addr(self.proxy, 1080);
        let (app, heard) = Client::new(Script { to, send: send.to_vec(), leave });
        self.sim.add(name, app, NodeConfig::default()).unwrap();
        heard
    }
    fn log(&self) -> String {
        String::from_utf8_lossy(self.sim.stdout(self.proxy)).into_owned()
    }
}

fn visits(host: &str, times: u32, bytes: usize) -> Visits {
    Visits { host: host.into(), port: 7, login: None, times, bytes }
}

#[test]
fn sessions_with_faults_are_clean() {
    let whole = std::cell::Cell::new(0);
    check_seeds("sessions_with_faults_are_clean", 0..1000, |seed| {
        let plan = [
            "split=1,short=20%",
            "delay=20ms±19ms,loss=2%,stall=1%:1s",
            "reset=1%,split=50,short=5%",
            "refuse=20%,again=20%,split=3",
            "halfclose=1%,delay=5ms±5ms,reset=1%,loss=1%,stall=1%:1s",
        ][seed as usize % 5];
        let locked = seed % 2 == 0;
        let access = if locked { users() } else { Access::default() };
        let mut s = Stage::new(seed, plan, Options { access, ..Options::default() });
        let login = locked.then(|| ("user".to_string(), "pass".to_string()));
        let host = if seed % 3 == 0 { "10.0.0.2" } else { "target" };
        let v = s.visitor(Visits { login, ..visits(host, 2, 1 + (seed as usize * 7919) % 3000) });
        s.sim.run_until(Duration::from_secs(2000), |sim| sim.exit(v).is_some());
        s.sim.signal(s.proxy, Duration::from_secs(1), Signal::Interrupt);
        s.sim.run(Duration::from_secs(100));
        match s.sim.exit(v) {
            Some(0) => whole.set(whole.get() + 1),
            Some(4) if seed % 5 > 1 => {}
            code => return Err(format!("exit {code:?}: {}", String::from_utf8_lossy(s.sim.stdout(v)))),
        }
        if s.sim.exit(s.proxy) != Some(0) {
            return Err(format!("the proxy did not stop: {:?}\n{}", s.sim.exit(s.proxy), s.log()));
        }
        if s.sim.peak_queued(s.proxy) > 128 << 10 {
            return Err(format!("{} bytes were queued", s.sim.peak_queued(s.proxy)));
        }
        s.sim.check_quiescent()
    });
    if drivers::sim::seeds(0..1000).count() == 1000 {
        assert!(whole.get() > 500, "{}", whole.get());
    }
}

const ASK_TARGET: &[u8] = b"\x05\x01\x00\x05\x01\x00\x03\x06target\x00\x07";

#[test]
fn sk_07_a_handshake_has_ten_seconds() {
    let mut s = Stage::new(1, "delay=1ms", Options::default());
    s.talker("silent", b"", Leave::Never);
    s.talker("half", b"\x05\x01\x00\x05", Leave::Never);
    s.sim.run(Duration::from_millis(9_900));
    assert!(s.log().lines().count() == 2, "{}", s.log());
    s.sim.run(Duration::from_secs(5));
    assert_eq!(s.log().matches("handshake took too long").count(), 2, "{}", s.log());
    s.sim.check_quiescent().unwrap();
}

#[test]
fn a_target_that_is_silent_costs_its_time_and_nobody_elses() {
    let options = Options { connect_timeout: Duration::from_secs(10), ..Options::default() };
    let mut s = Stage::new(1, "delay=1ms", options);
    let (proxy, target, long) = (s.proxy, s.target, Duration::from_secs(1000));
    s.sim.partition(proxy, target, long);
    let heard = s.talker("stuck", ASK_TARGET, Leave::Never);
    let other = s.talker("other", b"\x05\x01\x00\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x09", Leave::Never);
    s.sim.run(Duration::from_secs(1));
    assert_eq!(other.lock().unwrap().get(3), Some(&5), "refused at once");
    s.sim.run(Duration::from_millis(8_900));
    assert_eq!(heard.lock().unwrap().len(), 2);
    s.sim.run(Duration::from_millis(300));
    assert_eq!(heard.lock().unwrap().get(3), Some(&4), "{}", s.log());
    assert!(s.log().contains("Failed: timeout"), "{}", s.log());
}

#[test]
fn who_leaves_before_the_reply_is_not_waited_for() {
    for leave in [Leave::Reset(Duration::from_secs(1)), Leave::Fin(Duration::from_secs(1))] {
        let mut s = Stage::new(1, "delay=1ms", Options::default());
        s.sim.partition(s.proxy, s.target, Duration::from_secs(5));
        s.talker("hasty", ASK_TARGET, leave);
        s.sim.run(Duration::from_secs(4));
        assert!(s.log().contains("closed "), "{}", s.log());
        s.sim.run(Duration::from_secs(1000));
        assert!(!s.log().contains("established"), "{}", s.log());
        s.sim.check_quiescent().unwrap();
    }
}

#[test]
fn sk_04_a_failed_login_waits_and_is_the_last() {
    let mut s = Stage::new(1, "delay=1ms", Options { access: users(), ..Options::default() });
    let guess = |word: &str| [b"\x05\x02\x00\x02\x01\x04user\x04", word.as_bytes(), b"\x01\x04user\x04pass"].concat();
    let heard = s.talker("guesser", &guess("nope"), Leave::Never);
    s.sim.run(Duration::from_millis(990));
    assert_eq!(*heard.lock().unwrap(), [5, 2], "never 00, which was offered too");
    s.sim.run(Duration::from_secs(5));
    assert_eq!(*heard.lock().unwrap(), [5, 2, 1, 1], "and the second try was not heard");
    assert!(!s.log().contains("nope"), "no password in the log");
    // Nine more, and the address is refused for a minute, whatever it knows.
    let from = |s: &mut Stage, n: usize, word: &str| s.talker(&format!("g{n}"), &guess(word), Leave::Never);
    let all: Vec<Heard> = (0..9).map(|n| from(&mut s, n, "nope")).collect();
    s.sim.run(Duration::from_secs(5));
    assert!(all.iter().all(|h| *h.lock().unwrap() == [5, 2, 1, 1]), "each has an address of its own here");
    s.sim.check_quiescent().unwrap();
}

#[test]
fn brute_force_from_one_address_is_refused() {
    let mut desk = Desk::new(Options { access: users(), ..Options::default() });
    let try_in = |desk: &mut Desk, word: &[u8]| {
        let conn = desk.table.open(0);
        let remote = Addr::Ip("10.9.9.9:5".parse().unwrap());
        let listener = desk.listener;
        let ops = desk.give(Input::Accepted { conn, listener, peer: Peer { remote, local: None, fd: 0 } });
        if ops.iter().any(|op| matches!(op, Op::Abort(t) if *t == conn)) {
            return None;
        }
        desk.bytes(conn, &[b"\x05\x01\x02\x01\x04user\x04".as_slice(), word].concat());
        desk.now = desk.now.after(Duration::from_secs(1));
        desk.give(Input::Deadline);
        let heard = desk.heard(conn);
        desk.give(Input::Closed(conn, Reason::Finished));
        desk.table.close(conn);
        heard.last().copied()
    };
    for _ in 0..10 {
        assert_eq!(try_in(&mut desk, b"nope"), Some(1));
    }
    assert_eq!(try_in(&mut desk, b"pass"), None, "refused at the door");
    desk.now = desk.now.after(Duration::from_secs(60));
    assert_eq!(try_in(&mut desk, b"pass"), Some(0), "a minute later it may try again");
}

#[test]
fn a_user_may_have_so_many_sessions() {
    let options = Options { access: users(), per_user: Some(2), ..Options::default() };
    let mut s = Stage::new(1, "delay=1ms", options);
    let login = b"\x05\x01\x02\x01\x04user\x04pass";
    let all: Vec<Heard> =
        (0..3).map(|n| s.talker(&format!("c{n}"), &[&login[..], &ASK_TARGET[3..]].concat(), Leave::Never)).collect();
    s.sim.run(Duration::from_secs(2));
    let mut codes: Vec<u8> = all.iter().filter_map(|h| h.lock().unwrap().get(5).copied()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 0, 1]);
}

#[test]
fn an_address_that_logged_in_may_come_without() {
    for once in [true, false] {
        let mut desk = Desk::new(Options { access: users(), auth_once: once, ..Options::default() });
        let greet = |desk: &mut Desk, bytes: &[u8]| {
            let conn = desk.table.open(0);
            let (listener, remote) = (desk.listener, Addr::Ip("10.9.9.9:5".parse().unwrap()));
            desk.give(Input::Accepted { conn, listener, peer: Peer { remote, local: None, fd: 0 } });
            desk.bytes(conn, bytes);
            let heard = desk.heard(conn);
            desk.give(Input::Closed(conn, Reason::Finished));
            desk.table.close(conn);
            heard
        };
        assert_eq!(greet(&mut desk, &[5, 1, 0]), [5, 255]);
        assert_eq!(greet(&mut desk, b"\x05\x01\x02\x01\x04user\x04pass"), [5, 2, 1, 0]);
        assert_eq!(greet(&mut desk, &[5, 1, 0]), if once { [5, 0] } else { [5, 255] });
        desk.now = desk.now.after(Duration::from_secs(601));
        assert_eq!(greet(&mut desk, &[5, 1, 0]), [5, 255], "for ten minutes");
    }
}

#[test]
fn users_are_read_again() {
    let sources = Sources { users: Some("users.txt".into()), ..Sources::default() };
    let mut s = Stage::new(1, "delay=1ms", Options { access: users(), sources, ..Options::default() });
    let talk = |s: &mut Stage, name: &str, user: &str, pass: &str| {
        let login =
            [b"\x05\x01\x02\x01", &[user.len() as u8][..], user.as_bytes(), &[pass.len() as u8], pass.as_bytes()];
        s.talker(name, &[&login.concat()[..], &ASK_TARGET[3..]].concat(), Leave::Never)
    };
    let (gone, stays) = (talk(&mut s, "a", "user", "pass"), talk(&mut s, "b", "bob", "word"));
    s.sim.run(Duration::from_secs(1));
    assert!([&gone, &stays].iter().all(|h| h.lock().unwrap().len() == 14));
    // What is wrong changes nothing.
    s.sim.install(s.proxy, "users.txt", b"bob word").unwrap();
    s.sim.signal(s.proxy, Duration::from_secs(1), Signal::Reload);
    s.sim.run(Duration::from_secs(2));
    let said = |s: &Stage| String::from_utf8_lossy(s.sim.stderr(s.proxy)).into_owned();
    assert_eq!(said(&s), "not reloaded: users.txt:1: expected user:password; everything stays as it was\n");
    s.sim.install(s.proxy, "users.txt", b"bob:word\ncarol:new\n").unwrap();
    s.sim.signal(s.proxy, Duration::from_secs(1), Signal::Reload);
    s.sim.run(Duration::from_secs(2));
    assert!(said(&s).ends_with("reloaded: 2 users; 1 sessions ended\n"), "{}", said(&s));
    assert_eq!(s.log().matches("Connection closed").count(), 1, "{}", s.log());
    let carol = talk(&mut s, "c", "carol", "new");
    let old = talk(&mut s, "d", "user", "pass");
    s.sim.run(Duration::from_secs(3));
    assert_eq!((carol.lock().unwrap().len(), old.lock().unwrap().len()), (14, 4));
}

#[test]
fn a_session_that_is_half_over_or_idle_ends() {
    let mut s = Stage::new(1, "delay=1ms", Options::default());
    // The target is an echo: it finishes when the client does, so the client stays open here, and idles.
    s.talker("idle", ASK_TARGET, Leave::Never);
    s.sim.run(Duration::from_secs(3500));
    assert!(!s.log().contains("Connection closed"), "{}", s.log());
    assert_eq!(s.log().matches("Transferred").count(), 58, "a report every minute");
    s.sim.run(Duration::from_secs(200));
    assert!(s.log().contains("nothing moved for 3600 s") && s.log().contains("Connection closed"), "{}", s.log());
    s.sim.check_quiescent().unwrap();
}
