//! `dnsquery` as a process: printed lines, bad input, every driver.
use bins::dnsquery::scripted::Zone;
use core::net::SocketAddr;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tests::process::{Ended, Tool};
use tests::scenario::drivers;

const ZONE: &str = "\
. 3600 IN SOA ns. admin. 1 7200 900 1209600 300
google.com. 300 IN A 142.250.80.46
google.com. 300 IN A 142.250.80.78
google.com. 300 IN A 142.250.80.94
google.com. 300 IN A 142.250.80.110
gmail.com. 3600 IN MX 5 gmail-smtp-in.l.google.com.
gmail.com. 3600 IN MX 10 alt1.gmail-smtp-in.l.google.com.
1.2.0.192.in-addr.arpa. 60 IN PTR host.example.
xn--bcher-kva.example. 60 IN A 192.0.2.8
big.example. 60 IN TXT \"0123456789012345678901234567890123456789012345678901234567890123456789\"
big.example. 60 IN TXT \"1123456789012345678901234567890123456789012345678901234567890123456789\"
big.example. 60 IN TXT \"2123456789012345678901234567890123456789012345678901234567890123456789\"
big.example. 60 IN TXT \"3123456789012345678901234567890123456789012345678901234567890123456789\"
big.example. 60 IN TXT \"4123456789012345678901234567890123456789012345678901234567890123456789\"
big.example. 60 IN TXT \"5123456789012345678901234567890123456789012345678901234567890123456789\"
big.example. 60 IN TXT \"6123456789012345678901234567890123456789012345678901234567890123456789\"
nasty.example. 60 IN TXT \"\\027[2J\\226\\128\\174\"
";

/// Answers a datagram with datagrams, and a message of a stream with bytes.
type Answers = dyn Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync;

/// A name server on loopback, UDP and TCP on one port.
struct Server {
    at: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    fn start(answers: impl Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        // Both kinds of ports are free somewhere.
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                return Server::on(tcp, udp, Arc::new(answers));
            }
        }
    }
    fn on(tcp: TcpListener, udp: UdpSocket, answers: Arc<Answers>) -> Self {
        let (at, stop) = (udp.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (on_udp, on_tcp) = ((stop.clone(), answers.clone()), (stop.clone(), answers));
        let threads = vec![
            std::thread::spawn(move || {
                let mut data = [0; 4096];
                while let Ok((n, from)) = udp.recv_from(&mut data) {
                    if on_udp.0.load(Ordering::Relaxed) {
                        return;
                    }
                    for reply in on_udp.1(&data[..n], false) {
                        udp.send_to(&reply, from).unwrap();
                    }
                }
            }),
            std::thread::spawn(move || {
                while let Ok((mut conn, _)) = tcp.accept() {
                    if on_tcp.0.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut head = [0; 2];
                    while conn.read_exact(&mut head).is_ok() {
                        let mut query = vec![0; usize::from(u16::from_be_bytes(head))];
                        conn.read_exact(&mut query).unwrap();
                        let all = on_tcp.1(&query, true).concat();
                        if conn.write_all(&all).is_err() || all.len() < 14 {
                            break;
                        }
                    }
                }
            }),
        ];
        Server { at, stop, threads }
    }
    fn zone(text: &str) -> Self {
        let zone = Zone::parse(text).unwrap();
        Server::start(move |query, tcp| {
            let reply = zone.reply(query, if tcp { 65_535 } else { 512 }).unwrap();
            let head = (reply.len() as u16).to_be_bytes();
            if tcp { vec![head.to_vec(), reply] } else { vec![reply] }
        })
    }
    fn ask(&self, args: &[&str]) -> Ended {
        let (at, port) = (format!("@{}", self.at.ip()), self.at.port().to_string());
        let all: Vec<&str> = args.iter().copied().chain([at.as_str(), "-p", port.as_str()]).collect();
        run(&all)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.send_to(&[0], self.at));
        let _ = std::net::TcpStream::connect(self.at);
        self.threads.drain(..).for_each(|t| drop(t.join()));
    }
}

