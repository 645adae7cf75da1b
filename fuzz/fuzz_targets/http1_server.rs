//! The server's machine: the same however cut; what it takes is what httparse and a second reading of bodies take.
#![no_main]
mod bed;
use bed::drive::{Log, Said};
use bed::http1::ServerSubject;
use libfuzzer_sys::fuzz_target;

/// Small limits, so that they are met.
fn settings(seed: u64) -> Vec<(String, String)> {
    let mut pairs = vec![
        ("head", "300"),
        ("request_line", "80"),
        ("fields", "8"),
        ("body", "60"),
        ("chunk_line", "20"),
        ("chunk_extensions", "30"),
        ("chunk_framing", "60"),
        ("trailers", "60"),
        ("trailer_fields", "3"),
        ("drain", "20"),
        ("answer", if seed & 4 == 0 { "late" } else { "early" }),
    ];
    if seed & 24 == 24 {
        let all = ["bare_lf", "fold", "space_before_colon", "same_lengths", "coding_wins"];
        pairs.extend(all.map(|switch| ("forgive", switch)));
    }
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// What was taken, by a second opinion: requests and the content of their bodies, as far as they go.
struct Oracle<'a> {
    rest: &'a [u8],
}

impl Oracle<'_> {
    /// The next request's head: method and target, and how many bytes or chunks follow. It must be there.
    fn head(&mut self) -> (String, Option<usize>) {
        self.rest = self.rest.strip_prefix(b"\r\n").unwrap_or(self.rest);
        let end = self.rest.windows(4).position(|w| w == b"\r\n\r\n").expect("a head was taken") + 4;
        let (head, rest) = self.rest.split_at(end);
        self.rest = rest;
        let mut head = head.to_vec();
        let line = head.iter().position(|b| *b == b'\r').expect("a line");
        if head[line - 1] > b'1' {
            head[line - 1] = b'1'; // a later 1.x, which httparse does not know
        }
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut fields);
        assert_eq!(request.parse(&head), Ok(httparse::Status::Complete(end)), "{}", head.escape_ascii());
        let all = |name: &str| -> Vec<&[u8]> {
            request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect()
        };
        let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "two framings");
        assert!(all("host").len() <= 1);
        assert!(codings.iter().all(|c| c.eq_ignore_ascii_case(b"chunked")));
        let length = lengths.first().map_or(Some(0), |n| std::str::from_utf8(n).ok().and_then(|n| n.parse().ok()));
        let length = length.expect("a length that was taken is a number");
        let name = format!("{} {}", request.method.expect("a method"), request.path.expect("a target"));
        (name, codings.is_empty().then_some(length))
    }
    /// The content of a chunked body, and whether it ended; sizes as httparse reads them.
    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut content = Vec::new();
        loop {
            let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(self.rest) else {
                return (content, false);
            };
            let size = size as usize;
            if size == 0 {
                let lines = &self.rest[line..];
                let mut fields = [httparse::EMPTY_HEADER; 8];
                return match httparse::parse_headers(lines, &mut fields) {
                    Ok(httparse::Status::Complete((n, _))) => {
                        self.rest = &lines[n..];
                        (content, true)
                    }
                    _ => (content, false),
                };
            }
            let data = &self.rest[line..];
            content.extend_from_slice(&data[..size.min(data.len())]);
            let Some(after) = data.get(size..).and_then(|d| d.strip_prefix(b"\r\n")) else {
                return (content, false);
            };
            self.rest = after;
        }
    }
}

/// Goes over the log of an app that answers late, and over the bytes, side by side.
fn compare(log: &Log, bytes: &[u8]) {
    let mut oracle = Oracle { rest: bytes };
    let mut events = log.events.iter().peekable();
    while let Some(event) = events.next() {
        let Said::Event(text) = event else { panic!("a body without a request") };
        let Some(request) = text.strip_prefix("request ") else { continue };
        let (name, length) = oracle.head();
        assert!(request.starts_with(&name) || name.len() > 60, "{name}: {text}");
        let mut got = Vec::new();
        if let Some(Said::Piece(_, body)) = events.peek() {
            got.clone_from(body);
            events.next();
        }
        if matches!(events.peek(), Some(Said::Event(e)) if e.starts_with("trailers")) {
            events.next();
        }
        let ended = matches!(events.peek(), Some(Said::Event(e)) if e == "end");
        match length {
            Some(n) => {
                let want = &oracle.rest[..n.min(oracle.rest.len())];
                assert_eq!(got, want);
                oracle.rest = &oracle.rest[want.len()..];
                assert_eq!(ended, n > 0 && want.len() == n);
            }
            None => {
                let (want, over) = oracle.chunks();
                assert!(want.starts_with(&got), "{} of {}", got.escape_ascii(), want.escape_ascii());
                // What we take to its end, httparse takes to its end, and nothing differs.
                assert!(!ended || over && got == want, "{} is not {}", got.escape_ascii(), want.escape_ascii());
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let (seed, bytes) = bed::split(data);
    let log = bed::same_however_cut::<ServerSubject>(&settings(seed), seed, bytes);
    if seed & 4 == 0 && seed & 24 != 24 {
        compare(&log, bytes);
    }
});
