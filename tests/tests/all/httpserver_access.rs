//! `httpserver`: who may ask, several sites, files that clients send.
use super::httpserver::{Folder, connect, exchange, noise, status};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use tests::process::{Tool, have, until};
use tests::scenario::drivers;

fn get(port: u16, target: &str, more: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n");
    String::from_utf8_lossy(&exchange(port, request.as_bytes())).into_owned()
}

fn login(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// A file beside the root that only its owner can read.
fn private(site: &Folder, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = site.root().parent().expect("a folder").join(name);
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its owner");
    path.to_str().expect("a name").into()
}

/// As `socks5_proxy --hash-password` makes it.
fn hashed(user: &str, password: &str) -> String {
    bins::users::line(user, password, &[9; 16]).expect("a line")
}

#[test]
fn who_has_no_password_gets_nothing() {
    let site = Folder::new();
    let users = private(&site, "users.txt", &format!("{}\nplain:secret\n", hashed("eve", "open sesame")));
    for driver in drivers() {
        let (mut tool, port) = site.serve(&["--driver", driver, "--auth-file", &users, "--access-log", "common"]);
        let none = get(port, "/a.txt", "");
        assert_eq!(status(&none), "401", "{driver}");
        assert!(none.contains("\r\nWWW-Authenticate: Basic realm=\"files\", charset=\"UTF-8\"\r\n"), "{none}");
        assert!(tool.line().contains(" - - ["), "nobody is named");
        for (user, password) in [("eve", "open sesame"), ("eve", "open sesame"), ("plain", "secret")] {
            assert!(get(port, "/a.txt", &login(user, password)).ends_with("0123456789"), "{driver}: {user}");
            assert!(tool.line().contains(&format!(" - {user} [")), "{driver}");
        }
        // What is not there is not told to strangers either.
        for target in ["/none", "/../x", "/sub"] {
            assert_eq!(status(&get(port, target, "")), "401", "{driver}: {target}");
        }
        for (user, password) in [("eve", "wrong"), ("mallory", "open sesame"), ("plain", "secre")] {
            assert_eq!(status(&get(port, "/a.txt", &login(user, password))), "401", "{driver}: {user}");
        }
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn who_guesses_is_refused_for_a_while() {
    let site = Folder::new();
    let users = private(&site, "users.txt", "plain:secret\n");
    let (_tool, port) = site.serve(&["--auth-file", &users]);
    for _ in 0..10 {
        assert_eq!(status(&get(port, "/a.txt", &login("plain", "guess"))), "401");
    }
    let locked = get(port, "/a.txt", &login("plain", "secret"));
    assert!(status(&locked) == "429" && locked.contains("\r\nRetry-After: 60\r\n"), "{locked}");
    // The control: as many questions without a guess lock nobody out.
    let (_tool, port) = site.serve(&["--auth-file", &users]);
    for _ in 0..10 {
        assert_eq!(status(&get(port, "/a.txt", "")), "401");
    }
    assert_eq!(status(&get(port, "/a.txt", &login("plain", "secret"))), "200");
}

#[test]
fn users_are_read_again_when_it_is_told_to() {
    let site = Folder::new();
    let users = private(&site, "users.txt", &hashed("eve", "old"));
    let (tool, port) = site.serve(&["--auth-file", &users]);
    let code = |password: &str| status(&get(port, "/a.txt", &login("eve", password))).to_string();
    assert_eq!((code("old"), code("new")), ("200".into(), "401".into()));
    private(&site, "users.txt", &hashed("eve", "new"));
    tool.signal(rustix::process::Signal::HUP);
    until("the new users", || code("new") == "200");
    assert_eq!(code("old"), "401", "a password that was right once is forgotten");
    private(&site, "users.txt", "nonsense");
    tool.signal(rustix::process::Signal::HUP);
    let ended = tool.stop();
    assert!(ended.stderr.contains("users.txt: 1 users") || ended.stderr.contains("not reloaded"), "{}", ended.stderr);
}

#[test]
fn every_host_has_its_files() {
    let (site, docs, rest) = (Folder::new(), Folder::new(), Folder::new());
    docs.put("a.txt", b"docs");
    rest.put("a.txt", b"rest");
    let (docs_arg, rest_arg) = (format!("docs.example={}", docs.arg()), format!("*.example={}", rest.arg()));
    for driver in drivers() {
        let (mut tool, port) = site.serve(&["--driver", driver, "--site", &docs_arg, "--site", &rest_arg]);
        assert_eq!(tool.line(), format!("Serving files from {} for docs.example", docs.arg()));
        assert_eq!(tool.line(), format!("Serving files from {} for *.example", rest.arg()));
        let ask = |target: &str, host: &str| {
            let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = String::from_utf8_lossy(&exchange(port, request.as_bytes())).into_owned();
            answer.rsplit_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_string())
        };
        for _ in 0..2 {
            assert_eq!(ask("/a.txt", "docs.example"), "docs", "{driver}");
            assert_eq!(ask("/a.txt", "Docs.Example:8080"), "docs", "{driver}");
            assert_eq!(ask("/a.txt", "x.example"), "rest", "{driver}");
            assert_eq!(ask("/a.txt", "example"), "0123456789", "{driver}");
            assert_eq!(ask("http://docs.example/a.txt", "docs.example"), "docs", "{driver}");
        }
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

/// A place for uploads in the root.
fn incoming(site: &Folder) -> PathBuf {
    let dir = site.root().join("in");
    std::fs::create_dir_all(&dir).expect("a folder");
    dir
}

fn names(dir: &PathBuf) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("a folder")
        .map(|e| e.expect("a name").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn curl_sends_files() {
    if !have("curl") {
        return;
    }
    for driver in drivers() {
        let site = Folder::new();
        let dir = incoming(&site);
        let big = noise(3_000_000);
        let path = private(&site, "big.bin", "");
        std::fs::write(&path, &big).expect("a file");
        let other = private(&site, "other.txt", "other");
        let (tool, port) = site.serve(&["--driver", driver, "--upload=in", "--listing"]);
        let curl = |args: &[&str], to: &str| {
            let url = format!("http://127.0.0.1:{port}{to}");
            let shown = ["-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "--max-time", "60"];
            let out = Command::new("curl").args(shown).args(args).arg(url).output().expect("curl");
            String::from_utf8_lossy(&out.stdout).into_owned()
        };
        assert!(curl(&["-T", &path], "/in/").starts_with("201 "), "{driver}");
        assert!(std::fs::read(dir.join("big.bin")).expect("it is there") == big, "{driver}");
        assert!(curl(&["-T", &other], "/in/big.bin").starts_with("409 "), "{driver}: nothing is replaced");
        assert!(std::fs::read(dir.join("big.bin")).expect("it is there") == big, "{driver}");
        let (a, b) = (format!("f=@{other}"), format!("g=@{path};filename=\"two words.bin\""));
        let told = curl(&["-F", &a, "-F", "x=y", "-F", &b], "/in/");
        assert!(told.starts_with("303 ") && told.ends_with("/in/"), "{driver}: {told}");
        assert!(std::fs::read(dir.join("two words.bin")).expect("it is there") == big, "{driver}");
        for (to, code) in
            [("/", "405"), ("/in/none/", "404"), ("/in/.hidden", "404"), ("/in", "405"), ("/in/../x", "405")]
        {
            let got = curl(&["-T", &other, "--path-as-is"], to);
            assert!(got.starts_with(code), "{driver}: {to}: {got}");
        }
        assert!(curl(&["-X", "DELETE"], "/in/big.bin").starts_with("405 "), "{driver}");
        for foreign in ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"] {
            assert!(curl(&["-H", foreign, "-F", &a], "/in/").starts_with("403 "), "{driver}: {foreign}");
        }
        assert_eq!(names(&dir), ["big.bin", "other.txt", "two words.bin"], "{driver}: and nothing hidden");
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    for driver in drivers() {
        let site = Folder::new();
        let dir = incoming(&site);
        let (tool, port) = site.serve(&["--driver", driver, "--upload=in", "--overwrite", "--max-upload", "1MiB"]);
        let mut s = connect(port);
        s.write_all(b"PUT /in/a HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n").expect("it reads");
        s.write_all(&noise(200_000)).expect("it reads");
        until("a hidden file", || names(&dir).iter().any(|n| n.starts_with(".a.")));
        drop(s);
        until("nothing", || names(&dir).is_empty());
        // The body is asked for when it is known that it will be taken.
        let mut s = connect(port);
        let head =
            "PUT /in/b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
        s.write_all(head.as_bytes()).expect("it reads");
        let mut go = [0; 25];
        s.read_exact(&mut go).expect("an answer");
        assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n", "{driver}");
        s.write_all(b"new").expect("it reads");
        let mut rest = String::new();
        s.read_to_string(&mut rest).expect("an answer");
        assert_eq!(status(&rest), "201", "{driver}: {rest}");
        assert_eq!(std::fs::read(dir.join("b")).expect("it is there"), b"new", "{driver}");
        let large = exchange(port, b"PUT /in/c HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
        assert_eq!(status(&String::from_utf8_lossy(&large)), "413", "{driver}");
        assert_eq!(names(&dir), ["b"], "{driver}");
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn uploads_have_users_of_their_own() {
    let site = Folder::new();
    let dir = incoming(&site);
    let (readers, writers) = (private(&site, "r.txt", "r:r\n"), private(&site, "w.txt", &hashed("w", "w")));
    let (_tool, port) = site.serve(&["--upload=in", "--auth-file", &readers, "--upload-auth", &writers]);
    let put = |more: &str| {
        let request = format!("PUT /in/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n{more}\r\nx");
        status(&String::from_utf8_lossy(&exchange(port, request.as_bytes()))).to_string()
    };
    assert_eq!((put(""), put(&login("r", "r"))), ("401".into(), "401".into()));
    assert!(names(&dir).is_empty());
    assert_eq!(put(&login("w", "w")), "201");
    assert_eq!(status(&get(port, "/in/x", &login("w", "w"))), "401", "who may write may not read");
    assert_eq!(status(&get(port, "/in/x", &login("r", "r"))), "200");
}

#[test]
fn what_is_wrong_with_the_flags_is_said() {
    let site = Folder::new();
    let root = site.arg();
    let (bad, empty) = (private(&site, "bad.txt", "a:b\nc\n"), private(&site, "empty.txt", "# nobody\n"));
    for (args, says) in [
        (vec!["--auth-file", "/none"], "/none: no such file or directory"),
        (vec!["--auth-file", &bad], "bad.txt:2: expected user:password"),
        (vec!["--auth-file", &empty], "empty.txt: no users"),
        (vec!["--site", "nonsense"], "'nonsense' is not HOST=DIR"),
        (vec!["--site", "a=/none"], "root '/none': no such file or directory"),
        (vec!["--upload=../x"], "'../x' is not a path within"),
        (vec!["--overwrite"], "--upload"),
        (vec!["--upload=in", "--listen", "0.0.0.0"], "refusing to take uploads from everybody on 0.0.0.0"),
    ] {
        let ended = Tool::start("httpserver", &[&["0", "-d", &root], &args[..]].concat()).wait();
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
}

/// The address of the client in the first line of the log.
fn logged(tool: &mut Tool) -> String {
    let line = tool.line();
    line.split(' ').next().expect("a line has words").to_string()
}

#[test]
fn proxies_that_are_believed_name_their_clients() {
    let site = Folder::new();
    let forwarded = "Forwarded: for=192.0.2.9, for=\"203.0.113.7:4711\"\r\n";
    for driver in drivers() {
        let log = ["--driver", driver, "--access-log", "common"];
        let (mut tool, port) = site.serve(&[&log[..], &["--trust-proxy", "127.0.0.1"]].concat());
        get(port, "/a.txt", forwarded);
        assert_eq!(logged(&mut tool), "203.0.113.7", "{driver}");
        get(port, "/a.txt", "X-Forwarded-For: 198.51.100.1, 127.0.0.1\r\n");
        assert_eq!(logged(&mut tool), "198.51.100.1", "{driver}");
        get(port, "/a.txt", "");
        assert_eq!(logged(&mut tool), "127.0.0.1", "{driver}");
        // The control: a proxy that nobody believes.
        let (mut tool, port) = site.serve(&[&log[..], &["--trust-proxy", "10.0.0.0/8"]].concat());
        get(port, "/a.txt", forwarded);
        assert_eq!(logged(&mut tool), "127.0.0.1", "{driver}");
    }
}

#[test]
fn balancers_say_where_a_connection_comes_from() {
    let site = Folder::new();
    let request = b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let ask = |port: u16, header: &[u8]| {
        String::from_utf8_lossy(&exchange(port, &[header, &request[..]].concat())).into_owned()
    };
    let v1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n";
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x01\xc0\0\x02\x01\x12\x67\x01\xbb";
    let believe = ["--trust-proxy", "127.0.0.1", "--proxy-protocol", "--deny-from", "198.51.100.66"];
    for driver in drivers() {
        let log = ["--driver", driver, "--access-log", "common"];
        let (mut tool, port) = site.serve(&[&log[..], &believe].concat());
        for (header, from) in [(&v1[..], "203.0.113.7"), (&v2[..], "198.51.100.1")] {
            assert!(ask(port, header).ends_with("0123456789"), "{driver}");
            assert_eq!(logged(&mut tool), from, "{driver}");
        }
        // It comes in pieces, too.
        let mut s = connect(port);
        for piece in v1.chunks(5) {
            s.write_all(piece).expect("it reads");
        }
        s.write_all(request).expect("it reads");
        let mut answer = String::new();
        s.read_to_string(&mut answer).expect("an answer");
        assert_eq!((status(&answer), logged(&mut tool).as_str()), ("200", "203.0.113.7"), "{driver}");
        // Whoever is refused is refused behind a balancer, too; and who says nothing is none.
        let denied = ask(port, b"PROXY TCP4 198.51.100.66 192.0.2.1 4711 443\r\n");
        assert_eq!(denied, "", "{driver}");
        assert_eq!(ask(port, b""), "", "{driver}: no header");
        assert_eq!(tool.stop().code, Some(0), "{driver}");
        // The control: elsewhere the header is no request.
        let (_tool, port) = site.serve(&["--driver", driver]);
        assert_eq!(status(&ask(port, v1)), "400", "{driver}");
    }
}
