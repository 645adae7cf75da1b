//! Handlers in a simulation: real requests from scripted clients, faults, clients that leave, tasks in any order.
use super::demo::{self, letter, routes};
use super::server::{CoroServer, Options};
use super::{Request, Response, Router};
use crate::coro::Counts;
use crate::front::scripted::{Client, Heard, Leave, Script, get, last, statuses};
use crate::service::{Note, ServerCx, Settings};
use crate::work::Work;
use core::convert::Infallible;
use core::time::Duration;
use drivers::Config;
use drivers::sim::{Ended, NodeConfig, NodeId, Plan, Sim, check_seeds};
use proto_core::http1::Method;
use proto_core::{Addr, App, Cx, Deadline, Input, Signal};
use std::sync::{Arc, Mutex};

/// What the server's tasks had left after the last input.
type Left = Arc<Mutex<Counts>>;

/// A server that shows its counts.
struct Watched(CoroServer, Left);

impl App for Watched {
    type Job = Work;
    type Msg = Note;
    fn handle(&mut self, input: Input<'_, Note>, cx: &mut ServerCx<'_, Work>) {
        self.0.handle(input, cx);
        *self.1.lock().unwrap() = self.0.counts();
    }
    fn deadline(&self) -> Option<Deadline> {
        self.0.deadline()
    }
    fn work(job: Work) -> Note {
        CoroServer::work(job)
    }
}

struct Stage {
    sim: Sim,
    server: NodeId,
    left: Left,
    clients: Vec<Heard>,
}

impl Stage {
    fn new(seed: u64, plan: &str, router: Router, options: Options) -> Stage {
        let mut sim = Sim::new(seed, plan.parse::<Plan>().unwrap());
        let left = Left::default();
        let app = Watched(CoroServer::new(Settings::default(), router, options), left.clone());
        let files = vec![("www/a.txt".into(), b"hello\n".to_vec()), ("www/big".into(), big())];
        let server = sim.add("server", app, NodeConfig { files, ..NodeConfig::server(80) }).unwrap();
        Stage { sim, server, left, clients: Vec::new() }
    }
    fn client(&mut self, send: &str, leave: Leave) {
        let (app, heard) = Client::new(Script { to: self.sim.addr(self.server, 80), send: send.into(), leave });
        let name = format!("client{}", self.clients.len());
        let config = Config { out_buffer: 4 << 20, ..Config::default() }; // it sends all at once
        self.sim.add(&name, app, NodeConfig { config, ..NodeConfig::default() }).unwrap();
        self.clients.push(heard);
    }
    fn heard(&self, n: usize) -> String {
        String::from_utf8_lossy(&self.clients[n].lock().unwrap()).into_owned()
    }
    fn run(&mut self, seconds: u64) -> Ended {
        self.sim.run(Duration::from_secs(seconds))
    }
    /// Nothing is left of any task.
    fn at_rest(&mut self) -> Result<(), String> {
        self.sim.check_quiescent()?;
        let c = *self.left.lock().unwrap();
        match (c.tasks, c.waits, c.timers, c.sockets, c.panics) {
            (0, 0, 0, 0, 0) => Ok(()),
            _ => Err(format!("tasks left something: {c:?}")),
        }
    }
}

fn big() -> Vec<u8> {
    (0..150_000).map(letter).collect()
}

fn demo(files: bool) -> Router {
    routes(&demo::Options { dir: files.then(|| "www".into()), proxy: None })
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let mut s = Stage::new(1, "job=20ms", demo(false), Options::default());
    s.client(&[get("/sleep/30"), get("/hash?n=2"), get("/"), get("/panic"), last("/")].concat(), Leave::Never);
    s.client(&[get("/sleep/30"), get("/hash?n=2"), get("/nope"), last("/sleep/1")].concat(), Leave::Never);
    s.run(10);
    assert_eq!(statuses(&s.heard(0)), ["200", "200", "200", "500"], "and closed after the panic");
    assert_eq!(statuses(&s.heard(1)), ["200", "200", "404", "200"]);
    let all = s.heard(1);
    let places: Vec<_> = ["slept 30", "crypto 2", "404", "slept 1 "].map(|t| all.find(t).unwrap()).into();
    assert!(places.is_sorted(), "{all}");
    s.at_rest().unwrap();
}

#[test]
fn ten_thousand_handlers_sleep_at_once() {
    let mut s = Stage::new(2, "", demo(false), Options::default());
    let to = s.sim.addr(s.server, 80);
    s.sim.add("crowd", Crowd { to, n: 10_000, heard: 0 }, NodeConfig::default()).unwrap();
    let left = s.left.clone();
    s.sim.run_until(Duration::from_secs(8), move |_| left.lock().unwrap().timers >= 10_000);
    assert_eq!(s.left.lock().unwrap().tasks, 10_000);
    s.run(60);
    s.at_rest().unwrap();
    assert!(s.sim.now() < Duration::from_secs(60));
}

