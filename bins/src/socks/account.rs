//! What users may use: sessions at once, bytes per second, bytes per month.
use crate::service::metrics;
use core::fmt;
use core::time::Duration;
use proto_core::{Instant, Wall};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Limits of each user; `None`: there is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Limits {
    /// Sessions at once.
    pub sessions: Option<u32>,
    /// Bytes per second, both ways and all sessions together.
    pub rate: Option<u64>,
    /// Bytes in a calendar month (UTC), both ways.
    pub month: Option<u64>,
}

/// Bytes that a relay may pass on before it asks again, at most.
const SLICE: u64 = 256 << 10;
/// At least, however low the rate.
const SMALLEST: u64 = 2 << 10;
/// Slices in a second, so that the sessions of a user have their turns.
const TURNS: u64 = 16;
/// Who was silent may take at once what this time would have brought.
const BURST: Duration = Duration::from_secs(1);
/// Users in a file at most.
const MOST: usize = 1_000_000;

/// A calendar month (UTC).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Month {
    year: i64,
    month: i64,
}

impl Month {
    /// The one that `wall` is in.
    pub fn of(wall: Wall) -> Self {
        let (year, month, _) = crate::text::civil(wall.unix_ns.div_euclid(1_000_000_000));
        Month { year, month }
    }
    fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let (year, month) = (year.parse().ok()?, month.parse().ok()?);
        (1..=12).contains(&month).then_some(Month { year, month })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// What a relay may pass on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grant {
    /// All that comes.
    All,
    /// So many bytes, from then on.
    Some(u64, Instant),
    /// No more this month.
    None,
}

#[derive(Clone, Copy, Default, Debug)]
struct Account {
    sessions: u32,
    /// When all that was granted would have passed at the rate.
    paid: Instant,
    /// Bytes of this month.
    used: u64,
}

/// The accounts of all users.
#[derive(Clone, Default, Debug)]
pub struct Accounts {
    limits: Limits,
    month: Month,
    by_user: BTreeMap<Vec<u8>, Account>,
    /// Bytes of a month are counted.
    counts: bool,
    /// The text would be another than it was.
    changed: bool,
}

