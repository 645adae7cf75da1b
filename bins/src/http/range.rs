//! Ranges of a file (RFC 9110 14).
use core::ops::Range;

/// Ranges in one request. More are ignored, since nobody needs them: the whole file is sent.
pub const MAX_RANGES: usize = 16;

/// What a `Range` field asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ranges {
    /// Nothing that we understand: send all.
    Whole,
    /// These, none empty, none overlapping or touching, at least one.
    Parts(Vec<Range<u64>>),
    /// Only what the file does not have: 416.
    Unsatisfiable,
}

/// Reads a `Range` field for a file of `len` bytes.
pub fn parse(value: &[u8], len: u64) -> Ranges {
    let Some((unit, set)) = value.split_at_checked(6) else { return Ranges::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Ranges::Whole;
    }
    let mut parts: Vec<Range<u64>> = Vec::new();
    let specs = set.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|s| !s.is_empty());
    let mut count = 0;
    for spec in specs {
        count += 1;
        if count > MAX_RANGES {
            return Ranges::Whole;
        }
        match one(spec, len) {
            None => return Ranges::Whole,
            Some(r) if r.is_empty() => {}
            Some(r) => parts.push(r),
        }
    }
    match (count, parts.is_empty()) {
        (0, _) => Ranges::Whole,
        (_, true) => Ranges::Unsatisfiable,
        _ => Ranges::Parts(merged(parts)),
    }
}

/// `first-last`, `first-` or `-suffix`. Empty if the file does not have it, `None` if it is malformed.
fn one(spec: &[u8], len: u64) -> Option<Range<u64>> {
    let dash = spec.iter().position(|b| *b == b'-')?;
    let (first, last) = (spec.get(..dash)?, spec.get(dash + 1..)?);
    let (first, last) = match (first, last) {
        (b"", suffix) => {
            let n = number(suffix)?;
            return Some(len.saturating_sub(n)..len);
        }
        (first, b"") => (number(first)?, u64::MAX),
        (first, last) => (number(first)?, number(last)?),
    };
    if last < first {
        return None;
    }
    Some(first.min(len)..last.saturating_add(1).min(len))
}

/// Digits only; what is too large is as good as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, b| {
        let d = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        Some(n.saturating_mul(10).saturating_add(d))
    })
}

/// Overlapping and touching ranges become one (RFC 9110 15.3.7.2); others keep the client's order.
fn merged(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = parts.clone();
    sorted.sort_by_key(|r| r.start);
    let mut out: Vec<Range<u64>> = Vec::new();
    for r in sorted {
        match out.last_mut() {
            Some(before) if r.start <= before.end => before.end = before.end.max(r.end),
            _ => out.push(r),
        }
    }
    if out.len() == parts.len() { parts } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_understood() {
        let parts = |list: &[(u64, u64)]| Ranges::Parts(list.iter().map(|(a, b)| *a..*b).collect());
        for (text, len, want) in [
            ("bytes=0-0", 10, parts(&[(0, 1)])),
            ("bytes=2-4", 10, parts(&[(2, 5)])),
            ("Bytes=5-", 10, parts(&[(5, 10)])),
            ("bytes=-3", 10, parts(&[(7, 10)])),
            ("bytes=-30", 10, parts(&[(0, 10)])),
            ("bytes=0-99", 10, parts(&[(0, 10)])),
            ("bytes=9-18446744073709551615", 10, parts(&[(9, 10)])),
            ("bytes=0-99999999999999999999999999", 10, parts(&[(0, 10)])),
            ("bytes=8-9, 0-1", 10, parts(&[(8, 10), (0, 2)])),
            ("bytes=0-4,3-6,,9-9", 10, parts(&[(0, 7), (9, 10)])),
            ("bytes=5-9,0-4", 10, parts(&[(0, 10)])),
            ("bytes=0-0,99-", 10, parts(&[(0, 1)])),
            ("bytes=10-", 10, Ranges::Unsatisfiable),
            ("bytes=-0", 10, Ranges::Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Ranges::Unsatisfiable),
            ("bytes=0-", 0, Ranges::Unsatisfiable),
            ("bytes=-5", 0, Ranges::Unsatisfiable),
        ] {
            assert_eq!(parse(text.as_bytes(), len), want, "{text} of {len}");
        }
    }

    #[test]
    fn what_is_ignored() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "items=0-1",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=--1",
            "bytes=1",
            "bytes=-",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1-2-3",
            "bytes=0-1;2-3",
            "bytes 0-1",
            "bytes=0- 1",
        ] {
            assert_eq!(parse(text.as_bytes(), 10), Ranges::Whole, "{text}");
        }
    }

    #[test]
    fn at_most_sixteen() {
        let list =
            |n: usize| format!("bytes={}", (0..n).map(|i| format!("{0}-{0}", i * 2)).collect::<Vec<_>>().join(","));
        assert!(matches!(parse(list(16).as_bytes(), 1000), Ranges::Parts(p) if p.len() == 16));
        assert_eq!(parse(list(17).as_bytes(), 1000), Ranges::Whole);
        let killer = format!("bytes=0-{}", ",5-1300".repeat(1300));
        assert_eq!(parse(killer.as_bytes(), 10_000), Ranges::Whole);
    }

    #[test]
    fn parts_are_slices_of_the_file() {
        let mut x = 1_u64;
        let mut roll = move |n: u64| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 33) % n
        };
        for _ in 0..20_000 {
            let len = roll(40);
            let specs: Vec<String> = (0..=roll(4))
                .map(|_| match roll(3) {
                    0 => format!("-{}", roll(50)),
                    1 => format!("{}-", roll(50)),
                    _ => format!("{}-{}", roll(50), roll(50)),
                })
                .collect();
            let text = format!("bytes={}", specs.join(","));
            let Ranges::Parts(parts) = parse(text.as_bytes(), len) else { continue };
            let mut seen = vec![0; len as usize];
            for r in &parts {
                assert!(r.start < r.end && r.end <= len, "{text} of {len}: {parts:?}");
                seen.iter_mut().take(r.end as usize).skip(r.start as usize).for_each(|n| *n += 1);
            }
            // Each byte at most once, and exactly those that were asked for.
            let asked = |i: u64| {
                specs.iter().any(|s| match s.split_once('-') {
                    Some(("", n)) => i >= len.saturating_sub(n.parse().unwrap_or(0)),
                    Some((a, "")) => i >= a.parse().unwrap_or(u64::MAX),
                    Some((a, b)) => (a.parse().unwrap_or(1)..=b.parse().unwrap_or(0)).contains(&i),
                    None => false,
                })
            };
            for (i, n) in seen.iter().enumerate() {
                assert_eq!(*n, usize::from(asked(i as u64)), "{text} of {len}: byte {i}");
            }
        }
    }
}
