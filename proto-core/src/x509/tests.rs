//! Two certificates that openssl made, whole and broken in every way that one byte allows.
use super::*;

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
