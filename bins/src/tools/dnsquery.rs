//! `dnsquery`.
use super::simulate;
use crate::cli::{ClientTlsArgs, DriverArgs, Plan, Tool, duration, port};
use crate::dnsquery::server::{Over, Server, web_path};
use crate::dnsquery::{self, BatchInput, DnsQuery, Form, Mode, Options, Wanted, explain, json, show};
use crate::names::{Carrier, Secured, Web};
use crate::outcome::{Code, Failure};
use crate::via::Proxy;
use clap::Parser;
use core::net::IpAddr;
use core::time::Duration;
use drivers::{Config, Kind};
use proto_core::Shard;
use proto_core::dns::{Class, EdnsOption, Flags, Message, Policy, Tcp, Type};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// Asks a name server and shows the reply
#[derive(Parser, Clone, Debug)]
#[command(
    name = "dnsquery",
    version,
    max_term_width = 100,
    after_help = "\
The server is that of @SERVER, else of the variable DRYWIRE_DNS_SERVER, else the first that answers of /etc/resolv.conf, else 8.8.8.8.

Examples:
  dnsquery google.com                       the address, with the reply's header
  dnsquery -t MX gmail.com @1.1.1.1         another type, another server
  dnsquery -x 192.0.2.1                     the name of an address
  dnsquery --trace example.com              from the root, referral by referral
  dnsquery --json -t SVCB _dns.example.com
  dnsquery -f names.txt --ndjson            a line per name, 64 questions at once
  dnsquery @tls://dns.google example.com
  dnsquery @https://dns.google/dns-query example.com
  dnsquery --explain example.com            every byte, with its offset
  dnsquery --decode 1234818000010000..."
)]
pub struct DnsQueryTool {
    /// Names to ask for, and @SERVER (several are tried in order): an address or name, ADDRESS:PORT, or a URL such as tls://NAME
    #[arg(value_name = "NAME")]
    words: Vec<String>,
    /// Type of record, by name or as TYPE65
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Class: IN, CH, HS, ANY or CLASSn
    #[arg(short, long, value_name = "CLASS", default_value = "IN", value_parser = class)]
    class: Class,
    /// Port of the servers [default: 53; 853 with TLS, 443 with HTTPS]
    #[arg(short, long, value_name = "PORT", value_parser = port)]
    port: Option<u16>,
    /// Ask for the name of an address (repeatable)
    #[arg(short = 'x', long, value_name = "ADDRESS")]
    reverse: Vec<String>,
    /// Names from a file, or from standard input if it is -: a name and perhaps a type per line
    #[arg(short = 'f', long, value_name = "FILE", help_heading = "Many questions")]
    file: Option<String>,
    /// Questions of --file under way at once
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096), help_heading = "Many questions")]
    parallel: u16,
    /// Ask all servers at once; show the first answer, and how the others differ
    #[arg(long, help_heading = "Many questions")]
    race: bool,
    /// Ask N times, and show how long it took
    #[arg(long = "loop", value_name = "N", conflicts_with_all = ["json", "ndjson", "short"], value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Many questions")]
    times: Option<u32>,
    /// Time from a reply to the next question of --loop
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration, help_heading = "Many questions")]
    interval: Duration,
    /// Follow the referrals from the root, or from @SERVER
    #[arg(long, conflicts_with_all = ["file", "race", "times", "json", "ndjson", "short"])]
    trace: bool,
    /// How long to wait for each reply
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = wait, help_heading = "Transport")]
    timeout: Duration,
    /// How often to ask each server
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=10), help_heading = "Transport")]
    tries: u8,
    /// How long all of it may take
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = wait, help_heading = "Transport")]
    total_timeout: Duration,
    /// TCP from the start
    #[arg(long, conflicts_with = "no_tcp", help_heading = "Transport")]
    tcp: bool,
    /// Show a reply that was cut instead of asking again over TCP
    #[arg(long, help_heading = "Transport")]
    no_tcp: bool,
    /// What carries the question: udp, tcp, tls (port 853) or https (port 443, HTTP/1.1)
    #[arg(long, value_name = "WHAT", value_enum, hide_possible_values = true, help_heading = "Transport")]
    over: Option<Over>,
    /// Path of --over https
    #[arg(long, value_name = "PATH", default_value = "/dns-query", value_parser = web_path, help_heading = "Transport")]
    path: String,
    /// Ask by GET instead of POST over https
    #[arg(long, help_heading = "Transport")]
    get: bool,
    /// Ask through a proxy, over TCP or what --over says; names of servers are looked up here
    #[arg(long, value_name = "socks5h://[USER:PASS@]PROXY[:PORT]", conflicts_with = "no_tcp", value_parser = Proxy::parse, help_heading = "Transport")]
    via: Option<Proxy>,
    #[command(flatten)]
    tls: ClientTlsArgs,
    /// Mix upper and lower case in the question at random, and insist on it in the reply
    #[arg(long, help_heading = "Transport")]
    mixed_case: bool,
    /// Append the search list of resolv.conf
    #[arg(long)]
    search: bool,
    /// Do not ask for recursion
    #[arg(long, help_heading = "Flags and EDNS")]
    no_recursion: bool,
    /// Set AD: ask whether the server has validated the answer
    #[arg(long, help_heading = "Flags and EDNS")]
    ad: bool,
    /// Set CD: ask the server not to validate
    #[arg(long, help_heading = "Flags and EDNS")]
    cd: bool,
    /// Do not use EDNS
    #[arg(long, conflicts_with_all = ["bufsize", "dnssec", "nsid", "cookie", "subnet"], help_heading = "Flags and EDNS")]
    no_edns: bool,
    /// Use EDNS: datagrams of this many bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(512..), help_heading = "Flags and EDNS")]
    bufsize: Option<u16>,
    /// Ask for signatures
    #[arg(long, help_heading = "Flags and EDNS")]
    dnssec: bool,
    /// Ask for the server's name
    #[arg(long, help_heading = "Flags and EDNS")]
    nsid: bool,
    /// Send a cookie of 8 bytes, or these in hexadecimal
    #[arg(long, value_name = "HEX", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = hex_or_none, help_heading = "Flags and EDNS")]
    cookie: Option<Hex>,
    /// Ask as if from this subnet, such as 192.0.2.0/24
    #[arg(long, value_name = "CIDR", value_parser = subnet, help_heading = "Flags and EDNS")]
    subnet: Option<Hex>,
    /// Only the data, a line per record
    #[arg(long, conflicts_with_all = ["json", "ndjson"], help_heading = "Output")]
    short: bool,
    /// One JSON document with the names of RFC 8427
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// The same, a line per question
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    ndjson: bool,
    /// Show header, flags, all sections, timing and what was dropped
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,
    /// Show the authority and additional sections
    #[arg(long, help_heading = "Output")]
    all: bool,
    /// Times to live as 1h5m
    #[arg(long, help_heading = "Output")]
    ttl_units: bool,
    /// Names as they are on the wire, not in their own script
    #[arg(long, help_heading = "Output")]
    no_idn: bool,
    /// Records shown of a reply
    #[arg(long, value_name = "N", default_value = "4096", help_heading = "Output")]
    max_records: usize,
    /// Take each reply apart on standard error: every byte, with its offset
    #[arg(long, help_heading = "Output")]
    explain: bool,
    /// Show a message without asking anybody: from a file, from standard input (-), or given in hexadecimal
    #[arg(long, value_name = "FILE|-|HEX", help_heading = "Output")]
    decode: Option<String>,
    /// End with 0 if the name does not exist, as dig does
    #[arg(long, help_heading = "Output")]
    dig_exit: bool,
    /// Print the types that have a name
    #[arg(long, help_heading = "Output")]
    list_types: bool,
    #[command(flatten)]
    driver: DriverArgs,
}

