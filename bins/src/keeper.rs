//! A small file being replaced, as a part: written beside it first, then put in its place.
use crate::outcome::{Code, Failure};
use crate::text::Escaped;
use proto_core::{Answer, Ask, Bytes, Cx, FileId, How, OpId, Reason};

/// See the module. Its questions are those of its part byte.
#[derive(Debug)]
pub struct Keeper {
    part: u8,
    path: String,
    text: Bytes,
    file: Option<FileId>,
    step: u64,
}

impl Keeper {
    /// Begins to write `text`, for nobody else to read. One at a time may use a part byte.
    pub fn begin<J, M>(part: u8, path: &str, text: String, cx: &mut Cx<'_, J, M>) -> Self {
        let mut keeper = Keeper { part, path: path.into(), text: text.into(), file: None, step: 0 };
        let how = How { write: true, create: true, truncate: true, mode: 0o600, ..How::default() };
        keeper.ask(Ask::Open { dir: None, path: format!("{path}.new"), how }, cx);
        keeper
    }
    fn ask<J, M>(&mut self, ask: Ask, cx: &mut Cx<'_, J, M>) {
        cx.ask(OpId::new(self.part, self.step), ask);
        self.step += 1;
    }
    /// Takes an answer; true when all is done.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn answer<J, M>(&mut self, answer: &Result<Answer, Reason>, cx: &mut Cx<'_, J, M>) -> Result<bool, Failure> {
        match (answer, self.file) {
            (Ok(Answer::Opened { file, .. }), None) => {
                self.file = Some(*file);
                let data = vec![self.text.clone()];
                self.ask(Ask::Write { file: *file, offset: 0, data }, cx);
                Ok(false)
            }
            (Ok(_), Some(file)) if self.step == 2 => {
                // Or a power cut might leave the new name with nothing in it.
                self.ask(Ask::Sync { file, data_only: false }, cx);
                Ok(false)
            }
            (Ok(_), Some(file)) if self.step == 3 => {
                self.ask(Ask::CloseFile(file), cx);
                Ok(false)
            }
            (Ok(_), Some(_)) if self.step == 4 => {
                let (from, to) = (format!("{}.new", self.path), self.path.clone());
                self.ask(Ask::Rename { dir: None, from, to }, cx);
                Ok(false)
            }
            (Ok(_), _) => Ok(true),
            (Err(why), file) => {
                if let Some(file) = file.filter(|_| self.step < 4) {
                    self.ask(Ask::CloseFile(file), cx); // nobody waits for its answer
                }
                let path = Escaped(self.path.as_bytes());
                Err(Failure::new(Code::Local, format!("cannot write '{path}': {why}")))
            }
        }
    }
}
