//! The chat on real sockets, on every driver: operators, passwords, events, coming back.
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use tests::process::{PATIENCE, RuntimeDir, Tool};
use tests::scenario::{drivers, normal};

struct Client(BufReader<TcpStream>);

impl Client {
    fn new(port: u16) -> Client {
        let s = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        s.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Client(BufReader::new(s))
    }
    fn named(port: u16, nick: &str) -> Client {
        let mut c = Client::new(port);
        c.say(&format!("/nick {nick}"));
        assert_eq!(c.line(), format!("* You are now known as {nick}"));
        c
    }
    fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }
    /// The next line; empty at the end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end_matches('\n').into()
    }
}

const SERVER: &str = "chat_server";

#[test]
fn operators_kick_and_ban() {
    for driver in drivers() {
        let (mut server, dir) = Tool::controlled(SERVER, &["0", "-q", "--driver", driver]);
        let port = server.port();
        let order = |text: &str| dir.order(SERVER, port, text);
        assert_eq!(order("/who"), "* nobody is here\n", "{driver}");
        let (mut alice, mut bob) = (Client::named(port, "Alice"), Client::named(port, "Bob"));
        let who = order("/who");
        let rows: Vec<String> = who.lines().map(normal).collect();
        let row = |nick: &str| format!("* {nick} fd=N 127.0.0.1:PORT since [HH:MM:SS] in #lobby");
        assert!(rows.contains(&row("Alice")) && rows.contains(&row("Bob")) && rows.len() == 2, "{driver}: {who}");

        assert_eq!(order("/kick nobody\x1b"), "! no such nick 'nobody\\x1b'\n");
        assert_eq!(order("/kick alice"), "* kicked Alice\n", "{driver}");
        assert_eq!((alice.line().as_str(), alice.line().as_str()), ("! you have been kicked", ""), "{driver}");
        assert_eq!(order("/say tea is ready"), "* said\n");
        assert_eq!(bob.line(), "* operator: tea is ready");

        assert_eq!(order("/ban 127.0.0.1/8"), "* banned 127.0.0.1/8: 1 connections ended\n", "{driver}");
        assert_eq!((bob.line().as_str(), bob.line().as_str()), ("! you have been banned", ""), "{driver}");
        let mut again = Client::new(port);
        assert_eq!((again.line().as_str(), again.line().as_str()), ("! you are not allowed here", ""), "{driver}");
        assert_eq!(order("/bans"), "* 127.0.0.1/8\n");
        assert_eq!(order("/unban 127.0.0.1/8"), "* 127.0.0.1/8 is not banned any more\n");
        assert_eq!(order("/unban 127.0.0.1/8"), "! 127.0.0.1/8 is not banned\n");
        Client::named(port, "Bob");

        assert!(order("/ban everyone").starts_with("! 'everyone' is not a block of addresses"));
        assert_eq!(order("/shutdown"), "! unknown order /shutdown (try /help)\n");
        assert_eq!(order(&"x".repeat(5000)), "! the line is too long\n", "{driver}");
        assert_eq!(order("/bans\n/bans"), "* nobody is banned\n* nobody is banned\n");
        drop((alice, bob, again)); // who stays is waited for
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn no_client_is_an_operator() {
    let mut server = Tool::start(SERVER, &["0", "-q"]);
    let port = server.port();
    let (mut alice, _bob) = (Client::named(port, "Alice"), Client::named(port, "Bob"));
    for order in ["kick", "ban", "say"] {
        alice.say(&format!("/{order} Bob"));
        assert_eq!(alice.line(), format!("! unknown command /{order} (try /help)"));
    }
}

#[test]
fn sessions_on_the_control_socket_are_bounded() {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    let (mut server, dir) = Tool::controlled(SERVER, &["0", "-q"]);
    let path = dir.0.join(format!("drywire-{SERVER}-{}.sock", server.port()));
    let held: Vec<UnixStream> = (0..16).map(|_| UnixStream::connect(&path).expect("it listens")).collect();
    let mut one_more = UnixStream::connect(&path).expect("it listens");
    let mut answer = String::new();
    one_more.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "! 16 others are connected already\n");
    drop(held);
    tests::process::until("there is room again", || {
        let mut answer = String::new();
        let asked = UnixStream::connect(&path).and_then(|mut s| {
            s.write_all(b"/bans\n")?;
            s.shutdown(std::net::Shutdown::Write)?;
            s.read_to_string(&mut answer)
        });
        asked.is_ok() && answer == "* nobody is banned\n"
    });
}

fn file(dir: &RuntimeDir, name: &str, text: &str, mode: u32) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path: PathBuf = dir.0.join(name);
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a file");
    path.to_str().expect("a name").into()
}