/// Many connections of one node.
struct Crowd {
    to: Addr,
    n: usize,
    heard: usize,
}

impl App for Crowd {
    type Job = Infallible;
    type Msg = Infallible;
    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cx<'_, Infallible, Infallible>) {
        match input {
            Input::Start(_) => (0..self.n).for_each(|_| {
                cx.connect(0, self.to.clone());
            }),
            Input::Connected { conn, .. } => {
                if let Some(tx) = cx.tx(conn) {
                    tx.put(last("/sleep/9000").as_bytes());
                }
            }
            Input::Bytes(_, chunk) => self.heard += usize::from(chunk.starts_with(b"HTTP/1.1 200")),
            Input::Eof(t) => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Closed(..) => {
                self.n -= 1;
                if self.n == 0 {
                    assert_eq!(self.heard, 10_000);
                }
            }
            _ => {}
        }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

#[test]
fn a_client_that_leaves_cancels_its_handler() {
    for leave in [Leave::Reset(Duration::from_millis(50)), Leave::Fin(Duration::from_millis(50))] {
        let mut s = Stage::new(3, "", demo(false), Options::default());
        s.client(&get("/sleep/60000"), leave);
        s.run(20);
        s.at_rest().unwrap();
        assert!(s.sim.now() < Duration::from_secs(10), "nobody waited for the sleeper");
    }
    // Unless handlers are to finish.
    let mut s = Stage::new(3, "", demo(false), Options { finish: true, ..Options::default() });
    s.client(&get("/sleep/60000"), Leave::Reset(Duration::from_millis(50)));
    s.run(30);
    assert_eq!(s.left.lock().unwrap().timers, 1 + 1, "the sleeper, and the limit of its time");
    s.run(60);
    s.at_rest().unwrap();
}

#[test]
fn a_handler_has_its_time() {
    let options = Options { handler: Duration::from_millis(100), ..Options::default() };
    let mut s = Stage::new(4, "", demo(false), options);
    s.client(&[get("/sleep/99"), get("/sleep/101"), last("/")].concat(), Leave::Never);
    s.run(30);
    let heard = s.heard(0);
    assert_eq!(statuses(&heard), ["200", "503", "200"]);
    assert!(heard.contains("<h1>503 Service Unavailable</h1>") && heard.contains("Retry-After: 1"), "{heard}");
    s.at_rest().unwrap();
}

#[test]
fn too_many_tasks_are_refused() {
    let mut s = Stage::new(5, "", demo(false), Options { max_tasks: 2, ..Options::default() });
    for _ in 0..3 {
        s.client(&last("/sleep/1000"), Leave::Never);
    }
    s.run(30);
    let mut all: Vec<String> = (0..3).map(|n| statuses(&s.heard(n)).join(" ")).collect();
    all.sort();
    assert_eq!(all, ["200", "200", "503"]);
    s.at_rest().unwrap();
}

#[test]
fn bodies_flow_only_when_they_are_asked_for() {
    let router = Router::default().route(Method::Post, "/never", async |_| Ok(Response::text("no\n"))).route(
        Method::Post,
        "/slowly",
        async |mut request: Request| {
            let (mut n, mut most) = (0, 0);
            while let Some(bytes) = request.chunk().await? {
                n += bytes.len();
                most = most.max(bytes.len());
                request.cx().sleep(Duration::from_millis(1)).await;
            }
            Ok(Response::text(format!("{n} bytes\n")))
        },
    );
    let mut s = Stage::new(6, "", router, Options::default());
    let post = |path: &str, len: usize, more: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n{more}\r\n{}", "x".repeat(len))
    };
    s.client(&post("/slowly", 500_000, "Connection: close\r\n"), Leave::Never);
    s.client(&[post("/never", 1000, ""), last("/never")].concat(), Leave::Never);
    s.client(&post("/never", 900_000, ""), Leave::Never);
    s.client(&post("/slowly", 5, "Expect: 100-continue\r\nConnection: close\r\n"), Leave::Never);
    s.client(&post("/slowly", 2_000_000, ""), Leave::Never);
    s.run(100);
    assert!(s.heard(0).contains("500000 bytes"), "{}", s.heard(0));
    assert_eq!(statuses(&s.heard(1)), ["200", "405"], "a small body is dropped, and the connection goes on");
    assert_eq!(statuses(&s.heard(2)), ["200"], "a large one is not read");
    assert!(s.heard(2).contains("Connection: close"));
    assert_eq!(statuses(&s.heard(3)), ["100", "200"]);
    assert_eq!(statuses(&s.heard(4)), ["413"]);
    s.at_rest().unwrap();
}

