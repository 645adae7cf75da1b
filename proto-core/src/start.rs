//! The facts an app starts with.
use crate::{Addr, Instant, Shard, Token, Wall};
use alloc::{string::String, vec::Vec};

/// A listener that is bound already. It accepts from the start unless the app switches it off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Its token; accepted connections inherit the part.
    pub token: Token,
    /// Where it listens, with the port that the kernel picked.
    pub at: Addr,
}

/// What standard streams are connected to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tty {
    /// Standard input is a terminal.
    pub stdin: bool,
    /// Standard output is a terminal.
    pub stdout: bool,
    /// Its width in columns, 0 if unknown.
    pub columns: u16,
    /// Its height in rows, 0 if unknown.
    pub rows: u16,
}

/// What the driver tells an app first ([`crate::Input::Start`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Listeners bound by start-up code.
    pub listeners: Vec<Listener>,
    /// Standard input, if the tool reads it.
    pub stdin: Option<Token>,
    /// Standard output.
    pub stdout: Token,
    /// Standard error.
    pub stderr: Token,
    /// What these are.
    pub tty: Tty,
    /// Seed of [`crate::Cx::rng`]: from the operating system, or fixed to repeat a run.
    pub seed: [u8; 32],
    /// Which loop this is.
    pub shard: Shard,
    /// How many loops there are.
    pub shards: u16,
    /// Connections that the driver can hold at once (descriptors, FD_SETSIZE).
    pub capacity: usize,
    /// Its name: `epoll`, `io_uring`, ...
    pub driver: String,
    /// What else it says about itself, as (name, value): ring size, features, trigger.
    pub facts: Vec<(String, String)>,
    /// The clock at start.
    pub now: Instant,
    /// The time of day at start.
    pub wall: Wall,
}

impl Start {
    /// A fact of the driver by name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    /// The port of the first IP listener.
    pub fn port(&self) -> Option<u16> {
        self.listeners.iter().find_map(|l| match l.at {
            Addr::Ip(a) => Some(a.port()),
            Addr::Unix(_) => None,
        })
    }
}