/// How servers are asked.
struct Way {
    over: Option<Over>,
    /// Of HTTPS.
    path: String,
}

/// Bytes from the command line.
#[derive(Clone, Debug)]
struct Hex(Vec<u8>);

fn kind(s: &str) -> Result<Type, String> {
    s.parse().map_err(|()| format!("unknown record type '{}' (try --list-types)", s.escape_debug()))
}

/// How long to wait for somebody: not at all is no wait.
fn wait(s: &str) -> Result<Duration, String> {
    let d = duration(s)?;
    if d.is_zero() { Err(format!("'{s}' leaves no time for a reply")) } else { Ok(d) }
}

fn class(s: &str) -> Result<Class, String> {
    s.parse().map_err(|()| format!("unknown class '{}'", s.escape_debug()))
}

fn hex(s: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        s.chars().filter(|c| !c.is_ascii_whitespace()).map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| d.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|c| c.iter().fold(0, |n, d| n << 4 | d)).collect())
}

fn hex_or_none(s: &str) -> Result<Hex, String> {
    hex(s)
        .filter(|h| h.is_empty() || (8..=40).contains(&h.len()))
        .map(Hex)
        .ok_or_else(|| format!("'{}' is not 8 to 40 bytes in hexadecimal", s.escape_debug()))
}

