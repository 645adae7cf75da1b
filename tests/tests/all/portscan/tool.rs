//! `portscan` as a process: printed lines, bad input, every driver. Each test has a loopback address of its own, so that
//! nobody else's listeners are on it.
use serde_json::Value;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;
use tests::process::{Ended, RuntimeDir, Tool, have, tool};
use tests::pty::Terminal;
use tests::scenario::drivers;

const RUNNER: &str = env!("CARGO_BIN_EXE_on_terminal");

fn run(args: &[&str]) -> Ended {
    let mut tool = Tool::start("portscan", args);
    tool.end_input();
    tool.wait()
}

/// Listeners on an address that nobody else has.
fn listen(ip: &str, n: usize) -> (Vec<TcpListener>, Vec<u16>) {
    let all: Vec<TcpListener> = (0..n).map(|_| TcpListener::bind((ip, 0)).expect("a port")).collect();
    let mut ports: Vec<u16> = all.iter().map(|l| l.local_addr().expect("an address").port()).collect();
    ports.sort_unstable();
    (all, ports)
}

/// A listener whose queue is full: who comes now hears nothing. The connections that fill it are to be kept.
fn silent(ip: &str) -> (TcpListener, Vec<TcpStream>, u16) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let at: SocketAddr = format!("{ip}:0").parse().expect("an address");
    bind(&fd, &at).and_then(|()| listen(&fd, 0)).expect("a port");
    let listener = TcpListener::from(fd);
    let at = listener.local_addr().expect("an address");
    let mut inside = Vec::new();
    while let Ok(s) = TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
        inside.push(s);
    }
    (listener, inside, at.port())
}

/// Everything but the last line, which tells the time.
fn untimed(text: &str) -> String {
    let (rest, last) = text.trim_end().rsplit_once('\n').expect("lines");
    let took = last.strip_prefix("Time: ").and_then(|l| l.strip_suffix(" seconds"));
    let (whole, tenth) = took.and_then(|t| t.split_once('.')).expect("a time");
    assert!(whole.parse::<u32>().is_ok() && tenth.len() == 1, "{last}");
    format!("{rest}\n")
}

#[test]
fn a_range_as_printed_on_every_driver() {
    let (_listeners, ports) = listen("127.77.1.1", 1);
    let (lo, hi) = (ports[0] - 200, ports[0] + 20);
    for driver in drivers() {
        let ended = run(&["127.77.1.1", &format!("{lo}-{hi}"), "--driver", driver]);
        let want = format!(
            "Scanning 127.77.1.1 ports {lo}-{hi}...\nConcurrent connections: 100\nTimeout: 3 seconds\n\
             PORT STATE SERVICE\n{}/tcp open {}\nScan complete: 220 closed, 1 open, 0 filtered\n",
            ports[0],
            bins::scan::services::tcp(ports[0])
        );
        assert_eq!((untimed(&ended.stdout), ended.code), (want, Some(0)), "{driver}");
        assert_eq!(ended.stderr, "", "{driver}");
    }
}

#[test]
fn a_list_as_printed_on_every_driver() {
    let (listeners, mut ports) = listen("127.77.2.1", 3);
    let (_full, _inside, silent) = silent("127.77.2.1");
    let closed = listeners.iter().map(|l| l.local_addr().unwrap().port()).max().unwrap();
    drop(listeners.into_iter().filter(|l| l.local_addr().unwrap().port() == closed).collect::<Vec<_>>());
    // Only the one that is still wanted stays.
    let (_again, _) =
        (0..1).map(|_| TcpListener::bind(("127.77.2.1", ports[0]))).fold((Vec::new(), ()), |(mut v, ()), l| {
            v.push(l.expect("free"));
            (v, ())
        });
    ports = vec![ports[0], closed, silent];
    ports.sort_unstable();
    let list: Vec<String> = ports.iter().map(u16::to_string).collect();
    for driver in drivers() {
        let args = ["-p", &list.join(","), "127.77.2.1", "--timeout", "300ms", "--reason", "--driver", driver];
        let ended = run(&args);
        let row = |p: &u16| match *p {
            p if p == closed => format!("{p}/tcp closed rst\n"),
            p if p == silent => format!("{p}/tcp filtered no-answer\n"),
            p => format!("{p}/tcp open syn-ack\n"),
        };
        let want = format!("PORT STATE REASON\n{}", ports.iter().map(row).collect::<String>());
        assert_eq!((ended.stdout, ended.code), (want, Some(0)), "{driver}: {}", ended.stderr);
    }
}