fn run(args: &[&str]) -> Ended {
    let mut tool = Tool::start("dnsquery", args);
    tool.end_input();
    tool.wait()
}

/// The same with the transaction's id as `0xAB12`.
fn shown(ended: &Ended) -> String {
    let id = ended.stdout.find("ID: 0x").map(|at| at + 6);
    let mut text = ended.stdout.clone();
    id.into_iter().for_each(|at| text.replace_range(at..at + 4, "AB12"));
    text
}

#[test]
fn the_printed_forms() {
    let s = Server::zone(ZONE);
    let at = s.at;
    let google = s.ask(&["google.com"]);
    let want = format!(
        "Querying DNS server {at} for google.com (A record)...\nResponse received (92 bytes):\nTransaction ID: 0xAB12\n\
         Flags: 0x8500 (Response, No Error)\nQuestions: 1, Answers: 4\nAnswer 1: google.com. 300 IN A 142.250.80.46\n\
         Answer 2: google.com. 300 IN A 142.250.80.78\nAnswer 3: google.com. 300 IN A 142.250.80.94\n\
         Answer 4: google.com. 300 IN A 142.250.80.110\n"
    );
    assert_eq!((shown(&google), google.stderr.as_str(), google.code), (want, "", Some(0)));
    let gmail = s.ask(&["-t", "MX", "gmail.com"]);
    let want = format!(
        "Querying DNS server {at} for gmail.com (MX record)...\n\
         Answer 1: gmail.com. 3600 IN MX 5 gmail-smtp-in.l.google.com.\n\
         Answer 2: gmail.com. 3600 IN MX 10 alt1.gmail-smtp-in.l.google.com.\n"
    );
    assert_eq!((gmail.stdout, gmail.code), (want, Some(0)));
}

#[test]
fn other_forms() {
    let s = Server::zone(ZONE);
    for (args, want) in [
        (&["--short", "google.com"][..], "142.250.80.46\n142.250.80.78\n142.250.80.94\n142.250.80.110\n"),
        (&["--short", "-x", "192.0.2.1"], "host.example.\n"),
        (
            &["--short", "-t", "TYPE15", "gmail.com"],
            "5 gmail-smtp-in.l.google.com.\n10 alt1.gmail-smtp-in.l.google.com.\n",
        ),
        (&["--short", "bücher.example"], "192.0.2.8\n"),
        (&["--short", "-t", "TXT", "nasty.example"], "\"\\027[2J\\226\\128\\174\"\n"),
        (&["--short", "--tcp", "-t", "PTR", "1.2.0.192.in-addr.arpa"], "host.example.\n"),
    ] {
        let ended = s.ask(args);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), (want, "", Some(0)), "{args:?}");
    }
    let idn = s.ask(&["-t", "A", "bücher.example", "--ttl-units"]);
    assert!(idn.stdout.ends_with("Answer 1: bücher.example. 1m IN A 192.0.2.8\n"), "{}", idn.stdout);
    let raw = s.ask(&["-t", "A", "xn--bcher-kva.example", "--no-idn"]);
    assert!(raw.stdout.ends_with("Answer 1: xn--bcher-kva.example. 60 IN A 192.0.2.8\n"), "{}", raw.stdout);
    // Cut over UDP, whole over TCP.
    let big = s.ask(&["--short", "-t", "TXT", "big.example"]);
    assert_eq!(big.stdout.lines().count(), 7);
    let cut = s.ask(&["-t", "TXT", "big.example", "--no-tcp"]);
    assert!(cut.stdout.contains("Truncated: the server has more to say\n"), "{}", cut.stdout);
    let edns = s.ask(&["--short", "-t", "TXT", "big.example", "--no-tcp", "--bufsize", "1232"]);
    assert_eq!(edns.stdout.lines().count(), 7, "with EDNS it fits a datagram");
    let verbose = s.ask(&["-v", "google.com", "--dnssec", "--cookie"]);
    for line in [
        "Opcode: QUERY, flags set: qr aa rd\n",
        "Question: google.com. IN A\n",
        "EDNS: version 0, flags none, datagrams of 1232 bytes\n",
    ] {
        assert!(verbose.stdout.contains(line), "{line} {}", verbose.stdout);
    }
    let json = s.ask(&["--json", "gmail.com", "-t", "MX"]);
    for part in [
        "\"QNAME\":\"gmail.com.\"",
        "\"QTYPEname\":\"MX\"",
        "\"answerRRs\":[{\"NAME\":\"gmail.com.\",\"TYPE\":15",
        "\"rdataMX\":\"5 gmail-smtp-in.l.google.com.\"",
        "\"schema\":\"drywire/dnsquery/1\"",
    ] {
        assert!(json.stdout.contains(part), "{part} {}", json.stdout);
    }
    let explained = s.ask(&["--short", "google.com", "--explain"]);
    assert!(
        explained.stderr.contains("   28  c0 0c                                answer google.com.\n   28"),
        "{}",
        explained.stderr
    );
    let looped = s.ask(&["--loop", "3", "--interval", "1ms", "google.com"]);
    assert!(looped.stdout.contains("3 asked, 3 answered, 0.0% lost; min "), "{}", looped.stdout);
}

