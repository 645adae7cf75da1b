//! Each limit where it bites, and the same without it: the test would not see a limit that is not there.
use super::{Desk, PACKET, associated, users};
use crate::service::{Note, Settings};
use crate::socks::auth::Access;
use crate::socks::proxy::Options;
use crate::users::Check;
use core::time::Duration;
use proto_core::socks5::Limits;
use proto_core::{Addr, Input, Instant, Op, Peer, Reason, RelayEnd, Token};

/// So long that it is no limit.
const NEVER: Duration = Duration::from_secs(1 << 30);

fn at(desk: &mut Desk, s: u64) -> Vec<Op<Check, Note>> {
    desk.now = Instant::from_nanos(s * 1_000_000_000);
    desk.give(Input::Deadline)
}
fn aborts(ops: &[Op<Check, Note>], t: Token) -> bool {
    ops.iter().any(|op| matches!(op, Op::Abort(x) | Op::Close { conn: x, .. } if *x == t))
}
/// A new client from 10.9.9.9; whether it was let in.
fn knock(desk: &mut Desk) -> (Token, bool) {
    let conn = desk.table.open(0);
    let (listener, remote) = (desk.listener, Addr::Ip("10.9.9.9:5".parse().unwrap()));
    let ops = desk.give(Input::Accepted { conn, listener, peer: Peer { remote, local: None, fd: 0 } });
    (conn, !aborts(&ops, conn))
}
/// A session that relays: its client, and its connection to the target.
fn relaying(desk: &mut Desk) -> (Token, Token) {
    let (t, ops) = desk.ask(b"93.184.216.34");
    let out = ops.iter().find_map(|op| if let Op::Connect { conn, .. } = op { Some(*conn) } else { None }).unwrap();
    let local = Some(Addr::Ip("10.0.0.1:9".parse().unwrap()));
    let remote = Addr::Ip("93.184.216.34:80".parse().unwrap());
    let ops = desk.give(Input::Connected { conn: out, peer: Peer { remote, local, fd: 0 } });
    assert_eq!(ops.iter().filter(|op| matches!(op, Op::Relay { .. })).count(), 2);
    (t, out)
}

#[test]
fn sk_07_the_handshake_has_a_limit() {
    for (handshake, cut) in [(Duration::from_secs(10), true), (NEVER, false)] {
        let limits = Limits { handshake, ..Limits::default() };
        let mut desk = Desk::new(Options { limits, ..Options::default() });
        let (t, _) = knock(&mut desk);
        desk.bytes(t, b"\x05\x01\x00\x05");
        assert!(!aborts(&at(&mut desk, 9), t));
        assert_eq!(aborts(&at(&mut desk, 11), t), cut);
    }
}

#[test]
fn sk_08_early_data_has_a_limit() {
    for (early, reads_on) in [(16 << 10, false), (1 << 20, true)] {
        let mut desk = Desk::new(Options { limits: Limits { early, ..Limits::default() }, ..Options::default() });
        let (t, _) = desk.ask(b"93.184.216.34");
        desk.bytes(t, &[b'e'; 16_000]);
        assert!(desk.table.is_wanted(t), "below the limit");
        desk.bytes(t, &[b'e'; 1000]);
        assert_eq!(desk.table.is_wanted(t), reads_on);
    }
}

#[test]
fn sk_09_a_session_that_is_half_over_has_a_limit() {
    for (half, cut) in [(Duration::from_secs(600), true), (NEVER, false)] {
        for client_first in [true, false] {
            let mut desk = Desk::new(Options { half, ..Options::default() });
            let (t, out) = relaying(&mut desk);
            let from = if client_first { t } else { out };
            desk.give(Input::Relayed { from, total: 5, end: RelayEnd::Eof });
            let ops = at(&mut desk, 599);
            assert!(!aborts(&ops, t) && !aborts(&ops, out));
            let ops = at(&mut desk, 601);
            assert_eq!((aborts(&ops, t), aborts(&ops, out)), (cut, cut));
        }
    }
}

