//! URLs of HTTP (RFC 3986, RFC 9110 4.2): where to connect, what to ask for, and what a redirect leads to.
//!
//! One reading serves for checks and for connecting, so no check can be talked around by another spelling: names become
//! ASCII (UTS 46), and every notation of an IPv4 address becomes the usual one.
use core::fmt;
use core::net::IpAddr;
use url::Host;

/// `http` or `https`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it is written.
    pub fn name(self) -> &'static str {
        if self == Scheme::Http { "http" } else { "https" }
    }
    /// The port that goes without saying.
    pub fn port(self) -> u16 {
        if self == Scheme::Http { 80 } else { 443 }
    }
}

/// Who answers: what must be the same for secrets to be sent again (RFC 6454).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Origin {
    /// The scheme.
    pub scheme: Scheme,
    /// In ASCII and lower case; IPv6 without brackets.
    pub host: String,
    /// The port, said or not.
    pub port: u16,
}

/// A URL that can be fetched. Its fragment is dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// Scheme, host and port.
    pub origin: Origin,
    /// Name and password, percent-decoded.
    pub user: Option<(String, String)>,
    /// Path and query, beginning with `/`.
    pub target: String,
}

/// Why a text is no URL that can be fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bad {
    /// What is wrong, at which character, counted from 1.
    Malformed(usize, &'static str),
    /// A scheme that is neither of the two.
    Scheme(String),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bad::Malformed(column, why) => write!(f, "malformed URL at column {column}: {why}"),
            Bad::Scheme(s) => {
                write!(f, "unsupported scheme '{}' (there are http and https)", crate::text::Escaped(s.as_bytes()))
            }
        }
    }
}

/// Longest URL.
const MAX: usize = 16 << 10;

impl Address {
    /// Reads a URL; without a scheme it is `http`. `as_is` keeps `.` and `..` in the path.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn parse(text: &str, as_is: bool) -> Result<Address, Bad> {
        // Bytes become columns, as a person counts them.
        let bad = |at: usize, why| Err(Bad::Malformed(text.get(..at).map_or(at, |t| t.chars().count()) + 1, why));
        if text.len() > MAX {
            return bad(MAX, "longer than 16 KiB");
        }
        if let Some(at) = text.find(|c: char| c.is_control() || c.is_whitespace()) {
            return bad(at, "a space or control character");
        }
        let (scheme, from) = scheme(text)?;
        let rest = text.get(from..).unwrap_or_default();
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user, at) = match authority.rfind('@') {
            Some(at) => (authority.get(..at), at + 1),
            None => (None, 0),
        };
        let host_port = authority.get(at..).unwrap_or_default();
        let colon = host_port.rfind(':').filter(|c| !host_port.get(*c..).unwrap_or_default().contains(']'));
        let (host, port) = match colon {
            Some(c) => (host_port.get(..c).unwrap_or_default(), host_port.get(c + 1..)),
            None => (host_port, None),
        };
        let port = match port {
            None | Some("") => scheme.port(),
            Some(digits) => match number(digits) {
                Some(n) => n,
                None => return bad(from + at + host.len() + 1, "bad port"),
            },
        };
        if host.is_empty() {
            return bad(from + at, "no host");
        }
        let Some(host) = ascii(host) else { return bad(from + at, "bad host") };
        let user = match user.map(|u| u.split_once(':').unwrap_or((u, ""))) {
            None => None,
            Some((name, password)) => match (decode(name), decode(password)) {
                (Some(name), Some(password)) => Some((name, password)),
                _ => return bad(from, "a user name that is not text"),
            },
        };
        Ok(Address { origin: Origin { scheme, host, port }, user, target: target(tail, as_is) })
    }
    /// Where a redirect leads (RFC 3986 5.2).
    ///
    /// # Errors
    /// [`Bad`].
    pub fn join(&self, location: &str, as_is: bool) -> Result<Address, Bad> {
        // Seen in the wild, and browsers take it: spaces that are not encoded.
        let location = location.trim().replace(' ', "%20");
        let o = &self.origin;
        let base = format!("{}://{}", o.scheme.name(), o.authority());
        let path = self.target.split('?').next().unwrap_or_default();
        let folder = path.get(..path.rfind('/').map_or(0, |i| i + 1)).unwrap_or("/");
        let relative = location.split(['/', '?', '#']).next().is_none_or(|first| !first.contains(':'));
        match location.as_bytes() {
            [] | [b'#', ..] => Ok(Address { user: None, ..self.clone() }),
            [b'/', b'/', ..] => Address::parse(&format!("{}:{location}", o.scheme.name()), as_is),
            [b'/', ..] => Address::parse(&format!("{base}{location}"), as_is),
            [b'?', ..] => Address::parse(&format!("{base}{path}{location}"), as_is),
            _ if relative => Address::parse(&format!("{base}{folder}{location}"), as_is),
            _ if location.contains("://") => Address::parse(&location, as_is),
            _ => Err(Bad::Scheme(location.split(':').next().unwrap_or_default().into())),
        }
    }
    /// Only the path.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

