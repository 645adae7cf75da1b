//! Randomness from a seed (splitmix64), and what the run has seen so far.
use super::plan::{Chance, Spread};
use std::collections::VecDeque;
use std::time::Duration;

/// A repeatable stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream number `stream` of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut r = Rng(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        r.next();
        r
    }
    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `n`; zero if there is none.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
    /// A number from 1 to `n`; `n` must not be zero.
    pub fn upto(&mut self, n: usize) -> usize {
        1 + self.below(n as u64) as usize
    }
    /// Whether it happens this time. What never happens takes no randomness.
    pub fn happens(&mut self, c: Chance) -> bool {
        c.0 > 0 && self.below(1_000_000) < u64::from(c.0)
    }
    /// How long it takes this time.
    pub fn time(&mut self, s: Spread) -> Duration {
        let low = s.base.saturating_sub(s.plus_minus).as_nanos() as u64;
        Duration::from_nanos(low + self.below(2 * s.plus_minus.as_nanos() as u64 + 1))
    }
    /// A duration up to `max`.
    pub fn within(&mut self, max: Duration) -> Duration {
        Duration::from_nanos(self.below(max.as_nanos() as u64 + 1))
    }
    /// 32 random bytes.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed.chunks_exact_mut(8).for_each(|c| c.copy_from_slice(&self.next().to_le_bytes()));
        seed
    }
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, b: u8) -> u64 {
    (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
}

/// FNV-1a: tells bytes apart that nobody chose to collide.
pub fn hash(b: &[u8]) -> u64 {
    b.iter().copied().fold(FNV, fnv)
}

/// A hash over everything that happened, and its last lines.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    tail: VecDeque<String>,
}

/// Lines kept for whoever looks for the cause of a failure.
const TAIL: usize = 60;
/// Characters of a line.
const WIDTH: usize = 160;

impl Default for Trace {
    fn default() -> Self {
        Trace { hash: FNV, tail: VecDeque::with_capacity(TAIL) }
    }
}

impl Trace {
    /// Adds one event.
    pub fn add(&mut self, line: String) {
        self.hash = line.bytes().fold(self.hash, fnv);
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        let cut = line.char_indices().nth(WIDTH).map(|(at, _)| at);
        self.tail.push_back(match cut.and_then(|at| line.get(..at)) {
            Some(head) => format!("{head}..."),
            None => line,
        });
    }
    /// Of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }
    /// The last lines.
    pub fn tail(&self) -> String {
        self.tail.iter().map(|l| format!("  {l}\n")).collect()
    }
}
