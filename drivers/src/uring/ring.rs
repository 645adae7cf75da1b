//! The ring itself: submissions in order, one system call per turn, completions as plain values.
//!
//! Invariant: nothing that was pushed is lost or overtaken. What does not fit into the kernel's queue waits in
//! [`Ring::backlog`], and whatever comes later waits behind it.
//! Invariant: a ring is not dropped before the kernel has let go of all memory that its entries name.
use super::buffers::{Buffers, GROUP};
use super::faults::Forced;
use super::pool::Pool;
use super::setup::{self, Form, Setup};
use crate::{Config, Error, listen};
use io_uring::types::{CancelBuilder, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use proto_core::Token;
use rustix::io::Errno;
use std::collections::{BTreeSet, VecDeque};
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
    /// A receive that ends with the first bytes.
    Once,
    /// A receive into a named buffer that does not wait.
    Read,
}

const CODES: [Code; 10] = [
    Code::Cancel,
    Code::Bell,
    Code::Accept,
    Code::Recv,
    Code::Poll,
    Code::Send,
    Code::Connect,
    Code::Enlist,
    Code::Once,
    Code::Read,
];
/// `io_uring_enter`: take completions, too; with deferred task work nothing else makes them.
const GETEVENTS: u32 = 1;
/// `io_uring_enter`: there is a time limit.
const EXT_ARG: u32 = 8;
/// What a poll tells of, besides errors.
const WATCHED: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
/// Places in the kernel's list of files.
const FILES: usize = 1 << 16;
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

/// What an operation works on.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    Plain(&'a OwnedFd),
    /// The slot's place in the kernel's list of files: see [`Ring::enlist`].
    Enlisted(u32),
}

/// Builds an entry for either kind of target.
macro_rules! on {
    ($target:expr, $fd:ident => $entry:expr) => {
        match $target {
            Target::Plain(fd) => {
                let $fd = Fd(fd.as_raw_fd());
                $entry
            }
            Target::Enlisted(place) => {
                let $fd = Fixed(place);
                $entry
            }
        }
    };
}

pub struct Ring {
    uring: IoUring,
    /// What the kernel receives into by its own choice.
    pub buffers: Buffers,
    /// What receives name; empty if buffers are provided.
    pub pool: Pool,
    /// What is used of all that the kernel can do.
    pub form: Form,
    /// What did not fit into the kernel's queue, and whether it is the head of a chain with the next.
    backlog: VecDeque<(squeue::Entry, bool)>,
    /// The descriptors in the kernel's list of files, by slot. Their sends need no look-up.
    enlisted: Box<[RawFd]>,
    /// Entries whose last completion has not come.
    in_flight: usize,
    /// Their names, for a kernel that cannot give up everything at once.
    names: BTreeSet<u64>,
    forced: Forced,
    /// Entries handed to the kernel's queue.
    pub submissions: u64,
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Waits after which the kernel held back completions for want of room.
    pub overflows: u64,
}

impl Ring {
    pub fn open(config: &Config) -> Result<Ring, Error> {
        let set = setup::open(config).map_err(Error::Unavailable)?;
        let Setup { uring, buffers, pool, form } = set;
        let _ = uring.submitter().register_ring_fd(); // saves a look-up per call, where the kernel has it
        let mut enlisted = vec![-1; listen::descriptor_capacity().min(FILES)].into_boxed_slice();
        if !form.multishot || uring.submitter().register_files_sparse(enlisted.len() as u32).is_err() {
            enlisted = Box::default(); // it goes without
        }
        if form.direct && enlisted.is_empty() {
            return Err(Error::Unavailable(setup::lacks(config, "list of files (5.19), which --direct-files needs")));
        }
        Ok(Ring {
            uring,
            buffers,
            pool,
            form,
            backlog: VecDeque::new(),
            enlisted,
            in_flight: 0,
            names: BTreeSet::new(),
            forced: Forced::new(&config.cqe_faults),
            submissions: 0,
            enters: 0,
            overflows: 0,
        })
    }
    /// Entries of the submission queue.
    pub fn entries(&self) -> u32 {
        self.uring.params().sq_entries()
    }

