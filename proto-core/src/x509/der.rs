//! DER, as far as certificates need it (X.690): tag, length, contents, with the place of what is wrong.

/// The bytes are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// What was expected.
    pub what: &'static str,
    /// The byte at which it was noticed, counted from 0.
    pub offset: usize,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} expected at byte {}", self.what, self.offset)
    }
}

impl core::error::Error for Malformed {}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub tag: u8,
    pub body: &'a [u8],
    /// Where the contents begin.
    pub at: usize,
    /// Tag, length and contents.
    pub whole: &'a [u8],
}

/// Values one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a> {
    rest: &'a [u8],
    at: usize,
}

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const OID: u8 = 0x06;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const BITS: u8 = 0x03;

impl<'a> Der<'a> {
    pub fn new(all: &'a [u8]) -> Self {
        Der { rest: all, at: 0 }
    }
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    /// The tag of what comes next.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }
    /// The next value, whatever it is.
    pub fn any(&mut self, what: &'static str) -> Result<Value<'a>, Malformed> {
        let malformed = Malformed { what, offset: self.at };
        let &[tag, first, ..] = self.rest else { return Err(malformed) };
        let (head, len) = match first {
            0..=0x7f => (2, usize::from(first)),
            // Lengths above 16 MiB do not occur, and an indefinite one is not DER.
            0x81..=0x83 => {
                let n = usize::from(first & 0x7f);
                let bytes = self.rest.get(2..2 + n).ok_or(malformed)?;
                (2 + n, bytes.iter().fold(0, |len, b| len << 8 | usize::from(*b)))
            }
            _ => return Err(malformed),
        };
        let whole = self.rest.get(..head + len).ok_or(malformed)?;
        let (at, body) = (self.at + head, whole.get(head..).unwrap_or_default());
        self.rest = self.rest.get(head + len..).unwrap_or_default();
        self.at += head + len;
        Ok(Value { tag, body, at, whole })
    }
    /// The next value, which must have this tag.
    pub fn take(&mut self, tag: u8, what: &'static str) -> Result<Value<'a>, Malformed> {
        let offset = self.at;
        if self.peek() != Some(tag) {
            return Err(Malformed { what, offset });
        }
        self.any(what)
    }
    /// The next value, if it has this tag.
    pub fn optional(&mut self, tag: u8, what: &'static str) -> Result<Option<Value<'a>>, Malformed> {
        if self.peek() == Some(tag) { self.any(what).map(Some) } else { Ok(None) }
    }
}

impl<'a> Value<'a> {
    /// The values within.
    pub fn inner(&self) -> Der<'a> {
        Der { rest: self.body, at: self.at }
    }
    pub fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { what, offset: self.at }
    }
}
