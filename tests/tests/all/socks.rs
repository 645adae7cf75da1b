//! `socks5_proxy` with real clients, bad clients, and targets that stall, reset and half-close.
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;
use tests::process::{Ended, PATIENCE, Tool, have, until};
use tests::scenario::drivers;

pub fn patient(s: TcpStream) -> TcpStream {
    s.set_read_timeout(Some(PATIENCE)).expect("a socket");
    s.set_write_timeout(Some(PATIENCE)).expect("a socket");
    s
}

pub fn connect(port: u16) -> TcpStream {
    patient(TcpStream::connect(("127.0.0.1", port)).expect("it listens"))
}

/// A proxy that leads to this machine, and its port.
pub fn proxy(driver: &str, more: &[&str]) -> (Tool, u16) {
    let mut tool = Tool::start("socks5_proxy", &[&["0", "--allow", "loopback", "--driver", driver], more].concat());
    let port = tool.port();
    assert!(tool.line().starts_with("Authentication: "));
    (tool, port)
}

/// A connection to `to` through the proxy.
pub fn through(port: u16, to: SocketAddr) -> TcpStream {
    let mut s = connect(port);
    let SocketAddr::V4(to) = to else { panic!("IPv4 here") };
    s.write_all(&[5, 1, 0]).expect("it reads");
    let mut answer = [0; 12];
    s.read_exact(&mut answer[..2]).expect("it answers");
    s.write_all(&[&[5, 1, 0, 1], &to.ip().octets()[..], &to.port().to_be_bytes()].concat()).expect("it reads");
    s.read_exact(&mut answer[2..]).expect("it answers");
    assert_eq!(answer[..6], [5, 0, 5, 0, 0, 1]);
    s
}

pub fn target() -> (TcpListener, SocketAddr) {
    let l = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = l.local_addr().expect("it is bound");
    (l, at)
}

/// Answers each connection with one page.
pub fn pages(n: usize) -> SocketAddr {
    let (l, at) = target();
    std::thread::spawn(move || {
        for _ in 0..n {
            let Ok((mut s, _)) = l.accept() else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut b = [0];
                if s.read(&mut b).unwrap_or(0) == 0 {
                    break;
                }
                head.push(b[0]);
            }
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n203.0.113.45");
        }
    });
    at
}

/// A file of its own, gone at the end.
pub struct File(std::path::PathBuf);

impl File {
    pub fn new(name: &str, text: &str) -> File {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("drywire-socks-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
        File(path)
    }
    pub fn path(&self) -> &str {
        self.0.to_str().expect("a name")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // in nobody's way
    }
}

/// A log line with its time, ports and sizes as placeholders.
fn plain(line: &str) -> String {
    let mut out = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' if out.ends_with('N') => {}
            '0'..='9' => out.push('N'),
            c => out.push(c),
        }
    }
    out
}

