//! The command line of each tool.
mod chat;
mod coro;
mod dnsquery;
mod echo;
mod fetch;
mod http;
mod https;
mod load_echo;
mod pool;
mod scan;
mod simulate;
mod socks;
mod tls_chat;

pub use chat::{ChatClientTool, ChatServerTool};
pub use coro::CoroHttpTool;
pub use dnsquery::DnsQueryTool;
pub use echo::{EchoClientTool, EchoServerTool};
pub use fetch::HttpClientTool;
pub use http::HttpServerTool;
pub use https::{HttpsClient, HttpsClientTool};
pub use load_echo::{EpollEchoTool, IoUringEchoTool};
pub use pool::{BenchmarkTool, SingleThreadTool, ThreadpoolTool};
pub use scan::PortScanTool;
pub use socks::Socks5Tool;
pub use tls_chat::{TlsChatClientTool, TlsChatServerTool};

use crate::cli::{ClientArgs, ClientTlsArgs, Plan, ServerArgs};
use crate::dialer::{Family, Target};
use crate::outcome::{Code, Failure};
use crate::service::{CONTROL, METRICS};
use crate::stats::SAMPLE;
use crate::tls::ClientTls;
use drivers::{Bound, Config, Kind, listen};
use proto_core::Addr;
use std::io::Write;

/// What a client's flags say to connect to.
fn target(args: &ClientArgs) -> Target {
    if args.driver.driver == Some(Kind::Sim) {
        return simulate::target();
    }
    let family = match (args.ipv4, args.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    Target { host: args.host.clone(), port: args.port, family, timeout: args.connect_timeout, via: args.via.clone() }
}

/// TLS of a client, if a flag asks for it.
fn client_tls(tls: &ClientTlsArgs, on: bool, args: &ClientArgs) -> Result<Option<ClientTls>, Failure> {
    let wanted = on || tls.is_given();
    wanted.then(|| tls.setup(&args.host, &[], &args.driver)).transpose()
}

/// The plan of a server: its listeners, its control socket, its settings.
fn server_plan(name: &str, args: &ServerArgs) -> Result<Plan, Failure> {
    let mut l = crate::cli::listen(args, 0)?;
    let port = l.bound.iter().find_map(|b| if let Addr::Ip(a) = b.at { Some(a.port()) } else { None });
    if let Some(port) = port {
        match control_path(name, port).map_err(|e| e.to_string()) {
            Ok(path) => match Bound::control(&path, CONTROL) {
                Ok(bound) => l.bound.push(bound),
                Err(e) if args.verbose => l.notes.push(format!("no control socket: {e}")),
                Err(_) => {}
            },
            Err(e) => l.notes.push(format!("no control socket: {e}")),
        }
    }
    if let Some((bound, note)) = crate::cli::metrics(args, METRICS)? {
        l.bound.push(bound);
        l.notes.push(note);
    }
    let config = Config {
        workers: args.workers.unwrap_or(0),
        threads: args.threads,
        out_buffer: args.out_buffer,
        ..Config::default()
    };
    Ok(Plan { listening: l.bound, config, notes: if args.quiet { Vec::new() } else { l.notes } })
}

/// The control socket of the tool that listens on `port`.
fn control_path(name: &str, port: u16) -> std::io::Result<String> {
    Ok(format!("{}/drywire-{name}-{port}.sock", listen::runtime_dir()?))
}

/// With `--stats`, the statistics of a server of ours that runs already on the port asked for: once, or again and again.
fn running(name: &str, args: &ServerArgs) -> Option<Result<Code, Failure>> {
    let every = args.stats?;
    let port = args.port().filter(|p| *p != 0)?;
    let path = control_path(name, port).ok()?;
    let order = if args.json { "stats json" } else { "stats" };
    let Ok(mut text) = listen::ask_control(&path, order) else {
        let (pid, owner) = listen::port_owner(port)?;
        let text = format!("port {port} is in use by '{owner}' (pid {pid}), not by {name}");
        return Some(Err(Failure::new(Code::Local, text)));
    };
    while std::io::stdout().write_all(text.as_bytes()).is_ok() && !every.is_zero() {
        std::thread::sleep(every.saturating_sub(SAMPLE)); // what `--stats=SECS` asks for; an answer takes a sample itself
        match listen::ask_control(&path, order) {
            Ok(next) => text = next,
            Err(_) => break, // it has stopped
        }
    }
    Some(Ok(Code::Ok))
}
