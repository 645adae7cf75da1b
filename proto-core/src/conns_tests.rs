//! One connection after the other, with and without a layer, on a table that stands for a driver.
use self::records::{Records, fault, opened, sealed};
use super::*;
use crate::{Env, FileId, Info, Instant, Next, Op, Rx, Sealed, Table, Wall};
use alloc::{collections::VecDeque, string::String, vec};
use core::time::Duration;

#[path = "records_tests.rs"]
mod records;

/// Lines, each answered with ten times its text; a line of "bad" is a fault. Five seconds without a line are one too.
#[derive(Default)]
struct Answers {
    lines: Option<crate::line::Lines>,
    idle_since: Option<Instant>,
}

impl Machine for Answers {
    type Event<'b> = &'b mut [u8];
    fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<&'b mut [u8]>, Fault> {
        self.idle_since.get_or_insert(now);
        if tx.room() == 0 && !rx.is_eof() {
            return Ok(Step::Paused);
        }
        let lines = self.lines.get_or_insert_with(|| crate::line::Lines::new(crate::line::Limits::default()));
        match lines.poll(now, rx, tx)? {
            Step::Event(crate::line::Event::Line(l) | crate::line::Event::TooLong(l)) => {
                self.idle_since = Some(now);
                if l == b"bad" {
                    tx.put(b"sorry");
                    return Err(fault("bad"));
                }
                for _ in 0..10 {
                    tx.put(l);
                }
                Ok(Step::Event(l))
            }
            Step::NeedMore => Ok(Step::NeedMore),
            Step::Paused => Ok(Step::Paused),
            Step::Closed => Ok(Step::Closed),
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        Some(Deadline::new(self.idle_since?, Duration::from_secs(5), "line"))
    }
    fn on_deadline(&mut self, _: Instant, tx: &mut Tx) -> Result<(), Fault> {
        tx.put(b"too slow");
        Err(fault("idle"))
    }
}

/// A driver and an app in small.
struct Bench {
    table: Table,
    ops: VecDeque<Op<(), ()>>,
    env: Env,
    now: Instant,
    conns: Conns<Answers>,
    log: Vec<String>,
}

const PART: u8 = 3;

