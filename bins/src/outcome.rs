//! How a tool ends: exit codes and one-line errors.
use core::fmt;
use proto_core::Reason;

/// Exit codes, the same for all tools.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Code {
    /// Success; a server that stopped in order.
    Ok = 0,
    /// A bug.
    Bug = 1,
    /// Bad usage, configuration or input file.
    Usage = 2,
    /// A name was not resolved.
    Name = 3,
    /// Cannot connect, host unreachable, the peer went away.
    Connect = 4,
    /// Timeout.
    Timeout = 5,
    /// TLS: who the peer is, or what the two sides can agree on.
    Tls = 6,
    /// The peer broke the protocol.
    Protocol = 7,
    /// Authentication failed or was denied.
    Auth = 8,
    /// A local resource: bind, descriptors, disk, io_uring.
    Local = 9,
    /// The peer answered "no"; a replay differs.
    Answered = 10,
    /// SIGINT in a one-shot client.
    Interrupted = 130,
}

impl Code {
    const ALL: [Code; 12] = [
        Code::Ok,
        Code::Bug,
        Code::Usage,
        Code::Name,
        Code::Connect,
        Code::Timeout,
        Code::Tls,
        Code::Protocol,
        Code::Auth,
        Code::Local,
        Code::Answered,
        Code::Interrupted,
    ];
    /// The code that a tool ended with; a number that is none is a bug.
    pub fn of(n: u8) -> Self {
        Code::ALL.into_iter().find(|c| *c as u8 == n).unwrap_or(Code::Bug)
    }
}

/// An error that ends a tool: one line, and an exit code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What failed, with which value, and why.
    pub text: String,
}

impl Failure {
    /// With a text.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Failure { code, text: text.into() }
    }
    /// Bad usage.
    pub fn usage(text: impl Into<String>) -> Self {
        Failure::new(Code::Usage, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// The exit code for a network failure.
pub fn network(why: Reason) -> Code {
    match why {
        Reason::TimedOut => Code::Timeout,
        Reason::Descriptors | Reason::NoBuffers | Reason::NoSpace | Reason::AddrInUse | Reason::Capacity => Code::Local,
        _ => Code::Connect,
    }
}
