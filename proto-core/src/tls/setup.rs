//! What all connections of a listener, or of a client, share.
use super::load::{Identity, Roots};
use super::verify::{ClientCheck, OneKey, OwnCertificate, ServerCheck, shown};
use super::{Limits, Shared, SharedRef, Tls, lock, provider};
use crate::{Layer, Wall};
use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use core::fmt;
use rustls::client::{ClientSessionMemoryCache, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateRevocationListDer, ServerName};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

/// Sessions that are kept to be continued, of either side.
const SESSIONS: usize = 1024;
/// Tickets that a TLS 1.3 server sends with a handshake.
const TICKETS: usize = 2;

/// A setup that cannot be: what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadSetup(pub String);

impl fmt::Display for BadSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for BadSetup {}

/// What both sides choose.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// Versions to offer; none: 1.2 and 1.3.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Suites to offer, by their registered names ([`super::suites`]); none: all.
    pub suites: Vec<String>,
    /// Key exchange groups to offer, by their registered names ([`super::groups`]) in any case; none: all.
    pub groups: Vec<String>,
    /// Application protocols, the favourite first (ALPN).
    pub alpn: Vec<Vec<u8>>,
    /// Who this side is. A server needs one.
    pub identity: Option<Identity>,
    /// Certificates that are not good any more.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
    /// A certificate of which no list tells, or only an old one, is taken for good.
    pub lenient: bool,
    /// Earlier sessions may be continued. Not with client certificates whose revocation is to count at once.
    pub resume: bool,
    /// Keys are kept for [`ServerSetup::take_keys`], [`ClientSetup::take_keys`].
    pub key_log: bool,
    /// Certificates are judged as of this time, whatever time it is.
    pub at: Option<Wall>,
    /// What is bounded.
    pub limits: Limits,
}

/// Whether a server wants to know who its clients are.
#[derive(Clone, Debug, Default)]
pub enum ClientAuth {
    /// It does not ask.
    #[default]
    No,
    /// It asks, and serves those too that do not say.
    Asked(Roots),
    /// Who does not prove it is refused.
    Required(Roots),
}

/// What a client thinks of servers' certificates.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Whom it believes.
    pub roots: Option<Roots>,
    /// What is reported and not minded.
    pub skip: Skip,
    /// SHA-256 of public keys, one of which a server must have; none: any.
    pub pins: Vec<[u8; 32]>,
    /// A stapled OCSP response must come.
    pub staple: bool,
    /// The server's name is not sent.
    pub no_sni: bool,
}

/// Checks whose outcome is reported and not minded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Skip {
    /// Who signed it, when, and what for.
    pub chain: bool,
    /// Whose name it has.
    pub name: bool,
}

fn bad(what: &str) -> impl Fn(rustls::Error) -> BadSetup {
    move |e| BadSetup(format!("{what}: {e}"))
}

impl Common {
    fn provider(&self) -> Result<Arc<CryptoProvider>, BadSetup> {
        let mut p = provider();
        let names = super::suites();
        if let Some(unknown) = self.suites.iter().find(|s| !names.contains(&s.as_str())) {
            return Err(BadSetup(format!("no cipher suite '{unknown}'; there are {}", names.join(", "))));
        }
        p.cipher_suites.retain(|s| {
            let name = super::names::suite(Some(*s));
            self.suites.is_empty() || self.suites.iter().any(|wanted| wanted == name)
        });
        let names = super::groups();
        let is = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        if let Some(unknown) = self.groups.iter().find(|g| !names.iter().any(|n| is(n, g))) {
            return Err(BadSetup(format!("no key exchange group '{unknown}'; there are {}", names.join(", "))));
        }
        p.kx_groups.retain(|g| {
            let name = format!("{:?}", g.name());
            self.groups.is_empty() || self.groups.iter().any(|wanted| is(wanted, &name))
        });
        Ok(Arc::new(p))
    }
    fn versions(&self) -> &[&'static SupportedProtocolVersion] {
        if self.versions.is_empty() { rustls::DEFAULT_VERSIONS } else { &self.versions }
    }
}

/// A server's.
#[derive(Clone)]
pub struct ServerSetup {
    config: Arc<ServerConfig>,
    shared: SharedRef,
    limits: Limits,
}

