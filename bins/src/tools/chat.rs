//! `chat_server`, `chat_client`.
use super::simulate::{Scene, simulate};
use super::{client_tls, running, server_plan, target};
use crate::chat::Resume;
use crate::chat::core::Limits;
use crate::chat::member::{Flood, Slow};
use crate::chat::names::clean;
use crate::chat::server::{ChatServer, Options as ChatOptions};
use crate::cli::{ClientArgs, ClientTlsArgs, DriverArgs, Plan, ServerArgs, ServerTlsArgs, Tool, size};
use crate::line_client::{LineClient, Options};
use crate::outcome::{Code, Failure};
use crate::service::Settings;
use crate::text::{Secret, reason};
use crate::tls::ClientTls;
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
  chat_server 9000 --password-file secret.txt --motd welcome.txt
  chat_server 9000 --ndjson | bot
  echo /kick Bob | nc -U -N $XDG_RUNTIME_DIR/drywire-chat_server-9000.sock
  nc localhost 9000"
)]
pub struct ChatServerTool {
    #[command(flatten)]
    pub(super) args: ServerArgs,
    #[command(flatten)]
    pub(super) tls: ServerTlsArgs,
    /// It is tls_chat_server.
    #[arg(skip)]
    pub(super) certified: bool,
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
    /// Lines of a room that are kept for those who join later or come back; off for none
    #[arg(long, value_name = "N", default_value = "100", value_parser = history, help_heading = "Limits")]
    history: usize,
    /// Tell others who joins, leaves and changes the nickname
    #[arg(long)]
    notices: bool,
    /// File whose lines everybody who comes is shown
    #[arg(long, value_name = "FILE", value_parser = motd)]
    motd: Option<String>,
    /// File with the password that clients must say first: /pass PASSWORD
    #[arg(long, value_name = "FILE", value_parser = password)]
    pub(super) password_file: Option<SecretFile>,
    /// Print what happens as JSON, an object a line, instead of the log
    #[arg(long)]
    ndjson: bool,
}

/// Most lines and bytes of a message of the day.
const MOTD: (usize, usize) = (64, 8192);
/// Longest password in bytes.
const PASSWORD: usize = 256;

fn history(s: &str) -> Result<usize, String> {
    if s == "off" {
        return Ok(0);
    }
    s.parse().map_err(|_| format!("'{s}' is not a number of lines, or off"))
}

fn motd(path: &str) -> Result<String, String> {
    let text = text_file(path, MOTD.1)?;
    if text.lines().count() > MOTD.0 {
        return Err(format!("{path}: more than {} lines", MOTD.0));
    }
    let lines: Vec<String> = text.lines().map(|l| format!("* {}", clean(l))).collect();
    Ok(lines.join("\n"))
}

/// A password, and the file if others can read it.
#[derive(Clone, Debug)]
pub(super) struct SecretFile {
    secret: Secret,
    open: Option<String>,
}

impl SecretFile {
    fn warning(&self) -> Option<String> {
        self.open.as_ref().map(|path| format!("{path} can be read by others (chmod 600 {path})"))
    }
}

fn password(path: &str) -> Result<SecretFile, String> {
    use std::os::unix::fs::PermissionsExt;
    let text = text_file(path, PASSWORD)?;
    let word = text.strip_suffix('\n').unwrap_or(&text);
    let word = word.strip_suffix('\r').unwrap_or(word);
    if word.is_empty() || clean(word) != word {
        return Err(format!("{path}: a password is one line of text"));
    }
    let open = std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o077 != 0);
    Ok(SecretFile { secret: Secret(word.into()), open: open.then(|| path.into()) })
}

fn text_file(path: &str, limit: usize) -> Result<String, String> {
    use std::io::Read;
    let mut text = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|f| f.take(limit as u64 + 1).read_to_end(&mut text));
    read.map_err(|e| format!("{path}: {}", reason(&e)))?;
    if text.len() > limit {
        return Err(format!("{path}: more than {limit} bytes"));
    }
    String::from_utf8(text).map_err(|_| format!("{path}: not UTF-8"))
}

