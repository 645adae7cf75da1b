//! A proxy's side of a connection, in whichever protocol its client speaks: SOCKS 5, and if they are served SOCKS 4 and
//! CONNECT of HTTP/1.x (RFC 9110 section 9.3.6). The first byte tells which.
//!
//! All are alike to the app: perhaps a login, to be judged; then a request, to be replied to; then the plain stream. What
//! [`crate::socks5::Server`] says of limits, early bytes and clients that leave holds for all of them.
mod tunnel;

#[cfg(test)]
mod tests;

use crate::http1;
use crate::socks5::{self, Command, Destination, LATE, Reply, ServerEvent};
use crate::{Deadline, Fault, Instant, Machine, Misuse, Rx, Step, Tx};
use alloc::{borrow::Cow, boxed::Box, sync::Arc};
use core::net::SocketAddr;
use tunnel::Tunnel;

/// How a proxy is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Who may come, whether SOCKS 4 is spoken, and the limits, which are the same for all.
    pub socks: socks5::Config,
    /// CONNECT is served, with these settings: see [`Config::http`].
    pub http: Option<Arc<http1::Config>>,
}

impl Config {
    /// Settings for HTTP, to be shared by all connections: no bodies, and heads of at most 8 KiB.
    pub fn http() -> Arc<http1::Config> {
        let limits = http1::Limits { head: 8 << 10, request_line: 1 << 10, body: 0, drain: 0, ..http1::Limits::SERVER };
        Arc::new(http1::Config { limits, tunnels: true, ..http1::Config::SERVER })
    }
}

/// What a client wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<'b> {
    /// To log in; [`Server::judge`] says whether it may.
    Login {
        /// Who it says it is: 1 to 255 bytes of any kind.
        user: Cow<'b, [u8]>,
        /// How it proves it: 1 to 255 bytes.
        password: Cow<'b, [u8]>,
    },
    /// To have this done; [`Server::reply`] says how that went.
    Request {
        /// What.
        command: Command,
        /// Where.
        to: Destination,
    },
}

#[derive(Debug)]
enum Side {
    /// Not a byte has come.
    Unknown,
    Socks(socks5::Server),
    Http(Box<Tunnel>),
}

/// The machine.
#[derive(Debug)]
pub struct Server {
    config: Config,
    side: Side,
    began: Instant,
}

impl Server {
    /// For a connection that began at `began`.
    pub fn new(config: Config, began: Instant) -> Self {
        let side = match config.http {
            Some(_) => Side::Unknown,
            None => Side::Socks(socks5::Server::new(config.socks, began)),
        };
        Server { config, side, began }
    }
    /// The plain stream has begun: what is unread belongs to it.
    pub fn is_open(&self) -> bool {
        match &self.side {
            Side::Unknown => false,
            Side::Socks(socks) => socks.is_open(),
            Side::Http(tunnel) => tunnel.is_open(),
        }
    }
    /// A login or a request is not answered yet.
    pub fn is_waiting(&self) -> bool {
        match &self.side {
            Side::Unknown => false,
            Side::Socks(socks) => socks.is_asked() || socks.is_judged(),
            Side::Http(tunnel) => tunnel.is_waiting(),
        }
    }
    /// The answer to [`Event::Login`]. One that fails ends the connection.
    ///
    /// # Errors
    /// Nobody has asked.
    pub fn judge(&mut self, tx: &mut Tx, good: bool) -> Result<(), Misuse> {
        match &mut self.side {
            Side::Unknown => Err(Misuse("no login waits")),
            Side::Socks(socks) => socks.judge(tx, good),
            Side::Http(tunnel) => tunnel.judge(tx, good),
        }
    }
    /// The answer to [`Event::Request`], as [`socks5::Server::reply`] has it; in HTTP it is a status, and `bound` is not told.
    ///
    /// # Errors
    /// Nobody has asked.
    pub fn reply(&mut self, tx: &mut Tx, reply: Reply, bound: SocketAddr) -> Result<(), Misuse> {
        match &mut self.side {
            Side::Unknown => Err(Misuse("no request waits")),
            Side::Socks(socks) => socks.reply(tx, reply, bound),
            Side::Http(tunnel) => tunnel.reply(tx, reply),
        }
    }
    /// Who begins with a capital letter begins with a method. No version of SOCKS does.
    fn look(&mut self, rx: &Rx<'_>) {
        self.side = match (rx.peek().first(), &self.config.http) {
            (Some(b'A'..=b'Z'), Some(http)) => Side::Http(Box::new(Tunnel::new(http.clone(), self.config.socks))),
            (None, _) if !rx.is_last() => Side::Unknown,
            _ => Side::Socks(socks5::Server::new(self.config.socks, self.began)),
        }
    }
}

impl Machine for Server {
    type Event<'b> = Event<'b>;

    fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event<'b>>, Fault> {
        if matches!(self.side, Side::Unknown) {
            self.look(rx);
        }
        match &mut self.side {
            Side::Unknown => Ok(Step::NeedMore),
            Side::Socks(socks) => Ok(match socks.poll(now, rx, tx)? {
                Step::Event(ServerEvent::Login { user, password }) => {
                    Step::Event(Event::Login { user: user.into(), password: password.into() })
                }
                Step::Event(ServerEvent::Request { command, address }) => {
                    Step::Event(Event::Request { command, to: address.into() })
                }
                Step::NeedMore => Step::NeedMore,
                Step::Paused => Step::Paused,
                Step::Closed => Step::Closed,
            }),
            Side::Http(tunnel) => tunnel.poll(now, rx, tx),
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        match &self.side {
            Side::Socks(socks) => socks.deadline(),
            Side::Http(tunnel) if !tunnel.is_asking() => None,
            _ => Some(Deadline::new(self.began, self.config.socks.limits.handshake, "handshake")),
        }
    }
    fn on_deadline(&mut self, now: Instant, tx: &mut Tx) -> Result<(), Fault> {
        match &mut self.side {
            Side::Unknown => Err(Fault { rule: "RFC 1928 3", what: LATE, code: 0, offset: 0 }),
            Side::Socks(socks) => socks.on_deadline(now, tx),
            Side::Http(tunnel) => Err(tunnel.late()),
        }
    }
}
