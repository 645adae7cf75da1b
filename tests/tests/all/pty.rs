//! The line clients on a real terminal, as a shell's foreground job.
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use tests::process::{Tool, tool, until};
use tests::pty::Terminal;

const RUNNER: &str = env!("CARGO_BIN_EXE_on_terminal");
const ABORTED: i32 = 130;

fn drivers() -> Vec<&'static str> {
    let real = drivers::Kind::REAL.into_iter().filter(|k| drivers::available(*k).is_ok());
    real.map(drivers::Kind::name).collect()
}

fn echo() -> (Tool, String) {
    let mut server = Tool::start("echo_server", &["0", "-q", "--max-conns", "100", "--driver", "epoll"]);
    let port = server.port().to_string();
    (server, port)
}

#[test]
fn editing_history_and_ctrl_c_on_every_driver() {
    let (_server, port) = echo();
    for driver in drivers() {
        let file = std::env::temp_dir().join(format!("drywire-pty-{}-{driver}.rec", std::process::id()));
        let path = file.to_str().expect("a path");
        let mut t =
            Terminal::start(RUNNER, "echo_client", &["localhost", &port, "--driver", driver, "--record", path], 60);
        let note = "echo_client: the recording will hold everything that";
        let (connected, prompt) = (format!("Connected to localhost:{port}"), "> ");
        t.row(prompt, "");
        until("a raw terminal", || t.is_raw());
        t.keys("Helo, server!\x1b[H\x1b[C\x1b[C\x1b[Cl");
        t.row("> Hell", "o, server!");
        t.keys("\r");
        t.until("the echo", |s| s.text().last().is_some_and(|l| l == ">") && s.text().len() == 6);
        t.keys("\x1b[A\x7f?\r");
        t.until("another echo", |s| s.text().len() == 8);
        t.keys("half a line");
        t.row("> half a line", "");
        t.keys("\x03");
        assert_eq!(t.wait(), ABORTED, "{driver}");
        let rows = t.screen.text();
        assert!(rows[0].starts_with(note), "{rows:?}");
        let rest = [
            &connected,
            "> Hello, server!",
            "Server: Hello, server!",
            "> Hello, server?",
            "Server: Hello, server?",
            "> half a line^C",
            "Disconnected.",
        ];
        assert_eq!(rows[2..], rest, "{driver}");
        assert!(t.is_in_order(), "{driver}");
        assert_eq!(t.screen.strange, Vec::<String>::new(), "{driver}");
        let replay = Command::new(tool("replay")).arg(&file).output().expect("replay");
        assert_eq!(replay.status.code(), Some(0), "{driver}: {}", String::from_utf8_lossy(&replay.stdout));
        std::fs::remove_file(file).expect("the recording");
    }
}

#[test]
fn ctrl_d_ends_it_in_order() {
    let (_server, port) = echo();
    let mut t = Terminal::start(RUNNER, "echo_client", &["localhost", &port], 60);
    t.row("> ", "");
    t.keys("hi\r");
    t.until("the echo", |s| s.text().len() == 4);
    t.keys("\x04");
    assert_eq!(t.wait(), 0);
    assert_eq!(t.screen.text()[1..], ["> hi", "Server: hi", "Disconnected."]);
    assert!(t.is_in_order());
}

#[test]
fn what_others_say_appears_above_the_line() {
    let mut server = Tool::start("chat_server", &["0", "-q"]);
    let port = server.port().to_string();
    let mut alice = Terminal::start(RUNNER, "chat_client", &["localhost", &port], 60);
    let hello = "Connected! Enter /nick <name> to set nickname.";
    alice.rows(&[hello]);
    alice.keys("/ni\tAlice\r");
    alice.rows(&[hello, "/nick Alice", "You are now known as Alice"]);
    let mut bob = Tool::start("chat_client", &["localhost", &port]);
    bob.line();
    bob.type_in("/nick Bob\n");
    bob.line();
    alice.keys("Hello every\x1b[D\x1b[D");
    alice.row("Hello eve", "ry");
    bob.type_in("Hey Alice!\n");
    alice.rows(&[hello, "/nick Alice", "You are now known as Alice", "<Bob> Hey Alice!", "Hello every"]);
    alice.row("Hello eve", "ry");
    alice.keys("\x05one!\r");
    assert_eq!(bob.line(), "<Alice> Hello everyone!");
    alice.keys("bo\t");
    alice.row("Bob: ", "");
    alice.keys("\x15\x04");
    assert_eq!(alice.wait(), 0);
    assert!(alice.is_in_order());
}

