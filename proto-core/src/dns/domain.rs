//! Names of our own: for questions, configuration and caches.
use super::{LABEL_MAX, LABELS_MAX, NAME_MAX, Name};
use alloc::{boxed::Box, vec::Vec};
use core::cmp::Ordering;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// A name in wire form without compression. Names that differ in the case of ASCII letters are equal.
#[derive(Clone)]
pub struct Domain(Box<[u8]>);

/// Why a text is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadName {
    /// Nothing between two dots.
    EmptyLabel,
    /// More than 63 bytes in a label.
    LabelTooLong,
    /// More than 255 bytes in wire form, which is 253 characters without escapes.
    NameTooLong,
    /// `\` before the end, or `\DDD` that is no byte.
    BadEscape,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadName::EmptyLabel => "empty label",
            BadName::LabelTooLong => "label longer than 63",
            BadName::NameTooLong => "name longer than 253",
            BadName::BadEscape => "bad escape",
        })
    }
}

impl core::error::Error for BadName {}

impl Domain {
    /// The root.
    pub fn root() -> Self {
        Domain(Box::new([0]))
    }
    pub(super) fn of(name: &Name<'_>) -> Self {
        let mut wire = Vec::with_capacity(name.wire_len());
        for label in name.labels() {
            wire.push(label.len() as u8);
            wire.extend_from_slice(label);
        }
        wire.push(0);
        Domain(wire.into())
    }
    /// From text with `\.` and `\DDD` escapes. A dot at the end changes nothing here.
    ///
    /// # Errors
    /// See [`BadName`].
    pub fn parse(text: &[u8]) -> Result<Self, BadName> {
        if text == b"." {
            return Ok(Domain::root());
        }
        let mut wire = Vec::with_capacity(text.len().min(NAME_MAX) + 2);
        let mut start = 0; // of the present label: its length byte
        wire.push(0);
        let mut bytes = text.iter().copied();
        let mut open = false; // something stands after the last dot
        while let Some(b) = bytes.next() {
            let literal = match b {
                b'.' => {
                    close(&mut wire, start)?;
                    if wire.len() >= NAME_MAX {
                        return Err(BadName::NameTooLong);
                    }
                    start = wire.len();
                    wire.push(0);
                    open = false;
                    continue;
                }
                b'\\' => escape(&mut bytes)?,
                b => b,
            };
            open = true;
            // What does not fit is a label that is too long, for each began within a name's bounds.
            if wire.len() < 2 * NAME_MAX {
                wire.push(literal);
            }
        }
        if open {
            close(&mut wire, start)?;
            wire.push(0);
        } else if wire.len() == 1 {
            return Err(BadName::EmptyLabel);
        }
        if wire.len() > NAME_MAX { Err(BadName::NameTooLong) } else { Ok(Domain(wire.into())) }
    }
    /// The name under which an address is looked up backwards (RFC 1035 3.5, RFC 3596 2.5).
    pub fn reverse(ip: IpAddr) -> Self {
        let mut wire = Vec::with_capacity(75);
        let mut label = |text: &[u8]| {
            wire.push(text.len() as u8);
            wire.extend_from_slice(text);
        };
        match ip {
            IpAddr::V4(ip) => {
                for n in ip.octets().into_iter().rev() {
                    let digits = [b'0' + n / 100, b'0' + n / 10 % 10, b'0' + n % 10];
                    let skip = if n >= 100 { 0 } else { 1 + usize::from(n < 10) };
                    label(digits.get(skip..).unwrap_or_default());
                }
                label(b"in-addr");
            }
            IpAddr::V6(ip) => {
                for n in ip.octets().into_iter().rev().flat_map(|b| [b & 15, b >> 4]) {
                    label(&[if n < 10 { b'0' + n } else { b'a' + n - 10 }]);
                }
                label(b"ip6");
            }
        }
        label(b"arpa");
        wire.push(0);
        Domain(wire.into())
    }
    /// This name within `zone`: `www` and `example.` make `www.example.`.
    ///
    /// # Errors
    /// [`BadName::NameTooLong`].
    pub fn within(&self, zone: &Domain) -> Result<Self, BadName> {
        let mut wire = Vec::with_capacity(self.0.len() + zone.0.len());
        wire.extend_from_slice(self.0.split_last().map_or(&[], |(_, labels)| labels));
        wire.extend_from_slice(&zone.0);
        if wire.len() > NAME_MAX { Err(BadName::NameTooLong) } else { Ok(Domain(wire.into())) }
    }
    /// Without its first label; nothing above the root.
    pub fn parent(&self) -> Option<Self> {
        let first = self.0.first().copied().filter(|n| *n > 0)?;
        Some(Domain(self.0.get(1 + usize::from(first)..)?.into()))
    }
    /// It is `zone` or lies below it.
    pub fn is_within(&self, zone: &Domain) -> bool {
        let skip = self.0.len().checked_sub(zone.0.len());
        let borders = skip.is_some_and(|skip| self.label_starts().any(|at| at == skip));
        borders && skip.and_then(|at| self.0.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(&zone.0))
    }
    fn label_starts(&self) -> impl Iterator<Item = usize> {
        let mut at = Some(0);
        core::iter::from_fn(move || {
            let here = at?;
            let n = usize::from(*self.0.get(here)?);
            at = (n > 0).then_some(here + 1 + n);
            Some(here)
        })
    }
    /// The same letters in upper or lower case as `coin` falls, one bit each: what draft-vixie-dnsext-dns0x20 calls 0x20.
    pub fn with_case(&self, mut coin: impl FnMut() -> bool) -> Self {
        let mut wire = self.0.clone();
        for (start, n) in self.label_starts().filter_map(|at| Some((at, usize::from(*self.0.get(at)?)))) {
            for b in wire.get_mut(start + 1..start + 1 + n).unwrap_or_default() {
                if b.is_ascii_alphabetic() && coin() {
                    *b ^= 0x20;
                }
            }
        }
        Domain(wire)
    }
    /// Wire form without compression.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }
    /// As a name to compare with those of messages.
    pub fn name(&self) -> Name<'_> {
        Name::of_wire(&self.0)
    }
    /// How many labels it has, without the root.
    pub fn label_count(&self) -> usize {
        self.name().labels().count().min(LABELS_MAX)
    }
}

