//! What is the same for every answer of a server: its settings, and the fields that all answers carry.
use super::access;
use super::date::Today;
use super::media::Types;
use super::store::CacheLimits;
use crate::users::Users;
use core::time::Duration;
use proto_core::http1::{Config, FieldBlock, Limits, Page, Times};
use proto_core::{Misuse, Wall};
use std::collections::BTreeMap;

/// What may be set.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory, as it was named.
    pub root: String,
    /// Directories for some hosts.
    pub sites: Vec<(String, String)>,
    /// Who may ask; `None`: everybody.
    pub users: Option<Users>,
    /// Files that the users come from, to be read again when the server is told to: of who asks, and of who uploads.
    pub auth_files: [Option<String>; 2],
    /// Where files may be sent to.
    pub upload: Option<UploadOptions>,
    /// What a directory is answered with, the first that is there.
    pub index: Vec<String>,
    /// Directories without one of these are listed.
    pub listing: bool,
    /// Names that begin with a dot are served.
    pub dotfiles: bool,
    /// Symbolic links may leave the root.
    pub follow_symlinks: bool,
    /// What is sent instead of what is not there, with 200.
    pub spa: Option<String>,
    /// What is sent with an error status, instead of one line.
    pub error_pages: BTreeMap<u16, String>,
    /// `.br`, `.zst` and `.gz` beside a file are sent to who accepts them.
    pub precompressed: bool,
    /// Text is compressed for who accepts that, and the result kept.
    pub compress: bool,
    /// Media types.
    pub types: Types,
    /// Fields that every answer carries.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Fields that the answer to a preflight request carries besides (CORS).
    pub preflight: Vec<(String, Vec<u8>)>,
    /// What is kept of files.
    pub cache: CacheLimits,
    /// One line per request.
    pub access: Option<access::Format>,
    /// Settings of the protocol.
    pub http: Config,
    /// How long an idle connection may still send a last request when the server stops.
    pub last_request: Duration,
}

/// How files are taken.
#[derive(Clone, Debug)]
pub struct UploadOptions {
    /// The folder beneath the root; empty for all of it.
    pub folder: String,
    /// Who may send; `None`: whoever may ask.
    pub users: Option<Users>,
    /// Files that are there may be replaced.
    pub overwrite: bool,
}

impl Options {
    /// Files may be sent into this folder.
    pub fn takes_uploads(&self, path: &str) -> bool {
        let beneath = |folder: &str| path.strip_prefix(folder).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        self.upload.as_ref().is_some_and(|u| u.folder.is_empty() || beneath(&u.folder))
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            root: ".".into(),
            sites: Vec::new(),
            users: None,
            auth_files: [None, None],
            upload: None,
            index: vec!["index.html".into()],
            listing: false,
            dotfiles: false,
            follow_symlinks: false,
            spa: None,
            error_pages: BTreeMap::new(),
            precompressed: false,
            compress: false,
            types: Types::default(),
            fields: Vec::new(),
            preflight: Vec::new(),
            cache: CacheLimits::default(),
            access: None,
            http: Config {
                limits: Limits::SERVER,
                times: Times { body_rate: 240, ..Times::SERVER },
                tunnels: true, // they reach us, and hear 400
                say_keep_alive: true,
                page: Page::Html,
                ..Config::SERVER
            },
            last_request: Duration::from_millis(500),
        }
    }
}

/// Settings, and what is formatted once a second.
#[derive(Debug)]
pub struct Site {
    /// Settings.
    pub options: Options,
    today: Today,
    /// `Date` and the fields of all answers.
    common: FieldBlock,
}

impl Site {
    /// With its settings. Fields of all answers that cannot be fields are left out: check them before.
    pub fn new(mut options: Options) -> Self {
        let good = |f: &(String, Vec<u8>)| FieldBlock::new(&[(&f.0, &f.1)]).is_ok();
        options.fields.retain(good);
        options.preflight.retain(good);
        Site { options, today: Today::default(), common: FieldBlock::default() }
    }
    /// The time of day has come to this.
    #[inline]
    pub fn tick(&mut self, wall: Wall) {
        if self.today.set(wall) {
            self.common = self.block(&[]).unwrap_or_default(); // the fields were good before
        }
    }
    /// The present second.
    pub fn now_s(&self) -> i64 {
        self.today.second()
    }
    /// `Date` and the fields of all answers.
    pub fn common(&self) -> &FieldBlock {
        &self.common
    }
    /// `Date`, these fields, and the fields of all answers.
    ///
    /// # Errors
    /// [`Misuse`] if one cannot be a field.
    pub fn block(&self, fields: &[(&str, &[u8])]) -> Result<FieldBlock, Misuse> {
        let date = [("Date", self.today.text().as_bytes())];
        let always = self.options.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let all: Vec<(&str, &[u8])> = date.into_iter().chain(fields.iter().copied()).chain(always).collect();
        FieldBlock::new(&all)
    }
}