impl Bench {
    /// Outputs have room for `limit` bytes.
    fn new(limit: usize) -> Self {
        let env = Env::new([0; 32], Wall::default(), Instant::default());
        let (table, conns) = (Table::new(4096, limit), Conns::new(PART));
        Bench { table, ops: VecDeque::new(), env, now: Instant::from_nanos(1), conns, log: vec![] }
    }
    fn handle(&mut self, f: impl FnOnce(&mut Conns<Answers>, &mut Cx<'_, (), ()>, &mut Vec<String>)) {
        let mut cx = Cx::new(self.now, &mut self.table, &mut self.ops, &mut self.env);
        f(&mut self.conns, &mut cx, &mut self.log);
        let log = &mut self.log;
        self.conns.settle(&mut cx, |t, fault| log.push(alloc::format!("{t:?} settle {}", fault.what)));
    }
    fn open(&mut self, layers: usize) -> Token {
        let t = self.table.open(PART);
        let layers = (0..layers).map(|_| Box::<Records>::default() as Box<dyn Layer>).collect();
        self.handle(|conns, cx, _| conns.insert(t, Answers::default(), layers, cx));
        t
    }
    fn bytes(&mut self, t: Token, bytes: &[u8]) {
        let mut store = bytes.to_vec();
        self.handle(|conns, cx, log| {
            let feed = conns.feed(t, Chunk::new(&mut store, bytes.len()), cx);
            round(conns, feed, cx, log);
        });
    }
    fn resume(&mut self, t: Token) {
        self.handle(|conns, cx, log| {
            let feed = conns.resume(t, cx);
            round(conns, feed, cx, log);
        });
    }
    fn eof(&mut self, t: Token) {
        self.handle(|conns, cx, log| {
            let feed = conns.end(t, cx);
            round(conns, feed, cx, log);
        });
    }
    fn wait(&mut self, span: Duration) {
        self.now = self.now.after(span);
        self.handle(|conns, cx, log| {
            while let Some((t, told)) = conns.due(cx) {
                log.push(alloc::format!("{t:?} due {:?}", told.map_err(|f| f.what)));
                let feed = conns.resume(t, cx);
                round(conns, feed, cx, log);
            }
        });
    }
    /// The peer reads `n` bytes; true when the app is to be told.
    fn sends(&mut self, t: Token, n: usize) -> (Vec<u8>, bool) {
        let tx = self.table.tx(t).expect("it is alive");
        let bytes: Vec<u8> = tx.chunks().flatten().copied().take(n).collect();
        let woke = self.table.consume(t, bytes.len(), self.now);
        (bytes, woke)
    }
    /// All that was sent and is to be sent, with the app resumed whenever there is room again.
    fn drain(&mut self, t: Token) -> Vec<u8> {
        let mut all = vec![];
        loop {
            let (bytes, woke) = self.sends(t, if cfg!(miri) { 61 } else { 7 });
            all.extend(&bytes);
            if woke {
                self.resume(t);
            } else if bytes.is_empty() {
                return all;
            }
        }
    }
    fn log(&mut self) -> Vec<String> {
        core::mem::take(&mut self.log)
    }
    fn ops(&mut self) -> Vec<String> {
        self.ops.drain(..).map(|op| op.describe()).collect()
    }
}

/// What an app does with a feeding.
fn round(conns: &mut Conns<Answers>, mut feed: Feed<'_>, cx: &mut Cx<'_, (), ()>, log: &mut Vec<String>) {
    loop {
        let text = match conns.next(&mut feed, cx) {
            Ok(Step::Event(ConnEvent::Ready(info))) => alloc::format!("ready {}", info.alpn.escape_ascii()),
            Ok(Step::Event(ConnEvent::Machine(line))) => alloc::format!("{}", line.escape_ascii()),
            Ok(Step::NeedMore | Step::Paused) => break,
            Ok(Step::Closed) => {
                log.push("closed".into());
                break;
            }
            Err(fault) => {
                log.push(alloc::format!("fault {}", fault.what));
                break;
            }
        };
        log.push(text);
    }
    conns.done(feed);
}

#[test]
fn a_chunk_cut_anywhere_gives_the_same() {
    let plain = b"one\ntwo\r\n\nthe fourth line is longer than a record\nbad\nafter";
    // Miri is slow: fewer cuts do for what it looks for.
    let step = if cfg!(miri) { 41 } else { 1 };
    for layers in 0..=if cfg!(miri) { 1 } else { 2 } {
        let mut input = plain.to_vec();
        for _ in 0..layers {
            input = [b"HI".to_vec(), sealed(&input)].concat();
        }
        let run = |cuts: &[usize]| {
            let mut b = Bench::new(1 << 16);
            let t = b.open(layers);
            let mut at = 0;
            for &cut in cuts {
                b.bytes(t, &input[at..cut]);
                at = cut;
            }
            b.bytes(t, &input[at..]);
            // Records are cut where flushes happen: what counts is what the peer makes of them.
            let mut sent = b.drain(t);
            for _ in 0..layers {
                let (plain, closed) = opened(&sent);
                assert!(closed, "each layer says goodbye");
                sent = plain;
            }
            (b.log(), sent, b.ops())
        };
        let whole = run(&[]);
        let last = whole.0.len() - 2;
        assert_eq!(whole.0[last..], ["the fourth line is longer than a record", "fault bad"], "{layers} layers");
        assert_eq!(whole.0.first().map(String::as_str), Some(if layers > 0 { "ready records" } else { "one" }));
        assert_eq!(whole.2, [alloc::format!("close 3:0.0 linger {LINGER:?}")]);
        for cut in (1..input.len()).step_by(step) {
            assert_eq!(run(&[cut]), whole, "{layers} layers, cut at {cut}");
        }
        let all: Vec<usize> = (1..input.len()).step_by(step.min(7)).collect();
        assert_eq!(run(&all), whole, "{layers} layers, byte by byte");
    }
}

#[test]
fn an_event_of_one_may_write_to_others() {
    let mut b = Bench::new(1 << 16);
    let (a, c, d) = (b.open(0), b.open(1), b.open(0));
    b.bytes(c, b"HI");
    let mut store = b"x\ny\n".to_vec();
    b.handle(|conns, cx, _| {
        let mut feed = conns.feed(a, Chunk::new(&mut store, 4), cx);
        while let Ok(Step::Event(ConnEvent::Machine(line))) = conns.next(&mut feed, cx) {
            for t in [c, d, a] {
                conns.out(t, cx).expect("it is open").put(line); // the event borrows the feeding only
            }
        }
        conns.done(feed);
    });
    assert_eq!(opened(&b.drain(c)).0, b"xy");
    assert_eq!(b.drain(d), b"xy");
    assert_eq!(b.drain(a), [b"x".repeat(11), b"y".repeat(11)].concat());
}

#[test]
fn good_events_come_before_a_layers_fault() {
    let mut b = Bench::new(1 << 16);
    let t = b.open(1);
    b.bytes(t, &[b"HI".as_slice(), &sealed(b"one\ntwo\npart"), b"\x11", b"rest"].concat());
    assert_eq!(b.log(), ["ready records", "one", "two", "fault a record too long"]);
    let sent = b.drain(t);
    assert_eq!(b.ops(), [alloc::format!("close {t:?} linger {LINGER:?}")]);
    assert!(sent.starts_with(b"HI\xff"), "the alert goes out");
    b.bytes(t, b"more");
    b.resume(t);
    assert_eq!((b.log(), b.ops()), (vec![], vec![]), "told once");
}

#[test]
fn a_layers_fault_survives_a_pause() {
    let mut b = Bench::new(20);
    let t = b.open(1);
    b.bytes(t, &[b"HI".as_slice(), &sealed(b"0123456789\ntwo\n"), b"\x11"].concat());
    assert_eq!(b.log(), ["ready records", "0123456789"]);
    assert!(!b.table.is_wanted(t), "the answer is larger than the output");
    b.drain(t);
    assert_eq!(b.log(), ["two", "fault a record too long"]);
}

#[test]
fn a_cut_layer_is_a_fault_and_no_end_of_a_line() {
    let mut b = Bench::new(1 << 16);
    let t = b.open(1);
    b.bytes(t, &[b"HI".as_slice(), &sealed(b"one\nhal")].concat());
    b.eof(t);
    assert_eq!(b.log(), ["ready records", "one", "fault cut short"]);

    let t = b.open(1);
    b.bytes(t, &[b"HI".as_slice(), &sealed(b"one\nwhole"), b"\0"].concat());
    b.eof(t);
    assert_eq!(b.log(), ["ready records", "one", "whole", "closed"]);
    assert!(opened(&b.drain(t)).1, "and goodbye");
}

#[test]
fn a_pause_stops_reading_until_there_is_room() {
    const LINES: usize = if cfg!(miri) { 4 } else { 20 };
    for layers in [0, 1] {
        let mut b = Bench::new(100);
        let t = b.open(layers);
        let plain = b"0123456789abcdef\n".repeat(LINES);
        let hello: &[u8] = if layers > 0 { b"HI" } else { b"" };
        let input = if layers > 0 { sealed(&plain) } else { plain.clone() };
        b.bytes(t, &[hello, &input].concat());
        assert!(!b.table.is_wanted(t), "{layers} layers: reading is off");
        let first = b.log().len() - layers;
        assert!((1..LINES).contains(&first), "{layers} layers: paused after {first}");
        let queued = b.table.tx(t).map_or(0, Tx::len);
        assert!(queued < 600, "{layers} layers: {queued} bytes wait");
        let sent = b.drain(t);
        let sent = if layers > 0 { opened(&sent).0 } else { sent };
        assert_eq!(sent, b"0123456789abcdef".repeat(10 * LINES), "{layers} layers");
        assert_eq!(b.log().len(), LINES - first);
        assert!(b.table.is_wanted(t), "{layers} layers: reading is on again");
    }
}

#[test]
fn a_handshake_goes_on_while_the_machine_waits_for_room() {
    let mut b = Bench::new(50);
    let t = b.open(1);
    b.handle(|conns, cx, _| {
        let (_, out) = conns.machine(t, cx).expect("it is open");
        out.put(&[b'x'; 60]); // an eager client
    });
    b.bytes(t, b"H");
    b.handle(|conns, _, _| {
        let conn = conns.get(t).expect("it is there");
        assert!(conn.wants_input());
    });
    assert!(b.table.is_wanted(t));
    b.bytes(t, &[b"I".as_slice(), &sealed(b"a\n")].concat());
    assert_eq!(b.log(), ["ready records"], "the line waits for room");
    assert!(!b.table.is_wanted(t));
    let sent = opened(&b.drain(t)).0;
    assert_eq!(sent, [[b'x'; 60].as_slice(), &[b'a'; 10]].concat());
    assert_eq!(b.log(), ["a"]);
}

#[test]
fn hold_is_the_apps_own_switch() {
    let mut b = Bench::new(1 << 16);
    let t = b.open(0);
    b.handle(|conns, _, _| conns.hold(t, true));
    assert!(!b.table.is_wanted(t));
    b.resume(t);
    assert!(!b.table.is_wanted(t), "it lasts");
    b.handle(|conns, _, _| conns.hold(t, false));
    assert!(b.table.is_wanted(t));
}

fn reading(offset: u64, len: u32) -> String {
    let id = OpId::new(PART, 0);
    alloc::format!("ask {id:?} {:?}", Ask::Read { file: FileId(9), offset, len })
}

#[test]
fn a_file_under_a_layer_is_read_piece_by_piece() {
    let mut b = Bench::new(1 << 16);
    let t = b.open(1);
    b.bytes(t, b"HI");
    b.handle(|conns, cx, _| {
        let out = conns.out(t, cx).expect("it is open");
        out.put(b"<");
        out.file(FileId(9), 100, 45);
        out.put(b">");
    });
    let file: Vec<u8> = (0..145).collect();
    let id = OpId::new(PART, 0);
    for (offset, len, gives) in [(100, 20, 20), (120, 20, 3), (123, 20, 20), (143, 2, 2)] {
        assert_eq!(b.ops(), [reading(offset, len)]);
        b.resume(t); // whatever else happens, it asks once
        assert_eq!(b.ops(), [""; 0]);
        let at = offset as usize;
        let answer = Ok(Answer::Read(Bytes::copy_from_slice(&file[at..at + gives])));
        b.handle(|conns, _, _| {
            assert!(!conns.answer(OpId::new(PART, 77), &answer), "somebody else's");
            assert!(conns.answer(id, &answer));
            assert!(!conns.answer(id, &answer), "answered once");
        });
    }
    assert_eq!(opened(&b.drain(t)).0, [b"<", &file[100..], b">"].concat());
    assert_eq!(b.ops(), [""; 0]);
}

#[test]
fn a_file_that_fails_never_looks_complete() {
    for answer in [Err(Reason::FileShort), Ok(Answer::Read(Bytes::new()))] {
        let mut b = Bench::new(1 << 16);
        let t = b.open(1);
        b.bytes(t, b"HI");
        b.handle(|conns, cx, _| {
            let out = conns.out(t, cx).expect("it is open");
            out.file(FileId(9), 0, 10);
            out.put(b"end");
        });
        b.ops();
        b.handle(|conns, _, _| assert!(conns.answer(OpId::new(PART, 0), &answer)));
        assert_eq!(b.ops(), [alloc::format!("abort {t:?}")]);
        assert_eq!(b.drain(t), b"HI", "neither padding nor goodbye");
    }
}

#[test]
fn last_words_wait_for_the_files_ahead() {
    let mut b = Bench::new(1 << 16);
    let t = b.open(1);
    b.bytes(t, b"HI");
    b.handle(|conns, cx, _| conns.out(t, cx).expect("it is open").file(FileId(9), 0, 30));
    b.bytes(t, &sealed(b"bad\n"));
    assert_eq!(b.log(), ["ready records", "fault bad"]);
    assert_eq!(b.ops(), [reading(0, 20)], "not closed yet");
    b.handle(|conns, cx, _| assert!(conns.out(t, cx).is_none(), "nothing may follow the last words"));
    let id = OpId::new(PART, 0);
    b.handle(|conns, _, _| assert!(conns.answer(id, &Ok(Answer::Read(Bytes::from_static(&[1; 20]))))));
    assert_eq!(b.ops(), [reading(20, 10)]);
    b.handle(|conns, _, _| assert!(conns.answer(id, &Ok(Answer::Read(Bytes::from_static(&[1; 10]))))));
    assert_eq!(b.ops(), [alloc::format!("close {t:?} linger {LINGER:?}")]);
    assert_eq!(opened(&b.drain(t)), ([[1; 30].as_slice(), b"sorry"].concat(), true));
}

#[test]
fn a_peer_that_does_not_read_its_last_words_is_cut_off() {
    let mut b = Bench::new(10);
    let t = b.open(1);
    b.bytes(t, b"HI");
    b.handle(|conns, cx, _| {
        let out = conns.out(t, cx).expect("it is open");
        out.put(&[b'x'; 20]);
        out.file(FileId(9), 0, 30);
        conns.close(t);
    });
    assert_eq!(b.ops(), [""; 0], "the wire is full, a file waits");
    b.wait(Duration::from_secs(1));
    b.sends(t, 1);
    b.wait(Duration::from_millis(1500));
    assert_eq!(b.ops(), [""; 0], "there was progress");
    b.wait(Duration::from_secs(2));
    assert_eq!(b.ops(), [alloc::format!("abort {t:?}")]);
    assert_eq!(b.conns.deadline(), None);
}

#[test]
fn deadlines_come_through_due() {
    let mut b = Bench::new(1 << 16);
    let t = b.open(0);
    b.bytes(t, b"a\n");
    let at = |b: &Bench| b.conns.deadline().map(|d| (d.at, d.why));
    let first = b.now.after(Duration::from_secs(5));
    assert_eq!(at(&b), Some((first, "line")));
    b.wait(Duration::from_secs(3));
    b.bytes(t, b"b\n");
    assert_eq!(at(&b), Some((first, "line")), "moving it later is lazy");
    b.wait(Duration::from_secs(2));
    assert_eq!(b.log(), ["a", "b"], "nobody is told");
    b.wait(Duration::from_secs(3));
    assert_eq!(b.log(), [alloc::format!("{t:?} due Err(\"idle\")")]);
    assert_eq!(b.ops(), [alloc::format!("close {t:?} linger {LINGER:?}")]);
    assert!(b.drain(t).ends_with(b"too slow"));
    assert_eq!(b.conns.deadline(), None);
}

#[test]
fn a_layers_deadline_counts_too() {
    let mut b = Bench::new(1 << 16);
    let t = b.open(1);
    assert_eq!(b.conns.deadline().map(|d| (d.span(), d.why)), Some((Duration::from_secs(10), "hello")));
    b.wait(Duration::from_secs(10));
    assert_eq!(b.log(), [alloc::format!("{t:?} due Err(\"no hello in time\")")]);
}

#[test]
fn closing_sends_what_was_put_and_the_goodbye() {
    for limit in [1 << 16, 5] {
        let mut b = Bench::new(limit);
        let t = b.open(1);
        b.bytes(t, b"HI");
        let words = b"goodbye, and thanks for all the lines".repeat(3);
        b.handle(|conns, cx, _| {
            conns.out(t, cx).expect("it is open").put(&words);
            conns.close(t);
        });
        assert_eq!(b.ops(), [alloc::format!("close {t:?} linger {LINGER:?}")], "at once, though the wire is full");
        assert_eq!(opened(&b.drain(t)), (words, true));
        b.handle(|conns, cx, _| assert!(conns.out(t, cx).is_none()));
    }
}

#[test]
fn an_app_that_finishes_its_output_still_reads() {
    for layers in [0, 1] {
        let mut b = Bench::new(1 << 16);
        let t = b.open(layers);
        b.bytes(t, if layers > 0 { b"HI" } else { b"" });
        b.handle(|conns, cx, _| {
            let out = conns.out(t, cx).expect("it is open");
            out.put(b"last");
            out.finish();
        });
        assert!(b.table.tx(t).is_some_and(Tx::is_finished), "down to the wire");
        b.handle(|conns, cx, _| assert!(conns.out(t, cx).is_none()));
        assert!(b.table.is_wanted(t) && b.ops().is_empty());
    }
}

#[test]
fn a_stranger_is_nobody() {
    let mut b = Bench::new(1 << 16);
    let t = b.open(0);
    b.bytes(t, b"half");
    assert_eq!(b.conns.peek(t).map(Conn::tail_len), Some(4));
    assert!(b.conns.remove(t).is_some_and(|mut c| c.take_tail() == b"half"));
    b.bytes(t, b"\n");
    b.eof(t);
    b.resume(t);
    assert_eq!((b.log(), b.conns.len()), (vec![], 0));
    assert!(b.drain(t).is_empty());
}

#[test]
fn a_released_connection_is_the_apps() {
    let mut b = Bench::new(1 << 16);
    let t = b.open(0);
    b.bytes(t, b"a\nrest");
    b.handle(|conns, cx, _| {
        let mut conn = conns.release(t, cx).expect("it was there");
        assert_eq!(conn.take_tail(), b"rest");
        cx.tx(t).expect("it is alive").put(b"plain"); // asserts that no Conn owns it
    });
    assert_eq!(b.drain(t), b"aaaaaaaaaaplain");
}
