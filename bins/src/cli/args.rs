//! Flags that all servers, or all clients, have.
use super::units::{self, Cidr, Target};
use crate::dialer::Source;
use crate::log::Format;
use crate::via::Proxy;
use clap::Args;
use core::time::Duration;
use drivers::sim::Plan;
use drivers::{Buffers, Kind};
use std::path::PathBuf;

const LISTEN_HELP: &str =
    "Address to listen on instead of 127.0.0.1 and ::1: ADDR[:PORT], [V6]:PORT, unix:/path or fd:N (repeatable)";

/// How to run.
#[derive(Args, Clone, Debug, Default)]
pub struct DriverArgs {
    /// auto, blocking, select, poll, epoll, io_uring, pool, async or sim
    #[arg(long, value_name = "NAME", help_heading = "Driver")]
    pub driver: Option<Kind>,
    /// Faults of --driver sim, such as seed=7,delay=20ms±5ms,split=3,short=10%,reset=1%
    #[arg(long, value_name = "PLAN", help_heading = "Driver")]
    pub sim: Option<Plan>,
    /// Print which drivers this machine allows, and why not
    #[arg(long, help_heading = "Driver")]
    pub list_drivers: bool,
    /// Write all inputs and outputs to FILE, for `replay FILE`
    #[arg(long, value_name = "FILE", help_heading = "Driver")]
    pub record: Option<PathBuf>,
    /// Seed of all randomness, to repeat a run
    #[arg(long, value_name = "N", help_heading = "Driver")]
    pub seed: Option<u64>,
    /// Submission queue entries of io_uring, a power of two
    #[arg(long, value_name = "N", default_value = "256", value_parser = entries, help_heading = "Driver")]
    pub entries: u32,
    /// Buffers that io_uring receives into, a power of two
    #[arg(long, value_name = "N", default_value = "128", value_parser = buffer_count, help_heading = "Driver")]
    pub buffer_count: u16,
    /// Size of one of them
    #[arg(long, value_name = "SIZE", default_value = "2KiB", value_parser = buffer_size, help_heading = "Driver")]
    pub buffer_size: usize,
    /// Whose they are: provided, fixed (registered) or plain; by default provided, if the kernel has that
    #[arg(long, value_name = "KIND", help_heading = "Driver")]
    pub buffers: Option<Buffers>,
    /// io_uring: a send and the next receive of a connection are one linked chain
    #[arg(long, help_heading = "Driver")]
    pub link: bool,
    /// io_uring: put every connection on the kernel's list of files
    #[arg(long, help_heading = "Driver")]
    pub direct_files: bool,
    /// io_uring: do without what a kernel of this VERSION does not have
    #[arg(long, value_name = "VERSION", value_parser = version, hide = true, help_heading = "Driver")]
    pub as_kernel: Option<(u16, u16)>,
}

/// Flags of every server.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerArgs {
    /// Port to listen on; 0 lets the system choose
    #[arg(value_name = "PORT", value_parser = units::port, allow_hyphen_values = true)]
    pub positional_port: Option<u16>,
    /// The same as PORT
    #[arg(short, long, value_name = "PORT", value_parser = units::port, conflicts_with = "positional_port")]
    pub port: Option<u16>,
    /// Addresses to listen on instead of 127.0.0.1 and `::1`.
    #[arg(long, value_name = "ADDR", value_parser = units::listen_address, help = LISTEN_HELP)]
    pub listen: Vec<Target>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub driver: DriverArgs,
    /// Loops, each with its own share of the connections
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Driver")]
    pub threads: u16,
    /// Worker threads for CPU work; 0 does it on the loop
    #[arg(long, value_name = "N", help_heading = "Driver")]
    pub workers: Option<usize>,
    /// Connections that may wait to be accepted
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u16).range(1..))]
    pub backlog: u16,
    /// Clients at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_conns: Option<u32>,
    /// Clients at once from one address
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub max_conns_per_ip: Option<u32>,
    /// Close a connection on which nothing moved for that long
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Limits")]
    pub idle_timeout: Option<Duration>,
    /// Unsent bytes of a connection at which it is no longer read
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = out_buffer, help_heading = "Limits")]
    pub out_buffer: usize,
    /// How long a stop waits for the peers
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration, help_heading = "Limits")]
    pub drain: Duration,
    /// Serve only clients from this block of addresses (repeatable)
    #[arg(long, value_name = "CIDR", help_heading = "Limits")]
    pub allow_from: Vec<Cidr>,
    /// Refuse clients from this block of addresses (repeatable)
    #[arg(long, value_name = "CIDR", help_heading = "Limits")]
    pub deny_from: Vec<Cidr>,
    /// Print statistics every second, or every SECS; asks a running server on this port instead, if there is one
    #[arg(long, value_name = "SECS", num_args = 0..=1, require_equals = true, default_missing_value = "0", value_parser = units::duration)]
    pub stats: Option<Duration>,
    /// Statistics as JSON
    #[arg(long, requires = "stats")]
    pub json: bool,
    /// How events are written: text, json or journald
    #[arg(long, value_name = "FORMAT", default_value = "text", value_enum, hide_possible_values = true)]
    pub log_format: Format,
    /// Serve /metrics (Prometheus), /healthz and /readyz over HTTP on ADDR:PORT
    #[arg(long, value_name = "ADDR", value_parser = units::listen_address)]
    pub metrics: Option<Target>,
    /// Size of the kernel's send buffer of a connection
    #[arg(long, value_name = "SIZE", value_parser = kernel_buffer, help_heading = "Limits")]
    pub sndbuf: Option<usize>,
    /// Size of its receive buffer
    #[arg(long, value_name = "SIZE", value_parser = kernel_buffer, help_heading = "Limits")]
    pub rcvbuf: Option<usize>,
    /// Do not print events
    #[arg(short, long)]
    pub quiet: bool,
    /// Print more
    #[arg(short, long)]
    pub verbose: bool,
    /// Times in UTC
    #[arg(long)]
    pub utc: bool,
}

