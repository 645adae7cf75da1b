//! What a proxy answers.
use crate::Reason;
use core::fmt;

/// The reply field (RFC 1928 section 6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Reply {
    /// It is done.
    Succeeded = 0,
    /// The proxy's own trouble.
    GeneralFailure = 1,
    /// The proxy's rules forbid it.
    NotAllowed = 2,
    /// No route to the network.
    NetworkUnreachable = 3,
    /// No route to the host, no answer, or no such name.
    HostUnreachable = 4,
    /// Nobody listens there.
    ConnectionRefused = 5,
    /// It did not get there.
    TtlExpired = 6,
    /// The proxy cannot do that.
    CommandNotSupported = 7,
    /// The proxy does not know such addresses.
    AddressNotSupported = 8,
}

impl Reply {
    /// All, in the order of their codes.
    pub const ALL: [Reply; 9] = [
        Reply::Succeeded,
        Reply::GeneralFailure,
        Reply::NotAllowed,
        Reply::NetworkUnreachable,
        Reply::HostUnreachable,
        Reply::ConnectionRefused,
        Reply::TtlExpired,
        Reply::CommandNotSupported,
        Reply::AddressNotSupported,
    ];
    /// The byte.
    pub const fn code(self) -> u8 {
        self as u8
    }
    /// The reverse; 09 to FF are unassigned.
    pub fn of(code: u8) -> Option<Reply> {
        Reply::ALL.get(usize::from(code)).copied()
    }
    /// In the words of the RFC.
    pub const fn text(self) -> &'static str {
        match self {
            Reply::Succeeded => "succeeded",
            Reply::GeneralFailure => "general failure of the proxy",
            Reply::NotAllowed => "not allowed by the proxy's rules",
            Reply::NetworkUnreachable => "network unreachable",
            Reply::HostUnreachable => "host unreachable",
            Reply::ConnectionRefused => "connection refused",
            Reply::TtlExpired => "TTL expired",
            Reply::CommandNotSupported => "command not supported",
            Reply::AddressNotSupported => "address type not supported",
        }
    }
    /// What a failed connect is to its client. Silence has no code of its own: the host was not reached.
    pub fn to_failure(why: Reason) -> Reply {
        match why {
            Reason::Refused | Reason::Reset => Reply::ConnectionRefused,
            Reason::NetUnreachable => Reply::NetworkUnreachable,
            Reason::HostUnreachable | Reason::TimedOut | Reason::NotFound => Reply::HostUnreachable,
            Reason::Prohibited | Reason::Denied => Reply::NotAllowed,
            Reason::TtlExpired => Reply::TtlExpired,
            _ => Reply::GeneralFailure,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
