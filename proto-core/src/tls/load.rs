//! Keys, certificates and revocation lists from the bytes of files: PEM, or DER where there is one thing in it.
use super::provider;
use crate::x509::Certificate;
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::fmt;
use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// A file does not hold what it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BadPem {
    /// Nothing of that kind is in it.
    Nothing(&'static str),
    /// It cannot be read.
    Broken(String),
    /// A certificate of the format's first version.
    Version1,
    /// The key is of another certificate.
    Mismatch,
}

impl fmt::Display for BadPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadPem::Nothing(what) => write!(f, "no {what} in it (PEM expected)"),
            BadPem::Broken(why) => f.write_str(why),
            BadPem::Version1 => {
                f.write_str("certificate is X.509 v1 without subjectAltName; re-issue it with generate_certs")
            }
            BadPem::Mismatch => f.write_str("key does not match the certificate"),
        }
    }
}

impl core::error::Error for BadPem {}

fn broken(e: &PemError, what: &'static str) -> BadPem {
    match e {
        PemError::NoItemsFound => BadPem::Nothing(what),
        PemError::MissingSectionEnd { .. } => BadPem::Broken("PEM section without its end".into()),
        PemError::IllegalSectionStart { .. } => BadPem::Broken("PEM section does not begin as it should".into()),
        PemError::Base64Decode(_) => BadPem::Broken("PEM section is not base64".into()),
        other => BadPem::Broken(format!("{other}")),
    }
}

/// The certificates in a file. Each can be read, and is of version 3.
fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadPem> {
    let what = "certificate";
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).collect();
    let mut all = all.map_err(|e| broken(&e, what))?;
    if all.is_empty() && file.first() == Some(&0x30) {
        all.push(CertificateDer::from(file.to_vec()));
    }
    for (i, c) in all.iter().enumerate() {
        match Certificate::parse(c) {
            Ok(c) if c.version == 3 => {}
            Ok(_) => return Err(BadPem::Version1),
            Err(e) => return Err(BadPem::Broken(format!("certificate {} cannot be parsed: {e}", i + 1))),
        }
    }
    if all.is_empty() { Err(BadPem::Nothing(what)) } else { Ok(all) }
}

/// A certificate with its chain, and the key to it.
#[derive(Clone, Debug)]
pub struct Identity {
    key: Arc<SingleCertAndKey>,
    chain: Vec<CertificateDer<'static>>,
}

impl Identity {
    /// Its certificates, its own first.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn chain(file: &[u8]) -> Result<Vec<Vec<u8>>, BadPem> {
        Ok(certificates(file)?.iter().map(|c| c.to_vec()).collect())
    }
    /// From the file of certificates and the file of the key. [`BadPem`] says nothing of which: see [`Identity::chain`].
    ///
    /// # Errors
    /// What is wrong.
    pub fn new(certificates_file: &[u8], key_file: &[u8]) -> Result<Self, BadPem> {
        let chain = certificates(certificates_file)?;
        let key = PrivateKeyDer::from_pem_slice(key_file).map_err(|e| {
            if key_file.windows(21).any(|w| w == b"BEGIN ENCRYPTED PRIVA") {
                return BadPem::Broken("key is encrypted; decrypt it first (openssl pkey)".into());
            }
            broken(&e, "private key")
        })?;
        let unusable = |e: rustls::Error| BadPem::Broken(format!("key cannot be used: {e}"));
        let key = provider().key_provider.load_private_key(key).map_err(unusable)?;
        let of_key = key.public_key();
        let of_leaf = chain.first().and_then(|c| Certificate::parse(c).ok()).map(|c| c.spki);
        if of_key.is_some_and(|k| Some(k.as_ref()) != of_leaf) {
            return Err(BadPem::Mismatch);
        }
        let key = CertifiedKey::new(chain.clone(), key);
        Ok(Identity { key: Arc::new(SingleCertAndKey::from(key)), chain })
    }
    /// The certificate itself, in DER.
    pub fn leaf(&self) -> &[u8] {
        self.chain.first().map_or(&[], |c| c)
    }
    pub(super) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::clone(&self.key)
    }
}

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Roots {
    pub(super) store: Arc<RootCertStore>,
}

impl Roots {
    /// The CAs in a file, all of which must be usable.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn pem(file: &[u8]) -> Result<Self, BadPem> {
        let mut store = RootCertStore::empty();
        for c in certificates(file)? {
            store.add(c).map_err(|e| BadPem::Broken(format!("certificate cannot be a root: {e}")))?;
        }
        Ok(Roots { store: Arc::new(store) })
    }
    /// Many, in DER, of which those are left out that cannot be used: a system's store has such.
    pub fn der<'a>(all: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(all.into_iter().map(|c| CertificateDer::from(c.to_vec())));
        Roots { store: Arc::new(store) }
    }
    /// Names and keys that are trusted as they are.
    pub fn anchors(all: &[rustls::pki_types::TrustAnchor<'static>]) -> Self {
        Roots { store: Arc::new(RootCertStore { roots: all.to_vec() }) }
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.store.roots.len()
    }
    /// Nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }
}

/// The revocation lists in a file.
///
/// # Errors
/// What is wrong with it.
pub fn revocation_lists(file: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, BadPem> {
    let what = "revocation list (X509 CRL)";
    let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(file).collect();
    let mut all = all.map_err(|e| broken(&e, what))?;
    if all.is_empty() && file.first() == Some(&0x30) {
        all.push(CertificateRevocationListDer::from(file.to_vec()));
    }
    if all.is_empty() { Err(BadPem::Nothing(what)) } else { Ok(all) }
}
