//! A machine of its own, in a network namespace, with ports that are open, refused, dropped and forbidden by nftables, over
//! IPv4 and IPv6: what `nmap` says of it. How long both take is printed (`--nocapture`).
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tests::process::{have, tool};

/// Rules for who comes in. What a rule rejects with ICMP is refused to a connect at the latest when it sends its SYN again.
const RULES: &str = "
table inet scan {
  chain input {
    type filter hook input priority 0;
    tcp dport { 3001, 3002, 3003, 3004, 3005 } drop
    tcp dport 3011 reject with tcp reset
    tcp dport 3012 reject with icmpx port-unreachable
    tcp dport 3013 reject with icmpx admin-prohibited
    tcp dport 3014 reject with icmpx host-unreachable
    tcp dport 3015 reject with icmpx no-route
    udp dport 4001 drop
  }
}";
/// Opens three ports on every address, then says so and waits.
const SERVER: &str = "
import socket, sys
keep = []
for family, any in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
    for port in (22, 80, 3100):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((any, port))
        s.listen(64)
        keep.append(s)
print('ready', flush=True)
sys.stdin.read()
";
const HERE: [&str; 2] = ["10.213.7.1/30", "fd00:213:7::1/126"];
const THERE: [&str; 2] = ["10.213.7.2", "fd00:213:7::2"];

/// Two namespaces and a cable between them; gone at the end.
struct Network {
    names: [String; 2],
    server: Option<Child>,
}

fn sh(command: &str) -> Result<String, String> {
    let out = Command::new("sh").arg("-c").arg(command).output().map_err(|e| e.to_string())?;
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(format!("{command}: {}", text(&out.stderr))) }
}

impl Network {
    fn build() -> Result<Network, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let names = ["a", "b"].map(|end| format!("drywire-{}-{}{end}", id.0, id.1));
        let [a, b] = names.clone();
        let mut network = Network { names, server: None };
        for name in [&a, &b] {
            sh(&format!("ip netns add {name} && ip -n {name} link set lo up"))?;
        }
        sh(&format!("ip -n {a} link add there type veth peer name here netns {b}"))?;
        for (name, link, at) in [(&a, "there", HERE), (&b, "here", [THERE[0], THERE[1]])] {
            let bits = |ip: &str| {
                if ip.contains('/') {
                    ""
                } else if ip.contains(':') {
                    "/126"
                } else {
                    "/30"
                }
            };
            for ip in at {
                let nodad = if ip.contains(':') { "nodad" } else { "" };
                sh(&format!("ip -n {name} addr add {ip}{} dev {link} {nodad}", bits(ip)))?;
            }
            sh(&format!("ip -n {name} link set {link} up"))?;
        }
        sh(&format!("ip netns exec {b} nft '{RULES}'"))?;
        // Answers by ICMP are not to be rationed.
        for key in ["net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"] {
            sh(&format!("ip netns exec {b} sysctl -q -w {key}=0"))?;
        }
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &b, "python3", "-c", SERVER]);
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
        let mut ready = [0; 6];
        if let Some(out) = &mut server.stdout {
            std::io::Read::read_exact(out, &mut ready).map_err(|e| e.to_string())?;
        }
        network.server = Some(server);
        Ok(network)
    }
    /// Runs a program at this end; its output and how long it took.
    fn run(&self, program: &str, args: &[&str]) -> (String, Duration) {
        let began = Instant::now();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[0], program]).args(args).stdin(Stdio::null());
        let out = command.output().expect("it starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(0), "{program} {args:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
        (text, began.elapsed())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill(); // it may have ended
            let _ = server.wait();
        }
        for name in &self.names {
            let _ = sh(&format!("ip netns del {name}")); // it may not be there
        }
    }
}

fn network() -> Option<Network> {
    if !["nmap", "nft", "ip", "python3"].into_iter().all(have) {
        return None;
    }
    match Network::build() {
        Ok(network) => Some(network),
        Err(why) => {
            eprintln!("passed over: network namespaces are not allowed here: {why}");
            None
        }
    }
}

