//! What the server knows of one client, and what it demands of all.
use super::certified::Shown;
use super::core::Limits;
use super::member::{Allowance, Backlog, Flood, Slow};
use crate::text::Secret;
use core::time::Duration;
use proto_core::{Addr, Instant};

/// What is special about this server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes that may wait for a client.
    pub queue: usize,
    /// What happens beyond.
    pub slow: Slow,
    /// How many lines a client may send.
    pub flood: Flood,
    /// Of the chat.
    pub limits: Limits,
    /// Others are told who joins and leaves.
    pub notices: bool,
    /// Sent to everybody who comes; empty for nothing.
    pub motd: String,
    /// What clients must say before anything else.
    pub password: Option<Secret>,
    /// Standard output is the stream of events instead of a log.
    pub events: bool,
    /// Members are who their certificates say.
    pub certified: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            queue: 256 << 10,
            slow: Slow::Disconnect,
            flood: Flood { rate: 5.0, burst: 20.0 },
            limits: Limits::default(),
            notices: false,
            motd: String::new(),
            password: None,
            events: false,
            certified: false,
        }
    }
}

/// How long a client may stay above its mark.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Beyond this many times the mark it is dropped at once: the wait must not cost without bound.
pub(super) const HARD: usize = 4;
/// How long a client may go on sending more than its allowance.
pub(super) const FLOODING: Duration = Duration::from_secs(30);
/// Lines that are too long, before the client is cut off.
pub(super) const TOO_LONG: u32 = 3;
/// How long a client may take to say the password.
pub(super) const UNKNOWN: Duration = Duration::from_secs(30);
/// Wrong passwords, before the client is cut off.
pub(super) const WRONG: u32 = 3;

#[derive(Debug)]
pub(super) struct Client {
    pub fd: u32,
    pub remote: Addr,
    pub backlog: Backlog,
    pub allowance: Allowance,
    /// Its next line waits for the allowance until then.
    pub held: Option<Instant>,
    /// It has not said the password yet, and has time until then.
    pub stranger: Option<Instant>,
    pub wrong: u32,
    pub too_long: u32,
    pub not_utf8: bool,
    pub leaving: bool,
    /// Its handshake goes on: nobody hears of it yet.
    pub shaking: bool,
    /// The certificate that it has shown.
    pub shown: Option<Shown>,
}

impl Client {
    pub fn new(fd: u32, remote: Addr, options: &Options, now: Instant) -> Self {
        Client {
            fd,
            remote,
            backlog: Backlog::default(),
            allowance: Allowance::new(options.flood, now),
            held: None,
            stranger: options.password.as_ref().map(|_| now.after(UNKNOWN)),
            wrong: 0,
            too_long: 0,
            not_utf8: false,
            leaving: false,
            shaking: false,
            shown: None,
        }
    }
    pub fn deadline(&self) -> Option<Instant> {
        let over = self.backlog.over.map(|at| at.after(PATIENCE));
        [over, self.held, self.stranger].into_iter().flatten().min()
    }
}