#[test]
fn an_answer_is_as_long_as_was_said_or_visibly_broken() {
    let router = Router::default()
        .route(Method::Get, "/less", async |_| Ok(say(Some(10), 5)))
        .route(Method::Get, "/more", async |_| Ok(say(Some(10), 15)))
        .route(Method::Get, "/exact", async |_| Ok(say(Some(10), 10)))
        .route(Method::Get, "/none", async |_| Ok(say(None, 0)))
        .route(Method::Get, "/bad", async |_| Ok(Response::text("x").field("X\r\nY", "z")))
        .route(Method::Get, "/panics", async |_| {
            Ok(Response::stream(None, |out| async move {
                out.write("begun").await?;
                stumble()
            }))
        });
    let mut s = Stage::new(7, "", router, Options::default());
    s.client(&get("/less"), Leave::Never);
    s.client(&[get("/more"), get("/exact"), last("/none")].concat(), Leave::Never);
    s.client(&get("/panics"), Leave::Never);
    s.client(&get("/bad"), Leave::Never);
    s.client(&["HEAD /exact HTTP/1.1\r\nHost: a\r\n\r\n".into(), last("/exact")].concat(), Leave::Never);
    s.run(100);
    assert!(s.heard(0).ends_with("\r\n\r\n") || s.heard(0).ends_with("\r\n\r\nxxxxx") || s.heard(0).is_empty());
    let heard = s.heard(1);
    assert_eq!(statuses(&heard), ["200", "200", "200"]);
    assert_eq!(heard.matches('x').count(), 20, "{heard}");
    assert!(heard.ends_with("\r\n\r\n0\r\n\r\n"), "{heard}");
    assert!(!s.heard(2).contains("0\r\n\r\n"), "no end of the body: {}", s.heard(2));
    assert_eq!(statuses(&s.heard(3)), ["500"]);
    assert_eq!(statuses(&s.heard(4)), ["200", "200"]);
    assert_eq!(s.heard(4).matches('x').count(), 10);
    s.at_rest().unwrap();
}

/// Says that it is `n` bytes long, and is `bytes` long.
fn say(n: Option<u64>, bytes: usize) -> Response {
    Response::stream(n, move |out| async move {
        out.write(vec![b'x'; bytes]).await?;
        out.write(Vec::new()).await
    })
}

#[allow(clippy::panic, reason = "what is tested")]
fn stumble() -> Result<(), super::Error> {
    panic!("on purpose")
}

#[test]
fn files_are_sent_whole_and_nothing_else_is() {
    let mut s = Stage::new(8, "split=1000,short=10%", demo(true), Options::default());
    let asked = [get("/a.txt"), get("/big"), get("/none"), get("/../x"), get("/.hidden"), get("/"), last("/a.txt")];
    s.client(&asked.concat(), Leave::Never);
    s.client("POST /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", Leave::Never);
    s.run(100);
    let heard = s.heard(0);
    assert_eq!(statuses(&heard), ["200", "200", "404", "403", "404", "404", "200"]);
    assert!(heard.contains(&String::from_utf8(big()).unwrap()));
    assert_eq!(heard.matches("\r\n\r\nhello\n").count(), 2);
    assert!(s.heard(1).contains("Allow: GET, HEAD"), "{}", s.heard(1));
}

#[test]
fn a_stop_lets_handlers_finish() {
    let mut s = Stage::new(9, "", demo(false), Options::default());
    s.client(&get("/sleep/3000"), Leave::Never);
    s.client(&get("/"), Leave::Never); // idle when the server stops
    s.sim.signal(s.server, Duration::from_secs(1), Signal::Terminate);
    let settings = Duration::from_secs(60);
    s.sim.run_until(settings, |sim| sim.exit(NodeId(0)).is_some());
    // The default of these settings is no time at all, so what counts is that nobody gets half an answer.
    assert_eq!(statuses(&s.heard(1)), ["200"]);
    assert!(s.heard(0).is_empty() || s.heard(0).ends_with("slept 3000 ms\n"), "{}", s.heard(0));
}

/// No stall is longer than the time that last words have to be read.
fn faults(seed: u64) -> &'static str {
    match seed % 5 {
        0 => "split=7,short=20%,again=10%,job=30ms±30ms",
        1 => "delay=20ms±19ms,loss=2%,stall=1%:1s,split=1000,disk=slow:20%",
        2 => "reset=2%,split=500,short=5%,disk=eio:5%",
        3 => "delay=5ms±5ms,job=100ms±100ms,halfclose=1%,disk=slow:50%",
        _ => "split=3,short=30%,again=10%,reset=1%,loss=1%,stall=1%:1s,delay=1ms±1ms,disk=slow:10%,disk=eio:1%",
    }
}

