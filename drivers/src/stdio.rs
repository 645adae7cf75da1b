//! Standard streams. Descriptors 0 to 2 are shared with the parent process, so they are never made non-blocking.
use crate::host::{Mail, Post};
use proto_core::Token;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use std::io::{Read, Write};
use std::sync::mpsc;

/// Bytes written at once to something that may block: a pipe with room takes that many without blocking.
const ATOMIC: usize = 4096;

/// One output stream.
#[derive(Debug)]
pub struct Output {
    pub token: Token,
    error: bool,
    /// A thread waits for room.
    pub waiting: bool,
}

impl Output {
    pub fn stdout(token: Token) -> Self {
        Output { token, error: false, waiting: false }
    }
    pub fn stderr(token: Token) -> Self {
        Output { token, error: true, waiting: false }
    }
    /// Writes a part of `b` if that does not block; 0 if it would.
    pub fn write(&self, b: &[u8]) -> std::io::Result<usize> {
        if !has_room(self.fd().as_fd(), 0) {
            return Ok(0);
        }
        self.write_now(b)
    }
    /// Writes a part of `b`, waiting for room.
    pub fn write_now(&self, b: &[u8]) -> std::io::Result<usize> {
        let b = b.get(..ATOMIC).unwrap_or(b);
        if self.error { std::io::stderr().write(b) } else { raw_stdout(b) }
    }
    fn fd(&self) -> Box<dyn AsFd> {
        if self.error { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) }
    }
    /// Sends mail when there is room again.
    pub fn wait<P: Post>(&mut self, post: P) {
        self.waiting = true;
        let (fd, token) = (self.fd(), self.token);
        drop(fd);
        let error = self.error;
        std::thread::spawn(move || {
            let fd: Box<dyn AsFd> = if error { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
            has_room(fd.as_fd(), -1);
            post.post(Mail::StdoutReady(token));
        });
    }
}

/// Past std's line buffer, which would hold bytes back.
fn raw_stdout(b: &[u8]) -> std::io::Result<usize> {
    Ok(rustix::io::write(rustix::stdio::stdout(), b)?)
}

fn has_room(fd: BorrowedFd<'_>, timeout_ms: i32) -> bool {
    let forever = timeout_ms < 0;
    loop {
        let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
        match poll(&mut fds, (!forever).then_some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return true, // let the write say what is wrong
            Ok(_) => return !fds.iter().all(|f| f.revents().is_empty()),
        }
    }
}

/// Reads standard input on a thread of its own, one chunk per credit: what nobody wants stays in the pipe.
#[derive(Debug)]
pub struct Input {
    pub token: Token,
    credit: mpsc::Sender<()>,
    /// Came while nobody wanted it.
    pub parked: Option<std::io::Result<Vec<u8>>>,
}

impl Input {
    pub fn start<P: Post>(token: Token, post: P) -> Self {
        let (credit, credits) = mpsc::channel();
        std::thread::spawn(move || {
            while credits.recv().is_ok() {
                let mut v = vec![0; 16 << 10];
                let r = loop {
                    match std::io::stdin().lock().read(&mut v) {
                        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                        r => break r,
                    }
                };
                let r = r.map(|n| {
                    v.truncate(n);
                    v
                });
                let last = r.as_ref().map_or(true, Vec::is_empty);
                post.post(Mail::Stdin(r));
                if last {
                    return;
                }
            }
        });
        let input = Input { token, credit, parked: None };
        input.next();
        input
    }
    /// Asks for the next chunk.
    pub fn next(&self) {
        let _ = self.credit.send(());
    }
}
