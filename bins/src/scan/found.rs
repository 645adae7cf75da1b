//! What is kept of the answers.
use super::{State, Why};
use std::collections::BTreeMap;

/// Which answers are listed; all are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Listed {
    /// Open ports.
    Open,
    /// All but closed ones.
    NotClosed,
    /// Every port.
    All,
}

impl Listed {
    /// A port in that state is listed.
    pub fn has(self, state: State) -> bool {
        match self {
            Listed::Open => state == State::Open,
            Listed::NotClosed => state != State::Closed,
            Listed::All => true,
        }
    }
}

/// What is known of a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    /// The number of the address.
    pub host: u32,
    /// The port.
    pub port: u16,
    /// What it is.
    pub state: State,
    /// How that is known.
    pub why: Why,
}

/// Rows that are kept at most: what an open network can make us remember.
pub const ROWS: usize = 1 << 20;
/// Bytes of banners that are kept at most.
const BANNERS: usize = 16 << 20;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    listed: Listed,
    rows: Vec<Row>,
    banners: BTreeMap<(u32, u16), Vec<u8>>,
    banner_bytes: usize,
    counts: [u64; 4],
    /// Ports of which the network said that there is no way to them.
    unreachable: u64,
    /// Listed in principle, but there were too many.
    dropped: u64,
}

impl Found {
    /// Nothing yet.
    pub fn new(listed: Listed) -> Self {
        let (rows, banners) = (Vec::new(), BTreeMap::new());
        Found { listed, rows, banners, banner_bytes: 0, counts: [0; 4], unreachable: 0, dropped: 0 }
    }
    /// One more; true if it is listed.
    pub fn add(&mut self, row: Row) -> bool {
        if let Some(n) = self.counts.get_mut(row.state as usize) {
            *n += 1;
        }
        self.unreachable += u64::from(row.why.is_unreachable());
        let listed = self.listed.has(row.state);
        if listed && self.rows.len() < ROWS {
            self.rows.push(row);
        } else {
            self.dropped += u64::from(listed);
        }
        listed
    }
    /// The counts of an earlier part of the scan, whose rows were added.
    pub fn restore(&mut self, counts: [u64; 4], unreachable: u64) {
        (self.counts, self.unreachable) = (counts, unreachable);
    }
    /// What an open port said first.
    pub fn add_banner(&mut self, host: u32, port: u16, text: Vec<u8>) {
        if !text.is_empty() && self.banner_bytes + text.len() <= BANNERS {
            self.banner_bytes += text.len();
            self.banners.insert((host, port), text);
        }
    }
    /// What an open port said.
    pub fn banner(&self, host: u32, port: u16) -> Option<&[u8]> {
        self.banners.get(&(host, port)).map(Vec::as_slice)
    }
    /// How many ports are in that state.
    pub fn count(&self, state: State) -> u64 {
        self.counts.get(state as usize).copied().unwrap_or_default()
    }
    /// All counts, as in [`State::ALL`].
    pub fn counts(&self) -> [u64; 4] {
        self.counts
    }
    /// Answers, given up ones included.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
    /// Ports to which there is no way.
    pub fn unreachable(&self) -> u64 {
        self.unreachable
    }
    /// Rows that were not kept.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
    /// The listed rows in the order in which they came.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
    /// Sorts by address and port.
    pub fn sort(&mut self) {
        self.rows.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_some_are_listed() {
        for (listed, rows) in [(Listed::Open, 1), (Listed::NotClosed, 3), (Listed::All, 4)] {
            let mut f = Found::new(listed);
            for (port, state) in [4, 3, 2, 1].into_iter().zip(State::ALL) {
                f.add(Row { host: 0, port, state, why: Why::NoAnswer });
            }
            f.add_banner(0, 4, b"hi".to_vec());
            f.sort();
            assert_eq!((f.total(), f.rows().len(), f.counts()), (4, rows, [1; 4]));
            assert!(f.rows().is_sorted_by_key(|r| r.port));
            assert_eq!((f.banner(0, 4), f.banner(0, 3)), (Some(&b"hi"[..]), None));
        }
    }

    #[test]
    fn an_endless_network_does_not_fill_the_memory() {
        let mut f = Found::new(Listed::Open);
        let row = Row { host: 0, port: 1, state: State::Open, why: Why::SynAck };
        (0..ROWS + 5).for_each(|_| {
            f.add(row);
        });
        assert_eq!((f.rows().len(), f.dropped(), f.total()), (ROWS, 5, ROWS as u64 + 5));
        (0..200_000u32).for_each(|n| f.add_banner(n, 1, vec![b'x'; 256]));
        assert!(f.banners.len() <= BANNERS / 256);
    }
}
