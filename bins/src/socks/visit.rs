//! A client of a proxy that checks what it gets: asks for connections to an echo, sends bytes, and compares.
use core::convert::Infallible;
use core::time::Duration;
use proto_core::socks5::{Client, ClientEvent, Command, Credentials, Destination};
use proto_core::{Addr, App, ConnEvent, Conns, Cx, Feed, Input, Slots, Start, Step, Token};

/// What to do.
#[derive(Clone, Debug)]
pub struct Visits {
    /// The name or address of the echo.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// For a login.
    pub login: Option<(String, String)>,
    /// How often, one after the other.
    pub times: u32,
    /// Bytes each time.
    pub bytes: usize,
}

/// The app. It prints a line for each visit, and exits with 0 if all were good.
#[derive(Debug)]
pub struct Visitor {
    visits: Visits,
    /// Where the proxy is: a name, and a port.
    proxy: (String, u16),
    at: Option<Addr>,
    conns: Conns<Client>,
    open: Slots<Visit>,
    stdout: Option<Token>,
    done: u32,
    good: u32,
}

#[derive(Debug, Default)]
struct Visit {
    sent: usize,
    heard: usize,
    wrong: bool,
}

type VisitCx<'a> = Cx<'a, Infallible, Infallible>;

/// Byte `i` of every visit.
fn byte(i: usize) -> u8 {
    ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

impl Visitor {
    /// Through the proxy of that name (which the driver resolves) and port.
    pub fn new(proxy: (String, u16), visits: Visits) -> Self {
        let (conns, open) = (Conns::new(0), Slots::default());
        Visitor { visits, proxy, at: None, conns, open, stdout: None, done: 0, good: 0 }
    }
    fn start(&mut self, start: &Start, cx: &mut VisitCx<'_>) {
        self.stdout = Some(start.stdout);
        let host = self.proxy.0.clone();
        cx.ask(proto_core::OpId::new(1, 0), proto_core::Ask::Resolve { host });
    }
    fn visit(&mut self, cx: &mut VisitCx<'_>) {
        match self.at.clone() {
            Some(at) if self.done < self.visits.times => drop(cx.connect(0, at)),
            _ => cx.exit(if self.good == self.visits.times { 0 } else { 4 }),
        }
    }
    fn connected(&mut self, t: Token, cx: &mut VisitCx<'_>) {
        let v = &self.visits;
        let to = Destination::new(&v.host, v.port);
        let login = v.login.as_ref().map(|(u, p)| Credentials::new(u.as_bytes(), p.as_bytes()));
        let (Ok(to), Ok(login)) = (to, login.transpose()) else { return cx.abort(t) };
        self.conns.insert(t, Client::new(Command::Connect, to, login, Duration::from_secs(60)), Vec::new(), cx);
        let now = cx.now;
        if let Some((client, tx)) = self.conns.machine(t, cx) {
            let begun = client.start(now, tx);
            debug_assert!(begun.is_ok(), "it is new");
        }
    }
    fn read(&mut self, t: Token, mut feed: Feed<'_>, cx: &mut VisitCx<'_>) {
        let mut open = false;
        loop {
            match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(ClientEvent::Open(_)))) => open = true,
                Ok(Step::Event(_)) => {}
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break,
                Err(fault) => {
                    self.say(&format!("fault: {}", fault.what), cx);
                    break;
                }
            }
        }
        self.conns.done(feed);
        if open {
            let tail = self.conns.release(t, cx).map(|mut c| c.take_tail()).unwrap_or_default();
            self.open.insert(t, Visit::default());
            cx.read(t, true);
            self.heard(t, &tail);
            self.send(t, cx);
        }
    }
    fn send(&mut self, t: Token, cx: &mut VisitCx<'_>) {
        let (Some(v), Some(tx)) = (self.open.get_mut(t), cx.tx(t)) else { return };
        let n = tx.room().min(self.visits.bytes - v.sent);
        let part: Vec<u8> = (v.sent..v.sent + n).map(byte).collect();
        if !tx.is_finished() {
            tx.put(&part);
            v.sent += n;
            if v.sent == self.visits.bytes {
                tx.finish();
            }
        }
    }
    fn heard(&mut self, t: Token, bytes: &[u8]) {
        if let Some(v) = self.open.get_mut(t) {
            v.wrong |= bytes.iter().zip(v.heard..).any(|(b, i)| *b != byte(i));
            v.heard += bytes.len();
        }
    }
    fn closed(&mut self, t: Token, why: proto_core::Reason, cx: &mut VisitCx<'_>) {
        self.conns.remove(t);
        self.done += 1;
        match self.open.remove(t) {
            Some(v) if v.wrong || v.heard > self.visits.bytes => {
                self.say("wrong bytes", cx);
                return cx.exit(10);
            }
            Some(v) if v.heard == self.visits.bytes => {
                self.good += 1;
                self.say(&format!("{} bytes there and back", v.heard), cx);
            }
            Some(v) => self.say(&format!("{} of {} bytes came back: {why}", v.heard, self.visits.bytes), cx),
            None => self.say(&format!("no connection: {why}"), cx),
        }
        self.visit(cx);
    }
    fn say(&self, line: &str, cx: &mut VisitCx<'_>) {
        if let Some(tx) = self.stdout.and_then(|t| cx.tx(t)) {
            tx.put(format!("{line}\n").as_bytes());
        }
    }
}

impl App for Visitor {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut VisitCx<'_>) {
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Answer(_, Ok(proto_core::Answer::Resolved(ips))) => {
                self.at = ips.first().map(|ip| Addr::Ip(core::net::SocketAddr::new(*ip, self.proxy.1)));
                self.visit(cx);
            }
            Input::Answer(..) => cx.exit(3),
            Input::Connected { conn, .. } => self.connected(conn, cx),
            Input::Bytes(t, chunk) if self.open.get(t).is_some() => self.heard(t, &chunk),
            Input::Bytes(t, chunk) => {
                let feed = self.conns.feed(t, chunk, cx);
                self.read(t, feed, cx);
            }
            Input::Eof(t) if self.conns.peek(t).is_some() => {
                let feed = self.conns.end(t, cx);
                self.read(t, feed, cx);
            }
            // Nobody hears what is left to be said.
            Input::Eof(t) if self.open.get(t).is_some_and(|v| v.sent < self.visits.bytes) => cx.abort(t),
            Input::Writable(t) => self.send(t, cx),
            Input::Closed(t, why) if t.part() == 0 && Some(t) != self.stdout => self.closed(t, why, cx),
            Input::Deadline => {
                while let Some((t, _)) = self.conns.due(cx) {
                    cx.abort(t);
                }
            }
            _ => {}
        }
        self.conns.settle(cx, |_, _| {});
    }
    fn deadline(&self) -> Option<proto_core::Deadline> {
        self.conns.deadline()
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
