//! HTTP/1: every byte at every place of the grammar, every limit with its negative control, the laws of machines, and
//! both machines talking to each other.
use proto_core::http1::{Client, Config, FieldBlock, Length, Server, client, server};
use proto_core::{Instant, Machine, Rx, Step, Tx};
use std::time::Duration;
use tests::alloc::allocations;
use tests::drive::{Plan, Rng, Said, Subject, over};
use tests::http1::{ClientSubject, ServerSubject};
use tests::laws::{ends_are_told, looks_once, prefixes_wait, stops_when_full};

type Settings = Vec<(String, String)>;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// Whether it ends in a fault; whole and byte by byte must agree.
fn refuses<S: Subject>(settings: &Settings, input: &[u8]) -> bool {
    let every: Vec<usize> = (1..input.len()).collect();
    let run =
        |cuts: &[usize]| over::<S>(settings, input, cuts, false, Plan::simple()).unwrap_or_else(|e| panic!("{e}"));
    let whole = run(&[]);
    assert_eq!(whole, run(&every), "{}", input.escape_ascii());
    matches!(whole.events.last(), Some(Said::Event(e)) if e.starts_with("fault"))
}

fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Every byte between `before` and `after`: accepted exactly where `good` says so.
fn sweep<S: Subject>(settings: &Settings, before: &[u8], after: &[u8], good: impl Fn(u8) -> bool) {
    for b in 0..=255 {
        let input = [before, &[b], after].concat();
        assert_eq!(!refuses::<S>(settings, &input), good(b), "byte {b:#04x} in {}", input.escape_ascii());
    }
}

#[test]
fn h1_10_to_15_every_byte_in_a_request() {
    let s = settings(&[("answer", "late")]);
    let rest = b" / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
    let field = b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice();
    let value = |b| matches!(b, b'\t' | 0x20..=0x7e | 0x80..);
    sweep::<ServerSubject>(&s, b"G", &[b"T", rest].concat(), is_tchar);
    sweep::<ServerSubject>(&s, b"", &[b"GET", rest].concat(), is_tchar);
    sweep::<ServerSubject>(&s, b"GET /a", b" HTTP/1.1\r\nHost: a\r\n\r\n", |b| (0x21..0x7f).contains(&b) && b != b'#');
    sweep::<ServerSubject>(&s, b"GET", b"/ HTTP/1.1\r\nHost: a\r\n\r\n", |b| b == b' ');
    sweep::<ServerSubject>(&s, b"GET /", b"HTTP/1.1\r\nHost: a\r\n\r\n", |b| b == b' ');
    sweep::<ServerSubject>(&s, b"GET / HTTP/1.", b"\r\nHost: a\r\n\r\n", |b| b.is_ascii_digit());
    sweep::<ServerSubject>(&s, b"GET / HTTP/", b".1\r\nHost: a\r\n\r\n", |b| b == b'1');
    sweep::<ServerSubject>(&s, b"GET / HTTP/1.1", b"\nHost: a\r\n\r\n", |b| b == b'\r');
    sweep::<ServerSubject>(&s, b"GET / HTTP/1.1\r", b"Host: a\r\n\r\n", |b| b == b'\n');
    sweep::<ServerSubject>(&s, &[field, b"X"].concat(), b"Y: z\r\n\r\n", |b| is_tchar(b) || b == b':');
    sweep::<ServerSubject>(&s, &[field, b"X"].concat(), b": z\r\n\r\n", |b| is_tchar(b) || b == b':');
    sweep::<ServerSubject>(&s, field, b"X: z\r\n\r\n", is_tchar);
    for (before, after) in [(&b"X: a"[..], &b"b\r\n\r\n"[..]), (b"X:", b"b\r\n\r\n"), (b"X: a", b"\r\n\r\n")] {
        sweep::<ServerSubject>(&s, &[field, before].concat(), after, value);
    }
    sweep::<ServerSubject>(&s, &[field, b"X: a"].concat(), b"\n\r\n", |b| b == b'\r');
    let host = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b);
    sweep::<ServerSubject>(&s, b"GET / HTTP/1.1\r\nHost: a", b"b\r\n\r\n", host);
}

