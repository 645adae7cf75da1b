//! `httpclient` as a process, against a server that does what a script says.
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use tests::odd::{Do, Odd};
use tests::process::{Ended, Tool, tool};
use tests::scenario::drivers;

/// A folder of its own, in which the client runs.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("drywire-fetch-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        Folder(dir)
    }
    pub fn start(&self, args: &[&str]) -> Tool {
        let mut command = Command::new(tool("httpclient"));
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"] {
            command.env_remove(name);
        }
        command.args(args).current_dir(&self.0);
        Tool::spawn(command)
    }
    pub fn run(&self, args: &[&str]) -> Ended {
        self.start(args).wait()
    }
    pub fn put(&self, name: &str, bytes: &[u8]) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a file");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("ours");
    }
    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(name)).ok()
    }
    pub fn names(&self) -> Vec<String> {
        let all = std::fs::read_dir(&self.0).expect("a folder").flatten();
        let mut names: Vec<String> = all.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // it is in the way of nobody
    }
}

pub fn fetch(args: &[&str]) -> Ended {
    Folder::new().run(args)
}

fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
    Ended { code: Some(code), stdout: stdout.into(), stderr: stderr.into() }
}

fn say(text: &str) -> Do {
    Do::Say(text.as_bytes().to_vec())
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";
const SHOWN: &str = "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 6\n\nhello\n";

#[test]
fn command_lines_as_printed() {
    let odd = Odd::once(HELLO);
    assert_eq!(fetch(&[&odd.url("/get")]), ended(0, SHOWN, ""));
    let host = format!("127.0.0.1:{}", odd.port);
    assert_eq!(
        odd.heard(),
        format!("GET /get HTTP/1.1\r\nHost: {host}\r\nUser-Agent: drywire/0.1\r\nConnection: keep-alive\r\n\r\n")
    );

    let odd = Odd::once(HELLO);
    assert_eq!(fetch(&["-X", "POST", "-d", "name=test", &odd.url("/post")]), ended(0, SHOWN, ""));
    let want = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nname=test";
    let got = odd.heard();
    assert!(got.starts_with("POST /post HTTP/1.1\r\n") && got.ends_with(want), "{got}");

    let folder = Folder::new();
    let image = vec![0x9b; 45_234];
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 45234\r\n\r\n";
    let odd = Odd::once([&head[..], &image].concat());
    let got = folder.run(&["-o", "image.png", &odd.url("/image.png")]);
    assert_eq!(got, ended(0, "Downloaded 45,234 bytes to image.png\n", ""));
    assert_eq!((folder.file("image.png"), folder.names()), (Some(image), vec!["image.png".into()]));

    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n\
        f\r\n<!DOCTYPE html>\r\n0\r\n\r\n";
    let odd = Odd::once(answer);
    let host = format!("127.0.0.1:{}", odd.port);
    let lines = format!(
        "> GET / HTTP/1.1\n> Host: {host}\n> User-Agent: drywire/0.1\n> Connection: keep-alive\n>\n\
         < HTTP/1.1 200 OK\n< Content-Type: text/html\n< Transfer-Encoding: chunked\n<\n"
    );
    assert_eq!(fetch(&["-v", &odd.url("")]), ended(0, "<!DOCTYPE html>", &lines));
}

#[test]
fn one_connection_serves_several_urls() {
    let odd = Odd::start(vec![vec![Do::Read, say(HELLO), Do::Read, say(HELLO), Do::Read, say(HELLO)]]);
    let got = fetch(&["-v", "-b", &odd.url("/1"), &odd.url("/2"), &odd.url("/3")]);
    assert_eq!((got.code, got.stdout.as_str()), (Some(0), "hello\nhello\nhello\n"));
    assert_eq!(got.stderr.matches("* reusing connection 1\n").count(), 2, "{}", got.stderr);
    // Who says close, or speaks HTTP/1.0, or says too much, is not used again.
    let close = HELLO.replace("Content-Type", "Connection: close\r\nContent-Type");
    let old = HELLO.replace("HTTP/1.1", "HTTP/1.0");
    for first in [close, old, format!("{HELLO}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")] {
        let odd = Odd::start(vec![vec![Do::Read, say(&first)], vec![Do::Read, say(HELLO)]]);
        let got = fetch(&["-v", "-b", &odd.url("/1"), &odd.url("/2")]);
        assert_eq!((got.code, got.stdout.as_str()), (Some(0), "hello\nhello\n"), "{first}");
        assert!(!got.stderr.contains("reusing"), "{}", got.stderr);
    }
}

/// Answers of which each has the body `hello world`.
fn forms() -> Vec<(&'static str, String)> {
    let head = |h: &str| format!("HTTP/1.1 200 OK\r\n{h}\r\n");
    vec![
        ("length", head("Content-Length: 11\r\n") + "hello world"),
        ("chunks", head("Transfer-Encoding: chunked\r\n") + "5;x=\"y\"\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n"),
        ("close", head("") + "hello world"),
        ("old", "HTTP/1.0 200 OK\r\n\r\nhello world".into()),
        (
            "interim",
            format!(
                "{}{}",
                "HTTP/1.1 103 Early\r\nA: b\r\n\r\n".repeat(3),
                head("Content-Length: 11\r\n") + "hello world"
            ),
        ),
    ]
}

#[test]
fn a_body_ends_in_three_ways_in_any_cut() {
    for (name, answer) in forms() {
        for script in [Do::Say(answer.clone().into_bytes()), Do::Drip(answer.clone().into_bytes())] {
            let odd = Odd::start(vec![vec![Do::Read, script]]);
            assert_eq!(fetch(&["-b", &odd.url("/")]), ended(0, "hello world", ""), "{name}");
        }
    }
    let odd = Odd::once("HTTP/1.1 200 OK\r\n\r\nx");
    let got = fetch(&["-v", &odd.url("/")]);
    assert!(got.stderr.ends_with("* body ends with the connection\n"), "{}", got.stderr);
    for none in ["HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n"] {
        let odd = Odd::start(vec![vec![Do::Read, say(none), Do::Linger]]);
        assert_eq!(fetch(&["-b", &odd.url("/")]), ended(0, "", ""));
    }
    let odd = Odd::start(vec![vec![Do::Read, say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), Do::Linger]]);
    assert_eq!(fetch(&["-I", &odd.url("/")]), ended(0, "HTTP/1.1 200 OK\nContent-Length: 5\n\n", ""));
    assert!(odd.heard().starts_with("HEAD / "));
}

