//! Start-up: binds listeners before the app runs, raises limits, names who is in the way.
use crate::sock;
use proto_core::Addr;
use rustix::fd::{FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket that listens.
#[derive(Debug)]
pub struct Bound {
    /// The part of the app its connections belong to.
    pub part: u8,
    /// Where, with the port that the kernel picked.
    pub at: Addr,
    pub(crate) fd: OwnedFd,
    backlog: i32,
    /// Sizes of the kernel's send and receive buffers, if they are not the system's.
    buffers: (Option<usize>, Option<usize>),
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {at}: {why}")]
pub struct Error {
    /// The address.
    pub at: Addr,
    /// What is in the way, and what to do about it.
    pub why: String,
}

/// How often a free port is looked for that both address families have.
const PAIR_TRIES: usize = 16;

impl Bound {
    /// Binds one address. `shared`: several loops will listen on it.
    pub fn new(at: &Addr, part: u8, backlog: i32, shared: bool) -> Result<Bound, Error> {
        match sock::listener(at, backlog, shared, true) {
            Ok(fd) => Ok(Bound { part, at: sock::local(&fd), fd, backlog, buffers: (None, None) }),
            Err(e) => Err(Error { at: at.clone(), why: why(at, e) }),
        }
    }
    /// The same address for one more loop; loops share a Unix socket itself.
    pub fn again(&self) -> Result<Bound, Error> {
        if matches!(self.at, Addr::Ip(_)) {
            let mut copy = Bound::new(&self.at, self.part, self.backlog, true)?;
            copy.set_buffers(self.buffers.0, self.buffers.1)?;
            return Ok(copy);
        }
        let copied = self.fd.try_clone();
        let fd = copied.map_err(|e| Error { at: self.at.clone(), why: e.to_string() })?;
        Ok(Bound { part: self.part, at: self.at.clone(), fd, backlog: self.backlog, buffers: self.buffers })
    }
    /// Sizes of the kernel's buffers of accepted connections, which inherit them; the kernel doubles them for its own use.
    pub fn set_buffers(&mut self, send: Option<usize>, receive: Option<usize>) -> Result<(), Error> {
        self.buffers = (send, receive);
        let set = send.map_or(Ok(()), |n| sockopt::set_socket_send_buffer_size(&self.fd, n));
        let set = set.and_then(|()| receive.map_or(Ok(()), |n| sockopt::set_socket_recv_buffer_size(&self.fd, n)));
        set.map_err(|e| Error { at: self.at.clone(), why: sock::reason(e).to_string() })
    }
    /// A Unix socket; what a dead server left at the path is removed.
    pub fn unix(path: &str, part: u8, backlog: i32) -> Result<Bound, Error> {
        let at = Addr::Unix(path.into());
        let bound = Bound::new(&at, part, backlog, false);
        if bound.is_ok() || sock::connect_now(&at).is_ok() || !is_socket(path) {
            return bound;
        }
        let _ = std::fs::remove_file(path); // if it cannot be removed, binding says why
        Bound::new(&at, part, backlog, false)
    }
    /// A descriptor that came open from the parent and listens already.
    #[allow(unsafe_code)]
    pub fn inherited(n: u32, part: u8, backlog: i32) -> Result<Bound, Error> {
        let at = Addr::Unix(format!("fd:{n}").into());
        let bad = |why: &str| Error { at: at.clone(), why: why.into() };
        let raw = i32::try_from(n).map_err(|_| bad("no such descriptor"))?;
        if raw < 3 || !std::path::Path::new(&format!("/proc/self/fd/{n}")).exists() {
            return Err(bad("no such descriptor"));
        }
        // SAFETY: it is open, not a standard stream, and this start-up code runs before anything else opens descriptors,
        // so nobody else in the process owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        if !sockopt::socket_acceptconn(&fd).unwrap_or(false) {
            return Err(bad("not a listening socket"));
        }
        let _ = rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC);
        let nonblocking = rustix::io::ioctl_fionbio(&fd, true);
        nonblocking.map_err(|e| bad(&e.to_string()))?;
        Ok(Bound { part, at: sock::local(&fd), fd, backlog, buffers: (None, None) })
    }
    /// 127.0.0.1 and ::1 with the same port; without ::1 just the first, and the reason.
    pub fn local(port: u16, part: u8, backlog: i32, shared: bool) -> Result<(Vec<Bound>, Option<String>), Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let v4 = Bound::new(&ip(Ipv4Addr::LOCALHOST.into(), port), part, backlog, shared)?;
            let picked = match v4.at {
                Addr::Ip(a) => a.port(),
                Addr::Unix(_) => port,
            };
            let at = ip(Ipv6Addr::LOCALHOST.into(), picked);
            match sock::listener(&at, backlog, shared, true) {
                Ok(fd) => return Ok((vec![v4, Bound { part, at, fd, backlog, buffers: (None, None) }], None)),
                Err(Errno::ADDRINUSE) if port == 0 && tries < PAIR_TRIES => continue,
                Err(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) => {
                    return Ok((vec![v4], Some("this machine has no ::1, listening on IPv4 only".into())));
                }
                Err(e) => return Err(Error { why: why(&at, e), at }),
            }
        }
    }
    /// A Unix socket that only the user can connect to.
    pub fn control(path: &str, part: u8) -> Result<Bound, Error> {
        let old = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = Bound::unix(path, part, 16);
        rustix::process::umask(old);
        bound
    }
}

