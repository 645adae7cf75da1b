//! Sockets: addresses, options, and what errors mean.
use crate::icmp;
use proto_core::{Addr, ConnectOpts, Peer, Reason};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getpeername,
    getsockname, listen, socket_with, sockopt,
};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

/// A raw socket hears of every packet of its protocol, so it has more room than others. The kernel gives what it allows.
const RAW_BUFFER: usize = 1 << 20;

/// What went wrong, in the contract's words.
pub fn reason(e: Errno) -> Reason {
    match e {
        Errno::CONNRESET | Errno::CONNABORTED => Reason::Reset,
        Errno::PIPE => Reason::BrokenPipe,
        Errno::CONNREFUSED => Reason::Refused,
        Errno::TIMEDOUT => Reason::TimedOut,
        Errno::HOSTUNREACH | Errno::HOSTDOWN => Reason::HostUnreachable,
        Errno::NETUNREACH | Errno::NETDOWN => Reason::NetUnreachable,
        Errno::PERM => Reason::Prohibited,
        Errno::ACCESS => Reason::Denied,
        Errno::ADDRINUSE => Reason::AddrInUse,
        Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT => Reason::AddrNotAvailable,
        Errno::MFILE | Errno::NFILE => Reason::Descriptors,
        Errno::NOBUFS | Errno::NOMEM => Reason::NoBuffers,
        Errno::NOSPC => Reason::NoSpace,
        Errno::NOENT => Reason::NotFound,
        Errno::EXIST => Reason::Exists,
        Errno::XDEV => Reason::Escapes,
        Errno::CANCELED => Reason::Cancelled,
        e => Reason::Io(e.raw_os_error()),
    }
}

/// The same for errors that came through std.
pub fn io_reason(e: &std::io::Error) -> Reason {
    e.raw_os_error().map_or(Reason::Io(0), |n| reason(Errno::from_raw_os_error(n)))
}

/// The contract's address of a system address.
pub fn addr(a: Option<SocketAddrAny>) -> Addr {
    let Some(a) = a else { return Addr::Unix("".into()) };
    match SocketAddr::try_from(a.clone()) {
        Ok(ip) => Addr::Ip(ip),
        Err(_) => {
            let unix = SocketAddrUnix::try_from(a).ok();
            let path = unix.as_ref().and_then(|u| u.path_bytes()).unwrap_or_default();
            Addr::Unix(String::from_utf8_lossy(path).into())
        }
    }
}

/// Calls `f` with the system's form of an address.
pub fn with_addr<T>(a: &Addr, f: impl FnOnce(&SocketAddrAny) -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    match a {
        Addr::Ip(ip) => f(&SocketAddrAny::from(*ip)),
        Addr::Unix(path) => f(&SocketAddrAny::from(SocketAddrUnix::new(&**path)?)),
    }
}

fn family(a: &Addr) -> AddressFamily {
    match a {
        Addr::Ip(SocketAddr::V4(_)) => AddressFamily::INET,
        Addr::Ip(SocketAddr::V6(_)) => AddressFamily::INET6,
        Addr::Unix(_) => AddressFamily::UNIX,
    }
}

fn open(a: &Addr, kind: SocketType, nonblocking: bool) -> rustix::io::Result<OwnedFd> {
    let nonblock = if nonblocking { SocketFlags::NONBLOCK } else { SocketFlags::empty() };
    socket_with(family(a), kind, SocketFlags::CLOEXEC | nonblock, None)
}

/// A bound and listening socket. `shared`: several loops listen on the same port.
pub fn listener(at: &Addr, backlog: i32, shared: bool, nonblocking: bool) -> rustix::io::Result<OwnedFd> {
    let fd = open(at, SocketType::STREAM, nonblocking)?;
    if let Addr::Ip(ip) = at {
        sockopt::set_socket_reuseaddr(&fd, true)?;
        if shared {
            sockopt::set_socket_reuseport(&fd, true)?;
        }
        if ip.is_ipv6() {
            sockopt::set_ipv6_v6only(&fd, true)?;
        }
        sockopt::set_tcp_nodelay(&fd, true)?; // accepted sockets inherit it
    }
    with_addr(at, |a| bind(&fd, a))?;
    listen(&fd, backlog)?;
    Ok(fd)
}

