//! Text for people: escapes, numbers with separators, clock times, sizes, durations.
use core::fmt::{self, Write};
use core::time::Duration;
use proto_core::Wall;

/// Shows what a peer sent: no control character reaches a terminal or a log raw.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            for c in part.valid().chars() {
                match c {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c if is_unsafe(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                    c => f.write_char(c)?,
                }
            }
            for b in part.invalid() {
                write!(f, "\\x{b:02x}")?;
            }
        }
        Ok(())
    }
}

/// A JSON string (RFC 8259 section 7), with its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                // What could move a cursor is escaped as well: such a line may be looked at on a terminal.
                c if c < ' ' || is_unsafe(c) => {
                    c.encode_utf16(&mut [0; 2]).iter().try_for_each(|u| write!(f, "\\u{u:04x}"))?;
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Something that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl Secret {
    /// Whether it is `guess`, in a time that does not tell how much of it is right.
    pub fn is(&self, guess: &str) -> bool {
        let pairs = self.0.bytes().zip(guess.bytes().chain(core::iter::repeat(0)));
        let differ = pairs.fold(0, |differ, (a, b)| differ | (a ^ b));
        (core::hint::black_box(differ) == 0) & (self.0.len() == guess.len())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Moves the cursor, hides or reorders text: C1 controls, bidirectional and zero-width characters.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `1234567` as `1,234,567`.
#[derive(Clone, Copy, Debug)]
pub struct Thousands(pub u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut out = String::new();
        for (i, c) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                out.push(',');
            }
            out.push(c);
        }
        f.pad(&out)
    }
}

/// `[HH:MM:SS]`, local time, or UTC.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The time of day.
    pub wall: Wall,
    /// Without the offset of the local zone.
    pub utc: bool,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = if self.utc { Wall { utc_offset_s: 0, ..self.wall } } else { self.wall };
        let (h, m, s) = wall.clock();
        write!(f, "[{h:02}:{m:02}:{s:02}]")
    }
}

/// Bytes per second or bytes, in decimal units: `45 MB`.
pub fn bytes(n: f64) -> String {
    let mut v = n;
    let mut units = ["B", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if v < 999.5 {
            break;
        }
        v /= 1000.0;
        unit = next;
    }
    if v < 9.95 && unit != "B" { format!("{v:.1} {unit}") } else { format!("{v:.0} {unit}") }
}

/// A size as it was configured: `64 KiB`.
pub fn size(n: usize) -> String {
    match n {
        n if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n % (1 << 10) == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

/// An error of the system without its number: `no such file or directory`.
pub fn reason(e: &std::io::Error) -> String {
    let text = e.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().into()
}

/// A duration as people write it: `60 s`, `250 ms`.
pub fn span(d: Duration) -> String {
    match d.as_millis() {
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms if ms < 1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", d.as_secs_f64()),
    }
}

/// Year, month (from 1) and day of a second since 1970 (UTC).
pub fn civil(unix_s: i64) -> (i64, i64, i64) {
    // Years that begin in March, so that the leap day is a year's last; eras of 400 years repeat exactly.
    let from_march = unix_s.div_euclid(86_400) + 719_468;
    let (era, of_era) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    (era * 400 + year_of_era + i64::from(month >= 10), (month + 2) % 12 + 1, date)
}

/// A second since 1970 as HTTP writes it (RFC 9110 5.6.7): `Thu, 01 Jan 2026 00:00:00 GMT`.
pub fn http_date(unix_s: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (day, s) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let (year, month, date) = civil(unix_s);
    let weekday = DAYS.get(day.rem_euclid(7) as usize).copied().unwrap_or_default();
    let name = MONTHS.get((month - 1) as usize).copied().unwrap_or_default();
    format!("{weekday}, {date:02} {name} {year:04} {:02}:{:02}:{:02} GMT", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http() {
        for (s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_767_225_600, "Thu, 01 Jan 2026 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(s), text);
        }
    }

    #[test]
    fn nothing_raw_reaches_a_terminal() {
        let nasty = b"ok\x1b[2J\r\n\xff\xe2\x80\xae\"\xc2\x9b\t\\";
        assert_eq!(Escaped(nasty).to_string(), r#"ok\x1b[2J\r\n\xff\u{202e}\"\u{9b}\t\\"#);
        assert_eq!(Escaped("größe ✓".as_bytes()).to_string(), "größe ✓");
    }

    #[test]
    fn secrets_are_compared_and_not_shown() {
        let s = Secret("open sesame".into());
        assert!(s.is("open sesame"));
        for wrong in ["", "open", "open sesame ", "Open sesame", "open sesam\0"] {
            assert!(!s.is(wrong), "{wrong:?}");
        }
        assert!(!Secret("a\0".into()).is("a"));
        assert_eq!(format!("{s:?}"), "(secret)");
    }

    #[test]
    fn json_strings() {
        let text = "a\"b\\c\n\u{1b}\u{9b}\u{202e}\u{e0001}é";
        assert_eq!(Json(text).to_string(), r#""a\"b\\c\n\u001b\u009b\u202e\udb40\udc01é""#);
    }

    #[test]
    fn numbers_read_well() {
        let texts = [0, 999, 1000, 1_234_567].map(|n| Thousands(n).to_string());
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([45e6, 999.0, 1234.0, 0.0].map(bytes), ["45 MB", "999 B", "1.2 kB", "0 B"]);
        assert_eq!([size(65536), size(4096), size(1 << 20), size(100)], ["64 KiB", "4 KiB", "1 MiB", "100 B"]);
        assert_eq!(span(Duration::from_millis(250)), "250 ms");
        assert_eq!(span(Duration::from_secs(60)), "60 s");
    }
}
