//! Output: ordered segments with a soft limit, and the two ways drivers send them.
use crate::chunk::TAIL_KEEP;
use crate::{COPY_MAX, Chunk, FileId, Pool};
use alloc::{collections::VecDeque, vec::Vec};
use bytes::Bytes;
use core::mem;

#[derive(Debug)]
enum Seg {
    /// Bytes put in place.
    Tail(Vec<u8>),
    /// Input that was kept: storage and the length used.
    Kept(Vec<u8>, usize),
    Shared(Bytes),
    File {
        file: FileId,
        offset: u64,
        len: usize,
    },
}

impl Seg {
    fn len(&self) -> usize {
        match self {
            Seg::File { len, .. } => *len,
            s => s.bytes().len(),
        }
    }
    /// Nothing for a file range.
    fn bytes(&self) -> &[u8] {
        match self {
            Seg::Tail(v) => v,
            Seg::Kept(v, end) => v.get(..*end).unwrap_or_default(),
            Seg::Shared(b) => b,
            Seg::File { .. } => &[],
        }
    }
}

/// What is to be sent next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing.
    Empty,
    /// Bytes: see [`Tx::chunks`].
    Bytes,
    /// A range of a file: `sendfile` and [`Tx::consume`], or read it and [`Tx::supply`].
    File {
        /// Which file.
        file: FileId,
        /// Where in it.
        offset: u64,
        /// How many bytes.
        len: usize,
    },
}

/// Ordered output of one connection, or one body: bytes, shared `Bytes`, kept input, ranges of files.
///
/// The limit is soft: [`Tx::put`] never refuses, whoever sends in bulk looks at [`Tx::room`] first. Only what must
/// be sent belongs here; what may be dropped for a slow reader waits in the app.
#[derive(Debug)]
pub struct Tx {
    /// Sealed segments.
    q: VecDeque<Seg>,
    /// Bytes put since the last seal.
    tail: Vec<u8>,
    /// How much of the front (of `q`, else of `tail`) is sent.
    at: usize,
    /// Unsent bytes; how many of them are in `q`, and how many in a [`Flight`].
    len: usize,
    queued: usize,
    aloft: usize,
    limit: usize,
    fin: bool,
}

/// Output that the kernel works on: see [`Tx::launch`]. Its bytes stay where they are as long as it lives, whatever
/// becomes of the `Tx` they came from.
#[derive(Debug, Default)]
pub struct Flight {
    segs: VecDeque<Seg>,
    /// How much of the first is sent.
    at: usize,
}

impl Flight {
    /// Unsent bytes.
    pub fn len(&self) -> usize {
        self.segs.iter().map(Seg::len).sum::<usize>() - self.at
    }
    /// There is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.segs.is_empty()
    }
    /// The unsent bytes.
    #[inline]
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = self.at;
        self.segs.iter().map(move |s| s.bytes().get(mem::take(&mut at)..).unwrap_or_default())
    }
}

/// Takes `n` bytes off the front of `segs`, of whose first `at` bytes are gone.
#[inline]
fn advance(segs: &mut VecDeque<Seg>, at: &mut usize, n: usize, mut done: impl FnMut(Seg)) {
    let mut n = n;
    while let Some(first) = segs.front() {
        let left = first.len() - *at;
        if n < left {
            *at += n;
            return;
        }
        n -= left;
        *at = 0;
        segs.pop_front().into_iter().for_each(&mut done);
    }
    debug_assert_eq!(n, 0, "more was sent than there was");
}

/// Storage goes where it is needed next.
#[inline]
fn recycle(seg: Seg, tail: &mut Vec<u8>, pool: &mut Option<&mut Pool>) {
    match (seg, pool) {
        (Seg::Tail(mut v), _) if tail.capacity() == 0 && v.capacity() <= TAIL_KEEP => {
            v.clear();
            *tail = v;
        }
        (Seg::Tail(v), Some(p)) => p.put_tail(v),
        (Seg::Kept(v, _), Some(p)) => p.put_chunk(v),
        _ => {}
    }
}

/// Default of [`Tx::limit`]: 64 KiB.
const LIMIT: usize = 64 << 10;
const TAIL_MAX: usize = 16 << 10;

impl Default for Tx {
    fn default() -> Self {
        Tx::with_limit(LIMIT)
    }
}

