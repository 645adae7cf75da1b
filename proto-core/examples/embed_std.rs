//! A machine on plain `std::net`, without a driver: a server that shouts every line back.
//!
//! `cargo run -p proto-core --example embed_std -- 9000`, then `nc localhost 9000`.
use proto_core::{Instant, Machine, Rx, Step, Tx, line};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Serves one connection: the whole glue between a socket and a machine.
fn serve(mut socket: TcpStream) -> std::io::Result<()> {
    let mut machine = line::Lines::new(line::Limits::default());
    let mut tx = Tx::default();
    let mut inbox = Vec::new(); // what the machine has not understood yet
    let mut buffer = [0; 4096];
    loop {
        let n = socket.read(&mut buffer)?;
        inbox.extend_from_slice(&buffer[..n]);
        let total = inbox.len();
        let mut rx = Rx::new(&mut inbox, n == 0);
        let open = loop {
            match machine.poll(Instant::default(), &mut rx, &mut tx) {
                Ok(Step::Event(line::Event::Line(text) | line::Event::TooLong(text))) => {
                    text.make_ascii_uppercase(); // in place: the input is lent mutably
                    tx.put(text);
                    tx.put(b"\n");
                }
                Ok(Step::NeedMore | Step::Paused) => break true,
                Ok(Step::Closed) | Err(_) => break false,
            }
        };
        let used = total - rx.len();
        inbox.drain(..used);
        while !tx.front().is_empty() {
            let n = socket.write(tx.front())?;
            tx.consume(n, None);
        }
        if !open {
            return Ok(());
        }
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|p| p.parse().ok()).unwrap_or(9000);
    for socket in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let socket = socket?;
        std::thread::spawn(move || serve(socket));
    }
    Ok(())
}
