//! Work for a processor, of several kinds, whose result can be checked: `KIND N HEX`.
use crate::outcome::Failure;
use core::fmt::Write as _;
use core::str::FromStr;
use core::time::Duration;
use proto_core::Bytes;
use sha2::{Digest, Sha256};

/// The largest size of a piece of work: about a minute.
pub const MAX_SIZE: u32 = 100_000_000;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing.
    None,
    /// Writes and reads a document of so many numbers.
    Json,
    /// So many SHA-256, each over the one before.
    Crypto,
    /// About so many microseconds of arithmetic.
    Spin,
    /// Sleeps so many milliseconds, as a call to something slow does.
    Sleep,
    /// Panics.
    Panic,
}

impl Kind {
    const ALL: [(Kind, &'static str, u32); 6] = [
        (Kind::None, "none", 0),
        (Kind::Json, "json", 1000),
        (Kind::Crypto, "crypto", 2000),
        (Kind::Spin, "spin", 500),
        (Kind::Sleep, "sleep", 10),
        (Kind::Panic, "panic", 0),
    ];
    /// As it is written.
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|k| k.0 == self).map_or("", |k| k.1)
    }
    /// How much of it is done if nobody says.
    pub fn size(self) -> u32 {
        Kind::ALL.iter().find(|k| k.0 == self).map_or(0, |k| k.2)
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let names = || Kind::ALL.map(|k| k.1).join(", ");
        let found = Kind::ALL.iter().find(|k| k.1 == s).map(|k| k.0);
        found.ok_or_else(|| format!("no work '{}'; there are {}", s.escape_debug(), names()))
    }
}

/// A piece of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// What.
    pub kind: Kind,
    /// How much.
    pub size: u32,
}

impl FromStr for Work {
    type Err = String;
    /// `crypto`, `crypto:500`.
    fn from_str(s: &str) -> Result<Self, String> {
        let (kind, size) = s.split_once(':').map_or((s, None), |(k, n)| (k, Some(n)));
        let kind = kind.parse::<Kind>()?;
        let size = size.map_or(Ok(kind.size()), parse_size)?;
        Ok(Work { kind, size })
    }
}

/// A number up to [`MAX_SIZE`].
pub fn parse_size(s: &str) -> Result<u32, String> {
    let n = s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<u32>().ok()).flatten();
    n.filter(|n| *n <= MAX_SIZE)
        .ok_or_else(|| format!("a size is a number up to {MAX_SIZE}, not '{}'", s.escape_debug()))
}

impl Work {
    /// How long it keeps its worker besides computing.
    pub fn hold(&self) -> Duration {
        if self.kind == Kind::Sleep { Duration::from_millis(self.size.into()) } else { Duration::ZERO }
    }
    /// Does it: the line that a client can check.
    pub fn run(&self) -> Bytes {
        let hash = match self.kind {
            Kind::None | Kind::Sleep => [0; 32],
            Kind::Crypto => crypto(self.size),
            Kind::Json => json(self.size),
            Kind::Spin => spin(self.size),
            #[allow(clippy::panic, reason = "this is what was asked for; whoever runs jobs catches it")]
            Kind::Panic => panic!("a job was asked to panic"),
        };
        let mut line = format!("{} {} ", self.kind.name(), self.size);
        hash.iter().for_each(|b| {
            let _ = write!(line, "{b:02x}"); // a String takes everything
        });
        line.push('\n');
        line.into()
    }
    /// The work that an answer says was done.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn of_answer(line: &str) -> Result<Work, Failure> {
        let wrong = || Failure::new(crate::outcome::Code::Protocol, format!("'{}' is no result", line.escape_debug()));
        let mut words = line.split(' ');
        let (Some(kind), Some(size)) = (words.next(), words.next()) else { return Err(wrong()) };
        let kind = kind.parse().map_err(|_| wrong())?;
        Ok(Work { kind, size: parse_size(size).map_err(|_| wrong())? })
    }
}

fn crypto(n: u32) -> [u8; 32] {
    (0..n).fold([0; 32], |hash, _| Sha256::digest(hash).into())
}

/// A document is written, read again, and what was read is hashed.
fn json(n: u32) -> [u8; 32] {
    let mut text = String::from("{\"numbers\":[");
    let mut x = 1u32;
    for i in 0..n {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let _ = write!(text, "{}{x}", if i == 0 { "" } else { "," });
    }
    text.push_str("]}");
    let inner = text.strip_prefix("{\"numbers\":[").and_then(|t| t.strip_suffix("]}")).unwrap_or_default();
    let mut hash = Sha256::new();
    inner.split(',').filter_map(|d| d.parse::<u32>().ok()).for_each(|v| hash.update(v.to_le_bytes()));
    hash.finalize().into()
}

/// Steps of arithmetic that take about a microsecond.
const STEPS: u32 = 350;

fn spin(us: u32) -> [u8; 32] {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..u64::from(us) * u64::from(STEPS) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    Sha256::digest(x.to_le_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(work: &str) -> String {
        let work: Work = work.parse().expect("work");
        String::from_utf8_lossy(&work.run()).into_owned()
    }

    #[test]
    fn results_are_what_they_should_be() {
        // SHA-256 of 32 zero bytes, and of that.
        let once = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
        assert_eq!(line("crypto:1"), format!("crypto 1 {once}\n"));
        assert_eq!(line("none"), format!("none 0 {}\n", "0".repeat(64)));
        for work in ["crypto:3", "json:10", "spin:1", "json:0"] {
            let (a, b) = (line(work), line(work));
            assert_eq!(a, b);
            assert_eq!(Work::of_answer(a.trim_end()).unwrap(), work.parse().unwrap());
        }
        assert_ne!(line("crypto:3"), line("crypto:4"));
    }

    #[test]
    fn what_is_no_work_is_named() {
        for (text, names) in
            [("crypt", "no work"), ("crypto:x", "a size"), ("crypto:-1", "a size"), ("spin:100000001", "a size")]
        {
            let error = text.parse::<Work>().unwrap_err();
            assert!(error.contains(names), "{text}: {error}");
        }
        assert!(Work::of_answer("<html>").is_err());
    }
}