impl Tx {
    /// An output that has room for `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Tx { q: VecDeque::new(), tail: Vec::new(), at: 0, len: 0, queued: 0, aloft: 0, limit, fin: false }
    }
    /// Bytes queued and in flight.
    pub fn len(&self) -> usize {
        self.len
    }
    /// All was sent.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Bytes that may still be put before it is full.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }
    /// The soft limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }
    /// Changes the soft limit.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }
    /// Ends the output: FIN goes out after the last byte.
    pub fn finish(&mut self) {
        self.fin = true;
    }
    /// [`Tx::finish`] was called.
    pub fn is_finished(&self) -> bool {
        self.fin
    }

    /// Appends a copy of `b`. After [`Tx::finish`] it is dropped, and a bug of the caller.
    #[inline]
    pub fn put(&mut self, b: &[u8]) {
        debug_assert!(!self.fin || b.is_empty(), "put after finish");
        if self.fin {
            return;
        }
        if self.tail.len() > TAIL_MAX {
            self.seal();
        }
        self.tail.extend_from_slice(b);
        self.len += b.len();
    }
    /// Lets `f` write into `max` zeroed bytes at the end; `f` returns how many it used.
    pub fn put_with(&mut self, max: usize, f: impl FnOnce(&mut [u8]) -> usize) {
        debug_assert!(!self.fin, "put after finish");
        if self.fin {
            return;
        }
        if self.tail.len() > TAIL_MAX {
            self.seal();
        }
        let at = self.tail.len();
        self.tail.resize(at + max, 0);
        let n = self.tail.get_mut(at..).map_or(0, f).min(max);
        self.tail.truncate(at + n);
        self.len += n;
    }
    /// Appends shared bytes; below [`COPY_MAX`] a copy is cheaper.
    pub fn share(&mut self, b: Bytes) {
        if b.len() <= COPY_MAX { self.put(&b) } else { self.push(Seg::Shared(b)) }
    }
    /// Passes input on. A large chunk is moved, storage and all; a small one is copied.
    pub fn forward(&mut self, c: Chunk<'_>) {
        match c.keep() {
            Ok((v, end)) => self.push(Seg::Kept(v, end)),
            Err(c) => self.put(&c),
        }
    }
    /// Appends a range of a file. Nobody reads it before the lowest layer needs the bytes.
    pub fn file(&mut self, file: FileId, offset: u64, len: usize) {
        if len > 0 {
            self.push(Seg::File { file, offset, len });
        }
    }
    /// Moves at most `max` bytes from the front of `from` to the end of this; returns how many. Nothing of `from` may
    /// be in flight.
    pub fn append(&mut self, from: &mut Tx, max: usize) -> usize {
        debug_assert_eq!(from.aloft, 0, "append from an output in flight");
        let mut moved = 0;
        while moved < max && from.len > from.aloft {
            moved += self.append_one(from, max - moved);
        }
        moved
    }
    fn append_one(&mut self, from: &mut Tx, max: usize) -> usize {
        from.seal();
        let (at, whole) = (from.at, from.q.front().map_or(0, Seg::len));
        if at == 0 && whole <= max && whole > COPY_MAX {
            if let Some(seg) = from.q.pop_front() {
                from.len -= whole;
                from.queued -= whole;
                self.push(seg);
            }
            return whole;
        }
        let n = max.min(whole - at);
        match from.q.front() {
            Some(&Seg::File { file, offset, .. }) => self.file(file, offset + at as u64, n),
            Some(Seg::Shared(b)) => self.share(b.slice(at..at + n)),
            Some(s) => self.put(s.bytes().get(at..at + n).unwrap_or_default()),
            None => {}
        }
        from.consume(n, None);
        n
    }
    fn push(&mut self, s: Seg) {
        debug_assert!(!self.fin, "put after finish");
        if self.fin {
            return;
        }
        self.seal();
        self.len += s.len();
        self.queued += s.len();
        self.q.push_back(s);
    }
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let v = mem::take(&mut self.tail);
            self.queued += v.len() - if self.q.is_empty() { self.at } else { 0 };
            self.q.push_back(Seg::Tail(v));
        }
    }

    // The reader's side: drivers and layers.

    /// What kind of thing is at the front.
    pub fn next(&self) -> Next {
        match self.q.front() {
            _ if self.len == self.aloft => Next::Empty,
            Some(&Seg::File { file, offset, len }) => {
                Next::File { file, offset: offset + self.at as u64, len: len - self.at }
            }
            _ => Next::Bytes,
        }
    }
    /// Everything up to the first file range, for a reader that copies out during the call; not what is in flight.
    #[inline]
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = self.at;
        let tail = (!self.tail.is_empty() && !self.has_file()).then_some(&self.tail[..]);
        let upto = self.q.iter().take_while(|s| !matches!(s, Seg::File { .. }));
        upto.map(Seg::bytes).chain(tail).map(move |b| b.get(mem::take(&mut at)..).unwrap_or_default())
    }
    /// The first bytes to be sent: empty if there are none, or if a file range comes first.
    pub fn front(&self) -> &[u8] {
        self.chunks().next().unwrap_or_default()
    }
    /// A file range is among what is queued.
    #[inline]
    pub fn has_file(&self) -> bool {
        self.q.iter().any(|s| matches!(s, Seg::File { .. }))
    }
    /// `n` bytes from the front were sent (never more than there are, and nothing while there is a flight). Storage goes
    /// back to the pool.
    #[inline]
    pub fn consume(&mut self, n: usize, mut pool: Option<&mut Pool>) {
        debug_assert!(self.aloft == 0 && n <= self.len, "consumed {n} of {}, {} in flight", self.len, self.aloft);
        let mut n = if self.aloft > 0 { 0 } else { n.min(self.len) };
        self.len -= n;
        if !self.q.is_empty() {
            let k = n.min(self.queued);
            self.queued -= k;
            n -= k;
            advance(&mut self.q, &mut self.at, k, |seg| recycle(seg, &mut self.tail, &mut pool));
            if n == 0 {
                return;
            }
        }
        self.at += n;
        if self.at == self.tail.len() {
            self.at = 0;
            self.tail.clear();
            if self.tail.capacity() > TAIL_KEEP {
                self.tail = Vec::new();
            }
        }
    }
    /// Moves what is to be sent next, at most `max` segments up to the first file range, into an empty `flight`. True if
    /// there is something. One flight at a time: the next one begins after [`Tx::land`].
    pub fn launch(&mut self, max: usize, flight: &mut Flight) -> bool {
        debug_assert!(self.aloft == 0 && flight.segs.is_empty(), "one flight at a time");
        if self.aloft > 0 || !flight.segs.is_empty() {
            return false;
        }
        self.seal();
        let n = self.q.iter().take(max).take_while(|s| !matches!(s, Seg::File { .. })).count();
        if n == self.q.len() {
            mem::swap(&mut self.q, &mut flight.segs); // each keeps its room: a steady connection allocates nothing
        } else {
            flight.segs.extend(self.q.drain(..n));
        }
        if n > 0 {
            flight.at = mem::take(&mut self.at);
        }
        self.aloft = flight.len();
        self.queued -= self.aloft;
        n > 0
    }
    /// The flight is over, and `n` bytes of it were sent; the rest is to be sent next.
    pub fn land(&mut self, n: usize, flight: &mut Flight, mut pool: Option<&mut Pool>) {
        let Flight { segs, at } = flight;
        advance(segs, at, n, |seg| recycle(seg, &mut self.tail, &mut pool));
        let rest = flight.len();
        self.len = self.len - mem::take(&mut self.aloft) + rest;
        self.queued += rest;
        if rest > 0 {
            debug_assert_eq!(self.at, 0, "nothing is consumed while there is a flight");
            self.at = mem::take(&mut flight.at);
            flight.segs.drain(..).rev().for_each(|seg| self.q.push_front(seg));
        }
    }
    /// Replaces the first bytes of the file range at the front by what was read of it.
    pub fn supply(&mut self, bytes: Bytes) {
        let Next::File { file, offset, len } = self.next() else { return };
        let n = bytes.len().min(len);
        self.q.pop_front();
        self.at = 0;
        if n < len {
            self.q.push_front(Seg::File { file, offset: offset + n as u64, len: len - n });
        }
        if n > 0 {
            self.q.push_front(Seg::Shared(bytes.slice(..n)));
        }
    }
    /// The files that queued segments name.
    pub fn files(&self) -> impl Iterator<Item = FileId> {
        self.q.iter().filter_map(|s| if let Seg::File { file, .. } = s { Some(*file) } else { None })
    }
    /// Bytes of storage held for what is put next.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> usize {
        self.tail.capacity()
    }
    /// Takes storage from the pool before bytes are put.
    #[inline]
    pub(crate) fn prime(&mut self, pool: &mut Pool) {
        if self.tail.capacity() == 0 {
            self.tail = pool.tail();
        }
    }
    /// Gives storage back to the pool when there is nothing to send: an idle connection holds none.
    #[inline]
    pub(crate) fn rest(&mut self, pool: &mut Pool) {
        if self.len == 0 && self.tail.capacity() > 0 {
            pool.put_tail(mem::take(&mut self.tail));
        }
    }
}

#[cfg(test)]
#[path = "tx_tests.rs"]
mod tests;
