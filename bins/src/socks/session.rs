//! One client and what it wants.
use super::connector::Attempts;
use core::net::IpAddr;
use core::time::Duration;
use proto_core::{Addr, Deadline, Instant, Token};

/// How long one direction may be over while the other is not.
const HALF: Duration = Duration::from_secs(600);
/// How often a long session says what it has moved.
const REPORT: Duration = Duration::from_secs(60);

/// How far a session is.
#[derive(Debug)]
pub enum Phase {
    /// The machine is talking.
    Handshake,
    /// A login is being checked.
    Judging {
        /// Who it says it is.
        user: Vec<u8>,
    },
    /// A login has failed, which is told later.
    Penalty(Deadline),
    /// The name of its target is being looked up.
    Resolving {
        /// The name.
        name: String,
        /// The port that goes with it.
        port: u16,
        /// Connecting included.
        limit: Deadline,
    },
    /// Its target is being connected to.
    Connecting(Attempts),
    /// Bytes go both ways.
    Relaying(Flow),
    /// It has failed, or ends.
    Over,
}

/// Bytes that go both ways.
#[derive(Debug)]
pub struct Flow {
    /// The target's side.
    pub out: Token,
    /// Bytes that the client got before those of the target.
    pub base: u64,
    /// Bytes to the target, and to the client; final where that side has closed.
    pub moved: [Option<u64>; 2],
    /// One direction is over since then.
    pub half: Option<Instant>,
    /// The last report.
    pub reported: Instant,
}

impl Flow {
    /// Just begun.
    pub fn new(out: Token, base: u64, now: Instant) -> Self {
        Flow { out, base, moved: [None; 2], half: None, reported: now }
    }
    /// Both sides have closed.
    pub fn is_over(&self) -> bool {
        self.moved.iter().all(Option::is_some)
    }
    /// It has been half over for too long.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.half.is_some_and(|at| at.after(HALF) <= now)
    }
    /// A report is due.
    pub fn is_reporting(&mut self, now: Instant) -> bool {
        let due = self.reported.after(REPORT) <= now;
        if due {
            self.reported = now;
        }
        due
    }
}

/// A session.
#[derive(Debug)]
pub struct Session {
    /// In the order they came.
    pub number: u64,
    /// The client.
    pub peer: Addr,
    /// Its address, unless it came over a Unix socket.
    pub from: Option<IpAddr>,
    /// Who it is.
    pub user: Option<Vec<u8>>,
    /// How far it is.
    pub phase: Phase,
    /// Where to, as it asked.
    pub target: String,
}

impl Session {
    /// What it waits for, but for the handshake, which its machine knows of.
    pub fn deadline(&self) -> Option<Deadline> {
        match &self.phase {
            Phase::Handshake | Phase::Judging { .. } | Phase::Over => None,
            Phase::Penalty(d) | Phase::Resolving { limit: d, .. } => Some(*d),
            Phase::Connecting(attempts) => Some(attempts.deadline()),
            Phase::Relaying(flow) => {
                let half = flow.half.map(|at| Deadline::new(at, HALF, "end of the other direction"));
                Deadline::earliest(half, Some(Deadline::new(flow.reported, REPORT, "report")))
            }
        }
    }
}
