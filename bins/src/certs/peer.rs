//! Certificates of simulated servers: one that is right, and those that are wrong in one way each. Their keys are Ed25519,
//! whose signatures always have the same length, so that a simulation takes the same course whatever the keys are.
use super::issue::wrong;
use crate::outcome::Failure;
use crate::tls::{Files, Guard, PemFile};
use clap::ValueEnum;
use proto_core::tls::{Common, Limits, Roots};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType,
};
use std::sync::OnceLock;
use time::OffsetDateTime;

/// What is wrong with a simulated server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Fake {
    /// Nothing.
    #[default]
    Nothing,
    /// Its certificate has expired.
    Expired,
    /// It is not yet valid.
    Early,
    /// It is for another host.
    WrongHost,
    /// It is for no host.
    NoSan,
    /// It has signed itself.
    SelfSigned,
    /// Somebody has signed it whom nobody trusts, and shows that too.
    UntrustedRoot,
    /// The CA in between is missing.
    NoIntermediate,
    /// It is a CA.
    Ca,
    /// It is for clients.
    ClientUse,
}

/// 2026-01-01, when simulations begin.
const NOW: i64 = 1_767_225_600;
const DAY: i64 = 86_400;
/// The name of simulated servers.
pub const HOST: &str = "server";

/// What a simulated server shows, and whom its client trusts.
#[derive(Debug)]
struct Made {
    chain: String,
    key: String,
    root: String,
}

fn params(cn: &str, days: (i64, i64)) -> Result<CertificateParams, Failure> {
    let mut p = CertificateParams::default();
    p.distinguished_name = DistinguishedName::new();
    p.distinguished_name.push(DnType::CommonName, cn);
    let at = |days: i64| OffsetDateTime::from_unix_timestamp(NOW + days * DAY);
    let far = |_| Failure::usage("a date that cannot be written down");
    (p.not_before, p.not_after) = (at(days.0).map_err(far)?, at(days.1).map_err(far)?);
    Ok(p)
}

fn ca(cn: &str) -> Result<CertificateParams, Failure> {
    let mut p = params(cn, (-365, 3650))?;
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(p)
}

fn key() -> Result<KeyPair, Failure> {
    KeyPair::generate_for(&PKCS_ED25519).map_err(wrong)
}

fn leaf(fake: Fake) -> Result<CertificateParams, Failure> {
    let days = match fake {
        Fake::Expired => (-365, -30),
        Fake::Early => (30, 365),
        _ => (-30, 365),
    };
    let mut p = params(HOST, days)?;
    let name = if fake == Fake::WrongHost { "other" } else { HOST };
    if fake != Fake::NoSan {
        p.subject_alt_names = vec![SanType::DnsName(name.try_into().map_err(wrong)?)];
    }
    let client = fake == Fake::ClientUse;
    let usage = if client { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth };
    p.extended_key_usages = vec![usage];
    p.is_ca = match fake {
        Fake::Ca => IsCa::Ca(BasicConstraints::Unconstrained),
        _ => IsCa::ExplicitNoCa,
    };
    Ok(p)
}

fn make(fake: Fake) -> Result<Made, Failure> {
    let (root_params, root_key) = (ca("Simulated CA")?, key()?);
    let root = root_params.self_signed(&root_key).map_err(wrong)?.pem();
    let trusted = Issuer::new(root_params, root_key);
    let (own, p) = (key()?, leaf(fake)?);
    let (chain, key) = match fake {
        Fake::SelfSigned => (p.self_signed(&own).map_err(wrong)?.pem(), own),
        Fake::UntrustedRoot => {
            let (params, key) = (ca("Untrusted CA")?, key()?);
            let shown = params.self_signed(&key).map_err(wrong)?.pem();
            let issuer = Issuer::new(params, key);
            (p.signed_by(&own, &issuer).map_err(wrong)?.pem() + &shown, own)
        }
        Fake::NoIntermediate => {
            let issuer = Issuer::new(ca("Intermediate CA")?, key()?);
            (p.signed_by(&own, &issuer).map_err(wrong)?.pem(), own)
        }
        _ => (p.signed_by(&own, &trusted).map_err(wrong)?.pem(), own),
    };
    Ok(Made { chain, key: key.serialize_pem(), root })
}

/// A simulated server, made at first use.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    made: std::sync::Arc<OnceLock<Result<Made, Failure>>>,
}

impl Peer {
    fn made(&self, fake: Fake) -> Result<&Made, Failure> {
        self.made.get_or_init(|| make(fake)).as_ref().map_err(Failure::clone)
    }
    /// Whom its client trusts.
    ///
    /// # Errors
    /// It could not be made.
    pub fn roots(&self, fake: Fake) -> Result<Roots, Failure> {
        Roots::pem(self.made(fake)?.root.as_bytes()).map_err(|e| Failure::usage(e.to_string()))
    }
    /// What stands between it and its clients.
    ///
    /// # Errors
    /// It could not be made.
    pub fn guard(&self, fake: Fake) -> Result<Guard, Failure> {
        let made = self.made(fake)?;
        let file = |path: &str, text: &str| PemFile { path: path.into(), bytes: text.into(), open: false };
        let common = Common { resume: true, limits: Limits::default(), ..Common::default() };
        let (cert, key) = (file("server.crt", &made.chain), file("server.key", &made.key));
        Ok(Guard::new(Some(&Files { cert, key, ca: None, crl: None, common })))
    }
}
