//! Input storage. It is plain `Vec<u8>` and circulates: pool, chunk, output, pool.
use alloc::{vec, vec::Vec};
use core::ops::{Deref, DerefMut};

/// Below this size a copy is cheaper than a segment of its own.
pub const COPY_MAX: usize = 2048;

/// Input lent for one call. The storage behind it may be moved into an output ([`crate::Tx::forward`]).
#[derive(Debug)]
pub struct Chunk<'a> {
    store: &'a mut Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a> Chunk<'a> {
    /// The first `len` bytes of `store`, which is replaced by an empty `Vec` if they are kept.
    pub fn new(store: &'a mut Vec<u8>, len: usize) -> Self {
        let end = len.min(store.len());
        Chunk { store, start: 0, end }
    }
    /// Drops the first `n` bytes.
    pub fn skip(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }
    /// The whole storage and the length used, if the chunk is worth keeping and was not skipped into.
    pub(crate) fn keep(self) -> Result<(Vec<u8>, usize), Self> {
        if self.start == 0 && self.end > COPY_MAX { Ok((core::mem::take(self.store), self.end)) } else { Err(self) }
    }
}

impl Deref for Chunk<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.store.get(self.start..self.end).unwrap_or_default()
    }
}

impl DerefMut for Chunk<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.store.get_mut(self.start..self.end).unwrap_or_default()
    }
}

/// Spare storage of one loop, so that a steady connection allocates nothing. Bounded: what does not fit is freed.
#[derive(Debug)]
pub struct Pool {
    tails: Vec<Vec<u8>>,
    chunks: Vec<Vec<u8>>,
    chunk_size: usize,
}

/// Output storage kept: 256 x at most 64 KiB.
const TAILS: usize = 256;
/// Input storage kept.
const CHUNKS: usize = 64;
pub(crate) const TAIL_KEEP: usize = 64 << 10;

impl Pool {
    /// A pool of input storage of `chunk_size` bytes.
    pub fn new(chunk_size: usize) -> Self {
        Pool { tails: Vec::new(), chunks: Vec::new(), chunk_size }
    }
    /// Initialised storage to receive into.
    pub fn chunk(&mut self) -> Vec<u8> {
        self.chunks.pop().unwrap_or_else(|| vec![0; self.chunk_size])
    }
    /// Takes input storage back.
    pub fn put_chunk(&mut self, v: Vec<u8>) {
        if v.len() == self.chunk_size && self.chunks.len() < CHUNKS {
            self.chunks.push(v);
        }
    }
    /// Empty storage to write into.
    pub fn tail(&mut self) -> Vec<u8> {
        self.tails.pop().unwrap_or_else(|| Vec::with_capacity(512))
    }
    /// Takes output storage back.
    pub fn put_tail(&mut self, mut v: Vec<u8>) {
        if (1..=TAIL_KEEP).contains(&v.capacity()) && self.tails.len() < TAILS {
            v.clear();
            self.tails.push(v);
        }
    }
}
