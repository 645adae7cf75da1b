//! A real server with a zone of every type: what we show is what dig and kdig show, over UDP and TCP, but for spellings that a
//! table explains.
use super::nsd::{Nsd, lines, output};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::process::{Tool, have, tool};

pub fn zone_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/dns/types.zone")
}

pub fn start() -> Nsd {
    Nsd::start(&[("types.example", zone_file())])
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
import base64, http.server, socket, ssl, sys
class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def do_GET(self):
        path, _, text = self.path.partition('?dns=')
        question = base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))
        self.answer(question, path == '/dns-query' and '=' not in text and 'Content-Type' not in self.headers)
    def do_POST(self):
        question = self.rfile.read(int(self.headers['Content-Length']))
        self.answer(question, self.path == '/dns-query' and self.headers['Content-Type'] == 'application/dns-message')
    def answer(self, question, good):
        good = good and question[:2] == b'\0\0' and self.headers['Accept'] == 'application/dns-message'
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

/// Whom to ask, and over what, with a certificate that is good.
struct Over<'a> {
    over: &'a str,
    port: &'a str,
    more: Vec<&'a str>,
}

const PATIENT: [&str; 6] = ["--tries", "1", "--timeout", "30s", "--total-timeout", "60s"];

impl Over<'_> {
    fn run(&self, args: &[&str]) -> (Option<i32>, Vec<String>, String) {
        let mut command = Command::new(tool("dnsquery"));
        command.args(["@localhost", "-p", self.port, "--no-recursion", "--no-idn", "--over", self.over]);
        let out = command.args(&self.more).args(PATIENT).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let answers = text.lines().filter(|l| l.starts_with("Answer ")).filter_map(|l| l.split_once(": "));
        let answers: Vec<&str> = answers.map(|(_, l)| l).collect();
        (out.status.code(), lines(&answers.join("\n")), String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

/// Every question of the zone over UDP, TCP, TLS and HTTPS, with what dig and kdig say over TLS.
#[test]
fn over_everything_it_is_the_same() {
    if !["nsd", "python3", "dig", "kdig"].into_iter().all(have) {
        return;
    }
    let nsd = start();
    let mut gateway = Command::new("python3");
    gateway.args(["-c", GATEWAY, &nsd.port.to_string()]).current_dir(&nsd.dir);
    let mut gateway = Tool::spawn(gateway);
    let (https, tls, port) = (gateway.line(), nsd.tls.to_string(), nsd.port.to_string());
    let ca = nsd.dir.join("ca.crt").display().to_string();
    let asked: Vec<(String, String)> = questions().into_iter().filter(|(_, kind)| kind != "NSEC3").collect();
    let file = nsd.dir.join("questions");
    let all: Vec<String> = asked.iter().map(|(name, kind)| format!("{name} {kind}\n")).collect();
    std::fs::write(&file, all.concat()).unwrap();
    let file = file.display().to_string();
    let batch = ["-f", file.as_str(), "--parallel", "8"];
    let plain = Over { over: "udp", port: &port, more: vec!["@127.0.0.1"] };
    let (code, udp, said) = plain.run(&batch);
    assert_eq!(code, Some(0), "{said}");
    assert!(udp.len() >= asked.len(), "{udp:?}");
    for (over, port, get) in
        [("tcp", &port, false), ("tls", &tls, false), ("https", &https, false), ("https", &https, true)]
    {
        let mut more = if over == "tcp" { vec!["@127.0.0.1"] } else { vec!["--ca", &ca] };
        more.extend(get.then_some("--get"));
        let (code, answers, said) = Over { over, port, more }.run(&batch);
        assert_eq!((code, &answers), (Some(0), &udp), "{over}: {said}");
    }
    // The others over TLS: dig everything, kdig what it knows by name.
    let secure = ["+tls".into(), format!("+tls-ca={ca}"), "+tls-hostname=localhost".into()];
    let text = ["+norec", "+noall", "+answer"];
    let dig = output(
        Command::new("dig")
            .args(["@127.0.0.1", "-p", &tls, "+noedns", "+nosplit"])
            .args(text)
            .args(&secure)
            .args(["-f", &file]),
    );
    let spelled = |lines: &[String]| {
        let mut all: Vec<String> = lines.iter().map(|l| same_spelling(l)).collect();
        all.sort();
        all
    };
    assert_eq!(spelled(&udp), spelled(&lines(&dig)), "dig over TLS");
    let known = |kind: &str| !UNKNOWN_TO_KDIG.contains(&kind);
    let mut kdig = Command::new("kdig");
    kdig.args(["@127.0.0.1", "-p", &tls]).args(text).args(&secure);
    for (name, kind) in asked.iter().filter(|(_, kind)| known(kind)) {
        kdig.args(["-q", name, "-t", kind]);
    }
    let ours: Vec<String> = udp.iter().filter(|l| l.split(' ').nth(3).is_some_and(known)).cloned().collect();
    assert_eq!(spelled(&ours), spelled(&lines(&output(&mut kdig))), "kdig over TLS");
}

#[test]
fn who_cannot_prove_who_it_is_has_not_answered() {
    if !have("nsd") || !have("python3") {
        return;
    }
    let nsd = start();
    let mut command = Command::new("python3");
    command.args(["-c", GATEWAY, &nsd.port.to_string()]).current_dir(&nsd.dir);
    let mut gateway = Tool::spawn(command);
    let (https, tls) = (gateway.line(), nsd.tls.to_string());
    let ca = nsd.dir.join("ca.crt").display().to_string();
    let question = ["-t", "A", "a.types.example"];
    for (over, port) in [("tls", &tls), ("https", &https)] {
        let (code, answers, said) = Over { over, port, more: vec!["--ca", &ca] }.run(&question);
        assert_eq!((code, answers.len()), (Some(0), 2), "the control, {over}: {said}");
        let (code, answers, said) = Over { over, port, more: vec![] }.run(&question);
        assert_eq!((code, answers.len()), (Some(6), 0), "{over}: {said}");
        assert!(said.contains("certificate verify failed"), "{over}: {said}");
        let more = vec!["--ca", &ca, "--server-name", "other.example"];
        let (code, _, said) = Over { over, port, more }.run(&question);
        assert!(code == Some(6) && said.contains("hostname mismatch"), "{over}: {said}");
    }
    let more = vec!["--ca", &ca, "--path", "/elsewhere"];
    let (code, _, said) = Over { over: "https", port: &https, more }.run(&question);
    assert!(code == Some(7) && said.contains("answers 404 to a question"), "{said}");
    // The same as URLs, which have the port and the path.
    let url = |server: &str| {
        let mut command = Command::new(tool("dnsquery"));
        command.args([server, "--ca", &ca, "--no-recursion", "--short"]).args(PATIENT).args(question);
        let out = command.output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).lines().count())
    };
    for (scheme, port, path) in [("tls", &tls, ""), ("https", &https, ""), ("https", &https, "/dns-query")] {
        assert_eq!(url(&format!("@{scheme}://localhost:{port}{path}")), (Some(0), 2), "{scheme} {path}");
    }
    assert_eq!(url(&format!("@https://localhost:{https}/elsewhere")), (Some(7), 0));
    assert_eq!(url(&format!("@tcp://localhost:{}", nsd.port)).0, Some(2), "flags of TLS without TLS");
}

/// Types that kdig does not know by name.
const UNKNOWN_TO_KDIG: [&str; 6] = ["ISDN", "MB", "MG", "MR", "PX", "X25"];

#[test]
fn a_zone_of_every_type_is_shown_as_dig_and_kdig_show_it() {
    if !have("nsd") || !have("dig") || !have("kdig") {
        return;
    }
    let nsd = start();
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
