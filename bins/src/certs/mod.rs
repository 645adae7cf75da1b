//! `generate_certs`: a small CA of one's own, in files.
mod issue;
pub mod peer;
mod store;
mod tool;

pub use tool::main;
