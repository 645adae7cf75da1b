//! The ring itself: submissions in order, one system call per turn, completions as plain values.
//!
//! Invariant: nothing that was pushed is lost or overtaken. What does not fit into the kernel's queue waits in
//! [`Ring::backlog`], and whatever comes later waits behind it.
//! Invariant: a ring is not dropped before the kernel has let go of all memory that its entries name.
use super::buffers::Buffers;
use super::faults::Forced;
use super::probe;
use crate::{Config, Error, listen};
use io_uring::types::{CancelBuilder, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use proto_core::Token;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// What an entry does. It takes the place of the token's part in an entry's user data, so a completion tells its
/// operation, slot and generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Code {
    Cancel,
    Bell,
    Accept,
    Recv,
    Poll,
    Send,
    Connect,
    Enlist,
}

const CODES: [Code; 8] =
    [Code::Cancel, Code::Bell, Code::Accept, Code::Recv, Code::Poll, Code::Send, Code::Connect, Code::Enlist];
/// `io_uring_enter`: take completions, too; with deferred task work nothing else makes them.
const GETEVENTS: u32 = 1;
/// `io_uring_enter`: there is a time limit.
const EXT_ARG: u32 = 8;
/// Where the part of a token is.
const PART: u64 = 0xff << 24;
/// How long the kernel may take to give up everything. It takes microseconds: no operation of ours is uncancellable.
const PATIENCE: Duration = Duration::from_secs(10);

/// The user data of an operation on a token.
pub fn name(code: Code, t: Token) -> u64 {
    t.to_bits() & !PART | (code as u64) << 24
}

/// A completion.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    name: u64,
    /// The result: a count, a descriptor or events; or minus an error number.
    pub res: i32,
    flags: u32,
}

impl Done {
    pub fn code(self) -> Code {
        let n = (self.name >> 24) as u8;
        CODES.get(usize::from(n)).copied().unwrap_or(Code::Cancel)
    }
    /// The token's bits with part 0.
    pub fn token(self) -> u64 {
        self.name & !PART
    }
    /// What it came to.
    #[inline]
    pub fn outcome(self) -> Result<usize, Errno> {
        match self.res {
            n @ 0.. => Ok(n as usize),
            n @ -4095..0 => Err(Errno::from_raw_os_error(-n)),
            _ => Err(Errno::IO), // no kernel says that
        }
    }
    /// The operation goes on.
    pub fn more(self) -> bool {
        cqueue::more(self.flags)
    }
    /// The provided buffer that was used.
    pub fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
    /// The descriptor that an accept has made.
    #[allow(unsafe_code)]
    pub fn descriptor(self) -> Option<OwnedFd> {
        // SAFETY: a completed accept hands over a new descriptor, and each completion is looked at once.
        (self.code() == Code::Accept && self.res >= 0).then(|| unsafe { OwnedFd::from_raw_fd(self.res) })
    }
}

/// A token's bits without its part, as in [`Done::token`].
#[inline]
pub fn bits(t: Token) -> u64 {
    t.to_bits() & !PART
}

/// Where a send goes.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    Plain(&'a OwnedFd),
    /// The slot's place in the kernel's list of files: see [`Ring::enlist`].
    Enlisted,
}

pub struct Ring {
    uring: IoUring,
    pub buffers: Buffers,
    backlog: VecDeque<squeue::Entry>,
    /// The descriptors in the kernel's list of files, by slot. Their sends need no look-up.
    enlisted: Box<[RawFd]>,
    /// Entries whose last completion has not come.
    in_flight: usize,
    forced: Forced,
    /// Entries handed to the kernel's queue.
    pub submissions: u64,
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Waits after which the kernel held back completions for want of room.
    pub overflows: u64,
    /// What was set up, in words.
    pub mode: String,
    pub features: u32,
}

