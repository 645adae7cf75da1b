//! One integration test binary: what crosses crates.
mod chat;
mod cli;
mod clients;
mod corpus;
mod editor;
mod faults;
mod life;
mod machines;
mod pty;
mod reconnects;
mod scenarios;
mod simulated;
mod statistics;
mod tidy;
