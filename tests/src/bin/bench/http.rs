//! Requests of HTTP/1.1 per server-CPU-second: one file from a folder, or one text from memory, and memory per connection.
use super::server::Server;
use super::{Candidate, load, measure, median, print_table};
use bytes::Bytes;
use clap::Args;
use load::Work;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::process::{have, tool};

/// A server that closes after so many requests would end the measurement.
const FOREVER: &str = "4000000000";

#[derive(Args)]
pub struct Http {
    /// Which to run: bare-http, hyper, coro, nginx, h2o, lighttpd, or a driver for httpserver
    #[arg(long, value_delimiter = ',', default_value = "nginx,h2o,lighttpd,bare-http,epoll,io_uring")]
    only: Vec<String>,
    /// Another server of the folder: NAME=COMMAND, {port} and {dir} stand for port and folder
    #[arg(long, value_name = "NAME=COMMAND")]
    peer: Vec<String>,
    /// Bytes of the file that is asked for
    #[arg(long, value_delimiter = ',', default_value = "100,10000")]
    size: Vec<usize>,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_value = "64,1000")]
    conns: Vec<usize>,
    /// Rounds; each visits all candidates in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
    /// Instead: memory of so many idle connections, and of so many heads that do not end
    #[arg(long, value_name = "CONNS")]
    memory: Option<usize>,
}

/// A folder with one file per size, and the configuration of the peers.
pub struct Site(PathBuf);

