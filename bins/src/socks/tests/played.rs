//! The proxy in simulations with faults.
use super::users;
use crate::dnsquery::scripted::{NameServer, Temper, Zone};
use crate::echo::load::LoadEcho;
use crate::front::scripted::{Client, Heard, Leave, Script};
use crate::service::{METRICS, Settings};
use crate::socks::account::{Accounts, Limits};
use crate::socks::auth::{Access, Sources};
use crate::socks::proxy::{Options, Proxy};
use crate::socks::visit::{Visitor, Visits};
use core::net::SocketAddr;
use core::time::Duration;
use drivers::Config;
use drivers::sim::{NodeConfig, NodeId, Plan, Sim, check_seeds};
use proto_core::{Signal, echo::Mode};

/// A simulated proxy with a target and clients.
pub struct Stage {
    pub sim: Sim,
    pub proxy: NodeId,
    target: NodeId,
    ns: NodeId,
}

impl Stage {
    pub fn new(seed: u64, plan: &str, options: Options) -> Stage {
        let mut sim = Sim::new(seed, plan.parse::<Plan>().unwrap());
        let settings =
            Settings { drain: Duration::from_secs(10), idle: Some(Duration::from_secs(3600)), ..Settings::default() };
        let config = Config { workers: 2, ..Config::default() };
        let app = Proxy::new(settings, options);
        // The first node is 10.0.0.1; the third is a name server, which knows the target by another name.
        let files = vec![
            ("etc/hosts".into(), b"10.0.0.2 target\n10.0.0.3 ns\n".to_vec()),
            ("etc/resolv.conf".into(), b"nameserver 10.0.0.3\noptions timeout:1 attempts:5\n".to_vec()),
        ];
        let mut node = NodeConfig { config, files, ..NodeConfig::server(1080) };
        node.listen.push((METRICS, "0.0.0.0:9464".parse::<SocketAddr>().unwrap().into()));
        let proxy = sim.add("proxy", app, node).unwrap();
        let echo = LoadEcho::new(Settings::default(), Mode::Off);
        let target = sim.add("target", echo, NodeConfig::server(7)).unwrap();
        let zone = Zone::parse("target.example. 1 IN A 10.0.0.2\n").unwrap();
        let ns = sim.add("ns", NameServer::new(zone, Temper::default()), NodeConfig::server(53)).unwrap();
        Stage { sim, proxy, target, ns }
    }
    pub fn visitor(&mut self, visits: Visits) -> NodeId {
        let n = self.sim.steps();
        let app = Visitor::new(("proxy".into(), 1080), visits);
        self.sim.add(&format!("visitor{n}"), app, NodeConfig::default()).unwrap()
    }
    /// Somebody who sends bytes.
    pub fn talker(&mut self, name: &str, send: &[u8], leave: Leave) -> Heard {
        self.talker_at(1080, name, send, leave)
    }
    /// Somebody who asks for the metrics.
    pub fn scraper(&mut self, send: &[u8]) -> Heard {
        self.talker_at(9464, "scraper", send, Leave::Never)
    }
    fn talker_at(&mut self, port: u16, name: &str, send: &[u8], leave: Leave) -> Heard {
        let to = self.sim.addr(self.proxy, port);
        let (app, heard) = Client::new(Script { to, send: send.to_vec(), leave });
        self.sim.add(name, app, NodeConfig::default()).unwrap();
        heard
    }
    /// Nothing is left over but listeners.
    pub fn quiet(&mut self) -> Result<(), String> {
        self.sim.signal(self.ns, Duration::ZERO, Signal::Interrupt);
        self.sim.run(Duration::from_secs(1));
        self.sim.check_quiescent()
    }
    pub fn log(&self) -> String {
        String::from_utf8_lossy(self.sim.stdout(self.proxy)).into_owned()
    }
}

pub fn visits(host: &str, times: u32, bytes: usize) -> Visits {
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
        let host = ["10.0.0.2", "target", "target.example"][seed as usize % 3];
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
        s.quiet()
    });
    if drivers::sim::seeds(0..1000).count() == 1000 {
        assert!(whole.get() > 500, "{}", whole.get());
    }
}

pub const ASK_TARGET: &[u8] = b"\x05\x01\x00\x05\x01\x00\x03\x06target\x00\x07";

#[test]
fn sk_07_a_handshake_has_ten_seconds() {
    let mut s = Stage::new(1, "delay=1ms", Options::default());
    s.talker("silent", b"", Leave::Never);
    s.talker("half", b"\x05\x01\x00\x05", Leave::Never);
    s.sim.run(Duration::from_millis(9_900));
    assert!(s.log().lines().count() == 2, "{}", s.log());
    s.sim.run(Duration::from_secs(5));
    assert_eq!(s.log().matches("handshake took too long").count(), 2, "{}", s.log());
    s.quiet().unwrap();
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
        s.quiet().unwrap();
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
    s.quiet().unwrap();
}

#[test]
fn a_user_may_have_so_many_sessions() {
    let options = Options {
        access: users(),
        accounts: Accounts::new(Limits { sessions: Some(2), ..Limits::default() }, false),
        ..Options::default()
    };
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
    s.quiet().unwrap();
}