fn close(wire: &mut [u8], start: usize) -> Result<(), BadName> {
    let n = wire.len() - start - 1;
    if n == 0 {
        return Err(BadName::EmptyLabel);
    }
    if n > LABEL_MAX {
        return Err(BadName::LabelTooLong);
    }
    if let Some(len) = wire.get_mut(start) {
        *len = n as u8;
    }
    Ok(())
}

/// What follows a backslash: three decimal digits, or any other character as it is.
pub(super) fn escape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, BadName> {
    let first = bytes.next().ok_or(BadName::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut n = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(BadName::BadEscape)?;
        n = n * 10 + u16::from(digit - b'0');
    }
    u8::try_from(n).map_err(|_| BadName::BadEscape)
}

impl FromStr for Domain {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Domain::parse(text.as_bytes())
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        // Length bytes are below 64, so folding the case of letters leaves them alone.
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Domain {}

impl PartialOrd for Domain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Domain {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.0.len().cmp(&other.0.len()) {
            Ordering::Equal => {
                let lower = |d: &'_ [u8], i: usize| d.get(i).map(u8::to_ascii_lowercase);
                let differ = (0..self.0.len()).map(|i| lower(&self.0, i).cmp(&lower(&other.0, i)));
                differ.into_iter().find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            }
            unequal => unequal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_and_back() {
        for (text, shown) in [
            ("example", "example."),
            ("example.", "example."),
            (".", "."),
            (r"a\.b.c", r"a\.b.c."),
            (r"a\046b.c", r"a\.b.c."),
            (r"\000\255\032", r"\000\255\032."),
            (r"a\\b\@", r"a\\b\@."),
            ("WwW.Example", "WwW.Example."),
        ] {
            let d: Domain = text.parse().unwrap();
            assert_eq!(d.to_string(), shown, "{text}");
            assert_eq!(d.to_string().parse(), Ok(d));
        }
    }

    #[test]
    fn what_is_no_name() {
        let (l63, l64) = ("a".repeat(63), "a".repeat(64));
        let four = [l63.as_str(); 3].join(".");
        for (text, why) in [
            ("", BadName::EmptyLabel),
            ("..", BadName::EmptyLabel),
            (".a", BadName::EmptyLabel),
            ("a..b", BadName::EmptyLabel),
            ("a..", BadName::EmptyLabel),
            (l64.as_str(), BadName::LabelTooLong),
            (&"a".repeat(5000), BadName::LabelTooLong),
            (&"ab.".repeat(5000), BadName::NameTooLong),
            (&alloc::format!("{four}.{}", "b".repeat(62)), BadName::NameTooLong),
            (r"a\", BadName::BadEscape),
            (r"\25", BadName::BadEscape),
            (r"\256", BadName::BadEscape),
            (r"\2a5", BadName::BadEscape),
        ] {
            assert_eq!(text.parse::<Domain>().err(), Some(why), "{text}");
        }
        let longest: Domain = alloc::format!("{four}.{}", "b".repeat(61)).parse().unwrap();
        assert_eq!(longest.wire().len(), 255);
        assert_eq!("a.".repeat(127).parse::<Domain>().unwrap().label_count(), 127);
        assert_eq!("a.".repeat(128).parse::<Domain>().err(), Some(BadName::NameTooLong));
    }

    #[test]
    fn relations() {
        let d = |s: &str| s.parse::<Domain>().unwrap();
        assert_eq!(d("WWW.example"), d("www.EXAMPLE."));
        assert_eq!(d("www.Example").cmp(&d("www.eXample")), Ordering::Equal);
        assert!(
            d("a.b.c").is_within(&d("B.c")) && !d("ab.c").is_within(&d("b.c")) && d("a").is_within(&Domain::root())
        );
        assert_eq!(d("a.b").within(&d("c.")), Ok(d("a.b.c")));
        assert_eq!(d("a.b").parent(), Some(d("b")));
        assert_eq!(Domain::root().parent(), None);
        assert_eq!(Domain::reverse("192.0.2.10".parse().unwrap()).to_string(), "10.2.0.192.in-addr.arpa.");
        let six = Domain::reverse("2001:db8::1".parse().unwrap()).to_string();
        assert_eq!(six, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.");
        assert_eq!(d("a1.b").with_case(|| true).to_string(), "A1.B.");
    }
}
