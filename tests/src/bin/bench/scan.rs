//! Port scanners side by side: all ports of a loopback address, per CPU-second and by the clock.
use super::median;
use super::server::spent;
use clap::Args;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::process::{have, tool};

#[derive(Args)]
pub struct Scan {
    /// Which to run: nmap, a driver for portscan, or syn for its half-open scan
    #[arg(long, value_delimiter = ',', default_value = "nmap,epoll,io_uring,syn")]
    only: Vec<String>,
    /// Another scanner to compare with: NAME=COMMAND, {host} stands for the address
    #[arg(long, value_name = "NAME=COMMAND")]
    peer: Vec<String>,
    /// What is scanned
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Rounds; each visits all candidates in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Ports of an address.
const PORTS: f64 = 65_535.0;
fn measure(command: &str) -> io::Result<(Duration, Duration)> {
    let (cpu, began) = (spent()?, Instant::now());
    let mut words = command.split_whitespace();
    let program = words.next().ok_or_else(|| io::Error::other("an empty command"))?;
    let status = Command::new(program).args(words).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("'{command}' ended with {status}")));
    }
    Ok((spent()?.saturating_sub(cpu), began.elapsed()))
}

pub fn run(args: &Scan) -> io::Result<()> {
    let own = tool("portscan").display().to_string();
    let mut all: Vec<(String, String)> = Vec::new();
    for name in args.only.iter().filter(|n| n.as_str() != "nmap" || have("nmap")) {
        all.push((
            name.clone(),
            match name.as_str() {
                "nmap" => "nmap -sT -T4 -n -Pn -p- {host}".into(),
                "syn" => format!("{own} {{host}} - --syn"),
                driver => format!("{own} {{host}} - --driver {driver}"),
            },
        ));
    }
    for peer in &args.peer {
        let (name, command) = peer.split_once('=').ok_or_else(|| io::Error::other("--peer wants NAME=COMMAND"))?;
        all.push((name.into(), command.into()));
    }
    let mut seen = vec![(Vec::new(), Vec::new()); all.len()];
    for _ in 0..args.rounds.max(1) {
        for ((_, command), (cpu, wall)) in all.iter().zip(&mut seen) {
            let (c, w) = measure(&command.replace("{host}", &args.host))?;
            cpu.push(PORTS / c.as_secs_f64().max(1e-9));
            wall.push(w.as_secs_f64());
        }
    }
    println!("{PORTS} ports of {}, medians of {} rounds:\n", args.host, args.rounds);
    println!("| scanner | ports per CPU-second | ratio | seconds |\n|---|---|---|---|");
    let mut first = None;
    for ((name, _), (cpu, wall)) in all.iter().zip(&mut seen) {
        let (cpu, wall) = (median(cpu), median(wall));
        let ratio = cpu / *first.get_or_insert(cpu);
        println!("| {name} | {cpu:.0} | {ratio:.2} | {wall:.2} |");
    }
    Ok(())
}
