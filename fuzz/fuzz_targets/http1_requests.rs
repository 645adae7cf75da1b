//! Requests: the same however cut, never more than came, and every head that is taken is one that httparse takes too,
//! with the same method, target and fields. Limits are small, so that they are met.
#![no_main]
mod bed;
use bed::drive::{Said, Subject};
use libfuzzer_sys::fuzz_target;
use proto_core::{Tx, http1};

const LIMITS: http1::Limits = http1::Limits {
    request_line: 60,
    head: 200,
    fields: 6,
    body: 40,
    chunk_line: 20,
    chunk_extensions: 40,
    chunk_framing: 40,
    trailers: 40,
    trailer_fields: 3,
    ..http1::Limits::SERVER
};

struct Requests;

impl Subject for Requests {
    type Machine = http1::Requests;
    fn new(_: &[(String, String)]) -> Result<http1::Requests, String> {
        Ok(http1::Requests::new(LIMITS))
    }
    fn said(event: http1::Event<'_>, _: &mut Tx) -> Said {
        let http1::Event::Request { raw, head_len, method, version, keep_alive } = event;
        oracle(raw, head_len, version);
        let most = LIMITS.head + 2 * LIMITS.body as usize + LIMITS.chunk_framing as usize + LIMITS.trailers;
        assert!(raw.len() <= most, "{} bytes in one request", raw.len());
        Said::Event(format!("{method:?} {version:?} {keep_alive} {head_len} {}", raw.escape_ascii()))
    }
}

/// What httparse makes of it, and a second opinion about the body's length.
fn oracle(raw: &[u8], head_len: usize, version: http1::Version) {
    let mut head = raw[..head_len].to_vec();
    if let Some(i) = head.windows(2).position(|w| w == b"\r\n") {
        if head[i - 1] > b'1' {
            head[i - 1] = b'1'; // a later 1.x, which httparse does not know
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; 8];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(&head), Ok(httparse::Status::Complete(head_len)), "{}", raw.escape_ascii());
    assert_eq!(request.version, Some(if version == http1::Version::Http10 { 0 } else { 1 }));
    let all = |name: &str| -> Vec<&[u8]> {
        request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect()
    };
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "two framings");
    assert!(all("host").len() <= 1 && (version == http1::Version::Http10 || all("host").len() == 1));
    let body = &raw[head_len..];
    match (lengths.first(), codings.first()) {
        (Some(n), _) => assert_eq!(std::str::from_utf8(n).ok().and_then(|n| n.parse().ok()), Some(body.len())),
        (_, Some(coding)) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked"));
            chunks(body);
        }
        _ => assert_eq!(body, b""),
    }
}

/// Goes over a chunked body with httparse's reading of sizes.
fn chunks(mut body: &[u8]) {
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(body) else {
            panic!("no size: {}", body.escape_ascii())
        };
        body = &body[line..];
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; 8];
            let end = httparse::parse_headers(body, &mut fields);
            assert!(matches!(end, Ok(httparse::Status::Complete((n, _))) if n == body.len()));
            return;
        }
        let size = size as usize;
        assert_eq!(&body[size..size + 2], b"\r\n");
        body = &body[size + 2..];
    }
}

fuzz_target!(|data: &[u8]| {
    let (seed, bytes) = bed::split(data);
    let log = bed::same_however_cut::<Requests>(&[], seed, bytes);
    let fault = matches!(log.events.last(), Some(Said::Event(e)) if e.starts_with("fault"));
    let last_words = log.output.ends_with(b"Content-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(fault, last_words, "{}", log.text());
});
