//! `socks5_proxy`.
use super::simulate::{Scene, simulate};
use super::{running, server_plan};
use crate::cli::{DriverArgs, Plan, ServerArgs, Target, Tool, complain, duration, port, size};
use crate::outcome::{Code, Failure};
use crate::service::Settings;
use crate::socks::account::{Accounts, Limits};
use crate::socks::auth::{Access, Sources};
use crate::socks::dry_run::DryRun;
use crate::socks::policy::{Rule, Where};
use crate::socks::proxy::{Options, Proxy};
use crate::users;
use crate::via::{Proxy as Via, Speaks};
use clap::Parser;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use drivers::Kind;
use proto_core::{Shard, dns};
use std::io::{BufRead, Write};

/// Connections at once from one address, unless a flag says otherwise.
const PER_ADDRESS: u32 = 100;
/// Connections at once.
const SESSIONS: u32 = 10_000;
/// Without a byte either way.
const IDLE: Duration = Duration::from_secs(3600);

/// A SOCKS5 proxy that does not lead to its own neighbours
#[derive(Parser, Clone, Debug)]
#[command(
    name = "socks5_proxy",
    version,
    max_term_width = 100,
    after_help = "\
Destinations of rules:
  10.0.0.0/8  example.com  *.example.com  loopback  link-local  metadata  private  multicast  *
  each with a port or ports if wanted: *:25  10.0.0.0/8:8000-8999  [fc00::/7]:443

Refused unless allowed by address: loopback, link-local, metadata, multicast, unspecified, reserved; and the
proxy's own listeners, always.

Examples:
  socks5_proxy -p 1080
  socks5_proxy -p 1080 --auth users.txt
  socks5_proxy -p 1080 --allow loopback --deny '*:25'
  socks5_proxy -p 1080 --auth users.txt --max-rate-per-user 10MB --max-bytes-per-user 100GB --usage usage.txt
  socks5_proxy --listen 0.0.0.0:1080 --allow-from 10.0.0.0/8
  socks5_proxy -p 1080 --also http,socks4
  socks5_proxy -p 1081 --upstream socks5h://user:pass@proxy.example:1080
  socks5_proxy --hash-password alice < password >> users.txt
  socks5_proxy --rules rules.txt --dry-run example.com:443 --user alice
  curl --socks5-hostname localhost:1080 -U user:pass https://example.com/"
)]
pub struct Socks5Tool {
    #[command(flatten)]
    args: ServerArgs,
    /// Users that may log in: a file of user:password or user:$argon2id$... lines, read again on SIGHUP
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    auth: Option<String>,
    /// An address that has logged in may come without for ten minutes
    #[arg(long, requires = "auth", help_heading = "Access")]
    auth_once: bool,
    /// Allow a destination (repeatable; after all --deny)
    #[arg(long, value_name = "DEST", help_heading = "Access")]
    allow: Vec<Where>,
    /// Deny a destination (repeatable)
    #[arg(long, value_name = "DEST", help_heading = "Access")]
    deny: Vec<Where>,
    /// More rules, one a line: allow|deny DEST [user=NAME] [from=CIDR]; read again on SIGHUP
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    rules: Option<String>,
    /// Serve everybody who can connect, without a login
    #[arg(long, help_heading = "Access")]
    open: bool,
    /// Serve UDP ASSOCIATE: relay datagrams
    #[arg(long)]
    udp: bool,
    /// UDP associations at once
    #[arg(long, value_name = "N", default_value = "1024", requires = "udp", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    max_udp: u32,
    /// Serve BIND: listen for one connection from an address that the client names
    #[arg(long)]
    bind_cmd: bool,
    /// Other protocols on the same ports, told by their first byte: SOCKS4 and 4a, CONNECT of HTTP
    #[arg(long, value_name = "socks4,http", value_delimiter = ',')]
    also: Vec<Also>,
    /// How bytes are passed on in bulk: within the kernel where the driver can (splice), or copied
    #[arg(long, value_name = "copy|splice", default_value = "splice")]
    relay: Passage,
    /// Reach all targets through another SOCKS proxy: socks5h:// is told names, socks5:// addresses that were checked here
    #[arg(long, value_name = "socks5h://[USER:PASS@]PROXY[:PORT]", conflicts_with_all = ["udp", "bind_cmd"], value_parser = upstream)]
    upstream: Option<Via>,
    /// Our own address on connections to targets
    #[arg(long, value_name = "ADDR")]
    bind_out: Option<IpAddr>,
    /// Ask this name server instead of those of /etc/resolv.conf (repeatable)
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = name_server)]
    dns: Vec<SocketAddr>,
    /// How long resolving and connecting may take together
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Limits")]
    connect_timeout: Duration,
    /// Sessions that may be connecting at once
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    max_pending: u32,
    /// Sessions of one user at once
    #[arg(long, value_name = "N", requires = "auth", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    max_per_user: Option<u32>,
    /// Bytes per second of one user, both ways and all sessions together, such as 10MB
    #[arg(long, value_name = "SIZE", requires = "auth", value_parser = some_bytes, help_heading = "Limits")]
    max_rate_per_user: Option<u64>,
    /// Bytes of one user in a calendar month (UTC), both ways, such as 100GB
    #[arg(long, value_name = "SIZE", requires = "usage", value_parser = some_bytes, help_heading = "Limits")]
    max_bytes_per_user: Option<u64>,
    /// Remember in this file how many bytes each user has moved this month
    #[arg(long, value_name = "FILE", requires = "auth", help_heading = "Access")]
    usage: Option<String>,
    /// Read a password from standard input, print the line of that user for --auth, and end
    #[arg(long, value_name = "USER", help_heading = "Instead")]
    hash_password: Option<String>,
    /// Say which rule would decide, and end
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port, help_heading = "Instead")]
    dry_run: Option<(String, u16)>,
    /// The user of --dry-run
    #[arg(long, value_name = "NAME", requires = "dry_run", help_heading = "Instead")]
    user: Option<String>,
}

