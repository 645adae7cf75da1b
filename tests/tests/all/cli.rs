//! Bad input: one line on standard error that says what is wrong, and the exit code of the table.
use std::net::TcpListener;
use tests::process::{Ended, Tool};

fn run(name: &str, args: &[&str]) -> Ended {
    let mut tool = Tool::start(name, args);
    tool.end_input();
    tool.wait()
}

fn refuses(name: &str, args: &[&str], code: i32, text: &str) {
    let ended = run(name, args);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(code), format!("{name}: {text}\n").as_str()), "{args:?}");
    assert_eq!(ended.stdout, "");
}

#[test]
fn ports() {
    for server in ["echo_server", "chat_server", "epoll_echo_server", "io_uring_echo_server"] {
        for bad in ["99999", "-1", "9000x", "65536"] {
            refuses(server, &[bad], 2, &format!("port '{bad}' is not in 0-65535"));
        }
        refuses(server, &[], 2, "missing PORT (see --help)");
    }
    for client in ["echo_client", "chat_client"] {
        refuses(client, &["localhost"], 2, "missing <PORT> (see --help)");
        refuses(client, &["localhost", "99999"], 2, "port '99999' is not in 0-65535");
    }
}

#[test]
fn flags() {
    refuses("echo_server", &["9000", "--drvier", "poll"], 2, "unknown argument '--drvier': did you mean '--driver'?");
    let drivers = "auto, blocking, select, poll, epoll, io_uring, pool, async, sim";
    refuses("echo_server", &["9000", "--driver", "x"], 2, &format!("--driver: no driver 'x'; there are {drivers}"));
    let text = "--idle-timeout: '5x' is not a duration such as 500ms, 10s, 2m or 1h";
    refuses("echo_server", &["9000", "--idle-timeout", "5x"], 2, text);
    let text = "--threads: all clients of a chat must be on one loop";
    refuses("chat_server", &["0", "--threads", "2"], 2, text);
    for size in ["300", "0", "65536", "2"] {
        let text = "--entries: ring size must be a power of two from 4 to 32768";
        refuses("io_uring_echo_server", &["0", "--entries", size], 2, text);
    }
}

/// What an io_uring does without is said in a line, and what it uses with `-v`.
#[test]
fn forms_of_a_ring() {
    let server = "io_uring_echo_server";
    let text = "--link needs --buffers provided: a receive that waits must not hold a buffer";
    refuses(server, &["0", "--link", "--buffers", "plain"], 2, text);
    let text = "--buffers: no buffers 'own'; there are provided, fixed, plain";
    refuses(server, &["0", "--buffers", "own"], 2, text);
    if drivers::available(drivers::Kind::IoUring).is_err() {
        return; // other tests say so
    }
    let old = ["0", "--as-kernel", "5.11", "-q"];
    for (flags, text) in [
        (&["--buffers", "provided"][..], "this kernel (5.11) has no provided buffers (5.19)"),
        (&["--link"], "this kernel (5.11) has no provided buffers (5.19)"),
        (&["--direct-files"], "this kernel (5.11) has no multishot receive (6.0), which --direct-files needs"),
    ] {
        refuses(server, &[&old[..], flags].concat(), 9, text);
    }
    for (flags, mode, note) in [
        (&[][..], "multishot, provided buffers 128 x 2 KiB", ""),
        (&["--buffer-count", "1024", "--buffer-size", "4KiB"], "multishot, provided buffers 1,024 x 4 KiB", ""),
        (&["--link", "--direct-files"], "single-shot, linked, provided buffers 128 x 2 KiB, direct files", ""),
        (&["--buffers", "fixed"], "single-shot, fixed buffers 128 x 2 KiB", ""),
        (
            &["--as-kernel", "5.15"],
            "single-shot, plain buffers 128 x 2 KiB",
            "io_uring: this kernel (5.15) has no multishot receive (6.0): single-shot, plain buffers\n",
        ),
    ] {
        let mut tool = Tool::start(server, &[&["0", "-v", "--listen", "127.0.0.1"], flags].concat());
        let line = std::iter::repeat_with(|| tool.line()).find(|l| l.starts_with("mode: ")).expect("a mode");
        assert!(line.starts_with(&format!("mode: {mode}")), "{line}");
        let ended = tool.stop();
        assert_eq!((ended.code, ended.stderr.contains(note)), (Some(0), true), "{flags:?}: {}", ended.stderr);
        assert!(!note.is_empty() || !ended.stderr.contains("this kernel"), "{}", ended.stderr);
    }
}

#[test]
fn a_busy_port_names_who_has_it() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let ended = run("echo_server", &[&port]);
    assert_eq!(ended.code, Some(9));
    let (pid, own) = (std::process::id(), std::fs::read_to_string("/proc/self/comm").expect("a name"));
    let who = format!("address in use (pid {pid} '{}')", own.trim());
    assert_eq!(ended.stderr, format!("echo_server: cannot listen on 127.0.0.1:{port}: {who}\n"));
}

#[test]
fn nobody_there() {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a port").port().to_string();
    let text = format!("connect to localhost:{free}: connection refused (tried ::1, 127.0.0.1)");
    refuses("echo_client", &["localhost", &free], 4, &text);
    refuses(
        "chat_client",
        &["127.0.0.1", &free],
        4,
        &format!("connect to 127.0.0.1:{free}: connection refused (tried 127.0.0.1)"),
    );
    refuses("echo_client", &["/nowhere/at/all", "--unix"], 4, "connect to unix:/nowhere/at/all: no such file");
}

#[test]
fn help_has_examples() {
    for tool in [
        "echo_server",
        "echo_client",
        "chat_server",
        "chat_client",
        "epoll_echo_server",
        "io_uring_echo_server",
        "replay",
    ] {
        let ended = run(tool, &["--help"]);
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains("Examples:") && ended.stdout.contains(&format!("  {tool} ")), "{tool}");
    }
}