#[test]
fn what_ends_early_is_never_a_success() {
    for (name, answer) in forms().into_iter().filter(|(n, _)| matches!(*n, "length" | "chunks")) {
        let scripts = (0..answer.len()).map(|n| vec![Do::Read, say(&answer[..n])]).collect();
        let odd = Odd::start(scripts);
        let folder = Folder::new();
        for cut in 0..answer.len() {
            let got = folder.run(&["-o", "f", "--force", &odd.url("/")]);
            let code = if cut == 0 { 4 } else { 7 };
            assert_eq!((got.code, got.stdout.as_str()), (Some(code), ""), "{name} cut at {cut}: {}", got.stderr);
            assert!(folder.file("f").is_none());
        }
    }
    let folder = Folder::new();
    let odd = Odd::once(["HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", &"x".repeat(1000)].concat());
    let got = folder.run(&["-o", "f", &odd.url("/")]);
    let text = "httpclient: connection closed: got 1,000 of 1,234 bytes (f.part is kept)\n";
    assert_eq!(got, ended(7, "", text));
    assert_eq!(folder.file("f.part").map(|f| f.len()), Some(1000));
    let odd = Odd::start(vec![vec![Do::Read, Do::Reset]]);
    assert_eq!(fetch(&[&odd.url("/")]).code, Some(4));
}

