//! Files that are needed before anything is sent: bodies, a token, passwords, cookies.
use super::net::FetchCx;
use super::upload::{Opened, Piece, Upload};
use crate::outcome::{Code, Failure};
use crate::text::Escaped;
use proto_core::{Answer, Ask, Bytes, FileId, How, OpId, Reason};
use std::collections::VecDeque;

/// The part byte of its questions.
pub const PREP: u8 = 3;
/// The part byte of questions whose answers nobody waits for.
const LEFT: u8 = 13;
/// Bytes of a file that is text for us.
const TEXT_MAX: u32 = 1 << 20;
/// Bytes of standard input that become a body.
const STDIN_MAX: usize = 64 << 20;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Need {
    Body(String),
    Bearer(String),
    Netrc(String),
    Cookies(String),
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Files of the body, open.
    pub body: Opened,
    /// The token.
    pub bearer: Option<String>,
    /// The text of the netrc file.
    pub netrc: String,
    /// The texts of cookie files.
    pub cookies: Vec<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Prep {
    todo: VecDeque<Need>,
    open: Option<FileId>,
    key: u64,
    stdin: Option<Vec<u8>>,
    /// What was found so far.
    pub found: Found,
}

impl Prep {
    /// For these.
    pub fn new(upload: &Upload, bearer: Option<&str>, netrc: Option<&str>, cookies: &[String]) -> Self {
        let body = upload.paths().filter(|p| *p != "-").map(|p| Need::Body(p.into()));
        let bearer = bearer.map(|p| Need::Bearer(p.into()));
        let netrc = netrc.map(|p| Need::Netrc(p.into()));
        let cookies = cookies.iter().map(|p| Need::Cookies(p.clone()));
        let stdin = upload.paths().any(|p| p == "-").then(Vec::new);
        Prep { todo: body.chain(bearer).chain(netrc).chain(cookies).collect(), stdin, ..Prep::default() }
    }
    /// Standard input is a part of the body.
    pub fn wants_stdin(&self) -> bool {
        self.stdin.is_some()
    }
    /// All is there.
    pub fn is_over(&self) -> bool {
        self.todo.is_empty() && self.stdin.is_none()
    }
    /// Takes a piece of standard input.
    ///
    /// # Errors
    /// It is too much.
    pub fn stdin(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(all) = &mut self.stdin else { return Ok(()) };
        if all.len() + bytes.len() > STDIN_MAX {
            return Err(Failure::usage("standard input has more than 64 MiB; put it into a file"));
        }
        all.extend_from_slice(bytes);
        Ok(())
    }
    /// Standard input has ended: it takes its place in the body.
    pub fn stdin_over(&mut self, upload: &mut Upload) {
        let Some(all) = self.stdin.take() else { return };
        let all = Bytes::from(all);
        for piece in upload.pieces.iter_mut().filter(|p| **p == Piece::File("-".into())) {
            *piece = Piece::Text(all.clone());
        }
    }
    /// Asks for the next; true if there is none.
    pub fn next(&mut self, cx: &mut FetchCx<'_>) -> bool {
        let path = match self.todo.front() {
            Some(Need::Body(p) | Need::Bearer(p) | Need::Netrc(p) | Need::Cookies(p)) => p.clone(),
            None => return self.stdin.is_none(),
        };
        self.ask(Ask::Open { dir: None, path, how: How { read: true, ..How::default() } }, cx);
        false
    }
    fn ask(&mut self, ask: Ask, cx: &mut FetchCx<'_>) {
        cx.ask(OpId::new(PREP, self.key), ask);
        self.key += 1;
    }
    /// Takes an answer; true if all is there.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn answer(&mut self, answer: &Result<Answer, Reason>, cx: &mut FetchCx<'_>) -> Result<bool, Failure> {
        let Some(need) = self.todo.front() else { return Ok(false) };
        match (answer, need) {
            (Ok(Answer::Opened { file, meta }), Need::Body(_)) if meta.regular => {
                self.found.body.push((*file, meta.len));
            }
            (Ok(Answer::Opened { .. }), Need::Body(path)) => return Err(unreadable(path, "not a regular file")),
            (Ok(Answer::Opened { file, .. }), _) => {
                self.open = Some(*file);
                self.ask(Ask::Read { file: *file, offset: 0, len: TEXT_MAX }, cx);
                return Ok(false);
            }
            (Ok(Answer::Read(bytes)), need) => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                match need {
                    Need::Bearer(path) => {
                        let token = text.trim();
                        let fine = !token.is_empty() && token.bytes().all(|b| (0x21..0x7f).contains(&b));
                        self.found.bearer = Some(token.into()).filter(|_| fine);
                        if !fine {
                            return Err(unreadable(path, "not a token"));
                        }
                    }
                    Need::Netrc(_) => self.found.netrc = text,
                    Need::Cookies(_) => self.found.cookies.push(text),
                    Need::Body(_) => {}
                }
            }
            (Err(Reason::NotFound), Need::Cookies(_)) => {} // there are none yet
            (Err(why), Need::Body(path) | Need::Bearer(path) | Need::Netrc(path) | Need::Cookies(path)) => {
                let why = if *why == Reason::NotFound { "no such file".into() } else { why.to_string() };
                return Err(unreadable(path, &why));
            }
            (Ok(_), _) => return Err(Failure::new(Code::Bug, "an answer that does not fit the question")),
        }
        self.todo.pop_front();
        if let Some(file) = self.open.take() {
            cx.ask(OpId::new(LEFT, self.key), Ask::CloseFile(file));
        }
        Ok(self.next(cx))
    }
}

fn unreadable(path: &str, why: &str) -> Failure {
    Failure::usage(format!("cannot read '{}': {why}", Escaped(path.as_bytes())))
}
