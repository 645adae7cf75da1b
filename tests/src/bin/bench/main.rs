//! Cost per CPU-second, side by side: servers in turns under one closed-loop load, each on a core of its own.
//!
//! ```text
//! cargo run --release -p tests --bin bench -- echo --conns 64,500,1000
//! cargo run --release -p tests --bin bench -- idle --conns 10000
//! cargo run --release -p tests --bin bench -- http --size 100,10000 --conns 64,1000
//! cargo run --release -p tests --bin bench -- tls --what handshakes,requests,bulk,idle
//! cargo run --release -p tests --bin bench -- relay --what short,messages,bulk
//! cargo run --release -p tests --bin bench -- scan
//! cargo run --release -p tests --bin bench -- dns
//! ```
#![allow(clippy::print_stdout)]
mod dns;
mod dns_parse;
mod http;
mod load;
mod relay;
mod scan;
mod server;
mod tls;
mod yardstick;

use bytes::Bytes;
use clap::{Args, Parser, Subcommand};
use load::Work;
use server::Server;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tests::process::tool;

/// Measures servers side by side: work per CPU-second of the server process, and memory.
#[derive(Parser)]
struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Messages echoed per server-CPU-second.
    Echo(Echo),
    /// Memory and wake-ups of connections that have echoed once and wait.
    Idle(Idle),
    /// Answers of HTTP/1.1 per server-CPU-second, and memory per connection.
    Http(http::Http),
    /// Proxies: short connections, small messages and bulk per CPU-second.
    Relay(relay::Relay),
    /// Port scanners: all ports of a loopback address per CPU-second.
    Scan(scan::Scan),
    /// DNS: reading a reply, one question per process, many from a file.
    Dns(dns::Dns),
    /// TLS: handshakes, small answers and bulk per server-CPU-second, and memory.
    Tls(tls::Tls),
    /// Runs the yardstick tokio-rustls.
    #[command(hide = true)]
    ServeTls { port: u16, cert: std::path::PathBuf, key: std::path::PathBuf },
    /// Runs a yardstick: bare-epoll, tokio, bare-http or hyper.
    #[command(hide = true)]
    Serve { name: String, port: u16 },
}

#[derive(Args)]
struct Candidates {
    /// Which of the built-in ones to run: bare-epoll, tokio, epoll, io_uring, poll, select, async
    #[arg(long, value_delimiter = ',', default_value = "bare-epoll,tokio,epoll,io_uring")]
    only: Vec<String>,
    /// Another server to compare with: NAME=COMMAND, {port} stands for the port
    #[arg(long, value_name = "NAME=COMMAND")]
    peer: Vec<String>,
}

#[derive(Args)]
struct Echo {
    #[command(flatten)]
    candidates: Candidates,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_value = "64,500,1000")]
    conns: Vec<usize>,
    /// Bytes of a message
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Messages under way on each connection
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Rounds; each visits all candidates in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
}

#[derive(Args)]
struct Idle {
    #[command(flatten)]
    candidates: Candidates,
    /// Connections
    #[arg(long, default_value_t = 10_000)]
    conns: usize,
}

/// (name, command)
type Candidate = (String, String);

impl Candidates {
    fn all(&self) -> io::Result<Vec<Candidate>> {
        let own = std::env::current_exe()?.display().to_string();
        let echo = tool("epoll_echo_server").display().to_string();
        let builtin = |name: &String| match name.as_str() {
            y if yardstick::all().contains_key(y) => (name.clone(), format!("{own} serve {y} {{port}}")),
            driver => (name.clone(), format!("{echo} {{port}} --driver {driver} -q")),
        };
        let mut all: Vec<Candidate> = self.only.iter().filter(|name| !name.is_empty()).map(builtin).collect();
        for peer in &self.peer {
            let (name, command) = peer.split_once('=').ok_or_else(|| io::Error::other("--peer wants NAME=COMMAND"))?;
            all.push((name.into(), command.into()));
        }
        Ok(all)
    }
}

