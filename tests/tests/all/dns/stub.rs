//! The stub: which datagram is the reply, who is asked next, and when it is over.
use super::{name, reply};
use core::net::SocketAddr;
use core::time::Duration;
use proto_core::dns::{Act, Asked, Domain, Failed, Message, Policy, Reply, Stub, Tcp, TryId, Type, Via};
use proto_core::{Instant, Reason};
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A stub with its clock, its randomness, and a list of what it wants.
pub struct World {
    pub stub: Stub,
    policy: Arc<Policy>,
    pub rng: ChaCha12Rng,
    pub now: Instant,
}

pub struct Sent {
    pub id: TryId,
    pub server: SocketAddr,
    pub via: Via,
    pub message: Vec<u8>,
}

pub fn at(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 53))
}

pub fn policy(servers: u8) -> Policy {
    Policy { servers: (1..=servers).map(at).collect(), jitter: false, mixed_case: false, ..Policy::default() }
}

impl World {
    pub fn new(policy: Policy) -> Self {
        let rng = ChaCha12Rng::seed_from_u64(7);
        World { stub: Stub::default(), policy: Arc::new(policy), rng, now: Instant::from_nanos(1) }
    }
    pub fn ask(&mut self, text: &str) {
        self.stub.ask(Asked::new(name(text), Type::A), &self.policy, self.now, &mut self.rng);
    }
    /// What was sent since the last look; sockets that were closed.
    pub fn acts(&mut self) -> (Vec<Sent>, Vec<TryId>) {
        let (mut sent, mut dropped) = (Vec::new(), Vec::new());
        while let Some(act) = self.stub.next_act() {
            match act {
                Act::Udp { id, server, message } => sent.push(Sent { id, server, via: Via::Udp, message }),
                Act::Tcp { id, server, message } => sent.push(Sent { id, server, via: Via::Tcp, message }),
                Act::Drop(id) => dropped.push(id),
            }
        }
        (sent, dropped)
    }
    pub fn sent(&mut self) -> Sent {
        let (mut sent, _) = self.acts();
        assert_eq!(sent.len(), 1);
        sent.remove(0)
    }
    pub fn hear(&mut self, s: &Sent, from: SocketAddr, data: &[u8]) {
        match s.via {
            Via::Udp => self.stub.on_datagram(s.id, from, data, self.now, &mut self.rng),
            Via::Tcp => self.stub.on_stream_message(s.id, data, self.now, &mut self.rng),
        }
    }
    pub fn wait(&mut self) -> Duration {
        let at = self.stub.deadline().expect("it waits").at;
        let span = at.since(self.now);
        self.now = at;
        self.stub.on_deadline(self.now, &mut self.rng);
        span
    }
    pub fn done(&mut self) -> Option<Result<Reply, Failed>> {
        self.stub.next_done().map(|(_, r)| r)
    }
}

const ADDRESS: &[(&str, Type, u32, &str)] = &[("", Type::A, 60, "192.0.2.99")];

#[test]
fn tries_wait_longer_and_each_has_its_own_id() {
    let mut w = World::new(policy(1));
    w.ask("a.example");
    let mut ids = BTreeSet::new();
    for wait in [1, 2, 4] {
        let sent = w.sent();
        assert_eq!((sent.server, sent.via), (at(1), Via::Udp));
        ids.insert(Message::parse(&sent.message).unwrap().header().id);
        assert_eq!(w.wait(), Duration::from_secs(wait));
    }
    assert_eq!(ids.len(), 3);
    assert!(matches!(w.done(), Some(Err(Failed::NoReply { sent: 3, .. }))));
    assert_eq!(w.acts().1.len(), 3, "all sockets are closed");
    assert!(w.stub.is_empty() && w.stub.deadline().is_none());
}

#[test]
fn servers_are_asked_in_order() {
    let mut w = World::new(Policy { total: Duration::from_secs(60), ..policy(3) });
    w.ask("a.example");
    let mut order = Vec::new();
    while w.done().is_none() {
        let sent = w.sent();
        order.push(sent.server);
        w.wait();
        if order.len() == 9 {
            break;
        }
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 3, 1, 2, 3].map(at));
}

