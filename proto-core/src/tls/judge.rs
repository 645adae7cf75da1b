//! What is wrong with a peer's certificates, in words: the verifier's verdict, with the fact behind it.
use crate::x509::{Certificate, Date, Key, Usage};
use crate::{Bytes, Defect};
use alloc::{format, string::String, vec::Vec};
use rustls::{CertRevocationListError, CertificateError, Error};

/// Whose certificates are judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Server,
    Client,
}

/// RSA keys below this many bits are refused.
const RSA_BITS: usize = 2048;

pub(super) fn defect(word: &'static str, reason: &str, detail: String) -> Defect {
    Defect { word, reason: reason.into(), detail }
}

/// The chain's certificates, as far as they can be read.
pub(super) fn parsed(chain: &[Bytes]) -> Vec<Certificate<'_>> {
    chain.iter().filter_map(|c| Certificate::parse(c).ok()).collect()
}

/// What a verifier said of the chain.
pub(super) fn of_chain(e: &Error, chain: &[Bytes], role: Role, now: Date) -> Defect {
    let certs = parsed(chain);
    if let Some(bad) = unreadable(chain) {
        return bad;
    }
    if let Some(old) = certs.iter().find(|c| c.version != 3) {
        let detail = format!("{} is X.509 v{}", old.subject.short(), old.version);
        return defect("version", "unsupported certificate version", detail);
    }
    match e {
        Error::InvalidCertificate(e) => of_certificate(e, &certs, role, now),
        Error::InvalidCertRevocationList(e) => {
            let why = match e {
                CertRevocationListError::BadSignature => "the revocation list's signature is wrong".into(),
                CertRevocationListError::IssuerInvalidForCrl => "its issuer may not sign revocation lists".into(),
                other => format!("{other:?}"),
            };
            defect("revocation_unknown", "revocation status unknown", why)
        }
        other => defect("other", "certificate is not accepted", format!("{other}")),
    }
}

fn unreadable(chain: &[Bytes]) -> Option<Defect> {
    let bad = chain.iter().enumerate().find_map(|(i, c)| Some((i, Certificate::parse(c).err()?)));
    bad.map(|(i, e)| defect("malformed", "certificate cannot be parsed", format!("certificate {}: {e}", i + 1)))
}

