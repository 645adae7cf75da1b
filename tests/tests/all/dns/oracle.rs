//! The same messages read by others.
use super::codec::rich;
use proto_core::dns::Type;
use std::collections::BTreeMap;
use tests::dns_oracle::{
    HICKORY_REFUSES, HICKORY_TAKES, hickory, hickory_heads, ours, theirs, unexplained, unexplained_by_hickory,
};

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

#[test]
fn differences_from_hickory_are_explained() {
    let mut unknown: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let (mut both, mut neither) = (0, 0);
    for base in [small(), rich()] {
        mutants(&base, 100_000, |bytes| {
            match (ours(bytes).is_ok(), hickory(bytes).is_ok()) {
                (true, true) => both += 1,
                (false, false) => neither += 1,
                _ => {}
            }
            if let Some(text) = unexplained_by_hickory(bytes) {
                let kind = text.split(" at byte").next().unwrap_or_default().chars().take(100).collect();
                unknown.entry(kind).or_insert_with(|| (0, bytes.escape_ascii().to_string())).0 += 1;
            }
        });
    }
    assert!(both > 20_000 && neither > 20_000, "{both} {neither}");
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// The control of both: each row of the tables is needed, and a reader that is wrong is found out.
#[test]
fn every_row_of_the_tables_is_seen() {
    let (mut takes, mut refuses) = (BTreeMap::new(), BTreeMap::new());
    for base in [small(), rich()] {
        mutants(&base, 100_000, |bytes| match (ours(bytes), hickory_heads(bytes)) {
            (Err(fault), Ok(_)) => *takes.entry(fault.what).or_insert(0) += 1,
            (Ok(_), Err(why)) => {
                let row = HICKORY_REFUSES.iter().find(|(words, _)| why.contains(words));
                *refuses.entry(row.map_or("", |(words, _)| *words)).or_insert(0) += 1;
            }
            _ => {}
        });
    }
    for (what, _) in HICKORY_TAKES {
        assert!(takes.contains_key(what), "{what}: {takes:?}");
    }
    for (words, _) in HICKORY_REFUSES {
        assert!(refuses.contains_key(words), "{words}: {refuses:?}");
    }
}

/// The table of `docs/dns.md`: a message for each row, and who takes it.
#[test]
fn the_table_of_the_documentation() {
    let rows: &[(&str, &str, [bool; 3])] = &[
        ("compressed in SRV", "H1100 Q c00c 0021 0001 00000000 0008 0001 0002 0050 c00c", [false, true, true]),
        ("into the header", "H1100 Q c004 0001 0001 00000000 0004 01020304", [false, true, true]),
        ("into its own labels", "H1000 \"a\" c00c 0001 0001", [false, false, false]),
        (
            "overlapping",
            "H1200 Q c00c 0005 0001 00000004 0002 c01c 00 0001 0001 00000000 0004 01020304",
            [false, false, false],
        ),
        ("two OPT", "H1002 Q 00 0029 04d0 00000000 0000 00 0029 04d0 00000000 0000", [false, true, false]),
        ("TXT without a text", "H1100 Q c00c 0010 0001 00000000 0000", [false, true, false]),
        ("CAA without a tag", "H1100 Q c00c 0101 0001 00000000 0002 0000", [false, true, false]),
        (
            "SVCB out of order",
            "H1100 Q c00c 0041 0001 00000000 0010 0001 00 0003 0002 0050 0001 0003 026832",
            [false, false, false],
        ),
        ("EUI48 of one byte", "H1100 Q c00c 006c 0001 00000000 0001 01", [false, true, true]),
        ("flags of NAPTR", "H1100 Q c00c 0023 0001 00000000 0009 0001 0002 012d 00 00 00", [true, true, false]),
        ("type 0", "H1100 Q c00c 0000 0001 00000000 0004 01020304", [true, true, false]),
        ("no data of type 65280", "H1100 Q c00c ff00 0001 00000000 0000", [true, true, false]),
    ];
    let mut wrong = Vec::new();
    for (what, text, want) in rows {
        let bytes = super::tables::message(text);
        let got = [ours(&bytes).is_ok(), theirs(&bytes).is_ok(), hickory(&bytes).is_ok()];
        if got != *want {
            wrong.push(format!(
                "{what}: {got:?}, want {want:?}: {:?} {:?} {:?}",
                ours(&bytes).err(),
                theirs(&bytes).err(),
                hickory(&bytes).err()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
