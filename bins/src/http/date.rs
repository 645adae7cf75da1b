//! Dates of HTTP (RFC 9110 5.6.7) and of logs.
use proto_core::Wall;
use std::time::{SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, the last that an HTTP date can say.
const LAST: i64 = 253_402_300_799;

/// `Sun, 06 Nov 1994 08:49:37 GMT`. What is before 1970 or after 9999 is moved there.
pub fn text(unix_s: i64) -> String {
    crate::text::http_date(unix_s.clamp(0, LAST))
}

/// Any of the three forms, as seconds since 1970. `None` for what is no date, or before 1970.
pub fn parse(field: &[u8]) -> Option<i64> {
    let time: SystemTime = httpdate::parse_http_date(core::str::from_utf8(field).ok()?).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// Whole seconds since 1970.
pub fn seconds(wall: Wall) -> i64 {
    wall.unix_ns.div_euclid(1_000_000_000)
}

/// `06/Nov/1994:08:49:37 +0000`: local time, as the Common Log Format has it.
pub fn log_text(wall: Wall, utc: bool) -> String {
    let offset = if utc { 0 } else { i64::from(wall.utc_offset_s) };
    let local = text(seconds(wall) + offset);
    let part = |from: usize, to: usize| local.get(from..to).unwrap_or_default();
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    let (day, month, year, clock) = (part(5, 7), part(8, 11), part(12, 16), part(17, 25));
    format!("{day}/{month}/{year}:{clock} {sign}{:02}{:02}", minutes / 60, minutes % 60)
}

/// The text of the present second: made once a second, however often it is asked for.
#[derive(Debug, Default)]
pub struct Today {
    second: Option<i64>,
    text: String,
}

impl Today {
    /// Its second since 1970. True if it is another than last time.
    pub fn set(&mut self, wall: Wall) -> bool {
        let second = seconds(wall);
        let new = self.second != Some(second);
        if new {
            (self.second, self.text) = (Some(second), text(second));
        }
        new
    }
    /// The second that was set.
    pub fn second(&self) -> i64 {
        self.second.unwrap_or(0)
    }
    /// For a `Date` field.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms() {
        let want = Some(784_111_777);
        for form in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(form.as_bytes()), want, "{form}");
        }
        assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn strange_dates_are_none_and_never_a_panic() {
        for bad in [
            "",
            "yesterday",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1894 08:49:37 GMT",
            "0",
            "\u{ff}\u{fe}",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse(&[0xff; 29]), None);
        assert_eq!(text(i64::MIN), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn log_times_are_local() {
        let wall = Wall { unix_ns: 784_111_777_000_000_000, utc_offset_s: -(3 * 3600 + 1800) };
        assert_eq!(log_text(wall, true), "06/Nov/1994:08:49:37 +0000");
        assert_eq!(log_text(wall, false), "06/Nov/1994:05:19:37 -0330");
    }

    #[test]
    fn once_a_second() {
        let mut today = Today::default();
        let at = |ns| Wall { unix_ns: ns, utc_offset_s: 0 };
        assert!(today.set(at(1_500_000_000)));
        assert!(!today.set(at(1_999_999_999)));
        assert!(today.set(at(2_000_000_000)));
        assert_eq!((today.second(), today.text()), (2, "Thu, 01 Jan 1970 00:00:02 GMT"));
    }
}
