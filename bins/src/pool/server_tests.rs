//! Work in a simulation: full queues, panics, clients that leave, results that come too late.
use super::bench::{Bench, Options as BenchOptions};
use super::server::{Options, Policy, PoolServer};
use super::tally::Tally;
use crate::dialer::{Family, Target};
use crate::front::scripted::{Client, Heard, Leave, Script, get, last, statuses};
use crate::service::{Note, ServerCx, Settings};
use crate::work::Work;
use core::time::Duration;
use drivers::Config;
use drivers::sim::{NodeConfig, NodeId, Sim, check_seeds};
use proto_core::{App, Deadline, Input};
use std::sync::{Arc, Mutex};

/// A server that shows its tally.
struct Watched(PoolServer, Arc<Mutex<Tally>>);

impl App for Watched {
    type Job = Work;
    type Msg = Note;
    fn handle(&mut self, input: Input<'_, Note>, cx: &mut ServerCx<'_, Work>) {
        self.0.handle(input, cx);
        *self.1.lock().unwrap() = self.0.tally().clone();
    }
    fn deadline(&self) -> Option<Deadline> {
        self.0.deadline()
    }
    fn work(job: Work) -> Note {
        PoolServer::work(job)
    }
}

struct Stage {
    sim: Sim,
    server: NodeId,
    tally: Arc<Mutex<Tally>>,
    clients: Vec<Heard>,
}

fn options(workers: usize, queue: usize, work: &str) -> Options {
    let timeout = Duration::from_secs(30);
    Options { workers, queue, work: work.parse().unwrap(), timeout, policy: Policy::Reject }
}

impl Stage {
    fn new(seed: u64, plan: &str, options: Options) -> Stage {
        let mut sim = Sim::new(seed, plan.parse().unwrap());
        let tally = Arc::<Mutex<Tally>>::default();
        let config = Config { workers: options.workers, job_queue: 10_000, ..Config::default() };
        let app = Watched(PoolServer::new(Settings::default(), options), tally.clone());
        let server = sim.add("server", app, NodeConfig { config, ..NodeConfig::server(80) }).unwrap();
        Stage { sim, server, tally, clients: Vec::new() }
    }
    fn client(&mut self, send: &str, leave: Leave) {
        let (app, heard) = Client::new(Script { to: self.sim.addr(self.server, 80), send: send.into(), leave });
        self.sim.add(&format!("client{}", self.clients.len()), app, NodeConfig::default()).unwrap();
        self.clients.push(heard);
    }
    /// A little later than the clients before.
    fn pause(&mut self, ms: u64) {
        self.sim.run(Duration::from_millis(ms));
    }
    fn run(&mut self) -> Tally {
        self.sim.run(Duration::from_secs(200));
        self.tally.lock().unwrap().clone()
    }
    fn heard(&self, n: usize) -> String {
        String::from_utf8_lossy(&self.clients[n].lock().unwrap()).into_owned()
    }
    fn all(&self) -> Vec<String> {
        (0..self.clients.len()).map(|n| statuses(&self.heard(n)).join(" ")).collect()
    }
}

/// Nothing gets lost: every request has one end.
fn balance(t: &Tally) -> Result<(), String> {
    let ends = t.ok + t.panics + t.rejected + t.timeouts + t.cancelled + t.orphaned;
    if ends == t.requests { Ok(()) } else { Err(format!("{ends} ends of {} requests: {t:?}", t.requests)) }
}

#[test]
fn a_full_queue_answers_503_at_once() {
    for (queue, want) in [(1, ["200", "200", "503"]), (0, ["200", "503", "503"]), (9, ["200"; 3])] {
        let mut s = Stage::new(1, "", options(1, queue, "sleep:1000"));
        for _ in 0..3 {
            s.client(&last("/work"), Leave::Never);
            s.pause(10);
        }
        let at_once = s.all();
        s.run();
        assert_eq!(s.all(), want, "queue of {queue}");
        let rejected: Vec<_> = (0..3).filter(|n| s.heard(*n).contains(" 503 ")).collect();
        assert!(rejected.iter().all(|n| s.heard(*n).contains("Retry-After: 1\r\n")));
        assert!(rejected.iter().all(|n| at_once[*n] == "503"), "rejected without waiting: {at_once:?}");
        balance(&s.tally.lock().unwrap()).unwrap();
    }
}

#[test]
fn the_one_that_has_waited_longest_may_make_room() {
    let mut s = Stage::new(1, "", Options { policy: Policy::DropOldest, ..options(1, 1, "sleep:1000") });
    for _ in 0..4 {
        s.client(&last("/work"), Leave::Never);
        s.pause(10);
    }
    let t = s.run();
    assert_eq!(s.all(), ["200", "503", "503", "200"]);
    assert_eq!((t.ok, t.rejected), (2, 2));
    balance(&t).unwrap();
}

