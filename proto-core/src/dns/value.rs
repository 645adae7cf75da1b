//! The fields of a record's data, read in place.
use super::message::be16;
use super::{EdnsOption, Field, Layout, Name, Type, fault};
use crate::Fault;
use core::net::{Ipv4Addr, Ipv6Addr};

const RULE: &str = "RFC 1035 3.3";

/// One field. Each variant is the [`Field`] of the same name, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'m> {
    /// [`Field::U8`].
    U8(u8),
    /// [`Field::U16`].
    U16(u16),
    /// [`Field::U32`].
    U32(u32),
    /// [`Field::Seconds`].
    Seconds(u32),
    /// [`Field::Time`].
    Time(u32),
    /// [`Field::Kind`].
    Kind(Type),
    /// [`Field::Ip4`].
    Ip4(Ipv4Addr),
    /// [`Field::Ip6`].
    Ip6(Ipv6Addr),
    /// [`Field::Name`].
    Name(Name<'m>),
    /// [`Field::PlainName`].
    PlainName(Name<'m>),
    /// [`Field::Text`], or one of [`Field::Texts`].
    Text(&'m [u8]),
    /// [`Field::Tag`].
    Tag(&'m [u8]),
    /// [`Field::Rest`].
    Rest(&'m [u8]),
    /// [`Field::Hex`].
    Hex(&'m [u8]),
    /// [`Field::Salt`].
    Salt(&'m [u8]),
    /// [`Field::Hash`].
    Hash(&'m [u8]),
    /// [`Field::Base64`].
    Base64(&'m [u8]),
    /// [`Field::Types`].
    Types(Bitmap<'m>),
    /// [`Field::Params`].
    Params(SvcParams<'m>),
    /// One of [`Field::Options`].
    Option(EdnsOption<'m>),
    /// [`Field::Eui48`] and [`Field::Eui64`].
    Eui(&'m [u8]),
    /// [`Field::Node64`].
    Node64(&'m [u8; 8]),
    /// [`Field::Place`].
    Place(&'m [u8; 16]),
    /// [`Field::Unknown`].
    Unknown(&'m [u8]),
}

impl<'m> Value<'m> {
    /// The name, if it is one.
    pub fn name(&self) -> Option<Name<'m>> {
        match self {
            Value::Name(n) | Value::PlainName(n) => Some(*n),
            _ => None,
        }
    }
}

/// The fields of one record, in order. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Fields<'m> {
    message: &'m [u8],
    at: usize,
    end: usize,
    layout: Layout,
    /// Something of a repeated field was read.
    begun: bool,
}

impl<'m> Fields<'m> {
    pub(super) fn new(message: &'m [u8], at: usize, end: usize, layout: Layout) -> Self {
        Fields { message, at, end, layout, begun: false }
    }
    /// Where the next field begins.
    pub fn offset(&self) -> usize {
        self.at
    }
    fn left(&self) -> &'m [u8] {
        self.message.get(self.at..self.end).unwrap_or_default()
    }
    fn fixed<const N: usize>(&mut self) -> Result<&'m [u8; N], Fault> {
        let bytes = self.left().first_chunk::<N>().ok_or_else(|| fault("data ends within a field", RULE, self.at))?;
        self.at += N;
        Ok(bytes)
    }
    fn counted(&mut self) -> Result<&'m [u8], Fault> {
        let at = self.at;
        let [n] = *self.fixed::<1>()?;
        let bytes =
            self.left().get(..usize::from(n)).ok_or_else(|| fault("text past the end of the data", RULE, at))?;
        self.at += usize::from(n);
        Ok(bytes)
    }
    fn rest(&mut self) -> &'m [u8] {
        let bytes = self.left();
        self.at = self.end;
        bytes
    }
    fn name(&mut self, plain: bool) -> Result<Name<'m>, Fault> {
        let at = self.at;
        let (name, end) = if plain { Name::read_plain(self.message, at)? } else { Name::read(self.message, at)? };
        if end > self.end {
            return Err(fault("name past the end of the data", RULE, at));
        }
        self.at = end;
        Ok(name)
    }
    fn four(&mut self) -> Result<u32, Fault> {
        self.fixed().map(|b| u32::from_be_bytes(*b))
    }
    fn two(&mut self) -> Result<u16, Fault> {
        self.fixed().map(|b| u16::from_be_bytes(*b))
    }
    #[inline]
    fn read(&mut self, field: Field) -> Result<Value<'m>, Fault> {
        let at = self.at;
        Ok(match field {
            Field::U8 => Value::U8(self.fixed::<1>()?[0]),
            Field::U16 => Value::U16(self.two()?),
            Field::U32 => Value::U32(self.four()?),
            Field::Seconds => Value::Seconds(self.four()?),
            Field::Time => Value::Time(self.four()?),
            Field::Kind => Value::Kind(Type(self.two()?)),
            Field::Ip4 => Value::Ip4(Ipv4Addr::from(*self.fixed()?)),
            Field::Ip6 => Value::Ip6(Ipv6Addr::from(*self.fixed()?)),
            Field::Name => Value::Name(self.name(false)?),
            Field::PlainName => Value::PlainName(self.name(true)?),
            Field::Text | Field::Texts => Value::Text(self.counted()?),
            Field::Tag => match self.counted()? {
                [] => return Err(fault("empty tag", "RFC 8659 4.1", at)),
                tag if tag.iter().all(u8::is_ascii_alphanumeric) => Value::Tag(tag),
                _ => return Err(fault("tag of other than letters and digits", "RFC 8659 4.1", at)),
            },
            Field::Rest => Value::Rest(self.rest()),
            Field::Hex => Value::Hex(self.rest()),
            Field::Salt => Value::Salt(self.counted()?),
            Field::Hash => match self.counted()? {
                [] => return Err(fault("empty hash", "RFC 5155 3.2", at)),
                hash => Value::Hash(hash),
            },
            Field::Base64 => Value::Base64(self.rest()),
            Field::Types => Value::Types(Bitmap::read(self.rest(), at)?),
            Field::Params => Value::Params(SvcParams::read(self.rest(), at)?),
            Field::Options => {
                let [code, n] = [self.two()?, self.two()?];
                let data = self
                    .left()
                    .get(..usize::from(n))
                    .ok_or_else(|| fault("option past the end", "RFC 6891 6.1.2", at))?;
                self.at += data.len();
                Value::Option(EdnsOption { code, data })
            }
            Field::Eui48 => Value::Eui(self.fixed::<6>()?),
            Field::Eui64 => Value::Eui(self.fixed::<8>()?),
            Field::Node64 => Value::Node64(self.fixed()?),
            Field::Place => Value::Place(self.fixed()?),
            Field::Unknown => Value::Unknown(self.rest()),
        })
    }
    /// No field is left: neither may be a byte.
    fn finish(&mut self) -> Option<Fault> {
        let at = core::mem::replace(&mut self.at, self.end);
        (at < self.end).then(|| fault("data goes on after its last field", RULE, at))
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<Value<'m>, Fault>;
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Some((&field, rest)) = self.layout.split_first() else { return self.finish().map(Err) };
        match field {
            // Repeated to the end: text at least once, options perhaps never.
            Field::Texts | Field::Options if self.at >= self.end && (self.begun || field == Field::Options) => {
                self.layout = rest;
                return self.next();
            }
            Field::Texts if self.at >= self.end => {
                self.layout = &[];
                return Some(Err(fault("no text where there must be one", "RFC 1035 3.3.14", self.at)));
            }
            Field::Texts | Field::Options => self.begun = true,
            _ => self.layout = rest,
        }
        let read = self.read(field);
        if read.is_err() {
            (self.layout, self.at) = (&[], self.end);
        }
        Some(read)
    }
}

/// A set of record types (RFC 4034 4.1.2), which was read through once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bitmap<'m>(&'m [u8]);

impl<'m> Bitmap<'m> {
    fn read(bytes: &'m [u8], at: usize) -> Result<Self, Fault> {
        let (mut pos, mut last) = (0, None);
        while let Some(&window) = bytes.get(pos) {
            let n = usize::from(bytes.get(pos + 1).copied().unwrap_or(0));
            let block = bytes.get(pos + 2..pos + 2 + n);
            if !(1..=32).contains(&n) || block.is_none() || last.is_some_and(|l| l >= window) {
                return Err(fault("bad window of a type bitmap", "RFC 4034 4.1.2", at + pos));
            }
            last = Some(window);
            pos += 2 + n;
        }
        Ok(Bitmap(bytes))
    }
    /// The types in it, ascending.
    pub fn types(&self) -> impl Iterator<Item = Type> + 'm {
        let mut rest = self.0;
        let windows = core::iter::from_fn(move || {
            let (&[window, n], tail) = rest.split_first_chunk()?;
            let (block, tail) = tail.split_at_checked(usize::from(n))?;
            rest = tail;
            Some((window, block))
        });
        windows.flat_map(|(window, block)| {
            block.iter().zip(0u16..).flat_map(move |(bits, i)| {
                let set = (0..8u16).filter(move |bit| bits & 0x80 >> bit != 0);
                set.map(move |bit| Type(u16::from(window) << 8 | (i * 8 + bit)))
            })
        })
    }
    /// As it stands.
    pub fn bytes(&self) -> &'m [u8] {
        self.0
    }
}

/// Parameters of a SVCB or HTTPS record, which were read through once: keys ascend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SvcParams<'m>(&'m [u8]);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SvcParam<'m> {
    /// Its number (RFC 9460 14.3.2).
    pub key: u16,
    /// Its value as it stands.
    pub value: &'m [u8],
}

impl<'m> SvcParams<'m> {
    fn read(bytes: &'m [u8], at: usize) -> Result<Self, Fault> {
        let (mut pos, mut last) = (0, None);
        while pos < bytes.len() {
            let (key, n) = (be16(bytes, pos), be16(bytes, pos + 2));
            let (Some(key), Some(n)) = (key, n) else { return Err(bad_param(at + pos)) };
            let value = bytes.get(pos + 4..pos + 4 + usize::from(n)).ok_or_else(|| bad_param(at + pos))?;
            if last.is_some_and(|l| l >= key) {
                return Err(fault("parameters out of order", "RFC 9460 2.2", at + pos));
            }
            if !(SvcParam { key, value }).is_sound() {
                return Err(fault("bad value of a parameter", "RFC 9460 7", at + pos));
            }
            last = Some(key);
            pos += 4 + usize::from(n);
        }
        Ok(SvcParams(bytes))
    }
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = SvcParam<'m>> + 'm {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (&[k1, k2, n1, n2], tail) = rest.split_first_chunk()?;
            let (value, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes([n1, n2])))?;
            rest = tail;
            Some(SvcParam { key: u16::from_be_bytes([k1, k2]), value })
        })
    }
    /// As they stand.
    pub fn bytes(&self) -> &'m [u8] {
        self.0
    }
}

#[cold]
fn bad_param(at: usize) -> Fault {
    fault("parameter past the end of the data", "RFC 9460 2.2", at)
}

impl SvcParam<'_> {
    /// Its value has the form that its key asks for.
    fn is_sound(&self) -> bool {
        match (self.key, self.value) {
            (0, v) => !v.is_empty() && v.len().is_multiple_of(2) && v.chunks(2).is_sorted_by(|a, b| a < b),
            (1, v) => !v.is_empty() && texts(v).all(|t| t.is_some_and(|t| !t.is_empty())),
            (2, v) => v.is_empty(),
            (3, v) => v.len() == 2,
            (4, v) => !v.is_empty() && v.len().is_multiple_of(4),
            (5, v) => !v.is_empty(),
            (6, v) => !v.is_empty() && v.len().is_multiple_of(16),
            _ => true,
        }
    }
}

/// Counted texts one after the other; `None` once for one that is cut.
pub(super) fn texts(mut rest: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    core::iter::from_fn(move || {
        let (&n, tail) = rest.split_first()?;
        let cut = tail.split_at_checked(usize::from(n));
        rest = cut.map_or(&[], |(_, tail)| tail);
        Some(cut.map(|(text, _)| text))
    })
}