/// A socket that connects and waits until it is.
pub fn connect_now(to: &Addr) -> rustix::io::Result<OwnedFd> {
    let fd = prepare(to, &ConnectOpts::default(), false)?;
    with_addr(to, |a| connect(&fd, a)).map(|()| fd)
}

/// A socket whose attempt to connect was refused within the call, and which can make another one: half of what an attempt
/// costs is to open a socket and to close it.
#[derive(Debug, Default)]
pub struct Spare(Option<((AddressFamily, bool), OwnedFd)>);

impl Spare {
    /// Nothing is kept beyond a turn.
    pub fn close(&mut self) {
        self.0 = None;
    }
    /// A non-blocking socket that connects: done already or under way.
    pub fn connecting(&mut self, to: &Addr, o: &ConnectOpts) -> rustix::io::Result<OwnedFd> {
        let plain = o.bind.is_none() && !o.linger0 && matches!(to, Addr::Ip(_));
        let like = (family(to), o.error_queue);
        let fd = match self.0.take() {
            Some((of, fd)) if plain && of == like => fd,
            _ => prepare(to, o, true)?,
        };
        let mut done = with_addr(to, |a| connect(&fd, a));
        if done == Err(Errno::INPROGRESS) {
            // On this machine the answer is there when the call returns. A second call takes it, and makes the socket
            // usable again if it is a refusal.
            done = with_addr(to, |a| connect(&fd, a));
        }
        match done {
            Ok(()) | Err(Errno::INPROGRESS | Errno::AGAIN | Errno::ALREADY | Errno::ISCONN) => Ok(fd),
            Err(e) => {
                self.0 = (plain && e == Errno::CONNREFUSED).then_some((like, fd));
                Err(e)
            }
        }
    }
}

/// A socket that is ready to connect.
pub fn prepare(to: &Addr, o: &ConnectOpts, nonblocking: bool) -> rustix::io::Result<OwnedFd> {
    let fd = open(to, SocketType::STREAM, nonblocking)?;
    if o.linger0 {
        reset_on_close(&fd);
    }
    if o.error_queue {
        icmp::keep(&fd, to)?;
    }
    if let Some(from) = &o.bind {
        with_addr(from, |a| bind(&fd, a))?;
    }
    Ok(fd)
}

/// A datagram socket.
pub fn datagram(at: Option<&Addr>, to: Option<&Addr>, nonblocking: bool) -> rustix::io::Result<OwnedFd> {
    let any = Addr::Ip(SocketAddr::from(([0, 0, 0, 0], 0)));
    let fd = open(at.or(to).unwrap_or(&any), SocketType::DGRAM, nonblocking)?;
    if let Some(at) = at {
        with_addr(at, |a| bind(&fd, a))?;
    }
    if let Some(to) = to {
        with_addr(to, |a| connect(&fd, a))?;
    }
    Ok(fd)
}

/// A socket for the packets of a protocol above IP.
pub fn raw(at: IpAddr, protocol: u8, nonblocking: bool) -> rustix::io::Result<OwnedFd> {
    let at = Addr::Ip(SocketAddr::new(at, 0));
    let nonblock = if nonblocking { SocketFlags::NONBLOCK } else { SocketFlags::empty() };
    let protocol = NonZeroU32::new(protocol.into()).map(Protocol::from_raw);
    let fd = socket_with(family(&at), SocketType::RAW, SocketFlags::CLOEXEC | nonblock, protocol)?;
    sockopt::set_socket_recv_buffer_size(&fd, RAW_BUFFER)?;
    with_addr(&at, |a| bind(&fd, a))?;
    Ok(fd)
}

