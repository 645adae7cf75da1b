//! The echo that also speaks HTTP: the same however cut; a plain echo gives back every byte, whatever it is.
#![no_main]
mod bed;
use bed::drive::{Plan, Rng, Run, Said, Subject};
use libfuzzer_sys::fuzz_target;
use proto_core::{Tx, echo, http1};
use std::time::Duration;

struct Echo;

impl Subject for Echo {
    type Machine = echo::Echo;
    const PIECES: &'static [&'static str] = &["bytes"];
    fn new(_: &[(String, String)]) -> Result<echo::Echo, String> {
        Ok(echo::Echo::new(echo::Mode::Auto, echo::Limits::default()))
    }
    fn said(event: echo::Event<'_>, tx: &mut Tx) -> Said {
        match event {
            echo::Event::Bytes(bytes) => {
                tx.put(bytes);
                Said::Piece("bytes", bytes.to_vec())
            }
            echo::Event::Answered(n) => Said::Event(format!("answered {n}")),
        }
    }
}

/// With pauses between the pieces, longer than anything may wait.
fn slowly(seed: u64, bytes: &[u8]) {
    let mut rng = Rng(seed);
    let mut run = Run::<Echo>::new(&[], Plan::random(seed)).unwrap_or_else(|e| panic!("{e}"));
    let first = rng.below(bytes.len() + 1);
    let (head, tail) = bytes.split_at(first);
    let step = run.input(head, false).and_then(|()| run.wait(Duration::from_secs(1)));
    step.and_then(|()| run.input(tail, true)).unwrap_or_else(|e| panic!("{e}"));
    let log = run.log();
    if http1::looks_like_request(head) != Some(true)
        && (!head.is_empty() || http1::looks_like_request(tail) != Some(true))
    {
        assert_eq!(log.output, bytes, "undecided after a second is decided");
    }
}

fuzz_target!(|data: &[u8]| {
    let (seed, bytes) = bed::split(data);
    let log = bed::same_however_cut::<Echo>(&[], seed, bytes);
    match http1::looks_like_request(bytes) {
        Some(false) => assert_eq!(log.output, bytes),
        Some(true) => assert!(!log.text().contains("! bytes")),
        None => assert!(bytes.len() < http1::DETECT_MAX),
    }
    slowly(seed, bytes);
});