#[test]
fn what_the_answer_decides() {
    let s = Server::zone(ZONE);
    let none = s.ask(&["-t", "A", "no.such.example"]);
    let soa = "Authority 1: . 3600 IN SOA ns. admin. 1 7200 900 1209600 300\n";
    assert!(none.stdout.ends_with(&format!("No such name: no.such.example.\n{soa}")), "{}", none.stdout);
    assert_eq!(none.code, Some(10));
    assert_eq!(s.ask(&["--dig-exit", "no.such.example"]).code, Some(0));
    let empty = s.ask(&["-t", "AAAA", "google.com"]);
    assert!(empty.stdout.ends_with(&format!("No AAAA records for google.com.\n{soa}")), "{}", empty.stdout);
    assert_eq!(empty.code, Some(0));
    for (code, words) in [(1, "Format Error"), (2, "Server Failure"), (4, "Not Implemented"), (5, "Refused")] {
        let s = Server::start(move |q, _| vec![super::reply(q, code, &[])]);
        let ended = s.ask(&["x.example"]);
        assert!(ended.stdout.contains(&format!("Flags: 0x800{code} (Response, {words})\n")), "{}", ended.stdout);
        assert_eq!(ended.code, Some(10));
    }
}

#[test]
fn servers_that_fail() {
    let short = ["--timeout", "50ms", "--tries", "2"];
    let s = Server::start(|_, _| Vec::new());
    let at = s.at;
    let silent = s.ask(&[&["-t", "A", "x.example"][..], &short].concat());
    let text = format!("dnsquery: no reply from {at} after 2 tries (50 ms each)\n");
    assert_eq!((silent.stderr, silent.code), (text, Some(5)));

    let liar = Server::start(|q, _| {
        let mut wrong = super::reply(q, 0, &[("", proto_core::dns::Type::A, 1, "203.0.113.66")]);
        wrong[0] ^= 1;
        vec![wrong]
    });
    let lied = liar.ask(&[&["-t", "A", "x.example", "-v"][..], &short].concat());
    assert!(lied.stderr.ends_with("(50 ms each); dropped: 2 wrong id\n"), "{}", lied.stderr);
    assert!(!lied.stdout.contains("203.0.113.66"));

    // A pointer to itself at byte 47.
    let looped = Server::start(|q, _| {
        let mut m = super::reply(q, 0, &[("", proto_core::dns::Type::CNAME, 60, "abcdefg.")]);
        m.truncate(m.len() - 9);
        let n = m.len();
        m[n - 2..].copy_from_slice(&[0, 2]);
        m.extend((0xc000 | n as u16).to_be_bytes());
        vec![m]
    });
    // 12 of the header, 19 of the question, 12 of the record's head, and the pointer 4 bytes on: the name has 15 bytes.
    let ended = looped.ask(&["abcdefgh.jklm"]);
    assert_eq!(ended.stderr, "dnsquery: malformed reply: at byte 43: compression pointer to itself\n");
    assert_eq!(ended.code, Some(7));
    let ended = looped.ask(&["-v", "abcdefgh.jklm"]);
    assert!(ended.stderr.contains("*** compression pointer to itself"), "{}", ended.stderr);

    let trailing = Server::start(|q, _| {
        let mut m = super::reply(q, 0, &[]);
        m.extend(b"xyz");
        vec![m]
    });
    let ended = trailing.ask(&["x.example"]);
    assert_eq!((ended.stderr.as_str(), ended.code), ("dnsquery: warning: 3 bytes after the message\n", Some(0)));

    let cut = Server::start(|_, _| vec![b"\x01\x00abc".to_vec()]);
    let ended = cut.ask(&["--tcp", "x.example"]);
    assert_eq!(ended.stderr, "dnsquery: malformed reply: at byte 0: stream cut within a message\n");
    assert_eq!(ended.code, Some(7));

    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let ended = run(&["x.example", "@127.0.0.1", "-p", &free]);
    assert_eq!(ended.stderr, format!("dnsquery: 127.0.0.1:{free}: port unreachable\n"));
    assert_eq!(ended.code, Some(4));
    // The next server is asked.
    let s = Server::zone(ZONE);
    let ended = run(&[
        "--short",
        "gmail.com",
        "-t",
        "MX",
        "@127.0.0.9",
        &format!("@{}", s.at.ip()),
        "-p",
        &s.at.port().to_string(),
    ]);
    assert_eq!((ended.stdout.lines().count(), ended.code), (2, Some(0)));
}

