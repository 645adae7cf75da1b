//! One client of the chat server: its backlog while it reads slowly, and its allowance of lines.
use core::time::Duration;
use proto_core::{Bytes, Instant};
use std::collections::VecDeque;

/// What happens to a client that does not read fast enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Slow {
    /// It is dropped after 10 s above the mark.
    Disconnect,
    /// Its oldest lines are.
    DropOldest,
}

/// Lines that wait for room in a client's output.
#[derive(Debug, Default)]
pub struct Backlog {
    lines: VecDeque<(Bytes, bool)>,
    bytes: usize,
    lost: usize,
    /// Above the mark since then.
    pub over: Option<Instant>,
}

impl Backlog {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes
    }
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
    /// Adds a line.
    pub fn push(&mut self, line: Bytes, droppable: bool) {
        self.bytes += line.len();
        self.lines.push_back((line, droppable));
    }
    /// Takes the oldest line; a note about lost ones comes first.
    pub fn pop(&mut self) -> Option<Bytes> {
        if self.lost > 0 {
            return Some(format!("* {} messages lost\n", std::mem::take(&mut self.lost)).into());
        }
        let (line, _) = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }
    /// Drops the oldest lines that may be dropped until at most `limit` bytes wait.
    pub fn shrink(&mut self, limit: usize) {
        let mut i = 0;
        while self.bytes > limit && i < self.lines.len() {
            match self.lines.get(i) {
                Some((_, true)) => {
                    if let Some((line, _)) = self.lines.remove(i) {
                        self.bytes -= line.len();
                        self.lost += 1;
                    }
                }
                _ => i += 1,
            }
        }
    }
}

/// How many lines a client may send.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flood {
    /// Lines a second; 0 for no limit.
    pub rate: f64,
    /// Lines at once.
    pub burst: f64,
}

/// A bucket of lines that fills with time.
#[derive(Debug)]
pub struct Allowance {
    level: f64,
    at: Instant,
    /// Empty since then, and not full again.
    pub empty: Option<Instant>,
}

impl Allowance {
    /// A full one.
    pub fn new(flood: Flood, now: Instant) -> Self {
        Allowance { level: flood.burst, at: now, empty: None }
    }
    fn refill(&mut self, flood: Flood, now: Instant) {
        self.level = (self.level + now.since(self.at).as_secs_f64() * flood.rate).min(flood.burst);
        self.at = now;
        if self.level >= flood.burst {
            self.empty = None;
        }
    }
    /// There is a line left.
    pub fn has_line(&mut self, flood: Flood, now: Instant) -> bool {
        self.refill(flood, now);
        flood.rate <= 0.0 || self.level >= 1.0
    }
    /// Uses one line up.
    pub fn take(&mut self, flood: Flood) {
        if flood.rate > 0.0 {
            self.level -= 1.0;
        }
    }
    /// When there is one again.
    pub fn next(&self, flood: Flood) -> Instant {
        let wait = ((1.0 - self.level) / flood.rate.max(1e-9)).clamp(0.001, 3600.0);
        self.at.after(Duration::from_secs_f64(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_droppable_lines_go_first() {
        let mut b = Backlog::default();
        for (line, droppable) in [("one\n", true), ("reply\n", false), ("two\n", true), ("three\n", true)] {
            b.push(line.into(), droppable);
        }
        b.shrink(12);
        let rest: Vec<_> = std::iter::from_fn(|| b.pop()).collect();
        assert_eq!(rest, ["* 2 messages lost\n", "reply\n", "three\n"]);
        assert_eq!((b.len(), b.is_empty()), (0, true));
    }

    #[test]
    fn an_allowance_fills_with_time() {
        let (flood, t) = (Flood { rate: 5.0, burst: 2.0 }, Instant::from_nanos);
        let mut a = Allowance::new(flood, t(0));
        for _ in 0..2 {
            assert!(a.has_line(flood, t(0)));
            a.take(flood);
        }
        assert!(!a.has_line(flood, t(0)));
        assert_eq!(a.next(flood), t(200_000_000));
        assert!(!a.has_line(flood, t(199_000_000)) && a.has_line(flood, t(201_000_000)));
    }
}
