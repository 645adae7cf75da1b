//! Certificates, revocation lists and OCSP responses from any bytes, times from any text: nothing panics, and what is read can
//! be shown.
#![no_main]
use libfuzzer_sys::fuzz_target;
use proto_core::x509::{Certificate, Date, RevocationList, Staple};

fuzz_target!(|data: &[u8]| {
    match Certificate::parse(data) {
        Ok(c) => {
            let text = format!("{} {} {} {} {:?} {}", c.subject, c.issuer, c.key, c.signature, c.hosts(), c.not_after);
            assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
            assert!((1..=3).contains(&c.version));
        }
        Err(e) => assert!(e.offset <= data.len()),
    }
    if let Ok(list) = RevocationList::parse(data) {
        let first = list.revoked.first();
        assert!(first.is_none_or(|r| list.find(r.serial) == Some(r)));
    }
    match Staple::parse(data) {
        Ok(s) => {
            let text = format!("{} {} {:?}", s.status, s.from, s.until);
            assert!(text.is_ascii(), "{text:?}");
        }
        Err(e) => assert!(e.offset <= data.len()),
    }
    if let Some(date) = core::str::from_utf8(data).ok().and_then(Date::read) {
        assert_eq!(Date::read(date.to_string().trim_end_matches(" UTC")), Some(date));
    }
});
