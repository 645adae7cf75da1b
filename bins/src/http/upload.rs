//! A file, or the files of a form, that a client sends: written beside their place under a hidden name, synced, and moved
//! there whole. Nobody ever sees half a file, and a file that is there stays unless `overwrite`.
//!
//! ```text
//! Folder -> Ready --a file begins--> Look -> Create -> Write --it ends--> Sync -> Claim -> Move -> Ready
//!             \--the body ends--> Settle -> stored
//! ```
//! One question is open at a time, and the body goes on meanwhile until it is too far ahead of the disk.
use proto_core::http1::form::{Form, Piece};
use proto_core::{Answer, Ask, Bytes, DirId, FileId, How, Reason};

/// Bytes that may wait for the disk.
const AHEAD: usize = 256 << 10;
/// Files of one form.
const FILES: usize = 1000;
/// The longest name of a file: what file systems take, less what the hidden name adds.
const NAME: usize = 255 - 24;

/// Where the files are in a body.
#[derive(Debug)]
pub enum Source {
    /// The body is the file of this name.
    Whole(String),
    /// They are in a form.
    Form(Form),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Folder,
    Ready,
    /// In a field that is no file.
    Skip,
    Look,
    Create,
    Write,
    Sync,
    Claim,
    Move,
    Settle,
    Over,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    /// Ask this; tell [`Upload::heard`].
    Ask(Ask),
    /// Nothing before more of the body is here.
    More,
    /// It is over: the names of what is stored, and whether a file of that name was there before; or else a status and
    /// why. [`Upload::leftovers`] remain to be done.
    Over(Result<(Vec<String>, bool), Failed>),
}

/// The status of a failed upload, and why.
pub type Failed = (u16, String);

/// The part of one body.
#[derive(Debug)]
pub struct Upload {
    source: Source,
    overwrite: bool,
    /// Tells its hidden names from those of others.
    mark: u64,
    step: Step,
    dir: Option<DirId>,
    file: Option<FileId>,
    name: String,
    /// The hidden name, while it is there.
    temp: Option<String>,
    /// The name is an empty file of ours.
    claimed: bool,
    offset: u64,
    /// What has come and is not done with.
    kept: Vec<u8>,
    ended: bool,
    /// A question is open.
    asking: bool,
    replaced: bool,
    names: Vec<String>,
    /// Files that were opened only to see whether they are there.
    seen: Vec<FileId>,
}

