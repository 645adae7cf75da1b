//! Recordings: everything an app was told and everything it said, in order.
//!
//! A file begins with [`MAGIC`], then frames: a little-endian `u32` length and a postcard-encoded [`Entry`]; the first
//! is `Begin`. A cut tail loses the last frames only. Writing goes through a bounded queue to a thread of its own; a
//! full queue ends the recording, never the service.
use crate::Error;
use crate::sock::io_reason;
use proto_core::{
    Addr, Answer, Counters, Entry as Name, FileId, Input, Instant, Lost, Meta, Next, Op, Peer, Reason, RelayEnd, Shard,
    Signal, Start, Table, Token, Trouble, Tx, Wall,
};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a recording begins; the digit is the major version.
pub const MAGIC: &[u8; 20] = b"drywire-recording 1\n";
/// Bytes collected before they go to the writing thread.
const BATCH: usize = 64 << 10;
/// Batches under way to the writing thread.
const QUEUE: usize = 256;

/// One frame of a recording.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // the fields are those of the contract's types
pub enum Entry {
    /// The tool, its arguments, and the facts it started with.
    Begin { command: Vec<String>, start: Began },
    /// An input and its time in nanoseconds.
    Input { now: u64, input: Told },
    /// The counters and time of day that the app sees from here on.
    Facts { unix_ns: i64, utc_offset_s: i32, wall_at: u64, counters: Vec<u64> },
    /// Bytes of a token that the kernel took.
    Sent { token: u64, bytes: Vec<u8> },
    /// Bytes of a file that the kernel took.
    SentFile { token: u64, file: u32, offset: u64, len: u64 },
    /// An op, as text.
    Op(String),
    /// A token's slot became free.
    Retired(u64),
    /// The program ended in order: nothing was cut off.
    End,
    /// The driver took a slot for a connection that it accepts.
    Opened(u64),
    /// Output that was never sent, when its token was retired or the program ended: its length and the bytes of it.
    Left { token: u64, len: u64, bytes: Vec<u8> },
}

/// [`Start`] in a recording.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Began {
    pub listeners: Vec<(u64, Place)>,
    pub stdin: Option<u64>,
    pub stdout: u64,
    pub stderr: u64,
    pub tty: (bool, bool, u16, u16),
    pub seed: [u8; 32],
    pub shard: u16,
    pub shards: u16,
    pub capacity: u64,
    pub driver: String,
    pub facts: Vec<(String, String)>,
    pub now: u64,
    pub wall: (i64, i32),
    pub out_buffer: u64,
}

/// An address in a recording.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Place {
    Ip(std::net::SocketAddr),
    Unix(String),
}

/// [`Input`] in a recording. Results of jobs are left out: jobs are pure, a replay does them again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Told {
    Start,
    Accepted {
        conn: u64,
        listener: u64,
        remote: Place,
        fd: u32,
    },
    Connected {
        conn: u64,
        remote: Place,
        local: Option<Place>,
        fd: u32,
    },
    Bound {
        socket: u64,
        local: Place,
    },
    Bytes(u64, Vec<u8>),
    Datagram {
        socket: u64,
        from: Place,
        data: Vec<u8>,
    },
    Unreachable {
        socket: u64,
        why: Why,
    },
    Eof(u64),
    Writable(u64),
    Closed(u64, Why),
    Answer(u64, Result<Known, Why>),
    Job(u64, Option<u8>),
    Post(u16),
    Deadline,
    Signal(u8, u16, u16),
    AcceptPaused(u64, Why),
    DatagramsDropped(u64),
    RecordingEnded(Why),
    /// Only in traces: a recording has the bytes and the end of input that a relay took.
    Relayed {
        from: u64,
        total: u64,
        at_end: bool,
    },
}

/// [`Reason`] in a recording: which kind, and its number.
pub type Why = (u8, i64);

/// [`Answer`] in a recording.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Known {
    Opened { file: u32, meta: (u64, i64, u8, u64) },
    Read(Vec<u8>),
    Done,
    Stat((u64, i64, u8, u64)),
    List(Vec<(String, bool)>),
    Resolved(Vec<std::net::IpAddr>),
    SocketInfo { rtt_ns: u64, queued: u32 },
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    batch: Vec<u8>,
    facts: Option<Entry>,
    command: Vec<String>,
    out_buffer: usize,
    to: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    ended: Option<Reason>,
    path: PathBuf,
}

