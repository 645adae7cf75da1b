//! TLS 1.3: handshakes, small answers and bulk per server-CPU-second, and memory per idle connection.
use super::http::{RUN, Site};
use super::server::Server;
use super::{Candidate, median};
use clap::Args;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::process::tool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

#[derive(Args)]
pub struct Tls {
    /// What to measure: handshakes, resumed, requests (100 bytes), bulk (1 MB answers), idle
    #[arg(long, value_delimiter = ',', default_value = "handshakes,requests,bulk,idle")]
    what: Vec<Kind>,
    /// Which to run: nginx, tokio-rustls, or a driver for httpserver
    #[arg(long, value_delimiter = ',', default_value = "tokio-rustls,nginx,epoll,io_uring")]
    only: Vec<String>,
    /// Connections
    #[arg(long, default_value_t = 64)]
    conns: usize,
    /// Rounds; each visits all candidates in turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Kind {
    Handshakes,
    Resumed,
    Requests,
    Bulk,
    Idle,
}

impl Kind {
    fn size(self) -> usize {
        if self == Kind::Bulk { 1_000_000 } else { 100 }
    }
    fn title(self) -> &'static str {
        match self {
            Kind::Handshakes => "Full handshakes",
            Kind::Resumed => "Handshakes that continue a session",
            Kind::Requests => "Answers with 100 bytes",
            Kind::Bulk => "MB of answers with 1 MB each",
            Kind::Idle => "Bytes of memory of an idle connection",
        }
    }
}

fn other(e: impl core::fmt::Display) -> io::Error {
    io::Error::other(e.to_string())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate with a P-256 key, its own root, in files.
fn certificate(dir: &Path) -> io::Result<CertificateDer<'static>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).map_err(other)?;
    std::fs::write(dir.join("cert.pem"), made.cert.pem())?;
    let key = dir.join("key.pem");
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
    Ok(made.cert.der().clone())
}

/// X25519 alone: every server here has that, so all do the same work.
fn client(root: CertificateDer<'static>, resumes: bool) -> io::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).map_err(other)?;
    let mut crypto = (*provider()).clone();
    crypto.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let config = rustls::ClientConfig::builder_with_provider(crypto.into());
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).map_err(other)?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    if !resumes {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Ok(config)
}

/// What clients and their owner share.
struct Field {
    server: SocketAddr,
    kind: Kind,
    connector: TlsConnector,
    done: AtomicU64,
    stop: AtomicBool,
    open: AtomicU64,
}

