//! Zone-file form of records and their data (RFC 1035 5.1, RFC 3597 5), in the spelling of dig.
use super::value::texts;
use super::{Record, SvcParam, SvcParams, Value};
use core::fmt::{self, Display, Formatter, Write};
use core::net::{Ipv4Addr, Ipv6Addr};

/// One value as text.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a, 'm>(pub &'a Value<'m>);

impl Display for Text<'_, '_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::U8(n) => n.fmt(f),
            Value::U16(n) => n.fmt(f),
            Value::U32(n) | Value::Seconds(n) => n.fmt(f),
            Value::Time(n) => write_time(*n, f),
            Value::Kind(kind) => kind.fmt(f),
            Value::Ip4(ip) => ip.fmt(f),
            Value::Ip6(ip) => ip.fmt(f),
            Value::Name(name) | Value::PlainName(name) => name.fmt(f),
            Value::Text(text) | Value::Rest(text) => quoted(text, f),
            Value::Tag(tag) => tag.iter().try_for_each(|b| f.write_char(*b as char)),
            Value::Hex(bytes) => hex(bytes, f),
            Value::Salt([]) => f.write_char('-'),
            Value::Salt(bytes) => hex(bytes, f),
            Value::Hash(bytes) => base32hex(bytes, f),
            Value::Base64(bytes) => base64(bytes, f),
            Value::Types(bitmap) => spaced(bitmap.types(), f),
            Value::Params(params) => write_params(params, f),
            Value::Option(option) => {
                write!(f, "{}:", option.code)?;
                hex(option.data, f)
            }
            Value::Eui(bytes) => grouped(bytes.iter().map(|b| u16::from(*b)), 2, '-', f),
            Value::Node64(bytes) => {
                grouped(bytes.chunks(2).map(|c| c.iter().fold(0, |n, b| n << 8 | u16::from(*b))), 4, ':', f)
            }
            Value::Place(bytes) => place(bytes, f),
            Value::Unknown(bytes) => unknown(bytes, f),
        }
    }
}

/// `owner ttl class type data`, in one line.
impl Display for Record<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.name, self.ttl, self.class, self.kind)?;
        self.write_data(f)
    }
}

impl Record<'_> {
    /// The data with a space before each field. Data that does not have its type's form is shown as that of an unknown type.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn write_data(&self, f: &mut impl Write) -> fmt::Result {
        if self.fields().any(|field| field.is_err()) {
            return write!(f, " {}", Text(&Value::Unknown(self.data())));
        }
        for value in self.fields().flatten() {
            match value {
                Value::Types(b) if b.bytes().is_empty() => {}
                Value::Params(p) if p.bytes().is_empty() => {}
                value => write!(f, " {}", Text(&value))?,
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02X}"))
}

fn unknown(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "\\# {}", bytes.len())?;
    if bytes.is_empty() {
        return Ok(());
    }
    f.write_char(' ')?;
    hex(bytes, f)
}

fn spaced<T: Display>(all: impl Iterator<Item = T>, f: &mut Formatter<'_>) -> fmt::Result {
    for (i, item) in all.enumerate() {
        let space = if i > 0 { " " } else { "" };
        write!(f, "{space}{item}")?;
    }
    Ok(())
}

fn grouped(all: impl Iterator<Item = u16>, digits: usize, between: char, f: &mut Formatter<'_>) -> fmt::Result {
    for (i, n) in all.enumerate() {
        if i > 0 {
            f.write_char(between)?;
        }
        write!(f, "{n:0digits$x}")?;
    }
    Ok(())
}

/// Text within quotes.
fn quoted(text: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for &b in text {
        match b {
            b'"' | b'\\' => write!(f, "\\{}", b as char)?,
            0x20..=0x7e => f.write_char(b as char)?,
            _ => write!(f, "\\{b:03}")?,
        }
    }
    f.write_char('"')
}

/// Digits of `bits` bits each, of the bytes in one run.
fn digits(bytes: &[u8], bits: u32, alphabet: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    let (mut have, mut n) = (0u32, 0u32);
    for &b in bytes {
        (have, n) = (have + 8, n << 8 | u32::from(b));
        while have >= bits {
            have -= bits;
            f.write_char(*alphabet.get((n >> have) as usize & ((1 << bits) - 1)).unwrap_or(&b'?') as char)?;
        }
        n &= (1 << have) - 1;
    }
    if have > 0 {
        f.write_char(*alphabet.get((n << (bits - have)) as usize).unwrap_or(&b'?') as char)?;
    }
    Ok(())
}

pub(super) const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
pub(super) const BASE32HEX: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

fn base64(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    digits(bytes, 6, BASE64, f)?;
    f.write_str(["", "==", "="].get(bytes.len() % 3).copied().unwrap_or_default())
}

