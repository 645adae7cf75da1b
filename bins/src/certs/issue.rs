//! Certificates as they should be: X.509 v3, with subjectAltName and extended key usage, keys ECDSA P-256.
use crate::outcome::{Code, Failure};
use proto_core::x509::{Date, RevocationList};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams,
    SanType, SerialNumber,
};
use time::OffsetDateTime;

/// Who a certificate is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A server, with all its names; the first is its common name.
    Server(Vec<String>),
    /// A person, by mail address.
    Client(String),
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    pub cert: String,
    pub key: String,
}

/// From when to when, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    pub from: i64,
    pub days: u32,
}

/// How far clocks may be apart: a certificate is good a little before it was made.
const SLACK: i64 = 300;

pub(super) fn wrong(e: rcgen::Error) -> Failure {
    Failure::new(Code::Usage, e.to_string())
}

fn at(unix_s: i64) -> Result<OffsetDateTime, Failure> {
    OffsetDateTime::from_unix_timestamp(unix_s).map_err(|_| Failure::usage("that many days cannot be written down"))
}

fn params(cn: &str, v: Validity) -> Result<CertificateParams, Failure> {
    let mut p = CertificateParams::default();
    p.distinguished_name = DistinguishedName::new();
    p.distinguished_name.push(DnType::CommonName, cn);
    p.not_before = at(v.from - SLACK)?;
    p.not_after = at(v.from.saturating_add(i64::from(v.days) * 86_400))?;
    Ok(p)
}

/// A CA, signed by itself.
pub fn root(cn: &str, v: Validity) -> Result<Issued, Failure> {
    let mut p = params(cn, v)?;
    p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(wrong)?;
    let cert = p.self_signed(&key).map_err(wrong)?;
    Ok(Issued { cert: cert.pem(), key: key.serialize_pem() })
}

/// A CA that exists.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// From its files' contents.
    pub fn new(ca: &Issued) -> Result<Self, Failure> {
        let key = KeyPair::from_pem(&ca.key).map_err(|e| Failure::usage(format!("ca.key: {e}")))?;
        let issuer = Issuer::from_ca_cert_pem(&ca.cert, key).map_err(|e| Failure::usage(format!("ca.crt: {e}")))?;
        Ok(Ca { issuer })
    }
    /// Signs a new key.
    pub fn issue(&self, subject: &Subject, v: Validity) -> Result<Issued, Failure> {
        let (cn, names, usage) = match subject {
            Subject::Server(names) => {
                let all: Result<Vec<_>, _> = names.iter().map(|n| host(n)).collect();
                (names.first().map_or("localhost", String::as_str), all?, ExtendedKeyUsagePurpose::ServerAuth)
            }
            Subject::Client(mail) => {
                let name = mail.as_str().try_into().map_err(|_| bad_name(mail))?;
                (mail.as_str(), vec![SanType::Rfc822Name(name)], ExtendedKeyUsagePurpose::ClientAuth)
            }
        };
        let mut p = params(cn, v)?;
        p.subject_alt_names = names;
        p.extended_key_usages = vec![usage];
        p.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        p.is_ca = IsCa::ExplicitNoCa;
        p.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(wrong)?;
        let cert = p.signed_by(&key, &self.issuer).map_err(wrong)?;
        Ok(Issued { cert: cert.pem(), key: key.serialize_pem() })
    }
    /// A revocation list: what an old one holds, and these serial numbers.
    pub fn revoke(&self, old: Option<&RevocationList<'_>>, new: &[&[u8]], v: Validity) -> Result<String, Failure> {
        let mut all = Vec::new();
        for r in old.iter().flat_map(|l| &l.revoked) {
            all.push(entry(r.serial, r.at, reason(r.reason))?);
        }
        for serial in new {
            all.push(entry(serial, Date(v.from), Some(RevocationReason::KeyCompromise))?);
        }
        let list = CertificateRevocationListParams {
            this_update: at(v.from - SLACK)?,
            next_update: at(v.from.saturating_add(i64::from(v.days) * 86_400))?,
            crl_number: SerialNumber::from(v.from.unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs: all,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|l| l.pem()).map_err(wrong)
    }
}

fn entry(serial: &[u8], since: Date, reason: Option<RevocationReason>) -> Result<RevokedCertParams, Failure> {
    let (serial_number, revocation_time) = (SerialNumber::from_slice(serial), at(since.0)?);
    Ok(RevokedCertParams { serial_number, revocation_time, reason_code: reason, invalidity_date: None })
}

fn reason(n: u8) -> Option<RevocationReason> {
    Some(match n {
        1 => RevocationReason::KeyCompromise,
        2 => RevocationReason::CaCompromise,
        3 => RevocationReason::AffiliationChanged,
        4 => RevocationReason::Superseded,
        5 => RevocationReason::CessationOfOperation,
        6 => RevocationReason::CertificateHold,
        9 => RevocationReason::PrivilegeWithdrawn,
        10 => RevocationReason::AaCompromise,
        _ => return None,
    })
}

fn bad_name(name: &str) -> Failure {
    Failure::usage(format!("'{}' cannot be a name in a certificate", name.escape_debug()))
}

fn host(name: &str) -> Result<SanType, Failure> {
    match name.parse() {
        Ok(ip) => Ok(SanType::IpAddress(ip)),
        Err(_) => Ok(SanType::DnsName(name.try_into().map_err(|_| bad_name(name))?)),
    }
}
