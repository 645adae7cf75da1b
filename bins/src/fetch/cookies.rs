//! Cookies (RFC 6265), and the file format that curl, wget and browsers exchange them in.
use super::address::{Address, Scheme};
use core::fmt::Write;

/// Cookies that are kept; the oldest goes first.
const MOST: usize = 300;
/// Bytes of a name and value (RFC 6265 6.1).
const SIZE: usize = 4096;
/// Bytes of all that are sent with one request.
const SENT: usize = 8192;
/// How long one is kept at most, in seconds: 400 days (draft-ietf-httpbis-rfc6265bis 5.5).
const LONGEST: i64 = 400 * 86_400;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Cookie {
    name: String,
    value: String,
    domain: String,
    /// Hosts beneath the domain get it, too.
    wide: bool,
    path: String,
    secure: bool,
    http_only: bool,
    /// Seconds since 1970; a session's if `None`.
    expires: Option<i64>,
}

/// The cookies of a run.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    all: Vec<Cookie>,
}

impl Jar {
    /// Reads a file; lines that are none are left out.
    pub fn read(&mut self, text: &str, now_s: i64) {
        for line in text.lines() {
            let (line, http_only) = line.strip_prefix("#HttpOnly_").map_or((line, false), |l| (l, true));
            if line.starts_with('#') {
                continue;
            }
            let mut f = line.split('\t');
            let mut next = || f.next();
            let (Some(domain), Some(wide), Some(path), Some(secure), Some(expires), Some(name)) =
                (next(), next(), next(), next(), next(), next())
            else {
                continue;
            };
            let Ok(expires) = expires.parse::<i64>() else { continue };
            self.add(
                Cookie {
                    name: name.into(),
                    value: next().unwrap_or_default().into(),
                    domain: domain.trim_start_matches('.').to_ascii_lowercase(),
                    wide: wide == "TRUE",
                    path: path.into(),
                    secure: secure == "TRUE",
                    http_only,
                    expires: (expires != 0).then_some(expires),
                },
                now_s,
            );
        }
    }
    /// The same as text.
    pub fn write(&self, now_s: i64) -> String {
        let mut out = String::from("# Netscape HTTP Cookie File\n\n");
        for c in self.all.iter().filter(|c| c.expires.is_none_or(|e| e > now_s)) {
            let flag = |b| if b { "TRUE" } else { "FALSE" };
            let (mark, dot) = (if c.http_only { "#HttpOnly_" } else { "" }, if c.wide { "." } else { "" });
            let (wide, secure, expires) = (flag(c.wide), flag(c.secure), c.expires.unwrap_or(0));
            let (domain, path, name, value) = (&c.domain, &c.path, &c.name, &c.value);
            // A String takes everything.
            let _ = writeln!(out, "{mark}{dot}{domain}\t{wide}\t{path}\t{secure}\t{expires}\t{name}\t{value}");
        }
        out
    }
    /// Takes a `Set-Cookie` of an answer from `url`; one that the host may not set is left out.
    pub fn set(&mut self, value: &[u8], url: &Address, now_s: i64) {
        let Ok(text) = core::str::from_utf8(value) else { return };
        let mut parts = text.split(';');
        let Some((name, value)) = parts.next().and_then(|p| p.split_once('=')) else { return };
        let (name, value) = (name.trim(), value.trim());
        let host = &url.origin.host;
        let mut cookie = Cookie {
            name: name.into(),
            value: value.into(),
            domain: host.clone(),
            wide: false,
            path: folder(url.path()),
            secure: false,
            http_only: false,
            expires: None,
        };
        let mut age = None;
        for part in parts {
            let (key, value) = part.split_once('=').map_or((part, ""), |(k, v)| (k, v));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "domain" if !value.is_empty() => {
                    let domain = value.trim_start_matches('.').to_ascii_lowercase();
                    let named = domain == *host;
                    // A domain of one label is everybody's; the list of others like it (co.uk) is not known here.
                    if !(named || beneath(host, &domain) && domain.contains('.') && url.origin.ip().is_none()) {
                        return;
                    }
                    (cookie.wide, cookie.domain) = (url.origin.ip().is_none() && domain.contains('.'), domain);
                }
                "path" if value.starts_with('/') => cookie.path = value.into(),
                "secure" => cookie.secure = true,
                "httponly" => cookie.http_only = true,
                "max-age" => age = value.parse::<i64>().ok().or(age),
                "expires" => {
                    let at = httpdate::parse_http_date(value).ok();
                    let at = at.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
                    cookie.expires = at.and_then(|d| i64::try_from(d.as_secs()).ok()).or(cookie.expires);
                }
                _ => {}
            }
        }
        if let Some(age) = age {
            cookie.expires = Some(if age <= 0 { 1 } else { now_s.saturating_add(age) });
        }
        let https = url.origin.scheme == Scheme::Https;
        let prefix = |p: &str| name.get(..p.len()).is_some_and(|n| n.eq_ignore_ascii_case(p));
        let hosted = prefix("__host-") && (cookie.wide || cookie.path != "/");
        if (cookie.secure || prefix("__host-") || prefix("__secure-")) && !(https && cookie.secure) || hosted {
            return; // who can change plain traffic must not set what counts as secure
        }
        self.add(cookie, now_s);
    }
    fn add(&mut self, mut cookie: Cookie, now_s: i64) {
        let text = [&cookie.name, &cookie.value, &cookie.domain, &cookie.path];
        if cookie.name.is_empty()
            || cookie.name.len() + cookie.value.len() > SIZE
            || cookie.domain.len() + cookie.path.len() > SIZE
            || text.iter().any(|t| t.chars().any(char::is_control))
        {
            return;
        }
        let key = |c: &Cookie| (c.name.clone(), c.domain.clone(), c.path.clone());
        self.all.retain(|c| key(c) != key(&cookie));
        cookie.expires = cookie.expires.map(|e| e.min(now_s.saturating_add(LONGEST)));
        if cookie.expires.is_none_or(|e| e > now_s) {
            self.all.push(cookie);
        }
        if self.all.len() > MOST {
            self.all.remove(0);
        }
    }
    /// The value of `Cookie` for a request.
    pub fn get(&self, url: &Address, now_s: i64) -> Option<String> {
        let path = url.path();
        let fits = |c: &&Cookie| {
            let host = &url.origin.host;
            (c.domain == *host || c.wide && beneath(host, &c.domain) && url.origin.ip().is_none())
                && (path == c.path
                    || path.strip_prefix(&c.path).is_some_and(|rest| c.path.ends_with('/') || rest.starts_with('/')))
                && (!c.secure || url.origin.scheme == Scheme::Https)
                && c.expires.is_none_or(|e| e > now_s)
        };
        let mut fit: Vec<&Cookie> = self.all.iter().filter(fits).collect();
        fit.sort_by_key(|c| core::cmp::Reverse(c.path.len()));
        let mut out = String::new();
        for c in fit {
            if out.len() + c.name.len() + c.value.len() < SENT {
                let join = if out.is_empty() { "" } else { "; " };
                let _ = write!(out, "{join}{}={}", c.name, c.value); // a String takes everything
            }
        }
        (!out.is_empty()).then_some(out)
    }
}

