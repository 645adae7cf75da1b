//! Certificates for tests, right and wrong: made on the spot, with fixed dates.
use proto_core::tls::{Identity, Roots};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SanType, SerialNumber,
};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// The time of day of tests, in nanoseconds since 1970: 2024-06-01.
pub const NOW_NS: i64 = 1_717_200_000_000_000_000;

thread_local! {
    static LATER: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Dates of this thread's certificates are moved so that what is [`NOW_NS`] for others is the time of day.
pub fn dates_of_today() {
    let today = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let later = today.saturating_sub(Duration::from_nanos(NOW_NS.unsigned_abs()));
    LATER.set(Duration::from_secs(later.as_secs()));
}

/// A day in a certificate.
pub fn day(year: i32, month: u8, day: u8) -> OffsetDateTime {
    rcgen::date_time_ymd(year, month, day) + LATER.get()
}

static SERIAL: AtomicU64 = AtomicU64::new(0x1000);

/// A certificate and its key.
#[derive(Debug)]
pub struct Made {
    /// The certificate.
    pub cert: rcgen::Certificate,
    /// Its key.
    pub key: String,
    /// Its serial number.
    pub serial: SerialNumber,
}

impl Made {
    /// As the layer wants it, with what else is to be sent behind it.
    pub fn identity(&self, rest: &[&Made]) -> Identity {
        let chain: String = std::iter::once(self).chain(rest.iter().copied()).map(|m| m.cert.pem()).collect();
        Identity::new(chain.as_bytes(), self.key.as_bytes()).expect("they fit")
    }
    /// The certificate as a root.
    pub fn root(&self) -> Roots {
        Roots::pem(self.cert.pem().as_bytes()).expect("a root")
    }
}

/// Parameters with a name and good dates; what a test wants wrong, it changes.
pub fn params(cn: &str) -> CertificateParams {
    let mut p = CertificateParams::default();
    p.distinguished_name = rcgen::DistinguishedName::new();
    p.distinguished_name.push(DnType::CommonName, cn);
    (p.not_before, p.not_after) = (day(2024, 1, 1), day(2025, 1, 1));
    p.serial_number = Some(SerialNumber::from(SERIAL.fetch_add(1, Ordering::Relaxed)));
    p.use_authority_key_identifier_extension = true;
    p
}

/// Those of a server.
pub fn server(names: &[&str]) -> CertificateParams {
    let mut p = params(names.first().unwrap_or(&"server"));
    p.subject_alt_names = names.iter().map(|n| san(n)).collect();
    p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    p
}

/// Those of a client.
pub fn client(mail: &str) -> CertificateParams {
    let mut p = params(mail);
    p.subject_alt_names = vec![SanType::Rfc822Name(mail.try_into().expect("ASCII"))];
    p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    p
}

fn san(name: &str) -> SanType {
    match name.parse() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) => SanType::DnsName(name.try_into().expect("ASCII")),
    }
}

/// Those of a CA.
pub fn ca(cn: &str) -> CertificateParams {
    let mut p = params(cn);
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    p
}

/// Who signs.
#[derive(Debug)]
pub struct Ca {
    /// Its certificate.
    pub made: Made,
    issuer: Issuer<'static, KeyPair>,
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// Signed by itself.
pub fn self_signed(p: CertificateParams) -> Made {
    let key = key();
    let cert = p.self_signed(&key).expect("signed");
    Made { cert, serial: p.serial_number.expect("set"), key: key.serialize_pem() }
}

impl Ca {
    /// A root.
    pub fn root(p: CertificateParams) -> Ca {
        let key = key();
        let cert = p.self_signed(&key).expect("signed");
        let made = Made { cert, serial: p.serial_number.clone().expect("set"), key: key.serialize_pem() };
        Ca { made, issuer: Issuer::new(p, key) }
    }
    /// A root by its name.
    pub fn named(cn: &str) -> Ca {
        Ca::root(ca(cn))
    }
    /// A CA below this one.
    pub fn below(&self, p: CertificateParams) -> Ca {
        let key = key();
        let cert = p.signed_by(&key, &self.issuer).expect("signed");
        let made = Made { cert, serial: p.serial_number.clone().expect("set"), key: key.serialize_pem() };
        Ca { made, issuer: Issuer::new(p, key) }
    }
    /// Signs.
    pub fn sign(&self, p: CertificateParams) -> Made {
        let key = key();
        let cert = p.signed_by(&key, &self.issuer).expect("signed");
        Made { cert, serial: p.serial_number.expect("set"), key: key.serialize_pem() }
    }
    /// A revocation list in PEM, good until the year's end, or as old as the year's beginning.
    pub fn revoke(&self, all: &[&Made], fresh: bool) -> String {
        let since = day(2024, 2, 1);
        let revoked = all.iter().map(|m| RevokedCertParams {
            serial_number: m.serial.clone(),
            revocation_time: since,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: since,
            next_update: if fresh { day(2024, 12, 31) } else { day(2024, 3, 1) },
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("signed").pem().expect("PEM")
    }
}