#[test]
fn answers_that_are_refused() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
    for (answer, why) in [
        ("SSH-2.0-OpenSSH_9.6\r\n".into(), "not an HTTP response: at byte 0: \"SSH-2.0-OpenSSH_9.6\\r\\n\""),
        ("\x1b[2J".into(), "not an HTTP response: at byte 0: \"\\x1b[2J\""),
        (format!("{ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), "RFC 9112 6.3"),
        (
            format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            "Content-Length given twice at byte 57 (RFC 9112 6.3)",
        ),
        (format!("{ok}Content-Length: 1x\r\n\r\n"), "(RFC 9110 8.6)"),
        (format!("{ok}Content-Length: +1\r\n\r\n"), "(RFC 9110 8.6)"),
        (format!("{chunked}zz\r\n"), "(RFC 9112 7.1)"),
        (format!("{chunked}1\r\nab\r\n"), "(RFC 9112 7.1)"),
        (format!("{chunked}10000000000000000\r\n"), "(RFC 9112 7.1)"),
        (format!("{chunked}1;a\n\r\nx\r\n0\r\n\r\n"), "(RFC 9112 7.1"),
        (format!("{ok}A: 1\r\n b\r\n\r\n"), "at byte 23 (RFC 9112 5)"),
        (format!("{ok}A : 1\r\n\r\n"), "at byte 17 (RFC 9112 5)"),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n".into(), "(RFC 9112 2.2)"),
        (format!("{ok}A: {}\r\n\r\n", "x".repeat(70_000)), "too large"),
        (format!("{ok}{}\r\n", "A: 1\r\n".repeat(101)), "too many"),
        (format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(20_000)), "too long"),
        ("HTTP/1.1 100 Continue\r\n\r\n".repeat(17), "too many informational"),
        (
            "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".into(),
            "an upgrade that nobody asked for",
        ),
        ("HTTP/2.0 200 OK\r\n\r\n".into(), "a version other than HTTP/1.x"),
        ("HTTP/1.1 099 OK\r\n\r\n".into(), "a status"),
    ] {
        let odd = Odd::start(vec![vec![Do::Read, say(&answer), Do::Linger]]);
        let got = fetch(&["-b", &odd.url("/")]);
        assert_eq!(got.code, Some(7), "{answer}: {}", got.stderr);
        assert!(got.stdout.is_empty() || got.stdout == "a", "{answer}");
        assert!(got.stderr.contains(why) && got.stderr.lines().count() == 1, "{answer}: {}", got.stderr);
    }
    // What is forgiven with --lint is listed, and the body is there.
    let lax = "HTTP/1.1 200 OK\nA : 1\r\n b\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok";
    let odd = Odd::once(lax);
    let got = fetch(&["--lint", "-b", &odd.url("/")]);
    assert_eq!((got.code, got.stdout.as_str()), (Some(0), "ok"), "{}", got.stderr);
    assert_eq!(
        got.stderr.lines().filter(|l| l.starts_with("lint: ") && l.contains("RFC")).count(),
        4,
        "{}",
        got.stderr
    );
}

