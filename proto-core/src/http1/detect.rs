//! HTTP or something else? Decided on the first bytes of a connection.

/// Bytes that decide at most.
pub const DETECT_MAX: usize = 16;

/// Whether a stream that begins with `bytes` is HTTP/1.x: a method of capital letters, one space, then `/`, `*` or
/// `h` (of `http://`). `None` while that is open, which it never is once [`DETECT_MAX`] bytes are there.
pub fn looks_like_request(bytes: &[u8]) -> Option<bool> {
    let bytes = bytes.get(..DETECT_MAX).unwrap_or(bytes);
    let method = bytes.iter().take_while(|b| b.is_ascii_uppercase()).count();
    match bytes.get(method..).unwrap_or_default() {
        [] if bytes.len() < DETECT_MAX => None,
        [b' '] if method > 0 && bytes.len() < DETECT_MAX => None,
        [b' ', b'/' | b'*' | b'h', ..] => Some(method > 0),
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_others() {
        let yes: &[&[u8]] = &[b"GET / HTTP/1.1", b"OPTIONS *", b"GET http://a/", b"X /", b"ABCDEFGHIJKLMN /"];
        let no: &[&[u8]] = &[
            b"hello",
            b" /",
            b"GET  /",
            b"GET\t/",
            b"get /",
            b"\r\nGET /",
            b"GET a",
            b"ABCDEFGHIJKLMNO /",
            b"ABCDEFGHIJKLMNOP",
            b"\x16\x03\x01",
            b"M-SEARCH *",
        ];
        let open: &[&[u8]] = &[b"", b"G", b"GET", b"GET ", b"ABCDEFGHIJKLMNO", b"ABCDEFGHIJKLMN "];
        for (set, want) in [(yes, Some(true)), (no, Some(false)), (open, None)] {
            for bytes in set {
                assert_eq!(looks_like_request(bytes), want, "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_decision_stays_when_more_comes() {
        for text in [&b"GET / HTTP/1.1\r\n"[..], b"OPTIONS * HTTP/1.0", b"HELLO WORLD, THIS", b"ABCDEFGHIJKLMNOPQ /"] {
            let all = looks_like_request(text);
            assert!((0..text.len()).all(|n| matches!(looks_like_request(&text[..n]), d if d.is_none() || d == all)));
        }
    }
}