/// State of each port in a table with PORT, STATE and more.
fn states(text: &str) -> BTreeMap<u16, String> {
    let row = |l: &str| {
        let mut words = l.split_whitespace();
        let port = words.next()?.strip_suffix("/tcp").or(l.split_whitespace().next()?.strip_suffix("/udp"))?;
        Some((port.parse().ok()?, words.next()?.to_string()))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn it_says_what_nmap_says() {
    let Some(network) = network() else { return };
    let portscan = tool("portscan");
    let portscan = portscan.to_str().expect("a path");
    let ports = "20-24,80,3000-3020,3100-3102";
    for (there, six) in [(THERE[0], false), (THERE[1], true)] {
        let flags: &[&str] = if six { &["-6"] } else { &[] };
        let nmap = [&["-sT", "-n", "-Pn", "--reason", "-T4", "-p", ports, "-d", there], flags].concat();
        let their_time = network.run("nmap", &nmap).1;
        // Its system tells of ICMP only when it sends a SYN again, after a second: it must have the patience.
        let patient = [&nmap[..], &["--min-rtt-timeout", "2500ms", "--max-rtt-timeout", "4s"]].concat();
        let theirs = network.run("nmap", &patient).0;
        let (ours, our_time) = network.run(portscan, &[there, ports, "--all", "--reason", "--timeout", "3s"]);
        let (theirs_by_port, ours_by_port) = (states(&theirs), states(&ours));
        assert_eq!(ours_by_port.len(), 30, "{ours}");
        let closed = "closed".to_string();
        for (port, state) in &ours_by_port {
            // What it does not list is what most are.
            let nmap = theirs_by_port.get(port).unwrap_or(&closed);
            assert_eq!(state, nmap, "port {port} of {there}\n{ours}\n{theirs}");
        }
        for (port, state) in [(22, "open"), (21, "closed"), (3001, "filtered"), (3011, "closed"), (3013, "filtered")] {
            assert_eq!(ours_by_port.get(&port).map(String::as_str), Some(state), "{port}\n{ours}");
        }
        // Half-open, as root: the same again. We do not look at ICMP about a SYN: what is rejected so is silent, hence filtered, too.
        let nmap = [&["-sS", "-n", "-Pn", "-T4", "-p", ports, there], flags].concat();
        let theirs = states(&network.run("nmap", &nmap).0);
        let (ours, _) = network.run(portscan, &[there, ports, "--all", "--syn"]);
        assert_eq!(states(&ours).len(), 30, "{ours}");
        for (port, state) in states(&ours) {
            assert_eq!(&state, theirs.get(&port).unwrap_or(&closed), "port {port} of {there}, half-open\n{ours}");
        }
        // Datagrams: refused, and swallowed.
        let nmap = [&["-sU", "-n", "-Pn", "-T4", "--max-retries", "1", "-p", "4000-4002", there], flags].concat();
        let theirs = states(&network.run("nmap", &nmap).0);
        let ours = states(&network.run(portscan, &["--udp", there, "4000-4002", "--all"]).0);
        let want = [(4000, "closed"), (4001, "open|filtered"), (4002, "closed")].map(|(p, s)| (p, s.to_string()));
        assert_eq!((&ours, &theirs), (&want.clone().into(), &want.into()), "{there}");
        eprintln!("{there}: nmap {their_time:?}, portscan {our_time:?}");
    }
}

#[test]
fn all_drivers_say_the_same_of_a_firewall() {
    let Some(network) = network() else { return };
    let portscan = tool("portscan");
    let portscan = portscan.to_str().expect("a path");
    let scan = |driver: &str, more: &[&str]| {
        let ports = "20-24,80,3000-3020,3100";
        let args = [&[THERE[0], ports, "--all", "-q", "--reason", "--no-service", "--driver", driver], more].concat();
        network.run(portscan, &args).0
    };
    let first = scan("epoll", &[]);
    assert_eq!(states(&first).len(), 28, "{first}");
    for row in [
        "22/tcp open syn-ack",
        "21/tcp closed rst",
        "3003/tcp filtered no-answer",
        "3011/tcp closed rst",
        "3012/tcp closed port-unreach",
        "3013/tcp filtered admin-prohibited",
        "3014/tcp filtered host-unreach",
        "3015/tcp filtered net-unreach",
    ] {
        assert!(first.lines().any(|l| l == row), "{row} is not in\n{first}");
    }
    for driver in tests::scenario::drivers() {
        assert_eq!(scan(driver, &[]), first, "{driver}");
    }
    // Three of a hundred packets are lost each way: the same, for who asks again.
    let loss = "table inet loss {
        chain in { type filter hook input priority 0; numgen random mod 100 < 3 drop; }
        chain out { type filter hook output priority 0; numgen random mod 100 < 3 drop; }
    }";
    sh(&format!("ip netns exec {} nft '{loss}'", network.names[0])).expect("nft");
    assert_eq!(scan("epoll", &["--retries", "6"]), first);
}
