//! What an answer means for what is done next: redirects, further attempts, ranges.
use super::address::{Address, Bad, Scheme};
use super::options::Follow;
use crate::outcome::{Code, Failure};
use core::time::Duration;
use proto_core::http1::client::Response;

/// The longest wait that a server may ask for before another attempt.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Where a redirect leads, and whether method and body stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// Where to.
    pub to: Address,
    /// The request becomes a GET without a body.
    pub becomes_get: bool,
}

/// Follows a redirect, if this is one that may be followed (RFC 9110 15.4).
///
/// # Errors
/// It leads where nobody should go.
pub fn redirect(
    status: u16,
    location: Option<&[u8]>,
    method: &str,
    from: &Address,
    (follow, as_is): (Follow, bool),
) -> Result<Option<Redirect>, Failure> {
    let bad = |why: String| Failure::new(Code::Protocol, format!("redirect from {from}: {why}"));
    let becomes_get = match status {
        301 | 302 => method == "POST",
        303 => method != "HEAD" && method != "GET",
        307 | 308 => false,
        _ => return Ok(None),
    };
    let Some(location) = location else { return Ok(None) };
    // Bytes that are no text are encoded one by one; those of UTF-8 become characters and are encoded with the rest.
    let mut text = String::new();
    for part in location.utf8_chunks() {
        text.push_str(part.valid());
        part.invalid().iter().for_each(|b| text.push_str(&format!("%{b:02X}")));
    }
    let to = from.join(&text, as_is).map_err(|e| match e {
        Bad::Scheme(_) => bad(format!("{e}, not followed")),
        Bad::Malformed(..) => bad(e.to_string()),
    })?;
    if from.origin.scheme == Scheme::Https && to.origin.scheme == Scheme::Http && !follow.downgrade {
        return Err(bad(format!("to {to}: from https to http (use --allow-downgrade)")));
    }
    Ok(Some(Redirect { to: Address { user: None, ..to }, becomes_get }))
}

/// The status may be another one after a while (RFC 9110 15).
pub fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=504)
}

/// The method may be sent twice (RFC 9110 9.2.2).
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
}

/// How long to wait before attempt `n`, from 1: as the server says, else longer each time.
pub fn wait(retry_after: Option<&[u8]>, n: u32, now_s: i64) -> Duration {
    let text = retry_after.and_then(|v| core::str::from_utf8(v).ok()).map(str::trim);
    let said = text.and_then(|t| match t.parse::<u64>() {
        Ok(s) => Some(Duration::from_secs(s)),
        Err(_) => {
            let at = httpdate::parse_http_date(t).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some(at.saturating_sub(Duration::from_secs(u64::try_from(now_s).unwrap_or(0))))
        }
    });
    said.unwrap_or_else(|| Duration::from_secs(1 << n.saturating_sub(1).min(9))).min(WAIT_MAX)
}

/// What tells this state of a body from others, strong enough to go on with it (RFC 9110 13.1.5).
pub fn validator(head: &Response<'_>) -> Option<String> {
    let text = |name| head.field(name).and_then(|v| core::str::from_utf8(v).ok());
    let strong = text("etag").filter(|e| e.starts_with('"') && e.len() < 1024);
    strong.or_else(|| text("last-modified").filter(|d| httpdate::parse_http_date(d).is_ok())).map(String::from)
}

/// `bytes 5-9/10`: the first byte, and the length of the whole if it is known.
pub fn content_range(value: &[u8]) -> Option<(u64, Option<u64>)> {
    let text = core::str::from_utf8(value).ok()?.trim().strip_prefix("bytes ")?;
    let (range, all) = text.split_once('/')?;
    let first = range.split_once('-')?.0;
    Some((first.parse().ok()?, all.parse().ok()))
}

/// `bytes */10`: the length of the whole, from a 416.
pub fn whole_length(value: &[u8]) -> Option<u64> {
    core::str::from_utf8(value).ok()?.trim().strip_prefix("bytes */")?.parse().ok()
}

/// The name of a file that a server suggests (RFC 6266), without anything that leads elsewhere.
pub fn file_name(disposition: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(disposition).into_owned();
    let (mut plain, mut extended) = (None, None);
    for part in text.split(';').skip(1) {
        let Some((key, value)) = part.split_once('=') else { continue };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "filename" => plain = Some(value.trim_matches('"').replace("\\\"", "\"")),
            "filename*" => {
                let encoded = value.splitn(3, '\'').nth(2).filter(|_| value.to_ascii_lowercase().starts_with("utf-8'"));
                extended = encoded.and_then(super::address::decode);
            }
            _ => {}
        }
    }
    safe_name(&extended.or(plain)?)
}

