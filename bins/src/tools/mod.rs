//! The command line of each tool.
mod chat;
mod echo;

pub use chat::{ChatClientTool, ChatServerTool};
pub use echo::{EchoClientTool, EchoServerTool};

use crate::cli::{ClientArgs, Plan, ServerArgs};
use crate::dialer::{Family, Target};
use crate::outcome::Failure;
use crate::service::CONTROL;
use drivers::{Bound, Config, listen};
use proto_core::Addr;

/// What a client's flags say to connect to.
fn target(args: &ClientArgs) -> Target {
    let family = match (args.ipv4, args.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    Target { host: args.host.clone(), port: args.port, family, timeout: args.connect_timeout }
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

/// The statistics of a server of ours that runs already on the port asked for.
fn running_stats(name: &str, args: &ServerArgs) -> Option<String> {
    args.stats?;
    let port = args.port().filter(|p| *p != 0)?;
    listen::ask_control(&control_path(name, port).ok()?).ok()
}
