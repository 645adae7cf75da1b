//! Yardsticks: the barest loops, with no protocol and no contract around them, and what others build on.
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

/// Serves a connection until its socket is empty or full; bytes that it did not take stay in the vector. An error ends it.
type Serve = fn(&TcpStream, &mut Vec<u8>, &mut [u8]) -> Result<(), Errno>;

/// Edge-triggered epoll: one receive and one send per message. Output that a socket does not take is waited for.
fn bare(port: u16, serve: Serve) -> io::Result<()> {
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
            if serve(s, pending, &mut buf).is_err() {
                conns[at as usize] = None;
            }
        }
    }
}

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

/// What `bare-http` answers, whatever the request says.
const CANNED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\nConnection: keep-alive\r\n\r\n\
    ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// For loads that send one request at a time and wait for the answer.
fn canned(s: &TcpStream, _: &mut Vec<u8>, buf: &mut [u8]) -> Result<(), Errno> {
    match recv(s, &mut *buf, RecvFlags::empty()) {
        Ok((_, 0)) => return Err(Errno::PIPE),
        Ok((_, n)) if !buf[..n].ends_with(b"\r\n\r\n") => return Err(Errno::PROTO),
        Ok(_) => {}
        Err(Errno::AGAIN) => return Ok(()),
        Err(e) => return Err(e),
    }
    // A socket with one answer under way takes all of it.
    send(s, CANNED, SendFlags::NOSIGNAL).map(drop)
}

/// tokio's own echo, on one thread.
fn tokio_echo(port: u16) -> io::Result<()> {
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

/// hyper with 100 bytes from memory, on one thread.
fn hyper_http(port: u16) -> io::Result<()> {
    use http_body_util::Full;
    use hyper::{Request, Response, body::Bytes, body::Incoming, header, service::service_fn};
    async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
        Response::builder().header(header::CONTENT_TYPE, "text/plain").body(Full::new(Bytes::from_static(&[b'f'; 100])))
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listen(port)?)?;
        loop {
            let (s, _) = listener.accept().await?;
            s.set_nodelay(true)?;
            let io = hyper_util::rt::TokioIo::new(s);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(hello)));
        }
    })
}

/// Yardsticks by name.
pub fn all() -> BTreeMap<&'static str, fn(u16) -> io::Result<()>> {
    BTreeMap::from([
        ("bare-epoll", (|port| bare(port, echo)) as fn(u16) -> _),
        ("bare-http", |port| bare(port, canned)),
        ("tokio", tokio_echo),
        ("hyper", hyper_http),
    ])
}
