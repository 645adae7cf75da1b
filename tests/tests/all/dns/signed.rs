//! Zones that are really signed, with NSEC and with NSEC3: all sections as dig and kdig show them, and the answers as delv shows
//! them after it has checked the signatures.
use super::nsd::{Nsd, lines, output};
use std::path::Path;
use std::process::Command;
use tests::process::{have, tool};

/// What is signed; `ZONE` stands for its name.
const ZONE: &str = "\
$ORIGIN ZONE.
$TTL 300
@ IN SOA ns admin 1 7200 900 1209600 300
@ IN NS ns
@ IN MX 10 mail
@ IN TXT \"signed\"
ns IN A 127.0.0.1
mail IN A 192.0.2.2
mail IN AAAA 2001:db8::2
alias IN CNAME mail
*.wild IN TXT \"any\"
sub IN NS ns.sub
sub IN DS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
ns.sub IN A 127.0.0.1
";

/// Signs the zone in `dir` with keys of its own: elliptic curves, and RSA beside them. Answers the key to trust, as text.
fn sign(dir: &Path, zone: &str, nsec3: bool) -> String {
    std::fs::write(dir.join(zone), ZONE.replace("ZONE", zone)).unwrap();
    let run = |program: &str, args: &[&str]| {
        let out = Command::new(program).args(args).current_dir(dir).output().unwrap();
        assert!(out.status.success(), "{program} {args:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap().trim().to_string()
    };
    let trusted = run("ldns-keygen", &["-a", "ECDSAP256SHA256", "-k", zone]);
    let curve = run("ldns-keygen", &["-a", "ECDSAP256SHA256", zone]);
    let rsa = run("ldns-keygen", &["-a", "RSASHA256", "-b", "2048", zone]);
    let signed = format!("{zone}.signed");
    let mut args = vec!["-f", &signed, "-i", "20250101000000", "-e", "20450101000000"];
    if nsec3 {
        args.extend(["-n", "-s", "abcd", "-t", "3"]);
    }
    args.extend([zone, &trusted, &curve, &rsa]);
    run("ldns-signzone", &args);
    let key = std::fs::read_to_string(dir.join(format!("{trusted}.key"))).unwrap();
    let data = key.split(';').next().unwrap().split("DNSKEY").nth(1).unwrap();
    let words: Vec<&str> = data.split_whitespace().collect();
    format!("trust-anchors {{ \"{zone}.\" static-key {} \"{}\"; }};", words[..3].join(" "), words[3..].concat())
}

/// All records that we show, of all sections.
fn ours(port: &str, name: &str, kind: &str) -> Vec<String> {
    let text = output(Command::new(tool("dnsquery")).args([name, "-t", kind, "@127.0.0.1", "-p", port]).args([
        "--no-recursion",
        "--no-idn",
        "--dnssec",
        "--bufsize",
        "4096",
        "--all",
    ]));
    let sections = ["Answer ", "Authority ", "Additional "];
    let records = text.lines().filter(|l| sections.iter().any(|s| l.starts_with(s)));
    let records: Vec<&str> = records.filter_map(|l| l.split_once(": ").map(|(_, l)| l)).collect();
    lines(&records.join("\n"))
}

/// The next owner of NSEC3 and the owners themselves are base32, which kdig shows in lower case and dig in upper (RFC 4648 3.4: they
/// are the same).
fn same_case(lines: &[String]) -> Vec<String> {
    let has_hash = |l: &&String| l.contains(" NSEC3 ");
    let mut all: Vec<String> = lines.iter().map(|l| if has_hash(&l) { l.to_lowercase() } else { l.clone() }).collect();
    all.sort();
    all
}

#[test]
fn signed_zones_are_shown_as_others_show_them() {
    if !["nsd", "ldns-keygen", "ldns-signzone", "dig", "kdig", "delv"].into_iter().all(have) {
        return;
    }
    let dir = std::env::temp_dir().join(format!("drywire-signed-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (near, hashed) = ("nsec.example", "nsec3.example");
    let anchors = [(near, false), (hashed, true)].map(|(zone, nsec3)| (zone, sign(&dir, zone, nsec3)));
    let nsd = Nsd::start(&[near, hashed].map(|zone| (zone, dir.join(format!("{zone}.signed")))));
    let port = nsd.port.to_string();
    let mut kinds = std::collections::BTreeSet::new();
    for (zone, anchor) in anchors {
        let file = dir.join("anchor");
        std::fs::write(&file, anchor).unwrap();
        let root = format!("+root={zone}");
        for (name, kind, exists) in [
            ("", "SOA", true),
            ("", "MX", true),
            ("", "DNSKEY", true),
            ("", "NSEC3PARAM", zone == hashed),
            ("mail.", "AAAA", true),
            ("mail.", "NSEC", zone == near),
            ("alias.", "A", true),
            ("a.b.wild.", "TXT", true),
            ("sub.", "DS", true),
            ("sub.", "A", false),
            ("mail.", "TXT", false),
            ("none.", "A", false),
            ("wild.", "A", false),
        ] {
            let name = format!("{name}{zone}");
            let mine = ours(&port, &name, kind);
            assert!(!mine.is_empty(), "{name} {kind}");
            kinds.extend(mine.iter().filter_map(|l| l.split(' ').nth(3)).map(str::to_string));
            let sections = ["+norec", "+dnssec", "+noall", "+answer", "+authority", "+additional"];
            let dig = output(
                Command::new("dig")
                    .args(["@127.0.0.1", "-p", &port, "+nosplit", "+bufsize=4096", "+nocookie"])
                    .args(sections)
                    .args([&name, kind]),
            );
            assert_eq!(mine, lines(&dig), "dig: {name} {kind}");
            let kdig = output(
                Command::new("kdig")
                    .args(["@127.0.0.1", "-p", &port, "+bufsize=4096"])
                    .args(sections)
                    .args([&name, kind]),
            );
            assert_eq!(same_case(&mine), same_case(&lines(&kdig)), "kdig: {name} {kind}");
            if name.starts_with("sub.") && kind == "A" {
                continue; // another's zone, which is not there
            }
            let delv = output(
                Command::new("delv")
                    .args(["@127.0.0.1", "-p", &port, "-a"])
                    .arg(&file)
                    .args([root.as_str(), "+nosplit"])
                    .args([&name, kind]),
            );
            let verdict = if exists { "; fully validated" } else { "; negative response, fully validated" };
            assert!(delv.starts_with(verdict), "{name} {kind}: {delv}");
            if exists {
                // Behind two spaces, it says more about keys.
                let told: Vec<&str> = delv.lines().map(|l| l.split("  ;").next().unwrap_or(l)).collect();
                let told = lines(&told.join("\n"));
                assert!(
                    !told.is_empty() && told.iter().all(|l| mine.contains(l)),
                    "{name} {kind}: {told:#?} {mine:#?}"
                );
            }
        }
    }
    for kind in ["RRSIG", "DNSKEY", "DS", "NSEC", "NSEC3", "NSEC3PARAM"] {
        assert!(kinds.contains(kind), "{kind} was never seen");
    }
    drop(nsd);
    let _ = std::fs::remove_dir_all(dir); // it is in the way of nobody
}
