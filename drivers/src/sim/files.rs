//! A node's open files and its questions about them: when each is answered, and what goes wrong.
use super::disk::{Disk, ROOT};
use super::{Local, NodeId, World};
use crate::disk::{changes, subject};
use proto_core::{Answer, Ask, FileId, OpId, Reason};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

type Done = Result<Answer, Reason>;

#[derive(Debug)]
struct Open {
    inode: u64,
    write: bool,
    lock: bool,
    /// `CloseFile` was asked for; queued output may still name it.
    closed: bool,
    busy: bool,
    waiting: VecDeque<(OpId, Ask)>,
    poisoned: bool,
}

/// What is under way. A write's fate is known when it begins: a power cut may come before its answer.
#[derive(Debug)]
struct Running {
    ask: Ask,
    done: Option<Done>,
}

/// The open files of one program.
#[derive(Debug)]
pub struct Files {
    node: NodeId,
    open: BTreeMap<FileId, Open>,
    next: u32,
    running: BTreeMap<OpId, Running>,
}

/// How long a question takes: a cached read, and what waits for the disk.
const QUICK: Duration = Duration::from_micros(20);
const SYNC: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_secs(1);
const EIO: Reason = Reason::Io(libc::EIO);

impl Files {
    pub fn new(node: NodeId) -> Self {
        Files { node, open: BTreeMap::new(), next: 1, running: BTreeMap::new() }
    }
    /// The program has ended: as with a real one, what was to be changed is changed first.
    pub fn end(&mut self, w: &mut World) {
        while let Some(id) = self.running.iter().find(|(_, r)| changes(&r.ask)).map(|(id, _)| *id) {
            self.finish(id, w);
        }
        self.clear();
    }
    /// Forgets files that are closed and that nothing names any more.
    pub fn forget(&mut self, is_named: impl Fn(FileId) -> bool) {
        let Files { open, running, .. } = self;
        let is_asked = |id| running.values().any(|r| subject(&r.ask) == Some(id));
        open.retain(|id, o| !o.closed || o.busy || is_asked(*id) || is_named(*id));
    }
    fn clear(&mut self) {
        self.open.clear();
        self.running.clear();
    }
    /// Bytes of a file that output names; nothing if there are none.
    pub fn read(&self, file: FileId, offset: u64, len: usize, w: &mut World) -> Vec<u8> {
        let (Some(open), Some(disk)) = (self.open.get(&file), w.disks.get_mut(self.node.0)) else { return Vec::new() };
        disk.read(open.inode, offset, len).map(|b| b.to_vec()).unwrap_or_default()
    }
    /// Begins a question; an answer that is known at once comes back.
    pub fn ask(&mut self, id: OpId, ask: Ask, w: &mut World) -> Option<Done> {
        if let Ask::CloseFile(file) = ask {
            let open = self.open.get_mut(&file).filter(|o| !o.closed);
            return Some(
                open.map(|o| (o.closed, o.lock) = (true, false)).map(|()| Answer::Done).ok_or(Reason::NotFound),
            );
        }
        if subject(&ask).is_some_and(|f| self.open.get(&f).is_none_or(|o| o.closed)) {
            return Some(Err(Reason::NotFound));
        }
        if let Some(open) = ordered(&ask).and_then(|f| self.open.get_mut(&f)) {
            if open.poisoned {
                return Some(Err(Reason::Poisoned));
            }
            if std::mem::replace(&mut open.busy, true) {
                open.waiting.push_back((id, ask));
                return None;
            }
        }
        self.begin(id, ask, w);
        None
    }
    fn begin(&mut self, id: OpId, ask: Ask, w: &mut World) {
        let base = if matches!(ask, Ask::Sync { .. }) { SYNC } else { QUICK };
        let mut wait = base / 2 + w.io.within(base);
        if w.io.happens(w.plan.disk_slow) {
            wait += w.io.within(SLOW);
        }
        let done = match &ask {
            Ask::Write { .. } => Some(self.write(&ask, wait, w)),
            Ask::Read { .. } if w.io.happens(w.plan.disk_eio) => Some(Err(EIO)),
            _ => None,
        };
        self.running.insert(id, Running { ask, done });
        w.local(wait, self.node, Local::Disk(id));
    }
    fn write(&mut self, ask: &Ask, wait: Duration, w: &mut World) -> Done {
        let Ask::Write { file, offset, data } = ask else { return Err(Reason::Unsupported) };
        let open = self.open.get(file).ok_or(Reason::NotFound)?;
        if !open.write {
            return Err(Reason::Io(libc::EBADF));
        }
        let mut bytes: Vec<u8> = data.iter().flatten().copied().collect();
        let mut fate = Ok(Answer::Done);
        for (chance, part, why) in
            [(w.plan.disk_torn, true, EIO), (w.plan.disk_full, true, Reason::NoSpace), (w.plan.disk_eio, false, EIO)]
        {
            if fate.is_ok() && w.io.happens(chance) {
                bytes.truncate(if part { w.io.below(bytes.len() as u64 + 1) as usize } else { 0 });
                fate = Err(why);
            }
        }
        let now = w.wall_ns();
        let disk = w.disks.get_mut(self.node.0).ok_or(Reason::NotFound)?;
        disk.write(open.inode, *offset, &bytes, now)?;
        disk.writes += 1;
        if w.plan.power == Some(disk.writes) {
            let before = w.io.within(wait * 2);
            w.local(before, self.node, Local::PowerCut);
        }
        fate
    }
    /// A question's time is over: the answers that follow, in order.
    pub fn finish(&mut self, id: OpId, w: &mut World) -> Vec<(OpId, Done)> {
        let Some(Running { ask, done }) = self.running.remove(&id) else { return Vec::new() };
        let done = match done {
            Some(done) => done,
            None => self.perform(&ask, w),
        };
        let failed = done.is_err();
        let mut answers = vec![(id, done)];
        let Some(open) = ordered(&ask).and_then(|f| self.open.get_mut(&f)) else { return answers };
        open.busy = false;
        if failed {
            open.poisoned = true;
            answers.extend(open.waiting.drain(..).map(|(id, _)| (id, Err(Reason::Poisoned))));
        } else if let Some((id, ask)) = open.waiting.pop_front() {
            open.busy = true;
            self.begin(id, ask, w);
        }
        answers
    }
    /// Gives up a question that has not begun.
    pub fn cancel(&mut self, id: OpId) -> bool {
        for open in self.open.values_mut() {
            if let Some(at) = open.waiting.iter().position(|(i, _)| *i == id) {
                open.waiting.remove(at);
                return true;
            }
        }
        false
    }
    fn inode(&self, file: FileId) -> Result<u64, Reason> {
        self.open.get(&file).map(|o| o.inode).ok_or(Reason::NotFound)
    }
    fn start_of(&self, dir: &Option<FileId>) -> Result<u64, Reason> {
        dir.map_or(Ok(ROOT), |d| self.inode(d))
    }
    fn perform(&mut self, ask: &Ask, w: &mut World) -> Done {
        if let Ask::Resolve { host } = ask {
            return w.resolve(host).map(Answer::Resolved);
        }
        let now = w.wall_ns();
        let failed = w.io.happens(w.plan.disk_eio);
        let hosts = w.hosts();
        let World { disks, io, .. } = w;
        let disk = disks.get_mut(self.node.0).ok_or(Reason::NotFound)?;
        if matches!(ask, Ask::Open { path, .. } if path == HOSTS) {
            // A disk without such a file has one that names the machines, as a network has that is set up well.
            let own = disk.content(HOSTS).is_ok_and(|text| !text.starts_with(HOSTS_HEAD));
            if !own {
                disk.install(HOSTS.trim_start_matches('/'), &hosts)?;
            }
        }
        let done = |()| Answer::Done;
        match ask {
            Ask::Open { .. } => self.open(ask, disk, now),
            Ask::Read { file, offset, len } => disk.read(self.inode(*file)?, *offset, *len as usize).map(Answer::Read),
            Ask::Truncate { .. } | Ask::Sync { .. } if failed => {
                if let Ask::Sync { file, .. } = ask {
                    disk.sync_failed(self.inode(*file)?, io);
                }
                Err(EIO)
            }
            Ask::Truncate { file, len } => disk.truncate(self.inode(*file)?, *len, now).map(done),
            Ask::Sync { file, .. } => disk.sync(self.inode(*file)?).map(done),
            Ask::Stat { file } => disk.stat(self.inode(*file)?).map(Answer::Stat),
            Ask::List { dir } => disk.list(self.inode(*dir)?).map(Answer::List),
            Ask::Rename { dir, from, to } => disk.rename(self.start_of(dir)?, from, to).map(done),
            Ask::Remove { dir, path } => disk.remove(self.start_of(dir)?, path).map(done),
            Ask::MakeDir { dir, path } => disk.make_dir(self.start_of(dir)?, path, now).map(done),
            Ask::Write { .. } | Ask::CloseFile(_) | Ask::Resolve { .. } | Ask::SocketInfo(_) => {
                Err(Reason::Unsupported)
            }
        }
    }
    fn open(&mut self, ask: &Ask, disk: &mut Disk, now: i64) -> Done {
        let Ask::Open { dir, path, how } = ask else { return Err(Reason::Unsupported) };
        let inode = disk.open(self.start_of(dir)?, path, *how, now)?;
        if how.lock && self.open.values().any(|o| o.lock && o.inode == inode) {
            return Err(Reason::Locked(0));
        }
        let file = FileId(self.next);
        self.next += 1;
        let (waiting, poisoned) = (VecDeque::new(), false);
        let open = Open { inode, write: how.write, lock: how.lock, closed: false, busy: false, waiting, poisoned };
        self.open.insert(file, open);
        Ok(Answer::Opened { file, meta: disk.stat(inode)? })
    }
}

/// The file that names hosts, and how one begins that the simulation made.
const HOSTS: &str = "/etc/hosts";
const HOSTS_HEAD: &[u8] = b"# the machines of this simulation\n";

impl World {
    fn hosts(&self) -> Vec<u8> {
        let mut text = HOSTS_HEAD.to_vec();
        for (i, name) in self.names.iter().enumerate() {
            text.extend_from_slice(format!("{} {name}\n", super::net::ip_of(NodeId(i))).as_bytes());
        }
        text
    }
}

/// The file, if the question is one of those that run in order.
fn ordered(ask: &Ask) -> Option<FileId> {
    match ask {
        Ask::Write { file, .. } | Ask::Truncate { file, .. } | Ask::Sync { file, .. } => Some(*file),
        _ => None,
    }
}
