//! Lines: the same however cut, and what a plain split at LF would give.
#![no_main]
mod bed;
use bed::drive::{Said, Subject};
use libfuzzer_sys::fuzz_target;
use proto_core::{Tx, line};

const LIMIT: usize = 12;

struct Lines;

impl Subject for Lines {
    type Machine = line::Lines;
    fn new(_: &[(String, String)]) -> Result<line::Lines, String> {
        Ok(line::Lines::new(line::Limits { line: LIMIT }))
    }
    fn said(event: line::Event<'_>, _: &mut Tx) -> Said {
        Said::Event(match event {
            line::Event::Line(l) => format!("line {}", l.escape_ascii()),
            line::Event::TooLong(l) => format!("long {}", l.escape_ascii()),
        })
    }
}

/// The same by another way.
fn naive(bytes: &[u8], eof: bool) -> Vec<Said> {
    let mut said = Vec::new();
    let mut parts: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    let last = parts.pop().unwrap_or_default();
    let mut tell = |l: &[u8]| {
        let text = match l.get(..LIMIT) {
            Some(head) if l.len() > LIMIT => format!("long {}", head.escape_ascii()),
            _ => format!("line {}", l.escape_ascii()),
        };
        said.push(Said::Event(text));
    };
    parts.iter().for_each(|l| tell(l.strip_suffix(b"\r").unwrap_or(l)));
    // A line without its end: told at the end of input, or as soon as it can't become short enough.
    let hopeless = last.len() > LIMIT + 1 || last.len() == LIMIT + 1 && last.last() != Some(&b'\r');
    if eof && !last.is_empty() || hopeless {
        tell(last);
    }
    if eof {
        said.push(Said::Event("closed".into()));
    }
    said
}

fuzz_target!(|data: &[u8]| {
    let (seed, bytes) = bed::split(data);
    let log = bed::same_however_cut::<Lines>(&[], seed, bytes);
    assert_eq!(log.events, naive(bytes, seed % 2 == 0));
    assert_eq!(log.output, b"");
});
