//! The command line: what all tools share.
mod args;
mod launch;
mod tls;
mod units;

pub use args::{ClientArgs, DriverArgs, ServerArgs};
pub use launch::{Listening, Plan, Tool, catch_panics, complain, listen, main, metrics, parse};
pub use tls::{ClientTlsArgs, CrlPolicy, Insecure, ServerTlsArgs, TlsArgs};
pub use units::{Cidr, Target, duration, listen_address, port, size};
