//! Dates of certificates: UTCTime and GeneralizedTime (RFC 5280 section 4.1.2.5), and as text.
use alloc::string::String;
use core::fmt;

/// Seconds since 1970 UTC. As text: `2024-03-25 12:00:00 UTC`, or with `{:.10}` the day alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Date(pub i64);

const DAY: i64 = 86_400;

impl Date {
    /// The text of a time as people write it: `2024-03-25`, or `2024-03-25 12:00:00`, in UTC, with `T` for the space and `Z` at
    /// the end or without.
    pub fn read(text: &str) -> Option<Date> {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (day, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
        let right = |text: &str, mark: u8, at: [usize; 2]| at.iter().all(|i| text.as_bytes().get(*i) == Some(&mark));
        if day.len() != 10 || clock.len() != 8 || !right(day, b'-', [4, 7]) || !right(clock, b':', [2, 5]) {
            return None;
        }
        let digits: String =
            day.chars().chain(clock.chars()).filter(|c| !matches!(c, '-' | ':')).chain(['Z']).collect();
        Date::parse(0x18, digits.as_bytes())
    }
    /// The text of a time in a certificate; `None` if it is not one.
    pub(super) fn parse(tag: u8, text: &[u8]) -> Option<Date> {
        let text = text.strip_suffix(b"Z")?;
        let (year, rest) = match (tag, text.len()) {
            (0x17, 12) => {
                let y = number(text.get(..2)?)?;
                (if y < 50 { 2000 + y } else { 1900 + y }, text.get(2..)?)
            }
            (0x18, 14) => (number(text.get(..4)?)?, text.get(4..)?),
            _ => return None,
        };
        let part = |i: usize| number(rest.get(2 * i..2 * i + 2)?);
        let (month, day, hour, minute, second) = (part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        Some(Date(days(year, month, day) * DAY + hour * 3600 + minute * 60 + second))
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. A year begins in March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + of_year - 719_468
}

/// The date of a day since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let (era, d) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let of_era = (d - d / 1460 + d / 36_524 - d / 146_096) / 365;
    let of_year = d - (365 * of_era + of_era / 4 - of_era / 100);
    let m = (5 * of_year + 2) / 153;
    let month = if m < 10 { m + 3 } else { m - 9 };
    (of_era + era * 400 + i64::from(month <= 2), month, of_year - (153 * m + 2) / 5 + 1)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = civil(self.0.div_euclid(DAY));
        write!(f, "{y:04}-{m:02}-{d:02}")?;
        if f.precision() == Some(10) {
            return Ok(());
        }
        let s = self.0.rem_euclid(DAY);
        write!(f, " {:02}:{:02}:{:02} UTC", s / 3600, s / 60 % 60, s % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn dates_go_both_ways() {
        for (tag, text, shown) in [
            (0x17, "700101000000Z", "1970-01-01 00:00:00 UTC"),
            (0x17, "240229123456Z", "2024-02-29 12:34:56 UTC"),
            (0x17, "491231235959Z", "2049-12-31 23:59:59 UTC"),
            (0x17, "500101000000Z", "1950-01-01 00:00:00 UTC"),
            (0x18, "99991231235959Z", "9999-12-31 23:59:59 UTC"),
            (0x18, "00010101000000Z", "0001-01-01 00:00:00 UTC"),
        ] {
            let date = Date::parse(tag, text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(format!("{date}"), shown);
            assert_eq!(format!("{date:.10}"), shown[..10]);
        }
        assert_eq!(Date::parse(0x17, b"240229123456Z"), Some(Date(1_709_210_096)));
        for bad in
            ["241301000000Z", "240100000000Z", "240101240000Z", "2401010000Z", "240101000000", "24010100000xZ", ""]
        {
            assert_eq!(Date::parse(0x17, bad.as_bytes()), None, "{bad}");
        }
    }
}