    /// Receives into provided buffers until it ends.
    pub fn recv(&mut self, to: Target<'_>, t: Token) {
        self.push(on!(to, fd => opcode::RecvMulti::new(fd, GROUP).build()), name(Code::Recv, t));
    }
    /// Receives into a provided buffer, once.
    pub fn recv_once(&mut self, to: Target<'_>, t: Token) {
        self.push(self.once(to), name(Code::Once, t));
    }
    fn once(&self, to: Target<'_>) -> squeue::Entry {
        let (nowhere, size) = (std::ptr::null_mut(), self.buffers.size() as u32);
        let entry = on!(to, fd => opcode::Recv::new(fd, nowhere, size).buf_group(GROUP).build());
        entry.flags(squeue::Flags::BUFFER_SELECT)
    }
    /// Receives what is there into a buffer of the pool, at most `most` bytes; `EAGAIN` if there is nothing.
    pub fn read(&mut self, to: Target<'_>, t: Token, id: u16, most: usize) {
        let fixed = self.pool.is_fixed();
        let Some(buffer) = self.pool.get(id) else { return };
        let (at, len) = (buffer.as_mut_ptr(), buffer.len().min(most) as u32);
        // The buffer is the kernel's until the completion: the pool does not hand it out again before.
        let entry = if fixed {
            on!(to, fd => opcode::ReadFixed::new(fd, at, len, id).rw_flags(libc::RWF_NOWAIT).build())
        } else {
            on!(to, fd => opcode::Recv::new(fd, at, len).flags(libc::MSG_DONTWAIT).build())
        };
        self.push(entry, name(Code::Read, t));
    }
    /// Reports input, its end and errors until it ends; with `errors_only` just the last.
    pub fn poll(&mut self, to: Target<'_>, t: Token, errors_only: bool) {
        let mask = if errors_only { 0 } else { WATCHED };
        let multi = self.form.multishot;
        self.push(on!(to, fd => opcode::PollAdd::new(fd, mask).multi(multi).build()), name(Code::Poll, t));
    }
    /// Reports mail until it ends.
    pub fn poll_bell(&mut self, fd: BorrowedFd<'_>) {
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), WATCHED).multi(self.form.multishot).build();
        self.push(entry, (Code::Bell as u64) << 24);
    }
    /// Accepts, once or until it ends. Accepted sockets are blocking: else the kernel would not wait in our place.
    pub fn accept(&mut self, fd: &OwnedFd, t: Token, once: bool) {
        let fd = Fd(fd.as_raw_fd());
        let entry = if once || !self.form.multishot {
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
    pub unsafe fn send(&mut self, to: Target<'_>, t: Token, from: *const u8, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX >> 1); // a short send is sent on
        let entry = on!(to, fd => opcode::Send::new(fd, from, len).flags(libc::MSG_NOSIGNAL).build());
        self.push(entry, name(Code::Send, t));
    }
    /// Sends all of it and then receives once, as a chain: if the send falls short, the receive is cancelled.
    ///
    /// # Safety
    /// As for [`Ring::send`].
    #[allow(unsafe_code)]
    pub unsafe fn send_and_recv(&mut self, to: Target<'_>, t: Token, from: *const u8, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX >> 1);
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let send = on!(to, fd => opcode::Send::new(fd, from, len).flags(flags).build());
        let (send, recv) = (self.named(send, name(Code::Send, t)), self.once(to));
        let recv = self.named(recv, name(Code::Once, t));
        self.push_chain(send.flags(squeue::Flags::IO_LINK), recv);
    }
    /// Sends several pieces.
    ///
    /// # Safety
    /// `message`, and all it points to, stays as it is until the completion.
    #[allow(unsafe_code)]
    pub unsafe fn send_message(&mut self, to: Target<'_>, t: Token, message: *const libc::msghdr) {
        let flags = libc::MSG_NOSIGNAL as u32;
        self.push(on!(to, fd => opcode::SendMsg::new(fd, message).flags(flags).build()), name(Code::Send, t));
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
        let entry = self.named(entry, name);
        if !self.backlog.is_empty() || !self.offer(&entry) {
            self.backlog.push_back((entry, false));
        }
    }
    /// An entry as it will be pushed; counted as if it were already.
    #[inline]
    fn named(&mut self, entry: squeue::Entry, name: u64) -> squeue::Entry {
        self.in_flight += 1;
        if !self.form.multishot && name != Code::Cancel as u64 {
            self.names.insert(name);
        }
        if self.forced.is_active() && self.forced.roll(name) {
            // No descriptor has this number.
            return opcode::Close::new(Fd(-1)).build().user_data(name);
        }
        entry.user_data(name)
    }
    /// A chain must be handed over by one call: what comes later is no part of it.
    fn push_chain(&mut self, head: squeue::Entry, rest: squeue::Entry) {
        if self.backlog.is_empty() && self.room() >= 2 {
            let taken = self.offer(&head) && self.offer(&rest);
            debug_assert!(taken, "there was room for two");
        } else {
            self.backlog.extend([(head, true), (rest, false)]);
        }
    }
    fn room(&mut self) -> usize {
        let queue = self.uring.submission();
        queue.capacity() - queue.len()
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
        while let Some((entry, is_head)) = self.backlog.pop_front() {
            if is_head && self.room() < 2 || !self.offer(&entry) {
                return self.backlog.push_front((entry, is_head));
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
            if !self.names.is_empty() && !done.more() {
                self.names.remove(&done.name);
            }
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
            self.forced.stop();
            if self.form.multishot {
                let all = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
                self.push(all, Code::Cancel as u64);
            }
            for name in self.names.clone() {
                self.push(opcode::AsyncCancel::new(name).build(), Code::Cancel as u64);
            }
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
        self.pool.unregister(&self.uring.submitter());
        let _ = self.uring.submitter().unregister_files(); // there may be none; closing would do it, but later
    }
}
