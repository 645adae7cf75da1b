//! TLS in the tools: printed command lines, foreign clients, reload, bad files.
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tests::process::{Ended, RuntimeDir, Tool, have, tool};
use tests::scenario::drivers;

/// A folder with certificates that `generate_certs` made.
struct Folder {
    dir: RuntimeDir,
}

impl Folder {
    fn new() -> Self {
        let f = Folder { dir: RuntimeDir::new() };
        let made = f.generate(&[]);
        let lines = "Created: ca.crt, ca.key\nCreated: server.crt, server.key\nCreated: alice.crt, alice.key\nCreated: bob.crt, bob.key\n";
        assert_eq!((made.code, made.stdout.as_str(), made.stderr.as_str()), (Some(0), lines, ""));
        f
    }
    fn generate(&self, args: &[&str]) -> Ended {
        let mut command = Command::new(tool("generate_certs"));
        command.args(args).current_dir(&self.dir.0);
        Tool::spawn(command).wait()
    }
    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.dir.0.join(name);
        path.to_str().expect("a name").into()
    }
    fn server(&self, name: &str, args: &[&str]) -> Tool {
        let (cert, key) = (self.path("server.crt"), self.path("server.key"));
        Tool::start(name, &[&["0", "--cert", &cert, "--key", &key], args].concat())
    }
    /// A chat client with somebody's certificate.
    fn member(&self, name: &str, port: &str, more: &[&str]) -> Tool {
        let (cert, key, ca) =
            (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")), self.path("ca.crt"));
        let args = ["--cert", &cert, "--key", &key, "--ca", &ca, "localhost", port];
        Tool::start("tls_chat_client", &[&args[..], more].concat())
    }
}

