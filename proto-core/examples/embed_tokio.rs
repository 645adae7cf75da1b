//! The same machine in a tokio runtime of your own: only the reads and writes have changed.
//!
//! `cargo run -p proto-core --example embed_tokio -- 9000`, then `nc localhost 9000`.
use proto_core::{Instant, Machine, Rx, Step, Tx, line};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn serve(mut socket: TcpStream) -> std::io::Result<()> {
    let mut machine = line::Lines::new(line::Limits::default());
    let mut tx = Tx::default();
    let mut inbox = Vec::new();
    loop {
        let n = socket.read_buf(&mut inbox).await?;
        let total = inbox.len();
        let mut rx = Rx::new(&mut inbox, n == 0);
        let open = loop {
            match machine.poll(Instant::default(), &mut rx, &mut tx) {
                Ok(Step::Event(line::Event::Line(text) | line::Event::TooLong(text))) => {
                    text.make_ascii_uppercase();
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
            let n = socket.write(tx.front()).await?;
            tx.consume(n, None);
        }
        if !open {
            return Ok(());
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|p| p.parse().ok()).unwrap_or(9000);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(serve(socket));
    }
}