/// What is spoken besides SOCKS5.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Also {
    /// SOCKS4 and 4a, which know no login.
    Socks4,
    /// CONNECT of HTTP/1.x.
    Http,
}

/// How a relay passes bytes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Passage {
    /// By receiving and sending.
    Copy,
    /// Within the kernel, where that is possible.
    Splice,
}

fn name_server(s: &str) -> Result<SocketAddr, String> {
    let bare = || s.trim_matches(['[', ']']).parse().map(|ip: IpAddr| SocketAddr::new(ip, dns::PORT));
    s.parse().or_else(|_| bare()).map_err(|_| format!("'{s}' is not an address such as 9.9.9.9 or [::1]:5353"))
}

fn upstream(s: &str) -> Result<Via, String> {
    let via = Via::parse(s)?;
    if via.speaks == Speaks::Http { Err("an upstream is socks5:// or socks5h://".into()) } else { Ok(via) }
}

fn some_bytes(s: &str) -> Result<u64, String> {
    match size(s)? {
        0 => Err("0 bytes are none at all".into()),
        n => Ok(n as u64),
    }
}

fn host_port(s: &str) -> Result<(String, u16), String> {
    let split = s.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let (host, p) = split.ok_or_else(|| format!("'{s}' is not HOST:PORT"))?;
    Ok((host.trim_matches(['[', ']']).into(), port(p)?))
}

