//! Files and names: questions that may block, answered by threads.
//!
//! Invariant: writes, truncates and syncs of one file run one at a time in the order they were asked; after one of
//! them has failed the file is poisoned until it is opened again.
use crate::host::{Mail, Post};
use crate::mail::Queue;
use crate::sock::{io_reason, reason};
use proto_core::{Answer, Ask, Bytes, Entry, FileId, How, Meta, OpId, Reason};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::IoSliceMut;
use std::net::ToSocketAddrs;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

type Done = Result<Answer, Reason>;

/// How a question came out, and the file it opened.
#[derive(Debug)]
pub struct Outcome {
    id: OpId,
    file: Option<FileId>,
    opened: Option<Arc<File>>,
    done: Done,
    /// A thread has done it, and it [`changes`] something.
    changed: bool,
}

impl Outcome {
    /// Of a question that no thread was needed for.
    pub fn known(id: OpId, done: Done) -> Self {
        Outcome { id, file: None, opened: None, done, changed: false }
    }
}

struct Task {
    id: OpId,
    ask: Ask,
    /// The file the question is about, or the directory its path starts in.
    on: Option<Arc<File>>,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    /// An ordered question is under way.
    busy: bool,
    /// Nothing more can be asked; it goes when what was asked is done.
    closed: bool,
    waiting: VecDeque<(OpId, Ask)>,
    poisoned: bool,
}

/// The open files of one loop, and the threads that do what may block.
pub struct Disk<P> {
    open: BTreeMap<FileId, Open>,
    next: u32,
    queue: Arc<Queue<Task>>,
    threads: usize,
    /// Questions with the threads that change something.
    changing: usize,
    post: P,
}

/// Threads for questions; they are started when they are first needed.
const THREADS: usize = 2;
/// Questions that may wait for a thread.
const WAITING: usize = 4096;
/// Bytes that are read without a thread, if they are in memory: copying more would keep the loop.
const AT_ONCE: usize = 256 << 10;

