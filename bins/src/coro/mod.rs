//! Coroutines inside an app: `async fn` on every driver, with neither threads nor a runtime.
//!
//! An [`Executor`] is a part of an app. Its tasks are futures; what they await becomes questions, jobs, timers and
//! connections of the app, and the inputs that answer them wake the tasks. So a task runs in a simulation as it does on
//! io_uring.
//!
//! ```text
//!  task: handle.sleep(d).await ---> State: timers, questions ---> Executor::run: ops for the driver
//!        woken               <---  State: outcome            <--- Executor::input: Answer, Job, Bytes, Deadline
//! ```
//!
//! **Dropping a future cancels what it waits for**: a timer is disarmed, a question or job that has not begun is given up,
//! a connection is reset, a file is closed. What has begun is answered all the same; the answer finds nobody, since every
//! wait has a number of its own that is never used again. A file that was opened for nobody is closed.
//!
//! Limits: [`MAX_TASKS`] tasks; [`BUDGET`] polls before inputs are looked at again; [`WINDOW`] bytes of input and output
//! per connection. Wakers may be called from anywhere in the loop's thread; one that is called from another thread is
//! noticed with the next input.
//!
//! Invariant: no lock is held while a future is polled or dropped, and none while a waker is called.
mod combine;
mod executor;
mod files;
mod socket;
mod state;
mod sync;
mod waits;

pub use combine::{Either, Elapsed, Panicked, caught, join, join_all, select, timeout};
pub use executor::{Child, Counts, Executor, TooMany};
pub use files::File;
pub use socket::{Connect, Socket};
pub use state::Handle;
pub use sync::{Permit, Receiver, Refused, Semaphore, Sender, channel};
pub use waits::{Asked, Sleep, Worked, Yield};

use core::future::Future;
use core::pin::Pin;

/// Tasks at once. Beyond it [`Handle::spawn`] refuses.
pub const MAX_TASKS: usize = 100_000;
/// Tasks polled before inputs are looked at again, so that one that always yields does not starve the network.
pub const BUDGET: usize = 64;
/// Bytes of a connection that wait to be read by a task, and that wait to be sent for it.
pub const WINDOW: usize = 64 << 10;

/// A task's future.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[cfg(test)]
mod tests;