impl Field {
    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let s = TcpStream::connect(self.server).await?;
        s.set_nodelay(true)?;
        // The port is free again at once.
        s.set_zero_linger()?;
        let name = ServerName::try_from("localhost").map_err(other)?;
        self.connector.connect(name, s).await
    }
    async fn client(&self) -> io::Result<()> {
        let mut buf = vec![0; 256 << 10];
        while matches!(self.kind, Kind::Handshakes | Kind::Resumed) && !self.stop.load(Ordering::Relaxed) {
            let mut s = self.connect().await?;
            if self.kind == Kind::Resumed {
                self.ask(&mut s, &mut buf).await?; // tickets come with it
            }
            s.shutdown().await?;
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        let mut s = self.connect().await?;
        self.open.fetch_add(1, Ordering::Relaxed);
        while !self.stop.load(Ordering::Relaxed) {
            self.ask(&mut s, &mut buf).await?;
            self.done.fetch_add(1, Ordering::Relaxed);
            while self.kind == Kind::Idle && !self.stop.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
    /// One request and its whole answer.
    async fn ask(&self, s: &mut TlsStream<TcpStream>, buf: &mut [u8]) -> io::Result<()> {
        let size = self.kind.size();
        s.write_all(format!("GET /{size}.txt HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let (mut got, mut want) = (0, None);
        while want.is_none_or(|want| got < want) {
            let n = s.read(&mut buf[if want.is_none() { got } else { 0 }..]).await?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            got += n;
            if want.is_none() {
                let head = buf[..got].windows(4).position(|w| w == b"\r\n\r\n");
                want = head.map(|at| at + 4 + size);
            }
        }
        Ok(())
    }
}

/// Clients on one thread, until all have ended.
fn play(field: &Arc<Field>, conns: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let clients: Vec<_> = (0..conns)
            .map(|_| {
                let field = field.clone();
                tokio::spawn(async move { field.client().await })
            })
            .collect();
        for client in clients {
            let ended = client.await.map_err(other)?;
            if !field.stop.load(Ordering::Relaxed) {
                ended?;
            }
        }
        Ok(())
    })
}

/// Units of work per CPU-second of the server, or bytes of each connection.
fn measure(command: &str, kind: Kind, args: &Tls, root: &CertificateDer<'static>) -> io::Result<f64> {
    let server = Server::start(command, Some(0))?;
    let connector = TlsConnector::from(Arc::new(client(root.clone(), kind == Kind::Resumed)?));
    let field = Arc::new(Field {
        server: server.at,
        kind,
        connector,
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        open: AtomicU64::new(0),
    });
    let conns = if kind == Kind::Idle { 2000 } else { args.conns };
    let before = server.memory()?;
    let load = {
        let field = field.clone();
        std::thread::spawn(move || {
            let _ = super::server::pin(None, 1); // said so
            play(&field, conns)
        })
    };
    let done = || field.done.load(Ordering::Relaxed);
    let wait = Instant::now() + Duration::from_secs(60);
    while done() < conns as u64 && !load.is_finished() && Instant::now() < wait {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let result = if kind == Kind::Idle {
        std::thread::sleep(Duration::from_secs(1));
        server.memory()?.saturating_sub(before) as f64 / conns as f64
    } else {
        let (cpu, from) = (server.cpu()?, done());
        std::thread::sleep(Duration::from_secs_f64(args.secs));
        let (cpu, n) = (server.cpu()? - cpu, done() - from);
        n as f64 * (if kind == Kind::Bulk { 1.0 } else { 1e-3 }) / cpu.as_secs_f64().max(1e-9)
    };
    field.stop.store(true, Ordering::Relaxed);
    drop(server);
    match load.join() {
        Ok(Ok(())) => Ok(result),
        Ok(Err(e)) => Err(io::Error::other(format!("'{command}': {e}"))),
        Err(_) => Err(io::Error::other("the load panicked")),
    }
}

pub fn run(args: &Tls) -> io::Result<()> {
    let site = Site::new(&[100, 1_000_000])?;
    std::fs::write(site.path().join("run"), RUN)?;
    let root = certificate(site.path())?;
    let (cert, key) = (site.path().join("cert.pem"), site.path().join("key.pem"));
    let (cert, key, own) = (cert.display(), key.display(), std::env::current_exe()?);
    let http = tool("httpserver").display().to_string();
    let mut all: Vec<Candidate> = Vec::new();
    for name in &args.only {
        let command = match name.as_str() {
            "tokio-rustls" => Some(format!("{} serve-tls {{port}} {cert} {key}", own.display())),
            "nginx" => site.nginx_tls()?,
            driver => Some(format!(
                "{http} {{port}} -d {} --driver {driver} -q --max-requests 4000000000 --cert {cert} --key {key}",
                site.dir()
            )),
        };
        all.extend(command.map(|command| (name.clone(), command)));
    }
    for &kind in &args.what {
        let mut rounds = vec![Vec::new(); all.len()];
        for _ in 0..if kind == Kind::Idle { 1 } else { args.rounds.max(1) } {
            for ((_, command), seen) in all.iter().zip(&mut rounds) {
                seen.push(measure(command, kind, args, &root)?);
            }
        }
        let unit = if matches!(kind, Kind::Bulk | Kind::Idle) { "" } else { "k" };
        println!("| {} | |\n|---|---|", kind.title());
        let values: Vec<f64> = rounds.iter_mut().map(|seen| median(seen)).collect();
        for ((name, _), value) in all.iter().zip(&values) {
            println!("| {name} | {value:.1}{unit} ({:.2}) |", value / values[0].max(1e-9));
        }
        println!();
    }
    Ok(())
}

/// tokio-rustls on one thread, with answers from memory: `GET /N.txt` has N bytes.
pub fn serve(port: u16, cert: &Path, key: &Path) -> io::Result<()> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert).map_err(other)?.collect::<Result<_, _>>().map_err(other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(other)?;
    let config = rustls::ServerConfig::builder_with_provider(provider());
    let config = config.with_safe_default_protocol_versions().map_err(other)?.with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).map_err(other)?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (s, _) = listener.accept().await?;
            s.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut s = acceptor.accept(s).await?;
                let mut buf = vec![0; 4096];
                loop {
                    let n = s.read(&mut buf).await?;
                    let text = core::str::from_utf8(&buf[..n]).unwrap_or_default();
                    let size = text.strip_prefix("GET /").and_then(|t| t.split_once('.')?.0.parse::<usize>().ok());
                    let Some(size) = size else { return Ok::<_, io::Error>(()) };
                    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
                    answer.resize(answer.len() + size, b'f');
                    s.write_all(&answer).await?;
                }
            });
        }
    })
}
