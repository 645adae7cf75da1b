//! One line per request. Everything in it that a client sent is escaped: a line stays a line, and moves no cursor.
use super::date;
use crate::text::{Escaped, Json};
use proto_core::http1::Version;
use proto_core::http1::server::Request;
use proto_core::{Addr, Wall};

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// The Common Log Format.
    Common,
    /// The same with `Referer` and `User-Agent`.
    Combined,
    /// A JSON object.
    Json,
}

/// Bytes of a field that are kept for a line.
const FIELD_MAX: usize = 512;

/// What is kept of a request until it is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    method: String,
    target: String,
    version: &'static str,
    referer: Vec<u8>,
    agent: Vec<u8>,
    /// Who asks, if that is known.
    pub user: Option<String>,
}

impl Asked {
    /// Of a request.
    pub fn of(request: &Request<'_>) -> Self {
        let field = |name| {
            let value = request.field(name).unwrap_or_default();
            value.get(..FIELD_MAX).unwrap_or(value).to_vec()
        };
        Asked {
            method: request.method_name().into(),
            target: request.target().into(),
            version: if request.version() == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" },
            referer: field("referer"),
            agent: field("user-agent"),
            user: None,
        }
    }
    /// The line, without its end. `None` for what was no request.
    pub fn line(
        asked: Option<&Asked>,
        from: &Addr,
        status: u16,
        bytes: u64,
        at: (Wall, bool),
        format: Format,
    ) -> String {
        let ip = match from {
            Addr::Ip(a) => a.ip().to_canonical().to_string(),
            Addr::Unix(_) => "unix".into(),
        };
        if format == Format::Json {
            return json(asked, &ip, status, bytes, at.0);
        }
        let when = date::log_text(at.0, at.1);
        let request = asked.map_or("-".into(), |a| {
            format!("{} {} {}", Escaped(a.method.as_bytes()), Escaped(a.target.as_bytes()), a.version)
        });
        let size = if bytes == 0 { "-".into() } else { bytes.to_string() };
        let user = asked.and_then(|a| a.user.as_ref()).map_or("-".into(), |u| Escaped(u.as_bytes()).to_string());
        let user = user.replace(' ', "\\x20"); // blanks are between the fields of a line
        let common = format!("{ip} - {user} [{when}] \"{request}\" {status} {size}");
        if format == Format::Common {
            return common;
        }
        let field = |value: Option<&[u8]>| match value {
            None | Some(b"") => "-".into(),
            Some(value) => Escaped(value).to_string(),
        };
        let (referer, agent) = (field(asked.map(|a| &*a.referer)), field(asked.map(|a| &*a.agent)));
        format!("{common} \"{referer}\" \"{agent}\"")
    }
}

fn json(asked: Option<&Asked>, ip: &str, status: u16, bytes: u64, wall: Wall) -> String {
    let text = |value: &[u8]| Json(&String::from_utf8_lossy(value)).to_string();
    let what = asked.map_or(String::new(), |a| {
        let (method, target, agent) = (text(a.method.as_bytes()), text(a.target.as_bytes()), text(&a.agent));
        let (version, referer) = (a.version, text(&a.referer));
        let user = a.user.as_ref().map_or(String::new(), |u| format!(",\"user\":{}", text(u.as_bytes())));
        format!(
            "{user},\"method\":{method},\"target\":{target},\"version\":\"{version}\",\"referer\":{referer},\"agent\":{agent}"
        )
    });
    let ms = wall.unix_ns / 1_000_000;
    format!(
        "{{\"schema\":\"drywire/access/1\",\"time_ms\":{ms},\"client\":\"{ip}\",\"status\":{status},\"bytes\":{bytes}{what}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        let asked = Asked {
            method: "GET".into(),
            target: "/a\"b\\c".into(),
            version: "HTTP/1.1",
            referer: b"http://x/\"\x1b[2J".to_vec(),
            agent: b"\xff\xc2\x9b".to_vec(),
            user: Some("a b".into()),
        };
        let from = Addr::Ip("[::ffff:10.1.2.3]:4711".parse().expect("an address"));
        let at = (Wall { unix_ns: 784_111_777_000_000_000, utc_offset_s: 3600 }, false);
        let line = |asked, format| Asked::line(asked, &from, 200, 5, at, format);
        let common = "10.1.2.3 - a\\x20b [06/Nov/1994:09:49:37 +0100] \"GET /a\\\"b\\\\c HTTP/1.1\" 200 5";
        assert_eq!(line(Some(&asked), Format::Common), common);
        assert_eq!(
            line(Some(&asked), Format::Combined),
            format!("{common} \"http://x/\\\"\\x1b[2J\" \"\\xff\\u{{9b}}\"")
        );
        assert_eq!(
            line(Some(&asked), Format::Json),
            "{\"schema\":\"drywire/access/1\",\"time_ms\":784111777000,\"client\":\"10.1.2.3\",\"status\":200,\"bytes\":5,\"user\":\"a b\",\
             \"method\":\"GET\",\"target\":\"/a\\\"b\\\\c\",\"version\":\"HTTP/1.1\",\"referer\":\"http://x/\\\"\\u001b[2J\",\
             \"agent\":\"\u{fffd}\\u009b\"}"
        );
        let none = Asked::line(None, &Addr::Unix("".into()), 400, 0, at, Format::Combined);
        assert_eq!(none, "unix - - [06/Nov/1994:09:49:37 +0100] \"-\" 400 - \"-\" \"-\"");
    }
}
