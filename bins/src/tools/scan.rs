//! `portscan`.
use super::simulate;
use crate::cli::{DriverArgs, Plan, Tool, duration};
use crate::dialer::{Family, Source};
use crate::outcome::{Code, Failure};
use crate::scan::options::{Form, How, MANY, Protocol};
use crate::scan::ports::Ports;
use crate::scan::targets::{Item, Targets};
use crate::scan::{Listed, Options, Scan, services};
use clap::Parser;
use core::time::Duration;
use drivers::{Config, Kind};
use proto_core::Shard;
use std::ffi::OsString;
use std::io::IsTerminal;

/// Finds out which ports of a host are open, closed or filtered, many at once
#[derive(Parser, Clone, Debug)]
#[command(
    name = "portscan",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  portscan scanme.nmap.org 1-1000                 the open and filtered ones of a thousand ports
  portscan -p 22,80,443,8080 192.168.1.1          each of these ports, open or not
  portscan 192.168.1.0/24 --top-ports 20 --open   what a network has to offer
  portscan localhost - --json > now.json          all ports, for a program
  portscan localhost - --diff now.json            what has changed since; 10 if anything has
  portscan server --expect 22,443 1-1000          10 unless just these are open
  portscan 10.0.0.0/16 22 --yes --resume scan.pos stops at Ctrl-C and goes on where it was
Scan only what you may scan."
)]
pub struct PortScanTool {
    /// Names, addresses, networks (192.0.2.0/24) and ranges (192.0.2.1-20); then the ports, unless -p has them
    #[arg(value_name = "HOST", required_unless_present_any = ["input_list", "list_drivers"])]
    words: Vec<String>,
    /// Ports: 22,80,8000-8100, or - for all
    #[arg(short, long, value_name = "PORTS", allow_hyphen_values = true, help_heading = "What")]
    ports: Option<String>,
    /// The N most common ports
    #[arg(long, value_name = "N", conflicts_with = "ports", help_heading = "What")]
    top_ports: Option<usize>,
    /// A file with more hosts and networks (also -iL FILE)
    #[arg(long, value_name = "FILE", help_heading = "What")]
    input_list: Option<String>,
    /// Not these hosts or networks (repeatable, or with commas)
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', help_heading = "What")]
    exclude: Vec<String>,
    /// Datagrams instead of connections (also -sU)
    #[arg(long, conflicts_with_all = ["syn", "banner"], help_heading = "What")]
    udp: bool,
    /// Half-open connections by a raw socket (also -sS)
    #[arg(long, conflicts_with = "banner", help_heading = "What")]
    syn: bool,
    /// How TCP is scanned: connect, syn, or auto (half-open where that is possible)
    #[arg(long, value_name = "HOW", value_parser = ["auto", "connect", "syn"], conflicts_with_all = ["syn", "udp"], help_heading = "What")]
    scan: Option<String>,
    /// IPv4 addresses of names only
    #[arg(short = '4', conflicts_with = "ipv6", help_heading = "What")]
    ipv4: bool,
    /// IPv6 addresses of names only
    #[arg(short = '6', help_heading = "What")]
    ipv6: bool,
    /// Who looks up names: our own resolver or the system's
    #[arg(long, value_name = "WHO", default_value = "own", value_enum, help_heading = "What")]
    resolver: Source,
    /// A large scan needs no question
    #[arg(long, help_heading = "What")]
    yes: bool,
    /// Probes under way at once
    #[arg(short, long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=60_000), help_heading = "Pace")]
    concurrency: u32,
    /// The longest wait for an answer; it adapts to a host that answers
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = timeout, help_heading = "Pace")]
    timeout: Duration,
    /// How often a silent port is asked again
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(0..=10), help_heading = "Pace")]
    retries: u8,
    /// Probes per second, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000), help_heading = "Pace")]
    rate: Option<u32>,
    /// In an order that --seed decides
    #[arg(long, help_heading = "Pace")]
    randomize: bool,
    /// The I-th of N shares, of the order of --seed
    #[arg(long, value_name = "I/N", value_parser = share, help_heading = "Pace")]
    shard: Option<(u64, u64)>,
    /// Write the position to FILE every 5 s, and go on from what is there
    #[arg(long, value_name = "FILE", help_heading = "Pace")]
    resume: Option<String>,
    /// List every port
    #[arg(long, conflicts_with = "open", help_heading = "Output")]
    all: bool,
    /// List open ports only
    #[arg(long, help_heading = "Output")]
    open: bool,
    /// With the names of services
    #[arg(long, conflicts_with = "no_service", help_heading = "Output")]
    service: bool,
    /// Without them
    #[arg(long, help_heading = "Output")]
    no_service: bool,
    /// How each state is known
    #[arg(long, help_heading = "Output")]
    reason: bool,
    /// The first 256 bytes that an open port sends
    #[arg(long, help_heading = "Output")]
    banner: bool,
    /// Greet open ports with TLS: version, subject and ALPN, or what they say instead (implies --banner)
    #[arg(long, conflicts_with_all = ["udp", "syn"], help_heading = "Output")]
    tls: bool,
    /// Align the columns
    #[arg(long, help_heading = "Output")]
    table: bool,
    /// One JSON document at the end
    #[arg(long, conflicts_with_all = ["ndjson", "grepable"], help_heading = "Output")]
    json: bool,
    /// A JSON object per port, as they are found
    #[arg(long, conflicts_with = "grepable", help_heading = "Output")]
    ndjson: bool,
    /// A line per host, as nmap -oG - has it (also -oG -)
    #[arg(long, help_heading = "Output")]
    grepable: bool,
    #[arg(long, value_name = "-", value_parser = ["-"], allow_hyphen_values = true, hide = true)]
    grepable_to: Option<String>,
    /// Print what opened and closed since an earlier --json or --ndjson; 10 if anything did
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    diff: Option<String>,
    /// The ports that ought to be open; 10 if others are
    #[arg(long, value_name = "PORTS", help_heading = "Output")]
    expect: Option<String>,
    /// Tell more
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,
    /// Data only
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    quiet: bool,
    #[command(flatten)]
    driver: DriverArgs,
}

