//! Laws of the codec: every pointer, every cut, every byte; writing in linear time; what is written is read.
use super::name;
use proto_core::dns::{Class, Domain, Edns, Flags, Message, Section, TooLong, Type, Writer, data_from_text};
use std::time::Instant;

/// A reply with many kinds of records and names to compress.
pub fn rich() -> Vec<u8> {
    let mut w = Writer::new(7, Flags(0x8180));
    w.question(&name("www.example.com"), Type::A, 1).unwrap();
    for (owner, kind, data) in [
        ("www.example.com", Type::CNAME, "cdn.example.com."),
        ("cdn.example.com", Type::A, "192.0.2.1"),
        ("cdn.example.com", Type::AAAA, "2001:db8::1"),
        ("example.com", Type::MX, "10 mail.example.com."),
        ("example.com", Type::TXT, "\"v=spf1 -all\" \"x\""),
        ("example.com", Type::SOA, "ns.example.com. admin.example.com. 1 2 3 4 5"),
        ("_x._tcp.example.com", Type::SRV, "1 2 80 www.example.com."),
        ("example.com", Type::NSEC, "a.example.com. A MX RRSIG NSEC"),
        ("example.com", Type::HTTPS, "1 . alpn=h2,h3 port=443 ipv4hint=192.0.2.1"),
        ("example.com", Type::CAA, "0 issue \"ca.example\""),
        ("example.com", Type::NAPTR, "1 2 \"S\" \"SIP+D2U\" \"\" a.example.com."),
        ("example.com", Type(65280), "\\# 3 010203"),
    ] {
        let data = data_from_text(kind, data).unwrap();
        w.record(Section::Answer, &name(owner).name(), kind, Class::IN, 300, &data).unwrap();
    }
    w.edns(&Edns::new(1232)).unwrap();
    w.finish()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let m = Message::parse(bytes).unwrap();
    m.records().unwrap().map(|r| r.unwrap().to_string()).collect()
}

#[test]
fn what_is_written_is_read() {
    let bytes = rich();
    assert_eq!(Message::parse(&bytes).unwrap().check(), Ok(bytes.len()));
    let lines = lines(&bytes);
    assert_eq!(lines.len(), 13);
    assert_eq!(lines[3], "example.com. 300 IN MX 10 mail.example.com.");
    // Compressed: each name but the first costs what is new in it, and two bytes.
    assert_eq!(bytes.windows(7).filter(|w| w == b"example").count(), 5, "the others are pointers, or may not be");
}

/// Any byte changed to any value: never a panic, never more bytes than there are, and text for everything.
#[test]
fn no_byte_breaks_it() {
    let bytes = rich();
    for at in 0..bytes.len() {
        for with in 0..=255 {
            let mut bytes = bytes.clone();
            bytes[at] = with;
            let m = Message::parse(&bytes).unwrap();
            let _ = (m.check(), m.question(), m.edns(), m.rcode());
            for r in m.records().into_iter().flatten().flatten() {
                let _ = (r.to_string(), r.ip(), r.target(), r.soa_minimum());
            }
        }
    }
}

/// Any prefix: a fault within it, never beyond.
#[test]
fn every_cut_is_told() {
    let bytes = rich();
    for n in 0..bytes.len() {
        let fault = Message::parse(&bytes[..n]).and_then(|m| m.check()).unwrap_err();
        assert!(fault.offset <= n as u64, "{n}: {fault}");
    }
}

/// All 16,384 pointers at each place of twenty messages: read in bounds and in bounded time, and never a loop.
#[test]
fn all_pointers_at_all_places() {
    let base = rich();
    for variant in 0..20usize {
        let mut bytes = base.clone();
        bytes.truncate(60 + variant * 9);
        for at in (12..bytes.len() - 1).step_by(1 + variant % 3) {
            for target in (0..0x4000u16).step_by(if variant == 0 { 1 } else { 61 }) {
                let kept = [bytes[at], bytes[at + 1]];
                bytes[at..at + 2].copy_from_slice(&(0xc000 | target).to_be_bytes());
                let m = Message::parse(&bytes).unwrap();
                for r in m.records().into_iter().flatten().flatten() {
                    assert!(r.name.labels().count() <= 127 && r.name.wire_len() <= 255);
                    for name in r.fields().flatten().filter_map(|v| v.name()) {
                        assert!(name.pointers().all(|(from, to)| to < from));
                    }
                }
                bytes[at..at + 2].copy_from_slice(&kept);
            }
        }
    }
}