impl Accounts {
    /// With nothing used. Bytes of a month are counted if they have a limit, or if `counts`.
    pub fn new(limits: Limits, counts: bool) -> Self {
        Accounts { limits, counts: counts || limits.month.is_some(), ..Accounts::default() }
    }
    /// Takes over what was used, from a text that [`Accounts::text`] has made.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub fn read(&mut self, text: &str) -> Result<(), (usize, &'static str)> {
        let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        let Some((n, first)) = lines.next() else { return Ok(()) };
        self.month = Month::parse(first.trim()).ok_or((n + 1, "expected a month such as 2026-11"))?;
        for (n, line) in lines {
            let wrong = (n + 1, "expected the bytes and the name of a user");
            let (bytes, user) = line.split_once(' ').ok_or(wrong)?;
            let used = bytes.parse().map_err(|_| wrong)?;
            if user.is_empty() || self.by_user.len() >= MOST {
                return Err(wrong);
            }
            self.by_user.entry(user.as_bytes().to_vec()).or_default().used = used;
        }
        Ok(())
    }
    /// A line for each user who has used something; `None` if that is what it was last time.
    pub fn text(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut text = format!("# Bytes of each user in this month (UTC), both ways\n{}\n", self.month);
        for (user, account) in self.by_user.iter().filter(|(_, a)| a.used > 0) {
            let _ = writeln!(text, "{} {}", account.used, String::from_utf8_lossy(user)); // to a String: cannot fail
        }
        Some(text)
    }
    /// What users use, as metrics.
    pub fn metrics(&self) -> String {
        let label = |user: &[u8]| {
            let name = String::from_utf8_lossy(user).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{{user=\"{name}\"}}")
        };
        let mut out = String::new();
        let sessions = self.by_user.iter().map(|(user, a)| (label(user), u64::from(a.sessions)));
        metrics::put(&mut out, "user_sessions_active", "gauge", "Sessions of the user now", sessions);
        let bytes = self.by_user.iter().map(|(user, a)| (label(user), a.used));
        metrics::put(&mut out, "user_bytes_total", "counter", "Bytes of the user in this month, both ways", bytes);
        out
    }
    /// What was written is not there: it is to be written again.
    pub fn change(&mut self) {
        self.changed = true;
    }
    /// Another month has begun: nothing is used.
    fn turn(&mut self, wall: Wall) {
        let month = Month::of(wall);
        if self.counts && month != self.month {
            self.month = month;
            self.by_user.values_mut().for_each(|a| a.used = 0);
            self.changed = true;
        }
    }
    /// A session of the user begins.
    pub fn enter(&mut self, user: &[u8]) {
        self.by_user.entry(user.to_vec()).or_default().sessions += 1;
    }
    /// A session of the user is over.
    pub fn leave(&mut self, user: &[u8], now: Instant) {
        let Some(account) = self.by_user.get_mut(user) else { return };
        account.sessions = account.sessions.saturating_sub(1);
        // What a rate has to remember is over in a moment; a name that comes again within it finds it.
        if account.sessions == 0 && account.used == 0 && account.paid <= now {
            self.by_user.remove(user);
        }
    }
    /// The user has more sessions than it may.
    pub fn is_crowded(&self, user: &[u8]) -> bool {
        self.limits.sessions.zip(self.by_user.get(user)).is_some_and(|(limit, a)| a.sessions > limit)
    }
    /// Bytes of the month are counted: tell of them.
    pub fn counts(&self) -> bool {
        self.counts
    }
    /// The user has moved bytes.
    pub fn used(&mut self, user: &[u8], bytes: u64, wall: Wall) {
        self.turn(wall);
        if let Some(account) = self.by_user.get_mut(user).filter(|_| self.counts && bytes > 0) {
            account.used = account.used.saturating_add(bytes);
            self.changed = true;
        }
    }
    /// The user has used all that it may this month.
    pub fn is_used_up(&mut self, user: &[u8], wall: Wall) -> bool {
        self.turn(wall);
        self.limits.month.zip(self.by_user.get(user)).is_some_and(|(limit, a)| a.used >= limit)
    }
    /// What a relay of the user may pass on next. `over`: how much more it has passed on than was granted.
    pub fn grant(&mut self, user: &[u8], over: u64, now: Instant, wall: Wall) -> Grant {
        if self.is_used_up(user, wall) {
            return Grant::None;
        }
        let Limits { rate, month, .. } = self.limits;
        if rate.is_none() && month.is_none() {
            return Grant::All;
        }
        let Some(account) = self.by_user.get_mut(user) else { return Grant::All };
        let left = month.map_or(u64::MAX, |m| m - account.used);
        let slice = rate.map_or(SLICE, |r| (r / TURNS).clamp(SMALLEST, SLICE)).min(left);
        Grant::Some(slice, rate.map_or(now, |rate| account.pay(over, slice, rate, now)))
    }
    /// The user sends or gets a datagram now; it is granted, or to be dropped.
    pub fn datagram(&mut self, user: &[u8], bytes: u64, now: Instant, wall: Wall) -> bool {
        if self.is_used_up(user, wall) {
            return false;
        }
        if let Some((account, rate)) = self.by_user.get_mut(user).zip(self.limits.rate) {
            if account.paid > now {
                return false;
            }
            account.pay(0, bytes, rate, now);
        }
        self.used(user, bytes, wall);
        true
    }
}

