//! `socks5_proxy` in a network of its own: a second machine that is a stranger, and one that swallows every packet.
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use tests::process::{PATIENCE, Tool, have, tool, until};

fn sh(command: &str) -> Result<(), String> {
    let out = Command::new("sh").arg("-c").arg(command).output().map_err(|e| e.to_string())?;
    let why = || format!("{command}: {}", String::from_utf8_lossy(&out.stderr));
    if out.status.success() { Ok(()) } else { Err(why()) }
}

/// Two network namespaces, 10.214.1.1 and 10.214.1.2, and a cable between them; gone at the end.
struct Network([String; 2]);

impl Network {
    /// `None` where that is not allowed.
    fn build() -> Option<Network> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !["ip", "nft", "python3"].into_iter().all(have) {
            return None;
        }
        let id = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let network = Network(["a", "b"].map(|end| format!("drywire-socks-{}-{}{end}", id.0, id.1)));
        let [a, b] = &network.0;
        if let Err(why) = sh(&format!("ip netns add {a} && ip netns add {b}")) {
            eprintln!("passed over: network namespaces are not allowed here: {why}");
            return None;
        }
        let rules = "table inet hole { chain input { type filter hook input priority 0; tcp dport 9 drop; }; }";
        let made = sh(&format!(
            "ip -n {a} link set lo up && ip -n {b} link set lo up && \
             ip -n {a} link add there type veth peer name here netns {b} && \
             ip -n {a} addr add 10.214.1.1/24 dev there && ip -n {b} addr add 10.214.1.2/24 dev here && \
             ip -n {a} link set there up && ip -n {b} link set here up && ip netns exec {b} nft '{rules}'"
        ));
        made.expect("a network, where there may be namespaces");
        Some(network)
    }
    /// Starts a program on one of the machines.
    fn spawn(&self, machine: usize, program: &std::path::Path, args: &[&str]) -> Tool {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0[machine]]).arg(program).args(args);
        Tool::spawn(command)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = sh(&format!("ip netns del {name}")); // it may not be there
        }
    }
}

/// Associates, says where its relay is, and then sends one datagram through it for each line that it hears: what came back.
const CLIENT: &str = "
import socket, struct, sys
tcp = socket.create_connection(('10.214.1.1', int(sys.argv[1])), 20)
tcp.sendall(b'\\5\\1\\0')
tcp.recv(2)
tcp.sendall(b'\\5\\3\\0\\1\\0\\0\\0\\0\\0\\0')
reply = tcp.recv(10)
relay = (socket.inet_ntoa(reply[4:8]), struct.unpack('>H', reply[8:])[0])
print(relay[0], relay[1], flush=True)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(('10.214.1.1', 0))
udp.settimeout(20)
for line in sys.stdin:
    udp.sendto(b'\\0\\0\\0\\1' + socket.inet_aton('10.214.1.2') + struct.pack('>H', int(line)) + b'mine', relay)
    print(udp.recv(100)[10:].decode(), flush=True)
";
/// Echoes datagrams; for each line that it hears it sends one to the relay that the line names, to be passed on to itself.
const STRANGER: &str = "
import socket, struct, sys, threading
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind(('10.214.1.2', 0))
port = echo.getsockname()[1]
heard = []
def serve():
    while True:
        data, at = echo.recvfrom(100)
        heard.append(data.decode())
        echo.sendto(data, at)
threading.Thread(target=serve, daemon=True).start()
print(port, flush=True)
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in sys.stdin:
    words = line.split()
    if words:
        packet = b'\\0\\0\\0\\1' + socket.inet_aton('10.214.1.2') + struct.pack('>H', port) + b'stolen'
        other.sendto(packet, (words[0], int(words[1])))
        print('sent', flush=True)
    else:
        print(' '.join(heard), flush=True)
";

