//! The position of a scan as a file, to go on with it: lines of words.
//!
//! ```text
//! drywire/portscan-resume/1
//! scan 192.0.2.1 1-1000          what it is of, for people
//! digest 0123456789abcdef        of the addresses, ports, order and share: what must not differ
//! seed 7                         of a shuffled order
//! begun 512                      targets begun
//! open 498 499 510               of these, those that are not answered
//! counts 400 100 9 0             open, closed, filtered, open|filtered
//! unreachable 0
//! port 0 22 open syn-ack 5353482d      address number, port, state, reason, banner
//! end
//! ```
use super::found::{Found, Listed, Row};
use super::{State, Why};
use core::fmt::Write;

/// Size of such a file that is read.
pub const MOST: u32 = 256 << 20;
const HEAD: &str = "drywire/portscan-resume/1";

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Saved {
    /// What it is of.
    pub scan: String,
    /// Tells it from others.
    pub digest: u64,
    /// Of a shuffled order.
    pub seed: Option<u64>,
    /// Targets begun.
    pub begun: u64,
    /// Of these, not answered.
    pub open: Vec<u64>,
    /// What was found.
    pub found: Found,
}

impl Saved {
    /// As a file.
    pub fn write(&self) -> String {
        let seed = self.seed.map(|s| format!("seed {s}\n")).unwrap_or_default();
        let open: Vec<String> = self.open.iter().map(u64::to_string).collect();
        let counts = self.found.counts().map(|n| n.to_string()).join(" ");
        let mut text = format!(
            "{HEAD}\nscan {}\ndigest {:016x}\n{seed}begun {}\nopen {}\ncounts {counts}\nunreachable {}\n",
            self.scan,
            self.digest,
            self.begun,
            open.join(" "),
            self.found.unreachable(),
        );
        for r in self.found.rows() {
            let _ = write!(text, "port {} {} {} {}", r.host, r.port, r.state.name(), r.why); // a String takes everything
            if let Some(banner) = self.found.banner(r.host, r.port) {
                text.push(' ');
                for b in banner {
                    let _ = write!(text, "{b:02x}"); // as above
                }
            }
            text.push('\n');
        }
        text.push_str("end\n");
        text
    }
    /// Reads one; the error says what is wrong with the file.
    pub fn parse(text: &[u8], listed: Listed) -> Result<Self, String> {
        let text = core::str::from_utf8(text).map_err(|_| "is not text")?;
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err("is no resume file of portscan".into());
        }
        let (scan, found) = (String::new(), Found::new(listed));
        let mut s = Saved { scan, digest: 0, seed: None, begun: 0, open: Vec::new(), found };
        let (mut counts, mut unreachable, mut ended) = ([0; 4], 0, false);
        for (line, n) in lines.zip(2..) {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            let done: Option<()> = (|| {
                match key {
                    "scan" => s.scan = rest.into(),
                    "digest" => s.digest = u64::from_str_radix(rest, 16).ok()?,
                    "seed" => s.seed = Some(rest.parse().ok()?),
                    "begun" => s.begun = rest.parse().ok()?,
                    "open" => s.open = rest.split_whitespace().map(|w| w.parse().ok()).collect::<Option<_>>()?,
                    "counts" => {
                        let all: Vec<u64> = rest.split(' ').map(|w| w.parse().ok()).collect::<Option<_>>()?;
                        counts = all.try_into().ok()?;
                    }
                    "unreachable" => unreachable = rest.parse().ok()?,
                    "port" => port(rest, &mut s.found)?,
                    "end" => ended = true,
                    _ => return None,
                }
                Some(())
            })();
            done.ok_or_else(|| format!("is damaged at line {n}"))?;
        }
        s.found.restore(counts, unreachable);
        let answered = s.begun.checked_sub(s.open.len() as u64);
        if !ended || answered != counts.iter().try_fold(0u64, |sum, n| sum.checked_add(*n)) {
            return Err("is damaged: it is not whole".into());
        }
        Ok(s)
    }
}

fn port(rest: &str, found: &mut Found) -> Option<()> {
    let mut words = rest.split(' ');
    let (host, port) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (state, why) = (State::named(words.next()?)?, Why::named(words.next()?)?);
    found.add(Row { host, port, state, why });
    if let Some(hex) = words.next() {
        let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
        let bytes = digits.chunks(2).map(|pair| pair.iter().fold(0, |n, d| n << 4 | d)).collect();
        found.add_banner(host, port, bytes);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        let mut found = Found::new(Listed::NotClosed);
        for (port, state, why) in
            [(22, State::Open, Why::SynAck), (23, State::Closed, Why::Rst), (80, State::Filtered, Why::Error(92))]
        {
            found.add(Row { host: 3, port, state, why });
        }
        found.add_banner(3, 22, b"\x00\xffSSH".to_vec());
        Saved { scan: "192.0.2.1 1-1000".into(), digest: 77, seed: Some(5), begun: 5, open: vec![1, 4], found }
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(Saved::parse(saved().write().as_bytes(), Listed::NotClosed), Ok(saved()));
        let fresh = Saved { seed: None, begun: 0, open: vec![], found: Found::new(Listed::Open), ..saved() };
        assert_eq!(Saved::parse(fresh.write().as_bytes(), Listed::Open), Ok(fresh));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let whole = saved().write();
        for cut in 0..whole.len() - 1 {
            assert!(Saved::parse(&whole.as_bytes()[..cut], Listed::NotClosed).is_err(), "cut at {cut}");
        }
        for (text, why) in [
            ("", "is no resume file of portscan"),
            ("{}", "is no resume file of portscan"),
            ("drywire/portscan-resume/1\nbegun x\n", "is damaged at line 2"),
            ("drywire/portscan-resume/1\nport 1 2 ajar rst\n", "is damaged at line 2"),
            ("drywire/portscan-resume/1\nbegun 1\nend\n", "is damaged: it is not whole"),
            ("drywire/portscan-resume/1\nopen 1\nend\n", "is damaged: it is not whole"),
        ] {
            assert_eq!(Saved::parse(text.as_bytes(), Listed::All), Err(why.into()), "{text:?}");
        }
        assert_eq!(Saved::parse(b"\xff", Listed::All), Err("is not text".into()));
    }
}
