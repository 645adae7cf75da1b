//! DNS over a stream: the same however cut, and every message as long as it said.
#![no_main]
mod bed;
use bed::drive::{Said, Subject};
use libfuzzer_sys::fuzz_target;
use proto_core::{Tx, dns};

struct Frames;

impl Subject for Frames {
    type Machine = dns::Frames;
    fn new(_: &[(String, String)]) -> Result<dns::Frames, String> {
        Ok(dns::Frames::default())
    }
    fn said(dns::Frame(message): dns::Frame<'_>, _: &mut Tx) -> Said {
        assert!(message.len() >= dns::HEADER);
        Said::Event(format!("message {}", message.escape_ascii()))
    }
}

fuzz_target!(|data: &[u8]| {
    let (seed, bytes) = bed::split(data);
    let log = bed::same_however_cut::<Frames>(&[], seed, bytes);
    assert_eq!(log.output, b"");
});
