//! Statistics of a server: every second on standard output, or once through the control socket.
use crate::text::{Thousands, bytes};
use core::time::Duration;
use proto_core::{Counters, Deadline, Instant, Shard, Token};

/// The numbers of one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Clients now.
    pub active: u64,
    /// The driver's counters.
    pub counters: Counters,
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.active += other.active;
        for ((_, to), (_, n)) in self.counters.list_mut().zip(other.counters.list()) {
            *to += n;
        }
    }
}

/// What is to be written now.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines for standard output.
    pub lines: Vec<String>,
    /// Answers for control connections.
    pub answers: Vec<(Token, String)>,
    /// Other shards are to be asked.
    pub ask: bool,
}

#[derive(Debug)]
struct Question {
    conn: Token,
    at: Instant,
    before: Totals,
}

/// Samples taken, and who waits for the next.
#[derive(Debug)]
pub struct Stats {
    every: Option<Duration>,
    next: Option<Instant>,
    last: (Instant, Totals),
    others: Vec<Totals>,
    questions: Vec<Question>,
    ring: bool,
}

/// How long a control connection waits: rates need two samples.
pub const SAMPLE: Duration = Duration::from_secs(1);
/// Control connections at once.
const QUESTIONS: usize = 16;

impl Stats {
    /// Printed every so often, or only when asked.
    pub fn new(every: Option<Duration>) -> Self {
        let last = (Instant::default(), Totals::default());
        Stats { every, next: None, last, others: Vec::new(), questions: Vec::new(), ring: false }
    }
    /// Begins to count.
    pub fn start(&mut self, now: Instant, shards: u16, ring: bool) {
        self.next = self.every.map(|e| now.after(e));
        self.last.0 = now;
        self.ring = ring;
        self.others = vec![Totals::default(); usize::from(shards)];
    }
    /// Another shard's totals.
    pub fn heard(&mut self, from: Shard, totals: Totals) {
        if let Some(t) = self.others.get_mut(usize::from(from.0)) {
            *t = totals;
        }
    }
    fn sum(&self, own: &Totals) -> Totals {
        let mut sum = *own;
        self.others.iter().for_each(|t| sum.add(t));
        sum
    }
    /// A control connection wants to know.
    pub fn asked(&mut self, conn: Token, own: &Totals, now: Instant) {
        if self.questions.len() < QUESTIONS {
            self.questions.push(Question { conn, at: now, before: self.sum(own) });
        }
    }
    /// It does not any more.
    pub fn gone(&mut self, conn: Token) {
        self.questions.retain(|q| q.conn != conn);
    }
    /// When to come back.
    pub fn deadline(&self) -> Option<Deadline> {
        let print = self.next.map(|at| Deadline { at, since: at, why: "statistics" });
        let answer = self.questions.first().map(|q| Deadline::new(q.at, SAMPLE, "statistics"));
        Deadline::earliest(print, answer)
    }
    /// What is due.
    pub fn due(&mut self, own: &Totals, now: Instant) -> Report {
        let (mut report, sum) = (Report::default(), self.sum(own));
        if let (Some(at), Some(every)) = (self.next, self.every)
            && at <= now
        {
            report.lines = self.lines(own, now);
            self.last = (now, sum);
            self.next = Some(now.after(every));
            report.ask = self.others.len() > 1;
        }
        let ring = self.ring;
        self.questions.retain(|q| {
            let ripe = now.since(q.at) >= SAMPLE;
            if ripe {
                let mut text = text(&q.before, &sum, now.since(q.at), ring).join("\n");
                text.push('\n');
                report.answers.push((q.conn, text));
            }
            !ripe
        });
        report.ask |= !self.questions.is_empty();
        report
    }
    /// The lines since the last print.
    pub fn lines(&self, own: &Totals, now: Instant) -> Vec<String> {
        text(&self.last.1, &self.sum(own), now.since(self.last.0), self.ring)
    }
    /// The ring's totals, for the end.
    pub fn ring_lines(&self, own: &Totals) -> Vec<String> {
        ring_lines(&self.sum(own))
    }
}

fn text(before: &Totals, now: &Totals, over: Duration, ring: bool) -> Vec<String> {
    let rate = |f: fn(&Counters) -> u64| {
        f(&now.counters).saturating_sub(f(&before.counters)) as f64 / over.as_secs_f64().max(1e-9)
    };
    let mut lines = vec![
        format!("Connections: {} active", Thousands(now.active)),
        format!("Bytes in: {}/s", bytes(rate(|c| c.bytes_in))),
        format!("Bytes out: {}/s", bytes(rate(|c| c.bytes_out))),
        format!("Events/sec: {}", Thousands(rate(|c| c.events) as u64)),
    ];
    if ring {
        lines.extend(ring_lines(now));
    }
    lines
}

fn ring_lines(t: &Totals) -> Vec<String> {
    let c = &t.counters;
    let mut lines = vec![
        format!("Submissions: {}", Thousands(c.submissions)),
        format!("Completions: {}", Thousands(c.completions)),
        format!("Syscalls: {}", Thousands(c.syscalls)),
        format!("Ops/syscall: {} average", Thousands(c.completions / c.syscalls.max(1))),
    ];
    if c.cq_overflow > 0 {
        lines.push(format!("Completion queue overflows: {}", Thousands(c.cq_overflow)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_from_two_samples() {
        let counters = |n| Counters { bytes_in: n, bytes_out: 2 * n, events: n / 100, ..Counters::default() };
        let before = Totals { active: 1, counters: counters(1_000_000) };
        let now = Totals { active: 1000, counters: counters(91_000_000) };
        let lines = text(&before, &now, Duration::from_secs(2), false);
        assert_eq!(
            lines,
            ["Connections: 1,000 active", "Bytes in: 45 MB/s", "Bytes out: 90 MB/s", "Events/sec: 450,000"]
        );
    }

    #[test]
    fn shards_are_summed() {
        let mut s = Stats::new(None);
        s.start(Instant::default(), 2, true);
        let totals =
            |n| Totals { active: n, counters: Counters { completions: 500 * n, syscalls: n, ..Counters::default() } };
        s.heard(Shard(1), totals(3));
        assert_eq!(
            s.ring_lines(&totals(1)),
            ["Submissions: 0", "Completions: 2,000", "Syscalls: 4", "Ops/syscall: 500 average"]
        );
    }
}
