//! The cookies on their way to a file: beside it first, then in its place.
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
    key: u64,
}

impl Keeper {
    /// Begins to write `text`.
    pub fn begin(path: &str, text: String, cx: &mut FetchCx<'_>) -> Self {
        let mut keeper = Keeper { path: path.into(), text: text.into(), file: None, key: 0 };
        // Cookies are secrets: nobody else may read them.
        let how = How { write: true, create: true, truncate: true, mode: 0o600, ..How::default() };
        keeper.ask(Ask::Open { dir: None, path: format!("{path}.new"), how }, cx);
        keeper
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
            Ok(Answer::Opened { file, .. }) => {
                self.file = Some(*file);
                let data = vec![self.text.clone()];
                self.ask(Ask::Write { file: *file, offset: 0, data }, cx);
                Ok(false)
            }
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
