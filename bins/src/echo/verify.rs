//! `echo_client --verify`: sends a seeded stream on many connections and checks each byte that comes back.
use crate::dialer::{Dialer, Source, Target};
use crate::outcome::{Code, Failure};
use crate::text::{Thousands, bytes};
use core::convert::Infallible;
use proto_core::pipe::Pipe;
use proto_core::{
    Addr, App, ConnEvent, Conns, Cx, Deadline, Fault, Feed, Input, Instant, Reason, Signal, Slots, Step, Token,
};

type ClientCx<'a> = Cx<'a, Infallible, Infallible>;

/// Part byte of the first connection, which the dialer makes, and of the others.
const DIAL: u8 = 1;
const MORE: u8 = 2;
/// Connects under way at once.
const AT_ONCE: usize = 128;
/// Bytes made at a time.
const PIECE: usize = 4096;

#[derive(Debug, Default)]
struct Stream {
    sent: u64,
    received: u64,
}

/// The app.
#[derive(Debug)]
pub struct Verify {
    dialer: Dialer,
    conns: Conns<Pipe>,
    streams: Slots<Stream>,
    wanted: usize,
    size: u64,
    to: Option<Addr>,
    opened: usize,
    connecting: usize,
    finished: usize,
    began: Instant,
    stdout: Option<Token>,
    stderr: Option<Token>,
}

impl Verify {
    /// With names looked up by `source`.
    pub fn with_source(mut self, source: Source) -> Self {
        self.dialer = self.dialer.with_source(source);
        self
    }
    /// `size` bytes on each of `conns` connections.
    pub fn new(target: Target, conns: usize, size: u64) -> Self {
        Verify {
            dialer: Dialer::new(DIAL, target),
            conns: Conns::new(MORE),
            streams: Slots::default(),
            wanted: conns.max(1),
            size,
            to: None,
            opened: 0,
            connecting: 0,
            finished: 0,
            began: Instant::default(),
            stdout: None,
            stderr: None,
        }
    }
    fn add(&mut self, t: Token, cx: &mut ClientCx<'_>) {
        match self.dialer.layers() {
            Ok(layers) => self.conns.insert(t, Pipe::default(), layers, cx),
            Err(failure) => return self.fail(&failure, cx),
        }
        self.streams.insert(t, Stream::default());
        self.fill(t, cx);
        while self.opened < self.wanted && self.connecting < AT_ONCE {
            let Some(to) = self.to.clone() else { return };
            self.opened += 1;
            self.connecting += 1;
            cx.connect(MORE, to);
        }
    }
    fn fill(&mut self, t: Token, cx: &mut ClientCx<'_>) {
        let Some(s) = self.streams.get_mut(t) else { return };
        let Some(tx) = self.conns.out(t, cx) else { return };
        while tx.room() > 0 && s.sent < self.size {
            let n = PIECE.min((self.size - s.sent) as usize);
            let at = s.sent;
            tx.put_with(n, |b| {
                b.iter_mut().zip(at..).for_each(|(b, i)| *b = pattern(t, i));
                n
            });
            s.sent += n as u64;
        }
        if s.sent == self.size && !tx.is_finished() {
            tx.finish();
        }
    }
    fn read(&mut self, t: Token, mut feed: Feed<'_>, cx: &mut ClientCx<'_>) {
        loop {
            match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Ready(_))) => self.fill(t, cx),
                Ok(Step::Event(ConnEvent::Machine(bytes))) => self.check(t, bytes, cx),
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break,
                Err(fault) => {
                    self.broken(&fault, cx);
                    break;
                }
            }
        }
        self.conns.done(feed);
    }
    /// The proxy on the way has said no.
    fn broken(&mut self, fault: &Fault, cx: &mut ClientCx<'_>) {
        let other = || Failure::new(Code::Protocol, fault.to_string());
        let failure = self.dialer.failure(fault).unwrap_or_else(other);
        self.fail(&failure, cx);
    }
    fn check(&mut self, t: Token, chunk: &[u8], cx: &mut ClientCx<'_>) {
        let Some(s) = self.streams.get_mut(t) else { return };
        let at = s.received;
        s.received += chunk.len() as u64;
        let wrong = chunk.iter().zip(at..).find(|(b, i)| **b != pattern(t, *i));
        let text = match wrong {
            Some((got, i)) => {
                format!("byte {}: sent 0x{:02x}, got 0x{got:02x}", Thousands(i), pattern(t, i))
            }
            None if s.received > s.sent => format!("byte {}: never sent", Thousands(s.sent)),
            None => return,
        };
        self.fail(&Failure::new(Code::Protocol, text), cx);
    }
    fn closed(&mut self, t: Token, why: Reason, cx: &mut ClientCx<'_>) {
        self.conns.remove(t);
        let Some(s) = self.streams.remove(t) else {
            let text = format!("connection {}: {why}", self.streams.len() + self.finished + 1);
            return self.fail(&Failure::new(crate::outcome::network(why), text), cx);
        };
        if s.received < self.size {
            let text = format!("closed after {} of {} bytes: {why}", Thousands(s.received), Thousands(self.size));
            return self.fail(&Failure::new(Code::Connect, text), cx);
        }
        self.finished += 1;
        if self.finished == self.wanted {
            let total = self.size * self.wanted as u64;
            let rate = bytes(total as f64 / cx.now.since(self.began).as_secs_f64().max(1e-9));
            let (conns, total) = (Thousands(self.wanted as u64), Thousands(total));
            if let Some(tx) = self.stdout.and_then(|t| cx.tx(t)) {
                tx.put(format!("{total} bytes on {conns} connections came back unchanged, {rate}/s\n").as_bytes());
            }
            cx.exit(Code::Ok as u8);
        }
    }
    fn fail(&mut self, f: &Failure, cx: &mut ClientCx<'_>) {
        if let Some(tx) = self.stderr.and_then(|t| cx.tx(t)) {
            tx.put(format!("echo_client: {f}\n").as_bytes());
        }
        cx.exit(f.code as u8);
    }
}

