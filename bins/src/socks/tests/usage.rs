//! What users may use, each limit with the same without it.
use super::played::{Stage, visits};
use super::{Desk, PACKET, users};
use crate::socks::account::{Accounts, Limits};
use crate::socks::proxy::Options;
use crate::socks::visit::Visits;
use core::time::Duration;
use drivers::sim::NodeId;
use proto_core::{Addr, Input, Instant, Op, Peer, Signal};

const FILE: &str = "usage.txt";

fn options(limits: Limits, usage: Option<&str>) -> Options {
    let accounts = Accounts::new(limits, usage.is_some());
    Options { access: users(), accounts, usage: usage.map(Into::into), associations: 1, ..Options::default() }
}
/// A client of the user who has `bytes` echoed.
fn visitor(s: &mut Stage, bytes: usize) -> NodeId {
    let login = Some(("user".to_string(), "pass".to_string()));
    s.visitor(Visits { login, ..visits("10.0.0.2", 1, bytes) })
}
/// Its exit code.
fn visit(s: &mut Stage, bytes: usize) -> Option<u8> {
    let v = visitor(s, bytes);
    s.sim.run_until(Duration::from_secs(1000), |sim| sim.exit(v).is_some());
    s.sim.exit(v)
}

#[test]
fn a_user_moves_so_many_bytes_a_second_in_all_sessions_together() {
    let took = |rate, sessions: usize, seed| {
        let mut s = Stage::new(seed, "delay=1ms", options(Limits { rate, ..Limits::default() }, None));
        let all: Vec<NodeId> = (0..sessions).map(|_| visitor(&mut s, 500_000 / sessions)).collect();
        s.sim.run_until(Duration::from_secs(1000), |sim| all.iter().all(|v| sim.exit(*v).is_some()));
        assert!(all.iter().all(|v| s.sim.exit(*v) == Some(0)), "{}", s.log());
        s.sim.now().as_secs_f64()
    };
    for sessions in [1, 2, 5] {
        for seed in 0..5 {
            // A million bytes there and back, at a time when nobody has been silent for long.
            let with = took(Some(100_000), sessions, seed);
            assert!((9.0..=11.0).contains(&with), "{sessions} sessions: {with} s");
            assert!(took(None, sessions, seed) < 2.0);
        }
    }
}

#[test]
fn a_user_who_has_used_up_a_month_is_refused_until_the_next_also_by_another_proxy() {
    for month in [Some(200_000), None] {
        let limits = Limits { month, ..Limits::default() };
        let mut s = Stage::new(1, "delay=1ms", options(limits, Some(FILE)));
        assert_eq!(visit(&mut s, 40_000), Some(0));
        assert_eq!(visit(&mut s, 400_000) == Some(0), month.is_none(), "{}", s.log());
        assert_eq!(visit(&mut s, 1) == Some(0), month.is_none(), "{}", s.log());
        assert_eq!(s.log().contains("Failed: the user has used up"), month.is_some(), "{}", s.log());
        s.sim.signal(s.proxy, Duration::ZERO, Signal::Terminate);
        s.sim.run(Duration::from_secs(5));
        assert_eq!(s.sim.exit(s.proxy), Some(0));
        let text = String::from_utf8(s.sim.file(s.proxy, FILE).unwrap()).unwrap();
        let bytes: u64 = text.lines().last().unwrap().strip_suffix(" user").unwrap().parse().unwrap();
        let most = month.map_or(880_002, |m| m + (320 << 10));
        assert!(month.unwrap_or(880_002) <= bytes && bytes <= most, "{text}");
        // The next one goes on from there.
        let mut next = options(limits, Some(FILE));
        next.accounts.read(&text).unwrap();
        let mut s = Stage::new(2, "delay=1ms", next);
        assert_eq!(visit(&mut s, 1) == Some(0), month.is_none(), "{}", s.log());
        let later = Duration::from_secs(32 * 86_400);
        s.sim.signal(s.proxy, later, Signal::Report); // a machine where nothing happens has no time
        s.sim.run(later);
        assert_eq!(visit(&mut s, 1), Some(0), "{}", s.log());
    }
}

#[test]
fn what_was_used_is_written_while_the_proxy_runs() {
    let mut s = Stage::new(1, "delay=1ms", options(Limits::default(), Some(FILE)));
    assert_eq!(visit(&mut s, 5000), Some(0));
    assert!(s.sim.file(s.proxy, FILE).is_err(), "not at once");
    s.sim.run(Duration::from_secs(11));
    assert!(String::from_utf8(s.sim.file(s.proxy, FILE).unwrap()).unwrap().ends_with("\n10000 user\n"));
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_tried_again() {
    let mut s = Stage::new(1, "delay=1ms", options(Limits::default(), Some("nowhere/usage.txt")));
    assert_eq!(visit(&mut s, 5000), Some(0));
    s.sim.run(Duration::from_secs(25));
    let said = String::from_utf8_lossy(s.sim.stderr(s.proxy)).into_owned();
    assert_eq!(said.matches("cannot write 'nowhere/usage.txt'").count(), 2, "{said}");
    s.sim.signal(s.proxy, Duration::ZERO, Signal::Terminate);
    s.sim.run(Duration::from_secs(1));
    assert_eq!(s.sim.exit(s.proxy), Some(0), "it does not wait for ever");
}

#[test]
fn datagrams_above_the_limits_are_dropped() {
    for (rate, month, sent) in [(None, None, 100), (Some(80), None, 11), (None, Some(160), 20)] {
        let mut desk = Desk::new(options(Limits { rate, month, ..Limits::default() }, None));
        desk.now = Instant::from_nanos(1_000_000_000); // a second of silence before
        let conn = desk.table.open(0);
        let (listener, remote) = (desk.listener, Addr::Ip("10.9.9.9:5".parse().unwrap()));
        desk.give(Input::Accepted { conn, listener, peer: Peer { remote, local: None, fd: 0 } });
        let ops = desk.bytes(conn, b"\x05\x01\x02\x01\x04user\x04pass\x05\x03\x00\x01\0\0\0\0\0\0");
        let socket = |ops: &[Op<_, _>]| {
            ops.iter().find_map(|op| if let Op::Udp { socket, .. } = op { Some(*socket) } else { None })
        };
        let inside = socket(&ops).unwrap();
        desk.give(Input::Bound { socket: inside, local: Addr::Ip("127.0.0.1:4000".parse().unwrap()) });
        let (mut outside, mut passed) = (None, 0);
        for _ in 0..100 {
            // Eight bytes each.
            let from = Addr::Ip("10.9.9.9:77".parse().unwrap());
            let ops = desk.give(Input::Datagram { socket: inside, from, data: &mut PACKET.to_vec() });
            passed += ops.iter().filter(|op| matches!(op, Op::SendTo { .. })).count();
            if let Some(socket) = socket(&ops).filter(|_| outside.is_none()) {
                outside = Some(socket);
                let local = Addr::Ip("0.0.0.0:4001".parse().unwrap());
                passed += desk.give(Input::Bound { socket, local }).len();
            }
        }
        assert_eq!(passed, sent, "{rate:?} {month:?}");
    }
}
