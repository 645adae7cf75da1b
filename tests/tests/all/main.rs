//! One integration test binary: what crosses crates.
mod chat;
mod cli;
mod clients;
mod corpus;
mod dns;
mod editor;
mod faults;
mod http1;
mod http1_bounds;
mod httpclient;
mod httpclient_files;
mod httpclient_peers;
mod https;
mod https_cases;
mod https_peers;
mod https_reports;
mod https_sim;
mod httpserver;
mod httpserver_access;
mod life;
mod machines;
mod metrics;
mod pty;
mod reconnects;
mod scenarios;
mod simulated;
mod socks;
mod statistics;
mod tidy;
mod tls_cases;
mod tls_layer;
mod tls_tools;
mod ways;

#[global_allocator]
static COUNTING: tests::alloc::Counting = tests::alloc::Counting;
mod work_and_coro;
