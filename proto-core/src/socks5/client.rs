//! The client's side of a connection to a proxy, up to the plain stream.
//!
//! States: *start* -> *greeted* -> (*logging in*) -> *asked* (of BIND twice) -> *open*. Each message waits for the answer to
//! the one before, so nothing is sent to a proxy that did not agree to it.
use super::address::{self, Wrong};
use super::{Address, Command, Host, LOGIN_VERSION, Method, NO_METHOD, Reply, VERSION, is_name};
use crate::{Deadline, Fault, Instant, Machine, Misuse, Rx, Step, Tx};
use alloc::{string::String, vec::Vec};
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

/// Where a proxy is to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    host: Owned,
    port: u16,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Owned {
    Ip(IpAddr),
    Name(String),
}

impl Destination {
    /// An address, or a name that the proxy resolves (`socks5h`).
    ///
    /// # Errors
    /// It is neither. A name that is too long is never cut, and never resolved here instead.
    pub fn new(host: &str, port: u16) -> Result<Self, Misuse> {
        let host = match host.parse() {
            Ok(ip) => Owned::Ip(ip),
            Err(_) if is_name(host.as_bytes()) => Owned::Name(host.into()),
            Err(_) => return Err(Misuse("not a name that a proxy could resolve")),
        };
        Ok(Destination { host, port })
    }
    /// As it is on the wire.
    pub fn address(&self) -> Address<'_> {
        let host = match &self.host {
            Owned::Ip(ip) => Host::Ip(*ip),
            Owned::Name(name) => Host::Name(name),
        };
        Address { host, port: self.port }
    }
}

impl From<Address<'_>> for Destination {
    fn from(a: Address<'_>) -> Self {
        let host = match a.host {
            Host::Ip(ip) => Owned::Ip(ip),
            Host::Name(name) => Owned::Name(name.into()),
        };
        Destination { host, port: a.port }
    }
}

