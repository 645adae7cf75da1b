//! The verifiers: rustls' own, asked for chain and name apart, with all findings kept for the report.
use super::judge::{self, Role, defect};
use super::{Found, Shared, lock};
use crate::x509::{Certificate, Date};
use crate::{Bytes, Defect};
use alloc::{format, string::String, string::ToString, sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;
use core::time::Duration;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::setup::Skip;

/// Checks a server's certificates.
#[derive(Debug)]
pub(super) struct ServerCheck {
    /// `None`: nobody is trusted.
    pub chain: Option<Arc<WebPkiServerVerifier>>,
    pub algorithms: WebPkiSupportedAlgorithms,
    pub skip: Skip,
    /// SHA-256 of public keys, one of which it must be; none: any.
    pub pins: Vec<[u8; 32]>,
    pub staple: bool,
    /// The name is sent (SNI).
    pub sni: bool,
    pub longest: usize,
    pub shared: Arc<Shared>,
}

/// Checks a client's certificates.
#[derive(Debug)]
pub(super) struct ClientCheck {
    pub inner: Arc<dyn ClientCertVerifier>,
    pub mandatory: bool,
    pub longest: usize,
    pub shared: Arc<Shared>,
}

fn date(now: UnixTime) -> Date {
    Date(now.as_secs().cast_signed())
}

fn copied(leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Vec<Bytes> {
    core::iter::once(leaf).chain(rest).map(|c| Bytes::copy_from_slice(c)).collect()
}

fn too_long(n: usize, longest: usize) -> Option<Defect> {
    let detail = format!("{n} certificates, and {longest} at most are looked at");
    (n > longest).then(|| defect("long_chain", "certificate chain is too long", detail))
}

fn is_name(e: &Error) -> bool {
    use CertificateError as C;
    matches!(e, Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }))
}

const REFUSED: Error = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

impl ServerCheck {
    /// Everything that is wrong, each with the error that stands for it on the wire; what is to be ignored last.
    fn findings(
        &self,
        chain: &[Bytes],
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Vec<(Error, Defect, bool)> {
        let mut all: Vec<(Error, Defect, bool)> = Vec::new();
        if let Some(d) = too_long(chain.len(), self.longest) {
            return alloc::vec![(REFUSED, d, false)];
        }
        let verdict = match &self.chain {
            Some(inner) => inner.verify_server_cert(leaf, rest, name, ocsp, now).err(),
            None => Some(CertificateError::UnknownIssuer.into()),
        };
        if let Some(e) = verdict.filter(|e| !is_name(e)) {
            let d = judge::of_chain(&e, chain, Role::Server, date(now));
            all.push((e, d, self.skip.chain));
            let word = all.first().map_or("", |(_, d, _)| d.word);
            all.extend(self.undated(chain, leaf, rest, name, now).filter(|(_, d, _)| d.word != word));
        }
        let parsed = rustls::server::ParsedCertificate::try_from(leaf);
        if let Some(e) = parsed.ok().and_then(|c| rustls::client::verify_server_name(&c, name).err()) {
            all.push((e, judge::wrong_name(leaf, &name.to_str(), self.sni), self.skip.name));
        }
        let known: Vec<Defect> = all.iter().map(|(_, d, _)| d.clone()).collect();
        for d in judge::besides(&known, leaf, Role::Server, date(now)) {
            all.push((REFUSED, d, self.skip.chain));
        }
        if self.staple && ocsp.is_empty() {
            let d = defect("no_staple", "no stapled OCSP response", String::new());
            all.push((CertificateError::InvalidOcspResponse.into(), d, false));
        }
        all.extend(self.pin(leaf));
        all.sort_by_key(|(_, _, skipped)| *skipped);
        all
    }
    /// What would be wrong with the chain if the dates were right.
    fn undated(
        &self,
        chain: &[Bytes],
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<(Error, Defect, bool)> {
        let c = Certificate::parse(leaf).ok().filter(|c| c.not_after < date(now) || c.not_before > date(now))?;
        let when = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(c.not_after.0).ok()?));
        let e = self.chain.as_ref()?.verify_server_cert(leaf, rest, name, &[], when).err().filter(|e| !is_name(e))?;
        let d = judge::of_chain(&e, chain, Role::Server, date(when));
        Some((e, d, self.skip.chain))
    }
    fn pin(&self, leaf: &[u8]) -> Option<(Error, Defect, bool)> {
        let key = Certificate::parse(leaf).map(|c| super::sha256(c.spki)).unwrap_or_default();
        let right = self.pins.is_empty() || self.pins.iter().any(|p| p[..] == key);
        let detail = format!("its key has sha256 {}", crate::x509::hex(&key, ""));
        (!right).then(|| (REFUSED, defect("pin_mismatch", "public key pin mismatch", detail), false))
    }
}

impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = copied(leaf, rest);
        let all = self.findings(&chain, leaf, rest, name, ocsp, now);
        let verdict = all.iter().find(|(_, _, skipped)| !skipped).map(|(e, ..)| e.clone());
        let defects = all.into_iter().map(|(_, d, _)| d).collect();
        *lock(&self.shared.found) = Some(Found { chain, staple: ocsp.to_vec(), defects });
        verdict.map_or(Ok(ServerCertVerified::assertion()), Err)
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for ClientCheck {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = copied(leaf, rest);
        let long = too_long(chain.len(), self.longest);
        let verdict = match &long {
            Some(_) => Err(REFUSED),
            None => self.inner.verify_client_cert(leaf, rest, now),
        };
        let mut defects: Vec<Defect> = long.into_iter().collect();
        if let (Err(e), true) = (&verdict, defects.is_empty()) {
            defects.push(judge::of_chain(e, &chain, Role::Client, date(now)));
        }
        defects.extend(judge::besides(&defects, leaf, Role::Client, date(now)));
        let verdict = if defects.is_empty() { verdict } else { verdict.and(Err(REFUSED)) };
        *lock(&self.shared.found) = Some(Found { chain, staple: Vec::new(), defects });
        verdict
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The one key of a server; it hears what name a client asks for.
#[derive(Debug)]
pub(super) struct OneKey {
    pub key: Arc<rustls::sign::SingleCertAndKey>,
    pub shared: Arc<Shared>,
}

impl rustls::server::ResolvesServerCert for OneKey {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        *lock(&self.shared.asked) = hello.server_name().map(String::from);
        rustls::server::ResolvesServerCert::resolve(&*self.key, hello)
    }
}

/// The one certificate of a client, if it has one; it hears that the server asks for it.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    pub own: Option<Arc<rustls::sign::SingleCertAndKey>>,
    pub shared: Arc<Shared>,
}

impl rustls::client::ResolvesClientCert for OwnCertificate {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        self.shared.wanted.store(true, Ordering::Relaxed);
        rustls::client::ResolvesClientCert::resolve(&**self.own.as_ref()?, hints, schemes)
    }
    fn has_certs(&self) -> bool {
        self.own.is_some()
    }
}

/// A name as it was asked for.
pub(super) fn shown(name: &ServerName<'_>) -> String {
    name.to_str().to_string()
}