fn beneath(host: &str, domain: &str) -> bool {
    !domain.is_empty() && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// RFC 6265 5.1.4.
fn folder(path: &str) -> String {
    match path.rfind('/') {
        Some(at @ 1..) => path.get(..at).unwrap_or("/").into(),
        _ => "/".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn url(text: &str) -> Address {
        Address::parse(text, false).expect("a URL")
    }
    fn sent(set: &str, from: &str, to: &str) -> Option<String> {
        let mut jar = Jar::default();
        jar.set(set.as_bytes(), &url(from), NOW);
        jar.get(&url(to), NOW)
    }

    #[test]
    fn who_gets_a_cookie() {
        for (set, from, to, goes) in [
            ("a=1", "http://h/x/y", "http://h/x/z", true),
            ("a=1", "http://h/x/y", "http://h/xy", false),
            ("a=1; Path=/", "http://h/x/y", "http://h/xy", true),
            ("a=1", "http://h.b/", "http://i.h.b/", false),
            ("a=1; Domain=h.b", "http://h.b/", "http://i.h.b/", true),
            ("a=1; Domain=h.b", "http://i.h.b/", "http://h.b/", true),
            ("a=1; Domain=other.b", "http://h.b/", "http://other.b/", false),
            ("a=1; Domain=b", "http://h.b/", "http://h.b/", false),
            ("a=1; Domain=0.0.1", "http://127.0.0.1/", "http://127.0.0.1/", false),
            ("a=1; Secure", "http://h/", "https://h/", false),
            ("a=1; Secure", "https://h/", "https://h/", true),
            ("a=1; Secure", "https://h/", "http://h/", false),
            ("__Secure-a=1", "https://h/", "https://h/", false),
            ("__Host-a=1; Secure; Path=/x", "https://h/", "https://h/x", false),
            ("__Host-a=1; Secure; Path=/", "https://h/", "https://h/x", true),
            ("a=1; Max-Age=0", "http://h/", "http://h/", false),
            ("a=1; Max-Age=5", "http://h/", "http://h/", true),
            ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://h/", "http://h/", false),
            ("a=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT", "http://h/", "http://h/", true),
            ("=1", "http://h/", "http://h/", false),
            ("a=\u{1b}[2J", "http://h/", "http://h/", false),
        ] {
            assert_eq!(sent(set, from, to).is_some(), goes, "{set} {from} {to}");
        }
    }

    #[test]
    fn cookies_are_bounded_replaced_and_written() {
        let mut jar = Jar::default();
        for i in 0..1000 {
            jar.set(format!("c{i}={}", "x".repeat(100)).as_bytes(), &url("http://h/"), NOW);
        }
        assert_eq!(jar.all.len(), MOST);
        assert!(jar.get(&url("http://h/"), NOW).is_some_and(|c| c.len() <= SENT));
        let mut jar = Jar::default();
        jar.set(b"a=1", &url("http://h/"), NOW);
        jar.set(b"a=2; HttpOnly; Max-Age=9", &url("http://h/"), NOW);
        jar.set(b"b=3; Domain=x.y", &url("http://x.y/p/q"), NOW);
        let text = jar.write(NOW);
        let end = NOW + 9;
        let want = format!("#HttpOnly_h\tFALSE\t/\tFALSE\t{end}\ta\t2\n.x.y\tTRUE\t/p\tFALSE\t0\tb\t3\n");
        assert_eq!(text, format!("# Netscape HTTP Cookie File\n\n{want}"));
        let mut again = Jar::default();
        again.read(&text, NOW);
        assert_eq!(again.all, jar.all);
        again.read(&text, NOW + 10);
        assert_eq!(again.get(&url("http://h/"), NOW + 10), None);
    }
}
