//! Yardsticks: the barest echo loops, with no protocol and no contract around them.
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    rustix::net::listen(&listener, 4096)?;
    Ok(listener)
}

/// Edge-triggered epoll: one receive and one send per message. Output that a socket does not take is waited for.
pub fn bare_epoll(port: u16) -> io::Result<()> {
    const LISTENER: u64 = u64::MAX;
    let listener = listen(port)?;
    let ep = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&ep, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
    let mut conns: Vec<Option<(TcpStream, Vec<u8>)>> = Vec::new();
    let mut buf = vec![0; 64 << 10];
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&ep, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let at = event.data.u64();
            if at == LISTENER {
                while let Ok((s, _)) = listener.accept() {
                    s.set_nonblocking(true)?;
                    s.set_nodelay(true)?;
                    epoll::add(&ep, &s, EventData::new_u64(conns.len() as u64), all)?;
                    conns.push(Some((s, Vec::new())));
                }
                continue;
            }
            let Some(Some((s, pending))) = conns.get_mut(at as usize) else { continue };
            let flags = event.flags; // the struct is packed
            if flags == EventFlags::OUT && pending.is_empty() {
                continue;
            }
            if echo(s, pending, &mut buf).is_err() {
                conns[at as usize] = None;
            }
        }
    }
}

/// Until the socket is empty or full. An error ends the connection.
fn echo(s: &TcpStream, pending: &mut Vec<u8>, buf: &mut [u8]) -> Result<(), Errno> {
    loop {
        if !pending.is_empty() {
            match send(s, pending, SendFlags::NOSIGNAL) {
                Ok(n) => drop(pending.drain(..n)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(e) => return Err(e),
            }
            continue;
        }
        let n = match recv(s, &mut *buf, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(Errno::PIPE),
            Ok((_, n)) => n,
            Err(Errno::AGAIN) => return Ok(()),
            Err(e) => return Err(e),
        };
        match send(s, &buf[..n], SendFlags::NOSIGNAL) {
            Ok(sent) if sent == n && n < buf.len() => return Ok(()), // a short read has emptied it
            Ok(sent) => pending.extend_from_slice(&buf[sent..n]),
            Err(Errno::AGAIN) => pending.extend_from_slice(&buf[..n]),
            Err(e) => return Err(e),
        }
    }
}

/// tokio's own echo, on one thread.
pub fn tokio_echo(port: u16) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listen(port)?)?;
        loop {
            let (mut s, _) = listener.accept().await?;
            s.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut buf = vec![0; 16 << 10];
                while let Ok(n @ 1..) = s.read(&mut buf).await {
                    if s.write_all(&buf[..n]).await.is_err() {
                        break;
                    }
                }
            });
        }
    })
}

/// Yardsticks by name.
pub fn all() -> BTreeMap<&'static str, fn(u16) -> io::Result<()>> {
    BTreeMap::from([("bare-epoll", bare_epoll as fn(u16) -> _), ("tokio", tokio_echo)])
}
