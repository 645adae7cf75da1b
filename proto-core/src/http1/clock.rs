//! What the peer may take time for, and how long it has taken.
use super::rules::Times;
use crate::{Deadline, Instant, Tx};
use core::time::Duration;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Phase {
    /// Nothing that the peer does.
    #[default]
    Off,
    /// A server's first request, from the start of the connection on.
    First,
    /// A server's next request.
    Idle,
    /// The first byte of an answer.
    Answer,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
}

/// Watches the input by phases, and the output by its progress.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// The last time that was told.
    now: Instant,
    phase: Phase,
    /// Since when; noted at the first call after the phase began.
    since: Option<Instant>,
    /// Bytes of body since then.
    got: u64,
    /// Output as we left it, and since when no byte of it was taken.
    out: usize,
    stuck: Option<Instant>,
}

/// A phase's deadline, or the output's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    Phase(Phase),
    Stall,
}

impl Clock {
    /// A call of the machine begins: notes the time, and what was taken from `tx` since the last one.
    #[inline]
    pub(crate) fn tick(&mut self, now: Instant, tx: &Tx) {
        self.now = now;
        if self.since.is_none() && self.phase != Phase::Off {
            self.since = Some(now);
        }
        if tx.is_empty() {
            self.stuck = None;
        } else if tx.len() < self.out || self.stuck.is_none() {
            self.stuck = Some(now);
        }
        self.out = tx.len();
    }
    /// Our own bytes came to `tx`, which had `before`.
    #[inline]
    pub(crate) fn wrote(&mut self, before: usize, tx: &Tx) {
        self.out += tx.len().saturating_sub(before);
    }
    /// The last time that was told.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }
    /// Goes over to `phase`. The head that began with a connection keeps its beginning.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if self.phase == phase || self.phase == Phase::First && phase == Phase::Head {
            return;
        }
        (self.phase, self.since, self.got) = (phase, None, 0);
    }
    /// Goes over to `phase` in the midst of a call.
    pub(crate) fn enter_now(&mut self, phase: Phase) {
        self.enter(phase);
        if phase != Phase::Off {
            self.since.get_or_insert(self.now);
        }
    }
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }
    /// Bytes of the body came.
    pub(crate) fn body(&mut self, n: usize, times: &Times) {
        self.got = self.got.saturating_add(n as u64);
        if times.body_rate == 0 {
            self.since = Some(self.now);
        }
    }
    /// The next deadline, and whose it is.
    pub(crate) fn deadline(&self, times: &Times) -> Option<(Due, Deadline)> {
        let limit = match self.phase {
            Phase::Off => None,
            Phase::First => Some((times.head, "request")),
            Phase::Idle => Some((times.idle, "next request")),
            Phase::Answer => Some((times.idle, "first byte")),
            Phase::Head => Some((times.head, "rest of the head")),
            Phase::Body => Some((self.body_limit(times), "rest of the body")),
        };
        let phase = limit.and_then(|(limit, why)| timed(self.since, limit, why)).map(|d| (Due::Phase(self.phase), d));
        let stall = timed(self.stuck, times.stall, "reader of the output").map(|d| (Due::Stall, d));
        match (phase, stall) {
            (Some(a), Some(b)) => Some(if b.1.at < a.1.at { b } else { a }),
            (a, b) => a.or(b),
        }
    }
    /// When what came so far is less than the rate asks for.
    fn body_limit(&self, times: &Times) -> Duration {
        if times.body_rate == 0 || times.body_grace == Duration::MAX {
            return times.body_grace;
        }
        let rate = u128::from(times.body_rate);
        let ns = u128::from(self.got) * 1_000_000_000 / rate;
        times.body_grace.saturating_add(Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)))
    }
}

fn timed(since: Option<Instant>, limit: Duration, why: &'static str) -> Option<Deadline> {
    since.filter(|_| limit < Duration::MAX).map(|since| Deadline::new(since, limit, why))
}
