//! The test bed: helpers that tests of every protocol and tool reuse.

pub mod alloc;
pub mod certs;
pub mod corpus;
pub mod desk;
pub mod dns_oracle;
pub mod drive;
pub mod http1;
pub mod keys;
pub mod laws;
pub mod odd;
pub mod process;
pub mod pty;
pub mod scenario;
pub mod screen;
pub mod secure;
pub mod socks5;
pub mod subjects;
pub mod tls;
pub mod transcript;
