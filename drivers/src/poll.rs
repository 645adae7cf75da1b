//! `ppoll`: level-triggered, the whole set handed over at each wait.
use crate::Error;
use crate::host::{Facts, Host};
use crate::listen::{self, Bound};
use crate::ready::{Event, Poller, Ready};
use proto_core::{App, Slots, Token};
use rustix::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// The set, dense; `at` finds a token in it.
#[derive(Default)]
pub struct Set {
    fds: Vec<libc::pollfd>,
    tokens: Vec<Token>,
    at: Slots<usize>,
    /// The bell's place: its token is in no table.
    bell: Option<usize>,
}

impl Set {
    fn place(&self, t: Token) -> Option<usize> {
        if t == crate::ready::BELL { self.bell } else { self.at.get(t).copied() }
    }
    fn put(&mut self, t: Token, at: usize) {
        if t == crate::ready::BELL {
            self.bell = Some(at);
        } else {
            self.at.insert(t, at);
        }
    }
    #[allow(unsafe_code)]
    fn wait(&mut self, timeout: Option<Duration>) -> std::io::Result<usize> {
        let spec = timeout.map(|t| libc::timespec { tv_sec: t.as_secs() as i64, tv_nsec: t.subsec_nanos().into() });
        let spec = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `fds` points to `len` pollfds that the kernel may write to; `spec` is null or lives until the end of
        // this function; no signal mask is given.
        let n = unsafe { libc::ppoll(self.fds.as_mut_ptr(), self.fds.len() as u64, spec, std::ptr::null()) };
        usize::try_from(n).map_err(|_| std::io::Error::last_os_error())
    }
    fn events(&self, mut left: usize, out: &mut Vec<Event>) {
        out.clear();
        for (fd, &token) in self.fds.iter().zip(&self.tokens) {
            if left == 0 {
                return;
            }
            if fd.revents == 0 {
                continue;
            }
            left -= 1;
            let is = |bits: i16| fd.revents & bits != 0;
            let (hup, error) = (is(libc::POLLHUP), is(libc::POLLERR | libc::POLLNVAL));
            let readable = is(libc::POLLIN) || hup || error;
            out.push(Event { token, readable, writable: is(libc::POLLOUT) || hup || error, hup: true, error });
        }
    }
}

impl Poller for Set {
    const LEVEL: bool = true;
    fn add(&mut self, _: BorrowedFd<'_>, t: Token) -> rustix::io::Result<()> {
        self.put(t, self.fds.len());
        self.fds.push(libc::pollfd { fd: -1, events: 0, revents: 0 });
        self.tokens.push(t);
        Ok(())
    }
    fn remove(&mut self, _: BorrowedFd<'_>, t: Token) {
        let Some(at) = self.at.remove(t) else { return };
        self.fds.swap_remove(at);
        self.tokens.swap_remove(at);
        if let Some(&moved) = self.tokens.get(at) {
            self.put(moved, at);
        }
    }
    fn interest(&mut self, fd: BorrowedFd<'_>, t: Token, read: bool, write: bool) {
        let Some(p) = self.place(t).and_then(|at| self.fds.get_mut(at)) else { return };
        p.events = if read { libc::POLLIN } else { 0 } | if write { libc::POLLOUT } else { 0 };
        // The kernel passes over a negative descriptor; else it would report hang-ups that nobody wants to hear of.
        p.fd = if p.events == 0 { -1 } else { fd.as_raw_fd() };
    }
}

pub fn facts() -> Facts {
    let facts = vec![("trigger".into(), "level-triggered".into())];
    Facts { name: "poll", capacity: listen::descriptor_capacity(), facts }
}

pub fn run<A: App + 'static>(host: Host<A>, listeners: Vec<Bound>) -> Result<u8, Error> {
    let mut ready = Ready::new(host, Set::default(), listeners)?;
    let mut events = Vec::new();
    let mut code = ready.host.exit();
    while code.is_none() {
        let timeout = ready.timeout();
        match ready.poller.wait(timeout) {
            Ok(n) => ready.poller.events(n, &mut events),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => events.clear(),
            Err(e) => return Err(Error::system("ppoll")(e)),
        }
        code = ready.turn(events.drain(..));
    }
    ready.host.end()?;
    Ok(code.unwrap_or_default())
}
