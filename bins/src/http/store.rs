//! Files that were opened or read lately, as a part. Small files are kept as bytes, large ones open; both for as long as
//! there is room. An entry older than [`CacheLimits::fresh`] is opened again when it is next asked for, and serves until
//! the answer has come: so a hit never waits, and nobody waits twice.
//!
//! ```text
//! (not there) --look--> Loading --opened, read--> Ready --look, not fresh--> Ready + checking --same--> Ready
//!                                                                                     \--other--> replaced
//! ```
use super::job::Job;
use super::media::{Coding, Types};
use super::site::Site;
use core::time::Duration;
use proto_core::http1::FieldBlock;
use proto_core::{Answer, Ask, Bytes, Cx, DirId, FileId, How, Instant, Meta, OpId, Reason, Token};
use std::collections::BTreeMap;

mod packed;

/// What is kept of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheLimits {
    /// Names.
    pub entries: usize,
    /// Bytes of all small files together.
    pub bytes: usize,
    /// The largest file that is kept as bytes.
    pub small: u64,
    /// Large files that are kept open.
    pub open: usize,
    /// How long nobody looks whether a file has changed.
    pub fresh: Duration,
}

impl Default for CacheLimits {
    fn default() -> Self {
        let (small, fresh) = (64 << 10, Duration::from_secs(1));
        CacheLimits { entries: 1024, bytes: 64 << 20, small, open: 256, fresh }
    }
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub enum Body {
    /// Here.
    Memory(Bytes),
    /// On disk, open.
    Disk(FileId),
}

/// A file that can be sent.
#[derive(Debug)]
pub struct File {
    /// Its facts.
    pub meta: Meta,
    /// Its entity tag, with quotes.
    pub etag: String,
    /// Its media type.
    pub media: String,
    /// Its bytes.
    pub body: Body,
    /// Fields of every answer with it, and the second for which they are right.
    block: (i64, FieldBlock),
    last_modified: String,
    /// It had not changed for a while when it was read: the same facts will mean the same bytes.
    settled: bool,
}

impl File {
    /// Last change, seconds since 1970.
    pub fn modified_s(&self) -> i64 {
        self.meta.modified_ns.div_euclid(1_000_000_000)
    }
    /// Fields of every answer with it, made once a second. `vary`: other answers may have another coding.
    #[inline]
    pub fn block(&mut self, site: &Site, vary: bool) -> &FieldBlock {
        if self.block.0 != site.now_s() || self.block.1.as_bytes().is_empty() {
            let mut fields = vec![
                ("Last-Modified", self.last_modified.as_bytes()),
                ("ETag", self.etag.as_bytes()),
                ("Accept-Ranges", b"bytes"),
            ];
            if vary {
                fields.push(("Vary", b"Accept-Encoding"));
            }
            self.block = (site.now_s(), site.block(&fields).unwrap_or_default()); // all of it is our own text
        }
        &self.block.1
    }
    /// The same as [`File::block`] was last.
    pub fn block_now(&self) -> &FieldBlock {
        &self.block.1
    }
    /// Its `Last-Modified`.
    pub fn last_modified(&self) -> &str {
        &self.last_modified
    }
}

#[derive(Debug)]
enum State {
    Loading,
    Missing(u16),
    Dir,
    File(Box<File>),
}

#[derive(Debug)]
struct Entry {
    path: Box<str>,
    state: State,
    /// Who waits while it is loading.
    waiters: Vec<Token>,
    checked: Instant,
    checking: bool,
    /// Since the hand went by.
    used: bool,
    /// That it is missing is worth remembering.
    keep_missing: bool,
    /// It is a compressed form of this.
    of: Option<Meta>,
}

/// What is at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Not known yet: the waiter is told by [`Store::answered`].
    Wait,
    /// A file: [`Store::file`], during this call.
    File(usize),
    /// A directory.
    Dir,
    /// Nothing that could be sent: a status.
    Missing(u16),
}

#[derive(Debug)]
enum Step {
    Open(usize),
    Read(usize, Meta, FileId),
    /// Of a large file that is to be compressed.
    Fetch(usize, Coding),
    Pack(usize),
}

