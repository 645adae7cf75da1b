//! What is kept at the end on its way to a file: beside it first, then in its place; or behind what is in it.
use super::net::FetchCx;
use crate::outcome::{Code, Failure};
use crate::text::Escaped;
use proto_core::{Answer, Ask, Bytes, FileId, How, OpId, Reason};

/// The part byte of its questions.
pub const JAR: u8 = 5;

/// See the module.
#[derive(Debug)]
pub struct Keeper {
    path: String,
    text: Bytes,
    file: Option<FileId>,
    /// It goes behind what is there.
    adds: bool,
    key: u64,
}

impl Keeper {
    /// Begins to write `text`; `key` is the first of its questions.
    pub fn begin(path: &str, text: String, key: u64, cx: &mut FetchCx<'_>) -> Self {
        let mut keeper = Keeper { path: path.into(), text: text.into(), file: None, adds: false, key };
        // Cookies are secrets: nobody else may read them.
        let how = How { write: true, create: true, truncate: true, mode: 0o600, ..How::default() };
        keeper.ask(Ask::Open { dir: None, path: format!("{path}.new"), how }, cx);
        keeper
    }
    /// Begins to write `text` behind what is in the file.
    pub fn add(path: &str, text: String, key: u64, cx: &mut FetchCx<'_>) -> Self {
        let mut keeper = Keeper { path: path.into(), text: text.into(), file: None, adds: true, key };
        let how = How { write: true, create: true, mode: 0o600, ..How::default() };
        keeper.ask(Ask::Open { dir: None, path: path.into(), how }, cx);
        keeper
    }
    /// The key of its next question.
    pub fn key(&self) -> u64 {
        self.key
    }
    fn ask(&mut self, ask: Ask, cx: &mut FetchCx<'_>) {
        cx.ask(OpId::new(JAR, self.key), ask);
        self.key += 1;
    }
    /// Takes an answer; true when all is done.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn answer(&mut self, answer: &Result<Answer, Reason>, cx: &mut FetchCx<'_>) -> Result<bool, Failure> {
        match answer {
            Ok(Answer::Opened { file, meta }) => {
                self.file = Some(*file);
                let data = vec![self.text.clone()];
                let offset = if self.adds { meta.len } else { 0 };
                self.ask(Ask::Write { file: *file, offset, data }, cx);
                Ok(false)
            }
            Ok(_) if self.adds => Ok(true),
            Ok(_) if self.file.is_some() => {
                let (from, to) = (format!("{}.new", self.path), self.path.clone());
                self.file = None;
                self.ask(Ask::Rename { dir: None, from, to }, cx);
                Ok(false)
            }
            Ok(_) => Ok(true),
            Err(why) => {
                let path = Escaped(self.path.as_bytes());
                Err(Failure::new(Code::Local, format!("cannot write '{path}': {why}")))
            }
        }
    }
}
