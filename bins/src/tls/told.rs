//! A failed handshake in the words of `https_client`: what failed, why, and the fact behind it, each in its line.
use super::client::refused;
use crate::outcome::Failure;
use proto_core::x509::Certificate;
use proto_core::{About, Grounds, Wall};

/// Seconds of a year.
const YEAR: i64 = 31_557_600;
/// 2020-01-01: a clock that is before it has stopped.
const STOPPED: i64 = 1_577_836_800;

/// What is said of a failure. `own` is the certificate that we have to show; `ready`: the handshake was over.
pub fn told(grounds: &Grounds, own: Option<&[u8]>, ready: bool, wall: Wall) -> Failure {
    let failure = super::failure(grounds);
    let Some(first) = grounds.defects.first() else { return failure };
    let error = match (grounds.about, first.word) {
        (About::Certificate, _) => "certificate verify failed",
        (About::Time | About::Cut, _) | (_, "not_tls") => return Failure { text: first.reason.clone(), ..failure },
        (About::Protocol, _) if ready => "connection failed",
        _ => "handshake failed",
    };
    if let Some(alert) = grounds.alert.filter(|_| grounds.wanted)
        && let Some(why) = refused(alert, own, wall)
    {
        return Failure { text: format!("Error: handshake failed - {why}"), ..failure };
    }
    let mut text = format!("Error: {error}\n");
    match grounds.alert {
        Some(70) => text.push_str(&format!("Reason: no common protocol version\nDetail: {}", first.reason)),
        Some(71) => text.push_str(&format!("Reason: no common cipher suite\nDetail: {}", first.reason)),
        _ => text.push_str(&format!("Reason: {}", first.reason)),
    }
    if !first.detail.is_empty() {
        text.push_str(&format!("\nDetail: {}", first.detail));
    }
    for also in grounds.defects.iter().skip(1) {
        let detail = if also.detail.is_empty() { String::new() } else { format!(" ({})", also.detail) };
        text.push_str(&format!("\nAlso: {}{detail}", also.reason));
    }
    if is_clock_odd(grounds, wall) {
        text.push_str("\nHint: is this machine's clock right?");
    }
    Failure { text, ..failure }
}

/// A date was wrong, and by so much that it may be the clock's fault.
fn is_clock_odd(grounds: &Grounds, wall: Wall) -> bool {
    let now = wall.unix_ns.div_euclid(1_000_000_000);
    let dated = grounds.defects.iter().any(|d| matches!(d.word, "expired" | "not_yet_valid"));
    let far = |c: &Certificate<'_>| {
        now < STOPPED || c.not_after.0.saturating_add(2 * YEAR) < now || c.not_before.0 - 2 * YEAR > now
    };
    dated && grounds.chain.iter().filter_map(|c| Certificate::parse(c).ok()).any(|c| far(&c))
}
