//! Names as they stand in a message: labels and pointers, read in place.
use super::{Domain, HEADER, LABELS_MAX, NAME_MAX, fault};
use crate::Fault;
use core::fmt;

const RULE: &str = "RFC 1035 4.1.4";

/// A name in a message. It was read through once, so its labels are there and it is no longer than 255 bytes.
#[derive(Clone, Copy)]
pub struct Name<'m> {
    message: &'m [u8],
    at: usize,
    /// Bytes without compression, with the root.
    len: u8,
}

impl<'m> Name<'m> {
    /// The root, which needs no message.
    pub const ROOT: Name<'static> = Name { message: &[0], at: 0, len: 1 };

    /// Reads the name at `at`; also answers where it ends. Pointers lead to offsets that are smaller each time, which no
    /// loop can do.
    pub(super) fn read(message: &'m [u8], at: usize) -> Result<(Name<'m>, usize), Fault> {
        let (mut pos, mut end) = (at, None);
        // Every jump must go before the place where the present run of labels began.
        let (mut lowest, mut jumps, mut len) = (at, 0, 0usize);
        // And what it leads to must end before that place: a name is repeated that was there before.
        let mut limit = usize::MAX;
        loop {
            let Some(&b) = message.get(pos) else {
                return Err(fault("name past the end", RULE, pos.min(message.len())));
            };
            match b {
                0 => {
                    len += 1;
                    let end = end.unwrap_or(pos + 1);
                    return Ok((Name { message, at, len: len as u8 }, end));
                }
                1..=63 => {
                    len += 1 + usize::from(b);
                    if len >= NAME_MAX {
                        return Err(fault("name longer than 255 bytes", "RFC 1035 2.3.4", pos));
                    }
                    pos += 1 + usize::from(b);
                    if pos >= limit {
                        return Err(fault("labels that run into the pointer to them", RULE, pos));
                    }
                }
                192..=255 => {
                    let Some(&low) = message.get(pos + 1) else {
                        return Err(fault("compression pointer past the end", RULE, pos));
                    };
                    let target = usize::from(b & 0x3f) << 8 | usize::from(low);
                    jumps += 1;
                    if target >= lowest || target < HEADER || jumps > LABELS_MAX {
                        return Err(bad_pointer(target, pos, lowest));
                    }
                    end = end.or(Some(pos + 2));
                    (pos, limit, lowest) = (target, lowest, target);
                }
                _ => return Err(fault("label of an unknown kind", RULE, pos)),
            }
        }
    }
    /// Reads a name that must not be compressed (RFC 3597 section 4).
    pub(super) fn read_plain(message: &'m [u8], at: usize) -> Result<(Name<'m>, usize), Fault> {
        let (name, end) = Name::read(message, at)?;
        if end - at == usize::from(name.len) { Ok((name, end)) } else { Err(compressed(at, end)) }
    }
    /// A name that is known to be one, without a message around it.
    pub(super) fn of_wire(wire: &'m [u8]) -> Name<'m> {
        Name { message: wire, at: 0, len: wire.len() as u8 }
    }
    /// Where it begins in its message.
    pub fn offset(&self) -> usize {
        self.at
    }
    /// Bytes it has without compression.
    pub fn wire_len(&self) -> usize {
        usize::from(self.len)
    }
    /// It is the root.
    pub fn is_root(&self) -> bool {
        self.len == 1
    }
    /// Its labels, without the root.
    pub fn labels(&self) -> Labels<'m> {
        Labels { message: self.message, at: self.at }
    }
    /// The same name, whatever the case of ASCII letters (RFC 4343).
    pub fn is(&self, other: &Name<'_>) -> bool {
        self.len == other.len && self.labels().zip(other.labels()).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }
    /// The same bytes: what a reply to a question with mixed case must have.
    pub fn is_exactly(&self, other: &Name<'_>) -> bool {
        self.len == other.len && self.labels().eq(other.labels())
    }
    /// A copy that needs no message.
    pub fn to_domain(&self) -> Domain {
        Domain::of(self)
    }
    /// The offsets at which its pointers stand, and where each leads.
    pub fn pointers(&self) -> impl Iterator<Item = (usize, usize)> + 'm {
        let (message, mut pos, mut left) = (self.message, self.at, LABELS_MAX * 2 + 1);
        core::iter::from_fn(move || {
            loop {
                left = left.checked_sub(1)?;
                match *message.get(pos)? {
                    0 => return None,
                    n @ 1..=63 => pos += 1 + usize::from(n),
                    n => {
                        let from = pos;
                        pos = usize::from(n & 0x3f) << 8 | usize::from(*message.get(pos + 1)?);
                        return Some((from, pos));
                    }
                }
            }
        })
    }
}

#[cold]
fn bad_pointer(target: usize, pos: usize, lowest: usize) -> Fault {
    let what = match target {
        t if t == pos => "compression pointer to itself",
        t if t > pos => "compression pointer forward",
        t if t >= lowest => "compression pointer into its own name",
        t if t < HEADER => "compression pointer into the header",
        _ => "too many compression pointers",
    };
    fault(what, RULE, pos)
}

#[cold]
fn compressed(at: usize, _: usize) -> Fault {
    fault("compressed name where none may be", "RFC 3597 4", at)
}

/// The labels of a name, from the left.
#[derive(Clone, Debug)]
pub struct Labels<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Iterator for Labels<'m> {
    type Item = &'m [u8];
    #[inline]
    fn next(&mut self) -> Option<&'m [u8]> {
        loop {
            let n = usize::from(*self.message.get(self.at)?);
            if n >= 192 {
                self.at = (n & 0x3f) << 8 | usize::from(*self.message.get(self.at + 1)?);
                continue;
            }
            if n == 0 {
                return None;
            }
            let label = self.message.get(self.at + 1..self.at + 1 + n)?;
            self.at += 1 + n;
            return Some(label);
        }
    }
}

/// Zone-file form: `.` and other special characters escaped, all else that does not print as `\DDD` (RFC 1035 5.1).
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if self.is_root() {
            return f.write_char('.');
        }
        for label in self.labels() {
            for &b in label {
                match b {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => write!(f, "\\{}", b as char)?,
                    0x21..=0x7e => f.write_char(b as char)?,
                    _ => write!(f, "\\{b:03}")?,
                }
            }
            f.write_char('.')?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}
