//! Connections that tasks make.
use super::WINDOW;
use super::state::{Handle, Order, State};
use core::future::{Future, poll_fn};
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use proto_core::{Addr, Bytes, Reason, Token};
use std::collections::VecDeque;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Connecting,
    Open,
    Over(Reason),
}

/// What the executor and the holder of a connection share.
#[derive(Debug)]
pub(super) struct Sock {
    pub token: Option<Token>,
    pub phase: Phase,
    pub inbox: VecDeque<Bytes>,
    pub unread: usize,
    /// The peer has said its last byte.
    pub eof: bool,
    /// Output that had no room yet.
    pub outbox: VecDeque<Bytes>,
    pub unsent: usize,
    pub finished: bool,
    /// The task has closed it: it goes when its output has.
    pub leaving: bool,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
}

impl Sock {
    fn new() -> Self {
        Sock {
            token: None,
            phase: Phase::Connecting,
            inbox: VecDeque::new(),
            unread: 0,
            eof: false,
            outbox: VecDeque::new(),
            unsent: 0,
            finished: false,
            leaving: false,
            reader: None,
            writer: None,
        }
    }
    /// Both who wait, to be woken when the lock is free.
    pub fn wakers(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

/// A connection's place in the state; it is reset when it is dropped before it was closed.
struct Held<J, R> {
    handle: Handle<J, R>,
    key: u64,
    in_order: bool,
}

impl<J, R> Drop for Held<J, R> {
    fn drop(&mut self) {
        let mut guard = self.handle.lock();
        let state: &mut State<J, R> = &mut guard;
        if self.in_order
            && let Some(sock) = state.sockets.get_mut(&self.key)
            && sock.phase == Phase::Open
        {
            (sock.leaving, sock.unread, sock.inbox) = (true, 0, VecDeque::new());
            let wakers = sock.wakers();
            state.orders.push(Order::Touch(self.key));
            drop(guard);
            drop(wakers);
            return;
        }
        let gone = state.sockets.remove(&self.key);
        if let Some(token) = gone.as_ref().and_then(|s| s.token)
            && !matches!(gone.as_ref().map(|s| s.phase), Some(Phase::Over(_)))
        {
            state.orders.push(Order::Leave(token));
        }
        drop(guard);
        drop(gone); // wakers
    }
}

/// [`Handle::connect`].
pub struct Connect<J, R> {
    held: Option<Held<J, R>>,
    begin: Option<(Handle<J, R>, Addr)>,
}

impl<J, R> Future for Connect<J, R> {
    type Output = Result<Socket<J, R>, Reason>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some((handle, to)) = this.begin.take() {
            let mut state = handle.lock();
            let key = state.key();
            let mut sock = Sock::new();
            sock.writer = Some(cx.waker().clone());
            state.sockets.insert(key, sock);
            state.orders.push(Order::Connect(key, to));
            drop(state);
            this.held = Some(Held { handle, key, in_order: false });
            return Poll::Pending;
        }
        let Some(held) = &this.held else { return Poll::Pending };
        let mut state = held.handle.lock();
        let Some(sock) = state.sockets.get_mut(&held.key) else { return Poll::Ready(Err(Reason::Cancelled)) };
        let phase = sock.phase;
        let old = match phase {
            Phase::Connecting => sock.writer.replace(cx.waker().clone()),
            Phase::Open | Phase::Over(_) => None,
        };
        drop(state);
        drop(old);
        match phase {
            Phase::Connecting => Poll::Pending,
            Phase::Over(why) => Poll::Ready(Err(why)),
            Phase::Open => match this.held.take() {
                Some(held) => Poll::Ready(Ok(Socket { held })),
                None => Poll::Pending,
            },
        }
    }
}

impl<J, R> Handle<J, R> {
    /// Connects to an address.
    pub fn connect(&self, to: Addr) -> Connect<J, R> {
        Connect { held: None, begin: Some((self.clone(), to)) }
    }
}

/// A connection. One that is dropped without [`Socket::close`] is reset.
pub struct Socket<J, R> {
    held: Held<J, R>,
}

impl<J, R> Socket<J, R> {
    fn with<T>(&self, f: impl FnOnce(&mut Sock) -> T) -> Result<T, Reason> {
        self.held.handle.lock().sockets.get_mut(&self.held.key).map(f).ok_or(Reason::Cancelled)
    }
    fn touch(&self) {
        self.held.handle.lock().orders.push(Order::Touch(self.held.key));
    }
    /// The next bytes; `None` at the end of the input.
    pub async fn read(&mut self) -> Result<Option<Bytes>, Reason> {
        let read = poll_fn(|cx| {
            let polled = self.with(|sock| {
                if let Some(bytes) = sock.inbox.pop_front() {
                    let was_full = sock.unread >= WINDOW;
                    sock.unread = sock.unread.saturating_sub(bytes.len());
                    return (Poll::Ready(Ok(Some(bytes))), was_full && sock.unread < WINDOW, None);
                }
                match sock.phase {
                    _ if sock.eof => (Poll::Ready(Ok(None)), false, None),
                    Phase::Over(why) => (Poll::Ready(Err(why)), false, None),
                    Phase::Open | Phase::Connecting => (Poll::Pending, false, sock.reader.replace(cx.waker().clone())),
                }
            });
            match polled {
                Ok((poll, resume, old)) => {
                    drop(old);
                    if resume {
                        self.touch();
                    }
                    poll
                }
                Err(why) => Poll::Ready(Err(why)),
            }
        });
        read.await
    }
    /// Sends bytes; waits until no more than [`WINDOW`] of them are unsent.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Reason> {
        let mut bytes = Some(bytes).filter(|b| !b.is_empty());
        let write = poll_fn(|cx| {
            let polled = self.with(|sock| {
                if let Phase::Over(why) = sock.phase {
                    return (Poll::Ready(Err(why)), false, None);
                }
                let new = bytes.take();
                let is_new = new.is_some();
                if let Some(b) = new.filter(|_| !sock.finished) {
                    sock.unsent += b.len();
                    sock.outbox.push_back(b);
                }
                if sock.unsent <= WINDOW {
                    return (Poll::Ready(Ok(())), is_new, None);
                }
                (Poll::Pending, is_new, sock.writer.replace(cx.waker().clone()))
            });
            match polled {
                Ok((poll, touched, old)) => {
                    drop(old);
                    if touched {
                        self.touch();
                    }
                    poll
                }
                Err(why) => Poll::Ready(Err(why)),
            }
        });
        write.await
    }
    /// Ends the output; the peer may still send.
    pub fn finish(&mut self) {
        if self.with(|sock| mem::replace(&mut sock.finished, true)) == Ok(false) {
            self.touch();
        }
    }
    /// Ends the connection in order: what was written is sent, what comes is swallowed.
    pub fn close(mut self) {
        self.finish();
        self.held.in_order = true;
    }
}