#[test]
fn bad_input() {
    let (long, name) = ("a".repeat(64), format!("{}b", "a.".repeat(127)));
    let cases: &[(&[&str], &str)] = &[
        (&["a..b"], "'a..b' is not a legal name (empty label)"),
        (&[""], "'' is not a legal name (empty label)"),
        (&[&long], &format!("'{long}' is not a legal name (label longer than 63)")),
        (&[&name], &format!("'{name}' is not a legal name (name longer than 253)")),
        (&["a\\300"], "'a\\300' is not a legal name (bad escape)"),
        (&["-t", "BOGUS", "a"], "unknown record type 'BOGUS' (try --list-types)"),
        (&["-t", "TYPE65536", "a"], "unknown record type 'TYPE65536' (try --list-types)"),
        (&["-t", "AXFR", "a"], "AXFR is a transfer of a zone, which dnsquery does not do"),
        (&["-c", "XX", "a"], "--class: unknown class 'XX'"),
        (&["-p", "99999", "a"], "port '99999' is not in 0-65535"),
        (&["-x", "host"], "'host' is not an IPv4 or IPv6 address"),
        (&["-x", "0177.0.0.1"], "'0177.0.0.1' is not an IPv4 or IPv6 address"),
        (&["@", "a"], "@ needs the address or name of a server after it"),
        (&[], "missing NAME (see --help)"),
        (&["--timeout", "0s", "a"], "--timeout: '0s' leaves no time for a reply"),
        (&["--total-timeout", "0", "a"], "--total-timeout: '0' leaves no time for a reply"),
        (&["--trace", "--json", "a"], "--trace cannot be used with --json"),
        (&["--timeout", "1d", "a"], "--timeout: '1d' is not a duration such as 500ms, 10s, 2m or 1h"),
        (
            &["--subnet", "1.2.3.4/33", "a"],
            "--subnet: '1.2.3.4/33' is not a subnet such as 192.0.2.0/24 or 2001:db8::/56",
        ),
        (&["--cookie=12", "a"], "--cookie[=<HEX>]: '12' is not 8 to 40 bytes in hexadecimal"),
        (&["--over", "pigeon", "a"], "invalid value 'pigeon' for '--over <WHAT>'"),
        (
            &["@h3://a", "a"],
            "'@h3://a' is not a server such as 9.9.9.9, [2620:fe::fe]:53, ns.example, tls://ns.example or https://ns.example/dns-query",
        ),
        (&["@tls://a", "@https://b", "a"], "all servers are asked over the same: one --over, or one kind of URL"),
        (&["@tls://a", "@b", "a"], "all servers are asked over the same: one --over, or one kind of URL"),
        (&["@tls://a", "--over", "tcp", "a"], "all servers are asked over the same: one --over, or one kind of URL"),
        (&["@https://a/x", "@https://b/y", "a"], "all servers are asked at the same path"),
        (&["@tls://a", "--get", "a"], "--get needs --over https"),
        (&["--over", "https", "--path", "x", "a"], "--path: 'x' is not a path such as /dns-query"),
        (&["--ca", "/none", "a"], "--ca: /none: no such file or directory"),
        (&["-f", "x", "a"], "names and --file cannot be used together"),
        (&["-f", "/no/such/file", "@127.0.0.1"], "cannot read /no/such/file: not found"),
        (&["--decode", "/no/such/file"], "--decode: '/no/such/file': no such file or directory"),
        (&["bü cher"], "'bü cher' is not a label of letters and digits"),
    ];
    for (args, text) in cases {
        let ended = run(args);
        assert_eq!((ended.stderr.as_str(), ended.code), (format!("dnsquery: {text}\n").as_str(), Some(2)), "{args:?}");
        assert_eq!(ended.stdout, "", "{args:?}");
    }
}

