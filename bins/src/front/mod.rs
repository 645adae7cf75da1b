//! A server of HTTP/1 as a part: connections, their machines, and the life of the server around them.
//!
//! The app's [`Desk`] hears of requests, and answers them when it likes, with [`Front::respond`] or through the machine
//! itself ([`Front::http`]). Requests of a connection come one at a time: the next one when the last is answered, so the
//! answers are in order however long each takes.
//!
//! ```ignore
//! self.front.handle(input, &mut self.desk, cx);
//! ... // answers to earlier requests
//! self.front.settle(&mut self.desk, cx); // the last line of `handle`
//! ```
//! A client that says its last byte while its request waits for an answer counts as gone, as one that resets does, unless
//! [`Front::finish_for_gone`]: whoever asked does not wait any more, and the work is not worth doing.
use crate::service::{Life, Note, Refusal, ServerCx, Service, Settings};
use crate::text::http_date;
use core::net::SocketAddr;
use core::time::Duration;
use proto_core::http1::server::{Event, Request, Response};
use proto_core::http1::{Config, FieldBlock, Page, Server};
use proto_core::{
    Addr, Conn, ConnEvent, Conns, Deadline, Fault, Feed, Input, Misuse, Peer, Slots, Start, Step, Token, Tx,
};
use std::sync::Arc;

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

