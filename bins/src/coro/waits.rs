//! Futures that wait for one thing: a time, an answer, a job.
use super::state::{Handle, Outcome, Wait, Want};
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use proto_core::{Answer, Ask, Lost, Reason};

/// A wait that begins with its first poll and is given up when it is dropped.
struct Waiting<J, R> {
    handle: Handle<J, R>,
    at: At<J>,
}

enum At<J> {
    New(Want<J>),
    Begun(u64),
    Over,
}

impl<J, R> Waiting<J, R> {
    fn new(handle: &Handle<J, R>, want: Want<J>) -> Self {
        Waiting { handle: handle.clone(), at: At::New(want) }
    }
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Outcome<R>> {
        let mut state = self.handle.lock();
        let old = match mem::replace(&mut self.at, At::Over) {
            At::New(want) => {
                self.at = At::Begun(state.begin(want, cx.waker().clone()));
                None
            }
            At::Begun(id) => match state.waits.remove(&id) {
                Some(Wait::Over(outcome)) => return Poll::Ready(outcome),
                Some(Wait::Pending { asked, mut waker }) => {
                    let old = (!waker.will_wake(cx.waker())).then(|| mem::replace(&mut waker, cx.waker().clone()));
                    state.waits.insert(id, Wait::Pending { asked, waker });
                    self.at = At::Begun(id);
                    old
                }
                Some(Wait::Orphan) | None => None,
            },
            // Polled after it was over: never again.
            At::Over => None,
        };
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<J, R> Drop for Waiting<J, R> {
    fn drop(&mut self) {
        if let At::Begun(id) = self.at {
            let left = self.handle.lock().abandon(id);
            drop(left);
        }
    }
}

/// [`Handle::sleep`].
pub struct Sleep<J, R>(Waiting<J, R>);

impl<J: Unpin, R> Future for Sleep<J, R> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx).map(drop)
    }
}

/// A question to the driver.
pub struct Asked<J, R>(Waiting<J, R>);

impl<J: Unpin, R> Future for Asked<J, R> {
    type Output = Result<Answer, Reason>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(|outcome| match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Time | Outcome::Job(_) => Err(Reason::Unsupported),
        })
    }
}

/// [`Handle::job`].
pub struct Worked<J, R>(Waiting<J, R>);

impl<J: Unpin, R> Future for Worked<J, R> {
    type Output = Result<R, Lost>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(|outcome| match outcome {
            Outcome::Job(result) => result,
            Outcome::Time | Outcome::Answer(_) => Err(Lost::Cancelled),
        })
    }
}

/// [`Handle::yield_now`].
#[derive(Debug, Default)]
pub struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<J, R> Handle<J, R> {
    /// Waits for `wait` from the first poll on.
    pub fn sleep(&self, wait: Duration) -> Sleep<J, R> {
        Sleep(Waiting::new(self, Want::Time(wait)))
    }
    /// CPU work for a worker; `hold` keeps the worker busy besides.
    pub fn job(&self, job: J, hold: Duration) -> Worked<J, R> {
        Worked(Waiting::new(self, Want::Job(job, hold)))
    }
    /// Any question; files are opened with [`Handle::open`], which closes them too.
    pub(super) fn ask(&self, ask: Ask) -> Asked<J, R> {
        Asked(Waiting::new(self, Want::Ask(ask)))
    }
    /// Lets the others go first.
    pub fn yield_now(&self) -> Yield {
        Yield::default()
    }
}
