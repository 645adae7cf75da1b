//! Durations counted by size, to say how long most things took.
use core::time::Duration;

/// Counts in classes that are 1.6 % wide; a few KiB however many durations there are.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

/// Classes per power of two.
const FINE: u64 = 64;

/// Below 64 ns each is a class of its own; then 64 per power of two.
fn class(ns: u64) -> usize {
    if ns < FINE {
        return ns as usize;
    }
    let shift = u64::from(ns.ilog2() - FINE.ilog2());
    (FINE + shift * FINE + ((ns >> shift) - FINE)) as usize
}

/// The largest duration of a class.
fn upper(class: usize) -> u64 {
    let class = class as u64;
    if class < FINE {
        return class;
    }
    let (shift, place) = ((class - FINE) / FINE, (class - FINE) % FINE);
    (((FINE + place + 1) as u128) << shift).saturating_sub(1).min(u128::from(u64::MAX)) as u64
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, d: Duration) {
        let ns = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let class = class(ns);
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0);
        }
        if let Some(n) = self.counts.get_mut(class) {
            *n += 1;
        }
        self.total += 1;
        self.max = self.max.max(ns);
    }
    /// How many were counted.
    pub fn len(&self) -> u64 {
        self.total
    }
    /// None was.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }
    /// So many per mille took at most this long; zero if there are none.
    pub fn per_mille(&self, share: u64) -> Duration {
        let rank = (self.total * share).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        Duration::from_nanos(found.map_or(0, upper).min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_narrow_and_in_order() {
        let mut last = 0;
        for bits in 0..64u32 {
            for ns in [1u64 << bits, (1u64 << bits) | (1u64 << bits) >> 1, ((1u128 << (bits + 1)) - 1) as u64] {
                let c = class(ns);
                assert!(c >= last, "{ns}");
                assert!(upper(c) >= ns && upper(c) - ns <= ns / 60, "{ns}: {}", upper(c));
                last = c;
            }
        }
    }

    #[test]
    fn ranks() {
        let mut h = Histogram::default();
        assert_eq!((h.per_mille(990), h.max()), (Duration::ZERO, Duration::ZERO));
        (1..=1000).for_each(|ms| h.add(Duration::from_millis(ms)));
        let about = |share, ms: f64| {
            let got = h.per_mille(share).as_secs_f64() * 1000.0;
            assert!((ms..ms * 1.02).contains(&got), "{share}: {got}");
        };
        about(500, 500.0);
        about(990, 990.0);
        assert_eq!(h.per_mille(1000), Duration::from_secs(1));
    }
}
