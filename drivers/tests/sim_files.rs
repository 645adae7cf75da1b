//! Files that a simulated program writes: as on the real drivers, see `common/files.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use common::Seen;
use common::files::{Scribe, answers, whole};
use drivers::sim::{Ended, NodeConfig, Sim};
use std::sync::mpsc::channel;
use std::time::Duration;

fn run(exits: bool) -> (Vec<u8>, Vec<String>, Option<u8>) {
    let mut sim = Sim::new(1, Default::default());
    let (tell, seen) = channel();
    let node = sim.add("scribe", Scribe { path: "book".into(), exits, tell }, NodeConfig::default()).unwrap();
    assert_eq!(sim.run(Duration::from_secs(60)), Ended::Idle);
    let mut said: Vec<_> = seen.try_iter().map(|s| if let Seen::Said(s) = s { s } else { panic!("{s:?}") }).collect();
    said.sort_by_key(|s| s.split(' ').next().and_then(|n| n.parse::<u64>().ok()));
    (sim.file(node, "book").unwrap(), said, sim.exit(node))
}

#[test]
fn what_is_to_be_written_at_the_end_is_written() {
    assert!(run(true) == (whole(), vec![], Some(3)));
}

#[test]
fn what_was_asked_before_a_file_is_closed_is_answered() {
    assert!(run(false) == (whole(), answers(), None));
}
