//! Between a connection's task and its machine: a request one way, an answer the other, both with bodies of any length.
//!
//! ```text
//!  machine ---> request, body (held when 64 KiB wait) ---> task
//!          <--- head of the answer, body (the task waits when 64 KiB do) <---
//! ```
use super::message::{Error, Head};
use super::{File, Handle};
use crate::coro::WINDOW;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use proto_core::{Bytes, Token};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// The head of an answer, and how its body ends.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub content_type: String,
    pub fields: Vec<(String, Vec<u8>)>,
    pub close: bool,
    pub body: Shape,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Shape {
    Whole(Bytes),
    /// So many bytes of a file.
    File(File, u64),
    /// Comes through the line: with its length, if it is known.
    Stream(Option<u64>),
}

/// Where the answer to the request under way is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Stage {
    #[default]
    None,
    Streaming,
    /// The task has written its last byte.
    Finished,
    /// The task cannot go on.
    Broken,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub request: Option<Head>,
    pub body: VecDeque<Bytes>,
    pub unread: usize,
    pub body_over: bool,
    /// The handler has asked for the body.
    pub wanted: bool,
    /// The body ends here for the handler, because it is too large.
    pub too_large: bool,
    pub gone: bool,
    pub answer: Option<Answer>,
    pub out: VecDeque<Bytes>,
    pub unsent: usize,
    pub stage: Stage,
    waker: Option<Waker>,
}

impl Shared {
    /// Who waits, to be woken when the lock is free.
    pub fn waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}

/// A connection's line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    shared: Arc<Mutex<Shared>>,
    handle: Handle,
    key: u64,
}

impl Line {
    pub fn new(handle: &Handle, t: Token) -> Self {
        Line { shared: Arc::default(), handle: handle.clone(), key: t.to_bits() }
    }
    pub fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(|e| e.into_inner())
    }
    /// Changes what is shared and wakes the task.
    pub fn tell(&self, f: impl FnOnce(&mut Shared)) {
        let mut shared = self.lock();
        f(&mut shared);
        let waker = shared.waker();
        drop(shared);
        waker.into_iter().for_each(Waker::wake);
    }
    fn wait<T>(&self, cx: &core::task::Context<'_>, f: impl FnOnce(&mut Shared) -> Poll<T>) -> Poll<T> {
        let mut shared = self.lock();
        let poll = f(&mut shared);
        let old = if poll.is_pending() { shared.waker.replace(cx.waker().clone()) } else { None };
        drop(shared);
        drop(old);
        poll
    }
    /// The next request; `None` when there will be none.
    pub async fn request(&self) -> Option<Head> {
        poll_fn(|cx| {
            self.wait(cx, |s| match s.request.take() {
                Some(head) => Poll::Ready(Some(head)),
                None if s.gone => Poll::Ready(None),
                None => Poll::Pending,
            })
        })
        .await
    }
    /// The next bytes of the request's body; `None` at its end.
    pub async fn body(&self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| {
            let mut tell = false;
            let poll = self.wait(cx, |s| {
                if s.too_large {
                    return Poll::Ready(Err(Error::status(413)));
                }
                tell = !s.wanted;
                s.wanted = true;
                if let Some(bytes) = s.body.pop_front() {
                    tell |= s.unread >= WINDOW && s.unread - bytes.len() < WINDOW;
                    s.unread -= bytes.len();
                    return Poll::Ready(Ok(Some(bytes)));
                }
                match (s.body_over, s.gone) {
                    (true, _) => Poll::Ready(Ok(None)),
                    (_, true) => Poll::Ready(Err(Error::status(400))),
                    _ => Poll::Pending,
                }
            });
            if tell {
                self.handle.notify(self.key);
            }
            poll
        })
        .await
    }
    /// Hands an answer over.
    pub fn answer(&self, answer: Answer) {
        let mut shared = self.lock();
        shared.stage = if matches!(answer.body, Shape::Stream(_)) { Stage::Streaming } else { Stage::None };
        shared.answer = Some(answer);
        drop(shared);
        self.handle.notify(self.key);
    }
    /// Ends a streamed body: in order, or so that the client notices.
    pub fn end(&self, stage: Stage) {
        self.lock().stage = stage;
        self.handle.notify(self.key);
    }
}

/// Where a handler writes the body of its answer.
#[derive(Clone, Debug)]
pub struct BodyWriter(pub(super) Line);

impl BodyWriter {
    /// Sends bytes; waits while 64 KiB of them are unsent.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn write(&self, bytes: impl Into<Bytes>) -> Result<(), Error> {
        let mut bytes = Some(bytes.into()).filter(|b| !b.is_empty());
        let line = &self.0;
        poll_fn(|cx| {
            let mut tell = false;
            let poll = line.wait(cx, |s| {
                if s.gone {
                    return Poll::Ready(Err(Error::status(500)));
                }
                if let Some(b) = bytes.take() {
                    s.unsent += b.len();
                    s.out.push_back(b);
                    tell = true;
                }
                if s.unsent < WINDOW { Poll::Ready(Ok(())) } else { Poll::Pending }
            });
            if tell {
                line.handle.notify(line.key);
            }
            poll
        })
        .await
    }
}
