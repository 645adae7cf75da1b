//! `https_client`, and https in `httpclient`: printed command lines, what is wrong with peers, proxies, redirects.
use crate::httpclient::Folder;
use crate::httpclient_peers::{Foreign, serve};
use proto_core::tls::{ClientAuth, Common, Identity, ServerSetup, tls_version};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use tests::certs::{self, Ca, dates_of_today};
use tests::odd::{Do, Odd};
use tests::process::{Ended, Tool, have, tool};
use tests::scenario::drivers;
use tests::secure::{Ending, Secure};

const HELLO: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
const SHOWN: &str = "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 6\nConnection: close\n\nhello\n";

/// A CA, certificates of it as of today, and a folder with them.
struct World {
    ca: Ca,
    folder: Folder,
}

impl World {
    fn new() -> World {
        dates_of_today();
        World::dated()
    }
    /// With the fixed dates of tests.
    fn dated() -> World {
        let (ca, folder) = (Ca::named("My Chat CA"), Folder::new());
        folder.put("ca.crt", ca.made.cert.pem().as_bytes());
        World { ca, folder }
    }
    fn common(&self) -> Common {
        let made = self.ca.sign(certs::server(&["localhost", "127.0.0.1"]));
        Common { identity: Some(made.identity(&[])), resume: true, ..Common::default() }
    }
    fn serve(&self, answer: &str, ending: Ending) -> Secure {
        Secure::start(ServerSetup::new(self.common(), ClientAuth::No).expect("a setup"), answer, ending)
    }
    fn start(&self, name: &str, args: &[&str]) -> Tool {
        let mut command = Command::new(tool(name));
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSLKEYLOGFILE"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.args(args).current_dir(&self.folder.0);
        Tool::spawn(command)
    }
    /// `https_client` that believes the CA.
    fn ask(&self, args: &[&str]) -> Ended {
        self.start("https_client", &[&["--ca", "ca.crt"], args].concat()).wait()
    }
    /// `httpclient` that believes the CA.
    fn fetch(&self, args: &[&str]) -> Ended {
        self.start("httpclient", &[&["--ca", "ca.crt"], args].concat()).wait()
    }
    /// A certificate with its key in files, of which it tells the names.
    fn files(&self, name: &str, p: rcgen::CertificateParams) -> [String; 2] {
        let made = self.ca.sign(p);
        let names = [format!("{name}.crt"), format!("{name}.key")];
        self.folder.put(&names[0], made.cert.pem().as_bytes());
        self.folder.put(&names[1], made.key.as_bytes());
        names
    }
}

fn url(port: u16) -> String {
    format!("https://localhost:{port}/")
}

fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
    Ended { code: Some(code), stdout: stdout.into(), stderr: stderr.into() }
}

/// What stands before an answer.
fn block(version: &str, suite: &str) -> String {
    format!(
        "TLS Handshake:\nProtocol: {version}\nCipher: {suite}\nCertificate: CN=localhost\nIssuer: CN=My Chat CA\n\
         Valid: 2024-01-01 to 2025-01-01\n"
    )
}

#[test]
fn command_lines_as_printed() {
    let w = World::dated();
    let server = w.serve(HELLO, Ending::Goodbye);
    let at = url(server.port);
    let (new, old) = ("TLS_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    for driver in drivers() {
        let got = w.ask(&["--at", "2024-06-01", "--driver", driver, &at]);
        assert_eq!(got, ended(0, &(block("TLSv1.3", new) + SHOWN), ""), "{driver}");
        let got = w.ask(&["--at", "2024-06-01", "--driver", driver, "--tls-max", "1.2", &at]);
        assert_eq!(got, ended(0, &(block("TLSv1.2", old) + SHOWN), ""), "{driver}");
        let got = w.ask(&["--at", "2025-06-01T12:00:00Z", "--driver", driver, &at]);
        let text = "Error: certificate verify failed\nReason: certificate has expired\n\
            Detail: CN=localhost was valid until 2025-01-01 00:00:00 UTC, now is 2025-06-01 12:00:00 UTC\n";
        assert_eq!(got, ended(6, "", text), "{driver}");
    }
    let got = w.ask(&[
        "--at",
        "2024-06-01",
        "--resolve",
        &format!("wrong.host:{}:127.0.0.1", server.port),
        &format!("wrong.host:{}", server.port),
    ]);
    let text = "Error: certificate verify failed\nReason: hostname mismatch\n\
        Detail: certificate is for localhost, 127.0.0.1, not for wrong.host\n";
    assert_eq!(got, ended(6, "", text));
    let got = w.start("https_client", &["--at", "2024-06-01", "--roots", "bundled", &at]).wait();
    let text = "Error: certificate verify failed\nReason: unable to get local issuer certificate\n\
        Detail: server sent 1 certificate; its issuer 'CN=My Chat CA' is not included and not in the trust store\n";
    assert_eq!(got, ended(6, "", text));
    let got = w.fetch(&[&at]);
    assert_eq!((got.code, got.stdout.as_str(), got.stderr.lines().count()), (Some(6), "", 1));
    assert!(
        got.stderr.starts_with("httpclient: certificate verify failed: certificate has expired ("),
        "{}",
        got.stderr
    );
}

