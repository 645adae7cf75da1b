//! A connection under up to two layers, with an echo on top: whatever the peer sends, however it is cut and however slowly
//! it reads, the app sees the same and the peer gets the same, and a second connection gets a copy of it all.
#![no_main]
extern crate alloc;
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use proto_core::{
    Chunk, ConnEvent, Conns, Cx, Deadline, Env, Fault, Feed, Info, Instant, Layer, Next, Op, Sealed, Step, Table,
    Token, Tx, Wall, echo,
};
use std::collections::VecDeque;

mod bed;
#[path = "../../proto-core/src/records_tests.rs"]
mod records;
use bed::drive::{Rng, Said};
use records::{Records, opened, sealed};

struct World {
    table: Table,
    ops: VecDeque<Op<(), ()>>,
    env: Env,
    conns: Conns<echo::Echo>,
    peer: Token,
    listener: Token,
    log: bed::drive::Log,
    sent: Vec<u8>,
    closed: bool,
}

impl World {
    fn new(layers: usize, limit: usize) -> Self {
        let env = Env::new([0; 32], Wall::default(), Instant::default());
        let mut table = Table::new(4096, limit);
        let (peer, listener) = (table.open(0), table.open(0));
        let (conns, log) = (Conns::new(0), bed::drive::Log::default());
        let ops = VecDeque::new();
        let mut w = World { table, ops, env, conns, peer, listener, log, sent: Vec::new(), closed: false };
        w.handle(|conns, cx, _| {
            let stages = |n| (0..n).map(|_| Box::<Records>::default() as Box<dyn Layer>).collect();
            let machine = || echo::Echo::new(echo::Mode::Auto, echo::Limits::default());
            conns.insert(peer, machine(), stages(layers), cx);
            conns.insert(listener, machine(), stages(0), cx);
        });
        w
    }
    fn handle(&mut self, f: impl FnOnce(&mut Conns<echo::Echo>, &mut Cx<'_, (), ()>, &mut bed::drive::Log)) {
        let mut cx = Cx::new(Instant::from_nanos(1), &mut self.table, &mut self.ops, &mut self.env);
        f(&mut self.conns, &mut cx, &mut self.log);
        self.conns.settle(&mut cx, |_, fault| panic!("sealing does not fail: {fault}"));
        for op in self.ops.drain(..) {
            let Op::Close { conn, linger } = op else { panic!("{}", op.describe()) };
            assert!(!self.closed && conn == self.peer && linger > Duration::ZERO, "closed once");
            self.closed = true;
        }
    }
    fn round(&mut self, input: impl FnOnce(&mut Conns<echo::Echo>, &mut Cx<'_, (), ()>) -> Feed<'static>) {
        let (peer, listener) = (self.peer, self.listener);
        self.handle(|conns, cx, log| {
            let feed = input(conns, cx);
            play(conns, feed, peer, listener, cx, log);
        });
    }
    fn bytes(&mut self, bytes: &[u8]) {
        let (peer, listener) = (self.peer, self.listener);
        let mut store = bytes.to_vec();
        self.handle(|conns, cx, log| {
            let feed = conns.feed(peer, Chunk::new(&mut store, bytes.len()), cx);
            play(conns, feed, peer, listener, cx, log);
        });
    }
    /// The peer reads at most `n` bytes, and the app is told if there is room again.
    fn reads(&mut self, n: usize) -> usize {
        let Some(tx) = self.table.tx(self.peer) else { return 0 };
        let at = self.sent.len();
        self.sent.extend(tx.chunks().flatten().take(n));
        let n = self.sent.len() - at;
        if self.table.consume(self.peer, n, Instant::from_nanos(1)) {
            let peer = self.peer;
            self.round(|conns, cx| conns.resume(peer, cx));
        }
        n
    }
}

fn play(
    conns: &mut Conns<echo::Echo>,
    mut feed: Feed<'_>,
    peer: Token,
    listener: Token,
    cx: &mut Cx<'_, (), ()>,
    log: &mut bed::drive::Log,
) {
    loop {
        match conns.next(&mut feed, cx) {
            Ok(Step::Event(ConnEvent::Ready(_))) => log.push(Said::Event("ready".into())),
            Ok(Step::Event(ConnEvent::Machine(echo::Event::Bytes(bytes)))) => {
                log.push(Said::Piece("bytes", bytes.to_vec()));
                for t in [peer, listener] {
                    conns.out(t, cx).expect("nobody has closed it").put(bytes);
                }
            }
            Ok(Step::Event(ConnEvent::Machine(echo::Event::Answered(n)))) => {
                log.push(Said::Event(format!("answered {n}")));
            }
            Ok(Step::NeedMore | Step::Paused) => break,
            Ok(Step::Closed) => log.push(Said::Event("closed".into())),
            Err(fault) => log.push(Said::Event(format!("fault {}", fault.what))),
        }
    }
    conns.done(feed);
}

/// What the app saw, what the peer could read, and what the listener got.
type Outcome = (bed::drive::Log, Vec<u8>, Vec<u8>);

/// What goes in.
struct Case {
    layers: usize,
    input: Vec<u8>,
    damaged: bool,
}

fn run(case: &Case, cuts: &[usize], limit: usize, mut portion: impl FnMut() -> usize) -> Outcome {
    let &Case { layers, ref input, damaged } = case;
    let mut w = World::new(layers, limit);
    let mut at = 0;
    for cut in cuts.iter().copied().chain([input.len()]) {
        // A driver delivers nothing while reading is off: the peer has to read first.
        while !w.table.is_wanted(w.peer) {
            assert!(w.reads(portion().max(1)) > 0, "reading is off, and nothing is left to be sent");
        }
        w.bytes(&input[at..cut.max(at)]);
        at = cut.max(at);
        w.reads(portion());
    }
    while !w.table.is_wanted(w.peer) {
        assert!(w.reads(portion().max(1)) > 0, "reading is off, and nothing is left to be sent");
    }
    let peer = w.peer;
    w.round(|conns, cx| conns.end(peer, cx));
    while w.reads(portion().max(1)) > 0 {}
    assert!(w.closed, "the end of input is the end");
    let copy = w.table.tx(w.listener).map(|tx| tx.chunks().flatten().copied().collect()).unwrap_or_default();
    let mut sent = w.sent;
    // A layer that has lost its way says so at once, ahead of what the machine still has to say: where, the cuts decide.
    if damaged {
        sent.clear();
    }
    for _ in 0..if damaged { 0 } else { layers } {
        sent = opened(&sent).0;
    }
    (w.log, sent, copy)
}

fuzz_target!(|data: &[u8]| {
    let (seed, bytes) = bed::split(data);
    let mut rng = Rng(seed);
    let layers = rng.below(3);
    let mut input = bytes.to_vec();
    for _ in 0..layers {
        let goodbye: &[u8] = if seed & 64 == 0 { &[0] } else { &[] };
        input = [b"HI".to_vec(), sealed(&input), goodbye.to_vec()].concat();
    }
    let damaged = seed & 128 != 0 && layers > 0;
    if damaged {
        let at = rng.below(input.len());
        input[at] = seed as u8;
    }
    let case = Case { layers, input, damaged };
    let whole = run(&case, &[], 1 << 16, || usize::MAX);
    let every: Vec<usize> = (1..case.input.len()).collect();
    assert_eq!(run(&case, &every, 1 << 16, || usize::MAX), whole, "byte by byte");
    let cuts = bed::cuts(&mut rng, case.input.len());
    let limit = 1 + rng.below(60);
    assert_eq!(run(&case, &cuts, limit, || rng.below(40)), whole, "cut at {cuts:?}, limit {limit}");
});
