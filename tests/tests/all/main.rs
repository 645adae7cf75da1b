//! One integration test binary: what crosses crates.
mod cli;
mod clients;
mod corpus;
mod editor;
mod faults;
mod machines;
mod pty;
mod scenarios;
mod simulated;
mod tidy;