#[test]
fn all_that_is_wrong_is_told() {
    let w = World::dated();
    let made = Ca::named("Evil CA").sign(certs::server(&["other.test"]));
    let common = Common { identity: Some(made.identity(&[])), ..Common::default() };
    let server = Secure::start(ServerSetup::new(common, ClientAuth::No).expect("a setup"), HELLO, Ending::Goodbye);
    let at = url(server.port);
    let got = w.ask(&["--at", "2036-06-01", &at]);
    let lines: Vec<&str> = got.stderr.lines().collect();
    assert_eq!(lines[..2], ["Error: certificate verify failed", "Reason: certificate has expired"]);
    assert!(lines[3].starts_with("Also: unable to get local issuer certificate (server sent 1"), "{lines:?}");
    assert_eq!(lines[4], "Also: hostname mismatch (certificate is for other.test, not for localhost)");
    assert_eq!(lines.len(), 5, "{lines:?}");
    for (flag, code, warnings) in [("--insecure", 0, 3), ("--insecure=name", 6, 0), ("--insecure=chain", 6, 0)] {
        let got = w.ask(&["--at", "2036-06-01", flag, "-b", &at]);
        let n = got.stderr.lines().filter(|l| l.starts_with("https_client: warning: ")).count();
        assert_eq!((got.code, n), (Some(code), warnings), "{flag}: {}", got.stderr);
    }
    let mut old = certs::server(&["localhost"]);
    (old.not_before, old.not_after) = (certs::day(2014, 1, 1), certs::day(2015, 1, 1));
    let common = Common { identity: Some(w.ca.sign(old).identity(&[])), ..Common::default() };
    let ancient = Secure::start(ServerSetup::new(common, ClientAuth::No).expect("a setup"), HELLO, Ending::Goodbye);
    let got = w.ask(&[&url(ancient.port)]);
    assert!(got.stderr.ends_with("\nHint: is this machine's clock right?\n"), "{}", got.stderr);
    let got = w.fetch(&["--insecure", "-b", &at]);
    assert_eq!((got.code, got.stdout.as_str()), (Some(0), "hello\n"));
    assert!(got.stderr.starts_with("httpclient: warning: certificate has expired ("), "{}", got.stderr);
}

/// The table of the tool's page: what a peer does, and what is said of it.
#[test]
fn peers_that_are_no_good() {
    let w = World::new();
    let say = |b: &[u8]| Do::Say(b.to_vec());
    let reason = |why: &str| format!("Error: handshake failed\nReason: {why}\n");
    let alert = |n: u8| vec![say(&[21, 3, 3, 0, 2, 2, n]), Do::Linger];
    let cases = [
        (
            vec![say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Do::Linger],
            7,
            "https_client: peer does not speak TLS (answered \"HTTP/1.1 400\")\n".into(),
        ),
        (
            vec![say(b"SSH-2.0-OpenSSH_9\x1b[2J\r\n"), Do::Linger],
            7,
            "https_client: peer does not speak TLS (answered \"SSH-2.0-OpenSSH_9\\x1b[2J\")\n".into(),
        ),
        (alert(40), 6, reason("peer sent alert handshake_failure (40)")),
        (alert(80), 6, reason("peer sent alert internal_error (80)")),
        (alert(70), 6, reason("no common protocol version") + "Detail: peer sent alert protocol_version (70)\n"),
        (alert(71), 6, reason("no common cipher suite") + "Detail: peer sent alert insufficient_security (71)\n"),
        (vec![], 7, "https_client: connection closed during handshake (after ClientHello)\n".into()),
        (vec![say(&[22, 3, 3]), Do::Linger], 5, "https_client: timeout after 0.3 s in TLS handshake\n".into()),
        (vec![Do::Linger], 5, "https_client: timeout after 0.3 s in TLS handshake\n".into()),
    ];
    for (script, code, text) in cases {
        let odd = Odd::start(vec![[&[Do::Hello][..], &script].concat()]);
        let got = w.ask(&["--handshake-timeout", "300ms", &url(odd.port)]);
        assert_eq!(got, ended(code, "", &text), "{script:?}");
        let odd = Odd::start(vec![[&[Do::Hello][..], &script].concat()]);
        let got = w.fetch(&["--connect-timeout", "300ms", &url(odd.port)]);
        assert_eq!((got.code, got.stderr.lines().count()), (Some(code), 1), "{script:?}: {}", got.stderr);
    }
    let server = w.serve("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nhello\n", Ending::Garbage);
    let got = w.ask(&["-b", &url(server.port)]);
    assert_eq!(got, ended(7, "hello\n", "Error: connection failed\nReason: bad record\n"));
}