#[test]
fn bad_input_is_named() {
    for (args, code, text) in [
        (&["h", "1-70000"][..], 2, "bad port list: '70000' is not in 1-65535"),
        (&["h", "80-22"], 2, "bad port list: '80-22' ends before it begins"),
        (&["h", "abc"], 2, "bad port list: 'abc' is not in 1-65535"),
        (&["h", "22,,80"], 2, "bad port list: '' is not in 1-65535"),
        (&["h", "0"], 2, "bad port list: '0' is not in 1-65535"),
        (&["-p", "0-1", "h"], 2, "bad port list: '0' is not in 1-65535"),
        (&["h", "22", "--expect", "x"], 2, "bad port list: 'x' is not in 1-65535"),
        (&[], 2, "missing <HOST>... (see --help)"),
        (&["10.0.0.0/33", "22"], 2, "bad target: '10.0.0.0/33' has a prefix that is not in 0-32"),
        (&["h", "22", "-c", "0"], 2, "--concurrency: 0 is not in 1..=60000"),
        (&["h", "22", "-c", "60001"], 2, "--concurrency: 60001 is not in 1..=60000"),
        (&["h", "22", "--timeout", "5ms"], 2, "--timeout: '5ms' is not within 10ms and 60s"),
        (&["h", "22", "--timeout", "61s"], 2, "--timeout: '61s' is not within 10ms and 60s"),
        (&["h", "22", "--retries", "11"], 2, "--retries: 11 is not in 0..=10"),
        (&["h", "22", "--shard", "5/4"], 2, "--shard: '5/4' is not a share such as 1/4"),
        (&["h", "--top-ports", "0"], 2, "--top-ports: '0' is not in 1-"),
        (&["10.0.0.0/8", "1"], 2, "16,777,216 targets need --yes"),
        (&["8.8.8.0/23", "1"], 2, "512 targets need --yes"),
        (&["0.0.0.0/0", "1-2", "--yes"], 2, "too many targets: 8,589,934,592 (at most 4,294,967,296)"),
        (&["127.0.0.1", "22", "--exclude", "127.0.0.0/8"], 2, "nothing to scan"),
        (&["-iL", "/none", "22"], 2, "cannot read '/none': not found"),
        (&["127.0.0.1", "22", "--diff", "/none"], 2, "cannot read '/none': not found"),
        (&["no.such.host.invalid", "22"], 3, "cannot resolve 'no.such.host.invalid': "),
    ] {
        let ended = run(args);
        let line = ended.stderr.lines().last().unwrap_or_default();
        let exact = format!("portscan: {text}");
        let text = if text.ends_with([' ', '-']) { line.starts_with(&exact) } else { line == exact };
        assert!(text && ended.code == Some(code) && ended.stdout.is_empty(), "{args:?}: {ended:?}");
    }
}

#[test]
fn services_columns_and_rows_are_chosen() {
    let (_listeners, ports) = listen("127.77.3.1", 1);
    let (open, closed) = (ports[0], ports[0] - 1);
    let list = format!("{closed},{open}");
    let name = bins::scan::services::tcp;
    for (flags, want) in [
        (&["--open"][..], format!("PORT STATE\n{open}/tcp open\n")),
        (&["--service", "--open"], format!("PORT STATE SERVICE\n{open}/tcp open {}\n", name(open))),
        (
            &["--table"],
            format!("{:<9} STATE\n{:<9} closed\n{:<9} open\n", "PORT", format!("{closed}/tcp"), format!("{open}/tcp")),
        ),
        (
            &["-oG", "-", "--all"],
            format!(
                "Host: 127.77.3.1 ()\tPorts: {closed}/closed/tcp//{}///, {open}/open/tcp//{}///\n",
                name(closed),
                name(open)
            ),
        ),
        (&["-v"], format!("PORT STATE\n{closed}/tcp closed\n{open}/tcp open\n0 of 2 probes lost to local limits\n")),
    ] {
        let ended = run(&[&["127.77.3.1", &list][..], flags].concat());
        assert_eq!((ended.stdout, ended.code), (want, Some(0)), "{flags:?}");
    }
    let range = format!("{closed}-{open}");
    let ended = run(&["127.77.3.1", &range, "--all", "--no-service", "-q"]);
    assert_eq!(ended.stdout, format!("PORT STATE\n{closed}/tcp closed\n{open}/tcp open\n"));
}