#[test]
fn sk_05_another_machine_has_no_part_in_an_association() {
    let Some(network) = Network::build() else { return };
    let python = std::path::Path::new("python3");
    let args = ["--listen", "10.214.1.1:0", "--open", "--udp"];
    let mut proxy = network.spawn(0, &tool("socks5_proxy"), &args);
    let port = proxy.port().to_string();
    let mut stranger = network.spawn(1, python, &["-c", STRANGER]);
    let echo = stranger.line();
    let mut client = network.spawn(0, python, &["-c", CLIENT, &port]);
    let relay = client.line();
    // It comes first, and from the machine that the client is going to send to; and again once the client is known.
    for round in 0..2 {
        stranger.type_in(&format!("{relay}\n"));
        assert_eq!(stranger.line(), "sent", "round {round}");
        client.type_in(&format!("{echo}\n"));
        assert_eq!(client.line(), "mine", "round {round}: it is not kept from its relay");
    }
    stranger.type_in("\n");
    assert_eq!(stranger.line(), "mine mine", "what the stranger has sent went nowhere");
    client.end_input();
    assert_eq!(client.wait().code, Some(0));
    let log = loop {
        let line = proxy.line();
        if line.contains("Dropped datagrams") {
            break line;
        }
    };
    assert!(log.ends_with("Dropped datagrams: 2 from strangers"), "{log}");
    stranger.end_input();
    assert_eq!(stranger.wait().code, Some(0));
}

/// Asks for a connection to 10.214.1.2; the reply, once it is there.
fn ask(path: &std::path::Path, port: u16) -> UnixStream {
    let mut s = UnixStream::connect(path).expect("it listens");
    s.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let to = port.to_be_bytes();
    s.write_all(&[5, 1, 0, 5, 1, 0, 1, 10, 214, 1, 2, to[0], to[1]]).expect("it reads");
    s
}

fn reply(mut s: UnixStream) -> Option<u8> {
    let mut heard = [0; 12];
    s.read_exact(&mut heard).ok().map(|()| heard[3])
}

/// A socket's file, gone at the end.
struct Path(std::path::PathBuf);

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // in nobody's way
    }
}

#[test]
fn sk_12_ten_thousand_connects_into_a_hole_are_bounded() {
    const STORM: usize = 10_000;
    let Some(network) = Network::build() else { return };
    // The limit is what holds it: with another one there are more.
    for (pending, storm, timeout) in [(64, STORM, "5m"), (128, 1000, "10s")] {
        // Sockets of Unix have no network: the clients are outside.
        let path = std::env::temp_dir().join(format!("drywire-socks-{}-{pending}", std::process::id()));
        let _gone_at_the_end = Path(path.clone());
        let (at, limit) = (format!("unix:{}", path.display()), pending.to_string());
        let args = ["--listen", &at, "-q", "--max-pending", &limit, "--connect-timeout", timeout, "--driver", "auto"];
        let mut proxy = network.spawn(0, &tool("socks5_proxy"), &args);
        proxy.line();
        until("it listens", || UnixStream::connect(&path).is_ok());
        let before = proxy.descriptors();
        let began = Instant::now();
        let mut waiting: Vec<UnixStream> = (0..pending).map(|_| ask(&path, 9)).collect();
        // Who knocked first may have been counted before, and be gone now.
        until("they are under way", || proxy.descriptors() + 1 >= before + 2 * pending);
        for n in pending..storm {
            assert_eq!(reply(ask(&path, 9)), Some(1), "number {n}, after {:?}", began.elapsed());
        }
        assert!(proxy.descriptors() <= before + 2 * pending + 8, "of the storm nothing is left");
        // Who leaves makes room at once: for a port that answers.
        waiting.pop();
        let mut last = None;
        until("there is room", || {
            last = reply(ask(&path, 10));
            last != Some(1)
        });
        assert_eq!(last, Some(5), "refused by the target");
        // And the rest is told at its deadline.
        if timeout == "5m" {
            continue;
        }
        let codes: Vec<Option<u8>> = waiting.into_iter().map(reply).collect();
        assert!(codes.iter().all(|c| *c == Some(4)), "{codes:?}");
    }
}
