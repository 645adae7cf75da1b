//! The same messages read by others.
use super::codec::rich;
use proto_core::dns::Type;
use std::collections::BTreeMap;
use tests::dns_oracle::{HICKORY_READS, hickory, kinds, ours, theirs, unexplained};

/// Messages made of a good one by changing a few bytes.
fn mutants(base: &[u8], n: usize, mut each: impl FnMut(&[u8])) {
    let mut seed = 0x5eed_u64;
    let mut dice = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    for _ in 0..n {
        let mut bytes = base.to_vec();
        for _ in 0..=dice(3) {
            let at = dice(bytes.len());
            bytes[at] = match dice(4) {
                0 => dice(256) as u8,
                1 => bytes[at].wrapping_add(1),
                2 => bytes[at].wrapping_sub(1),
                _ => bytes[at] ^ 1 << dice(8),
            };
        }
        if dice(10) == 0 {
            bytes.truncate(12 + dice(bytes.len() - 12));
        }
        each(&bytes);
    }
}

/// A reply whose types all three read.
fn small() -> Vec<u8> {
    let query = super::query("www.example.com", Type::A);
    let data: [(&str, Type, u32, &str); 7] = [
        ("", Type::CNAME, 300, "cdn.example.com."),
        ("cdn.example.com", Type::A, 60, "192.0.2.1"),
        ("cdn.example.com", Type::AAAA, 60, "2001:db8::1"),
        ("example.com", Type::MX, 60, "10 mail.example.com."),
        ("example.com", Type::TXT, 60, "\"one\" \"two\""),
        ("_x.example.com", Type::SRV, 60, "1 2 80 www.example.com."),
        ("example.com", Type::SOA, 60, "ns.example.com. a.example.com. 1 2 3 4 5"),
    ];
    super::reply(&query, 0, &data)
}

#[test]
fn a_good_message_is_the_same_for_all() {
    let bytes = rich();
    assert_eq!(ours(&bytes).map_err(|e| e.to_string()), theirs(&bytes));
    assert_eq!(hickory(&bytes), Ok(13));
}

#[test]
fn differences_from_domain_are_explained() {
    let mut kinds: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let (mut both, mut neither) = (0, 0);
    mutants(&rich(), 200_000, |bytes| {
        match (ours(bytes).is_ok(), theirs(bytes).is_ok()) {
            (true, true) => both += 1,
            (false, false) => neither += 1,
            _ => {}
        }
        if let Some(text) = unexplained(bytes) {
            let kind = text.split(" at byte").next().unwrap_or_default().chars().take(100).collect();
            kinds.entry(kind).or_insert_with(|| (0, bytes.escape_ascii().to_string())).0 += 1;
        }
    });
    assert!(both > 20_000 && neither > 20_000, "{both} {neither}");
    assert!(kinds.is_empty(), "{kinds:#?}");
}

/// hickory-proto reads more into data than we do (it knows algorithms and flags), so only one side is a law: what it takes with all
/// its records, we take too, or we say a rule.
#[test]
fn what_hickory_takes_we_take_or_name_a_rule() {
    let mut refused: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut compared = 0;
    mutants(&small(), 50_000, |bytes| {
        let read = |k: &Type| HICKORY_READS.contains(k) || k.name().is_none();
        if !kinds(bytes).iter().all(read) {
            return; // it does not look into these
        }
        compared += 1;
        let (us, them) = (ours(bytes), hickory(bytes));
        if let (Err(fault), Ok(_)) = (us, them) {
            assert!(fault.rule.starts_with("RFC"));
            *refused.entry(fault.what).or_default() += 1;
        }
    });
    assert!(compared > 10_000, "{compared}");
    let known: Vec<&str> = tests::dns_oracle::HICKORY_TAKES.iter().map(|(what, _)| *what).collect();
    let unknown: Vec<_> = refused.iter().filter(|(what, _)| !known.contains(what)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
