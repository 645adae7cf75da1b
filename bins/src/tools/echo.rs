//! `echo_server`, `echo_client`.
use super::simulate::{Scene, simulate};
use super::{client_tls, running, server_plan, target};
use crate::cli::{ClientArgs, ClientTlsArgs, DriverArgs, Plan, ServerArgs, ServerTlsArgs, Tool, duration, size};
use crate::echo::server::EchoServer;
use crate::echo::verify::Verify;
use crate::line_client::{LineClient, Options, Prompt};
use crate::outcome::{Code, Failure};
use crate::service::Settings;
use clap::Parser;
use core::convert::Infallible;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use drivers::{Config, Kind};
use proto_core::{Addr, App, Cx, Deadline, Input, Shard};

/// Sends back exactly what it gets, one client at a time unless --max-conns says otherwise
#[derive(Parser, Clone, Debug)]
#[command(
    name = "echo_server",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  echo_server 9000                                   one client at a time, blocking sockets
  echo_server 9000 --driver epoll --max-conns 1000   many clients on one thread
  echo_server --listen 0.0.0.0:9000                  for other machines too
  echo_server --listen unix:/tmp/echo.sock
  echo_server 9000 --cert server.crt --key server.key
  echo_server 9000 --udp                             datagrams (RFC 862)
  echo 'Hello' | nc -N localhost 9000                any client will do"
)]
pub struct EchoServerTool {
    #[command(flatten)]
    args: ServerArgs,
    #[command(flatten)]
    tls: ServerTlsArgs,
    /// Echo datagrams instead of connections
    #[arg(long)]
    udp: bool,
    /// Let clients over --max-conns wait instead of closing them
    #[arg(long)]
    queue: bool,
}

impl EchoServerTool {
    fn udp(&self) -> Vec<Addr> {
        if !self.udp {
            return Vec::new();
        }
        let port = self.args.port().unwrap_or(0);
        let local = [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))];
        let asked = self.args.listen.iter().filter_map(|t| t.address(self.args.port()));
        let asked: Vec<SocketAddr> = asked.collect();
        let all = if self.args.listen.is_empty() { local.to_vec() } else { asked };
        all.into_iter().map(Addr::Ip).collect()
    }
}

impl Tool for EchoServerTool {
    type App = EchoServer;
    const NAME: &'static str = "echo_server";
    const DRIVER: Kind = Kind::Blocking;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn instead(&self) -> Option<Result<Code, Failure>> {
        running(Self::NAME, &self.args)
    }
    fn simulate(&self) -> Result<Code, Failure> {
        self.tls.check(&[], &self.args.driver)?;
        simulate(self, self.args.driver.sim.as_ref(), Scene::Typists)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        if self.tls.check(&[], &self.args.driver)?.is_some() && self.udp {
            return Err(Failure::usage("--udp cannot be used with --cert"));
        }
        if !self.udp {
            return server_plan(Self::NAME, &self.args);
        }
        if self.args.port().is_none_or(|p| p == 0) && self.args.listen.is_empty() {
            return Err(Failure::usage("--udp needs a PORT other than 0"));
        }
        Ok(Plan { config: Config { threads: 1, ..Config::default() }, ..Plan::default() })
    }
    fn app(&self, _: Shard) -> EchoServer {
        let mut settings = Settings::new(&self.args, Some(1));
        // One client at a time: the next one waits in the backlog and is served after the first.
        settings.queue = self.queue || self.args.max_conns.is_none_or(|n| n == 1);
        EchoServer::new(settings.guarded(self.tls.guard(&[])), self.udp())
    }
}

/// Sends what you type to a server and shows what comes back
#[derive(Parser, Clone, Debug)]
#[command(
    name = "echo_client",
    version,
    max_term_width = 100,
    after_help = "\
The end of the input:
  by default the server is told (half-close), the rest of its answer is shown, and the client ends when it closes
  --send-eof never   the server is not told; end with --linger TIME or Ctrl-C

Examples:
  echo_client localhost 9000
  echo 'Hello' | echo_client localhost 9000
  echo_client localhost 9000 --ca ca.crt             over TLS
  echo_client localhost 9000 --verify --size 1GiB
  echo_client localhost 9000 --verify --size 64KiB --conns 10000"
)]
pub struct EchoClientTool {
    #[command(flatten)]
    args: ClientArgs,
    #[command(flatten)]
    tls: ClientTlsArgs,
    /// Speak TLS; --ca, --cert, --pin and --insecure mean it too
    #[arg(long = "tls", help_heading = "TLS")]
    over_tls: bool,
    /// Show `> ` even if the input is no terminal
    #[arg(long)]
    prompt: bool,
    /// Whether the server is told of the end of the input: stdin or never
    #[arg(long, value_name = "WHEN", default_value = "stdin", value_parser = ["stdin", "never"])]
    send_eof: String,
    /// How long to wait for the server after the end of the input
    #[arg(long, value_name = "TIME", value_parser = duration)]
    linger: Option<Duration>,
    /// Do not edit lines here: leave that to the terminal
    #[arg(long)]
    plain: bool,
    /// Show bytes as hex
    #[arg(long)]
    hex: bool,
    /// Send a known stream and check every byte that comes back
    #[arg(long)]
    verify: bool,
    /// Bytes per connection for --verify
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size, requires = "verify")]
    size: usize,
    /// Connections for --verify
    #[arg(long, value_name = "N", default_value = "1", requires = "verify")]
    conns: usize,
}

/// Either of the client's two ways.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one of them
pub enum Client {
    /// Lines.
    Lines(LineClient),
    /// `--verify`.
    Verify(Verify),
}

impl App for Client {
    type Job = Infallible;
    type Msg = Infallible;
    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cx<'_, Infallible, Infallible>) {
        match self {
            Client::Lines(c) => c.handle(input, cx),
            Client::Verify(c) => c.handle(input, cx),
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        match self {
            Client::Lines(c) => c.deadline(),
            Client::Verify(c) => c.deadline(),
        }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

impl Tool for EchoClientTool {
    type App = Client;
    const NAME: &'static str = "echo_client";
    const DRIVER: Kind = Kind::Poll;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn simulate(&self) -> Result<Code, Failure> {
        client_tls(&self.tls, self.over_tls, &self.args)?;
        simulate(self, self.args.driver.sim.as_ref(), Scene::Echo)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        if client_tls(&self.tls, self.over_tls, &self.args)?.is_some() && self.verify {
            return Err(Failure::usage("--verify cannot be used with TLS"));
        }
        let config = Config { stdin: !self.verify, ..Config::default() };
        Ok(Plan { config, ..Plan::default() })
    }
    fn app(&self, _: Shard) -> Client {
        if self.verify {
            return Client::Verify(
                Verify::new(target(&self.args), self.conns, self.size as u64).with_source(self.args.resolver),
            );
        }
        let (to, quiet) = (target(&self.args), self.args.quiet);
        let options = Options {
            tool: Self::NAME,
            greeting: if quiet { String::new() } else { format!("Connected to {to}\n") },
            prompt: if self.prompt { Prompt::On } else { Prompt::Terminal },
            keep_open: self.send_eof == "never",
            hex: self.hex,
            prefix: if quiet { "" } else { "Server: " },
            goodbye: if quiet { "" } else { "Disconnected.\n" },
            echo: true,
            notices: false,
            linger: self.linger,
            editing: !self.plain,
            names: false,
            tls: client_tls(&self.tls, self.over_tls, &self.args).map_err(|f| f.text),
        };
        Client::Lines(LineClient::new(to, options).with_source(self.args.resolver))
    }
}