#[test]
fn chains_of_pointers_end() {
    // Names of one label, each with a pointer to the one before: 127 labels are read, 128 are too many.
    for (links, fits) in [(126u16, true), (127, false)] {
        let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
        bytes.extend(b"\x01a\0\0\x01\0\x01");
        bytes.extend(b"\0\0\x0a\0\x01\0\0\0\0"); // root, NULL, IN, TTL
        bytes.extend((4 * links).to_be_bytes());
        let mut last = 12u16;
        for _ in 0..links {
            let here = bytes.len() as u16;
            bytes.extend(b"\x01b");
            bytes.extend((0xc000 | last).to_be_bytes());
            last = here;
        }
        bytes.extend((0xc000 | last).to_be_bytes());
        bytes.extend(b"\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04");
        let checked = Message::parse(&bytes).unwrap().check();
        assert_eq!(checked.is_ok(), fits, "{links}: {checked:?}");
    }
}

/// A message that is as bad as can be for compression: many names of many labels that have nearly the same suffixes.
#[test]
fn writing_is_linear() {
    let worst = |names: usize| {
        let mut w = Writer::new(0, Flags::RESPONSE);
        let began = Instant::now();
        for i in 0..names {
            let labels: Vec<String> = (0..60).map(|k| format!("{}", (i * 31 + k) % 10)).collect();
            let name: Domain = labels.join(".").parse().unwrap();
            if w.record(Section::Answer, &name.name(), Type::A, Class::IN, 0, &[1, 2, 3, 4]) == Err(TooLong) {
                break;
            }
        }
        (w.len(), began.elapsed())
    };
    worst(10);
    // The minimum of several, as other programs run too.
    let time = |n: usize| (0..5).map(|_| worst(n)).min_by_key(|(_, t)| *t).unwrap();
    let ((small, a), (large, b)) = (time(200), time(1600));
    let (per_small, per_large) = (a.as_nanos() as f64 / 200.0, b.as_nanos() as f64 / 1600.0);
    assert!(large > small && per_large < 4.0 * per_small, "{per_small} ns, then {per_large} ns per name");
}

#[test]
fn what_does_not_fit_is_not_there() {
    let mut w = Writer::new(1, Flags::RESPONSE).with_limit(60);
    w.question(&name("a.example"), Type::TXT, 1).unwrap();
    let text = |n: usize| data_from_text(Type::TXT, &"x".repeat(n)).unwrap();
    let before = w.len();
    assert_eq!(
        w.record(Section::Answer, &name("other.zone").name(), Type::TXT, Class::IN, 0, &text(200)),
        Err(TooLong)
    );
    assert_eq!(w.len(), before);
    // The names of what was taken back are not pointed to.
    w.record(Section::Answer, &name("zone").name(), Type::TXT, Class::IN, 0, &text(3)).unwrap();
    let bytes = w.finish();
    assert_eq!(Message::parse(&bytes).unwrap().check(), Ok(bytes.len()));
    assert_eq!(lines(&bytes), ["zone. 0 IN TXT \"xxx\""]);
}

#[test]
fn names_of_any_bytes_come_back() {
    let mut seed = 1u64;
    let mut dice = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    for _ in 0..5000 {
        let labels = 1 + dice(5);
        let text: Vec<String> =
            (0..labels).map(|_| (0..=dice(50)).map(|_| format!("\\{:03}", dice(256))).collect::<String>()).collect();
        let Ok(domain) = text.join(".").parse::<Domain>() else { continue };
        assert_eq!(domain.to_string().parse::<Domain>().unwrap().wire(), domain.wire());
        let mut w = Writer::new(0, Flags::QUERY);
        w.question(&domain, Type::A, 1).unwrap();
        let bytes = w.finish();
        let q = Message::parse(&bytes).unwrap().question().unwrap().unwrap();
        assert!(q.name.is_exactly(&domain.name()));
    }
}
