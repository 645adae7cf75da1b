//! A server's side: whether its connections are under TLS, and the layer of each.
use super::PemFile;
use crate::outcome::Failure;
use proto_core::tls::{ClientAuth, Common, Identity, ServerSetup, revocation_lists};
use proto_core::{Layer, tls::BadPem};

/// What the files of a server are, to be read again when it is told so.
#[derive(Clone, Debug)]
pub struct Files {
    /// Certificate and chain.
    pub cert: PemFile,
    /// The key.
    pub key: PemFile,
    /// Whose clients are let in; `None`: it does not ask.
    pub ca: Option<PemFile>,
    /// Clients that are not let in any more.
    pub crl: Option<PemFile>,
    /// What does not come from files.
    pub common: Common,
}

impl Files {
    /// Builds what the connections share.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub fn setup(&self) -> Result<ServerSetup, Failure> {
        let identity = identity(&self.cert, &self.key)?;
        let mut common = Common { identity: Some(identity), ..self.common.clone() };
        if let Some(crl) = &self.crl {
            common.revoked = revocation_lists(&crl.bytes).map_err(|why| crl.bad(&why))?;
        }
        let clients = match &self.ca {
            Some(ca) => ClientAuth::Required(super::roots(ca)?),
            None => ClientAuth::No,
        };
        let named = |why: proto_core::tls::BadSetup| match &self.crl {
            Some(crl) if why.0.contains("CRL") => Failure::usage(format!("{}: {why}", crl.path)),
            _ => Failure::usage(why.0),
        };
        ServerSetup::new(common, clients).map_err(named)
    }
    /// The files in a fixed order.
    pub fn all(&self) -> impl Iterator<Item = &PemFile> {
        [Some(&self.cert), Some(&self.key), self.ca.as_ref(), self.crl.as_ref()].into_iter().flatten()
    }
    /// The same, to be replaced.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut PemFile> {
        [Some(&mut self.cert), Some(&mut self.key), self.ca.as_mut(), self.crl.as_mut()].into_iter().flatten()
    }
}

/// Certificate and key of either side.
///
/// # Errors
/// Which file is wrong, and how.
pub fn identity(cert: &PemFile, key: &PemFile) -> Result<Identity, Failure> {
    Identity::chain(&cert.bytes).map_err(|why| cert.bad(&why))?;
    Identity::new(&cert.bytes, &key.bytes).map_err(|why| match why {
        BadPem::Mismatch => Failure::usage(format!("{} does not match {}", key.path, cert.path)),
        why => key.bad(&why),
    })
}

/// What stands between a server's clients and its machines.
#[derive(Clone, Debug, Default)]
pub enum Guard {
    /// Nothing.
    #[default]
    Clear,
    /// TLS.
    Tls(Box<(ServerSetup, Files)>),
    /// TLS was asked for and cannot be: nobody is let in.
    Broken,
}

impl Guard {
    /// From files; what is wrong with them was told when the tool started.
    pub fn new(files: Option<&Files>) -> Self {
        match files.map(|f| (f, f.setup())) {
            None => Guard::Clear,
            Some((files, Ok(setup))) => Guard::Tls(Box::new((setup, files.clone()))),
            Some((_, Err(_))) => Guard::Broken,
        }
    }
    /// Clients speak TLS.
    pub fn is_on(&self) -> bool {
        !matches!(self, Guard::Clear)
    }
    /// The layers of a new connection; `None`: it cannot be served.
    pub fn layers(&self) -> Option<Vec<Box<dyn Layer>>> {
        match self {
            Guard::Clear => Some(Vec::new()),
            Guard::Tls(tls) => tls.0.layer().ok().map(|layer| vec![layer]),
            Guard::Broken => None,
        }
    }
    /// The files, if it is on.
    pub fn files(&self) -> Option<&Files> {
        if let Guard::Tls(tls) = self { Some(&tls.1) } else { None }
    }
}