#[test]
fn bad_command_lines_end_with_2_and_one_line() {
    let folder = Folder::new();
    folder.put("empty", b"");
    for (args, why) in [
        (&[][..], "missing <URL"),
        (&["http://:x"], "malformed URL at column 9: bad port"),
        (&["ftp://a/"], "unsupported scheme 'ftp'"),
        (&["file:///etc/passwd"], "unsupported scheme 'file'"),
        (&["http://a/ b"], "malformed URL at column 10: a space or control character"),
        (&["http://a/\r\nX: y"], "malformed URL at column 10: a space or control character"),
        (&["--nope", "http://a/"], "unknown argument '--nope'"),
        (&["-H", "A: b\r\nC: d", "http://a/"], "control character"),
        (&["-H", "A\r\nC: d", "http://a/"], "not a token"),
        (&["-H", "A b: d", "http://a/"], "not a token"),
        (&["-H", "Content-Length: 3", "http://a/"], "writes this one itself"),
        (&["-H", "Host:", "http://a/"], "a request has a Host"),
        (&["-X", "GET /\r\n", "http://a/"], "is not a method"),
        (&["-A", "x\r\ny", "http://a/"], "control character"),
        (&["-e", "x\ny", "http://a/"], "control character"),
        (&["-u", "x\ny", "http://a/"], "control character"),
        (&["--cookie", "a=b\r\nX: y", "http://a/"], "control character"),
        (&["-o", "a", "-o", "b", "http://a/"], "-o is given 2 times for 1 URLs"),
        (&["-d", "@nope", "http://a/"], "cannot read 'nope': no such file"),
        (&["-d", "@.", "http://a/"], "cannot read '.': not a regular file"),
        (&["-F", "x", "http://a/"], "a field is NAME=VALUE"),
        (&["--bearer-file", "empty", "http://a/"], "not a token"),
        (&["--netrc-file", "nope", "http://a/"], "no such file"),
        (&["--via", "socks4://p", "http://a/"], "there are http://, socks5:// and socks5h:// proxies"),
        (&["--resolve", "a:1", "http://a/"], "not HOST:PORT:ADDRESS"),
        (&["--limit-rate", "0", "http://a/"], "at least 1 byte"),
        (&["--timeout", "x", "http://a/"], "not a duration"),
        (&["-b", "--headers", "http://a/"], "cannot be used with"),
    ] {
        let got = folder.run(args);
        assert_eq!((got.code, got.stdout.as_str()), (Some(2), ""), "{args:?}: {}", got.stderr);
        assert!(got.stderr.contains(why) && got.stderr.lines().count() == 1, "{args:?}: {}", got.stderr);
        assert!(got.stderr.starts_with("httpclient: "), "{}", got.stderr);
    }
    for (args, code, why) in [
        (&["http://no.such.host.invalid/"][..], 3, "cannot resolve 'no.such.host.invalid'"),
        (&["http://127.0.0.1:1/"], 4, "connect to 127.0.0.1:1: connection refused (tried 127.0.0.1)"),
        (&["https://127.0.0.1:1/"], 4, "connect to 127.0.0.1:1: connection refused (tried 127.0.0.1)"),
        (&["-o", ".", "http://127.0.0.1:1/"], 9, ". is a directory"),
        (&["-o", "empty", "http://127.0.0.1:1/"], 9, "empty exists (use --force or -C -)"),
        (&["-o", "no/such", "http://127.0.0.1:1/"], 9, "no such folder"),
    ] {
        let got = folder.run(args);
        assert_eq!(got.code, Some(code), "{args:?}: {}", got.stderr);
        assert!(got.stderr.contains(why) && got.stderr.lines().count() == 1, "{args:?}: {}", got.stderr);
    }
    assert_eq!(folder.names(), ["empty"], "nothing is left behind");
}

#[test]
fn timeouts_name_what_was_waited_for() {
    for (script, args, why) in [
        (
            vec![Do::Read, Do::Linger],
            ["--first-byte-timeout", "100ms"],
            "timeout after 100 ms waiting for the first byte",
        ),
        (
            vec![Do::Read, say("HTTP/1.1 2"), Do::Linger],
            ["--first-byte-timeout", "100ms"],
            "timeout after 100 ms waiting for the rest of the head",
        ),
        (
            vec![Do::Read, say("HTTP/1.1 200 OK\r\n\r\nx"), Do::Linger],
            ["--idle-timeout", "100ms"],
            "timeout after 100 ms waiting for the rest of the body",
        ),
        (
            vec![Do::Read, say("HTTP/1.1 200 OK\r\n\r\nx"), Do::Linger],
            ["--timeout", "100ms"],
            "timeout after 100 ms waiting for the rest of the body",
        ),
        (vec![Do::Read, Do::Linger], ["--timeout", "100ms"], "timeout after 100 ms waiting for the first byte"),
    ] {
        let odd = Odd::start(vec![script]);
        let got = fetch(&[args[0], args[1], &odd.url("/")]);
        assert_eq!((got.code, got.stderr), (Some(5), format!("httpclient: {why}\n")));
    }
}

fn redirect(status: u16, to: &str) -> Do {
    say(&format!("HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 3\r\n\r\nno\n"))
}

