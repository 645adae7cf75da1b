//! The drivers over the shared readiness loop that need no runtime: `select`, `poll`, and `pool`, which is epoll with
//! threads for jobs.
#![allow(clippy::unwrap_used)] // a test fails by panicking
mod common;

mod select {
    crate::scenarios!(drivers::Kind::Select);
}
mod poll {
    crate::scenarios!(drivers::Kind::Poll);
}
mod pool {
    crate::scenarios!(drivers::Kind::Pool);
}