impl Account {
    /// Pays for `over`, and for `bytes`, which may pass from the time that is returned.
    fn pay(&mut self, over: u64, bytes: u64, rate: u64, now: Instant) -> Instant {
        let cost = |bytes: u64| u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let cost = |bytes| Duration::from_nanos(u64::try_from(cost(bytes)).unwrap_or(u64::MAX));
        let oldest = now.as_nanos().saturating_sub(BURST.as_nanos() as u64);
        let from = self.paid.max(Instant::from_nanos(oldest)).after(cost(over));
        self.paid = from.after(cost(bytes));
        from.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400 * 1_000_000_000;
    fn wall(day: i64) -> Wall {
        Wall { unix_ns: day * DAY, utc_offset_s: 0 }
    }
    fn at(ms: u64) -> Instant {
        Instant::from_nanos(100_000_000_000 + ms * 1_000_000)
    }
    fn accounts(limits: Limits) -> Accounts {
        let mut a = Accounts::new(limits, false);
        a.enter(b"ann");
        a
    }

    #[test]
    fn a_rate_holds_for_all_relays_together_whatever_they_pass_on() {
        for rate in [1_000_u64, 100_000, 1_000_000, 1_000_000_000] {
            let mut a = accounts(Limits { rate: Some(rate), ..Limits::default() });
            // Three relays, one of which passes on more than it was granted, as a whole chunk does.
            let mut next = [(at(0), 0); 3];
            let mut passed = 0;
            while let Some(i) = (0..3).min_by_key(|i| next[*i].0).filter(|i| next[*i].0 < at(60_000)) {
                let (now, over) = next[i];
                let Grant::Some(n, from) = a.grant(b"ann", over, now, wall(0)) else { panic!("no limit") };
                if from >= at(60_000) {
                    break;
                }
                let over = if i == 0 { 5_000 } else { 0 };
                passed += n + over;
                next[i] = (from, over);
            }
            let (most, slack) = (61 * rate, 3 * (SLICE + 5_000));
            assert!(passed <= most + slack, "{rate}: {passed}");
            assert!(passed + slack >= most, "{rate}: {passed}");
        }
    }

    #[test]
    fn without_limits_all_passes() {
        let mut a = accounts(Limits::default());
        assert_eq!(a.grant(b"ann", 0, at(0), wall(0)), Grant::All);
        assert!((0..1000).all(|_| a.datagram(b"ann", 65_535, at(0), wall(0))));
        assert!(!a.is_crowded(b"ann"));
    }

    #[test]
    fn a_month_has_an_end() {
        let mut a = accounts(Limits { month: Some(1000), ..Limits::default() });
        assert_eq!(a.grant(b"ann", 0, at(0), wall(0)), Grant::Some(1000, at(0)));
        a.used(b"ann", 400, wall(0));
        assert_eq!(a.grant(b"ann", 0, at(0), wall(30)), Grant::Some(600, at(0)));
        a.used(b"ann", 700, wall(30));
        assert_eq!(a.grant(b"ann", 0, at(0), wall(30)), Grant::None);
        assert!(a.is_used_up(b"ann", wall(30)) && !a.datagram(b"ann", 1, at(0), wall(30)));
        // The first of February.
        assert!(!a.is_used_up(b"ann", wall(31)));
        assert_eq!(a.grant(b"ann", 0, at(0), wall(31)), Grant::Some(1000, at(0)));
    }

    #[test]
    fn datagrams_are_dropped_above_the_rate() {
        let mut a = accounts(Limits { rate: Some(10_000), ..Limits::default() });
        let passed = |a: &mut Accounts, from: u64| {
            (from..from + 10_000).filter(|ms| a.datagram(b"ann", 100, at(*ms), wall(0))).count()
        };
        assert_eq!(passed(&mut a, 0), 1100, "a hundred a second, and those of the burst");
        assert_eq!(passed(&mut a, 10_000), 1000);
    }

    #[test]
    fn what_was_used_outlives_the_proxy() {
        let mut a = accounts(Limits { month: Some(1000), ..Limits::default() });
        assert_eq!(a.text(), None);
        a.used(b"ann", 1000, wall(40));
        let text = a.text().unwrap();
        assert_eq!(text, "# Bytes of each user in this month (UTC), both ways\n1970-02\n1000 ann\n");
        assert_eq!(a.text(), None, "nothing new");
        let mut b = accounts(Limits { month: Some(1000), ..Limits::default() });
        b.read(&text).unwrap();
        assert!(b.is_used_up(b"ann", wall(41)) && !b.is_used_up(b"ann", wall(70)));
        let wrong = |text: &str| accounts(Limits::default()).read(text).map_err(|(line, _)| line);
        assert_eq!(wrong(""), Ok(()));
        assert_eq!(wrong("# only a comment\n\n"), Ok(()));
        assert_eq!(wrong("yesterday"), Err(1));
        assert_eq!(wrong("2026-13\n"), Err(1));
        assert_eq!(wrong("2026-11\n5 ann\nbob 5"), Err(3));
        assert_eq!(wrong("2026-11\n5"), Err(2));
        assert_eq!(wrong("2026-11\n-5 ann"), Err(2));
    }

    #[test]
    fn metrics_name_users_whatever_their_names_are() {
        let mut a = accounts(Limits { month: Some(1000), ..Limits::default() });
        a.enter(b"a\"b\\c\nd");
        a.used(b"ann", 400, wall(0));
        let text = a.metrics();
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                r#"drywire_user_sessions_active{user="a\"b\\c\nd"} 1"#,
                r#"drywire_user_sessions_active{user="ann"} 1"#,
                r#"drywire_user_bytes_total{user="a\"b\\c\nd"} 0"#,
                r#"drywire_user_bytes_total{user="ann"} 400"#,
            ]
        );
    }

    #[test]
    fn accounts_are_forgotten_when_there_is_nothing_to_remember() {
        let mut a = accounts(Limits { rate: Some(1000), sessions: Some(1), ..Limits::default() });
        a.enter(b"ann");
        assert!(a.is_crowded(b"ann"));
        a.grant(b"ann", 5_000, at(0), wall(0));
        a.leave(b"ann", at(0));
        a.leave(b"ann", at(0));
        assert_eq!(a.by_user.len(), 1, "who comes again at once has no new burst");
        a.enter(b"ann");
        a.leave(b"ann", at(60_000));
        assert_eq!(a.by_user.len(), 0);
    }
}
