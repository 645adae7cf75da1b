//! Chooses the form of a ring from what is configured and what the kernel can do. An explicit choice is never
//! replaced by another; what had to be done without is said in a line.
use super::buffers::Buffers;
use super::pool::Pool;
use super::probe::{self, Caps};
use crate::Config;
use crate::config;
use io_uring::IoUring;

/// Buffers that are left when memory may not be locked: fewer would be no pool.
const LEAST: u16 = 2;

/// How a ring works.
#[derive(Clone, Debug)]
pub struct Form {
    /// Accepts, receives and polls go on until they end.
    pub multishot: bool,
    /// A send and the next receive are a chain.
    pub link: bool,
    /// Every connection is on the kernel's list of files before its first operation.
    pub direct: bool,
    /// Connections that found no buffer and try again per turn: as many as there are buffers.
    pub tries: usize,
    /// The kernel's feature bits.
    pub features: u32,
    /// All that in words.
    pub mode: String,
    /// What it does without, for the user.
    pub notes: Vec<String>,
}

/// A ring with its buffers.
pub struct Setup {
    pub uring: IoUring,
    pub buffers: Buffers,
    pub pool: Pool,
    pub form: Form,
}

pub fn open(config: &Config) -> Result<Setup, String> {
    let caps = probe::find(config.as_kernel)?;
    let lend = choose(config, caps)?;
    let (uring, chosen) =
        probe::build(config.entries, config.as_kernel).map_err(|e| probe::refusal(&e, probe::rings(config.entries)))?;
    let ((buffers, pool), count) = allocate(config, lend, &uring)?;
    let multishot = caps.multishot && lend == config::Buffers::Provided && !config.link;
    let size = config.buffers.1;
    let mut words = vec![if multishot { "multishot".to_string() } else { "single-shot".into() }];
    words.extend(config.link.then(|| "linked".into()));
    words.push(format!("{} buffers {} x {}", lend.name(), probe::thousands(count.into()), probe::bytes(size as u64)));
    words.extend(config.direct_files.then(|| "direct files".into()));
    let mut notes: Vec<_> = caps.note(config.as_kernel).into_iter().collect();
    if let Some(note) = notes.first_mut().filter(|_| lend != config::Buffers::Provided) {
        note.push_str(&format!(", {} buffers", lend.name()));
    }
    if count < config.buffers.0 {
        let wanted = probe::thousands(config.buffers.0.into());
        notes.push(format!("RLIMIT_MEMLOCK allows {count} buffers only, not {wanted}"));
    }
    let form = Form {
        multishot: caps.multishot,
        link: config.link,
        direct: config.direct_files,
        tries: count.into(),
        features: caps.features,
        mode: words.join(", ") + chosen,
        notes,
    };
    Ok(Setup { uring, buffers, pool, form })
}

/// Whose the buffers are to be.
fn choose(config: &Config, caps: Caps) -> Result<config::Buffers, String> {
    let (count, size) = config.buffers;
    if !count.is_power_of_two() || count > 1 << 15 || !(1..=1 << 30).contains(&size) {
        let (most, _) = Config::default().buffers;
        return Err(format!("the number of buffers must be a power of two from 1 to 32768, such as {most}"));
    }
    let lend = match (config.lend, caps.provided) {
        (None, true) => config::Buffers::Provided,
        (None, false) if !config.link => config::Buffers::Plain,
        (Some(config::Buffers::Fixed | config::Buffers::Plain), _) if config.link => {
            return Err("--link needs --buffers provided: a receive that waits must not hold a buffer".into());
        }
        (None | Some(config::Buffers::Provided), false) => return Err(lacks(config, "provided buffers (5.19)")),
        (Some(lend), _) => lend,
    };
    if config.direct_files && !caps.multishot {
        return Err(lacks(config, "multishot receive (6.0), which --direct-files needs"));
    }
    Ok(lend)
}

/// The kernel has not got it.
pub fn lacks(config: &Config, what: &str) -> String {
    format!("this kernel ({}) has no {what}", probe::named(config.as_kernel))
}

/// The buffers, and how many: fewer than configured if no more memory may be locked.
fn allocate(config: &Config, lend: config::Buffers, uring: &IoUring) -> Result<((Buffers, Pool), u16), String> {
    let (mut count, size) = config.buffers;
    loop {
        let made = match lend {
            config::Buffers::Provided => {
                Buffers::new(&uring.submitter(), count, size).map(|buffers| (buffers, Pool::default()))
            }
            config::Buffers::Fixed | config::Buffers::Plain => {
                let fixed = lend == config::Buffers::Fixed;
                Pool::new(&uring.submitter(), count, size, fixed).map(|pool| (Buffers::none(), pool))
            }
        };
        match made {
            Ok(made) => return Ok((made, count)),
            Err(e) if e.raw_os_error() == Some(libc::ENOMEM) && count > LEAST => count /= 2,
            Err(e) => {
                // Whole pages are pinned, and a buffer need not begin with one; of a provided buffer only its entry.
                let pinned =
                    if lend == config::Buffers::Fixed { size.next_multiple_of(4096) as u64 + 4096 } else { 16 };
                let needs = probe::rings(config.entries) + u64::from(config.buffers.0) * pinned;
                return Err(probe::refusal(&e, needs));
            }
        }
    }
}