impl Recorder {
    /// Begins a file that only the user can read: it holds what peers sent, and the seed. Shards after the first have a
    /// file of their own, with their number behind the name.
    pub fn create(path: &Path, shard: Shard, command: &[String], out_buffer: usize) -> Result<Self, Error> {
        let path = path_of(path, shard);
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = made.map_err(Error::system("create the recording"))?;
        Ok(Recorder { path, ..Recorder::to(file, command, out_buffer) })
    }
    /// Records to anything.
    fn to(file: impl Write + Send + 'static, command: &[String], out_buffer: usize) -> Self {
        let (to, batches) = sync_channel::<Vec<u8>>(QUEUE);
        let thread = std::thread::spawn(move || {
            let mut file = BufWriter::new(file);
            file.write_all(MAGIC)?;
            for batch in batches {
                file.write_all(&batch)?;
            }
            file.flush()
        });
        let (to, thread) = (Some(to), Some(thread));
        let (batch, command, path) = (Vec::new(), command.to_vec(), PathBuf::new());
        Recorder { batch, facts: None, command, out_buffer, to, thread, ended: None, path }
    }
    /// The facts the app starts with.
    pub fn begin(&mut self, start: &Start) {
        let (command, start) = (std::mem::take(&mut self.command), began(start, self.out_buffer));
        self.write(&Entry::Begin { command, start });
    }
    fn write(&mut self, entry: &Entry) {
        let Some(to) = &self.to else { return };
        let at = self.batch.len();
        self.batch.extend_from_slice(&[0; 4]);
        if postcard::to_io(entry, &mut self.batch).is_err() {
            return self.fail(Reason::Unsupported);
        }
        let len = ((self.batch.len() - at - 4) as u32).to_le_bytes();
        self.batch.iter_mut().skip(at).zip(len).for_each(|(b, l)| *b = l);
        if self.batch.len() < BATCH {
            return;
        }
        match to.try_send(std::mem::take(&mut self.batch)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.fail(Reason::NoBuffers),
            Err(TrySendError::Disconnected(_)) => {
                let why = self.join().err().unwrap_or(Reason::Io(0)); // it has ended already: this does not wait
                self.fail(why);
            }
        }
    }
    /// Waits for the end of the writing thread.
    fn join(&mut self) -> Result<(), Reason> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(written)) => written.map_err(|e| io_reason(&e)),
            Some(Err(_)) => Err(Reason::Io(0)),
            None => Ok(()),
        }
    }
    /// The queue is full or the disk has failed: the service goes on without.
    fn fail(&mut self, why: Reason) {
        self.to = None;
        self.ended = Some(why);
    }
    /// It has ended early.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }
    /// Why it has ended early.
    pub fn why_ended(self) -> Option<Reason> {
        self.ended
    }
    /// An input, before the app sees it (it may change the bytes in place).
    pub fn input<M>(&mut self, now: Instant, input: &Input<'_, M>) {
        self.write(&Entry::Input { now: now.as_nanos(), input: told(input) });
    }
    /// What else the app may see, if it has changed.
    pub fn facts(&mut self, wall: Wall, wall_at: Instant, counters: &Counters) {
        let Wall { unix_ns, utc_offset_s } = wall;
        let counters = counters.list().map(|(_, v)| v).collect();
        let facts = Entry::Facts { unix_ns, utc_offset_s, wall_at: wall_at.as_nanos(), counters };
        if self.facts.as_ref() != Some(&facts) {
            self.write(&facts);
            self.facts = Some(facts);
        }
    }
    /// An op.
    pub fn op<J, M>(&mut self, op: &Op<J, M>) {
        self.write(&Entry::Op(op.describe()));
    }
    /// The kernel took `n` bytes from the front of `tx`.
    pub fn sent(&mut self, t: Token, tx: &Tx, n: usize) {
        let token = t.to_bits();
        match tx.next() {
            Next::File { file: FileId(file), offset, .. } => {
                self.write(&Entry::SentFile { token, file, offset, len: n as u64 });
            }
            _ => self.sent_bytes(t, tx.chunks(), n),
        }
    }
    /// The kernel took the first `n` bytes of `chunks`.
    pub fn sent_bytes<'a>(&mut self, t: Token, chunks: impl Iterator<Item = &'a [u8]>, n: usize) {
        self.write(&Entry::Sent { token: t.to_bits(), bytes: chunks.flatten().take(n).copied().collect() });
    }
    /// The driver took a slot.
    pub fn opened(&mut self, t: Token) {
        self.write(&Entry::Opened(t.to_bits()));
    }
    /// A token's slot becomes free.
    pub fn retired(&mut self, t: Token, table: &Table) {
        self.left(t, table);
        self.write(&Entry::Retired(t.to_bits()));
    }
    fn left(&mut self, t: Token, table: &Table) {
        if let Some(tx) = table.tx(t).filter(|tx| !tx.is_empty()) {
            let (token, len) = (t.to_bits(), tx.len() as u64);
            self.write(&Entry::Left { token, len, bytes: front(tx, tx.len()) });
        }
    }
    /// Where it is written to.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Writes the rest, what was never sent included, and waits until it is with the file. Why it is not whole.
    pub fn finish(mut self, table: &Table) -> Result<(), Reason> {
        for t in table.tokens() {
            self.left(t, table);
        }
        self.write(&Entry::End);
        if let Some(to) = self.to.take() {
            let _ = to.send(std::mem::take(&mut self.batch)); // a thread that is gone says why
        }
        let written = self.join();
        self.ended.map_or(written, Err)
    }
}

