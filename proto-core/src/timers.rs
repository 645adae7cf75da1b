//! Deadlines of many keys in one ordered set, kept lazily.
use crate::Instant;
use alloc::collections::{BTreeMap, BTreeSet};

/// Wakes up keys at their time. *Lazy*: moving a deadline later does not touch the set. When the
/// old time comes the owner looks at the true deadline and arms again; a busy connection whose idle
/// timeout moves with every byte costs one comparison per byte run, not a tree operation.
#[derive(Debug)]
pub struct Timers<K> {
    due: BTreeSet<(Instant, K)>,
    armed: BTreeMap<K, Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { due: BTreeSet::new(), armed: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Makes sure that `key` wakes up at `at` or earlier.
    pub fn arm(&mut self, key: K, at: Instant) {
        if let Some(&old) = self.armed.get(&key) {
            if old <= at {
                return;
            }
            self.due.remove(&(old, key));
        }
        self.armed.insert(key, at);
        self.due.insert((at, key));
    }
    /// Forgets `key`.
    pub fn disarm(&mut self, key: K) {
        if let Some(at) = self.armed.remove(&key) {
            self.due.remove(&(at, key));
        }
    }
    /// The next wake-up. A true deadline may be later, never earlier.
    pub fn next(&self) -> Option<(Instant, K)> {
        self.due.first().copied()
    }
    /// Takes a key whose time has come; whoever owns it arms it again if its true deadline is later.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let (at, key) = self.next()?;
        if at > now {
            return None;
        }
        self.disarm(key);
        Some(key)
    }
    /// Nothing is armed.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Instant {
        Instant::from_nanos(n)
    }

    #[test]
    fn later_is_lazy_and_earlier_is_exact() {
        let mut t = Timers::default();
        t.arm(1, at(10));
        t.arm(1, at(50)); // lazily ignored: fires at 10, the owner arms again
        assert_eq!(t.next(), Some((at(10), 1)));
        t.arm(1, at(5));
        t.arm(2, at(7));
        assert_eq!(t.pop(at(4)), None);
        assert_eq!(t.pop(at(9)), Some(1));
        assert_eq!(t.pop(at(9)), Some(2));
        assert!(t.is_empty());
    }

    #[test]
    fn disarmed_keys_never_fire() {
        let mut t = Timers::default();
        t.arm('a', at(1));
        t.disarm('a');
        t.disarm('b');
        assert_eq!(t.pop(at(99)), None);
    }
}
