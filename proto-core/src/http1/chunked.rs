//! The chunked transfer coding (RFC 9112 7.1), decoded without copying.
//!
//! States: *size line* -> *data* -> *its CRLF* -> *size line* ... -> *trailers* (after size 0) -> over.
//! Extensions are checked against the grammar and dropped; white space outside of quotes is refused, though the
//! grammar calls it merely bad. Trailers are checked; one that would change the framing is refused.
use super::Refusal;
use super::fields::{self, is_token};
use super::lines::{Bad, Lines};
use super::rules::{MAX_FIELDS, Rules};
use core::ops::Range;

/// What comes next in the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Part {
    /// The input ends within something: show it again together with more.
    NeedMore,
    /// This many bytes of framing.
    Framing(usize),
    /// This many bytes of content.
    Data(usize),
    /// This many bytes of framing, the last of the body.
    End(usize),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size(Lines),
    Data(u64),
    DataEnd,
    Trailers(Lines, usize),
    Over,
}

/// Decodes one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder {
    state: State,
    content: u64,
    framing: u64,
    extensions: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder { state: State::Size(Lines::default()), content: 0, framing: 0, extensions: 0 }
    }
}

/// Names that may not appear in trailers, since they frame, route, guard or steer the message (RFC 9110 6.5.1).
pub(crate) const NOT_IN_TRAILERS: [&str; 27] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

const RULE: &str = "RFC 9112 7.1";

impl Decoder {
    /// The next part of `input`, which begins behind the last part. Refusals count from there too.
    pub(crate) fn next(&mut self, input: &[u8], rules: &mut Rules) -> Result<Part, Refusal> {
        let part = match &mut self.state {
            State::Size(lines) => {
                let bound = rules.config.limits.chunk_line.saturating_add(2);
                let line = match lines.next(input, bound) {
                    Ok(Some(line)) => line,
                    Ok(None) => return Ok(Part::NeedMore),
                    Err(Bad::TooLong) => {
                        return Err(Refusal::new(400, RULE, "a chunk's size line that is too long", bound));
                    }
                    Err(Bad::BareLf(at)) => {
                        bare_lf(lines, at, RULE, "a chunk's size line that ends in LF without CR", rules)?
                    }
                };
                let (used, line) = (lines.at(), input.get(line).unwrap_or_default());
                let (size, extensions) = size_of(line)?;
                self.extensions += extensions as u64;
                if self.extensions > rules.config.limits.chunk_extensions {
                    return Err(Refusal::new(400, RULE, "too many chunk extensions", used));
                }
                self.content = self.content.saturating_add(size);
                if self.content > rules.config.limits.body {
                    return Err(Refusal::new(413, "RFC 9110 15.5.14", "a body that is too large", used));
                }
                self.state = if size > 0 { State::Data(size) } else { State::Trailers(Lines::default(), 0) };
                Part::Framing(used)
            }
            State::Data(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                if n == 0 {
                    return Ok(Part::NeedMore);
                }
                *left -= n as u64;
                if *left == 0 {
                    self.state = State::DataEnd;
                }
                Part::Data(n)
            }
            State::DataEnd => match input {
                [] | [b'\r'] => return Ok(Part::NeedMore),
                [b'\r', b'\n', ..] => {
                    self.state = State::Size(Lines::default());
                    Part::Framing(2)
                }
                [b'\n', ..] if rules.config.lenient.bare_lf => {
                    rules.forgive(true, Refusal::new(400, RULE, "chunk data followed by LF without CR", 0))?;
                    self.state = State::Size(Lines::default());
                    Part::Framing(1)
                }
                _ => return Err(Refusal::new(400, RULE, "chunk data that is not followed by CRLF", 0)),
            },
            State::Trailers(lines, count) => match trailers(lines, count, input, rules)? {
                Some(n) => {
                    self.state = State::Over;
                    Part::End(n)
                }
                None => return Ok(Part::NeedMore),
            },
            State::Over => Part::End(0),
        };
        self.count(part, rules)?;
        Ok(part)
    }
    fn count(&mut self, part: Part, rules: &Rules) -> Result<(), Refusal> {
        if let Part::Framing(n) = part {
            self.framing += n as u64;
            if self.framing > rules.config.limits.chunk_framing.saturating_add(self.content) {
                return Err(Refusal::new(413, "RFC 9110 15.5.14", "more chunk framing than allowed", n));
            }
        }
        Ok(())
    }
}

