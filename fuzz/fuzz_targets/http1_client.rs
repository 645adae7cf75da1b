//! The client's machine: the same however cut; every head that it takes is one that httparse takes too, with the same
//! status, and bodies are as long as their heads say.
#![no_main]
mod bed;
use bed::drive::{Log, Said};
use bed::http1::ClientSubject;
use libfuzzer_sys::fuzz_target;

/// Small limits, so that they are met.
fn settings(seed: u64) -> Vec<(String, String)> {
    let asks = ["GET", "GET HEAD GET", "HEAD GET", "CONNECT", "UPGRADE", "GET GET GET GET"];
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
        ("informational", "3"),
        ("ask", asks[(seed >> 8) as usize % asks.len()]),
    ];
    if seed & 24 == 24 {
        let all =
            ["bare_lf", "fold", "space_before_colon", "same_lengths", "coding_wins", "no_space_after_status"];
        pairs.extend(all.map(|switch| ("forgive", switch)));
    }
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// The first head, and the body if its length is told, by a second opinion.
fn compare(log: &Log, bytes: &[u8]) {
    let Some(Said::Event(first)) = log.events.first() else { return };
    let Some((kind, status)) = first.split_once(' ').filter(|(kind, _)| *kind != "fault" && *kind != "closed") else {
        return;
    };
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head was taken") + 4;
    let mut head = bytes[..end].to_vec();
    if head[7] > b'1' {
        head[7] = b'1'; // a later 1.x, which httparse does not know
    }
    let line = head.iter().position(|b| *b == b'\r').expect("a line");
    head[13.min(line)..line].fill(b'x'); // httparse leaves out reasons that are not ASCII, and some it refuses
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut fields);
    assert_eq!(response.parse(&head), Ok(httparse::Status::Complete(end)), "{}", head.escape_ascii());
    assert!(status.starts_with(&response.code.expect("a status").to_string()), "{first}");
    let lengths: Vec<&[u8]> =
        response.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("content-length")).map(|h| h.value).collect();
    let codings = response.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("transfer-encoding")).count();
    assert!(lengths.len() + codings <= 1, "two framings");
    if kind == "response" && first.contains(" length ") {
        let n: usize = std::str::from_utf8(lengths[0]).ok().and_then(|n| n.parse().ok()).expect("a number");
        let got = if let Some(Said::Piece(_, body)) = log.events.get(1) { &body[..] } else { b"" };
        assert_eq!(got, &bytes[end..bytes.len().min(end + n)]);
    }
}

fuzz_target!(|data: &[u8]| {
    let (seed, bytes) = bed::split(data);
    let log = bed::same_however_cut::<ClientSubject>(&settings(seed), seed, bytes);
    assert!(log.output.is_empty());
    if seed & 24 != 24 {
        compare(&log, bytes);
    }
});
