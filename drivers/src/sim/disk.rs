//! A disk that can lose power: what programs see, and what would be left of it.
//!
//! Changes are visible at once and pending until a sync covers them: bytes by sectors of 512, lengths, names by
//! directory entry. A power cut keeps a seeded subset of what is pending, in the order it was written; only what an
//! answered sync covered is safe. A sync that failed leaves what it dropped visible and never durable, as kernels do.
use super::plan::Chance;
use super::rng::Rng;
use proto_core::{Bytes, Entry, How, Meta, Reason};
use std::collections::BTreeMap;

/// What a disk writes at once or not at all.
const SECTOR: usize = 512;
/// The inode of the root directory.
pub const ROOT: u64 = 1;

#[derive(Clone, Debug)]
enum Change {
    /// A sector's new content.
    Sector(usize, Vec<u8>),
    Len(usize),
}

#[derive(Clone, Debug, Default)]
struct File {
    /// As programs see it.
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// In order.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Dir {
    parent: u64,
    seen: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
}

#[derive(Clone, Debug)]
enum Kind {
    File(File),
    Dir(Dir),
}

#[derive(Clone, Debug)]
struct Inode {
    kind: Kind,
    modified_ns: i64,
}

/// One name that a change sets or, with `None`, takes away.
type Naming = (u64, String, Option<u64>);

/// The disk of one machine. It outlives its programs.
#[derive(Clone, Debug)]
pub struct Disk {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    /// Names not durable yet; what is in one entry (a rename) happens as a whole or not at all.
    naming: Vec<Vec<Naming>>,
    /// Writes done, for `power=N`.
    pub writes: u64,
}

impl Default for Disk {
    fn default() -> Self {
        let root = Dir { parent: ROOT, seen: BTreeMap::new(), durable: BTreeMap::new() };
        let root = Inode { kind: Kind::Dir(root), modified_ns: 0 };
        Disk { inodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1, naming: Vec::new(), writes: 0 }
    }
}

