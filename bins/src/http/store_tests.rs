//! The cache by itself, on a table of files that stands for a disk.
use super::super::site::Options;
use super::*;
use proto_core::{Env, Op, Table, Wall};
use std::collections::VecDeque;

struct Bench {
    table: Table,
    ops: VecDeque<Op<Job, ()>>,
    env: Env,
    now: Instant,
    store: Store,
    disk: BTreeMap<String, (Meta, Vec<u8>)>,
    /// What is open, and how many were opened and read so far.
    open: BTreeMap<u32, String>,
    opened: u32,
    read: u32,
    /// What every open fails with.
    broken: Option<Reason>,
}

const WAITER: Token = Token::new(1, 0, 0);
const NOW_NS: i64 = 1_000_000_000_000;

impl Bench {
    fn new(limits: CacheLimits) -> Self {
        Bench {
            table: Table::new(4096, 65_536),
            ops: VecDeque::new(),
            env: Env::new([0; 32], Wall { unix_ns: NOW_NS, utc_offset_s: 0 }, Instant::default()),
            now: Instant::default(),
            store: Store::new(64, limits, true, Types::default()),
            disk: BTreeMap::new(),
            open: BTreeMap::new(),
            opened: 0,
            read: 0,
            broken: None,
        }
    }
    fn put(&mut self, path: &str, bytes: &[u8], modified_ns: i64) {
        let (len, inode) = (bytes.len() as u64, 7);
        let meta = Meta { len, modified_ns, dir: false, regular: true, inode };
        self.disk.insert(path.into(), (meta, bytes.into()));
    }
    fn handle<R>(&mut self, f: impl FnOnce(&mut Store, &mut Cx<'_, Job, ()>) -> R) -> R {
        let mut cx = Cx::new(self.now, &mut self.table, &mut self.ops, &mut self.env);
        f(&mut self.store, &mut cx)
    }
    fn look(&mut self, path: &str) -> Look {
        self.handle(|store, cx| store.look(path, WAITER, false, cx))
    }
    /// Looks, waits, and looks again.
    fn find(&mut self, path: &str) -> Look {
        match self.look(path) {
            Look::Wait => self.answer_all(path),
            look => look,
        }
    }
    /// What is there is found before the store is tidied.
    fn answer_all(&mut self, path: &str) -> Look {
        let mut found = Look::Wait;
        while let Some(op) = self.ops.pop_front() {
            let Op::Ask(id, ask) = op else { panic!("{}", op.describe()) };
            let answer = self.answer(&ask);
            if let Some((slot, waiters)) = self.handle(|store, cx| store.answered(id, answer, cx)) {
                if waiters.contains(&WAITER) {
                    found = self.look(path);
                }
                self.handle(|store, cx| store.tidy(slot, cx));
            }
        }
        found
    }
    fn answer(&mut self, ask: &Ask) -> Result<Answer, Reason> {
        match ask {
            Ask::Open { path, how, .. } => {
                assert!(how.beneath && how.read && !how.write);
                self.opened += 1;
                if let Some(why) = self.broken {
                    return Err(why);
                }
                let meta = self.disk.get(path).ok_or(Reason::NotFound)?.0;
                self.open.insert(self.opened, path.clone());
                Ok(Answer::Opened { file: FileId(self.opened), meta })
            }
            Ask::Read { file, offset, len } => {
                self.read += 1;
                let bytes = &self.disk[&self.open[&file.0]].1;
                assert_eq!(*offset, 0);
                Ok(Answer::Read(Bytes::copy_from_slice(&bytes[..bytes.len().min(*len as usize)])))
            }
            Ask::CloseFile(file) => {
                assert!(self.open.remove(&file.0).is_some(), "closed twice");
                Ok(Answer::Done)
            }
            other => panic!("{other:?}"),
        }
    }
    fn wait(&mut self, s: u64) {
        self.now = self.now.after(Duration::from_secs(s));
    }
    fn memory(&mut self, path: &str) -> Vec<u8> {
        let Look::File(slot) = self.find(path) else { panic!("{path} is not there") };
        match &self.store.file(slot).expect("a file").body {
            Body::Memory(bytes) => bytes.to_vec(),
            Body::Disk(_) => panic!("{path} is large"),
        }
    }
}

#[test]
fn a_hit_asks_nothing_until_it_is_old_and_then_once() {
    let mut b = Bench::new(CacheLimits::default());
    b.put("a", b"one", 5);
    assert_eq!(b.memory("a"), b"one");
    assert_eq!((b.opened, b.read, b.open.len()), (1, 1, 0));
    for _ in 0..10 {
        assert!(b.handle(|store, cx| store.hit("a", cx)).is_some());
    }
    assert!(b.ops.is_empty());
    b.wait(1);
    for _ in 0..10 {
        assert!(b.handle(|store, cx| store.hit("a", cx)).is_some(), "it serves while somebody looks");
    }
    assert_eq!(b.ops.len(), 1);
    b.answer_all("a");
    assert_eq!((b.opened, b.read, b.open.len()), (2, 1, 0), "the same facts: not read again");
    b.put("a", b"two", 6);
    b.wait(1);
    assert_eq!(b.memory("a"), b"one");
    b.answer_all("a");
    assert_eq!(b.memory("a"), b"two");
}

#[test]
fn a_file_that_has_just_changed_is_read_again_even_if_it_looks_the_same() {
    let mut b = Bench::new(CacheLimits::default());
    b.put("young", b"one", NOW_NS - 1_000_000);
    assert_eq!(b.memory("young"), b"one");
    b.put("young", b"two", NOW_NS - 1_000_000); // in the same tick of the file system's clock
    b.wait(3);
    b.memory("young");
    b.answer_all("young");
    assert_eq!(b.memory("young"), b"two");
    b.wait(3);
    b.memory("young");
    b.answer_all("young");
    assert_eq!(b.read, 2, "by now it is old enough to be believed");
}

#[test]
fn what_is_kept_is_bounded() {
    let limits = CacheLimits { entries: 10, bytes: 100, small: 50, open: 3, ..CacheLimits::default() };
    let mut b = Bench::new(limits);
    for i in 0..200 {
        let name = format!("f{i}");
        b.put(&name, &vec![1; if i % 2 == 0 { 40 } else { 60 }], 5);
        assert!(matches!(b.find(&name), Look::File(_)));
        let (names, bytes, open) = b.store.usage();
        assert!(names <= 10 && bytes <= 100 && open <= 3, "{names} {bytes} {open}");
        assert_eq!(b.open.len() - b.ops.len(), open, "what is not kept is closed");
        b.answer_all("");
    }
    assert!(b.store.slots.len() <= 12);
    let mut free =
        Bench::new(CacheLimits { entries: usize::MAX, bytes: usize::MAX, open: usize::MAX, small: 50, ..limits });
    for i in 0..200 {
        free.put(&format!("f{i}"), &[1; 60], 5);
        free.find(&format!("f{i}"));
    }
    assert_eq!(free.store.usage(), (200, 0, 200), "it is the limits that bound it");
}

#[test]
fn what_is_often_used_stays() {
    let mut b = Bench::new(CacheLimits { entries: 4, ..CacheLimits::default() });
    b.put("hot", b"x", 5);
    b.find("hot");
    for i in 0..100 {
        let name = format!("f{i}");
        b.put(&name, b"y", 5);
        b.find(&name);
        b.find("hot");
    }
    assert!(b.opened < 130, "{} opens: the hot one was thrown out again and again", b.opened);
}

#[test]
fn what_is_not_there_is_not_kept_unless_it_will_be_asked_for_again() {
    let mut b = Bench::new(CacheLimits::default());
    assert_eq!(b.find("none"), Look::Missing(404));
    assert_eq!(b.store.usage().0, 0);
    assert_eq!(b.handle(|store, cx| store.look("a.br", WAITER, true, cx)), Look::Wait);
    assert_eq!(b.answer_all("a.br"), Look::Missing(404));
    assert_eq!((b.look("a.br"), b.opened), (Look::Missing(404), 2));
    b.put("a.br", b"x", 5);
    b.wait(1);
    assert_eq!(b.look("a.br"), Look::Missing(404));
    b.answer_all("a.br");
    assert_eq!(b.memory("a.br"), b"x");
}

#[test]
fn a_passing_trouble_does_not_hide_a_file_and_its_end_does() {
    let mut b = Bench::new(CacheLimits::default());
    b.put("a", b"one", 5);
    b.memory("a");
    b.broken = Some(Reason::Descriptors);
    b.wait(1);
    b.memory("a");
    b.answer_all("a");
    assert_eq!(b.memory("a"), b"one");
    assert_eq!(b.find("b"), Look::Missing(503));
    b.broken = None;
    b.disk.clear();
    b.wait(1);
    b.memory("a");
    b.answer_all("a");
    assert_eq!(b.find("a"), Look::Missing(404));
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_read() {
    let mut b = Bench::new(CacheLimits::default());
    for (name, bytes) in [("grown", &b"0123456789"[..]), ("shrunk", b"0123")] {
        b.put(name, bytes, 5);
        b.disk.get_mut(name).expect("it is there").0.len = 6; // what the open had said
        let got = b.memory(name);
        assert_eq!(got, &bytes[..bytes.len().min(6)], "{name}");
        let Look::File(slot) = b.find(name) else { panic!("{name}") };
        let file = b.store.file(slot).expect("a file");
        assert_eq!((file.meta.len, file.settled), (got.len() as u64, false), "{name}");
    }
}

#[test]
fn what_is_no_file_is_not_opened_for_long() {
    let mut b = Bench::new(CacheLimits::default());
    for (name, dir, want) in [("pipe", false, Look::Missing(403)), ("dir", true, Look::Dir)] {
        b.put(name, b"", 5);
        let meta = &mut b.disk.get_mut(name).expect("it is there").0;
        (meta.regular, meta.dir) = (false, dir);
        assert_eq!(b.find(name), want);
        assert_eq!(b.open.len(), 0, "{name}");
    }
}

#[test]
fn fields_are_made_once_a_second() {
    let mut b = Bench::new(CacheLimits::default());
    b.put("a.html", b"one", 5_000_000_000);
    let Look::File(slot) = b.find("a.html") else { panic!("it is there") };
    let mut site = Site::new(Options { fields: vec![("X-A".into(), b"b".to_vec())], ..Options::default() });
    site.tick(Wall { unix_ns: NOW_NS, utc_offset_s: 0 });
    let file = b.store.file(slot).expect("a file");
    let first = String::from_utf8_lossy(file.block(&site, true).as_bytes()).into_owned();
    assert_eq!(
        first,
        "Date: Thu, 01 Jan 1970 00:16:40 GMT\r\nLast-Modified: Thu, 01 Jan 1970 00:00:05 GMT\r\nETag: \"12a05f200-3\"\r\n\
         Accept-Ranges: bytes\r\nVary: Accept-Encoding\r\nX-A: b\r\n"
    );
    site.tick(Wall { unix_ns: NOW_NS + 1_000_000_000, utc_offset_s: 0 });
    assert!(
        String::from_utf8_lossy(file.block(&site, true).as_bytes()).starts_with("Date: Thu, 01 Jan 1970 00:16:41 GMT")
    );
}

impl Bench {
    /// Looks for the compressed form of a file until it is there or will not be.
    fn pack(&mut self, path: &str) -> Look {
        let Look::File(source) = self.find(path) else { panic!("{path} is not there") };
        self.handle(|store, cx| store.look_packed(path, source, Coding::Gzip, WAITER, cx))
    }
    /// Does what was asked for; how many jobs that was.
    fn work(&mut self) -> usize {
        let mut jobs = 0;
        while let Some(op) = self.ops.pop_front() {
            match op {
                Op::Ask(id, ask) => {
                    let answer = self.answer(&ask);
                    self.handle(|store, cx| store.answered(id, answer, cx).map(|(slot, _)| store.tidy(slot, cx)));
                }
                Op::Job { id, job, .. } => {
                    jobs += 1;
                    let told = self.handle(|store, cx| store.packed(id, Ok(job.run()), cx));
                    assert_eq!(told.map(|(_, waiters)| waiters), Some(vec![WAITER; 2]), "all who wait are told");
                }
                other => panic!("{}", other.describe()),
            }
        }
        jobs
    }
}

#[test]
fn a_file_is_compressed_once_and_again_when_it_has_changed() {
    for small in [64 << 10, 1] {
        let mut b = Bench::new(CacheLimits { small, ..CacheLimits::default() });
        b.put("a.txt", &[b'a'; 5000], 5);
        assert_eq!((b.pack("a.txt"), b.pack("a.txt")), (Look::Wait, Look::Wait));
        assert_eq!(b.work(), 1);
        let Look::File(slot) = b.pack("a.txt") else { panic!("it is there") };
        let first = b.store.file(slot).map(|f| (f.etag.clone(), f.meta.len)).expect("a file");
        assert!(first.1 < 100);
        b.put("a.txt", &[b'b'; 6000], 6);
        b.wait(2);
        assert_eq!(b.pack("a.txt"), Look::File(slot), "nobody waits for the look whether it has changed");
        assert_eq!(b.work(), 0);
        assert_eq!((b.pack("a.txt"), b.pack("a.txt")), (Look::Wait, Look::Wait));
        assert_eq!(b.work(), 1);
        let Look::File(slot) = b.pack("a.txt") else { panic!("it is there") };
        assert_ne!(b.store.file(slot).map(|f| f.etag.clone()), Some(first.0));
    }
}

#[test]
fn so_many_are_compressed_at_once_and_no_more() {
    let mut b = Bench::new(CacheLimits::default());
    let names: Vec<String> = (0..17).map(|i| format!("{i}.txt")).collect();
    for name in &names {
        b.put(name, &[b'a'; 5000], 5);
        assert!(matches!(b.find(name), Look::File(_)));
    }
    let looks: Vec<Look> = names.iter().map(|name| b.pack(name)).collect();
    assert_eq!(looks.iter().filter(|look| **look == Look::Wait).count(), 16);
    assert_eq!(looks.last(), Some(&Look::Missing(404)));
}

#[test]
fn what_is_too_small_or_does_not_shrink_is_sent_as_it_is() {
    let mut b = Bench::new(CacheLimits::default());
    b.put("small.txt", &[b'a'; 1023], 5);
    assert_eq!(b.pack("small.txt"), Look::Missing(404));
    b.put("large.txt", &vec![b'a'; (8 << 20) + 1], 5);
    assert_eq!(b.pack("large.txt"), Look::Missing(404));
    let mut x = 1_u64;
    let mut noise = vec![0_u8; 2000];
    noise.iter_mut().for_each(|b| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *b = (x >> 56) as u8;
    });
    b.put("noise.txt", &noise, 5);
    assert_eq!((b.pack("noise.txt"), b.pack("noise.txt")), (Look::Wait, Look::Wait));
    assert_eq!(b.work(), 1);
    assert_eq!(b.pack("noise.txt"), Look::Missing(404));
    assert_eq!(b.work(), 0, "that is remembered");
}
