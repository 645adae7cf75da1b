//! How fast to go: how long an answer may take, how many probes may be under way, how many may leave per second.
use core::time::Duration;
use proto_core::Instant;

/// No shorter wait for an answer, however quick the others were.
pub const FLOOR: Duration = Duration::from_millis(100);

/// The round trip time of a host, as RFC 6298 section 2 estimates it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rtt {
    smooth: Duration,
    varies: Duration,
}

impl Rtt {
    /// With the first measurement (2.2).
    pub fn new(sample: Duration) -> Self {
        Rtt { smooth: sample, varies: sample / 2 }
    }
    /// With one more (2.3): an eighth of it, and a quarter of how far it is off.
    pub fn add(&mut self, sample: Duration) {
        self.varies = (self.varies * 3 + self.smooth.abs_diff(sample)) / 4;
        self.smooth = (self.smooth * 7 + sample) / 8;
    }
    /// How long to wait for an answer: within [`FLOOR`] and `most`.
    pub fn timeout(&self, most: Duration) -> Duration {
        (self.smooth + self.varies * 4).max(FLOOR).min(most)
    }
}

/// How many probes may be under way: it halves when some were lost, and grows back by one per so many answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    size: u32,
    most: u32,
    answers: u32,
    /// A loss among the probes that were under way at the last one is the same loss.
    since_cut: u32,
}

/// Loss never makes it smaller, so that a bad line is still used.
const LEAST: u32 = 4;

impl Window {
    /// At most, and at first, `most`.
    pub fn new(most: u32) -> Self {
        Window { size: most.max(1), most: most.max(1), answers: 0, since_cut: u32::MAX }
    }
    /// Now.
    pub fn size(&self) -> u32 {
        self.size
    }
    /// An answer came.
    pub fn heard(&mut self) {
        self.since_cut = self.since_cut.saturating_add(1);
        self.answers += 1;
        if self.answers >= self.size {
            self.answers = 0;
            self.size = self.size.saturating_add(1).min(self.most);
        }
    }
    /// A probe was answered only when it was repeated: the first one, or its answer, was lost.
    pub fn lost(&mut self) {
        if self.since_cut >= self.size {
            (self.since_cut, self.answers) = (0, 0);
            self.size = (self.size / 2).max(LEAST.min(self.most));
        }
    }
    /// This machine had no room for one more beside `under_way` others: never more than these again, and half as many for
    /// now.
    pub fn limited(&mut self, under_way: u32) {
        self.most = self.most.min(under_way.max(1));
        self.size = self.size.min(self.most / 2).max(1);
        (self.since_cut, self.answers) = (0, 0);
    }
}

/// So many per second: a bucket that holds a twentieth of a second's worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Time from one to the next.
    step: Duration,
    /// When the next one is due if none had been late.
    next: Instant,
    slack: Duration,
}

impl Rate {
    /// `per_second` is not 0.
    pub fn new(per_second: u32, now: Instant) -> Self {
        let step = Duration::from_secs(1) / per_second.max(1);
        Rate { step, next: now, slack: Duration::from_millis(50) }
    }
    /// When the next one may go; not later than now if it may.
    pub fn at(&self) -> Instant {
        self.next
    }
    /// One goes.
    pub fn take(&mut self, now: Instant) {
        let behind = now.since(self.next);
        let from = if behind > self.slack { self.next.after(behind - self.slack) } else { self.next };
        self.next = from.after(self.step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_timeout_follows_the_round_trip_time() {
        let most = ms(3000);
        let mut rtt = Rtt::new(ms(200));
        assert_eq!(rtt.timeout(most), ms(600), "R + 4 R/2");
        for _ in 0..50 {
            rtt.add(ms(200));
        }
        assert!((ms(200)..ms(210)).contains(&rtt.timeout(most)), "{rtt:?}");
        rtt.add(ms(1000));
        assert!(rtt.timeout(most) > ms(1000), "one late answer widens it at once: {rtt:?}");
        assert_eq!(Rtt::new(ms(1)).timeout(most), FLOOR);
        assert_eq!(Rtt::new(ms(2000)).timeout(most), most);
        assert_eq!(Rtt::new(ms(1)).timeout(ms(10)), ms(10), "the cap is the user's");
    }

    #[test]
    fn the_window_halves_once_per_loss_and_grows_back() {
        let mut w = Window::new(100);
        w.lost();
        assert_eq!(w.size(), 50);
        w.lost();
        assert_eq!(w.size(), 50, "the same loss");
        (0..50).for_each(|_| w.heard());
        assert_eq!(w.size(), 51);
        w.heard();
        w.lost();
        assert_eq!(w.size(), 25);
        for _ in 0..20 {
            (0..100).for_each(|_| w.heard());
            w.lost();
        }
        assert!(w.size() >= LEAST);
        (0..100_000).for_each(|_| w.heard());
        assert_eq!(w.size(), 100, "and not beyond what was asked for");
    }

    #[test]
    fn local_limits_are_remembered() {
        let mut w = Window::new(1000);
        w.limited(60);
        assert_eq!(w.size(), 30);
        (0..100_000).for_each(|_| w.heard());
        assert_eq!(w.size(), 60);
        (0..10).for_each(|_| w.limited(0));
        assert_eq!(w.size(), 1);
    }

    #[test]
    fn a_rate_is_kept_and_pauses_are_not_made_good() {
        let at = |n| Instant::default().after(ms(n));
        let mut rate = Rate::new(100, at(0));
        let sent = |rate: &mut Rate, now| {
            let mut n = 0;
            while rate.at() <= now {
                rate.take(now);
                n += 1;
            }
            n
        };
        let total: u32 = (0..1000).map(|t| sent(&mut rate, at(t))).sum();
        assert_eq!(total, 100);
        assert!((4..=6).contains(&sent(&mut rate, at(60_000))), "a minute's pause gives 50 ms' worth");
    }
}
