//! `chat_server`, `chat_client`.
use super::simulate::{Scene, simulate};
use super::{running, server_plan, target};
use crate::chat::core::Limits;
use crate::chat::member::{Flood, Slow};
use crate::chat::server::{ChatServer, Options as ChatOptions};
use crate::cli::{ClientArgs, DriverArgs, Plan, ServerArgs, Tool, size};
use crate::line_client::{LineClient, Options};
use crate::outcome::{Code, Failure};
use crate::service::Settings;
use clap::Parser;
use drivers::{Config, Kind};
use proto_core::Shard;

/// Clients at once without --max-conns.
const CLIENTS: u32 = 1000;

/// A line chat: what one client writes, all others in the room get
#[derive(Parser, Clone, Debug)]
#[command(
    name = "chat_server",
    version,
    max_term_width = 100,
    after_help = "\
Clients need nothing but lines: chat_client, nc and telnet all work; /help lists the commands.

Examples:
  chat_server 9000
  chat_server 9000 --driver select
  chat_server --listen 0.0.0.0:9000 --max-conns-per-ip 5
  chat_server 9000 --slow drop-oldest --client-queue 64KiB
  nc localhost 9000"
)]
pub struct ChatServerTool {
    #[command(flatten)]
    args: ServerArgs,
    /// Bytes that may wait for a client that reads slowly
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = size, help_heading = "Limits")]
    client_queue: usize,
    /// What happens to a client beyond that: disconnect (after 10 s) or drop-oldest (lines)
    #[arg(
        long,
        value_name = "HOW",
        default_value = "disconnect",
        value_enum,
        hide_possible_values = true,
        help_heading = "Limits"
    )]
    slow: Slow,
    /// Lines a second that a client may send; 0 for no limit
    #[arg(long, value_name = "N", default_value = "5", help_heading = "Limits")]
    flood: u32,
    /// Lines that it may send at once
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    flood_burst: u32,
    /// Lines of a room that are kept for those who join later; 0 for none
    #[arg(long, value_name = "N", default_value = "100", help_heading = "Limits")]
    history: usize,
    /// Tell others who joins, leaves and changes the nickname
    #[arg(long)]
    notices: bool,
    /// Text that everybody who comes is shown
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    motd: String,
}

impl Tool for ChatServerTool {
    type App = ChatServer;
    const NAME: &'static str = "chat_server";
    const DRIVER: Kind = Kind::Poll;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn instead(&self) -> Option<Result<Code, Failure>> {
        running(Self::NAME, &self.args)
    }
    fn simulate(&self) -> Result<Code, Failure> {
        simulate(self, self.args.driver.sim.as_ref(), Scene::Typists)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        if self.args.threads > 1 {
            return Err(Failure::usage("--threads: all clients of a chat must be on one loop"));
        }
        server_plan(Self::NAME, &self.args)
    }
    fn app(&self, _: Shard) -> ChatServer {
        let options = ChatOptions {
            queue: self.client_queue,
            slow: self.slow,
            flood: Flood { rate: self.flood.into(), burst: self.flood_burst.into() },
            limits: Limits { history: self.history, ..Limits::default() },
            notices: self.notices,
            motd: if self.motd.is_empty() { String::new() } else { format!("* {}", self.motd) },
        };
        ChatServer::new(Settings::new(&self.args, Some(CLIENTS)), options)
    }
}

/// A client for chat_server: what you type goes to the room, what others say is shown
#[derive(Parser, Clone, Debug)]
#[command(
    name = "chat_client",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  chat_client localhost 9000
  echo 'good morning' | chat_client localhost 9000"
)]
pub struct ChatClientTool {
    #[command(flatten)]
    args: ClientArgs,
    /// Do not edit lines here: leave that to the terminal
    #[arg(long)]
    plain: bool,
}

impl Tool for ChatClientTool {
    type App = LineClient;
    const NAME: &'static str = "chat_client";
    const DRIVER: Kind = Kind::Poll;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn simulate(&self) -> Result<Code, Failure> {
        simulate(self, self.args.driver.sim.as_ref(), Scene::Chat)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        Ok(Plan { config: Config { stdin: true, ..Config::default() }, ..Plan::default() })
    }
    fn app(&self, _: Shard) -> LineClient {
        let hello = "Connected! Enter /nick <name> to set nickname.\n";
        let greeting = if self.args.quiet { String::new() } else { hello.into() };
        let options =
            Options { greeting, notices: true, editing: !self.plain, names: true, ..Options::plain(Self::NAME) };
        LineClient::new(target(&self.args), options)
    }
}