impl Ring {
    pub fn open(config: &Config) -> Result<Ring, Error> {
        let features = probe::features().map_err(Error::Unavailable)?;
        let (uring, chosen) = probe::build(config.entries).map_err(|e| Error::Unavailable(probe::refusal(&e)))?;
        let (count, size) = config.buffers;
        let buffers = Buffers::new(&uring.submitter(), count, size)?;
        let _ = uring.submitter().register_ring_fd(); // saves a look-up per call, where the kernel has it
        let mode = format!("multishot, provided buffers {count} x {size} bytes{chosen}");
        let forced = Forced::new(&config.cqe_faults);
        let mut enlisted = vec![-1; listen::descriptor_capacity()].into_boxed_slice();
        if uring.submitter().register_files_sparse(enlisted.len() as u32).is_err() {
            enlisted = Box::default(); // it goes without
        }
        Ok(Ring {
            uring,
            buffers,
            backlog: VecDeque::new(),
            enlisted,
            in_flight: 0,
            forced,
            submissions: 0,
            enters: 0,
            overflows: 0,
            mode,
            features,
        })
    }
    /// Entries of the submission queue.
    pub fn entries(&self) -> u32 {
        self.uring.params().sq_entries()
    }

    /// Receives into provided buffers until it ends.
    pub fn recv(&mut self, fd: &OwnedFd, t: Token) {
        self.push(opcode::RecvMulti::new(Fd(fd.as_raw_fd()), 0).build(), name(Code::Recv, t));
    }
    /// Reports input, its end and errors until it ends.
    pub fn poll(&mut self, fd: &OwnedFd, t: Token) {
        self.watch(Fd(fd.as_raw_fd()), name(Code::Poll, t));
    }
    /// Reports mail until it ends.
    pub fn poll_bell(&mut self, fd: BorrowedFd<'_>) {
        self.watch(Fd(fd.as_raw_fd()), (Code::Bell as u64) << 24);
    }
    fn watch(&mut self, fd: Fd, name: u64) {
        let mask = (libc::POLLIN | libc::POLLRDHUP) as u32;
        self.push(opcode::PollAdd::new(fd, mask).multi(true).build(), name);
    }
    /// Accepts, once or until it ends. Accepted sockets are blocking: else the kernel would not wait in our place.
    pub fn accept(&mut self, fd: &OwnedFd, t: Token, once: bool) {
        let fd = Fd(fd.as_raw_fd());
        let entry = if once {
            let null = std::ptr::null_mut();
            opcode::Accept::new(fd, null, null.cast()).flags(libc::SOCK_CLOEXEC).build()
        } else {
            opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build()
        };
        self.push(entry, name(Code::Accept, t));
    }
    /// Gives up one operation; it still has a last completion. By name, not by descriptor: the number may have a new
    /// owner when the kernel reads this.
    pub fn cancel(&mut self, code: Code, t: Token) {
        self.push(opcode::AsyncCancel::new(name(code, t)).build(), Code::Cancel as u64);
    }
    /// Sends. Not with `MSG_WAITALL`: of a slow reader's progress the app must hear, or a linger time cuts it off.
    ///
    /// # Safety
    /// `len` bytes at `from` stay as they are until the completion.
    #[allow(unsafe_code)]
    pub unsafe fn send(&mut self, fd: Target<'_>, t: Token, from: *const u8, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX >> 1); // a short send is sent on
        let entry = match fd {
            Target::Plain(fd) => opcode::Send::new(Fd(fd.as_raw_fd()), from, len),
            Target::Enlisted => opcode::Send::new(Fixed(t.index() as u32), from, len),
        };
        self.push(entry.flags(libc::MSG_NOSIGNAL).build(), name(Code::Send, t));
    }
    /// Sends several pieces.
    ///
    /// # Safety
    /// `message`, and all it points to, stays as it is until the completion.
    #[allow(unsafe_code)]
    pub unsafe fn send_message(&mut self, fd: &OwnedFd, t: Token, message: *const libc::msghdr) {
        let entry = opcode::SendMsg::new(Fd(fd.as_raw_fd()), message).flags(libc::MSG_NOSIGNAL as u32);
        self.push(entry.build(), name(Code::Send, t));
    }
    /// Connects.
    ///
    /// # Safety
    /// `len` bytes at `to` are an address that stays as it is until the completion.
    #[allow(unsafe_code)]
    pub unsafe fn connect(&mut self, fd: &OwnedFd, t: Token, to: *const libc::sockaddr, len: u32) {
        self.push(opcode::Connect::new(Fd(fd.as_raw_fd()), to, len).build(), name(Code::Connect, t));
    }

    /// Puts a descriptor on the kernel's list of files, or takes it off; false if there is no place for it.
    pub fn enlist(&mut self, t: Token, fd: Option<&OwnedFd>) -> bool {
        let Some(place) = self.enlisted.get_mut(t.index()) else { return false };
        *place = fd.map_or(-1, |fd| fd.as_raw_fd());
        // The array never moves, and a slot's place is not changed before the completion.
        let entry = opcode::FilesUpdate::new(place, 1).offset(t.index() as i32);
        self.push(entry.build(), name(Code::Enlist, t));
        true
    }

