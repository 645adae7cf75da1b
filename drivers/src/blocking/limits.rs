//! How many connections the machine lets a program hold with a thread each.
use crate::host::Facts;
use crate::listen;
use rustix::process::{Resource, getrlimit};

/// Stack of each thread, on which the app runs too.
pub const STACK: usize = 128 << 10;
/// Threads kept for what is not a connection: workers, disk, standard input, signals.
const SPARE: usize = 64;

pub fn facts() -> Facts {
    let (descriptors, threads) = (listen::descriptor_capacity(), threads());
    let facts = vec![
        ("threads".into(), "one per connection with its descriptor, two of each while its output waits".into()),
        ("thread limit".into(), threads.to_string()),
        ("stack".into(), format!("{} KiB", STACK >> 10)),
    ];
    Facts { name: "blocking", capacity: (descriptors.min(threads) / 2).max(1), facts }
}

/// Threads that one process of this user may have.
fn threads() -> usize {
    let user = getrlimit(Resource::Nproc).current.map_or(usize::MAX, |n| n as usize);
    let system = number("/proc/sys/kernel/threads-max");
    let group = number("/sys/fs/cgroup/pids.max");
    // A stack is a mapping and its guard page another.
    let maps = number("/proc/sys/vm/max_map_count") / 2;
    [user, system, group, maps].into_iter().min().unwrap_or_default().saturating_sub(SPARE)
}

/// The number in a file; none if it is not there or says "max".
fn number(path: &str) -> usize {
    std::fs::read_to_string(path).ok().and_then(|s| s.trim().parse().ok()).unwrap_or(usize::MAX)
}
