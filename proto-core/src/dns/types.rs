//! Record types and classes, and their names.
use super::layout::KNOWN;
use super::{Field, Layout};
use core::fmt;
use core::str::FromStr;

/// A record type. Those without a name are `TYPE65280` (RFC 3597 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Type(pub u16);

impl Type {
    fn known(self) -> Option<&'static (u16, &'static str, Layout)> {
        KNOWN.binary_search_by_key(&self.0, |(code, ..)| *code).ok().and_then(|i| KNOWN.get(i))
    }
    /// Its name, if it has one.
    pub fn name(self) -> Option<&'static str> {
        self.known().map(|(_, name, _)| *name)
    }
    /// The fields of its data.
    #[inline]
    pub fn layout(self) -> Layout {
        match self.0 {
            1 => &[Field::Ip4],
            28 => &[Field::Ip6],
            2 | 5 | 12 => &[Field::Name],
            _ => self.known().map_or(&[Field::Unknown], |(.., layout)| layout),
        }
    }
    /// Only questions have it: ANY, AXFR and the like.
    pub fn is_question_only(self) -> bool {
        (251..=255).contains(&self.0)
    }
    /// All types that have a name.
    pub fn all() -> impl Iterator<Item = Type> {
        KNOWN.iter().map(|(code, ..)| Type(*code))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// The text is no type.
impl FromStr for Type {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some((code, ..)) = KNOWN.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(Type(*code));
        }
        number(text, "TYPE").map(Type).ok_or(())
    }
}

/// A class; all but `IN` are rare. In an OPT record the number is the size of datagrams.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Class(pub u16);

impl Class {
    /// The Internet.
    pub const IN: Class = Class(1);
    const NAMES: [(u16, &'static str); 6] = [(1, "IN"), (2, "CS"), (3, "CH"), (4, "HS"), (254, "NONE"), (255, "ANY")];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Class::NAMES.iter().find(|(code, _)| *code == self.0) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "CLASS{}", self.0),
        }
    }
}

impl FromStr for Class {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let named = Class::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(code, _)| *code);
        named.or_else(|| number(text, "CLASS")).map(Class).ok_or(())
    }
}

/// `TYPE65280`: the prefix in any case, then decimal digits.
fn number(text: &str, prefix: &str) -> Option<u16> {
    let (head, digits) = text.split_at_checked(prefix.len())?;
    let plain = head.eq_ignore_ascii_case(prefix) && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_and_numbers() {
        assert!(KNOWN.windows(2).all(|w| w[0].0 < w[1].0), "sorted for the search");
        for t in Type::all() {
            assert_eq!(t.to_string().parse(), Ok(t));
            assert_eq!(t.layout(), t.known().unwrap().2, "{t}: the short cut says the same");
        }
        for (text, want) in [("mx", Ok(Type::MX)), ("TYPE257", Ok(Type::CAA)), ("type65280", Ok(Type(65280)))] {
            assert_eq!(text.parse::<Type>(), want);
        }
        for bad in ["BOGUS", "", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "TYPE1x", "ü"] {
            assert_eq!(bad.parse::<Type>(), Err(()), "{bad}");
        }
        assert_eq!(Type(65280).to_string(), "TYPE65280");
        assert_eq!(("ch".parse(), "CLASS7".parse(), "x".parse::<Class>()), (Ok(Class(3)), Ok(Class(7)), Err(())));
        assert_eq!(Class(7).to_string(), "CLASS7");
    }
}
