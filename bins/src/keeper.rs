//! A small file being written, as a part: beside it first, then in its place; or behind what is in it.
use crate::outcome::{Code, Failure};
use crate::text::Escaped;
use proto_core::{Answer, Ask, Bytes, Cx, FileId, How, OpId, Reason};

/// What is being waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Open,
    Write,
    Sync,
    Close,
    Rename,
}

/// See the module. Nobody but its owner may read the file.
#[derive(Debug)]
pub struct Keeper {
    path: String,
    text: Bytes,
    file: Option<FileId>,
    /// It goes behind what is there.
    adds: bool,
    step: Step,
    /// The question that is under way; the next ones follow.
    id: OpId,
}

impl Keeper {
    /// Begins to write `text`; its questions are `first` and the five after it.
    pub fn begin<J, M>(path: &str, text: String, first: OpId, cx: &mut Cx<'_, J, M>) -> Self {
        let how = How { write: true, create: true, truncate: true, mode: 0o600, ..How::default() };
        Keeper::open(path, format!("{path}.new"), how, text, first, cx)
    }
    /// Begins to write `text` behind what is in the file.
    pub fn add<J, M>(path: &str, text: String, first: OpId, cx: &mut Cx<'_, J, M>) -> Self {
        let how = How { write: true, create: true, mode: 0o600, ..How::default() };
        Keeper { adds: true, ..Keeper::open(path, path.into(), how, text, first, cx) }
    }
    fn open<J, M>(path: &str, at: String, how: How, text: String, id: OpId, cx: &mut Cx<'_, J, M>) -> Self {
        cx.ask(id, Ask::Open { dir: None, path: at, how });
        Keeper { path: path.into(), text: text.into(), file: None, adds: false, step: Step::Open, id }
    }
    /// The question after its last one.
    pub fn next(&self) -> OpId {
        OpId::new(self.id.part(), self.id.key() + 1)
    }
    fn ask<J, M>(&mut self, step: Step, ask: Ask, cx: &mut Cx<'_, J, M>) {
        (self.step, self.id) = (step, self.next());
        cx.ask(self.id, ask);
    }
    /// Takes an answer; true when all is done.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn answer<J, M>(
        &mut self,
        id: OpId,
        answer: &Result<Answer, Reason>,
        cx: &mut Cx<'_, J, M>,
    ) -> Result<bool, Failure> {
        if id != self.id {
            return Ok(false);
        }
        match (self.step, answer, self.file) {
            (Step::Open, Ok(Answer::Opened { file, meta }), _) => {
                self.file = Some(*file);
                let (offset, data) = (if self.adds { meta.len } else { 0 }, vec![self.text.clone()]);
                self.ask(Step::Write, Ask::Write { file: *file, offset, data }, cx);
                Ok(false)
            }
            // Or a power cut might leave the new name with nothing in it.
            (Step::Write, Ok(_), Some(file)) if !self.adds => {
                self.ask(Step::Sync, Ask::Sync { file, data_only: false }, cx);
                Ok(false)
            }
            (Step::Write | Step::Sync, Ok(_), Some(file)) => {
                self.ask(Step::Close, Ask::CloseFile(file), cx);
                Ok(false)
            }
            (Step::Close, _, _) if !self.adds => {
                let (from, to) = (format!("{}.new", self.path), self.path.clone());
                self.ask(Step::Rename, Ask::Rename { dir: None, from, to }, cx);
                Ok(false)
            }
            (_, Err(why), file) => {
                let text = format!("cannot write '{}': {why}", Escaped(self.path.as_bytes()));
                if let Some(file) = file.filter(|_| self.step != Step::Close) {
                    self.ask(Step::Close, Ask::CloseFile(file), cx); // nobody waits for its answer
                }
                Err(Failure::new(Code::Local, text))
            }
            (_, Ok(_), _) => Ok(true),
        }
    }
}
