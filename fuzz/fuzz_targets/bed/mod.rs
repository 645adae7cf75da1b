//! What the targets share: the test bed's runner, and how an input is read.
//!
//! The first four bytes of an input choose how it is cut and drained, the rest is what the peer sends.
#![allow(dead_code)] // no target uses all of it
#[path = "../../../tests/src/drive.rs"]
pub mod drive;
#[path = "../../../tests/src/http1.rs"]
pub mod http1;
#[path = "../../../tests/src/socks5.rs"]
pub mod socks5;

use self::drive::{Log, Plan, Rng, Subject, over};

/// Seed, and what the peer sends.
pub fn split(data: &[u8]) -> (u64, &[u8]) {
    let (seed, bytes) = data.split_at(data.len().min(4));
    (seed.iter().fold(0, |n, b| n << 8 | u64::from(*b)), bytes)
}

/// Places to cut `len` bytes at.
pub fn cuts(rng: &mut Rng, len: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..rng.below(12)).map(|_| rng.below(len + 1)).collect();
    cuts.sort_unstable();
    cuts
}

/// Whole, byte by byte, and cut and drained at random: all must be the same. Returns what it was.
pub fn same_however_cut<S: Subject>(settings: &[(String, String)], seed: u64, bytes: &[u8]) -> Log {
    let mut rng = Rng(seed);
    let eof = seed % 2 == 0;
    let check =
        |cuts: &[usize], plan: Plan| over::<S>(settings, bytes, cuts, eof, plan).unwrap_or_else(|e| panic!("{e}"));
    let whole = check(&[], Plan::simple());
    let every: Vec<usize> = (1..bytes.len()).collect();
    assert_eq!(check(&every, Plan::simple()), whole, "byte by byte");
    for _ in 0..3 {
        let cuts = cuts(&mut rng, bytes.len());
        let plan = Plan::random(rng.below(1 << 30) as u64);
        assert_eq!(check(&cuts, plan), whole, "cut at {cuts:?}");
    }
    whole
}
