//! Relays: what one side says the other side hears, whole, in order and to its end.
use super::apps::{Ctx, In, tell};
use super::{Run, Seen, client, reset_on_close, start_with};
use drivers::Kind;
use proto_core::{Addr, Input, Reason, RelayEnd, Slots, Token};
use std::hash::{DefaultHasher, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Sender;

/// Connects each client of part 0 to `to`, and relays. Whoever comes on part 1 hears how much is queued.
pub struct Pipe {
    tell: Sender<Seen>,
    to: SocketAddr,
    quota: Option<u64>,
    /// The other side of each.
    other: Slots<Token>,
    most: usize,
}

/// The part of connections to the target.
const OUT: u8 = 9;

impl Pipe {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Accepted { conn, .. } if conn.part() == 0 => {
                cx.read(conn, false);
                let out = cx.connect(OUT, Addr::Ip(self.to));
                self.other.insert(conn, out);
                self.other.insert(out, conn);
            }
            Input::Connected { conn, .. } => {
                let Some(&other) = self.other.get(conn) else { return };
                cx.relay(conn, other, self.quota);
                cx.relay(other, conn, self.quota);
            }
            Input::Relayed { from, total, end } => {
                let Some(&to) = self.other.get(from) else { return };
                if end == RelayEnd::Quota {
                    tell(&self.tell, Seen::Said(format!("quota {total}")));
                    cx.relay(from, to, self.quota);
                } else {
                    let whose = if from.part() == OUT { "target" } else { "client" };
                    tell(&self.tell, Seen::Said(format!("{whose} {total}")));
                }
            }
            Input::Bytes(t, _) if t.part() == 1 => {
                let queued = self.other.iter().map(|(t, _)| cx.queued(t)).max().unwrap_or(0);
                self.most = self.most.max(queued);
                tell(&self.tell, Seen::Paused(self.most));
            }
            Input::Bytes(t, b) => tell(&self.tell, Seen::Said(format!("{} bytes of {t:?} told", b.len()))),
            Input::Eof(t) if t.part() != 1 => tell(&self.tell, Seen::Said(format!("end of {t:?} told"))),
            Input::Writable(t) => tell(&self.tell, Seen::Said(format!("room of {t:?} told"))),
            Input::Closed(t, why) if t.part() != 1 => {
                if let Some(other) = self.other.remove(t)
                    && why == Reason::Reset
                {
                    cx.abort(other);
                }
                tell(&self.tell, Seen::Closed(why));
            }
            _ => {}
        }
    }
}
crate::plain_app!(Pipe);

struct Stage {
    run: Run,
    target: TcpListener,
}

impl Stage {
    fn new(kind: Kind, quota: Option<u64>) -> Stage {
        Stage::with(kind, quota, 64 << 10)
    }
    fn with(kind: Kind, quota: Option<u64>, out_buffer: usize) -> Stage {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = target.local_addr().unwrap();
        let config = drivers::Config { out_buffer, ..super::base() };
        let run = start_with(kind, config, move |tell| Pipe { tell, to, quota, other: Slots::default(), most: 0 });
        Stage { run, target }
    }
    /// A client, and the target's end of its connection.
    fn pair(&self) -> (TcpStream, TcpStream) {
        let c = self.run.connect();
        let (t, _) = self.target.accept().unwrap();
        t.set_read_timeout(Some(super::LIMIT)).unwrap();
        t.set_write_timeout(Some(super::LIMIT)).unwrap();
        (c, t)
    }
    fn said(&self) -> String {
        match self.run.next() {
            Seen::Said(s) => s,
            other => panic!("{other:?}"),
        }
    }
    fn closed(&self, n: usize) -> Vec<Reason> {
        (0..n)
            .map(|_| match self.run.until(|s| matches!(s, Seen::Closed(_))) {
                Seen::Closed(why) => why,
                _ => unreachable!(),
            })
            .collect()
    }
}