/// Each question has a port that the system drew. The control: a batch shares its few sockets.
#[test]
fn each_question_has_a_port_of_its_own() {
    let zone = Zone::parse(ZONE).unwrap();
    for (args, least, most) in [
        (&["--loop", "64", "--interval", "1ms", "google.com"][..], 56, 64),
        (&["-f", "-", "--parallel", "8", "-t", "A"], 1, 8),
    ] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (at, zone) = (socket.local_addr().unwrap(), zone.clone());
        let server = std::thread::spawn(move || {
            let (mut ports, mut data) = (Vec::new(), [0; 512]);
            while ports.len() < 64 {
                let (n, from) = socket.recv_from(&mut data).unwrap();
                ports.push(from.port());
                socket.send_to(&zone.reply(&data[..n], 512).unwrap(), from).unwrap();
            }
            ports
        });
        let port = at.port().to_string();
        let mut tool = Tool::start("dnsquery", &[args, &["@127.0.0.1", "-p", &port]].concat());
        tool.type_in(&"google.com\n".repeat(64));
        tool.end_input();
        let ended = tool.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let ports = server.join().unwrap();
        let steps = ports.windows(2).filter(|w| w[1] == w[0].wrapping_add(1)).count();
        let distinct: std::collections::BTreeSet<u16> = ports.into_iter().collect();
        assert!((least..=most).contains(&distinct.len()) && steps < 8, "{args:?}: {} ports", distinct.len());
    }
}