impl ServerSetup {
    /// A server that shows its identity, and perhaps wants to see its clients'.
    ///
    /// # Errors
    /// What is missing, or does not fit.
    pub fn new(common: Common, clients: ClientAuth) -> Result<Self, BadSetup> {
        let (provider, shared) = (common.provider()?, Arc::new(Shared::new(common.at)));
        let identity = common.identity.as_ref().ok_or_else(|| BadSetup("a server needs a certificate".into()))?;
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::clone(&shared) as _)
            .with_protocol_versions(common.versions())
            .map_err(bad("versions and suites do not fit"))?;
        let verified = client_check(&common, clients, &provider, &shared)?;
        let builder = match verified {
            Some(check) => builder.with_client_cert_verifier(Arc::new(check)),
            None => builder.with_no_client_auth(),
        };
        let key = OneKey { key: identity.resolver(), shared: Arc::clone(&shared) };
        let mut config = builder.with_cert_resolver(Arc::new(key));
        config.alpn_protocols = common.alpn;
        if common.key_log {
            config.key_log = Arc::clone(&shared) as _;
        }
        if common.resume {
            config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
            config.send_tls13_tickets = TICKETS;
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(ServerSetup { config: Arc::new(config), shared, limits: common.limits })
    }
    /// The layer of one connection.
    ///
    /// # Errors
    /// None that is known; rustls may have one.
    pub fn layer(&self) -> Result<Box<dyn Layer>, BadSetup> {
        let tls = Tls::server(Arc::clone(&self.config), Arc::clone(&self.shared), self.limits);
        tls.map(|t| Box::new(t) as _).map_err(bad("TLS"))
    }
    /// Lines of the key log since the last call.
    pub fn take_keys(&self) -> String {
        core::mem::take(&mut *lock(&self.shared.keys))
    }
}

fn client_check(
    common: &Common,
    clients: ClientAuth,
    provider: &Arc<CryptoProvider>,
    shared: &Arc<Shared>,
) -> Result<Option<ClientCheck>, BadSetup> {
    let (roots, mandatory) = match clients {
        ClientAuth::No => return Ok(None),
        ClientAuth::Asked(roots) => (roots, false),
        ClientAuth::Required(roots) => (roots, true),
    };
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots.store, Arc::clone(provider))
        .with_crls(common.revoked.clone());
    builder = match common.lenient {
        true => builder.allow_unknown_revocation_status(),
        false => builder.enforce_revocation_expiration(),
    };
    let inner = builder.build().map_err(|e| BadSetup(format!("client certificates: {e}")))?;
    Ok(Some(ClientCheck { inner, mandatory, longest: common.limits.chain, shared: Arc::clone(shared) }))
}

/// A client's.
#[derive(Clone)]
pub struct ClientSetup {
    config: Arc<ClientConfig>,
    shared: SharedRef,
    limits: Limits,
}

impl ClientSetup {
    /// A client that checks whom it talks to.
    ///
    /// # Errors
    /// What does not fit.
    pub fn new(common: Common, peers: Peers) -> Result<Self, BadSetup> {
        let (provider, shared) = (common.provider()?, Arc::new(Shared::new(common.at)));
        let algorithms = provider.signature_verification_algorithms;
        let chain = peers.roots.filter(|r| !r.is_empty()).map(|roots| {
            let mut builder = WebPkiServerVerifier::builder_with_provider(roots.store, Arc::clone(&provider))
                .with_crls(common.revoked.clone());
            builder = match common.lenient {
                true => builder.allow_unknown_revocation_status(),
                false => builder.enforce_revocation_expiration(),
            };
            builder.build().map_err(|e| BadSetup(format!("server certificates: {e}")))
        });
        let check = ServerCheck {
            chain: chain.transpose()?,
            algorithms,
            skip: peers.skip,
            pins: peers.pins,
            staple: peers.staple,
            sni: !peers.no_sni,
            longest: common.limits.chain,
            shared: Arc::clone(&shared),
        };
        let builder = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::clone(&shared) as _)
            .with_protocol_versions(common.versions())
            .map_err(bad("versions and suites do not fit"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(check));
        let own = common.identity.as_ref().map(Identity::resolver);
        let own = OwnCertificate { own, shared: Arc::clone(&shared) };
        let mut config = builder.with_client_cert_resolver(Arc::new(own));
        config.alpn_protocols = common.alpn;
        config.enable_sni = !peers.no_sni;
        if common.key_log {
            config.key_log = Arc::clone(&shared) as _;
        }
        config.resumption = match common.resume {
            true => Resumption::store(Arc::new(ClientSessionMemoryCache::new(SESSIONS))),
            false => Resumption::disabled(),
        };
        Ok(ClientSetup { config: Arc::new(config), shared, limits: common.limits })
    }
    /// The layer of one connection to `name`: a host name, or an address.
    ///
    /// # Errors
    /// The name can be in no certificate.
    pub fn layer(&self, name: &str) -> Result<Box<dyn Layer>, BadSetup> {
        let name = name.trim_matches(['[', ']']);
        let name = ServerName::try_from(String::from(name))
            .map_err(|_| BadSetup(format!("'{}' is not a name that a certificate can have", name.escape_debug())))?;
        let tls = Tls::client(Arc::clone(&self.config), name.clone(), Arc::clone(&self.shared), self.limits);
        tls.map(|t| Box::new(t) as _).map_err(|e| BadSetup(format!("{}: {e}", shown(&name))))
    }
    /// Lines of the key log since the last call.
    pub fn take_keys(&self) -> String {
        core::mem::take(&mut *lock(&self.shared.keys))
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSetup")
    }
}

impl fmt::Debug for ClientSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSetup")
    }
}
