//! `coro_http_server`: handlers are `async fn`, and run on every driver.
//!
//! A connection is a task: it waits for a request, lets the handler make an answer, hands that over, and begins again.
//! `line` is what a connection's task and its machine share.
pub mod demo;
mod fetch;
mod line;
mod message;
mod router;
pub mod server;

pub use fetch::{Fetched, fetch};
pub use line::BodyWriter;
pub use message::{Body, Error, Request, Response};
pub use router::Router;

use crate::coro;
use crate::work::Work;
use proto_core::Bytes;

/// What handlers ask and wait with.
pub type Handle = coro::Handle<Work, Bytes>;
/// A file that a handler has opened.
pub type File = coro::File<Work, Bytes>;

#[cfg(test)]
mod tests;
