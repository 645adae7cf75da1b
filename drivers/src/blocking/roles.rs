//! What the threads do. Each begins and ends with the lock, and gives it up around every call that may wait.
use super::Locked;
use super::net::Obstacle;
use super::socket::{Socket, Stop};
use super::threads::unlocked;
use crate::host::CHUNK;
use crate::sock;
use proto_core::{App, COPY_MAX, Input, Reason, Token};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, acceptfrom_with, recv, recvfrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Waits until input of the token is wanted; false if there is none to come any more.
fn until_wanted<A: App + 'static>(s: &mut Locked<'_, A>, t: Token, sock: &Socket) -> bool {
    loop {
        if s.conns.get(t).is_none_or(|io| io.eof) {
            return false;
        }
        if s.wants(t) {
            return true;
        }
        // Its turn is over before it waits, and it gets in line again when it was woken.
        let turns = s.turns.clone();
        turns.give();
        sock.wait_at_gate(s);
        parking_lot::MutexGuard::unlocked(s, || turns.take());
    }
}

/// Receives a connection's input.
///
/// It waits with a small buffer, so that 10,000 idle connections do not hold 64 KiB each, and goes on with a large one
/// after a read that filled it. What comes while input is switched off stays here until it is wanted: at most one
/// buffer.
pub fn reader<A: App + 'static>(s: &mut Locked<'_, A>, t: Token, sock: &Socket) {
    let (mut small, mut large) = (vec![0; COPY_MAX], Vec::new());
    let mut bulk = false;
    while until_wanted(s, t, sock) {
        if bulk && large.is_empty() {
            large = s.host.table.pool.chunk(); // the first one, or the app has kept it
        }
        let buf = if bulk { &mut large } else { &mut small };
        let got = unlocked(s, || recv(&sock.fd, &mut buf[..], RecvFlags::empty()));
        s.host.counters.syscalls += 1;
        match got {
            Err(Errno::INTR) => continue,
            Err(e) => s.die(t, sock::reason(e)),
            Ok((n, _)) => {
                if !until_wanted(s, t, sock) {
                    break;
                }
                if n == 0 {
                    s.at_end(t);
                } else {
                    s.received(t, buf, n);
                }
                bulk = n >= COPY_MAX;
            }
        }
        if !bulk && !large.is_empty() {
            s.host.table.pool.put_chunk(std::mem::take(&mut large));
        }
        s.finish();
    }
    s.host.table.pool.put_chunk(large);
}

/// Lives while an output waits for its socket or for a file.
pub fn writer<A: App + 'static>(s: &mut Locked<'_, A>, t: Token, sock: &Socket, stop: &Stop, first: Obstacle) {
    let mut next = Some(first);
    while let Some(obstacle) = next {
        let read = unlocked(s, || overcome(&obstacle, sock, stop));
        if s.conns.get(t).is_none() {
            return;
        }
        if let Some(read) = read {
            s.supplied(t, read);
        }
        next = s.push(t);
        s.finish();
        if next.is_none() {
            next = s.push(t); // what the app has put in the meantime, being told that there is room
            if next.is_none() {
                s.dismiss_writer(t);
            }
            s.finish();
        }
    }
}

fn overcome(obstacle: &Obstacle, sock: &Socket, stop: &Stop) -> Option<std::io::Result<Vec<u8>>> {
    match obstacle {
        Obstacle::Full => {
            stop.wait(sock, PollFlags::OUT);
            None
        }
        Obstacle::File(file, offset, len) => {
            let mut v = vec![0; CHUNK.min(*len)];
            Some(loop {
                match file.read_at(&mut v, *offset) {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => break Err(e),
                    Ok(n) => {
                        v.truncate(n);
                        break Ok(v);
                    }
                }
            })
        }
    }
}

/// Accepts a listener's connections while they are wanted; those that are not wait in the kernel.
pub fn acceptor<A: App + 'static>(s: &mut Locked<'_, A>, l: Token, sock: Arc<Socket>, stop: &Stop) {
    while until_wanted(s, l, &sock) {
        s.host.counters.syscalls += 1;
        match acceptfrom_with(&sock.fd, SocketFlags::CLOEXEC) {
            Ok((fd, remote)) => s.accepted(l, fd, remote),
            Err(Errno::AGAIN) => {
                unlocked(s, || stop.wait(&sock, PollFlags::IN));
                continue;
            }
            Err(Errno::INTR) => continue,
            Err(e @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                s.host.accept_failed(l, sock::reason(e));
            }
            Err(_) => s.host.counters.accept_errors += 1, // ECONNABORTED and its like: the next one
        }
        s.finish();
        unlocked(s, || ()); // a burst of connections does not keep others out
    }
    s.left(l, sock);
}

/// Waits for a connection attempt, then is the connection's reader.
pub fn connector<A: App + 'static>(s: &mut Locked<'_, A>, t: Token, sock: &Socket, stop: Stop) {
    unlocked(s, || stop.wait(sock, PollFlags::OUT));
    drop(stop);
    let connected = s.connected(t);
    s.finish();
    if connected {
        reader(s, t, sock);
    }
}

/// Receives datagrams.
pub fn datagrams<A: App + 'static>(s: &mut Locked<'_, A>, t: Token, sock: Arc<Socket>) {
    let mut buf = vec![0; CHUNK];
    while until_wanted(s, t, &sock) {
        let got = unlocked(s, || recvfrom(&sock.fd, &mut buf[..], RecvFlags::empty()));
        s.host.counters.syscalls += 1;
        if !until_wanted(s, t, &sock) {
            break;
        }
        match got {
            Ok((n, _, from)) => {
                s.host.counters.bytes_in += n as u64;
                let data = buf.get_mut(..n).unwrap_or_default();
                s.tell(Input::Datagram { socket: t, from: sock::addr(from), data });
            }
            Err(Errno::INTR) => continue,
            Err(e) => {
                let why = if e == Errno::CONNREFUSED { Reason::PortUnreachable } else { sock::reason(e) };
                s.tell(Input::Unreachable { socket: t, why });
            }
        }
        s.finish();
    }
    s.left(t, sock);
}
