//! Work that is not done on the loop.
use super::pack::Pack;
use crate::users::Check;
use proto_core::Bytes;

/// A piece of work.
#[derive(Clone, Debug)]
pub enum Job {
    /// Compressing a file.
    Pack(Pack),
    /// Checking a password.
    Check(Check),
}

/// What a [`Job::Check`] makes if the password is right.
pub const RIGHT: &[u8] = b"1";

impl Job {
    /// Does it.
    pub fn run(&self) -> Bytes {
        match self {
            Job::Pack(pack) => pack.run(),
            Job::Check(check) => Bytes::from_static(if check.run() { RIGHT } else { b"" }),
        }
    }
}