/// What an app does with what comes.
pub trait Desk<J> {
    /// A request. Without a body it is all there is of it.
    fn request(&mut self, t: Token, request: &Request<'_>, front: &mut Front, cx: &mut ServerCx<'_, J>);
    /// Bytes of its body.
    fn body(&mut self, _t: Token, _bytes: &[u8], _front: &mut Front, _cx: &mut ServerCx<'_, J>) {}
    /// The end of its body.
    fn body_end(&mut self, _t: Token, _front: &mut Front, _cx: &mut ServerCx<'_, J>) {}
    /// A connection that may bring requests.
    fn opened(&mut self, _t: Token, _peer: &Peer, _front: &mut Front, _cx: &mut ServerCx<'_, J>) {}
    /// Where the connection really comes from, as a balancer says; before its first request.
    fn came_from(&mut self, _t: Token, _from: SocketAddr, _front: &mut Front, _cx: &mut ServerCx<'_, J>) {}
    /// A client that was turned away.
    fn refused(&mut self, _from: &Addr, _why: Refusal, _front: &mut Front, _cx: &mut ServerCx<'_, J>) {}
    /// A client broke a rule, or was too slow; it has been told. [`Desk::gone`] follows.
    fn fault(&mut self, _t: Token, _fault: &Fault, _front: &mut Front, _cx: &mut ServerCx<'_, J>) {}
    /// The client is gone, or its connection is over; perhaps told more than once.
    fn gone(&mut self, t: Token, front: &mut Front, cx: &mut ServerCx<'_, J>);
}

/// How long a connection that idles when the server stops may still bring a request that was on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// The part.
#[derive(Debug)]
pub struct Front {
    /// The life of the server.
    pub service: Service,
    conns: Conns<Server>,
    /// Connections whose handshake goes on, and from where they are.
    shaking: Slots<Addr>,
    config: Arc<Config>,
    /// A client's last byte does not cancel what it asked for.
    pub finish_for_gone: bool,
    /// Connections whose answers have changed outside of a reading.
    again: Vec<Token>,
    /// The connection being read.
    reading: Option<Token>,
    closing_idle: Option<Deadline>,
    /// Fields of every answer, and the second they are for.
    block: FieldBlock,
    second: Option<i64>,
    /// Requests heard.
    pub requests: u64,
    /// Answers by the first digit of their status.
    pub answers: [u64; 6],
    /// Connections that broke the protocol or were too slow.
    pub faults: u64,
}

impl Front {
    /// With the service's settings; `config` is of every connection's machine.
    pub fn new(settings: Settings, config: Config) -> Self {
        Front {
            service: Service::new(settings),
            conns: Conns::new(0),
            shaking: Slots::default(),
            config: Arc::new(Config { page: Page::Html, ..config }),
            finish_for_gone: false,
            again: Vec::new(),
            reading: None,
            closing_idle: None,
            block: FieldBlock::default(),
            second: None,
            requests: 0,
            answers: [0; 6],
            faults: 0,
        }
    }
    /// The answer to `Input::Start`.
    pub fn start<J>(&mut self, start: &Start, banner: &str, cx: &mut ServerCx<'_, J>) {
        self.service.start(start, banner, cx);
    }
    /// A connection's machine and its output; `None` once that is finished. The connection is read on when the answer
    /// is complete.
    pub fn http<'a, J>(&'a mut self, t: Token, cx: &'a mut ServerCx<'_, J>) -> Option<(&'a mut Server, &'a mut Tx)> {
        if self.reading != Some(t) && self.again.last() != Some(&t) {
            self.again.push(t);
        }
        self.conns.machine(t, cx)
    }
    /// The whole answer. Nothing happens if the connection is gone or its request was answered.
    pub fn respond<J>(&mut self, t: Token, response: &Response<'_>, body: &[u8], cx: &mut ServerCx<'_, J>) {
        let counted = self.date(cx);
        let response = Response { block: response.block.or(Some(&counted)), ..*response };
        let Some((http, tx)) = self.http(t, cx) else { return };
        if http.respond_whole(tx, &response, body).is_ok() {
            self.count(response.status);
        }
    }
    /// The beginning of an answer; its body goes through [`Front::http`].
    ///
    /// # Errors
    /// The machine's.
    pub fn begin<J>(
        &mut self,
        t: Token,
        response: &Response<'_>,
        length: proto_core::http1::Length,
        cx: &mut ServerCx<'_, J>,
    ) -> Result<(), Misuse> {
        let block = self.date(cx);
        let response = Response { block: response.block.or(Some(&block)), ..*response };
        let Some((http, tx)) = self.http(t, cx) else { return Err(Misuse("the connection is gone")) };
        http.respond(tx, &response, length)?;
        self.count(response.status);
        Ok(())
    }
    /// A page that says a status: `<h1>404 Not Found</h1>`.
    pub fn page<J>(&mut self, t: Token, response: &Response<'_>, cx: &mut ServerCx<'_, J>) {
        let text = page_of(response.status);
        self.respond(t, &response.typed("text/html"), text.as_bytes(), cx);
    }
    /// Counts an answer that went through [`Front::http`].
    pub fn count(&mut self, status: u16) {
        if let Some(n) = self.answers.get_mut(usize::from(status / 100)) {
            *n += 1;
        }
    }
    /// `Date` (RFC 9110 6.6.1), made once a second.
    fn date<J>(&mut self, cx: &ServerCx<'_, J>) -> FieldBlock {
        let second = cx.wall().unix_ns.div_euclid(1_000_000_000);
        if self.second != Some(second) {
            self.second = Some(second);
            // A date has nothing in it that a field could not have.
            self.block = FieldBlock::new(&[("Date", http_date(second).as_bytes())]).unwrap_or_default();
        }
        self.block.clone()
    }
    /// A connection that cannot go on: what was promised is not to be had. The client must not take it for whole.
    pub fn abort<J>(&mut self, t: Token, cx: &mut ServerCx<'_, J>) {
        if self.conns.peek(t).is_some() {
            self.conns.close(t);
            cx.abort(t);
        }
    }
    /// A request waits for its answer to begin.
    pub fn is_awaiting(&self, t: Token) -> bool {
        self.conns.peek(t).is_some_and(|c| !c.is_over() && c.machine.is_awaiting())
    }
    /// No request is under way.
    pub fn is_idle(&self, t: Token) -> bool {
        self.conns.peek(t).is_none_or(|c| c.is_over() || c.machine.is_idle())
    }

    /// Takes an input that concerns connections or the server as a whole.
    pub fn handle<J, D: Desk<J>>(&mut self, input: Input<'_, Note>, desk: &mut D, cx: &mut ServerCx<'_, J>) {
        let input = match input {
            Input::Bytes(t, chunk) if t.part() == 0 => {
                let clear = !self.service.is_guarded() && !self.conns.peek(t).is_some_and(Conn::is_layered);
                if clear && chunk.first() == Some(&TLS_HELLO) && cx.stat(t).received <= chunk.len() as u64 {
                    return self.speaks_tls(t, desk, cx);
                }
                let feed = self.conns.feed(t, chunk, cx);
                return self.read(feed, t, desk, cx);
            }
            other => other,
        };
        if self.service.handle(&input, cx) == Life::Drain {
            self.drain(cx);
        }
        match input {
            Input::Accepted { conn, peer, .. } if conn.part() == 0 => match self.service.admit(conn, &peer, cx) {
                Ok(()) => {
                    let beneath: Vec<_> = self.service.header(&peer.remote).into_iter().collect();
                    let shakes = self.service.is_guarded() || !beneath.is_empty();
                    let machine = Server::new(self.config.clone());
                    if self.service.enrol_on(beneath, &mut self.conns, conn, machine, cx) {
                        if shakes {
                            self.shaking.insert(conn, peer.remote.clone());
                        }
                        desk.opened(conn, &peer, self, cx);
                    }
                }
                Err(why) => {
                    self.service.turn_away(conn, FULL, cx);
                    desk.refused(&peer.remote, why, self, cx);
                }
            },
            Input::Writable(t) if self.conns.peek(t).is_some() => {
                let feed = self.conns.resume(t, cx);
                self.read(feed, t, desk, cx);
            }
            Input::Eof(t) if self.conns.peek(t).is_some() => {
                let feed = self.conns.end(t, cx);
                self.read(feed, t, desk, cx);
                if !self.finish_for_gone && self.is_awaiting(t) {
                    desk.gone(t, self, cx);
                    self.conns.close(t);
                }
            }
            Input::Answer(id, answer) => {
                self.conns.answer(id, &answer); // a range of a file that goes through a layer
            }
            Input::Closed(t, _) => {
                self.shaking.remove(t);
                if self.conns.remove(t).is_some() {
                    desk.gone(t, self, cx);
                }
                self.service.closed(t, cx);
            }
            Input::Deadline => self.due(desk, cx),
            _ => {}
        }
    }
    /// A balancer has said for whom it speaks.
    fn named<J, D: Desk<J>>(&mut self, t: Token, from: SocketAddr, desk: &mut D, cx: &mut ServerCx<'_, J>) {
        desk.came_from(t, from, self, cx);
        if !self.service.allows(from.ip()) {
            desk.refused(&Addr::Ip(from), Refusal::Address, self, cx);
            self.conns.close(t);
        }
    }
    fn broken<J, D: Desk<J>>(&mut self, t: Token, fault: &Fault, desk: &mut D, cx: &mut ServerCx<'_, J>) {
        if let Some(from) = self.shaking.remove(t) {
            self.service.log_failure(self.conns.peek(t), &from, cx);
        }
        self.faults += 1;
        desk.fault(t, fault, self, cx);
        desk.gone(t, self, cx);
    }
    fn speaks_tls<J, D: Desk<J>>(&mut self, t: Token, desk: &mut D, cx: &mut ServerCx<'_, J>) {
        if let Some(tx) = self.conns.out(t, cx) {
            tx.put(NO_TLS.as_bytes());
        }
        self.conns.close(t);
        let fault = Fault { rule: "RFC 9110 4.2.1", what: "TLS on a port for clear text", code: 400, offset: 0 };
        self.broken(t, &fault, desk, cx);
    }
    fn due<J, D: Desk<J>>(&mut self, desk: &mut D, cx: &mut ServerCx<'_, J>) {
        while let Some((t, told)) = self.conns.due(cx) {
            if let Err(fault) = told {
                self.broken(t, &fault, desk, cx);
            }
            let feed = self.conns.resume(t, cx);
            self.read(feed, t, desk, cx);
        }
        while let Some((t, _)) = self.service.next_idle(cx) {
            desk.gone(t, self, cx);
            self.conns.close(t);
        }
        if self.closing_idle.is_some_and(|d| d.at <= cx.now) {
            self.closing_idle = None;
            let idle: Vec<Token> = self.conns.iter().filter(|(_, c)| c.machine.is_idle()).map(|(t, _)| t).collect();
            idle.into_iter().for_each(|t| self.conns.close(t));
        }
    }
    /// Connections say that they close with their next answer; those that stay idle end a little later.
    fn drain<J>(&mut self, cx: &ServerCx<'_, J>) {
        let all: Vec<Token> = self.conns.iter().map(|(t, _)| t).collect();
        for t in all {
            if let Some(conn) = self.conns.get(t) {
                conn.machine.close_after();
            }
        }
        self.closing_idle = Some(Deadline::new(cx.now, ON_ITS_WAY, "requests on their way"));
    }
    fn read<J, D: Desk<J>>(&mut self, mut feed: Feed<'_>, t: Token, desk: &mut D, cx: &mut ServerCx<'_, J>) {
        let outer = self.reading.replace(t);
        loop {
            match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(event))) => match event {
                    Event::Request(request) => {
                        self.requests += 1;
                        desk.request(t, &request, self, cx);
                    }
                    Event::Body(bytes) => desk.body(t, bytes, self, cx),
                    Event::End => desk.body_end(t, self, cx),
                    Event::Trailers(_) | Event::Upgraded => {}
                },
                Ok(Step::Event(ConnEvent::Ready(info))) => {
                    self.shaking.remove(t);
                    if let Some(from) = info.from {
                        self.named(t, *from, desk, cx);
                    }
                }
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break,
                Err(fault) => {
                    self.broken(t, &fault, desk, cx); // the answer says what was wrong
                    break;
                }
            }
        }
        self.reading = outer;
        self.conns.done(feed);
    }
    /// Reads connections on whose answers have changed; true if there were any.
    pub fn go_on<J, D: Desk<J>>(&mut self, desk: &mut D, cx: &mut ServerCx<'_, J>) -> bool {
        let again = core::mem::take(&mut self.again);
        for t in &again {
            let feed = self.conns.resume(*t, cx);
            self.read(feed, *t, desk, cx);
        }
        !again.is_empty()
    }
    /// The last line of `handle`.
    pub fn settle<J, D: Desk<J>>(&mut self, desk: &mut D, cx: &mut ServerCx<'_, J>) {
        while self.go_on(desk, cx) {}
        let mut failed = Vec::new();
        self.conns.settle(cx, |t, fault| failed.push((t, fault)));
        for (t, fault) in failed {
            self.broken(t, &fault, desk, cx);
        }
    }
    /// When it wants `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        let rest = Deadline::earliest(self.conns.deadline(), self.closing_idle);
        Deadline::earliest(self.service.deadline(), rest)
    }
}

/// First byte of a TLS record with a handshake (RFC 8446 5.1).
const TLS_HELLO: u8 = 0x16;

/// What a client that speaks TLS is told, in case a person looks.
const NO_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 35\r\nConnection: close\r\n\r\n\
                      This port speaks HTTP without TLS.\n";

/// What a client over the limit is told, whatever it asks.
const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 33\r\nConnection: close\r\n\
                    Retry-After: 1\r\n\r\n<h1>503 Service Unavailable</h1>\n";

/// The body of a page that says nothing but a status.
pub fn page_of(status: u16) -> String {
    format!("<h1>{status} {}</h1>\n", proto_core::http1::reason(status))
}
