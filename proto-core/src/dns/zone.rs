//! Data of records from zone-file text (RFC 1035 5.1, RFC 3597 5).
use super::domain::escape;
use super::text::{BASE32HEX, BASE64, PARAMS};
use super::{Domain, Field, Type};
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The text does not have its type's form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadData(pub &'static str);

impl fmt::Display for BadData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for BadData {}

/// A word of the text, with its escapes still in it.
type Word<'t> = &'t [u8];

/// The data of a record of type `kind` in wire form: what stands behind the type in a zone file, in one line and without
/// comments. Names are absolute, whether they end in a dot or not.
///
/// # Errors
/// What is missing or wrong.
pub fn data_from_text(kind: Type, text: &str) -> Result<Vec<u8>, BadData> {
    let mut words = Words { rest: text.as_bytes() };
    let mut out = Vec::new();
    let mut peek = words.clone();
    if peek.next() == Some(Ok(b"\\#")) {
        let n: usize = number(peek.needed()?)?;
        let bytes = from_hex(&peek.joined()?)?;
        return if bytes.len() == n { Ok(bytes) } else { Err(BadData("the count is not that of the bytes")) };
    }
    for field in kind.layout() {
        put(*field, &mut words, &mut out)?;
    }
    if words.next().is_some() {
        return Err(BadData("more than the type's fields"));
    }
    if out.len() > usize::from(u16::MAX) { Err(BadData("more than 65,535 bytes")) } else { Ok(out) }
}

#[derive(Clone)]
struct Words<'t> {
    rest: &'t [u8],
}

impl<'t> Iterator for Words<'t> {
    type Item = Result<Word<'t>, BadData>;
    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_ascii_start();
        let (&first, tail) = self.rest.split_first()?;
        let (start, end): (&[u8], fn(u8) -> bool) =
            if first == b'"' { (tail, |b| b == b'"') } else { (self.rest, |b| b.is_ascii_whitespace()) };
        let (mut at, mut escaped, mut inner) = (0, false, false);
        for &b in start {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                // `alpn="h2,h3"`: a quote within a word hides its spaces.
                b'"' if first != b'"' => inner = !inner,
                b if !inner && end(b) => break,
                _ => {}
            }
            at += 1;
        }
        if first == b'"' && at == start.len() {
            self.rest = &[];
            return Some(Err(BadData("a quote that is not closed")));
        }
        self.rest = start.get(at + usize::from(first == b'"')..).unwrap_or_default();
        Some(Ok(start.get(..at).unwrap_or_default()))
    }
}

impl<'t> Words<'t> {
    fn needed(&mut self) -> Result<Word<'t>, BadData> {
        self.next().unwrap_or(Err(BadData("fewer than the type's fields")))
    }
    /// All words that are left, in one.
    fn joined(&mut self) -> Result<Vec<u8>, BadData> {
        let mut all = Vec::new();
        for word in self {
            all.extend_from_slice(word?);
        }
        Ok(all)
    }
}

