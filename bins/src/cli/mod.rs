//! The command line: what all tools share.
mod args;
mod launch;
mod units;

pub use args::{ClientArgs, DriverArgs, ServerArgs};
pub use launch::{Listening, Plan, Tool, catch_panics, complain, listen, main, metrics, parse};
pub use units::{Cidr, Target, duration, listen_address, port, size};
