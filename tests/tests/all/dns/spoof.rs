//! Somebody who guesses, with all 65,536 ids: each way of being wrong in one thing only is never taken, and after sixteen mistakes
//! the question goes over TCP. The negative controls: the same script without the one thing that is wrong is taken, once, where the
//! rule of sixteen is off.
use super::reply;
use super::stub::{World, at, policy};
use core::net::SocketAddr;
use proto_core::dns::{Message, Policy, Type, Via};
use std::collections::BTreeMap;

const FORGED: &[(&str, Type, u32, &str)] = &[("", Type::A, 60, "203.0.113.66")];
const NAME: &str = "a-name-with-letters.bank.example";

/// What is wrong with a forgery, but for the id, which is right once.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Flaw {
    Nothing,
    Address,
    Port,
    OtherFamily,
    Case,
    OtherName,
    OtherType,
    OtherClass,
    NoQuestion,
    Query,
    Opcode,
}

const FLAWS: [Flaw; 10] = [
    Flaw::Address,
    Flaw::Port,
    Flaw::OtherFamily,
    Flaw::Case,
    Flaw::OtherName,
    Flaw::OtherType,
    Flaw::OtherClass,
    Flaw::NoQuestion,
    Flaw::Query,
    Flaw::Opcode,
];

/// The forgery for a message that went out; whoever guesses knows all of it but the id, and where there is a flaw, that.
fn forged(flaw: Flaw, message: &[u8]) -> (SocketAddr, Vec<u8>) {
    let mut m = reply(message, 0, FORGED);
    let end = 12 + Message::parse(message).unwrap().question().unwrap().unwrap().name.wire_len() + 4;
    let from = match flaw {
        Flaw::Address => at(9),
        Flaw::Port => SocketAddr::new(at(1).ip(), 5353),
        Flaw::OtherFamily => "[::ffff:192.0.2.1]:53".parse().unwrap(),
        _ => at(1),
    };
    match flaw {
        Flaw::Case => m[13] ^= 0x20,
        Flaw::OtherName => m[13] = b'x',
        Flaw::OtherType => m[end - 3] = 28,
        Flaw::OtherClass => m[end - 1] = 3,
        Flaw::NoQuestion => m = [&m[..4], &[0, 0], &m[6..12], &m[end..]].concat(),
        Flaw::Query => m[2] &= 0x7f,
        Flaw::Opcode => m[2] |= 0x20,
        _ => {}
    }
    (from, m)
}

/// How many of 65,536 forgeries are taken, and how many datagrams were dropped for which reason; whether TCP was used.
fn script(flaw: Flaw, mistakes: u32, mixed_case: bool) -> (usize, BTreeMap<&'static str, u32>, bool) {
    let mut w = World::new(Policy { mistakes, mixed_case, ..policy(1) });
    w.ask(NAME);
    let sent = w.sent();
    let (from, mut m) = forged(flaw, &sent.message);
    // From a place far from the id that was drawn, so that luck does not decide.
    let start = u16::from_be_bytes([sent.message[0], sent.message[1]]).wrapping_add(1000);
    let mut taken = 0;
    for i in 0..=u16::MAX {
        m[..2].copy_from_slice(&start.wrapping_add(i).to_be_bytes());
        w.hear(&sent, from, &m);
        taken += usize::from(w.done().is_some());
    }
    if taken > 0 {
        return (taken, BTreeMap::new(), false);
    }
    // It is still open, and the truth is taken.
    let (later, _) = w.acts();
    let to = later.last().unwrap_or(&sent);
    w.hear(to, at(1), &reply(&to.message, 0, &[("", Type::A, 60, "192.0.2.99")]));
    let done = w.done().expect("the true reply is taken").expect("a reply");
    assert!(!done.bytes.windows(4).any(|b| b == [203, 0, 113, 66]), "{flaw:?}");
    let d = done.dropped;
    let counts =
        [("source", d.source), ("id", d.id), ("kind", d.kind), ("question", d.question), ("malformed", d.malformed)];
    (0, counts.into_iter().filter(|(_, n)| *n > 0).collect(), to.via == Via::Tcp)
}

#[test]
fn none_of_all_ids_is_taken() {
    for flaw in FLAWS {
        let (taken, dropped, tcp) = script(flaw, 16, true);
        assert_eq!((taken, dropped.values().sum::<u32>(), tcp), (0, 16, true), "{flaw:?}: sixteen, then TCP");
        // With the rule of sixteen off, the flaw alone is what keeps it out: of all ids, the right one included.
        let (taken, dropped, tcp) = script(flaw, u32::MAX, true);
        assert_eq!((taken, dropped.values().sum::<u32>(), tcp), (0, 65_536, false), "{flaw:?}");
        let from_elsewhere = matches!(flaw, Flaw::Address | Flaw::Port | Flaw::OtherFamily);
        let want = match flaw {
            _ if from_elsewhere => BTreeMap::from([("source", 65_536)]),
            Flaw::Query | Flaw::Opcode => BTreeMap::from([("id", 65_535), ("kind", 1)]),
            _ => BTreeMap::from([("id", 65_535), ("question", 1)]),
        };
        assert_eq!(dropped, want, "{flaw:?}");
    }
}

#[test]
fn without_the_flaw_one_is_taken() {
    assert_eq!(script(Flaw::Nothing, u32::MAX, true).0, 1, "so each flaw above was what kept it out");
    assert_eq!(script(Flaw::Nothing, 16, true).0, 0, "and the rule of sixteen keeps out even that");
    // The check of the case is off: a forgery that lacks only the case is taken.
    assert_eq!(script(Flaw::Case, u32::MAX, false).0, 1);
}