/// Answers per second of the server's CPU time.
fn measure(command: &str, work: &Work, secs: f64) -> io::Result<f64> {
    let server = Server::start(command, Some(0))?;
    let load = load::start(server.at, work.clone(), Some(1));
    settle(&load, work)?;
    let (cpu, answers) = (server.cpu()?, load.gauge.answers.load(Ordering::Relaxed));
    std::thread::sleep(Duration::from_secs_f64(secs));
    let (cpu, answers) = (server.cpu()? - cpu, load.gauge.answers.load(Ordering::Relaxed) - answers);
    if !load.stop() {
        return Err(io::Error::other(format!("'{command}' ended a connection")));
    }
    Ok(answers as f64 / cpu.as_secs_f64().max(1e-9))
}

/// Waits until all connections are open, and half a second more for the server to be warm.
fn settle(load: &load::Running, work: &Work) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    while load.gauge.open.load(Ordering::Relaxed) < work.conns as u64 {
        if load.ended() || Instant::now() > end {
            return Err(io::Error::other("the connections could not be opened"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn echo(args: &Echo) -> io::Result<()> {
    let all = args.candidates.all()?;
    let mut table: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
    for &conns in &args.conns {
        let request = Bytes::from(vec![b'm'; args.size]);
        let work = Work { request, answer: args.size, depth: args.depth, conns };
        let mut rounds = vec![Vec::new(); all.len()];
        for _ in 0..args.rounds.max(1) {
            for ((_, command), seen) in all.iter().zip(&mut rounds) {
                seen.push(measure(command, &work, args.secs)?);
            }
        }
        table.iter_mut().zip(&mut rounds).for_each(|(row, seen)| row.push(median(seen)));
    }
    println!("Messages of {} bytes per server-CPU-second, {} under way per connection:\n", args.size, args.depth);
    print_table(&args.conns, &all, &table);
    Ok(())
}

/// Ratios are to the first candidate.
fn print_table(conns: &[usize], all: &[Candidate], table: &[Vec<f64>]) {
    let cells = |f: &dyn Fn(usize) -> String| (0..conns.len()).map(|i| format!(" {} |", f(i))).collect::<String>();
    println!("| connections |{}", cells(&|i| conns[i].to_string()));
    println!("|---|{}", "---|".repeat(conns.len()));
    for ((name, _), row) in all.iter().zip(table) {
        let ratio = |i: usize| row[i] / table[0][i].max(1e-9);
        println!("| {name} |{}", cells(&|i| format!("{:.0}k ({:.3})", row[i] / 1000.0, ratio(i))));
    }
}

fn idle(args: &Idle) -> io::Result<()> {
    println!("{} connections that have echoed 64 bytes and wait:\n", args.conns);
    println!("| server | bytes of memory each | waits in 3 s |\n|---|---|---|");
    for (name, command) in args.candidates.all()? {
        let server = Server::start(&command, None)?;
        std::thread::sleep(Duration::from_millis(300));
        let before = server.memory()?;
        let quiet = open_and_echo(&server, args.conns)?;
        std::thread::sleep(Duration::from_millis(500));
        let (memory, waits) = (server.memory()?, server.waits()?);
        std::thread::sleep(Duration::from_secs(3));
        let each = memory.saturating_sub(before) / args.conns.max(1) as u64;
        println!("| {name} | {each} | {} |", server.waits()? - waits);
        drop(quiet);
    }
    Ok(())
}

fn open_and_echo(server: &Server, conns: usize) -> io::Result<Vec<std::net::TcpStream>> {
    use std::io::{Read, Write};
    let mut all = Vec::new();
    for _ in 0..conns {
        all.push(std::net::TcpStream::connect(server.at)?);
    }
    for s in &mut all {
        s.write_all(&[b'i'; 64])?;
    }
    for s in &mut all {
        s.read_exact(&mut [0; 64])?;
    }
    Ok(all)
}

fn main() -> io::Result<()> {
    drivers::listen::raise_descriptors();
    match Bench::parse().what {
        What::Echo(args) => echo(&args),
        What::Idle(args) => idle(&args),
        What::Relay(args) => relay::run(&args),
        What::Scan(args) => scan::run(&args),
        What::Dns(args) => dns::run(&args),
        What::Http(args) => http::run(&args),
        What::Tls(args) => tls::run(&args),
        What::ServeTls { port, cert, key } => tls::serve(port, &cert, &key),
        What::Serve { name, port } => match yardstick::all().get(name.as_str()) {
            Some(run) => run(port),
            None => Err(io::Error::other(format!("no yardstick '{name}'"))),
        },
    }
}
