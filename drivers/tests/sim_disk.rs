//! Power cuts: a small log that acknowledges records, and one that does so too early.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use core::convert::Infallible;
use drivers::sim::{Ended, NodeConfig, Sim, check_seeds};
use proto_core::{Answer, App, Ask, Bytes, Cx, FileId, How, Input, OpId, Token};
use std::time::Duration;

type Cxi<'a> = Cx<'a, Infallible, Infallible>;

const OPEN: u64 = 0;
const DIR: u64 = 1;
const DIR_SYNC: u64 = 2;
const WRITE: u64 = 10;
const SYNC: u64 = 11;
const READ: u64 = 12;
/// Bytes of a record: more than one fits into a sector, and some lie across two.
const RECORD: usize = 200;

/// Appends records one after the other, and prints the number of each that is safe. Before that it reads what is there
/// and prints how many records are whole.
struct Log {
    file: Option<FileId>,
    stdout: Option<Token>,
    next: u64,
    last: u64,
    /// Says that a record is safe when it is written and not yet synced.
    hasty: bool,
}

impl Log {
    fn new(last: u64, hasty: bool) -> Self {
        Log { file: None, stdout: None, next: 0, last, hasty }
    }
    fn say(&mut self, text: String, cx: &mut Cxi<'_>) {
        if let Some(tx) = self.stdout.and_then(|t| cx.tx(t)) {
            tx.put(text.as_bytes());
        }
    }
    fn append(&mut self, file: FileId, cx: &mut Cxi<'_>) {
        if self.next == self.last {
            return cx.exit(0);
        }
        let mut record = vec![b'.'; RECORD];
        record[..8].copy_from_slice(&self.next.to_le_bytes());
        record[RECORD - 8..].copy_from_slice(&(!self.next).to_le_bytes());
        let offset = self.next * RECORD as u64;
        cx.ask(OpId::new(0, WRITE), Ask::Write { file, offset, data: vec![Bytes::from(record)] });
        cx.ask(OpId::new(0, SYNC), Ask::Sync { file, data_only: true });
    }
    fn answer(&mut self, id: OpId, answer: Answer, cx: &mut Cxi<'_>) {
        match (id.key(), answer) {
            (OPEN, Answer::Opened { file, .. }) => {
                self.file = Some(file);
                cx.ask(
                    OpId::new(0, DIR),
                    Ask::Open { dir: None, path: ".".into(), how: How { dir: true, ..How::default() } },
                );
            }
            (DIR, Answer::Opened { file, .. }) => cx.ask(OpId::new(0, DIR_SYNC), Ask::Sync { file, data_only: false }),
            (DIR_SYNC, _) => {
                let Some(file) = self.file else { return };
                cx.ask(OpId::new(0, READ), Ask::Read { file, offset: 0, len: 1 << 20 });
            }
            (READ, Answer::Read(bytes)) => {
                let whole = |(i, r): &(usize, &[u8])| {
                    r[..8] == (*i as u64).to_le_bytes() && r[RECORD - 8..] == (!(*i as u64)).to_le_bytes()
                };
                self.next = bytes.chunks_exact(RECORD).enumerate().take_while(whole).count() as u64;
                self.say(format!("found {}\n", self.next), cx);
                if let Some(file) = self.file {
                    self.append(file, cx);
                }
            }
            (WRITE, _) if self.hasty => self.say(format!("safe {}\n", self.next), cx),
            (SYNC, _) => {
                if !self.hasty {
                    self.say(format!("safe {}\n", self.next), cx);
                }
                self.next += 1;
                if let Some(file) = self.file {
                    self.append(file, cx);
                }
            }
            _ => {}
        }
    }
}

impl App for Log {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cxi<'_>) {
        match input {
            Input::Start(start) => {
                self.stdout = Some(start.stdout);
                let how = How { read: true, write: true, create: true, lock: true, ..How::default() };
                cx.ask(OpId::new(0, OPEN), Ask::Open { dir: None, path: "log".into(), how });
            }
            Input::Answer(id, Ok(answer)) => self.answer(id, answer, cx),
            Input::Answer(id, Err(why)) => {
                self.say(format!("failed {} {why}\n", id.key()), cx);
                cx.exit(9);
            }
            _ => {}
        }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

/// The number behind the last line that begins with `word`.
fn last(out: &[u8], word: &str) -> Option<u64> {
    let text = String::from_utf8_lossy(out).into_owned();
    let line = text.lines().rev().find_map(|l| l.strip_prefix(word)?.strip_prefix(' ').map(str::to_string));
    line.and_then(|l| l.parse().ok())
}

/// Cuts the power at the N-th write, starts again, and compares what was promised with what is there.
fn crash(seed: u64, hasty: bool) -> Result<(), String> {
    let mut sim = Sim::new(seed, format!("power={}", 1 + seed % 20).parse()?);
    let node = sim.add("log", Log::new(30, hasty), NodeConfig::default()).map_err(|e| e.to_string())?;
    if sim.run_until(Duration::from_secs(60), |s| s.is_down(node)) != Ended::Reached {
        return Err("the power did not fail".into());
    }
    let safe = last(sim.stdout(node), "safe").map_or(0, |n| n + 1);
    sim.restart(node, Log::new(30, false), NodeConfig::default()).map_err(|e| e.to_string())?;
    sim.run(Duration::from_secs(60));
    let text = String::from_utf8_lossy(sim.stdout(node)).into_owned();
    let found = last(sim.stdout(node), "found").ok_or(format!("no recovery: {text}"))?;
    match (found >= safe, sim.exit(node)) {
        (true, Some(0)) => Ok(()),
        (false, _) => Err(format!("{safe} records were acknowledged and {found} are there")),
        (_, code) => Err(format!("exit {code:?}: {text}")),
    }
}

#[test]
fn acknowledged_records_survive_a_power_cut() {
    check_seeds("acknowledged_records_survive_a_power_cut", 0..1000, |seed| crash(seed, false));
}

#[test]
fn a_log_that_acknowledges_before_the_sync_is_caught() {
    let lost = (0..200).filter(|seed| crash(*seed, true).is_err_and(|why| why.contains("were acknowledged"))).count();
    assert!((5..200).contains(&lost), "{lost} of 200 runs lost something");
}

#[test]
fn disk_faults_reach_the_program() {
    for (plan, text) in
        [("disk=full:100%", "failed 10 no space"), ("disk=torn:100%", "failed 10"), ("disk=eio:30%", "failed")]
    {
        let mut sim = Sim::new(3, plan.parse().unwrap());
        let node = sim.add("log", Log::new(30, false), NodeConfig::default()).unwrap();
        sim.run(Duration::from_secs(60));
        assert_eq!(sim.exit(node), Some(9), "{plan}");
        let out = String::from_utf8_lossy(sim.stdout(node)).into_owned();
        assert!(out.contains(text), "{plan}: {out}");
    }
    // A slow disk is only slow.
    let time = |plan: &str| {
        let mut sim = Sim::new(3, plan.parse().unwrap());
        let node = sim.add("log", Log::new(30, false), NodeConfig::default()).unwrap();
        sim.run(Duration::from_secs(600));
        assert_eq!(sim.exit(node), Some(0));
        sim.now()
    };
    assert!(time("disk=slow:50%") > 10 * time(""));
}
