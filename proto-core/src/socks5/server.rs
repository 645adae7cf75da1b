//! The proxy's side of a connection, up to the plain stream.
//!
//! States: *greeting* -> (*login* -> *judged*, waiting for [`Server::judge`]) -> *request* -> *asked*, waiting for
//! [`Server::reply`] (of BIND twice) -> *open* or *closed*.
//!
//! While the app thinks, the machine goes on reading: so it hears that the client has left, which is a fault like every end
//! before the reply. What the client sends early stays unread, up to [`Limits::early`]; then reading pauses.
use super::address::{self, Wrong};
use super::v4;
use super::{Address, Command, Method, NO_METHOD, Offers, Reply, VERSION};
use crate::{Deadline, Fault, Instant, Machine, Misuse, Rx, Step, Tx};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

/// What is bounded, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes that may come before the reply: 16 KiB, a TLS ClientHello and some more.
    pub early: usize,
    /// From the first moment to the whole request, logins included: 10 s, however the bytes trickle.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { early: 16 << 10, handshake: Duration::from_secs(10) }
    }
}

/// How a server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// How clients may show who they are.
    pub offers: Offers,
    /// SOCKS 4 and 4a are spoken, too, with clients that need not log in.
    pub v4: bool,
    /// Its limits.
    pub limits: Limits,
}

/// What a client wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerEvent<'b> {
    /// To log in; [`Server::judge`] says whether it may.
    Login {
        /// Who it says it is: 1 to 255 bytes of any kind.
        user: &'b [u8],
        /// How it proves it: 1 to 255 bytes.
        password: &'b [u8],
    },
    /// To have this done; [`Server::reply`] says how that went.
    Request {
        /// What.
        command: Command,
        /// Where.
        address: Address<'b>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Greeting,
    Login,
    Judged,
    Request,
    Asked(Command),
    /// The first reply to BIND is out.
    Listening,
    Open,
    Closed,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
    state: State,
    /// The client has begun with version 4.
    is_v4: bool,
    began: Instant,
    /// Bytes understood.
    offset: u64,
}

/// A version that is not 5: the fault's code is what it was.
pub(super) const NOT_SOCKS: &str = "not SOCKS5";
pub(crate) const CUT: &str = "closed during handshake";
pub(crate) const LATE: &str = "handshake took too long";

