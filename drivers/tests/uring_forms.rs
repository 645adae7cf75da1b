//! The forms of the driver `io_uring` that are chosen by hand, or by an old kernel: each does all that the usual one does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use drivers::{Buffers, Config};

/// All scenarios, and what is harder on a ring, in one form.
macro_rules! form {
    ($name:ident, $config:expr) => {
        mod $name {
            use super::*;
            use crate::common::rings;
            use drivers::Kind;

            fn config() -> Config {
                $config
            }
            fn on_a_ring(f: impl FnOnce()) {
                if let Some(_alone) = crate::common::begin(Kind::IoUring, config()) {
                    f();
                }
            }
            crate::scenarios!(Kind::IoUring, config());
            #[test]
            fn tiny_buffers_and_rings_carry_bulk() {
                on_a_ring(|| rings::bulk(Config { buffers: (2, 64), entries: 4, ..config() }));
            }
            #[test]
            fn large_buffers_are_kept_and_replaced() {
                on_a_ring(|| rings::bulk(Config { buffers: (4, 16 << 10), ..config() }));
            }
            #[test]
            fn a_crowd_shares_two_buffers() {
                on_a_ring(|| rings::crowd(Config { buffers: (2, 64), ..config() }));
            }
            #[test]
            fn a_crowd_shares_four_entries() {
                on_a_ring(|| rings::crowd(Config { entries: 4, ..config() }));
            }
            #[test]
            fn forced_errors_end_one_connection_only() {
                on_a_ring(|| rings::forced(&config()));
            }
            #[test]
            fn a_kernel_that_gives_up_is_asked_again() {
                on_a_ring(|| rings::given_up(&config()));
            }
            #[test]
            fn storms_under_faults_leave_nothing_behind() {
                on_a_ring(|| rings::storm(&config()));
            }
        }
    };
}

form!(linked, Config { link: true, ..Config::default() });
form!(fixed, Config { lend: Some(Buffers::Fixed), ..Config::default() });
form!(plain, Config { lend: Some(Buffers::Plain), ..Config::default() });
form!(direct_files, Config { direct_files: true, ..Config::default() });
form!(fixed_and_direct, Config { lend: Some(Buffers::Fixed), direct_files: true, ..Config::default() });
form!(linked_and_direct, Config { link: true, direct_files: true, ..Config::default() });
form!(kernel_5_19, Config { as_kernel: Some((5, 19)), ..Config::default() });
form!(kernel_5_11, Config { as_kernel: Some((5, 11)), ..Config::default() });
