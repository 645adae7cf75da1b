//! One integration test binary: what crosses crates.
mod cli;
mod clients;
mod faults;
mod scenarios;
mod simulated;
mod tidy;