impl<P: Post> Disk<P> {
    pub fn new(post: P) -> Self {
        Disk { open: BTreeMap::new(), next: 1, queue: Arc::new(Queue::new(WAITING)), threads: 0, changing: 0, post }
    }
    /// An open file, for sending from it.
    pub fn file(&self, id: FileId) -> Option<&Arc<File>> {
        self.open.get(&id).filter(|o| !o.closed).map(|o| &o.file)
    }
    /// Closes a file, after what was asked of it; false if it is not open.
    pub fn close(&mut self, id: FileId) -> bool {
        let Some(open) = self.open.get_mut(&id).filter(|o| !o.closed) else { return false };
        open.closed = true;
        self.forget(id);
        true
    }
    fn forget(&mut self, id: FileId) {
        if self.open.get(&id).is_some_and(|o| o.closed && !o.busy) {
            self.open.remove(&id);
        }
    }
    /// Something is being changed; hand in what the threads find out until that is over.
    pub fn is_changing(&self) -> bool {
        self.changing > 0
    }
    /// Gives up what changes nothing and has not begun: nobody hears the answers any more.
    pub fn give_up(&mut self) {
        while self.queue.cancel(|t| !changes(&t.ask)).is_some() {}
    }
    /// Begins a question; an answer that is known at once comes back.
    pub fn ask(&mut self, id: OpId, ask: Ask) -> Option<Done> {
        let about = subject(&ask);
        if let Ask::CloseFile(file) = ask {
            return Some(if self.close(file) { Ok(Answer::Done) } else { Err(Reason::NotFound) });
        }
        if is_ordered(&ask) {
            let open = about.and_then(|f| self.open.get_mut(&f)).filter(|o| !o.closed);
            let Some(open) = open else { return Some(Err(Reason::NotFound)) };
            if open.poisoned {
                return Some(Err(Reason::Poisoned));
            }
            if std::mem::replace(&mut open.busy, true) {
                open.waiting.push_back((id, ask));
                return None;
            }
        }
        if about.is_some_and(|f| self.open.get(&f).is_none_or(|o| o.closed)) {
            return Some(Err(Reason::NotFound));
        }
        if let Ask::Read { file, offset, len } = ask
            && let Some(bytes) = self.open.get(&file).and_then(|o| read_at_once(&o.file, offset, len as usize))
        {
            return Some(Ok(Answer::Read(bytes)));
        }
        let ordered = is_ordered(&ask);
        let begun = self.begin(id, ask);
        if begun.is_err() && ordered {
            self.poison(about); // a full queue, and what follows must not be written without it
        }
        begun.err().map(Err)
    }
    fn begin(&mut self, id: OpId, ask: Ask) -> Result<(), Reason> {
        let on = match subject(&ask) {
            Some(f) => Some(self.open.get(&f).ok_or(Reason::NotFound)?.file.clone()),
            None => None,
        };
        if self.threads < THREADS {
            self.threads += 1;
            let (queue, post) = (self.queue.clone(), self.post.clone());
            std::thread::spawn(move || {
                while let Some(task) = queue.pop() {
                    post.post(Mail::Disk(perform(task)));
                }
            });
        }
        let changes = changes(&ask);
        self.queue.push(Task { id, ask, on }).map_err(|_| Reason::Capacity)?;
        self.changing += usize::from(changes);
        Ok(())
    }
    /// What a thread has found out: the answers that follow from it, in order.
    pub fn finish(&mut self, o: Outcome) -> Vec<(OpId, Done)> {
        let mut answers = Vec::new();
        let mut done = o.done;
        self.changing -= usize::from(o.changed);
        if let (Some(file), Ok(Answer::Opened { file: id, .. })) = (o.opened, &mut done) {
            *id = FileId(self.next);
            self.next += 1;
            self.open.insert(*id, Open { file, busy: false, closed: false, waiting: VecDeque::new(), poisoned: false });
        }
        let failed = done.is_err();
        answers.push((o.id, done));
        let Some(open) = o.file.and_then(|f| self.open.get_mut(&f)) else { return answers };
        open.busy = false;
        if failed {
            answers.extend(self.poison(o.file));
        } else if let Some((id, ask)) = open.waiting.pop_front() {
            open.busy = true;
            if let Err(why) = self.begin(id, ask) {
                answers.push((id, Err(why)));
                answers.extend(self.poison(o.file));
            }
        }
        if let Some(file) = o.file {
            self.forget(file);
        }
        answers
    }
    /// What was asked of the file after the question that failed.
    fn poison(&mut self, file: Option<FileId>) -> Vec<(OpId, Done)> {
        let Some(open) = file.and_then(|f| self.open.get_mut(&f)) else { return Vec::new() };
        (open.busy, open.poisoned) = (false, true);
        open.waiting.drain(..).map(|(id, _)| (id, Err(Reason::Poisoned))).collect()
    }
    /// Gives up a question that has not begun.
    pub fn cancel(&mut self, id: OpId) -> bool {
        for open in self.open.values_mut() {
            if let Some(at) = open.waiting.iter().position(|(i, _)| *i == id) {
                open.waiting.remove(at);
                return true;
            }
        }
        let given_up = self.queue.cancel(|t| t.id == id && !is_ordered(&t.ask));
        self.changing -= usize::from(given_up.as_ref().is_some_and(|t| changes(&t.ask)));
        given_up.is_some()
    }
}

impl<P> Drop for Disk<P> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The file or directory that a question names.
pub fn subject(ask: &Ask) -> Option<FileId> {
    match ask {
        Ask::Open { dir, .. } | Ask::Rename { dir, .. } | Ask::Remove { dir, .. } | Ask::MakeDir { dir, .. } => *dir,
        Ask::Read { file, .. } | Ask::Write { file, .. } | Ask::Truncate { file, .. } => Some(*file),
        Ask::Sync { file, .. } | Ask::Stat { file } | Ask::List { dir: file } | Ask::CloseFile(file) => Some(*file),
        Ask::Resolve { .. } | Ask::SocketInfo(_) => None,
    }
}

