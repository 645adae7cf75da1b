//! `threadpool_server`, `single_thread_server`, `benchmark_client`: when a pool of workers pays.
pub mod bench;
pub mod server;
mod tally;

#[cfg(test)]
mod server_tests;
