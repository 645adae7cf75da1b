//! In which order targets are probed: as they are counted, or shuffled by a seed, whole or one of several shares.
use super::mix;

/// A bijection of `0..total`, and the part of it that one shard does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    total: u64,
    seed: Option<u64>,
    /// This share, counted from 0, of so many.
    shard: (u64, u64),
    /// Bits of each half of the shuffled number.
    half: u32,
}

/// Rounds of the shuffling; four make a Feistel network a permutation that looks random.
const ROUNDS: u64 = 4;

impl Order {
    /// `total` is at most 2^48; `shard` is (0-based share, number of shares), the second not 0.
    pub fn new(total: u64, seed: Option<u64>, shard: (u64, u64)) -> Self {
        let bits = u64::BITS - total.saturating_sub(1).leading_zeros();
        Order { total, seed, shard: (shard.0, shard.1.max(1)), half: bits.div_ceil(2).max(1) }
    }
    /// How many targets this shard has.
    pub fn size(&self) -> u64 {
        let (share, of) = self.shard;
        self.total.saturating_sub(share).div_ceil(of)
    }
    /// The `k`-th target of this shard; `None` after the last.
    pub fn nth(&self, k: u64) -> Option<u64> {
        let (share, of) = self.shard;
        let at = k.checked_mul(of)?.checked_add(share).filter(|at| *at < self.total)?;
        Some(match self.seed {
            None => at,
            Some(seed) => self.shuffle(at, seed),
        })
    }
    /// A number that falls outside is shuffled again until it is inside: that keeps it a bijection ("cycle walking").
    fn shuffle(&self, mut at: u64, seed: u64) -> u64 {
        loop {
            at = self.feistel(at, seed);
            if at < self.total {
                return at;
            }
        }
    }
    fn feistel(&self, at: u64, seed: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (at >> self.half, at & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mix(seed ^ mix(right ^ (round << 56))) & mask));
        }
        left << self.half | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_target_comes_once() {
        for total in [0, 1, 2, 3, 7, 64, 65, 1000, 65_535] {
            for seed in [None, Some(0), Some(7)] {
                let order = Order::new(total, seed, (0, 1));
                let all: BTreeSet<u64> = (0..total).filter_map(|k| order.nth(k)).collect();
                assert_eq!((all.len() as u64, order.size()), (total, total), "{total} {seed:?}");
                assert!(all.last().is_none_or(|last| *last < total));
                assert_eq!(order.nth(total), None);
            }
        }
    }

    #[test]
    fn shards_divide_the_whole() {
        for of in [1, 2, 3, 7, 1001] {
            let mut all = BTreeSet::new();
            for share in 0..of {
                let order = Order::new(1000, Some(3), (share, of));
                let mine: Vec<u64> = (0..).map_while(|k| order.nth(k)).collect();
                assert_eq!(mine.len() as u64, order.size());
                assert!(mine.into_iter().all(|t| all.insert(t)), "twice");
            }
            assert_eq!(all.len(), 1000);
        }
    }

    #[test]
    fn a_seed_shuffles_and_repeats() {
        let first = |seed| Order::new(1000, Some(seed), (0, 1)).nth(0);
        assert_eq!(first(1), first(1));
        let starts: BTreeSet<_> = (0..50).map(first).collect();
        assert!(starts.len() > 40, "{starts:?}");
        let order = Order::new(1 << 32, Some(1), (0, 1));
        let steps = (0..1000).filter(|k| order.nth(*k).zip(order.nth(k + 1)).is_some_and(|(a, b)| b == a + 1)).count();
        assert!(steps < 3, "{steps} neighbours stay together");
    }
}
