//! What the command line asks for, as data.
use super::address::Address;
use super::report::Report;
use super::secured::Secured;
use super::upload::Upload;
use crate::dialer::Family;
use crate::outcome::{Code, Failure};
use crate::text::Secret;
use crate::via::Proxy;
use core::net::IpAddr;
use core::time::Duration;
use proto_core::http1;

/// All that one run does.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to fetch, in this order.
    pub jobs: Vec<Job>,
    /// Instead of GET, or POST if there is a body.
    pub method: Option<String>,
    /// The body.
    pub upload: Upload,
    /// What of an answer is shown.
    pub show: Show,
    /// `User-Agent`.
    pub agent: String,
    /// Fields that the user adds; `None` takes one away that is there by itself.
    pub fields: Vec<(String, Option<String>)>,
    /// `Referer`.
    pub referer: Option<String>,
    /// Ask for, and undo, content codings.
    pub compressed: bool,
    /// Follow redirects.
    pub follow: Option<Follow>,
    /// What HTTP errors do.
    pub fail: Fail,
    /// How often to try again.
    pub retry: u32,
    /// Go on with a file that is there in part.
    pub resume: bool,
    /// Replace files.
    pub force: bool,
    /// Name and password.
    pub user: Option<(String, Secret)>,
    /// A file with a bearer token.
    pub bearer_file: Option<String>,
    /// A file of passwords by host.
    pub netrc: Option<String>,
    /// Cookies that were given as text: `a=b; c=d`.
    pub cookies: Option<String>,
    /// Files that cookies are read from; empty files and files that are not there have none.
    pub cookie_files: Vec<String>,
    /// Where the cookies are written at the end.
    pub jar: Option<String>,
    /// How connections are made.
    pub reach: Reach,
    /// Bytes per second of a body.
    pub rate: Option<u64>,
    /// Text with variables, written after each answer.
    pub write_out: Option<String>,
    /// Times as JSON, after each answer.
    pub timing: bool,
    /// Keep `.` and `..` in paths that a redirect leads to.
    pub path_as_is: bool,
    /// Bytes of a body, decoded.
    pub max_body: u64,
    /// For one answer, everything included.
    pub timeout: Option<Duration>,
    /// Limits and times of the protocol.
    pub http: http1::Config,
    /// List what a lenient reading forgives.
    pub lint: bool,
    /// Say why.
    pub explain: bool,
    /// How https connections are secured, or why there can be none.
    pub tls: Result<Secured, Failure>,
    /// What is told of handshakes; `None`: only what is wrong with them.
    pub report: Option<Report>,
    /// A file to which the keys of https connections are added at the end.
    pub keylog: Option<String>,
    /// The tool's name, before what it complains of.
    pub name: &'static str,
}

/// One URL and where its body goes.
#[derive(Clone, Debug)]
pub struct Job {
    /// What.
    pub url: Address,
    /// Where to.
    pub out: Out,
    /// Once more what the one before was, on a connection of its own that may continue its session.
    pub again: bool,
}

/// Where a body goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Out {
    /// Standard output.
    #[default]
    Stdout,
    /// This file.
    File(String),
    /// A file named as the URL's path ends.
    Remote {
        /// As the server says, if it does.
        header: bool,
    },
}

/// What of an answer is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Show {
    /// `-v`.
    pub verbose: bool,
    /// `-q`.
    pub quiet: bool,
    /// Only the body.
    pub body_only: bool,
    /// Only the head: of HEAD, or of what else was asked.
    pub head_only: bool,
    /// With HEAD as the method.
    pub head_method: bool,
    /// Draw a bar for what takes long.
    pub progress: bool,
    /// JSON stays on a terminal as it is.
    pub raw: bool,
    /// It has colours.
    pub colour: bool,
}

/// How redirects are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Follow {
    /// How many.
    pub most: u32,
    /// From https to http, too.
    pub downgrade: bool,
}

/// What a status of 400 and above does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fail {
    /// Nothing.
    #[default]
    Never,
    /// Exit code 10, without the body.
    Quiet,
    /// Exit code 10 after the body.
    WithBody,
}

/// How connections are made.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Address families.
    pub family: Family,
    /// For connecting.
    pub timeout: Duration,
    /// Instead of the host: a Unix socket.
    pub unix: Option<String>,
    /// Addresses of hosts, instead of asking for them: host, port, address.
    pub resolve: Vec<(String, u16, IpAddr)>,
    /// The proxy of `--via`, for every host.
    pub via: Option<Proxy>,
    /// The proxies of the environment, for http and https.
    pub env: (Option<Proxy>, Option<Proxy>),
    /// Hosts that are reached without the environment's proxy.
    pub no_proxy: String,
    /// A tunnel through the proxy for http, too.
    pub tunnel: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            jobs: Vec::new(),
            method: None,
            upload: Upload::default(),
            show: Show::default(),
            agent: AGENT.into(),
            fields: Vec::new(),
            referer: None,
            compressed: false,
            follow: None,
            fail: Fail::Never,
            retry: 0,
            resume: false,
            force: false,
            user: None,
            bearer_file: None,
            netrc: None,
            cookies: None,
            cookie_files: Vec::new(),
            jar: None,
            reach: Reach { timeout: Duration::from_secs(10), ..Reach::default() },
            rate: None,
            write_out: None,
            timing: false,
            path_as_is: false,
            max_body: u64::MAX,
            timeout: None,
            http: http1::Config::CLIENT,
            lint: false,
            explain: false,
            tls: Err(Failure::new(Code::Tls, "there is no TLS here")),
            report: None,
            keylog: None,
            name: "httpclient",
        }
    }
}

/// How we call ourselves.
pub const AGENT: &str = "drywire/0.1";