#[test]
fn json_is_json_while_it_runs_and_at_the_end() {
    let (_listeners, ports) = listen("127.77.4.1", 2);
    let list = format!("{},{},{}", ports[0], ports[1], ports[0] - 1);
    let ended = run(&["127.77.4.1", &list, "--ndjson"]);
    let rows: Vec<Value> = ended.stdout.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|r| r["schema"] == "drywire/portscan/1" && r["address"] == "127.77.4.1"));
    let document: Value = serde_json::from_str(&run(&["127.77.4.1", &list, "--json"]).stdout).expect("JSON");
    assert_eq!(document["totals"]["open"], 2);
    assert_eq!(
        document["hosts"][0]["ports"][0],
        serde_json::json!({
            "port": ports[0] - 1, "protocol": "tcp", "state": "closed", "reason": "rst",
            "service": bins::scan::services::tcp(ports[0] - 1),
        })
    );
}

#[test]
fn banners_are_bounded_and_escaped() {
    let (mut listeners, ports) = listen("127.77.5.1", 1);
    let listener = listeners.remove(0);
    std::thread::spawn(move || {
        // Ten megabytes of what moves a cursor; and it never reads.
        while let Ok((mut s, _)) = listener.accept() {
            let _ = s.write_all(&b"\x1b[2J".repeat(2_500_000));
        }
    });
    for driver in drivers() {
        let ended = run(&["127.77.5.1", &ports[0].to_string(), "--banner", "--driver", driver]);
        let want = format!("PORT STATE BANNER\n{}/tcp open {}\n", ports[0], "\\x1b[2J".repeat(64));
        assert_eq!((ended.stdout, ended.code), (want, Some(0)), "{driver}");
    }
}

#[test]
fn certificates_of_open_ports_are_told_and_other_greetings_too() {
    let world = crate::https::World::dated();
    let secure = world.serve("", tests::secure::Ending::Goodbye);
    let (plain, mut ports) = listen("127.0.0.1", 1);
    std::thread::spawn(move || {
        for stream in plain.iter().flat_map(TcpListener::incoming).flatten() {
            let _ = (&stream).write_all(b"220 mail ESMTP\r\n");
        }
    });
    ports.push(secure.port);
    let [mail, https] = ports[..] else { panic!("{ports:?}") };
    for driver in drivers() {
        let ended = run(&["127.0.0.1", &format!("{mail},{https}"), "--tls", "--driver", driver]);
        let rows = [format!("{mail}/tcp open 220 mail ESMTP\n"), format!("{https}/tcp open TLSv1.3 CN=localhost\n")];
        let order = if mail < https { [0, 1] } else { [1, 0] };
        let want = order.map(|i| rows[i].as_str()).concat();
        assert_eq!((ended.stdout, ended.code), (format!("PORT STATE BANNER\n{want}"), Some(0)), "{driver}");
    }
}

/// Ports on which somebody listens on all addresses.
fn everywhere() -> Vec<u16> {
    let lines = ["/proc/net/tcp", "/proc/net/tcp6"].map(|f| std::fs::read_to_string(f).unwrap_or_default()).join("");
    let port = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (at, port) = words.next()?.rsplit_once(':')?;
        (at.bytes().all(|b| b == b'0') && words.nth(1)? == "0A").then_some(u16::from_str_radix(port, 16).ok()?)
    };
    lines.lines().filter_map(port).collect()
}

/// What is open, less what is open everywhere.
fn untold(open: &[u16], now: &[u16], before: &[u16]) -> Vec<u16> {
    open.iter().filter(|p| !now.contains(p) && !before.contains(p)).copied().collect()
}

