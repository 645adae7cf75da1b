//! One integration test binary: what crosses crates.
mod cli;
mod clients;
mod corpus;
mod faults;
mod http1;
mod http1_bounds;
mod machines;
mod scenarios;
mod simulated;
mod tidy;

#[global_allocator]
static COUNTING: tests::alloc::Counting = tests::alloc::Counting;
