//! What a handshake showed, for people and for programs.
use super::show::Plain;
use crate::outcome::Code;
use crate::text::Json;
use base64::prelude::{BASE64_STANDARD, Engine};
use core::fmt::Write;
use proto_core::tls::sha256;
use proto_core::x509::{Certificate, Date, San, Staple, hex};
use proto_core::{Bytes, Defect, Grounds, Secure};

/// What is told of handshakes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// As one line of JSON.
    pub json: bool,
    /// Nothing is asked after it.
    pub only: bool,
    /// Complain of a certificate that ends within so many days.
    pub warn_days: Option<u32>,
    /// A file for the certificates.
    pub chain_out: Option<String>,
}

/// A handshake that is over.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What is fetched.
    pub url: &'a str,
    /// What was agreed on.
    pub secure: &'a Secure,
    /// The application protocol.
    pub alpn: &'a [u8],
    /// It is the second connection, which may continue the session of the first.
    pub again: bool,
    /// We have a certificate to show.
    pub shown: bool,
    /// The time of day.
    pub now: Date,
}

impl Seen<'_> {
    /// Lines for people; with `all`, everything.
    pub fn block(&self, all: bool) -> String {
        let s = self.secure;
        let mut out = format!("TLS Handshake:\nProtocol: {}\nCipher: {}\n", s.version, s.suite);
        match s.chain.first().map(|c| Certificate::parse(c)) {
            Some(Ok(c)) => {
                let (subject, issuer) = match all {
                    true => (c.subject.to_string(), c.issuer.to_string()),
                    false => (c.subject.short(), c.issuer.short()),
                };
                line(&mut out, "Certificate", &subject);
                line(&mut out, "Issuer", &issuer);
                line(&mut out, "Valid", &format!("{:.10} to {:.10}", c.not_before, c.not_after));
                if all {
                    details(&mut out, &c);
                }
            }
            Some(Err(e)) => line(&mut out, "Certificate", &format!("cannot be parsed: {e}")),
            None => line(&mut out, "Certificate", "none"),
        }
        if all {
            out.push_str(&chain(&s.chain));
            let alpn = if self.alpn.is_empty() { "none".into() } else { self.alpn.escape_ascii().to_string() };
            line(&mut out, "ALPN", &alpn);
            line(&mut out, "Group", if s.group.is_empty() { "none" } else { &s.group });
            let staple = if s.staple.is_empty() { "none".into() } else { staple(&s.staple, self.now) };
            line(&mut out, "OCSP staple", &staple);
            line(&mut out, "Client certificate", self.client());
        }
        if all || self.again {
            line(&mut out, "Resumed", if s.resumed { "yes" } else { "no" });
        }
        out
    }
    fn client(&self) -> &'static str {
        match (self.secure.wanted, self.shown) {
            (false, _) => "not asked for",
            (true, false) => "asked for, none sent",
            (true, true) => "asked for and sent",
        }
    }
    /// The same for programs.
    pub fn json(&self) -> String {
        let s = self.secure;
        let mut out = begin(self.url);
        let alpn = String::from_utf8_lossy(self.alpn);
        for (name, value) in [
            ("protocol", s.version),
            ("cipher", s.suite),
            ("group", &s.group),
            ("alpn", &alpn),
            ("client_certificate", self.client()),
        ] {
            put(&mut out, name, Json(value));
        }
        put(&mut out, "resumed", s.resumed);
        put(&mut out, "certificates", certificates(&s.chain));
        if !s.staple.is_empty() {
            put(&mut out, "ocsp_staple", Json(&staple(&s.staple, self.now)));
        }
        put(&mut out, "ignored", defects(&s.ignored));
        out.push_str("}\n");
        out
    }
}

/// One line of JSON about a handshake that failed.
pub fn failed_json(url: &str, grounds: &Grounds, code: Code) -> String {
    let mut out = begin(url);
    put(&mut out, "exit", code as u8);
    put(&mut out, "failures", defects(&grounds.defects));
    if let Some(alert) = grounds.alert {
        put(&mut out, "alert", alert);
    }
    put(&mut out, "certificates", certificates(&grounds.chain));
    out.push_str("}\n");
    out
}

