//! Whether this kernel allows an io_uring, and which one. Found out by doing it, since no version number tells what a
//! container's filter or a distribution's kernel really does.
use super::buffers::{Buffers, GROUP};
use crate::Config;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use rustix::process::{Resource, getrlimit};
use std::os::unix::net::UnixStream;

/// Names of `IORING_FEAT_*`, by bit.
const FEATURES: [&str; 18] = [
    "SINGLE_MMAP",
    "NODROP",
    "SUBMIT_STABLE",
    "RW_CUR_POS",
    "CUR_PERSONALITY",
    "FAST_POLL",
    "POLL_32BITS",
    "SQPOLL_NONFIXED",
    "EXT_ARG",
    "NATIVE_WORKERS",
    "RSRC_TAGS",
    "CQE_SKIP",
    "LINKED_FILE",
    "REG_REG_RING",
    "RECVSEND_BUNDLE",
    "MIN_TIMEOUT",
    "RW_ATTR",
    "NO_IOWAIT",
];
const NODROP: u32 = 1 << 1;
const EXT_ARG: u32 = 1 << 8;
/// Completions that fit, per entry of the submission queue: multishot operations make many of one.
const COMPLETIONS_PER_ENTRY: u32 = 16;

/// A kernel version.
type Version = (u16, u16);
/// The first with provided buffers, with multishot receive, and with what else is set up if it can be had.
const PROVIDED: Version = (5, 19);
const MULTISHOT: Version = (6, 0);

/// What the kernel can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps {
    /// `IORING_FEAT_*`.
    pub features: u32,
    /// Rings of provided buffers.
    pub provided: bool,
    /// Multishot receive; a kernel that has it has multishot accept and poll, cancelling everything at once, and lists
    /// of files, too.
    pub multishot: bool,
}

impl Caps {
    /// In one line, what the driver does without.
    pub fn note(&self, as_kernel: Option<Version>) -> Option<String> {
        let version = named(as_kernel);
        (!self.multishot).then(|| format!("this kernel ({version}) has no multishot receive (6.0): single-shot"))
    }
}

/// The driver works here, or the reason why not.
pub fn check() -> Result<(), String> {
    find(None).map(drop)
}

/// Whether it wins here, too: without multishot it is slower than epoll.
pub fn is_best() -> Result<(), String> {
    find(None)?.note(None).map_or(Ok(()), Err)
}

/// What the kernel can do, if it is no newer than `as_kernel`.
///
/// On a thread of its own: the kernel cleans up after a closed ring a moment later, in the thread that used it, and
/// interrupts what that thread waits for then.
pub fn find(as_kernel: Option<Version>) -> Result<Caps, String> {
    let found = std::thread::spawn(move || try_out(as_kernel));
    found.join().unwrap_or_else(|_| Err(sentence("its probe failed")))
}

fn try_out(as_kernel: Option<Version>) -> Result<Caps, String> {
    let features = features(as_kernel)?;
    let mut caps = Caps { features, provided: false, multishot: false };
    if allows(as_kernel, PROVIDED) {
        let (mut uring, _) = build(8, as_kernel).map_err(|e| refusal(&e, usual()))?;
        if let Ok(buffers) = Buffers::new(&uring.submitter(), 1, 64) {
            caps.provided = true;
            caps.multishot = allows(as_kernel, MULTISHOT) && receive_one(&mut uring) == Some(true);
            drop(uring); // it goes first: closing it ends a receive and its hold on the buffers
            drop(buffers);
        }
    } else {
        build(8, as_kernel).map_err(|e| refusal(&e, usual()))?;
    }
    Ok(caps)
}

fn allows(as_kernel: Option<Version>, needs: Version) -> bool {
    as_kernel.is_none_or(|v| v >= needs)
}