/// Where the recording of a shard is.
pub fn path_of(path: &Path, shard: Shard) -> PathBuf {
    match shard {
        Shard(0) => path.to_path_buf(),
        Shard(n) => {
            let mut path = path.as_os_str().to_owned();
            path.push(format!(".{n}"));
            path.into()
        }
    }
}

/// The first `n` bytes of an output.
pub fn front(tx: &Tx, n: usize) -> Vec<u8> {
    tx.chunks().flatten().take(n).copied().collect()
}

/// Reads a recording frame by frame; a cut tail ends it.
pub fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let mut all = Vec::new();
    let read = File::open(path).and_then(|mut f| f.read_to_end(&mut all));
    read.map_err(|e| format!("{}: {e}", path.display()))?;
    let Some(mut rest) = all.strip_prefix(MAGIC) else {
        let other = all.starts_with(&MAGIC[..18]);
        let what = if other { "a recording of another version" } else { "not a recording" };
        return Err(format!("{}: {what}", path.display()));
    };
    let mut entries = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let Some((frame, tail)) = tail.split_at_checked(u32::from_le_bytes(*len) as usize) else { break };
        let entry = postcard::from_bytes(frame);
        entries.push(entry.map_err(|e| format!("{}: frame {}: {e}", path.display(), entries.len()))?);
        rest = tail;
    }
    match entries.first() {
        Some(Entry::Begin { .. }) => Ok(entries),
        _ => Err(format!("{}: the recording has no beginning", path.display())),
    }
}

fn place(a: &Addr) -> Place {
    match a {
        Addr::Ip(ip) => Place::Ip(*ip),
        Addr::Unix(p) => Place::Unix(p.to_string()),
    }
}

impl From<Place> for Addr {
    fn from(p: Place) -> Addr {
        match p {
            Place::Ip(ip) => Addr::Ip(ip),
            Place::Unix(p) => Addr::Unix(p.into()),
        }
    }
}

/// A reason as two numbers.
pub fn why(r: Reason) -> Why {
    match r {
        Reason::Io(n) => (254, n.into()),
        Reason::Locked(pid) => (255, pid.into()),
        r => (Reason::PLAIN.iter().position(|p| *p == r).unwrap_or(253) as u8, 0),
    }
}

/// The reverse of [`why`].
pub fn reason((kind, n): Why) -> Reason {
    match kind {
        254 => Reason::Io(n as i32),
        255 => Reason::Locked(n as u32),
        k => Reason::PLAIN.get(usize::from(k)).copied().unwrap_or(Reason::Io(0)),
    }
}

fn began(s: &Start, out_buffer: usize) -> Began {
    Began {
        listeners: s.listeners.iter().map(|l| (l.token.to_bits(), place(&l.at))).collect(),
        stdin: s.stdin.map(Token::to_bits),
        stdout: s.stdout.to_bits(),
        stderr: s.stderr.to_bits(),
        tty: (s.tty.stdin, s.tty.stdout, s.tty.columns, s.tty.rows),
        seed: s.seed,
        shard: s.shard.0,
        shards: s.shards,
        capacity: s.capacity as u64,
        driver: s.driver.clone(),
        facts: s.facts.clone(),
        now: s.now.as_nanos(),
        wall: (s.wall.unix_ns, s.wall.utc_offset_s),
        out_buffer: out_buffer as u64,
    }
}

/// The kind is 0 for a regular file, 1 for a directory, 2 for anything else.
fn meta(m: &Meta) -> (u64, i64, u8, u64) {
    let kind = if m.dir { 1 } else { 2 * u8::from(!m.regular) };
    (m.len, m.modified_ns, kind, m.inode)
}

