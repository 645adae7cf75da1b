//! Fields of a head or a trailer section: their syntax, and the values that decide where a message ends.
use super::Refusal;
use super::rules::{MAX_FIELDS, Rules};

/// A field: name as written, value without the white space around it.
pub type Field<'a> = httparse::Header<'a>;

const SYNTAX: &str = "RFC 9112 5";

/// Calls `f` for each of `count` fields. `section` is their lines and the empty line; `at` is where it begins.
pub(crate) fn each<'a>(
    section: &'a [u8],
    count: usize,
    at: usize,
    rules: &mut Rules,
    f: impl FnMut(Field<'a>, &mut Rules) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    // Most heads have few fields: a small table is cheaper to prepare.
    if count <= 16 { each_of::<16>(section, at, rules, f) } else { each_of::<MAX_FIELDS>(section, at, rules, f) }
}

fn each_of<'a, const N: usize>(
    section: &'a [u8],
    at: usize,
    rules: &mut Rules,
    mut f: impl FnMut(Field<'a>, &mut Rules) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut table = [httparse::EMPTY_HEADER; N];
    let refusal = match httparse::parse_headers(section, &mut table) {
        Ok(httparse::Status::Complete((n, fields))) if n == section.len() => {
            return fields.iter().try_for_each(|field| f(*field, rules));
        }
        Ok(_) => Refusal::new(400, SYNTAX, "a bare CR or LF among the fields", at),
        Err(e) => Refusal::new(400, SYNTAX, what(e), at + bad_line(section)),
    };
    // Only white space before the colon can be forgiven: everything else is checked as ever.
    if !rules.config.lenient.space_before_colon || !Fields::new(section).all(|f| is_field(&f)) {
        return Err(refusal);
    }
    rules.forgive(true, Refusal { rule: "RFC 9112 5.1", what: "white space before a colon", ..refusal })?;
    Fields::new(section).try_for_each(|field| f(field, rules))
}

fn is_field(field: &Field<'_>) -> bool {
    is_token(field.name.as_bytes()) && is_value(field.value)
}

/// What a field's value may hold: no control characters but the tab (RFC 9110 5.5).
pub(crate) fn is_value(value: &[u8]) -> bool {
    value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~' | 0x80..))
}

/// The fields of a head or trailer section that was found to be correct, in their order.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// `lines`: each with its end, and perhaps the empty line.
    pub(crate) fn new(lines: &'a [u8]) -> Self {
        Fields { rest: lines }
    }
    /// The value of the first field of this name, in any case of letters.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.clone().find(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value)
    }
    /// The values of all fields of this name.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.clone().filter(move |f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value)
    }
    /// A comma-separated list, over all fields of this name, has this member, in any case of letters.
    pub fn lists(&self, name: &str, member: &str) -> bool {
        self.values(name).any(|v| list(v).any(|m| m.eq_ignore_ascii_case(member.as_bytes())))
    }
    /// The lines as they came.
    pub fn raw(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;
    fn next(&mut self) -> Option<Field<'a>> {
        let lf = memchr::memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at(lf + 1);
        let colon = memchr::memchr(b':', line);
        if colon.is_none() && matches!(line, b"\r\n" | b"\n") {
            return None;
        }
        self.rest = rest;
        let line = line.get(..lf).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (name, value) = line.split_at(colon.unwrap_or(0).min(line.len()));
        let name = name.strip_suffix(b" ").map_or(name, |_| name.trim_ascii_end());
        let name = name.strip_suffix(b"\t").map_or(name, |_| name.trim_ascii_end());
        Some(Field {
            name: core::str::from_utf8(name).unwrap_or_default(),
            value: trim(value.get(1..).unwrap_or_default()),
        })
    }
}

/// Without spaces and tabs around it: nothing else is white space here, so nothing else is taken off.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn what(e: httparse::Error) -> &'static str {
    match e {
        httparse::Error::HeaderName => "a field line that does not begin with a name and a colon",
        httparse::Error::HeaderValue => "a control character in a field value",
        _ => "a malformed field line",
    }
}

/// Where the first malformed line begins: each is read once more, alone.
fn bad_line(section: &[u8]) -> usize {
    let mut start = 0;
    while let Some(lf) = memchr::memchr(b'\n', section.get(start..).unwrap_or_default()) {
        let line = section.get(start..=start + lf).unwrap_or_default();
        let alone = [line, b"\r\n"].concat();
        if httparse::parse_headers(&alone, &mut [httparse::EMPTY_HEADER; 1]).is_err() {
            break;
        }
        start += lf + 1;
    }
    start
}

/// A `Content-Length`: decimal digits, no sign, no list, no leading zero (which some read as octal).
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 1 && value.first() == Some(&b'0') {
        return None;
    }
    value.iter().try_fold(0u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// The members of a comma-separated list.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trim).filter(|m| !m.is_empty())
}

/// A host and maybe a port (RFC 9110 7.2): no user, no path, no white space, not empty.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (name_ok, port) = match value.strip_prefix(b"[") {
        Some(rest) => match rest.iter().position(|b| *b == b']') {
            Some(i) => {
                let (inner, port) = rest.split_at(i);
                let inner_ok = inner.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
                (inner.len() >= 2 && inner_ok, port.get(1..).unwrap_or_default())
            }
            None => return false,
        },
        None => {
            let (name, port) = value.split_at(value.iter().position(|b| *b == b':').unwrap_or(value.len()));
            (!name.is_empty() && name.iter().all(|b| is_name_byte(*b)), port)
        }
    };
    name_ok && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port))
}

/// Of a registered name (RFC 3986 3.2.2).
fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b)
}

/// An empty port is the default one (RFC 3986 3.2.3).
fn is_port(digits: &[u8]) -> bool {
    let n = digits.iter().try_fold(0u32, |n, b| {
        let n = n * 10 + b.is_ascii_digit().then(|| u32::from(b - b'0'))?;
        (n <= 65_535).then_some(n)
    });
    digits.len() <= 5 && n.is_some()
}

/// Of a token (RFC 9110 5.6.2): methods, field names, names of extensions.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (text, want) in [("0", Some(0)), ("5", Some(5)), ("18446744073709551615", Some(u64::MAX))] {
            assert_eq!(length(text.as_bytes()), want);
        }
        for text in ["", "+5", "-0", "0x5", "010", "00", "5,5", "5, 6", "1_0", "5 5", "5.", "18446744073709551616"] {
            assert_eq!(length(text.as_bytes()), None, "{text}");
        }
        assert_eq!(length(&[b'9'; 300]), None);
    }

    #[test]
    fn hosts() {
        for good in ["a", "localhost:9000", "127.0.0.1", "[::1]:80", "[::]", "a-b.example", "a:", "a:65535"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a/b", "a/@b", "a?x", "u@a", "a:99999", "a:65536", "a:8x", "a:1:2", "[::1", "[]",
            "[g::]", "[::1]x", "a:000080", "\u{e4}",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn the_bad_line_is_found() {
        assert_eq!(bad_line(b"a: 1\r\nb : 2\r\nc: 3\r\n\r\n"), 6);
        assert_eq!(bad_line(b" a: 1\r\n\r\n"), 0);
    }
}
