//! What a driver tells an app.
use crate::{Addr, Answer, Chunk, OpId, Reason, Shard, Start, Token};

/// Who is at the other end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its address.
    pub remote: Addr,
    /// Our address; known for outbound connections.
    pub local: Option<Addr>,
    /// The number the driver gives the connection: the descriptor, or in a simulation the slot.
    pub fd: u32,
}

/// Why a job has no result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// It panicked; the worker lives on.
    Panicked,
    /// The queue of jobs is full.
    Full,
    /// It was cancelled before it began.
    Cancelled,
}

/// What the operating system or the operator wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGINT: the user wants it to end.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: print statistics.
    Report,
    /// SIGWINCH: the terminal has a new size.
    Resize {
        /// Width.
        columns: u16,
        /// Height.
        rows: u16,
    },
    /// SIGCONT after a stop, for an app that has asked for the terminal ([`crate::Op::Terminal`]): others may have written
    /// on it in the meantime.
    Continue,
}

/// What went wrong in the driver and is not about one connection; it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Accepting stops for 100 ms.
    AcceptPaused {
        /// On which listener.
        listener: Token,
        /// Why: out of descriptors, mostly.
        why: Reason,
    },
    /// Datagrams that could not be sent.
    DatagramsDropped {
        /// How many since the last report.
        count: u64,
    },
    /// The recording has ended early.
    RecordingEnded {
        /// Why.
        why: Reason,
    },
}

/// Why a relay has ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelayEnd {
    /// The source has said its last byte, and the output of the other side is finished.
    Eof,
    /// As many bytes as were asked for have passed; reading of the source is switched off.
    Quota,
}

/// Everything an app can be told. One at a time, in order; ops of one input run before the next.
#[derive(Debug)]
pub enum Input<'a, M> {
    /// The first input.
    Start(&'a Start),
    /// A listener has a new connection.
    Accepted {
        /// The connection, of the listener's part.
        conn: Token,
        /// The listener.
        listener: Token,
        /// Who.
        peer: Peer,
    },
    /// `Op::Connect` succeeded.
    Connected {
        /// The connection.
        conn: Token,
        /// Who.
        peer: Peer,
    },
    /// `Op::Listen`, `Op::Udp` or `Op::Raw` succeeded.
    Bound {
        /// The socket.
        socket: Token,
        /// Where it is now.
        local: Addr,
    },
    /// Bytes of a stream.
    Bytes(Token, Chunk<'a>),
    /// A datagram.
    Datagram {
        /// The socket it came to.
        socket: Token,
        /// Who sent it.
        from: Addr,
        /// What.
        data: &'a mut [u8],
    },
    /// An ICMP error about an earlier datagram; the socket lives on.
    Unreachable {
        /// The socket.
        socket: Token,
        /// Why.
        why: Reason,
    },
    /// The peer has said its last byte; output is still open.
    Eof(Token),
    /// The output was full and is now at most half full.
    Writable(Token),
    /// A relay has ended: see [`crate::Op::Relay`].
    Relayed {
        /// Its source.
        from: Token,
        /// Bytes it has passed on.
        total: u64,
        /// Why.
        end: RelayEnd,
    },
    /// The token is over: exactly one per token and the last of it. A failed connect is this too.
    Closed(Token, Reason),
    /// The answer to one `Op::Ask`.
    Answer(OpId, Result<Answer, Reason>),
    /// The end of one `Op::Job`.
    Job(OpId, Result<M, Lost>),
    /// A message from another shard.
    Post(Shard, M),
    /// `App::deadline` has passed.
    Deadline,
    /// A signal.
    Signal(Signal),
    /// The driver has a problem.
    Trouble(Trouble),
}

impl<M> Input<'_, M> {
    /// Which part of the app it is for; `None` for what concerns the whole.
    pub fn part(&self) -> Option<u8> {
        match self {
            Input::Accepted { conn, .. } | Input::Connected { conn, .. } => Some(conn.part()),
            Input::Bound { socket, .. } | Input::Datagram { socket, .. } | Input::Unreachable { socket, .. } => {
                Some(socket.part())
            }
            Input::Relayed { from, .. } => Some(from.part()),
            Input::Bytes(t, _) | Input::Eof(t) | Input::Writable(t) | Input::Closed(t, _) => Some(t.part()),
            Input::Answer(id, _) | Input::Job(id, _) => Some(id.part()),
            Input::Start(_) | Input::Post(..) | Input::Deadline | Input::Signal(_) | Input::Trouble(_) => None,
        }
    }
}
