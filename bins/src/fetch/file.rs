//! A download that becomes a file: written to `FILE.part`, named `FILE` when it is whole.
//!
//! ```text
//! Looking -> Opening (-> Resuming) -> Ready -> Writing -> Syncing -> Naming -> over
//! ```
//! At most [`FULL`] bytes wait for the disk; whoever fills it stops reading.
use crate::outcome::{Code, Failure};
use crate::text::Escaped;
use proto_core::{Answer, Ask, Bytes, Cx, FileId, How, OpId, Reason};
use std::collections::BTreeMap;

/// Bytes of one write.
const WRITE: usize = 128 << 10;
/// Bytes that wait for the disk at most, but for one chunk of input.
const FULL: usize = 384 << 10;
/// The part byte of questions whose answers nobody waits for.
pub const FORGOTTEN: u8 = 9;
/// What a note beside a part may hold: the validator of what was begun.
const NOTE_MAX: u32 = 4 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Looking,
    Opening,
    /// The part was not there: the file becomes the part, which is opened again.
    Taking,
    Noted,
    ReadingNote,
    Ready,
    /// Written and to be synced; named; its note removed.
    Syncing,
    Naming,
    Over,
}

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// It is open, and there is so much of it.
    Ready(u64),
    /// There is room again.
    Room,
    /// All is written, and it has its name.
    Done,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// Go on with what is there.
    pub resume: bool,
    /// Replace what is there.
    pub force: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Download {
    part: u8,
    first: u64,
    key: u64,
    wish: Wish,
    name: String,
    stage: Stage,
    /// A device or the like: it is written in place and has no part.
    device: bool,
    exists: bool,
    file: Option<FileId>,
    note: Option<FileId>,
    /// What the note said: the validator of what is there.
    validator: Option<String>,
    /// Where the next byte goes.
    at: u64,
    /// There was nothing, and nothing was written.
    fresh: bool,
    buf: Vec<u8>,
    /// Bytes that wait for the disk: by question.
    waiting: BTreeMap<u64, usize>,
    /// Answers that are outstanding.
    writes: usize,
    /// The note is being opened: until it is written, nobody may end.
    noting: bool,
    failure: Option<Failure>,
}