impl Site {
    pub fn new(sizes: &[usize]) -> io::Result<Site> {
        let site = Site(std::env::temp_dir().join(format!("drywire-bench-{}", std::process::id())));
        std::fs::create_dir_all(site.0.join("www"))?;
        for n in sizes {
            std::fs::write(site.0.join(format!("www/{n}.txt")), vec![b'f'; *n])?;
        }
        Ok(site)
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
    pub fn dir(&self) -> String {
        self.0.join("www").display().to_string()
    }
    /// The command of a candidate; `None` if the program is not here.
    fn command(&self, name: &str, own: &Path) -> io::Result<Option<String>> {
        let (dir, own) = (self.dir(), own.display());
        let http = tool("httpserver").display().to_string();
        Ok(match name {
            "bare-http" | "hyper" => Some(format!("{own} serve {name} {{port}}")),
            "coro" => {
                let coro = tool("coro_http_server").display().to_string();
                Some(format!("{coro} {{port}} -q --max-requests {FOREVER}"))
            }
            "nginx" => self.configured("nginx", "nginx -c", &nginx(&self.0))?,
            "h2o" => self.configured("h2o", "h2o -c", &h2o(&dir))?,
            "lighttpd" => self.configured("lighttpd", "lighttpd -D -f", &lighttpd(&dir))?,
            driver => Some(format!("{http} {{port}} -d {dir} --driver {driver} -q --max-requests {FOREVER}")),
        })
    }
    /// nginx over TLS, with `cert.pem` and `key.pem` of the folder.
    pub fn nginx_tls(&self) -> io::Result<Option<String>> {
        let at = self.0.display();
        let tls =
            format!(" ssl; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem; ssl_protocols TLSv1.3;");
        self.configured("nginx", "nginx -c", &nginx(&self.0).replace(" backlog=4096;", &format!(" backlog=4096{tls}")))
    }
    fn configured(&self, program: &str, command: &str, text: &str) -> io::Result<Option<String>> {
        if !have(program) {
            eprintln!("bench: {program} is not installed, so it is left out");
            return Ok(None);
        }
        let file = self.0.join(format!("{program}.conf"));
        std::fs::write(&file, text)?;
        // The port is known only when the server starts.
        let file = file.display();
        Ok(Some(format!("sh {}/run {file} {{port}} {command}", self.0.display())))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // in the way of nobody
    }
}

/// Puts the port into a copy of the configuration and runs the server with that.
pub const RUN: &str =
    "conf=$1 port=$2; shift 2; sed \"s/{port}/$port/\" \"$conf\" > \"$conf.$port\"; exec \"$@\" \"$conf.$port\"\n";

fn nginx(at: &Path) -> String {
    let at = at.display();
    format!(
        "daemon off; worker_processes 1; pid {at}/nginx.pid; error_log {at}/nginx.err warn;
events {{ worker_connections 16000; }}
http {{ access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; default_type text/plain;
 open_file_cache max=100 inactive=60s; open_file_cache_valid 60s;
 server {{ listen 127.0.0.1:{{port}} backlog=4096; root {at}/www; }}
 client_body_temp_path {at}/n1; proxy_temp_path {at}/n2; fastcgi_temp_path {at}/n3; uwsgi_temp_path {at}/n4; scgi_temp_path {at}/n5;
}}\n"
    )
}

fn h2o(dir: &str) -> String {
    format!(
        "num-threads: 1\nmax-connections: 16000\nhosts:\n  \"*\":\n    paths:\n      \"/\":\n        file.dir: {dir}\n\
         listen:\n  host: 127.0.0.1\n  port: {{port}}\n"
    )
}

fn lighttpd(dir: &str) -> String {
    format!(
        "server.port = {{port}}\nserver.bind = \"127.0.0.1\"\nserver.document-root = \"{dir}\"\nserver.max-fds = 16000\n\
         server.max-connections = 15000\nserver.max-keep-alive-requests = 1000000000\nserver.listen-backlog = 4096\n\
         mimetype.assign = (\".txt\" => \"text/plain\")\n"
    )
}

fn request(size: usize) -> Bytes {
    format!("GET /{size}.txt HTTP/1.1\r\nHost: localhost\r\n\r\n").into()
}

/// Bytes of one answer: those of all are equal, since a date has always the same length.
fn answer_len(at: std::net::SocketAddr, size: usize) -> io::Result<usize> {
    let mut s = TcpStream::connect(at)?;
    s.write_all(&request(size))?;
    s.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut got = Vec::new();
    let mut piece = [0; 65_536];
    loop {
        let n = s.read(&mut piece)?;
        got.extend_from_slice(&piece[..n]);
        let head = got.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        let text = String::from_utf8_lossy(&got).to_ascii_lowercase();
        let body = text.split("content-length:").nth(1).and_then(|t| t.lines().next()?.trim().parse::<usize>().ok());
        if let (Some(head), Some(body)) = (head, body)
            && text.starts_with("http/1.1 200")
            && got.len() == head + body
        {
            return Ok(got.len());
        }
        if n == 0 || head.is_some() && body.is_none() {
            return Err(io::Error::other(format!("not the answer we want: {text}")));
        }
    }
}

pub fn run(args: &Http) -> io::Result<()> {
    let site = Site::new(&args.size)?;
    std::fs::write(site.0.join("run"), RUN)?;
    let own = std::env::current_exe()?;
    let mut all: Vec<Candidate> = Vec::new();
    for name in args.only.iter().filter(|name| !name.is_empty()) {
        all.extend(site.command(name, &own)?.map(|command| (name.clone(), command)));
    }
    for peer in &args.peer {
        let (name, command) = peer.split_once('=').ok_or_else(|| io::Error::other("--peer wants NAME=COMMAND"))?;
        all.push((name.into(), command.replace("{dir}", &site.dir())));
    }
    match args.memory {
        Some(conns) => memory(&all, conns),
        None => args.size.iter().try_for_each(|size| speed(args, *size, &all)),
    }
}

fn speed(args: &Http, size: usize, all: &[Candidate]) -> io::Result<()> {
    let mut lengths = Vec::new();
    for (_, command) in all {
        let server = Server::start(command, None)?;
        lengths.push(answer_len(server.at, size)?);
    }
    let mut table: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
    for &conns in &args.conns {
        let mut rounds = vec![Vec::new(); all.len()];
        for _ in 0..args.rounds.max(1) {
            for (((_, command), seen), answer) in all.iter().zip(&mut rounds).zip(&lengths) {
                let work = Work { request: request(size), answer: *answer, depth: 1, conns };
                seen.push(measure(command, &work, args.secs)?);
            }
        }
        table.iter_mut().zip(&mut rounds).for_each(|(row, seen)| row.push(median(seen)));
    }
    println!("Answers with {size} bytes per server-CPU-second:\n");
    print_table(&args.conns, all, &table);
    println!();
    Ok(())
}

/// What connections cost that are idle after an answer, and then those that have sent half a head.
fn memory(all: &[Candidate], conns: usize) -> io::Result<()> {
    println!(
        "{conns} connections:\n\n| server | bytes of each idle one | bytes of each half-sent head |\n|---|---|---|"
    );
    for (name, command) in all {
        let server = Server::start(command, None)?;
        let len = answer_len(server.at, 100)?;
        std::thread::sleep(Duration::from_millis(300));
        let each = |before: u64| Ok::<_, io::Error>(server.memory()?.saturating_sub(before) / conns.max(1) as u64);
        let before = server.memory()?;
        let mut open = Vec::new();
        for _ in 0..conns {
            open.push(TcpStream::connect(server.at)?);
        }
        for s in &mut open {
            s.write_all(&request(100))?;
            s.read_exact(&mut vec![0; len])?;
        }
        let idle = each(before)?;
        for s in &mut open {
            s.write_all(
                b"GET /100.txt HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a client that never comes to the point\r\n",
            )?;
        }
        std::thread::sleep(Duration::from_millis(500));
        println!("| {name} | {idle} | {} |", each(before)?);
    }
    Ok(())
}
