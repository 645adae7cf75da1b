//! A client's side: what it thinks of its server.
use crate::outcome::{Code, Failure};
use proto_core::Layer;
use proto_core::tls::ClientSetup;

/// TLS of a client: what is shared, and whose name the server must have.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// What is shared.
    pub setup: ClientSetup,
    /// The name.
    pub name: String,
}

/// The layers of a connection that was made.
pub type Dialed = Vec<Box<dyn Layer>>;

impl ClientTls {
    /// The layers of a connection: none if `tls` is not there.
    ///
    /// # Errors
    /// No certificate can have that name.
    pub fn layers(tls: Option<&ClientTls>) -> Result<Dialed, Failure> {
        let Some(tls) = tls else { return Ok(Vec::new()) };
        tls.setup.layer(&tls.name).map(|layer| vec![layer]).map_err(|e| Failure::new(Code::Usage, e.0))
    }
}
