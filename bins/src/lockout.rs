//! Who has failed to log in too often, and who has logged in: by address, in bounded memory.
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use proto_core::Instant;
use std::collections::BTreeMap;

const MINUTE: Duration = Duration::from_secs(60);
/// For so long an address that has logged in may come without.
const KNOWN: Duration = Duration::from_secs(600);
/// Addresses remembered, of each kind.
const MOST: usize = 10_000;

/// What is known of addresses.
#[derive(Debug)]
pub struct Lockout {
    /// Failed logins within [`MINUTE`] after which an address is refused for another.
    limit: u32,
    failures: BTreeMap<IpAddr, (Instant, u32)>,
    known: BTreeMap<IpAddr, Instant>,
}

impl Default for Lockout {
    fn default() -> Self {
        Lockout::new(10)
    }
}

/// Whose address it is: in IPv6 the network, since everybody has 2^64 addresses.
fn owner(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// Makes room for one more: what has run out goes, or else the entry that began first.
fn make_room<V: Copy>(map: &mut BTreeMap<IpAddr, V>, since: impl Fn(V) -> Instant, age: Duration, now: Instant) {
    if map.len() < MOST {
        return;
    }
    map.retain(|_, v| since(*v).after(age) > now);
    if map.len() >= MOST
        && let Some((&oldest, _)) = map.iter().min_by_key(|(_, v)| since(**v))
    {
        map.remove(&oldest);
    }
}

impl Lockout {
    /// After `limit` failed logins in a minute, an address is refused for another.
    pub fn new(limit: u32) -> Self {
        Lockout { limit, failures: BTreeMap::new(), known: BTreeMap::new() }
    }
    /// A login has failed.
    pub fn failed(&mut self, ip: IpAddr, now: Instant) {
        let ip = owner(ip);
        make_room(&mut self.failures, |v| v.0, MINUTE, now);
        let (since, count) = self.failures.entry(ip).or_insert((now, 0));
        if since.after(MINUTE) <= now {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count >= self.limit {
            *since = now; // the minute of refusal begins
        }
    }
    /// It has failed too often.
    pub fn is_refused(&self, ip: IpAddr, now: Instant) -> bool {
        self.failures.get(&owner(ip)).is_some_and(|(since, n)| *n >= self.limit && since.after(MINUTE) > now)
    }
    /// Somebody there has logged in.
    pub fn succeeded(&mut self, ip: IpAddr, now: Instant) {
        make_room(&mut self.known, |v| v, KNOWN, now);
        self.known.insert(ip.to_canonical(), now);
    }
    /// Somebody there has logged in a short while ago.
    pub fn is_known(&self, ip: IpAddr, now: Instant) -> bool {
        self.known.get(&ip.to_canonical()).is_some_and(|at| at.after(KNOWN) > now)
    }
    /// The users have changed: nobody is known any more.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_nanos(s * 1_000_000_000)
    }
    fn ip(s: &str) -> IpAddr {
        s.parse().unwrap()
    }

    #[test]
    fn ten_failures_in_a_minute_are_enough() {
        let mut g = Lockout::default();
        for n in 0..9 {
            g.failed(ip("10.0.0.1"), at(n));
        }
        assert!(!g.is_refused(ip("10.0.0.1"), at(9)));
        g.failed(ip("::ffff:10.0.0.1"), at(10));
        assert!(g.is_refused(ip("10.0.0.1"), at(69)) && !g.is_refused(ip("10.0.0.2"), at(69)));
        assert!(!g.is_refused(ip("10.0.0.1"), at(70)), "for a minute");
        g.failed(ip("10.0.0.1"), at(71));
        assert!(!g.is_refused(ip("10.0.0.1"), at(71)), "counted anew");
        for n in 0..10 {
            g.failed(ip(&format!("2001:db8::{n}")), at(100));
        }
        assert!(g.is_refused(ip("2001:db8::ffff"), at(101)) && !g.is_refused(ip("2001:db8:0:1::1"), at(101)));
        // Slowly is not brute force.
        (0..100).for_each(|n| g.failed(ip("10.0.0.9"), at(n * 10)));
        assert!(!g.is_refused(ip("10.0.0.9"), at(1000)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut g = Lockout::default();
        for n in 0..30_000u32 {
            g.failed(IpAddr::V4((0x0a00_0000 + n).into()), at(1));
            g.succeeded(IpAddr::V4((0x0a00_0000 + n).into()), at(u64::from(n)));
        }
        assert_eq!(g.failures.len(), MOST);
        assert!(g.known.len() <= MOST);
    }

    #[test]
    fn who_has_logged_in_is_known_for_ten_minutes() {
        let mut g = Lockout::default();
        g.succeeded(ip("10.0.0.1"), at(1));
        assert!(g.is_known(ip("10.0.0.1"), at(600)) && !g.is_known(ip("10.0.0.1"), at(601)));
        assert!(!g.is_known(ip("10.0.0.2"), at(2)));
        g.forget();
        assert!(!g.is_known(ip("10.0.0.1"), at(2)));
    }
}