/// The kernel's feature bits.
#[allow(unsafe_code)]
fn features(as_kernel: Option<Version>) -> Result<u32, String> {
    // struct io_uring_params: 30 words; the sixth is the features.
    let mut params = [0u32; 30];
    // SAFETY: the kernel reads and writes one io_uring_params, which `params` is large enough for.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(refusal(&std::io::Error::last_os_error(), usual()));
    }
    // SAFETY: the call has just made this descriptor.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    let [_, _, _, _, _, features, ..] = params;
    if features & NODROP == 0 || features & EXT_ARG == 0 || !allows(as_kernel, (5, 11)) {
        let version = named(as_kernel);
        return Err(sentence(&format!("this kernel ({version}) may drop completions or cannot time a wait (5.11)")));
    }
    Ok(features)
}

/// Names of feature bits in bit order; unknown ones as a number.
pub fn feature_names(bits: u32) -> String {
    let names = (0..32).filter(|b| bits >> b & 1 == 1).map(|b| match FEATURES.get(b) {
        Some(name) => format!("IORING_FEAT_{name}"),
        None => format!("{:#x}", 1u32 << b),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// A ring with the best set-up that the kernel has, and what that is.
pub fn build(entries: u32, as_kernel: Option<Version>) -> std::io::Result<(IoUring, &'static str)> {
    let mut last = std::io::ErrorKind::Unsupported.into();
    // Each line gives up what came last.
    for (since, text) in [
        ((6, 6), ", defer-taskrun"), // and no array of indices
        ((6, 1), ", defer-taskrun"),
        ((6, 0), ", single-issuer, coop-taskrun"),
        ((5, 19), ", coop-taskrun"),
        ((5, 11), ""),
    ] {
        if !allows(as_kernel, since) {
            continue;
        }
        let mut b = IoUring::builder();
        b.setup_clamp().setup_cqsize(entries.saturating_mul(COMPLETIONS_PER_ENTRY));
        if since >= (6, 0) {
            b.setup_single_issuer();
        }
        if since >= (6, 1) {
            b.setup_defer_taskrun();
        } else if since >= (5, 19) {
            b.setup_coop_taskrun();
        }
        if since >= (6, 6) {
            b.setup_no_sqarray();
        }
        match b.build(entries) {
            Ok(uring) => return Ok((uring, text)),
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// Bytes of the rings that a ring of so many entries consists of.
pub fn rings(entries: u32) -> u64 {
    u64::from(entries) * (64 + u64::from(COMPLETIONS_PER_ENTRY) * 16)
}

#[allow(unsafe_code)]
fn receive_one(uring: &mut IoUring) -> Option<bool> {
    let (a, b) = UnixStream::pair().ok()?;
    rustix::io::write(&b, b"?").ok()?;
    drop(b); // so that the receive ends by itself: a byte, then the end of input
    let entry = opcode::RecvMulti::new(Fd(a.as_raw_fd()), GROUP).build();
    // SAFETY: the entry names no memory; the buffers outlive the receive, whose end is waited for below.
    unsafe { uring.submission().push(&entry) }.ok()?;
    let mut worked = None;
    loop {
        uring.submit_and_wait(1).ok()?;
        for e in uring.completion() {
            worked = worked.or(Some(e.result() == 1));
            if !io_uring::cqueue::more(e.flags()) {
                return worked;
            }
        }
    }
}

/// What a ring of the default size needs: the probe is not told the size.
fn usual() -> u64 {
    rings(Config::default().entries)
}

/// Why the kernel refuses what needs so many bytes of locked memory, and what to do about it.
pub fn refusal(e: &std::io::Error, needs: u64) -> String {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
    let limit = getrlimit(Resource::Memlock).current;
    cause(e, disabled.and_then(|n| n.trim().parse().ok()), limit, needs, &kernel())
}

/// What is lacking, as a whole sentence.
pub fn sentence(cause: &str) -> String {
    format!("io_uring is not available: {cause}; use --driver epoll, or allow io_uring_setup")
}

fn cause(e: &std::io::Error, disabled: Option<u8>, memlock: Option<u64>, needs: u64, kernel: &str) -> String {
    match (e.raw_os_error(), disabled, memlock) {
        (Some(libc::EPERM), Some(n @ 1..), _) => sentence(&format!("disabled by sysctl kernel.io_uring_disabled={n}")),
        (Some(libc::EPERM), ..) => sentence("blocked by seccomp, as in default container profiles (EPERM)"),
        (Some(libc::ENOSYS), ..) => {
            sentence(&format!("this kernel ({kernel}) is too old, or seccomp hides it (ENOSYS)"))
        }
        (Some(libc::ENOMEM), _, Some(n)) => {
            let needs = needs.next_multiple_of(4096);
            let more = if n < needs { "" } else { " more" }; // others of this user have locked memory, too
            format!(
                "io_uring is not available: RLIMIT_MEMLOCK is {}, need {}{more}; use --driver epoll, or raise it \
                 (ulimit -l)",
                bytes(n),
                bytes(needs)
            )
        }
        _ => sentence(&e.to_string()),
    }
}

/// A number of bytes as people write it: `2 KiB`, `8 MiB`.
pub fn bytes(n: u64) -> String {
    match n {
        1.. if n.is_multiple_of(1 << 20) => format!("{} MiB", thousands(n >> 20)),
        1.. if n.is_multiple_of(1 << 10) => format!("{} KiB", thousands(n >> 10)),
        0 => "0 KiB".into(),
        _ => format!("{} bytes", thousands(n)),
    }
}

/// A number with its thousands apart: `1,024`.
pub fn thousands(n: u64) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", thousands(n / 1000), n % 1000) }
}

/// The version that the driver goes by.
pub fn named(as_kernel: Option<Version>) -> String {
    as_kernel.map_or_else(kernel, |(major, minor)| format!("{major}.{minor}"))
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map_or("unknown".into(), |s| s.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_cause() {
        let cause = |errno, disabled| {
            cause(&std::io::Error::from_raw_os_error(errno), disabled, Some(64 << 10), 8 << 20, "5.4.0")
        };
        assert!(cause(libc::EPERM, Some(2)).contains("disabled by sysctl kernel.io_uring_disabled=2; use"));
        assert!(cause(libc::EPERM, Some(0)).contains("seccomp"));
        assert!(cause(libc::EPERM, None).contains("seccomp"));
        assert!(cause(libc::ENOSYS, None).contains("5.4.0"));
        assert!(cause(libc::ENOMEM, None).contains("RLIMIT_MEMLOCK is 64 KiB, need 8 MiB; use"));
        assert!(cause(libc::EINVAL, None).contains("Invalid argument"));
    }

    #[test]
    fn an_older_kernel_has_less() {
        let at = |v| find(Some(v)).map(|caps| (caps.provided, caps.multishot));
        if check().is_err() {
            return; // a kernel that allows nothing has nothing to take away
        }
        assert!(at((5, 10)).expect_err("no timed wait").contains("(5.10)"));
        assert_eq!(at((5, 11)), Ok((false, false)));
        assert_eq!(at((5, 19)), Ok((true, false)));
        assert_eq!(at((6, 0)), find(None).map(|caps| (caps.provided, caps.multishot)));
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        let sizes = [0, 64, 2048, 3 << 20, 1500].map(bytes);
        assert_eq!(sizes, ["0 KiB", "64 bytes", "2 KiB", "3 MiB", "1,500 bytes"]);
        assert_eq!([7, 1024, 1_000_007].map(thousands), ["7", "1,024", "1,000,007"]);
    }

    #[test]
    fn features_are_named_in_bit_order() {
        assert_eq!(feature_names(0b110), "IORING_FEAT_NODROP, IORING_FEAT_SUBMIT_STABLE");
        assert_eq!(feature_names(1 << 17 | 1 << 30), "IORING_FEAT_NO_IOWAIT, 0x40000000");
    }
}