impl Download {
    /// A file whose questions carry `part` and keys from `key` on, of which no other has any in common.
    pub fn new(part: u8, key: u64, name: &str, wish: Wish) -> Self {
        Download {
            part,
            first: key,
            key,
            wish,
            name: name.into(),
            stage: Stage::Looking,
            device: false,
            exists: false,
            file: None,
            note: None,
            validator: None,
            at: 0,
            fresh: true,
            buf: Vec::new(),
            waiting: BTreeMap::new(),
            writes: 0,
            noting: false,
            failure: None,
        }
    }
    /// Its name when it is whole.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Where the next byte goes: how much of it there is.
    pub fn at(&self) -> u64 {
        self.at
    }
    /// The question is about this file.
    pub fn owns(&self, key: u64) -> bool {
        (self.first..self.key).contains(&key)
    }
    /// The next key that is free.
    pub fn key(&self) -> u64 {
        self.key
    }
    /// The validator of what is there.
    pub fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }
    /// No more should be put now.
    pub fn is_full(&self) -> bool {
        self.waiting.values().sum::<usize>() + self.buf.len() >= FULL
    }
    fn part_name(&self) -> String {
        if self.device { self.name.clone() } else { format!("{}.part", self.name) }
    }
    fn note_name(&self) -> String {
        format!("{}.part.from", self.name)
    }
    fn ask<J, M>(&mut self, ask: Ask, cx: &mut Cx<'_, J, M>) {
        cx.ask(OpId::new(self.part, self.key), ask);
        self.key += 1;
    }
    /// Closes a file; nobody waits for the answer.
    fn forget<J, M>(&mut self, file: FileId, cx: &mut Cx<'_, J, M>) {
        cx.ask(OpId::new(FORGOTTEN, self.key), Ask::CloseFile(file));
        self.key += 1;
    }
    /// Begins: looks whether there is a file of this name.
    pub fn open<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.ask(Ask::Open { dir: None, path: self.name.clone(), how: How { read: true, ..How::default() } }, cx);
    }
    fn open_part<J, M>(&mut self, create: bool, cx: &mut Cx<'_, J, M>) {
        self.stage = Stage::Opening;
        let how = How { write: true, create, lock: !self.device, ..How::default() };
        self.ask(Ask::Open { dir: None, path: self.part_name(), how }, cx);
    }
    /// Takes the answer to a question of this file.
    pub fn answer<J, M>(
        &mut self,
        key: u64,
        answer: &Result<Answer, Reason>,
        cx: &mut Cx<'_, J, M>,
    ) -> Result<Option<Said>, Failure> {
        self.waiting.remove(&key);
        match self.stage {
            Stage::Looking => self.looked(answer, cx).map(|()| None),
            Stage::Opening => self.opened(answer, cx),
            Stage::Taking => {
                self.exists = false;
                self.open_part(true, cx);
                Ok(None)
            }
            Stage::Noted | Stage::ReadingNote => Ok(self.noted(answer, cx)),
            Stage::Ready | Stage::Syncing | Stage::Naming => self.written(answer, cx),
            Stage::Over => Ok(None),
        }
    }
    fn looked<J, M>(&mut self, answer: &Result<Answer, Reason>, cx: &mut Cx<'_, J, M>) -> Result<(), Failure> {
        if let Ok(Answer::Opened { file, meta }) = answer {
            let (file, meta) = (*file, *meta);
            self.forget(file, cx);
            if meta.dir {
                return Err(self.failed("is a directory"));
            }
            self.device = !meta.regular;
            self.exists = meta.regular;
            if self.exists && !self.wish.force && !self.wish.resume {
                let text = format!("{} exists (use --force or -C -)", Escaped(self.name.as_bytes()));
                return Err(Failure::new(Code::Local, text));
            }
        }
        // With a file that is to be gone on with, a part that is there comes first.
        self.open_part(!(self.exists && self.wish.resume), cx);
        Ok(())
    }
    fn opened<J, M>(
        &mut self,
        answer: &Result<Answer, Reason>,
        cx: &mut Cx<'_, J, M>,
    ) -> Result<Option<Said>, Failure> {
        match answer {
            Ok(Answer::Opened { file, meta }) => {
                self.file = Some(*file);
                self.at = if self.wish.resume && !self.device { meta.len } else { 0 };
                self.fresh = meta.len == 0;
                if self.at > 0 {
                    self.stage = Stage::Noted;
                    let how = How { read: true, ..How::default() };
                    self.ask(Ask::Open { dir: None, path: self.note_name(), how }, cx);
                    return Ok(None);
                }
                self.stage = Stage::Ready;
                Ok(Some(Said::Ready(0)))
            }
            Err(Reason::NotFound) if self.exists && self.wish.resume => {
                self.stage = Stage::Taking;
                let (from, to) = (self.name.clone(), self.part_name());
                self.ask(Ask::Rename { dir: None, from, to }, cx);
                Ok(None)
            }
            Err(Reason::Locked(_)) => {
                Err(Failure::new(Code::Local, format!("{} is being written by another program", self.part_shown())))
            }
            Err(why) => Err(self.refused(&format!("cannot write {}", self.part_shown()), *why)),
            _ => Err(Failure::new(Code::Bug, "an answer that does not fit the question")),
        }
    }
    fn noted<J, M>(&mut self, answer: &Result<Answer, Reason>, cx: &mut Cx<'_, J, M>) -> Option<Said> {
        match answer {
            Ok(Answer::Opened { file, .. }) => {
                (self.note, self.stage) = (Some(*file), Stage::ReadingNote);
                self.ask(Ask::Read { file: *file, offset: 0, len: NOTE_MAX }, cx);
                return None;
            }
            Ok(Answer::Read(bytes)) => {
                let text = core::str::from_utf8(bytes).ok().and_then(|t| t.lines().next());
                self.validator = text.filter(|t| !t.is_empty()).map(String::from);
            }
            _ => {}
        }
        if let Some(note) = self.note.take() {
            self.forget(note, cx);
        }
        self.stage = Stage::Ready;
        Some(Said::Ready(self.at))
    }
    /// The body begins at `at`, which is what there is, or 0; `validator` tells this state of it from others.
    pub fn begin<J, M>(&mut self, at: u64, validator: Option<String>, cx: &mut Cx<'_, J, M>) {
        let differs = at != self.at || at == 0 && !self.fresh;
        if let Some(file) = self.file.filter(|_| differs && !self.device) {
            self.writes += 1;
            self.ask(Ask::Truncate { file, len: at }, cx);
        }
        self.at = at;
        if self.device || at > 0 && self.validator == validator {
            return;
        }
        self.validator = validator;
        if self.validator.is_some() {
            self.writes += 1;
            self.noting = true;
            let how = How { write: true, create: true, truncate: true, ..How::default() };
            self.ask(Ask::Open { dir: None, path: self.note_name(), how }, cx);
        } else {
            // One of an earlier body says nothing about this one.
            cx.ask(OpId::new(FORGOTTEN, self.key), Ask::Remove { dir: None, path: self.note_name() });
            self.key += 1;
        }
    }
    /// Takes bytes of the body.
    pub fn put<J, M>(&mut self, bytes: &[u8], cx: &mut Cx<'_, J, M>) {
        self.fresh = false;
        self.buf.extend_from_slice(bytes);
        if self.buf.len() >= WRITE {
            self.write(cx);
        }
    }
    /// What waits goes to the disk, since another attempt goes on behind it.
    pub fn flush<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.write(cx);
    }
    fn write<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        let Some(file) = self.file.filter(|_| !self.buf.is_empty()) else { return };
        let data = core::mem::replace(&mut self.buf, Vec::with_capacity(WRITE + (64 << 10)));
        let (len, offset) = (data.len(), self.at);
        self.at += len as u64;
        self.waiting.insert(self.key, len);
        self.writes += 1;
        self.ask(Ask::Write { file, offset, data: vec![Bytes::from(data)] }, cx);
    }
    fn written<J, M>(
        &mut self,
        answer: &Result<Answer, Reason>,
        cx: &mut Cx<'_, J, M>,
    ) -> Result<Option<Said>, Failure> {
        self.writes = self.writes.saturating_sub(1);
        match answer {
            Ok(Answer::Opened { file, .. }) => {
                let text = Bytes::from(format!("{}\n", self.validator.as_deref().unwrap_or_default()));
                self.writes += 1;
                self.ask(Ask::Write { file: *file, offset: 0, data: vec![text] }, cx);
                self.forget(*file, cx);
                self.noting = false;
                return Ok(Some(Said::Room));
            }
            Ok(_) | Err(Reason::Poisoned) => {}
            Err(Reason::NotFound) if self.stage == Stage::Naming => {} // a note that was not there
            Err(why) => {
                self.noting = false;
                let hint = if *why == Reason::NoSpace { ", use -C - when there is room" } else { "" };
                let text = format!("write {}: {why} ({} is kept{hint})", self.part_shown(), self.part_shown());
                self.failure = self.failure.take().or(Some(Failure::new(Code::Local, text)));
            }
        }
        if let Some(failure) = self.failure.take() {
            self.stage = Stage::Over;
            return Err(failure);
        }
        let said = match self.stage {
            Stage::Ready => Some(Said::Room),
            Stage::Syncing if self.writes == 0 => {
                self.name_it(cx);
                (self.stage == Stage::Over).then_some(Said::Done)
            }
            Stage::Naming if self.writes == 0 => {
                self.stage = Stage::Over;
                Some(Said::Done)
            }
            _ => None,
        };
        Ok(said)
    }
    fn name_it<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        let Some(file) = self.file.take() else { return };
        self.stage = Stage::Naming;
        self.forget(file, cx);
        if self.device {
            self.stage = Stage::Over;
            return;
        }
        self.writes += 1;
        let (from, to) = (self.part_name(), self.name.clone());
        self.ask(Ask::Rename { dir: None, from, to }, cx);
        if self.validator.is_some() {
            self.writes += 1;
            self.ask(Ask::Remove { dir: None, path: self.note_name() }, cx);
        }
    }
    /// The body is whole: what waits is written, and the file gets its name. [`Said::Done`] follows.
    pub fn finish<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.write(cx);
        self.stage = Stage::Syncing;
        let Some(file) = self.file else { return };
        self.writes += 1;
        if self.device {
            self.ask(Ask::Stat { file }, cx); // nothing is synced there; the answer tells that all was written
        } else {
            self.ask(Ask::Sync { file, data_only: true }, cx);
        }
    }
    /// Lets go of it: what came is written; a part of nothing is removed, any other stays.
    pub fn give_up<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.write(cx);
        self.stage = Stage::Over;
        let Some(file) = self.file.take() else { return };
        self.forget(file, cx);
        if self.fresh && self.at == 0 && !self.device {
            cx.ask(OpId::new(FORGOTTEN, self.key), Ask::Remove { dir: None, path: self.part_name() });
            self.key += 1;
        }
    }
    /// What tells this body from others is not written yet.
    pub fn is_noting(&self) -> bool {
        self.noting
    }
    /// What is kept if it does not become whole; `None` if nothing is.
    pub fn kept(&self) -> Option<String> {
        (self.at + self.buf.len() as u64 > 0 && !self.device).then(|| self.part_shown())
    }
    fn part_shown(&self) -> String {
        Escaped(self.part_name().as_bytes()).to_string()
    }
    fn failed(&self, why: &str) -> Failure {
        Failure::new(Code::Local, format!("{} {why}", Escaped(self.name.as_bytes())))
    }
    fn refused(&self, what: &str, why: Reason) -> Failure {
        let why = if why == Reason::NotFound { "no such folder".into() } else { why.to_string() };
        Failure::new(Code::Local, format!("{what}: {why}"))
    }
}