/// What would be missed if it were not done.
pub fn changes(ask: &Ask) -> bool {
    match ask {
        Ask::Open { how, .. } => how.create || how.new || how.truncate,
        Ask::Rename { .. } | Ask::Remove { .. } | Ask::MakeDir { .. } => true,
        Ask::Read { .. } | Ask::Stat { .. } | Ask::List { .. } | Ask::CloseFile(_) => false,
        Ask::Resolve { .. } | Ask::SocketInfo(_) => false,
        Ask::Write { .. } | Ask::Truncate { .. } | Ask::Sync { .. } => true,
    }
}

fn is_ordered(ask: &Ask) -> bool {
    matches!(ask, Ask::Write { .. } | Ask::Truncate { .. } | Ask::Sync { .. })
}

fn perform(task: Task) -> Outcome {
    let Task { id, ask, on } = task;
    let file = if is_ordered(&ask) { subject(&ask) } else { None };
    let mut opened = None;
    let done = match (&ask, &on) {
        (Ask::Open { path, how, .. }, dir) => open(dir.as_deref(), path, *how).map(|(f, meta)| {
            opened = Some(Arc::new(f));
            Answer::Opened { file: FileId(0), meta }
        }),
        (Ask::Resolve { host }, _) => resolve(host),
        (Ask::Rename { from, to, .. }, dir) => {
            at(dir, |d| rustix::fs::renameat(d, from.as_str(), d, to.as_str())).map(|()| Answer::Done)
        }
        (Ask::Remove { path, .. }, dir) => {
            at(dir, |d| rustix::fs::unlinkat(d, path.as_str(), AtFlags::empty())).map(|()| Answer::Done)
        }
        (Ask::MakeDir { path, .. }, dir) => {
            at(dir, |d| rustix::fs::mkdirat(d, path.as_str(), Mode::from_raw_mode(0o755))).map(|()| Answer::Done)
        }
        (ask, Some(f)) => on_file(ask, f),
        (_, None) => Err(Reason::NotFound),
    };
    Outcome { id, file, opened, done, changed: changes(&ask) }
}

fn on_file(ask: &Ask, f: &File) -> Done {
    let io = |e: std::io::Error| io_reason(&e);
    match ask {
        Ask::Read { offset, len, .. } => read(f, *offset, *len as usize).map(Answer::Read).map_err(io),
        Ask::Write { offset, data, .. } => write(f, *offset, data).map(|()| Answer::Done).map_err(io),
        Ask::Truncate { len, .. } => f.set_len(*len).map(|()| Answer::Done).map_err(io),
        Ask::Sync { data_only: true, .. } => f.sync_data().map(|()| Answer::Done).map_err(io),
        Ask::Sync { .. } => f.sync_all().map(|()| Answer::Done).map_err(io),
        Ask::Stat { .. } => meta(f).map(Answer::Stat),
        Ask::List { .. } => list(f).map(Answer::List).map_err(reason),
        _ => Err(Reason::Unsupported),
    }
}

fn at<T>(
    dir: &Option<Arc<File>>,
    f: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> rustix::io::Result<T>,
) -> Result<T, Reason> {
    f(dir.as_ref().map_or(CWD, |d| d.as_fd())).map_err(reason)
}

