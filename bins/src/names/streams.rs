//! Questions over connections: TCP (RFC 7766), TLS (RFC 7858), HTTPS (RFC 8484). One question each, or one after the other.
use crate::outcome::{Code, Failure, network};
use crate::tls::ClientTls;
use crate::via::Proxy;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::dns::{Frame, Frames, MESSAGE_MAX, Stub, TryId};
use proto_core::http1::{Client, Config, Limits, client};
use proto_core::{
    Chunk, ConnEvent, Conns, Cx, Deadline, Fault, Feed, Input, Layer, Machine, Reason, Slots, Step, Token,
};
use std::collections::BTreeMap;

/// Of messages in HTTP (RFC 8484 section 6).
const MEDIA_TYPE: &[u8] = b"application/dns-message";

/// What carries messages that do not go as datagrams.
#[derive(Clone, Debug, Default)]
pub enum Carrier {
    /// TCP.
    #[default]
    Tcp,
    /// TLS.
    Tls(Box<Secured>),
    /// HTTPS.
    Https(Box<Secured>, Web),
}

/// How questions are put to a server of HTTP (RFC 8484 section 4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Web {
    /// Where to.
    pub path: String,
    /// By GET, which caches can answer, instead of POST.
    pub get: bool,
}

impl Web {
    /// The target of a request for `message`, if that is all of it.
    fn target(&self, message: &[u8]) -> String {
        if !self.get {
            return self.path.clone();
        }
        let before = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{before}dns={}", self.path, BASE64_URL_SAFE_NO_PAD.encode(message))
    }
}

/// How servers prove who they are.
#[derive(Clone, Debug)]
pub struct Secured {
    /// What all connections share.
    pub tls: ClientTls,
    /// The names that servers have by their addresses; one without is known by its address.
    pub names: BTreeMap<IpAddr, String>,
    /// All have this name instead.
    pub fixed: Option<String>,
}

impl Secured {
    fn name(&self, server: IpAddr) -> String {
        self.fixed.clone().or_else(|| self.names.get(&server).cloned()).unwrap_or_else(|| server.to_string())
    }
    fn layer(&self, server: IpAddr) -> Result<Box<dyn Layer>, Failure> {
        self.tls.setup.layer(&self.name(server)).map_err(|e| Failure::new(Code::Usage, e.0))
    }
}

#[derive(Debug)]
struct Talk {
    id: TryId,
    server: SocketAddr,
    /// To be sent, or to be sent again.
    message: Vec<u8>,
    /// The body of an answer of HTTP.
    body: Vec<u8>,
    /// The connection had another question before.
    reused: bool,
    /// It has its reply, and the connection can take another question.
    answered: bool,
}

/// The connections of one stub.
#[derive(Debug)]
pub struct Streams {
    carrier: Carrier,
    /// A proxy on the way, and where it is.
    via: Option<(Proxy, SocketAddr)>,
    talks: Slots<Talk>,
    frames: Conns<Frames>,
    https: Conns<Client>,
    failure: Option<Failure>,
    /// Connections are kept for the next question.
    keeps: bool,
    /// Those that wait for one, with their servers.
    idle: Slots<SocketAddr>,
    /// Questions whose connection was closed before they came.
    again: Vec<(TryId, SocketAddr, Vec<u8>)>,
}

