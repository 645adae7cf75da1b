//! Foreign clients of `socks5_proxy`, over HTTP and HTTPS: curl, PySocks, proxychains4, chromium, ncat.
use super::socks::{File, curl, pages, patient, proxy, target};
use super::via::microsocks;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use tests::process::{Tool, have, until};
use tests::scenario::drivers;

/// What a foreign client prints, or `None` if it cannot be started.
pub fn foreign(mut command: Command) -> Option<(Option<i32>, String)> {
    let out = command.output().ok()?;
    Some((out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned()))
}

/// A program that not every machine has: one that is not there is passed over.
fn may_have(program: &str) -> bool {
    let there = std::path::Path::new("/usr/bin").join(program).is_file();
    if !there {
        eprintln!("passed over: {program} is not installed");
    }
    there
}

/// openssl's server of one page, and the certificate of `localhost` that it has.
struct Secure {
    _server: Tool,
    at: SocketAddr,
    dir: std::path::PathBuf,
}

impl Secure {
    fn start(name: &str) -> Secure {
        let dir = std::env::temp_dir().join(format!("drywire-socks-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]);
        make.args(["-addext", "subjectAltName=DNS:localhost", "-keyout"]).arg(&key).arg("-out").arg(&cert);
        assert!(make.output().expect("installed").status.success());
        let (free, at) = target();
        drop(free);
        let mut serve = Command::new("openssl");
        serve.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{}", at.port())]);
        let server = Tool::spawn({
            serve.arg("-cert").arg(&cert).arg("-key").arg(&key);
            serve
        });
        until("openssl listens", || TcpStream::connect(at).is_ok());
        Secure { _server: server, at, dir }
    }
    fn cert(&self) -> String {
        self.dir.join("cert.pem").display().to_string()
    }
    /// By a name that only the proxy resolves, and that the certificate is checked against.
    fn url(&self) -> String {
        format!("https://localhost:{}/", self.at.port())
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir); // in nobody's way
    }
}

/// What is on the page of [`Secure`].
const PAGE: &str = "Ciphers supported";

#[test]
fn curl_speaks_tls_through_it() {
    if !have("curl") || !have("openssl") {
        return;
    }
    let secure = Secure::start("curl");
    let (tool, port) = proxy("epoll", &["-q"]);
    let proxy = format!("localhost:{port}");
    let (code, page) = curl(&["--socks5-hostname", &proxy, "--cacert", &secure.cert(), &secure.url()]);
    assert!(code == Some(0) && page.contains(PAGE), "{code:?} {page}");
    assert_eq!(tool.stop().code, Some(0));
}

/// A script that logs in, and then speaks HTTP to `port` of localhost, in the clear and over TLS.
fn script(proxy: u16, plain: u16, secure: &Secure) -> String {
    format!(
        "import socks, ssl\n\
         def to(port):\n    s = socks.socksocket()\n    s.set_proxy(socks.SOCKS5, '127.0.0.1', {proxy}, True, 'user', 'pass')\n    \
         s.settimeout(20)\n    s.connect(('localhost', port))\n    return s\n\
         def get(s):\n    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n    print(s.makefile('rb').read().decode())\n\
         get(to({plain}))\n\
         get(ssl.create_default_context(cafile='{}').wrap_socket(to({}), server_hostname='localhost'))\n",
        secure.cert(),
        secure.at.port()
    )
}

#[test]
fn pysocks_and_proxychains_get_through() {
    if !have("openssl") {
        return;
    }
    let users = File::new("py-users", "user:pass\n");
    let (at, secure) = (pages(2), Secure::start("py"));
    let mut tool = Tool::start("socks5_proxy", &["0", "--auth", users.path(), "--allow", "loopback", "-q"]);
    let port = tool.port();
    let python = |text: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", text]);
        foreign(python).unwrap_or_default()
    };
    if python("import socks").0 == Some(0) {
        let (code, text) = python(&script(port, at.port(), &secure));
        assert!(code == Some(0) && text.contains("203.0.113.45") && text.contains(PAGE), "{code:?} {text}");
    } else {
        eprintln!("passed over: PySocks is not installed");
    }
    if may_have("proxychains4") && have("curl") {
        let text = format!("strict_chain\nquiet_mode\nproxy_dns\n[ProxyList]\nsocks5 127.0.0.1 {port} user pass\n");
        let config = File::new("chains", &text);
        let chained = |url: &str| {
            let mut chains = Command::new("proxychains4");
            chains.args(["-f", config.path(), "curl", "-s", "-m", "20", "--cacert", &secure.cert(), url]);
            foreign(chains).expect("it is there")
        };
        let got = chained(&format!("http://127.0.0.1:{}/", at.port()));
        assert_eq!(got, (Some(0), "203.0.113.45".into()));
        let (code, page) = chained(&secure.url());
        assert!(code == Some(0) && page.contains(PAGE), "{code:?} {page}");
    }
    assert_eq!(tool.stop().code, Some(0));
}

