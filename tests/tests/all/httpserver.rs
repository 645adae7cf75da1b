//! `httpserver` as a process: the same bytes on all drivers, curl, ways out of the root, files that change meanwhile.
use bins::http::{HttpServer, Job, Options, Site};
use bins::service::{Note, Settings};
use proto_core::{
    Addr, Answer, App, Ask, Bytes, Chunk, Cx, Env, FileId, Input, Instant, Listener, Meta, Op, Peer, Shard, Start,
    Table, Token, Tty, Wall,
};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use tests::alloc::allocations;
use tests::process::{Ended, PATIENCE, Tool, have, until};
use tests::scenario::drivers;

/// A folder with a root `www` in it and a canary beside that.
pub(super) struct Folder(PathBuf);

const CANARY: &str = "the canary sings";

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("drywire-http-{}-{n}", std::process::id()));
        std::fs::create_dir_all(dir.join("www/sub")).expect("a folder");
        let site = Folder(dir);
        std::fs::write(site.0.join("canary"), CANARY).expect("a file");
        site.put("index.html", b"<p>home\n");
        site.put("a.txt", b"0123456789");
        site.put("sub/index.html", b"<p>sub\n");
        site.put("big", &noise(300_000));
        site
    }
    pub(super) fn root(&self) -> PathBuf {
        self.0.join("www")
    }
    pub(super) fn arg(&self) -> String {
        self.root().to_str().expect("a name").into()
    }
    /// A file that has not changed for long.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.root().join(name);
        std::fs::write(&path, bytes).expect("a file");
        let file = std::fs::File::options().write(true).open(&path).expect("a file");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("a time");
    }
    pub(super) fn serve(&self, args: &[&str]) -> (Tool, u16) {
        let root = self.arg();
        let mut tool = Tool::start("httpserver", &[&["0", "-d", &root], args].concat());
        let port = tool.port();
        assert_eq!(tool.line(), format!("Serving files from {root}"));
        (tool, port)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // it is in the way of nobody
    }
}

pub(super) fn noise(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

pub(super) fn connect(port: u16) -> TcpStream {
    let s = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    s.set_read_timeout(Some(PATIENCE)).expect("a socket");
    s
}

/// Sends, and reads to the end.
pub(super) fn exchange(port: u16, send: &[u8]) -> Vec<u8> {
    let mut s = connect(port);
    let _ = s.write_all(send); // it may close before it has read all
    let mut got = Vec::new();
    let mut piece = [0; 65_536];
    while let Ok(n @ 1..) = s.read(&mut piece) {
        got.extend_from_slice(&piece[..n]);
    }
    got
}

/// With the time of `Date` taken out.
fn normal(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer).into_owned();
    let mut out = String::new();
    for (i, part) in text.split("Date: ").enumerate() {
        if i > 0 {
            out.push_str("Date: D");
        }
        out.push_str(if i > 0 { part.get(29..).unwrap_or_default() } else { part });
    }
    out
}

pub(super) fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