impl ServerArgs {
    /// The port asked for.
    pub fn port(&self) -> Option<u16> {
        self.port.or(self.positional_port)
    }
}

/// Flags of every client.
#[derive(Args, Clone, Debug, Default)]
pub struct ClientArgs {
    /// Name or address of the server; with --unix the path of its socket
    #[arg(value_name = "HOST")]
    pub host: String,
    /// Port of the server
    #[arg(value_name = "PORT", value_parser = units::port, required_unless_present = "unix")]
    pub port: Option<u16>,
    /// HOST is the path of a Unix socket
    #[arg(long)]
    pub unix: bool,
    /// IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only
    #[arg(short = '6')]
    pub ipv6: bool,
    /// Who looks up HOST: our own resolver, or the system's, for names that only it knows (LDAP, mDNS)
    #[arg(long, value_name = "WHO", default_value = "own", value_enum)]
    pub resolver: Source,
    /// How long connecting may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub connect_timeout: Duration,
    /// Connect through a proxy, which socks5h:// and http:// tell the name HOST, socks5:// its address
    #[arg(long, value_name = "socks5h://[USER:PASS@]PROXY[:PORT]", conflicts_with = "unix", value_parser = Proxy::parse)]
    pub via: Option<Proxy>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub driver: DriverArgs,
    /// Print data only
    #[arg(short, long)]
    pub quiet: bool,
}

fn entries(s: &str) -> Result<u32, String> {
    let n = s.parse::<u32>().ok().filter(|n| n.is_power_of_two() && (4..=32_768).contains(n));
    n.ok_or_else(|| "ring size must be a power of two from 4 to 32768".into())
}

fn version(s: &str) -> Result<(u16, u16), String> {
    let parts = s.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parts.ok_or_else(|| format!("'{s}' is not a kernel version such as 5.15"))
}

fn buffer_count(s: &str) -> Result<u16, String> {
    let n = s.parse::<u16>().ok().filter(|n| n.is_power_of_two() && (2..=32_768).contains(n));
    n.ok_or_else(|| "the number of buffers must be a power of two from 2 to 32768".into())
}

fn buffer_size(s: &str) -> Result<usize, String> {
    let n = units::size(s)?;
    if (64..=1 << 20).contains(&n) { Ok(n) } else { Err("a buffer has from 64 bytes to 1 MiB".into()) }
}

fn out_buffer(s: &str) -> Result<usize, String> {
    let n = units::size(s)?;
    if (1024..=1 << 30).contains(&n) { Ok(n) } else { Err("an out-buffer has from 1 KiB to 1 GiB".into()) }
}

fn kernel_buffer(s: &str) -> Result<usize, String> {
    let n = units::size(s)?;
    if (1024..=1 << 30).contains(&n) { Ok(n) } else { Err("a kernel buffer has from 1 KiB to 1 GiB".into()) }
}
