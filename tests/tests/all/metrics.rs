//! `--metrics` of every server: numbers for Prometheus, and probes.
use std::io::{Read, Write};
use std::net::TcpStream;
use tests::process::{PATIENCE, Tool, until};
use tests::scenario::drivers;

/// Where the metrics are, from the note on standard error.
fn at(note: &str) -> String {
    let (_, rest) = note.split_once("metrics on http://").expect("a note");
    rest.trim().trim_end_matches("/metrics").into()
}

fn get(at: &str, target: &str) -> (String, String) {
    let mut s = TcpStream::connect(at).expect("it listens");
    s.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(s, "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut text = String::new();
    s.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().unwrap_or_default().into(), body.into())
}

fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}"));
    line.trim().parse().expect("a number")
}

#[test]
fn numbers_and_probes_on_every_driver() {
    for driver in drivers() {
        let args = ["0", "--driver", driver, "--metrics", "127.0.0.1:0", "--drain", "30s"];
        let mut tool = Tool::start("echo_server", &args);
        let port = tool.port();
        let metrics = at(&tool.note("metrics on"));
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        client.write_all(b"hello").expect("it reads");
        client.read_exact(&mut [0; 5]).expect("an echo");
        let (status, text) = get(&metrics, "/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK", "{driver}");
        assert_eq!(value(&text, "drywire_connections_active"), 1, "{driver}: those of the metrics do not count");
        assert!(value(&text, "drywire_bytes_total{dir=\"in\"}") >= 5, "{driver}");
        assert_eq!(text.matches("# TYPE drywire_").count(), 6);
        assert_eq!(get(&metrics, "/healthz"), ("HTTP/1.1 200 OK".into(), "ok\n".into()), "{driver}");
        assert_eq!(get(&metrics, "/readyz").0, "HTTP/1.1 200 OK", "{driver}");
        assert_eq!(get(&metrics, "/").0, "HTTP/1.1 404 Not Found", "{driver}");
        tool.signal(rustix::process::Signal::TERM);
        // The client is still there, so the server waits for it; and says that it takes no other.
        until("the stop", || get(&metrics, "/readyz").0.contains("503"));
        assert_eq!(get(&metrics, "/healthz").0, "HTTP/1.1 200 OK", "{driver}");
        drop(client);
        assert_eq!(tool.wait().code, Some(0), "{driver}");
    }
}

#[test]
fn all_loops_are_counted() {
    let mut tool =
        Tool::start("echo_server", &["0", "--max-conns", "99", "--threads", "4", "--metrics", "127.0.0.1:0"]);
    let port = tool.port();
    let metrics = at(&tool.note("metrics on"));
    let clients: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            client.write_all(b"x").expect("it reads");
            client.read_exact(&mut [0]).expect("an echo");
            client
        })
        .collect();
    // Several scrapers at once wait for the same answers.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(value(&get(&metrics, "/metrics").1, "drywire_connections_active"), 20));
        }
    });
    drop(clients);
    assert_eq!(tool.stop().code, Some(0));
}

#[test]
fn those_who_are_turned_away_are_counted() {
    let mut tool = Tool::start("coro_http_server", &["0", "--max-conns", "1", "--metrics", "127.0.0.1:0"]);
    let port = tool.port();
    let metrics = at(&tool.note("metrics on"));
    let mut first = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    first.read_exact(&mut [0]).expect("an answer");
    let (status, _) = get(&format!("127.0.0.1:{port}"), "/");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(value(&get(&metrics, "/metrics").1, "drywire_limit_hits_total{limit=\"clients\"}"), 1);
}

#[test]
fn an_address_that_is_none_is_a_usage_error() {
    let ended = Tool::start("echo_server", &["0", "--metrics", "127.0.0.1"]).wait();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("--metrics wants ADDR:PORT, such as 127.0.0.1:9464"), "{}", ended.stderr);
}