/// The page behind TLS, as chromium shows it through a proxy, and that the proxy was asked for it.
fn browse(scheme: &str, flags: &[&str]) {
    let secure = Secure::start(&format!("browser-{scheme}"));
    let (mut tool, port) = proxy("auto", flags);
    let mut chromium = Command::new("timeout");
    chromium.args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    chromium.args(["--no-first-run", "--ignore-certificate-errors", "--proxy-bypass-list=<-loopback>"]);
    chromium.arg(format!("--proxy-server={scheme}://127.0.0.1:{port}"));
    chromium.arg(format!("--user-data-dir={}", secure.dir.join("profile").display()));
    chromium.args(["--dump-dom", &secure.url()]);
    let (code, page) = foreign(chromium).unwrap_or_default();
    assert!(code == Some(0) && page.contains(PAGE), "{code:?} {page}");
    // It has asked for more than that, such as news of its maker.
    let asked = format!("] CONNECT localhost:{}", secure.at.port());
    while !tool.line().ends_with(&asked) {}
}

#[test]
fn a_browser_gets_through() {
    if !may_have("chromium") || !have("openssl") {
        return;
    }
    browse("socks5", &[]);
    browse("http", &["--also", "http"]);
}

#[test]
fn curl_gets_through_by_socks4_and_by_http() {
    if !have("curl") || !have("openssl") {
        return;
    }
    let (users, secure) = (File::new("also-users", "user:pass\n"), Secure::start("also"));
    for driver in drivers() {
        let (open, port) = proxy(driver, &["--also", "http,socks4", "-q"]);
        let (locked, locked_port) = proxy(driver, &["--also", "http,socks4", "--auth", users.path(), "-q"]);
        let (bare, bare_port) = proxy(driver, &["-q"]);
        let at = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}");
        let get = |via: &str| curl(&["-x", via, "--cacert", &secure.cert(), &secure.url()]);
        for scheme in ["http", "socks4a", "socks5h"] {
            let (code, page) = get(&at(scheme, port));
            assert!(code == Some(0) && page.contains(PAGE), "{driver} {scheme}: {code:?} {page}");
        }
        let plain = pages(1);
        let got = curl(&["-x", &at("socks4", port), &format!("http://{plain}/")]);
        assert_eq!(got, (Some(0), "203.0.113.45".into()), "{driver}");
        // A login that is asked for, one that is offered at once, a wrong one, and none.
        for (login, flags, want) in [
            ("user:pass@", &["--proxy-anyauth"][..], Some(0)),
            ("user:pass@", &[], Some(0)),
            ("user:nope@", &[], Some(56)),
            ("", &[], Some(56)),
        ] {
            let via = format!("http://{login}127.0.0.1:{locked_port}");
            let (url, cert) = (secure.url(), secure.cert());
            let (code, _) = curl(&[flags, &["-x", &via, "--cacert", &cert, &url]].concat());
            assert_eq!(code, want, "{driver} {login} {flags:?}");
        }
        assert_ne!(get(&at("socks4a", locked_port)).0, Some(0), "{driver}: it cannot log in");
        for scheme in ["http", "socks4a"] {
            assert_ne!(get(&at(scheme, bare_port)).0, Some(0), "{driver} {scheme}: not asked for");
        }
        for tool in [open, locked, bare] {
            assert_eq!(tool.stop().code, Some(0), "{driver}");
        }
    }
}

#[test]
fn ncat_gets_through() {
    if !may_have("ncat") {
        return;
    }
    let (tool, port) = proxy("epoll", &["-q"]);
    let (l, at) = target();
    let answers = std::thread::spawn(move || {
        let mut s = patient(l.accept().expect("it connects").0);
        let mut text = String::new();
        s.read_to_string(&mut text).expect("it sends");
        s.write_all(b"heard\n").expect("it reads");
        text
    });
    let line = format!(
        "echo hello | /usr/bin/ncat -w 10 --proxy 127.0.0.1:{port} --proxy-type socks5 127.0.0.1 {}",
        at.port()
    );
    let mut sh = Command::new("sh");
    sh.args(["-c", &line]);
    assert_eq!(foreign(sh), Some((Some(0), "heard\n".into())));
    assert_eq!(answers.join().expect("no panic"), "hello\n");
    assert_eq!(tool.stop().code, Some(0));
}

#[test]
fn another_proxy_behind_it_and_one_more_behind_that() {
    if !have("curl") || !have("microsocks") {
        return;
    }
    for login in ["", "user:pass@"] {
        let (_other, last) = microsocks(login);
        for driver in drivers() {
            for scheme in ["socks5", "socks5h"] {
                let at = pages(1);
                let (second, port) = proxy(driver, &["--upstream", &format!("{scheme}://{login}127.0.0.1:{last}")]);
                let (first, port) = proxy(driver, &["--upstream", &format!("{scheme}://localhost:{port}")]);
                let url = format!("http://localhost:{}/", at.port());
                let got = curl(&["--socks5-hostname", &format!("localhost:{port}"), &url]);
                assert_eq!(got, (Some(0), "203.0.113.45".into()), "{driver} {scheme}");
                let named = if scheme == "socks5h" { "CONNECT localhost:" } else { "CONNECT 127.0.0.1:" };
                assert!(first.stop().stdout.contains("CONNECT localhost:"), "{driver}");
                let log = second.stop().stdout;
                assert!(log.contains(named) || log.contains("CONNECT [::1]:"), "{driver} {scheme}: {log}");
            }
        }
    }
}
