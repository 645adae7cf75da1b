//! Time as a value: the driver reads the clock, everyone else is told.
use core::time::Duration;

/// Nanoseconds on the driver's monotonic clock. The origin is the driver's; only differences mean something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Instant(u64);

impl Instant {
    /// `ns` nanoseconds after the origin.
    pub const fn from_nanos(ns: u64) -> Self {
        Instant(ns)
    }
    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
    /// The time `d` later; saturates after 584 years.
    pub fn after(self, d: Duration) -> Self {
        Instant(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
    /// Time passed since `earlier`, zero if that is in the future.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Time of day, for people: log lines, `Date:` headers, certificates. Never for deadlines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wall {
    /// Nanoseconds since 1970-01-01 UTC.
    pub unix_ns: i64,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset_s: i32,
}

impl Wall {
    /// Local hour, minute and second.
    pub fn clock(self) -> (u8, u8, u8) {
        let s = (self.unix_ns.div_euclid(1_000_000_000) + i64::from(self.utc_offset_s)).rem_euclid(86_400);
        ((s / 3600) as u8, (s / 60 % 60) as u8, (s % 60) as u8)
    }
}

/// A point in time at which something is to happen, and why: the reason ends up in error texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// When the wait began: "timeout after 10 s" is `at - since`.
    pub since: Instant,
    /// What is waited for, as a noun: "first byte", "close by the peer".
    pub why: &'static str,
}

impl Deadline {
    /// A wait for `why` that began at `since` and lasts `limit`.
    pub fn new(since: Instant, limit: Duration, why: &'static str) -> Self {
        Deadline { at: since.after(limit), since, why }
    }
    /// How long the wait is in all.
    pub fn span(&self) -> Duration {
        self.at.since(self.since)
    }
    /// The earlier of two, where none means never.
    pub fn earliest(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
        match (a, b) {
            (Some(x), Some(y)) => Some(if y.at < x.at { y } else { x }),
            (x, y) => x.or(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_text_follows_the_offset_over_midnight() {
        let w = Wall { unix_ns: (23 * 3600 + 30 * 60 + 5) * 1_000_000_000, utc_offset_s: 3600 };
        assert_eq!(w.clock(), (0, 30, 5));
        let before_1970 = Wall { unix_ns: -1_000_000_000, utc_offset_s: 0 };
        assert_eq!(before_1970.clock(), (23, 59, 59));
    }

    #[test]
    fn instants_saturate() {
        let far = Instant::from_nanos(u64::MAX - 1).after(Duration::MAX);
        assert_eq!(far.as_nanos(), u64::MAX);
        assert_eq!(Instant::default().since(far), Duration::ZERO);
    }
}