impl Streams {
    /// Questions of file ranges there are none, so `part` is for form's sake.
    pub fn new(part: u8, carrier: Carrier) -> Self {
        let (frames, https) = (Conns::new(part), Conns::new(part));
        let (talks, idle, again) = (Slots::default(), Slots::default(), Vec::new());
        Streams { carrier, via: None, talks, frames, https, failure: None, keeps: false, idle, again }
    }
    /// Connections are kept, for there will be more questions (RFC 7766 section 6.2.1).
    pub fn keep(&mut self) {
        self.keeps = true;
    }
    /// What carries messages from now on.
    pub fn carry(&mut self, carrier: Carrier) {
        self.carrier = carrier;
    }
    /// All go through a proxy, which is there.
    pub fn through(&mut self, proxy: Proxy, at: SocketAddr) {
        self.via = Some((proxy, at));
    }
    /// Where a connection to `server` goes first.
    pub fn way_to(&self, server: SocketAddr) -> SocketAddr {
        self.via.as_ref().map_or(server, |(_, at)| *at)
    }
    /// The names of servers become known.
    pub fn name(&mut self, server: IpAddr, name: &str) {
        if let Carrier::Tls(secured) | Carrier::Https(secured, _) = &mut self.carrier {
            secured.names.insert(server, name.into());
        }
    }
    /// Why the last connection was of no use, if it was for TLS, HTTPS or a proxy.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }
    /// A connection that is on its way is for this message.
    pub fn open(&mut self, conn: Token, id: TryId, server: SocketAddr, message: Vec<u8>) {
        self.talks.insert(conn, Talk { id, server, message, body: Vec::new(), reused: false, answered: false });
    }
    /// Puts a message on a connection that waits for one.
    ///
    /// # Errors
    /// The message, if there is none.
    pub fn reuse<J, M>(
        &mut self,
        id: TryId,
        server: SocketAddr,
        message: Vec<u8>,
        cx: &mut Cx<'_, J, M>,
    ) -> Result<Token, Vec<u8>> {
        let free = self.idle.iter().find(|(_, at)| **at == server).map(|(t, _)| t);
        let Some(t) = free else { return Err(message) };
        self.idle.remove(t);
        self.put(t, server, &message, cx);
        self.talks.insert(t, Talk { id, server, message, body: Vec::new(), reused: true, answered: false });
        self.frames.settle(cx, |_, _| {}); // what is wrong with it is found when it is next heard of
        self.https.settle(cx, |_, _| {});
        Ok(t)
    }
    /// A question that needs another connection.
    pub fn next_again(&mut self) -> Option<(TryId, SocketAddr, Vec<u8>)> {
        self.again.pop()
    }
    /// It is wanted no more, or not for this question. False if it is not one of them.
    pub fn drop<J, M>(&mut self, conn: Token, cx: &mut Cx<'_, J, M>) -> bool {
        let Some(talk) = self.talks.remove(conn) else { return false };
        if self.keeps && talk.answered {
            self.idle.insert(conn, talk.server);
        } else {
            self.cut(conn, cx);
        }
        true
    }
    fn cut<J, M>(&mut self, conn: Token, cx: &mut Cx<'_, J, M>) {
        self.idle.remove(conn);
        self.frames.remove(conn);
        self.https.remove(conn);
        cx.abort(conn);
    }
    /// Closes all of them.
    pub fn close<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        let all: Vec<Token> = self.talks.iter().map(|(t, _)| t).chain(self.idle.iter().map(|(t, _)| t)).collect();
        self.talks = Slots::default();
        all.into_iter().for_each(|t| self.cut(t, cx));
    }
    /// Takes an input; false if it is about none of the connections. Every part may be told of `Input::Deadline`.
    pub fn handle<J, M>(&mut self, stub: &mut Stub, input: &Input<'_, M>, cx: &mut Cx<'_, J, M>) -> bool {
        let token = match input {
            Input::Connected { conn, .. } => *conn,
            Input::Bytes(t, _) | Input::Eof(t) | Input::Closed(t, _) | Input::Writable(t) => *t,
            Input::Deadline => {
                self.due(stub, cx);
                return false;
            }
            _ => return false,
        };
        let Some(talk) = self.talks.get(token) else {
            let is_idle = self.idle.get(token).is_some();
            if is_idle {
                self.idle_hears(token, input, cx);
            }
            return is_idle;
        };
        let id = talk.id;
        match input {
            Input::Connected { .. } => self.connected(token, stub, cx),
            Input::Closed(..) if self.asks_again(token) => {}
            Input::Closed(_, why) => {
                if let Some((proxy, _)) = self.via.as_ref().filter(|_| !self.is_connected(token)) {
                    let text = format!("connect to the proxy {}: {why}", proxy.at.origin.host_port());
                    self.failure = Some(Failure::new(network(*why), text));
                }
                self.talks.remove(token);
                self.frames.remove(token);
                self.https.remove(token);
                stub.on_closed(id, *why, cx.now, cx.rng());
            }
            Input::Bytes(_, chunk) => {
                // The input is only lent, as others may look at it; a reply is short.
                let mut store = chunk.to_vec();
                let chunk = Chunk::new(&mut store, chunk.len());
                if self.frames.peek(token).is_some() {
                    let feed = self.frames.feed(token, chunk, cx);
                    self.read_frames(feed, token, stub, cx);
                } else {
                    let feed = self.https.feed(token, chunk, cx);
                    self.read_https(feed, token, stub, cx);
                }
            }
            Input::Eof(_) if self.frames.peek(token).is_some() => {
                let feed = self.frames.end(token, cx);
                self.read_frames(feed, token, stub, cx);
            }
            Input::Eof(_) => {
                let feed = self.https.end(token, cx);
                self.read_https(feed, token, stub, cx);
            }
            _ => self.resume(token, stub, cx),
        }
        self.settle(stub, cx);
        true
    }
    /// A connection without a question should hear nothing but what its layers understand.
    fn idle_hears<J, M>(&mut self, t: Token, input: &Input<'_, M>, cx: &mut Cx<'_, J, M>) {
        let is_quiet = match input {
            Input::Bytes(_, chunk) => {
                let mut store = chunk.to_vec();
                let chunk = Chunk::new(&mut store, chunk.len());
                if self.frames.peek(t).is_some() {
                    let feed = self.frames.feed(t, chunk, cx);
                    is_quiet(&mut self.frames, feed, cx)
                } else {
                    let feed = self.https.feed(t, chunk, cx);
                    is_quiet(&mut self.https, feed, cx)
                }
            }
            Input::Writable(_) => true,
            _ => false,
        };
        if !is_quiet {
            self.cut(t, cx);
        }
        self.frames.settle(cx, |_, _| {}); // it is closed, then
        self.https.settle(cx, |_, _| {});
    }
    /// The connection of a question was closed while that was on its way, as servers do with those that wait too long: it
    /// is asked again on another.
    fn asks_again(&mut self, t: Token) -> bool {
        let lost = |talk: &&mut Talk| talk.reused && !talk.answered && talk.body.is_empty();
        let Some(talk) = self.talks.get_mut(t).filter(lost) else { return false };
        self.again.push((talk.id, talk.server, core::mem::take(&mut talk.message)));
        self.talks.remove(t);
        self.frames.remove(t);
        self.https.remove(t);
        true
    }
    fn is_connected(&self, t: Token) -> bool {
        self.frames.peek(t).is_some() || self.https.peek(t).is_some()
    }
    fn resume<J, M>(&mut self, t: Token, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        if self.frames.peek(t).is_some() {
            let feed = self.frames.resume(t, cx);
            self.read_frames(feed, t, stub, cx);
        } else if self.https.peek(t).is_some() {
            let feed = self.https.resume(t, cx);
            self.read_https(feed, t, stub, cx);
        }
    }
    fn settle<J, M>(&mut self, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        let mut failed = Vec::new();
        self.frames.settle(cx, |t, fault| failed.push((t, fault)));
        self.https.settle(cx, |t, fault| failed.push((t, fault)));
        failed.into_iter().for_each(|(t, fault)| self.failed(t, fault, stub, cx));
    }
    fn due<J, M>(&mut self, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        let mut told = Vec::new();
        while let Some(due) = self.frames.due(cx) {
            told.push(due);
        }
        while let Some(due) = self.https.due(cx) {
            told.push(due);
        }
        for (t, result) in told {
            match result {
                Ok(()) => self.resume(t, stub, cx),
                Err(fault) => self.failed(t, fault, stub, cx),
            }
        }
        self.settle(stub, cx);
    }
    /// When it wants `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        Deadline::earliest(self.frames.deadline(), self.https.deadline())
    }
    fn connected<J, M>(&mut self, t: Token, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        let Some(talk) = self.talks.get_mut(t) else { return };
        let (id, server) = (talk.id, talk.server);
        let message = core::mem::take(&mut talk.message);
        let secured = match &self.carrier {
            Carrier::Tcp => None,
            Carrier::Tls(secured) | Carrier::Https(secured, _) => Some(secured),
        };
        let within = Duration::from_secs(3600); // whoever asks has a limit
        let via = self.via.as_ref().map(|(proxy, _)| proxy.layer(&server.ip().to_string(), server.port(), within));
        let layers = via.into_iter().chain(secured.map(|s| s.layer(server.ip())));
        let layers = match layers.collect::<Result<Vec<_>, _>>() {
            Ok(layers) => layers,
            Err(failure) => {
                self.failure = Some(failure);
                return stub.on_closed(id, Reason::Unsupported, cx.now, cx.rng());
            }
        };
        if matches!(self.carrier, Carrier::Https(..)) {
            let limits = Limits { body: MESSAGE_MAX as u64, ..Limits::CLIENT };
            self.https.insert(t, Client::new(Config { limits, ..Config::CLIENT }), layers, cx);
        } else {
            self.frames.insert(t, Frames::default(), layers, cx);
        }
        self.put(t, server, &message, cx);
    }
    /// Sends a message. Neither way fails: the stub writes no message that is too long, and the head is made of checked parts.
    fn put<J, M>(&mut self, t: Token, server: SocketAddr, message: &[u8], cx: &mut Cx<'_, J, M>) {
        if let Carrier::Https(secured, web) = &self.carrier {
            let host = authority(&secured.name(server.ip()), server.port());
            let fields: [(&str, &[u8]); 4] = [
                ("Host", host.as_bytes()),
                ("Accept", MEDIA_TYPE),
                ("Connection", if self.keeps { b"keep-alive" } else { b"close" }),
                ("Content-Type", MEDIA_TYPE), // of a body, which a GET has not
            ];
            let target = web.target(message);
            if let Some((http, tx)) = self.https.machine(t, cx) {
                let _ = match fields.split_last() {
                    Some((_, fields)) if web.get => {
                        http.request_whole(tx, &client::Request::new("GET", &target, fields), &[])
                    }
                    _ => http.request_whole(tx, &client::Request::new("POST", &target, &fields), message),
                };
            }
        } else if let Some((frames, tx)) = self.frames.machine(t, cx) {
            let _ = frames.send(message, tx);
        }
    }
    /// A message has come, or the end of all: what the stub makes of it.
    fn told<J, M>(&mut self, t: Token, message: Option<&[u8]>, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        let Some(talk) = self.talks.get_mut(t) else { return };
        match message {
            Some(message) => {
                let under_way = stub.len();
                stub.on_stream_message(talk.id, message, cx.now, cx.rng());
                talk.answered = stub.len() < under_way;
            }
            None if talk.answered => talk.answered = false, // there is no next question for it
            None => {
                let id = talk.id;
                if self.asks_again(t) {
                    return cx.abort(t);
                }
                stub.on_closed(id, Reason::Finished, cx.now, cx.rng());
            }
        }
    }
    fn read_frames<J, M>(&mut self, mut feed: Feed<'_>, t: Token, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        let fault = loop {
            match self.frames.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(Frame(message)))) => {
                    let message = message.to_vec();
                    self.told(t, Some(&message), stub, cx);
                }
                Ok(Step::Event(ConnEvent::Ready(_))) => {}
                Ok(Step::NeedMore | Step::Paused) => break None,
                Ok(Step::Closed) => {
                    self.told(t, None, stub, cx);
                    break None;
                }
                Err(fault) => break Some(fault),
            }
        };
        self.frames.done(feed);
        fault.into_iter().for_each(|fault| self.failed(t, fault, stub, cx));
    }
    fn read_https<J, M>(&mut self, mut feed: Feed<'_>, t: Token, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        let mut fault = None;
        while let Some(talk) = self.talks.get_mut(t) {
            match self.https.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(event))) => match event {
                    client::Event::Response(head) => {
                        let kind = head.field("content-type").unwrap_or_default();
                        if head.status() != 200 || !kind.eq_ignore_ascii_case(MEDIA_TYPE) {
                            let text = format!("{} answers {} to a question", talk.server, head.status());
                            self.failure = Some(Failure::new(Code::Protocol, text));
                            let what = "an answer of HTTP that is no reply";
                            fault = Some(Fault { rule: "RFC 8484 4.2.1", what, code: 0, offset: 0 });
                            break;
                        }
                    }
                    client::Event::Body(bytes) => talk.body.extend_from_slice(bytes),
                    client::Event::End => {
                        let message = core::mem::take(&mut talk.body);
                        self.told(t, Some(&message), stub, cx);
                    }
                    client::Event::Informational(_) | client::Event::Trailers(_) | client::Event::Upgraded(_) => {}
                },
                Ok(Step::Event(ConnEvent::Ready(_))) => {}
                Ok(Step::NeedMore | Step::Paused) => break,
                Ok(Step::Closed) => {
                    self.told(t, None, stub, cx);
                    break;
                }
                Err(f) => {
                    fault = Some(f);
                    break;
                }
            }
        }
        self.https.done(feed);
        fault.into_iter().for_each(|fault| self.failed(t, fault, stub, cx));
    }
    /// A connection broke a rule, of TLS or of what it carries.
    fn failed<J, M>(&mut self, t: Token, fault: Fault, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        if self.asks_again(t) {
            return cx.abort(t);
        }
        let Some(talk) = self.talks.get(t) else { return };
        let grounds = self.frames.peek(t).and_then(|c| c.grounds()).or(self.https.peek(t).and_then(|c| c.grounds()));
        if let Some(grounds) = grounds {
            let failure = crate::tls::failure(grounds);
            self.failure = Some(Failure { text: format!("{}: {}", talk.server, failure.text), ..failure });
        }
        let id = talk.id;
        if let Some(failure) = self.via.as_ref().and_then(|(proxy, _)| proxy.failure(&fault, &talk.server.to_string()))
        {
            self.failure = Some(failure);
            return stub.on_closed(id, Reason::Refused, cx.now, cx.rng());
        }
        stub.on_stream_fault(id, fault, cx.now, cx.rng());
    }
}

/// Nothing is said to anybody.
fn is_quiet<X: Machine, J, M>(conns: &mut Conns<X>, mut feed: Feed<'_>, cx: &mut Cx<'_, J, M>) -> bool {
    let quiet = loop {
        match conns.next(&mut feed, cx) {
            Ok(Step::Event(ConnEvent::Ready(_))) => {}
            Ok(Step::NeedMore | Step::Paused) => break true,
            _ => break false,
        }
    };
    conns.done(feed);
    quiet
}

/// As `Host` wants it.
fn authority(name: &str, port: u16) -> String {
    let name = if name.contains(':') { format!("[{name}]") } else { name.into() };
    if port == 443 { name } else { format!("{name}:{port}") }
}