impl Disk {
    fn dir(&self, ino: u64) -> Result<&Dir, Reason> {
        match self.inodes.get(&ino).map(|i| &i.kind) {
            Some(Kind::Dir(d)) => Ok(d),
            Some(Kind::File(_)) => Err(Reason::Io(libc::ENOTDIR)),
            None => Err(Reason::NotFound),
        }
    }
    fn file(&mut self, ino: u64) -> Result<&mut File, Reason> {
        match self.inodes.get_mut(&ino).map(|i| &mut i.kind) {
            Some(Kind::File(f)) => Ok(f),
            Some(Kind::Dir(_)) => Err(Reason::Io(libc::EISDIR)),
            None => Err(Reason::NotFound),
        }
    }
    /// The directory a path's last name is in, and that name (empty for the start itself).
    fn walk<'p>(&self, from: u64, path: &'p str, beneath: bool) -> Result<(u64, &'p str), Reason> {
        if beneath && path.starts_with('/') {
            return Err(Reason::Escapes);
        }
        let mut at = if path.starts_with('/') { ROOT } else { from };
        let mut parts = path.split('/').filter(|p| !p.is_empty() && *p != ".").peekable();
        let mut depth = 0;
        while let Some(part) = parts.next() {
            if part == ".." {
                if beneath && depth == 0 {
                    return Err(Reason::Escapes);
                }
                depth -= 1;
                at = self.dir(at)?.parent;
            } else if parts.peek().is_none() {
                return Ok((at, part));
            } else {
                depth += 1;
                at = *self.dir(at)?.seen.get(part).ok_or(Reason::NotFound)?;
            }
        }
        Ok((at, ""))
    }
    fn find(&self, dir: u64, name: &str) -> Result<u64, Reason> {
        if name.is_empty() { Ok(dir) } else { self.dir(dir)?.seen.get(name).copied().ok_or(Reason::NotFound) }
    }
    fn name(&mut self, changes: Vec<Naming>) {
        for (dir, name, ino) in &changes {
            set_name(&mut self.inodes, *dir, name, *ino, false);
        }
        self.naming.push(changes);
    }
    fn make(&mut self, kind: Kind, modified_ns: i64) -> u64 {
        let ino = self.next;
        self.next += 1;
        self.inodes.insert(ino, Inode { kind, modified_ns });
        ino
    }

    /// Opens or creates.
    pub fn open(&mut self, dir: u64, path: &str, how: How, now_ns: i64) -> Result<u64, Reason> {
        let (dir, name) = self.walk(dir, path, how.beneath)?;
        let found = match self.find(dir, name) {
            Ok(_) if how.new => return Err(Reason::Exists),
            Ok(ino) => ino,
            Err(Reason::NotFound) if (how.create || how.new) && self.dir(dir).is_ok() => {
                let ino = self.make(Kind::File(File::default()), now_ns);
                self.name(vec![(dir, name.into(), Some(ino))]);
                ino
            }
            Err(why) => return Err(why),
        };
        match self.inodes.get(&found).map(|i| &i.kind) {
            Some(Kind::File(_)) if how.dir => return Err(Reason::Io(libc::ENOTDIR)),
            Some(Kind::Dir(_)) if how.write => return Err(Reason::Io(libc::EISDIR)),
            _ => {}
        }
        if how.truncate {
            self.truncate(found, 0, now_ns)?;
        }
        Ok(found)
    }
    /// Facts.
    pub fn stat(&self, ino: u64) -> Result<Meta, Reason> {
        let i = self.inodes.get(&ino).ok_or(Reason::NotFound)?;
        let (len, dir) = match &i.kind {
            Kind::File(f) => (f.seen.len() as u64, false),
            Kind::Dir(_) => (0, true),
        };
        Ok(Meta { len, modified_ns: i.modified_ns, dir, regular: !dir, inode: ino })
    }
    /// Bytes; shorter only at the end of the file.
    pub fn read(&mut self, ino: u64, offset: u64, len: usize) -> Result<Bytes, Reason> {
        let seen = &self.file(ino)?.seen;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(seen.len());
        let upto = from.saturating_add(len).min(seen.len());
        Ok(Bytes::copy_from_slice(seen.get(from..upto).unwrap_or_default()))
    }
    /// Writes, visibly and not yet durably.
    pub fn write(&mut self, ino: u64, offset: u64, data: &[u8], now_ns: i64) -> Result<(), Reason> {
        let from = usize::try_from(offset).map_err(|_| Reason::NoSpace)?;
        let file = self.file(ino)?;
        if data.is_empty() {
            return Ok(()); // does not even extend the file
        }
        let upto = from.checked_add(data.len()).filter(|n| *n <= MAX_FILE).ok_or(Reason::NoSpace)?;
        if upto > file.seen.len() {
            file.seen.resize(upto, 0);
            file.pending.push(Change::Len(upto));
        }
        file.seen.iter_mut().skip(from).zip(data).for_each(|(s, b)| *s = *b);
        for sector in from / SECTOR..upto.div_ceil(SECTOR) {
            let all = file.seen.chunks(SECTOR).nth(sector).unwrap_or_default();
            file.pending.push(Change::Sector(sector, all.to_vec()));
        }
        self.touch(ino, now_ns);
        Ok(())
    }
    /// Cuts, or extends with zeros.
    pub fn truncate(&mut self, ino: u64, len: u64, now_ns: i64) -> Result<(), Reason> {
        let len = usize::try_from(len).ok().filter(|n| *n <= MAX_FILE).ok_or(Reason::NoSpace)?;
        let file = self.file(ino)?;
        file.seen.resize(len, 0);
        file.pending.push(Change::Len(len));
        self.touch(ino, now_ns);
        Ok(())
    }
    fn touch(&mut self, ino: u64, now_ns: i64) {
        if let Some(i) = self.inodes.get_mut(&ino) {
            i.modified_ns = now_ns;
        }
    }
    /// Makes a file's bytes, or a directory's names, durable.
    pub fn sync(&mut self, ino: u64) -> Result<(), Reason> {
        if self.dir(ino).is_ok() {
            let (done, rest) =
                std::mem::take(&mut self.naming).into_iter().partition(|c| c.iter().any(|(d, ..)| *d == ino));
            self.naming = rest;
            self.keep_names(done);
            return Ok(());
        }
        let file = self.file(ino)?;
        for change in std::mem::take(&mut file.pending) {
            file.keep(change);
        }
        Ok(())
    }
    /// A sync that fails: each pending change may have been dropped, and the kernel forgets which.
    pub fn sync_failed(&mut self, ino: u64, rng: &mut Rng) {
        if let Ok(file) = self.file(ino) {
            file.pending.retain(|_| rng.happens(HALF));
        }
    }
    fn keep_names(&mut self, changes: Vec<Vec<Naming>>) {
        for (dir, name, ino) in changes.into_iter().flatten() {
            set_name(&mut self.inodes, dir, &name, ino, true);
        }
    }
    /// Names in a directory, sorted.
    pub fn list(&self, ino: u64) -> Result<Vec<Entry>, Reason> {
        let entry = |(name, ino): (&String, &u64)| Entry { name: name.clone(), dir: self.dir(*ino).is_ok() };
        Ok(self.dir(ino)?.seen.iter().map(entry).collect())
    }
    /// Renames; what has the new name is replaced.
    pub fn rename(&mut self, dir: u64, from: &str, to: &str) -> Result<(), Reason> {
        let (from_dir, from) = self.walk(dir, from, false)?;
        let (to_dir, to) = self.walk(dir, to, false)?;
        let ino = self.find(from_dir, from)?;
        if from.is_empty() || to.is_empty() || self.find(to_dir, to).is_ok_and(|i| self.dir(i).is_ok()) {
            return Err(Reason::Io(libc::EBUSY));
        }
        if (from_dir, from) != (to_dir, to) {
            self.name(vec![(from_dir, from.into(), None), (to_dir, to.into(), Some(ino))]);
        }
        Ok(())
    }
    /// Takes a file's name away; whoever has it open keeps it.
    pub fn remove(&mut self, dir: u64, path: &str) -> Result<(), Reason> {
        let (dir, name) = self.walk(dir, path, false)?;
        let ino = self.find(dir, name)?;
        if self.dir(ino).is_ok() {
            return Err(Reason::Io(libc::EISDIR));
        }
        self.name(vec![(dir, name.into(), None)]);
        Ok(())
    }
    /// Makes a directory.
    pub fn make_dir(&mut self, dir: u64, path: &str, now_ns: i64) -> Result<(), Reason> {
        let (dir, name) = self.walk(dir, path, false)?;
        match self.find(dir, name) {
            Ok(_) => return Err(Reason::Exists),
            Err(Reason::NotFound) => self.dir(dir)?,
            Err(why) => return Err(why),
        };
        let new = Dir { parent: dir, seen: BTreeMap::new(), durable: BTreeMap::new() };
        let ino = self.make(Kind::Dir(new), now_ns);
        self.name(vec![(dir, name.into(), Some(ino))]);
        Ok(())
    }
    /// Puts a durable file there, with its directories.
    pub fn install(&mut self, path: &str, data: &[u8]) -> Result<(), Reason> {
        let pending = std::mem::take(&mut self.naming); // what others have named stays as it is
        let parents = path.match_indices('/').filter_map(|(at, _)| path.get(..at)).filter(|p| !p.is_empty());
        for parent in parents {
            match self.make_dir(ROOT, parent, 0) {
                Ok(()) | Err(Reason::Exists) => {}
                Err(why) => return Err(why),
            }
        }
        let how = How { write: true, create: true, truncate: true, ..How::default() };
        let ino = self.open(ROOT, path, how, 0)?;
        self.write(ino, 0, data, 0)?;
        self.sync(ino)?;
        let names = std::mem::take(&mut self.naming);
        self.keep_names(names);
        self.naming = pending;
        Ok(())
    }
    /// A file's bytes as programs see them.
    pub fn content(&mut self, path: &str) -> Result<Vec<u8>, Reason> {
        let (dir, name) = self.walk(ROOT, path, false)?;
        let ino = self.find(dir, name)?;
        Ok(self.file(ino)?.seen.clone())
    }

    /// The power fails: of everything pending a seeded subset is left.
    pub fn power_cut(&mut self, rng: &mut Rng) {
        // Some cuts lose almost nothing, some almost everything.
        let kept = Chance(rng.below(1_000_001) as u32);
        let mut names = std::mem::take(&mut self.naming);
        names.retain(|_| rng.happens(kept));
        self.keep_names(names);
        for i in self.inodes.values_mut() {
            match &mut i.kind {
                Kind::Dir(d) => d.seen.clone_from(&d.durable),
                Kind::File(f) => {
                    for change in std::mem::take(&mut f.pending) {
                        if rng.happens(kept) {
                            f.keep(change);
                        }
                    }
                    f.seen.clone_from(&f.durable);
                }
            }
        }
    }
}

