//! Real clients against the tools, on each driver.
use std::process::{Command, Stdio};
use tests::process::{Tool, have};
use tests::scenario::drivers;

/// What a foreign client prints when it is fed `input`.
fn client(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut command = Command::new(program);
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("installed");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let out = child.wait_with_output().expect("it ends").stdout;
    let _ = writer.join(); // a client that ended early has closed the pipe
    out
}

#[test]
fn netcat_socat_and_ncat_get_their_bytes_back() {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for driver in drivers() {
        let mut server = Tool::start("echo_server", &["0", "-q", "--max-conns", "10", "--driver", driver]);
        let port = server.port().to_string();
        if have("nc") {
            assert_eq!(client("nc", &["-N", "127.0.0.1", &port], b"Hello from nc\n"), b"Hello from nc\n", "{driver}");
            assert!(client("nc", &["-N", "127.0.0.1", &port], &bytes) == bytes, "{driver}");
        }
        if have("socat") {
            let to = format!("TCP:127.0.0.1:{port}");
            assert!(client("socat", &["-t30", "-", &to], &bytes) == bytes, "{driver}");
        }
        if have("ncat") {
            assert!(client("ncat", &["127.0.0.1", &port], &bytes) == bytes, "{driver}");
        }
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn wrk_gets_only_good_responses() {
    if !have("wrk") {
        return;
    }
    for (tool, driver) in
        [("epoll_echo_server", "epoll"), ("epoll_echo_server", "poll"), ("io_uring_echo_server", "io_uring")]
    {
        if !drivers().contains(&driver) {
            continue;
        }
        let mut server = Tool::start(tool, &["0", "--driver", driver]);
        let url = format!("http://127.0.0.1:{}/", server.port());
        let out = Command::new("wrk").args(["-t1", "-c100", "-d1s", &url]).output().expect("wrk").stdout;
        let out = String::from_utf8_lossy(&out).into_owned();
        assert!(!out.contains("Non-2xx") && !out.contains("Socket errors"), "{tool} on {driver}: {out}");
        let requests = out.lines().find_map(|l| l.trim().split(" requests in").next()?.parse::<u64>().ok());
        assert!(requests.is_some_and(|n| n > 100), "{tool} on {driver}: {out}");
        if have("nc") {
            // A line that is no request is echoed, at the same time as wrk runs.
            let port = url.trim_end_matches('/').rsplit(':').next().expect("port").to_string();
            assert_eq!(client("nc", &["-N", "127.0.0.1", &port], b"hello\n"), b"hello\n", "{tool} on {driver}");
        }
        assert_eq!(server.stop().code, Some(0));
    }
}

#[test]
fn two_terminals() {
    for driver in drivers() {
        let mut server = Tool::start("echo_server", &["0", "-q", "--driver", driver]);
        let port = server.port().to_string();
        let mut c = Tool::start("echo_client", &["localhost", &port, "--driver", driver]);
        assert_eq!(c.line(), format!("Connected to localhost:{port}"), "{driver}");
        for text in ["Hello, server!", "Testing 123"] {
            c.type_in(&format!("{text}\n"));
            assert_eq!(c.line(), format!("Server: {text}"), "{driver}");
        }
        c.signal(rustix::process::Signal::INT);
        let ended = c.wait();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), "Disconnected.\n"), "{driver}");
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn a_chat_of_two() {
    for driver in drivers() {
        let mut server = Tool::start("chat_server", &["0", "-q", "--driver", driver]);
        let port = server.port().to_string();
        let hello = "Connected! Enter /nick <name> to set nickname.";
        let mut alice = Tool::start("chat_client", &["localhost", &port, "--driver", driver]);
        assert_eq!(alice.line(), hello);
        alice.type_in("/nick Alice\n");
        assert_eq!(alice.line(), "You are now known as Alice");
        let mut bob = Tool::start("chat_client", &["localhost", &port, "--driver", driver]);
        assert_eq!(bob.line(), hello);
        bob.type_in("/nick Bob\nHey Alice!\n");
        assert_eq!(bob.line(), "You are now known as Bob");
        assert_eq!(alice.line(), "<Bob> Hey Alice!", "{driver}");
        alice.type_in("Hello everyone!\n");
        assert_eq!(bob.line(), "<Alice> Hello everyone!", "{driver}");
        bob.end_input();
        assert_eq!(bob.wait().code, Some(0), "{driver}");
        assert_eq!(server.stop().code, Some(0), "{driver}");
        let ended = alice.wait();
        assert_eq!(ended.code, Some(4), "{driver}");
        assert_eq!(ended.stdout, "* server is going down\n", "{driver}");
        assert_eq!(ended.stderr, "Disconnected: server closed the connection\n", "{driver}");
    }
}
