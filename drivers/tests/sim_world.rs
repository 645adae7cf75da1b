//! Everything else that a simulated world does: jobs, files, datagrams, standard input, signals, names, lingering.
#![allow(clippy::unwrap_used, reason = "the shell's commands are written in this file")]
use drivers::Config;
use drivers::record::{self, Entry};
use drivers::replay::{Outcome, replay};
use drivers::sim::{Ended, NodeConfig, NodeId, Plan, Sim, check_seeds};
use proto_core::{Addr, Answer, App, Ask, Cx, How, Input, Lost, Op, OpId, Reason, Shard, Signal, Token};
use std::collections::BTreeMap;
use std::time::Duration;

type Cxu<'a> = Cx<'a, u64, u64>;
const MINUTE: Duration = Duration::from_secs(60);

/// Does one line of standard input after the other, and prints what came of it.
struct Shell {
    stdout: Option<Token>,
    tokens: BTreeMap<String, Token>,
    asks: u64,
    /// Served to whoever connects, then closed with this linger time.
    serve: Option<(String, Duration)>,
}

impl Shell {
    fn new() -> Shell {
        Shell { stdout: None, tokens: BTreeMap::new(), asks: 0, serve: None }
    }
    fn serving(path: &str, linger: Duration) -> Shell {
        Shell { serve: Some((path.into(), linger)), ..Shell::new() }
    }
    fn say(&mut self, text: String, cx: &mut Cxu<'_>) {
        if let Some(tx) = self.stdout.and_then(|t| cx.tx(t)) {
            tx.put(text.as_bytes());
            tx.put(b"\n");
        }
    }
    fn ask(&mut self, part: u8, ask: Ask, cx: &mut Cxu<'_>) {
        self.asks += 1;
        cx.ask(OpId::new(part, self.asks), ask);
    }
    fn line(&mut self, line: &str, cx: &mut Cxu<'_>) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let addr = |s: &str| Addr::Ip(s.parse().unwrap());
        match words[..] {
            ["job", n] => {
                self.asks += 1;
                let job = n.parse().unwrap();
                cx.op(Op::Job { id: OpId::new(0, self.asks), job, hold: Duration::from_secs(1) });
            }
            ["cancel", n] => cx.op(Op::Cancel(OpId::new(0, n.parse().unwrap()))),
            ["post", n] => cx.op(Op::Post { to: Shard(0), msg: n.parse().unwrap() }),
            ["resolve", host] => self.ask(0, Ask::Resolve { host: host.into() }, cx),
            ["udp", name, at] => {
                let socket = cx.token(0);
                self.tokens.insert(name.into(), socket);
                cx.op(Op::Udp { socket, bind: Some(addr(at)), to: None });
            }
            ["udp-to", name, to] => {
                let socket = cx.token(0);
                self.tokens.insert(name.into(), socket);
                cx.op(Op::Udp { socket, bind: None, to: Some(addr(to)) });
            }
            ["send", name, to, text] => cx.send_to(self.tokens[name], Some(addr(to)), text.as_bytes()),
            ["send", name, text] => cx.send_to(self.tokens[name], None, text.as_bytes()),
            ["connect", to] => {
                let conn = cx.connect(0, addr(to));
                self.tokens.insert("conn".into(), conn);
            }
            ["put", text] => {
                if let Some(tx) = cx.tx(self.tokens["conn"]) {
                    tx.put(text.as_bytes());
                }
            }
            ["close", name] => cx.close(self.tokens[name], Duration::from_secs(2)),
            ["abort", name] => cx.abort(self.tokens[name]),
            ["listen", at] => {
                let listener = cx.token(0);
                self.tokens.insert("listener".into(), listener);
                cx.op(Op::Listen { listener, at: addr(at) });
            }
            ["exit", n] => cx.exit(n.parse().unwrap()),
            _ => panic!("no such command: {line}"),
        }
    }
}

impl App for Shell {
    type Job = u64;
    type Msg = u64;

