//! Questions to the driver that are answered once: disk and names.
use crate::{DirId, FileId, Token};
use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use core::net::IpAddr;
use core::time::Duration;

/// How to open a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct How {
    /// To read from it.
    pub read: bool,
    /// To write to it.
    pub write: bool,
    /// Create it if it is not there.
    pub create: bool,
    /// It must not be there yet.
    pub new: bool,
    /// Empty it.
    pub truncate: bool,
    /// It is a directory, to be listed, synced, or named in other questions.
    pub dir: bool,
    /// The path must stay beneath the directory, symbolic links included (`RESOLVE_BENEATH`).
    pub beneath: bool,
    /// Lock it; somebody else's lock is `Reason::Locked`.
    pub lock: bool,
    /// Permissions of a file that is created, such as `0o600`; 0 means `0o644`.
    pub mode: u32,
}

/// Facts of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Meta {
    /// Size in bytes.
    pub len: u64,
    /// Last change, nanoseconds since 1970.
    pub modified_ns: i64,
    /// It is a directory.
    pub dir: bool,
    /// It is a regular file: no directory, device, FIFO or socket.
    pub regular: bool,
    /// Tells this file from every other on the machine.
    pub inode: u64,
}

/// One name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name; not UTF-8 is shown with U+FFFD.
    pub name: String,
    /// It is a directory.
    pub dir: bool,
}

/// A question. Paths are relative to `dir`, or to the working directory if that is `None`.
///
/// Writes, truncates and syncs of one file run in the order they were asked, one at a time. After one of them has
/// failed, all later ones of that file fail with `Reason::Poisoned` until it is opened again: a sync is never retried
/// as if it had worked. Reads are not ordered against them. Different files run in parallel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// `Answer::Opened`.
    Open {
        /// Where the path starts.
        dir: Option<DirId>,
        /// The path.
        path: String,
        /// How.
        how: How,
    },
    /// `Answer::Read`, shorter than `len` only at the end of the file.
    Read {
        /// Which file.
        file: FileId,
        /// From which byte.
        offset: u64,
        /// How many bytes.
        len: u32,
    },
    /// `Answer::Done` when all was written.
    Write {
        /// Which file.
        file: FileId,
        /// From which byte.
        offset: u64,
        /// What.
        data: Vec<Bytes>,
    },
    /// `Answer::Done`.
    Truncate {
        /// Which file.
        file: FileId,
        /// The new length in bytes.
        len: u64,
    },
    /// `Answer::Done` when it would survive a power cut. A directory's sync makes its names durable.
    Sync {
        /// Which file.
        file: FileId,
        /// The bytes only (`fdatasync`).
        data_only: bool,
    },
    /// `Answer::Stat`.
    Stat {
        /// Which file.
        file: FileId,
    },
    /// `Answer::List`, sorted by name.
    List {
        /// Which directory.
        dir: DirId,
    },
    /// `Answer::Done`.
    Rename {
        /// Where both paths start.
        dir: Option<DirId>,
        /// The old path.
        from: String,
        /// The new path; what is there is replaced.
        to: String,
    },
    /// `Answer::Done`.
    Remove {
        /// Where the path starts.
        dir: Option<DirId>,
        /// The path of a file.
        path: String,
    },
    /// `Answer::Done`.
    MakeDir {
        /// Where the path starts.
        dir: Option<DirId>,
        /// The path.
        path: String,
    },
    /// `Answer::Done`. Nothing more can be asked about the file; it is closed after the last queued output that names it.
    /// Output above a layer does not count: there the range is read through the layer, so close after the body is done.
    CloseFile(FileId),
    /// `Answer::Resolved`: by the operating system's resolver, off the loop.
    Resolve {
        /// A host name.
        host: String,
    },
    /// `Answer::SocketInfo`.
    SocketInfo(Token),
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is open.
    Opened {
        /// Its name from now on.
        file: FileId,
        /// Its facts.
        meta: Meta,
    },
    /// Bytes of a file.
    Read(Bytes),
    /// It is done.
    Done,
    /// Facts of a file.
    Stat(Meta),
    /// Names in a directory.
    List(Vec<Entry>),
    /// Addresses of a host, in the resolver's order, at least one.
    Resolved(Vec<IpAddr>),
    /// Facts of a socket.
    SocketInfo {
        /// Smoothed round trip time.
        rtt: Duration,
        /// Of a listener: connections that wait to be accepted.
        queued: u32,
    },
}