#[test]
fn a_job_that_panics_is_500_and_the_worker_lives_on() {
    let mut s = Stage::new(2, "", options(1, 10, "crypto:1"));
    let asked = [get("/work"), get("/work?kind=panic"), get("/work?kind=json&n=3"), last("/work?kind=panic")];
    s.client(&asked.concat(), Leave::Never);
    s.client(&last("/work"), Leave::Never);
    let t = s.run();
    assert_eq!(s.all(), ["200 500 200 500", "200"]);
    assert!(s.heard(0).contains("<h1>500 Internal Server Error</h1>"));
    assert_eq!((t.ok, t.panics), (3, 2));
    balance(&t).unwrap();
}

#[test]
fn the_loop_answers_while_all_workers_are_busy() {
    let mut s = Stage::new(3, "", options(2, 10, "sleep:5000"));
    for _ in 0..5 {
        s.client(&last("/work"), Leave::Never);
    }
    s.pause(50);
    s.client(&[get("/health"), last("/stats")].concat(), Leave::Never);
    s.pause(50);
    assert_eq!(s.all().last().map(String::as_str), Some("200 200"));
    assert!(s.heard(5).contains("\"under_way\":5"), "{}", s.heard(5));
    let t = s.run();
    assert_eq!((t.ok, s.sim.now() > Duration::from_secs(15)), (5, true), "three rounds of two workers");
}

#[test]
fn a_client_that_is_gone_has_no_work_done() {
    for leave in [Leave::Reset(Duration::from_millis(100)), Leave::Fin(Duration::from_millis(100))] {
        let mut s = Stage::new(4, "", options(1, 10, "sleep:1000"));
        s.client(&last("/work"), leave); // it has the worker
        s.pause(5);
        s.client(&last("/work"), leave); // it waits
        s.pause(5);
        s.client(&last("/work"), Leave::Never);
        let t = s.run();
        assert_eq!((t.ok, t.orphaned, t.cancelled), (1, 1, 1), "{t:?}");
        assert_eq!(s.all()[2], "200");
        balance(&t).unwrap();
        s.sim.check_quiescent().unwrap();
    }
}

#[test]
fn a_late_result_never_reaches_another_request() {
    // The next client has the slot of the one before; the result of that one's job comes while it waits for its own.
    let mut s = Stage::new(5, "", options(2, 10, "none"));
    s.client(&last("/work?kind=sleep&n=500"), Leave::Reset(Duration::from_millis(100)));
    s.pause(200);
    s.client(&last("/work?kind=sleep&n=600"), Leave::Never);
    let t = s.run();
    assert_eq!((t.ok, t.orphaned), (1, 1));
    assert!(s.heard(1).contains("sleep 600 ") && !s.heard(1).contains("sleep 500 "), "{}", s.heard(1));
    // The same connection: its first request was given up, and its second is answered with its own result.
    let timeout = Duration::from_millis(100);
    let mut s = Stage::new(5, "", Options { timeout, ..options(2, 10, "none") });
    s.client(&[get("/work?kind=sleep&n=150"), last("/work?kind=sleep&n=90")].concat(), Leave::Never);
    let t = s.run();
    assert_eq!(s.all(), ["503 200"]);
    assert!(s.heard(0).contains("sleep 90 ") && !s.heard(0).contains("sleep 150 "), "{}", s.heard(0));
    assert_eq!((t.timeouts, t.late), (1, 1));
    balance(&t).unwrap();
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let mut s = Stage::new(6, "", options(1, 1, "none"));
    for (path, status) in [
        ("/work?kind=nope", "400"),
        ("/work?n=x", "400"),
        ("/work?n=100000001", "400"),
        ("/work?what=1", "400"),
        ("/work?kind=json&n=3", "200"),
        ("/work?n=3&kind=json", "200"),
        ("/nope", "404"),
        ("/", "200"),
    ] {
        s.client(&last(path), Leave::Never);
        s.pause(100);
        assert_eq!(s.all().last().map(String::as_str), Some(status), "{path}");
    }
    assert!(s.heard(4).contains("json 3 ") && s.heard(5).contains("json 3 "));
    s.client("DELETE /work HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", Leave::Never);
    s.run();
    assert!(s.heard(8).contains("405") && s.heard(8).contains("Allow: GET, HEAD"));
}

