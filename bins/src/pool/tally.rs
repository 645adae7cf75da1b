//! What a server of work has done.
use crate::latency::Histogram;
use core::time::Duration;

/// Counts. Requests for work = `ok + failed + rejected + timeouts + cancelled + orphaned` + those under way.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests for work.
    pub requests: u64,
    /// Answered with a result.
    pub ok: u64,
    /// Answered with 500: the job panicked.
    pub panics: u64,
    /// Answered with 503: there was no room.
    pub rejected: u64,
    /// Answered with 503: it took too long.
    pub timeouts: u64,
    /// The client was gone before the job began.
    pub cancelled: u64,
    /// The client was gone when the job was done.
    pub orphaned: u64,
    /// Results that came for nobody: of timeouts and orphans.
    pub late: u64,
    /// From request to result.
    pub times: Histogram,
}

impl Tally {
    /// As JSON.
    pub fn json(&self, workers: usize, queue: usize, under_way: usize) -> String {
        let us = |d: Duration| d.as_micros();
        format!(
            "{{\"workers\":{workers},\"queue\":{queue},\"under_way\":{under_way},\"requests\":{},\"ok\":{},\"panics\":{},\
             \"rejected\":{},\"timeouts\":{},\"cancelled\":{},\"orphaned\":{},\"late\":{},\"p50_us\":{},\"p99_us\":{},\
             \"max_us\":{}}}\n",
            self.requests,
            self.ok,
            self.panics,
            self.rejected,
            self.timeouts,
            self.cancelled,
            self.orphaned,
            self.late,
            us(self.times.per_mille(500)),
            us(self.times.per_mille(990)),
            us(self.times.max()),
        )
    }
}
