//! `generate_certs`: a small CA of one's own, in files.
mod issue;
mod store;
mod tool;

pub use tool::main;