fn faults(seed: u64) -> &'static str {
    match seed % 4 {
        0 => "job=20ms±20ms,split=5,short=20%",
        1 => "delay=20ms±19ms,loss=2%,job=100ms±90ms",
        2 => "reset=3%,job=50ms±50ms,split=100,again=10%",
        _ => "halfclose=3%,delay=5ms±5ms,job=200ms±100ms",
    }
}

#[test]
fn every_request_has_one_end_whatever_breaks() {
    let seen = std::cell::Cell::new([0u64; 6]);
    check_seeds("every_request_has_one_end_whatever_breaks", 0..1000, |seed| {
        let timeout = Duration::from_millis(300);
        let policy = if seed % 2 == 0 { Policy::Reject } else { Policy::DropOldest };
        let mut s = Stage::new(seed, faults(seed), Options { timeout, policy, ..options(2, 2, "crypto:3") });
        for n in 0..6u64 {
            let works = ["/work", "/work?kind=panic", "/work?kind=sleep&n=200", "/work?kind=json&n=2"];
            let send: String = (0..4).map(|k| get(works[((seed / 4 + n * 7 + k * 3) % 4) as usize])).collect();
            let leave = match (seed + n) % 3 {
                0 => Leave::Reset(Duration::from_millis(40 * n)),
                1 => Leave::Fin(Duration::from_millis(60 * n)),
                _ => Leave::Never,
            };
            s.client(&(send + &last("/health")), leave);
        }
        let t = s.run();
        let ends = [t.ok, t.panics, t.rejected, t.timeouts, t.cancelled, t.orphaned];
        let before = seen.get();
        seen.set(std::array::from_fn(|i| before[i] + ends[i]));
        balance(&t)?;
        s.sim.check_quiescent()
    });
    let all = seen.get();
    assert!(all.iter().all(|n| *n > 100), "the seeds meet everything: {all:?}");
}

#[test]
fn a_balance_that_is_off_is_found() {
    let t = Tally { requests: 3, ok: 1, panics: 1, ..Tally::default() };
    assert!(balance(&t).is_err());
}

fn bench(requests: u64, path: Option<&str>) -> Bench {
    let target = Target {
        host: "server".into(),
        port: Some(80),
        family: Family::Any,
        timeout: Duration::from_secs(5),
        via: None,
    };
    Bench::new(BenchOptions {
        targets: vec![target.clone(), target],
        requests,
        duration: None,
        conns: 8,
        work: None,
        path: path.map(String::from),
        json: false,
        verbose: true,
        timeout: Duration::from_secs(10),
    })
}

fn measured(
    seed: u64,
    plan: &str,
    options: Options,
    requests: u64,
    path: Option<&str>,
) -> (Option<u8>, String, String) {
    let mut s = Stage::new(seed, plan, options);
    let client = s.sim.add("bench", bench(requests, path), NodeConfig::default()).unwrap();
    s.sim.run(Duration::from_secs(1000));
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (s.sim.exit(client), text(s.sim.stdout(client)), text(s.sim.stderr(client)))
}

#[test]
fn the_client_measures_two_servers() {
    let (code, out, _) = measured(1, "job=1ms", options(4, 100, "crypto:2"), 200, None);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((lines[0], lines[1]), ("server:80", "Results:"));
    assert!(lines[2].starts_with("Throughput: ") && lines[2].ends_with(" req/s"), "{out}");
    assert!(lines[5].starts_with("Latency p99: ") && lines[5].ends_with("ms"), "{out}");
    assert!(out.ends_with('\n') && lines.last().is_some_and(|l| l.starts_with("Ratio: ")), "{out}");
    let (_, out, _) = measured(1, "job=1ms", options(1, 1, "crypto:2"), 200, None);
    assert!(out.contains("Rejected: "), "{out}");
}

#[test]
fn the_client_goes_on_when_connections_break() {
    for seed in 0..50 {
        let (code, out, err) = measured(seed, "reset=1%,split=100", options(4, 100, "crypto:2"), 100, None);
        assert!(code == Some(0) && out.contains("Throughput") || code == Some(4), "{seed}: {code:?} {out} {err}");
    }
}

#[test]
fn the_client_believes_no_wrong_answer() {
    let (code, out, err) = measured(1, "", options(4, 100, "crypto:2"), 10, Some("/health"));
    assert_eq!((code, out.as_str()), (Some(7), ""));
    assert_eq!(err, "benchmark_client: wrong answer: 'ok'\n");
    let (code, _, err) = measured(1, "", options(4, 100, "crypto:2"), 10, Some("/nope"));
    assert_eq!((code, err.contains("answer 404")), (Some(7), true));
}
