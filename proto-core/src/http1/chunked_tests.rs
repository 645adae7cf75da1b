use super::super::{Config, Limits};
use super::*;
use alloc::{sync::Arc, vec, vec::Vec};

fn rules() -> Rules {
    let limits = Limits {
        trailer_fields: 2,
        body: 20,
        chunk_line: 12,
        chunk_extensions: 30,
        chunk_framing: 54,
        trailers: 30,
        ..Limits::SERVER
    };
    Rules::new(Arc::new(Config { limits, ..Config::SERVER }))
}

/// Content, bytes taken, and how it ended; the input grows by `step` bytes.
fn decode(input: &[u8], step: usize) -> (Vec<u8>, usize, Result<bool, u16>) {
    let (mut decoder, mut content, mut at, mut rules) = (Decoder::default(), vec![], 0, rules());
    let mut shown = 0;
    loop {
        match decoder.next(&input[at..shown], &mut rules) {
            Ok(Part::NeedMore) if shown == input.len() => return (content, at, Ok(false)),
            Ok(Part::NeedMore) => shown = (shown + step).min(input.len()),
            Ok(Part::Framing(n)) => at += n,
            Ok(Part::Data(n)) => {
                content.extend_from_slice(&input[at..at + n]);
                at += n;
            }
            Ok(Part::End(n)) => return (content, at + n, Ok(true)),
            Err(refusal) => return (content, at + refusal.at, Err(refusal.status)),
        }
    }
}

fn everyhow(input: &[u8]) -> (Vec<u8>, usize, Result<bool, u16>) {
    let whole = decode(input, input.len().max(1));
    for step in [1, 2, 3, 5] {
        assert_eq!(decode(input, step), whole, "{} in steps of {step}", input.escape_ascii());
    }
    whole
}

#[test]
fn bodies() {
    for (input, content) in [
        (&b"0\r\n\r\n"[..], &b""[..]),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n00a\r\n0123456789\r\n000\r\n\r\n", b"a0123456789"),
        (b"0A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"2;a\r\n\r\n\r\n0;a=b;c\r\n\r\n", b"\r\n"),
        (b"1;a=\"\\\";\"\r\nx\r\n0\r\n\r\n", b"x"),
        (b"0\r\nA: b\r\nC:\r\n\r\n", b""),
    ] {
        let more = [input, b"next"].concat();
        assert_eq!(everyhow(&more), (content.to_vec(), input.len(), Ok(true)), "{}", input.escape_ascii());
        for n in 0..input.len() {
            assert_eq!(everyhow(&input[..n]).2, Ok(false), "a prefix is never a fault");
        }
    }
}

/// Not refused.
const GOES_ON: u16 = 200;

#[test]
fn refusals() {
    let rows: &[(&[u8], u16)] = &[
        (b"\r\n", 400),
        (b"x\r\n", 400),
        (b"0x1\r\n", 400),
        (b"+1\r\n", 400),
        (b"-1\r\n", 400),
        (b"1_0\r\n", 400),
        (b" 1\r\n", 400),
        (b"1 \r\n", 400),
        (b"1\t;a\r\n", 400),
        (b"1;\r\n", 400),
        (b"1;a=\r\n", 400),
        (b"1; a\r\n", 400),
        (b"1;a=b c\r\n", 400),
        (b"1;a=\"b\r\n", 400),
        (b"1;a=\"b\"c\r\n", 400),
        (b"1;\ra\r\n", 400),
        (b"1;a=\"\r\"\r\n", 400),
        (b"1\n", 400),
        (b"1;a\nb\r\n", 400),
        (b"00000000000000001\r\n", 400),
        (b"1;abcdefghij\r\n", GOES_ON),
        (b"1;abcdefghijk\r\n", 400),
        (b"14\r\n", GOES_ON),
        (b"15\r\n", 413),
        (b"ffffffffffffffff\r\n", 400),
        (b"1\r\naX", 400),
        (b"1\r\na\rX", 400),
        (b"1\r\na\n", 400),
        (b"0\r\na b\r\n\r\n", 400),
        (b"0\r\n a: b\r\n\r\n", 400),
        (b"0\r\na: b\r\n c\r\n\r\n", 400),
        (b"0\r\nHost: b\r\n\r\n", 400),
        (b"0\r\ntransfer-encoding: b\r\n\r\n", 400),
        (b"0\r\na:1\r\nb:2\r\nc:3\r\n", 431),
        (b"0\r\nabcdefghijkl: abcdefghijklmno\r\n", 431),
        (b"0\r\na: b\n", 400),
        (b"0\r\na: \0\r\n\r\n", 400),
    ];
    for (input, status) in rows {
        let want = if *status == GOES_ON { Ok(false) } else { Err(*status) };
        assert_eq!(everyhow(input).2, want, "{}", input.escape_ascii());
    }
}

#[test]
fn small_chunks_do_not_multiply_a_body() {
    let body = b"1\r\nx\r\n".repeat(20);
    let (content, _, end) = everyhow(&body);
    assert_eq!((content.len(), end), (14, Err(413)), "4 bytes more than content each, 54 allowed");
    let body = b"2;ab=c\r\nxy\r\n".repeat(10);
    assert_eq!(everyhow(&body).2, Err(400), "5 bytes of extension each, 30 allowed");
}

#[test]
fn sizes_do_not_overflow() {
    let mut rules = rules();
    let config = Arc::make_mut(&mut rules.config);
    (config.limits.body, config.limits.chunk_line) = (u64::MAX, 99);
    let mut decoder = Decoder::default();
    assert_eq!(decoder.next(b"ffffffffffffffff\r\n", &mut rules), Ok(Part::Framing(18)));
    assert_eq!(decoder.content, u64::MAX);
    let mut decoder = Decoder::default();
    assert!(decoder.next(b"10000000000000000\r\n", &mut rules).is_err());
}
