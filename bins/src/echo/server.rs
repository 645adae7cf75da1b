//! `echo_server`: sends back exactly what it gets, and says so.
use crate::outcome::Code;
use crate::service::{Life, Note, Refusal, ServerCx, Service, Settings};
use crate::text::{Escaped, Thousands, span};
use core::convert::Infallible;
use core::fmt;
use core::time::Duration;
use proto_core::pipe::Pipe;
use proto_core::{
    Addr, App, Chunk, ConnEvent, Conns, Deadline, Feed, Input, Op, Peer, Reason, Slots, Start, Step, Token,
};

/// Part byte of the datagram socket.
const UDP: u8 = 1;
/// Bytes of a read or write that are shown.
const SHOWN: usize = 256;
/// Ports whose services answer whatever they get: echoing to them would never end (RFC 862 and its neighbours).
const LOOPING_PORTS: [u16; 4] = [0, 7, 13, 19];
/// How long the peers of a stopping server may take to close.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The app.
#[derive(Debug)]
pub struct EchoServer {
    service: Service,
    /// Connections under TLS; others are served as they are.
    conns: Conns<Pipe>,
    peers: Slots<Addr>,
    /// Addresses of datagram sockets to open instead of listening.
    udp: Vec<Addr>,
    unbound: usize,
    /// Clients that are being closed, and how the log says it.
    closing: Vec<(Token, Why)>,
}

#[derive(Clone, Copy, Debug)]
enum Why {
    Idle(Duration),
    Stop,
}

impl EchoServer {
    /// With the service's settings; `udp` addresses make it a datagram server.
    pub fn new(settings: Settings, udp: Vec<Addr>) -> Self {
        EchoServer {
            service: Service::new(settings),
            conns: Conns::new(0),
            peers: Slots::default(),
            unbound: udp.len(),
            udp,
            closing: Vec::new(),
        }
    }
    fn start(&mut self, start: &Start, cx: &mut ServerCx<'_, Infallible>) {
        if self.udp.is_empty() {
            let port = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
            return self.service.start(start, &format!("Echo server listening on {port}..."), cx);
        }
        self.service.start(start, &format!("Echo server listening on UDP port {}...", udp_port(&self.udp)), cx);
        for at in &self.udp {
            let socket = cx.token(UDP);
            cx.op(Op::Udp { socket, bind: Some(at.clone()), to: None });
        }
    }
    fn accepted(&mut self, t: Token, peer: &Peer, cx: &mut ServerCx<'_, Infallible>) {
        if let Err(why) = self.service.admit(t, peer, cx) {
            return self.refused(t, &peer.remote, why, cx);
        }
        if !self.service.is_guarded() {
            return self.service.log(cx, format_args!("Client connected from {}", peer.remote));
        }
        if self.service.enrol(&mut self.conns, t, Pipe { answers: true }, cx) {
            self.peers.insert(t, peer.remote.clone());
        }
    }
    /// Goes through what a client under TLS has sent.
    fn read(&mut self, mut feed: Feed<'_>, t: Token, cx: &mut ServerCx<'_, Infallible>) {
        loop {
            match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Ready(_))) => {
                    let from = self.peers.get(t).map_or_else(String::new, ToString::to_string);
                    self.service.log(cx, format_args!("Client connected from {from}"));
                }
                Ok(Step::Event(ConnEvent::Machine(bytes))) => {
                    self.log_echo(bytes, cx);
                    if let Some(out) = self.conns.out(t, cx) {
                        out.put(bytes);
                    }
                }
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break,
                Err(_) => {
                    self.complain(t, cx);
                    break;
                }
            }
        }
        self.conns.done(feed);
    }
    fn complain(&mut self, t: Token, cx: &mut ServerCx<'_, Infallible>) {
        if let Some(from) = self.peers.get(t) {
            self.service.log_failure(self.conns.peek(t), from, cx);
        }
    }
    fn log_echo(&self, bytes: &[u8], cx: &mut ServerCx<'_, Infallible>) {
        if self.service.logs() {
            self.service.log(cx, format_args!("Received: {}", Shown(bytes)));
            self.service.log(cx, format_args!("Sent: {}", Shown(bytes)));
        }
    }
    fn bytes(&mut self, t: Token, chunk: Chunk<'_>, cx: &mut ServerCx<'_, Infallible>) {
        if self.service.is_guarded() {
            let feed = self.conns.feed(t, chunk, cx);
            return self.read(feed, t, cx);
        }
        self.log_echo(&chunk, cx);
        let Some(tx) = cx.tx(t).filter(|tx| !tx.is_finished()) else { return };
        tx.forward(chunk);
        if tx.room() == 0 {
            cx.read(t, false);
        }
    }
    fn closed(&mut self, t: Token, why: Reason, cx: &mut ServerCx<'_, Infallible>) {
        let shaken = self.conns.remove(t).is_none_or(|c| c.is_ready());
        self.peers.remove(t);
        let ours = self.closing.iter().position(|(c, _)| *c == t).map(|i| self.closing.swap_remove(i).1);
        if !self.service.closed(t, cx) || !shaken {
            return;
        }
        match (ours, why) {
            (Some(Why::Idle(limit)), _) => {
                self.service.log(cx, format_args!("Client disconnected (idle {}).", span(limit)));
            }
            (Some(Why::Stop), _) => self.service.log(cx, format_args!("Client disconnected (server stops).")),
            (None, Reason::Finished) => self.service.log(cx, format_args!("Client disconnected.")),
            (None, Reason::Reset) => self.service.log(cx, format_args!("Client disconnected (reset by peer).")),
            (None, why) => self.service.log(cx, format_args!("Client disconnected ({why}).")),
        }
    }
    fn refused(&mut self, t: Token, remote: &Addr, why: Refusal, cx: &mut ServerCx<'_, Infallible>) {
        self.service.log(cx, format_args!("Client refused from {remote}: {why}"));
        self.service.turn_away(t, "", cx);
    }
    fn datagram(&mut self, socket: Token, from: Addr, data: &[u8], cx: &mut ServerCx<'_, Infallible>) {
        if matches!(from, Addr::Ip(a) if LOOPING_PORTS.contains(&a.port())) {
            return;
        }
        if self.service.logs() {
            self.service.log(cx, format_args!("Received from {from}: {}", Shown(data)));
        }
        cx.send_to(socket, Some(from), data);
    }
    fn end(&mut self, t: Token, why: Why, cx: &mut ServerCx<'_, Infallible>) {
        self.closing.push((t, why));
        if self.conns.peek(t).is_some() {
            return self.conns.close(t);
        }
        cx.close(t, LAST_WORDS);
    }
}

