//! Reading a small file, as a part.
use proto_core::{Answer, Ask, Bytes, Cx, FileId, How, Input, OpId, Reason};

/// A file being read in three questions: open, read, close. Their keys are `base`, `base + 1` and `base + 2`.
#[derive(Debug)]
pub struct Slurp {
    part: u8,
    base: u64,
    most: u32,
    file: Option<FileId>,
}

impl Slurp {
    /// Begins to read the first bytes of a file.
    pub fn start<J, M>(part: u8, base: u64, (path, most): (&str, u32), cx: &mut Cx<'_, J, M>) -> Self {
        let how = How { read: true, ..How::default() };
        cx.ask(OpId::new(part, base), Ask::Open { dir: None, path: path.into(), how });
        Slurp { part, base, most, file: None }
    }
    /// Takes an input; `Some` once, when it is over.
    pub fn handle<J, M>(&mut self, input: &Input<'_, M>, cx: &mut Cx<'_, J, M>) -> Option<Result<Bytes, Reason>> {
        let Input::Answer(id, answer) = input else { return None };
        if id.part() != self.part {
            return None;
        }
        match (id.key().checked_sub(self.base)?, answer) {
            (0, Ok(Answer::Opened { file, .. })) => {
                self.file = Some(*file);
                cx.ask(OpId::new(self.part, self.base + 1), Ask::Read { file: *file, offset: 0, len: self.most });
                None
            }
            (1, read) => {
                if let Some(file) = self.file.take() {
                    cx.ask(OpId::new(self.part, self.base + 2), Ask::CloseFile(file));
                }
                Some(match read {
                    Ok(Answer::Read(bytes)) => Ok(bytes.clone()),
                    Ok(_) => Err(Reason::Unsupported),
                    Err(why) => Err(*why),
                })
            }
            (0, Err(why)) => Some(Err(*why)),
            _ => None,
        }
    }
}