fn is_socket(path: &str) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

fn ip(ip: IpAddr, port: u16) -> Addr {
    Addr::Ip(SocketAddr::new(ip, port))
}

fn why(at: &Addr, e: Errno) -> String {
    match (e, at) {
        (Errno::ADDRINUSE, Addr::Ip(a)) => match port_owner(a.port()) {
            Some((pid, name)) => format!("address in use (pid {pid} '{name}')"),
            None => "address in use".into(),
        },
        (Errno::ACCESS | Errno::PERM, Addr::Ip(a)) if a.port() < 1024 => {
            "permission denied (ports below 1024 need CAP_NET_BIND_SERVICE or socket activation; or choose another \
             with --port)"
                .into()
        }
        _ => sock::reason(e).to_string(),
    }
}

/// Which process listens on a TCP port, if this user may know.
pub fn port_owner(port: u16) -> Option<(u32, String)> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"].iter().flat_map(|f| listening(f, port)).collect();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(fds) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        let holds = |link: std::path::PathBuf| {
            let target = std::fs::read_link(link).unwrap_or_default();
            inodes.iter().any(|i| target.to_string_lossy() == format!("socket:[{i}]"))
        };
        if fds.flatten().any(|fd| holds(fd.path())) {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_string()));
        }
    }
    None
}

/// The inodes of the sockets that listen on `port`.
fn listening(file: &str, port: u16) -> Vec<String> {
    let table = std::fs::read_to_string(file).unwrap_or_default();
    let of_line = |line: &str| {
        let f: Vec<&str> = line.split_whitespace().collect();
        let ours = f.get(1)?.ends_with(&format!(":{port:04X}")) && *f.get(3)? == "0A";
        ours.then(|| f.get(9).map(|s| s.to_string()))?
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

/// Gives a control socket one order and reads its answer to the end.
pub fn ask_control(path: &str, order: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut answer = String::new();
    let mut socket = std::os::unix::net::UnixStream::connect(path)?;
    writeln!(socket, "{order}")?;
    socket.shutdown(std::net::Shutdown::Write)?;
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Where control sockets are: `$XDG_RUNTIME_DIR`, or a folder of the user's own.
pub fn runtime_dir() -> std::io::Result<String> {
    use std::os::unix::fs::DirBuilderExt;
    if let Ok(dir) = std::env::var("XDG_RUNTIME_DIR")
        && std::path::Path::new(&dir).is_dir()
    {
        return Ok(dir);
    }
    let dir = format!("{}/drywire-{}", std::env::temp_dir().display(), rustix::process::getuid().as_raw());
    match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(dir),
    }
}

/// Raises the soft limit of open descriptors to the hard one; returns it.
pub fn raise_descriptors() -> usize {
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum }); // stays as it was
    getrlimit(Resource::Nofile).current.map_or(65_536 + 64, |n| n as usize)
}

/// Connections that fit into the descriptor limit: 64 are kept for other things, and 65,536 are enough.
pub fn descriptor_capacity() -> usize {
    let n = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |n| n as usize);
    n.saturating_sub(64).clamp(1, 65_536)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_inherit_the_buffers() {
        let mut bound = Bound::new(&ip(Ipv4Addr::LOCALHOST.into(), 0), 0, 8, true).expect("a port");
        let sizes = |bound: &Bound| {
            let _client = sock::connect_now(&bound.at).expect("it listens");
            rustix::io::ioctl_fionbio(&bound.fd, false).expect("a socket");
            let accepted = rustix::net::accept(&bound.fd).expect("a client");
            let get = |r: rustix::io::Result<usize>| r.expect("a socket");
            (get(sockopt::socket_send_buffer_size(&accepted)), get(sockopt::socket_recv_buffer_size(&accepted)))
        };
        let system = sizes(&bound);
        bound.set_buffers(Some(16 << 10), Some(24 << 10)).expect("a socket");
        // The kernel doubles what it is asked for.
        assert_eq!(sizes(&bound), (32 << 10, 48 << 10));
        assert_ne!(sizes(&bound), system);
        let copy = bound.again().expect("the same port");
        drop(bound);
        assert_eq!(sizes(&copy), (32 << 10, 48 << 10), "so do those of one more loop");
    }
}