/// Byte `i` of a stream that is `salt`'s.
fn byte(i: usize, salt: u64) -> u8 {
    ((i as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Sends `len` bytes in pieces of all sizes, then its end; the hash of them.
fn send(mut to: TcpStream, len: usize, salt: u64) -> u64 {
    let all: Vec<u8> = (0..len).map(|i| byte(i, salt)).collect();
    let (mut rest, mut n) = (&all[..], 1 + salt as usize % 7);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(n.min(rest.len()));
        to.write_all(now).unwrap();
        n = (n * 5 + 3) % 300_007;
        rest = later;
    }
    to.shutdown(Shutdown::Write).unwrap();
    hash(&all)
}

fn hash(b: &[u8]) -> u64 {
    let mut h = DefaultHasher::new();
    h.write(b);
    h.finish()
}

/// Reads to the end, now in small sips and now in draughts, so that the sender meets a full buffer.
fn receive(mut from: TcpStream) -> (usize, u64) {
    let (mut all, mut buf, mut turn) = (Vec::new(), vec![0; 256 << 10], 0);
    loop {
        turn += 1;
        let n = if turn % 64 < 32 { 100 } else { buf.len() };
        match from.read(&mut buf[..n]).unwrap() {
            0 => return (all.len(), hash(&all)),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}

/// Both directions at once, with readers that dawdle.
fn both_ways(kind: Kind, quota: Option<u64>, len: usize) -> Vec<String> {
    let stage = Stage::new(kind, quota);
    let pairs: Vec<_> = (0..3).map(|_| stage.pair()).collect();
    let threads: Vec<_> = pairs
        .iter()
        .flat_map(|(c, t)| [(c, t), (t, c)])
        .enumerate()
        .map(|(i, (a, b))| {
            let (a, b) = (a.try_clone().unwrap(), b.try_clone().unwrap());
            let sender = std::thread::spawn(move || send(a, len, i as u64));
            (sender, std::thread::spawn(move || receive(b)))
        })
        .collect();
    for (sender, receiver) in threads {
        let sent = sender.join().unwrap();
        assert_eq!(receiver.join().unwrap(), (len, sent));
    }
    let mut said = Vec::new();
    let mut closed = 0;
    while closed < 6 {
        match stage.run.next() {
            Seen::Said(s) => said.push(s),
            Seen::Closed(why) => {
                assert_eq!(why, Reason::Finished);
                closed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    stage.run.end();
    said
}

/// Megabytes both ways at once arrive whole; the app hears two ends of each pair, and nothing else.
pub fn relays_both_ways_at_once(kind: Kind) {
    const LEN: usize = 5_000_000;
    let mut said = both_ways(kind, None, LEN);
    said.sort();
    let want = |who: &str| std::iter::repeat_n(format!("{who} {LEN}"), 3);
    assert_eq!(said, want("client").chain(want("target")).collect::<Vec<_>>());
}

/// A relay with a quota ends when that is reached, and the next one goes on with the next byte.
pub fn relays_end_at_their_quota(kind: Kind) {
    const QUOTA: u64 = 100_000;
    let said = both_ways(kind, Some(QUOTA), 1_000_000);
    let totals: Vec<u64> = said.iter().filter_map(|s| s.strip_prefix("quota ")).map(|n| n.parse().unwrap()).collect();
    assert!(totals.len() >= 3, "{said:?}");
    assert!(totals.iter().all(|n| (QUOTA..QUOTA + (64 << 10)).contains(n)), "{totals:?}");
    assert_eq!(said.iter().filter(|s| !s.starts_with("quota")).count(), 6, "{said:?}");
}

/// Either side may say its last byte first; the other one can still speak.
pub fn relays_pass_half_closes(kind: Kind) {
    let stage = Stage::new(kind, None);
    for client_first in [true, false] {
        let (c, t) = stage.pair();
        let (mut first, mut second) = if client_first { (c, t) } else { (t, c) };
        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        second.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "question");
        let names = if client_first { ["client 8", "target 6"] } else { ["target 8", "client 6"] };
        assert_eq!(stage.said(), names[0]);
        second.write_all(b"answer").unwrap();
        let mut answer = [0; 6];
        first.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
        second.shutdown(Shutdown::Write).unwrap();
        assert_eq!(first.read(&mut answer).unwrap(), 0);
        assert_eq!(stage.said(), names[1]);
        assert_eq!(stage.closed(2), [Reason::Finished; 2]);
    }
    stage.run.end();
}

/// The most that a relay has queued while its target does not read and its client writes on. Others do not notice.
fn most_queued(kind: Kind, out_buffer: usize, enough: usize) -> usize {
    let stage = Stage::with(kind, None, out_buffer);
    let (stuck, t) = stage.pair();
    let mut to = stuck.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let block = [7; 64 << 10];
        while to.write_all(&block).is_ok() {}
    });
    let mut watch = client(stage.run.other);
    let (mut most, mut after) = (0, 0);
    while after < 50 {
        let (mut c, mut u) = stage.pair();
        c.write_all(b"word").unwrap();
        let mut word = [0; 4];
        u.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"word");
        watch.write_all(b"?").unwrap();
        if let Seen::Paused(queued) = stage.run.until(|s| matches!(s, Seen::Paused(_))) {
            most = queued;
        }
        after += usize::from(most >= enough);
    }
    stuck.shutdown(Shutdown::Both).unwrap();
    sender.join().unwrap();
    drop((stuck, t));
    stage.run.end();
    most
}

/// A side that does not read stops the other one, at one output and one read.
pub fn relays_are_bounded(kind: Kind) {
    // One that is stuck has more than half of its limit queued: with less it would read on.
    let most = most_queued(kind, 64 << 10, (32 << 10) + 1);
    assert!(most < 128 << 10, "{most} bytes queued: more than the limit and one chunk");
    // The limit is what holds it: with another one there is more.
    let most = most_queued(kind, 4 << 20, 1 << 20);
    assert!(most >= 1 << 20);
}

/// An RST on one side is one on the other, also while bytes are on their way.
pub fn relays_pass_resets(kind: Kind) {
    let stage = Stage::new(kind, None);
    for client_first in [true, false] {
        for busy in [false, true] {
            let (c, t) = stage.pair();
            let (mut first, mut second) = if client_first { (c, t) } else { (t, c) };
            first.write_all(b"x").unwrap();
            second.read_exact(&mut [0]).unwrap();
            if busy {
                first.set_nonblocking(true).unwrap();
                while first.write(&[1; 64 << 10]).is_ok() {}
            }
            reset_on_close(&first);
            drop(first);
            let error = loop {
                match second.read(&mut [0; 4096]) {
                    Ok(0) => panic!("a clean end"),
                    Ok(_) => {}
                    Err(e) => break e.kind(),
                }
            };
            assert_eq!(error, ErrorKind::ConnectionReset);
            let mut ends = stage.closed(2);
            ends.sort();
            assert_eq!(ends, [Reason::Aborted, Reason::Reset]);
        }
    }
    stage.run.end();
}
