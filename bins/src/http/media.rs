//! Media types by the end of a name, and codings by what the client accepts.
use std::collections::BTreeMap;

/// What is added to the built-in table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Types {
    /// By extension, in lower case.
    pub extra: BTreeMap<String, String>,
    /// Of text; empty for none.
    pub charset: String,
}

impl Types {
    /// The type of a file with this path.
    pub fn of(&self, path: &str) -> String {
        let name = path.rsplit('/').next().unwrap_or_default();
        let ext = name.rsplit_once('.').map_or("", |(_, ext)| ext).to_ascii_lowercase();
        if let Some(own) = self.extra.get(&ext) {
            return own.clone();
        }
        let known = match ext.as_str() {
            // Younger than the table: RFC 9239, RFC 8878.
            "js" | "mjs" => "text/javascript",
            "zst" => "application/zstd",
            other => mime_guess::from_ext(other).first_raw().unwrap_or("application/octet-stream"),
        };
        if self.charset.is_empty() || !known.starts_with("text/") {
            return known.into();
        }
        format!("{known}; charset={}", self.charset)
    }
}

/// A coding that a file beside the one asked for may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All, the smallest results first.
    pub const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// Its name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }
    /// The end of the name of a file that has it.
    pub fn extension(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstd => ".zst",
            Coding::Gzip => ".gz",
        }
    }
}

/// The codings that the client accepts, the one it likes best first (RFC 9110 12.5.3).
pub fn accepted(field: &[u8]) -> Vec<Coding> {
    let quality = |coding: Coding| {
        let mut any = 0;
        for member in field.split(|b| *b == b',') {
            let mut parts = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let q = parts.find_map(|p| p.strip_prefix(b"q=").or(p.strip_prefix(b"Q="))).map_or(1000, thousandths);
            if name.eq_ignore_ascii_case(coding.name().as_bytes())
                || coding == Coding::Gzip && name.eq_ignore_ascii_case(b"x-gzip")
            {
                return q;
            }
            if name == b"*" {
                any = q;
            }
        }
        any
    };
    let mut all: Vec<(u16, Coding)> =
        Coding::ALL.into_iter().map(|c| (quality(c), c)).filter(|(q, _)| *q > 0).collect();
    all.sort_by_key(|(q, _)| core::cmp::Reverse(*q));
    all.into_iter().map(|(_, c)| c).collect()
}

/// A weight of up to three decimals, in thousandths; 0 for what is none.
fn thousandths(q: &[u8]) -> u16 {
    let (whole, decimals) = match q {
        [whole @ b'0'..=b'1'] => (whole, &b""[..]),
        [whole @ b'0'..=b'1', b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return 0,
    };
    if !decimals.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let digit = |i: usize| u16::from(decimals.get(i).map_or(0, |d| d - b'0'));
    (u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2)).min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let mut types = Types::default();
        for (name, want) in [
            ("a/index.html", "text/html"),
            ("a.HTM", "text/html"),
            ("x.css", "text/css"),
            ("x.js", "text/javascript"),
            ("x.mjs", "text/javascript"),
            ("x.png", "image/png"),
            ("x.jpg", "image/jpeg"),
            ("x.svg", "image/svg+xml"),
            ("x.json", "application/json"),
            ("x.wasm", "application/wasm"),
            ("x.tar.zst", "application/zstd"),
            ("x.unknown", "application/octet-stream"),
            ("noend", "application/octet-stream"),
            ("a.html/noend", "application/octet-stream"),
        ] {
            assert_eq!(types.of(name), want, "{name}");
        }
        types.charset = "utf-8".into();
        types.extra.insert("foo".into(), "text/x-foo".into());
        assert_eq!(types.of("a.html"), "text/html; charset=utf-8");
        assert_eq!(types.of("a.png"), "image/png");
        assert_eq!(types.of("a.FOO"), "text/x-foo");
    }

    #[test]
    fn codings() {
        use Coding::{Brotli, Gzip, Zstd};
        for (text, want) in [
            ("", &[][..]),
            ("gzip", &[Gzip]),
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip]),
            ("br;q=0.5, gzip", &[Gzip, Brotli]),
            ("br;q=0, *", &[Zstd, Gzip]),
            ("*;q=0", &[]),
            ("*;q=0.1, gzip;q=0.2", &[Gzip, Brotli, Zstd]),
            ("GZIP ; q=1.000", &[Gzip]),
            ("x-gzip", &[Gzip]),
            ("gzip;q=2", &[]),
            ("gzip;q=0.1234", &[]),
            ("gzip;q=-1, br;q=", &[]),
            ("identity", &[]),
        ] {
            assert_eq!(accepted(text.as_bytes()), want, "{text}");
        }
    }
}
