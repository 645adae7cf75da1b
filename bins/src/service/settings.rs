//! A server's settings.
use crate::cli::{Cidr, ServerArgs};
use crate::log::Format;
use crate::tls::Guard;
use core::time::Duration;
use proto_core::Addr;

/// A server's limits and settings, from its flags.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(crate) max: u32,
    pub(crate) per_ip: Option<u32>,
    /// Clients over the limit wait in the backlog instead of being refused.
    pub queue: bool,
    pub(crate) idle: Option<Duration>,
    pub(crate) drain: Duration,
    pub(crate) allow: Vec<Cidr>,
    pub(crate) deny: Vec<Cidr>,
    pub(crate) stats: Option<Duration>,
    pub(crate) quiet: bool,
    /// Print more.
    pub verbose: bool,
    /// Times in UTC.
    pub utc: bool,
    pub(crate) ring: bool,
    /// How events are written.
    pub format: Format,
    /// Statistics as JSON.
    pub json: bool,
    /// Standard output is not a log: the app writes lines of its own.
    pub raw: bool,
    /// Whether clients speak TLS.
    pub guard: Guard,
    /// Balancers and proxies that are believed.
    pub trusted: Vec<Cidr>,
    /// Connections of theirs begin with a PROXY header.
    pub headed: bool,
}

impl Settings {
    /// The same, with what stands between the clients and the app.
    pub fn guarded(self, guard: Guard) -> Self {
        Settings { guard, ..self }
    }
    /// The same, behind balancers and proxies that are believed; their connections begin with a PROXY header if `headed`.
    pub fn behind(self, trusted: Vec<Cidr>, headed: bool) -> Self {
        Settings { trusted, headed, ..self }
    }
    /// It is an address of a balancer or proxy that is believed.
    pub fn trusts(&self, from: &Addr) -> bool {
        matches!(from, Addr::Ip(a) if self.trusted.iter().any(|block| block.contains(a.ip())))
    }
    /// `default_max`: clients at once without `--max-conns`; `None` is what the driver can hold.
    pub fn new(args: &ServerArgs, default_max: Option<u32>) -> Self {
        Settings {
            max: args.max_conns.or(default_max).unwrap_or(0),
            per_ip: args.max_conns_per_ip,
            queue: false,
            idle: args.idle_timeout,
            drain: args.drain,
            allow: args.allow_from.clone(),
            deny: args.deny_from.clone(),
            stats: args.stats.map(|s| if s.is_zero() { Duration::from_secs(1) } else { s }),
            quiet: args.quiet,
            verbose: args.verbose,
            utc: args.utc,
            ring: false,
            format: args.log_format,
            json: args.json,
            raw: false,
            guard: Guard::Clear,
            trusted: Vec::new(),
            headed: false,
        }
    }
}
