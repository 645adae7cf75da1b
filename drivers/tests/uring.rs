//! The driver `io_uring`: the scenarios of all drivers, and what only a ring can get wrong.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use drivers::Kind;

/// Makes one test of each scenario; without io_uring it says so and passes.
macro_rules! on_a_ring {
    ($module:ident: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let _alone = common::alone();
                match drivers::available(Kind::IoUring) {
                    Ok(()) => common::$module::$name(Kind::IoUring),
                    Err(why) => println!("skipped: {why}"),
                }
            }
        )*
    };
}

on_a_ring!(streams:
    echoes_64_mb_with_half_close
    a_client_that_never_reads_is_bounded
    a_storm_of_resets_leaves_nothing_behind
    abort_gives_the_peer_a_reset
    input_switched_off_waits
    serves_one_client_at_a_time
    a_stuck_reader_does_not_delay_a_broadcast
    a_flooder_does_not_starve_others
    close_lingers_and_then_cuts
);
on_a_ring!(world:
    echoes_datagrams
    datagrams_to_nobody_are_unreachable
    a_refused_connect_is_told
    connects_and_talks
    ends_while_connecting
    listens_at_run_time_and_again
    sends_ranges_of_files
    a_file_shorter_than_promised_ends_the_connection
    deadlines_are_precise
    exit_ends_all_threads
    jobs_are_answered_once
    a_panic_leaves_run
);
on_a_ring!(limits: accepting_pauses_without_descriptors);