#[test]
fn a_question_is_no_flood() {
    let mut w = World::new(Policy { total: Duration::from_secs(600), tries: 10, ..policy(3) });
    w.ask("a.example");
    let mut sent = 0;
    while w.done().is_none() {
        sent += w.acts().0.len();
        w.wait();
    }
    assert_eq!(sent, 12);
    // The control: without the budget it is thirty.
    let mut w = World::new(Policy { total: Duration::from_secs(6000), tries: 10, sends: 255, ..policy(3) });
    w.ask("a.example");
    let mut sent = 0;
    while w.done().is_none() {
        sent += w.acts().0.len();
        w.wait();
    }
    assert_eq!(sent, 30);
    let mut w = World::new(Policy { tries: 10, doubles: false, ..policy(3) });
    w.ask("a.example");
    let began = w.now;
    while w.done().is_none() {
        w.wait();
    }
    assert_eq!(w.now.since(began), Duration::from_secs(8), "all of it has an end");
}

#[test]
fn a_late_reply_to_an_earlier_try_counts() {
    let mut w = World::new(policy(1));
    w.ask("a.example");
    let first = w.sent();
    w.wait();
    let second = w.sent();
    w.hear(&first, at(1), &reply(&first.message, 0, ADDRESS));
    let done = w.done().unwrap().unwrap();
    assert_eq!((done.sent, done.took), (2, Duration::from_secs(1)));
    w.hear(&second, at(1), &reply(&second.message, 0, ADDRESS));
    assert!(w.done().is_none(), "once");
}

/// What is not the reply is dropped and counted by its first mistake, and the wait goes on.
#[test]
fn what_is_not_the_reply() {
    type Change = fn(&mut Vec<u8>);
    let cases: &[(&str, SocketAddr, Change)] = &[
        ("source", at(2), |_| {}),
        ("source", SocketAddr::from(([192, 0, 2, 1], 54)), |_| {}),
        ("source", "[2001:db8::1]:53".parse().unwrap(), |_| {}),
        ("id", at(1), |m| m[0] ^= 1),
        ("id", at(1), |m| m[1] ^= 0x80),
        ("kind", at(1), |m| m[2] &= 0x7f),
        ("kind", at(1), |m| m[2] |= 0x08),
        ("kind", at(1), |m| m[2] |= 0x78),
        ("question", at(1), |m| m[13] = b'b'),
        ("question", at(1), |m| m[12] = 0),
        ("question", at(1), |m| m[24] = 28),
        ("question", at(1), |m| m[26] = 3),
        ("question", at(1), |m| m[5] = 0),
        ("question", at(1), |m| m[5] = 2),
        ("question", at(1), |m| m.truncate(20)),
        ("question", at(1), |m| m[12] = 0xc0),
        ("malformed", at(1), |m| m.truncate(11)),
        ("malformed", at(1), |m| m.clear()),
    ];
    for (i, (kind, from, change)) in cases.iter().enumerate() {
        let mut w = World::new(policy(1));
        w.ask("a.example");
        let sent = w.sent();
        let good = reply(&sent.message, 0, ADDRESS);
        let mut bad = good.clone();
        change(&mut bad);
        w.hear(&sent, *from, &bad);
        assert!(w.done().is_none(), "case {i}");
        w.hear(&sent, at(1), &good);
        let done = w.done().unwrap_or_else(|| panic!("case {i}: the true reply is taken")).unwrap();
        let d = done.dropped;
        let counts = [
            ("source", d.source),
            ("id", d.id),
            ("kind", d.kind),
            ("question", d.question),
            ("malformed", d.malformed),
        ];
        for (name, n) in counts {
            assert_eq!(n, u32::from(name == *kind), "case {i}: {name}");
        }
    }
}

#[test]
fn the_case_of_the_question_may_differ_unless_it_was_drawn() {
    for (mixed, takes) in [(false, true), (true, false)] {
        let mut w = World::new(Policy { mixed_case: mixed, mistakes: u32::MAX, ..policy(1) });
        w.ask("abcdefghijklmnop.example");
        let sent = w.sent();
        let mut other = reply(&sent.message, 0, ADDRESS);
        other[13..29].iter_mut().for_each(|b| *b ^= 0x20);
        w.hear(&sent, at(1), &other);
        assert_eq!(w.done().is_some(), takes);
    }
    // The last round goes without, for servers that lose the case.
    let mut w = World::new(Policy { mixed_case: true, ..policy(1) });
    w.ask("abcdefghijklmnop.example");
    w.wait();
    w.wait();
    let (sent, _) = w.acts();
    let last = sent.last().unwrap();
    assert_eq!(
        Message::parse(&last.message).unwrap().question().unwrap().unwrap().name.to_string(),
        "abcdefghijklmnop.example."
    );
    assert_ne!(sent[0].message[12..], last.message[12..]);
}