#[test]
fn a_password_comes_before_everything_else() {
    let (_, dir) = Tool::controlled(SERVER, &["--help"]);
    let secret = file(&dir, "secret", "open sesame\n", 0o600);
    let motd = file(&dir, "motd", "Welcome!\n\x1b[31mBe kind.\n", 0o644);
    for driver in drivers() {
        let args = ["0", "-q", "--password-file", &secret, "--motd", &motd, "--driver", driver];
        let mut server = Tool::start(SERVER, &args);
        let port = server.port();
        let mut stranger = Client::new(port);
        for line in ["hello", "/nick Eve", "/who", "/pass"] {
            stranger.say(line);
            assert_eq!(stranger.line(), "! password required (/pass PASSWORD)", "{driver}");
        }
        let number = port.to_string();
        let mut alice = Tool::start("chat_client", &["127.0.0.1", &number, "--password-file", &secret]);
        assert_eq!(alice.line(), "Connected! Enter /nick <name> to set nickname.");
        assert_eq!((alice.line().as_str(), alice.line().as_str()), ("* Welcome!", "* [31mBe kind."), "{driver}");
        alice.type_in("hello\n/who\n");
        assert!(alice.line().starts_with("* guest1 since "), "the stranger is not here");
        for _ in 0..3 {
            stranger.say("/pass open");
            assert_eq!(stranger.line(), "! wrong password", "{driver}");
        }
        assert_eq!(stranger.line(), "", "{driver}: the third time ends it");
        alice.end_input();
        assert_eq!(alice.wait().code, Some(0), "{driver}");
        drop(stranger);
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn files_that_will_not_do() {
    let (_, dir) = Tool::controlled(SERVER, &["--help"]);
    let refused = |flag: &str, path: &str, why: &str| {
        let ended = Tool::start(SERVER, &["0", flag, path]).wait();
        assert_eq!((ended.code, ended.stderr), (Some(2), format!("{SERVER}: {flag}: {path}: {why}\n")));
    };
    refused("--password-file", "/nowhere/at/all", "no such file or directory");
    refused("--password-file", &file(&dir, "empty", "\n", 0o600), "a password is one line of text");
    refused("--password-file", &file(&dir, "two", "a\nb\n", 0o600), "a password is one line of text");
    refused("--password-file", &file(&dir, "long", &"x".repeat(257), 0o600), "more than 256 bytes");
    refused("--motd", &file(&dir, "bytes", &"x".repeat(8193), 0o600), "more than 8192 bytes");
    refused("--motd", &file(&dir, "lines", &"x\n".repeat(65), 0o600), "more than 64 lines");
    refused("--motd", dir.0.to_str().expect("a name"), "is a directory");
    let open = file(&dir, "open", "secret", 0o644);
    let mut server = Tool::start(SERVER, &["0", "--password-file", &open]);
    server.line();
    assert!(server.stop().stderr.contains(&format!("{open} can be read by others (chmod 600 {open})\n")));
}

/// A line of the event stream, with what must differ made equal.
fn event(line: &str) -> String {
    let (head, rest) = line.split_once("\"time_ms\":").unwrap_or_else(|| panic!("no time in {line}"));
    format!("{head}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(','))
}

#[test]
fn events_for_programs() {
    for driver in drivers() {
        let (mut server, dir) = Tool::controlled(SERVER, &["0", "--ndjson", "--driver", driver]);
        let first = server.line();
        let (head, port) = first.rsplit_once(':').expect("a port");
        assert_eq!(event(head), r#"{"schema":"drywire/chat_server/1","event":"start","port""#, "{driver}");
        let port: u16 = port.trim_end_matches('}').parse().expect("a port");
        let mut alice = Client::named(port, "Alice");
        alice.say("say \"hi\"\x07");
        alice.say("/me waves");
        let mut lines = Vec::new();
        for _ in 0..4 {
            lines.push(event(&server.line()));
        }
        assert_eq!(dir.order(SERVER, port, "/kick Alice"), "* kicked Alice\n");
        lines.extend([event(&server.line()), event(&server.line())]);
        let want = [
            r##"{"event":"join","nick":"guest1","room":"#lobby"}"##,
            r#"{"event":"nick","nick":"guest1","to":"Alice"}"#,
            r##"{"event":"say","nick":"Alice","room":"#lobby","kind":"say","text":"say \"hi\""}"##,
            r##"{"event":"say","nick":"Alice","room":"#lobby","kind":"act","text":"waves"}"##,
            r#"{"event":"drop","nick":"Alice","reason":"kicked"}"#,
            r##"{"event":"leave","nick":"Alice","room":"#lobby","words":"kicked"}"##,
        ];
        assert_eq!(lines, want.map(String::from), "{driver}");
        drop(alice);
        let ended = server.stop();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{driver}");
    }
}

#[test]
fn bans_are_bounded() {
    let (mut server, dir) = Tool::controlled(SERVER, &["0", "-q"]);
    let port = server.port();
    let many: Vec<String> = (0..1025).map(|i| format!("/ban 10.0.{}.{}", i / 256, i % 256)).collect();
    let answer = dir.order(SERVER, port, &many.join("\n"));
    let mut last = answer.lines().rev();
    assert_eq!(last.next(), Some("! too many addresses are refused already"));
    assert_eq!(last.next(), Some("* banned 10.0.3.255/32: 0 connections ended"));
    assert_eq!(dir.order(SERVER, port, "/ban 10.0.0.0\n/unban 10.0.0.0\n/ban 10.9.9.9").lines().count(), 3);
    assert!(dir.order(SERVER, port, "/bans").ends_with("* 10.9.9.9/32\n"));
}

#[test]
fn a_client_says_how_its_connection_ended() {
    for driver in drivers() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port().to_string();
        for (name, reset) in
            [("echo_client", true), ("chat_client", true), ("echo_client", false), ("chat_client", false)]
        {
            let mut client = Tool::start(name, &["127.0.0.1", &port, "--driver", driver]);
            let (server, _) = listener.accept().expect("a client");
            client.line(); // its greeting: it knows that it is connected
            if reset {
                rustix::net::sockopt::set_socket_linger(&server, Some(std::time::Duration::ZERO)).expect("a socket");
            }
            drop(server);
            let why = if reset { "connection reset by peer" } else { "server closed the connection" };
            let ended = client.wait();
            assert_eq!((ended.code, ended.stderr), (Some(4), format!("Disconnected: {why}\n")), "{name} on {driver}");
        }
    }
}

#[test]
fn a_client_comes_back_and_hears_what_it_missed() {
    for driver in drivers() {
        let (mut server, dir) = Tool::controlled(SERVER, &["0", "-q", "--driver", driver]);
        let port = server.port();
        let number = port.to_string();
        let mut bob = Client::named(port, "Bob");
        let mut alice = Tool::start("chat_client", &["127.0.0.1", &number, "--reconnect", "--driver", driver]);
        assert_eq!(alice.line(), "Connected! Enter /nick <name> to set nickname.");
        alice.type_in("/nick Alice\n");
        assert_eq!(alice.line(), "You are now known as Alice", "{driver}");
        bob.say("before");
        assert_eq!(alice.line(), "<Bob> before", "{driver}: numbers are not shown");
        alice.type_in("mine\n");
        assert_eq!(bob.line(), "<Alice> mine", "{driver}: others see no numbers");
        assert_eq!(dir.order(SERVER, port, "/kick Alice"), "* kicked Alice\n");
        bob.say("meanwhile");
        assert_eq!(alice.line(), "! you have been kicked", "{driver}");
        assert_eq!(alice.line(), "<Bob> meanwhile", "{driver}");
        assert_eq!(alice.line(), "You are now known as Alice", "{driver}: it has its name again");
        alice.type_in("again\n");
        assert_eq!(bob.line(), "<Alice> again", "{driver}");
        alice.end_input();
        let ended = alice.wait();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{driver}");
        let note = "Disconnected: server closed the connection; trying again in ";
        assert!(ended.stderr.starts_with(note) && ended.stderr.lines().count() == 1, "{driver}: {}", ended.stderr);
        drop(bob); // who stays is waited for
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn a_restarted_server_is_known_as_such() {
    let (mut server, _dir) = Tool::controlled(SERVER, &["0", "-q"]);
    let port = server.port().to_string();
    let mut alice = Tool::start("chat_client", &["127.0.0.1", &port, "--reconnect"]);
    alice.line();
    alice.type_in("/nick Alice\n");
    assert_eq!(alice.line(), "You are now known as Alice");
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(alice.line(), "* server is going down");
    let (mut server, _dir) = Tool::controlled(SERVER, &[&port, "-q"]);
    server.line();
    assert_eq!(alice.line(), "* missed at least 0 messages (the room was started anew)");
    assert_eq!(alice.line(), "You are now known as Alice");
    alice.signal(rustix::process::Signal::INT);
    assert_eq!(alice.wait().code, Some(130));
}

#[test]
fn a_first_connection_is_not_tried_again() {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a port").port();
    let ended = Tool::start("chat_client", &["127.0.0.1", &free.to_string(), "--reconnect"]).wait();
    let text = format!("chat_client: connect to 127.0.0.1:{free}: connection refused (tried 127.0.0.1)\n");
    assert_eq!((ended.code, ended.stderr), (Some(4), text));
}