#[test]
fn all_ports_with_few_descriptors_on_every_driver() {
    let (_listeners, ports) = listen("127.77.6.1", 3);
    for driver in drivers() {
        let before = everywhere();
        let mut command = Command::new("sh");
        command.arg("-c").arg("ulimit -n 256; exec \"$0\" \"$@\"").arg(tool("portscan"));
        command.args(["127.77.6.1", "-", "-c", "1000", "-v", "--driver", driver]);
        let ended = Tool::spawn(command).wait();
        let open: Vec<u16> = ended.stdout.lines().filter_map(|l| l.split_once("/tcp open")?.0.parse().ok()).collect();
        // Somebody may listen on every address.
        let others = everywhere();
        assert_eq!(
            (untold(&open, &others, &before), ended.code),
            (ports.clone(), Some(0)),
            "{driver}: {}",
            ended.stderr
        );
        let silent = ended.stdout.lines().filter_map(|l| l.split_once("/tcp filtered")?.0.parse().ok());
        let silent: Vec<u16> = silent.collect();
        assert!(untold(&silent, &others, &before).is_empty(), "{driver}");
        let closed = 65_535 - open.len() - silent.len();
        let totals = format!("Scan complete: {closed} closed, {} open, {} filtered\n", open.len(), silent.len());
        assert!(ended.stdout.contains(&totals), "{driver}: {}", ended.stdout);
        assert!(ended.stdout.contains(" probes lost to local limits"), "{driver}: {}", ended.stdout);
        assert!(ended.stderr.contains("1000 connections at once do not fit, "), "{driver}: {}", ended.stderr);
    }
}

/// Descriptors that were open before the tool started are not in its account: connects fail, and the answer stays right.
#[test]
fn running_out_of_descriptors_is_never_taken_for_a_closed_port() {
    let (full, _inside, port) = silent("0.0.0.0");
    for driver in ["epoll", "poll"] {
        let mut command = Command::new("bash");
        let script = "ulimit -n 200; for i in {3..120}; do eval \"exec $i</dev/null\"; done; exec \"$0\" \"$@\"";
        command.arg("-c").arg(script).arg(tool("portscan"));
        command.args(["127.77.7.0/25", &port.to_string(), "-c", "120", "--timeout", "200ms", "-v", "--driver", driver]);
        let ended = Tool::spawn(command).wait();
        assert_eq!(ended.stdout.matches("/tcp filtered\n").count(), 128, "{driver}: {}", ended.stdout);
        assert_eq!(ended.stdout.matches("closed").count(), 0, "{driver}");
        let told = "portscan: out of file descriptors: fewer probes at once, and these again\n";
        assert_eq!(ended.stderr.matches(told).count(), 1, "{driver}: {}", ended.stderr);
        let last = ended.stdout.lines().last().unwrap_or_default();
        assert!(last.starts_with("0 of ") && last.ends_with(" repeated)"), "{driver}: {last}");
    }
    drop(full);
}

