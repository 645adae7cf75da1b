//! A real server with a zone of every type: what we show is what dig and kdig show, over UDP and TCP, but for spellings that a
//! table explains.
use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tests::process::{have, tool, until};

/// nsd on loopback.
struct Nsd {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl Nsd {
    fn start() -> Self {
        let port = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = tcp.local_addr().unwrap().port();
            if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
                break port;
            }
        };
        let dir = std::env::temp_dir().join(format!("drywire-nsd-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (at, zone) = (dir.display(), zone_file());
        let conf = format!(
            "server:\n  ip-address: 127.0.0.1\n  port: {port}\n  username: \"\"\n  zonesdir: \"{at}\"\n  database: \"\"\n  \
             pidfile: \"{at}/pid\"\n  xfrdfile: \"{at}/xfrd\"\n  zonelistfile: \"{at}/list\"\n  xfrdir: \"{at}\"\n  \
             logfile: \"{at}/log\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  \
             name: types.example\n  zonefile: \"{}\"\n",
            zone.display()
        );
        let path = dir.join("conf");
        std::fs::write(&path, conf).unwrap();
        let mut command = Command::new("nsd");
        command.arg("-d").arg("-c").arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        let nsd = Nsd { child: command.spawn().unwrap(), dir, port };
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