fn open(dir: Option<&File>, path: &str, how: How) -> Result<(File, Meta), Reason> {
    let mut flags = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK; // NONBLOCK: a FIFO must not hang the thread
    flags |= match (how.read || how.dir, how.write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    for (on, flag) in [
        (how.create || how.new, OFlags::CREATE),
        (how.new, OFlags::EXCL),
        (how.truncate, OFlags::TRUNC),
        (how.dir, OFlags::DIRECTORY),
    ] {
        flags.set(flag, on);
    }
    let mode = match flags.contains(OFlags::CREATE) {
        true => Mode::from_raw_mode(if how.mode == 0 { 0o644 } else { how.mode }),
        false => Mode::empty(),
    };
    let resolve = if how.beneath { ResolveFlags::BENEATH } else { ResolveFlags::empty() };
    let dir = dir.map_or(CWD, |d| d.as_fd());
    let fd = loop {
        match rustix::fs::openat2(dir, path, flags, mode, resolve) {
            Err(Errno::INTR | Errno::AGAIN) => continue,
            r => break r.map_err(reason)?,
        }
    };
    let file = File::from(fd);
    if how.lock {
        file.try_lock().map_err(|e| match e {
            std::fs::TryLockError::WouldBlock => Reason::Locked(0),
            std::fs::TryLockError::Error(e) => io_reason(&e),
        })?;
    }
    let meta = meta(&file)?;
    Ok((file, meta))
}

fn meta(f: &File) -> Result<Meta, Reason> {
    let s = rustix::fs::fstat(f).map_err(reason)?;
    let kind = rustix::fs::FileType::from_raw_mode(s.st_mode);
    Ok(Meta {
        len: s.st_size as u64,
        modified_ns: (s.st_mtime as i64).saturating_mul(1_000_000_000).saturating_add(s.st_mtime_nsec as i64),
        dir: kind.is_dir(),
        regular: kind.is_file(),
        inode: s.st_ino ^ (s.st_dev as u64).rotate_left(48),
    })
}

/// What memory holds already, without waiting for the disk: waking a thread costs more than copying as much. `None` if a
/// thread has to do it.
fn read_at_once(f: &File, offset: u64, len: usize) -> Option<Bytes> {
    if len > AT_ONCE {
        return None;
    }
    let mut v = vec![0; len];
    let mut n = 0;
    while let Some(rest) = v.get_mut(n..).filter(|r| !r.is_empty()) {
        match rustix::io::preadv2(f, &mut [IoSliceMut::new(rest)], offset + n as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(Errno::INTR) => {}
            Err(_) => return None, // the rest is on the disk, or the file system cannot tell; a thread finds out
        }
    }
    v.truncate(n);
    Some(v.into())
}

fn read(f: &File, offset: u64, len: usize) -> std::io::Result<Bytes> {
    let mut v = vec![0; len];
    let mut n = 0;
    while let Some(rest) = v.get_mut(n..).filter(|r| !r.is_empty()) {
        match f.read_at(rest, offset + n as u64) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    v.truncate(n);
    Ok(Bytes::from(v))
}

fn write(f: &File, mut offset: u64, data: &[Bytes]) -> std::io::Result<()> {
    for b in data {
        f.write_all_at(b, offset)?;
        offset += b.len() as u64;
    }
    Ok(())
}

fn list(f: &File) -> rustix::io::Result<Vec<Entry>> {
    let mut names = Vec::new();
    for e in rustix::fs::Dir::read_from(f)? {
        let e = e?;
        let name = e.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(Entry { name, dir: e.file_type().is_dir() });
        }
    }
    names.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(names)
}

fn resolve(host: &str) -> Done {
    // The C library says which in words only; "again" is a resolver that does not answer.
    let why = |e: std::io::Error| if e.to_string().contains("Temporary") { Reason::TimedOut } else { Reason::NotFound };
    let found = (host, 0).to_socket_addrs().map_err(why)?;
    let mut ips: Vec<_> = Vec::new();
    for a in found {
        if !ips.contains(&a.ip()) {
            ips.push(a.ip());
        }
    }
    if ips.is_empty() { Err(Reason::NotFound) } else { Ok(Answer::Resolved(ips)) }
}