#[test]
fn h1_02_and_h1_03_every_byte_in_what_frames() {
    let s = settings(&[("answer", "late")]);
    let coding = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ".as_slice();
    let end = b"\r\n\r\n0\r\n\r\n".as_slice();
    sweep::<ServerSubject>(&s, coding, &[b"chunked", end].concat(), |b| matches!(b, b' ' | b'\t'));
    sweep::<ServerSubject>(&s, &[coding, b"chunked"].concat(), end, |b| matches!(b, b' ' | b'\t'));
    sweep::<ServerSubject>(&s, &[coding, b"chu"].concat(), &[b"ked", end].concat(), |b| b.eq_ignore_ascii_case(&b'n'));
    let length = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ".as_slice();
    let begin = |b: u8| matches!(b, b' ' | b'\t' | b'1'..=b'9');
    sweep::<ServerSubject>(&s, length, b"1\r\n\r\n", begin);
    sweep::<ServerSubject>(&s, &[length, b"1"].concat(), b"\r\n\r\n", |b| {
        b.is_ascii_digit() || matches!(b, b' ' | b'\t')
    });
    sweep::<ServerSubject>(&s, &[length, b"1"].concat(), b"1\r\n\r\n", |b| b.is_ascii_digit());
}

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn h1_06_to_h1_08_every_byte_in_chunks() {
    let s = settings(&[("answer", "late")]);
    let hex = |b: u8| b.is_ascii_hexdigit();
    sweep::<ServerSubject>(&s, CHUNKED, b"\r\n", hex);
    sweep::<ServerSubject>(&s, &[CHUNKED, b"1"].concat(), b"\r\n", hex);
    sweep::<ServerSubject>(&s, &[CHUNKED, b"1"].concat(), b"a\r\n", |b| hex(b) || b == b';');
    sweep::<ServerSubject>(&s, &[CHUNKED, b"1;a"].concat(), b"b\r\n", |b| is_tchar(b) || matches!(b, b'=' | b';'));
    let text = |b: u8| matches!(b, b'\t' | b' '..=b'~' | 0x80..) && b != b'"';
    sweep::<ServerSubject>(&s, &[CHUNKED, b"1;a=\"b"].concat(), b"c\"\r\n", text);
    sweep::<ServerSubject>(&s, &[CHUNKED, b"1;a=\"b\\"].concat(), b"c\"\r\n", |b| text(b) || b == b'"');
    sweep::<ServerSubject>(&s, &[CHUNKED, b"1"].concat(), b"\nx", |b| b == b'\r');
    // Whatever follows the content: 65,536 pairs, of which one is right.
    let mut taken = 0;
    for pair in 0..=u16::MAX {
        let input = [CHUNKED, b"1\r\nx", &pair.to_be_bytes()].concat();
        let log = over::<ServerSubject>(&s, &input, &[], false, Plan::simple()).expect("no law is broken");
        taken += usize::from(!matches!(log.events.last(), Some(Said::Event(e)) if e.starts_with("fault")));
    }
    assert_eq!(taken, 1);
}

#[test]
fn every_byte_in_an_answer() {
    let s = settings(&[("ask", "GET")]);
    let end = b"\r\nContent-Length: 0\r\n\r\n".as_slice();
    let value = |b| matches!(b, b'\t' | 0x20..=0x7e | 0x80..);
    sweep::<ClientSubject>(&s, b"HTTP/1.1 200 a", &[b"b", end].concat(), value);
    sweep::<ClientSubject>(&s, b"HTTP/1.1 200", &[b"a", end].concat(), |b| b == b' ');
    sweep::<ClientSubject>(&s, b"HTTP/1.1", &[b"200 a", end].concat(), |b| b == b' ');
    sweep::<ClientSubject>(&s, b"HTTP/1.1 ", &[b"04 a", end].concat(), |b| (b'1'..=b'5').contains(&b)); // 104 waits
    sweep::<ClientSubject>(&s, b"HTTP/1.1 2", &[b"0 a", end].concat(), |b| b.is_ascii_digit());
    sweep::<ClientSubject>(&s, b"HTTP/1.", &[b" 200 a", end].concat(), |b| b.is_ascii_digit());
    sweep::<ClientSubject>(&s, b"HTTP/1.1 200 a\r\nX", b"Y: z\r\n\r\n", |b| is_tchar(b) || b == b':');
    sweep::<ClientSubject>(&s, b"HTTP/1.1 200 a\r\nX: y", b"z\r\n\r\n", value);
}

/// `input` is refused with the limit, and with a limit of one more it is not.
fn limit<S: Subject>(base: &[(&str, &str)], name: &str, value: u64, input: &[u8]) {
    let with = |n: u64| [settings(base), settings(&[(name, &n.to_string())])].concat();
    assert!(refuses::<S>(&with(value), input), "{name} {value}: {}", input.escape_ascii());
    assert!(!refuses::<S>(&with(value + 1), input), "{name} {}: {}", value + 1, input.escape_ascii());
}