    fn handle(&mut self, input: Input<'_, u64>, cx: &mut Cxu<'_>) {
        match input {
            Input::Start(s) => self.stdout = Some(s.stdout),
            Input::Bytes(t, b) if self.tokens.get("conn") != Some(&t) && b.ends_with(b"\n") => {
                String::from_utf8_lossy(&b).lines().for_each(|l| self.line(l, cx));
            }
            Input::Bytes(_, b) => self.say(format!("got {}", b.escape_ascii()), cx),
            Input::Eof(_) => self.say("eof".into(), cx),
            Input::Accepted { conn, .. } => {
                let Some((path, _)) = self.serve.clone() else { return };
                self.tokens.insert("served".into(), conn);
                let how = How { read: true, ..How::default() };
                self.ask(1, Ask::Open { dir: None, path, how }, cx);
            }
            Input::Answer(id, Ok(Answer::Opened { file, meta })) if id.part() == 1 => {
                let conn = self.tokens["served"];
                if let Some(tx) = cx.tx(conn) {
                    tx.put(b"<");
                    tx.file(file, 1, meta.len as usize - 1);
                    tx.put(b">");
                }
                let linger = self.serve.as_ref().map_or(Duration::ZERO, |s| s.1);
                cx.close(conn, linger);
                self.ask(2, Ask::CloseFile(file), cx);
            }
            Input::Answer(id, answer) if id.part() == 0 => self.say(format!("{answer:?}"), cx),
            Input::Datagram { from, data, .. } => self.say(format!("datagram {} from {from}", data.escape_ascii()), cx),
            Input::Closed(_, why) => self.say(format!("closed: {why}"), cx),
            Input::Answer(..) | Input::Writable(_) => {}
            other => self.say(format!("{other:?}"), cx),
        }
    }
    fn work(job: u64) -> u64 {
        assert_ne!(job, 13, "an unlucky job");
        job * job
    }
}

fn shell(script: &[(u64, &str)]) -> NodeConfig {
    let stdin = script.iter().map(|(ms, line)| (Duration::from_millis(*ms), format!("{line}\n").into_bytes()));
    NodeConfig { stdin: Some(stdin.collect()), ..NodeConfig::default() }
}

fn lines(sim: &Sim, node: NodeId) -> Vec<String> {
    String::from_utf8_lossy(sim.stdout(node)).lines().map(str::to_string).collect()
}

fn alone(script: &[(u64, &str)]) -> (Vec<String>, Sim) {
    let mut sim = Sim::new(1, Plan::default());
    let node = sim.add("alone", Shell::new(), shell(script)).unwrap();
    assert_eq!(sim.run(MINUTE), Ended::Idle);
    (lines(&sim, node), sim)
}

#[test]
fn jobs_run_on_workers_in_virtual_time() {
    let (out, sim) = alone(&[(0, "job 5"), (10, "job 6"), (20, "job 7"), (30, "cancel 3"), (40, "cancel 1")]);
    assert_eq!(out, ["Job(0#3, Err(Cancelled))", "Job(0#1, Ok(25))", "Job(0#2, Ok(36))"]);
    assert!(sim.now() > Duration::from_secs(2), "one worker, two jobs of a second each");
    let mut full = NodeConfig { config: Config { job_queue: 1, workers: 2, ..Config::default() }, ..shell(&[]) };
    full.stdin = Some((0..4).map(|i| (Duration::from_millis(i), b"job 2\n".to_vec())).collect());
    let mut sim = Sim::new(1, Plan::default());
    let node = sim.add("full", Shell::new(), full).unwrap();
    sim.run(MINUTE);
    assert_eq!(lines(&sim, node)[0], format!("Job(0#4, Err({:?}))", Lost::Full));
    assert!(sim.now() > Duration::from_secs(2) && sim.now() < Duration::from_secs(3));
}

#[test]
fn a_job_that_panics_is_told() {
    let (out, _) = alone(&[(0, "job 13"), (5000, "job 2")]);
    assert_eq!(out, ["Job(0#1, Err(Panicked))", "Job(0#2, Ok(4))"]);
}