#[test]
fn certificates_of_clients() {
    let w = World::dated();
    let ask = |args: &[&str]| w.ask(&[&["--at", "2024-06-01"], args].concat());
    let [cert, key] = w.files("alice", certs::client("alice@example.com"));
    let (root, text) = (w.ca.made.root(), "Error: handshake failed - client certificate required\n");
    for version in ["1.2", "1.3"] {
        let versions = vec![tls_version(version).expect("a version")];
        let setup =
            |clients| ServerSetup::new(Common { versions: versions.clone(), ..w.common() }, clients).expect("a setup");
        let server = Secure::start(setup(ClientAuth::Required(root.clone())), HELLO, Ending::Goodbye);
        let at = url(server.port);
        let got = ask(&["-b", &at]);
        assert_eq!((got.code, got.stdout.as_str(), got.stderr.as_str()), (Some(6), "", text), "{version}");
        let got = ask(&["-b", "--cert", &cert, "--key", &key, &at]);
        assert_eq!(got, ended(0, "hello\n", ""), "{version}");
        // A redirect to somebody else does not show it, though that one asks.
        let asks = Secure::start(setup(ClientAuth::Asked(root.clone())), HELLO, Ending::Goodbye);
        let to = format!(
            "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            url(asks.port)
        );
        let leads = Secure::start(setup(ClientAuth::Required(root.clone())), to, Ending::Goodbye);
        let got = ask(&["-v", "-L", "--cert", &cert, "--key", &key, &url(leads.port)]);
        let lines: Vec<&str> = got.stderr.lines().filter(|l| l.starts_with("Client certificate: ")).collect();
        assert_eq!(got.stdout, "hello\n", "{}", got.stderr);
        assert_eq!(lines, ["Client certificate: asked for and sent", "Client certificate: asked for, none sent"]);
        let got = ask(&["-v", "--cert", &cert, "--key", &key, &url(asks.port)]);
        assert!(got.stderr.contains("Client certificate: asked for and sent\n"), "the control: {}", got.stderr);
    }
}

#[test]
fn bad_command_lines() {
    let w = World::new();
    let [cert, key] = w.files("alice", certs::client("alice@example.com"));
    let [_, other] = w.files("bob", certs::client("bob@example.com"));
    w.folder.put("empty", b"");
    w.folder.put("text", b"no certificate\n");
    for (args, why) in [
        (&["http://a/"][..], "https_client needs https:// (use httpclient)"),
        (&["https://a/", "http://b/"], "https_client needs https:// (use httpclient)"),
        (&["--ca", "empty", "https://a/"], "empty: no certificate in it (PEM expected)"),
        (&["--ca", "text", "https://a/"], "text: no certificate in it (PEM expected)"),
        (&["--ca", "none", "https://a/"], "--ca: none: no such file or directory"),
        (&["--cert", &cert, "--key", &other, "https://a/"], "bob.key does not match alice.crt"),
        (&["--cert", &key, "--key", &key, "https://a/"], "alice.key: no certificate in it (PEM expected)"),
        (&["--ciphers", "TLS_NO", "https://a/"], "no cipher suite 'TLS_NO'; there are TLS_"),
        (&["--groups", "x448", "https://a/"], "no key exchange group 'x448'; there are X25519"),
        (&["--tls-min", "1.3", "--tls-max", "1.2", "https://a/"], "--tls-min 1.3 is above --tls-max 1.2"),
        (&["--pin", "sha256//x", "https://a/"], "is not a pin such as sha256//BASE64"),
        (&["--at", "yesterday", "https://a/"], "'yesterday' is not a time such as 2024-06-01"),
        (&["--at", "2024-13-01", "https://a/"], "'2024-13-01' is not a time such as 2024-06-01"),
        (&["--keylog", "https://a/"], "--keylog needs the name of a file in SSLKEYLOGFILE"),
        (&["--server-name", "a b", "https://a/"], "is not a name that a certificate can have"),
        (&["--record", "x", "https://a/"], "--record cannot be used with TLS"),
        (&["--insecure=most", "https://a/"], "invalid value 'most'"),
    ] {
        let got = w.start("https_client", args).wait();
        assert_eq!((got.code, got.stdout.as_str()), (Some(2), ""), "{args:?}: {}", got.stderr);
        assert!(got.stderr.contains(why) && got.stderr.lines().count() == 1, "{args:?}: {}", got.stderr);
    }
}

/// A server that has gone meanwhile is asked again on a new connection.
#[test]
fn connections_that_were_kept_and_are_gone() {
    let w = World::new();
    let kept = HELLO.replace("Connection: close\r\n", "");
    for driver in drivers() {
        for ending in [Ending::Goodbye, Ending::Cut] {
            let server = w.serve(&kept, ending);
            let at = url(server.port);
            let got = w.fetch(&["-b", "--driver", driver, &at, &at, &at]);
            assert_eq!(got, ended(0, "hello\nhello\nhello\n", ""), "{driver} {ending:?}");
        }
    }
    let server = w.serve(&kept, Ending::Never);
    let at = url(server.port);
    let got = w.fetch(&["-b", "-v", &at, &at]);
    assert!(got.code == Some(0) && got.stderr.contains("\n* reusing connection 1\n"), "{}", got.stderr);
}

