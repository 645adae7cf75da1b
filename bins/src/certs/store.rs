//! A folder of certificates: nothing is overwritten unasked, and nothing is ever half written.
use super::issue::Issued;
use crate::outcome::{Code, Failure};
use crate::text::reason;
use std::fs::{File, OpenOptions, rename};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes of a file that is read.
const LARGEST: u64 = 64 << 20;

/// The folder.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    force: bool,
}

/// Files that are to be written together: name, contents, and whether only the owner may read them.
pub type Batch = Vec<(String, String, bool)>;

fn local(path: &Path, e: &std::io::Error) -> Failure {
    Failure::new(Code::Local, format!("{}: {}", path.display(), reason(e)))
}

impl Store {
    pub fn new(dir: &Path, force: bool) -> Self {
        Store { dir: dir.into(), force }
    }
    fn shown(&self, name: &str) -> PathBuf {
        if self.dir == Path::new(".") { name.into() } else { self.dir.join(name) }
    }
    pub fn exists(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }
    /// A file's text.
    pub fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.shown(name);
        let usage = |e: std::io::Error| Failure::usage(format!("{}: {}", path.display(), reason(&e)));
        let mut text = String::new();
        File::open(&path).and_then(|f| f.take(LARGEST).read_to_string(&mut text)).map_err(usage)?;
        Ok(text)
    }
    /// A certificate and its key.
    pub fn pair(&self, name: &str) -> Result<Issued, Failure> {
        Ok(Issued { cert: self.read(&format!("{name}.crt"))?, key: self.read(&format!("{name}.key"))? })
    }
    /// Refuses if one of these is there.
    pub fn free(&self, names: &[String]) -> Result<(), Failure> {
        match names.iter().find(|n| self.exists(n)) {
            Some(name) if !self.force => {
                let text = format!("{} exists (use --force)", self.shown(name).display());
                Err(Failure::new(Code::Local, text))
            }
            _ => Ok(()),
        }
    }
    /// Writes all: first beside, then in place, so that a full disk or a power cut leaves no half file.
    pub fn write(&self, files: &Batch) -> Result<(), Failure> {
        let beside = |name: &str| self.dir.join(format!(".{name}.new"));
        let written = files.iter().try_for_each(|(name, text, secret)| {
            let path = beside(name);
            let _ = std::fs::remove_file(&path); // what an interrupted run has left
            let mode = if *secret { 0o600 } else { 0o644 };
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
            let done = file.and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()));
            done.map_err(|e| local(&self.shown(name), &e))
        });
        let moved = written.and_then(|()| {
            files.iter().try_for_each(|(name, ..)| {
                rename(beside(name), self.dir.join(name)).map_err(|e| local(&self.shown(name), &e))
            })
        });
        if moved.is_err() {
            files.iter().for_each(|(name, ..)| {
                let _ = std::fs::remove_file(beside(name)); // it may be in place already
            });
        }
        moved.and_then(|()| File::open(&self.dir).and_then(|d| d.sync_all()).map_err(|e| local(&self.dir, &e)))
    }
    /// The certificates that are here, by file name.
    pub fn certificates(&self) -> Result<Vec<String>, Failure> {
        let entries = std::fs::read_dir(&self.dir).map_err(|e| local(&self.dir, &e))?;
        let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|n| n.ends_with(".crt")).collect();
        names.sort();
        Ok(names)
    }
}