#[test]
fn posts_names_and_signals_arrive() {
    let mut sim = Sim::new(1, Plan::default());
    let script = [(0, "post 9"), (1, "resolve other"), (2, "resolve nobody"), (3, "resolve 1.2.3.4")];
    let node = sim.add("one", Shell::new(), shell(&script)).unwrap();
    sim.add("other", Shell::new(), shell(&[])).unwrap();
    sim.signal(node, Duration::from_millis(100), Signal::Reload);
    sim.close_stdin(node, Duration::from_millis(200));
    sim.run(MINUTE);
    assert_eq!(
        lines(&sim, node),
        [
            "Post(Shard(0), 9)",
            "Ok(Resolved([10.0.0.2]))",
            "Err(NotFound)",
            "Ok(Resolved([1.2.3.4]))",
            "Signal(Reload)",
            "eof"
        ]
    );
}

#[test]
fn datagrams_pass_and_are_refused() {
    let mut sim = Sim::new(1, Plan::default());
    let one = [(0, "udp a 0.0.0.0:53"), (10, "send a 10.0.0.2:53 hello"), (20, "close a")];
    let one = sim.add("one", Shell::new(), shell(&one)).unwrap();
    let two =
        [(0, "udp b 0.0.0.0:53"), (5, "udp-to c 10.0.0.1:99"), (15, "send c nobody"), (30, "close b"), (31, "close c")];
    let two = sim.add("two", Shell::new(), shell(&two)).unwrap();
    assert_eq!(sim.run(MINUTE), Ended::Idle);
    assert!(lines(&sim, one).contains(&"closed: finished".into()));
    let heard = lines(&sim, two);
    assert!(heard.contains(&"datagram hello from 10.0.0.1:53".into()), "{heard:?}");
    assert!(heard.iter().any(|l| l.starts_with("Unreachable") && l.contains("PortUnreachable")), "{heard:?}");
    sim.check_quiescent().unwrap();
}

#[test]
fn datagrams_are_lost_doubled_and_reordered() {
    let run = |plan: &str| {
        let mut sim = Sim::new(1, plan.parse().unwrap());
        let sends: Vec<String> = (100..400).map(|i| format!("send a 10.0.0.2:53 {i}")).collect();
        let mut script = vec![(0, "udp a 0.0.0.0:53")];
        script.extend(sends.iter().enumerate().map(|(i, s)| (10 + i as u64, s.as_str())));
        sim.add("one", Shell::new(), shell(&script)).unwrap();
        let two = sim.add("two", Shell::new(), shell(&[(0, "udp b 0.0.0.0:53")])).unwrap();
        sim.run(MINUTE);
        let mut all = lines(&sim, two);
        all.retain(|l| l.starts_with("datagram"));
        all
    };
    let (clean, lost) = (run(""), run("loss=10%"));
    assert_eq!(clean.len(), 300);
    assert!((200..300).contains(&lost.len()));
    assert!(run("dup=10%").len() > 310);
    let mixed = run("reorder=30%,delay=5ms");
    assert_eq!(mixed.len(), 300);
    assert_ne!(mixed, clean);
}

fn served(seed: u64, plan: &str, window: usize, file: Option<&std::path::Path>) -> (Sim, NodeId, NodeId) {
    let mut sim = Sim::new(seed, plan.parse().unwrap());
    sim.set_window(window);
    let server = NodeConfig {
        files: vec![("www/page".into(), vec![b'x'; 5000])],
        config: Config { record: file.map(Into::into), ..Config::default() },
        ..NodeConfig::server(80)
    };
    let server = sim.add("server", Shell::serving("www/page", Duration::from_secs(3)), server).unwrap();
    let script = [(0, "connect 10.0.0.1:80"), (1, "put hello"), (20_000, "close conn")];
    let client = sim.add("client", Shell::new(), shell(&script)).unwrap();
    (sim, server, client)
}