#[test]
fn redirects() {
    // Without -L it is an answer like any other.
    let odd = Odd::start(vec![vec![Do::Read, redirect(302, "/b")]]);
    assert_eq!(fetch(&["-b", &odd.url("/")]), ended(0, "no\n", ""));
    // On the same connection, as GET, without the body.
    let odd = Odd::start(vec![vec![Do::Read, redirect(303, "b?c"), Do::Read, say(HELLO)]]);
    assert_eq!(fetch(&["-L", "-b", "-d", "x=1", &odd.url("/a/")]), ended(0, "hello\n", ""));
    assert!(odd.heard().starts_with("POST /a/ "));
    let second = odd.heard();
    assert!(second.starts_with("GET /a/b?c ") && !second.contains("Content-"), "{second}");
    let odd = Odd::start(vec![vec![Do::Read, redirect(307, "/b"), Do::Read, say(HELLO)]]);
    assert_eq!(fetch(&["-L", "-b", "-d", "x=1", &odd.url("/")]), ended(0, "hello\n", ""));
    odd.heard();
    assert!(odd.heard().starts_with("POST /b ") && odd.is_silent());
    // A body that nobody wants and that does not end is not read.
    let endless = "HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\nxxxxx";
    let odd = Odd::start(vec![vec![Do::Read, say(endless), Do::Linger], vec![Do::Read, say(HELLO)]]);
    assert_eq!(fetch(&["-L", "-b", &odd.url("/")]), ended(0, "hello\n", ""));
    for (to, why) in
        [("file:///etc/passwd", "unsupported scheme 'file'"), ("gopher://x", "unsupported scheme 'gopher'")]
    {
        let odd = Odd::start(vec![vec![Do::Read, redirect(302, to)]]);
        let got = fetch(&["-L", &odd.url("/")]);
        assert!(got.code == Some(7) && got.stderr.contains(why), "{got:?}");
    }
    let many = |n: usize| vec![[Do::Read, redirect(302, "/x")].into_iter().cycle().take(2 * n).collect::<Vec<_>>()];
    let odd = Odd::start(many(11));
    let got = fetch(&["-L", &odd.url("/")]);
    assert_eq!((got.code, got.stderr.as_str()), (Some(7), "httpclient: too many redirects (10)\n"));
    // The limit is what stops it: a larger one goes on, to the end of the script.
    let odd = Odd::start(many(11));
    assert_ne!(fetch(&["-L", "--max-redirs", "20", &odd.url("/")]).stderr, "httpclient: too many redirects (10)\n");
}

#[test]
fn secrets_do_not_follow_to_another_origin() {
    let there = Odd::once(HELLO);
    let odd = Odd::start(vec![vec![Do::Read, redirect(302, &there.url("/x"))]]);
    let secrets = ["-u", "me:pw", "--cookie", "a=b", "-H", "Cookie: c=d", "-H", "Authorization: e", "-H", "X-Plain: f"];
    assert_eq!(fetch(&[&secrets[..], &["-L", "-b", &odd.url("/")]].concat()), ended(0, "hello\n", ""));
    let (home, away) = (odd.heard(), there.heard());
    for secret in ["Authorization: Basic bWU6cHc=", "Cookie: a=b", "Cookie: c=d", "Authorization: e"] {
        assert!(home.contains(secret) && !away.contains(secret), "{away}");
    }
    assert!(away.contains("X-Plain: f"));
    // The control: at home they stay.
    let odd = Odd::start(vec![vec![Do::Read, redirect(302, "/x"), Do::Read, say(HELLO)]]);
    fetch(&[&secrets[..], &["-L", "-b", &odd.url("/")]].concat());
    odd.heard();
    assert!(odd.heard().contains("Authorization: Basic bWU6cHc="));
}

#[test]
fn a_connection_that_died_in_the_pool() {
    // Closed at each byte of the second answer: only without a byte of it the request is sent again.
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for cut in [0, 1, second.len() - 1] {
        let first = vec![Do::Read, say(HELLO), Do::Read, say(&second[..cut])];
        let odd = Odd::start(vec![first, vec![Do::Read, say(second)]]);
        let got = fetch(&["-b", &odd.url("/1"), &odd.url("/2")]);
        let code = if cut == 0 { 0 } else { 7 };
        assert_eq!((got.code, got.stdout.starts_with("hello\n")), (Some(code), true), "{cut}: {}", got.stderr);
        assert_eq!(got.stdout.ends_with("ok"), cut == 0, "{cut}");
    }
    // What may not be done twice is not.
    let first = vec![Do::Read, say(HELLO), Do::Read];
    let odd = Odd::start(vec![first, vec![Do::Read, say(second)]]);
    let got = fetch(&["-b", "-d", "x", &odd.url("/1"), &odd.url("/2")]);
    assert_eq!((got.code, got.stdout.as_str()), (Some(4), "hello\n"));
}

