//! What ICMP has said about a socket, from its error queue (`IP_RECVERR`): at once, and in its own words. Without it the
//! kernel forgets an answer to a SYN that comes while `connect` is still in the call, and tells few of them apart.
use crate::sock;
use proto_core::{Addr, Reason};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use std::net::SocketAddr;

/// Size of `struct cmsghdr`: a length of a word, level and type of an `int` each.
const HEAD: usize = size_of::<usize>() + 8;
/// Where an error comes from: this machine, ICMP, ICMPv6 (`SO_EE_ORIGIN_*`).
const LOCAL: u8 = 1;
const ICMP: u8 = 2;
const ICMP6: u8 = 3;

/// Lets errors about what is sent to `to` wait in the socket's queue.
#[allow(unsafe_code)]
pub fn keep(fd: &OwnedFd, to: &Addr) -> rustix::io::Result<()> {
    let (level, name) = match to {
        Addr::Ip(SocketAddr::V4(_)) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        Addr::Ip(SocketAddr::V6(_)) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
        Addr::Unix(_) => return Ok(()),
    };
    let on: libc::c_int = 1;
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option is an int, and `on` is one that lives through the call.
    let r = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const on).cast(), len) };
    if r == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Takes the next error that waits.
#[allow(unsafe_code)]
pub fn take(fd: &OwnedFd) -> Option<Reason> {
    // Words, so that the kernel finds the alignment it writes headers with.
    let mut control = [0u64; 64];
    // SAFETY: a msghdr of zeros is a valid, empty one.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control) as _);
    // SAFETY: the header names `control` with its length, and nothing else; the kernel writes no further.
    let n = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if n < 0 {
        return None;
    }
    let bytes: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
    find(bytes.get(..message.msg_controllen)?)
}

/// The first error among control messages.
fn find(mut control: &[u8]) -> Option<Reason> {
    let word = size_of::<usize>();
    while let Some(head) = control.get(..HEAD) {
        let len = usize::from_ne_bytes(head.get(..word)?.try_into().ok()?);
        let number = |at: usize| Some(i32::from_ne_bytes(head.get(at..at + 4)?.try_into().ok()?));
        let kind = (number(word)?, number(word + 4)?);
        let known = [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)];
        if known.contains(&kind) {
            return reason(control.get(HEAD..len)?);
        }
        control = control.get(len.max(HEAD).checked_next_multiple_of(word)?..)?;
    }
    None
}

/// The meaning of a `struct sock_extended_err`: error number, origin, type, code. RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1.
fn reason(error: &[u8]) -> Option<Reason> {
    let errno = i32::from_ne_bytes(error.get(..4)?.try_into().ok()?);
    let [origin, kind, code] = error.get(4..7)?.try_into().ok()?;
    Some(match (origin, kind, code) {
        (ICMP, 3, 3) | (ICMP6, 1, 4) => Reason::PortUnreachable,
        (ICMP, 3, 9 | 10 | 13) | (ICMP6, 1, 1 | 5 | 6) => Reason::Prohibited,
        (ICMP, 3, 0 | 6 | 11) | (ICMP6, 1, 0) => Reason::NetUnreachable,
        (ICMP, 3, 1 | 7 | 8 | 12) | (ICMP6, 1, 3) => Reason::HostUnreachable,
        (ICMP, 11, _) | (ICMP6, 3, _) => Reason::TtlExpired,
        (LOCAL | ICMP | ICMP6, ..) => sock::reason(Errno::from_raw_os_error(errno)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, name: i32, data: &[u8]) -> Vec<u8> {
        let mut m = (HEAD + data.len()).to_ne_bytes().to_vec();
        m.extend([level.to_ne_bytes(), name.to_ne_bytes()].concat());
        m.extend(data);
        m.resize(m.len().next_multiple_of(size_of::<usize>()), 0);
        m
    }
    fn error(origin: u8, kind: u8, code: u8) -> Vec<u8> {
        let mut e = libc::EHOSTUNREACH.to_ne_bytes().to_vec();
        e.extend([origin, kind, code, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        e
    }

    #[test]
    fn codes_have_meanings() {
        for (origin, kind, code, why) in [
            (ICMP, 3, 3, Reason::PortUnreachable),
            (ICMP, 3, 13, Reason::Prohibited),
            (ICMP, 3, 0, Reason::NetUnreachable),
            (ICMP, 3, 1, Reason::HostUnreachable),
            (ICMP, 11, 0, Reason::TtlExpired),
            (ICMP, 12, 0, Reason::HostUnreachable), // a parameter problem: as its number says
            (ICMP6, 1, 0, Reason::NetUnreachable),
            (ICMP6, 1, 1, Reason::Prohibited),
            (ICMP6, 1, 4, Reason::PortUnreachable),
            (LOCAL, 0, 0, Reason::HostUnreachable),
        ] {
            assert_eq!(reason(&error(origin, kind, code)), Some(why), "{origin} {kind} {code}");
        }
        assert_eq!(reason(&error(9, 0, 0)), None);
    }

    #[test]
    fn other_messages_are_passed_over_and_cut_ones_end_it() {
        let ours = message(libc::IPPROTO_IP, libc::IP_RECVERR, &error(ICMP, 3, 3));
        let both = [message(1, 1, b"12345"), ours.clone()].concat();
        assert_eq!(find(&both), Some(Reason::PortUnreachable));
        for cut in 0..ours.len() - 8 {
            find(&ours[..cut]); // nothing to be found or something whole, and no panic
        }
        assert_eq!(find(&ours[..HEAD + 3]), None);
        let mut endless = message(1, 1, b"");
        endless[..8].copy_from_slice(&0usize.to_ne_bytes());
        assert_eq!(find(&endless), None, "a length of nothing still moves on");
    }
}