/// Servers that do what they can over TCP so that no reply comes: each is over in its time, with its own words.
#[test]
fn streams_that_stall() {
    type Play = fn(&mut std::net::TcpStream);
    let cases: &[(&str, Play, &str, i32)] = &[
        ("nothing", |s| drop(s.read_to_end(&mut Vec::new())), "no reply from AT after 1 try (300 ms each)", 5),
        (
            "a byte at a time",
            |s| {
                let _ = s.write_all(&[0xff, 0xff]);
                while s.write_all(&[0]).is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(5)); // it is slow: that is its part
                }
            },
            "no reply from AT after 1 try (300 ms each)",
            5,
        ),
        ("no length", |s| drop(s.write_all(&[0, 0])), "malformed reply: at byte 0: length below that of a header", 7),
        (
            "half a length",
            |s| drop((read_query(s), s.write_all(&[0]))),
            "malformed reply: at byte 0: stream cut within a length",
            7,
        ),
        // What was not read when it is closed makes the system send a reset.
        ("a reset", |s| drop(s.write_all(&[0])), "", 0),
    ];
    for (name, play, text, code) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, play) = (listener.local_addr().unwrap(), *play);
        let server = std::thread::spawn(move || play(&mut listener.accept().unwrap().0));
        let port = at.port().to_string();
        let ended =
            run(&["--tcp", "-t", "A", "x.example", "@127.0.0.1", "-p", &port, "--tries", "1", "--timeout", "300ms"]);
        server.join().unwrap();
        if text.is_empty() {
            assert!(matches!(ended.code, Some(4 | 7)), "{name}: {ended:?}");
            continue;
        }
        let want = format!("dnsquery: {}\n", text.replace("AT", &at.to_string()));
        assert_eq!((ended.stderr, ended.code), (want, Some(*code)), "{name}");
    }
}

fn read_query(conn: &mut std::net::TcpStream) {
    let mut head = [0; 2];
    conn.read_exact(&mut head).unwrap();
    conn.read_exact(&mut vec![0; usize::from(u16::from_be_bytes(head))]).unwrap();
}

/// More than one message in a segment: the first that is the reply counts, the others are of no interest.
#[test]
fn more_than_one_message_in_a_segment() {
    let framed = |m: &[u8]| [&(m.len() as u16).to_be_bytes(), m].concat();
    let s = Server::start(move |q, _| {
        let good = super::reply(q, 0, &[("", proto_core::dns::Type::A, 60, "192.0.2.1")]);
        let other = super::reply(q, 0, &[("", proto_core::dns::Type::A, 60, "203.0.113.66")]);
        let mut lie = other.clone();
        lie[0] ^= 1;
        vec![framed(&lie), framed(&good), framed(&other), framed(&good)]
    });
    let ended = s.ask(&["--tcp", "--short", "x.example"]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), ("192.0.2.1\n", "", Some(0)));
}

#[test]
fn messages_without_a_socket() {
    let hex = "1234818000010001000000000161000001 0001c00c00010001000000 3c0004c0000201";
    let decoded = run(&["--decode", hex]);
    let want = "Response received (35 bytes):\nTransaction ID: 0x1234\nFlags: 0x8180 (Response, No Error)\n\
                Questions: 1, Answers: 1\nAnswer 1: a. 60 IN A 192.0.2.1\n";
    assert_eq!((decoded.stdout.as_str(), decoded.code), (want, Some(0)));
    let mut piped = Tool::start("dnsquery", &["--decode", "-"]);
    piped.type_in(hex);
    piped.end_input();
    assert_eq!(piped.wait().stdout, want);
    for (hex, text) in [
        ("12348180", "malformed message: at byte 4: message shorter than its header"),
        ("123481800001000000000000c00c00010001", "malformed message: at byte 12: compression pointer to itself"),
    ] {
        let ended = run(&["--decode", hex]);
        assert_eq!((ended.stderr, ended.code), (format!("dnsquery: {text}\n"), Some(7)));
    }
}

#[test]
fn many_from_a_file() {
    let s = Server::zone(ZONE);
    let mut tool = Tool::start("dnsquery", &["-f", "-", "--ndjson", "@127.0.0.1", "-p", &s.at.port().to_string()]);
    for i in 0..500 {
        tool.type_in(&format!("{}\n", if i % 2 == 0 { "google.com" } else { "gmail.com MX" }));
    }
    tool.type_in("bad..name\nno.such.example");
    tool.end_input();
    let ended = tool.wait();
    assert_eq!(ended.stderr, "dnsquery: line 501: 'bad..name' is not a legal name (empty label)\n");
    assert_eq!(ended.code, Some(2), "the first cause decides");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 501);
    assert_eq!(lines.iter().filter(|l| l.contains("\"ANCOUNT\":4")).count(), 250);
    assert_eq!(lines.iter().filter(|l| l.contains("\"ANCOUNT\":2")).count(), 250);
    assert_eq!(lines.iter().filter(|l| l.contains("\"RCODEname\":\"NXDOMAIN\"")).count(), 1);
}

