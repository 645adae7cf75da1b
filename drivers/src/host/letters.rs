//! What other threads have to say to a loop, and how it is told.
use crate::Error;
use crate::disk::Outcome;
use crate::mail::{Mailbox, Wake};
use proto_core::{Lost, OpId, Reason, Shard, Signal, Token, Trouble};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What other threads tell a loop.
#[derive(Debug)]
pub enum Mail<M> {
    /// A chunk of standard input; empty at its end.
    Stdin(std::io::Result<Vec<u8>>),
    /// An output stream has room again.
    StdoutReady(Token),
    /// A question about a file or name has been answered.
    Disk(Outcome),
    /// A job has ended.
    Job(OpId, Result<M, Lost>),
    /// Another shard says.
    Post(Shard, M),
    /// The operating system says.
    Signal(Signal),
    /// A token has ended that never had a socket.
    Ended(Token, Reason),
    /// The driver itself has a problem.
    Trouble(Trouble),
}

/// Rings when mail arrives: an eventfd that the driver waits for.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Wake for Bell {
    fn wake(&self) {
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes()); // full: it rings already
    }
}

impl Bell {
    /// What to wait for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
    /// Stops ringing; then take the mail.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]); // not ringing: fine
    }
}

/// The address of a loop.
pub type Sender<M> = Arc<Mailbox<Mail<M>, Bell>>;

/// Makes the address of a new loop.
pub fn mailbox<M>() -> Result<Sender<M>, Error> {
    let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    Ok(Arc::new(Mailbox::new(Bell(fd.map_err(|e| Error::system("eventfd")(e.into()))?))))
}

/// Whoever can send mail to a loop.
pub trait Post: Clone + Send + 'static {
    /// The app's message type.
    type Msg: Send;
    /// Sends.
    fn post(&self, mail: Mail<Self::Msg>);
}

impl<M: Send + 'static> Post for Sender<M> {
    type Msg = M;
    fn post(&self, mail: Mail<M>) {
        self.send(mail);
    }
}