impl Server {
    /// For a connection that began at `began`.
    pub fn new(config: Config, began: Instant) -> Self {
        Server { config, state: State::Greeting, is_v4: false, began, offset: 0 }
    }
    /// Bytes of the handshake so far.
    pub fn handshake_len(&self) -> u64 {
        self.offset
    }
    /// The plain stream has begun: what is unread belongs to it.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }
    /// A request is not answered yet.
    pub fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked(_) | State::Listening)
    }
    /// A login is not answered yet.
    pub fn is_judged(&self) -> bool {
        self.state == State::Judged
    }
    /// The answer to [`ServerEvent::Login`] (RFC 1929 section 2). One that fails ends the connection.
    ///
    /// # Errors
    /// Nobody has asked.
    pub fn judge(&mut self, tx: &mut Tx, good: bool) -> Result<(), Misuse> {
        if self.state != State::Judged {
            return Err(Misuse("no login waits"));
        }
        tx.put(&[super::LOGIN_VERSION, u8::from(!good)]);
        self.state = if good { State::Request } else { State::Closed };
        Ok(())
    }
    /// The answer to [`ServerEvent::Request`]: of a success, our address on the outgoing connection. After any other the
    /// connection is over. BIND succeeds twice: when it listens (where), and when somebody has come (who).
    ///
    /// # Errors
    /// Nobody has asked.
    pub fn reply(&mut self, tx: &mut Tx, reply: Reply, bound: SocketAddr) -> Result<(), Misuse> {
        let next = match (self.state, reply) {
            (State::Asked(_) | State::Listening, r) if r != Reply::Succeeded => State::Closed,
            (State::Asked(Command::Bind), _) => State::Listening,
            (State::Asked(_) | State::Listening, _) => State::Open,
            _ => return Err(Misuse("no request waits")),
        };
        self.put_reply(tx, reply, bound);
        self.state = next;
        Ok(())
    }
    /// The answer to a request that cannot be read.
    fn refuse(&mut self, tx: &mut Tx, reply: Reply, what: &'static str) -> Fault {
        self.put_reply(tx, reply, NOWHERE);
        self.fault(if self.is_v4 { v4::RULE } else { "RFC 1928 4" }, what, reply.code())
    }
    fn put_reply(&self, tx: &mut Tx, reply: Reply, bound: SocketAddr) {
        if self.is_v4 {
            return v4::put_reply(tx, reply, bound);
        }
        tx.put(&[VERSION, reply.code(), 0]);
        address::put(&Address::from(bound), tx);
    }
    fn fault(&mut self, rule: &'static str, what: &'static str, code: u8) -> Fault {
        self.state = State::Closed;
        Fault { rule, what, code: code.into(), offset: self.offset }
    }
    fn took<'b>(&mut self, rx: &mut Rx<'b>, n: usize) -> &'b [u8] {
        let taken = rx.take(n);
        self.offset += taken.len() as u64;
        taken
    }

    fn greeting<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ServerEvent<'b>>, Fault> {
        let rule = "RFC 1928 3";
        let n = match *rx.peek() {
            [v4::VERSION, ..] if self.config.v4 => return self.request_v4(rx, tx),
            [version, ..] if version != VERSION => return Err(self.fault(rule, NOT_SOCKS, version)),
            [_, 0, ..] => {
                tx.put(&[VERSION, NO_METHOD]);
                return Err(self.fault(rule, "no methods offered", NO_METHOD));
            }
            [_, n, ..] if rx.len() >= 2 + usize::from(n) => usize::from(n),
            _ => return Ok(Step::NeedMore),
        };
        let methods = self.took(rx, 2 + n).get(2..).unwrap_or_default();
        let Some(method) = self.config.offers.pick(methods) else {
            tx.put(&[VERSION, NO_METHOD]);
            return Err(self.fault(rule, "no acceptable method", NO_METHOD));
        };
        tx.put(&[VERSION, method.code()]);
        self.state = if method == Method::Password { State::Login } else { State::Request };
        self.step(rx, tx)
    }
    fn login<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ServerEvent<'b>>, Fault> {
        let what = match *rx.peek() {
            [version, ..] if version != super::LOGIN_VERSION => "unknown version of the login",
            [_, 0, ..] => "empty user name",
            [_, ulen, ref rest @ ..] => match rest.get(usize::from(ulen)) {
                Some(0) => "empty password",
                Some(plen) if rest.len() > usize::from(ulen) + usize::from(*plen) => {
                    let (u, p) = (usize::from(ulen), usize::from(*plen));
                    let all = self.took(rx, 3 + u + p);
                    self.state = State::Judged;
                    let user = all.get(2..2 + u).unwrap_or_default();
                    return Ok(Step::Event(ServerEvent::Login {
                        user,
                        password: all.get(3 + u..).unwrap_or_default(),
                    }));
                }
                _ => return Ok(Step::NeedMore),
            },
            _ => return Ok(Step::NeedMore),
        };
        tx.put(&[super::LOGIN_VERSION, 1]);
        Err(self.fault("RFC 1929 2", what, 1))
    }
    fn request<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ServerEvent<'b>>, Fault> {
        let (command, rest) = match *rx.peek() {
            [version, ..] if version != VERSION => {
                return Err(self.refuse(tx, Reply::GeneralFailure, "unknown version of the request"));
            }
            [_, code, ref rest @ ..] => match Command::of(code) {
                Some(command) => (command, rest),
                None => return Err(self.refuse(tx, Reply::CommandNotSupported, "unknown command")),
            },
            _ => return Ok(Step::NeedMore),
        };
        let n = match rest {
            [] => return Ok(Step::NeedMore),
            [0, address @ ..] => match address::length(address) {
                Ok(n) if address.len() >= n => n,
                Ok(_) | Err(Wrong::Short) => return Ok(Step::NeedMore),
                Err(Wrong::Kind) => {
                    return Err(self.refuse(tx, Reply::AddressNotSupported, "unknown type of address"));
                }
                Err(Wrong::Name) => return Err(self.refuse(tx, Reply::GeneralFailure, "empty domain name")),
            },
            _ => return Err(self.refuse(tx, Reply::GeneralFailure, "a reserved byte that is not 0")),
        };
        let all = self.took(rx, 3 + n);
        match address::read(all.get(3..).unwrap_or_default()) {
            Ok(a) if a.port == 0 && command == Command::Connect => {
                Err(self.refuse(tx, Reply::GeneralFailure, "port 0"))
            }
            Ok(address) => {
                self.state = State::Asked(command);
                Ok(Step::Event(ServerEvent::Request { command, address }))
            }
            Err(_) => Err(self.refuse(tx, Reply::GeneralFailure, "not a domain name")),
        }
    }
    /// All of a client that speaks version 4.
    fn request_v4<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ServerEvent<'b>>, Fault> {
        self.is_v4 = true;
        if !self.config.offers.open {
            return Err(self.refuse(tx, Reply::NotAllowed, "SOCKS4 cannot log in"));
        }
        let n = match v4::length(rx.peek()) {
            Ok(Some(n)) => n,
            Ok(None) => return Ok(Step::NeedMore),
            Err(what) => return Err(self.refuse(tx, Reply::GeneralFailure, what)),
        };
        match v4::read(self.took(rx, n)) {
            Ok((command, address)) => {
                self.state = State::Asked(command);
                Ok(Step::Event(ServerEvent::Request { command, address }))
            }
            Err(what) => Err(self.refuse(tx, Reply::GeneralFailure, what)),
        }
    }
    fn step<'b>(&mut self, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ServerEvent<'b>>, Fault> {
        let step = match self.state {
            State::Greeting => self.greeting(rx, tx)?,
            State::Login => self.login(rx, tx)?,
            State::Request => self.request(rx, tx)?,
            State::Judged | State::Asked(_) | State::Listening if rx.len() >= self.config.limits.early => Step::Paused,
            State::Judged | State::Asked(_) | State::Listening => Step::NeedMore,
            State::Open => Step::Paused, // nothing of the stream is the machine's
            State::Closed => Step::Closed,
        };
        match step {
            Step::NeedMore if rx.is_last() => {
                let seen = rx.len() as u64;
                let offset = self.offset + seen;
                Err(Fault { offset, ..self.fault("RFC 1928 3", CUT, 0) })
            }
            step => Ok(step),
        }
    }
}

impl Machine for Server {
    type Event<'b> = ServerEvent<'b>;

    fn poll<'b>(&mut self, _: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<ServerEvent<'b>>, Fault> {
        self.step(rx, tx)
    }
    fn deadline(&self) -> Option<Deadline> {
        let on = matches!(self.state, State::Greeting | State::Login | State::Judged | State::Request);
        on.then(|| Deadline::new(self.began, self.config.limits.handshake, "SOCKS handshake"))
    }
    fn on_deadline(&mut self, _: Instant, _: &mut Tx) -> Result<(), Fault> {
        Err(self.fault("RFC 1928 3", LATE, 0))
    }
}

/// The address of a reply that has none.
const NOWHERE: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