pub fn curl(args: &[&str]) -> (Option<i32>, String) {
    let out = Command::new("curl").args(["-s", "-m", "20"]).args(args).output().expect("installed");
    (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
fn the_page_is_as_printed_on_all_drivers() {
    if !have("curl") {
        return;
    }
    let users = File::new("users", "# who may\nuser:pass\n");
    for driver in drivers() {
        let at = pages(2);
        let args = ["-p", "0", "--auth", users.path(), "--allow", "loopback", "--driver", driver];
        let mut tool = Tool::start("socks5_proxy", &args);
        let banner = tool.line();
        let port: u16 = banner.strip_prefix("SOCKS5 proxy listening on port ").expect(&banner).parse().expect(&banner);
        assert_eq!(tool.line(), "Authentication: username/password required");
        let (proxy, url) = (format!("localhost:{port}"), format!("http://localhost:{}/", at.port()));
        let got = curl(&["--socks5-hostname", &proxy, "-U", "user:pass", &url]);
        assert_eq!(got, (Some(0), "203.0.113.45".into()), "{driver}");
        let lines: Vec<String> = (0..5).map(|_| plain(&tool.line())).collect();
        assert_eq!(
            lines,
            [
                "[N:N:N] Client N.N.N.N:N authenticated as 'user'",
                "[N:N:N] CONNECT localhost:N",
                "[N:N:N] Connection established, forwarding",
                "[N:N:N] Transferred: N.N KB up, N.N KB down",
                "[N:N:N] Connection closed"
            ],
            "{driver}"
        );
        // curl resolves itself; and the two ways not to get in.
        let url = format!("http://127.0.0.1:{}/", at.port());
        assert_eq!(curl(&["--socks5", &proxy, "-U", "user:pass", &url]).0, Some(0), "{driver}");
        assert_eq!(curl(&["--socks5-hostname", &proxy, &url]).0, Some(97), "{driver}: refused without a login");
        assert_eq!(curl(&["--socks5-hostname", &proxy, "-U", "user:wrong", &url]).0, Some(97), "{driver}");
        let ended = tool.stop();
        assert_eq!(ended.code, Some(0), "{driver}");
        let rest: Vec<String> = ended.stdout.lines().map(plain).collect();
        assert!(rest.contains(&"[N:N:N] Client N.N.N.N:N: no acceptable method".into()), "{driver}: {rest:?}");
        assert!(rest.contains(&"[N:N:N] Client N.N.N.N:N failed to authenticate as 'user'".into()), "{rest:?}");
        assert!(!ended.stdout.contains("wrong") && !ended.stdout.contains("pass\n"), "no passwords");
    }
}

/// What the client sends, what it hears, and what the log says.
#[rustfmt::skip]
const BAD: &[(&[u8], &[u8], &str)] = &[
    (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"", "not SOCKS5: version 4"),
    (b"GET / HTTP/1.1\r\n\r\n", b"", "not SOCKS5: version 71"),
    (b"\x05\x00", b"\x05\xff", "no methods offered"),
    (b"\x05\x01\x02", b"\x05\xff", "no acceptable method"),
    (b"\x05\x01\x00\x05\x09\x00\x01", b"\x05\x00\x05\x07\x00\x01\0\0\0\0\0\0", "unknown command"),
    (b"\x05\x01\x00\x05\x02\x00\x01\x7f\0\0\x01\0\x50", b"\x05\x00\x05\x07\x00\x01\0\0\0\0\0\0", "command not supported"),
    (b"\x05\x01\x00\x05\x01\x00\x02", b"\x05\x00\x05\x08\x00\x01\0\0\0\0\0\0", "unknown type of address"),
    (b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", b"\x05\x00\x05\x01\x00\x01\0\0\0\0\0\0", "empty domain name"),
    (b"\x05\x01\x00\x05\x01\x00\x03\x03a\0b\x00\x50", b"\x05\x00\x05\x01\x00\x01\0\0\0\0\0\0", "not a domain name"),
    (b"\x05\x01\x00\x05\x01\x00\x01\x7f\0\0\x01\0\0", b"\x05\x00\x05\x01\x00\x01\0\0\0\0\0\0", "port 0"),
    (b"\x05\x01\x00\x05\x01\x00\x01\0\0\0\0\0\x50", b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0", "denied by rule: unspecified"),
    (b"\x05\x01\x00\x05\x01\x00\x01\xa9\xfe\xa9\xfe\0\x50", b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0", "denied by rule: metadata"),
    (b"\x05\x01\x00\x05\x01\x00\x03\x05127.1\0\x50", b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0", "a name that looks like a number"),
    (b"\x05\x01\x00\x05\x01\x00\x03\x0fno-such.invalid\0\x50", b"\x05\x00\x05\x04\x00\x01\0\0\0\0\0\0", "name not found"),
];

#[test]
fn bad_clients_hear_the_right_word_on_all_drivers() {
    for driver in drivers() {
        let (mut tool, port) = proxy(driver, &[]);
        for (bytes, answer, log) in BAD {
            let mut s = connect(port);
            s.write_all(bytes).expect("it reads");
            let mut heard = Vec::new();
            let end = s.read_to_end(&mut heard);
            assert!(end.is_ok(), "{driver}: {log}: {end:?}");
            assert_eq!(heard, *answer, "{driver}: {log}");
            let line = tool.line();
            let line = if line.contains("] CONNECT") || line.contains("] BIND") { tool.line() } else { line };
            assert!(line.contains(log), "{driver}: {line}");
        }
        let mut s = connect(port);
        s.write_all(b"\x05\x02\x00").and_then(|()| s.shutdown(Shutdown::Write)).expect("it reads");
        assert_eq!(s.read(&mut [0]).expect("it closes"), 0);
        assert!(tool.line().ends_with("closed during handshake after 3 bytes"), "{:?}", tool.lines);
        // Nobody listens there, and the proxy itself does.
        let (gone, at) = target();
        drop(gone);
        for (to, code, log) in
            [(at.port(), 5, "Failed: connection refused"), (port, 2, "Failed: denied by rule: own listener")]
        {
            let mut s = connect(port);
            s.write_all(&[&b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01"[..], &to.to_be_bytes()].concat())
                .expect("it reads");
            let mut heard = Vec::new();
            s.read_to_end(&mut heard).expect("it closes");
            assert_eq!(heard.get(3), Some(&code), "{driver}: {heard:?}");
            tool.line();
            assert!(tool.line().ends_with(log), "{driver}: {:?}", tool.lines.last());
        }
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

pub fn byte(i: usize, salt: u64) -> u8 {
    ((i as u64 ^ salt << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Sends bytes in pieces of all sizes, then its end.
pub fn send(mut to: TcpStream, len: usize, salt: u64) {
    let all: Vec<u8> = (0..len).map(|i| byte(i, salt)).collect();
    let (mut rest, mut n) = (&all[..], 1);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(n.min(rest.len()));
        to.write_all(now).expect("it reads");
        n = (n * 5 + 3) % 200_003;
        rest = later;
    }
    to.shutdown(Shutdown::Write).expect("a socket");
}

/// Reads to the end, in sips and draughts, so that the sender meets full buffers; whether it was all there.
pub fn receive(mut from: TcpStream, len: usize, salt: u64) -> bool {
    let (mut at, mut buf, mut turn) = (0, vec![0; 256 << 10], 0);
    loop {
        turn += 1;
        let n = if turn % 64 < 32 { 100 } else { buf.len() };
        match from.read(&mut buf[..n]).expect("it sends") {
            0 => return at == len,
            n => {
                if buf[..n].iter().zip(at..).any(|(b, i)| *b != byte(i, salt)) {
                    return false;
                }
                at += n;
            }
        }
    }
}

#[test]
fn sk_09_megabytes_both_ways_at_once_on_all_drivers() {
    const LEN: usize = 2_000_000;
    for driver in drivers() {
        let (mut tool, port) = proxy(driver, &["-q"]);
        let (l, at) = target();
        let before = tool.memory();
        let pairs: Vec<_> = (0..3).map(|_| (through(port, at), patient(l.accept().expect("it connects").0))).collect();
        let threads: Vec<_> = pairs
            .iter()
            .flat_map(|(c, t)| [(c, t), (t, c)])
            .zip(1u64..)
            .flat_map(|((a, b), salt)| {
                let (a, b) = (a.try_clone().expect("a socket"), b.try_clone().expect("a socket"));
                let sender = std::thread::spawn(move || {
                    send(a, LEN, salt);
                    true
                });
                [sender, std::thread::spawn(move || receive(b, LEN, salt))]
            })
            .collect();
        // Others are served meanwhile, and those that reset disturb nobody.
        for i in 0..20 {
            let (mut c, (mut t, _)) = (through(port, at), l.accept().expect("it connects"));
            c.write_all(b"word").expect("it reads");
            let mut word = [0; 4];
            patient(t.try_clone().expect("a socket")).read_exact(&mut word).expect("it sends");
            assert_eq!(&word, b"word", "{driver}");
            let first = if i % 2 == 0 { &mut c } else { &mut t };
            rustix::net::sockopt::set_socket_linger(first, Some(Duration::ZERO)).expect("a socket");
        }
        assert!(threads.into_iter().all(|t| t.join().expect("no panic")), "{driver}");
        // Three pairs, two directions, a limit and one read each; and what pools keep.
        let grown = tool.memory().saturating_sub(before);
        assert!(grown < 24 << 20, "{driver}: {grown} bytes more");
        assert!(!tool.has_line(), "{driver}: it is quiet");
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn sk_09_ends_pass_as_what_they_are_on_all_drivers() {
    for driver in drivers() {
        let (tool, port) = proxy(driver, &["-q"]);
        let (l, at) = target();
        let before = tool.descriptors();
        for client_first in [true, false] {
            let (c, t) = (through(port, at), patient(l.accept().expect("it connects").0));
            let (mut first, mut second) = if client_first { (c, t) } else { (t, c) };
            first.write_all(b"question").and_then(|()| first.shutdown(Shutdown::Write)).expect("it reads");
            let mut text = String::new();
            second.read_to_string(&mut text).expect("it passes the end on");
            second.write_all(b"answer").and_then(|()| second.shutdown(Shutdown::Write)).expect("it reads");
            first.read_to_string(&mut text).expect("it passes the other end on");
            assert_eq!(text, "questionanswer", "{driver}");
            let (c, t) = (through(port, at), patient(l.accept().expect("it connects").0));
            let (mut first, mut second) = if client_first { (c, t) } else { (t, c) };
            first.write_all(b"x").expect("it reads");
            second.read_exact(&mut [0]).expect("it sends");
            rustix::net::sockopt::set_socket_linger(&first, Some(Duration::ZERO)).expect("a socket");
            drop(first);
            let error = second.read(&mut [0]).expect_err("a reset");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{driver}");
        }
        until(&format!("{driver}: descriptors return"), || tool.descriptors() <= before);
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn sk_08_what_comes_early_is_sent_after_the_reply_on_all_drivers() {
    for driver in drivers() {
        let (tool, port) = proxy(driver, &["-q"]);
        let (l, at) = target();
        let early: Vec<u8> = (0..9000).map(|i| byte(i, 9)).collect();
        for cut in [1, 3, 4, 13, 100, 5000] {
            let request =
                [&b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01"[..], &at.port().to_be_bytes(), &early].concat();
            let mut c = connect(port);
            let (a, b) = request.split_at(cut);
            c.write_all(a).expect("it reads");
            c.write_all(b).expect("it reads");
            let mut t = patient(l.accept().expect("it connects").0);
            let mut got = vec![0; early.len()];
            t.read_exact(&mut got).expect("it sends");
            assert!(got == early, "{driver}, cut at {cut}");
            t.write_all(b"first").expect("it reads");
            let mut heard = [0; 2 + 10 + 5];
            c.read_exact(&mut heard).expect("it answers");
            assert_eq!((&heard[..4], &heard[12..]), (&[5, 0, 5, 0][..], &b"first"[..]), "{driver}");
        }
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

fn run(args: &[&str]) -> Ended {
    let mut tool = Tool::start("socks5_proxy", args);
    tool.end_input();
    tool.wait()
}

#[test]
fn bad_command_lines_and_files() {
    let (bad, empty, long, rules) = (
        File::new("bad", "a:b\n# c\nnobody\n"),
        File::new("empty", "# nobody\n"),
        File::new("long", &format!("{}:x\n", "u".repeat(256))),
        File::new("rules", "allow 10.0.0.0/8\ndeny everything!\n"),
    );
    let (good, usage) = (File::new("good", "a:b\n"), File::new("usage", "2026-11\n5\n"));
    let refused = "refusing to run an open proxy on 0.0.0.0:1080; use --auth, --allow-from or --open";
    let destination = "is not a destination such as 10.0.0.0/8, loopback, example.com, *.example.com, *:25 or [::1]:80";
    for (args, text) in [
        (vec!["0", "--auth", bad.path()], format!("{}:3: expected user:password", bad.path())),
        (vec!["0", "--auth", empty.path()], format!("{}: no users", empty.path())),
        (vec!["0", "--auth", long.path()], format!("{}:1: a user has at most 255 bytes", long.path())),
        (vec!["0", "--auth", "/no/such"], "/no/such: no such file or directory".into()),
        (vec!["0", "--rules", rules.path()], format!("{}:2: 'everything!' {destination}", rules.path())),
        (vec!["0", "--allow", "10.0.0.0/99"], format!("--allow: '10.0.0.0/99' {destination}")),
        (vec!["--listen", "0.0.0.0:1080"], refused.into()),
        (vec!["--listen", "0.0.0.0", "-p", "1080"], refused.into()),
        (vec!["--listen", "[::]:1080"], refused.replace("0.0.0.0", "[::]")),
        (vec!["99999"], "port '99999' is not in 0-65535".into()),
        (vec!["0", "--dns", "ns1"], "--dns: 'ns1' is not an address such as 9.9.9.9 or [::1]:5353".into()),
        (vec!["0", "--auth-once"], "missing --auth <FILE> (see --help)".into()),
        (vec!["0", "--max-rate-per-user", "1MB"], "missing --auth <FILE> (see --help)".into()),
        (vec!["0", "--auth", good.path(), "--max-bytes-per-user", "1GB"], "missing --usage <FILE> (see --help)".into()),
        (
            vec!["0", "--auth", good.path(), "--max-rate-per-user", "0"],
            "--max-rate-per-user: 0 bytes are none at all".into(),
        ),
        (
            vec!["0", "--auth", good.path(), "--usage", usage.path()],
            format!("{}:2: expected the bytes and the name of a user", usage.path()),
        ),
        (
            vec!["0", "--auth", good.path(), "--max-per-user", "1", "--threads", "2"],
            "--threads: what a user uses is counted on one loop".into(),
        ),
        (vec!["0", "--dry-run", "x"], "--dry-run: 'x' is not HOST:PORT".into()),
    ] {
        let ended = run(&[&args[..], &["--driver", "epoll"]].concat());
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(2), format!("socks5_proxy: {text}\n").as_str()),
            "{args:?}"
        );
        assert_eq!(ended.stdout, "");
    }
    let (held, at) = target();
    let ended = run(&["--listen", &at.to_string()]);
    assert_eq!(ended.code, Some(9), "{}", ended.stderr);
    drop(held);
    let mut open = Tool::start("socks5_proxy", &["--listen", "0.0.0.0:0", "--open", "-q"]);
    open.port();
    assert_eq!(open.stop().code, Some(0), "who says so may");
}

#[test]
fn what_users_use_is_limited_and_written_on_all_drivers() {
    if !have("curl") {
        return;
    }
    let users = File::new("counted", "user:pass\n");
    for driver in drivers() {
        let usage = File::new(&format!("usage-{driver}"), "");
        let at = pages(3);
        let auth = ["--auth", users.path(), "--usage", usage.path()];
        let limits = ["--max-bytes-per-user", "100", "--max-rate-per-user", "1MB"];
        let (tool, port) = proxy(driver, &[auth, limits].concat());
        let (via, url) = (format!("localhost:{port}"), format!("http://localhost:{}/", at.port()));
        let got = curl(&["--socks5-hostname", &via, "-U", "user:pass", &url]);
        assert_eq!(got, (Some(0), "203.0.113.45".into()), "{driver}");
        let got = curl(&["--socks5-hostname", &via, "-U", "user:pass", &url]);
        assert_eq!(got.0, Some(97), "{driver}: all is used");
        let ended = tool.stop();
        assert!(ended.code == Some(0) && ended.stdout.contains("has used up the bytes of this month"), "{ended:?}");
        let text = std::fs::read_to_string(usage.path()).expect("it was written");
        let line = text.lines().last().expect("a line");
        let bytes: u64 = line.strip_suffix(" user").and_then(|n| n.parse().ok()).expect(line);
        assert!((100..300).contains(&bytes), "{text}");
    }
}

#[test]
fn dry_runs_and_hashed_passwords() {
    let rules = File::new("dry", "deny *:25\nallow loopback user=alice\n");
    for (args, code, text) in [
        (&["10.0.0.1:25"][..], 10, "10.0.0.1:25: 10.0.0.1: denied by rule: deny *:25\n"),
        (&["10.0.0.1:80"], 0, "10.0.0.1:80: 10.0.0.1: allowed\n"),
        (&["[::1]:80"], 10, "::1:80: ::1: denied by rule: loopback\n"),
        (&["[::1]:80", "--user", "alice"], 0, "::1:80: ::1: allowed\n"),
        (&["127.1:80"], 10, "127.1:80: denied by rule: a name that looks like a number\n"),
    ] {
        let ended = run(&[&["--rules", rules.path(), "--dry-run"], args].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), text), "{args:?}");
    }
    let mut tool = Tool::start("socks5_proxy", &["--hash-password", "alice"]);
    tool.type_in("open sesame\n");
    let line = tool.line();
    assert!(line.starts_with("alice:$argon2id$v=19$m=19456,t=2,p=1$"), "{line}");
    assert_eq!(tool.wait().code, Some(0));
    if !have("curl") {
        return;
    }
    let (users, at) = (File::new("hashed", &line), pages(1));
    let mut tool = Tool::start("socks5_proxy", &["0", "--auth", users.path(), "--allow", "loopback", "-q"]);
    let (proxy, url) = (format!("localhost:{}", tool.port()), format!("http://localhost:{}/", at.port()));
    assert_eq!(curl(&["--socks5-hostname", &proxy, "-U", "alice:sesame", &url]).0, Some(97));
    assert_eq!(curl(&["--socks5-hostname", &proxy, "-U", "alice:open sesame", &url]).1, "203.0.113.45");
    assert_eq!(tool.stop().code, Some(0));
}