/// No simulated file is larger: 1 GiB.
const MAX_FILE: usize = 1 << 30;
pub const HALF: Chance = Chance(500_000);

impl File {
    fn keep(&mut self, change: Change) {
        match change {
            Change::Len(n) => self.durable.resize(n, 0),
            Change::Sector(sector, bytes) => {
                // Beyond the durable length there is no block to write to.
                let at = sector * SECTOR;
                self.durable.iter_mut().skip(at).zip(bytes).for_each(|(d, b)| *d = b);
            }
        }
    }
}

fn set_name(inodes: &mut BTreeMap<u64, Inode>, dir: u64, name: &str, ino: Option<u64>, durable: bool) {
    let Some(Inode { kind: Kind::Dir(d), .. }) = inodes.get_mut(&dir) else { return };
    let names = if durable { &mut d.durable } else { &mut d.seen };
    match ino {
        Some(ino) => names.insert(name.into(), ino),
        None => names.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: How = How {
        read: true,
        write: true,
        create: true,
        new: false,
        truncate: false,
        dir: false,
        beneath: false,
        lock: false,
        mode: 0,
    };

    #[test]
    fn what_was_synced_survives_and_the_rest_is_a_matter_of_luck() {
        let (mut lost, mut kept) = (0, 0);
        for seed in 0..100 {
            let (mut d, mut rng) = (Disk::default(), Rng::new(seed, 0));
            let f = d.open(ROOT, "log", NEW, 0).unwrap();
            d.write(f, 0, &[1; 700], 0).unwrap();
            d.sync(f).unwrap();
            d.sync(ROOT).unwrap();
            d.write(f, 700, &[2; 2000], 0).unwrap();
            d.power_cut(&mut rng);
            let left = d.content("log").unwrap();
            assert_eq!(left[..700], [1; 700], "seed {seed}");
            let twos = left.iter().filter(|b| **b == 2).count();
            lost += usize::from(twos < 2000);
            kept += usize::from(twos > 0);
        }
        assert!(lost > 10 && kept > 10, "lost in {lost}, kept in {kept} of 100");
    }

    #[test]
    fn a_name_needs_the_sync_of_its_directory() {
        let gone = (0..100).filter(|seed| {
            let (mut d, mut rng) = (Disk::default(), Rng::new(*seed, 0));
            let f = d.open(ROOT, "a", NEW, 0).unwrap();
            d.sync(f).unwrap();
            d.power_cut(&mut rng);
            d.content("a").is_err()
        });
        assert!((10..100).contains(&gone.count()));
    }

    #[test]
    fn a_rename_happens_as_a_whole_or_not_at_all() {
        for seed in 0..100 {
            let (mut d, mut rng) = (Disk::default(), Rng::new(seed, 0));
            d.install("old", b"old").unwrap();
            d.install("new", b"new").unwrap();
            d.rename(ROOT, "new", "old").unwrap();
            d.power_cut(&mut rng);
            let (old, new) = (d.content("old").unwrap(), d.content("new"));
            assert!((old == b"new" && new.is_err()) || (old == b"old" && new == Ok(b"new".to_vec())), "seed {seed}");
        }
    }

    #[test]
    fn a_failed_sync_is_never_made_good_by_another() {
        let lost = (0..100).filter(|seed| {
            let (mut d, mut rng) = (Disk::default(), Rng::new(*seed, 0));
            d.install("f", b"").unwrap();
            let f = d.open(ROOT, "f", NEW, 0).unwrap();
            d.write(f, 0, &[7; 2048], 0).unwrap();
            d.sync_failed(f, &mut rng);
            d.sync(f).unwrap();
            assert_eq!(d.content("f").unwrap(), [7; 2048], "it is still visible");
            d.power_cut(&mut rng);
            d.content("f").unwrap() != [7; 2048]
        });
        assert!(lost.count() > 50);
    }

    #[test]
    fn paths_stay_beneath_when_asked_to() {
        let mut d = Disk::default();
        d.install("www/a/b", b"x").unwrap();
        d.install("secret", b"s").unwrap();
        let www = d.open(ROOT, "www", How { dir: true, ..How::default() }, 0).unwrap();
        let beneath = How { read: true, beneath: true, ..How::default() };
        assert!(d.open(www, "a/../a/b", beneath, 0).is_ok());
        assert_eq!(d.open(www, "a/../../secret", beneath, 0), Err(Reason::Escapes));
        assert_eq!(d.open(www, "/secret", beneath, 0), Err(Reason::Escapes));
        assert!(d.open(www, "../secret", How { beneath: false, ..beneath }, 0).is_ok());
        assert_eq!(d.open(www, "a/none", beneath, 0), Err(Reason::NotFound));
        assert_eq!(
            d.list(ROOT).unwrap().iter().map(|e| (&*e.name, e.dir)).collect::<Vec<_>>(),
            [("secret", false), ("www", true)]
        );
    }
}
