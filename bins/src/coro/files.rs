//! Files and names.
use super::state::Handle;
use core::net::IpAddr;
use proto_core::{Answer, Ask, Bytes, DirId, Entry, FileId, How, Meta, Reason};

/// Bytes that are read at once.
const PIECE: u32 = 256 << 10;

/// An open file; it is closed when it is dropped.
pub struct File<J, R> {
    handle: Handle<J, R>,
    id: FileId,
    /// Its facts when it was opened.
    pub meta: Meta,
}

impl<J, R> core::fmt::Debug for File<J, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("File").field("id", &self.id).field("meta", &self.meta).finish()
    }
}

impl<J: Unpin, R> File<J, R> {
    /// Its name, for [`proto_core::Tx::file`] and as a directory of other questions.
    pub fn id(&self) -> FileId {
        self.id
    }
    /// At most `len` bytes from `offset` on; fewer only at its end.
    pub async fn read(&self, offset: u64, len: u32) -> Result<Bytes, Reason> {
        match self.handle.ask(Ask::Read { file: self.id, offset, len }).await? {
            Answer::Read(bytes) => Ok(bytes),
            _ => Err(Reason::Unsupported),
        }
    }
    /// Writes all of `data` at `offset`.
    pub async fn write(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Reason> {
        self.handle.ask(Ask::Write { file: self.id, offset, data }).await.map(drop)
    }
    /// What was written would survive a power cut.
    pub async fn sync(&self) -> Result<(), Reason> {
        self.handle.ask(Ask::Sync { file: self.id, data_only: false }).await.map(drop)
    }
    /// The names in a directory, sorted.
    pub async fn list(&self) -> Result<Vec<Entry>, Reason> {
        match self.handle.ask(Ask::List { dir: self.id }).await? {
            Answer::List(names) => Ok(names),
            _ => Err(Reason::Unsupported),
        }
    }
}

impl<J, R> Drop for File<J, R> {
    fn drop(&mut self) {
        self.handle.lock().close_file(self.id);
    }
}

impl<J: Unpin, R> Handle<J, R> {
    /// Opens a file; `path` starts in `dir`, or in the working directory.
    pub async fn open(&self, dir: Option<DirId>, path: &str, how: How) -> Result<File<J, R>, Reason> {
        match self.ask(Ask::Open { dir, path: path.into(), how }).await? {
            Answer::Opened { file, meta } => Ok(File { handle: self.clone(), id: file, meta }),
            _ => Err(Reason::Unsupported),
        }
    }
    /// A whole file of at most `max` bytes. The path stays beneath `dir`. A larger one is `Reason::NoSpace`.
    pub async fn read_file(&self, dir: Option<DirId>, path: &str, max: usize) -> Result<Bytes, Reason> {
        let how = How { read: true, beneath: true, ..How::default() };
        let file = self.open(dir, path, how).await?;
        let mut all = Vec::new();
        loop {
            let piece = file.read(all.len() as u64, PIECE).await?;
            if all.is_empty() && (piece.len() as u64) < u64::from(PIECE) {
                return if piece.len() > max { Err(Reason::NoSpace) } else { Ok(piece) };
            }
            all.extend_from_slice(&piece);
            if all.len() > max {
                return Err(Reason::NoSpace);
            }
            if (piece.len() as u64) < u64::from(PIECE) {
                return Ok(all.into());
            }
        }
    }
    /// The addresses of a host, at least one.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Reason> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        match self.ask(Ask::Resolve { host: host.into() }).await? {
            Answer::Resolved(ips) => Ok(ips),
            _ => Err(Reason::Unsupported),
        }
    }
}
