//! X.509 certificates as facts (RFC 5280): who, from whom, when, what for. It reads, and decides nothing: whether a
//! certificate is to be believed is for a verifier to say.
//!
//! Everything is borrowed from the DER bytes. Unknown extensions are skipped; the second of two of one kind is ignored.
use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;
use core::net::IpAddr;

mod crl;
mod der;
mod names;
mod ocsp;
mod time;

pub use crl::{RevocationList, Revoked};
pub use der::Malformed;
use der::{BITS, BOOLEAN, Der, INTEGER, OCTETS, OID, SEQUENCE, SET, Value};
pub use names::{Name, San};
pub use ocsp::Staple;
pub use time::Date;

/// A certificate.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// All of it.
    pub der: &'a [u8],
    /// 1, 2 or 3.
    pub version: u8,
    /// The serial number's bytes, without a leading zero.
    pub serial: &'a [u8],
    /// Who signed it.
    pub issuer: Name<'a>,
    /// Who it is.
    pub subject: Name<'a>,
    /// The first moment at which it is valid.
    pub not_before: Date,
    /// The last.
    pub not_after: Date,
    /// The public key with its algorithm (SubjectPublicKeyInfo).
    pub spki: &'a [u8],
    /// What kind of key that is.
    pub key: Key,
    /// The signature's algorithm, such as `ecdsa-with-SHA256`; its OID if it is not known.
    pub signature: String,
    /// Names it is for; `None` without that extension.
    pub san: Option<Vec<San<'a>>>,
    /// What it may be used for; `None` without that extension: anything.
    pub usages: Option<Vec<Usage>>,
    /// It may sign others.
    pub is_ca: bool,
}

/// A public key's kind and size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Key {
    /// RSA, with the modulus' length in bits.
    Rsa(usize),
    /// On an elliptic curve, by its name.
    Ec(&'static str),
    /// Anything else, by name or OID.
    Other(String),
}

impl core::fmt::Display for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Key::Rsa(bits) => write!(f, "RSA {bits}"),
            Key::Ec(curve) => write!(f, "ECDSA {curve}"),
            Key::Other(name) => f.write_str(name),
        }
    }
}

/// What a certificate may be used for (extended key usage).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Usage {
    /// To be a TLS server.
    Server,
    /// To be a TLS client.
    Client,
    /// Anything.
    Any,
    /// Something else, by OID.
    Other(String),
}

impl core::fmt::Display for Usage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Usage::Server => "serverAuth",
            Usage::Client => "clientAuth",
            Usage::Any => "any",
            Usage::Other(oid) => oid,
        })
    }
}

impl<'a> Certificate<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// What is missing, and where.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Der::new(der).take(SEQUENCE, "a certificate")?.inner();
        let mut tbs = outer.take(SEQUENCE, "the signed part of a certificate")?.inner();
        let signature = algorithm(outer.take(SEQUENCE, "a signature algorithm")?)?.0;
        outer.take(BITS, "a signature")?;
        let version = match tbs.optional(0xa0, "a version")? {
            Some(v) => match v.inner().take(INTEGER, "a version")?.body {
                [n @ 0..=2] => n + 1,
                _ => return Err(v.wrong("version 1, 2 or 3")),
            },
            None => 1,
        };
        let serial = tbs.take(INTEGER, "a serial number")?.body;
        tbs.take(SEQUENCE, "a signature algorithm")?;
        let issuer = Name::new(tbs.take(SEQUENCE, "an issuer")?);
        let mut validity = tbs.take(SEQUENCE, "a validity")?.inner();
        let (not_before, not_after) = (date(&mut validity)?, date(&mut validity)?);
        let subject = Name::new(tbs.take(SEQUENCE, "a subject")?);
        let spki = tbs.take(SEQUENCE, "a public key")?;
        let mut cert = Certificate {
            der,
            version,
            serial: crl::bare(serial),
            issuer,
            subject,
            not_before,
            not_after,
            spki: spki.whole,
            key: key(spki)?,
            signature,
            san: None,
            usages: None,
            is_ca: false,
        };
        while !tbs.is_empty() {
            let part = tbs.any("extensions")?;
            if part.tag == 0xa3 {
                cert.extensions(part)?;
            }
        }
        Ok(cert)
    }
    fn extensions(&mut self, part: Value<'a>) -> Result<(), Malformed> {
        let mut all = part.inner().take(SEQUENCE, "extensions")?.inner();
        while !all.is_empty() {
            let mut one = all.take(SEQUENCE, "an extension")?.inner();
            let id = one.take(OID, "an extension's name")?.body;
            one.optional(BOOLEAN, "whether it is critical")?;
            let value = one.take(OCTETS, "an extension's value")?.inner();
            match id {
                [0x55, 0x1d, 0x11] if self.san.is_none() => self.san = Some(names::alternatives(value)?),
                [0x55, 0x1d, 0x25] if self.usages.is_none() => self.usages = Some(usages(value)?),
                [0x55, 0x1d, 0x13] => self.is_ca = is_ca(value)?,
                _ => {}
            }
        }
        Ok(())
    }
    /// Issuer and subject are the same.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
    /// The serial number as hex digits.
    pub fn serial_hex(&self) -> String {
        hex(self.serial, "")
    }
    /// The DNS names and addresses it is for, as text.
    pub fn hosts(&self) -> Vec<String> {
        let all = self.san.iter().flatten();
        all.filter_map(|s| match s {
            San::Dns(name) => Some(String::from(*name)),
            San::Ip(ip) => Some(format!("{ip}")),
            _ => None,
        })
        .collect()
    }
    /// It may be used so, as far as it says.
    pub fn is_for(&self, usage: &Usage) -> bool {
        self.usages.as_ref().is_none_or(|all| all.iter().any(|u| u == usage || *u == Usage::Any))
    }
}

