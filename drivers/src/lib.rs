//! The world, once per I/O model. A driver feeds an [`App`](proto_core::App) with inputs and does what it asks;
//! it knows no protocol and no tool.
//!
//! What all drivers share is written once: [`host`](crate::Host) (tokens, ops, answers), `ready` (the loop of the
//! readiness drivers), `sock` (addresses and options), `disk`, `stdio`, `signals`, `mail` (what other threads have to
//! say). A driver supplies waiting, receiving, sending, accepting and connecting.
//!
//! [`sim`] runs many apps in virtual time with seeded faults; [`record`] writes down what an app was told and said, and
//! [`replay`] does it again without sockets.

mod blocking;
mod clock;
mod config;
mod disk;
mod epoll;
mod host;
mod icmp;
pub mod listen;
pub mod mail;
mod pass;
mod poll;
mod ready;
pub mod record;
pub mod replay;
mod run;
mod select;
mod signals;
pub mod sim;
mod sock;
mod stdio;
mod terminal;
#[cfg(not(loom))] // tokio itself means something else by that word
mod tokio_loop;
mod uring;
mod workers;

pub use clock::wall;
pub use config::{Buffers, Config, CqeFault, CqeOp, Error, Kind};
pub use host::{Due, Facts, Host, Mail, NetOp, Place, random};
pub use listen::Bound;
pub use run::{available, choose, run};
#[cfg(not(loom))]
pub use tokio_loop::serve;
pub use workers::{catch, in_job};
