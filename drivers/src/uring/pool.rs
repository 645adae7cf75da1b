//! Buffers that a receive names: ordinary ones, or registered ones, which the kernel has pinned once and for all.
//!
//! A connection waits for input by poll, and has a buffer only while a receive that never waits is under way. So a
//! handful serves any number of connections, and an idle connection holds none here, too.
use io_uring::Submitter;

/// A pool; empty where buffers are provided.
#[derive(Default)]
pub struct Pool {
    store: Vec<Vec<u8>>,
    free: Vec<u16>,
    size: usize,
    fixed: bool,
}

impl Pool {
    /// `count` buffers of `size` bytes; `fixed` registers them.
    #[allow(unsafe_code)]
    pub fn new(submitter: &Submitter<'_>, count: u16, size: usize, fixed: bool) -> std::io::Result<Pool> {
        let mut store: Vec<Vec<u8>> = (0..count).map(|_| vec![0; size]).collect();
        if fixed {
            let one = |b: &mut Vec<u8>| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() };
            let parts: Vec<_> = store.iter_mut().map(one).collect();
            // SAFETY: each part is a `Vec` of the pool that is neither moved nor resized before the ring has let go of
            // it: registered buffers are never lent to an app, and the pool is dropped after `unregister`.
            unsafe { submitter.register_buffers(&parts) }?;
        }
        Ok(Pool { store, free: (0..count).rev().collect(), size, fixed })
    }
    /// It is in use: receives name their buffer.
    #[inline]
    pub fn is_used(&self) -> bool {
        !self.store.is_empty()
    }
    /// The buffers are registered.
    pub fn is_fixed(&self) -> bool {
        self.fixed
    }
    /// A buffer for the kernel.
    pub fn take(&mut self) -> Option<u16> {
        self.free.pop()
    }
    /// A buffer that is ours.
    pub fn get(&mut self, id: u16) -> Option<&mut Vec<u8>> {
        self.store.get_mut(usize::from(id))
    }
    /// Puts a buffer back, or a new one if the app has kept it.
    pub fn put(&mut self, id: u16) {
        let Some(buffer) = self.store.get_mut(usize::from(id)) else { return };
        if buffer.len() != self.size {
            *buffer = vec![0; self.size];
        }
        debug_assert!(!self.free.contains(&id), "buffer {id} is put back twice");
        self.free.push(id);
    }
    /// Takes everything from the kernel; no receive may be in flight.
    pub fn unregister(&mut self, submitter: &Submitter<'_>) {
        if self.fixed {
            let _ = submitter.unregister_buffers(); // the ring is closed next
        }
    }
}
