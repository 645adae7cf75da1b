//! `pselect`: bit sets of at most 1,024 descriptors, copied at each wait.
use crate::host::{Facts, Host};
use crate::listen::Bound;
use crate::ready::{Event, Poller, Ready};
use crate::{Error, listen};
use proto_core::{App, Token};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use std::time::Duration;

/// FD_SETSIZE: a larger descriptor would be written past the end of the set.
const SIZE: usize = libc::FD_SETSIZE;
const WORDS: usize = SIZE / 64;
/// Descriptors kept for what is not a connection, and for refusing politely.
const SPARE: usize = 16;

type Bits = [u64; WORDS];

struct Sets {
    read: Bits,
    write: Bits,
    tokens: Vec<Option<Token>>,
    /// One past the highest descriptor watched.
    end: usize,
}

impl Sets {
    #[allow(unsafe_code)]
    fn wait(&self, timeout: Option<Duration>) -> std::io::Result<(Bits, Bits)> {
        let (mut r, mut w) = (self.read, self.write);
        let spec = timeout.map(|t| libc::timespec { tv_sec: t.as_secs() as i64, tv_nsec: t.subsec_nanos().into() });
        let spec = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        const { assert!(size_of::<Bits>() == size_of::<libc::fd_set>()) };
        // SAFETY: both sets are as large as an fd_set, and `end` is at most FD_SETSIZE, so the kernel writes within them;
        // `spec` is null or lives until the end of this function.
        let n = unsafe {
            let (r, w) = ((&raw mut r).cast(), (&raw mut w).cast());
            libc::pselect(self.end as i32, r, w, std::ptr::null_mut(), spec, std::ptr::null())
        };
        if n < 0 { Err(std::io::Error::last_os_error()) } else { Ok((r, w)) }
    }
    fn events(&self, (r, w): &(Bits, Bits), out: &mut Vec<Event>) {
        out.clear();
        for (i, (r, w)) in r.iter().zip(w).enumerate() {
            let mut any = r | w;
            while any != 0 {
                let bit = any.trailing_zeros() as usize;
                any &= any - 1;
                let Some(Some(token)) = self.tokens.get(i * 64 + bit) else { continue };
                let is = |word: &u64| word >> bit & 1 == 1;
                out.push(Event { token: *token, readable: is(r), writable: is(w), hup: true, error: false });
            }
        }
    }
}

impl Poller for Sets {
    const LEVEL: bool = true;
    fn add(&mut self, fd: BorrowedFd<'_>, t: Token) -> rustix::io::Result<()> {
        let fd = fd.as_raw_fd() as usize;
        *self.tokens.get_mut(fd).ok_or(Errno::MFILE)? = Some(t);
        self.end = self.end.max(fd + 1);
        Ok(())
    }
    fn remove(&mut self, fd: BorrowedFd<'_>, t: Token) {
        self.interest(fd, t, false, false);
        if let Some(slot) = self.tokens.get_mut(fd.as_raw_fd() as usize) {
            *slot = None;
        }
        while self.end > 0 && self.tokens.get(self.end - 1).is_some_and(Option::is_none) {
            self.end -= 1;
        }
    }
    fn interest(&mut self, fd: BorrowedFd<'_>, _: Token, read: bool, write: bool) {
        let (word, bit) = (fd.as_raw_fd() as usize / 64, fd.as_raw_fd() as usize % 64);
        for (set, on) in [(&mut self.read, read), (&mut self.write, write)] {
            if let Some(w) = set.get_mut(word) {
                *w = *w & !(1 << bit) | u64::from(on) << bit;
            }
        }
    }
}

pub fn facts() -> Facts {
    let open = std::fs::read_dir("/proc/self/fd").map_or(SPARE, |d| d.count());
    let facts = vec![("trigger".into(), "level-triggered".into())];
    let capacity = SIZE.saturating_sub(open + SPARE).min(listen::descriptor_capacity());
    Facts { name: "select", capacity, facts }
}

pub fn run<A: App + 'static>(host: Host<A>, listeners: Vec<Bound>) -> Result<u8, Error> {
    let sets = Sets { read: [0; WORDS], write: [0; WORDS], tokens: vec![None; SIZE], end: 0 };
    let mut ready = Ready::new(host, sets, listeners)?;
    let mut events = Vec::new();
    let mut code = ready.host.exit();
    while code.is_none() {
        let timeout = ready.timeout();
        match ready.poller.wait(timeout) {
            Ok(sets) => ready.poller.events(&sets, &mut events),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => events.clear(),
            Err(e) => return Err(Error::system("pselect")(e)),
        }
        code = ready.turn(events.drain(..));
    }
    ready.host.end()?;
    Ok(code.unwrap_or_default())
}