impl Socks5Tool {
    fn sources(&self) -> Sources {
        let deny = self.deny.iter().map(|to| Rule::of_flag(false, to.clone()));
        let allow = self.allow.iter().map(|to| Rule::of_flag(true, to.clone()));
        Sources { users: self.auth.clone(), rules: self.rules.clone(), flags: deny.chain(allow).collect() }
    }
    fn access(&self) -> Result<Access, Failure> {
        let read = |path: &Option<String>| match path {
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Some(text)),
                Err(e) => Err(Failure::usage(format!("{path}: {}", crate::text::reason(&e)))),
            },
            None => Ok(None),
        };
        let (users, rules) = (read(&self.auth)?, read(&self.rules)?);
        self.sources().read(users.as_deref(), rules.as_deref()).map_err(Failure::usage)
    }
    /// What users may use, and have used so far.
    fn accounts(&self) -> Result<Accounts, Failure> {
        let (sessions, rate, month) = (self.max_per_user, self.max_rate_per_user, self.max_bytes_per_user);
        // With several loops each would know only its own part of what a user uses.
        let shown = self.args.metrics.is_some() && self.auth.is_some() && self.args.threads == 1;
        let mut accounts = Accounts::new(Limits { sessions, rate, month }, self.usage.is_some() || shown);
        let Some(path) = &self.usage else { return Ok(accounts) };
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let told = accounts.read(&text);
                told.map_err(|(line, what)| Failure::usage(format!("{path}:{line}: {what}")))?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {} // nobody has used anything
            Err(e) => return Err(Failure::usage(format!("{path}: {}", crate::text::reason(&e)))),
        }
        Ok(accounts)
    }
    /// A proxy for everybody is one that somebody has asked for.
    fn check_open(&self) -> Result<(), Failure> {
        let open = self.args.listen.iter().find(|t| matches!(t, Target::Ip(ip, _) if !ip.is_loopback()));
        let Some(Target::Ip(ip, own)) = open else { return Ok(()) };
        if self.open || self.auth.is_some() || !self.args.allow_from.is_empty() {
            return Ok(());
        }
        let port = own.or(self.args.port()).map_or(String::new(), |p| format!(":{p}"));
        let at = if ip.is_ipv6() { format!("[{ip}]{port}") } else { format!("{ip}{port}") };
        let text = format!("refusing to run an open proxy on {at}; use --auth, --allow-from or --open");
        Err(Failure::usage(text))
    }
    fn hash(user: &str) -> Result<Code, Failure> {
        let mut password = String::new();
        let read = std::io::stdin().lock().read_line(&mut password);
        read.map_err(|e| Failure::new(Code::Local, format!("standard input: {}", crate::text::reason(&e))))?;
        let mut salt = [0; 16];
        drivers::random(&mut salt).map_err(|e| Failure::new(Code::Local, e.to_string()))?;
        let line = users::line(user, password.trim_end_matches(['\r', '\n']), &salt).map_err(Failure::usage)?;
        let _ = writeln!(std::io::stdout(), "{line}"); // a reader that is gone wants no more
        Ok(Code::Ok)
    }
    fn try_out(&self, host: &str, port: u16) -> Result<Code, Failure> {
        let policy = self.access()?.policy;
        let make = |_| DryRun::new(policy.clone(), self.user.as_deref(), (host, port), self.dns.clone());
        let ran = drivers::run(Kind::Poll, make, Vec::new(), &drivers::Config::default());
        match ran.map_err(|e| Failure::new(Code::Local, e.to_string()))? {
            0 => Ok(Code::Ok),
            code if code == Code::Name as u8 => Ok(Code::Name),
            _ => Ok(Code::Answered),
        }
    }
}

impl Tool for Socks5Tool {
    type App = Proxy;
    const NAME: &'static str = "socks5_proxy";
    const DRIVER: Kind = Kind::Epoll;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn instead(&self) -> Option<Result<Code, Failure>> {
        if let Some(user) = &self.hash_password {
            return Some(Socks5Tool::hash(user));
        }
        if let Some((host, port)) = &self.dry_run {
            return Some(self.try_out(host, *port));
        }
        running(Self::NAME, &self.args)
    }
    fn simulate(&self) -> Result<Code, Failure> {
        simulate(self, self.args.driver.sim.as_ref(), Scene::Proxy)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        let access = self.access()?;
        self.accounts()?;
        let counted = self.max_per_user.is_some() || self.max_rate_per_user.is_some() || self.usage.is_some();
        if counted && self.args.threads > 1 {
            return Err(Failure::usage("--threads: what a user uses is counted on one loop"));
        }
        self.check_open()?;
        let mut plan = server_plan(Self::NAME, &self.args)?;
        plan.config.splice = self.relay == Passage::Splice;
        if access.users.is_some() && self.args.workers.is_none() {
            plan.config.workers = std::thread::available_parallelism().map_or(1, Into::into);
        }
        plan.notes.extend(self.auth.iter().filter_map(|path| users::too_open(path)));
        Ok(plan)
    }
    fn app(&self, _: Shard) -> Proxy {
        let mut args = self.args.clone();
        args.max_conns_per_ip.get_or_insert(PER_ADDRESS);
        args.idle_timeout.get_or_insert(IDLE);
        let gone = |e: Failure| -> ! {
            complain(Self::NAME, &e.text); // it could be read a moment ago, when it was checked
            std::process::exit(e.code as i32)
        };
        let access = self.access().unwrap_or_else(|e| gone(e));
        let accounts = self.accounts().unwrap_or_else(|e| gone(e));
        let options = Options {
            access,
            sources: self.sources(),
            auth_once: self.auth_once,
            connect_timeout: self.connect_timeout,
            bind: self.bind_out,
            pending: self.max_pending as usize,
            accounts,
            usage: self.usage.clone(),
            associations: if self.udp { self.max_udp as usize } else { 0 },
            bind_command: self.bind_cmd,
            socks4: self.also.contains(&Also::Socks4),
            http: self.also.contains(&Also::Http),
            upstream: self.upstream.clone(),
            dns: self.dns.clone(),
            ..Options::default()
        };
        Proxy::new(Settings::new(&args, Some(SESSIONS)), options)
    }
}
