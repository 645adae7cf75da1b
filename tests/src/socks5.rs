//! Both sides of a proxy's connection as subjects. The app's answers are commands, or with the setting `answer` given at once.
use super::drive::{Said, Subject};
use proto_core::proxy::{Config, Event, Server};
use proto_core::socks5::{self, Client, ClientEvent, Command, Credentials, Destination, Limits, Offers, Reply};
use proto_core::{Instant, Tx};
use std::net::SocketAddr;
use std::time::Duration;

/// [`Server`]. Settings: `open`, `password`, `v4`, `http` (yes or no), `early` (bytes). Commands: `judge yes|no`, `reply CODE ADDR`.
pub struct Proxy;

fn yes(value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err(format!("yes or no, not {other}")),
    }
}

impl Subject for Proxy {
    type Machine = Server;
    fn new(settings: &[(String, String)]) -> Result<Server, String> {
        let (mut offers, mut v4, mut http, mut limits) = (Offers::OPEN, false, false, Limits::default());
        for (name, value) in settings {
            match name.as_str() {
                "open" => offers.open = yes(value)?,
                "password" => offers.password = yes(value)?,
                "v4" => v4 = yes(value)?,
                "http" => http = yes(value)?,
                "early" => limits.early = value.parse().map_err(|_| format!("not a number: {value}"))?,
                _ => return Err(format!("no such setting: {name}")),
            }
        }
        let config = Config { socks: socks5::Config { offers, v4, limits }, http: http.then(Config::http) };
        Ok(Server::new(config, Instant::default()))
    }
    fn said(event: Event<'_>, _: &mut Tx) -> Said {
        Said::Event(match event {
            Event::Login { user, password } => format!("login {} {}", user.escape_ascii(), password.escape_ascii()),
            Event::Request { command, to } => format!("{} {}", command.name(), to.address()),
        })
    }
    fn waits(server: &Server) -> bool {
        server.is_open() || server.is_waiting()
    }
    fn command(server: &mut Server, tx: &mut Tx, text: &str) -> Result<(), String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let done = match word {
            "judge" => server.judge(tx, yes(rest)?),
            "reply" => {
                let (code, at) = rest.split_once(' ').ok_or("reply CODE ADDR")?;
                let code = code.parse().ok().and_then(Reply::of).ok_or("a code from 0 to 8")?;
                server.reply(tx, code, at.parse::<SocketAddr>().map_err(|e| format!("{at}: {e}"))?)
            }
            _ => return Err(format!("no such command: {text}")),
        };
        done.map_err(|misuse| misuse.to_string())
    }
}

/// [`Client`], which has begun. Settings: `to HOST:PORT`, `login USER:PASSWORD`, `command bind|udp|connect`.
pub struct Asker;

impl Subject for Asker {
    type Machine = Client;
    fn new(settings: &[(String, String)]) -> Result<Client, String> {
        let (mut to, mut login, mut command) = (("example.com", "443"), None, Command::Connect);
        for (name, value) in settings {
            match (name.as_str(), value.as_str()) {
                ("to", at) => to = at.rsplit_once(':').ok_or("HOST:PORT")?,
                ("login", both) => login = Some(both.split_once(':').ok_or("USER:PASSWORD")?),
                ("command", "bind") => command = Command::Bind,
                ("command", "udp") => command = Command::UdpAssociate,
                ("command", "connect") => {}
                _ => return Err(format!("no such setting: {name} {value}")),
            }
        }
        let port = to.1.parse().map_err(|_| format!("not a port: {}", to.1))?;
        let to = Destination::new(to.0, port).map_err(|e| e.to_string())?;
        let login = login.map(|(u, p)| Credentials::new(u.as_bytes(), p.as_bytes()));
        let login = login.transpose().map_err(|e| e.to_string())?;
        let mut client = Client::new(command, to, login, Duration::from_secs(10));
        // What it says first no transcript has: it is in the first row of the table tests.
        client.start(Instant::default(), &mut Tx::default()).map_err(|e| e.to_string())?;
        Ok(client)
    }
    fn said(event: ClientEvent<'_>, _: &mut Tx) -> Said {
        Said::Event(match event {
            ClientEvent::Listening(a) => format!("listening {a}"),
            ClientEvent::Open(a) => format!("open {a}"),
        })
    }
    fn waits(client: &Client) -> bool {
        client.is_open()
    }
}