fn rows(text: &str) -> Vec<(String, u64)> {
    let row = |l: &str| {
        let v: Value = serde_json::from_str(l).ok()?;
        Some((v["address"].as_str()?.to_string(), v["port"].as_u64()?))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn an_interrupted_scan_goes_on_without_gap_or_double() {
    let dir = RuntimeDir::new();
    let file = dir.0.join("position");
    let file = file.to_str().expect("a path");
    let args = ["127.77.8.1", "1-600", "--all", "--ndjson", "--rate", "1000", "--resume", file];
    let mut all = Vec::new();
    for _ in 0..2 {
        let mut tool = Tool::start("portscan", &args);
        for _ in 0..100 {
            all.push(tool.line());
        }
        let ended = tool.stop();
        assert_eq!(ended.code, Some(130));
        assert!(ended.stderr.contains(&format!("portscan: to go on: --resume {file}\n")), "{}", ended.stderr);
        all.extend(ended.stdout.lines().map(String::from));
    }
    let other = run(&["127.77.8.1", "1-601", "--all", "--ndjson", "--resume", file]);
    assert_eq!((other.code, other.stderr.as_str()), (Some(2), "portscan: resume file is for 127.77.8.1 1-600\n"));
    let ended = run(&args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("portscan: going on after "), "{}", ended.stderr);
    all.extend(ended.stdout.lines().map(String::from));
    let mut ports: Vec<u64> = rows(&all.join("\n")).into_iter().map(|(_, port)| port).collect();
    ports.sort_unstable();
    assert_eq!(ports, (1..=600).collect::<Vec<u64>>());
    assert!(!std::path::Path::new(file).exists(), "a scan that is whole leaves no position");
}

#[test]
fn ctrl_c_tells_the_totals_so_far() {
    let mut tool = Tool::start("portscan", &["127.77.9.1", "1-5000", "--rate", "100"]);
    let head: Vec<String> = (0..3).map(|_| tool.line()).collect();
    assert_eq!(head[0], "Scanning 127.77.9.1 ports 1-5000...");
    let ended = tool.stop();
    assert_eq!(ended.code, Some(130));
    let totals = ended.stdout.lines().find_map(|l| l.strip_prefix("Scan interrupted: ")).expect("totals").to_string();
    let numbers: Vec<u64> = totals.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok()).collect();
    assert_eq!(numbers.iter().sum::<u64>(), 5000, "{totals}");
    assert!(totals.ends_with(" not scanned"));
}

#[test]
fn what_changed_and_what_is_expected() {
    let dir = RuntimeDir::new();
    let file = dir.0.join("old.json");
    let path = file.to_str().expect("a path");
    let (mut listeners, _) = listen("127.77.10.1", 2);
    let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().expect("an address").port()).collect();
    let list = format!("{},{}", ports[0], ports[1]);
    std::fs::write(&file, run(&["127.77.10.1", &list, "--json"]).stdout).expect("a file");
    let same = run(&["127.77.10.1", &list, "--diff", path, "--open", "-q", "--expect", &list]);
    assert_eq!(same.code, Some(0), "{same:?}");
    drop(listeners.remove(0));
    let ended = run(&["127.77.10.1", &list, "--diff", path, "--open", "--expect", &list]);
    let service = bins::scan::services::tcp(ports[0]);
    let want = format!(
        "PORT STATE\n{}/tcp open\nclosed: 127.77.10.1 {}/tcp {service}\n127.77.10.1 expected but not open: {}\n",
        ports[1], ports[0], ports[0]
    );
    assert_eq!((ended.stdout, ended.code), (want, Some(10)));
    std::fs::write(&file, "{").expect("a file");
    let ended = run(&["127.77.10.1", &list, "--diff", path]);
    assert!(ended.code == Some(2) && ended.stderr.contains("' is not JSON: "), "{ended:?}");
}

#[test]
fn shards_share_the_work_and_lists_name_it() {
    let dir = RuntimeDir::new();
    let file = dir.0.join("hosts");
    std::fs::write(&file, "127.77.11.1 # one\n127.77.11.2, localhost\n127.77.11.8/30\n").expect("a file");
    let mut all = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let list = file.to_str().expect("a path");
        let args = ["-iL", list, "1-50", "--exclude", "127.77.11.9", "--all", "--ndjson", "--shard", shard];
        let ended = run(&args);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let part = rows(&ended.stdout);
        assert_eq!(part.len(), 100, "a third of 300");
        all.extend(part);
    }
    all.sort_unstable();
    let hosts = ["127.0.0.1", "127.77.11.1", "127.77.11.10", "127.77.11.11", "127.77.11.2", "127.77.11.8"];
    let want: Vec<(String, u64)> = hosts.iter().flat_map(|h| (1..=50).map(|p| (h.to_string(), p))).collect();
    assert_eq!(all, want);
}