impl Origin {
    /// Whether the URL that it was read from said the port.
    pub fn has_port(&self, url: &str) -> bool {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let other = if scheme.eq_ignore_ascii_case("https") { "http" } else { "https" };
        // One that goes with the scheme changes with it.
        Address::parse(&format!("{other}://{rest}"), false).is_ok_and(|a| a.origin.port == self.port)
    }
    /// The value of `Host`: without the port that goes without saying.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.port() { self.bracketed() } else { format!("{}:{}", self.bracketed(), self.port) }
    }
    /// Host and port, always.
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }
    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
    /// The host, if it is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.origin.scheme.name(), self.origin.authority(), self.target)
    }
}

/// The scheme, and where the rest begins.
fn scheme(text: &str) -> Result<(Scheme, usize), Bad> {
    let Some((name, _)) = text.split_once("://") else {
        let word = text.split(':').next().unwrap_or_default();
        let known = ["file", "ftp", "data", "javascript", "mailto", "gopher", "about", "ws", "wss"];
        let follows =
            text.get(word.len() + 1..).is_some_and(|rest| number(rest.split('/').next().unwrap_or("")).is_none());
        return if follows && known.contains(&word.to_ascii_lowercase().as_str()) {
            Err(Bad::Scheme(word.into()))
        } else {
            Ok((Scheme::Http, 0))
        };
    };
    // A host such as `a/b://c` has no scheme.
    if name.is_empty() || name.contains(['/', '?', '#', '@']) {
        return Ok((Scheme::Http, 0));
    }
    let from = name.len() + 3;
    match name.to_ascii_lowercase().as_str() {
        "http" => Ok((Scheme::Http, from)),
        "https" => Ok((Scheme::Https, from)),
        _ => Err(Bad::Scheme(name.into())),
    }
}

fn number(digits: &str) -> Option<u16> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn ascii(host: &str) -> Option<String> {
    if host.contains('%') {
        return None; // neither encoded names nor zones of IPv6 have a form that all peers read alike
    }
    match Host::parse(host).ok()? {
        Host::Domain(name) => {
            // A label is a host's (RFC 1123): what is more would be a name that only some resolvers know.
            let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            (name.len() <= 254 && name.bytes().all(fine)).then_some(name)
        }
        Host::Ipv4(ip) => Some(ip.to_string()),
        Host::Ipv6(ip) => Some(ip.to_string()),
    }
}

/// Percent-decodes; control characters are not let through.
pub fn decode(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        out.push(match b {
            b'%' => (digit(rest.next())? * 16 + digit(rest.next())?) as u8,
            b => b,
        });
    }
    String::from_utf8(out).ok().filter(|t| !t.chars().any(char::is_control))
}

/// Path and query as they are sent: what is not ASCII is encoded, everything else is as it was given.
fn target(tail: &str, as_is: bool) -> String {
    let tail = tail.split('#').next().unwrap_or_default();
    let (path, query) = tail.split_once('?').map_or((tail, None), |(p, q)| (p, Some(q)));
    let path = if path.is_empty() { "/" } else { path };
    let path = if as_is { path.to_string() } else { without_dots(path) };
    let all = query.map_or(path.clone(), |q| format!("{path}?{q}"));
    let mut out = String::with_capacity(all.len());
    for b in all.bytes() {
        if b.is_ascii() { out.push(char::from(b)) } else { out.push_str(&format!("%{b:02X}")) }
    }
    out
}