#[test]
fn a_file_range_is_sent_and_the_linger_time_ends_a_silent_peer() {
    check_seeds("a_file_range_is_sent_and_the_linger_time_ends_a_silent_peer", 0..50, |seed| {
        let (mut sim, server, client) = served(seed, "short=10%,again=10%", 1000, None);
        sim.run(Duration::from_secs(15));
        let out = lines(&sim, client);
        let got: String = out.iter().filter_map(|l| l.strip_prefix("got ")).collect();
        if got != format!("<{}>", "x".repeat(4999)) {
            return Err(format!("{} bytes came", got.len()));
        }
        if !out.contains(&"eof".to_string()) {
            return Err("the peer never finished".into());
        }
        // The client keeps its half open: the server waits for the linger time and not longer.
        if !lines(&sim, server).contains(&"closed: timed out".into()) {
            return Err(format!("{:?}", lines(&sim, server)));
        }
        sim.run(MINUTE);
        sim.check_quiescent()
    });
}

#[test]
fn a_recording_with_jobs_files_and_posts_replays() {
    let path = std::env::temp_dir().join(format!("drywire-world-{}", std::process::id()));
    let (mut sim, ..) = served(1, "", 1000, Some(&path));
    sim.run(MINUTE);
    sim.end_recordings().unwrap();
    let entries = record::read(&path).unwrap();
    assert!(
        entries.iter().any(|e| matches!(e, Entry::SentFile { .. })),
        "file ranges are recorded as such, or as bytes"
    );
    let same = replay(&entries, Shell::serving("www/page", Duration::from_secs(3)), None).unwrap();
    assert_eq!(same.outcome, Outcome::Same, "{same}");
    let other = replay(&entries, Shell::serving("www/other", Duration::from_secs(3)), None).unwrap();
    assert!(other.to_string().contains("another op\n  recorded: ask 1#1"), "{other}");

    let mut sim = Sim::new(1, Plan::default());
    let mut config =
        shell(&[(0, "job 5"), (1, "job 13"), (2, "post 4"), (3, "job 6"), (4, "cancel 3"), (9000, "exit 3")]);
    config.config.record = Some(path.clone());
    let node = sim.add("one", Shell::new(), config).unwrap();
    assert_eq!(sim.run(MINUTE), Ended::Idle);
    assert_eq!((sim.exit(node), lines(&sim, node).len()), (Some(3), 4));
    let entries = record::read(&path).unwrap();
    let same = replay(&entries, Shell::new(), None).unwrap();
    assert_eq!(same.outcome, Outcome::Same, "{same}");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn listeners_come_and_go() {
    let mut sim = Sim::new(1, Plan::default());
    let script =
        [(0, "listen 0.0.0.0:90"), (1, "listen 0.0.0.0:90"), (2, "listen 10.0.0.77:1"), (500, "close listener")];
    let server = sim.add("server", Shell::new(), shell(&script)).unwrap();
    let client = sim.add("client", Shell::new(), shell(&[(100, "connect 10.0.0.1:90"), (200, "abort conn")])).unwrap();
    sim.run(MINUTE);
    let out = lines(&sim, server);
    assert!(out[0].starts_with("Bound"), "{out:?}");
    assert_eq!(out[1..3], [format!("closed: {}", Reason::AddrInUse), format!("closed: {}", Reason::AddrNotAvailable)]);
    assert!(out.contains(&format!("closed: {}", Reason::Reset)), "the abort arrived: {out:?}");
    assert!(lines(&sim, client).contains(&format!("closed: {}", Reason::Aborted)));
}

#[test]
fn a_tool_runs_to_its_exit_code() {
    let run = |script: &'static [(u64, &str)]| {
        drivers::sim::run(Plan::default(), MINUTE, |sim| sim.add("tool", Shell::new(), shell(script)))
    };
    assert_eq!(run(&[(5, "exit 10")]).unwrap(), 10);
    let text = run(&[(5, "post 1")]).unwrap_err().to_string();
    assert!(text.contains("stands still"), "{text}");
}

#[test]
fn an_explicit_choice_of_the_simulator_never_falls_back() {
    let error = drivers::run(drivers::Kind::Sim, |_| Shell::new(), Vec::new(), &Config::default()).unwrap_err();
    assert!(error.to_string().contains("counterparts"), "{error}");
}
