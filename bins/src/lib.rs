//! The tools, as pure apps. Each binary's `main` is wiring: parse the command line, build the app, run it on a driver.

pub mod certs;
pub mod chat;
pub mod cli;
pub mod console;
pub mod coro;
pub mod coro_http;
pub mod dialer;
pub mod dnsquery;
pub mod echo;
pub mod fetch;
pub mod front;
pub mod http;
pub mod latency;
pub mod line_client;
pub mod log;
pub mod names;
pub mod outcome;
pub mod pool;
pub mod replay;
pub mod service;
pub mod socks;
pub mod stats;
pub mod text;
pub mod tls;
pub mod tools;
pub mod work;
