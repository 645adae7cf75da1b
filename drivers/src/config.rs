//! What a driver is told besides its app.
use std::path::PathBuf;
use std::str::FromStr;

/// The ways to do I/O.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// io_uring where it wins here, else epoll.
    Auto,
    /// A thread per connection.
    Blocking,
    /// `pselect`.
    Select,
    /// `ppoll`.
    Poll,
    /// mio, edge-triggered.
    Epoll,
    /// Completions.
    IoUring,
    /// epoll with worker threads.
    Pool,
    /// tokio.
    Async,
    /// Virtual time, no sockets.
    Sim,
}

impl Kind {
    /// All with their names.
    pub const ALL: [(Kind, &'static str); 9] = [
        (Kind::Auto, "auto"),
        (Kind::Blocking, "blocking"),
        (Kind::Select, "select"),
        (Kind::Poll, "poll"),
        (Kind::Epoll, "epoll"),
        (Kind::IoUring, "io_uring"),
        (Kind::Pool, "pool"),
        (Kind::Async, "async"),
        (Kind::Sim, "sim"),
    ];
    /// Those that use real sockets and are no alias of a choice.
    pub const REAL: [Kind; 7] =
        [Kind::Blocking, Kind::Select, Kind::Poll, Kind::Epoll, Kind::IoUring, Kind::Pool, Kind::Async];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(k, _)| *k == self).map_or("", |(_, n)| n)
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let names = || Kind::ALL.iter().map(|(_, n)| *n).collect::<Vec<_>>().join(", ");
        let found = Kind::ALL.iter().find(|(_, n)| *n == s);
        found.map(|(k, _)| *k).ok_or_else(|| format!("no driver '{s}'; there are {}", names()))
    }
}

/// Settings of a driver.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads for jobs; 0 runs them inline.
    pub workers: usize,
    /// Jobs that may wait for a worker.
    pub job_queue: usize,
    /// Soft limit of a connection's output in bytes.
    pub out_buffer: usize,
    /// The tool reads standard input.
    pub stdin: bool,
    /// Seed of the app's random numbers; from the operating system if `None`.
    pub seed: Option<[u8; 32]>,
    /// Write a recording to this file.
    pub record: Option<PathBuf>,
    /// What the recording is of: the tool and its arguments.
    pub command: Vec<String>,
    /// Drivers that can do so relay streams in bulk within the kernel; the others copy, and so does one that records.
    pub splice: bool,
    /// Loops that share nothing, each with its own listeners.
    pub threads: u16,
    /// Submission queue entries of an io_uring, a power of two from 4 to 32768.
    pub entries: u32,
    /// Buffers of an io_uring that input is received into: how many, a power of two, and of how many bytes.
    pub buffers: (u16, usize),
    /// Whose these buffers are; `None` is [`Buffers::Provided`], or [`Buffers::Plain`] where the kernel has no such thing.
    pub lend: Option<Buffers>,
    /// An io_uring's send and the next receive of its connection are one chain; needs provided buffers.
    pub link: bool,
    /// All operations of an io_uring's connections name a place in the kernel's list of files, not a descriptor.
    pub direct_files: bool,
    /// Takes the kernel for one that is no newer than this version: what it lacks an io_uring does without, in tests.
    pub as_kernel: Option<(u16, u16)>,
    /// Errors forced on an io_uring's operations, for tests.
    pub cqe_faults: Vec<CqeFault>,
}

/// Where an io_uring's input goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Buffers {
    /// The kernel chooses one of a ring of buffers when bytes have come.
    Provided,
    /// A receive names one of the buffers that were registered, and so pinned, beforehand.
    Fixed,
    /// A receive names ordinary memory.
    Plain,
}

impl Buffers {
    /// All with their names.
    pub const ALL: [(Buffers, &'static str); 3] =
        [(Buffers::Provided, "provided"), (Buffers::Fixed, "fixed"), (Buffers::Plain, "plain")];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        Buffers::ALL.iter().find(|(b, _)| *b == self).map_or("", |(_, n)| n)
    }
}

impl FromStr for Buffers {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let found = Buffers::ALL.iter().find(|(_, n)| *n == s);
        found.map(|(b, _)| *b).ok_or_else(|| format!("no buffers '{s}'; there are provided, fixed, plain"))
    }
}

/// An operation of an io_uring that can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CqeOp {
    /// Accepting; with multishot, its beginning.
    Accept,
    /// Receiving in any form; with multishot, its beginning.
    Recv,
    /// Only the beginning of a multishot receive.
    RecvMulti,
    /// Waiting for input.
    Poll,
    /// Sending.
    Send,
    /// Connecting.
    Connect,
}

/// Makes operations of an io_uring fail: they do not start, and their completion carries the error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CqeFault {
    /// Which.
    pub op: CqeOp,
    /// The error's number, such as `ECONNRESET`.
    pub errno: i32,
    /// How many of a thousand.
    pub per_mille: u16,
    /// Where the dice begin.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            workers: 0,
            job_queue: 1024,
            out_buffer: 64 << 10,
            stdin: false,
            seed: None,
            record: None,
            command: Vec::new(),
            splice: true,
            threads: 1,
            entries: 256,
            buffers: (128, 2048),
            lend: None,
            link: false,
            direct_files: false,
            as_kernel: None,
            cqe_faults: Vec::new(),
        }
    }
}

/// Why a driver can't run, in words for the user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refuses what the driver needs.
    #[error("{0}")]
    Unavailable(String),
    /// The program has ended in order, but its recording is not whole.
    #[error("the recording {path} is not complete: {why}")]
    Recording {
        /// Where it is.
        path: String,
        /// What the system said.
        why: proto_core::Reason,
    },
    /// Something failed that must not.
    #[error("{what}: {why}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: std::io::Error,
    },
}

impl Error {
    /// To be used with `map_err`.
    pub fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |why| Error::System { what, why }
    }
}
