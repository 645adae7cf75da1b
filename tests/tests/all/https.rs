//! `https_client`, and https in `httpclient`: printed command lines, what is wrong with peers, redirects.
use crate::httpclient::Folder;
use proto_core::tls::{ClientAuth, Common, Identity, ServerSetup, tls_version};
use std::process::Command;
use tests::certs::{self, Ca, dates_of_today};
use tests::odd::{Do, Odd};
use tests::process::{Ended, Tool, tool};
use tests::scenario::drivers;
use tests::secure::{Ending, Secure};

pub const HELLO: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
const SHOWN: &str = "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 6\nConnection: close\n\nhello\n";

/// A CA, certificates of it as of today, and a folder with them.
pub struct World {
    pub ca: Ca,
    pub folder: Folder,
}

impl World {
    pub fn new() -> World {
        dates_of_today();
        World::dated()
    }
    /// With the fixed dates of tests.
    pub fn dated() -> World {
        let (ca, folder) = (Ca::named("My Chat CA"), Folder::new());
        folder.put("ca.crt", ca.made.cert.pem().as_bytes());
        World { ca, folder }
    }
    pub fn common(&self) -> Common {
        let made = self.ca.sign(certs::server(&["localhost", "127.0.0.1"]));
        Common { identity: Some(made.identity(&[])), resume: true, ..Common::default() }
    }
    pub fn serve(&self, answer: &str, ending: Ending) -> Secure {
        Secure::start(ServerSetup::new(self.common(), ClientAuth::No).expect("a setup"), answer, ending)
    }
    pub fn start(&self, name: &str, args: &[&str]) -> Tool {
        let mut command = Command::new(tool(name));
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSLKEYLOGFILE"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.args(args).current_dir(&self.folder.0);
        Tool::spawn(command)
    }
    /// `https_client` that believes the CA.
    pub fn ask(&self, args: &[&str]) -> Ended {
        self.start("https_client", &[&["--ca", "ca.crt"], args].concat()).wait()
    }
    /// `httpclient` that believes the CA.
    pub fn fetch(&self, args: &[&str]) -> Ended {
        self.start("httpclient", &[&["--ca", "ca.crt"], args].concat()).wait()
    }
    /// A certificate with its key in files, of which it tells the names.
    pub fn files(&self, name: &str, p: rcgen::CertificateParams) -> [String; 2] {
        let made = self.ca.sign(p);
        let names = [format!("{name}.crt"), format!("{name}.key")];
        self.folder.put(&names[0], made.cert.pem().as_bytes());
        self.folder.put(&names[1], made.key.as_bytes());
        names
    }
}

pub fn url(port: u16) -> String {
    format!("https://localhost:{port}/")
}

pub fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
    Ended { code: Some(code), stdout: stdout.into(), stderr: stderr.into() }
}

/// What stands before an answer.
pub fn block(version: &str, suite: &str) -> String {
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
