//! What an app asks of its driver.
use crate::{Addr, Ask, OpId, Shard, Token};
use alloc::{format, string::String, vec::Vec};
use core::net::IpAddr;
use core::time::Duration;

/// How to connect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnectOpts {
    /// Our own address.
    pub bind: Option<Addr>,
    /// Closing sends RST, so that no port waits in TIME_WAIT.
    pub linger0: bool,
    /// What ICMP says about the attempt ends it at once and with its own reason, where the system can tell: a port that is
    /// unreachable, a firewall that forbids it. Without, the kernel may wait for the answer to another SYN, and then knows
    /// hosts and networks only.
    pub error_queue: bool,
}

/// What an app wants done. Output, reading and accepting are not here: they are switches of [`crate::Cx`], which take
/// effect at once.
#[derive(Debug)]
pub enum Op<J, M> {
    /// Ends in `Connected`, or in `Closed` if it fails.
    Connect {
        /// From `Cx::token`.
        conn: Token,
        /// Where to.
        to: Addr,
        /// How.
        opts: ConnectOpts,
    },
    /// Ends in `Bound` or `Closed`. Listeners known at start are bound by start-up code instead.
    Listen {
        /// From `Cx::token`.
        listener: Token,
        /// Where.
        at: Addr,
    },
    /// A datagram socket. Ends in `Bound` or `Closed`.
    Udp {
        /// From `Cx::token`.
        socket: Token,
        /// Our address; any if `None`.
        bind: Option<Addr>,
        /// The only peer to exchange datagrams with, if there is one.
        to: Option<Addr>,
    },
    /// A socket for packets of one protocol above IP, which the app makes and takes apart itself. Used like a datagram
    /// socket: what arrives over IPv4 has its IP header, over IPv6 it has none. Needs a privilege (`CAP_NET_RAW`): without it,
    /// ends in `Closed(_, Prohibited)`. Ends in `Bound` or `Closed`.
    Raw {
        /// From `Cx::token`.
        socket: Token,
        /// Our address, or all of its family if it is unspecified.
        at: IpAddr,
        /// IANA's number: 6 is TCP.
        protocol: u8,
    },
    /// Sends a datagram; if that is not possible now it is dropped and counted.
    SendTo {
        /// The socket.
        socket: Token,
        /// Where to; `None` on a connected socket.
        to: Option<Addr>,
        /// What; the storage goes back to the pool.
        data: Vec<u8>,
    },
    /// Passes on what comes on one stream as the output of another, from the next byte on. The app hears nothing of those
    /// bytes: neither `Bytes` and `Eof` of the source nor `Writable` of the other side. Reading of the source is switched on,
    /// off while the other side is full, and on again.
    ///
    /// At the source's end the other output is finished, so FIN passes after the last byte, and [`crate::Input::Relayed`]
    /// tells. A relay also ends, without that, when either side is closed, by whomever; reading of the source is then off.
    /// An app that wants an RST to pass as one aborts the other side when it hears `Closed(_, Reason::Reset)`. It must not do
    /// so at an orderly end: what is queued would be lost. For both directions ask twice.
    ///
    /// Neither side may have a [`crate::Conn`] on it: see [`crate::Conns::release`]. A second relay of the same source, or to
    /// the same side, takes the place of the first.
    Relay {
        /// The source: whose input is taken.
        from: Token,
        /// Whose output it becomes.
        to: Token,
        /// Ends with the read that reaches so many bytes (which may pass it by one read), for whoever counts or slows down.
        quota: Option<u64>,
    },
    /// Finishes the output, then reads and discards until the peer finishes too or no progress was made for `linger`;
    /// so that the last words are not lost to an RST. Listeners and datagram sockets close at once.
    Close {
        /// What.
        conn: Token,
        /// How long to wait for the peer.
        linger: Duration,
    },
    /// RST. `Closed` follows before any other input of the token.
    Abort(Token),
    /// A question, answered once.
    Ask(OpId, Ask),
    /// CPU work for a worker, answered once.
    Job {
        /// Chosen by the app.
        id: OpId,
        /// What to do.
        job: J,
        /// How long to keep the worker busy besides.
        hold: Duration,
    },
    /// Gives up a question or a job that has not begun; its answer says so.
    Cancel(OpId),
    /// A message to another shard.
    Post {
        /// Who.
        to: Shard,
        /// What.
        msg: M,
    },
    /// Whether the terminal on standard input delivers every key at once, shows none of them, and marks what is pasted
    /// ([`crate::terminal::PASTE_ON`]). Ctrl-C and Ctrl-Z stay signals; after a stop [`crate::Signal::Continue`] comes. The
    /// driver puts the terminal in order whenever the program stops, ends or dies. Nothing without a terminal.
    Terminal {
        /// Raw, or as it was.
        raw: bool,
    },
    /// Ends the program after standard output and error are flushed, and after all that was asked to be changed in files.
    Exit(u8),
}

impl<J, M> Op<J, M> {
    /// One line for recordings and traces; the contents of jobs and messages are left out.
    pub fn describe(&self) -> String {
        match self {
            Op::Connect { conn, to, .. } => format!("connect {conn:?} to {to}"),
            Op::Listen { listener, at } => format!("listen {listener:?} at {at}"),
            Op::Udp { socket, bind, to } => format!("udp {socket:?} bind {bind:?} to {to:?}"),
            Op::Raw { socket, at, protocol } => format!("raw {socket:?} protocol {protocol} at {at}"),
            Op::SendTo { socket, to, data } => format!("send {socket:?} to {to:?}: {data:02x?}"),
            Op::Relay { from, to, quota } => format!("relay {from:?} to {to:?} quota {quota:?}"),
            Op::Close { conn, linger } => format!("close {conn:?} linger {linger:?}"),
            Op::Abort(t) => format!("abort {t:?}"),
            Op::Ask(id, ask) => format!("ask {id:?} {ask:?}"),
            Op::Job { id, hold, .. } => format!("job {id:?} hold {hold:?}"),
            Op::Cancel(id) => format!("cancel {id:?}"),
            Op::Post { to, .. } => format!("post to {to:?}"),
            Op::Terminal { raw } => format!("terminal raw {raw}"),
            Op::Exit(code) => format!("exit {code}"),
        }
    }
}
