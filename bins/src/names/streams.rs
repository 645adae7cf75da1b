//! Questions over connections: TCP (RFC 7766), TLS (RFC 7858), HTTPS (RFC 8484). One question each.
use crate::outcome::{Code, Failure, network};
use crate::tls::ClientTls;
use crate::via::Proxy;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::dns::{Frame, Frames, MESSAGE_MAX, Stub, TryId};
use proto_core::http1::{Client, Config, Limits, client};
use proto_core::{Chunk, ConnEvent, Conns, Cx, Deadline, Fault, Feed, Input, Layer, Reason, Slots, Step, Token};
use std::collections::BTreeMap;

/// What carries messages that do not go as datagrams.
#[derive(Clone, Debug, Default)]
pub enum Carrier {
    /// TCP.
    #[default]
    Tcp,
    /// TLS.
    Tls(Box<Secured>),
    /// HTTPS: a POST to this path.
    Https(Box<Secured>, String),
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
    message: Vec<u8>,
    /// The body of an answer of HTTP.
    body: Vec<u8>,
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
}

impl Streams {
    /// Questions of file ranges there are none, so `part` is for form's sake.
    pub fn new(part: u8, carrier: Carrier) -> Self {
        let (frames, https) = (Conns::new(part), Conns::new(part));
        Streams { carrier, via: None, talks: Slots::default(), frames, https, failure: None }
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
        self.talks.insert(conn, Talk { id, server, message, body: Vec::new() });
    }
    /// It is wanted no more. False if it is not one of them.
    pub fn drop<J, M>(&mut self, conn: Token, cx: &mut Cx<'_, J, M>) -> bool {
        let there = self.talks.remove(conn).is_some();
        if there {
            self.frames.remove(conn);
            self.https.remove(conn);
            cx.abort(conn);
        }
        there
    }
    /// All of them.
    pub fn tokens(&self) -> Vec<Token> {
        self.talks.iter().map(|(t, _)| t).collect()
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
        let Some(talk) = self.talks.get(token) else { return false };
        let id = talk.id;
        match input {
            Input::Connected { .. } => self.connected(token, stub, cx),
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
        // Neither fails: the stub writes no message that is too long, and the head is made of checked parts.
        if let Carrier::Https(secured, path) = &self.carrier {
            let limits = Limits { body: MESSAGE_MAX as u64, ..Limits::CLIENT };
            self.https.insert(t, Client::new(Config { limits, ..Config::CLIENT }), layers, cx);
            let host = authority(&secured.name(server.ip()), server.port());
            let fields = [
                ("Host", host.as_bytes()),
                ("Content-Type", b"application/dns-message"),
                ("Accept", b"application/dns-message"),
                ("Connection", b"close"),
            ];
            if let Some((http, tx)) = self.https.machine(t, cx) {
                let _ = http.request_whole(tx, &client::Request::new("POST", path, &fields), &message);
            }
        } else {
            self.frames.insert(t, Frames::default(), layers, cx);
            if let Some((frames, tx)) = self.frames.machine(t, cx) {
                let _ = frames.send(&message, tx);
            }
        }
    }
    fn read_frames<J, M>(&mut self, mut feed: Feed<'_>, t: Token, stub: &mut Stub, cx: &mut Cx<'_, J, M>) {
        let Some(id) = self.talks.get(t).map(|talk| talk.id) else { return self.frames.done(feed) };
        let fault = loop {
            match self.frames.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(Frame(message)))) => {
                    let message = message.to_vec();
                    stub.on_stream_message(id, &message, cx.now, cx.rng());
                }
                Ok(Step::Event(ConnEvent::Ready(_))) => {}
                Ok(Step::NeedMore | Step::Paused) => break None,
                // The server is through without a reply; after one, the stub wants no more of this.
                Ok(Step::Closed) => {
                    stub.on_closed(id, Reason::Finished, cx.now, cx.rng());
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
            let id = talk.id;
            match self.https.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(event))) => match event {
                    client::Event::Response(head) => {
                        let kind = head.field("content-type").unwrap_or_default();
                        if head.status() != 200 || !kind.eq_ignore_ascii_case(b"application/dns-message") {
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
                        stub.on_stream_message(id, &message, cx.now, cx.rng());
                    }
                    client::Event::Informational(_) | client::Event::Trailers(_) | client::Event::Upgraded(_) => {}
                },
                Ok(Step::Event(ConnEvent::Ready(_))) => {}
                Ok(Step::NeedMore | Step::Paused) => break,
                Ok(Step::Closed) => {
                    stub.on_closed(id, Reason::Finished, cx.now, cx.rng());
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

/// As `Host` wants it.
fn authority(name: &str, port: u16) -> String {
    let name = if name.contains(':') { format!("[{name}]") } else { name.into() };
    if port == 443 { name } else { format!("{name}:{port}") }
}