impl Upload {
    /// `mark` is random.
    pub fn new(source: Source, overwrite: bool, mark: u64) -> Self {
        Upload {
            source,
            overwrite,
            mark,
            step: Step::Folder,
            dir: None,
            file: None,
            name: String::new(),
            temp: None,
            claimed: false,
            offset: 0,
            kept: Vec::new(),
            ended: false,
            asking: false,
            replaced: false,
            names: Vec::new(),
            seen: Vec::new(),
        }
    }
    /// Bytes of the body.
    pub fn put(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }
    /// The body has ended.
    pub fn end(&mut self) {
        self.ended = true;
    }
    /// No more of the body is to come for now.
    pub fn is_full(&self) -> bool {
        self.kept.len() >= AHEAD
    }
    /// A question is open: [`Upload::next`] has nothing to say.
    pub fn is_asking(&self) -> bool {
        self.asking
    }
    /// As far as is known it will not fail: who waits for `100 Continue` may send the body.
    pub fn is_willing(&self) -> bool {
        match self.source {
            Source::Whole(_) => self.step == Step::Write,
            Source::Form(_) => self.dir.is_some(),
        }
    }
    /// The first question: the folder that `open` opens.
    pub fn start(&mut self, open: Ask) -> Ask {
        self.asking = true;
        open
    }
    /// What comes next.
    pub fn next(&mut self) -> Next {
        if self.asking {
            return Next::More;
        }
        match self.go() {
            Ok(Some(next)) => {
                self.asking = matches!(next, Next::Ask(_));
                next
            }
            Ok(None) => Next::More,
            Err(failed) => self.fail(failed),
        }
    }
    fn fail(&mut self, failed: Failed) -> Next {
        self.step = Step::Over;
        Next::Over(Err(failed))
    }
    fn go(&mut self) -> Result<Option<Next>, Failed> {
        loop {
            match self.step {
                Step::Folder | Step::Over => return Ok(None),
                Step::Ready | Step::Skip | Step::Write => match self.read()? {
                    Some(next) => return Ok(Some(next)),
                    None if matches!(self.step, Step::Ready | Step::Skip | Step::Write) => return Ok(None),
                    None => {}
                },
                Step::Look => return self.ask(|u, dir| u.open(dir, &u.name, How { read: true, ..How::default() })),
                Step::Create => {
                    self.temp = Some(format!(".{}.{:016x}", self.name, self.mark));
                    let how = How { write: true, new: true, ..How::default() };
                    return self.ask(|u, dir| u.open(dir, u.temp.as_deref().unwrap_or_default(), how));
                }
                Step::Sync => return Ok(Some(Next::Ask(Ask::Sync { file: self.file()?, data_only: false }))),
                Step::Claim => {
                    let how = How { write: true, new: true, ..How::default() };
                    return self.ask(|u, dir| u.open(dir, &u.name, how));
                }
                Step::Move => {
                    let (from, to) = (self.temp.clone().unwrap_or_default(), self.name.clone());
                    return self.ask(|_, dir| Ask::Rename { dir: Some(dir), from, to });
                }
                Step::Settle => return self.ask(|_, dir| Ask::Sync { file: dir, data_only: false }),
            }
        }
    }
    fn file(&self) -> Result<FileId, Failed> {
        self.file.ok_or((500, "no file".into()))
    }
    fn ask(&self, ask: impl FnOnce(&Upload, DirId) -> Ask) -> Result<Option<Next>, Failed> {
        Ok(self.dir.map(|dir| Next::Ask(ask(self, dir))))
    }
    fn open(&self, dir: DirId, path: &str, how: How) -> Ask {
        Ask::Open { dir: Some(dir), path: path.into(), how: How { beneath: true, ..how } }
    }
    /// Goes on in the body. A question, if there is one; or else more of the body is needed, unless the step is another.
    fn read(&mut self) -> Result<Option<Next>, Failed> {
        match &mut self.source {
            Source::Form(_) => return self.read_form(),
            Source::Whole(name) if self.step == Step::Ready && self.names.is_empty() => {
                let name = name.clone();
                self.begin(name)?;
            }
            Source::Whole(_) if self.step == Step::Ready => self.step = Step::Settle,
            Source::Whole(_) if !self.kept.is_empty() => return self.write(self.kept.len()),
            Source::Whole(_) if self.ended => self.step = Step::Sync,
            Source::Whole(_) => {}
        }
        Ok(None)
    }
    fn read_form(&mut self) -> Result<Option<Next>, Failed> {
        loop {
            let Source::Form(form) = &mut self.source else { return Ok(None) };
            let over = form.is_over();
            let (n, piece) = form.next(&self.kept).map_err(|bad| (400, bad.0.to_string()))?;
            let stuck = over || n == 0 && piece.is_none();
            if let (Some(Piece::Data(_)), Step::Write) = (&piece, self.step) {
                return self.write(n);
            }
            self.kept.drain(..n);
            match piece {
                Some(Piece::File(name)) => return self.begin(name).map(|()| None),
                Some(Piece::End) if self.step == Step::Write => {
                    self.step = Step::Sync;
                    return Ok(None);
                }
                Some(Piece::Field) => self.step = Step::Skip,
                Some(Piece::End) => self.step = Step::Ready,
                Some(Piece::Data(_)) | None => {}
            }
            if stuck {
                return self.end_of_form(over).map(|()| None);
            }
        }
    }
    fn end_of_form(&mut self, over: bool) -> Result<(), Failed> {
        match self.ended {
            false => Ok(()),
            true if !over => Err((400, "the form has no end".into())),
            true if self.names.is_empty() => Err((400, "no file in the form".into())),
            true => {
                self.step = Step::Settle;
                Ok(())
            }
        }
    }
    fn begin(&mut self, name: String) -> Result<(), Failed> {
        check_name(&name)?;
        if self.names.len() >= FILES {
            return Err((413, format!("more than {FILES} files")));
        }
        (self.name, self.offset, self.step) = (name, 0, Step::Look);
        Ok(())
    }
    fn write(&mut self, n: usize) -> Result<Option<Next>, Failed> {
        let (file, offset) = (self.file()?, self.offset);
        let data: Vec<u8> = self.kept.drain(..n).collect();
        self.offset += n as u64;
        Ok(Some(Next::Ask(Ask::Write { file, offset, data: vec![Bytes::from(data)] })))
    }
    /// The answer to its question. `Some`: it is over.
    pub fn heard(&mut self, answer: Result<Answer, Reason>) -> Option<Next> {
        self.asking = false;
        match self.hear(answer) {
            Ok(()) if self.step == Step::Over => {
                Some(Next::Over(Ok((core::mem::take(&mut self.names), self.replaced))))
            }
            Ok(()) => None,
            Err(failed) => Some(self.fail(failed)),
        }
    }
    fn hear(&mut self, answer: Result<Answer, Reason>) -> Result<(), Failed> {
        self.step = match (self.step, answer) {
            (Step::Folder, Ok(Answer::Opened { file, .. })) => {
                self.dir = Some(file);
                Step::Ready
            }
            (Step::Look, Ok(Answer::Opened { file, .. })) => {
                self.seen.push(file);
                self.replaced = true;
                if self.overwrite { Step::Create } else { return Err(taken(&self.name)) }
            }
            (Step::Look, Err(Reason::NotFound)) => Step::Create,
            (Step::Create, Ok(Answer::Opened { file, .. })) => {
                self.file = Some(file);
                Step::Write
            }
            (Step::Write, Ok(Answer::Done)) => Step::Write,
            (Step::Sync, Ok(Answer::Done)) if self.overwrite => Step::Move,
            (Step::Sync, Ok(Answer::Done)) => Step::Claim,
            (Step::Claim, Ok(Answer::Opened { file, .. })) => {
                self.seen.push(file);
                self.claimed = true;
                Step::Move
            }
            (Step::Claim, Err(Reason::Exists)) => return Err(taken(&self.name)),
            (Step::Move, Ok(Answer::Done)) => {
                (self.temp, self.claimed) = (None, false);
                self.seen.extend(self.file.take());
                self.names.push(core::mem::take(&mut self.name));
                Step::Ready
            }
            (Step::Settle, _) => Step::Over, // some file systems cannot sync a folder
            (step, Err(why)) => {
                if step == Step::Create {
                    self.temp = None;
                }
                return Err((status(why), why.to_string()));
            }
            (_, Ok(_)) => return Err((500, "an answer to something else".into())),
        };
        Ok(())
    }
    /// Files that are not needed any more.
    pub fn take_seen(&mut self) -> Vec<FileId> {
        core::mem::take(&mut self.seen)
    }
    /// What must be done when it is over, or given up while nothing is asked.
    pub fn leftovers(mut self) -> Vec<Ask> {
        let mut asks: Vec<Ask> = self.take_seen().into_iter().chain(self.file).map(Ask::CloseFile).collect();
        let claimed = self.claimed.then_some(self.name);
        asks.extend(self.temp.into_iter().chain(claimed).map(|path| Ask::Remove { dir: self.dir, path }));
        asks.extend(self.dir.map(Ask::CloseFile));
        asks
    }
}

fn taken(name: &str) -> Failed {
    (409, format!("'{name}' is there already"))
}

/// A name of one file in a folder, and not hidden.
///
/// # Errors
/// It is none.
pub fn check_name(name: &str) -> Result<(), Failed> {
    let bad = |why: &str| Err((400, format!("'{}' {why}", name.escape_debug())));
    match name {
        "" => bad("is no name"),
        _ if name.contains(['/', '\\', '\0']) => bad("has a separator in it"),
        _ if name.starts_with('.') => bad("begins with a dot"),
        _ if name.len() > NAME => bad("is too long"),
        _ if name.chars().any(char::is_control) => bad("has a control character in it"),
        _ => Ok(()),
    }
}

fn status(why: Reason) -> u16 {
    match why {
        Reason::NoSpace | Reason::Io(122 | 27) => 507, // EDQUOT, EFBIG
        Reason::Io(21 | 39) => 409,                    // EISDIR, ENOTEMPTY: a folder has that name
        other => super::store::status(other),
    }
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