/// What a foreign client prints when it is fed `input`, and then keeps its input open until it has the answer.
fn foreign(program: &str, args: &[&str], input: &str, wanted: &str) {
    use std::io::{BufRead, BufReader};
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("installed");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin.write_all(input.as_bytes()).expect("it reads");
    let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let found = lines.map_while(Result::ok).any(|l| l == wanted);
    drop(stdin);
    let _ = child.kill(); // it has been heard
    let out = child.wait_with_output().expect("it ends");
    assert!(found, "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn foreign_clients_get_their_bytes_back() {
    let f = Folder::new();
    let ca = f.path("ca.crt");
    for driver in drivers() {
        let mut server = f.server("echo_server", &["-q", "--max-conns", "10", "--driver", driver]);
        let port = server.port().to_string();
        let at = format!("localhost:{port}");
        for version in ["-tls1_2", "-tls1_3"] {
            let args = ["s_client", "-quiet", "-verify_return_error", version, "-connect", &at, "-CAfile", &ca];
            foreign("openssl", &args, "hello\n", "hello");
        }
        if have("gnutls-cli") {
            foreign("gnutls-cli", &["--x509cafile", &ca, "-p", &port, "localhost"], "hello\n", "hello");
        }
        if have("python3") {
            let script = "import socket,ssl,sys\nc=ssl.create_default_context(cafile=sys.argv[1])\n\
                s=c.wrap_socket(socket.create_connection(('localhost',int(sys.argv[2]))),server_hostname='localhost')\n\
                s.sendall(b'x'*300000)\nn=0\nwhile n<300000: n+=len(s.recv(65536))\nprint('all')\n\
                s.unwrap()\nprint(s.version(), flush=True)";
            foreign("python3", &["-c", script, &ca, &port], "", "all");
        }
        let mut ours = Tool::start("echo_client", &["localhost", &port, "-q", "--ca", &ca, "--driver", driver]);
        ours.type_in("hello\n");
        assert_eq!(ours.line(), "hello", "{driver}");
        ours.end_input();
        assert_eq!(ours.wait().code, Some(0), "{driver}");
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

/// A file larger than all buffers, through the layer, and through curl.
#[test]
fn files_under_tls() {
    if !have("curl") {
        return;
    }
    let f = Folder::new();
    let bytes: Vec<u8> = (0..3_000_001u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::create_dir(f.path("www")).and_then(|()| std::fs::write(f.path("www/big.bin"), &bytes)).expect("written");
    for driver in drivers() {
        let mut server = f.server("httpserver", &["-q", "-d", &f.path("www"), "--driver", driver]);
        let port = server.port();
        let (url, ca) = (format!("https://localhost:{port}/big.bin"), f.path("ca.crt"));
        for version in [&["--tlsv1.3"][..], &["--tlsv1.2", "--tls-max", "1.2"]] {
            let args = [&["-sS", "--http1.1", "--cacert", &ca][..], version, &[&url, &url]].concat();
            let out = Command::new("curl").args(&args).output().expect("curl");
            assert!(out.status.success(), "{driver}: {}", String::from_utf8_lossy(&out.stderr));
            assert!(out.stdout == [&bytes[..], &bytes].concat(), "{driver}: {} bytes", out.stdout.len());
        }
        let out = Command::new("curl").args(["-sS", &url]).output().expect("curl");
        assert_eq!(out.status.code(), Some(60), "the control: without our CA it is refused");
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn a_secure_chat() {
    let f = Folder::new();
    assert_eq!(f.generate(&["--name", "carol@example.com"]).code, Some(0));
    assert_eq!(f.generate(&["revoke", "carol"]).code, Some(0));
    let (ca, crl) = (f.path("ca.crt"), f.path("ca.crl"));
    for driver in drivers() {
        assert_eq!(f.generate(&["--name", "dora@example.com", "--force"]).code, Some(0));
        let mut server = f.server("tls_chat_server", &["--ca", &ca, "--crl", &crl, "--driver", driver]);
        let port = server.port().to_string();
        assert_eq!(server.line(), "Requiring client certificates signed by our CA");
        let mut alice = f.member("alice", &port, &[]);
        assert_eq!(alice.line(), "Connected as alice@example.com (verified by server)", "{driver}");
        let mut log = || server.line().get(11..).unwrap_or_default().to_string();
        assert!(log().starts_with("TLS connection from "), "{driver}");
        assert_eq!(log(), "Client certificate: CN=alice@example.com", "{driver}");
        assert_eq!(log(), "Verified by CA: CN=My Chat CA", "{driver}");
        let mut dora = f.member("dora", &port, &["--tls-max", "1.2"]);
        assert_eq!(dora.line(), "Connected as dora@example.com (verified by server)", "{driver}");
        dora.type_in("/nick root\nHello everyone!\n");
        assert_eq!(dora.line(), "! your name comes from your certificate");
        assert_eq!(alice.line(), "<dora> Hello everyone!", "{driver}");
        for (member, text) in [("carol", "client certificate revoked"), ("server", "certificate is not for client use")]
        {
            for version in ["1.2", "1.3"] {
                let ended = f.member(member, &port, &["--tls-max", version]).wait();
                let text = format!("Error: handshake failed - {text}\n");
                assert_eq!(
                    (ended.code, ended.stderr, ended.stdout),
                    (Some(6), text, String::new()),
                    "{driver} {version}"
                );
            }
        }
        for version in ["1.2", "1.3"] {
            let nobody =
                Tool::start("tls_chat_client", &["localhost", &port, "--ca", &ca, "--tls-max", version]).wait();
            let text = "Error: handshake failed - client certificate required\n";
            assert_eq!((nobody.code, nobody.stderr.as_str()), (Some(6), text), "{driver} {version}");
        }
        // A session ends when its certificate is revoked; others go on.
        assert_eq!(f.generate(&["revoke", "dora"]).code, Some(0));
        server.signal(rustix::process::Signal::HUP);
        assert_eq!(dora.line(), "* certificate revoked", "{driver}");
        assert_eq!(dora.wait().code, Some(4), "{driver}");
        alice.type_in("/who\n");
        assert!(alice.line().starts_with("* alice since "), "{driver}");
        alice.end_input();
        assert_eq!(alice.wait().code, Some(0), "{driver}");
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{driver}: {}", ended.stderr);
        assert!(
            ended.stdout.contains("Rejected ") && ended.stdout.contains("no client certificate"),
            "{}",
            ended.stdout
        );
    }
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let f = Folder::new();
    let ca = f.path("ca.crt");
    let mut server = f.server("echo_server", &["--max-conns", "10"]);
    let port = server.port().to_string();
    std::fs::write(f.path("server.crt"), "nothing").expect("written");
    server.signal(rustix::process::Signal::HUP);
    let mut client = Tool::start("echo_client", &["localhost", &port, "-q", "--ca", &ca]);
    client.type_in("still here\n");
    assert_eq!(client.line(), "still here");
    client.end_input();
    client.wait();
    let ended = server.stop();
    let text = format!(
        "not reloaded: {}: no certificate in it (PEM expected); the old certificates stay",
        f.path("server.crt")
    );
    assert!(ended.stderr.contains(&text), "{}", ended.stderr);
}

#[test]
fn bad_files() {
    let f = Folder::new();
    let [cert, key, open] = ["server.crt", "server.key", "open.key"].map(|n| f.path(n));
    std::fs::copy(&key, &open).expect("copied");
    Command::new("chmod").args(["644", &open]).status().expect("chmod");
    std::fs::write(f.path("v1.crt"), pem(include_bytes!("../../../proto-core/src/x509/samples/v1.der")))
        .expect("written");
    let (empty, alice, v1) = (f.path("empty"), f.path("alice.key"), f.path("v1.crt"));
    std::fs::write(&empty, "").expect("written");
    let refuses = |args: &[&str], text: String| {
        let ended = Tool::start("echo_server", &[&["0"], args].concat()).wait();
        assert_eq!((ended.code, ended.stderr), (Some(2), format!("echo_server: {text}\n")), "{args:?}");
    };
    refuses(&["--cert", &cert, "--key", &alice], format!("{alice} does not match {cert}"));
    refuses(
        &["--cert", &v1, "--key", &key],
        format!("{v1}: certificate is X.509 v1 without subjectAltName; re-issue it with generate_certs"),
    );
    refuses(&["--cert", &empty, "--key", &key], format!("{empty}: no certificate in it (PEM expected)"));
    refuses(
        &["--cert", &cert, "--key", &cert],
        format!("{cert} can be read by others (chmod 600 {cert}, or --allow-open-key)"),
    );
    refuses(
        &["--cert", &cert, "--key", &open],
        format!("{open} can be read by others (chmod 600 {open}, or --allow-open-key)"),
    );
    refuses(&["--cert", &cert, "--key", "/no/such"], "--key: /no/such: no such file or directory".into());
    let record = f.path("x.rec");
    let text = "--record cannot be used with TLS: its keys are never the same twice";
    refuses(&["--cert", &cert, "--key", &key, "--record", &record], text.into());
    let text = "TLS cannot be simulated: its keys are never the same twice";
    refuses(&["--cert", &cert, "--key", &key, "--driver", "sim"], text.into());
    refuses(
        &["--cert", &cert, "--key", &key, "--tls-min", "1.3", "--tls-max", "1.2"],
        "--tls-min 1.3 is above --tls-max 1.2".into(),
    );
    let mut server = Tool::start("echo_server", &["0", "--cert", &cert, "--key", &open, "--allow-open-key"]);
    server.port();
    assert_eq!(server.stop().code, Some(0), "the control");
    let again = f.generate(&[]);
    assert_eq!((again.code, again.stderr.as_str()), (Some(9), "generate_certs: ca.key exists (use --force)\n"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let other = f.generate(&["revoke", "nobody"]);
    assert_eq!(
        (other.code, other.stderr.as_str()),
        (Some(2), "generate_certs: nobody.crt: no such file or directory\n")
    );
}

fn pem(der: &[u8]) -> String {
    let mut child = Command::new("openssl");
    child.args(["x509", "-inform", "der"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("openssl");
    child.stdin.take().expect("stdin").write_all(der).expect("it reads");
    String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("PEM")
}

/// Files that openssl and gnutls also accept, and lists that they obey.
#[test]
fn others_believe_our_certificates() {
    let f = Folder::new();
    assert_eq!(f.generate(&["revoke", "bob"]).code, Some(0));
    let verify = |args: &[&str]| {
        let out = Command::new("openssl").arg("verify").args(args).current_dir(&f.dir.0).output().expect("openssl");
        out.status.success()
    };
    let ca = ["-CAfile", "ca.crt", "-x509_strict"];
    assert!(verify(&[&ca[..], &["-purpose", "sslserver", "-verify_hostname", "localhost", "server.crt"]].concat()));
    assert!(verify(&[&ca[..], &["-purpose", "sslclient", "alice.crt"]].concat()));
    let list = ["-CRLfile", "ca.crl", "-crl_check"];
    assert!(verify(&[&ca[..], &list, &["alice.crt"]].concat()));
    assert!(!verify(&[&ca[..], &list, &["bob.crt"]].concat()));
    assert!(!verify(&[&ca[..], &["-purpose", "sslclient", "server.crt"]].concat()));
}
