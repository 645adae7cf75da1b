//! Which ports of which hosts are open.
//!
//! | module | what it does |
//! |---|---|
//! | `ports`, `targets`, `services` | what to scan, and what it is called |
//! | `order`, `pace` | in which order, how fast |
//! | `sweep` | the scan itself: which probe is next, what became of it. Pure, without a driver |
//! | `probes` | questions to UDP services; the packets of a half-open scan are `proto_core::half_open` |
//! | `found` | what is kept of the answers |
//! | `report`, `json` | how it is shown |
//! | `state`, `compare` | going on with an earlier scan; what has changed since one |
//! | `scripted` | a host to be scanned in simulations |
//! | `options`, `app` | the flags as values; the app around the rest |
pub mod app;
mod asking;
mod compare;
mod found;
mod json;
pub mod options;
mod order;
mod pace;
pub mod ports;
mod probes;
mod report;
pub mod scripted;
pub mod services;
mod state;
mod sweep;
#[cfg(test)]
mod sweep_tests;
mod table;
pub mod targets;

pub use app::Scan;
pub use found::Listed;
pub use options::Options;

use core::fmt;
use proto_core::Reason;
use proto_core::half_open::mix;

/// What a port is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// Somebody listens.
    Open,
    /// The host says that nobody does.
    Closed,
    /// Nothing comes back, or somebody on the way says no.
    Filtered,
    /// UDP: silence, which is how most services take what they do not understand.
    OpenFiltered,
}

impl State {
    /// All, in the order of their counts.
    pub const ALL: [State; 4] = [State::Open, State::Closed, State::Filtered, State::OpenFiltered];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Closed => "closed",
            State::Filtered => "filtered",
            State::OpenFiltered => "open|filtered",
        }
    }
    fn named(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// How a state is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    /// It accepted.
    SynAck,
    /// It reset.
    Rst,
    /// Silence, also when asked again.
    NoAnswer,
    /// ICMP: no way to the host.
    HostUnreachable,
    /// ICMP, or our own tables: no way to the network.
    NetUnreachable,
    /// A firewall said that it forbids it: one on the way, or this machine's.
    Prohibited,
    /// ICMP: nobody has that UDP port.
    PortUnreachable,
    /// A datagram came back.
    Response,
    /// Any other error of the system, by number.
    Error(i32),
}

/// All that carry no number, with their names.
const WHYS: [(Why, &str); 8] = [
    (Why::SynAck, "syn-ack"),
    (Why::Rst, "rst"),
    (Why::NoAnswer, "no-answer"),
    (Why::HostUnreachable, "host-unreach"),
    (Why::NetUnreachable, "net-unreach"),
    (Why::Prohibited, "admin-prohibited"),
    (Why::PortUnreachable, "port-unreach"),
    (Why::Response, "udp-response"),
];

impl Why {
    fn named(name: &str) -> Option<Why> {
        let known = WHYS.iter().find(|(_, n)| *n == name).map(|(why, _)| *why);
        known.or_else(|| name.strip_prefix("error-")?.parse().ok().map(Why::Error))
    }
    /// The port was not reached, and the network said so.
    fn is_unreachable(self) -> bool {
        matches!(self, Why::HostUnreachable | Why::NetUnreachable)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (WHYS.iter().find(|(why, _)| why == self), self) {
            (Some((_, name)), _) => f.write_str(name),
            (None, Why::Error(n)) => write!(f, "error-{n}"),
            (None, _) => Ok(()),
        }
    }
}

/// What the end of a connection attempt means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// This is what the port is.
    Known(State, Why),
    /// The same as hearing nothing.
    Silence,
    /// This machine could not ask: it says nothing about the port.
    Local,
}

impl Verdict {
    /// Of a failed connect.
    fn of(why: Reason) -> Verdict {
        match why {
            Reason::Refused | Reason::Reset => Verdict::Known(State::Closed, Why::Rst),
            Reason::PortUnreachable => Verdict::Known(State::Closed, Why::PortUnreachable),
            Reason::TimedOut => Verdict::Silence,
            Reason::HostUnreachable | Reason::TtlExpired => Verdict::Known(State::Filtered, Why::HostUnreachable),
            Reason::NetUnreachable => Verdict::Known(State::Filtered, Why::NetUnreachable),
            Reason::Prohibited | Reason::Denied => Verdict::Known(State::Filtered, Why::Prohibited),
            Reason::Io(n) => Verdict::Known(State::Filtered, Why::Error(n)),
            Reason::Descriptors
            | Reason::Capacity
            | Reason::NoBuffers
            | Reason::AddrInUse
            | Reason::AddrNotAvailable
            | Reason::NoSpace => Verdict::Local,
            // None of these ends a connect; if one does, nothing is known of the port.
            Reason::Finished
            | Reason::Aborted
            | Reason::BrokenPipe
            | Reason::NotFound
            | Reason::Exists
            | Reason::Escapes
            | Reason::FileShort
            | Reason::Poisoned
            | Reason::Cancelled
            | Reason::Unsupported
            | Reason::Locked(_) => Verdict::Local,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a_connect_has_a_meaning() {
        use State::{Closed, Filtered};
        for (reason, verdict) in [
            (Reason::Refused, Verdict::Known(Closed, Why::Rst)),
            (Reason::HostUnreachable, Verdict::Known(Filtered, Why::HostUnreachable)),
            (Reason::NetUnreachable, Verdict::Known(Filtered, Why::NetUnreachable)),
            (Reason::Denied, Verdict::Known(Filtered, Why::Prohibited)),
            (Reason::Prohibited, Verdict::Known(Filtered, Why::Prohibited)),
            (Reason::TimedOut, Verdict::Silence),
            (Reason::Io(92), Verdict::Known(Filtered, Why::Error(92))),
        ] {
            assert_eq!(Verdict::of(reason), verdict);
        }
        for local in [Reason::Descriptors, Reason::NoBuffers, Reason::AddrNotAvailable, Reason::AddrInUse] {
            assert_eq!(Verdict::of(local), Verdict::Local, "{local:?} says nothing about the port");
        }
    }

    #[test]
    fn names_can_be_read_back() {
        let all = WHYS.iter().map(|(why, _)| *why).chain([Why::Error(92)]);
        assert!(all.into_iter().all(|why| Why::named(&why.to_string()) == Some(why)));
        assert!(State::ALL.into_iter().all(|s| State::named(s.name()) == Some(s)));
        assert_eq!((Why::named("x"), State::named("x")), (None, None));
    }
}