#[test]
fn what_a_server_sends_is_no_command_to_the_terminal() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port().to_string();
    let mut t = Terminal::start(RUNNER, "echo_client", &["127.0.0.1", &port], 60);
    let (mut peer, _) = listener.accept().expect("a client");
    t.row("> ", "");
    t.keys("typing");
    t.row("> typing", "");
    peer.write_all(b"\x1b[2J\x1b]0;title\x07\x9b2J no end").expect("it reads");
    let evil = r"Server: \x1b[2J\x1b]0;title\x07\x9b2J no end";
    let first = format!("Connected to 127.0.0.1:{port}");
    t.rows(&[&first, evil, "> typing"]);
    peer.write_all(b", now\n").expect("it reads");
    t.rows(&[&first, &format!("{evil}, now"), "> typing"]);
    assert_eq!(t.screen.strange, Vec::<String>::new());
    drop(peer);
    drop(listener);
    assert_eq!(t.wait(), 4);
    assert_eq!(t.screen.text().last().map(String::as_str), Some("Disconnected: server closed the connection"));
    assert!(t.is_in_order());
}

#[test]
fn another_width() {
    let (_server, port) = echo();
    let mut t = Terminal::start(RUNNER, "echo_client", &["localhost", &port], 60);
    t.row("> ", "");
    t.keys("abcdefghijklmnopqrstuvwxyz");
    t.row("> abcdefghijklmnopqrstuvwxyz", "");
    t.resize(20);
    t.until("the end of the line", |s| {
        let (_, left, right) = s.cursor();
        left.starts_with("> ") && left.ends_with("xyz") && left.len() < 20 && right.is_empty()
    });
    t.keys("\x01");
    t.until("its beginning", |s| s.cursor().1 == "> " && s.cursor().2.starts_with("abc"));
    t.resize(60);
    t.row("> ", "abcdefghijklmnopqrstuvwxyz");
    t.keys("\x03");
    assert_eq!(t.wait(), ABORTED);
}

#[test]
fn a_stopped_client_leaves_the_terminal_in_order() {
    let (_server, port) = echo();
    let mut t = Terminal::start(RUNNER, "echo_client", &["localhost", &port], 60);
    t.row("> ", "");
    t.keys("before");
    t.row("> before", "");
    until("a raw terminal", || t.is_raw());
    t.keys("\x1a");
    until("a stopped client", || t.state() == 'T');
    assert!(!t.is_raw(), "it is the shell's now");
    t.signal(rustix::process::Signal::CONT);
    until("a raw terminal again", || t.is_raw());
    t.keys(" and after\r");
    t.until("the echo", |s| s.text().iter().any(|l| l == "Server: before and after"));
    t.signal(rustix::process::Signal::TERM);
    assert_eq!(t.wait(), ABORTED);
    assert!(t.is_in_order());
}

#[test]
fn a_panic_leaves_the_terminal_in_order() {
    let mut command = Command::new(RUNNER);
    command.arg(env!("CARGO_BIN_EXE_panics_on_terminal")).env("TERM", "xterm");
    let mut t = Terminal::spawn(command, 80);
    t.rows(&["ready"]);
    until("a raw terminal", || t.is_raw());
    t.keys("x");
    assert_eq!(t.wait(), 1);
    assert!(t.is_in_order());
    let text = t.screen.text().join("");
    assert!(text.contains("panics_on_terminal: internal error, this is a bug"), "{text}");
}

#[test]
fn plain_leaves_editing_to_the_terminal() {
    let (_server, port) = echo();
    for (args, term) in [(&["--plain"][..], "xterm"), (&[], "dumb")] {
        let mut command = Command::new(RUNNER);
        command.arg(tool("echo_client")).args(["localhost", &port]).args(args).env("TERM", term);
        let mut t = Terminal::spawn(command, 60);
        t.row("> ", "");
        assert!(t.is_in_order(), "nothing has changed");
        t.keys("Hi\x7fello\n");
        t.until("the echo", |s| s.text().iter().any(|l| l == "Server: Hello"));
        t.keys("\x03");
        assert_eq!(t.wait(), ABORTED);
        let last: Vec<String> = t.screen.text().into_iter().rev().take(2).collect();
        assert_eq!(last, ["Disconnected.", "> ^C"], "{args:?}");
        assert!(t.is_in_order());
    }
}

#[test]
fn json_is_indented_on_a_terminal_only() {
    use tests::odd::Odd;
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"a\":[1,\"b\"]}";
    let shown = |args: &[&str]| {
        let odd = Odd::once(json);
        let mut t = Terminal::start(RUNNER, "httpclient", &[&["-b"], args, &[&odd.url("/")[..]]].concat(), 60);
        t.until("a body", |s| s.text().last().is_some_and(|l| l.ends_with('}')));
        assert_eq!(t.wait(), 0);
        (t.screen.text().to_vec(), String::from_utf8_lossy(&t.output).into_owned())
    };
    let (rows, bytes) = shown(&[]);
    assert_eq!(rows[rows.len() - 6..], ["{", "  \"a\": [", "    1,", "    \"b\"", "  ]", "}"]);
    assert!(bytes.contains("\x1b[32m\"b\"\x1b[0m"), "{bytes:?}");
    let (rows, _) = shown(&["--raw"]);
    assert_eq!(rows.last().map(String::as_str), Some("{\"a\":[1,\"b\"]}"));
    let odd = Odd::once(json);
    let ended = Tool::start("httpclient", &["-b", &odd.url("/")]).wait();
    assert_eq!(ended.stdout, "{\"a\":[1,\"b\"]}", "not a terminal");
}
