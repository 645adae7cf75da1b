//! Reads the clocks; the only place that does.
use proto_core::{Instant, Wall};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a host takes the time from.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's monotonic clock.
    Real,
    /// A simulator's, or a recording's.
    Virtual(Instant),
}

impl Clock {
    pub fn now(self) -> Instant {
        match self {
            Clock::Virtual(now) => now,
            Clock::Real => {
                let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                Instant::from_nanos(t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
            }
        }
    }
}

/// Time of day and offset of the local time zone.
pub fn wall() -> Wall {
    let unix_ns = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(d) => i64::try_from(d.as_nanos()).unwrap_or(i64::MAX),
        Err(_) => 0, // before 1970: a machine without a clock
    };
    Wall { unix_ns, utc_offset_s: chrono::Local::now().offset().local_minus_utc() }
}