/// RFC 3986 5.2.4. Encoded dots count as dots, as in every browser.
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = segment.to_ascii_lowercase().replace("%2e", ".");
        let last = segments.peek().is_none();
        match dots.as_str() {
            "." => {}
            ".." => {
                out.pop();
            }
            _ => {
                out.push(segment);
                continue;
            }
        }
        if last {
            out.push("");
        }
    }
    format!("/{}", out.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, Bad> {
        Address::parse(text, false)
    }
    fn shown(text: &str) -> String {
        parse(text).map_or_else(|e| e.to_string(), |a| a.to_string())
    }

    #[test]
    fn urls() {
        for (text, what) in [
            ("example.com", "http://example.com/"),
            ("localhost:8080/a", "http://localhost:8080/a"),
            ("HTTP://EXAMPLE.com:80?q#f", "http://example.com/?q"),
            ("https://a:443/%41%2f?x=%zz", "https://a/%41%2f?x=%zz"),
            ("http://a/b/../c/./d", "http://a/c/d"),
            ("http://a/../../x", "http://a/x"),
            ("http://a/b/%2E%2e/c/..", "http://a/"),
            ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("http://[::1]:8080/", "http://[::1]:8080/"),
            ("http://user:p%40ss@h/", "http://h/"),
            ("http://a.b\u{3002}c/", "http://a.b.c/"),
        ] {
            assert_eq!(shown(text), what, "{text}");
        }
        assert_eq!(parse("http://u:p%40s@h").unwrap().user, Some(("u".into(), "p@s".into())));
        assert_eq!(Address::parse("http://a/b/../c", true).unwrap().target, "/b/../c");
    }

    #[test]
    fn what_is_no_url_is_named_with_its_place() {
        for (text, what) in [
            ("http://a:x/", "malformed URL at column 10: bad port"),
            ("http://:x", "malformed URL at column 9: bad port"),
            ("http://a:65536/", "malformed URL at column 10: bad port"),
            ("http://a:+1/", "malformed URL at column 10: bad port"),
            ("http:///x", "malformed URL at column 8: no host"),
            ("", "malformed URL at column 1: no host"),
            ("http://a/b c", "malformed URL at column 11: a space or control character"),
            ("http://a/\r\nX: y", "malformed URL at column 10: a space or control character"),
            ("http://ü/\0", "malformed URL at column 10: a space or control character"),
            ("http://a b/", "malformed URL at column 9: a space or control character"),
            ("http://[::1/", "malformed URL at column 8: bad host"),
            ("http://[fe80::1%eth0]/", "malformed URL at column 8: bad host"),
            ("http://a<b/", "malformed URL at column 8: bad host"),
            ("http://%0d%0aX/", "malformed URL at column 8: bad host"),
            ("http://u%0a@h/", "malformed URL at column 8: a user name that is not text"),
            ("ftp://a/", "unsupported scheme 'ftp' (there are http and https)"),
            ("file:///etc/passwd", "unsupported scheme 'file' (there are http and https)"),
            ("javascript:alert(1)", "unsupported scheme 'javascript' (there are http and https)"),
        ] {
            assert_eq!(shown(text), what, "{text:?}");
        }
    }

    #[test]
    fn redirects_are_relative_to_where_they_came_from() {
        let base = parse("http://a:81/b/c/d?q").unwrap();
        for (location, what) in [
            ("e", "http://a:81/b/c/e"),
            ("../e", "http://a:81/b/e"),
            ("/e f", "http://a:81/e%20f"),
            ("?r", "http://a:81/b/c/d?r"),
            ("//h/x", "http://h/x"),
            ("https://h/x#f", "https://h/x"),
            ("", "http://a:81/b/c/d?q"),
            ("x:y", "unsupported scheme 'x' (there are http and https)"),
            ("file:///etc/passwd", "unsupported scheme 'file' (there are http and https)"),
            ("a/b:c", "http://a:81/b/c/a/b:c"),
        ] {
            let got = base.join(location, false).map_or_else(|e| e.to_string(), |a| a.to_string());
            assert_eq!(got, what, "{location}");
        }
    }
}
