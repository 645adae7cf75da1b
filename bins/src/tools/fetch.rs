//! `httpclient`.
mod body;
mod values;

use crate::certs::peer::{Fake, Peer};
use crate::cli::{ClientTlsArgs, DriverArgs, Plan, Tool, duration, size};
use crate::dialer::Family;
use crate::fetch::address::Address;
use crate::fetch::address::Scheme;
use crate::fetch::options::{Fail, Follow, Job, Out, Reach, Show};
use crate::fetch::secured::Secured;
use crate::fetch::starttls::Protocol;
use crate::fetch::{Fetch, Options};
use crate::outcome::{Code, Failure};
use crate::text::Secret;
use crate::via::Proxy;
use body::BodyArgs;
use clap::Parser;
use core::net::IpAddr;
use core::time::Duration;
use drivers::{Config, Kind};
use proto_core::http1::{Lenient, Times};
use proto_core::{Shard, Wall};
use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};

/// Fetches pages, submits forms and downloads files over HTTP/1.1, http and https
#[derive(Parser, Clone, Debug)]
#[command(
    name = "httpclient",
    version,
    max_term_width = 100,
    disable_help_flag = true,
    after_help = "\
Examples:
  httpclient http://localhost:8080/                      status line, headers and body
  httpclient -X POST -d name=test http://localhost:8080/post
  httpclient -o image.png http://localhost:8080/image.png
  httpclient -v http://localhost:8080/a http://localhost:8080/b    two answers on one connection
  httpclient -F file=@photo.jpg -F title=Sea http://localhost:8080/upload
  httpclient -L --compressed -b http://localhost:8080/ | less
  httpclient -C - --retry 5 -O http://localhost:8080/big.iso        goes on where it was cut off"
)]
pub struct HttpClientTool {
    /// What to fetch; without a scheme it is http (repeatable)
    #[arg(value_name = "URL", required_unless_present = "list_drivers")]
    urls: Vec<String>,
    #[command(flatten)]
    body: BodyArgs,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Ask with METHOD instead of GET or POST
    #[arg(short = 'X', long = "request", value_name = "METHOD", value_parser = values::method, help_heading = "Request")]
    method: Option<String>,
    /// Only ask for the head (HEAD)
    #[arg(short = 'I', long, conflicts_with = "method", help_heading = "Request")]
    head: bool,
    /// Add a header; NAME: alone takes one away (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = values::field, help_heading = "Request")]
    header: Vec<(String, Option<String>)>,
    /// What to send as User-Agent
    #[arg(short = 'A', long = "user-agent", value_name = "NAME", value_parser = values::text, help_heading = "Request")]
    agent: Option<String>,
    /// What to send as Referer
    #[arg(short = 'e', long = "referer", value_name = "URL", value_parser = values::text, help_heading = "Request")]
    referer: Option<String>,
    /// Accept gzip, deflate, br and zstd, and undo them
    #[arg(long, help_heading = "Request")]
    compressed: bool,
    /// Keep . and .. in the path
    #[arg(long, help_heading = "Request")]
    path_as_is: bool,
    /// Save the body to FILE; for several URLs repeat it, in their order
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Vec<String>,
    /// Save the body to a file named as the path ends
    #[arg(short = 'O', long, conflicts_with = "output", help_heading = "Output")]
    remote_name: bool,
    /// With -O, to a file named as the server says
    #[arg(short = 'J', long, requires = "remote_name", conflicts_with = "resume", help_heading = "Output")]
    remote_header_name: bool,
    /// Go on with what is there of the file
    #[arg(short = 'C', long = "continue-at", value_name = "-", num_args = 1, allow_hyphen_values = true, value_parser = ["-"], help_heading = "Output")]
    resume: Option<String>,
    /// Replace a file that is there
    #[arg(long, conflicts_with = "resume", help_heading = "Output")]
    force: bool,
    /// Print only the body
    #[arg(short, long, conflicts_with_all = ["headers", "head"], help_heading = "Output")]
    body_only: bool,
    /// Print only the status line and headers
    #[arg(long, help_heading = "Output")]
    headers: bool,
    /// Print what is sent (>) and received (<) to standard error
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,
    /// Print no headers, notes or bar
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
    /// Print TEXT after each answer, with %{http_code}, %{time_total}, ...
    #[arg(short = 'w', long, value_name = "TEXT", help_heading = "Output")]
    write_out: Option<String>,
    /// Print times and sizes of each answer to standard error, as JSON
    #[arg(long, help_heading = "Output")]
    timing: bool,
    /// Say why bodies end where they do, and connections are used again or not
    #[arg(long, help_heading = "Output")]
    explain: bool,
    /// Forgive what can be forgiven, and list it with its place
    #[arg(long, help_heading = "Output")]
    lint: bool,
    /// Draw no bar
    #[arg(long, help_heading = "Output")]
    no_progress: bool,
    /// Show JSON on a terminal as it is, and not indented
    #[arg(long, help_heading = "Output")]
    raw: bool,
    /// Follow redirects
    #[arg(short = 'L', long = "location", help_heading = "Redirects and failures")]
    follow: bool,
    /// How many
    #[arg(long, value_name = "N", default_value = "10", help_heading = "Redirects and failures")]
    max_redirs: u32,
    /// Also from https to http
    #[arg(long, help_heading = "Redirects and failures")]
    allow_downgrade: bool,
    /// End with 10 if the status is 400 or more, without the body
    #[arg(short, long, help_heading = "Redirects and failures")]
    fail: bool,
    /// End with 10 if the status is 400 or more, after the body
    #[arg(long, conflicts_with = "fail", help_heading = "Redirects and failures")]
    fail_with_body: bool,
    /// Try again N times after failures that may pass
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=1000), help_heading = "Redirects and failures")]
    retry: u32,
    /// Name and password
    #[arg(short = 'u', long, value_name = "NAME:PASSWORD", value_parser = values::text, help_heading = "Who we are")]
    user: Option<String>,
    /// A file with a token to send as Authorization: Bearer
    #[arg(long, value_name = "FILE", conflicts_with = "user", help_heading = "Who we are")]
    bearer_file: Option<String>,
    /// A file of names and passwords by host
    #[arg(long, value_name = "FILE", help_heading = "Who we are")]
    netrc_file: Option<String>,
    /// Cookies to send, as NAME=VALUE; NAME=VALUE, or a file of them (repeatable)
    #[arg(long, value_name = "DATA|FILE", value_parser = values::text, help_heading = "Who we are")]
    cookie: Vec<String>,
    /// Read cookies from FILE, and write them back at the end
    #[arg(long, value_name = "FILE", help_heading = "Who we are")]
    cookie_jar: Option<String>,
    /// Through this proxy: http://, socks5h:// (it looks up names) or socks5://
    #[arg(long, value_name = "URL", value_parser = Proxy::parse, help_heading = "Connection")]
    via: Option<Proxy>,
    /// A tunnel through the proxy for http, too
    #[arg(long, help_heading = "Connection")]
    tunnel: bool,
    /// Take no proxy from the environment
    #[arg(long, help_heading = "Connection")]
    no_proxy: bool,
    /// Connect to this Unix socket
    #[arg(long, value_name = "PATH", conflicts_with_all = ["via", "resolve"], help_heading = "Connection")]
    unix_socket: Option<String>,
    /// IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6", help_heading = "Connection")]
    ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', help_heading = "Connection")]
    ipv6: bool,
    /// Connect to ADDRESS for this host and port (repeatable)
    #[arg(long, value_name = "HOST:PORT:ADDRESS", value_parser = values::resolve, help_heading = "Connection")]
    resolve: Vec<(String, u16, IpAddr)>,
    /// Bytes per second of a body
    #[arg(long, value_name = "SIZE", value_parser = values::rate, help_heading = "Limits")]
    limit_rate: Option<u64>,
    /// How long connecting may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Limits")]
    connect_timeout: Duration,
    /// How long the first byte of an answer may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Limits")]
    first_byte_timeout: Duration,
    /// How long nothing of a body may come
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Limits")]
    idle_timeout: Duration,
    /// How long one URL may take in all
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Limits")]
    timeout: Option<Duration>,
    /// Largest body, decoded
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Limits")]
    max_body: Option<usize>,
    #[command(flatten)]
    tls: ClientTlsArgs,
    #[command(flatten)]
    driver: DriverArgs,
    /// Made once, for the check and for the app: files and the system's roots are read only once.
    #[arg(skip)]
    secured: Arc<OnceLock<Result<Secured, Failure>>>,
    #[arg(skip)]
    pub(super) peer: Peer,
}

