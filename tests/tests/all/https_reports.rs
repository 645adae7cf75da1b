//! What `https_client` tells of a handshake beyond its first lines, and what comes before one.
use crate::httpclient_peers::serve;
use crate::https::{HELLO, World, block, ended, url};
use proto_core::tls::{ClientAuth, Common, ServerSetup};
use std::net::TcpListener;
use std::process::Command;
use tests::certs::{self, dates_of_today};
use tests::odd::{Do, Odd};
use tests::process::{Tool, have, tool};
use tests::scenario::drivers;
use tests::secure::{Ending, Secure};

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