impl ChatServerTool {
    /// The plan of a tool of this name.
    pub(super) fn plan_as(&self, name: &str) -> Result<Plan, Failure> {
        if self.args.threads > 1 {
            return Err(Failure::usage("--threads: all clients of a chat must be on one loop"));
        }
        self.tls.check(&[], &self.args.driver)?;
        let mut plan = server_plan(name, &self.args)?;
        plan.notes.extend(self.password_file.as_ref().and_then(SecretFile::warning));
        Ok(plan)
    }
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
        self.tls.check(&[], &self.args.driver)?;
        simulate(self, self.args.driver.sim.as_ref(), Scene::Typists)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        self.plan_as(Self::NAME)
    }
    fn app(&self, _: Shard) -> ChatServer {
        let options = ChatOptions {
            queue: self.client_queue,
            slow: self.slow,
            flood: Flood { rate: self.flood.into(), burst: self.flood_burst.into() },
            limits: Limits { history: self.history, ..Limits::default() },
            notices: self.notices,
            motd: self.motd.clone().unwrap_or_default(),
            password: self.password_file.as_ref().map(|f| f.secret.clone()),
            events: self.ndjson,
            certified: self.certified,
        };
        ChatServer::new(Settings::new(&self.args, Some(CLIENTS)).guarded(self.tls.guard(&[])), options)
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
  chat_client localhost 9000 --reconnect             come back, and hear what was missed
  chat_client localhost 9000 --password-file secret.txt
  echo 'good morning' | chat_client localhost 9000"
)]
pub struct ChatClientTool {
    #[command(flatten)]
    args: ClientArgs,
    #[command(flatten)]
    pub(super) tls: ClientTlsArgs,
    /// It is tls_chat_client.
    #[arg(skip)]
    pub(super) certified: bool,
    /// Speak TLS; --ca, --cert, --pin and --insecure mean it too
    #[arg(long = "tls", help_heading = "TLS")]
    over_tls: bool,
    /// Connect again when the connection is lost, and hear what was said meanwhile
    #[arg(long)]
    reconnect: bool,
    /// File with the password of the server
    #[arg(long, value_name = "FILE", value_parser = password)]
    password_file: Option<SecretFile>,
    /// Do not edit lines here: leave that to the terminal
    #[arg(long)]
    plain: bool,
}

impl ChatClientTool {
    fn client_tls(&self) -> Result<Option<ClientTls>, Failure> {
        let tls = client_tls(&self.tls, self.over_tls || self.certified, &self.args)?;
        Ok(tls.map(|tls| ClientTls { mutual: self.certified, ..tls }))
    }
}

impl Tool for ChatClientTool {
    type App = LineClient;
    const NAME: &'static str = "chat_client";
    const DRIVER: Kind = Kind::Poll;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn simulate(&self) -> Result<Code, Failure> {
        self.client_tls()?;
        simulate(self, self.args.driver.sim.as_ref(), Scene::Chat)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        self.client_tls()?;
        let notes = self.password_file.as_ref().and_then(SecretFile::warning).into_iter().collect();
        Ok(Plan { config: Config { stdin: true, ..Config::default() }, notes, ..Plan::default() })
    }
    fn app(&self, _: Shard) -> LineClient {
        let hello = "Connected! Enter /nick <name> to set nickname.\n";
        // With certificates the server says who one is: only it knows whether it has accepted that.
        let greeting = if self.args.quiet || self.certified { String::new() } else { hello.into() };
        let options =
            Options { greeting, notices: true, editing: !self.plain, names: true, ..Options::plain(Self::NAME) };
        let tls = self.client_tls().map_err(|f| f.text);
        let options = Options { tls, ..options };
        let client = LineClient::new(target(&self.args), options).with_source(self.args.resolver);
        let password = self.password_file.as_ref().map(|f| f.secret.clone());
        if password.is_none() && !self.reconnect {
            return client;
        }
        client.resuming(Resume::new(self.reconnect, password))
    }
}
