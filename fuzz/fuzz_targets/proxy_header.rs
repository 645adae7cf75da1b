//! PROXY headers from any bytes: what is read from the whole is read from no less, and the rest does not matter.
#![no_main]
use libfuzzer_sys::fuzz_target;
use proto_core::proxy_header::{MAX, parse};

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    if let Ok(Some(header)) = whole {
        assert!(header.len <= data.len() && header.len <= 16 + MAX);
        assert_eq!(parse(&data[..header.len]), whole);
        assert_eq!(parse(&data[..header.len - 1]), Ok(None));
    }
    if whole == Ok(None) {
        (0..data.len()).for_each(|n| assert_eq!(parse(&data[..n]), Ok(None)));
    }
});
