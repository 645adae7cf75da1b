//! CONNECT of HTTP/1.x (RFC 9110 section 9.3.6), perhaps with `Proxy-Authorization: Basic` (RFC 7617).
//!
//! States: *head* -> (*judged*, waiting for [`Tunnel::judge`] -> *granted*) -> *asked*, waiting for [`Tunnel::reply`] -> *open* or
//! *closed*. Who has to log in and did not is told so (407) and may ask again on the same connection.
use super::Event;
use crate::http1::server::{self, Request, Response};
use crate::http1::{self, Method};
use crate::socks5::{self, CUT, Command, Destination, LATE, Offers, Reply};
use crate::{Fault, Instant, Machine, Misuse, Rx, Step, Tx};
use alloc::{sync::Arc, vec::Vec};
use base64::prelude::{BASE64_STANDARD, Engine};
use core::mem;

#[derive(Debug)]
enum State {
    Head,
    Judged(Destination),
    /// The login was good: the request follows.
    Granted(Destination),
    Asked,
    Open,
    Closed,
}

/// One client.
#[derive(Debug)]
pub struct Tunnel {
    http: http1::Server,
    offers: Offers,
    early: usize,
    state: State,
    /// Bytes of heads.
    offset: u64,
}

const RULE: &str = "RFC 9110 9.3.6";

impl Tunnel {
    pub fn new(http: Arc<http1::Config>, socks: socks5::Config) -> Self {
        let (offers, early) = (socks.offers, socks.limits.early);
        Tunnel { http: http1::Server::new(http), offers, early, state: State::Head, offset: 0 }
    }
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Judged(_) | State::Asked)
    }
    /// The handshake is not over.
    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Head | State::Judged(_) | State::Granted(_))
    }
    pub fn judge(&mut self, tx: &mut Tx, good: bool) -> Result<(), Misuse> {
        match mem::replace(&mut self.state, State::Closed) {
            State::Judged(to) if good => self.state = State::Granted(to),
            State::Judged(_) => self.want_login(tx, true),
            other => {
                self.state = other;
                return Err(Misuse("no login waits"));
            }
        }
        Ok(())
    }
    pub fn reply(&mut self, tx: &mut Tx, reply: Reply) -> Result<(), Misuse> {
        if !matches!(self.state, State::Asked) {
            return Err(Misuse("no request waits"));
        }
        if reply == Reply::Succeeded {
            self.http.tunnel(tx, &[])?;
            self.state = State::Open;
        } else {
            let (status, error) = failure(reply);
            self.answer(tx, status, reply.text(), &[("Proxy-Status", error)], true);
            self.state = State::Closed;
        }
        Ok(())
    }
    pub fn late(&mut self) -> Fault {
        self.fault(LATE, 408)
    }
    fn fault(&mut self, what: &'static str, code: u32) -> Fault {
        self.state = State::Closed;
        Fault { rule: RULE, what, code, offset: self.offset }
    }
    fn answer(&mut self, tx: &mut Tx, status: u16, text: &str, fields: &[(&str, &[u8])], last: bool) {
        let head = Response { close: last, ..Response::new(status).typed("text/plain").fields(fields) };
        let said = self.http.respond_whole(tx, &head, alloc::format!("{text}\n").as_bytes());
        debug_assert!(said.is_ok(), "{said:?}");
    }
    fn want_login(&mut self, tx: &mut Tx, last: bool) {
        let fields: [(&str, &[u8]); 1] = [("Proxy-Authenticate", b"Basic realm=\"proxy\", charset=\"UTF-8\"")];
        self.answer(tx, 407, "a user name and a password, please", &fields, last);
    }
    fn refuse<'b>(&mut self, tx: &mut Tx, status: u16, what: &'static str) -> Result<Step<Event<'b>>, Fault> {
        let allow: &[(&str, &[u8])] = if status == 405 { &[("Allow", b"CONNECT")] } else { &[] };
        self.answer(tx, status, what, allow, true);
        Err(self.fault(what, status.into()))
    }

    pub fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event<'b>>, Fault> {
        match mem::replace(&mut self.state, State::Asked) {
            State::Granted(to) => return Ok(request(to)),
            other => self.state = other,
        }
        match self.state {
            State::Head => self.heads(now, rx, tx),
            State::Open => Ok(Step::Paused),
            State::Closed => Ok(Step::Closed),
            _ if rx.is_last() => {
                self.offset += rx.len() as u64;
                Err(self.fault(CUT, 0))
            }
            _ if rx.len() >= self.early => Ok(Step::Paused),
            _ => Ok(Step::NeedMore),
        }
    }
    fn heads<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event<'b>>, Fault> {
        loop {
            let before = rx.len();
            let asked = match self.http.poll(now, rx, tx) {
                Ok(Step::Event(server::Event::Request(request))) => request,
                Ok(Step::Event(_)) => continue,
                Ok(Step::NeedMore) => return Ok(Step::NeedMore),
                Ok(Step::Paused) => return Ok(Step::Paused),
                Ok(Step::Closed) => {
                    self.state = State::Closed;
                    return Ok(Step::Closed);
                }
                Err(fault) => {
                    self.state = State::Closed;
                    return Err(fault);
                }
            };
            self.offset += (before - rx.len()) as u64;
            if asked.method() != Method::Connect {
                return self.refuse(tx, 405, "a request that is not CONNECT");
            }
            let Some(to) = destination(asked.target()) else {
                return self.refuse(tx, 400, "not a host and a port");
            };
            match credentials(&asked).filter(|_| self.offers.password) {
                Some((user, password)) => {
                    self.state = State::Judged(to);
                    return Ok(Step::Event(Event::Login { user: user.into(), password: password.into() }));
                }
                None if self.offers.open => {
                    self.state = State::Asked;
                    return Ok(request(to));
                }
                None => self.want_login(tx, false),
            }
        }
    }
}

fn request<'b>(to: Destination) -> Step<Event<'b>> {
    Step::Event(Event::Request { command: Command::Connect, to })
}

/// HOST:PORT, which is never without a port here.
fn destination(target: &str) -> Option<Destination> {
    let (host, port) = target.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    Destination::new(host, port).ok()
}

/// The user and the password, if the request has just one pair that could be one.
fn credentials(request: &Request<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let fields = request.fields();
    let mut values = fields.values("Proxy-Authorization");
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut both = BASE64_STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = both.iter().position(|b| *b == b':')?;
    let password = both.split_off(colon + 1);
    both.pop();
    let fits = |b: &[u8]| (1..=255).contains(&b.len());
    (fits(&both) && fits(&password)).then_some((both, password))
}

/// The status of a failure, and its name (RFC 9209 section 2.3).
fn failure(reply: Reply) -> (u16, &'static [u8]) {
    match reply {
        Reply::NotAllowed => (403, b"proxy; error=http_request_denied"),
        Reply::NetworkUnreachable => (502, b"proxy; error=destination_ip_unroutable"),
        Reply::HostUnreachable | Reply::TtlExpired => (502, b"proxy; error=destination_unavailable"),
        Reply::ConnectionRefused => (502, b"proxy; error=connection_refused"),
        Reply::CommandNotSupported | Reply::AddressNotSupported => (501, b"proxy; error=http_request_error"),
        Reply::Succeeded | Reply::GeneralFailure => (503, b"proxy; error=proxy_internal_error"),
    }
}
