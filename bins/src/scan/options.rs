//! What the command line asks for.
use super::found::Listed;
use super::ports::Ports;
use super::targets::{Block, Item};
use crate::dialer::{Family, Source};
use core::time::Duration;

/// How the result is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON document at the end.
    Json,
    /// A JSON object per port, as they are found.
    Lines,
    /// A line per host, as `nmap -oG` has it.
    Grepable,
}

/// How TCP ports are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum How {
    /// By connecting.
    #[default]
    Connect,
    /// By half a connection, through a raw socket.
    Syn,
    /// The second if it is allowed, else the first.
    Auto,
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// TCP connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
    /// What a port is called.
    pub fn service(self, port: u16) -> &'static str {
        match self {
            Protocol::Tcp => super::services::tcp(port),
            Protocol::Udp => super::services::udp(port),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Options {
    /// Hosts and networks.
    pub items: Vec<Item>,
    /// A file with more of them.
    pub list: Option<String>,
    /// Not these.
    pub exclude: Vec<Block>,
    /// Ports.
    pub ports: Ports,
    /// What is sent.
    pub protocol: Protocol,
    /// How TCP ports are asked.
    pub how: How,
    /// Probes under way at once.
    pub concurrency: u32,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// How often a silent port is asked again.
    pub retries: u8,
    /// Probes per second.
    pub rate: Option<u32>,
    /// Which ports are listed; `None`: as the form of the port list says.
    pub listed: Option<Listed>,
    /// With the names of services; `None`: the same.
    pub service: Option<bool>,
    /// With how it is known.
    pub reason: bool,
    /// Columns are aligned.
    pub aligned: bool,
    /// How it is written.
    pub form: Form,
    /// Read what an open port says first.
    pub banner: bool,
    /// Greet it with TLS, and tell whose certificate comes.
    pub tls: bool,
    /// In an order that a seed decides.
    pub randomize: bool,
    /// The seed; `None`: from the driver.
    pub seed: Option<u64>,
    /// The share (from 0) and how many there are.
    pub shard: (u64, u64),
    /// Where the position is kept.
    pub resume: Option<String>,
    /// An earlier result to compare with.
    pub diff: Option<String>,
    /// The ports that ought to be open.
    pub expect: Option<Ports>,
    /// Which addresses of a name.
    pub family: Family,
    /// Who looks up names.
    pub source: Source,
    /// A large scan needs no question.
    pub yes: bool,
    /// Tell more.
    pub verbose: bool,
    /// Data only.
    pub quiet: bool,
    /// Show how far it is, on standard error.
    pub progress: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            items: Vec::new(),
            list: None,
            exclude: Vec::new(),
            ports: Ports::default(),
            protocol: Protocol::Tcp,
            how: How::Connect,
            concurrency: 100,
            timeout: Duration::from_secs(3),
            retries: 1,
            rate: None,
            listed: None,
            service: None,
            reason: false,
            aligned: false,
            form: Form::Text,
            banner: false,
            tls: false,
            randomize: false,
            seed: None,
            shard: (0, 1),
            resume: None,
            diff: None,
            expect: None,
            family: Family::Any,
            source: Source::Own,
            yes: false,
            verbose: false,
            quiet: false,
            progress: false,
        }
    }
}

/// More targets than that need a question, and are not listed unless they are open.
pub const MANY: u64 = 65_536;

impl Options {
    /// Which ports are listed of so many.
    pub fn listed(&self, targets: u64) -> Listed {
        let many = if targets > MANY { Listed::Open } else { Listed::NotClosed };
        self.listed.unwrap_or(if self.ports.is_ranged() || targets > MANY { many } else { Listed::All })
    }
    /// The table has the names of services.
    pub fn has_service(&self) -> bool {
        self.service.unwrap_or(self.ports.is_ranged())
    }
}