/// Somebody who can send from the server's address, and knows the question, sends every id: all 65,536 of them. Nothing is taken,
/// for after sixteen mistakes the question goes over TCP. The negative control: without that rule one of them fits.
#[test]
fn nobody_guesses_the_id() {
    for (mistakes, taken) in [(16, 0), (u32::MAX, 1)] {
        let mut accepted = 0;
        let mut w = World::new(Policy { mistakes, ..policy(1) });
        w.ask("bank.example");
        let sent = w.sent();
        let mut forged = reply(&sent.message, 0, &[("", Type::A, 60, "203.0.113.66")]);
        // From a place that is far from the id that was drawn, so that luck is not what decides.
        let start = u16::from_be_bytes([sent.message[0], sent.message[1]]).wrapping_add(1000);
        for i in 0..=u16::MAX {
            forged[..2].copy_from_slice(&start.wrapping_add(i).to_be_bytes());
            w.hear(&sent, at(1), &forged);
            accepted += usize::from(w.done().is_some_and(|r| r.is_ok()));
        }
        assert_eq!(accepted, taken, "{mistakes}");
        if taken == 0 {
            let tcp = w.sent();
            assert_eq!(tcp.via, Via::Tcp);
            w.hear(&tcp, at(1), &reply(&tcp.message, 0, ADDRESS));
            assert_eq!(w.done().unwrap().unwrap().dropped.id, 16);
        }
    }
}

/// With letters in mixed case, a guess of the id alone is no reply.
#[test]
fn nobody_guesses_the_case() {
    for (mixed_case, taken) in [(true, 0), (false, 1)] {
        let mut w = World::new(Policy { mixed_case, mistakes: u32::MAX, ..policy(1) });
        w.ask("a-name-with-many-letters.bank.example");
        let sent = w.sent();
        let mut plain = sent.message.clone();
        plain[12..50].make_ascii_lowercase();
        let mut forged = reply(&plain, 0, ADDRESS);
        let mut accepted = 0;
        for id in 0..=u16::MAX {
            forged[..2].copy_from_slice(&id.to_be_bytes());
            w.hear(&sent, at(1), &forged);
            accepted += usize::from(w.done().is_some_and(|r| r.is_ok()));
        }
        assert_eq!(accepted, taken);
    }
}

/// Ids are even: a hundred thousand of them, by their upper byte, within what chance allows (255 degrees of freedom, p > 0.001);
/// a generator that counts would not be.
#[test]
fn ids_are_drawn_evenly() {
    let ids = |mut draw: Box<dyn FnMut() -> u16>| {
        let mut seen = [0f64; 256];
        let mut repeats = 0;
        let mut last = None;
        for _ in 0..100_000 {
            let id = draw();
            seen[usize::from(id >> 8)] += 1.0;
            repeats += usize::from(last == Some(id.wrapping_sub(1)));
            last = Some(id);
        }
        let expected = 100_000.0 / 256.0;
        (seen.iter().map(|n| (n - expected).powi(2) / expected).sum::<f64>(), repeats)
    };
    let mut w = World::new(policy(1));
    let (chi, steps) = ids(Box::new(move || {
        w.ask("a.example");
        let sent = w.sent();
        w.stub.cancel(sent.id.query);
        w.acts();
        u16::from_be_bytes([sent.message[0], sent.message[1]])
    }));
    assert!((180.0..331.0).contains(&chi) && steps < 12, "{chi} {steps}");
    let mut n = 0u16;
    let (_, steps) = ids(Box::new(move || {
        n = n.wrapping_add(1);
        n
    }));
    assert!(steps > 90_000, "the check finds what counts");
}

#[test]
fn a_reply_that_was_cut_is_asked_for_over_tcp() {
    for tcp in [Tcp::WhenCut, Tcp::Never] {
        let mut w = World::new(Policy { tcp, ..policy(1) });
        w.ask("a.example");
        let udp = w.sent();
        w.hear(&udp, at(1), &reply(&udp.message, 1 << 9, &[]));
        if tcp == Tcp::Never {
            assert_eq!(w.done().unwrap().unwrap().via, Via::Udp);
            continue;
        }
        let (sent, closed) = w.acts();
        assert_eq!((sent[0].via, sent[0].server, closed), (Via::Tcp, at(1), vec![udp.id]));
        // What still comes over UDP is of no interest.
        w.hear(&udp, at(1), &reply(&udp.message, 0, ADDRESS));
        assert!(w.done().is_none());
        w.hear(&sent[0], at(1), &reply(&sent[0].message, 0, ADDRESS));
        assert_eq!(w.done().unwrap().unwrap().via, Via::Tcp);
    }
}

