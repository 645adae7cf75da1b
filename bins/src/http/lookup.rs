//! From a path to what is sent: the file, a directory's index or list, a coded form beside it, a fallback, an error page.
//!
//! ```text
//! Target --file--> Coded(br, zstd, gzip) --none--> Packed --not worth it--> send
//!    \---directory--> Index 0, 1, .. --none--> list, or missing
//!     \--missing--> Fallback (--spa) --none--> Page (--error-page) --none--> one line
//! ```
use super::access::Asked;
use super::media::{Coding, accepted};
use super::pack::is_text;
use super::site::Options;
use super::store::Look;
use super::target::{Target, encode};
use super::wants::{Wants, bytes};

/// What is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// A file of the cache, with this status.
    File {
        /// In which slot.
        slot: usize,
        /// 200 unless it stands for something else.
        status: u16,
        /// It is the coded form of the file at this path.
        coded: Option<(Coding, String)>,
    },
    /// A directory was named without its slash.
    Redirect(String),
    /// A directory is listed.
    List(String),
    /// One line.
    Status(u16),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    Target,
    /// With the index file of this number.
    Index(usize),
    /// The coded forms of a file, the best last; its own change.
    Coded {
        plain: String,
        left: Vec<Coding>,
        modified_ns: i64,
        best: Coding,
    },
    /// A coded form that is made.
    Packed(String, Coding),
    /// The file itself, for want of a coded form.
    Plain(String),
    Fallback,
    Page(u16),
}

/// A request that is being looked up.
#[derive(Debug)]
pub struct Lookup {
    /// What it wants.
    pub wants: Wants<'static>,
    /// In which directory that is served.
    pub place: usize,
    /// For the log.
    pub asked: Option<Asked>,
    /// The path asked for.
    pub path: String,
    slash: bool,
    query: String,
    stage: Stage,
    steps: u32,
}

/// What to look at next.
#[derive(Debug)]
pub struct Next {
    /// The path.
    pub path: String,
    /// That nothing is there is worth remembering.
    pub keep: bool,
    /// Of the file there, this form.
    pub pack: Option<Coding>,
}

impl Next {
    fn at(path: &str) -> Next {
        Next { path: path.into(), keep: false, pack: None }
    }
}

/// Files that one request may look at. Only files that change all the time could need more than a few.
const STEPS: u32 = 64;

