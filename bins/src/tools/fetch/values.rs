//! Values of the client's flags.
use crate::outcome::Failure;
use crate::text::Escaped;
use crate::via::Proxy;
use core::net::IpAddr;
use proto_core::http1::FieldBlock;

/// A method: a token (RFC 9110 5.6.2).
pub fn method(s: &str) -> Result<String, String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !s.is_empty() && s.bytes().all(fine) && s != "CONNECT" {
        Ok(s.into())
    } else {
        Err(format!("'{}' is not a method such as GET or PUT", Escaped(s.as_bytes())))
    }
}

/// Text that goes into a header.
pub fn text(s: &str) -> Result<String, String> {
    let bad = |c: char| c.is_control() && c != '\t';
    if s.chars().any(bad) { Err(format!("'{}': a control character", Escaped(s.as_bytes()))) } else { Ok(s.into()) }
}

/// `NAME: VALUE`; `NAME:` alone takes it away, `NAME;` is an empty one.
pub fn field(s: &str) -> Result<(String, Option<String>), String> {
    let bad = |why: &str| format!("'{}': {why}", Escaped(s.as_bytes()));
    let (name, value) = match (s.split_once(':'), s.strip_suffix(';')) {
        (Some((name, value)), _) => (name, Some(value.trim()).filter(|v| !v.is_empty())),
        (None, Some(name)) => (name, Some("")),
        (None, None) => return Err(bad("a header is NAME: VALUE")),
    };
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("content-length") || is("transfer-encoding") {
        return Err(bad("the client writes this one itself"));
    }
    if is("host") && value.is_none_or(str::is_empty) {
        return Err(bad("a request has a Host"));
    }
    let checked = if is("connection") { "X" } else { name };
    FieldBlock::new(&[(checked, value.unwrap_or_default().as_bytes())]).map_err(|e| bad(e.0))?;
    Ok((name.into(), value.map(String::from)))
}

/// Bytes per second, at least one.
pub fn rate(s: &str) -> Result<u64, String> {
    match crate::cli::size(s)? {
        0 => Err("a rate is at least 1 byte per second".into()),
        n => Ok(n as u64),
    }
}

/// `HOST:PORT:ADDRESS`.
pub fn resolve(s: &str) -> Result<(String, u16, IpAddr), String> {
    let bad = || format!("'{}' is not HOST:PORT:ADDRESS", Escaped(s.as_bytes()));
    let (host, rest) = s.split_once(':').ok_or_else(bad)?;
    let (port, ip) = rest.split_once(':').ok_or_else(bad)?;
    let ip = ip.trim_matches(['[', ']']).parse().map_err(|_| bad())?;
    if host.is_empty() { Err(bad()) } else { Ok((host.to_ascii_lowercase(), crate::cli::port(port)?, ip)) }
}

/// A variable of the environment, in small letters or large ones.
pub fn env(name: &str) -> Option<String> {
    // In a CGI program the large ones of `http_proxy` are a header of the request (CVE-2016-5385).
    let cgi = std::env::var_os("REQUEST_METHOD").is_some();
    let large = || if cgi && name == "http_proxy" { None } else { std::env::var(name.to_uppercase()).ok() };
    std::env::var(name).ok().or_else(large).filter(|v| !v.is_empty())
}

/// The proxy that the environment names.
pub fn env_proxy(name: &str) -> Result<Option<Proxy>, Failure> {
    env(name).map(|v| Proxy::parse(&v).map_err(|e| Failure::usage(format!("{name}: {e}")))).transpose()
}
