//! Proxies side by side: short connections, small messages there and back, and bulk, per CPU-second of the proxy.
use super::median;
use super::server::{Server, pin};
use clap::{Args, ValueEnum};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tests::process::{have, tool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Args)]
pub struct Relay {
    /// Which to run: microsocks, dante, or a driver for socks5_proxy, which copies if ":copy" follows
    #[arg(long, value_delimiter = ',', default_value = "microsocks,dante,epoll,epoll:copy,io_uring")]
    only: Vec<String>,
    /// What to measure
    #[arg(long, value_delimiter = ',', default_value = "short,messages,bulk", value_enum)]
    what: Vec<Kind>,
    /// Clients at once
    #[arg(long, default_value_t = 16)]
    conns: usize,
    /// Rounds; each visits all candidates in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Connections that carry 64 bytes there and back.
    Short,
    /// Messages of 64 bytes there and back on connections that stay.
    Messages,
    /// Bytes from the target to the client.
    Bulk,
}

impl Kind {
    fn unit(self) -> &'static str {
        match self {
            Kind::Short => "connections",
            Kind::Messages => "round trips of 64 bytes",
            Kind::Bulk => "MB",
        }
    }
}

/// What all clients and targets share.
struct Field {
    proxy: SocketAddr,
    target: SocketAddr,
    kind: Kind,
    done: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

/// Bytes of a bulk read or write.
const BLOCK: usize = 256 << 10;

impl Field {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
    /// A connection to the target through the proxy.
    async fn connect(&self) -> io::Result<TcpStream> {
        let mut s = TcpStream::connect(self.proxy).await?;
        s.set_nodelay(true)?;
        let mut answer = [0; 12];
        s.write_all(&[5, 1, 0]).await?;
        s.read_exact(&mut answer[..2]).await?;
        let port = self.target.port().to_be_bytes();
        s.write_all(&[5, 1, 0, 1, 127, 0, 0, 1, port[0], port[1]]).await?;
        s.read_exact(&mut answer[2..]).await?;
        if answer[..4] == [5, 0, 5, 0] { Ok(s) } else { Err(io::Error::other("the proxy refuses")) }
    }
    async fn client(&self) -> io::Result<()> {
        let mut word = [b'w'; 64];
        match self.kind {
            Kind::Short => {
                while !self.stopped() {
                    let mut s = self.connect().await?;
                    s.write_all(&word).await?;
                    s.read_exact(&mut word).await?;
                    // Who closes first has the port in TIME_WAIT: the target, whose port is always the same.
                    while s.read(&mut word).await? > 0 {}
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
            }
            Kind::Messages => {
                let mut s = self.connect().await?;
                while !self.stopped() {
                    s.write_all(&word).await?;
                    s.read_exact(&mut word).await?;
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
            }
            Kind::Bulk => {
                let (mut s, mut buf) = (self.connect().await?, vec![0; BLOCK]);
                s.write_all(&word).await?;
                while !self.stopped() {
                    let n = s.read(&mut buf).await?;
                    self.done.fetch_add(n as u64, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }
    /// The target's side of a connection.
    async fn serve(&self, mut s: TcpStream) -> io::Result<()> {
        s.set_nodelay(true)?;
        if self.kind == Kind::Bulk {
            let block = vec![b'b'; BLOCK];
            s.read_exact(&mut [0; 64]).await?;
            while !self.stopped() {
                s.write_all(&block).await?;
            }
            return Ok(());
        }
        let mut word = [0; 64];
        loop {
            s.read_exact(&mut word).await?;
            s.write_all(&word).await?;
            if self.kind == Kind::Short {
                return Ok(());
            }
        }
    }
}

/// Clients and targets on one thread, so that they give the proxy as much at once as they can; until all clients have ended.
fn play(field: &Arc<Field>, targets: std::net::TcpListener, conns: usize) -> io::Result<()> {
    targets.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let targets = TcpListener::from_std(targets)?;
        let theirs = field.clone();
        tokio::spawn(async move {
            while let Ok((s, _)) = targets.accept().await {
                let field = theirs.clone();
                tokio::spawn(async move { field.serve(s).await }); // an error is the end of the connection
            }
        });
        let clients: Vec<_> = (0..conns)
            .map(|_| {
                let field = field.clone();
                tokio::spawn(async move {
                    if field.client().await.is_err() && !field.stopped() {
                        field.failed.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for client in clients {
            let _ = client.await; // a panic has said why
        }
        Ok(())
    })
}

/// The rate of one proxy: units per second of its CPU time.
fn measure(command: &str, kind: Kind, conns: usize, secs: f64) -> io::Result<f64> {
    let server = Server::start(command, Some(0))?;
    let targets = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (done, failed, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let field = Arc::new(Field { proxy: server.at, target: targets.local_addr()?, kind, done, failed, stop });
    let theirs = field.clone();
    let load = std::thread::spawn(move || {
        pin(None, 1)?;
        play(&theirs, targets, conns)
    });
    std::thread::sleep(Duration::from_millis(500));
    let (cpu, did) = (server.cpu_with_the_dead()?, field.done.load(Ordering::Relaxed));
    std::thread::sleep(Duration::from_secs_f64(secs));
    let (cpu, did) = (server.cpu_with_the_dead()? - cpu, field.done.load(Ordering::Relaxed) - did);
    field.stop.store(true, Ordering::Relaxed);
    let failed = field.failed.load(Ordering::Relaxed);
    drop(server); // ends what waits for it
    load.join().map_err(|_| io::Error::other("the load panicked"))??;
    if failed > 0 {
        return Err(io::Error::other(format!("'{command}' failed {failed} clients")));
    }
    let scale = if kind == Kind::Bulk { 1e-6 } else { 1.0 };
    Ok(did as f64 * scale / cpu.as_secs_f64().max(1e-9))
}

/// Dante's configuration, whose port is chosen when it starts.
fn dante() -> io::Result<Option<String>> {
    let program = ["/usr/sbin/danted", "/usr/sbin/sockd"].into_iter().find(|p| PathBuf::from(p).is_file());
    let Some(program) = program else { return Ok(None) };
    let text = "logoutput: /dev/null\ninternal: 127.0.0.1 port = PORT\nexternal: 127.0.0.1\nclientmethod: none\nsocksmethod: none\n\
                user.privileged: root\nuser.unprivileged: root\n\
                client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\nsocks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\n";
    let dir = std::env::temp_dir().join(format!("drywire-bench-dante-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("conf.in"), text)?;
    let (dir, run) =
        (dir.display(), std::env::temp_dir().join(format!("drywire-bench-dante-{}/run", std::process::id())));
    std::fs::write(
        &run,
        format!(
            "#!/bin/sh\nsed \"s/PORT/$1/\" {dir}/conf.in > {dir}/$1.conf\nexec {program} -f {dir}/$1.conf -p {dir}/$1.pid\n"
        ),
    )?;
    Ok(Some(format!("sh {} {{port}}", run.display())))
}

fn command(name: &str) -> io::Result<Option<String>> {
    Ok(match name {
        "microsocks" if have("microsocks") => Some("microsocks -i 127.0.0.1 -p {port}".into()),
        "microsocks" => None,
        "dante" => dante()?,
        driver => {
            let proxy = tool("socks5_proxy").display().to_string();
            let limits = "--max-conns-per-ip 100000 --max-conns 100000";
            let (driver, relay) = driver.split_once(':').unwrap_or((driver, "splice"));
            Some(format!("{proxy} {{port}} -q --allow loopback {limits} --relay {relay} --driver {driver}"))
        }
    })
}

pub fn run(args: &Relay) -> io::Result<()> {
    let mut all = Vec::new();
    for name in &args.only {
        match command(name)? {
            Some(command) => all.push((name.clone(), command)),
            None => eprintln!("bench: {name} is not installed"),
        }
    }
    for &kind in &args.what {
        let mut seen = vec![Vec::new(); all.len()];
        for _ in 0..args.rounds.max(1) {
            for ((_, command), seen) in all.iter().zip(&mut seen) {
                seen.push(measure(command, kind, args.conns, args.secs)?);
            }
        }
        println!("\n{} per CPU-second of the proxy, {} clients:\n", kind.unit(), args.conns);
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        println!("| proxy | rate |{}", names.iter().map(|n| format!(" to {n} |")).collect::<String>());
        println!("|---|---|{}", "---|".repeat(names.len()));
        let rates: Vec<f64> = seen.iter_mut().map(|s| median(s)).collect();
        for (name, rate) in names.iter().zip(&rates) {
            let ratios: String = rates.iter().map(|r| format!(" {:.2} |", rate / r.max(1e-9))).collect();
            println!("| {name} | {rate:.0} |{ratios}");
        }
    }
    let _ = std::fs::remove_dir_all(std::env::temp_dir().join(format!("drywire-bench-dante-{}", std::process::id())));
    Ok(())
}
