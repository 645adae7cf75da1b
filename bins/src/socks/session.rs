//! One client and what it wants.
use super::association::Association;
use super::connector::Attempts;
use core::net::IpAddr;
use core::time::Duration;
use proto_core::socks5::Destination;
use proto_core::{Addr, Cx, Deadline, Instant, Token};

/// How often a long session says what it has moved.
const REPORT: Duration = Duration::from_secs(60);

/// What a socket is for.
#[derive(Clone, Debug)]
pub enum What {
    /// UDP ASSOCIATE, of a client that perhaps says which port it has.
    Udp {
        /// That port.
        port: Option<u16>,
    },
    /// BIND.
    Bind {
        /// Who may come.
        peers: Vec<IpAddr>,
    },
}

/// A socket that is being opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// What for.
    pub what: What,
    /// It.
    pub socket: Token,
    /// It only tells our own address on the way to the other side.
    pub probe: bool,
    /// The other side: the client, or who is to come.
    pub other: IpAddr,
    /// Until when it must be there.
    pub limit: Deadline,
}

/// A listener for one connection.
#[derive(Debug)]
pub struct Listening {
    /// It.
    pub socket: Token,
    /// Who may come.
    pub peers: Vec<IpAddr>,
    /// Until when.
    pub limit: Deadline,
}

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
        /// To expect a connection from there, not to make one.
        bind: bool,
    },
    /// Its target is being connected to.
    Connecting(Attempts),
    /// Another proxy is being asked for its target.
    Asking {
        /// The connection to that.
        out: Token,
        /// Connecting included.
        limit: Deadline,
    },
    /// A socket is being opened for it.
    Opening(Opening),
    /// A connection is to come.
    Listening(Listening),
    /// Bytes go both ways.
    Relaying(Flow),
    /// Datagrams go both ways.
    Associated(Box<Association>),
    /// It has failed, or ends.
    Over,
}

impl Phase {
    /// Its client waits for an answer to a login or a request.
    pub fn is_waited_for(&self) -> bool {
        self.is_under_way() || matches!(self, Phase::Judging { .. } | Phase::Penalty(_))
    }
    /// What the client has asked for is under way.
    pub fn is_under_way(&self) -> bool {
        let connecting = matches!(self, Phase::Resolving { .. } | Phase::Connecting(_) | Phase::Asking { .. });
        connecting || matches!(self, Phase::Opening(_) | Phase::Listening(_))
    }
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
    /// Bytes that are in the user's account.
    pub charged: u64,
    /// Bytes that may pass each way, if there is a limit.
    pub granted: [u64; 2],
    /// Bytes that may pass later.
    pub later: [Option<(Instant, u64)>; 2],
}

impl Flow {
    /// Just begun.
    pub fn new(out: Token, base: u64, now: Instant) -> Self {
        let (moved, charged, granted, later) = ([None; 2], 0, [0; 2], [None; 2]);
        Flow { out, base, moved, half: None, reported: now, charged, granted, later }
    }
    /// Bytes of the client `t` (way 0) or of its target (way 1) are passed on: all of them, or as many as that.
    pub fn open<J, M>(&mut self, t: Token, way: usize, quota: Option<u64>, cx: &mut Cx<'_, J, M>) {
        let (from, to) = if way == 0 { (t, self.out) } else { (self.out, t) };
        if let Some(granted) = self.granted.get_mut(way) {
            *granted = quota.unwrap_or(u64::MAX);
        }
        cx.relay(from, to, quota);
    }
    /// They are passed on later.
    pub fn hold<J, M>(&mut self, t: Token, way: usize, later: (Instant, u64), cx: &mut Cx<'_, J, M>) {
        if let Some(slot) = self.later.get_mut(way) {
            *slot = Some(later);
        }
        cx.read(if way == 0 { t } else { self.out }, false);
    }
    /// Passes on what has waited long enough.
    pub fn resume<J, M>(&mut self, t: Token, cx: &mut Cx<'_, J, M>) {
        for way in 0..2 {
            let now = |later: &mut (Instant, u64)| later.0 <= cx.now;
            if let Some((_, bytes)) = self.later.get_mut(way).and_then(|later| later.take_if(now)) {
                self.open(t, way, Some(bytes), cx);
            }
        }
    }
    /// Both sides have closed.
    pub fn is_over(&self) -> bool {
        self.moved.iter().all(Option::is_some)
    }
    /// It has been half over for longer than `limit`.
    pub fn is_stale(&self, limit: Duration, now: Instant) -> bool {
        self.half.is_some_and(|at| at.after(limit) <= now)
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
    /// Our address there, if its listener has a certain one.
    pub local: Option<IpAddr>,
    /// Who it is.
    pub user: Option<Vec<u8>>,
    /// How far it is.
    pub phase: Phase,
    /// Where to, as it asked.
    pub target: String,
    /// What another proxy is asked for.
    pub beyond: Option<Destination>,
}

impl Session {
    /// What it waits for, but for the handshake, which its machine knows of; `half` is how long it may be half over.
    pub fn deadline(&self, half: Duration) -> Option<Deadline> {
        match &self.phase {
            Phase::Handshake | Phase::Judging { .. } | Phase::Associated(_) | Phase::Over => None,
            Phase::Penalty(d) | Phase::Resolving { limit: d, .. } | Phase::Asking { limit: d, .. } => Some(*d),
            Phase::Opening(Opening { limit: d, .. }) | Phase::Listening(Listening { limit: d, .. }) => Some(*d),
            Phase::Connecting(attempts) => Some(attempts.deadline()),
            Phase::Relaying(flow) => {
                let half = flow.half.map(|at| Deadline::new(at, half, "end of the other direction"));
                let turn =
                    flow.later.iter().flatten().map(|(at, _)| Deadline { at: *at, since: flow.reported, why: "turn" });
                let report = Deadline::new(flow.reported, REPORT, "report");
                turn.fold(Deadline::earliest(half, Some(report)), |a, b| Deadline::earliest(a, Some(b)))
            }
        }
    }
}