/// Bytes as hex digits, `between` every two of them.
pub fn hex(bytes: &[u8], between: &str) -> String {
    let mut text = String::new();
    for (i, b) in bytes.iter().enumerate() {
        let _ = write!(text, "{}{b:02x}", if i > 0 { between } else { "" }); // a String takes everything
    }
    text
}

fn date(from: &mut Der<'_>) -> Result<Date, Malformed> {
    let v = from.any("a time")?;
    Date::parse(v.tag, v.body).ok_or(v.wrong("a time"))
}

fn is_ca(mut value: Der<'_>) -> Result<bool, Malformed> {
    let mut inner = value.take(SEQUENCE, "basic constraints")?.inner();
    Ok(inner.optional(BOOLEAN, "whether it is a CA")?.is_some_and(|v| v.body == [0xff]))
}

fn usages(mut value: Der<'_>) -> Result<Vec<Usage>, Malformed> {
    let mut inner = value.take(SEQUENCE, "key usages")?.inner();
    let mut all = Vec::new();
    while !inner.is_empty() {
        all.push(match inner.take(OID, "a key usage")?.body {
            [0x2b, 6, 1, 5, 5, 7, 3, 1] => Usage::Server,
            [0x2b, 6, 1, 5, 5, 7, 3, 2] => Usage::Client,
            [0x55, 0x1d, 0x25, 0] => Usage::Any,
            other => Usage::Other(oid(other)),
        });
    }
    Ok(all)
}

/// An algorithm's name, and its parameters.
fn algorithm(v: Value<'_>) -> Result<(String, Der<'_>), Malformed> {
    let mut inner = v.inner();
    let id = inner.take(OID, "an algorithm")?.body;
    let known = match id {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, n] => match n {
            1 => "rsaEncryption",
            4 => "md5WithRSAEncryption",
            5 => "sha1WithRSAEncryption",
            10 => "rsassaPss",
            11 => "sha256WithRSAEncryption",
            12 => "sha384WithRSAEncryption",
            13 => "sha512WithRSAEncryption",
            _ => "",
        },
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1] => "ecPublicKey",
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] => "ecdsa-with-SHA1",
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2] => "ecdsa-with-SHA256",
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3] => "ecdsa-with-SHA384",
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4] => "ecdsa-with-SHA512",
        [0x2b, 0x65, 0x70] => "Ed25519",
        [0x2b, 0x65, 0x71] => "Ed448",
        _ => "",
    };
    Ok((if known.is_empty() { oid(id) } else { known.into() }, inner))
}

fn key(spki: Value<'_>) -> Result<Key, Malformed> {
    let mut inner = spki.inner();
    let (name, mut parameters) = algorithm(inner.take(SEQUENCE, "a key's algorithm")?)?;
    let bits = inner.take(BITS, "a public key")?;
    Ok(match name.as_str() {
        "rsaEncryption" | "rsassaPss" => {
            let key = bits.body.get(1..).unwrap_or_default();
            let modulus = Der::new(key).take(SEQUENCE, "an RSA key")?.inner().take(INTEGER, "a modulus")?.body;
            let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
            let unused = modulus.first().map_or(0, |b| b.leading_zeros() as usize);
            Key::Rsa((modulus.len() * 8).saturating_sub(unused))
        }
        "ecPublicKey" => match parameters.any("a curve")?.body {
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7] => Key::Ec("P-256"),
            [0x2b, 0x81, 4, 0, 0x22] => Key::Ec("P-384"),
            [0x2b, 0x81, 4, 0, 0x23] => Key::Ec("P-521"),
            other => Key::Other(format!("EC {}", oid(other))),
        },
        _ => Key::Other(name),
    })
}

/// An object identifier with dots.
fn oid(body: &[u8]) -> String {
    let (mut text, mut n, mut first) = (String::new(), 0u64, true);
    for b in body {
        n = n << 7 | u64::from(b & 0x7f);
        if b & 0x80 != 0 {
            continue;
        }
        let _ = if core::mem::take(&mut first) {
            let top = (n / 40).min(2);
            write!(text, "{top}.{}", n - top * 40)
        } else {
            write!(text, ".{n}")
        };
        n = 0;
    }
    text
}

#[cfg(test)]
mod tests;