#[test]
fn datagrams() {
    let (echo, quiet) =
        (UdpSocket::bind("127.77.12.1:0").expect("a port"), UdpSocket::bind("127.77.12.1:0").expect("a port"));
    let port = |s: &UdpSocket| s.local_addr().expect("an address").port();
    let (open, silent) = (port(&echo), port(&quiet));
    let gone = UdpSocket::bind("127.77.12.1:0").map(|s| port(&s)).expect("a port");
    std::thread::spawn(move || {
        while let Ok((_, from)) = echo.recv_from(&mut [0; 16]) {
            let _ = echo.send_to(b"here", from);
        }
    });
    let mut ports = [open, silent, gone];
    ports.sort_unstable();
    let list: Vec<String> = ports.iter().map(u16::to_string).collect();
    for driver in drivers() {
        let ended = run(&["127.77.12.1", &list.join(","), "-sU", "--timeout", "200ms", "--reason", "--driver", driver]);
        let row = |p: &u16| match *p {
            p if p == open => format!("{p}/udp open udp-response\n"),
            p if p == silent => format!("{p}/udp open|filtered no-answer\n"),
            p => format!("{p}/udp closed port-unreach\n"),
        };
        let want = format!("PORT STATE REASON\n{}", ports.iter().map(row).collect::<String>());
        assert_eq!((ended.stdout, ended.code), (want, Some(0)), "{driver}: {}", ended.stderr);
    }
}

#[test]
fn ipv6_is_scanned_like_ipv4() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return eprintln!("passed over: no IPv6 on loopback") };
    let port = listener.local_addr().expect("an address").port().to_string();
    for args in [["::1", &port, "-q"], ["-6", "localhost", &port]] {
        assert_eq!(run(&args).stdout, format!("PORT STATE\n{port}/tcp open\n"), "{args:?}");
    }
}

/// Runs it as somebody who may not open raw sockets, if we may give that up.
fn without_rights(args: &[&str]) -> Option<Ended> {
    if !rustix::process::geteuid().is_root() {
        return Some(run(args));
    }
    if !have("setpriv") {
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-net_raw", "--"]).arg(tool("portscan")).args(args);
    Some(Tool::spawn(command).wait())
}

#[test]
fn half_open_scans_need_a_right() {
    let (_listeners, ports) = listen("127.77.14.1", 1);
    let port = ports[0].to_string();
    let text = "portscan: SYN scan needs CAP_NET_RAW";
    let Some(ended) = without_rights(&["127.77.14.1", &port, "-sS"]) else { return };
    assert_eq!((ended.code, ended.stdout, ended.stderr), (Some(9), String::new(), format!("{text}\n")));
    let Some(ended) = without_rights(&["127.77.14.1", &port, "--scan", "auto"]) else { return };
    let (out, err) = (format!("PORT STATE\n{port}/tcp open\n"), format!("{text}; using connect scan\n"));
    assert_eq!((ended.code, ended.stdout, ended.stderr), (Some(0), out, err));
}

#[test]
fn half_open_scans_on_every_driver() {
    let (listeners, ports) = listen("127.77.15.1", 1);
    if run(&["127.77.15.1", &ports[0].to_string(), "--syn"]).code == Some(9) {
        return eprintln!("passed over: no raw sockets here");
    }
    let (lo, hi) = (ports[0] - 100, ports[0] + 100);
    for driver in drivers() {
        run(&["127.77.15.1", &ports[0].to_string(), "--syn", "--driver", driver]);
        // Nobody was connected to anything.
        listeners[0].set_nonblocking(true).expect("a socket");
        assert!(listeners[0].accept().is_err(), "{driver}");
        let both = ["--syn", "--scan=connect"].map(|how| {
            let args = ["127.77.15.1", &format!("{lo}-{hi}"), how, "--all", "--reason", "-q", "--driver", driver];
            let ended = run(&args);
            assert_eq!(ended.code, Some(0), "{driver}: {}", ended.stderr);
            ended.stdout
        });
        assert_eq!(both[0], both[1], "{driver}");
        assert!(both[0].contains(&format!("{}/tcp open", ports[0])), "{driver}: {}", both[0]);
        assert!(listeners[0].accept().is_ok(), "{driver}: it was, by the other scan");
    }
}

#[test]
fn a_large_scan_asks_first() {
    for (answer, code) in [("n\r", 2), ("\r", 2), ("y\r", 0)] {
        let args = ["127.77.13.0-127.77.13.1", "-", "--open", "--rate", "10000000"];
        let mut t = Terminal::start(RUNNER, "portscan", &args, 80);
        t.row("Scan 131,070 targets? [y/N] ", "");
        t.keys(answer);
        assert_eq!(t.wait(), code, "{answer:?}");
    }
}
