//! Heads of requests: the request line, the fields, and what they say about the body and the connection.
//!
//! States of [`HeadReader`]: *request line* -> *fields* -> done. Each line is checked when it is whole, so a peer that
//! does not speak HTTP hears so after one line; fields are parsed once, when the empty line has come.
use super::fields::{self, Field};
use super::lines::{Bad, Lines};
use super::{Limits, Refusal};
use core::ops::Range;

/// The largest number of fields that [`Limits::fields`] can allow.
pub const MAX_FIELDS: usize = 100;

/// A method that somebody might treat specially.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Connect,
    Patch,
    /// Any other token.
    Other,
}

/// The minor versions of HTTP/1 that differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and what a later 1.x would be treated as (RFC 9110 2.5).
    Http11,
}

/// How a message's body ends (RFC 9112 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// After this many bytes; 0 without a body.
    Length(u64),
    /// With its last chunk and trailers: see [`super::Decoder`].
    Chunked,
}

/// What a request's head says. Ranges count from the request's first byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Length in bytes, with the empty line.
    pub len: usize,
    /// The method.
    pub method: Method,
    /// The request target as written.
    pub target: Range<usize>,
    /// The lines of the fields, each with its CRLF.
    pub fields: Range<usize>,
    /// The version.
    pub version: Version,
    /// Where the body ends.
    pub framing: Framing,
    /// The connection may be used for another request.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Reads one head from bytes that are shown again and again as they grow.
#[derive(Clone, Debug, Default)]
pub struct HeadReader {
    lines: Lines,
    first: Option<RequestLine>,
    fields: usize,
}

#[derive(Clone, Debug)]
struct RequestLine {
    method: Method,
    target: Range<usize>,
    version: Version,
    end: usize,
}

const TOO_LARGE: &str = "RFC 6585 5";

impl HeadReader {
    /// Goes on with `input`, which begins with the request's first byte. `None` while the head is unfinished.
    pub fn read(&mut self, input: &[u8], limits: &Limits) -> Result<Option<Head>, Refusal> {
        if self.first.is_none() {
            // Within the head's limit, so that a line that breaks both is refused for the same reason however it is cut.
            let bound = limits.request_line.saturating_add(2).min(limits.head);
            let line = self.lines.next(input, bound).map_err(|bad| match bad {
                Bad::TooLong => Refusal::new(414, "RFC 9110 15.5.15", "a request line that is too long", bound),
                Bad::BareLf(at) => bare_lf(at),
            })?;
            let Some(line) = line else { return Ok(None) };
            self.first = Some(request_line(input.get(line.clone()).unwrap_or_default(), line.end + 2)?);
        }
        loop {
            let line = self.lines.next(input, limits.head).map_err(|bad| match bad {
                Bad::TooLong => Refusal::new(431, TOO_LARGE, "a head that is too large", limits.head),
                Bad::BareLf(at) => bare_lf(at),
            })?;
            match (line, &self.first) {
                (Some(line), Some(first)) if line.is_empty() => {
                    return judge(input.get(..line.end + 2).unwrap_or_default(), first, self.fields).map(Some);
                }
                (Some(line), _) => {
                    self.fields += 1;
                    if self.fields > limits.fields.min(MAX_FIELDS) {
                        return Err(Refusal::new(431, TOO_LARGE, "too many fields", line.start));
                    }
                }
                (None, _) => return Ok(None),
            }
        }
    }
    /// Not a byte was read yet.
    pub fn is_fresh(&self) -> bool {
        self.lines.is_fresh()
    }
}

fn bare_lf(at: usize) -> Refusal {
    Refusal::new(400, "RFC 9112 2.2", "a line that ends in LF without CR", at)
}

/// method SP request-target SP HTTP-version, with nothing to spare (RFC 9112 3).
fn request_line(line: &[u8], end: usize) -> Result<RequestLine, Refusal> {
    const RULE: &str = "RFC 9112 3";
    let bad = |what, at| Err(Refusal::new(400, RULE, what, at));
    let mut words = line.splitn(3, |b| *b == b' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return bad("a request line of less than three words", 0);
    };
    let (target_at, version_at) = (method.len() + 1, method.len() + target.len() + 2);
    if !fields::is_token(method) {
        return bad("a method that is not a token", 0);
    }
    let version = version_of(version, version_at)?;
    if target.is_empty() || !target.iter().all(|b| (0x21..0x7f).contains(b) && *b != b'#') {
        return bad("a request target with characters that are not allowed", target_at);
    }
    let method = method_of(method);
    let form_ok = match (method, target.first()) {
        (Method::Connect, _) => fields::is_host(target) && target.contains(&b':'),
        (_, Some(b'/')) => true,
        (Method::Options, Some(b'*')) => target.len() == 1,
        _ => authority(target).is_some_and(fields::is_host),
    };
    if !form_ok {
        return bad("a request target of the wrong form", target_at);
    }
    Ok(RequestLine { method, target: target_at..target_at + target.len(), version, end })
}

