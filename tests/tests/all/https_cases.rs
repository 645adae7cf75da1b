//! Every certificate that is wrong in one way, on a port: what `https_client` says of it, and what other clients think.
use crate::httpclient::Folder;
use crate::tls_cases::{Case, root, server_cases};
use proto_core::tls::{ClientAuth, Common, ServerSetup};
use std::process::{Command, Output, Stdio};
use tests::certs::{Ca, dates_of_today};
use tests::process::{Tool, have, tool};
use tests::secure::{Ending, Secure};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";

fn serve(case: &Case) -> Secure {
    let common = Common { identity: Some(case.identity.clone()), ..Common::default() };
    Secure::start(ServerSetup::new(common, ClientAuth::No).expect("a setup"), ANSWER, Ending::Goodbye)
}

/// A folder with the CA that is believed, and the lists of a case.
fn folder(root: &Ca) -> Folder {
    let folder = Folder::new();
    folder.put("ca.crt", root.made.cert.pem().as_bytes());
    folder
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

/// What the tool is given for a case.
fn args(case: &Case, port: u16, more: &[&str]) -> Vec<String> {
    let host = if case.host.contains(':') { format!("[{}]", case.host) } else { case.host.into() };
    let mut args: Vec<String> = ["--ca", "ca.crt", "-b"].map(String::from).to_vec();
    if is_address(case.host) {
        args.extend(["--server-name".into(), case.host.into(), format!("https://127.0.0.1:{port}/")]);
    } else {
        let at = format!("{}:{port}:127.0.0.1", case.host.to_ascii_lowercase());
        args.extend(["--resolve".into(), at, format!("https://{host}:{port}/")]);
    }
    if !case.lists.is_empty() {
        args.extend(["--crl".into(), "ca.crl".into()]);
    }
    args.extend(more.iter().map(|a| a.to_string()));
    args
}

fn ask(folder: &Folder, case: &Case, port: u16, more: &[&str]) -> tests::process::Ended {
    folder.put("ca.crl", case.lists.concat().as_bytes());
    let mut command = Command::new(tool("https_client"));
    command.args(args(case, port, more)).current_dir(&folder.0);
    Tool::spawn(command).wait()
}

#[test]
fn every_defect_has_its_own_words() {
    let root = root();
    let folder = folder(&root);
    let (mut refused, mut reasons) = (0, std::collections::BTreeSet::new());
    for case in server_cases(&root) {
        let server = serve(&case);
        let got = ask(&folder, &case, server.port, &["--at", "2024-06-01"]);
        let Err((reason, detail)) = case.verdict else {
            assert_eq!((got.code, got.stdout.as_str()), (Some(0), "hello\n"), "{}: {}", case.name, got.stderr);
            continue;
        };
        refused += 1;
        reasons.insert(reason);
        assert_eq!((got.code, got.stdout.as_str()), (Some(6), ""), "{}: {}", case.name, got.stderr);
        let lines: Vec<&str> = got.stderr.lines().collect();
        assert_eq!(lines[0], "Error: certificate verify failed", "{}", case.name);
        assert_eq!(lines[1], format!("Reason: {reason}"), "{}", case.name);
        if let Some(line) = lines.get(2).filter(|_| !detail.is_empty()) {
            assert!(line.starts_with("Detail: ") && line.contains(detail), "{}: {line}", case.name);
        }
        assert!(detail.is_empty() || lines.len() >= 3, "{}: {}", case.name, got.stderr);
    }
    assert!(refused >= 40 && reasons.len() >= 15, "{refused} refused, {} reasons", reasons.len());
}

/// What a client of somebody else thinks of a case.
fn foreign(folder: &Folder, case: &Case, port: u16, program: &str) -> Output {
    let host = case.host.trim_end_matches('.');
    let port = port.to_string();
    let at = format!("127.0.0.1:{port}");
    let lists = !case.lists.is_empty();
    let mut command = Command::new(program);
    let mut add = |args: &[&str]| {
        command.args(args);
    };
    match program {
        "curl" => {
            add(&["-sS", "--noproxy", "*", "--cacert", "ca.crt", "--connect-to"]);
            add(&[&format!("::{at}")]);
            let shown = if host.contains(':') { format!("[{host}]") } else { host.into() };
            add(&[&format!("https://{shown}:{port}/")]);
            if lists {
                add(&["--crlfile", "ca.crl"]);
            }
        }
        "openssl" => {
            add(&["s_client", "-connect", &at, "-CAfile", "ca.crt", "-verify_return_error", "-brief"]);
            match is_address(host) {
                true => add(&["-verify_ip", host]),
                false => add(&["-verify_hostname", host, "-servername", host]),
            }
            if lists {
                add(&["-CRL", "ca.crl", "-crl_check_all"]);
            }
        }
        _ => {
            add(&[
                "--x509cafile",
                "ca.crt",
                "-p",
                &port,
                "--verify-hostname",
                host,
                "--sni-hostname",
                host,
                "127.0.0.1",
            ]);
            if lists {
                add(&["--x509crlfile", "ca.crl"]);
            }
        }
    }
    command.current_dir(&folder.0).stdin(Stdio::null()).output().expect("it runs")
}

/// Cases in which another client takes what we refuse: common names where there is no host among the alternative names, CAs
/// as servers, wildcards within a label, a dot at the end of a name, and lists that are missing.
const MORE_LENIENT: [(&str, &[&str]); 3] = [
    ("curl", &["CA as server", "no SAN", "SAN of a mailbox", "localhost."]),
    ("openssl", &["CA as server", "no SAN", "SAN of a mailbox", "w*.example.com"]),
    ("gnutls-cli", &["CA as server", "no SAN", "SAN of a mailbox", "no list of the intermediate"]),
];

#[test]
fn where_we_refuse_others_refuse() {
    dates_of_today();
    let root = root();
    let folder = folder(&root);
    let programs: Vec<&str> = ["curl", "openssl", "gnutls-cli"].into_iter().filter(|p| have(p)).collect();
    let mut odd = Vec::new();
    for case in server_cases(&root) {
        let server = serve(&case);
        let got = ask(&folder, &case, server.port, &[]);
        assert_eq!(got.code, Some(if case.verdict.is_ok() { 0 } else { 6 }), "{}: {}", case.name, got.stderr);
        for program in &programs {
            let out = foreign(&folder, &case, server.port, program);
            let known = MORE_LENIENT.iter().any(|(p, all)| p == program && all.contains(&case.name));
            if case.verdict.is_err() && out.status.success() != known {
                odd.push(format!("{program} takes '{}' ({})", case.name, case.host));
            }
            if case.verdict.is_ok() && !out.status.success() {
                eprintln!(
                    "{program} refuses '{}' ({}): {}",
                    case.name,
                    case.host,
                    String::from_utf8_lossy(&out.stderr)
                );
            }
        }
    }
    assert!(odd.is_empty(), "{odd:#?}");
}

/// What only openssl makes: keys and signatures that are too weak, and the first version of certificates.
#[test]
fn certificates_of_yesterday() {
    if !have("openssl") {
        return;
    }
    dates_of_today();
    let root = root();
    let folder = folder(&root);
    folder.put("ca.key", root.made.key.as_bytes());
    folder.put("v3", b"subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n");
    let openssl = |args: &[&str]| {
        let out = Command::new("openssl").args(args).current_dir(&folder.0).output().expect("openssl");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    let sign = [
        "x509",
        "-req",
        "-in",
        "r",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-set_serial",
        "7",
        "-days",
        "9",
        "-out",
        "c",
    ];
    let old_ca = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=Old CA",
        "-keyout",
        "old.key",
        "-out",
        "old.crt",
    ];
    openssl(&old_ca);
    let by_old = [
        "x509",
        "-req",
        "-in",
        "r",
        "-CA",
        "old.crt",
        "-CAkey",
        "old.key",
        "-set_serial",
        "7",
        "-days",
        "9",
        "-out",
        "c",
    ];
    let v3: &[&str] = &["-extfile", "v3"];
    let cases: [(&str, &[&str], &str, &str, &str); 3] = [
        (
            "rsa:1024",
            &[&sign[..], v3].concat(),
            "ca.crt",
            "certificate key or signature too weak",
            "has a key of 1024 bits",
        ),
        (
            "rsa:2048",
            &[&by_old[..], v3, &["-sha1"]].concat(),
            "old.crt",
            "certificate key or signature too weak",
            "sha1WithRSA",
        ),
        ("rsa:2048", &sign, "ca.crt", "unsupported certificate version", "CN=localhost is X.509 v1"),
    ];
    for (key, how, ca, reason, detail) in cases {
        openssl(&["req", "-new", "-newkey", key, "-nodes", "-subj", "/CN=localhost", "-keyout", "k", "-out", "r"]);
        openssl(how);
        let server = crate::httpclient_peers::serve(&folder, |port| {
            let mut command = Command::new("openssl");
            command.args(["s_server", "-quiet", "-cert", "c", "-key", "k", "-cipher", "ALL:@SECLEVEL=0", "-accept"]);
            command.arg(port.to_string());
            command
        });
        for version in ["1.2", "1.3"] {
            let mut command = Command::new(tool("https_client"));
            command
                .args(["--ca", ca, "--tls-min", version, "--tls-max", version])
                .arg(format!("localhost:{}", server.1));
            command.current_dir(&folder.0);
            let got = Tool::spawn(command).wait();
            let text = format!("Error: certificate verify failed\nReason: {reason}\nDetail: ");
            assert!(got.code == Some(6) && got.stderr.starts_with(&text), "{key} {version}: {}", got.stderr);
            assert!(got.stderr.contains(detail), "{key} {version}: {}", got.stderr);
        }
    }
}

/// A certificate that was changed on its way, in the version that sends it in clear.
#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    use proto_core::tls::{ClientSetup, Peers, tls_version};
    let root = root();
    let made = root.sign(tests::certs::server(&["localhost"]));
    let der = made.cert.der().to_vec();
    let versions = vec![tls_version("1.2").expect("a version")];
    let common = Common { versions, ..Common::default() };
    let identity = Some(made.identity(&[]));
    let server = ServerSetup::new(Common { identity, ..common.clone() }, ClientAuth::No).expect("a setup");
    let client =
        ClientSetup::new(common, Peers { roots: Some(root.made.root()), ..Peers::default() }).expect("a setup");
    let mut places = 0;
    for (at, b) in der.iter().enumerate().take(64) {
        let mut p = tests::tls::Pair::new(&client, &server, "localhost", 1 << 20);
        p.client.seal();
        let hello = p.client.send(usize::MAX);
        p.server.feed(&hello);
        let mut flight = p.server.send(usize::MAX);
        let found = flight.windows(der.len()).position(|w| w == der).expect("in clear");
        flight[found + at] = b ^ 0x1f;
        p.client.feed(&flight);
        let grounds = p.client.grounds().expect("a changed byte is noticed");
        assert_eq!(grounds.about, proto_core::About::Certificate, "{at}: {grounds:?}");
        let first = &grounds.defects[0];
        if first.reason == "certificate cannot be parsed" && first.detail.contains(" at byte ") {
            assert!(first.detail.starts_with("certificate 1: "), "{}", first.detail);
            places += 1;
        }
    }
    assert!(places >= 10, "{places}");
}
