//! `httpclient`: what goes to disk, what is tried again, what is undone, and who we say to be.
use crate::httpclient::{Folder, fetch};
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};
use tests::odd::{Do, Odd};
use tests::process::until;
use tests::scenario::drivers;

fn say(text: &str) -> Do {
    Do::Say(text.as_bytes().to_vec())
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const WHOLE: &str = "0123456789";

/// The first half of a body of ten bytes, with something to know it by again.
fn half(validator: &str) -> Do {
    say(&format!("HTTP/1.1 200 OK\r\n{validator}Content-Length: 10\r\n\r\n01234"))
}
fn rest() -> Do {
    say("HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789")
}

#[test]
fn a_download_goes_on_where_it_was_cut_off() {
    for driver in drivers() {
        let folder = Folder::new();
        let odd = Odd::start(vec![
            vec![Do::Read, half("ETag: \"v1\"\r\n")],
            vec![Do::Read, rest()],
            vec![Do::Read, say("HTTP/1.1 416 No\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n")],
        ]);
        let url = odd.url("/f");
        let run = |more: &[&str]| folder.run(&[&["--driver", driver, "-o", "f", &url], more].concat());
        let got = run(&[]);
        assert_eq!(got.stderr, "httpclient: connection closed: got 5 of 10 bytes (f.part is kept)\n", "{driver}");
        assert_eq!(folder.names(), ["f.part", "f.part.from"]);
        let got = run(&["-C", "-"]);
        assert_eq!(
            (got.code, got.stdout.as_str()),
            (Some(0), "Downloaded 10 bytes to f\n"),
            "{driver}: {}",
            got.stderr
        );
        odd.heard();
        let asked = odd.heard();
        assert!(asked.contains("\r\nRange: bytes=5-\r\nIf-Range: \"v1\"\r\n"), "{asked}");
        assert_eq!((folder.file("f").as_deref(), folder.names()), (Some(WHOLE.as_bytes()), vec!["f".to_string()]));
        // It is whole: nothing is fetched again.
        let got = run(&["-C", "-"]);
        assert_eq!((got.code, folder.file("f").as_deref()), (Some(0), Some(WHOLE.as_bytes())), "{}", got.stderr);
    }
}

#[test]
fn what_changed_meanwhile_is_fetched_anew() {
    let folder = Folder::new();
    folder.put("f.part", b"OLD OLD OLD OLD");
    folder.put("f.part.from", b"\"v0\"\n");
    let odd = Odd::once(format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n{WHOLE}"));
    let got = folder.run(&["-C", "-", "-o", "f", &odd.url("/")]);
    assert_eq!((got.code, folder.file("f").as_deref()), (Some(0), Some(WHOLE.as_bytes())), "{}", got.stderr);
    assert!(odd.heard().contains("Range: bytes=15-\r\nIf-Range: \"v0\"\r\n"));
    // A range that was not asked for, and an error, leave what is there.
    for answer in [
        "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\n01234",
        "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\n01234",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n01234",
        "HTTP/1.1 416 No\r\nContent-Range: bytes */3\r\nContent-Length: 0\r\n\r\n",
    ] {
        folder.put("g.part", b"01234");
        let odd = Odd::once(answer);
        let got = folder.run(&["-C", "-", "-o", "g", &odd.url("/")]);
        assert!(matches!(got.code, Some(7 | 10)), "{answer}: {got:?}");
        assert_eq!(folder.file("g.part").as_deref(), Some(&b"01234"[..]), "{answer}");
    }
}

#[test]
fn attempts() {
    let folder = Folder::new();
    // A body cut short goes on, another status is asked for again.
    let odd = Odd::start(vec![
        vec![Do::Read, say("HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy")],
        vec![Do::Read, half("ETag: \"v1\"\r\n")],
        vec![Do::Read, rest()],
    ]);
    let got = folder.run(&["--retry", "3", "-o", "f", &odd.url("/")]);
    assert_eq!((got.code, got.stdout.as_str()), (Some(0), "Downloaded 10 bytes to f\n"), "{}", got.stderr);
    assert_eq!(
        got.stderr,
        "httpclient: 503: attempt 1 of 3 in 0 ms\nhttpclient: connection closed: got 5 of 10 bytes: attempt 2 of 3 in 2 s\n"
            .replace("0 ms", "0 s")
    );
    assert_eq!(folder.file("f").as_deref(), Some(WHOLE.as_bytes()));
    odd.heard();
    assert!(!odd.heard().contains("Range") && odd.heard().contains("Range: bytes=5-\r\nIf-Range: \"v1\""));
    // Nothing to know it by again: from the beginning.
    let odd = Odd::start(vec![
        vec![Do::Read, half("")],
        vec![Do::Read, say(&format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{WHOLE}"))],
    ]);
    let got = folder.run(&["--retry", "3", "-q", "--force", "-o", "f", &odd.url("/")]);
    assert_eq!((got.code, folder.file("f").as_deref()), (Some(0), Some(WHOLE.as_bytes())), "{}", got.stderr);
    odd.heard();
    assert!(!odd.heard().contains("Range"));
    // Exactly so many, and the last answer is an answer.
    let busy = || vec![Do::Read, say("HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy")];
    for (args, code, stdout) in
        [(&["-b"][..], 0, "busy"), (&["-b", "-f"], 10, ""), (&["-b", "--fail-with-body"], 10, "busy")]
    {
        let odd = Odd::start(vec![busy(), busy(), busy(), vec![Do::Read, say(OK)]]);
        let got = fetch(&[args, &["--retry", "2", &odd.url("/")]].concat());
        assert_eq!((got.code, got.stdout.as_str()), (Some(code), stdout), "{}", got.stderr);
    }
    // What may not be done twice is not, once it may have been done.
    let odd = Odd::start(vec![vec![Do::Read], vec![Do::Read, say(OK)]]);
    assert_eq!(fetch(&["--retry", "2", "-d", "x", &odd.url("/")]).code, Some(4));
}

#[test]
fn failures_by_status() {
    let no = "HTTP/1.1 404 Not \x1bFound\r\nContent-Length: 2\r\n\r\nno";
    let no = no.replace('\x1b', "");
    let run = |args: &[&str]| {
        let odd = Odd::once(no.clone());
        let url = odd.url("/x");
        let got = fetch(&[args, &[&url]].concat());
        (got.code, got.stdout, got.stderr.replace(&url, "URL"))
    };
    let text = "httpclient: URL answered 404 Not Found\n".to_string();
    assert_eq!(run(&["-b"]), (Some(0), "no".into(), String::new()));
    assert_eq!(run(&["-f"]), (Some(10), String::new(), text.clone()));
    assert_eq!(run(&["-b", "--fail-with-body"]), (Some(10), "no".into(), text));
    let folder = Folder::new();
    let odd = Odd::once(no);
    assert_eq!(folder.run(&["-f", "-o", "f", &odd.url("/")]).code, Some(10));
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut e = GzEncoder::new(Vec::new(), Compression::best());
    e.write_all(plain).expect("memory");
    e.finish().expect("memory")
}
fn coded(coding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn codings_are_undone_and_bombs_defused() {
    let folder = Folder::new();
    let plain: Vec<u8> = (0..500_000u32).map(|i| (i % 7 * i % 251) as u8).collect();
    for driver in drivers() {
        let odd = Odd::once(coded("gzip", &gzip(&plain)));
        let got = folder.run(&["--driver", driver, "--compressed", "--force", "-o", "f", &odd.url("/")]);
        assert_eq!((got.code, folder.file("f").as_ref()), (Some(0), Some(&plain)), "{driver}: {}", got.stderr);
        assert!(odd.heard().contains("Accept-Encoding: gzip, deflate, br, zstd\r\n"));
    }
    // Nobody asked: it is as it came.
    let odd = Odd::once(coded("gzip", &gzip(&plain)));
    assert_eq!(folder.run(&["--force", "-o", "f", &odd.url("/")]).code, Some(0));
    assert_eq!(folder.file("f"), Some(gzip(&plain)));
    let odd = Odd::once(coded("lzma", b"abc"));
    let got = folder.run(&["--compressed", "-b", &odd.url("/")]);
    let text = "httpclient: warning: unknown content coding 'lzma': the body is left as it is\n";
    assert_eq!((got.code, got.stdout.as_str(), got.stderr.as_str()), (Some(0), "abc", text));
    let odd = Odd::once(coded("gzip", &gzip(&plain)[..1000]));
    let got = folder.run(&["--compressed", "--force", "-o", "f", &odd.url("/")]);
    assert!(got.code == Some(7) && got.stderr.contains("compressed body ends too early"), "{got:?}");

    let bomb = gzip(&vec![0; 64 << 20]);
    let odd = Odd::once(coded("gzip", &bomb));
    let got = folder.run(&["--compressed", "--force", "-o", "b", &odd.url("/")]);
    assert!(got.code == Some(7) && got.stderr.contains("a decompression bomb"), "{got:?}");
    let size = folder.file("b.part").map_or(0, |f| f.len());
    assert!(size <= 18 << 20, "{size} bytes of a bomb were written");
    // In a body that is not wanted, it is not even decoded.
    let head = format!(
        "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    let first = vec![Do::Read, Do::Say([head.as_bytes(), &bomb].concat())];
    let odd = Odd::start(vec![first, vec![Do::Read, say(OK)]]);
    assert_eq!(folder.run(&["-L", "--compressed", "-b", &odd.url("/")]).stdout, "ok");
    for args in [&["--max-body", "1"][..], &["--compressed", "--max-body", "400000"]] {
        let odd = Odd::once(coded("gzip", &gzip(&plain)));
        let got = folder.run(&[args, &["--force", "-o", "m", &odd.url("/")]].concat());
        assert!(got.code == Some(7) && got.stderr.contains("--max-body"), "{got:?}");
    }
}

#[test]
fn names_of_files() {
    let folder = Folder::new();
    let named = |name: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=\"{name}\"\r\nContent-Length: 2\r\n\r\nok"
        )
    };
    for (args, answer, path, name) in [
        (&["-O"][..], OK.to_string(), "/a/b.txt?x/y", "b.txt"),
        (&["-O"], OK.to_string(), "/", "index.html"),
        (&["-OJ"], named("../../evil.txt"), "/q", "evil.txt"),
        (&["-OJ"], OK.to_string(), "/q", "q"),
        (&["-OJ"], named(".."), "/r", "r"),
        (&["-OJ"], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(), "/none", "none"),
    ] {
        let odd = Odd::once(answer);
        let got = folder.run(&[args, &[&odd.url(path)]].concat());
        assert_eq!(got.code, Some(0), "{name}: {}", got.stderr);
        assert!(folder.file(name).is_some() && got.stdout.ends_with(&format!("to {name}\n")), "{got:?}");
    }
    let odd = Odd::once(named("evil.txt"));
    let got = folder.run(&["-OJ", &odd.url("/")]);
    assert_eq!((got.code, got.stderr.as_str()), (Some(9), "httpclient: evil.txt exists (use --force or -C -)\n"));
    // A device is written in place, and named nothing.
    let odd = Odd::once(OK);
    assert_eq!(folder.run(&["-o", "/dev/null", &odd.url("/")]).stdout, "Downloaded 2 bytes to /dev/null\n");
}

#[test]
fn an_interrupt_keeps_what_came() {
    let folder = Folder::new();
    let odd = Odd::start(vec![vec![Do::Read, half("ETag: \"v1\"\r\n"), Do::Linger]]);
    let client = folder.start(&["-o", "f", &odd.url("/")]);
    odd.heard();
    until("the body has begun", || folder.names().contains(&"f.part.from".to_string()));
    let got = client.stop();
    assert_eq!((got.code, got.stdout.as_str(), got.stderr.as_str()), (Some(130), "", ""));
    assert_eq!(folder.names(), ["f.part", "f.part.from"]);
    let odd = Odd::start(vec![vec![Do::Read, Do::Linger]]);
    let client = folder.start(&[&odd.url("/")]);
    odd.heard();
    client.signal(Signal::TERM);
    assert_eq!(client.wait().code, Some(130));
}

#[test]
fn cookies_passwords_and_tokens() {
    let folder = Folder::new();
    let set = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Domain=evil.example\r\nContent-Length: 2\r\n\r\nok";
    let odd = Odd::start(vec![vec![Do::Read, say(set), Do::Read, say(OK)], vec![Do::Read, say(OK)]]);
    assert_eq!(folder.run(&["-b", "--cookie-jar", "jar", &odd.url("/1"), &odd.url("/2")]).code, Some(0));
    assert!(!odd.heard().contains("Cookie"));
    assert!(odd.heard().contains("\r\nCookie: a=1\r\n"));
    let jar = String::from_utf8(folder.file("jar").expect("a jar")).expect("text");
    assert!(jar.ends_with("127.0.0.1\tFALSE\t/\tFALSE\t0\ta\t1\n"), "{jar}");
    assert_eq!(folder.run(&["-b", "--cookie", "jar", "--cookie", "c=3", &odd.url("/")]).code, Some(0));
    assert!(odd.heard().contains("\r\nCookie: c=3; a=1\r\n"));

    folder.put("netrc", b"machine 127.0.0.1 login me password pw\n");
    folder.put("token", b"s3cret\n");
    for (args, want) in [
        (&["--netrc-file", "netrc"][..], Some("Basic bWU6cHc=")),
        (&["-u", "me:pw"], Some("Basic bWU6cHc=")),
        (&["--bearer-file", "token"], Some("Bearer s3cret")),
        (&[], None),
    ] {
        let odd = Odd::once(OK);
        assert_eq!(folder.run(&[args, &["-b", &odd.url("/")]].concat()).code, Some(0));
        let heard = odd.heard();
        let got = heard.lines().find_map(|l| l.strip_prefix("Authorization: "));
        assert_eq!(got, want);
    }
    let odd = Odd::once(OK);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o604);
    std::fs::set_permissions(folder.0.join("token"), open).expect("ours");
    let got = folder.run(&["-b", "--bearer-file", "token", &odd.url("/")]);
    assert_eq!(
        (got.code, got.stderr.as_str()),
        (Some(0), "httpclient: token can be read by others (chmod 600 token)\n")
    );
    let odd = Odd::once(OK);
    let url = odd.url("/x").replace("http://", "http://me:p%77@");
    assert_eq!(fetch(&["-b", &url]).code, Some(0));
    assert!(odd.heard().contains("Authorization: Basic bWU6cHc=\r\n"));
}

#[test]
fn through_a_proxy() {
    let proxy = Odd::once(OK);
    let via = format!("http://u:p@127.0.0.1:{}", proxy.port);
    assert_eq!(fetch(&["-b", "--via", &via, "http://no.such.host.invalid:81/x?y"]).stdout, "ok");
    let heard = proxy.heard();
    assert!(
        heard.starts_with("GET http://no.such.host.invalid:81/x?y HTTP/1.1\r\nHost: no.such.host.invalid:81\r\n"),
        "{heard}"
    );
    assert!(heard.contains("\r\nProxy-Authorization: Basic dTpw\r\n"));

    let established = say("HTTP/1.1 200 Connection established\r\n\r\n");
    for driver in drivers() {
        let proxy = Odd::start(vec![vec![Do::Read, established.clone(), Do::Read, say(OK), Do::Read, say(OK)]]);
        let via = format!("http://u:p@127.0.0.1:{}", proxy.port);
        let url = "http://no.such.host.invalid/";
        let got = fetch(&["-b", "--driver", driver, "--tunnel", "--via", &via, url, url]);
        assert_eq!((got.code, got.stdout.as_str()), (Some(0), "okok"), "{driver}: {}", got.stderr);
        assert!(proxy.heard().starts_with("CONNECT no.such.host.invalid:80 HTTP/1.1\r\n"));
        let inner = proxy.heard();
        assert!(inner.starts_with("GET / HTTP/1.1\r\n") && !inner.contains("Proxy-"), "{inner}");
    }
    for (answer, code) in
        [("HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n", 8), ("HTTP/1.1 502 No\r\n\r\n", 4), ("", 4)]
    {
        let proxy = Odd::once(answer);
        let got = fetch(&["-b", "--tunnel", "--via", &proxy.url("/"), "http://no.such.host.invalid/"]);
        assert_eq!(got.code, Some(code), "{}", got.stderr);
        assert!(got.stderr.starts_with("httpclient: tunnel to no.such.host.invalid:80: the proxy"), "{}", got.stderr);
    }
    // The environment's, but not for hosts that are named.
    let folder = Folder::new();
    for (no_proxy, there) in [("", true), ("127.0.0.1", false)] {
        let (proxy, odd) = (Odd::once(OK), Odd::once(OK));
        let mut command = std::process::Command::new(tests::process::tool("httpclient"));
        command.args(["-b", &odd.url("/")]).env("http_proxy", proxy.url("")).env("no_proxy", no_proxy);
        assert_eq!(tests::process::Tool::spawn(command).wait().stdout, "ok");
        let heard = if there { proxy.heard() } else { odd.heard() };
        assert_eq!(heard.starts_with("GET http://"), there, "{heard}");
    }
    drop(folder);
}

#[test]
fn other_ways_to_a_host() {
    let odd = Odd::once(OK);
    let resolve = format!("example.com:{}:127.0.0.1", odd.port);
    let url = format!("http://EXAMPLE.com:{}/", odd.port);
    assert_eq!(fetch(&["-b", "-4", "--resolve", &resolve, &url]).stdout, "ok");
    assert!(odd.heard().contains(&format!("Host: example.com:{}\r\n", odd.port)));
    let folder = Folder::new();
    let path = folder.0.join("s.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let server = std::thread::spawn(move || {
        let (mut s, _) = listener.accept().expect("a client");
        let mut head = [0; 1000];
        let n = s.read(&mut head).expect("a request");
        s.write_all(OK.as_bytes()).expect("a client");
        String::from_utf8_lossy(&head[..n]).into_owned()
    });
    assert_eq!(folder.run(&["-b", "--unix-socket", "s.sock", "http://docker/version"]).stdout, "ok");
    assert!(server.join().expect("a server").starts_with("GET /version HTTP/1.1\r\nHost: docker\r\n"));
    let got = folder.run(&["-b", "-6", "http://127.0.0.1:1/"]);
    assert_ne!(got.code, Some(0));
}

#[test]
fn a_rate_is_kept() {
    let body = "x".repeat(60_000);
    let odd = Odd::once(format!("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{body}"));
    let began = Instant::now();
    assert_eq!(fetch(&["-b", "--limit-rate", "100kB", &odd.url("/")]).stdout, body);
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
}

#[test]
fn figures_and_reasons() {
    let odd =
        Odd::start(vec![vec![Do::Read, say(OK), Do::Read, say("HTTP/1.0 404 No\r\nContent-Type: a/b\r\n\r\nxyz")]]);
    let format =
        r"[%{http_code} %{http_version} %{size_download} %{num_connects} %{content_type} %{remote_ip} %{exitcode}]\n";
    let got = fetch(&["-b", "--explain", "-w", format, &odd.url("/1"), &odd.url("/2")]);
    assert_eq!(
        got.stdout,
        "ok[200 1.1 2 1  127.0.0.1 0]\nxyz[404 1.0 3 0 a/b  0]\n".replace("a/b  0", "a/b 127.0.0.1 0")
    );
    for reason in [
        "* body of 2 bytes ends by Content-Length (RFC 9112 6.2)\n* connection 1 can be used again\n* reusing connection 1\n",
        "* body of 3 bytes ends with the connection (RFC 9112 6.3, rule 8)\n* connection 1 ends",
    ] {
        assert!(got.stderr.contains(reason), "{}", got.stderr);
    }
    let odd = Odd::once(OK);
    let got = fetch(&["-b", "--timing", &odd.url("/")]);
    assert!(
        got.stderr.starts_with("{\"schema\":\"drywire/httpclient/1\",\"url_effective\":\"http://127.0.0.1:"),
        "{}",
        got.stderr
    );
}