/// chunk-size [ chunk-ext ]: the size, and how long the extensions are.
fn size_of(line: &[u8]) -> Result<(u64, usize), Refusal> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    if !(1..=16).contains(&digits) {
        return Err(Refusal::new(400, RULE, "a chunk size that is not 1 to 16 hexadecimal digits", 0));
    }
    if !are_extensions(extensions) {
        return Err(Refusal::new(400, "RFC 9112 7.1.1", "a malformed chunk size or extension", digits));
    }
    let digit = |b: &u8| u64::from(char::from(*b).to_digit(16).unwrap_or(0));
    Ok((size.iter().fold(0, |n, b| n << 4 | digit(b)), extensions.len()))
}

/// Goes on behind a line that ends in LF alone, if that is forgiven.
fn bare_lf(
    lines: &mut Lines,
    at: usize,
    rule: &'static str,
    what: &'static str,
    rules: &mut Rules,
) -> Result<Range<usize>, Refusal> {
    rules.forgive(rules.config.lenient.bare_lf, Refusal::new(400, rule, what, at))?;
    Ok(lines.take_bare(at))
}

/// *( ";" name [ "=" ( token / quoted-string ) ] )
fn are_extensions(mut rest: &[u8]) -> bool {
    while let Some(after) = rest.strip_prefix(b";") {
        let name = after.iter().position(|b| matches!(b, b';' | b'=')).unwrap_or(after.len());
        let (name, after) = after.split_at(name);
        if !is_token(name) {
            return false;
        }
        rest = match after.strip_prefix(b"=") {
            None => after,
            Some(value) => match quoted(value) {
                Some(n) => value.get(n..).unwrap_or_default(),
                None => {
                    let (token, after) = value.split_at(value.iter().position(|b| *b == b';').unwrap_or(value.len()));
                    if !is_token(token) {
                        return false;
                    }
                    after
                }
            },
        };
    }
    rest.is_empty()
}

/// The length of a quoted string at the front (RFC 9110 5.6.4).
fn quoted(value: &[u8]) -> Option<usize> {
    let mut bytes = value.iter().enumerate();
    bytes.next().filter(|(_, b)| **b == b'"')?;
    while let Some((i, b)) = bytes.next() {
        let text = |b: u8| matches!(b, b'\t' | b' '..=b'~' | 0x80..);
        match b {
            b'"' => return Some(i + 1),
            b'\\' if bytes.next().is_some_and(|(_, b)| text(*b)) => {}
            b if text(*b) && *b != b'\\' => {}
            _ => return None,
        }
    }
    None
}

/// The length of the trailer section with its empty line.
fn trailers(lines: &mut Lines, count: &mut usize, input: &[u8], rules: &mut Rules) -> Result<Option<usize>, Refusal> {
    const RULE: &str = "RFC 9112 7.1.2";
    loop {
        let most = rules.config.limits.trailers;
        let line = match lines.next(input, most) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(Bad::TooLong) => return Err(Refusal::new(431, "RFC 6585 5", "trailers that are too large", most)),
            Err(Bad::BareLf(at)) => bare_lf(lines, at, RULE, "a trailer line that ends in LF without CR", rules)?,
        };
        if line.is_empty() {
            let (end, section) = (lines.at(), input.get(..lines.at()).unwrap_or_default());
            fields::each(section, *count, 0, rules, |field, _| {
                if NOT_IN_TRAILERS.iter().any(|n| n.eq_ignore_ascii_case(field.name)) {
                    return Err(Refusal::new(400, "RFC 9110 6.5.1", "a field that may not be a trailer", end));
                }
                Ok(())
            })?;
            return Ok(Some(end));
        }
        *count += 1;
        if *count > rules.config.limits.trailer_fields.min(MAX_FIELDS) {
            return Err(Refusal::new(431, "RFC 6585 5", "too many trailers", line.start));
        }
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
