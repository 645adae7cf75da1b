//! A server in a connection table, with an app that answers when it likes: whatever is put later, nothing hangs, and the
//! app never polls but when it is told to.
use super::*;
use crate::{Chunk, Conns, Cx, Deadline, Env, FileId, Instant, Next, Op, Step, Table, Token, Tx, Wall};
use alloc::{collections::VecDeque, format, string::String, vec::Vec};
use core::time::Duration;

/// A driver and an app in small.
struct Bench {
    table: Table,
    ops: VecDeque<Op<(), ()>>,
    env: Env,
    now: Instant,
    conns: Conns<Server>,
    t: Token,
    /// What is left of the body that is being put.
    left: usize,
    log: Vec<String>,
}

impl Bench {
    fn new(limit: usize) -> Self {
        let env = Env::new([0; 32], Wall::default(), Instant::default());
        let mut table = Table::new(4096, limit);
        let t = table.open(0);
        let (conns, now) = (Conns::new(0), Instant::from_nanos(1));
        let mut b = Bench { table, ops: VecDeque::new(), env, now, conns, t, left: 0, log: Vec::new() };
        b.handle(|b, cx| b.insert(t, Server::new(Config::SERVER), Vec::new(), cx));
        b
    }
    fn handle<R>(&mut self, f: impl FnOnce(&mut Conns<Server>, &mut Cx<'_, (), ()>) -> R) -> R {
        let mut cx = Cx::new(self.now, &mut self.table, &mut self.ops, &mut self.env);
        let r = f(&mut self.conns, &mut cx);
        let log = &mut self.log;
        self.conns.settle(&mut cx, |_, fault| log.push(format!("settle {}", fault.what)));
        r
    }
    /// Goes over new bytes, or over kept ones.
    fn round(&mut self, bytes: Option<&[u8]>) {
        let (t, mut store) = (self.t, bytes.unwrap_or_default().to_vec());
        let (n, mut log) = (store.len(), core::mem::take(&mut self.log));
        self.handle(|conns, cx| {
            let mut feed = match bytes {
                Some(_) => conns.feed(t, Chunk::new(&mut store, n), cx),
                None => conns.resume(t, cx),
            };
            loop {
                match conns.next(&mut feed, cx) {
                    Ok(Step::Event(crate::ConnEvent::Machine(server::Event::Request(r)))) => {
                        log.push(String::from(r.target()));
                    }
                    Ok(Step::Event(_)) => {}
                    Ok(Step::Closed) => log.push("closed".into()),
                    Ok(Step::NeedMore | Step::Paused) => break,
                    Err(fault) => log.push(String::from(fault.what)),
                }
            }
            conns.done(feed);
        });
        log.append(&mut self.log);
        self.log = log;
    }
    fn machine<R>(&mut self, f: impl FnOnce(&mut Server, &mut Tx) -> R) -> R {
        let t = self.t;
        self.handle(|conns, cx| {
            let (http, tx) = conns.machine(t, cx).expect("it is open");
            f(http, tx)
        })
    }
    /// What the app would be called for: the deadline that is due.
    fn due(&mut self) {
        let t = self.t;
        while self.conns.deadline().is_some_and(|d: Deadline| d.at <= self.now) {
            let told = self.handle(|conns, cx| conns.due(cx).map(|(due, told)| (due == t, told.map_err(|f| f.what))));
            if told == Some((true, Ok(()))) {
                self.round(None);
            }
        }
    }
    /// Puts the body by the rule of the book: while there is room.
    fn pump(&mut self) {
        let left = self.left;
        self.left = self.machine(|http, tx| {
            let mut left = left;
            while left > 0 && http.room(tx) > 0 {
                let n = left.min(1000);
                http.body().expect("it is under way").put(&[b'x'; 1000][..n]);
                left -= n;
            }
            left
        });
    }
    /// The peer reads, and the app hears what a driver would tell it.
    fn drain(&mut self) -> usize {
        let (mut got, mut idle) = (0, 0);
        while idle < 2 {
            let n = self.table.tx(self.t).map_or(0, |tx| tx.chunks().flatten().count().min(700));
            got += n;
            idle = if n == 0 { idle + 1 } else { 0 };
            if n > 0 && self.table.consume(self.t, n, self.now) {
                self.pump();
                self.round(None);
            }
            self.due();
        }
        got
    }
}

const ROUNDS: usize = if cfg!(miri) { 9 } else { 1000 };
/// Miri is slow.
const BODY: usize = if cfg!(miri) { 5000 } else { 300_000 };
const GET: &[u8] = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn an_answer_given_later_lets_the_next_request_in() {
    let mut b = Bench::new(64 << 10);
    b.round(Some(GET));
    assert_eq!(b.log, ["/1"]);
    let told = b.machine(|http, tx| http.respond_whole(tx, &server::Response::new(200), b"hello"));
    assert_eq!((told, b.log.len()), (Ok(()), 1), "the app does not poll");
    b.due();
    assert_eq!(b.log, ["/1", "/2"], "it is woken for the request that was kept");
}

#[test]
fn a_large_body_goes_out_as_room_appears() {
    for limit in [100, 5000, 64 << 10, 256 << 10] {
        for framing in [Length::Known(BODY as u64), Length::Chunked] {
            let mut b = Bench::new(limit);
            b.round(Some(GET));
            b.machine(|http, tx| http.respond(tx, &server::Response::new(200), framing)).expect("it waits");
            b.left = BODY;
            b.pump();
            let mut got = 0;
            for _ in 0..2 {
                got += b.drain();
                if framing == Length::Chunked && b.left == 0 && b.conns.peek(b.t).is_some() {
                    let _ = b.machine(|http, tx| http.finish(tx, &[]));
                }
            }
            assert!(got > BODY && b.left == 0, "limit {limit}, {framing:?}: {got} sent, {} left", b.left);
            assert_eq!(b.log, ["/1", "/2"], "limit {limit}, {framing:?}");
        }
    }
}

#[test]
fn a_file_goes_out_as_ranges_and_is_not_read() {
    let mut b = Bench::new(64 << 10);
    b.round(Some(GET));
    let file = FileId(7);
    b.machine(|http, tx| {
        http.respond(tx, &server::Response::new(200), Length::Known(10_000_000_000)).expect("it waits");
        http.body().expect("it is under way").file(file, 5, 10_000_000_000);
    });
    let head = b.table.tx(b.t).map_or(0, |tx| tx.front().len());
    assert!(head > 0 && !b.table.consume(b.t, head, b.now));
    let (mut at, mut rounds) = (5, 0);
    while let Some(Next::File { offset, len, .. }) = b.table.tx(b.t).map(|tx| tx.next()) {
        assert_eq!((offset, len <= 64 << 10), (at, true));
        at += len as u64;
        rounds += 1;
        if b.table.consume(b.t, len, b.now) {
            b.round(None);
        }
        if rounds > ROUNDS {
            break; // that much of it is enough to see
        }
    }
    assert!(rounds > ROUNDS, "it stopped at byte {at}");
}

#[test]
fn the_last_answer_closes_without_the_app() {
    let mut b = Bench::new(64 << 10);
    b.round(Some(b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    b.machine(|http, tx| http.respond_whole(tx, &server::Response::new(200), b"hello")).expect("it waits");
    b.due();
    assert_eq!(b.log, ["/1", "closed"]);
    let closes = b.ops.iter().any(|op| op.describe().starts_with("close"));
    assert!(closes, "{:?}", b.ops.iter().map(Op::describe).collect::<Vec<_>>());
}

#[test]
fn a_body_of_the_wrong_length_ends_the_connection_without_the_app() {
    let mut b = Bench::new(64 << 10);
    b.round(Some(GET));
    b.machine(|http, tx| {
        http.respond(tx, &server::Response::new(200), Length::Known(5)).expect("it waits");
        let body = http.body().expect("it is under way");
        body.put(b"hell");
        body.finish();
    });
    b.due();
    assert_eq!(b.log, ["/1", "less of a body was put than was announced"]);
}

#[test]
fn a_new_connection_has_ten_seconds() {
    let mut b = Bench::new(64 << 10);
    b.now = b.now.after(Duration::from_secs(10));
    b.due();
    assert_eq!(b.log, ["closed"]);
}