fn put(field: Field, words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), BadData> {
    match field {
        Field::U8 => out.push(number(words.needed()?)?),
        Field::U16 => out.extend(number::<u16>(words.needed()?)?.to_be_bytes()),
        Field::U32 | Field::Seconds => out.extend(number::<u32>(words.needed()?)?.to_be_bytes()),
        Field::Time => out.extend(time(words.needed()?)?.to_be_bytes()),
        Field::Kind => out.extend(kind(words.needed()?)?.0.to_be_bytes()),
        Field::Ip4 => out.extend(number::<Ipv4Addr>(words.needed()?)?.octets()),
        Field::Ip6 => out.extend(number::<Ipv6Addr>(words.needed()?)?.octets()),
        Field::Name | Field::PlainName => {
            let name = Domain::parse(words.needed()?).map_err(|_| BadData("a bad name"))?;
            out.extend_from_slice(name.wire());
        }
        Field::Text | Field::Tag => counted(&plain(words.needed()?)?, out)?,
        Field::Texts => {
            counted(&plain(words.needed()?)?, out)?;
            for word in words {
                counted(&plain(word?)?, out)?;
            }
        }
        Field::Rest => out.extend(plain(words.needed()?)?),
        Field::Hex => out.extend(from_hex(&words.joined()?)?),
        Field::Salt => match words.needed()? {
            b"-" => out.push(0),
            hex => counted(&from_hex(hex)?, out)?,
        },
        Field::Hash => counted(&from_digits(words.needed()?, 5, BASE32HEX)?, out)?,
        Field::Base64 => {
            let all = words.joined()?;
            let end = all.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1);
            out.extend(from_digits(all.get(..end).unwrap_or_default(), 6, BASE64)?);
        }
        Field::Types => {
            let mut types = Vec::new();
            for word in words {
                types.push(kind(word?)?);
            }
            bitmap(types, out);
        }
        Field::Params => params(words, out)?,
        Field::Eui48 | Field::Eui64 => {
            let bytes = from_hex(&without(words.needed()?, b'-'))?;
            let n = if field == Field::Eui48 { 6 } else { 8 };
            if bytes.len() != n {
                return Err(BadData("a bad number of bytes"));
            }
            out.extend(bytes);
        }
        Field::Node64 => {
            let bytes = from_hex(&without(words.needed()?, b':'))?;
            if bytes.len() != 8 {
                return Err(BadData("a bad number of bytes"));
            }
            out.extend(bytes);
        }
        Field::Place | Field::Options | Field::Unknown => return Err(BadData("only the form \\# n hex")),
    }
    Ok(())
}

fn number<T: FromStr>(word: Word<'_>) -> Result<T, BadData> {
    let text = core::str::from_utf8(word).ok().filter(|t| !t.starts_with('+'));
    text.and_then(|t| t.parse().ok()).ok_or(BadData("a bad number or address"))
}

fn kind(word: Word<'_>) -> Result<Type, BadData> {
    number(word).map_err(|_| BadData("an unknown type"))
}

fn without(word: Word<'_>, b: u8) -> Vec<u8> {
    word.iter().copied().filter(|x| *x != b).collect()
}

/// Without its escapes.
fn plain(word: Word<'_>) -> Result<Vec<u8>, BadData> {
    let (mut bytes, mut out) = (word.iter().copied(), Vec::with_capacity(word.len()));
    while let Some(b) = bytes.next() {
        let b = if b == b'\\' { escape(&mut bytes).map_err(|_| BadData("a bad escape"))? } else { b };
        out.push(b);
    }
    Ok(out)
}

