//! Names in certificates: of subjects and issuers, and alternative ones.
use super::{Der, IpAddr, Malformed, OID, SEQUENCE, SET, String, Value, Vec, oid};
use core::fmt::{self, Write};

/// A distinguished name. As text: `CN=www.example.com, O=Example`, the common name first, escaped.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    body: Value<'a>,
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.body.body == other.body.body
    }
}
impl Eq for Name<'_> {}

const CN: &[u8] = &[0x55, 4, 3];
/// Characters of a name that are shown.
const SHOWN: usize = 256;

impl<'a> Name<'a> {
    pub(super) fn new(body: Value<'a>) -> Self {
        Name { body }
    }
    /// The encoded name, for comparing.
    pub fn raw(&self) -> &'a [u8] {
        self.body.whole
    }
    /// Types and values, as far as they can be read.
    fn attributes(&self) -> Vec<(&'a [u8], String)> {
        let mut all = Vec::new();
        let mut sets = self.body.inner();
        while let Ok(set) = sets.take(SET, "a part of a name") {
            let mut parts = set.inner();
            while let Ok(pair) = parts.take(SEQUENCE, "an attribute") {
                let mut pair = pair.inner();
                if let (Ok(kind), Ok(value)) = (pair.take(OID, "a type"), pair.any("a value")) {
                    all.push((kind.body, text(value)));
                }
            }
        }
        all
    }
    /// The common name, as it is.
    pub fn common(&self) -> Option<String> {
        self.attributes().into_iter().rfind(|(kind, _)| *kind == CN).map(|(_, value)| value)
    }
    /// The values of the organizational units.
    pub fn units(&self) -> Vec<String> {
        self.attributes().into_iter().filter(|(kind, _)| *kind == [0x55, 4, 11]).map(|(_, v)| v).collect()
    }
    /// The common name as `CN=...`, or all there is if there is none.
    pub fn short(&self) -> String {
        match self.common() {
            Some(cn) => {
                let mut text = String::from("CN=");
                escape(&cn, &mut text);
                text
            }
            None => alloc::format!("{self}"),
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.attributes();
        all.sort_by_key(|(kind, _)| *kind != CN); // stable: the others keep their order
        let mut out = String::new();
        for (i, (kind, value)) in all.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            match kind {
                [0x55, 4, 3] => out.push_str("CN"),
                [0x55, 4, 6] => out.push('C'),
                [0x55, 4, 7] => out.push('L'),
                [0x55, 4, 8] => out.push_str("ST"),
                [0x55, 4, 10] => out.push('O'),
                [0x55, 4, 11] => out.push_str("OU"),
                [0x55, 4, 5] => out.push_str("serialNumber"),
                [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => out.push_str("emailAddress"),
                other => out.push_str(&oid(other)),
            }
            out.push('=');
            escape(value, &mut out);
        }
        f.write_str(if out.is_empty() { "(no name)" } else { &out })
    }
}

/// What could move a cursor, or is longer than a name, is not shown.
fn escape(value: &str, out: &mut String) {
    for c in value.chars().take(SHOWN) {
        if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            let _ = write!(out, "\\u{{{:x}}}", c as u32); // a String takes everything
        } else {
            out.push(c);
        }
    }
    if value.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
}

fn text(v: Value<'_>) -> String {
    match v.tag {
        // BMPString: two bytes a character.
        0x1e => {
            let units: Vec<u16> =
                v.body.chunks_exact(2).map(|p| p.iter().fold(0, |n, b| n << 8 | u16::from(*b))).collect();
            String::from_utf16_lossy(&units)
        }
        // T61String, as everybody reads it: Latin 1.
        0x14 => v.body.iter().map(|b| char::from(*b)).collect(),
        _ => String::from_utf8_lossy(v.body).into_owned(),
    }
}

/// An alternative name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum San<'a> {
    /// A host name, perhaps with a wildcard.
    Dns(&'a str),
    /// An address.
    Ip(IpAddr),
    /// A mailbox.
    Email(&'a str),
    /// A URI.
    Uri(&'a str),
    /// A name of another kind, or one that cannot be read, by tag.
    Other(u8),
}

impl fmt::Display for San<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, value) = match self {
            San::Dns(s) => ("DNS", *s),
            San::Email(s) => ("email", *s),
            San::Uri(s) => ("URI", *s),
            San::Ip(ip) => return write!(f, "IP:{ip}"),
            San::Other(tag) => return write!(f, "other:{tag:#04x}"),
        };
        let mut out = String::new();
        escape(value, &mut out);
        write!(f, "{kind}:{out}")
    }
}

pub(super) fn alternatives(mut value: Der<'_>) -> Result<Vec<San<'_>>, Malformed> {
    let mut inner = value.take(SEQUENCE, "alternative names")?.inner();
    let mut all = Vec::new();
    while !inner.is_empty() {
        let v = inner.any("an alternative name")?;
        let ascii = core::str::from_utf8(v.body).ok().filter(|s| s.is_ascii());
        all.push(match (v.tag, ascii) {
            (0x81, Some(s)) => San::Email(s),
            (0x82, Some(s)) => San::Dns(s),
            (0x86, Some(s)) => San::Uri(s),
            (0x87, _) => match (<[u8; 4]>::try_from(v.body), <[u8; 16]>::try_from(v.body)) {
                (Ok(v4), _) => San::Ip(IpAddr::from(v4)),
                (_, Ok(v6)) => San::Ip(IpAddr::from(v6)),
                _ => San::Other(v.tag),
            },
            (tag, _) => San::Other(tag),
        });
    }
    Ok(all)
}
