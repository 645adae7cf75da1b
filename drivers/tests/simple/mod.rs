//! Small apps that several tests drive.
#![allow(dead_code, reason = "each test uses some of them")]
use core::convert::Infallible;
use proto_core::{Addr, App, Cx, Input, Token};
use rand_core::RngCore;

pub type Cxi<'a> = Cx<'a, Infallible, Infallible>;

/// What is wrong with an echo server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    None,
    /// A chunk of exactly this size loses its last byte: a mishandled split.
    DropsLastOf(usize),
    /// It forgets that its output may be full.
    NeverPauses,
    /// Every answer from this input on has one bit changed.
    FlipsAt(usize),
    /// It keeps a closed peer's connection open.
    NeverFinishes,
}

/// Sends back what it gets; with `everyone`, to all.
pub struct Echo {
    pub bug: Bug,
    pub everyone: bool,
    conns: Vec<Token>,
    inputs: usize,
    nosy: Option<Token>,
}

impl Echo {
    pub fn new(bug: Bug) -> Self {
        Echo { bug, everyone: false, conns: Vec::new(), inputs: 0, nosy: None }
    }
    pub fn broadcast(bug: Bug) -> Self {
        Echo { everyone: true, ..Echo::new(bug) }
    }
    fn bytes(&mut self, t: Token, b: &mut [u8], cx: &mut Cxi<'_>) {
        self.inputs += 1;
        if b.ends_with(b"QUIT") {
            cx.exit(0);
        }
        match self.bug {
            Bug::FlipsAt(n) if self.inputs >= n => b.iter_mut().for_each(|b| *b ^= 1),
            _ => {}
        }
        let keep = if self.bug == Bug::DropsLastOf(b.len()) { b.len() - 1 } else { b.len() };
        let to = if self.everyone { self.conns.clone() } else { vec![t] };
        for to in to {
            let Some(tx) = cx.tx(to) else { continue };
            if !tx.is_finished() {
                tx.put(b.get(..keep).unwrap_or_default());
            }
            if tx.room() == 0 && self.bug != Bug::NeverPauses {
                cx.read(t, false);
            }
        }
    }
}

impl App for Echo {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cxi<'_>) {
        match input {
            Input::Start(start) => {
                let port = start.port().unwrap_or_default();
                self.nosy = self.everyone.then_some(start.stdout);
                if let Some(tx) = cx.tx(start.stdout) {
                    tx.put(format!("port {port}\n").as_bytes());
                }
            }
            Input::Accepted { conn, .. } => {
                self.conns.push(conn);
                // What an app may look at besides its inputs has to come again.
                let seen = (cx.counters().accepted, cx.counters().inputs, cx.wall().unix_ns, cx.stat(conn));
                let luck = cx.rng().next_u64();
                if let Some(tx) = self.nosy.and_then(|t| cx.tx(t)) {
                    tx.put(format!("{seen:?} {luck}\n").as_bytes());
                }
            }
            Input::Bytes(t, mut chunk) => self.bytes(t, &mut chunk, cx),
            Input::Writable(_) if self.everyone => self.conns.clone().into_iter().for_each(|t| cx.read(t, true)),
            Input::Writable(t) => cx.read(t, true),
            Input::Eof(t) if self.bug != Bug::NeverFinishes => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Closed(t, _) => self.conns.retain(|c| *c != t),
            Input::Signal(_) => cx.exit(0),
            _ => {}
        }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

/// Sends bytes, finishes, and prints what comes back.
pub struct Client {
    to: Addr,
    data: Vec<u8>,
    sent: usize,
    /// Reads nothing before everything was sent.
    lazy: bool,
    stdout: Option<Token>,
}

impl Client {
    pub fn new(to: Addr, data: Vec<u8>) -> Self {
        Client { to, data, sent: 0, lazy: false, stdout: None }
    }
    pub fn lazy(self) -> Self {
        Client { lazy: true, ..self }
    }
    fn send(&mut self, t: Token, cx: &mut Cxi<'_>) {
        let Some(tx) = cx.tx(t) else { return };
        let n = tx.room().min(self.data.len() - self.sent);
        tx.put(&self.data[self.sent..self.sent + n]);
        self.sent += n;
        if self.sent == self.data.len() && !tx.is_finished() {
            tx.finish();
            cx.read(t, true);
        }
    }
}

impl App for Client {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cxi<'_>) {
        match input {
            Input::Start(start) => {
                self.stdout = Some(start.stdout);
                let conn = cx.connect(1, self.to.clone());
                cx.read(conn, !self.lazy);
            }
            Input::Connected { conn, .. } => self.send(conn, cx),
            Input::Writable(t) if t.part() == 1 => self.send(t, cx),
            Input::Bytes(_, chunk) => {
                if let Some(tx) = self.stdout.and_then(|t| cx.tx(t)) {
                    tx.put(&chunk);
                }
            }
            // Nobody reads what is left to be said.
            Input::Eof(t) if self.sent < self.data.len() => cx.abort(t),
            Input::Closed(t, why) if t.part() == 1 => cx.exit(if why == proto_core::Reason::Finished { 0 } else { 4 }),
            _ => {}
        }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

/// Connects each client to `to` and relays both ways.
pub struct Pipe {
    to: Addr,
    quota: Option<u64>,
    other: proto_core::Slots<Token>,
    /// An orderly end of one side aborts the other: what is queued there is lost.
    hasty: bool,
}

impl Pipe {
    pub fn new(to: Addr, quota: Option<u64>) -> Self {
        Pipe { to, quota, other: proto_core::Slots::default(), hasty: false }
    }
    pub fn hasty(self) -> Self {
        Pipe { hasty: true, ..self }
    }
}

impl App for Pipe {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cxi<'_>) {
        match input {
            Input::Accepted { conn, .. } => {
                cx.read(conn, false);
                let out = cx.connect(1, self.to.clone());
                self.other.insert(conn, out);
                self.other.insert(out, conn);
            }
            Input::Connected { conn, .. } => {
                let Some(&other) = self.other.get(conn) else { return cx.abort(conn) };
                cx.relay(conn, other, self.quota);
                cx.relay(other, conn, self.quota);
            }
            Input::Relayed { from, end: proto_core::RelayEnd::Quota, .. } => {
                if let Some(&to) = self.other.get(from) {
                    cx.relay(from, to, self.quota);
                }
            }
            Input::Relayed { from, .. } if self.hasty => {
                if let Some(&to) = self.other.get(from) {
                    cx.abort(to);
                }
            }
            Input::Closed(t, why) => {
                if let Some(other) = self.other.remove(t)
                    && why != proto_core::Reason::Finished
                {
                    cx.abort(other);
                }
            }
            Input::Signal(_) => cx.exit(0),
            _ => {}
        }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
