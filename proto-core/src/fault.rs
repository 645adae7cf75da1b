//! Three kinds of "no", by who is at fault: the peer, the caller, the world.
use core::fmt;

/// The peer broke a rule; the connection is over. What the peer is to be told (a 400, a GOAWAY, an alert) is in
/// the output already when a machine returns this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The rule's source, such as `RFC 9112 6.3`.
    pub rule: &'static str,
    /// What the peer did, such as `Content-Length given twice`.
    pub what: &'static str,
    /// The protocol's number for it (an HTTP status, an HTTP/2 error code); 0 if it has none.
    pub code: u32,
    /// Byte of the peer's stream at which it was noticed, counted from 0.
    pub offset: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {} ({})", self.what, self.offset, self.rule)
    }
}

impl core::error::Error for Fault {}

/// The caller did what the state does not allow: a bug on our side. The state is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misuse(pub &'static str);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "misuse: {}", self.0)
    }
}

impl core::error::Error for Misuse {}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// What the world did: why a token closed or a question was answered with "no".
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
            /// Any other error of the operating system, by number.
            Io(i32),
            /// The file is locked by the process with this id; 0 if that is not known.
            Locked(u32),
        }
        impl Reason {
            /// All that carry no number, in the order of their definition (for recordings and tests).
            pub const PLAIN: &'static [Reason] = &[$(Reason::$name,)*];
        }
        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Reason::$name => f.write_str($text),)*
                    Reason::Io(n) => write!(f, "system error {n}"),
                    Reason::Locked(0) => f.write_str("locked by another process"),
                    Reason::Locked(pid) => write!(f, "locked by process {pid}"),
                }
            }
        }
    };
}

reasons! {
    /// Both sides said that they are through, or the app closed it.
    Finished => "finished",
    /// The app aborted it.
    Aborted => "aborted",
    /// RST from the peer.
    Reset => "connection reset by peer",
    /// Written to after the reader was gone.
    BrokenPipe => "broken pipe",
    /// Nobody listens there.
    Refused => "connection refused",
    /// The kernel, or a linger time, gave up waiting.
    TimedOut => "timed out",
    /// No route to the host.
    HostUnreachable => "host unreachable",
    /// No route to the network.
    NetUnreachable => "network unreachable",
    /// A firewall or policy forbids it.
    Prohibited => "not permitted",
    /// ICMP: time to live exceeded.
    TtlExpired => "TTL expired",
    /// ICMP: nobody listens on that UDP port.
    PortUnreachable => "port unreachable",
    /// Somebody else has the address.
    AddrInUse => "address in use",
    /// No such address on this machine.
    AddrNotAvailable => "address not available",
    /// Out of file descriptors.
    Descriptors => "out of file descriptors",
    /// The driver can hold no more (`select`: FD_SETSIZE).
    Capacity => "driver is full",
    /// Out of kernel memory.
    NoBuffers => "out of kernel buffers",
    /// The disk is full.
    NoSpace => "no space left on device",
    /// No such file, name or host.
    NotFound => "not found",
    /// The file exists already.
    Exists => "exists already",
    /// No permission.
    Denied => "permission denied",
    /// The path leaves the directory it must stay in.
    Escapes => "path leaves its directory",
    /// A file ended before what was promised of it.
    FileShort => "file is shorter than promised",
    /// An earlier write or sync of the file failed; reopen it.
    Poisoned => "an earlier write of this file failed",
    /// The app cancelled it.
    Cancelled => "cancelled",
    /// The driver cannot do this at all.
    Unsupported => "not supported by this driver",
}

impl core::error::Error for Reason {}
