//! Loops that talk to each other are recorded one by one and replayed together.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use core::convert::Infallible;
use drivers::record::{self, Entry};
use drivers::replay::{Outcome, Report, replay, replay_shards};
use drivers::{Bound, Config, Kind};
use proto_core::{Addr, App, Cx, Input, Op, Shard, Token};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};

/// Has what clients say shouted by the next loop, which nobody can hear, and sends the shout.
struct Shouts {
    me: Shard,
    /// It whispers from its third shout on.
    whispers: bool,
    shouts: u32,
}

enum Word {
    Shout(u64, Vec<u8>),
    Shouted(u64, Vec<u8>),
    Quit,
}

const LOOPS: u16 = 3;

impl Shouts {
    fn next(&self) -> Shard {
        Shard((self.me.0 + 1) % LOOPS)
    }
}

impl App for Shouts {
    type Job = Infallible;
    type Msg = Word;
    fn handle(&mut self, input: Input<'_, Word>, cx: &mut Cx<'_, Infallible, Word>) {
        match input {
            Input::Bytes(_, word) if word.ends_with(b"QUIT") => {
                (0..LOOPS).for_each(|i| cx.op(Op::Post { to: Shard(i), msg: Word::Quit }));
            }
            Input::Bytes(t, word) => {
                cx.op(Op::Post { to: self.next(), msg: Word::Shout(t.to_bits(), word.to_vec()) });
            }
            Input::Eof(t) => cx.tx(t).into_iter().for_each(proto_core::Tx::finish),
            Input::Post(from, Word::Shout(t, mut word)) => {
                self.shouts += 1;
                if !(self.whispers && self.shouts > 2) {
                    word.make_ascii_uppercase();
                }
                cx.op(Op::Post { to: from, msg: Word::Shouted(t, word) });
            }
            Input::Post(_, Word::Shouted(t, word)) => {
                cx.tx(Token::from_bits(t)).into_iter().for_each(|tx| tx.put(&word));
            }
            Input::Post(_, Word::Quit) => cx.exit(0),
            _ => {}
        }
    }
    fn work(job: Infallible) -> Word {
        match job {}
    }
}

fn shouts(whispers: Option<u16>) -> impl Fn(Shard) -> Shouts {
    move |me| Shouts { me, whispers: whispers == Some(me.0), shouts: 0 }
}

fn recorded(path: &Path, kind: Kind) -> Vec<Vec<Entry>> {
    let (listeners, _) = Bound::local(0, 0, 16, true).unwrap();
    let Addr::Ip(at) = listeners[0].at.clone() else { unreachable!() };
    let config = Config { record: Some(path.into()), threads: LOOPS, ..Config::default() };
    let server = std::thread::spawn(move || drivers::run(kind, shouts(None), listeners, &config).unwrap());
    // Once one is answered all loops listen: before, all would come to the first.
    let mut first = TcpStream::connect(at).unwrap();
    first.write_all(b"word").unwrap();
    first.read_exact(&mut [0; 4]).unwrap();
    drop(first);
    // Many, so that each loop has some.
    let mut clients: Vec<_> = (0..30).map(|_| TcpStream::connect(at).unwrap()).collect();
    for round in 0..10 {
        for (i, c) in clients.iter_mut().enumerate() {
            c.write_all(format!("word {round} of {i}").as_bytes()).unwrap();
        }
        for (i, c) in clients.iter_mut().enumerate() {
            let want = format!("WORD {round} OF {i}");
            let mut got = vec![0; want.len()];
            c.read_exact(&mut got).unwrap();
            assert_eq!(got, want.as_bytes());
        }
    }
    let mut last = clients.pop().unwrap();
    clients.iter_mut().for_each(|c| {
        c.shutdown(Shutdown::Write).unwrap();
        assert_eq!(c.read(&mut [0]).unwrap(), 0);
    });
    last.write_all(b"QUIT").unwrap();
    assert_eq!(server.join().unwrap(), 0);
    let paths: Vec<PathBuf> = (0..LOOPS).map(|i| record::path_of(path, Shard(i))).collect();
    let all = paths.iter().map(|p| record::read(p).unwrap()).collect();
    paths.iter().for_each(|p| std::fs::remove_file(p).unwrap());
    all
}

#[test]
fn loops_that_talk_are_replayed_together() {
    let path = std::env::temp_dir().join(format!("drywire-shards-{}", std::process::id()));
    for kind in Kind::REAL.into_iter().filter(|kind| drivers::available(*kind).is_ok()) {
        let all = recorded(&path, kind);
        let inputs = all.iter().flatten().filter(|e| matches!(e, Entry::Input { .. })).count() as u64;
        let same = replay_shards(&all, shouts(None), None).unwrap();
        assert_eq!(same, Report { inputs, outcome: Outcome::Same }, "{kind:?}");

        // The loop that whispers is named; those that hear it are not.
        for whispers in 0..LOOPS {
            let other = replay_shards(&all, shouts(Some(whispers)), None).unwrap();
            let Outcome::Differs(d) = &other.outcome else { panic!("{kind:?}, {whispers}: {other}") };
            assert_eq!(d.shard, Shard((whispers + LOOPS - 1) % LOOPS), "who passes the whisper on: {other}");
            assert!(d.recorded.starts_with(b"WORD") && d.replayed.starts_with(b"word"), "{other}");
        }

        // One recording is missing: the others go on as far as they can. One alone is as good as its messages.
        let cut = |report: Report| matches!(report.outcome, Outcome::CutAt(_, why) if why.contains("from a shard"));
        assert!(cut(replay_shards(&all[..2], shouts(None), None).unwrap()), "{kind:?}");
        assert!(cut(replay(&all[0], shouts(None)(Shard(0)), None).unwrap()), "{kind:?}");
    }
}
