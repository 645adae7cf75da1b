//! A proxy behind a proxy.
use super::played::{ASK_TARGET, Stage, visits};
use super::{policy, users};
use crate::front::scripted::Leave;
use crate::service::Settings;
use crate::socks::auth::Access;
use crate::socks::proxy::{Options, Proxy};
use crate::via::Proxy as Via;
use core::time::Duration;
use drivers::sim::{NodeConfig, NodeId, check_seeds};
use proto_core::Signal;

/// The stage's proxy reaches everything through `via`; the upstream, at 10.0.0.4, has users, and what it denies.
fn stage(seed: u64, plan: &str, via: &str, deny: &[&str]) -> (Stage, NodeId) {
    let upstream = Some(Via::parse(via).unwrap());
    let options = Options { upstream, associations: 1, bind_command: true, ..Options::default() };
    let mut s = Stage::new(seed, plan, options);
    let access = Access { policy: policy(&[], deny), ..users() };
    let settings = Settings { drain: Duration::from_secs(10), ..Settings::default() };
    let app = Proxy::new(settings, Options { access, ..Options::default() });
    let files = vec![("etc/hosts".into(), b"10.0.0.2 target\n".to_vec())];
    let up = s.sim.add("up", app, NodeConfig { files, ..NodeConfig::server(1081) }).unwrap();
    (s, up)
}
fn log(s: &Stage, of: NodeId) -> String {
    String::from_utf8_lossy(s.sim.stdout(of)).into_owned()
}

#[test]
fn sessions_go_through_it_by_name_or_by_address() {
    for (scheme, asked) in [("socks5h", "CONNECT target:7\n"), ("socks5", "CONNECT 10.0.0.2:7\n")] {
        let via = format!("{scheme}://user:pass@10.0.0.4:1081");
        check_seeds("sessions_go_through_it_by_name_or_by_address", 0..100, |seed| {
            let plan = ["delay=1ms", "split=1,short=20%", "delay=20ms±19ms,stall=1%:1s"][seed as usize % 3];
            let (mut s, up) = stage(seed, plan, &via, &[]);
            let v = s.visitor(visits("target", 3, 1 + (seed as usize * 7919) % 5_000));
            s.sim.run_until(Duration::from_secs(2000), |sim| sim.exit(v).is_some());
            if s.sim.exit(v) != Some(0) || log(&s, up).matches(asked).count() != 3 {
                return Err(format!("{}\n{}", s.log(), log(&s, up)));
            }
            s.sim.signal(s.proxy, Duration::ZERO, Signal::Interrupt);
            s.sim.signal(up, Duration::ZERO, Signal::Interrupt);
            s.sim.run(Duration::from_secs(100));
            s.quiet()
        });
    }
}

#[test]
fn what_it_answers_is_passed_on_and_its_own_troubles_are_ours() {
    for (via, deny, code, why) in [
        ("socks5h://user:pass@10.0.0.4:1081", "*:7", 2, "Failed: upstream: not allowed by the proxy's rules"),
        ("socks5h://user:pass@10.0.0.4:1081", "*:9", 0, "forwarding"),
        ("socks5h://user:nope@10.0.0.4:1081", "*:9", 1, "does not accept the user name and password"),
        ("socks5h://10.0.0.4:1081", "*:9", 1, "Failed: upstream: the proxy wants a user name and a password"),
        ("socks5h://10.0.0.4:9", "*:9", 1, "Failed: upstream: connection refused"),
        ("socks5h://nobody.example:9", "*:9", 1, "Failed: upstream nobody.example: "),
        ("socks5h://10.0.0.2:7", "*:9", 1, "Failed: upstream: "), // an echo is no proxy
    ] {
        let (mut s, _) = stage(1, "delay=1ms", via, &[deny]);
        let heard = s.talker("client", ASK_TARGET, Leave::Never);
        s.sim.run(Duration::from_secs(9));
        let heard = heard.lock().unwrap().clone();
        assert_eq!(heard.get(3), Some(&code), "{via}: {heard:?}\n{}", s.log());
        assert!(s.log().contains(why), "{via}: {}", s.log());
    }
}

#[test]
fn an_upstream_that_is_silent_has_the_time_that_a_target_has() {
    for after in [0, 3] {
        let (mut s, up) = stage(1, "delay=1ms", "socks5h://user:pass@10.0.0.4:1081", &[]);
        // Before it is connected to, and in the middle of its answers.
        s.sim.run(Duration::from_millis(1));
        let heard = s.talker("client", ASK_TARGET, Leave::Never);
        s.sim.run(Duration::from_millis(after * 2));
        let proxy = s.proxy;
        s.sim.partition(proxy, up, Duration::from_secs(1000));
        s.sim.run(Duration::from_secs(9));
        assert!(heard.lock().unwrap().len() <= 2, "{}", s.log());
        s.sim.run(Duration::from_secs(2));
        assert_eq!(heard.lock().unwrap().get(3), Some(&4), "{}", s.log());
    }
}

#[test]
fn it_is_asked_for_connections_only() {
    for command in [2, 3] {
        let (mut s, _) = stage(1, "delay=1ms", "socks5h://user:pass@10.0.0.4:1081", &[]);
        let request = [b"\x05\x01\x00\x05", &[command][..], b"\x00\x01\x0a\x00\x00\x02\x00\x07"].concat();
        let heard = s.talker("client", &request, Leave::Never);
        s.sim.run(Duration::from_secs(1));
        assert_eq!(heard.lock().unwrap().get(3), Some(&7), "{}", s.log());
    }
}

#[test]
fn who_leaves_while_it_is_asked_is_not_waited_for() {
    let (mut s, up) = stage(1, "delay=100ms", "socks5h://user:pass@10.0.0.4:1081", &[]);
    s.talker("hasty", ASK_TARGET, Leave::Reset(Duration::from_millis(700)));
    s.sim.run(Duration::from_secs(30));
    assert!(!log(&s, up).contains("established"), "{}", log(&s, up));
    s.quiet().unwrap();
}
