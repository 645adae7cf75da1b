//! Whether this kernel allows an io_uring, and which one. Found out by doing it, since no version number tells what a
//! container's filter or a distribution's kernel really does.
use super::buffers::{Buffers, GROUP};
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

/// The driver works here, or the reason why not.
///
/// On a thread of its own: the kernel cleans up after a closed ring a moment later, in the thread that used it, and
/// interrupts what that thread waits for then.
pub fn check() -> Result<(), String> {
    std::thread::spawn(try_out).join().unwrap_or_else(|_| Err(sentence("its probe failed")))
}

fn try_out() -> Result<(), String> {
    features()?;
    let (uring, _) = build(8).map_err(|e| refusal(&e))?;
    try_multishot(uring).map_err(|why| sentence(&format!("this kernel ({}) has no {why}", kernel())))
}

/// The kernel's feature bits.
#[allow(unsafe_code)]
pub fn features() -> Result<u32, String> {
    // struct io_uring_params: 30 words; the sixth is the features.
    let mut params = [0u32; 30];
    // SAFETY: the kernel reads and writes one io_uring_params, which `params` is large enough for.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(refusal(&std::io::Error::last_os_error()));
    }
    // SAFETY: the call has just made this descriptor.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    let [_, _, _, _, _, features, ..] = params;
    if features & NODROP == 0 || features & EXT_ARG == 0 {
        return Err(sentence(&format!("this kernel ({}) may drop completions or cannot time a wait", kernel())));
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
pub fn build(entries: u32) -> std::io::Result<(IoUring, &'static str)> {
    let mut last = std::io::ErrorKind::Unsupported.into();
    // Each line gives up one flag that came later than the next line's.
    for (single, defer, plain_queue, text) in [
        (true, true, true, ", single-issuer, defer-taskrun, no-sqarray"),
        (true, true, false, ", single-issuer, defer-taskrun"),
        (true, false, false, ", single-issuer, coop-taskrun"),
        (false, false, false, ", coop-taskrun"),
    ] {
        let mut b = IoUring::builder();
        b.setup_clamp().setup_cqsize(entries.saturating_mul(COMPLETIONS_PER_ENTRY));
        if single {
            b.setup_single_issuer();
        }
        if defer {
            b.setup_defer_taskrun();
        } else {
            b.setup_coop_taskrun();
        }
        if plain_queue {
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

/// Receives a byte in the way the driver will; what the kernel lacks.
fn try_multishot(mut uring: IoUring) -> Result<(), &'static str> {
    let mut buffers = Buffers::new(&uring.submitter(), 1, 64).map_err(|_| "provided buffers (5.19)")?;
    let ended = receive_one(&mut uring);
    // The rings go first: closing them ends the receive.
    buffers.unregister(&uring.submitter());
    match ended {
        Some(true) => Ok(()),
        _ => Err("multishot receive (6.0)"),
    }
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

/// Why the kernel refuses, and what to do about it.
pub fn refusal(e: &std::io::Error) -> String {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
    let limit = getrlimit(Resource::Memlock).current;
    sentence(&cause(e, disabled.and_then(|n| n.trim().parse().ok()), limit, &kernel()))
}

fn sentence(cause: &str) -> String {
    format!("io_uring is not available: {cause}; use --driver epoll, or allow io_uring_setup")
}

fn cause(e: &std::io::Error, disabled: Option<u8>, memlock: Option<u64>, kernel: &str) -> String {
    match (e.raw_os_error(), disabled, memlock) {
        (Some(libc::EPERM), Some(n @ 1..), _) => format!("disabled by sysctl kernel.io_uring_disabled={n}"),
        (Some(libc::EPERM), ..) => "blocked by seccomp, as in default container profiles (EPERM)".into(),
        (Some(libc::ENOSYS), ..) => {
            format!("this kernel ({kernel}) is too old, or seccomp hides it (ENOSYS)")
        }
        (Some(libc::ENOMEM), _, Some(n)) => format!("RLIMIT_MEMLOCK is {} KiB, too little for its rings", n >> 10),
        _ => e.to_string(),
    }
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map_or("unknown".into(), |s| s.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_cause() {
        let cause =
            |errno, disabled| cause(&std::io::Error::from_raw_os_error(errno), disabled, Some(64 << 10), "5.4.0");
        assert_eq!(cause(libc::EPERM, Some(2)), "disabled by sysctl kernel.io_uring_disabled=2");
        assert!(cause(libc::EPERM, Some(0)).contains("seccomp"));
        assert!(cause(libc::EPERM, None).contains("seccomp"));
        assert!(cause(libc::ENOSYS, None).contains("5.4.0"));
        assert!(cause(libc::ENOMEM, None).contains("RLIMIT_MEMLOCK is 64 KiB"));
        assert!(cause(libc::EINVAL, None).contains("Invalid argument"));
    }

    #[test]
    fn features_are_named_in_bit_order() {
        assert_eq!(feature_names(0b110), "IORING_FEAT_NODROP, IORING_FEAT_SUBMIT_STABLE");
        assert_eq!(feature_names(1 << 17 | 1 << 30), "IORING_FEAT_NO_IOWAIT, 0x40000000");
    }
}