fn version_of(text: &[u8], at: usize) -> Result<Version, Refusal> {
    match text {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Refusal::new(505, "RFC 9110 15.6.6", "a version other than HTTP/1.x", at))
        }
        _ => Err(Refusal::new(400, "RFC 9112 2.3", "a malformed version", at)),
    }
}

fn method_of(token: &[u8]) -> Method {
    match token {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        b"TRACE" => Method::Trace,
        b"CONNECT" => Method::Connect,
        b"PATCH" => Method::Patch,
        _ => Method::Other,
    }
}

/// The authority of a target in absolute form.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let colon = target.iter().position(|b| *b == b':')?;
    let (scheme, rest) = target.split_at(colon);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    rest.split(|b| matches!(b, b'/' | b'?')).next()
}

/// What the fields that matter here have said so far.
#[derive(Default)]
struct Said<'a> {
    length: Option<u64>,
    chunked: bool,
    host: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

/// Reads the fields of a whole head and decides.
fn judge(head: &[u8], first: &RequestLine, count: usize) -> Result<Head, Refusal> {
    let end = head.len();
    let section = head.get(first.end..).unwrap_or_default();
    let said = said(section, count, first.end)?;
    if said.chunked && said.length.is_some() {
        return Err(Refusal::new(400, "RFC 9112 6.3", "both Content-Length and Transfer-Encoding", end));
    }
    if said.chunked && first.version == Version::Http10 {
        return Err(Refusal::new(400, "RFC 9112 6.1", "Transfer-Encoding in HTTP/1.0", end));
    }
    if said.host.is_none() && first.version >= Version::Http11 {
        return Err(Refusal::new(400, "RFC 9112 3.2", "no Host in HTTP/1.1", end));
    }
    let named = head.get(first.target.clone()).and_then(authority);
    if let (Some(host), Some(named)) = (said.host, named)
        && !host.eq_ignore_ascii_case(named)
    {
        return Err(Refusal::new(400, "RFC 9112 3.2.2", "a Host that differs from the target's", end));
    }
    let framing = if said.chunked { Framing::Chunked } else { Framing::Length(said.length.unwrap_or(0)) };
    Ok(Head {
        len: end,
        method: first.method,
        target: first.target.clone(),
        fields: first.end..end.saturating_sub(2),
        version: first.version,
        framing,
        keep_alive: !said.close && (first.version >= Version::Http11 || said.keep_alive),
        expects_continue: said.expects_continue && first.version >= Version::Http11,
    })
}

fn said(section: &[u8], count: usize, begin: usize) -> Result<Said<'_>, Refusal> {
    let mut said = Said::default();
    fields::each(section, count, begin, |Field { name, value }| {
        let at = begin + section.len(); // fields are judged when the head is whole
        let refuse = |status, rule, what| Err(Refusal::new(status, rule, what, at));
        if name.eq_ignore_ascii_case("content-length") {
            match fields::length(value) {
                None => return refuse(400, "RFC 9110 8.6", "a malformed Content-Length"),
                Some(_) if said.length.is_some() => return refuse(400, "RFC 9112 6.3", "Content-Length given twice"),
                length => said.length = length,
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if said.chunked {
                return refuse(400, "RFC 9112 6.1", "Transfer-Encoding given twice");
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return refuse(501, "RFC 9112 6.1", "a transfer coding other than chunked");
            }
            said.chunked = true;
        } else if name.eq_ignore_ascii_case("host") {
            if said.host.is_some() {
                return refuse(400, "RFC 9112 3.2", "Host given twice");
            }
            if !fields::is_host(value) {
                return refuse(400, "RFC 9112 3.2", "a malformed Host");
            }
            said.host = Some(value);
        } else if name.eq_ignore_ascii_case("connection") {
            for option in fields::list(value) {
                said.close |= option.eq_ignore_ascii_case(b"close");
                said.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name.eq_ignore_ascii_case("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return refuse(417, "RFC 9110 10.1.1", "an expectation other than 100-continue");
            }
            said.expects_continue = true;
        }
        Ok(())
    })?;
    Ok(said)
}
