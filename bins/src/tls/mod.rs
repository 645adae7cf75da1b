//! TLS for tools: files of keys and certificates, what a server and a client do with them, and texts about peers.
mod client;
mod files;
mod reload;
mod server;
mod told;

pub use client::{ClientTls, Dialed, report};
pub use files::{PemFile, Pin, Trust, roots, trust};
pub use reload::Reload;
pub use server::{Files, Guard, identity};
pub use told::told;

use crate::outcome::{Code, Failure};
use proto_core::{About, Grounds};

/// How a client says that it could not trust its server, or agree with it.
pub fn failure(grounds: &Grounds) -> Failure {
    let text = explain(grounds);
    let code = match grounds.about {
        About::Certificate | About::Agreement => Code::Tls,
        About::Protocol | About::Cut => Code::Protocol,
        About::Time => Code::Timeout,
    };
    Failure::new(code, text)
}

/// One line about a fault of TLS: the reason, and the fact behind it.
pub fn explain(grounds: &Grounds) -> String {
    let Some(first) = grounds.defects.first() else { return "handshake failed".into() };
    let detail = if first.detail.is_empty() { String::new() } else { format!(" ({})", first.detail) };
    match grounds.about {
        About::Certificate => format!("certificate verify failed: {}{detail}", first.reason),
        About::Agreement => format!("handshake failed: {}{detail}", first.reason),
        About::Protocol | About::Cut | About::Time => format!("{}{detail}", first.reason),
    }
}