#[test]
fn large_bodies_wait_to_be_wanted_and_stop_when_they_are_not() {
    let folder = Folder::new();
    folder.put("big", &vec![b'x'; 2 << 20]);
    let odd = Odd::start(vec![vec![
        Do::Head,
        say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n"),
        Do::Linger,
    ]]);
    let got = folder.run(&["-b", "-d", "@big", &odd.url("/")]);
    assert_eq!(got, ended(0, "no\n", ""));
    let head = odd.heard();
    assert!(head.contains("Expect: 100-continue\r\n") && head.ends_with("Content-Length: 2097152\r\n\r\n"), "{head}");
    // Nobody says 100: after a second it is sent all the same.
    let odd = Odd::start(vec![vec![Do::Read, say(HELLO)]]);
    assert_eq!(folder.run(&["-b", "-d", "@big", &odd.url("/")]), ended(0, "hello\n", ""));
    assert!(odd.heard().len() > 2 << 20);
}

#[test]
fn forms_are_sent() {
    let folder = Folder::new();
    folder.put("f.txt", b"file\r\nbytes");
    let body = |args: &[&str]| {
        let odd = Odd::once(HELLO);
        assert_eq!(folder.run(&[args, &["-b", &odd.url("/")]].concat()).code, Some(0));
        let heard = odd.heard();
        let (head, body) = heard.split_once("\r\n\r\n").expect("a head");
        (head.to_string(), body.to_string())
    };
    assert_eq!(body(&["-d", "a=1", "-d", "@f.txt", "-d", "b"]).1, "a=1&file\r\nbytes&b");
    assert_eq!(body(&["--data-urlencode", "q=a b&c", "--data-raw", "@x"]).1, "@x&q=a%20b%26c");
    assert_eq!(body(&["-d", ""]).0.lines().last(), Some("Content-Length: 0"));
    let (head, json) = body(&["--json", "{\"a\":1}"]);
    assert!(head.contains("Accept: application/json\r\nContent-Type: application/json") && json == "{\"a\":1}");
    let (head, form) = body(&["-F", "a=1", "-F", "f=@f.txt;type=text/x"]);
    let boundary = head.split("boundary=").nth(1).and_then(|b| b.lines().next()).expect("a boundary");
    let want = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--{boundary}\r\nContent-Disposition: \
         form-data; name=\"f\"; filename=\"f.txt\"\r\nContent-Type: text/x\r\n\r\nfile\r\nbytes\r\n--{boundary}--\r\n"
    );
    assert_eq!(form, want);
    let odd = Odd::once(HELLO);
    let mut client = folder.start(&["-b", "-d", "@-", &odd.url("/")]);
    client.type_in("from a pipe");
    client.end_input();
    assert_eq!(client.wait().code, Some(0));
    assert!(odd.heard().ends_with("Content-Length: 11\r\n\r\nfrom a pipe"));
}

#[test]
fn the_same_on_every_driver() {
    let folder = Folder::new();
    for driver in drivers() {
        let chunks = &forms()[1].1;
        let big = "y".repeat(300_000);
        let odd = Odd::start(vec![
            vec![Do::Read, say(HELLO), Do::Read, Do::Drip(chunks.clone().into_bytes())],
            vec![
                Do::Read,
                say(&format!("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{big}")),
                Do::Read,
                say("HTTP/1.1 2"),
            ],
        ]);
        let got = folder.run(&["-v", "-b", "--driver", driver, "-d", "a=1", &odd.url("/1"), &odd.url("/2")]);
        let (want, heard) = ("hello\nhello world", (odd.heard(), odd.heard()));
        assert_eq!((got.code, got.stdout.as_str()), (Some(0), want), "{driver}");
        assert!(got.stderr.contains("* reusing connection 1\n") && got.stderr.ends_with("< T: 1\n"), "{}", got.stderr);
        assert!(heard.0.ends_with("a=1") && heard.1.ends_with("a=1"), "{driver}");
        let args = ["--driver", driver, "--force", "-o", "big", "-o", "cut", &odd.url("/3"), &odd.url("/4")];
        let got = folder.run(&args);
        assert_eq!((got.code, got.stdout.as_str()), (Some(7), "Downloaded 300,000 bytes to big\n"), "{driver}");
        assert_eq!(folder.file("big").as_deref(), Some(big.as_bytes()), "{driver}");
        assert_eq!(folder.names(), ["big"], "{driver}");
    }
}