/// What only `https_client` asks of TLS.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct More {
    pub no_sni: bool,
    pub staple: bool,
    pub key_log: bool,
    pub at: Option<Wall>,
    /// URLs without a scheme are https, and others are refused.
    pub https: bool,
    /// The server is simulated, and whom it is signed by is believed if no flag says whom to believe.
    pub peer: Option<Fake>,
    /// What is said before TLS begins; it has a port of its own.
    pub starttls: Option<Protocol>,
}

impl HttpClientTool {
    /// The plan of a tool that does this.
    pub(super) fn plan_of(&self, options: &Options) -> Plan {
        use std::os::unix::fs::PermissionsExt;
        let is_open = |path: &&String| std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o077 != 0);
        let secrets = self.bearer_file.iter().chain(&self.netrc_file).filter(is_open);
        let notes = secrets.map(|path| format!("{path} can be read by others (chmod 600 {path})")).collect();
        let stdin = options.upload.paths().any(|p| p == "-");
        Plan { config: Config { stdin, ..Config::default() }, notes, ..Plan::default() }
    }
    pub(super) fn tls(&self) -> &ClientTlsArgs {
        &self.tls
    }
    fn jobs(&self, More { https, starttls, .. }: More) -> Result<Vec<Job>, Failure> {
        if !self.output.is_empty() && self.output.len() != self.urls.len() {
            let (files, urls) = (self.output.len(), self.urls.len());
            return Err(Failure::usage(format!("-o is given {files} times for {urls} URLs (once for each)")));
        }
        let job = |(i, url): (usize, &String)| {
            let text = if https && !url.contains("://") { format!("https://{url}") } else { url.clone() };
            let mut url = Address::parse(&text, self.path_as_is).map_err(|e| Failure::usage(e.to_string()))?;
            if https && url.origin.scheme == Scheme::Http {
                return Err(Failure::usage("https_client needs https:// (use httpclient)"));
            }
            if let Some(protocol) = starttls.filter(|_| !url.origin.has_port(&text)) {
                url.origin.port = protocol.port();
            }
            let out = match self.output.get(i).map(String::as_str) {
                Some("-") => Out::Stdout,
                Some(file) => Out::File(file.into()),
                None if self.remote_name => Out::Remote { header: self.remote_header_name },
                None => Out::Stdout,
            };
            Ok(Job { url, out, again: false })
        };
        self.urls.iter().enumerate().map(job).collect()
    }
    fn reach(&self) -> Result<Reach, Failure> {
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        };
        let mut reach = Reach {
            family,
            timeout: self.connect_timeout,
            unix: self.unix_socket.clone(),
            resolve: self.resolve.clone(),
            via: self.via.clone(),
            tunnel: self.tunnel,
            ..Reach::default()
        };
        if !self.no_proxy && self.via.is_none() && self.driver.driver != Some(Kind::Sim) {
            let all = values::env_proxy("all_proxy")?;
            let of = |name| Ok::<_, Failure>(values::env_proxy(name)?.or(all.clone()));
            reach.env = (of("http_proxy")?, of("https_proxy")?);
            reach.no_proxy = values::env("no_proxy").unwrap_or_default();
        }
        Ok(reach)
    }
    /// How https connections are made, or why there can be none: that only matters if there is one.
    fn secured(&self, more: More) -> Result<Secured, Failure> {
        let make = || {
            if self.driver.record.is_some() {
                return Err(Failure::usage("--record cannot be used with TLS: its keys are never the same twice"));
            }
            let own = more.peer.filter(|_| self.tls.ca.is_none()).map(|fake| self.peer.roots(fake)).transpose()?;
            let (mut common, mut peers) = self.tls.parts(&["http/1.1"], own)?;
            common.limits.handshake = common.limits.handshake.min(self.connect_timeout);
            (common.at, common.key_log) = (more.at, more.key_log);
            (peers.no_sni, peers.staple) = (more.no_sni, more.staple);
            let secured = Secured::new(common, peers, self.tls.server_name.clone())?;
            Ok(secured.after(more.starttls, self.explain))
        };
        self.secured.get_or_init(make).clone()
    }
    pub(super) fn options(&self, more: More) -> Result<Options, Failure> {
        let mut http = Options::default().http;
        http.times = Times {
            idle: self.first_byte_timeout,
            head: self.first_byte_timeout,
            body_grace: self.idle_timeout,
            stall: self.idle_timeout,
            ..Times::CLIENT
        };
        http.lenient = if self.lint { Lenient::ALL } else { Lenient::STRICT };
        let user = self.user.as_ref().map(|u| u.split_once(':').unwrap_or((u, "")));
        let (given, files): (Vec<&String>, Vec<&String>) = self.cookie.iter().partition(|c| c.contains('='));
        let given: Vec<&str> = given.into_iter().map(String::as_str).collect();
        let jobs = self.jobs(more)?;
        let is_https = jobs.iter().any(|j| j.url.origin.scheme == Scheme::Https);
        let may_be = is_https || self.follow || self.tls.is_given();
        let tls = if may_be { self.secured(more) } else { Options::default().tls };
        if let (Err(why), true) = (&tls, is_https || self.tls.is_given()) {
            return Err(why.clone());
        }
        Ok(Options {
            jobs,
            tls,
            report: None,
            keylog: None,
            name: Self::NAME,
            method: self.method.clone(),
            upload: self.body.upload()?,
            show: Show {
                verbose: self.verbose,
                quiet: self.quiet,
                body_only: self.body_only,
                head_only: self.headers || self.head,
                head_method: self.head,
                raw: self.raw,
                colour: values::env("no_color").is_none(),
                progress: !self.quiet && !self.no_progress && std::io::stderr().is_terminal(),
            },
            agent: self.agent.clone().unwrap_or_else(|| crate::fetch::options::AGENT.into()),
            fields: self.header.clone(),
            referer: self.referer.clone(),
            compressed: self.compressed,
            follow: self.follow.then_some(Follow { most: self.max_redirs, downgrade: self.allow_downgrade }),
            fail: match (self.fail, self.fail_with_body) {
                (true, _) => Fail::Quiet,
                (_, true) => Fail::WithBody,
                _ => Fail::Never,
            },
            retry: self.retry,
            resume: self.resume.is_some(),
            force: self.force,
            user: user.map(|(name, password)| (name.into(), Secret(password.into()))),
            bearer_file: self.bearer_file.clone(),
            netrc: self.netrc_file.clone(),
            cookies: (!given.is_empty()).then(|| given.join("; ")),
            cookie_files: files.into_iter().chain(&self.cookie_jar).cloned().collect(),
            jar: self.cookie_jar.clone(),
            reach: self.reach()?,
            rate: self.limit_rate,
            write_out: self.write_out.clone(),
            timing: self.timing,
            path_as_is: self.path_as_is,
            max_body: self.max_body.map_or(u64::MAX, |n| n as u64),
            timeout: self.timeout,
            http,
            lint: self.lint,
            explain: self.explain,
        })
    }
}

impl Tool for HttpClientTool {
    type App = Fetch;
    const NAME: &'static str = "httpclient";
    const DRIVER: Kind = Kind::Epoll;

    fn driver(&self) -> &DriverArgs {
        &self.driver
    }
    fn simulate(&self) -> Result<Code, Failure> {
        self.options(More::default())?;
        super::simulate::simulate(self, self.driver.sim.as_ref(), super::simulate::Scene::Fetch)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        let options = self.options(More::default())?;
        Ok(self.plan_of(&options))
    }
    fn app(&self, _: Shard) -> Fetch {
        // `plan` has checked it; a replay that is not given the same command line does nothing.
        Fetch::new(self.options(More::default()).unwrap_or_default())
    }
}