fn begin(url: &str) -> String {
    format!("{{\"schema\":\"drywire/https_client/1\",\"url\":{}", Json(url))
}

fn put(out: &mut String, name: &str, value: impl core::fmt::Display) {
    let _ = write!(out, ",\"{name}\":{value}"); // a String takes everything
}

fn line(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{name}: {}", Plain(value.as_bytes())); // a String takes everything
}

fn defects(all: &[Defect]) -> String {
    let one = |d: &Defect| {
        format!("{{\"word\":\"{}\",\"reason\":{},\"detail\":{}}}", d.word, Json(&d.reason), Json(&d.detail))
    };
    format!("[{}]", all.iter().map(one).collect::<Vec<_>>().join(","))
}

/// Alternative names as text: `DNS:www.example.com`.
fn names(c: &Certificate<'_>) -> Vec<String> {
    c.san.iter().flatten().map(San::to_string).collect()
}

/// SHA-256 of the public key, as `--pin` wants it.
fn pin(c: &Certificate<'_>) -> String {
    format!("sha256//{}", BASE64_STANDARD.encode(sha256(c.spki)))
}

fn details(out: &mut String, c: &Certificate<'_>) {
    let names = names(c);
    line(out, "Names", if names.is_empty() { "none".into() } else { names.join(", ") }.as_str());
    line(out, "Key", &c.key.to_string());
    line(out, "Signature", &c.signature);
    line(out, "Serial", &c.serial_hex());
    line(out, "SHA-256", &hex(&sha256(c.der), ":"));
    line(out, "Pin", &pin(c));
}

/// The certificates that a server sent, one a line, its own first.
pub fn chain(all: &[Bytes]) -> String {
    let mut out = String::new();
    for (i, der) in all.iter().enumerate() {
        let text = match Certificate::parse(der) {
            Ok(c) => format!("{i} {} (issuer {}, until {:.10}, {})", c.subject, c.issuer, c.not_after, c.key),
            Err(e) => format!("{i} cannot be parsed: {e}"),
        };
        line(&mut out, "Chain", &text);
    }
    out
}

fn certificates(all: &[Bytes]) -> String {
    let one = |der: &Bytes| {
        let Ok(c) = Certificate::parse(der) else { return "null".into() };
        let names: Vec<String> = names(&c).iter().map(|n| Json(n).to_string()).collect();
        let mut out = format!("{{\"subject\":{}", Json(&c.subject.to_string()));
        put(&mut out, "issuer", Json(&c.issuer.to_string()));
        put(&mut out, "not_before", Json(&c.not_before.to_string()));
        put(&mut out, "not_after", Json(&c.not_after.to_string()));
        put(&mut out, "names", format_args!("[{}]", names.join(",")));
        put(&mut out, "key", Json(&c.key.to_string()));
        put(&mut out, "signature", Json(&c.signature));
        put(&mut out, "serial", Json(&c.serial_hex()));
        put(&mut out, "sha256", Json(&hex(&sha256(c.der), "")));
        put(&mut out, "pin", Json(&pin(&c)));
        out.push('}');
        out
    };
    format!("[{}]", all.iter().map(one).collect::<Vec<String>>().join(","))
}

/// Certificates in PEM (RFC 7468).
pub fn pem(all: &[Bytes]) -> String {
    let mut out = String::new();
    for der in all {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in BASE64_STANDARD.encode(der).as_bytes().chunks(64) {
            out.push_str(&String::from_utf8_lossy(line));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

/// What a stapled OCSP response says.
fn staple(bytes: &[u8], now: Date) -> String {
    match Staple::parse(bytes) {
        Ok(s) if s.until.is_some_and(|u| u < now) => {
            format!("{}, out of date since {}", s.status, s.until.unwrap_or_default())
        }
        Ok(Staple { status, from, until: Some(until), .. }) => format!("{status}, from {from} until {until}"),
        Ok(Staple { status, from, .. }) => format!("{status}, from {from}"),
        Err(e) => format!("cannot be parsed: {e}"),
    }
}
