//! Statistics and logs for programs, and the control socket they are asked over.
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use tests::process::{Tool, tool};

fn echo(port: u16) -> TcpStream {
    let mut s = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let mut back = [0; 5];
    s.write_all(b"hello").and_then(|()| s.read_exact(&mut back)).expect("it echoes");
    s
}

/// The same tool once more, beside a server that runs in `dir`.
fn ask(name: &str, dir: &tests::process::RuntimeDir, args: &[&str]) -> tests::process::Ended {
    let mut command = std::process::Command::new(tool(name));
    command.args(args).env("XDG_RUNTIME_DIR", &dir.0);
    Tool::spawn(command).wait()
}

#[test]
fn a_running_server_is_asked() {
    let name = "epoll_echo_server";
    let (mut server, dir) = Tool::controlled(name, &["0", "-v", "--threads", "2"]);
    let port = server.port();
    let _clients: Vec<TcpStream> = (0..10).map(|_| echo(port)).collect();
    let port = port.to_string();
    let ended = ask(name, &dir, &[&port, "--stats"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&"Connections: 10 active"), "{}", ended.stdout);
    let spread = lines.iter().find_map(|l| l.strip_prefix("Accepted per thread: ")).expect("a spread");
    let each: Vec<u64> = spread.split(' ').filter_map(|n| n.parse().ok()).collect();
    assert_eq!((each.len(), each.iter().sum::<u64>() >= 10), (2, true), "{spread}");
    assert!(lines.iter().any(|l| l.starts_with("epoll_ctl/op: ")), "{}", ended.stdout);

    let ended = ask(name, &dir, &[&port, "--stats", "--json"]);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    assert!(ended.stdout.starts_with("{\"schema\":\"drywire/stats/1\",\"active\":10,"), "{}", ended.stdout);
    assert_eq!(dir.order(name, port.parse().expect("a port"), "/kick Bob"), "! unknown order /kick Bob\n");
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn interest_is_armed_once_per_connection() {
    let name = "epoll_echo_server";
    let (mut server, dir) = Tool::controlled(name, &["0", "-v", "--http", "off"]);
    let port = server.port();
    let mut s = echo(port);
    let busy = std::thread::spawn(move || {
        let mut back = [0; 5];
        // Until the statistics have been taken and the server has gone.
        while s.write_all(b"hello").and_then(|()| s.read_exact(&mut back)).is_ok() {}
    });
    let ended = ask(name, &dir, &[&port.to_string(), "--stats"]);
    let per_op = |what: &str| {
        let text = ended.stdout.lines().find_map(|l| l.strip_prefix(what));
        text.and_then(|n| n.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {what} in {}", ended.stdout))
    };
    assert!(per_op("epoll_ctl/op: ") < 0.05, "{}", ended.stdout);
    let calls = per_op("syscalls/op: ");
    assert!((2.0..4.5).contains(&calls), "wait, read, write, and a second read to see the end: {}", ended.stdout);
    drop(server);
    busy.join().expect("it ends");
}

#[test]
fn a_stranger_on_the_port_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let own = std::fs::read_to_string("/proc/self/comm").expect("a name");
    let who = |pid: u32| format!("'{}' (pid {pid})", own.trim());
    let (ended, me) = (Tool::start("epoll_echo_server", &[&port.to_string(), "--stats"]).wait(), std::process::id());
    let text = format!("epoll_echo_server: port {port} is in use by {}, not by epoll_echo_server\n", who(me));
    assert_eq!((ended.code, ended.stderr), (Some(9), text));
}

#[test]
fn what_a_dead_server_left_behind_is_no_hindrance() {
    let name = "epoll_echo_server";
    let (mut server, dir) = Tool::controlled(name, &["0"]);
    let port = server.port();
    server.signal(rustix::process::Signal::KILL);
    assert_eq!(server.wait().code, None);
    assert!(dir.0.join(format!("drywire-{name}-{port}.sock")).exists(), "it had no time to remove it");
    let mut command = std::process::Command::new(tool(name));
    command.args([&port.to_string()]).env("XDG_RUNTIME_DIR", &dir.0);
    let mut server = Tool::spawn(command);
    assert_eq!(server.port(), port);
    assert!(dir.order(name, port, "stats").starts_with("Connections: 0 active\n"));
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn logs_for_programs() {
    let start = |format| Tool::start("echo_server", &["0", "--log-format", format, "--listen", "127.0.0.1"]);
    let mut server = start("json");
    let banner = server.line();
    assert!(banner.starts_with("{\"schema\":\"drywire/log/1\",\"time_ms\":"), "{banner}");
    assert!(banner.contains("\"message\":\"Echo server listening on port "), "{banner}");
    let port = banner.split("port ").nth(1).and_then(|s| s.split('.').next()).and_then(|n| n.parse().ok());
    echo(port.expect("a port"));
    assert!(server.line().contains("\"message\":\"Client connected from 127.0.0.1:"));
    assert!(server.line().ends_with(r#""message":"Received: \"hello\""}"#));
    let mut server = start("journald");
    assert!(server.line().starts_with("<6>Echo server listening on port "));
    let ended = Tool::start("echo_server", &["0", "--json"]).wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), "echo_server: missing --stats[=<SECS>] (see --help)\n"));
}
