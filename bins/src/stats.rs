//! Statistics of a server: every second on standard output, or once through the control socket.
use crate::text::{Thousands, bytes};
use core::time::Duration;
use proto_core::{Counters, Deadline, Instant, Shard, Token};

/// The numbers of one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Clients now.
    pub active: u64,
    /// Clients that were turned away.
    pub refused: u64,
    /// The driver's counters.
    pub counters: Counters,
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.active += other.active;
        self.refused += other.refused;
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
    json: bool,
}

/// Samples taken, and who waits for the next.
#[derive(Debug)]
pub struct Stats {
    every: Option<Duration>,
    next: Option<Instant>,
    last: (Instant, Totals),
    others: Vec<Totals>,
    questions: Vec<Question>,
    look: Look,
}

/// What is shown, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Look {
    /// The driver is an io_uring.
    pub ring: bool,
    /// One JSON object.
    pub json: bool,
    /// System calls as well.
    pub verbose: bool,
}

/// How long a control connection waits: rates need two samples.
pub const SAMPLE: Duration = Duration::from_secs(1);

impl Stats {
    /// Printed every so often, or only when asked.
    pub fn new(every: Option<Duration>) -> Self {
        let last = (Instant::default(), Totals::default());
        Stats { every, next: None, last, others: Vec::new(), questions: Vec::new(), look: Look::default() }
    }
    /// Begins to count.
    pub fn start(&mut self, now: Instant, shards: u16, look: Look) {
        self.next = self.every.map(|e| now.after(e));
        self.last.0 = now;
        self.look = look;
        self.others = vec![Totals::default(); usize::from(shards)];
    }
    /// Another shard's totals.
    pub fn heard(&mut self, from: Shard, totals: Totals) {
        if let Some(t) = self.others.get_mut(usize::from(from.0)) {
            *t = totals;
        }
    }
    /// All loops together, as far as they were heard.
    pub fn sum(&self, own: &Totals) -> Totals {
        let mut sum = *own;
        self.others.iter().for_each(|t| sum.add(t));
        sum
    }
    /// A control connection wants to know.
    pub fn asked(&mut self, conn: Token, own: &Totals, now: Instant, json: bool) {
        self.questions.push(Question { conn, at: now, before: self.sum(own), json });
    }
    /// It waits for its answer.
    pub fn is_asked_by(&self, conn: Token) -> bool {
        self.questions.iter().any(|q| q.conn == conn)
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
        let (look, spread) = (self.look, self.spread(own));
        self.questions.retain(|q| {
            let ripe = now.since(q.at) >= SAMPLE;
            if ripe {
                let look = Look { json: q.json, ..look };
                let mut text = text(&q.before, &sum, now.since(q.at), look, &spread).join("\n");
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
        text(&self.last.1, &self.sum(own), now.since(self.last.0), self.look, &self.spread(own))
    }
    /// Connections that each loop has accepted; empty if there is one.
    fn spread(&self, own: &Totals) -> Vec<u64> {
        let rest = self.others.iter().skip(1).map(|t| t.counters.accepted);
        if self.others.len() > 1 { std::iter::once(own.counters.accepted).chain(rest).collect() } else { Vec::new() }
    }
    /// The ring's totals, for the end.
    pub fn ring_lines(&self, own: &Totals) -> Vec<String> {
        ring_lines(&self.sum(own))
    }
}

fn text(before: &Totals, now: &Totals, over: Duration, look: Look, spread: &[u64]) -> Vec<String> {
    let rate = |f: fn(&Counters) -> u64| {
        f(&now.counters).saturating_sub(f(&before.counters)) as f64 / over.as_secs_f64().max(1e-9)
    };
    if look.json {
        return vec![json(now, over, spread, [rate(|c| c.bytes_in), rate(|c| c.bytes_out), rate(|c| c.events)])];
    }
    let mut lines = vec![
        format!("Connections: {} active", Thousands(now.active)),
        format!("Bytes in: {}/s", bytes(rate(|c| c.bytes_in))),
        format!("Bytes out: {}/s", bytes(rate(|c| c.bytes_out))),
        format!("Events/sec: {}", Thousands(rate(|c| c.events) as u64)),
    ];
    if look.ring {
        lines.extend(ring_lines(now));
    }
    if !spread.is_empty() {
        let each: Vec<String> = spread.iter().map(|n| Thousands(*n).to_string()).collect();
        lines.push(format!("Accepted per thread: {}", each.join(" ")));
    }
    if look.verbose {
        let ops = (now.counters.inputs.saturating_sub(before.counters.inputs)).max(1) as f64;
        let per_op = |f: fn(&Counters) -> u64| f(&now.counters).saturating_sub(f(&before.counters)) as f64 / ops;
        lines.push(format!("syscalls/op: {:.2}", per_op(|c| c.syscalls)));
        lines.push(format!("epoll_ctl/op: {:.2}", per_op(|c| c.epoll_ctl)));
    }
    lines
}

/// One object: rates over the sample, and everything the driver has counted since its start.
fn json(now: &Totals, over: Duration, spread: &[u64], [bytes_in, bytes_out, events]: [f64; 3]) -> String {
    let counters: Vec<String> = now.counters.list().map(|(name, n)| format!("\"{name}\":{n}")).collect();
    let spread: Vec<String> = spread.iter().map(u64::to_string).collect();
    format!(
        "{{\"schema\":\"drywire/stats/1\",\"active\":{},\"sample_s\":{:.3},\"bytes_in_per_s\":{bytes_in:.0},\
         \"bytes_out_per_s\":{bytes_out:.0},\"events_per_s\":{events:.0},\"totals\":{{{}}},\
         \"accepted_per_thread\":[{}]}}",
        now.active,
        over.as_secs_f64(),
        counters.join(","),
        spread.join(","),
    )
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
        let before = Totals { active: 1, refused: 0, counters: counters(1_000_000) };
        let now = Totals { active: 1000, refused: 0, counters: counters(91_000_000) };
        let lines = text(&before, &now, Duration::from_secs(2), Look::default(), &[]);
        assert_eq!(
            lines,
            ["Connections: 1,000 active", "Bytes in: 45 MB/s", "Bytes out: 90 MB/s", "Events/sec: 450,000"]
        );
    }

    #[test]
    fn shards_are_summed() {
        let mut s = Stats::new(None);
        s.start(Instant::default(), 2, Look { ring: true, ..Look::default() });
        let totals = |n| Totals {
            active: n,
            refused: 0,
            counters: Counters { completions: 500 * n, syscalls: n, ..Counters::default() },
        };
        s.heard(Shard(1), totals(3));
        assert_eq!(
            s.ring_lines(&totals(1)),
            ["Submissions: 0", "Completions: 2,000", "Syscalls: 4", "Ops/syscall: 500 average"]
        );
    }

    #[test]
    fn more_is_shown_when_asked_for() {
        let counters = Counters { inputs: 100, syscalls: 250, epoll_ctl: 3, accepted: 7, ..Counters::default() };
        let now = Totals { active: 2, refused: 0, counters };
        let look = Look { verbose: true, ..Look::default() };
        let lines = text(&Totals::default(), &now, Duration::from_secs(1), look, &[4, 3]);
        assert_eq!(lines[4..], ["Accepted per thread: 4 3", "syscalls/op: 2.50", "epoll_ctl/op: 0.03"]);
        let look = Look { json: true, ..look };
        let json = text(&Totals::default(), &now, Duration::from_secs(2), look, &[4, 3]);
        let head = "{\"schema\":\"drywire/stats/1\",\"active\":2,\"sample_s\":2.000,\"bytes_in_per_s\":0,";
        assert_eq!(json.len(), 1);
        assert!(json[0].starts_with(head) && json[0].ends_with(",\"accepted_per_thread\":[4,3]}"), "{}", json[0]);
        assert!(json[0].contains("\"totals\":{\"inputs\":100,"), "{}", json[0]);
    }
}
