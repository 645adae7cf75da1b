//! A client's side: what it thinks of its server.
use crate::outcome::{Code, Failure};
use proto_core::tls::ClientSetup;
use proto_core::x509::Certificate;
use proto_core::{About, Grounds, Layer, Wall};

/// TLS of a client: what is shared, and whose name the server must have.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// What is shared.
    pub setup: ClientSetup,
    /// The name.
    pub name: String,
    /// The certificate that is shown, in DER.
    pub own: Option<Vec<u8>>,
    /// The server must ask for it, and errors are told by what it did with it.
    pub mutual: bool,
}

/// Alerts by which a server refuses a client's certificate (RFC 8446 section 6.2).
const REQUIRED: u8 = 116;
const HANDSHAKE_FAILURE: u8 = 40;
const UNSUPPORTED: u8 = 43;
const REVOKED: u8 = 44;
const EXPIRED: u8 = 45;
const UNKNOWN_CA: u8 = 48;

impl ClientTls {
    /// How a connection's end is told.
    pub fn failure(&self, grounds: &Grounds, wall: Wall) -> Failure {
        if !self.mutual {
            return super::failure(grounds);
        }
        let failure = super::failure(grounds);
        let text = match (grounds.alert, grounds.defects.first()) {
            (Some(alert), first) => {
                let other = || first.map_or_else(String::new, |d| d.reason.clone());
                let why = refused(alert, self.own.as_deref(), wall).map_or_else(other, String::from);
                format!("Error: handshake failed - {why}")
            }
            (None, Some(d)) if grounds.about == About::Certificate => report(&d.reason, &d.detail),
            _ => format!("Error: {failure}"),
        };
        Failure { text, ..failure }
    }
}

/// What an alert says of our certificate, or of having none. One may stand for several causes: the dates decide.
pub(super) fn refused(alert: u8, own: Option<&[u8]>, wall: Wall) -> Option<&'static str> {
    let now = wall.unix_ns.div_euclid(1_000_000_000);
    let early = own.and_then(|c| Certificate::parse(c).ok()).is_some_and(|c| c.not_before.0 > now);
    Some(match alert {
        REQUIRED => "client certificate required",
        HANDSHAKE_FAILURE if own.is_none() => "client certificate required",
        UNKNOWN_CA => "certificate signed by unknown authority",
        EXPIRED if early => "client certificate is not yet valid",
        EXPIRED => "client certificate has expired",
        UNSUPPORTED => "certificate is not for client use",
        REVOKED => "client certificate revoked",
        _ => return None,
    })
}

/// A server's certificate that is not accepted, in three lines.
pub fn report(reason: &str, detail: &str) -> String {
    let detail = if detail.is_empty() { String::new() } else { format!("\nDetail: {detail}") };
    format!("Error: certificate verify failed\nReason: {reason}{detail}")
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
