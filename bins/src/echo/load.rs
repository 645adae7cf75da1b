//! `epoll_echo_server` and `io_uring_echo_server`: an echo for very many connections, which answers HTTP load generators
//! as well. It says nothing per connection.
use crate::service::{Life, Note, ServerCx, Service, Settings};
use core::convert::Infallible;
use core::time::Duration;
use proto_core::{
    App, Chunk, ConnEvent, Conns, Deadline, Feed, Input, Start, Step, Token,
    echo::{Echo, Event, Limits, Mode},
};

type LoadCx<'a> = ServerCx<'a, Infallible>;

/// How long the peers of a stopping server may take to close.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The app. A connection has a machine until it is known to be a plain echo; from then on its chunks are passed on as
/// they are.
#[derive(Debug)]
pub struct LoadEcho {
    service: Service,
    mode: Mode,
    conns: Conns<Echo>,
    faults: u64,
}

impl LoadEcho {
    /// With the service's settings.
    pub fn new(settings: Settings, mode: Mode) -> Self {
        LoadEcho { service: Service::new(settings), mode, conns: Conns::new(0), faults: 0 }
    }
    fn start(&mut self, start: &Start, cx: &mut LoadCx<'_>) {
        let port = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
        let mut banner = format!("{} echo server on {port}", start.driver);
        if let Some(trigger) = start.fact("trigger") {
            banner.push_str(&format!(" ({trigger})"));
        }
        for (fact, text, unit) in [("entries", "Ring size", " entries"), ("features", "Features", "")] {
            if let Some(value) = start.fact(fact) {
                banner.push_str(&format!("\n{text}: {value}{unit}"));
            }
        }
        if let Some(mode) = start.fact("mode").filter(|_| self.service.settings.verbose) {
            banner.push_str(&format!("\nmode: {mode}"));
        }
        self.service.start(start, &banner, cx);
    }
    #[inline]
    fn bytes(&mut self, t: Token, chunk: Chunk<'_>, cx: &mut LoadCx<'_>) {
        if self.conns.peek(t).is_some() {
            let feed = self.conns.feed(t, chunk, cx);
            return self.read(feed, t, cx);
        }
        let Some(tx) = cx.tx(t).filter(|tx| !tx.is_finished()) else { return };
        tx.forward(chunk);
        if tx.room() == 0 {
            cx.read(t, false);
        }
    }
    fn read(&mut self, mut feed: Feed<'_>, t: Token, cx: &mut LoadCx<'_>) {
        let waits = loop {
            match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(Event::Bytes(bytes)))) => {
                    if let Some(out) = self.conns.out(t, cx) {
                        out.put(bytes);
                    }
                }
                Ok(Step::Event(_)) => {}
                Ok(Step::NeedMore) => break false,
                Ok(Step::Paused | Step::Closed) => break true,
                Err(_) => {
                    self.faults += 1; // the answer says what was wrong
                    break true;
                }
            }
        };
        self.conns.done(feed);
        let plain = self.conns.peek(t).is_some_and(|c| c.machine.is_plain() && c.tail_len() == 0);
        if plain && !waits {
            self.conns.release(t, cx);
        }
    }
    fn end(&mut self, t: Token, cx: &mut LoadCx<'_>) {
        if self.conns.peek(t).is_some() {
            return self.conns.close(t);
        }
        cx.read(t, true);
        cx.close(t, LAST_WORDS);
    }
}

impl App for LoadEcho {
    type Job = Infallible;
    type Msg = Note;

    fn handle(&mut self, input: Input<'_, Note>, cx: &mut LoadCx<'_>) {
        let input = match input {
            Input::Bytes(t, chunk) if t.part() == 0 => {
                self.bytes(t, chunk, cx);
                return self.conns.settle(cx, |_, _| {});
            }
            other => other,
        };
        if self.service.handle(&input, cx) == Life::Drain {
            self.service.tokens().into_iter().for_each(|t| self.end(t, cx));
        }
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Accepted { conn, peer, .. } if conn.part() == 0 => match self.service.admit(conn, &peer, cx) {
                Ok(()) if self.mode == Mode::Off => {}
                Ok(()) => self.conns.insert(conn, Echo::new(self.mode, Limits::default()), Vec::new(), cx),
                Err(_) => self.service.turn_away(conn, "", cx),
            },
            Input::Writable(t) if self.conns.peek(t).is_some() => {
                let feed = self.conns.resume(t, cx);
                self.read(feed, t, cx);
            }
            Input::Writable(t) if t.part() == 0 => cx.read(t, true),
            Input::Eof(t) if self.conns.peek(t).is_some() => {
                let feed = self.conns.end(t, cx);
                self.read(feed, t, cx);
            }
            Input::Eof(t) if t.part() == 0 => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Closed(t, _) => {
                self.conns.remove(t);
                self.service.closed(t, cx);
            }
            Input::Deadline => {
                while let Some((t, _)) = self.conns.due(cx) {
                    let feed = self.conns.resume(t, cx);
                    self.read(feed, t, cx);
                }
                while let Some((t, _)) = self.service.next_idle(cx) {
                    self.end(t, cx);
                }
            }
            _ => {}
        }
        self.conns.settle(cx, |_, _| {}); // a plain transform has no layers that could fault
    }
    fn deadline(&self) -> Option<Deadline> {
        Deadline::earliest(self.service.deadline(), self.conns.deadline())
    }
    fn work(job: Infallible) -> Note {
        match job {}
    }
}