/// Byte `i` of a connection's stream: differs between connections, and repeats only after 64 KiB and a prime.
fn pattern(t: Token, i: u64) -> u8 {
    let x = (i ^ (i >> 16)).wrapping_add(t.index() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x >> 56) as u8
}

impl App for Verify {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut ClientCx<'_>) {
        self.take(input, cx);
        self.conns.settle(cx, |_, _| {}); // what fails there fails in the next reading too
    }
    fn deadline(&self) -> Option<Deadline> {
        Deadline::earliest(self.dialer.deadline(), self.conns.deadline())
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

impl Verify {
    fn take(&mut self, input: Input<'_, Infallible>, cx: &mut ClientCx<'_>) {
        match self.dialer.handle(&input, cx) {
            Some(Ok((conn, peer))) => {
                (self.to, self.opened) = (Some(peer.remote), 1);
                return self.add(conn, cx);
            }
            Some(Err(failure)) => return self.fail(&failure, cx),
            None => {}
        }
        match input {
            Input::Start(start) => {
                (self.stdout, self.stderr, self.began) = (Some(start.stdout), Some(start.stderr), cx.now);
                self.dialer.start(cx);
            }
            Input::Connected { conn, .. } if conn.part() == MORE => {
                self.connecting -= 1;
                self.add(conn, cx);
            }
            Input::Bytes(t, chunk) => {
                let feed = self.conns.feed(t, chunk, cx);
                self.read(t, feed, cx);
            }
            Input::Eof(t) => {
                let feed = self.conns.end(t, cx);
                self.read(t, feed, cx);
            }
            Input::Writable(t) => self.fill(t, cx),
            Input::Deadline => {
                while let Some((_, told)) = self.conns.due(cx) {
                    if let Err(fault) = told {
                        self.broken(&fault, cx);
                    }
                }
            }
            // Standard streams, and what the dialer has tried besides.
            Input::Closed(t, _) if t.part() != MORE && self.streams.get(t).is_none() => {}
            Input::Closed(t, why) => self.closed(t, why, cx),
            Input::Signal(Signal::Interrupt | Signal::Terminate) => cx.exit(Code::Interrupted as u8),
            _ => {}
        }
    }
}
