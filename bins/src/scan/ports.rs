//! Port lists: `22,80,8000-8100`, `-` for all.
use core::fmt;

/// Ports in ascending order, none twice.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ports {
    /// First and last of each run; runs neither touch nor overlap.
    runs: Vec<(u16, u16)>,
    len: u32,
    /// It was written with a range, so it asks what is there; a list of single ports asks about each of them.
    ranged: bool,
}

impl Ports {
    /// Reads a list. The error names the item that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut runs = Vec::new();
        let mut ranged = false;
        for item in text.split(',') {
            let item = item.trim();
            let run = run(item).map_err(|why| format!("bad port list: {why}"))?;
            ranged |= item.contains('-');
            runs.push(run);
        }
        Ok(Ports { ranged, ..Ports::of(runs) })
    }
    /// From single ports, such as the most common ones.
    pub fn from_list(ports: &[u16]) -> Self {
        Ports { ranged: true, ..Ports::of(ports.iter().map(|p| (*p, *p)).collect()) }
    }
    fn of(mut runs: Vec<(u16, u16)>) -> Self {
        runs.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (first, last) in runs {
            match merged.last_mut() {
                Some((_, end)) if u32::from(first) <= u32::from(*end) + 1 => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        let len = merged.iter().map(|(first, last)| u32::from(last - first) + 1).sum();
        Ports { runs: merged, len, ranged: false }
    }
    /// How many.
    pub fn len(&self) -> u32 {
        self.len
    }
    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// It was written with a range.
    pub fn is_ranged(&self) -> bool {
        self.ranged
    }
    /// The `n`-th port, counted from 0.
    pub fn nth(&self, mut n: u32) -> Option<u16> {
        for (first, last) in &self.runs {
            let len = u32::from(last - first) + 1;
            if n < len {
                return u16::try_from(u32::from(*first) + n).ok();
            }
            n -= len;
        }
        None
    }
    /// The port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        let after = self.runs.partition_point(|(first, _)| *first <= port);
        after.checked_sub(1).and_then(|i| self.runs.get(i)).is_some_and(|(_, last)| port <= *last)
    }
    /// Which one a port is: the reverse of [`Ports::nth`].
    pub fn place(&self, port: u16) -> Option<u32> {
        let mut before = 0;
        for (first, last) in &self.runs {
            if (*first..=*last).contains(&port) {
                return Some(before + u32::from(port - first));
            }
            before += u32::from(last - first) + 1;
        }
        None
    }
    /// All, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.runs.iter().flat_map(|(first, last)| *first..=*last)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.runs.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// `22`, `1-1000`, `-1000`, `60000-` or `-`.
fn run(item: &str) -> Result<(u16, u16), String> {
    let Some((first, last)) = item.split_once('-') else { return port(item).map(|p| (p, p)) };
    let first = if first.is_empty() { 1 } else { port(first)? };
    let last = if last.is_empty() { u16::MAX } else { port(last)? };
    if first > last {
        return Err(format!("'{item}' ends before it begins"));
    }
    Ok((first, last))
}

fn port(text: &str) -> Result<u16, String> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let n = text.parse().ok().filter(|n| plain && *n > 0);
    n.ok_or_else(|| format!("'{}' is not in 1-65535", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_joined() {
        for (text, shown, len, ranged) in [
            ("1-1000", "1-1000", 1000, true),
            ("22,80,8000-8100", "22,80,8000-8100", 103, true),
            ("-", "1-65535", 65_535, true),
            ("-3,65534-", "1-3,65534,65535", 5, true),
            ("443,22,80,22", "22,80,443", 3, false),
            ("1-5,3-9,10,65535", "1-10,65535", 11, true),
            ("80", "80", 1, false),
            ("1,2,3", "1-3", 3, false),
        ] {
            let ports = Ports::parse(text).unwrap();
            assert_eq!((ports.to_string().as_str(), ports.len(), ports.is_ranged()), (shown, len, ranged), "{text}");
            let all: Vec<u16> = ports.iter().collect();
            assert_eq!(all.len() as u32, len);
            let by_place: Vec<u16> = (0..len).filter_map(|n| ports.nth(n)).collect();
            assert_eq!(by_place, all);
            assert!((0..len).zip(&all).all(|(n, port)| ports.place(*port) == Some(n)) && ports.place(0).is_none());
            assert_eq!(ports.nth(len), None);
            assert!(all.iter().all(|p| ports.contains(*p)) && !ports.contains(0));
        }
        assert!(!Ports::parse("22,80").unwrap().contains(79));
    }

    #[test]
    fn the_item_that_is_wrong_is_named() {
        for (text, why) in [
            ("1-70000", "'70000' is not in 1-65535"),
            ("80-22", "'80-22' ends before it begins"),
            ("abc", "'abc' is not in 1-65535"),
            ("22,,80", "'' is not in 1-65535"),
            ("", "'' is not in 1-65535"),
            ("0", "'0' is not in 1-65535"),
            ("0-10", "'0' is not in 1-65535"),
            ("+22", "'+22' is not in 1-65535"),
            ("1-2-3", "'2-3' is not in 1-65535"),
            ("99999999999999999999", "'99999999999999999999' is not in 1-65535"),
            ("22\u{1b}", "'22\\u{1b}' is not in 1-65535"),
        ] {
            assert_eq!(Ports::parse(text), Err(format!("bad port list: {why}")), "{text:?}");
        }
    }
}
