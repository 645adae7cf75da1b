//! Reading a server's files again, as a part: all of them, or nothing changes.
use super::{Files, PemFile};
use crate::outcome::Failure;
use core::mem;
use proto_core::{Answer, Ask, Cx, FileId, How, Input, OpId, Reason};

/// The part byte of its questions.
const RELOAD: u8 = 252;
/// Bytes of one question; files are small.
const PIECE: u32 = 1 << 20;

/// The part.
#[derive(Debug, Default)]
pub struct Reload {
    todo: Vec<PemFile>,
    done: Vec<PemFile>,
    file: Option<FileId>,
    /// A signal came while files were being read: once more.
    again: bool,
}

impl Reload {
    /// Begins to read.
    pub fn start<J, M>(&mut self, files: &Files, cx: &mut Cx<'_, J, M>) {
        if !self.todo.is_empty() {
            self.again = true;
            return;
        }
        self.done.clear();
        self.todo = files.all().map(|f| PemFile { bytes: Vec::new(), path: f.path.clone(), open: f.open }).collect();
        self.todo.reverse(); // the last one is next
        self.open(cx);
    }
    fn open<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        if let Some(next) = self.todo.last() {
            let how = How { read: true, ..How::default() };
            cx.ask(OpId::new(RELOAD, 0), Ask::Open { dir: None, path: next.path.clone(), how });
        }
    }
    fn read<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        if let (Some(file), Some(now)) = (self.file, self.todo.last()) {
            cx.ask(OpId::new(RELOAD, 0), Ask::Read { file, offset: now.bytes.len() as u64, len: PIECE });
        }
    }
    fn close<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        if let Some(file) = self.file.take() {
            cx.ask(OpId::new(RELOAD, 1), Ask::CloseFile(file));
        }
    }
    /// Takes its answers. `Some`: the files as they are now, or what is wrong.
    pub fn handle<J, M>(
        &mut self,
        input: &Input<'_, M>,
        files: &Files,
        cx: &mut Cx<'_, J, M>,
    ) -> Option<Result<Files, Failure>> {
        let Input::Answer(id, answer) = input else { return None };
        if *id != OpId::new(RELOAD, 0) {
            return None;
        }
        match answer {
            Ok(Answer::Opened { file, .. }) => {
                self.file = Some(*file);
                self.read(cx);
                None
            }
            Ok(Answer::Read(bytes)) => {
                let now = self.todo.last_mut()?;
                now.bytes.extend_from_slice(bytes);
                if now.bytes.len() > super::files::LARGEST {
                    return self.failed("is too large", cx);
                }
                if bytes.len() < PIECE as usize { self.next(files, cx) } else { self.go_on(cx) }
            }
            Err(why) => self.failed(&told(*why), cx),
            Ok(_) => None,
        }
    }
    fn go_on<J, M>(&mut self, cx: &mut Cx<'_, J, M>) -> Option<Result<Files, Failure>> {
        self.read(cx);
        None
    }
    fn next<J, M>(&mut self, files: &Files, cx: &mut Cx<'_, J, M>) -> Option<Result<Files, Failure>> {
        self.close(cx);
        self.done.extend(self.todo.pop());
        if !self.todo.is_empty() {
            self.open(cx);
            return None;
        }
        let mut new = files.clone();
        for (old, read) in new.all_mut().zip(mem::take(&mut self.done)) {
            *old = read;
        }
        if mem::take(&mut self.again) {
            self.start(files, cx);
        }
        Some(Ok(new))
    }
    fn failed<J, M>(&mut self, why: &str, cx: &mut Cx<'_, J, M>) -> Option<Result<Files, Failure>> {
        self.close(cx);
        let path = self.todo.last().map_or("", |f| &f.path);
        let failure = Failure::usage(format!("{path}: {why}"));
        self.todo.clear();
        self.again = false;
        Some(Err(failure))
    }
}

fn told(why: Reason) -> String {
    if why == Reason::NotFound { "no such file".into() } else { why.to_string() }
}