#[test]
fn from_the_root_to_the_answer() {
    let root = "\
. 3600 IN SOA ns. admin. 1 7200 900 1209600 300
com. 3600 IN NS ns.com.
ns.com. 3600 IN A 127.0.0.2
";
    let com = "\
com. 3600 IN SOA ns.com. admin.com. 1 7200 900 1209600 300
www.com. 60 IN A 192.0.2.80
";
    let first = Server::zone(root);
    let port = first.at.port();
    let zone = Zone::parse(com).unwrap();
    let (Ok(tcp), Ok(udp)) = (TcpListener::bind(("127.0.0.2", port)), UdpSocket::bind(("127.0.0.2", port))) else {
        return from_the_root_to_the_answer(); // somebody else has the port there
    };
    let _second = Server::on(tcp, udp, Arc::new(move |q, _| vec![zone.reply(q, 512).unwrap()]));
    let ended = first.ask(&["--trace", "www.com"]);
    let lines: Vec<&str> = ended.stdout.lines().filter(|l| !l.is_empty() && !l.starts_with("Received")).collect();
    assert_eq!(lines, ["com. 3600 IN NS ns.com.", "Answer 1: www.com. 60 IN A 192.0.2.80"], "{}", ended.stderr);
    let received = ended.stdout.lines().filter(|l| l.starts_with("Received ")).count();
    assert_eq!((received, ended.code), (2, Some(0)));
}

#[test]
fn servers_are_compared() {
    let a = Server::zone(ZONE);
    let same = a.ask(&["--race", "google.com", "@127.0.0.1"]);
    assert!(same.stdout.contains("127.0.0.1:") && same.stdout.contains(" says the same ("), "{}", same.stdout);
    assert_eq!(same.code, Some(0));
}

#[test]
fn the_same_on_every_driver() {
    let s = Server::zone(ZONE);
    let want = s.ask(&["-t", "TXT", "big.example"]).stdout;
    assert_eq!(want.lines().count(), 8);
    for driver in drivers() {
        let ended = s.ask(&["-t", "TXT", "big.example", "--driver", driver]);
        assert_eq!((ended.stdout.as_str(), ended.code), (want.as_str(), Some(0)), "{driver}: {}", ended.stderr);
        let unreachable = run(&["x.example", "@127.0.0.1", "-p", "1", "--driver", driver]);
        assert_eq!(unreachable.code, Some(4), "{driver}: {}", unreachable.stderr);
    }
}

/// Other tools look up names in the same way; `--resolver system` asks the system instead.
#[test]
fn names_of_other_tools() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let client = |args: &[&str]| {
        let mut tool = Tool::start("echo_client", args);
        tool.end_input();
        let ended = tool.wait();
        (ended.stderr, ended.code)
    };
    let name = "echo_client: cannot resolve 'no..such': not a legal name (empty label)\n";
    assert_eq!(client(&["no..such", &port]), (name.into(), Some(3)));
    for who in ["own", "system"] {
        let refused = format!("echo_client: connect to localhost:{port}: connection refused");
        let (text, code) = client(&["localhost", &port, "--resolver", who]);
        assert!(text.starts_with(&refused) && code == Some(4), "{who}: {text}");
    }
}

#[test]
fn in_virtual_time() {
    let once = run(&["--driver", "sim", "google.com"]);
    assert!(once.stdout.contains("Answer 4: google.com. 300 IN A 142.250.80.110\n"), "{}", once.stdout);
    let plan = "seed=7,loss=30%,delay=20ms±5ms";
    let (a, b) = (
        run(&["--driver", "sim", "--sim", plan, "www.example"]),
        run(&["--driver", "sim", "--sim", plan, "www.example"]),
    );
    assert_eq!(a, b, "the same seed, the same output");
}