fn of_certificate(e: &CertificateError, certs: &[Certificate<'_>], role: Role, now: Date) -> Defect {
    use CertificateError as C;
    let leaf = certs.first();
    match e {
        C::Expired | C::ExpiredContext { .. } => {
            let bad = certs.iter().find(|c| c.not_after < now);
            defect("expired", "certificate has expired", bad.map_or_else(String::new, |c| ended(c, now)))
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            let bad = certs.iter().find(|c| c.not_before > now);
            defect("not_yet_valid", "certificate is not yet valid", bad.map_or_else(String::new, |c| early(c, now)))
        }
        C::UnknownIssuer => unknown_issuer(certs, role),
        C::Revoked => {
            let detail = leaf.map(|c| format!("serial {}", c.serial_hex()));
            defect("revoked", "certificate revoked", detail.unwrap_or_default())
        }
        C::UnknownRevocationStatus => {
            let detail = leaf.map(|c| format!("no revocation list of {}", c.issuer.short()));
            defect("revocation_unknown", "revocation status unknown", detail.unwrap_or_default())
        }
        C::ExpiredRevocationList => defect("revocation_unknown", "revocation status unknown", String::new()),
        C::ExpiredRevocationListContext { next_update, .. } => {
            let until = Date(next_update.as_secs().cast_signed());
            let detail = format!("the revocation list was good until {until}");
            defect("revocation_unknown", "revocation status unknown", detail)
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => wrong_usage(leaf, role),
        C::BadSignature => match weak(certs) {
            Some(weak) => weak,
            None => defect("bad_signature", "certificate signature failure", link(certs)),
        },
        C::BadEncoding => defect("malformed", "certificate cannot be parsed", String::new()),
        C::Other(other) => of_webpki(other.0.downcast_ref(), certs, role, e),
        _ => match weak(certs) {
            Some(weak) => weak,
            None if format!("{e:?}").starts_with("UnsupportedSignatureAlgorithm") => {
                let detail = leaf.map_or_else(String::new, |c| format!("signed with {}, key {}", c.signature, c.key));
                defect("weak", "certificate key or signature too weak", detail)
            }
            None => defect("other", "certificate is not accepted", format!("{e}")),
        },
    }
}

/// What rustls has no name for.
fn of_webpki(e: Option<&webpki::Error>, certs: &[Certificate<'_>], role: Role, all: &CertificateError) -> Defect {
    use webpki::Error as E;
    let Some(leaf) = certs.first() else { return defect("malformed", "certificate cannot be parsed", String::new()) };
    match e {
        Some(E::CaUsedAsEndEntity) if leaf.is_self_issued() => self_signed(leaf),
        Some(E::CaUsedAsEndEntity) => {
            let reason = match role {
                Role::Server => "CA certificate used as server certificate",
                Role::Client => "CA certificate used as client certificate",
            };
            defect("ca_as_leaf", reason, format!("{} is marked as a CA", leaf.subject.short()))
        }
        Some(E::NameConstraintViolation) => {
            let names = leaf.hosts().join(", ");
            defect("name_constraints", "name constraints violated", format!("its issuers may not sign for {names}"))
        }
        Some(E::EndEntityUsedAsCa) => {
            let detail = String::from("a certificate in the chain signs others and may not");
            defect("not_a_ca", "issuer is not a CA", detail)
        }
        Some(E::PathLenConstraintViolated) => {
            defect("path_length", "chain is longer than its CA allows", String::new())
        }
        Some(E::UnsupportedCertVersion) => defect("version", "unsupported certificate version", String::new()),
        Some(E::UnsupportedCriticalExtension) => {
            defect("critical_extension", "certificate has an unknown critical extension", String::new())
        }
        Some(other) => defect("other", "certificate is not accepted", format!("{other:?}")),
        None => defect("other", "certificate is not accepted", format!("{all}")),
    }
}

fn ended(c: &Certificate<'_>, now: Date) -> String {
    format!("{} was valid until {}, now is {}", c.subject.short(), c.not_after, now)
}

fn early(c: &Certificate<'_>, now: Date) -> String {
    format!("{} is valid from {}, now is {}", c.subject.short(), c.not_before, now)
}

fn self_signed(leaf: &Certificate<'_>) -> Defect {
    defect("self_signed", "self signed certificate", format!("{} is its own issuer", leaf.subject.short()))
}

fn unknown_issuer(certs: &[Certificate<'_>], role: Role) -> Defect {
    let Some(leaf) = certs.first() else { return defect("malformed", "certificate cannot be parsed", String::new()) };
    if leaf.is_self_issued() {
        return self_signed(leaf);
    }
    if let Some(root) = certs.iter().skip(1).find(|c| c.is_self_issued()) {
        let detail = format!("{} is not in the trust store", root.subject.short());
        return defect("self_signed_in_chain", "self signed certificate in certificate chain", detail);
    }
    // The end of the chain as it was sent: certificates need not be in order.
    let mut last = leaf;
    for _ in certs {
        match certs.iter().find(|c| c.subject == last.issuer && c.der != last.der) {
            Some(next) => last = next,
            None => break,
        }
    }
    let (n, who) = (certs.len(), if role == Role::Server { "server" } else { "client" });
    let s = if n == 1 { "" } else { "s" };
    let issuer = last.issuer.short();
    let detail =
        format!("{who} sent {n} certificate{s}; its issuer '{issuer}' is not included and not in the trust store");
    defect("unknown_issuer", "unable to get local issuer certificate", detail)
}

fn wrong_usage(leaf: Option<&Certificate<'_>>, role: Role) -> Defect {
    let reason = match role {
        Role::Server => "certificate is not for server use",
        Role::Client => "certificate is not for client use",
    };
    let usages = leaf.and_then(|c| c.usages.as_ref());
    let names: Vec<String> = usages.into_iter().flatten().map(|u| format!("{u}")).collect();
    let detail = if names.is_empty() { String::new() } else { format!("it is for {}", names.join(", ")) };
    defect("wrong_usage", reason, detail)
}

/// A key or a signature that nobody should rely on.
fn weak(certs: &[Certificate<'_>]) -> Option<Defect> {
    let detail = certs.iter().find_map(|c| match &c.key {
        Key::Rsa(bits) if *bits < RSA_BITS => Some(format!("{} has a key of {bits} bits", c.subject.short())),
        _ if c.signature.starts_with("sha1") || c.signature.starts_with("md5") || c.signature.ends_with("SHA1") => {
            Some(format!("{} is signed with {}", c.subject.short(), c.signature))
        }
        _ => None,
    })?;
    Some(defect("weak", "certificate key or signature too weak", detail))
}

fn link(certs: &[Certificate<'_>]) -> String {
    certs.first().map_or_else(String::new, |c| {
        format!("{} is not signed by the key of '{}'", c.subject.short(), c.issuer.short())
    })
}

/// The name that was asked for is not in the certificate.
pub(super) fn wrong_name(leaf: &[u8], name: &str, sni: bool) -> Defect {
    let hosts = match Certificate::parse(leaf) {
        Ok(c) if c.san.is_none() => return mismatch("certificate has no subjectAltName".into()),
        Ok(c) => c.hosts(),
        Err(_) => Vec::new(),
    };
    const SHOWN: usize = 8;
    let more = hosts.len().saturating_sub(SHOWN);
    let mut list = hosts.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    let list = if list.is_empty() { "no host".into() } else { list };
    let asked = if sni { "" } else { "; no SNI was sent" };
    mismatch(format!("certificate is for {list}, not for {name}{asked}"))
}

fn mismatch(detail: String) -> Defect {
    defect("hostname_mismatch", "hostname mismatch", detail)
}

/// What else is wrong with the peer's own certificate, besides what is known already.
pub(super) fn besides(known: &[Defect], leaf: &[u8], role: Role, now: Date) -> Vec<Defect> {
    let Ok(c) = Certificate::parse(leaf) else { return Vec::new() };
    let usage = if role == Role::Server { Usage::Server } else { Usage::Client };
    let mut all = Vec::new();
    if c.not_after < now {
        all.push(defect("expired", "certificate has expired", ended(&c, now)));
    }
    if c.not_before > now {
        all.push(defect("not_yet_valid", "certificate is not yet valid", early(&c, now)));
    }
    if !c.is_for(&usage) {
        all.push(wrong_usage(Some(&c), role));
    }
    // Verifiers look at the keys of issuers only; who has a weak one would fail later, at its signature, without a reason.
    all.extend(weak(core::slice::from_ref(&c)));
    all.retain(|d| known.iter().all(|k| k.word != d.word));
    all
}
