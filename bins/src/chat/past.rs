//! What was said in a room: numbered, and kept for those who come later or come back.
use super::core::Limits;
use crate::text::Clock;
use proto_core::{Bytes, Wall};
use std::collections::VecDeque;

/// A room's lines. Numbers begin at the microsecond in which the room was made, so that a number from a room of the same
/// name in an earlier life (before a restart, or before everybody left) is smaller than any of this one.
#[derive(Debug)]
pub(super) struct Past {
    first: u64,
    last: u64,
    lines: VecDeque<Said>,
    bytes: usize,
}

#[derive(Debug)]
struct Said {
    number: u64,
    at: Wall,
    /// With its LF.
    line: Bytes,
}

/// What somebody missed who had heard everything up to some number.
#[derive(Debug)]
pub(super) struct Missed<'a> {
    /// Lines that are not kept any more.
    pub lost: u64,
    /// The number is from another life of the room: how much that one still said is not known.
    pub anew: bool,
    /// Number and line of those that are kept.
    pub lines: Vec<(u64, &'a Bytes)>,
}

impl Past {
    /// Of a room that is made now.
    pub fn new(now: Wall) -> Self {
        let first = u64::try_from(now.unix_ns / 1000).unwrap_or(0).max(1); // 0 is no number
        Past { first, last: first, lines: VecDeque::new(), bytes: 0 }
    }
    /// The number of the latest line.
    pub fn last(&self) -> u64 {
        self.last
    }
    /// Adds a line; its number.
    pub fn push(&mut self, line: Bytes, at: Wall, limits: &Limits) -> u64 {
        self.last += 1;
        self.bytes += line.len();
        self.lines.push_back(Said { number: self.last, at, line });
        while self.lines.len() > limits.history || self.bytes > limits.history_bytes {
            let Some(old) = self.lines.pop_front() else { break };
            self.bytes -= old.line.len();
        }
        self.last
    }
    /// The lines as those see them who join.
    pub fn history(&self, utc: bool) -> impl Iterator<Item = Bytes> {
        let text = |s: &Said| String::from_utf8_lossy(&s.line).into_owned();
        self.lines.iter().map(move |s| format!("* history {} {}", Clock { wall: s.at, utc }, text(s)).into())
    }
    /// What came after `number`.
    pub fn since(&self, number: u64) -> Missed<'_> {
        let anew = !(self.first..=self.last).contains(&number);
        let from = if anew { self.first } else { number };
        let oldest = self.lines.front().map_or(self.last + 1, |s| s.number);
        let later = self.lines.iter().filter(|s| s.number > from);
        Missed { lost: oldest.saturating_sub(from + 1), anew, lines: later.map(|s| (s.number, &s.line)).collect() }
    }
}