/// One run of several clients under faults; `bug` answers twice, or never ends.
fn crowd(seed: u64, router: Router) -> Result<(), String> {
    let mut s = Stage::new(seed, faults(seed), router, Options { shuffle: Some(seed), ..Options::default() });
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    let paths = ["/sleep/7", "/hash?n=3", "/stream/20000", "/a.txt", "/sleep/40", "/big", "/none"];
    let mut asked = Vec::new();
    for _ in 0..4 {
        let wanted: Vec<&str> = (0..1 + roll(5)).map(|_| paths[roll(7) as usize]).collect();
        let leave = match roll(4) {
            0 => Leave::Reset(Duration::from_millis(roll(200))),
            1 => Leave::Fin(Duration::from_millis(roll(200))),
            _ => Leave::Never,
        };
        let mut send: String = wanted.iter().map(|p| get(p)).collect();
        send.push_str(&last("/sleep/1"));
        s.client(&send, leave);
        asked.push((wanted, leave));
    }
    s.run(300);
    for (n, (wanted, leave)) in asked.iter().enumerate() {
        check(&s.heard(n), wanted, *leave == Leave::Never && !faults(seed).contains("reset=") && seed % 5 != 3)
            .map_err(|why| format!("client {n}: {why}"))?;
    }
    s.at_rest()
}

/// What came is a prefix of the right answers; all of them, if nothing broke.
fn check(heard: &str, wanted: &[&str], whole: bool) -> Result<(), String> {
    let mut rest = heard;
    for path in wanted.iter().chain(&["/sleep/1"]) {
        let Some((head, body)) = rest.split_once("\r\n\r\n") else {
            return if whole { Err(format!("no answer to {path} in '{rest}'")) } else { Ok(()) };
        };
        if head.starts_with("HTTP/1.1 500") || head.starts_with("HTTP/1.1 503") {
            let n = crate::front::page_of(500).len();
            rest = body.get(n.min(body.len())..).unwrap_or_default();
            continue; // a disk that fails
        }
        let want = right(path);
        let cut = body.len().min(want.len());
        if body.get(..cut) != want.get(..cut) {
            return Err(format!("the answer to {path} is wrong: {:?}", body.get(..cut.min(200))));
        }
        if body.len() < want.len() {
            return if whole { Err(format!("the answer to {path} is cut short")) } else { Ok(()) };
        }
        rest = body.get(want.len()..).unwrap_or_default();
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("more than was asked for: {rest:?}")) }
}

fn right(path: &str) -> String {
    let text = |n: u64| String::from_utf8((0..n).map(letter).collect()).unwrap();
    match path {
        "/hash?n=3" => String::from_utf8(Work { kind: crate::work::Kind::Crypto, size: 3 }.run().to_vec()).unwrap(),
        "/stream/20000" => {
            let all = text(20_000);
            let pieces = all.as_bytes().chunks(8192);
            let chunk = |c: &[u8]| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c));
            pieces.map(chunk).collect::<String>() + "0\r\n\r\n"
        }
        "/a.txt" => "hello\n".into(),
        "/big" => text(150_000),
        "/none" => "<h1>404 Not Found</h1>\n".into(),
        sleep => format!("slept {} ms\n", sleep.trim_start_matches("/sleep/")),
    }
}

#[test]
fn a_thousand_seeds_of_faults() {
    check_seeds("a_thousand_seeds_of_faults", 0..1000, |seed| crowd(seed, demo(true)));
}

#[test]
fn the_check_finds_answers_that_are_wrong() {
    let wrong = || {
        Router::default()
            .route(Method::Get, "/sleep/:ms", async |_: Request| Ok(Response::text("slept 0 ms\n")))
            .fallback(async |_: Request| Ok(Response::text("hello\n")))
    };
    assert!((0..20).any(|seed| crowd(seed, wrong()).is_err()));
}

#[test]
fn the_check_finds_tasks_that_outlive_their_connection() {
    let leaky = demo(true).route(Method::Get, "/leak", async |request: Request| {
        let cx = request.cx().clone();
        let inner = cx.clone();
        let child = cx.spawn("leak", async move { inner.sleep(Duration::from_secs(100_000)).await });
        child.map(|c| c.detach()).map_err(|_| super::Error::status(503))?;
        Ok(Response::text("leaked\n"))
    });
    let mut s = Stage::new(1, "", leaky, Options::default());
    s.client(&last("/leak"), Leave::Never);
    s.run(100);
    assert!(s.at_rest().is_err());
}
