//! Two certificates that openssl made, whole and broken in every way that one byte allows.
use super::*;
use alloc::vec;

const V3: &[u8] = include_bytes!("samples/v3.der");
const V1: &[u8] = include_bytes!("samples/v1.der");

#[test]
fn facts_of_a_certificate() {
    let c = Certificate::parse(V3).expect("it is one");
    assert_eq!((c.version, c.serial_hex().as_str(), c.is_ca), (3, "c0ffee", true), "openssl marks its own as a CA");
    assert_eq!(format!("{}", c.subject), "CN=www.example.com, C=DE, O=Example, Inc, OU=dev, OU=ops");
    assert_eq!((c.subject.short().as_str(), c.subject.units().len()), ("CN=www.example.com", 2));
    assert!(c.is_self_issued());
    assert_eq!((format!("{}", c.key), c.signature.as_str()), ("ECDSA P-256".into(), "ecdsa-with-SHA256"));
    let names: Vec<String> = c.san.iter().flatten().map(|s| format!("{s}")).collect();
    let wanted =
        "DNS:www.example.com DNS:*.example.org IP:127.0.0.1 IP:::1 email:a@example.com URI:https://example.com/x";
    assert_eq!(names.join(" "), wanted);
    assert_eq!(c.hosts(), ["www.example.com", "*.example.org", "127.0.0.1", "::1"]);
    let usages: Vec<String> = c.usages.iter().flatten().map(|s| format!("{s}")).collect();
    assert_eq!(usages, ["serverAuth", "clientAuth", "1.3.6.1.5.5.7.3.3"]);
    assert!(c.is_for(&Usage::Server) && !c.is_for(&Usage::Other("1.2.3".into())));
    assert!(c.not_before < c.not_after && format!("{}", c.not_after).ends_with(" UTC"));
}

#[test]
fn the_first_version_has_no_extensions() {
    let c = Certificate::parse(V1).expect("it is one");
    assert_eq!((c.version, c.san.is_none(), c.usages.is_none(), c.is_ca), (1, true, true, false));
    assert_eq!((c.key, c.signature.as_str()), (Key::Rsa(1024), "sha1WithRSAEncryption"));
}

#[test]
fn a_prefix_is_malformed_and_no_byte_breaks_more_than_the_certificate() {
    for n in 0..V3.len() {
        let e = Certificate::parse(&V3[..n]).expect_err("it is cut");
        assert!(e.offset <= n, "{e} of {n}");
    }
    let step = if cfg!(miri) { 37 } else { 1 };
    for at in (0..V3.len()).step_by(step) {
        for value in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
            let mut broken = V3.to_vec();
            broken[at] = value;
            if let Ok(c) = Certificate::parse(&broken) {
                let _ = format!("{} {} {:?} {} {}", c.subject, c.issuer, c.hosts(), c.key, c.not_after);
            }
        }
    }
}

#[test]
fn what_could_move_a_cursor_is_escaped() {
    let mut evil = V3.to_vec();
    let at = evil.windows(11).position(|w| w == b"www.example").expect("the issuer's name");
    evil[at..at + 4].copy_from_slice(b"\x1b[2J");
    let c = Certificate::parse(&evil).expect("a name may be anything");
    assert_eq!(c.issuer.short(), "CN=\\u{1b}[2Jexample.com");
}

#[test]
fn times_as_people_write_them() {
    for (text, want) in [
        ("2024-06-01", Some(1_717_200_000)),
        ("2024-06-01T12:00:00Z", Some(1_717_243_200)),
        ("2024-06-01 12:00:00", Some(1_717_243_200)),
        ("1969-12-31", Some(-86_400)),
        ("2024-6-1", None),
        ("2024-13-01", None),
        ("2024-06-01T25:00:00", None),
        ("2024-06-01T12:00", None),
        ("2024/06/01", None),
        ("+024-06-01", None),
        ("20240601", None),
        ("", None),
        ("éééé-éé-éé", None),
    ] {
        assert_eq!(Date::read(text).map(|d| d.0), want, "{text}");
    }
}

/// An OCSP response of one answer: status, then when, in DER by hand.
fn staple(status: &[u8], until: Option<&[u8; 15]>) -> Vec<u8> {
    let der = |tag: u8, parts: &[&[u8]]| {
        let body = parts.concat();
        assert!(body.len() < 256);
        let length = if body.len() < 128 { vec![body.len() as u8] } else { vec![0x81, body.len() as u8] };
        [&[tag][..], &length, &body].concat()
    };
    let hash = der(0x30, &[&[0x06, 1, 0x2a]]);
    let id = der(0x30, &[&hash, &der(4, &[b"n"]), &der(4, &[b"k"]), &[2, 2, 0, 0x99]]);
    let next = until.map(|u| der(0xa0, &[&der(0x18, &[u])])).unwrap_or_default();
    let single = der(0x30, &[&id, status, &der(0x18, &[b"20240601000000Z"]), &next]);
    let responder = der(0xa2, &[&der(4, &[b"key"])]);
    let data = der(0x30, &[&responder, &der(0x18, &[b"20240601000000Z"]), &der(0x30, &[&single])]);
    let basic = der(0x30, &[&data, &hash, &[3, 2, 0, 1]]);
    let kind = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let bytes = der(0xa0, &[&der(0x30, &[&kind, &der(4, &[&basic])])]);
    der(0x30, &[&[0x0a, 1, 0], &bytes])
}

#[test]
fn ocsp_responses_as_facts() {
    let until = Some(b"20240608000000Z");
    let from = Date::read("2024-06-01").expect("a date");
    for (status, want) in [(&[0x80, 0][..], "good"), (&[0xa1, 0], "revoked"), (&[0x82, 0], "unknown")] {
        let der = staple(status, until);
        let want = Staple { status: want, serial: &[0x99], from, until: Date::read("2024-06-08") };
        assert_eq!(Staple::parse(&der), Ok(want));
        for cut in 0..der.len() {
            assert!(Staple::parse(&der[..cut]).is_err(), "{cut}");
        }
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0x20;
            let _ = Staple::parse(&changed); // whatever it is now, it is read or refused
        }
    }
    assert_eq!(Staple::parse(&staple(&[0x80, 0], None)).map(|s| s.until), Ok(None));
    assert_eq!(Staple::parse(&staple(&[0x83, 0], until)).map_err(|e| e.what), Err("a certificate's status"));
    for (n, want) in [(1, "malformed request"), (3, "try later"), (6, "unauthorized")] {
        assert_eq!(Staple::parse(&[0x30, 3, 0x0a, 1, n]).map(|s| s.status), Ok(want));
    }
    assert!(Staple::parse(&[0x30, 3, 0x0a, 1, 4]).is_err());
}
