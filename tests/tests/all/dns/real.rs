//! A real server with a zone of every type: what we show is what dig and kdig show, over UDP and TCP, but for spellings that a
//! table explains.
use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tests::process::{Tool, have, tool, until};

/// nsd on loopback.
struct Nsd {
    child: Child,
    dir: PathBuf,
    port: u16,
    tls: u16,
}

impl Nsd {
    fn start() -> Self {
        let free = || loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = tcp.local_addr().unwrap().port();
            if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
                break port;
            }
        };
        let (port, tls) = (free(), free());
        let dir = std::env::temp_dir().join(format!("drywire-nsd-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let made = Command::new(tool("generate_certs")).current_dir(&dir).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let (at, zone) = (dir.display(), zone_file());
        let conf = format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  ip-address: 127.0.0.1@{tls}\n  tls-port: {tls}\n  \
             tls-service-key: \"{at}/server.key\"\n  tls-service-pem: \"{at}/server.crt\"\n  username: \"\"\n  zonesdir: \"{at}\"\n  database: \"\"\n  \
             pidfile: \"{at}/pid\"\n  xfrdfile: \"{at}/xfrd\"\n  zonelistfile: \"{at}/list\"\n  xfrdir: \"{at}\"\n  \
             logfile: \"{at}/log\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  \
             name: types.example\n  zonefile: \"{}\"\n",
            zone.display()
        );
        let path = dir.join("conf");
        std::fs::write(&path, conf).unwrap();
        let mut command = Command::new("nsd");
        command.arg("-d").arg("-c").arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        let nsd = Nsd { child: command.spawn().unwrap(), dir, port, tls };
        until("nsd listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        nsd
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // Its children end with the one whose id is in the file.
        let pid = std::fs::read_to_string(self.dir.join("pid")).ok().and_then(|p| p.trim().parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir); // it is in the way of nobody
    }
}

fn zone_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/dns/types.zone")
}

/// Owner and type of each record of the zone.
fn questions() -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(zone_file()).unwrap();
    let records = text.lines().filter(|l| !l.is_empty() && !l.starts_with([';', '$']));
    let question = |l: &str| {
        let mut words = l.split_whitespace();
        let (owner, kind) = (words.next()?, words.nth(1)?);
        let name = if owner == "@" { "types.example".into() } else { format!("{owner}.types.example") };
        // Of a delegation the server tells the DS, and refers to others for the rest.
        (name != "ds.types.example" || kind == "DS").then(|| (name, kind.to_string()))
    };
    records.filter_map(question).collect()
}

fn output(command: &mut Command) -> String {
    let out = command.stderr(Stdio::null()).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// Lines in one spelling: words with one space between, sorted.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with(';'));
    let mut all: Vec<String> = lines.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    all.sort();
    all
}

fn ours(nsd: &Nsd, name: &str, kind: &str, more: &[&str]) -> Vec<String> {
    let port = nsd.port.to_string();
    let mut command = Command::new(tool("dnsquery"));
    command.args([name, "-t", kind, "@127.0.0.1", "-p", &port, "--no-recursion", "--no-idn"]).args(more);
    let text = output(&mut command);
    let answers: Vec<&str> =
        text.lines().filter(|l| l.starts_with("Answer ")).filter_map(|l| l.split_once(": ").map(|(_, l)| l)).collect();
    lines(&answers.join("\n"))
}

/// Where the same thing is spelled in another way, and why.
///
/// | type | who | difference |
/// |---|---|---|
/// | CERT | dig | names of kinds and algorithms for their numbers |
/// | NID, L64 | dig | groups without leading zeros; RFC 6742 shows them with |
/// | NID, L64, EUI48, EUI64 | kdig | upper case; the RFCs show lower |
/// | SVCB, HTTPS | kdig | lists without quotes (both are right by RFC 9460 2.1) |
/// | LOC | kdig | no zeros after the decimal point |
fn same_spelling(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_string).collect();
    match words.get(3).map(String::as_str) {
        Some("CERT") => {
            for (name, number) in [("PKIX", "1"), ("ECDSAP256SHA256", "13")] {
                words.iter_mut().filter(|w| *w == name).for_each(|w| *w = number.into());
            }
        }
        Some("NID" | "L64" | "EUI48" | "EUI64") => {
            for w in words.iter_mut().skip(4) {
                let groups: Vec<String> = w
                    .to_lowercase()
                    .split(':')
                    .map(|g| if g.len() == 4 { g.trim_start_matches('0').into() } else { g.into() })
                    .collect();
                *w = groups.join(":");
            }
        }
        Some("SVCB" | "HTTPS") => words.iter_mut().for_each(|w| *w = w.replace('"', "")),
        Some("LOC") => {
            for w in words.iter_mut().skip(4).filter(|w| w.contains('.')) {
                let unit = if w.ends_with('m') { "m" } else { "" };
                *w = format!("{}{unit}", w.trim_end_matches('m').trim_end_matches('0').trim_end_matches('.'));
            }
        }
        _ => {}
    }
    words.join(" ")
}

