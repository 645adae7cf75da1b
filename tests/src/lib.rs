//! The test bed: helpers that tests of every protocol and tool reuse.

pub mod alloc;
pub mod corpus;
pub mod drive;
pub mod http1;
pub mod laws;
pub mod process;
pub mod scenario;
pub mod subjects;
pub mod transcript;
