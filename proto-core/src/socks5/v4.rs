//! SOCKS 4 and 4a, the proxy's side: one message asks, and nobody can log in.
//!
//! ```text
//! client                                            proxy
//! 04 command port IPv4 user 00             ->
//! 04 command port 0.0.0.x user 00 name 00  ->                  x not 0: the proxy resolves the name (4a)
//!                                          <-       00 5A port IPv4 | 00 5B 0000 00000000
//! ```
//! There is no RFC; the notes of its authors are <https://www.openssh.org/txt/socks4.protocol> and
//! <https://www.openssh.org/txt/socks4a.protocol>. The user is for `identd`, which nobody runs: it is skipped.
use super::{Address, Command, Host, Reply, is_name};
use crate::Tx;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The first byte.
pub const VERSION: u8 = 4;
/// For faults.
pub const RULE: &str = "SOCKS4";
/// Bytes in front of the user.
const FIXED: usize = 8;
/// Bytes of a user, and of a name.
const LONGEST: usize = 255;

/// Bytes up to the 00 and with it; `None` while it is not there.
fn text(b: &[u8], what: &'static str) -> Result<Option<usize>, &'static str> {
    match b.iter().take(LONGEST + 1).position(|b| *b == 0) {
        Some(n) => Ok(Some(n + 1)),
        None if b.len() > LONGEST => Err(what),
        None => Ok(None),
    }
}

fn names_its_host(ip: [u8; 4]) -> bool {
    matches!(ip, [0, 0, 0, x] if x != 0)
}

/// Bytes of the request at the front of `b`, `None` while that is not to be told.
pub fn length(b: &[u8]) -> Result<Option<usize>, &'static str> {
    if b.get(1).is_some_and(|code| !matches!(code, 1 | 2)) {
        return Err("unknown command");
    }
    let Some(([_, _, _, _, ip @ ..], rest)) = b.split_first_chunk::<FIXED>() else { return Ok(None) };
    let Some(user) = text(rest, "a user name of more than 255 bytes")? else { return Ok(None) };
    if !names_its_host(*ip) {
        return Ok(Some(FIXED + user));
    }
    let name = text(rest.get(user..).unwrap_or_default(), "a domain name of more than 255 bytes")?;
    Ok(name.map(|n| FIXED + user + n))
}

/// The request that `b` is, all of it.
pub fn read(b: &[u8]) -> Result<(Command, Address<'_>), &'static str> {
    let Some(([_, code, high, low, ip @ ..], rest)) = b.split_first_chunk::<FIXED>() else { return Err("too short") };
    let command = Command::of(*code).ok_or("unknown command")?;
    let port = u16::from_be_bytes([*high, *low]);
    if port == 0 && command == Command::Connect {
        return Err("port 0");
    }
    let host = if names_its_host(*ip) {
        let name = rest.strip_suffix(&[0]).unwrap_or_default().rsplit(|b| *b == 0).next().unwrap_or_default();
        let name = core::str::from_utf8(name).ok().filter(|n| is_name(n.as_bytes()));
        Host::Name(name.ok_or("not a domain name")?)
    } else {
        Host::Ip(Ipv4Addr::from(*ip).into())
    };
    Ok((command, Address { host, port }))
}

/// An answer: yes, with our address as far as four bytes can say it, or no, whatever the reason.
pub fn put_reply(tx: &mut Tx, reply: Reply, bound: SocketAddr) {
    let code = if reply == Reply::Succeeded { 0x5a } else { 0x5b };
    tx.put(&[0, code]);
    tx.put(&bound.port().to_be_bytes());
    tx.put(&match bound.ip().to_canonical() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => [0; 4],
    });
}
