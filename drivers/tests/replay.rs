//! Record an app, replay it: the same; replay another: the first difference, exactly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod simple;
use core::convert::Infallible;
use drivers::record::{self, Entry, Told};
use drivers::replay::{Outcome, Report, replay};
use drivers::sim::{Ended, NodeConfig, Sim};
use drivers::{Bound, Buffers, Config, CqeFault, CqeOp, Kind};
use proto_core::{Addr, App, Deadline, Input, Instant, Reason, Token, Trouble};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use simple::{Bug, Client, Cxi, Echo};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Recordings wait in bounded queues, and replays hold one recording: a process that needs more address space than this
/// has run away, and is to fail here and not where the machine's memory ends. It uses about 20 MB.
const MEMORY: u64 = 2 << 30;

fn bound_memory() {
    let before = getrlimit(Resource::As);
    let current = before.current.map_or(MEMORY, |n| n.min(MEMORY));
    setrlimit(Resource::As, Rlimit { current: Some(current), ..before }).unwrap();
}

struct File(PathBuf);

impl File {
    fn new(name: &str) -> File {
        bound_memory();
        File(std::env::temp_dir().join(format!("drywire-replay-{}-{name}", std::process::id())))
    }
    fn config(&self) -> Config {
        Config { record: Some(self.0.clone()), command: vec!["echo".into()], ..Config::default() }
    }
    fn entries(&self) -> Vec<Entry> {
        record::read(&self.0).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Two clients on a broadcasting server over loopback; one speaks.
fn record_epoll(file: &File, app: fn() -> Echo) {
    record(Kind::Epoll, file.config(), app);
}

fn record(kind: Kind, config: Config, app: fn() -> Echo) {
    let (listeners, _) = Bound::local(0, 0, 16, false).unwrap();
    let Addr::Ip(at) = listeners[0].at.clone() else { unreachable!() };
    let server = std::thread::spawn(move || drivers::run(kind, |_| app(), listeners, &config).unwrap());
    let mut hearer = TcpStream::connect(at).unwrap();
    let mut speaker = TcpStream::connect(at).unwrap();
    for round in 0..20u8 {
        let said = vec![round; 1 + 5000 * usize::from(round)];
        speaker.write_all(&said).unwrap();
        let mut heard = vec![0; said.len()];
        for s in [&mut hearer, &mut speaker] {
            s.read_exact(&mut heard).unwrap();
            assert_eq!(heard, said);
        }
    }
    hearer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hearer.read(&mut [0]).unwrap(), 0);
    speaker.write_all(b"QUIT").unwrap();
    assert_eq!(server.join().unwrap(), 0);
}

/// Each form of a ring, and one whose operations fail.
#[test]
fn a_recording_of_a_ring_replays() {
    if let Err(why) = drivers::available(Kind::IoUring) {
        return eprintln!("skipped: {why}");
    }
    let file = File::new("ring");
    let fault = CqeFault { op: CqeOp::Recv, errno: libc::ENOBUFS, per_mille: 200, seed: 7 };
    for config in [
        Config { cqe_faults: vec![fault], buffers: (2, 64), ..file.config() },
        Config { link: true, ..file.config() },
        Config { lend: Some(Buffers::Fixed), direct_files: true, ..file.config() },
        Config { as_kernel: Some((5, 11)), ..file.config() },
    ] {
        record(Kind::IoUring, config, || Echo::broadcast(Bug::None));
        let entries = file.entries();
        let report = run(&entries, Echo::broadcast(Bug::None));
        assert_eq!(report, Report { inputs: inputs(&entries), outcome: Outcome::Same }, "{report}");
        let other = run(&entries, Echo::broadcast(Bug::FlipsAt(3)));
        assert!(matches!(other.outcome, Outcome::Differs(_)), "the control: {other}");
    }
}

fn run(entries: &[Entry], app: Echo) -> Report {
    replay(entries, app, None).unwrap()
}

fn inputs(entries: &[Entry]) -> u64 {
    entries.iter().filter(|e| matches!(e, Entry::Input { .. })).count() as u64
}

#[test]
fn a_recording_of_a_real_driver_replays() {
    let file = File::new("epoll");
    record_epoll(&file, || Echo::broadcast(Bug::None));
    let entries = file.entries();
    assert_eq!(entries.last(), Some(&Entry::End));
    let report = run(&entries, Echo::broadcast(Bug::None));
    assert_eq!(report, Report { inputs: inputs(&entries), outcome: Outcome::Same }, "{report}");

    // An app that says something else from its third chunk on.
    let report = run(&entries, Echo::broadcast(Bug::FlipsAt(3)));
    let Outcome::Differs(d) = &report.outcome else { panic!("{report}") };
    let is_bytes = |e: &&Entry| matches!(e, Entry::Input { input: Told::Bytes(..), .. });
    let third = entries.iter().filter(is_bytes).nth(2).unwrap();
    let before = entries.iter().take_while(|e| !std::ptr::eq(*e, third)).cloned().collect::<Vec<_>>();
    assert_eq!(d.input, inputs(&before) + 1);
    let Entry::Input { input: Told::Bytes(speaker, bytes), .. } = third else { unreachable!() };
    let offset: usize = before
        .iter()
        .map(|e| if let Entry::Sent { token, bytes } = e { if token == speaker { bytes.len() } else { 0 } } else { 0 })
        .sum();
    assert_eq!((d.token, d.offset), (Some(Token::from_bits(*speaker)), offset as u64));
    assert_eq!(d.recorded, vec![bytes[0]; d.recorded.len()]);
    assert_eq!(d.replayed, vec![bytes[0] ^ 1; d.recorded.len()]);
    let text = report.to_string();
    assert!(text.contains(&format!("first difference at input {}, connection", d.input)), "{text}");
    assert!(text.contains("recorded: 0") && text.contains(r#""\x0"#), "{text}");
}

#[test]
fn a_recording_of_a_simulation_replays() {
    let mut spoke = 0;
    for seed in 0..50 {
        let file = File::new(&format!("sim{seed}"));
        let plan = "split=900,short=20%,again=10%,reset=1%,time=+1h,delay=1s±900ms";
        let mut sim = Sim::new(seed, plan.parse().unwrap());
        let config = NodeConfig { config: file.config(), ..NodeConfig::server(7) };
        let server = sim.add("server", Echo::broadcast(Bug::None), config).unwrap();
        for _ in 0..3 {
            let client = Client::new(sim.addr(server, 7), vec![seed as u8; 10_000]);
            sim.add("client", client, NodeConfig::default()).unwrap();
        }
        sim.run(Duration::from_secs(3600));
        sim.end_recordings().unwrap();
        let entries = file.entries();
        let report = run(&entries, Echo::broadcast(Bug::None));
        assert_eq!(report.outcome, Outcome::Same, "seed {seed}: {report}");
        let said = |e: &Entry| matches!(e, Entry::Sent { token, .. } if Token::from_bits(*token).index() > 2);
        let report = run(&entries, Echo::broadcast(Bug::FlipsAt(1)));
        assert_eq!(matches!(report.outcome, Outcome::Differs(_)), entries.iter().any(said), "seed {seed}: {report}");
        spoke += usize::from(entries.iter().any(said));
    }
    assert!(spoke > 40, "{spoke}");
}

fn recorded_echo(name: &str, clients: usize) -> (File, Vec<Entry>) {
    let file = File::new(name);
    let mut sim = Sim::new(1, Default::default());
    let config = NodeConfig { config: file.config(), ..NodeConfig::server(7) };
    let server = sim.add("server", Echo::new(Bug::None), config).unwrap();
    for _ in 0..clients {
        sim.add("client", Client::new(sim.addr(server, 7), vec![7; 1000]), NodeConfig::default()).unwrap();
    }
    assert_eq!(sim.run(Duration::from_secs(3600)), Ended::Idle);
    sim.end_recordings().unwrap();
    let entries = file.entries();
    (file, entries)
}

#[test]
fn a_cut_tail_replays_up_to_the_cut() {
    let (file, entries) = recorded_echo("cut", 1);
    let all = std::fs::read(&file.0).unwrap();
    for cut in 60..all.len() {
        std::fs::write(&file.0, &all[..cut]).unwrap();
        let Ok(some) = record::read(&file.0) else { continue };
        let report = run(&some, Echo::new(Bug::None));
        assert_eq!(
            report.outcome,
            Outcome::CutAt(inputs(&some), "the end of the recording is missing"),
            "cut at {cut}"
        );
        assert!(entries.starts_with(&some));
    }
    assert!(record::read(Path::new("/dev/null")).unwrap_err().contains("not a recording"));
}

#[test]
fn a_replay_ends_where_it_is_told_to() {
    let (_file, entries) = recorded_echo("until", 1);
    for n in 1..=inputs(&entries) {
        let report = replay(&entries, Echo::new(Bug::None), Some(n)).unwrap();
        assert_eq!(report, Report { inputs: n, outcome: Outcome::Same });
    }
    let report = replay(&entries, Echo::new(Bug::FlipsAt(1)), Some(2)).unwrap();
    assert_eq!(report.outcome, Outcome::Same, "the difference comes later");
}

/// Every kind of entry, changed, is a difference.
#[test]
fn whatever_is_changed_is_found() {
    let (_file, entries) = recorded_echo("changed", 2);
    let mut kinds = std::collections::BTreeSet::new();
    for i in 1..entries.len() {
        let mut changed = entries.clone();
        let kind = match &mut changed[i] {
            Entry::Sent { bytes, .. } => {
                bytes[0] ^= 0x80;
                "sent"
            }
            Entry::Op(text) => {
                text.push('!');
                "op"
            }
            Entry::Opened(t) => {
                *t += 1;
                "opened"
            }
            Entry::Input { input: Told::Bytes(_, b), .. } => {
                b.pop();
                "too few"
            }
            _ => continue,
        };
        kinds.insert(kind);
        let report = run(&changed, Echo::new(Bug::None));
        assert!(matches!(report.outcome, Outcome::Differs(_)), "{kind} at {i}: {report}");
        let mut missing = entries.clone();
        missing.remove(i);
        let report = run(&missing, Echo::new(Bug::None));
        assert!(matches!(report.outcome, Outcome::Differs(_)), "without {kind} at {i}: {report}");
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["opened", "sent", "too few"]);
}

/// Leaves output behind that nobody reads, and asks for something at the end.
#[test]
fn output_that_was_never_sent_is_compared_too() {
    let file = File::new("left");
    let mut sim = Sim::new(1, Default::default());
    sim.set_window(100);
    let config = NodeConfig { config: file.config(), ..NodeConfig::server(7) };
    let server = sim.add("server", Echo::new(Bug::None), config).unwrap();
    let client = Client::new(sim.addr(server, 7), vec![7; 10_000]).lazy();
    sim.add("client", client, NodeConfig::default()).unwrap();
    sim.run_until(Duration::from_secs(1), |s| s.peak_queued(server) > 0 && s.steps() > 100);
    sim.power_cut(server);
    sim.end_recordings().unwrap();
    let entries = file.entries();
    let left = entries.iter().filter(|e| matches!(e, Entry::Left { .. })).count();
    assert_eq!(left, 1, "{entries:?}");
    assert_eq!(run(&entries, Echo::new(Bug::None)).outcome, Outcome::Same);
    let mut more = entries.clone();
    for e in &mut more {
        if let Entry::Left { len, .. } = e {
            *len += 1;
        }
    }
    let report = run(&more, Echo::new(Bug::None)).to_string();
    assert!(report.contains("bytes were never sent, in the replay"), "{report}");
    let mut changed = entries.clone();
    for e in &mut changed {
        if let Entry::Left { bytes, .. } = e {
            *bytes.last_mut().unwrap() ^= 1;
        }
    }
    assert!(matches!(run(&changed, Echo::new(Bug::None)).outcome, Outcome::Differs(_)));
    changed.retain(|e| !matches!(e, Entry::Left { .. }));
    assert!(matches!(run(&changed, Echo::new(Bug::None)).outcome, Outcome::Differs(_)));
}

/// Writes as much as it can until it is told that the recording has ended.
struct Chatty(Option<Token>, Vec<Reason>);

impl App for Chatty {
    type Job = Infallible;
    type Msg = Infallible;
    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cxi<'_>) {
        match input {
            Input::Start(s) => self.0 = Some(s.stdout),
            Input::Trouble(Trouble::RecordingEnded { why }) => self.1.push(why),
            Input::Deadline => {
                let text = if self.1.is_empty() { vec![b'.'; 60_000] } else { format!("\n{:?}", self.1).into_bytes() };
                if let Some(tx) = self.0.and_then(|t| cx.tx(t)) {
                    tx.put(&text);
                }
            }
            _ => {}
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        Some(Deadline::new(Instant::default(), Duration::ZERO, "nothing"))
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

#[test]
fn the_app_hears_once_that_its_recording_has_ended() {
    bound_memory();
    let config = Config { record: Some("/dev/full".into()), ..Config::default() };
    let mut sim = Sim::new(1, Default::default());
    let node = sim.add("chatty", Chatty(None, Vec::new()), NodeConfig { config, ..NodeConfig::default() }).unwrap();
    let told = |s: &Sim| s.stdout(node).ends_with(b"]\n[NoSpace]") || s.stdout(node).ends_with(b"]\n[NoBuffers]");
    // Twice the list of reasons, with one in it: it was told once, and the service went on.
    // A turn takes a microsecond: after 2,000 of them the queue of 16 MiB has long been full.
    assert_eq!(sim.run_until(Duration::from_millis(2), told), Ended::Reached);
}

/// Too little for a batch: nothing is written before the end, which nobody is left to hear of but the caller of `run`.
#[test]
fn a_failed_last_flush_of_a_recording_is_reported() {
    let config = Config { record: Some("/dev/full".into()), ..Config::default() };
    let kinds = Kind::REAL.into_iter().filter(|kind| drivers::available(*kind).is_ok());
    for kind in kinds {
        let ended = drivers::run(kind, |_| Exits, Vec::new(), &config).unwrap_err();
        assert_eq!(ended.to_string(), "the recording /dev/full is not complete: no space left on device", "{kind:?}");
    }
    let tool = |sim: &mut Sim| sim.add("tool", Exits, NodeConfig { config, ..NodeConfig::default() });
    let ended = drivers::sim::run(Default::default(), Duration::from_secs(1), tool).unwrap_err();
    assert_eq!(ended.to_string(), "the recording /dev/full is not complete: no space left on device");
    assert_eq!(drivers::run(Kind::Poll, |_| Exits, Vec::new(), &Config::default()).unwrap(), 3, "the control");
}

struct Exits;

impl App for Exits {
    type Job = Infallible;
    type Msg = Infallible;
    fn handle(&mut self, _: Input<'_, Infallible>, cx: &mut Cxi<'_>) {
        cx.exit(3);
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