impl App for EchoServer {
    type Job = Infallible;
    type Msg = Note;

    fn handle(&mut self, input: Input<'_, Note>, cx: &mut ServerCx<'_, Infallible>) {
        if self.service.handle(&input, cx) == Life::Drain {
            for t in self.service.tokens() {
                self.end(t, Why::Stop, cx);
            }
        }
        let ended = matches!(input, Input::Eof(_));
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Accepted { conn, peer, .. } if conn.part() == 0 => self.accepted(conn, &peer, cx),
            Input::Bytes(t, chunk) if t.part() == 0 => self.bytes(t, chunk, cx),
            Input::Writable(t) | Input::Eof(t) if self.conns.peek(t).is_some() => {
                let feed = if ended { self.conns.end(t, cx) } else { self.conns.resume(t, cx) };
                self.read(feed, t, cx);
            }
            Input::Writable(t) if t.part() == 0 => cx.read(t, true),
            Input::Eof(t) if t.part() == 0 => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Datagram { socket, from, data } => self.datagram(socket, from, data, cx),
            Input::Closed(t, why) if t.part() == UDP => {
                let at = self.udp.first().map_or_else(String::new, ToString::to_string);
                self.service.warn(cx, format_args!("echo_server: cannot listen on {at}: {why}"));
                self.unbound = self.unbound.saturating_sub(1);
                if self.unbound == 0 {
                    cx.exit(Code::Local as u8);
                }
            }
            Input::Closed(t, why) => self.closed(t, why, cx),
            Input::Deadline => {
                while let Some((t, told)) = self.conns.due(cx) {
                    if told.is_err() {
                        self.complain(t, cx);
                    }
                }
                while let Some((t, limit)) = self.service.next_idle(cx) {
                    self.end(t, Why::Idle(limit), cx);
                }
            }
            _ => {}
        }
        self.conns.settle(cx, |_, _| {}); // what fails there fails in the next reading too
    }
    fn deadline(&self) -> Option<Deadline> {
        Deadline::earliest(self.service.deadline(), self.conns.deadline())
    }
    fn work(job: Infallible) -> Note {
        match job {}
    }
}

fn udp_port(at: &[Addr]) -> u16 {
    at.iter().find_map(|a| if let Addr::Ip(a) = a { Some(a.port()) } else { None }).unwrap_or(0)
}

/// What was read or written: without its line end, escaped, cut at 256 bytes.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.strip_suffix(b"\n").unwrap_or(self.0);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.get(..SHOWN) {
            Some(head) if line.len() > SHOWN => {
                write!(f, "\"{}…\" ({} bytes)", Escaped(head), Thousands(self.0.len() as u64))
            }
            _ => write!(f, "\"{}\"", Escaped(line)),
        }
    }
}