/// A name and a password, 1 to 255 bytes each.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// For a login.
    ///
    /// # Errors
    /// One of them is empty or too long for the format.
    pub fn new(user: &[u8], password: &[u8]) -> Result<Self, Misuse> {
        let fits = |b: &[u8]| (1..=255).contains(&b.len());
        if !fits(user) || !fits(password) {
            return Err(Misuse("a user name and a password have 1 to 255 bytes each"));
        }
        Ok(Credentials { user: user.into(), password: password.into() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a proxy says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientEvent<'b> {
    /// BIND: it listens here.
    Listening(Address<'b>),
    /// The plain stream begins; the proxy's address on the other side (of BIND, who has come).
    Open(Address<'b>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Start,
    Greeted,
    LoggingIn,
    Asked,
    Listening,
    Open,
    Closed,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Client {
    command: Command,
    to: Destination,
    credentials: Option<Credentials>,
    within: Duration,
    state: State,
    began: Instant,
    offset: u64,
}

impl Client {
    /// Asks for `command` at `to`; the proxy has `within` for all of its answers.
    pub fn new(command: Command, to: Destination, credentials: Option<Credentials>, within: Duration) -> Self {
        let (state, began, offset) = (State::Start, Instant::default(), 0);
        Client { command, to, credentials, within, state, began, offset }
    }
    /// Says hello: the client speaks first.
    ///
    /// # Errors
    /// It has begun already.
    pub fn start(&mut self, now: Instant, tx: &mut Tx) -> Result<(), Misuse> {
        if self.state != State::Start {
            return Err(Misuse("the handshake has begun"));
        }
        (self.state, self.began) = (State::Greeted, now);
        match self.credentials {
            // Both are offered, so that a proxy without users serves who has a password.
            Some(_) => tx.put(&[VERSION, 2, Method::Open.code(), Method::Password.code()]),
            None => tx.put(&[VERSION, 1, Method::Open.code()]),
        }
        Ok(())
    }
    /// The plain stream has begun: what is unread belongs to it.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }
    fn fault(&mut self, what: &'static str, code: u8) -> Fault {
        self.state = State::Closed;
        let rule = if what == LOGIN_FAILED { "RFC 1929 2" } else { "RFC 1928 6" };
        Fault { rule, what, code: code.into(), offset: self.offset }
    }
    fn took<'b>(&mut self, rx: &mut Rx<'b>, n: usize) -> &'b [u8] {
        let taken = rx.take(n);
        self.offset += taken.len() as u64;
        taken
    }
    fn greeted<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ClientEvent<'b>>, Fault> {
        let method = match *rx.peek() {
            [version, ..] if version != VERSION => return Err(self.fault(super::server::NOT_SOCKS, version)),
            [_, method, ..] => method,
            _ => return Ok(Step::NeedMore),
        };
        self.took(rx, 2);
        match (method, &self.credentials) {
            (0, _) => self.ask(tx),
            (2, Some(c)) => {
                tx.put(&[LOGIN_VERSION, c.user.len() as u8]);
                tx.put(&c.user);
                tx.put(&[c.password.len() as u8]);
                tx.put(&c.password);
                self.state = State::LoggingIn;
            }
            (NO_METHOD, None) => return Err(self.fault("the proxy wants a user name and a password", NO_METHOD)),
            (NO_METHOD, Some(_)) => return Err(self.fault("the proxy accepts neither way to log in", NO_METHOD)),
            (m, _) => return Err(self.fault("the proxy picked a method that was not offered", m)),
        }
        self.step(rx, tx)
    }
    fn ask(&mut self, tx: &mut Tx) {
        tx.put(&[VERSION, self.command.code(), 0]);
        address::put(&self.to.address(), tx);
        self.state = State::Asked;
    }
    fn logging_in<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ClientEvent<'b>>, Fault> {
        match *rx.peek() {
            [version, ..] if version != LOGIN_VERSION => return Err(self.fault("not an answer to a login", version)),
            [_, 0, ..] => self.took(rx, 2),
            [_, code, ..] => return Err(self.fault(LOGIN_FAILED, code)),
            _ => return Ok(Step::NeedMore),
        };
        self.ask(tx);
        self.step(rx, tx)
    }
    fn answer<'b>(&mut self, rx: &mut Rx<'b>) -> Result<Step<ClientEvent<'b>>, Fault> {
        let n = match *rx.peek() {
            [version, ..] if version != VERSION => return Err(self.fault(super::server::NOT_SOCKS, version)),
            [_, code, ..] if code != 0 => {
                return Err(self.fault(Reply::of(code).map_or("an unknown reply of the proxy", Reply::text), code));
            }
            [_, _, 0, ref address @ ..] => match address::length(address) {
                Ok(n) if address.len() >= n => 3 + n,
                Ok(_) | Err(Wrong::Short) => return Ok(Step::NeedMore),
                Err(_) => return Err(self.fault(BAD_ADDRESS, 0)),
            },
            [_, _, _, ..] => return Err(self.fault("a reserved byte that is not 0", 0)),
            _ => return Ok(Step::NeedMore),
        };
        let taken = self.took(rx, n);
        let Ok(address) = address::read(taken.get(3..).unwrap_or_default()) else {
            return Err(self.fault(BAD_ADDRESS, 0));
        };
        let again = self.state == State::Asked && self.command == Command::Bind;
        self.state = if again { State::Listening } else { State::Open };
        Ok(Step::Event(if again { ClientEvent::Listening(address) } else { ClientEvent::Open(address) }))
    }
    fn step<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ClientEvent<'b>>, Fault> {
        let step = match self.state {
            State::Start => Step::NeedMore,
            State::Greeted => self.greeted(rx, tx)?,
            State::LoggingIn => self.logging_in(rx, tx)?,
            State::Asked | State::Listening => self.answer(rx)?,
            State::Open => Step::Paused,
            State::Closed => Step::Closed,
        };
        match step {
            Step::NeedMore if rx.is_last() => {
                self.offset += rx.len() as u64;
                Err(self.fault("the proxy closed the connection during the handshake", 0))
            }
            step => Ok(step),
        }
    }
}

const LOGIN_FAILED: &str = "the proxy does not accept the user name and password";
const BAD_ADDRESS: &str = "a reply with an address that is none";

impl Machine for Client {
    type Event<'b> = ClientEvent<'b>;

    fn poll<'b>(&mut self, _: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ClientEvent<'b>>, Fault> {
        self.step(rx, tx)
    }
    fn deadline(&self) -> Option<Deadline> {
        let on = matches!(self.state, State::Greeted | State::LoggingIn | State::Asked);
        on.then(|| Deadline::new(self.began, self.within, "answer of the proxy"))
    }
    fn on_deadline(&mut self, _: Instant, _: &mut Tx) -> Result<(), Fault> {
        Err(self.fault("the proxy does not answer in time", 0))
    }
}