/// The part.
#[derive(Debug)]
pub struct Store {
    /// The part byte of its questions and jobs.
    part: u8,
    root: Option<DirId>,
    limits: CacheLimits,
    beneath: bool,
    types: Types,
    by_path: BTreeMap<Box<str>, usize>,
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    bytes: usize,
    open: usize,
    hand: usize,
    steps: BTreeMap<u64, Step>,
    next: u64,
    /// Files that are being compressed.
    packing: usize,
}

impl Store {
    /// Empty. Its questions and jobs carry `part`. `beneath`: symbolic links must not leave the root.
    pub fn new(part: u8, limits: CacheLimits, beneath: bool, types: Types) -> Self {
        Store {
            part,
            root: None,
            limits,
            beneath,
            types,
            by_path: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            open: 0,
            hand: 0,
            steps: BTreeMap::new(),
            next: 1,
            packing: 0,
        }
    }
    /// Paths start here.
    pub fn set_root(&mut self, root: DirId) {
        self.root = Some(root);
    }
    /// How a path beneath the root is opened.
    pub fn open_ask(&self, path: &str, dir: bool) -> Ask {
        let path = if path.is_empty() { "." } else { path };
        Ask::Open {
            dir: self.root,
            path: path.into(),
            how: How { read: true, dir, beneath: self.beneath, ..How::default() },
        }
    }
    /// A file that is here; no question is asked but, once in a while, whether it has changed.
    #[inline]
    pub fn hit<J, M>(&mut self, path: &str, cx: &mut Cx<'_, J, M>) -> Option<usize> {
        let slot = *self.by_path.get(path)?;
        let entry = self.slots.get_mut(slot)?.as_mut()?;
        if !matches!(entry.state, State::File(_)) {
            return None;
        }
        entry.used = true;
        if !entry.checking && cx.now.since(entry.checked) >= self.limits.fresh {
            entry.checking = true;
            self.ask_open(slot, cx);
        }
        Some(slot)
    }
    /// What is at a path; `waiter` waits if that takes time. `keep_missing`: it will be asked for again.
    pub fn look<J, M>(&mut self, path: &str, waiter: Token, keep_missing: bool, cx: &mut Cx<'_, J, M>) -> Look {
        let Some(slot) = self.by_path.get(path).copied() else {
            self.load(path, waiter, keep_missing, cx);
            return Look::Wait;
        };
        let Some(entry) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return Look::Missing(500) };
        entry.used = true;
        let found = match entry.state {
            State::Loading => {
                entry.waiters.push(waiter);
                return Look::Wait;
            }
            State::Missing(status) => Look::Missing(status),
            State::Dir => Look::Dir,
            State::File(_) => Look::File(slot),
        };
        if !entry.checking && cx.now.since(entry.checked) >= self.limits.fresh {
            entry.checking = true;
            self.ask_open(slot, cx);
        }
        found
    }
    /// The file of a [`Look::File`].
    #[inline]
    pub fn file(&mut self, slot: usize) -> Option<&mut File> {
        match &mut self.slots.get_mut(slot)?.as_mut()?.state {
            State::File(file) => Some(file),
            _ => None,
        }
    }
    /// A file at a path was replaced: it is looked for anew.
    pub fn renew<J, M>(&mut self, path: &str, cx: &mut Cx<'_, J, M>) {
        let Some(slot) = self.by_path.get(path).copied() else { return };
        if self.slots.get(slot).and_then(Option::as_ref).is_some_and(|e| !e.checking) {
            self.forget(slot, cx);
        }
    }
    /// Names and bytes that are kept, and large files that are open.
    pub fn usage(&self) -> (usize, usize, usize) {
        (self.by_path.len(), self.bytes, self.open)
    }

    fn load<J, M>(&mut self, path: &str, waiter: Token, keep_missing: bool, cx: &mut Cx<'_, J, M>) {
        let entry = Entry {
            path: path.into(),
            state: State::Loading,
            waiters: vec![waiter],
            checked: cx.now,
            checking: true,
            used: true,
            keep_missing,
            of: None,
        };
        let slot = self.add(entry);
        self.ask_open(slot, cx);
    }
    fn add(&mut self, entry: Entry) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.by_path.insert(entry.path.clone(), slot);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(entry);
        }
        slot
    }
    fn ask_open<J, M>(&mut self, slot: usize, cx: &mut Cx<'_, J, M>) {
        let Some(Some(entry)) = self.slots.get(slot) else { return };
        let ask = self.open_ask(&entry.path, false);
        self.ask(Step::Open(slot), ask, cx);
    }
    fn ask<J, M>(&mut self, step: Step, ask: Ask, cx: &mut Cx<'_, J, M>) {
        self.steps.insert(self.next, step);
        cx.ask(OpId::new(self.part, self.next), ask);
        self.next += 1;
    }

    /// The answer to one of its questions: who waited for it is to look again, and then [`Store::tidy`] is due.
    pub fn answered<M>(
        &mut self,
        id: OpId,
        answer: Result<Answer, Reason>,
        cx: &mut Cx<'_, Job, M>,
    ) -> Option<(usize, Vec<Token>)> {
        let (slot, state) = match (self.steps.remove(&id.key())?, answer) {
            (Step::Open(slot), Ok(Answer::Opened { file, meta })) => (slot, self.opened(slot, file, meta, cx)?),
            (Step::Read(slot, meta, file), Ok(Answer::Read(bytes))) => {
                close(file, cx);
                (slot, self.read(slot, meta, &bytes, cx))
            }
            (Step::Open(slot), Err(why)) if self.outlasts(slot, why) => {
                self.checked(slot, cx);
                return None;
            }
            (Step::Open(slot), Err(why)) => (slot, State::Missing(status(why))),
            (Step::Read(slot, _, file), _) => {
                close(file, cx);
                (slot, State::Missing(500))
            }
            (Step::Open(slot), Ok(_)) => (slot, State::Missing(500)),
            (Step::Fetch(slot, coding), answer) => (slot, self.fetched(slot, coding, answer, cx)?),
            (Step::Pack(_), _) => return None, // a job's, which comes another way
        };
        self.conclude(slot, state, cx)
    }
    fn conclude<J, M>(&mut self, slot: usize, state: State, cx: &mut Cx<'_, J, M>) -> Option<(usize, Vec<Token>)> {
        self.replace(slot, state, cx);
        let waiters = self.slots.get_mut(slot)?.as_mut().map(|e| core::mem::take(&mut e.waiters));
        Some((slot, waiters.unwrap_or_default()))
    }
    /// What we have is better than an error that says nothing about the file.
    fn outlasts(&self, slot: usize, why: Reason) -> bool {
        let ready = self.slots.get(slot).and_then(Option::as_ref).is_some_and(|e| !matches!(e.state, State::Loading));
        ready && matches!(status(why), 500 | 503)
    }
    fn checked<J, M>(&mut self, slot: usize, cx: &Cx<'_, J, M>) {
        if let Some(Some(entry)) = self.slots.get_mut(slot) {
            (entry.checking, entry.checked) = (false, cx.now);
        }
    }
    /// `None`: nothing new, or there is more to ask.
    fn opened<J, M>(&mut self, slot: usize, file: FileId, meta: Meta, cx: &mut Cx<'_, J, M>) -> Option<State> {
        if !meta.regular {
            close(file, cx);
            return Some(if meta.dir { State::Dir } else { State::Missing(403) });
        }
        let before = self.file(slot).filter(|f| f.settled && f.meta == meta);
        if before.is_some() {
            close(file, cx);
            self.checked(slot, cx);
            return None;
        }
        if meta.len > self.limits.small {
            return Some(State::File(Box::new(self.make(slot, meta, Body::Disk(file), true))));
        }
        // One more than there was, to notice that it grows.
        let len = u32::try_from(meta.len).unwrap_or(u32::MAX - 1) + 1;
        self.ask(Step::Read(slot, meta, file), Ask::Read { file, offset: 0, len }, cx);
        None
    }
    fn read<J, M>(&self, slot: usize, meta: Meta, bytes: &Bytes, cx: &Cx<'_, J, M>) -> State {
        let whole = bytes.len() as u64 == meta.len;
        let len = bytes.len().min(usize::try_from(meta.len).unwrap_or(usize::MAX));
        let meta = Meta { len: len as u64, ..meta };
        // Times on disk are coarse: a file that has just changed may change again and look the same.
        let age_ns = cx.wall().unix_ns.saturating_sub(meta.modified_ns);
        let settled = whole && age_ns > 2_000_000_000;
        State::File(Box::new(self.make(slot, meta, Body::Memory(bytes.slice(..len)), settled)))
    }
    fn make(&self, slot: usize, meta: Meta, body: Body, settled: bool) -> File {
        let path = self.slots.get(slot).and_then(Option::as_ref).map_or("", |e| &e.path);
        let media = self.types.of(path);
        let etag = format!("\"{:x}-{:x}\"", meta.modified_ns, meta.len);
        let last_modified = super::date::text(meta.modified_ns.div_euclid(1_000_000_000));
        File { meta, etag, media, body, block: (0, FieldBlock::default()), last_modified, settled }
    }
    fn replace<J, M>(&mut self, slot: usize, state: State, cx: &mut Cx<'_, J, M>) {
        self.count(&state, true);
        let Some(Some(entry)) = self.slots.get_mut(slot) else { return };
        (entry.checking, entry.checked) = (false, cx.now);
        let old = core::mem::replace(&mut entry.state, state);
        self.drop_state(old, cx);
    }
    fn count(&mut self, state: &State, up: bool) {
        let State::File(file) = state else { return };
        let (count, n) = match &file.body {
            Body::Memory(bytes) => (&mut self.bytes, bytes.len()),
            Body::Disk(_) => (&mut self.open, 1),
        };
        *count = if up { *count + n } else { count.saturating_sub(n) };
    }
    fn drop_state<J, M>(&mut self, state: State, cx: &mut Cx<'_, J, M>) {
        self.count(&state, false);
        if let State::File(file) = state
            && let Body::Disk(id) = file.body
        {
            close(id, cx); // once the last output that names it is sent
        }
    }
    /// After those who waited for a slot have looked: forgets what is not there, and whatever there is no room for.
    pub fn tidy<J, M>(&mut self, slot: usize, cx: &mut Cx<'_, J, M>) {
        let entry = self.slots.get(slot).and_then(Option::as_ref);
        if entry.is_some_and(|e| matches!(e.state, State::Missing(_)) && !e.keep_missing) {
            self.forget(slot, cx);
        }
        // Twice around finds everything that can go: the first time takes the mark, the second the entry.
        let mut left = 2 * self.slots.len();
        while left > 0
            && (self.by_path.len() > self.limits.entries
                || self.bytes > self.limits.bytes
                || self.open > self.limits.open)
        {
            left -= 1;
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            let Some(Some(entry)) = self.slots.get_mut(self.hand) else { continue };
            if !entry.checking && !core::mem::replace(&mut entry.used, false) {
                self.forget(self.hand, cx);
            }
        }
    }
    fn forget<J, M>(&mut self, slot: usize, cx: &mut Cx<'_, J, M>) {
        let Some(entry) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        self.by_path.remove(&entry.path);
        self.free.push(slot);
        self.drop_state(entry.state, cx);
    }
}

/// The part byte of questions whose answer nobody waits for.
pub const NOBODY: u8 = 2;

/// Closes a file; nobody waits for that.
pub fn close<J, M>(file: FileId, cx: &mut Cx<'_, J, M>) {
    cx.ask(OpId::new(NOBODY, 0), Ask::CloseFile(file));
}

/// What the client hears when a file cannot be opened.
pub fn status(why: Reason) -> u16 {
    // Numbers of Linux: ENXIO (a socket), ENOTDIR, ENAMETOOLONG, ELOOP, EINVAL.
    match why {
        Reason::NotFound | Reason::Io(20 | 36 | 22) => 404,
        Reason::Denied | Reason::Prohibited | Reason::Escapes | Reason::Io(6 | 40) => 403,
        Reason::Descriptors | Reason::Capacity | Reason::NoBuffers => 503,
        _ => 500,
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
