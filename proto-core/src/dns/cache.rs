//! What is known about names, for as long as their owners allow.
use super::{Domain, Type, Unresolved};
use crate::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

/// Names and types that are kept.
pub const NAMES_MAX: usize = 1024;
/// No answer is kept longer: an hour.
const TTL_MAX: Duration = Duration::from_secs(3600);
/// No "there is none" is kept longer.
const NEGATIVE_MAX: Duration = Duration::from_secs(60);

/// Addresses, or why there are none.
pub type Known = Result<Vec<IpAddr>, Unresolved>;

/// Answers by name and type. When it is full, what would be over first goes.
#[derive(Debug, Default)]
pub struct Cache {
    known: BTreeMap<(Domain, Type), (Instant, Known)>,
    ends: BTreeSet<(Instant, Domain, Type)>,
}

impl Cache {
    /// What is known now.
    pub fn get(&self, name: &Domain, kind: Type, now: Instant) -> Option<&Known> {
        let (until, known) = self.known.get(&(name.clone(), kind))?;
        (*until > now).then_some(known)
    }
    /// Keeps an answer for `ttl` seconds, within the limits. A TTL with its first bit set is 0 (RFC 2181 8).
    pub fn put(&mut self, name: &Domain, kind: Type, known: Known, ttl: u32, now: Instant) {
        let ttl = Duration::from_secs(if ttl >= 1 << 31 { 0 } else { u64::from(ttl) });
        let ttl = ttl.min(if known.is_ok() { TTL_MAX } else { NEGATIVE_MAX });
        let key = (name.clone(), kind);
        if let Some((until, _)) = self.known.remove(&key) {
            self.ends.remove(&(until, key.0.clone(), kind));
        }
        if ttl.is_zero() {
            return;
        }
        while self.known.len() >= NAMES_MAX {
            let Some((_, name, kind)) = self.ends.pop_first() else { break };
            self.known.remove(&(name, kind));
        }
        let until = now.after(ttl);
        self.ends.insert((until, key.0.clone(), kind));
        self.known.insert(key, (until, known));
    }
    /// How many answers it keeps, those that are over included.
    pub fn len(&self) -> usize {
        self.known.len()
    }
    /// It keeps none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::default().after(Duration::from_secs(s))
    }

    #[test]
    fn time_to_live_is_kept_within_limits() {
        let d = |s: &str| s.parse::<Domain>().unwrap();
        let yes = || Ok(Vec::from([IpAddr::from([10, 0, 0, 1])]));
        let mut c = Cache::default();
        for (name, known, ttl, until) in [
            ("a", yes(), 10, 10_u64),
            ("b", yes(), 1_000_000, 3600),
            ("c", yes(), 0, 0),
            ("d", yes(), 1 << 31, 0),
            ("e", yes(), u32::MAX, 0),
            ("f", Err(Unresolved::NoSuchName), 10, 10),
            ("g", Err(Unresolved::NoSuchName), 3600, 60),
        ] {
            c.put(&d(name), Type::A, known, ttl, at(0));
            let there = |s| c.get(&d(name), Type::A, at(s)).is_some();
            assert!((0..until).step_by(50).chain(until.checked_sub(1)).all(there), "{name}");
            assert!((until..5000).step_by(50).all(|s| !there(s)), "{name}");
        }
        assert!(c.get(&d("A"), Type::A, at(1)).is_some() && c.get(&d("a"), Type::AAAA, at(1)).is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes long, and is safe code")]
    fn it_is_bounded_and_keeps_what_lives_longest() {
        let mut c = Cache::default();
        let name = |i: usize| alloc::format!("n{i}").parse::<Domain>().unwrap();
        for i in 0..3 * NAMES_MAX {
            c.put(&name(i), Type::A, Ok(Vec::new()), 1 + i as u32 % 3000, at(0));
            assert!(c.len() <= NAMES_MAX && c.ends.len() == c.known.len());
        }
        assert_eq!(c.len(), NAMES_MAX);
        assert!(c.get(&name(2999), Type::A, at(0)).is_some() && c.get(&name(1), Type::A, at(0)).is_none());
    }
}
