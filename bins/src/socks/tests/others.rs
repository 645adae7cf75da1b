//! Clients that speak SOCKS 4 or HTTP.
use super::played::Stage;
use super::users;
use crate::front::scripted::Leave;
use crate::socks::account::{Accounts, Limits};
use crate::socks::proxy::Options;
use core::time::Duration;
use drivers::sim::check_seeds;

/// Their requests for the target, an echo, with the first bytes for it, and the answers.
const CLIENTS: [(&[u8], &[u8]); 3] = [
    (b"\x04\x01\x00\x07\x0a\x00\x00\x02me\x00hello", b"\x00\x5a"),
    (b"\x04\x01\x00\x07\x00\x00\x00\x01\x00target\x00hello", b"\x00\x5a"),
    (b"CONNECT target:7 HTTP/1.1\r\nHost: target:7\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n\r\n"),
];

fn open() -> Options {
    Options { socks4: true, http: true, ..Options::default() }
}

#[test]
fn they_get_through_whatever_happens_to_their_bytes() {
    for (ask, answer) in CLIENTS {
        check_seeds("they_get_through_whatever_happens_to_their_bytes", 0..100, |seed| {
            let plan = ["delay=1ms", "split=1,short=20%", "delay=20ms±19ms,stall=1%:1s"][seed as usize % 3];
            let mut s = Stage::new(seed, plan, open());
            let more = [ask, &b"hello".repeat(499)].concat();
            let heard = s.talker("client", &more, Leave::Fin(Duration::from_secs(60)));
            s.sim.run(Duration::from_secs(100));
            let heard = heard.lock().unwrap().clone();
            if !heard.starts_with(answer) || !heard.ends_with(&b"hello".repeat(500)) {
                return Err(format!("{}\n{}", heard.escape_ascii(), s.log()));
            }
            if !s.log().contains("Transferred: 2.5 KB up, 2.5 KB down") {
                return Err(s.log());
            }
            s.quiet()
        });
    }
}

#[test]
fn they_are_not_understood_unless_they_are_served() {
    for (ask, _) in CLIENTS {
        let mut s = Stage::new(1, "delay=1ms", Options::default());
        let heard = s.talker("client", ask, Leave::Never);
        s.sim.run(Duration::from_secs(5));
        assert!(heard.lock().unwrap().is_empty() && s.log().contains("not SOCKS5: version "), "{}", s.log());
    }
}

#[test]
fn rules_hold_for_them() {
    for (ask, _) in CLIENTS {
        let access = crate::socks::auth::Access { policy: super::policy(&[], &["*:7"]), ..Default::default() };
        let mut s = Stage::new(1, "delay=1ms", Options { access, ..open() });
        let heard = s.talker("client", ask, Leave::Never);
        s.sim.run(Duration::from_secs(5));
        let heard = heard.lock().unwrap().clone();
        assert!(heard.starts_with(b"\x00\x5b") || heard.starts_with(b"HTTP/1.1 403 "), "{}", heard.escape_ascii());
        assert!(s.log().contains("Failed: denied by rule: --deny *:7"), "{}", s.log());
    }
}

#[test]
fn they_log_in_or_are_not_let_in() {
    let ask = |login: &str| format!("CONNECT target:7 HTTP/1.1\r\nHost: target:7\r\n{login}\r\n").into_bytes();
    let (good, bad) = ("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n", "Proxy-Authorization: Basic dXNlcjpub3Bl\r\n");
    let mut s = Stage::new(1, "delay=1ms", Options { access: users(), ..open() });
    let [none, right, wrong] =
        ["", good, bad].map(|login| s.talker(&format!("c{}", login.len()), &ask(login), Leave::Never));
    let socks4 = s.talker("socks4", CLIENTS[0].0, Leave::Never);
    let twice = s.talker("twice", &[ask(""), ask(good), b"hello".to_vec()].concat(), Leave::Never);
    s.sim.run(Duration::from_millis(900));
    let starts = |heard: &crate::front::scripted::Heard, with: &str| heard.lock().unwrap().starts_with(with.as_bytes());
    assert!(starts(&none, "HTTP/1.1 407 ") && starts(&right, "HTTP/1.1 200 "), "{}", s.log());
    assert!(wrong.lock().unwrap().is_empty(), "a failed login waits");
    assert_eq!(*socks4.lock().unwrap(), b"\x00\x5b\x00\x00\x00\x00\x00\x00");
    assert!(starts(&twice, "HTTP/1.1 407 ") && twice.lock().unwrap().ends_with(b"HTTP/1.1 200 OK\r\n\r\nhello"));
    s.sim.run(Duration::from_millis(1_100));
    assert!(starts(&wrong, "HTTP/1.1 407 "), "{}", s.log());
    assert!(s.log().contains("authenticated as 'user'") && s.log().contains("failed to authenticate as 'user'"));
    assert!(s.log().contains("SOCKS4 cannot log in") && !s.log().contains("nope"), "{}", s.log());
}

#[test]
fn metrics_tell_what_users_use() {
    let metrics = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let login = b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\nhello";
    let ask = [b"CONNECT target:7 HTTP/1.1\r\nHost: a\r\n", &login[..]].concat();
    for counted in [true, false] {
        let accounts = Accounts::new(Limits::default(), counted);
        let mut s = Stage::new(1, "delay=1ms", Options { access: users(), accounts, ..open() });
        s.talker("client", &ask, Leave::Never);
        s.sim.run(Duration::from_secs(1));
        let heard = s.scraper(metrics);
        s.sim.run(Duration::from_secs(1));
        let text = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        assert!(text.contains("drywire_connections_active 1\n"), "{text}");
        for line in ["user_sessions_active{user=\"user\"} 1\n", "user_bytes_total{user=\"user\"} 10\n"] {
            assert_eq!(text.contains(line), counted, "{text}");
        }
    }
}
