//! Provided buffers: the kernel picks one when bytes have come, so an idle connection holds none.
//!
//! Each is a `Vec` of its own, since an app may keep it; then another takes its place. A buffer is either in the ring
//! (the kernel's) or lent to the app for one input. It goes back in the same turn, whatever becomes of the bytes:
//! a paused connection that kept buffers would starve the others.
use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// The only group of buffers.
pub const GROUP: u16 = 0;
/// The kernel wants the ring of buffers to begin at a page.
const PAGE: usize = 4096;

pub struct Buffers {
    ring: NonNull<BufRingEntry>,
    layout: Layout,
    store: Vec<Vec<u8>>,
    size: usize,
    tail: u16,
    published: u16,
}

impl Buffers {
    /// No buffers, for a ring whose receives name theirs.
    pub fn none() -> Buffers {
        Buffers {
            ring: NonNull::dangling(),
            layout: Layout::new::<()>(),
            store: Vec::new(),
            size: 0,
            tail: 0,
            published: 0,
        }
    }
    #[allow(unsafe_code)]
    pub fn new(submitter: &Submitter<'_>, count: u16, size: usize) -> std::io::Result<Buffers> {
        let layout = Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), PAGE);
        let (true, Ok(layout)) = (count.is_power_of_two(), layout) else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        // SAFETY: the layout's size is not zero, since `count` is a power of two.
        let ring = unsafe { alloc_zeroed(layout) }.cast::<BufRingEntry>();
        let Some(ring) = NonNull::new(ring) else { handle_alloc_error(layout) };
        let store = (0..count).map(|_| vec![0; size]).collect();
        let mut buffers = Buffers { ring, layout, store, size, tail: 0, published: 0 };
        // SAFETY: the ring's memory is `count` entries at a page boundary, and is freed after `unregister` only.
        unsafe { submitter.register_buf_ring_with_flags(ring.as_ptr() as u64, count, GROUP, 0) }?;
        (0..count).for_each(|id| buffers.put(id));
        buffers.publish();
        Ok(buffers)
    }
    /// Bytes in each.
    pub fn size(&self) -> usize {
        self.size
    }
    /// A buffer that a completion has named: ours until it is put back.
    #[inline]
    pub fn get(&mut self, id: u16) -> Option<&mut Vec<u8>> {
        self.store.get_mut(usize::from(id))
    }
    /// Puts a buffer back, or a new one if the app has kept it. The kernel sees it after [`Buffers::publish`].
    #[inline]
    #[allow(unsafe_code)]
    pub fn put(&mut self, id: u16) {
        let mask = self.store.len().wrapping_sub(1);
        let Some(buffer) = self.store.get_mut(usize::from(id)) else { return };
        if buffer.len() != self.size {
            *buffer = vec![0; self.size];
        }
        // SAFETY: the index is below the number of entries; the kernel reads an entry only after the tail has passed it.
        let entry = unsafe { &mut *self.ring.as_ptr().add(usize::from(self.tail) & mask) };
        entry.set_addr(buffer.as_mut_ptr() as u64);
        entry.set_len(self.size as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }
    /// Shows the kernel what was put back.
    #[inline]
    #[allow(unsafe_code)]
    pub fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        self.published = self.tail;
        // SAFETY: the tail lies within the ring's first entry, aligned for u16; only the kernel reads it besides us.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
    /// Takes everything from the kernel; no receive may be in flight.
    pub fn unregister(&mut self, submitter: &Submitter<'_>) {
        if !self.store.is_empty() {
            let _ = submitter.unregister_buf_ring(GROUP); // the ring is closed next
        }
    }
}

impl Drop for Buffers {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if self.layout.size() == 0 {
            return; // there are none
        }
        // SAFETY: allocated by `new` with this layout, and not in use by the kernel: see `Drop` of `Ring`.
        unsafe { dealloc(self.ring.as_ptr().cast(), self.layout) }
    }
}