fn known(a: &Answer) -> Known {
    match a {
        Answer::Opened { file, meta: m } => Known::Opened { file: file.0, meta: meta(m) },
        Answer::Read(b) => Known::Read(b.to_vec()),
        Answer::Done => Known::Done,
        Answer::Stat(m) => Known::Stat(meta(m)),
        Answer::List(l) => Known::List(l.iter().map(|e| (e.name.clone(), e.dir)).collect()),
        Answer::Resolved(ips) => Known::Resolved(ips.clone()),
        Answer::SocketInfo { rtt, queued } => Known::SocketInfo { rtt_ns: rtt.as_nanos() as u64, queued: *queued },
    }
}

/// The reverse of what a recording keeps of an answer.
pub fn answer(k: Known) -> Answer {
    let meta = |(len, modified_ns, kind, inode)| {
        let (regular, dir) = (kind == 0, kind == 1);
        Meta { len, modified_ns, dir, regular, inode }
    };
    match k {
        Known::Opened { file, meta: m } => Answer::Opened { file: FileId(file), meta: meta(m) },
        Known::Read(b) => Answer::Read(b.into()),
        Known::Done => Answer::Done,
        Known::Stat(m) => Answer::Stat(meta(m)),
        Known::List(l) => Answer::List(l.into_iter().map(|(name, dir)| Name { name, dir }).collect()),
        Known::Resolved(ips) => Answer::Resolved(ips),
        Known::SocketInfo { rtt_ns, queued } => Answer::SocketInfo { rtt: Duration::from_nanos(rtt_ns), queued },
    }
}

fn signal(s: Signal) -> Told {
    match s {
        Signal::Interrupt => Told::Signal(0, 0, 0),
        Signal::Terminate => Told::Signal(1, 0, 0),
        Signal::Reload => Told::Signal(2, 0, 0),
        Signal::Report => Told::Signal(3, 0, 0),
        Signal::Resize { columns, rows } => Told::Signal(4, columns, rows),
        Signal::Continue => Told::Signal(5, 0, 0),
    }
}

pub(crate) fn told<M>(input: &Input<'_, M>) -> Told {
    match input {
        Input::Start(_) => Told::Start,
        Input::Accepted { conn, listener, peer: Peer { remote, fd, .. } } => {
            Told::Accepted { conn: conn.to_bits(), listener: listener.to_bits(), remote: place(remote), fd: *fd }
        }
        Input::Connected { conn, peer: Peer { remote, local, fd } } => {
            Told::Connected { conn: conn.to_bits(), remote: place(remote), local: local.as_ref().map(place), fd: *fd }
        }
        Input::Bound { socket, local } => Told::Bound { socket: socket.to_bits(), local: place(local) },
        Input::Bytes(t, chunk) => Told::Bytes(t.to_bits(), chunk.to_vec()),
        Input::Datagram { socket, from, data } => {
            Told::Datagram { socket: socket.to_bits(), from: place(from), data: data.to_vec() }
        }
        Input::Unreachable { socket, why: w } => Told::Unreachable { socket: socket.to_bits(), why: why(*w) },
        Input::Eof(t) => Told::Eof(t.to_bits()),
        Input::Writable(t) => Told::Writable(t.to_bits()),
        Input::Relayed { from, total, end } => {
            Told::Relayed { from: from.to_bits(), total: *total, at_end: *end == RelayEnd::Eof }
        }
        Input::Closed(t, w) => Told::Closed(t.to_bits(), why(*w)),
        Input::Answer(id, a) => Told::Answer(id.to_bits(), a.as_ref().map(known).map_err(|w| why(*w))),
        Input::Job(id, r) => Told::Job(id.to_bits(), r.as_ref().err().map(|l| *l as u8)),
        Input::Post(Shard(from), _) => Told::Post(*from),
        Input::Deadline => Told::Deadline,
        Input::Signal(s) => signal(*s),
        Input::Trouble(Trouble::AcceptPaused { listener, why: w }) => Told::AcceptPaused(listener.to_bits(), why(*w)),
        Input::Trouble(Trouble::DatagramsDropped { count }) => Told::DatagramsDropped(*count),
        Input::Trouble(Trouble::RecordingEnded { why: w }) => Told::RecordingEnded(why(*w)),
    }
}

/// Why a job has no result, by the number in a recording.
pub fn lost(n: u8) -> Lost {
    [Lost::Panicked, Lost::Full, Lost::Cancelled].get(usize::from(n)).copied().unwrap_or(Lost::Panicked)
}

/// A signal by the numbers in a recording.
pub fn signal_of(kind: u8, columns: u16, rows: u16) -> Signal {
    match kind {
        0 => Signal::Interrupt,
        1 => Signal::Terminate,
        2 => Signal::Reload,
        3 => Signal::Report,
        5 => Signal::Continue,
        _ => Signal::Resize { columns, rows },
    }
}
