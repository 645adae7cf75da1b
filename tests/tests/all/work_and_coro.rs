//! `coro_http_server`, `threadpool_server`, `single_thread_server` and `benchmark_client` with curl and wrk.
use std::process::Command;
use std::time::{Duration, Instant};
use tests::process::{Tool, have};
use tests::scenario::drivers;

fn curl(args: &[&str]) -> (String, Vec<u8>) {
    let out = Command::new("curl").args(["-s", "-m", "30", "-w", "%{stderr}%{http_code}"]).args(args).output();
    let out = out.expect("installed");
    (String::from_utf8_lossy(&out.stderr).into_owned(), out.stdout)
}

#[test]
fn curl_and_handlers_on_all_drivers() {
    if !have("curl") {
        return;
    }
    let dir = std::env::temp_dir().join(format!("drywire-coro-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let data: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(dir.join("big.bin"), &data).expect("a file");
    std::fs::write(dir.join("mid.bin"), &data[..900_000]).expect("a file");
    let folder = dir.to_str().expect("a name");
    for driver in drivers() {
        let args = ["0", "--driver", driver, "--allow-proxy", "--proxy-to", "127.0.0.0/8"];
        let mut coro = Tool::start("coro_http_server", &args);
        let mut files = Tool::start("coro_http_server", &["0", "--driver", driver, "-d", folder]);
        let (at, files_at) =
            (format!("http://127.0.0.1:{}", coro.port()), format!("http://127.0.0.1:{}", files.port()));
        let ok = |url: String| {
            let (status, body) = curl(&[&url]);
            assert_eq!(status, "200", "{driver}: {url}");
            body
        };
        assert_eq!(ok(format!("{at}/sleep/10")), b"slept 10 ms\n");
        assert_eq!(ok(format!("{at}/stream/1000000")).len(), 1_000_000, "{driver}");
        assert!(ok(format!("{files_at}/big.bin")) == data, "{driver}");
        // A handler that calls another server, and one that calls the server it runs in.
        assert_eq!(ok(format!("{at}/proxy?url={files_at}/big.bin")).len(), data.len(), "{driver}");
        assert_eq!(ok(format!("{at}/proxy?url={at}/sleep/10")), b"slept 10 ms\n", "{driver}");
        let upload = format!("@{}", dir.join("mid.bin").display());
        let (status, body) = curl(&["--data-binary", &upload, &format!("{at}/echo")]);
        assert_eq!((status.as_str(), body == data[..900_000]), ("200", true), "{driver}");
        let big = format!("@{}", dir.join("big.bin").display());
        assert_eq!(curl(&["--data-binary", &big, &format!("{at}/echo")]).0, "413", "{driver}");
        assert_eq!(curl(&["--path-as-is", &format!("{files_at}/../x")]).0, "403", "{driver}");
        assert_eq!(curl(&["-I", &format!("{files_at}/big.bin")]).0, "200", "{driver}");
        assert_eq!(coro.stop().code, Some(0), "{driver}");
        assert_eq!(files.stop().code, Some(0), "{driver}");
    }
    std::fs::remove_dir_all(&dir).expect("it is ours");
}

#[test]
fn neighbours_are_out_of_a_proxys_reach() {
    if !have("curl") {
        return;
    }
    let mut coro = Tool::start("coro_http_server", &["0", "--allow-proxy"]);
    let port = coro.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "169.254.169.254"] {
        let url = format!("http://127.0.0.1:{port}/proxy?url=http://{host}:{port}/");
        let (status, body) = curl(&["-g", &url]);
        assert_eq!(status, "403", "{host}: {}", String::from_utf8_lossy(&body));
    }
    assert_eq!(coro.stop().code, Some(0));
}

#[test]
fn wrk_gets_only_good_answers_from_handlers() {
    if !have("wrk") {
        return;
    }
    for driver in drivers().into_iter().filter(|d| *d != "select" && *d != "blocking") {
        let mut coro = Tool::start("coro_http_server", &["0", "--driver", driver]);
        let url = format!("http://127.0.0.1:{}/sleep/5", coro.port());
        let out = Command::new("wrk").args(["-t2", "-c100", "-d2s", &url]).output().expect("installed");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.contains("requests in") && !text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}");
        assert_eq!(coro.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn the_loop_of_a_pool_answers_while_workers_are_busy() {
    for driver in drivers() {
        let args = ["-p", "0", "-t", "2", "--work", "sleep:1000", "--queue", "2", "--driver", driver];
        let mut server = Tool::start("threadpool_server", &args);
        let port = server.port();
        let ask = |path: &str| {
            use std::io::{Read, Write};
            let mut s = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            write!(s, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it reads");
            move || {
                let mut text = String::new();
                s.read_to_string(&mut text).expect("it answers");
                text
            }
        };
        let began = Instant::now();
        let four: Vec<_> = (0..4).map(|_| ask("/work")).collect();
        // They have arrived when as many are counted.
        while !ask("/stats")().contains("\"under_way\":4") {
            assert!(began.elapsed() < Duration::from_secs(20), "{driver}");
        }
        assert!(ask("/work")().starts_with("HTTP/1.1 503 "), "{driver}: no room");
        assert!(ask("/health")().starts_with("HTTP/1.1 200 "), "{driver}");
        assert!(four.into_iter().all(|mut answer| answer().starts_with("HTTP/1.1 200 ")), "{driver}");
        assert!(began.elapsed() >= Duration::from_secs(2), "{driver}: two rounds of two workers");
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn the_benchmark_prints_its_lines() {
    let mut pool = Tool::start("threadpool_server", &["-p", "0", "-t", "8", "--work", "crypto:50"]);
    let mut single = Tool::start("single_thread_server", &["-p", "0", "--work", "crypto:50"]);
    let (a, b) = (pool.port().to_string(), format!("localhost:{}", single.port()));
    let mut client = Tool::start("benchmark_client", &["localhost", &a, "--requests", "200", "--compare", &b]);
    let lines: Vec<String> = (0..9).map(|_| client.line()).collect();
    assert_eq!((lines[1].as_str(), lines[5].as_str()), ("Results:", "Results:"));
    assert!(lines[2].starts_with("Throughput: ") && lines[2].ends_with(" req/s"), "{lines:?}");
    assert!(lines[3].starts_with("Latency p99: ") && lines[3].ends_with("ms"), "{lines:?}");
    assert!(lines[8].starts_with("Ratio: "), "{lines:?}");
    assert_eq!(client.wait().code, Some(0));
    assert_eq!((pool.stop().code, single.stop().code), (Some(0), Some(0)));
}

#[test]
fn what_is_asked_wrongly_is_said_in_a_line() {
    for (tool, args, code, says) in [
        ("threadpool_server", &["-p", "0", "-t", "0"][..], 2, "worker threads must be 1-1024"),
        ("threadpool_server", &["-p", "0", "-t", "2000"], 2, "worker threads must be 1-1024"),
        ("threadpool_server", &["-p", "0", "-t", "x"], 2, "worker threads must be 1-1024"),
        ("threadpool_server", &["-p", "0", "--work", "y"], 2, "no work 'y'"),
        ("single_thread_server", &["-p", "0", "--workers", "2"], 2, "has no workers"),
        ("benchmark_client", &["localhost", "1", "--requests", "0"], 2, "--requests"),
        ("benchmark_client", &["127.0.0.1", "1"], 4, "connect to 127.0.0.1:1: connection refused"),
        ("coro_http_server", &["0", "-d", "/nonexistent"], 2, "-d /nonexistent: no such file or directory"),
        ("coro_http_server", &["0", "--proxy-to", "10.0.0.0/8"], 2, "--allow-proxy"),
    ] {
        let ended = Tool::start(tool, args).wait();
        assert_eq!(ended.code, Some(code), "{tool} {args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{tool} {args:?}: {}", ended.stderr);
    }
}
