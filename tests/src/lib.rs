//! The test bed: helpers that tests of every protocol and tool reuse.

pub mod process;
pub mod scenario;