#[test]
fn what_is_cut_off_is_never_a_success() {
    let w = World::new();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello\n";
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nhello\n";
    for driver in drivers() {
        for (answer, ending, code, text) in [
            (head, Ending::Goodbye, 0, ""),
            (head, Ending::Cut, 7, "httpclient: warning: connection cut without TLS close: got 6 bytes\n"),
            (HELLO, Ending::Cut, 0, ""),
            (long, Ending::Cut, 7, "httpclient: connection closed: got 6 of 60 bytes\n"),
            (long, Ending::Goodbye, 7, "httpclient: connection closed: got 6 of 60 bytes\n"),
        ] {
            let server = w.serve(answer, ending);
            let got = w.fetch(&["-b", "--driver", driver, &url(server.port)]);
            assert_eq!(got, ended(code, "hello\n", text), "{driver} {answer} {ending:?}");
        }
    }
    let server = w.serve(head, Ending::Cut);
    let got = w.fetch(&["-o", "f", &url(server.port)]);
    assert_eq!(got.stderr, "httpclient: warning: connection cut without TLS close: got 6 bytes (f.part is kept)\n");
    assert_eq!((got.code, w.folder.file("f.part").as_deref()), (Some(7), Some(&b"hello\n"[..])));
}

#[test]
fn redirects_between_http_and_https() {
    let w = World::new();
    let to =
        |at: &str| format!("HTTP/1.1 302 Found\r\nLocation: {at}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let server = w.serve(HELLO, Ending::Goodbye);
    let odd = Odd::once(to(&url(server.port)));
    assert_eq!(w.fetch(&["-L", "-b", &odd.url("/")]), ended(0, "hello\n", ""));
    let (odd, back) = (Odd::once(HELLO), Odd::once(HELLO));
    let server = w.serve(&to(&odd.url("/x")), Ending::Goodbye);
    let got = w.fetch(&["-L", "-b", &url(server.port)]);
    assert_eq!(got.code, Some(7));
    assert!(got.stderr.contains("from https to http (use --allow-downgrade)"), "{}", got.stderr);
    assert_eq!(w.fetch(&["-L", "--allow-downgrade", "-b", &url(server.port)]), ended(0, "hello\n", ""));
    // A name that was said is of the first server, and not of whom it leads to.
    let made = w.ca.sign(certs::server(&["other.test"]));
    let common = Common { identity: Some(made.identity(&[])), ..Common::default() };
    let there = w.serve(HELLO, Ending::Goodbye);
    let setup = ServerSetup::new(common, ClientAuth::No).expect("a setup");
    let named = Secure::start(setup, to(&url(there.port)), Ending::Goodbye);
    assert_eq!(w.fetch(&["-L", "-b", "--server-name", "other.test", &url(named.port)]), ended(0, "hello\n", ""));
    // Without -L nothing of TLS is needed, and what is wrong with it does not matter.
    assert_eq!(w.start("httpclient", &["-b", &back.url("/")]).wait(), ended(0, "hello\n", ""));
}

/// An HTTP proxy that passes on; it tells what it was asked.
fn proxy() -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut s in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && s.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let port = text.split([':', ' ']).nth(2).and_then(|p| p.parse::<u16>().ok()).unwrap_or(0);
            let _ = tell.send(text); // the test may have heard enough
            let Ok(mut up) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\n\r\n"); // the client may have gone
            let (mut s2, mut up2) = (s.try_clone().expect("a socket"), up.try_clone().expect("a socket"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut s2, &mut up2); // either side may have gone
                let _ = up2.shutdown(std::net::Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut up, &mut s);
                let _ = s.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    (port, heard)
}

#[test]
fn through_proxies() {
    let w = World::new();
    let made = w.ca.sign(certs::server(&["no.such.host.invalid"]));
    let common = Common { identity: Some(made.identity(&[])), ..Common::default() };
    let server = Secure::start(ServerSetup::new(common, ClientAuth::No).expect("a setup"), HELLO, Ending::Goodbye);
    let at = format!("https://no.such.host.invalid:{}/", server.port);
    for driver in drivers() {
        let (port, heard) = proxy();
        let via = format!("http://u:p@127.0.0.1:{port}");
        let got = w.fetch(&["-b", "--driver", driver, "--via", &via, &at]);
        assert_eq!(got, ended(0, "hello\n", ""), "{driver}");
        let asked = heard.recv().expect("it was asked");
        assert!(asked.starts_with(&format!("CONNECT no.such.host.invalid:{} HTTP/1.1\r\n", server.port)), "{asked}");
        assert!(asked.contains("Proxy-Authorization: Basic dTpw\r\n"), "{asked}");
    }
    let (port, _heard) = proxy();
    let got = w.ask(&["-b", "--via", &format!("127.0.0.1:{port}"), "--sni", "localhost", &at]);
    assert_eq!(got.code, Some(6), "{}", got.stderr);
    assert!(got.stderr.contains("Reason: hostname mismatch\n"), "{}", got.stderr);
}

#[test]
fn through_our_own_socks_proxy() {
    let w = World::new();
    let secure = w.serve(HELLO, Ending::Goodbye);
    let mut open = w.start("socks5_proxy", &["0", "-q", "--allow", "loopback"]);
    let port = open.port();
    for driver in drivers() {
        for scheme in ["socks5", "socks5h"] {
            let via = format!("{scheme}://127.0.0.1:{port}");
            let plain = Odd::once(HELLO);
            let http = format!("http://localhost:{}/", plain.port);
            for at in [http, url(secure.port), format!("https://127.0.0.1:{}/", secure.port)] {
                let got = w.fetch(&["-b", "-4", "--driver", driver, "--via", &via, &at]);
                assert_eq!(got, ended(0, "hello\n", ""), "{driver} {scheme} {at}");
            }
        }
    }
    let via = format!("socks5h://127.0.0.1:{port}");
    let odd = Odd::once(HELLO);
    let mut command = Command::new(tool("httpclient"));
    command.args(["-b", &odd.url("/")]).env("ALL_PROXY", &via).env_remove("http_proxy").env_remove("HTTP_PROXY");
    assert_eq!(Tool::spawn(command).wait(), ended(0, "hello\n", ""));
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let got = w.fetch(&["--via", &via, &format!("http://127.0.0.1:{gone}/")]);
    let text = format!("httpclient: proxy 127.0.0.1:{port} for 127.0.0.1:{gone}: connection refused\n");
    assert_eq!(got, ended(4, "", &text));
    let got = w.fetch(&["--via", &format!("socks5://127.0.0.1:{port}"), "http://no.such.host.invalid/"]);
    assert_eq!(got.code, Some(3), "looked up here: {}", got.stderr);
    let got = w.fetch(&["--via", &via, "http://no.such.host.invalid/"]);
    assert_eq!(got.code, Some(4), "looked up there: {}", got.stderr);
    // Who is no proxy, and who says nothing.
    for (script, code, why) in [
        (vec![Do::Say(b"HTTP/1.1 400 No\r\n\r\n".to_vec()), Do::Linger], 7, "not SOCKS5"),
        (vec![Do::Say(vec![5, 255]), Do::Linger], 8, "the proxy wants a user name and a password"),
        (vec![Do::Linger], 5, "the proxy does not answer in time"),
        (vec![], 4, "the proxy closed the connection during the handshake"),
    ] {
        let odd = Odd::start(vec![[&[Do::Hello][..], &script].concat()]);
        let via = format!("socks5h://127.0.0.1:{}", odd.port);
        let got = w.fetch(&["--connect-timeout", "300ms", "--via", &via, "http://a/"]);
        assert_eq!(got, ended(code, "", &format!("httpclient: proxy 127.0.0.1:{} for a:80: {why}\n", odd.port)));
    }
    assert_eq!(open.stop().code, Some(0));
}

#[test]
fn reports() {
    let w = World::dated();
    let server = w.serve(HELLO, Ending::Goodbye);
    let at = url(server.port);
    let ask = |args: &[&str]| w.ask(&[&["--at", "2024-06-01"], args, &[&at[..]]].concat());
    let got = ask(&["-v", "--cert-only", "--groups", "x25519", "--chain-out", "chain.pem"]);
    assert_eq!((got.code, got.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = got.stdout.lines().collect();
    let value = |name: &str| lines.iter().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default();
    assert!(got.stdout.starts_with(&block("TLSv1.3", "TLS_AES_256_GCM_SHA384")), "{}", got.stdout);
    for (name, want) in [
        ("Names", "DNS:localhost, IP:127.0.0.1"),
        ("Key", "ECDSA P-256"),
        ("Signature", "ecdsa-with-SHA256"),
        ("Chain", "0 CN=localhost (issuer CN=My Chat CA, until 2025-01-01, ECDSA P-256)"),
        ("ALPN", "none"),
        ("Group", "X25519"),
        ("OCSP staple", "none"),
        ("Client certificate", "not asked for"),
        ("Resumed", "no"),
    ] {
        assert_eq!(value(name), want, "{name}");
    }
    if have("openssl") {
        let openssl = |args: &[&str]| {
            let out = Command::new("openssl").args(args).current_dir(&w.folder.0).output().expect("openssl");
            String::from_utf8_lossy(&out.stdout).into_owned()
        };
        let print = openssl(&["x509", "-in", "chain.pem", "-noout", "-fingerprint", "-sha256"]);
        assert!(print.trim().to_lowercase().ends_with(value("SHA-256")), "{print}");
        let serial = openssl(&["x509", "-in", "chain.pem", "-noout", "-serial"]).to_lowercase();
        let bare = serial.trim().trim_start_matches("serial=").trim_start_matches('0');
        assert_eq!(bare, value("Serial").trim_start_matches('0'));
    }
    let pin = value("Pin").to_string();
    assert_eq!(ask(&["-b", "--pin", &pin]), ended(0, "hello\n", ""));
    let wrong = format!("sha256//{}=", "A".repeat(43));
    let got = ask(&["-b", "--insecure", "--pin", &wrong]);
    assert_eq!(got.code, Some(6));
    assert!(
        got.stderr.starts_with("Error: certificate verify failed\nReason: public key pin mismatch\nDetail: "),
        "{}",
        got.stderr
    );
    let got = ask(&["-b", "--require-staple"]);
    assert_eq!(got, ended(6, "", "Error: certificate verify failed\nReason: no stapled OCSP response\n"));
    let got = ask(&["--no-sni", "-b", "--server-name", "other"]);
    assert!(got.stderr.contains("not for other; no SNI was sent\n"), "{}", got.stderr);
    let got = ask(&["--resume", "-b", "-v"]);
    assert_eq!(got.stdout, "hello\nhello\n");
    let resumed: Vec<&str> = got.stderr.lines().filter(|l| l.starts_with("Resumed")).collect();
    assert_eq!(resumed, ["Resumed: no", "Resumed: yes"]);
    let got = ask(&["--resume", "--tls-max", "1.2"]);
    assert!(got.stdout.contains("\nResumed: yes\nHTTP/1.1 200 OK\n"), "{}", got.stdout);
    let got = ask(&["--cert-only", "--report-json"]);
    assert!(
        got.stdout.starts_with("{\"schema\":\"drywire/https_client/1\",\"url\":\"https://localhost:"),
        "{}",
        got.stdout
    );
    for part in [
        "\"protocol\":\"TLSv1.3\"",
        "\"resumed\":false",
        "\"names\":[\"DNS:localhost\",\"IP:127.0.0.1\"]",
        "\"ignored\":[]}",
    ] {
        assert!(got.stdout.contains(part), "{part}: {}", got.stdout);
    }
    let got = w.ask(&["--cert-only", "--report-json", "--at", "2023-06-01", &at]);
    assert!(got.stdout.contains("\"exit\":6,\"failures\":[{\"word\":\"not_yet_valid\","), "{}", got.stdout);
    assert_eq!(got.code, Some(6));
    // Days are counted by the clock of this machine.
    dates_of_today();
    let w = World::dated();
    let server = w.serve(HELLO, Ending::Goodbye);
    let got = w.ask(&["--warn-days", "30", "-b", &url(server.port)]);
    assert_eq!(got, ended(0, "hello\n", ""));
    let got = w.ask(&["--warn-days", "300", "-b", &url(server.port)]);
    assert_eq!((got.code, got.stdout.as_str()), (Some(10), "hello\n"));
    assert!(got.stderr.starts_with("https_client: warning: certificate ends in 21"), "{}", got.stderr);
    let mut command = Command::new(tool("https_client"));
    command.args(["--ca", "ca.crt", "-b", "--keylog", &url(server.port)]).env("SSLKEYLOGFILE", "keys");
    command.current_dir(&w.folder.0);
    assert_eq!(Tool::spawn(command).wait().code, Some(0));
    let keys = String::from_utf8(w.folder.file("keys").expect("written")).expect("text");
    assert!(keys.lines().any(|l| l.starts_with("CLIENT_TRAFFIC_SECRET_0 ")), "{keys}");
}

#[test]
fn tls_within_other_protocols() {
    let w = World::dated();
    let server = |words: &[&str]| {
        let setup = ServerSetup::new(w.common(), ClientAuth::No).expect("a setup");
        Secure::after(words, setup, HELLO, Ending::Never)
    };
    let want = block("TLSv1.3", "TLS_AES_256_GCM_SHA384");
    for (protocol, words) in [
        ("smtp", &["220-a\r\n220 b\r\n", "250-STARTTLS\r\n250 OK\r\n", "220 go\r\n"][..]),
        ("imap", &["* OK hello\r\n", "a OK begin\r\n"]),
        ("pop3", &["+OK hello\r\n", "+OK begin\r\n"]),
        ("ftp", &["220 hello\r\n", "234 begin\r\n"]),
    ] {
        for driver in drivers() {
            let at = format!("localhost:{}", server(words).port);
            let got = w.ask(&["--at", "2024-06-01", "--driver", driver, "--starttls", protocol, &at]);
            assert_eq!(got, ended(0, &want, ""), "{protocol} {driver}");
        }
    }
    for (words, code, why) in [
        (&["220 a\r\n", "250 OK\r\n", "502 no\r\n"][..], 7, "the server does not offer TLS here"),
        (
            &["220 a\r\n", "250 OK\r\n", "220 go\r\nQUIT\r\n"],
            7,
            "the server said more than it was asked, before TLS began",
        ),
    ] {
        let port = server(words).port;
        let got = w.ask(&["--starttls", "smtp", "--connect-timeout", "300ms", &format!("localhost:{port}")]);
        assert_eq!(got, ended(code, "", &format!("https_client: STARTTLS with localhost:{port}: {why}\n")));
    }
    let port = Odd::start(vec![vec![Do::Say(b"220 a\r\n".to_vec()), Do::Linger]]).port;
    let got = w.ask(&["--starttls", "smtp", "--connect-timeout", "300ms", &format!("127.0.0.1:{port}")]);
    let text = format!("https_client: STARTTLS with 127.0.0.1:{port}: the server does not answer in time\n");
    assert_eq!(got, ended(5, "", &text));
}

#[test]
fn a_timeline_of_the_handshake() {
    let w = World::dated();
    let server = w.serve(HELLO, Ending::Goodbye);
    for (version, want) in [
        ("1.3", &["> ClientHello", "< ServerHello", "< ChangeCipherSpec", "< Sealed record"][..]),
        (
            "1.2",
            &[
                "> ClientHello",
                "< ServerHello",
                "< Certificate",
                "< ServerKeyExchange",
                "> ClientKeyExchange",
                "< Handshake, sealed",
            ],
        ),
    ] {
        let got = w.ask(&["--at", "2024-06-01", "--explain", "--tls-max", version, "--cert-only", &url(server.port)]);
        let lines: Vec<&str> = got.stderr.lines().filter(|l| l.contains(" ms ")).collect();
        for what in want {
            let found = lines.iter().any(|l| l.contains(&format!(" ms {what}, ")) && l.contains(" bytes"));
            assert!(found, "{version} {what}: {}", got.stderr);
        }
    }
    // Of a handshake that fails, too.
    let got = w.ask(&["--at", "2034-06-01", "--explain", &url(server.port)]);
    assert!(
        got.stderr.contains(" ms < ServerHello, ") && got.stderr.contains("\nError: certificate"),
        "{}",
        got.stderr
    );
}

#[test]
fn what_a_server_takes() {
    let w = World::dated();
    let suite = "TLS_AES_128_GCM_SHA256";
    let common = Common { suites: vec![suite.into()], groups: vec!["X25519".into()], ..w.common() };
    let server = Secure::start(ServerSetup::new(common, ClientAuth::No).expect("a setup"), HELLO, Ending::Goodbye);
    for driver in drivers() {
        let got = w.ask(&["--scan", "--driver", driver, &url(server.port)]);
        assert_eq!((got.code, got.stderr.as_str()), (Some(0), ""), "{driver}");
        let yes: Vec<&str> = got.stdout.lines().filter_map(|l| l.strip_suffix(": yes")).map(str::trim).collect();
        assert_eq!(yes, ["TLSv1.3", suite, "X25519"], "{driver}: {}", got.stdout);
        let lines: Vec<&str> = got.stdout.lines().collect();
        assert_eq!(lines[..2], ["Versions:", "  TLSv1.2: no (peer sent alert protocol_version (70))"]);
        assert_eq!(lines.iter().filter(|l| l.contains(": no (")).count(), 12, "{}", got.stdout);
    }
    let odd = Odd::start((0..20).map(|_| vec![Do::Hello, Do::Say(b"SSH-2.0-x\r\n".to_vec()), Do::Linger]).collect());
    let got = w.ask(&["--scan", &url(odd.port)]);
    assert_eq!(got.code, Some(6), "nothing was taken: {}", got.stdout);
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    assert_eq!(w.ask(&["--scan", &format!("127.0.0.1:{gone}")]).code, Some(4));
    assert_eq!(w.ask(&["--scan", "https://a/", "https://b/"]).code, Some(2));
}

#[test]
fn a_stapled_response_is_shown() {
    if !have("openssl") {
        return;
    }
    let w = World::new();
    let [cert, key] = w.files("stapled", certs::server(&["localhost"]));
    w.folder.put("ca.key", w.ca.made.key.as_bytes());
    let openssl = |args: &[&str]| {
        let out = Command::new("openssl").args(args).current_dir(&w.folder.0).output().expect("openssl");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let serial = openssl(&["x509", "-in", &cert, "-noout", "-serial"]).trim().replace("serial=", "");
    openssl(&["ocsp", "-issuer", "ca.crt", "-cert", &cert, "-reqout", "req", "-no_nonce"]);
    for (index, want) in [
        (format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=localhost\n"), "good, from "),
        (format!("R\t491231235959Z\t240101000000Z\t{serial}\tunknown\t/CN=localhost\n"), "revoked, from "),
        (String::new(), "unknown, from "),
    ] {
        w.folder.put("index.txt", index.as_bytes());
        let signer = ["ocsp", "-index", "index.txt", "-rsigner", "ca.crt", "-rkey", "ca.key", "-CA", "ca.crt"];
        openssl(&[&signer[..], &["-reqin", "req", "-respout", "resp", "-ndays", "7"]].concat());
        let server = serve(&w.folder, |port| {
            let mut command = Command::new("openssl");
            let args = ["s_server", "-WWW", "-quiet", "-cert", &cert, "-key", &key, "-status_file", "resp", "-accept"];
            command.args(args).arg(port.to_string());
            command
        });
        let at = url(server.1);
        let got = w.ask(&["-v", "--cert-only", "--require-staple", &at]);
        let line = got.stdout.lines().find_map(|l| l.strip_prefix("OCSP staple: ")).unwrap_or_default().to_string();
        assert!(line.starts_with(want) && line.contains(" until "), "{line}: {}", got.stderr);
        let fields: Vec<&str> = line.split(' ').collect();
        assert!(fields.iter().all(|f| !f.is_empty()) && fields.len() == 9, "{line}");
    }
}

/// A server that wants another group than the one that was offered asks for a second hello.
#[test]
fn second_hellos() {
    if !have("openssl") {
        return;
    }
    let w = World::new();
    let [cert, key] = w.files("hrr", certs::server(&["localhost"]));
    w.folder.put("index.html", &b"hello\n".repeat(20_000));
    let server = serve(&w.folder, |port| {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-WWW", "-quiet", "-cert", &cert, "-key", &key, "-groups", "P-384", "-accept"]);
        command.arg(port.to_string());
        command
    });
    for driver in drivers() {
        let got = w.ask(&["--driver", driver, "-v", "--explain", "--cert-only", &url(server.1)]);
        assert!(got.stdout.contains("\nGroup: secp384r1\n"), "{driver}: {got:?}");
        assert_eq!(got.stderr.matches(" < ServerHello, ").count(), 2, "{driver}: {}", got.stderr);
        assert_eq!(got.stderr.matches(" > ClientHello, ").count(), 2, "{driver}: {}", got.stderr);
    }
}

/// The list of this machine is believed without a flag, and nobody is if there is none.
#[test]
fn whom_this_machine_trusts() {
    let w = World::new();
    w.folder.put("empty", b"");
    let server = w.serve(HELLO, Ending::Goodbye);
    let run = |roots: &str, args: &[&str]| {
        let mut command = Command::new(tool("httpclient"));
        command.args(args).env("SSL_CERT_FILE", w.folder.0.join(roots)).env("SSL_CERT_DIR", "/no/such");
        command.current_dir(&w.folder.0);
        Tool::spawn(command).wait()
    };
    let at = url(server.port);
    assert_eq!(run("ca.crt", &["-b", &at]), ended(0, "hello\n", ""));
    let text = "httpclient: this machine has no list of trusted CAs; use --ca FILE or --roots bundled\n";
    assert_eq!(run("empty", &["-b", &at]), ended(6, "", text));
    assert_eq!(run("empty", &["-b", "--ca", "ca.crt", &at]), ended(0, "hello\n", ""));
    let got = run("ca.crt", &["-b", "--roots", "bundled", &at]);
    assert!(got.code == Some(6) && got.stderr.contains("unable to get local issuer certificate"), "{got:?}");
    // It matters only if there is something to trust.
    assert_eq!(run("empty", &["-b", "-L", &Odd::once(HELLO).url("/")]), ended(0, "hello\n", ""));
    let to = format!("HTTP/1.1 302 Found\r\nLocation: {at}\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(run("empty", &["-b", "-L", &Odd::once(to).url("/")]), ended(6, "", text));
}

/// A chain that is too long is not looked at.
#[test]
fn a_long_chain_is_refused() {
    let w = World::new();
    let made = w.ca.sign(certs::server(&["localhost"]));
    let more: Vec<_> = (0..10).map(|i| Ca::named(&format!("CA {i}")).made).collect();
    let identity: Identity = made.identity(&more.iter().collect::<Vec<_>>());
    let common = Common { identity: Some(identity), ..Common::default() };
    let server = Secure::start(ServerSetup::new(common, ClientAuth::No).expect("a setup"), HELLO, Ending::Goodbye);
    let got = w.ask(&[&url(server.port)]);
    let text = "Error: certificate verify failed\nReason: certificate chain is too long\n\
        Detail: 11 certificates, and 10 at most are looked at\n";
    assert_eq!(got, ended(6, "", text));
}

/// A server of somebody else, with certificates of ours; killed at the end.
fn foreign(w: &World, name: &str, version: &str) -> Option<Foreign> {
    if !have(name) {
        return None;
    }
    let [cert, key] = w.files(&format!("{name}{version}"), certs::server(&["localhost"]));
    let dir = w.folder.0.display().to_string();
    w.folder.put("index.html", b"hello\n");
    Some(serve(&w.folder, |port| {
        let mut command = Command::new(name);
        let port = port.to_string();
        match name {
            "openssl" => {
                let flag = if version == "1.2" { "-tls1_2" } else { "-tls1_3" };
                command.args(["s_server", "-WWW", "-quiet", "-accept", &port, "-cert", &cert, "-key", &key, flag]);
            }
            "gnutls-serv" => {
                let priority = format!("NORMAL:-VERS-ALL:+VERS-TLS{version}");
                command.args(["-q", "--http", "-p", &port, "--x509certfile", &cert, "--x509keyfile", &key]);
                command.args(["--priority", &priority]);
            }
            _ => {
                let config = format!(
                    "daemon off; master_process off; pid {dir}/nginx.pid; error_log /dev/null;\nevents {{}}\nhttp {{ \
                     access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; \
                     uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5; server {{ listen 127.0.0.1:{port} ssl; root {dir}; \
                     ssl_certificate {dir}/{cert}; ssl_certificate_key {dir}/{key}; ssl_protocols TLSv{version}; }} }}\n"
                );
                w.folder.put("nginx.conf", config.as_bytes());
                command.args(["-p", &dir, "-c", &format!("{dir}/nginx.conf")]);
            }
        }
        command
    }))
}

#[test]
fn servers_of_others() {
    let w = World::new();
    for version in ["1.2", "1.3"] {
        for name in ["openssl", "gnutls-serv", "nginx"] {
            let Some(server) = foreign(&w, name, version) else { continue };
            let at = format!("https://localhost:{}/index.html", server.1);
            for driver in ["epoll", "io_uring", "blocking"].into_iter().filter(|d| drivers().contains(d)) {
                let got = w.ask(&["--driver", driver, "--resume", &at]);
                // gnutls-serv answers with a page of its own about the handshake.
                let body = if name == "gnutls-serv" { "</HTML>" } else { "hello\n" };
                assert!(
                    got.stdout.starts_with(&format!("TLS Handshake:\nProtocol: TLSv{version}\n")),
                    "{name} {got:?}"
                );
                assert!(got.stdout.trim_end().ends_with(body.trim_end()), "{name} {version} {driver}: {got:?}");
                assert!(got.stdout.contains("\nResumed: yes\n"), "{name} {version} {driver}: {}", got.stdout);
                // s_server and gnutls-serv may end without a goodbye, and that is told.
                assert!(matches!(got.code, Some(0 | 7)), "{name} {version} {driver}: {got:?}");
                assert_eq!(got.code == Some(0), got.stderr.is_empty(), "{name} {version} {driver}: {got:?}");
            }
        }
    }
}