fn counted(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadData> {
    let n = u8::try_from(bytes.len()).map_err(|_| BadData("a text of more than 255 bytes"))?;
    out.push(n);
    out.extend_from_slice(bytes);
    Ok(())
}

fn from_hex(word: Word<'_>) -> Result<Vec<u8>, BadData> {
    if !word.len().is_multiple_of(2) {
        return Err(BadData("an odd number of hexadecimal digits"));
    }
    from_digits(&word.to_ascii_uppercase(), 4, b"0123456789ABCDEF")
}

fn from_digits(word: Word<'_>, bits: u32, alphabet: &[u8]) -> Result<Vec<u8>, BadData> {
    let (mut have, mut n, mut out) = (0u32, 0u32, Vec::with_capacity(word.len()));
    let fold = alphabet.len() < 64;
    for b in word {
        let b = if fold { b.to_ascii_uppercase() } else { *b };
        let digit = alphabet.iter().position(|d| *d == b).ok_or(BadData("a bad digit"))?;
        (have, n) = (have + bits, n << bits | digit as u32);
        if have >= 8 {
            have -= 8;
            out.push((n >> have) as u8);
            n &= (1 << have) - 1;
        }
    }
    if n != 0 || have >= bits { Err(BadData("bits that belong to no byte")) } else { Ok(out) }
}

/// `YYYYMMDDHHmmSS`, or plain seconds (RFC 4034 3.2).
fn time(word: Word<'_>) -> Result<u32, BadData> {
    let bad = BadData("a bad time");
    if word.len() != 14 {
        return number(word).map_err(|_| bad);
    }
    let part = |from: usize, to: usize| word.get(from..to).ok_or(bad).and_then(number::<i64>);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (h, m, s) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || h > 23 || m > 59 || s > 60 {
        return Err(bad);
    }
    // Days since 1970 of a year that begins in March (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let y = if month <= 2 { year - 1 } else { year };
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = y.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Ok((days * 86_400 + h * 3600 + m * 60 + s) as u32) // modulo 2^32, as the field is
}

fn bitmap(mut types: Vec<Type>, out: &mut Vec<u8>) {
    types.sort();
    let mut window: Option<(u8, usize)> = None; // its number, and where its length stands
    for kind in types {
        let [number, low] = kind.0.to_be_bytes();
        let at = match window {
            Some((n, at)) if n == number => at,
            _ => {
                out.extend([number, 0]);
                let at = out.len() - 1;
                window = Some((number, at));
                at
            }
        };
        let byte = usize::from(low) / 8;
        out.resize(out.len().max(at + 2 + byte), 0);
        if let Some(bits) = out.get_mut(at + 1 + byte) {
            *bits |= 0x80 >> (low % 8);
        }
        let n = (out.len() - at - 1) as u8;
        if let Some(len) = out.get_mut(at) {
            *len = n;
        }
    }
}

fn params(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), BadData> {
    let mut all = Vec::new();
    for word in words {
        let word = word?;
        let (name, value) = match word.iter().position(|b| *b == b'=') {
            Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..).unwrap_or_default()),
            None => (word, &[][..]),
        };
        let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        let key = param_key(name)?;
        all.push((key, param(key, value)?));
    }
    all.sort();
    if all.windows(2).any(|w| w.first().map(|p| p.0) == w.last().map(|p| p.0)) {
        return Err(BadData("a parameter given twice"));
    }
    for (key, value) in all {
        let n = u16::try_from(value.len()).map_err(|_| BadData("a parameter that is too long"))?;
        out.extend(key.to_be_bytes().into_iter().chain(n.to_be_bytes()));
        out.extend(value);
    }
    Ok(())
}

fn param_key(name: &[u8]) -> Result<u16, BadData> {
    let known = PARAMS.iter().zip(0u16..).find(|(p, _)| p.as_bytes() == name).map(|(_, i)| i);
    let known = known.or_else(|| (name == b"dohpath").then_some(7));
    let numbered = || name.strip_prefix(b"key").and_then(|n| number(n).ok());
    known.or_else(numbered).ok_or(BadData("an unknown parameter"))
}

fn param(key: u16, value: Word<'_>) -> Result<Vec<u8>, BadData> {
    let list = || value.split(|b| *b == b',');
    let mut out = Vec::new();
    match key {
        0 => {
            let mut keys = list().map(param_key).collect::<Result<Vec<u16>, _>>()?;
            keys.sort();
            keys.iter().for_each(|k| out.extend(k.to_be_bytes()));
        }
        1 => {
            // The list is within a text that may have escapes itself.
            let (mut id, mut escaped) = (Vec::new(), false);
            for b in plain(value)? {
                match b {
                    b if escaped => (escaped, _) = (false, id.push(b)),
                    b'\\' => escaped = true,
                    b',' => counted(&core::mem::take(&mut id), &mut out)?,
                    b => id.push(b),
                }
            }
            counted(&id, &mut out)?;
        }
        2 => {}
        3 => out.extend(number::<u16>(value)?.to_be_bytes()),
        4 => list().try_for_each(|ip| number::<Ipv4Addr>(ip).map(|ip| out.extend(ip.octets())))?,
        5 => put(Field::Base64, &mut Words { rest: value }, &mut out)?,
        6 => list().try_for_each(|ip| number::<Ipv6Addr>(ip).map(|ip| out.extend(ip.octets())))?,
        _ => out = plain(value)?,
    }
    Ok(out)
}
