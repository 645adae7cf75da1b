//! What makes a connection an https one.
use super::starttls::{Protocol, StartTls};
use super::tap::{Log, Tap};
use crate::outcome::{Code, Failure};
use core::time::Duration;
use proto_core::Layer;
use proto_core::tls::{ClientSetup, Common, Peers};

/// What the https connections of a run share. What is said of one server is for where the command line leads, its home: a
/// redirect that leads elsewhere is not shown our certificate, nor taken for who was named.
#[derive(Clone, Debug)]
pub struct Secured {
    home: ClientSetup,
    /// Without the certificate; `None`: there is none.
    away: Option<ClientSetup>,
    /// The name to ask for at home, and that the server must have, instead of the host.
    name: Option<String>,
    /// The certificate that is shown, in DER.
    own: Option<Vec<u8>>,
    /// What is said before TLS begins.
    before: Option<Protocol>,
    /// What passes in handshakes is noted.
    log: Option<Log>,
}

impl Secured {
    /// From what the command line says; `name` takes the place of the host.
    ///
    /// # Errors
    /// What does not fit.
    pub fn new(common: Common, peers: Peers, name: Option<String>) -> Result<Self, Failure> {
        let make = |common, peers| ClientSetup::new(common, peers).map_err(|e| Failure::usage(e.0));
        let own = common.identity.as_ref().map(|i| i.leaf().to_vec());
        let away = match &own {
            Some(_) => Some(make(Common { identity: None, ..common.clone() }, peers.clone())?),
            None => None,
        };
        let secured = Secured { home: make(common, peers)?, away, name, own, before: None, log: None };
        if let Some(name) = &secured.name {
            secured.layers(name, true, Duration::ZERO)?; // a name that cannot be is told before anything is sent
        }
        Ok(secured)
    }
    /// With something said before TLS begins, and with handshakes noted.
    pub fn after(self, before: Option<Protocol>, noted: bool) -> Self {
        Secured { before, log: noted.then(Log::default), ..self }
    }
    /// What has passed in the last handshake, if it is noted.
    pub fn noted(&self) -> Vec<String> {
        self.log.as_ref().map(Log::take).unwrap_or_default()
    }
    /// Whether a connection home is another one than one to the same place by a redirect.
    pub fn differs(&self) -> bool {
        self.own.is_some() || self.name.is_some()
    }
    /// The certificate that is shown.
    pub fn own(&self) -> Option<&[u8]> {
        self.own.as_deref()
    }
    /// The layers of a connection to `host`, which has `within` for what comes before TLS.
    ///
    /// # Errors
    /// No certificate can have that name.
    pub fn layers(&self, host: &str, home: bool, within: Duration) -> Result<Vec<Box<dyn Layer>>, Failure> {
        let setup = self.away.as_ref().filter(|_| !home).unwrap_or(&self.home);
        let name = self.name.as_deref().filter(|_| home).unwrap_or(host);
        let tls = setup.layer(name).map_err(|e| Failure::new(Code::Usage, e.0))?;
        let mut all: Vec<Box<dyn Layer>> = Vec::new();
        if let Some(protocol) = self.before {
            all.push(Box::new(StartTls::new(protocol, host, within)));
        }
        if let Some(log) = &self.log {
            all.push(Box::new(Tap::new(log.clone())));
        }
        all.push(tls);
        Ok(all)
    }
    /// Lines of the key log since the last call.
    pub fn take_keys(&self) -> String {
        let away = self.away.as_ref().map(ClientSetup::take_keys).unwrap_or_default();
        self.home.take_keys() + &away
    }
}