    #[inline]
    fn push(&mut self, entry: squeue::Entry, name: u64) {
        let mut entry = entry.user_data(name);
        if self.forced.is_active() && self.forced.roll(name) {
            entry = opcode::Nop::new().build().user_data(name);
        }
        self.in_flight += 1;
        if !self.backlog.is_empty() || !self.offer(&entry) {
            self.backlog.push_back(entry);
        }
    }
    #[inline]
    #[allow(unsafe_code)]
    fn offer(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: entries that name memory come from the unsafe methods above, whose callers keep it; the descriptor
        // is open until the operation's last completion, since a connection keeps it that long.
        let taken = unsafe { self.uring.submission().push(entry) }.is_ok();
        self.submissions += u64::from(taken);
        taken
    }
    /// Hands over what was pushed and waits: for a completion, or until the time is over; zero does not wait.
    pub fn wait(&mut self, timeout: Option<Duration>) -> std::io::Result<()> {
        let mut timeout = timeout;
        while !self.backlog.is_empty() {
            self.refill();
            if self.backlog.is_empty() {
                break;
            }
            // The kernel wants completions to be taken first: what is left goes with the next turn.
            if !self.enter(0, 0, None)? {
                timeout = Some(Duration::ZERO);
                break;
            }
        }
        let want = u32::from(timeout.is_none_or(|t| !t.is_zero()));
        self.enter(want, GETEVENTS, timeout.filter(|_| want > 0))?;
        self.overflows += u64::from(self.uring.submission().cq_overflow());
        Ok(())
    }
    fn refill(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.offer(&entry) {
                return self.backlog.push_front(entry);
            }
        }
    }
    /// One system call. False if nothing was handed over.
    #[allow(unsafe_code)]
    fn enter(&mut self, want: u32, flags: u32, timeout: Option<Duration>) -> std::io::Result<bool> {
        self.enters += 1;
        let queued = self.uring.submission().len() as u32;
        let submitter = self.uring.submitter();
        let r = match timeout {
            None => {
                // SAFETY: no argument is passed; the number of entries is that of the queue.
                unsafe { submitter.enter::<libc::sigset_t>(queued, want, flags, None) }
            }
            Some(t) => {
                let time = Timespec::from(t);
                let args = SubmitArgs::new().timespec(&time);
                // SAFETY: the argument is what EXT_ARG announces, and lives until the call returns.
                unsafe { submitter.enter(queued, want, flags | EXT_ARG, Some(&args)) }
            }
        };
        match r.as_ref().map_err(|e| e.raw_os_error()) {
            Ok(n) => Ok(*n > 0),
            Err(Some(libc::EBUSY | libc::EAGAIN | libc::EINTR | libc::ETIME)) => Ok(false),
            Err(_) => r.map(|_| false),
        }
    }
    /// Takes the completions that are there.
    #[inline]
    pub fn reap(&mut self, into: &mut Vec<Done>) {
        let new = into.len();
        into.extend(self.uring.completion().map(|e| Done { name: e.user_data(), res: e.result(), flags: e.flags() }));
        let forced = self.forced.is_active();
        for done in into.iter_mut().skip(new) {
            self.in_flight -= usize::from(!done.more());
            if forced && let Some(errno) = self.forced.take(done.name) {
                done.res = -errno;
            }
        }
    }
    /// Gives up everything and waits until the kernel has let go of it all.
    pub fn drain(&mut self, into: &mut Vec<Done>) -> std::io::Result<()> {
        let begin = Instant::now();
        while self.in_flight > 0 {
            if begin.elapsed() > PATIENCE {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            let all = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
            self.forced.stop();
            self.push(all, Code::Cancel as u64);
            self.wait(Some(Duration::from_millis(100)))?;
            self.reap(into);
        }
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let mut left = Vec::new();
        if self.drain(&mut left).is_err() {
            // The kernel still has pointers into memory that is about to be freed.
            std::process::abort();
        }
        left.into_iter().for_each(|d| drop(d.descriptor()));
        self.buffers.unregister(&self.uring.submitter());
        let _ = self.uring.submitter().unregister_files(); // there may be none; closing would do it, but later
    }
}