#[test]
fn servers_that_fail_are_left() {
    // (code, is it asked again?)
    for code in [2u16, 4, 5, 9] {
        let mut w = World::new(Policy { edns: None, ..policy(2) });
        w.ask("a.example");
        let first = w.sent();
        w.hear(&first, at(1), &reply(&first.message, code, &[]));
        let second = w.sent();
        assert_eq!(second.server, at(2));
        w.hear(&second, at(2), &reply(&second.message, code, &[]));
        let done = w.done().unwrap().unwrap();
        assert_eq!(Message::parse(&done.bytes).unwrap().rcode().0, code, "the last `no` is the answer");
    }
    let mut w = World::new(policy(2));
    w.ask("a.example");
    let first = w.sent();
    w.stub.on_closed(first.id, Reason::PortUnreachable, w.now, &mut w.rng);
    let second = w.sent();
    w.stub.on_closed(second.id, Reason::PortUnreachable, w.now, &mut w.rng);
    let unreachable = Failed::Unreachable { server: at(2), why: Reason::PortUnreachable };
    assert_eq!(w.done(), Some(Err(unreachable)), "at once");
}

#[test]
fn edns_is_left_out_once() {
    for bare in [false, true] {
        for code in [1u16, 4, 16] {
            if bare && code == 16 {
                continue;
            }
            let mut w = World::new(policy(1));
            w.ask("a.example");
            let first = w.sent();
            assert!(Message::parse(&first.message).unwrap().edns().is_some());
            let mut no = reply(&first.message, code & 15, &[]);
            if bare {
                no.truncate(12);
                no[5] = 0; // a server that cannot read the question does not repeat it
            }
            if code == 16 {
                no[11] = 1;
                no.extend(b"\0\0\x29\x04\xd0\x01\0\0\0\0\0");
            }
            w.hear(&first, at(1), &no);
            let second = w.sent();
            assert!(Message::parse(&second.message).unwrap().edns().is_none());
            w.hear(&second, at(1), &reply(&second.message, 0, ADDRESS));
            assert!(w.done().unwrap().unwrap().without_edns);
        }
    }
    // A server that says so again is left.
    let mut w = World::new(policy(1));
    w.ask("a.example");
    for _ in 0..2 {
        let sent = w.sent();
        w.hear(&sent, at(1), &reply(&sent.message, 1, &[]));
    }
    assert!(w.done().is_some() && w.acts().0.is_empty());
}

#[test]
fn a_reply_that_is_malformed_is_told() {
    let mut w = World::new(policy(1));
    w.ask("a.example");
    let sent = w.sent();
    let mut bad = reply(&sent.message, 0, ADDRESS);
    let n = bad.len();
    bad[n - 5] = 9;
    w.hear(&sent, at(1), &bad);
    let Some(Err(Failed::Malformed { server, bytes, .. })) = w.done() else { panic!("malformed") };
    assert_eq!((server, bytes), (at(1), bad));
}

#[test]
fn questions_do_not_mix() {
    let mut w = World::new(policy(1));
    let names: Vec<Domain> = (0..50).map(|i| name(&format!("n{i}.example"))).collect();
    for n in &names {
        w.ask(&n.to_string());
    }
    let (mut sent, _) = w.acts();
    assert_eq!(w.stub.len(), 50);
    sent.reverse();
    // The reply to one, sent to the socket of another, is nobody's.
    let wrong = reply(&sent[0].message, 0, ADDRESS);
    w.hear(&sent[1], at(1), &wrong);
    assert!(w.done().is_none());
    for s in &sent {
        let dice = w.rng.next_u32();
        w.now = w.now.after(Duration::from_millis(u64::from(dice % 10)));
        w.hear(s, at(1), &reply(&s.message, 0, ADDRESS));
    }
    let mut n = 0;
    while let Some(done) = w.done() {
        assert!(done.is_ok());
        n += 1;
    }
    assert_eq!((n, w.stub.len()), (50, 0));
}