/// A request per line of the table, with the status it must get.
fn table() -> Vec<(Vec<u8>, &'static str)> {
    let get = |target: &str, more: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n").into_bytes()
    };
    let raw = |text: &str| text.as_bytes().to_vec();
    vec![
        (get("/", ""), "200"),
        (get("/a.txt", ""), "200"),
        (get("/big", ""), "200"),
        (raw("HEAD /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "200"),
        (raw("GET /a.txt HTTP/1.0\r\n\r\n"), "200"),
        (get("/sub", ""), "301"),
        (get("/sub/", ""), "200"),
        (get("/none", ""), "404"),
        (get("/../x", ""), "403"),
        (get("/%2e%2e/x", ""), "403"),
        (get("/%00", ""), "400"),
        (get("/%zz", ""), "400"),
        (get("/a.txt", "Range: bytes=2-4\r\n"), "206"),
        (get("/big", "Range: bytes=-70000\r\n"), "206"),
        (get("/a.txt", "Range: bytes=99-\r\n"), "416"),
        (get("/a.txt", "If-None-Match: *\r\n"), "304"),
        (get("/a.txt", "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\n"), "304"),
        (get("/a.txt", "If-Match: \"x\"\r\n"), "412"),
        (raw("GET / HTTP/1.1\r\n\r\n"), "400"),
        (raw("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), "400"),
        (raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), "400"),
        (raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"), "400"),
        (raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n"), "400"),
        (raw("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), "501"),
        (raw("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"), "405"),
        (raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n"), "413"),
        (raw("BREW /pot HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "501"),
        (raw("PUT /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "405"),
        (raw("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "204"),
        (raw("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"), "400"),
        (raw("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n"), "400"),
        (raw("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), "400"),
        (raw("GET / HTTP/1.1\nHost: a\n\n"), "400"),
        (raw("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), "505"),
        (raw("GET / HTTP/3.0\r\nHost: a\r\n\r\n"), "505"),
        (raw("GET /\r\n"), "400"),
        (raw(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000))), "414"),
        (raw(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(101))), "431"),
        (raw(&format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(33_000))), "431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "400"),
    ]
}

#[test]
fn the_request_table_gives_the_same_bytes_on_every_driver() {
    let site = Folder::new();
    let mut first: Option<Vec<String>> = None;
    for driver in drivers() {
        let (tool, port) = site.serve(&["--driver", driver, "--drain", "2s"]);
        let mut all = Vec::new();
        for (request, want) in table() {
            let answer = normal(&exchange(port, &request));
            assert_eq!(status(&answer), want, "{driver}: {}: {answer}", request.escape_ascii());
            all.push(answer);
        }
        // Pipelined, and in order.
        let targets = ["/a.txt", "/big", "/none", "/sub/", "/a.txt"];
        let mut requests: String = targets.iter().map(|t| format!("GET {t} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        requests.push_str("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        all.push(normal(&exchange(port, requests.as_bytes())));
        assert_eq!(tool.stop().code, Some(0), "{driver}");
        match &first {
            None => first = Some(all),
            Some(first) => assert!(*first == all, "{driver} differs"),
        }
    }
    let first = first.expect("some driver runs");
    assert_eq!(
        first[1],
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nConnection: close\r\nDate: D\r\n\
         Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT\r\nETag: \"de0b6b3a7640000-a\"\r\nAccept-Ranges: bytes\r\n\r\n0123456789"
    );
    assert_eq!(
        first[7],
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 23\r\nConnection: close\r\nDate: D\r\n\r\n\
         <h1>404 Not Found</h1>\n"
    );
    let big: String = String::from_utf8_lossy(&noise(300_000)).into_owned();
    assert!(first[2].ends_with(&big), "a large file comes whole");
}

#[test]
fn curl_gets_files_parts_and_heads() {
    if !have("curl") {
        return;
    }
    let site = Folder::new();
    for driver in drivers() {
        let (tool, port) = site.serve(&["--driver", driver, "--listing"]);
        let curl = |args: &[&str], path: &str| {
            let url = format!("http://127.0.0.1:{port}{path}");
            let out = Command::new("curl").args(["-s", "--max-time", "30"]).args(args).arg(url).output().expect("curl");
            assert!(out.status.success(), "{driver}: {args:?} {path}: {out:?}");
            out.stdout
        };
        assert!(curl(&[], "/big") == noise(300_000), "{driver}");
        assert_eq!(curl(&["-r", "3-5"], "/a.txt"), b"345", "{driver}");
        assert!(curl(&["-r", "100000-199999"], "/big") == noise(300_000)[100_000..200_000], "{driver}");
        assert_eq!(curl(&["-L"], "/sub"), b"<p>sub\n", "{driver}");
        assert_eq!(curl(&["-o", "/dev/null", "-w", "%{http_code}", "--path-as-is"], "/../../etc/passwd"), b"403");
        assert_eq!(
            curl(&["-o", "/dev/null", "-w", "%{http_code}"], "/../../etc/passwd"),
            b"404",
            "curl folds it itself"
        );
        let head = String::from_utf8_lossy(&curl(&["-I"], "/big")).into_owned();
        assert!(head.contains("Content-Length: 300000\r\n") && head.contains("Connection: keep-alive\r\n"), "{head}");
        let verbose = curl(&["-o", "/dev/null", "-w", "%{num_connects}"], "/a.txt");
        assert_eq!(verbose, b"1");
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn text_is_compressed_for_who_accepts_it() {
    if !have("curl") {
        return;
    }
    let site = Folder::new();
    let text: String = (0..40_000).map(|i| format!("{i} bottles\n")).collect();
    site.put("large.txt", text.as_bytes());
    site.put("small.css", &text.as_bytes()[..3000]);
    site.put("photo.png", &text.as_bytes()[..3000]);
    for driver in drivers() {
        let (tool, port) = site.serve(&["--driver", driver, "--compress"]);
        let curl = |args: &[&str], path: &str| {
            let url = format!("http://127.0.0.1:{port}{path}");
            let out =
                Command::new("curl").args(["-s", "-i", "--max-time", "30"]).args(args).arg(url).output().expect("curl");
            assert!(out.status.success(), "{driver}: {args:?} {path}: {out:?}");
            String::from_utf8_lossy(&out.stdout).into_owned()
        };
        let accepts = |coding: &str| format!("Accept-Encoding: {coding}");
        for path in ["/large.txt", "/small.css"] {
            let plain = curl(&[], path);
            assert!(plain.contains("Vary: Accept-Encoding\r\n") && !plain.contains("Content-Encoding"), "{plain:.300}");
            let (_, body) = plain.split_once("\r\n\r\n").expect("a head");
            let packed = curl(&["--compressed", "-H", &accepts("gzip")], path);
            assert!(packed.contains("Content-Encoding: gzip\r\n"), "{driver}: {packed:.300}");
            assert!(packed.ends_with(&format!("\r\n\r\n{body}")), "{driver}: {path} unpacks to what it was");
            for coding in ["br", "zstd"] {
                assert!(
                    curl(&["-I", "-H", &accepts(coding)], path).contains(&format!("Content-Encoding: {coding}\r\n"))
                );
            }
        }
        assert!(!curl(&["-I", "-H", &accepts("gzip")], "/photo.png").contains("Content-Encoding"));
        let etag = |coding: &str| {
            let head = curl(&["-I", "-H", &accepts(coding)], "/small.css");
            head.split_once("ETag: ")
                .and_then(|(_, rest)| rest.lines().next().map(String::from))
                .expect("an entity tag")
        };
        assert_ne!(etag("gzip"), etag("br"));
        let again = curl(&["-H", &accepts("gzip"), "-H", &format!("If-None-Match: {}", etag("gzip"))], "/small.css");
        assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

/// Half a head, half a body, and an answer that nobody reads.
fn slow_clients(port: u16) -> Vec<TcpStream> {
    let sends: [&[u8]; 3] = [
        b"GET /a.txt HTTP/1.1\r\nHost: a\r\nX-",
        b"POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\nabc",
        b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let slow = |send: &[u8]| {
        let mut s = connect(port);
        s.write_all(send).expect("it reads");
        s
    };
    sends.into_iter().map(slow).collect()
}

/// Reads to the end, and how that came.
fn rest(s: &mut TcpStream) -> (Vec<u8>, Option<std::io::ErrorKind>) {
    let mut got = Vec::new();
    let end = s.read_to_end(&mut got).err().map(|e| e.kind());
    (got, end)
}

fn are_cut_off(driver: &str, (tool, port): (Tool, u16)) {
    let ask = || {
        let answer = exchange(port, b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{driver}");
    };
    ask();
    let before = tool.descriptors();
    let mut slow = slow_clients(port);
    ask();
    let (head, _) = rest(&mut slow[0]);
    assert!(head.starts_with(b"HTTP/1.1 408 "), "{driver}: {}", head.escape_ascii());
    let (body, _) = rest(&mut slow[1]);
    assert!(body.starts_with(b"HTTP/1.1 405 "), "{driver}: {}", body.escape_ascii());
    // The file stays open for the next who wants it.
    until("the cut", || tool.descriptors() <= before + 1);
    let (read, how) = rest(&mut slow[2]);
    assert_eq!(how, Some(std::io::ErrorKind::ConnectionReset), "{driver}: after {} bytes", read.len());
    assert!(read.len() < 8 << 20, "{driver}: {} bytes were kept for it", read.len());
    ask();
}

#[test]
fn slow_clients_are_cut_off_while_others_are_served() {
    let site = Folder::new();
    std::fs::File::create(site.root().join("huge")).and_then(|f| f.set_len(1 << 30)).expect("a sparse file");
    let short = ["--header-timeout", "1s", "--body-timeout", "1s", "--write-timeout", "1s", "--keep-alive", "60s"];
    // The negative control: a server with more patience keeps all of them meanwhile.
    let long = ["--header-timeout", "1h", "--body-timeout", "1h", "--write-timeout", "1h"];
    let (_patient, control) = site.serve(&long);
    let kept = slow_clients(control);
    std::thread::scope(|scope| {
        for driver in drivers() {
            let (site, short) = (&site, &short);
            scope.spawn(move || are_cut_off(driver, site.serve(&[&["--driver", driver], &short[..]].concat())));
        }
    });
    for mut s in kept {
        s.set_nonblocking(true).expect("a socket");
        let mut piece = vec![0; 1 << 16];
        loop {
            match s.read(&mut piece) {
                Ok(n) => assert!(n > 0, "still there"),
                Err(e) => break assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    }
}

#[test]
fn nothing_outside_the_root_is_ever_served() {
    let site = Folder::new();
    let root = site.root();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, root.join(name)).expect("a link");
    link(&site.0.join("canary"), "absolute");
    link(Path::new("../canary"), "relative");
    link(Path::new(".."), "up");
    link(Path::new("/"), "slash");
    link(Path::new("sub/index.html"), "inside");
    link(Path::new("/proc/self"), "proc");
    link(Path::new("loop"), "loop");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .expect("a FIFO");
    let (tool, port) = site.serve(&["--dotfiles", "--listing"]);
    let ask = |target: &str| {
        let answer =
            exchange(port, format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.contains(CANARY) && !answer.contains("root:"), "{target}: {answer}");
        status(&answer).to_string()
    };
    for (target, want) in [
        ("/absolute", "403"),
        ("/relative", "403"),
        ("/up/canary", "403"),
        ("/slash/etc/passwd", "403"),
        ("/proc/environ", "403"),
        ("/loop", "403"),
        ("/fifo", "403"),
        ("/inside", "200"),
    ] {
        assert_eq!(ask(target), want, "{target}");
    }
    let ups = [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%252e%252e",
        "%c0%ae%c0%ae",
        "..;",
        "..%00",
        "...",
        "%uff0e",
        "up",
        "sub/up/..",
    ];
    let separators = ["/", "%2f", "%5c", "\\", "//", "/./", "%252f", "%c0%af", "/%2f"];
    let mut count = 0;
    for up in ups {
        for separator in separators {
            for tail in ["canary", "etc/passwd", "%63anary", "www/../canary", "canary%00.txt"] {
                for times in [1, 6] {
                    let target = format!("/{}{tail}", format!("{up}{separator}").repeat(times));
                    assert!(matches!(&*ask(&target), "400" | "403" | "404"), "{target}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 500, "{count}");
    assert_eq!(tool.stop().code, Some(0));
    // The negative control: asked to, it does leave the root.
    let (_tool, port) = site.serve(&["--follow-symlinks"]);
    let answer = exchange(port, b"GET /relative HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(String::from_utf8_lossy(&answer).ends_with(CANARY));
}

#[test]
fn a_link_that_is_swapped_during_requests_never_leads_out() {
    let site = Folder::new();
    let (inside, out, name) = (site.root().join("in"), site.root().join("out"), site.root().join("swapped"));
    let stop = AtomicBool::new(false);
    let (_tool, port) = site.serve(&["--cache-time", "0"]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (target, link) in [("a.txt", &inside), ("../canary", &out)] {
                    let _ = std::fs::remove_file(link); // the first time there is none
                    std::os::unix::fs::symlink(target, link).expect("a link");
                    std::fs::rename(link, &name).expect("a new name");
                }
            }
        });
        let mut seen = [0, 0];
        for _ in 0..2000 {
            let answer = exchange(port, b"GET /swapped HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(!answer.contains(CANARY), "{answer}");
            match status(&answer) {
                "200" => seen[0] += 1,
                "403" => seen[1] += 1,
                "404" | "500" => {}
                other => panic!("{other}: {answer}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(seen[0] > 0 && seen[1] > 0, "both were there: {seen:?}");
    });
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection_short() {
    let site = Folder::new();
    for driver in drivers() {
        site.put("big", &vec![7; 50_000_000]);
        let (tool, port) = site.serve(&["--driver", driver]);
        let mut s = connect(port);
        s.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
        let mut got = vec![0; 100_000];
        s.read_exact(&mut got).expect("the beginning");
        std::fs::File::options()
            .write(true)
            .open(site.root().join("big"))
            .and_then(|f| f.set_len(60_000))
            .expect("a file");
        let mut piece = vec![0; 65_536];
        while let Ok(n @ 1..) = s.read(&mut piece) {
            got.extend_from_slice(&piece[..n]);
        }
        assert!(got.len() < 50_000_000, "{driver}: {} bytes", got.len());
        let body = got.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        // Where the kernel sends from its own cache, what is cut off there reads as zeros until it is gone.
        assert!(got[body..].iter().all(|b| matches!(b, 7 | 0)), "{driver}: no other answer followed");
        let other = exchange(port, b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(other.ends_with(b"0123456789"), "{driver}: it lives on");
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn ten_gigabytes_take_no_memory() {
    let site = Folder::new();
    let file = std::fs::File::create(site.root().join("huge")).expect("a file");
    file.set_len(10 << 30).expect("a sparse file");
    let (tool, port) = site.serve(&[]);
    let head = exchange(port, b"HEAD /huge HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(String::from_utf8_lossy(&head).contains("Content-Length: 10737418240\r\n"));
    let mut all: Vec<TcpStream> = (0..20).map(|_| connect(port)).collect();
    for s in &mut all {
        s.write_all(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    }
    let mut piece = vec![0; 1 << 20];
    for s in &mut all {
        for _ in 0..5 {
            s.read_exact(&mut piece).expect("more than that");
        }
    }
    assert!(tool.memory() < 32 << 20, "{} bytes", tool.memory());
}

#[test]
fn the_command_line_says_what_is_wrong() {
    let site = Folder::new();
    let file = site.root().join("a.txt");
    for (args, want) in [
        (vec!["0", "-d", "/no/such"], "httpserver: root '/no/such': no such file or directory\n".to_string()),
        (
            vec!["0", "-d", file.to_str().expect("a name")],
            format!("httpserver: root '{}': not a directory\n", file.display()),
        ),
        (vec!["0", "--spa", "../x"], "httpserver: --spa: '../x' is not a path within the served directory\n".into()),
        (vec!["0", "--header", "no colon"], "httpserver: --header: 'no colon': a field is NAME: VALUE\n".into()),
        (
            vec!["0", "--header", "Date: x"],
            "httpserver: --header: 'Date: x': a field that the server writes itself\n".into(),
        ),
    ] {
        let Ended { code, stdout, stderr } = Tool::start("httpserver", &args).wait();
        assert_eq!((code, stdout.as_str(), stderr.lines().last()), (Some(2), "", want.lines().last()), "{args:?}");
    }
}

/// A driver in small, that answers questions about one small file.
struct Bench {
    app: HttpServer,
    table: Table,
    ops: VecDeque<Op<Job, Note>>,
    env: Env,
}

impl Bench {
    fn new(content: &'static [u8]) -> (Self, Token) {
        let mut table = Table::new(16_384, 65_536);
        let listener = table.open(0);
        let (stdout, stderr) = (table.open(255), table.open(255));
        let at = Addr::Ip("127.0.0.1:80".parse().expect("an address"));
        let start = Start {
            listeners: vec![Listener { token: listener, at: at.clone() }],
            stdin: None,
            stdout,
            stderr,
            tty: Tty::default(),
            seed: [0; 32],
            shard: Shard(0),
            shards: 1,
            capacity: 100,
            driver: "bench".into(),
            facts: vec![],
            now: Instant::default(),
            wall: Wall::default(),
        };
        let app = HttpServer::new(Settings::default(), Site::new(Options::default()));
        let env = Env::new([0; 32], Wall { unix_ns: 1_000_000_000_000, utc_offset_s: 0 }, Instant::default());
        let mut bench = Bench { app, table, ops: VecDeque::new(), env };
        bench.handle(Input::Start(&start));
        bench.answer(content);
        let conn = bench.table.open(0);
        bench.handle(Input::Accepted { conn, listener, peer: Peer { remote: at, local: None, fd: 9 } });
        bench.request(conn, b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n".to_vec().as_mut());
        bench.answer(content);
        (bench, conn)
    }
    fn handle(&mut self, input: Input<'_, Note>) {
        let mut cx = Cx::new(Instant::from_nanos(1), &mut self.table, &mut self.ops, &mut self.env);
        self.app.handle(input, &mut cx);
    }
    fn request(&mut self, t: Token, bytes: &mut Vec<u8>) {
        let n = bytes.len();
        self.handle(Input::Bytes(t, Chunk::new(bytes, n)));
    }
    fn answer(&mut self, content: &'static [u8]) {
        while let Some(op) = self.ops.pop_front() {
            let Op::Ask(id, ask) = op else { continue };
            let answer = match ask {
                Ask::Open { how, .. } => {
                    let meta =
                        Meta { len: content.len() as u64, modified_ns: 5, dir: how.dir, regular: !how.dir, inode: 1 };
                    Answer::Opened { file: FileId(1), meta }
                }
                Ask::Read { .. } => Answer::Read(Bytes::from_static(content)),
                _ => Answer::Done,
            };
            self.handle(Input::Answer(id, Ok(answer)));
        }
    }
    /// What was sent since the last time.
    fn sent(&mut self, t: Token) -> usize {
        let n = self.table.tx(t).map_or(0, |tx| tx.len());
        self.table.consume(t, n, Instant::from_nanos(1));
        while self.table.next_dirty().is_some() {}
        n
    }
}

#[test]
fn a_hit_allocates_nothing() {
    const SMALL: &[u8] = &[b'x'; 100];
    const LARGE: &[u8] = &[b'x'; 40_000];
    for content in [SMALL, LARGE] {
        let (mut bench, t) = Bench::new(content);
        let mut request = b"GET /a.txt HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n".to_vec();
        for _ in 0..10 {
            bench.request(t, &mut request);
            bench.sent(t);
        }
        let mut sent = 0;
        let made = allocations(|| {
            for _ in 0..500 {
                bench.request(t, &mut request);
                sent += bench.sent(t);
            }
        });
        assert!(sent > 500 * content.len(), "{sent}");
        assert_eq!(made, 0, "for {} bytes", content.len());
        assert_eq!(bench.ops.len(), 0, "and nothing is asked");
    }
}
