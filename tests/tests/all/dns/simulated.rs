//! Names in virtual time: a name server that loses, delays, cuts and lies, and networks with faults, from seeds.
use bins::dialer::Family;
use bins::dnsquery::scripted::{NameServer, Temper, Zone};
use bins::names::Names;
use bins::outcome::Code;
use bins::tools::DnsQueryTool;
use clap::Parser;
use core::convert::Infallible;
use core::net::IpAddr;
use drivers::sim::{NodeConfig, Plan, Sim, check_seeds};
use proto_core::dns::Known;
use proto_core::{App, Cx, Deadline, Input, Shard, Signal};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ZONE: &str = "\
example. 3600 IN SOA ns.example. admin.example. 1 7200 900 1209600 300
example. 3600 IN NS ns.example.
ns.example. 3600 IN A 10.0.0.1
www.example. 300 IN CNAME web.example.
web.example. 300 IN A 10.0.0.7
web.example. 300 IN AAAA 2001:db8::7
four.example. 60 IN A 10.0.0.4
six.example. 60 IN AAAA 2001:db8::6
";

/// Looks up many names through the part, and tells what came.
struct Asker {
    names: Names,
    hosts: Vec<&'static str>,
    done: usize,
    said: Arc<Mutex<Vec<(u64, Known)>>>,
}