/// Closing will send RST instead of FIN.
pub fn reset_on_close(fd: impl AsFd) {
    let _ = sockopt::set_socket_linger(fd, Some(std::time::Duration::ZERO)); // a closed peer needs none
}

/// The peer takes nothing more. Closing will drop what it has not taken: else the kernel would keep that for minutes.
/// A peer that has taken all sees FIN.
#[allow(unsafe_code)]
pub fn give_up(fd: &OwnedFd) {
    let mut left: libc::c_int = 0;
    // SAFETY: SIOCOUTQ writes one int, and `left` is one.
    let known = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut left) };
    if known == 0 && left > 0 {
        reset_on_close(fd);
    }
}

/// Who is at the other end of an accepted socket; an error if that has gone already.
pub fn peer(fd: &OwnedFd) -> rustix::io::Result<Peer> {
    Ok(Peer { remote: addr(getpeername(fd)?), local: None, fd: fd.as_raw_fd() as u32 })
}

/// Why an attempt to connect has failed: what ICMP says if it was asked for, else what the kernel makes of it.
pub fn refusal(fd: &OwnedFd, e: Errno) -> Reason {
    icmp::take(fd).unwrap_or_else(|| reason(e))
}

/// Who is at either end of a socket that has just connected; it is set to send at once. An error if it is connected to itself: on one's own host TCP joins a
/// socket to itself when both ports coincide.
pub fn connected_peer(fd: &OwnedFd) -> rustix::io::Result<Peer> {
    // Who is not connected any more was reset in this moment.
    let remote = getpeername(fd).map_err(|e| if e == Errno::NOTCONN { Errno::CONNRESET } else { e })?;
    let (remote, local) = (addr(remote), local(fd));
    if remote == local && matches!(local, Addr::Ip(_)) {
        return Err(Errno::CONNREFUSED);
    }
    if matches!(local, Addr::Ip(_)) {
        sockopt::set_tcp_nodelay(fd, true)?; // only now: most of many attempts may fail
    }
    Ok(Peer { remote, local: Some(local), fd: fd.as_raw_fd() as u32 })
}

/// Where a socket is bound.
pub fn local(fd: &OwnedFd) -> Addr {
    addr(getsockname(fd).ok())
}

/// What the kernel knows of a TCP connection: smoothed round trip time in microseconds, and a listener's queue.
pub fn tcp_info(fd: &OwnedFd) -> Option<(u32, u32)> {
    let mut info = [0u8; 104];
    let n = read_tcp_info(fd, &mut info)?;
    let word = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
    // struct tcp_info: 8 one-byte fields, then u32s; unacked is the 5th (a listener's accept queue), rtt the 16th.
    if n >= 72 { Some((word(8 + 15 * 4)?, word(8 + 4 * 4)?)) } else { None }
}

#[allow(unsafe_code)]
fn read_tcp_info(fd: &OwnedFd, info: &mut [u8; 104]) -> Option<usize> {
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: `info` is writable for `len` bytes, and the kernel writes at most that and says how many.
    let r = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut len)
    };
    (r == 0).then_some(len as usize)
}

/// How many bytes a socket would take at least, its overhead counted; 0 if that is not known.
#[allow(unsafe_code)]
pub fn send_room(fd: BorrowedFd<'_>) -> usize {
    let mut info = [0_u32; MEMINFO];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `info`, which has so many and for which all bits are a value.
    let r = unsafe {
        let to = (&raw mut info).cast();
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, to, &raw mut len)
    };
    let [_, _, _, most, _, queued, ..] = info;
    if r == 0 { most.saturating_sub(queued) as usize } else { 0 }
}

/// Numbers of `SO_MEMINFO`; the fourth is the limit of what is to be sent, the sixth what waits for it or is not acknowledged.
const MEMINFO: usize = 9;
