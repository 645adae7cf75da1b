//! `dnsquery` beside kdig, dig and dnsperf at one nsd, in CPU time of whole processes; and the codec beside others.
use super::server::{Server, pin, spent};
use super::{dns_parse, median};
use clap::Args;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::process::{have, tool};

#[derive(Args)]
pub struct Dns {
    /// What to measure: parse, one, many
    #[arg(long, value_delimiter = ',', default_value = "parse,one,many")]
    what: Vec<String>,
    /// Rounds; each visits all candidates in turn
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Processes with one question each, per round
    #[arg(long, default_value_t = 150)]
    processes: usize,
    /// Questions of a file
    #[arg(long, default_value_t = 200_000)]
    questions: usize,
    /// Drivers of dnsquery
    #[arg(long, value_delimiter = ',', default_value = "poll,epoll,io_uring")]
    drivers: Vec<String>,
}

/// A line of the table: who, and the figure of each round.
type Row = (String, Vec<f64>);

/// Runs a command, and says how much CPU time it took, in seconds.
fn run_once(command: &[String]) -> io::Result<f64> {
    let (program, args) = command.split_first().ok_or_else(|| io::Error::other("an empty command"))?;
    let before = spent()?;
    let mut run = Command::new(program);
    let status = run.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("'{}' ended with {status}", command.join(" "))));
    }
    Ok(spent()?.saturating_sub(before).as_secs_f64())
}

/// Runs it `n` times, which is counted together: the clock of processes ticks in hundredths of a second.
fn run_often(command: &[String], n: usize) -> io::Result<f64> {
    let mut sum = 0.0;
    for _ in 0..n {
        sum += run_once(command)?;
    }
    Ok(sum)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_string).collect()
}

/// nsd with a zone in which every name has an address.
fn serve(dir: &Path) -> io::Result<Server> {
    std::fs::write(
        dir.join("zone"),
        "$TTL 300\n@ IN SOA ns.bench.example. admin.bench.example. 1 7200 900 1209600 300\n\
         @ IN NS ns\nns IN A 127.0.0.1\n* IN A 192.0.2.1\n",
    )?;
    let at = dir.display();
    let conf = format!(
        "server:\n  ip-address: 127.0.0.1@PORT\n  server-count: 1\n  username: \"\"\n  zonesdir: \"{at}\"\n  database: \"\"\n  \
         pidfile: \"{at}/pid\"\n  xfrdfile: \"{at}/xfrd\"\n  zonelistfile: \"{at}/list\"\n  xfrdir: \"{at}\"\n  \
         logfile: \"{at}/log\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  \
         name: bench.example\n  zonefile: \"{at}/zone\"\n"
    );
    std::fs::write(dir.join("conf.in"), conf)?;
    let script = dir.join("run");
    std::fs::write(&script, format!("sed \"s/PORT/$1/\" {at}/conf.in > {at}/conf\nexec nsd -d -c {at}/conf\n"))?;
    Server::start(&format!("sh {} {{port}}", script.display()), Some(1))
}

/// Questions for dnsquery and dnsperf alike.
fn questions(dir: &Path, n: usize) -> io::Result<PathBuf> {
    let (path, mut text) = (dir.join("names"), String::new());
    for i in 0..n {
        let _ = writeln!(text, "host-{}.bench.example A", i % 10_000); // a string takes everything
    }
    std::fs::write(&path, text)?;
    Ok(path)
}

fn print(rows: &mut [Row], unit: &str, more_is_better: bool) {
    let ours: f64 = rows.iter_mut().take(1).map(|(_, s)| median(s)).sum();
    for (name, seen) in rows {
        let figure = median(seen);
        let ratio = if more_is_better { ours / figure.max(1e-9) } else { figure / ours.max(1e-9) };
        println!("| {name} | {figure:.1} {unit} | {ratio:.2} |");
    }
}

fn parse() {
    println!("| a reply of 126 bytes, all 6 records read | CPU time | ours is better by |\n|---|---|---|");
    let all = dns_parse::reading();
    for (name, ns) in all {
        println!("| {name} | {ns:.1} ns | {:.2} |", ns / all[0].1.max(1e-9));
    }
    println!("\nWriting the worst message of 64 KiB takes {:.2} ms.\n", dns_parse::writing());
}

fn one(args: &Dns, port: u16) -> io::Result<()> {
    let own = tool("dnsquery").display().to_string();
    let mut all = vec![("dnsquery".to_string(), format!("{own} www.bench.example @127.0.0.1 -p {port}"))];
    if have("kdig") {
        all.push(("kdig".into(), format!("kdig @127.0.0.1 -p {port} +noedns www.bench.example A")));
    }
    if have("dig") {
        all.push(("dig".into(), format!("dig @127.0.0.1 -p {port} +noedns www.bench.example A")));
    }
    all.push(("true, which does nothing".into(), "/bin/true".into()));
    let mut rows: Vec<Row> = all.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
    for _ in 0..args.rounds.max(1) {
        for ((name, command), (_, seen)) in all.iter().zip(&mut rows) {
            // dig costs several times as much, and is not what is compared.
            let n = if name == "dig" { args.processes / 4 } else { args.processes }.max(1);
            seen.push(run_often(&words(command), n)? / n as f64 * 1e3);
        }
    }
    println!("| one question per process | CPU time | ours is better by |\n|---|---|---|");
    print(&mut rows, "ms", false);
    println!();
    Ok(())
}

fn many(args: &Dns, port: u16, names: &Path) -> io::Result<()> {
    let (own, names) = (tool("dnsquery").display().to_string(), names.display());
    let mut all = Vec::new();
    for driver in &args.drivers {
        let command = format!("{own} -f {names} --short --parallel 100 @127.0.0.1 -p {port} --driver {driver}");
        all.push((format!("dnsquery, {driver}"), command));
    }
    if have("dnsperf") {
        for q in [100, 64] {
            let command = format!("dnsperf -s 127.0.0.1 -p {port} -d {names} -n 1 -q {q} -c 8 -T 1");
            all.push((format!("dnsperf -q {q} -c 8"), command));
        }
    }
    let mut rows: Vec<Row> = all.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
    for _ in 0..args.rounds.max(1) {
        for ((_, command), (_, seen)) in all.iter().zip(&mut rows) {
            seen.push(args.questions as f64 / run_once(&words(command))?.max(1e-9));
        }
    }
    println!("| {} questions from a file | per CPU-second | ours is better by |\n|---|---|---|", args.questions);
    print(&mut rows, "", true);
    println!();
    Ok(())
}

pub fn run(args: &Dns) -> io::Result<()> {
    let wants = |what: &str| args.what.iter().any(|w| w == what);
    if wants("parse") {
        parse();
    }
    if !wants("one") && !wants("many") {
        return Ok(());
    }
    if !have("nsd") {
        return Err(io::Error::other("nsd is not installed"));
    }
    let dir = std::env::temp_dir().join(format!("drywire-bench-dns-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let names = questions(&dir, args.questions)?;
    let server = serve(&dir)?;
    let port = server.at.port();
    pin(None, 0)?; // who asks, on the other core; the processes that are measured inherit it
    let mut result = Ok(());
    if wants("one") {
        result = one(args, port);
    }
    if wants("many") && result.is_ok() {
        result = many(args, port, &names);
    }
    drop(server);
    let _ = std::fs::remove_dir_all(dir); // it is in the way of nobody
    result
}