impl App for Asker {
    type Job = Infallible;
    type Msg = Infallible;
    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cx<'_, Infallible, Infallible>) {
        self.names.handle(&input, cx);
        if let Input::Start(_) = input {
            for (i, host) in self.hosts.iter().enumerate() {
                self.names.lookup(i as u64, host, Family::Any, cx);
            }
        }
        while let Some(done) = self.names.next_done() {
            self.said.lock().unwrap().push(done);
            self.done += 1;
            if self.done == self.hosts.len() {
                self.names.rest(cx);
                cx.exit(0);
            }
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        self.names.deadline()
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

fn temper(seed: u64) -> Temper {
    let ms = Duration::from_millis;
    match seed % 5 {
        0 => Temper::default(),
        1 => Temper { loses: 25, delays: ms(300), ..Temper::default() },
        2 => Temper { lies: 60, delays: ms(40), ..Temper::default() },
        3 => Temper { cuts: 60, loses: 10, ..Temper::default() },
        _ => Temper { loses: 15, lies: 40, cuts: 30, fails: 10, hangs_up: 10, delays: ms(1500), ..Temper::default() },
    }
}

fn plan(seed: u64) -> Plan {
    let text = match seed % 3 {
        0 => "delay=5ms±4ms",
        1 => "delay=20ms±19ms,loss=5%,dup=10%,reorder=20%",
        _ => "delay=2ms±1ms,split=3,short=20%,again=5%,dup=30%",
    };
    text.parse().expect("a plan")
}

const HOSTS: [&str; 8] =
    ["www.example", "four.example", "six.example", "no.example", "four", "localhost", "client", "www.example."];

fn want(host: &str) -> Result<Vec<IpAddr>, &'static str> {
    let ips = |all: &[&str]| Ok(all.iter().map(|t| t.parse().unwrap()).collect());
    match host {
        "www.example" | "www.example." => ips(&["2001:db8::7", "10.0.0.7"]),
        "four.example" | "four" => ips(&["10.0.0.4"]),
        "six.example" => ips(&["2001:db8::6"]),
        "localhost" => ips(&["::1", "127.0.0.1"]),
        "client" => ips(&["10.0.0.2"]),
        _ => Err("NXDOMAIN"),
    }
}

/// Every lookup is answered once: with the truth, a part of the truth where a family was late, or the reason that there is none.
fn lookups(seed: u64) -> Result<u64, String> {
    let mut sim = Sim::new(seed, plan(seed));
    let zone = Zone::parse(ZONE)?;
    let add = |e: drivers::Error| e.to_string();
    let ns = sim.add("ns", NameServer::new(zone, temper(seed)), NodeConfig::server(53)).map_err(add)?;
    let said = Arc::new(Mutex::new(Vec::new()));
    let asker = Asker { names: Names::new(3, 0), hosts: HOSTS.to_vec(), done: 0, said: said.clone() };
    let files = vec![("etc/resolv.conf".into(), b"nameserver 10.0.0.1\nsearch example\n".to_vec())];
    let client = sim.add("client", asker, NodeConfig { files, ..NodeConfig::default() }).map_err(add)?;
    sim.run_until(Duration::from_secs(120), |s| s.exit(client).is_some());
    if sim.exit(client) != Some(0) {
        return Err("it does not end".into());
    }
    sim.signal(ns, Duration::from_secs(5), Signal::Interrupt);
    sim.run(Duration::from_secs(10));
    sim.check_quiescent()?;
    let said = said.lock().map_err(|e| e.to_string())?;
    for (key, known) in said.iter() {
        let host = HOSTS.get(*key as usize).ok_or("a key that nobody chose")?;
        match (known, want(host)) {
            (Ok(got), Ok(all)) if !got.is_empty() && got.iter().all(|ip| all.contains(ip)) => {}
            (Err(why), Err(text)) if why.to_string() == text => {}
            // Without faults in server and network, everything is found.
            (Err(_), _) if (!seed.is_multiple_of(5) || seed % 3 == 1) && !matches!(*host, "localhost" | "client") => {}
            (got, _) => return Err(format!("{host}: {got:?}")),
        }
    }
    if said.len() == HOSTS.len() { Ok(sim.trace_hash()) } else { Err(format!("{} answers", said.len())) }
}

#[test]
fn a_thousand_seeds_of_lookups() {
    check_seeds("dns lookups", 0..1000, |seed| lookups(seed).map(drop));
}

/// The tool itself under the same tempers: it ends with a code of its table, and never shows a forged address.
fn queries(seed: u64) -> Result<u64, String> {
    let mut sim = Sim::new(seed, plan(seed));
    let add = |e: drivers::Error| e.to_string();
    sim.add("ns", NameServer::new(Zone::parse(ZONE)?, temper(seed)), NodeConfig::server(53)).map_err(add)?;
    let args: &[&str] = match seed % 4 {
        0 => &["dnsquery", "www.example", "@10.0.0.1"],
        1 => &["dnsquery", "-t", "AAAA", "six.example", "no.example", "@10.0.0.1"],
        2 => &["dnsquery", "--tcp", "www.example", "@10.0.0.1", "--json"],
        _ => &["dnsquery", "--race", "four.example", "@10.0.0.1", "@10.0.0.1", "--mixed-case"],
    };
    let tool = DnsQueryTool::try_parse_from(args).map_err(|e| e.to_string())?;
    let client = sim.add("client", bins::cli::Tool::app(&tool, Shard(0)), NodeConfig::default()).map_err(add)?;
    sim.run_until(Duration::from_secs(120), |s| s.exit(client).is_some());
    let code = sim.exit(client).ok_or("it does not end")?;
    let out = String::from_utf8_lossy(sim.stdout(client)).into_owned();
    let codes = [Code::Ok, Code::Connect, Code::Timeout, Code::Protocol, Code::Answered].map(|c| c as u8);
    if !codes.contains(&code) {
        return Err(format!("code {code}"));
    }
    let calm = seed.is_multiple_of(5);
    let expected = if seed % 4 == 1 { Code::Answered } else { Code::Ok };
    if calm && seed % 3 != 1 && code != expected as u8 {
        return Err(format!("code {code} without a fault: {out}"));
    }
    for line in out.lines().filter(|l| l.starts_with("Answer")) {
        if !ZONE.lines().any(|z| line.ends_with(z)) {
            return Err(format!("a line that is nowhere in the zone: {line}"));
        }
    }
    Ok(sim.trace_hash())
}

#[test]
fn a_thousand_seeds_of_the_tool() {
    check_seeds("dnsquery", 0..1000, |seed| queries(seed).map(drop));
}

/// Questions of a batch over TCP: all are answered, and connections are few if the server lets them be.
fn batch(seed: u64, temper: Temper, names: usize) -> Result<u32, String> {
    let mut sim = Sim::new(seed, plan(seed));
    let add = |e: drivers::Error| e.to_string();
    let server = NameServer::new(Zone::parse(ZONE)?, temper);
    let connections = server.connections.clone();
    sim.add("ns", server, NodeConfig::server(53)).map_err(add)?;
    let args =
        ["dnsquery", "--tcp", "-f", "names", "--parallel", "4", "--short", "@10.0.0.1", "--total-timeout", "60s"];
    let tool = DnsQueryTool::try_parse_from(args).map_err(|e| e.to_string())?;
    let files = vec![("names".into(), "four.example\n".repeat(names).into_bytes())];
    let node = NodeConfig { files, ..NodeConfig::default() };
    let client = sim.add("client", bins::cli::Tool::app(&tool, Shard(0)), node).map_err(add)?;
    sim.run_until(Duration::from_secs(600), |s| s.exit(client).is_some());
    let out = String::from_utf8_lossy(sim.stdout(client)).into_owned();
    let answers = out.matches("10.0.0.4").count();
    if sim.exit(client) != Some(0) || answers != names {
        return Err(format!("{:?}, {answers} answers", sim.exit(client)));
    }
    Ok(connections.load(std::sync::atomic::Ordering::Relaxed))
}

#[test]
fn connections_are_used_again_and_whoever_closes_them_loses_nothing() {
    for (temper, connections) in [
        (Temper::default(), 4..=4),
        (Temper { leaves: 100, ..Temper::default() }, 100..=100),
        (Temper { leaves: 20, ..Temper::default() }, 10..=60),
        (Temper { tires: 20, ..Temper::default() }, 10..=60),
        (Temper { tires: 100, ..Temper::default() }, 90..=100),
    ] {
        check_seeds("a batch over TCP", 0..100, |seed| {
            let n = batch(seed, temper, 100)?;
            if connections.contains(&n) {
                Ok(())
            } else {
                Err(format!("{n} connections, not {connections:?}: {temper:?}"))
            }
        });
    }
}