#[test]
fn sk_09_silence_has_a_limit() {
    for (idle, cut) in [(Some(Duration::from_secs(3600)), true), (None, false)] {
        let mut desk = Desk::with(Options::default(), Settings { idle, ..Settings::default() });
        let (t, out) = relaying(&mut desk);
        assert!(!aborts(&at(&mut desk, 3599), t));
        let ops = at(&mut desk, 3601);
        assert_eq!((aborts(&ops, t), aborts(&ops, out)), (cut, cut));
    }
}

#[test]
fn sk_04_failed_logins_have_a_limit() {
    for (failures, refused) in [(10, true), (u32::MAX, false)] {
        let mut desk = Desk::new(Options { access: users(), failures, ..Options::default() });
        for n in 0..10 {
            let (t, welcome) = knock(&mut desk);
            assert!(welcome, "{n}");
            desk.bytes(t, b"\x05\x01\x02\x01\x04user\x04nope");
            desk.give(Input::Closed(t, Reason::Reset));
            desk.table.close(t);
        }
        assert_eq!(knock(&mut desk).1, !refused);
    }
}

#[test]
fn sessions_of_an_address_have_a_limit() {
    for (per_ip, welcome) in [(Some(100), 100), (None, 150)] {
        let mut desk = Desk::with(Options::default(), Settings { per_ip, ..Settings::default() });
        assert_eq!((0..150).filter(|_| knock(&mut desk).1).count(), welcome);
        assert_eq!(desk.app.refused, 150 - welcome as u64);
    }
}

#[test]
fn sk_05_datagrams_that_wait_have_a_limit() {
    let mut desk = Desk::new(Options { access: Access::default(), associations: 1, ..Options::default() });
    let (_, socket) = associated(&mut desk);
    let from = Addr::Ip("10.9.9.9:77".parse().unwrap());
    let mut outside = None;
    for _ in 0..100 {
        let ops = desk.give(Input::Datagram { socket, from: from.clone(), data: &mut PACKET.to_vec() });
        outside =
            outside.or(ops.iter().find_map(|op| if let Op::Udp { socket, .. } = op { Some(*socket) } else { None }));
    }
    let local = Addr::Ip("0.0.0.0:4001".parse().unwrap());
    let ops = desk.give(Input::Bound { socket: outside.unwrap(), local });
    assert_eq!(ops.len(), 8, "of a hundred that came before there was a socket");
    // When there is one, none waits.
    let ops = desk.give(Input::Datagram { socket, from, data: &mut PACKET.to_vec() });
    assert_eq!(ops.len(), 1);
}

#[test]
fn sk_06_a_listener_waits_half_a_minute() {
    let mut desk = Desk::new(Options { bind_command: true, ..Options::default() });
    let (t, _) = knock(&mut desk);
    let ops = desk.bytes(t, b"\x05\x01\x00\x05\x02\x00\x01\x5d\xb8\xd8\x22\x00\x14");
    let socket = |ops: &[Op<Check, Note>]| {
        ops.iter()
            .find_map(|op| match op {
                Op::Udp { socket: s, .. } | Op::Listen { listener: s, .. } => Some(*s),
                _ => None,
            })
            .unwrap()
    };
    let local = || Addr::Ip("10.0.0.1:4000".parse().unwrap());
    let ops = desk.give(Input::Bound { socket: socket(&ops), local: local() });
    let listener = socket(&ops);
    desk.give(Input::Bound { socket: listener, local: local() });
    assert_eq!(desk.heard(t)[2..4], [5, 0]);
    at(&mut desk, 29);
    assert_eq!(desk.heard(t).len(), 12, "it waits");
    let ops = at(&mut desk, 31);
    assert!(aborts(&ops, listener), "the listener is gone");
    assert_eq!(desk.heard(t)[12..14], [5, 4], "nobody has come");
}
