//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) as a [`Layer`](crate::Layer), both sides, over rustls.
//!
//! ```text
//! ServerSetup / ClientSetup --layer()--> Tls:  handshake --ready--> open / seal --close_notify--> ended
//! ```
//! A *setup* is what all connections of a listener or a client share: keys, roots, revocation lists, sessions. It is built
//! from bytes, never from files, and [`Tls`] is one connection. The time of day at which certificates are judged comes
//! from the driver ([`Layer::tell_time`](crate::Layer::tell_time)); nothing here reads a clock.
//!
//! **Invariant:** only `layer.rs` names rustls' unbuffered interface, which is gone in its next version.
//!
//! What is bounded: the time and the bytes of a handshake ([`Limits`]), certificates in a chain, input that does not make
//! a record yet. An idle connection keeps no buffer: what it costs is rustls' state, which a test measures.
//!
//! A setup belongs to one app: what its verifier finds is handed to the connection being served, one at a time.

use crate::{Bytes, Defect, Wall};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use core::time::Duration;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::sync::{Mutex, MutexGuard, PoisonError};

mod faults;
mod judge;
mod layer;
mod load;
mod names;
mod setup;
mod verify;

pub use layer::Tls;
pub use load::{BadPem, Identity, Roots, revocation_lists};
pub use names::{alert, groups, suites, tls_version};
pub use setup::{BadSetup, ClientAuth, ClientSetup, Common, Peers, ServerSetup, Skip};

#[cfg(not(any(feature = "aws-lc", feature = "ring")))]
compile_error!("the feature `tls` needs `aws-lc` or `ring` beside it");

/// What is bounded, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// From the first byte to the end of the handshake: longer than any honest peer needs, and what a silent one costs.
    pub handshake: Duration,
    /// Bytes of the peer within the handshake: a chain of ten large certificates fits.
    pub handshake_bytes: usize,
    /// Certificates in a chain, the peer's own among them.
    pub chain: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { handshake: Duration::from_secs(10), handshake_bytes: 128 << 10, chain: 10 }
    }
}

/// The name of the library that does the cryptography.
pub const PROVIDER: &str = if cfg!(feature = "aws-lc") { "aws-lc-rs" } else { "ring" };

/// The cryptography that was built in.
fn provider() -> CryptoProvider {
    #[cfg(feature = "aws-lc")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(all(feature = "ring", not(feature = "aws-lc")))]
    return rustls::crypto::ring::default_provider();
}

/// What a verifier found out about a peer.
#[derive(Clone, Debug, Default)]
struct Found {
    chain: Vec<Bytes>,
    staple: Vec<u8>,
    defects: Vec<Defect>,
}

/// What the connections of a setup and its verifiers tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// The time of day, in seconds since 1970.
    unix_s: AtomicI64,
    /// It stays as it is.
    frozen: bool,
    /// The peer has asked for a certificate of this side.
    wanted: AtomicBool,
    found: Mutex<Option<Found>>,
    /// The name that a client has asked for.
    asked: Mutex<Option<String>>,
    /// Lines of a key log, if one is kept.
    keys: Mutex<String>,
}

/// Most bytes of a key log that wait to be written.
const KEYS: usize = 1 << 20;

impl Shared {
    fn new(at: Option<Wall>) -> Self {
        let shared = Shared { frozen: at.is_some(), ..Shared::default() };
        shared.unix_s.store(at.map_or(0, seconds), Ordering::Relaxed);
        shared
    }
    fn tell_time(&self, wall: Wall) {
        if !self.frozen {
            self.unix_s.store(seconds(wall), Ordering::Relaxed);
        }
    }
    fn now(&self) -> UnixTime {
        let s = self.unix_s.load(Ordering::Relaxed);
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(s).unwrap_or(0)))
    }
    fn found(&self) -> Option<Found> {
        lock(&self.found).take()
    }
    fn asked(&self) -> Option<String> {
        lock(&self.asked).take()
    }
}

fn seconds(wall: Wall) -> i64 {
    wall.unix_ns.div_euclid(1_000_000_000)
}

impl TimeProvider for Shared {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

impl rustls::KeyLog for Shared {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut keys = lock(&self.keys);
        if keys.len() < KEYS {
            let [random, secret] = [client_random, secret].map(|b| crate::x509::hex(b, ""));
            keys.extend([label, " ", &random, " ", &secret, "\n"]);
        }
    }
}

/// Nothing that is locked here is left half done by a panic.
fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SHA-256, of the provider.
pub fn sha256(data: &[u8]) -> Vec<u8> {
    let suites = provider().cipher_suites;
    let hash = suites.iter().find_map(|s| {
        let hash = s.tls13()?.common.hash_provider;
        (hash.output_len() == 32).then_some(hash)
    });
    hash.map(|h| h.hash(data).as_ref().to_vec()).unwrap_or_default()
}

type SharedRef = Arc<Shared>;