#[test]
fn each_limit_of_a_server_bites_at_its_number() {
    let late = [("answer", "late")];
    let limit = |name, value, input: &[u8]| limit::<ServerSubject>(&late, name, value, input);
    limit("request_line", 14, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    limit("head", 26, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    limit("fields", 2, b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n");
    limit("body", 4, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let chunked = |body: &[u8]| [CHUNKED, body].concat();
    limit("body", 4, &chunked(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"));
    limit("chunk_line", 4, &chunked(b"1;a=b\r\nx\r\n0\r\n\r\n"));
    limit("chunk_extensions", 7, &chunked(b"1;a=b\r\nx\r\n0;c=d\r\n\r\n"));
    limit("chunk_framing", 10, &chunked(b"1\r\nx\r\n1\r\ny\r\n0\r\n\r\n"));
    limit("trailers", 7, &chunked(b"0\r\nA: b\r\n\r\n"));
    limit("trailer_fields", 1, &chunked(b"0\r\nA: b\r\nC: d\r\n\r\n"));
}

#[test]
fn each_limit_of_a_client_bites_at_its_number() {
    let get = [("ask", "GET")];
    let limit = |name, value, input: &[u8]| limit::<ClientSubject>(&get, name, value, input);
    limit("request_line", 14, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    limit("head", 37, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    limit("fields", 1, b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n");
    limit("body", 4, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    limit("body", 4, b"HTTP/1.1 200 OK\r\n\r\nhello");
    limit("informational", 1, b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 103 x\r\n\r\n");
    let chunked = |body: &[u8]| [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body].concat();
    limit("chunk_line", 4, &chunked(b"1;a=b\r\nx\r\n0\r\n\r\n"));
    limit("chunk_extensions", 7, &chunked(b"1;a=b\r\nx\r\n0;c=d\r\n\r\n"));
    limit("trailer_fields", 1, &chunked(b"0\r\nA: b\r\nC: d\r\n\r\n"));
}

/// Each switch forgives what nothing else does, and nothing is forgiven without it.
#[test]
fn each_leniency_is_a_switch_of_its_own() {
    let rows: [(&str, &[u8]); 6] = [
        ("bare_lf", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        ("fold", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
        ("space_before_colon", b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n"),
        ("same_lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        ("coding_wins", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("no_space_after_status", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
    ];
    for (_, input) in rows {
        assert!(refuses::<ClientSubject>(&settings(&[("ask", "GET")]), input), "{}", input.escape_ascii());
        for (switch, own) in rows {
            let s = settings(&[("ask", "GET"), ("forgive", switch)]);
            assert_eq!(refuses::<ClientSubject>(&s, input), input != own, "{switch}: {}", input.escape_ascii());
        }
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

#[test]
fn laws() {
    let (late, get) = (settings(&[("answer", "late")]), settings(&[("ask", "GET")]));
    let chunks = [CHUNKED, b"3;x\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n"].concat();
    for message in [GET, POST, &chunks] {
        prefixes_wait::<ServerSubject>(&late, message).unwrap_or_else(|e| panic!("{e}"));
        let told = |n: usize, last: &str| match last {
            "closed" => n == 0 || n == message.len(),
            fault => fault.starts_with("fault 400: a ") && fault.contains(&format!("cut short at byte {n} ")),
        };
        ends_are_told::<ServerSubject>(&late, message, told).unwrap_or_else(|e| panic!("{e}"));
    }
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: y\r\n\r\nbody"[..],
        b"HTTP/1.1 103 x\r\nLink: a\r\n\r\nHTTP/1.1 204 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
    ] {
        prefixes_wait::<ClientSubject>(&get, answer).unwrap_or_else(|e| panic!("{e}"));
        let told =
            |n: usize, last: &str| if n == answer.len() { last == "closed" } else { last.starts_with("fault 502") };
        ends_are_told::<ClientSubject>(&get, answer, told).unwrap_or_else(|e| panic!("{e}"));
    }
    stops_when_full::<ServerSubject>(&settings(&[("answer", "early")]), &GET.repeat(9), 100, 50)
        .unwrap_or_else(|e| panic!("{e}"));
    stops_when_full::<ServerSubject>(&late, &POST.repeat(9), 1, 50).unwrap_or_else(|e| panic!("{e}"));
}

/// H1-21, HC-06: a head that comes byte by byte is not searched again.
#[test]
fn h1_21_bytes_of_heads_are_looked_at_once() {
    let wide = |more: &[(&str, &str)]| settings(&[&[("head", "70000"), ("request_line", "70000")], more].concat());
    let (s, c) = (wide(&[]), wide(&[("ask", "GET")]));
    looks_once::<ServerSubject>(&s, b"GET /", b"a", 60_000, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
    looks_once::<ServerSubject>(&s, b"GET / HTTP/1.1\r\nX: ", b"a", 60_000, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
    looks_once::<ServerSubject>(&s, b"GET / HTTP/1.1\r\n", b"A: b\r\n", 100, 7, b'\n')
        .unwrap_or_else(|e| panic!("{e}"));
    let start = b"HTTP/1.1 200 OK\r\nX: ";
    looks_once::<ClientSubject>(&c, start, b"a", 60_000, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
}

/// A peer that reads nothing: the output's deadline, and its negative control.
#[test]
fn h1_19_output_that_nobody_reads_has_a_deadline() {
    for (stall, cut) in [(Duration::from_secs(30), true), (Duration::MAX, false)] {
        let mut config = Config::SERVER;
        config.times.stall = stall;
        let (mut http, mut tx) = (Server::new(config), Tx::default());
        let at = |s: u64| Instant::from_nanos(s * 1_000_000_000);
        http.fill(at(0), &mut tx);
        let mut input = GET.to_vec();
        assert!(matches!(http.poll(at(0), &mut Rx::new(&mut input, false), &mut tx), Ok(Step::Event(_))));
        http.respond_whole(&mut tx, &server::Response::new(200), &[0; 1000]).expect("a request waits");
        http.fill(at(1), &mut tx);
        tx.consume(1, None); // some progress
        http.fill(at(20), &mut tx);
        http.close_after();
        let _ = http.poll(at(20), &mut Rx::new(&mut [], false), &mut tx);
        let due = http.deadline();
        if cut {
            let told = due.map(|d| (d.at, d.why));
            assert_eq!(told, Some((at(50), "reader of the output")), "30 s after the last progress");
            assert_eq!(http.on_deadline(at(49), &mut tx), Ok(()));
            let fault = http.on_deadline(at(50), &mut tx).expect_err("it is due");
            assert_eq!(fault.what, "an answer that was not read");
        } else {
            assert!(due.is_none_or(|d| d.why != "reader of the output"));
        }
    }
}

/// What one machine writes, the other reads as it was meant: bodies of any size, put in any pieces, framed in any way.
#[test]
fn what_a_client_asks_a_server_answers() {
    let mut rng = Rng(7);
    for round in 0..400 {
        let body: Vec<u8> = (0..rng.below(50_000)).map(|i| i as u8).collect();
        let (ask, answer) = (rng.below(2), rng.below(3));
        let mut pair = Pair::new(1 + rng.below(70_000));
        let length = if ask == 0 { Length::Known(body.len() as u64) } else { Length::Chunked };
        let fields: [(&str, &[u8]); 1] = [("Host", b"a")];
        pair.client.request(&mut pair.up, &client::Request::new("POST", "/", &fields), length).expect("a request");
        pair.framing = [Length::Known(body.len() as u64), Length::Chunked, Length::UntilClose][answer];
        for piece in body.chunks(1 + rng.below(9_000)) {
            if rng.below(2) == 0 {
                pair.client.put(&mut pair.up, piece).expect("it fits");
            } else if let Some(out) = pair.client.body() {
                out.put(piece);
            }
        }
        if ask == 1 {
            pair.client.finish(&mut pair.up, &[]).expect("it is under way");
        }
        pair.run(&mut rng);
        assert_eq!(pair.asked, body, "round {round}");
        assert_eq!(pair.answered, body, "round {round}");
        assert!(pair.done && pair.client.is_idle() == (answer != 2), "round {round}");
    }
}

/// Both sides, and the bytes between them.
struct Pair {
    client: Client,
    server: Server,
    up: Tx,
    down: Tx,
    inbox: [Vec<u8>; 2],
    framing: Length,
    asked: Vec<u8>,
    answered: Vec<u8>,
    done: bool,
    closed: bool,
}

fn carry(tx: &mut Tx, to: &mut Vec<u8>, rng: &mut Rng) {
    let n = rng.below(tx.len() + 1).max(tx.len().min(1));
    to.extend(tx.chunks().flatten().take(n));
    tx.consume(n, None);
}

impl Pair {
    fn new(limit: usize) -> Self {
        let (client, server) = (Client::new(Config::CLIENT), Server::new(Config::SERVER));
        let (up, down) = (Tx::with_limit(limit), Tx::with_limit(limit));
        let inbox = [Vec::new(), Vec::new()];
        let (asked, answered) = (Vec::new(), Vec::new());
        Pair { client, server, up, down, inbox, framing: Length::None, asked, answered, done: false, closed: false }
    }
    fn run(&mut self, rng: &mut Rng) {
        for _ in 0..200_000 {
            self.client.fill(Instant::default(), &mut self.up);
            carry(&mut self.up, &mut self.inbox[0], rng);
            self.serve();
            carry(&mut self.down, &mut self.inbox[1], rng);
            self.hear();
            if self.done {
                return;
            }
        }
        panic!("it hangs: {} asked, {} answered", self.asked.len(), self.answered.len());
    }
    fn serve(&mut self) {
        let total = self.inbox[0].len();
        let mut inbox = std::mem::take(&mut self.inbox[0]);
        let mut rx = Rx::new(&mut inbox, false);
        loop {
            match self.server.poll(Instant::default(), &mut rx, &mut self.down).expect("no fault") {
                Step::Event(server::Event::Body(bytes)) => self.asked.extend_from_slice(bytes),
                Step::Event(server::Event::End) => {
                    self.server.respond(&mut self.down, &server::Response::new(200), self.framing).expect("it waits");
                    if let Some(out) = self.server.body() {
                        out.put(&self.asked);
                        out.finish();
                    }
                }
                Step::Event(_) => {}
                Step::Closed => {
                    self.closed = true;
                    break;
                }
                Step::NeedMore | Step::Paused => break,
            }
        }
        let used = total - rx.len();
        self.inbox[0] = inbox.split_off(used);
    }
    fn hear(&mut self) {
        let total = self.inbox[1].len();
        let mut inbox = std::mem::take(&mut self.inbox[1]);
        let mut rx = Rx::new(&mut inbox, self.closed && self.down.is_empty());
        loop {
            match self.client.poll(Instant::default(), &mut rx, &mut self.up).expect("no fault") {
                Step::Event(client::Event::Body(bytes)) => self.answered.extend_from_slice(bytes),
                Step::Event(client::Event::End) => self.done = true,
                // An answer of no bytes and of known length has no body.
                Step::Event(client::Event::Response(r)) => self.done |= !r.has_body(),
                Step::Event(_) => {}
                Step::NeedMore | Step::Paused | Step::Closed => break,
            }
        }
        let used = total - rx.len();
        self.inbox[1] = inbox.split_off(used);
    }
}

/// A request with few fields and a canned answer allocate nothing; nor does their client.
#[test]
fn small_messages_allocate_nothing() {
    let head = b"GET /index.html HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n";
    let date = FieldBlock::new(&[("Date", b"Mon, 01 Jan 2024 00:00:00 GMT")]).expect("a field");
    let mut config = Config::SERVER;
    config.limits.requests = u32::MAX;
    let (mut server, mut client) = (Server::new(config), Client::new(Config::CLIENT));
    let (mut up, mut down, mut inbox) = (Tx::default(), Tx::default(), head.to_vec());
    let mut round = |inbox: &mut Vec<u8>| {
        let request = client::Request::new("GET", "/", &[("Host", b"a"), ("Accept", b"*/*")]);
        client.request(&mut up, &request, Length::None).expect("it is idle");
        up.consume(up.len(), None);
        let now = Instant::default();
        let Ok(Step::Event(server::Event::Request(r))) = server.poll(now, &mut Rx::new(inbox, false), &mut down) else {
            panic!("a request");
        };
        assert_eq!((r.target(), r.field("accept")), ("/index.html", Some(&b"*/*"[..])));
        let answer = server::Response::new(200).typed("text/plain").block(&date);
        server.respond_whole(&mut down, &answer, &[b'x'; 100]).expect("a request waits");
        let mut text = [0; 400];
        let n = down.front().len();
        text[..n].copy_from_slice(down.front());
        down.consume(n, None);
        let mut rx = Rx::new(&mut text[..n], false);
        let mut events = 0;
        while let Ok(Step::Event(_)) = client.poll(now, &mut rx, &mut up) {
            events += 1;
        }
        assert_eq!((events, rx.len()), (3, 0), "head, body, end");
        let _ = server.poll(now, &mut Rx::new(&mut [], false), &mut down);
    };
    round(&mut inbox); // outputs get their storage
    assert_eq!(allocations(|| (0..100).for_each(|_| round(&mut inbox))), 0);
    assert!(allocations(|| drop(vec![0; 100])) > 0, "the count works");
}
