//! `coro_http_server`.
use super::simulate::{Scene, simulate};
use super::{running, server_plan};
use crate::cli::{Cidr, DriverArgs, Plan, ServerArgs, Tool, duration, size};
use crate::coro_http::demo::{self, routes};
use crate::coro_http::server::{CoroServer, Options};
use crate::outcome::{Code, Failure};
use crate::reach::Reach;
use crate::service::Settings;
use clap::{Parser, ValueEnum};
use core::time::Duration;
use drivers::Kind;
use proto_core::Shard;
use std::path::PathBuf;

/// What happens to a handler whose client is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Gone {
    Cancel,
    Finish,
}

/// An HTTP server whose handlers are async functions, on every driver
#[derive(Parser, Clone, Debug)]
#[command(
    name = "coro_http_server",
    version,
    max_term_width = 100,
    after_help = "\
Routes:
  /  /sleep/MS  /hash?n=N  /stream/BYTES  /panic  POST /echo  /proxy?url=URL (with --allow-proxy)

Examples:
  coro_http_server 8080
  coro_http_server 8080 -d ./public          files, read by handlers
  coro_http_server 8080 --driver io_uring    the same handlers on another driver
  curl localhost:8080/sleep/100
  curl -d hello localhost:8080/echo"
)]
pub struct CoroHttpTool {
    #[command(flatten)]
    args: ServerArgs,
    /// Serve the files of this folder
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How long a handler may take until its client gets 503
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Limits")]
    handler_timeout: Duration,
    /// Size of a request's body
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size, help_heading = "Limits")]
    max_body: usize,
    /// What happens to the handler of a client that is gone, or that says it sends no more: cancel or finish
    #[arg(long, value_name = "WHAT", default_value = "cancel", value_enum, hide_possible_values = true)]
    on_disconnect: Gone,
    /// Serve /proxy?url=: pages of other servers, but not of this machine and its neighbours
    #[arg(long)]
    allow_proxy: bool,
    /// Addresses that /proxy may reach all the same (repeatable)
    #[arg(long, value_name = "CIDR", requires = "allow_proxy")]
    proxy_to: Vec<Cidr>,
    /// Tell clients what went wrong
    #[arg(long)]
    debug_errors: bool,
}

impl Tool for CoroHttpTool {
    type App = CoroServer;
    const NAME: &'static str = "coro_http_server";
    const DRIVER: Kind = Kind::Auto;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn instead(&self) -> Option<Result<Code, Failure>> {
        running(Self::NAME, &self.args)
    }
    fn simulate(&self) -> Result<Code, Failure> {
        simulate(self, self.args.driver.sim.as_ref(), Scene::Http)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        if let Some(dir) = &self.dir {
            let shown = dir.display();
            let meta = std::fs::metadata(dir);
            let meta = meta.map_err(|e| Failure::usage(format!("-d {shown}: {}", crate::text::reason(&e))))?;
            if !meta.is_dir() || dir.to_str().is_none() {
                return Err(Failure::usage(format!("-d {shown}: not a folder with a name in UTF-8")));
            }
        }
        let mut plan = server_plan(Self::NAME, &self.args)?;
        if self.args.workers.is_none() {
            plan.config.workers = std::thread::available_parallelism().map_or(1, Into::into);
        }
        Ok(plan)
    }
    fn app(&self, _: Shard) -> CoroServer {
        let routes = routes(&demo::Options {
            dir: self.dir.as_ref().and_then(|d| d.to_str()).map(String::from),
            proxy: self.allow_proxy.then(|| Reach { allow: self.proxy_to.clone() }),
        });
        let options = Options {
            handler: self.handler_timeout,
            body_max: self.max_body,
            finish: self.on_disconnect == Gone::Finish,
            debug_errors: self.debug_errors,
            ..Options::default()
        };
        CoroServer::new(Settings::new(&self.args, None), routes, options)
    }
}
