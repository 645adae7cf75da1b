//! The HTTP/1.1 machine on plain `std::net`, without a driver: answers every request with what it was told.
//!
//! `cargo run -p proto-core --example http1_server -- 8080`, then `curl -d hello http://localhost:8080/`.
use core::time::Duration;
use proto_core::http1::{Config, Length, Server, server};
use proto_core::{Instant, Machine, Misuse, Rx, Step, Tx};
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant as Clock;

/// What an event asks of us; the answer streams while the request's body still comes.
fn answer(http: &mut Server, tx: &mut Tx, event: server::Event<'_>) -> Result<(), Misuse> {
    match event {
        server::Event::Request(request) => {
            http.continue_100(tx)?;
            let head = server::Response::new(200).typed("text/plain");
            let text = format!("{} {}\n", request.method_name(), request.target());
            if !request.has_body() {
                return http.respond_whole(tx, &head, text.as_bytes());
            }
            http.respond(tx, &head, Length::Chunked)?;
            http.put(tx, text.as_bytes())
        }
        server::Event::Body(bytes) => http.put(tx, bytes),
        server::Event::End => http.finish(tx, &[]),
        server::Event::Trailers(_) | server::Event::Upgraded => Ok(()),
    }
}

/// Serves one connection: the whole glue between a socket and the machine.
fn serve(mut socket: TcpStream) -> std::io::Result<()> {
    let began = Clock::now();
    let now = || Instant::from_nanos(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let (mut http, mut tx) = (Server::new(Config::SERVER), Tx::default());
    let (mut inbox, mut buffer) = (Vec::new(), [0; 16 << 10]);
    http.fill(now(), &mut tx); // its clock starts here
    loop {
        // At most until the machine wants to be woken.
        let wait = http.deadline().map(|d| d.at.since(now()).max(Duration::from_millis(1)));
        socket.set_read_timeout(wait)?;
        let n = match socket.read(&mut buffer) {
            Ok(n) => Some(n),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(e) => return Err(e),
        };
        inbox.extend_from_slice(buffer.get(..n.unwrap_or(0)).unwrap_or_default());
        let due = http.deadline().is_some_and(|d| d.at <= now());
        let mut open = !due || http.on_deadline(now(), &mut tx).is_ok();
        let (total, mut rx) = (inbox.len(), Rx::new(&mut inbox, n == Some(0)));
        while open {
            match http.poll(now(), &mut rx, &mut tx) {
                Ok(Step::Event(event)) => answer(&mut http, &mut tx, event).map_err(Error::other)?,
                Ok(Step::NeedMore) => break,
                Ok(Step::Paused) => send(&mut socket, &mut tx)?,
                Ok(Step::Closed) | Err(_) => open = false,
            }
        }
        let used = total - rx.len();
        inbox.drain(..used);
        send(&mut socket, &mut tx)?;
        if !open {
            return Ok(());
        }
    }
}

fn send(socket: &mut TcpStream, tx: &mut Tx) -> std::io::Result<()> {
    while !tx.front().is_empty() {
        let n = socket.write(tx.front())?;
        tx.consume(n, None);
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|p| p.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    for socket in listener.incoming() {
        let socket = socket?;
        std::thread::spawn(move || serve(socket));
    }
    Ok(())
}
