//! Heads of requests: the request line, the fields, and what they say about the body and the connection.
//!
//! States of [`HeadReader`]: *request line* -> *fields* -> done. Each line is checked when it is whole, so a peer that
//! does not speak HTTP hears so after one line; fields are parsed once, when the empty line has come.
use super::Refusal;
use super::fields;
use super::rules::Rules;
use super::section::{Said, Section};
use core::ops::Range;

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
    /// With its last chunk and trailers.
    Chunked,
    /// With the connection: answers only.
    UntilClose,
}

/// What a request's head says. Ranges count from the request's first byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
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
    /// The client offers to go on with another protocol, which its `Upgrade` field names.
    pub upgrade: bool,
}

/// Reads one head from bytes that are shown again and again as they grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadReader {
    section: Section,
    first: Option<RequestLine>,
}

#[derive(Clone, Debug)]
struct RequestLine {
    method: Method,
    target: Range<usize>,
    version: Version,
    end: usize,
}

impl HeadReader {
    /// Goes on with `input`, which begins with the request's first byte. The head's length, `None` while it is unfinished.
    pub(crate) fn read(&mut self, input: &[u8], rules: &mut Rules) -> Result<Option<usize>, Refusal> {
        if self.first.is_none() {
            let Some(line) = self.section.first(input, rules)? else { return Ok(None) };
            self.first = Some(request_line(input.get(line).unwrap_or_default(), self.section.at())?);
        }
        self.section.rest(input, rules)
    }
    /// Not a byte was read yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.section.is_fresh()
    }
    /// Makes one line of each folded one. Before [`HeadReader::judge`].
    pub(crate) fn unfold(&self, head: &mut [u8]) {
        self.section.unfold(head);
    }
    /// What the whole head says.
    pub(crate) fn judge(&self, head: &[u8], rules: &mut Rules) -> Result<Head, Refusal> {
        match &self.first {
            Some(first) => judge(head, first, self.section.count(), rules),
            None => Err(Refusal::new(400, "RFC 9112 3", "no request line", 0)),
        }
    }
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

/// Reads the fields of a whole head and decides.
fn judge(head: &[u8], first: &RequestLine, count: usize, rules: &mut Rules) -> Result<Head, Refusal> {
    let end = head.len();
    let section = head.get(first.end..).unwrap_or_default();
    let mut said = Said::read(section, count, first.end, true, rules)?;
    let refuse = |rule, what| Err(Refusal::new(400, rule, what, end));
    let framing = said.framing(first.version, end, rules)?.unwrap_or(Framing::Length(0));
    if said.host.is_none() && first.version >= Version::Http11 {
        return refuse("RFC 9112 3.2", "no Host in HTTP/1.1");
    }
    let named = head.get(first.target.clone()).and_then(authority);
    if let (Some(host), Some(named)) = (said.host, named)
        && !host.eq_ignore_ascii_case(named)
    {
        return refuse("RFC 9112 3.2.2", "a Host that differs from the target's");
    }
    if first.method == Method::Connect && framing != Framing::Length(0) {
        return refuse("RFC 9110 9.3.6", "a request for a tunnel with a body");
    }
    Ok(Head {
        len: end,
        method: first.method,
        target: first.target.clone(),
        fields: first.end..end,
        version: first.version,
        framing,
        keep_alive: said.keeps(first.version),
        expects_continue: said.expects_continue && first.version >= Version::Http11,
        upgrade: said.upgrade && said.says_upgrade && first.version >= Version::Http11,
    })
}