/// The last part of a path as the name of a file here.
pub fn safe_name(path: &str) -> Option<String> {
    let last = path.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let fine = |c: char| !c.is_control() && !crate::text::is_unsafe(c);
    // A dot in front would hide it, or be the folder itself.
    let name: String = last.trim_start_matches('.').chars().filter(|c| fine(*c)).take(200).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLLOW: Follow = Follow { most: 10, downgrade: false };

    fn led(status: u16, method: &str, from: &str, location: &str) -> Result<Option<(String, bool)>, String> {
        let from = Address::parse(from, false).expect("a URL");
        let r = redirect(status, Some(location.as_bytes()), method, &from, (FOLLOW, false));
        r.map(|r| r.map(|r| (r.to.to_string(), r.becomes_get))).map_err(|f| f.text)
    }

    #[test]
    fn methods_of_redirects() {
        for (status, method, get) in [
            (301, "POST", true),
            (302, "POST", true),
            (303, "POST", true),
            (303, "PUT", true),
            (301, "PUT", false),
            (301, "GET", false),
            (303, "HEAD", false),
            (307, "POST", false),
            (308, "POST", false),
        ] {
            assert_eq!(
                led(status, method, "http://a/", "/b"),
                Ok(Some(("http://a/b".into(), get))),
                "{status} {method}"
            );
        }
        for status in [200, 300, 304, 305, 306, 404] {
            assert_eq!(led(status, "GET", "http://a/", "/b"), Ok(None));
        }
    }

    #[test]
    fn redirects_that_are_not_followed() {
        for (from, location, why) in [
            ("https://a/", "http://a/", "from https to http"),
            ("http://a/", "file:///etc/passwd", "unsupported scheme 'file'"),
            ("http://a/", "gopher://a/", "unsupported scheme 'gopher'"),
            ("http://a/", "http://b:99999/", "bad port"),
            ("http://a/", "http://b\x00/", "control character"),
        ] {
            let got = led(302, "GET", from, location).expect_err(location);
            assert!(got.contains(why), "{got}");
        }
        let from = Address::parse("https://a/", false).expect("a URL");
        let allowed = (Follow { downgrade: true, ..FOLLOW }, false);
        assert!(redirect(302, Some(b"http://a/"), "GET", &from, allowed).is_ok());
        let got = redirect(302, Some(b"/\xff"), "GET", &from, allowed).map(|r| r.map(|r| r.to.target));
        assert_eq!(got, Ok(Some("/%FF".into())));
    }

    #[test]
    fn waits() {
        let s = |v: Option<&str>, n| wait(v.map(str::as_bytes), n, 784_111_777).as_secs();
        assert_eq!([s(None, 1), s(None, 2), s(None, 5), s(None, 99)], [1, 2, 16, 512]);
        assert_eq!([s(Some("7"), 1), s(Some("99999999"), 1), s(Some("x"), 1)], [7, 600, 1]);
        assert_eq!(s(Some("Sun, 06 Nov 1994 08:50:00 GMT"), 1), 23);
        assert_eq!(s(Some("Tue, 06 Nov 1984 08:50:00 GMT"), 1), 0);
    }

    #[test]
    fn names_of_files_lead_nowhere_else() {
        for (text, name) in [
            ("attachment; filename=\"a.txt\"", Some("a.txt")),
            ("attachment; filename=../../etc/passwd", Some("passwd")),
            ("attachment; filename=\"..\\\\x.exe\"", Some("x.exe")),
            ("attachment; filename=\"..\"", None),
            ("attachment; filename=\".bashrc\"", Some("bashrc")),
            ("attachment; filename=\"\"", None),
            ("attachment", None),
            ("inline; filename=\"a\"; filename*=UTF-8''%c3%bc%2F..%2Fb", Some("b")),
            ("inline; filename*=UTF-8''%00x", None),
        ] {
            assert_eq!(file_name(text.as_bytes()).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(content_range(b"bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range(b"bytes 5-9/*"), Some((5, None)));
        for bad in ["bytes */10", "5-9/10", "bytes x-9/10", "bytes 5/10", "bytes 99999999999999999999-1/2"] {
            assert_eq!(content_range(bad.as_bytes()), None);
        }
        assert_eq!(whole_length(b"bytes */10"), Some(10));
    }
}
