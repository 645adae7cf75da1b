//! Several futures as one: all of them, the first of them, or as long as time allows.
use super::BoxFuture;
use super::state::Handle;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

/// The time was up; the future was dropped, and with it what it waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

/// The future panicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Panicked;

/// One of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Either<A, B> {
    /// The first was ready first, or at the same time.
    Left(A),
    /// The second was.
    Right(B),
}

/// What `future` gives, unless it takes longer than `limit`.
pub async fn timeout<J: Unpin, R, F: Future>(
    handle: &Handle<J, R>,
    limit: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    match select(future, handle.sleep(limit)).await {
        Either::Left(value) => Ok(value),
        Either::Right(()) => Err(Elapsed),
    }
}

/// The first of two to be ready; the other is dropped.
pub async fn select<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| match a.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Either::Left(value)),
        Poll::Pending => b.as_mut().poll(cx).map(Either::Right),
    })
    .await
}

/// Both.
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut left, mut right) = (None, None);
    poll_fn(|cx| {
        if left.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            left = Some(value);
        }
        if right.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            right = Some(value);
        }
        match (left.take(), right.take()) {
            (Some(l), Some(r)) => Poll::Ready((l, r)),
            rest => {
                (left, right) = rest;
                Poll::Pending
            }
        }
    })
    .await
}

/// All, in their order. Each is polled whenever one is woken: meant for a few.
pub async fn join_all<T>(futures: Vec<BoxFuture<T>>) -> Vec<T> {
    let mut all: Vec<(BoxFuture<T>, Option<T>)> = futures.into_iter().map(|f| (f, None)).collect();
    poll_fn(|cx| {
        for (future, value) in all.iter_mut().filter(|(_, value)| value.is_none()) {
            if let Poll::Ready(v) = future.as_mut().poll(cx) {
                *value = Some(v);
            }
        }
        if all.iter().all(|(_, value)| value.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, value)| value).collect()
}

/// What `future` gives, or that it panicked. The panic ends here.
pub async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = Some(Box::pin(future));
    poll_fn(|cx| {
        let polled = drivers::catch(|| future.as_mut().map(|f| f.as_mut().poll(cx)));
        match polled {
            Some(Some(Poll::Pending)) => Poll::Pending,
            Some(Some(Poll::Ready(value))) => {
                drop_caught(future.take());
                Poll::Ready(Ok(value))
            }
            Some(None) | None => {
                drop_caught(future.take());
                Poll::Ready(Err(Panicked))
            }
        }
    })
    .await
}

/// Dropping runs code of the future's too.
fn drop_caught<T>(value: T) {
    let _ = drivers::catch(|| drop(value)); // a panic while it is taken apart changes nothing
}