/// The ports of a host if none are named.
const DEFAULT_PORTS: &str = "1-1000";

fn timeout(s: &str) -> Result<Duration, String> {
    let d = duration(s)?;
    let fits = (Duration::from_millis(10)..=Duration::from_secs(60)).contains(&d);
    if fits { Ok(d) } else { Err(format!("'{s}' is not within 10ms and 60s")) }
}

/// `1/4` is share 0 of 4.
fn share(s: &str) -> Result<(u64, u64), String> {
    let both = s.split_once('/').and_then(|(i, n)| Some((i.parse::<u64>().ok()?, n.parse::<u64>().ok()?)));
    let inside = both.filter(|(i, n)| (1..=*n).contains(i) && *n <= 65_536);
    inside.map(|(i, n)| (i - 1, n)).ok_or_else(|| format!("'{s}' is not a share such as 1/4"))
}

impl PortScanTool {
    /// Hosts and ports, as far as the command line has them.
    fn what(&self) -> Result<(Vec<Item>, Ports), Failure> {
        let mut words: Vec<&String> = self.words.iter().collect();
        let alone = if self.input_list.is_some() { 0 } else { 1 };
        let ports = match (&self.ports, self.top_ports) {
            (Some(text), _) => Ports::parse(text),
            (None, Some(n)) => services::top(n)
                .filter(|all| !all.is_empty())
                .map(|all| Ports::from_list(&all))
                .ok_or_else(|| format!("--top-ports: '{n}' is not in 1-{}", services::most())),
            (None, None) if words.len() > alone => Ports::parse(words.pop().map_or("", |w| w)),
            (None, None) => Ports::parse(DEFAULT_PORTS),
        };
        let items: Result<Vec<Item>, String> = words.into_iter().map(|w| Item::parse(w)).collect();
        Ok((items.map_err(Failure::usage)?, ports.map_err(Failure::usage)?))
    }
    fn options(&self) -> Result<Options, Failure> {
        let (items, ports) = self.what()?;
        let mut exclude = Vec::new();
        for word in &self.exclude {
            match Item::parse(word).map_err(Failure::usage)? {
                Item::Block(block) => exclude.push(block),
                Item::Name(name) => return Err(Failure::usage(format!("--exclude: '{name}' is no address"))),
            }
        }
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        };
        let listed = match (self.all, self.open) {
            (true, _) => Some(Listed::All),
            (_, true) => Some(Listed::Open),
            _ => None,
        };
        let form = match (self.json, self.ndjson, self.grepable || self.grepable_to.is_some()) {
            (true, ..) => Form::Json,
            (_, true, _) => Form::Lines,
            (.., true) => Form::Grepable,
            _ => Form::Text,
        };
        let plain = form == Form::Text && !self.quiet && self.driver.driver != Some(Kind::Sim);
        let expect = self.expect.as_deref().map(Ports::parse).transpose().map_err(Failure::usage)?;
        Ok(Options {
            items,
            list: self.input_list.clone(),
            exclude,
            ports,
            protocol: if self.udp { Protocol::Udp } else { Protocol::Tcp },
            how: match (self.syn, self.scan.as_deref()) {
                (true, _) | (_, Some("syn")) => How::Syn,
                (_, Some("auto")) => How::Auto,
                _ => How::Connect,
            },
            concurrency: self.concurrency,
            timeout: self.timeout,
            retries: self.retries,
            rate: self.rate,
            listed,
            service: match (self.service, self.no_service) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            reason: self.reason,
            aligned: self.table,
            form,
            banner: self.banner || self.tls,
            tls: self.tls,
            randomize: self.randomize,
            seed: self.driver.seed,
            shard: self.shard.unwrap_or((0, 1)),
            resume: self.resume.clone(),
            diff: self.diff.clone(),
            expect,
            family,
            source: self.resolver,
            yes: self.yes,
            verbose: self.verbose,
            quiet: self.quiet,
            progress: plain && std::io::stderr().is_terminal(),
        })
    }
    /// The user may be asked whether that many are meant.
    fn may_ask(&self, o: &Options) -> bool {
        let mut targets = Targets::default();
        o.exclude.iter().for_each(|block| targets.exclude(*block));
        let mut names = 0;
        for item in &o.items {
            match item {
                Item::Block(block) => targets.add(*block),
                Item::Name(_) => names += 1,
            }
        }
        let pairs = targets.len().saturating_add(names).saturating_mul(o.ports.len().into());
        !o.yes && (o.list.is_some() || pairs > MANY || targets.has_large_public())
    }
}

impl Tool for PortScanTool {
    type App = Scan;
    const NAME: &'static str = "portscan";
    /// A refusal costs least where a connect is a call, not where it is an entry in a queue.
    const DRIVER: Kind = Kind::Epoll;

    fn driver(&self) -> &DriverArgs {
        &self.driver
    }
    /// The spellings of nmap that a parser of long and short flags can't know.
    fn spell(arg: OsString) -> OsString {
        match arg.to_str() {
            Some("-iL") => "--input-list".into(),
            Some("-oG") => "--grepable-to".into(),
            Some("-sU") => "--udp".into(),
            Some("-sS") => "--syn".into(),
            Some("-sT") => "--scan=connect".into(),
            _ => arg,
        }
    }
    fn simulate(&self) -> Result<Code, Failure> {
        let options = self.options()?;
        simulate::scanned_host(self, self.driver.sim.as_ref(), &options)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        let options = self.options()?;
        let stdin = std::io::stdin().is_terminal() && self.may_ask(&options);
        Ok(Plan { config: Config { stdin, ..Config::default() }, ..Plan::default() })
    }
    fn app(&self, _: Shard) -> Scan {
        // What is wrong with the command line was said by `plan`.
        Scan::new(self.options().unwrap_or_default())
    }
}