/// An EDNS client subnet (RFC 7871 6).
fn subnet(s: &str) -> Result<Hex, String> {
    let bad = || format!("'{}' is not a subnet such as 192.0.2.0/24 or 2001:db8::/56", s.escape_debug());
    let (ip, bits) = s.split_once('/').map_or((s, None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.parse().map_err(|_| bad())?;
    let (family, address, all) = match ip {
        IpAddr::V4(ip) => (1, ip.octets().to_vec(), 32),
        IpAddr::V6(ip) => (2, ip.octets().to_vec(), 128),
    };
    let bits = bits.map_or(Ok(all), |b| b.parse::<u8>().map_err(|_| bad()))?;
    if bits > all {
        return Err(bad());
    }
    let mut data = vec![0, family, bits, 0];
    let whole = usize::from(bits / 8);
    data.extend(address.iter().take(whole));
    if bits % 8 > 0 {
        data.extend(address.get(whole).map(|b| b & !(0xff >> (bits % 8))));
    }
    Ok(Hex(data))
}

impl DnsQueryTool {
    fn style(&self) -> show::Style {
        show::Style {
            header: self.kind.is_none() || self.verbose,
            all: self.all,
            verbose: self.verbose,
            ttl_units: self.ttl_units,
            idn: !self.no_idn,
            max_records: self.max_records,
        }
    }
    fn policy(&self, way: &Way) -> Policy {
        let mut options = Vec::new();
        let mut put = |code, data: &[u8]| EdnsOption { code, data }.put(&mut options);
        if self.nsid {
            put(EdnsOption::NSID, &[]);
        }
        if let Some(Hex(data)) = &self.subnet {
            put(EdnsOption::SUBNET, data);
        }
        if let Some(Hex(cookie)) = self.cookie.as_ref().filter(|c| !c.0.is_empty()) {
            put(EdnsOption::COOKIE, cookie);
        }
        let asked = self.cookie.is_some() || self.bufsize.is_some() || self.dnssec || !options.is_empty();
        let mut flags = if self.no_recursion { Flags::QUERY } else { Flags::QUERY.with_recursion() };
        flags = if self.ad { flags.with_authentic() } else { flags };
        flags = if self.cd { flags.with_checking_disabled() } else { flags };
        Policy {
            servers: Vec::new(),
            tries: self.tries,
            timeout: self.timeout,
            doubles: false,
            jitter: false,
            total: self.total_timeout,
            sends: 255,
            mistakes: 16,
            zero_ids: way.over == Some(Over::Https),
            mixed_case: self.mixed_case,
            tcp: match (self.is_stream(way), self.no_tcp) {
                (true, _) => Tcp::Always,
                (_, true) => Tcp::Never,
                _ => Tcp::WhenCut,
            },
            flags,
            edns: (!self.no_edns && asked).then(|| (self.bufsize.unwrap_or(1232), self.dnssec, options)),
        }
    }
    /// What all servers are asked over, and where, by `--over` and by their URLs.
    fn way(&self, servers: &[Server]) -> Result<Way, Failure> {
        let mut each = servers.iter().map(|s| s.over.or(self.over));
        let over = each.next().unwrap_or(self.over);
        if each.any(|o| o != over) || self.over.is_some_and(|o| Some(o) != over) {
            return Err(Failure::usage("all servers are asked over the same: one --over, or one kind of URL"));
        }
        let mut paths = servers.iter().map(|s| s.path.as_ref().unwrap_or(&self.path));
        let path = paths.next().unwrap_or(&self.path).clone();
        if paths.any(|p| *p != path) {
            return Err(Failure::usage("all servers are asked at the same path"));
        }
        Ok(Way { over, path })
    }
    /// Datagrams are not used.
    fn is_stream(&self, way: &Way) -> bool {
        self.tcp || self.via.is_some() || matches!(way.over, Some(Over::Tcp | Over::Tls | Over::Https))
    }
    fn carrier(&self, way: &Way) -> Result<Carrier, Failure> {
        if self.get && way.over != Some(Over::Https) {
            return Err(Failure::usage("--get needs --over https"));
        }
        let alpn: &[&str] = match way.over {
            Some(Over::Tls) => &["dot"],
            Some(Over::Https) => &["http/1.1"],
            Some(Over::Udp | Over::Tcp) | None if self.tls.is_given() => {
                return Err(Failure::usage("flags of TLS need --over tls or --over https"));
            }
            Some(Over::Udp | Over::Tcp) | None => return Ok(Carrier::Tcp),
        };
        let tls = self.tls.setup("localhost", alpn, &self.driver)?; // each server's name is its own
        let secured = Secured { tls, names: BTreeMap::new(), fixed: self.tls.server_name.clone() };
        Ok(match way.over {
            Some(Over::Https) => Carrier::Https(Box::new(secured), Web { path: way.path.clone(), get: self.get }),
            _ => Carrier::Tls(Box::new(secured)),
        })
    }
    fn options(&self) -> Result<Options, Failure> {
        let (servers, names): (Vec<&String>, Vec<&String>) = self.words.iter().partition(|w| w.starts_with('@'));
        let mut servers: Vec<String> = servers.iter().map(|s| s.trim_start_matches('@').to_string()).collect();
        if let Some(server) = std::env::var("DRYWIRE_DNS_SERVER").ok().filter(|s| servers.is_empty() && !s.is_empty()) {
            servers.push(server.trim_start_matches('@').into());
        }
        let servers: Result<Vec<Server>, String> = servers.iter().map(|s| Server::parse(s)).collect();
        let servers = servers.map_err(Failure::usage)?;
        let way = self.way(&servers)?;
        if self.via.is_some() && way.over == Some(Over::Udp) {
            return Err(Failure::usage("a proxy passes on no datagrams: leave udp away"));
        }
        let kind = self.kind.as_deref().map_or(Ok(Type::A), kind).map_err(Failure::usage)?;
        if matches!(kind, Type::AXFR | Type::IXFR) {
            return Err(Failure::usage(format!("{kind} is a transfer of a zone, which dnsquery does not do")));
        }
        let mut wanted = Vec::new();
        for name in names {
            wanted.push(Wanted::new(name, kind, self.class, !self.no_idn).map_err(Failure::usage)?);
        }
        for address in &self.reverse {
            wanted.push(Wanted::reverse(address).map_err(Failure::usage)?);
        }
        let mode = match (&self.file, self.times) {
            (Some(file), _) if file == "-" => Mode::Batch(BatchInput::Stdin),
            (Some(file), _) => Mode::Batch(BatchInput::File(file.clone())),
            (None, Some(times)) => Mode::Loop { times, every: self.interval },
            (None, None) if self.trace => Mode::Trace,
            (None, None) if self.race => Mode::Race,
            (None, None) => Mode::Plain,
        };
        if wanted.is_empty() && self.file.is_none() {
            return Err(Failure::usage("missing NAME (see --help)"));
        }
        if self.file.is_some() && !wanted.is_empty() {
            return Err(Failure::usage("names and --file cannot be used together"));
        }
        let form = match (self.short, self.json, self.ndjson) {
            (true, ..) => Form::Short,
            (_, true, _) => Form::Json,
            (.., true) => Form::Lines,
            _ => Form::Text,
        };
        let mut style = self.style();
        style.header &= !matches!(mode, Mode::Trace | Mode::Batch(_));
        Ok(Options {
            wanted,
            servers,
            port: self.port.unwrap_or(way.over.unwrap_or(Over::Udp).port()),
            carrier: self.carrier(&way)?,
            via: self.via.clone(),
            policy: self.policy(&way),
            search: self.search,
            mode,
            form,
            style,
            new_cookie: self.cookie.as_ref().is_some_and(|c| c.0.is_empty()),
            explain: self.explain,
            dig_exit: self.dig_exit,
            parallel: usize::from(self.parallel),
            kind,
        })
    }
    fn decode(&self, what: &str) -> Result<Code, Failure> {
        let bytes = input(what)?;
        let mut out = std::io::stdout().lock();
        let malformed = |fault: proto_core::Fault| {
            Failure::new(Code::Protocol, format!("malformed message: at byte {}: {}", fault.offset, fault.what))
        };
        let m = Message::parse(&bytes).map_err(malformed)?;
        let style = show::Style { header: true, all: true, ..self.style() };
        let mut text = match self.json || self.ndjson {
            true => format!("{}\n", json::message(&m, None)),
            false => show::message(&m, None, &style),
        };
        if self.explain {
            text.push_str(&explain::message(&m));
        }
        let _ = out.write_all(text.as_bytes()); // a reader that is gone needs no more
        let n = m.check().map_err(malformed)?;
        if n < bytes.len() {
            crate::cli::complain(Self::NAME, &format!("warning: {} bytes after the message", bytes.len() - n));
        }
        Ok(Code::Ok)
    }
}

/// Most bytes of a message that are read, with its hexadecimal digits.
const INPUT_MAX: u64 = 1 << 20;

/// The message to decode: digits, or a file or standard input with bytes or digits.
fn input(what: &str) -> Result<Vec<u8>, Failure> {
    if let Some(bytes) = hex(what).filter(|b| !b.is_empty()) {
        return Ok(bytes);
    }
    let failed =
        |e: &std::io::Error| Failure::usage(format!("--decode: '{}': {}", what.escape_debug(), crate::text::reason(e)));
    let mut read = Vec::new();
    if what == "-" {
        std::io::stdin().lock().take(INPUT_MAX).read_to_end(&mut read).map_err(|e| failed(&e))?;
    } else {
        let file = std::fs::File::open(what).map_err(|e| failed(&e))?;
        file.take(INPUT_MAX).read_to_end(&mut read).map_err(|e| failed(&e))?;
    }
    let digits = core::str::from_utf8(&read).ok().and_then(hex);
    Ok(digits.filter(|b| !b.is_empty()).unwrap_or(read))
}

fn list_types() -> Code {
    let mut out = std::io::stdout().lock();
    for kind in Type::all() {
        if writeln!(out, "{kind:<10} {}", kind.0).is_err() {
            break; // nobody reads on
        }
    }
    Code::Ok
}

impl Tool for DnsQueryTool {
    type App = DnsQuery;
    const NAME: &'static str = "dnsquery";
    const DRIVER: Kind = Kind::Poll;

    fn driver(&self) -> &DriverArgs {
        &self.driver
    }
    fn instead(&self) -> Option<Result<Code, Failure>> {
        if self.list_types {
            return Some(Ok(list_types()));
        }
        self.decode.as_deref().map(|what| self.decode(what))
    }
    fn simulate(&self) -> Result<Code, Failure> {
        self.options()?;
        simulate::name_server(self, self.driver.sim.as_ref())
    }
    fn plan(&self) -> Result<Plan, Failure> {
        self.options()?;
        let stdin = self.file.as_deref() == Some("-");
        Ok(Plan { config: Config { stdin, ..Config::default() }, ..Plan::default() })
    }
    fn app(&self, _: Shard) -> DnsQuery {
        // What is wrong with the command line was said by `plan`.
        DnsQuery::new(self.options().unwrap_or_else(|_| Options {
            wanted: Vec::new(),
            servers: Vec::new(),
            port: 0,
            carrier: Carrier::Tcp,
            via: None,
            policy: Policy::default(),
            search: false,
            mode: dnsquery::Mode::Plain,
            form: Form::Text,
            style: self.style(),
            new_cookie: false,
            explain: false,
            dig_exit: false,
            parallel: 1,
            kind: Type::A,
        }))
    }
}
