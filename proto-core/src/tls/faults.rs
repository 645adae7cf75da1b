//! What went wrong, as a fault and in words.
use super::Found;
use super::names::alert;
use crate::{About, Defect, Fault, Grounds};
use alloc::{format, string::String, vec, vec::Vec};
use core::time::Duration;
use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

const RULE: &str = "RFC 8446";

/// Where a connection was.
pub(super) struct Stage<'a> {
    pub client: bool,
    pub ready: bool,
    pub offset: u64,
    /// The first bytes of the peer.
    pub head: &'a [u8],
}

type Told = (Fault, Grounds);

fn told(rule: &'static str, what: &'static str, about: About, word: &'static str, reason: String) -> Told {
    let defect = Defect { word, reason, detail: String::new() };
    let grounds = Grounds { about, defects: vec![defect], ..Grounds::default() };
    (Fault { rule, what, code: 0, offset: 0 }, grounds)
}

pub(super) fn truncated() -> Told {
    let text = "connection closed without close_notify (truncated)";
    told("RFC 8446 6.1", text, About::Cut, "truncated", text.into())
}

pub(super) fn cut_handshake(stage: &str) -> Told {
    let text = format!("connection closed during handshake ({stage})");
    told("RFC 8446 6", "connection closed during handshake", About::Cut, "cut", text)
}

pub(super) fn slow_handshake(limit: Duration, stage: &str) -> Told {
    let s = limit.as_secs_f64();
    let (text, what) = (format!("timeout after {s} s in TLS handshake"), "timeout in TLS handshake");
    let (fault, mut grounds) = told("handshake deadline", what, About::Time, "timeout", text);
    grounds.defects.iter_mut().for_each(|d| d.detail = stage.into());
    (fault, grounds)
}

pub(super) fn long_handshake(limit: usize) -> Told {
    let text = format!("handshake is longer than {limit} bytes");
    told("handshake limit", "handshake too long", About::Protocol, "long_handshake", text)
}

pub(super) fn stuck() -> Told {
    let text = "message of the peer never ends";
    told(RULE, text, About::Protocol, "bad_record", text.into())
}

pub(super) fn exhausted() -> Told {
    let text = "keys of the connection are used up";
    told("RFC 8446 5.5", text, About::Protocol, "exhausted", text.into())
}

/// What a peer that does not speak TLS said first, shortened.
fn answered(head: &[u8], client: bool) -> String {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words = if client && line.starts_with(b"HTTP/") { line.get(..12).unwrap_or(line) } else { line };
    format!("{}", words.escape_ascii())
}

pub(super) fn of(e: &Error, found: Found, at: &Stage<'_>) -> Told {
    let is_record = at.head.first().is_none_or(|b| (20..=23).contains(b));
    let (mut fault, mut grounds) = match e {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented | Error::InvalidCertRevocationList(_) => {
            certificate(e, &found)
        }
        Error::AlertReceived(a) => alerted(*a),
        Error::PeerIncompatible(why) => disagreed(why),
        Error::NoApplicationProtocol => {
            let text = "no common application protocol";
            told("RFC 7301 3.2", text, About::Agreement, "no_common_alpn", text.into())
        }
        Error::InvalidMessage(_) if !at.ready && !is_record => {
            let text = match at.client {
                true => format!("peer does not speak TLS (answered \"{}\")", answered(at.head, true)),
                false => format!("not TLS (\"{}\")", answered(at.head, false)),
            };
            told(RULE, "peer does not speak TLS", About::Protocol, "not_tls", text)
        }
        Error::InvalidMessage(
            InvalidMessage::CertificatePayloadTooLarge | InvalidMessage::HandshakePayloadTooLarge,
        ) => {
            let text = "certificate message is too large";
            told(RULE, text, About::Certificate, "too_large", text.into())
        }
        Error::DecryptError | Error::PeerSentOversizedRecord => bad_record(),
        Error::InvalidMessage(_) if at.ready => bad_record(),
        Error::PeerMisbehaved(why) => misbehaved(why),
        Error::InvalidMessage(why) => {
            told(RULE, "malformed handshake", About::Protocol, "malformed", format!("malformed handshake ({why:?})"))
        }
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            told(RULE, "message out of order", About::Protocol, "out_of_order", "message out of order".into())
        }
        other => told(RULE, "handshake failed", About::Protocol, "other", format!("{other}")),
    };
    fault.offset = at.offset;
    if grounds.chain.is_empty() {
        grounds.chain = found.chain;
    }
    (fault, grounds)
}

fn bad_record() -> Told {
    told("RFC 8446 5.2", "bad record", About::Protocol, "bad_record", "bad record".into())
}

fn certificate(e: &Error, found: &Found) -> Told {
    let (mut fault, mut grounds) = match e {
        Error::NoCertificatesPresented => {
            let text = "no client certificate";
            told("RFC 8446 4.4.2", text, About::Certificate, "no_certificate", text.into())
        }
        _ => told("RFC 5280 6", "certificate is not accepted", About::Certificate, "certificate", format!("{e}")),
    };
    if let Error::InvalidCertificate(e) = e {
        fault.code = u8::from(AlertDescription::from(e.clone())).into();
    }
    if !found.defects.is_empty() {
        grounds.defects = found.defects.clone();
    }
    grounds.chain = found.chain.clone();
    (fault, grounds)
}

fn alerted(a: AlertDescription) -> Told {
    let n = u8::from(a);
    let text = format!("peer sent alert {} ({n})", alert(n));
    let (mut fault, mut grounds) = told("RFC 8446 6.2", "peer sent a fatal alert", About::Agreement, "alert", text);
    fault.code = n.into();
    grounds.alert = Some(n);
    (fault, grounds)
}

fn disagreed(why: &PeerIncompatible) -> Told {
    use PeerIncompatible as P;
    let (word, text): (_, String) = match why {
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled => ("no_common_version", "no common protocol version".into()),
        P::NoCipherSuitesInCommon => ("no_common_suite", "no common cipher suite".into()),
        P::NoKxGroupsInCommon | P::NamedGroupsExtensionRequired | P::NoEcPointFormatsInCommon => {
            ("no_common_group", "no common key exchange group".into())
        }
        P::NoSignatureSchemesInCommon | P::NoCertificateRequestSignatureSchemesInCommon => {
            ("no_common_signature", "no common signature scheme".into())
        }
        other => ("incompatible", format!("peer does not support what is needed ({other:?})")),
    };
    told(RULE, "peer and this side have nothing in common", About::Agreement, word, text)
}

fn misbehaved(why: &PeerMisbehaved) -> Told {
    let text: Vec<&str> = match why {
        PeerMisbehaved::TooManyKeyUpdateRequests => vec!["too many key updates without data"],
        PeerMisbehaved::TooManyWarningAlertsReceived => vec!["too many warning alerts"],
        PeerMisbehaved::TooManyRenegotiationRequests => vec!["too many renegotiation requests"],
        PeerMisbehaved::MessageInterleavedWithHandshakeMessage => vec!["data within a handshake message"],
        _ => Vec::new(),
    };
    let text = text.first().map_or_else(|| format!("peer broke the protocol ({why:?})"), |t| String::from(*t));
    told(RULE, "peer broke the protocol", About::Protocol, "misbehaved", text)
}