impl Lookup {
    /// At its beginning; `missing` begins with what stands for something missing.
    pub fn new(place: usize, target: &Target<'_>, wants: Wants<'static>, asked: Option<Asked>) -> Self {
        let (path, query) = (target.path.clone().into_owned(), target.query.into());
        Lookup { wants, place, asked, path, slash: target.slash, query, stage: Stage::Target, steps: 0 }
    }
    /// For a target that names nothing: only error pages are looked for.
    pub fn failed(place: usize, status: u16, wants: Wants<'static>, asked: Option<Asked>) -> Self {
        let (path, query) = (String::new(), String::new());
        Lookup { wants, place, asked, path, slash: false, query, stage: Stage::Page(status), steps: 0 }
    }
    /// The target was named as a folder.
    pub fn is_folder(&self) -> bool {
        self.slash
    }
    /// What to look at next. `Err`: there is nothing to look at.
    pub fn next(&mut self, options: &Options) -> Result<Next, End> {
        self.steps += 1;
        if self.steps > STEPS {
            return Err(End::Status(500));
        }
        Ok(match &self.stage {
            Stage::Target => Next::at(&self.path),
            Stage::Index(i) => match options.index.get(*i) {
                Some(name) if self.path.is_empty() => Next::at(name),
                Some(name) => Next::at(&format!("{}/{name}", self.path)),
                None if options.listing => return Err(End::List(self.path.clone())),
                None => return self.missing(404, options),
            },
            Stage::Coded { plain, left, .. } => match left.last() {
                Some(coding) => Next { keep: true, ..Next::at(&format!("{plain}{}", coding.extension())) },
                None => Next::at(plain),
            },
            Stage::Packed(plain, coding) => Next { pack: Some(*coding), ..Next::at(plain) },
            Stage::Plain(path) => Next::at(path),
            Stage::Fallback => match &options.spa {
                Some(file) => Next::at(file),
                None => return self.missing(404, options),
            },
            Stage::Page(status) => match options.error_pages.get(status) {
                Some(file) => Next::at(file),
                None => return Err(End::Status(*status)),
            },
        })
    }
    /// What follows from what is there. `None`: look at the next path. `modified_ns` is the file's.
    pub fn found(&mut self, look: Look, path: &str, modified_ns: i64, options: &Options) -> Option<End> {
        let stage = core::mem::replace(&mut self.stage, Stage::Target);
        match (stage, look) {
            (stage, Look::Wait) => self.stage = stage,
            (Stage::Target, Look::File(_)) if self.slash => return self.fail(404, options),
            (Stage::Target | Stage::Index(_), Look::File(slot)) => {
                return self.file(slot, path, modified_ns, options);
            }
            (Stage::Target, Look::Dir) if !self.slash => {
                return Some(End::Redirect(format!("/{}/{}", encode(&self.path), self.query)));
            }
            (Stage::Target, Look::Dir) => self.stage = Stage::Index(0),
            (Stage::Index(i), Look::Dir | Look::Missing(404)) => self.stage = Stage::Index(i + 1),
            (Stage::Target, Look::Missing(404)) if options.spa.is_some() => self.stage = Stage::Fallback,
            (Stage::Target | Stage::Index(_), Look::Missing(status)) => return self.fail(status, options),
            (Stage::Coded { plain, left, modified_ns: own, best }, Look::File(slot)) => match left.last() {
                // One that is older than its file was made from something else.
                Some(coding) if modified_ns >= own => {
                    return Some(End::File { slot, status: 200, coded: Some((*coding, plain)) });
                }
                _ => self.next_coding(plain, left, own, best, options),
            },
            (Stage::Coded { plain, left, modified_ns, best }, _) => {
                self.next_coding(plain, left, modified_ns, best, options);
            }
            (Stage::Packed(plain, coding), Look::File(slot)) => {
                return Some(End::File { slot, status: 200, coded: Some((coding, plain)) });
            }
            (Stage::Packed(plain, _), _) => self.stage = Stage::Plain(plain),
            (Stage::Plain(_) | Stage::Fallback, Look::File(slot)) => {
                return Some(End::File { slot, status: 200, coded: None });
            }
            (Stage::Plain(_) | Stage::Fallback, _) => return self.fail(404, options),
            (Stage::Page(status), Look::File(slot)) => return Some(End::File { slot, status, coded: None }),
            (Stage::Page(status), _) => return Some(End::Status(status)),
        }
        None
    }
    fn next_coding(&mut self, plain: String, mut left: Vec<Coding>, modified_ns: i64, best: Coding, options: &Options) {
        left.pop();
        self.stage = match left.is_empty() {
            false => Stage::Coded { plain, left, modified_ns, best },
            true if packs(&plain, options) => Stage::Packed(plain, best),
            true => Stage::Plain(plain),
        };
    }
    fn file(&mut self, slot: usize, path: &str, modified_ns: i64, options: &Options) -> Option<End> {
        let field = bytes(&self.wants.accept_encoding).filter(|_| varies(path, options));
        let mut left = field.map_or(Vec::new(), accepted);
        let Some(best) = left.first().copied() else { return Some(End::File { slot, status: 200, coded: None }) };
        left.reverse();
        self.stage = match options.precompressed {
            true => Stage::Coded { plain: path.into(), left, modified_ns, best },
            false => Stage::Packed(path.into(), best),
        };
        None
    }
    fn fail(&mut self, status: u16, options: &Options) -> Option<End> {
        if !options.error_pages.contains_key(&status) {
            return Some(End::Status(status));
        }
        self.stage = Stage::Page(status);
        None
    }
    fn missing(&mut self, status: u16, options: &Options) -> Result<Next, End> {
        self.stage = match self.stage {
            Stage::Index(_) if options.spa.is_some() => Stage::Fallback,
            _ => Stage::Page(status),
        };
        self.next(options)
    }
}

/// A file that may be sent in coded forms, and is none itself.
pub fn varies(path: &str, options: &Options) -> bool {
    let coded = || Coding::ALL.iter().any(|c| path.ends_with(c.extension()));
    (options.precompressed || packs(path, options)) && !coded()
}

/// A file that is compressed for who accepts that.
fn packs(path: &str, options: &Options) -> bool {
    options.compress && is_text(&options.types.of(path))
}