/// Passes questions on from HTTPS to a port for datagrams.
const GATEWAY: &str = r#"
import http.server, socket, ssl, sys
class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def do_POST(self):
        question = self.rfile.read(int(self.headers['Content-Length']))
        good = self.path == '/dns-query' and self.headers['Content-Type'] == 'application/dns-message'
        if good:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.sendto(question, ('127.0.0.1', int(sys.argv[1])))
            answer = s.recv(65535)
        else:
            answer = b'no such path'
        self.send_response(200 if good else 404)
        self.send_header('Content-Type', 'application/dns-message' if good else 'text/plain')
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Gateway)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain('server.crt', 'server.key')
server.socket = tls.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[test]
fn over_tls_and_https_it_is_the_same() {
    if !have("nsd") || !have("python3") {
        return;
    }
    let nsd = Nsd::start();
    let mut command = Command::new("python3");
    command.args(["-c", GATEWAY, &nsd.port.to_string()]).current_dir(&nsd.dir);
    let mut gateway = Tool::spawn(command);
    let (https, tls) = (gateway.line(), nsd.tls.to_string());
    let ca = nsd.dir.join("ca.crt").display().to_string();
    for (name, kind) in [("a.types.example", "A"), ("types.example", "SOA"), ("types.example", "ANY")] {
        let plain = ours(&nsd, name, kind, &["--tcp"]);
        let secured = |over: &str, port: &str, server: &str, more: &[&str]| {
            let mut command = Command::new(tool("dnsquery"));
            command
                .args([name, "-t", kind, server, "-p", port, "--no-recursion", "--no-idn", "--over", over])
                .args(more);
            let out = command.output().unwrap();
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let answers = text.lines().filter(|l| l.starts_with("Answer ")).filter_map(|l| l.split_once(": "));
            let answers: Vec<&str> = answers.map(|(_, l)| l).collect();
            (out.status.code(), lines(&answers.join("\n")), String::from_utf8_lossy(&out.stderr).into_owned())
        };
        assert!(!plain.is_empty());
        for (over, port) in [("tls", &tls), ("https", &https)] {
            let (code, answers, said) = secured(
                over,
                port,
                "@localhost",
                &["--ca", &ca, "--tries", "1", "--timeout", "30s", "--total-timeout", "60s"],
            );
            assert_eq!((code, &answers), (Some(0), &plain), "{over}: {name} {kind}: {said}");
            // Who cannot prove who it is has not answered.
            let (code, answers, said) =
                secured(over, port, "@localhost", &["--tries", "1", "--timeout", "30s", "--total-timeout", "60s"]);
            assert_eq!((code, answers.len()), (Some(6), 0), "{over}: {said}");
            assert!(said.contains("certificate verify failed"), "{over}: {said}");
            let wrong = [
                "--ca",
                &ca,
                "--tries",
                "1",
                "--timeout",
                "30s",
                "--total-timeout",
                "60s",
                "--server-name",
                "other.example",
            ];
            let (code, _, said) = secured(over, port, "@localhost", &wrong);
            assert!(code == Some(6) && said.contains("hostname mismatch"), "{over}: {said}");
        }
        let (code, _, said) = secured(
            "https",
            &https,
            "@localhost",
            &["--ca", &ca, "--tries", "1", "--timeout", "30s", "--total-timeout", "60s", "--path", "/elsewhere"],
        );
        assert!(code == Some(7) && said.contains("answers 404 to a question"), "{said}");
    }
}

/// Types that kdig does not know by name.
const UNKNOWN_TO_KDIG: [&str; 6] = ["ISDN", "MB", "MG", "MR", "PX", "X25"];

#[test]
fn a_zone_of_every_type_is_shown_as_dig_and_kdig_show_it() {
    if !have("nsd") || !have("dig") || !have("kdig") {
        return;
    }
    let nsd = Nsd::start();
    let port = nsd.port.to_string();
    let all = questions();
    assert!(all.len() >= 55, "{}", all.len());
    let spelled = |lines: &[String]| -> Vec<String> { lines.iter().map(|l| same_spelling(l)).collect() };
    for (name, kind) in &all {
        let mine = ours(&nsd, name, kind, &[]);
        // nsd keeps NSEC3 records to itself.
        assert_eq!(mine.is_empty(), kind == "NSEC3", "{name} {kind}");
        assert_eq!(mine, ours(&nsd, name, kind, &["--tcp"]), "{name} {kind} over TCP");
        let dig = output(
            Command::new("dig")
                .args(["@127.0.0.1", "-p", &port, "+norec", "+noedns", "+noall", "+answer", "+nosplit"])
                .args([name, kind]),
        );
        let dig = lines(&dig);
        if !["CERT", "NID", "L64"].contains(&kind.as_str()) {
            assert_eq!(mine, dig, "dig, exactly: {name} {kind}");
        }
        assert_eq!(spelled(&mine), spelled(&dig), "dig: {name} {kind}");
        if UNKNOWN_TO_KDIG.contains(&kind.as_str()) {
            continue;
        }
        let kdig = output(
            Command::new("kdig").args(["@127.0.0.1", "-p", &port, "+norec", "+noall", "+answer"]).args([name, kind]),
        );
        assert_eq!(spelled(&mine), spelled(&lines(&kdig)), "kdig: {name} {kind}");
    }
    // What is not there.
    for (name, kind) in [("none.types.example", "A"), ("a.types.example", "MX")] {
        assert!(ours(&nsd, name, kind, &[]).is_empty());
    }
}