/// Without padding (RFC 5155 3.3).
fn base32hex(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    digits(bytes, 5, BASE32HEX, f)
}

/// Seconds since 1970 as `YYYYMMDDHHmmSS` (RFC 4034 3.2).
///
/// # Errors
/// Those of `f`.
pub fn write_time(seconds: u32, f: &mut impl Write) -> fmt::Result {
    let (day, s) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut left) = (1970u32, day);
    let length = |y: u32| 365 + u32::from(y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400)));
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let mut month = 1;
    for days in [31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    write!(f, "{year:04}{month:02}{:02}{:02}{:02}{:02}", left + 1, s / 3600, s / 60 % 60, s % 60)
}

pub(super) const PARAMS: [&str; 7] = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint"];

struct Key(u16);

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (PARAMS.get(usize::from(self.0)), self.0) {
            (Some(name), _) => f.write_str(name),
            (None, 7) => f.write_str("dohpath"),
            (None, n) => write!(f, "key{n}"),
        }
    }
}

fn write_params(params: &SvcParams<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    for (i, param) in params.iter().enumerate() {
        if i > 0 {
            f.write_char(' ')?;
        }
        Key(param.key).fmt(f)?;
        write_param(param, f)?;
    }
    Ok(())
}

fn write_param(param: SvcParam<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    fn listed<T: Display>(all: impl Iterator<Item = T>, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, item) in all.enumerate() {
            f.write_char(if i > 0 { ',' } else { '=' })?;
            item.fmt(f)?;
        }
        Ok(())
    }
    let words = || param.value.chunks(2).map(|c| c.iter().fold(0u16, |n, b| n << 8 | u16::from(*b)));
    match param.key {
        0 => listed(words().map(Key), f),
        1 => {
            f.write_str("=\"")?;
            for (i, id) in texts(param.value).flatten().enumerate() {
                if i > 0 {
                    f.write_char(',')?;
                }
                for &b in id {
                    match b {
                        // Within a list, a comma and a backslash are escaped twice (RFC 9460 appendix A.1).
                        b',' => f.write_str("\\\\,")?,
                        b'\\' => f.write_str("\\\\\\\\")?,
                        b'"' => f.write_str("\\\"")?,
                        0x20..=0x7e => f.write_char(b as char)?,
                        _ => write!(f, "\\{b:03}")?,
                    }
                }
            }
            f.write_char('"')
        }
        2 => Ok(()),
        3 => listed(words(), f),
        4 => listed(param.value.chunks(4).filter_map(|c| c.first_chunk::<4>().map(|b| Ipv4Addr::from(*b))), f),
        5 => {
            f.write_char('=')?;
            base64(param.value, f)
        }
        6 => listed(param.value.chunks(16).filter_map(|c| c.first_chunk::<16>().map(|b| Ipv6Addr::from(*b))), f),
        _ if param.value.is_empty() => Ok(()),
        _ => {
            f.write_char('=')?;
            quoted(param.value, f)
        }
    }
}

/// A place as `51 30 12.748 N 0 7 39.611 W 30.25m 1m 10000m 10m` (RFC 1876 3).
fn place(bytes: &[u8; 16], f: &mut Formatter<'_>) -> fmt::Result {
    let &[version, size, horizontal, vertical, a, b, c, d, e, g, h, i, j, k, l, m] = bytes;
    if version != 0 {
        return unknown(bytes, f);
    }
    const MIDDLE: u32 = 1 << 31;
    for (n, [positive, negative]) in [([a, b, c, d], ['N', 'S']), ([e, g, h, i], ['E', 'W'])] {
        let n = u32::from_be_bytes(n);
        let (ms, side) = if n >= MIDDLE { (n - MIDDLE, positive) } else { (MIDDLE - n, negative) };
        let (s, ms) = (ms / 1000, ms % 1000);
        write!(f, "{} {} {}.{ms:03} {side} ", s / 3600, s / 60 % 60, s % 60)?;
    }
    let height = i64::from(u32::from_be_bytes([j, k, l, m])) - 10_000_000;
    let sign = if height < 0 { "-" } else { "" };
    write!(f, "{sign}{}.{:02}m", height.abs() / 100, height.abs() % 100)?;
    for size in [size, horizontal, vertical] {
        // Four bits times ten to the power of four bits, in centimetres.
        let cm = u64::from(size >> 4).saturating_mul(10u64.pow(u32::from(size & 15)));
        match (cm / 100, cm % 100) {
            (m, 0) => write!(f, " {m}m")?,
            (m, cm) => write!(f, " {m}.{cm:02}m")?,
        }
    }
    Ok(())
}
