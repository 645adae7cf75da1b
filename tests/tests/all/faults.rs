//! Faults on real sockets: what breaks one connection must not touch the others, nor leave anything behind.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tests::process::{Tool, until};
use tests::scenario::drivers;

fn connect(port: u16) -> TcpStream {
    let s = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    s.set_read_timeout(Some(tests::process::PATIENCE)).expect("a socket");
    s
}

fn reset(s: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&s, Some(Duration::ZERO)).expect("a socket");
}

fn echoes(s: &mut TcpStream, text: &[u8]) {
    let mut back = vec![0; text.len()];
    s.write_all(text).and_then(|()| s.read_exact(&mut back)).expect("it echoes");
    assert_eq!(back, text);
}

#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    for driver in drivers() {
        let mut server = Tool::start("echo_server", &["0", "-q", "--max-conns", "500", "--driver", driver]);
        let port = server.port();
        let mut honest = connect(port);
        echoes(&mut honest, b"before");
        let before = server.descriptors();
        for round in 0..10 {
            let storm: Vec<TcpStream> = (0..100).map(|_| connect(port)).collect();
            for (i, mut s) in storm.into_iter().enumerate() {
                if i % 3 > 0 {
                    s.write_all(&[b'x'; 5000]).expect("a socket");
                }
                if i % 2 == 0 { reset(s) } else { drop(s) }
            }
            echoes(&mut honest, format!("round {round}").as_bytes());
        }
        until(&format!("{driver}: descriptors return"), || server.descriptors() <= before);
        echoes(&mut honest, b"after");
        drop(honest);
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn a_client_that_never_reads_costs_little_and_delays_nobody() {
    for driver in drivers() {
        let mut server = Tool::start("echo_server", &["0", "-q", "--max-conns", "100", "--driver", driver]);
        let port = server.port();
        let mut honest = connect(port);
        echoes(&mut honest, b"before");
        let before = server.memory();
        let mut silent: Vec<TcpStream> = (0..20).map(|_| connect(port)).collect();
        for s in &mut silent {
            s.set_nonblocking(true).expect("a socket");
            // Until the server reads no more: its output is full, and both kernels' buffers.
            let mut refused = 0;
            while refused < 5 {
                match s.write(&[b'y'; 65536]) {
                    Ok(n) => refused = usize::from(n == 0),
                    Err(_) => {
                        refused += 1;
                        echoes(&mut honest, b"meanwhile");
                    }
                }
            }
        }
        let each = server.memory().saturating_sub(before) / 20;
        assert!(each <= 256 << 10, "{driver}: {each} bytes for a client that never reads");
        drop(silent);
        echoes(&mut honest, b"after");
        drop(honest);
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn running_out_of_descriptors_pauses_accepting_and_harms_nobody() {
    for driver in drivers() {
        // Descriptors that came open from the parent leave less room than the limit promises.
        let tool = tests::process::tool("echo_server");
        let open = "for i in {20..89}; do eval \"exec $i</dev/null\"; done; ulimit -n 110";
        let script = format!("{open}; exec {} 0 -q --driver {driver} --max-conns 1000", tool.display());
        let mut command = std::process::Command::new("bash");
        command.args(["-c", &script]);
        let mut server = Tool::spawn(command);
        let port = server.port();
        let mut honest = connect(port);
        echoes(&mut honest, b"before");
        let crowd: Vec<TcpStream> = (0..80).map(|_| connect(port)).collect();
        server.note("out of file descriptors");
        echoes(&mut honest, b"while it is full");
        drop(crowd);
        let mut late = connect(port);
        echoes(&mut late, b"it accepts again");
        drop((honest, late));
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn a_byte_that_changes_on_the_way_is_named() {
    for driver in drivers() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port().to_string();
        let args = ["127.0.0.1", &port, "--verify", "--size", "64KiB", "--driver", driver];
        let client = Tool::start("echo_client", &args);
        let (mut s, _) = listener.accept().expect("a client");
        let mut bytes = vec![0; 8192];
        s.read_exact(&mut bytes).expect("a stream");
        let sent = bytes.get(4711).copied().unwrap_or_default();
        let got = sent ^ 0x40;
        bytes.iter_mut().skip(4711).take(1).for_each(|b| *b = got);
        s.write_all(&bytes).expect("a socket");
        let ended = client.wait();
        let text = format!("echo_client: byte 4,711: sent 0x{sent:02x}, got 0x{got:02x}\n");
        assert_eq!((ended.code, ended.stderr), (Some(7), text), "{driver}");
    }
}

#[test]
fn ten_thousand_connections_leave_the_baseline() {
    drivers::listen::raise_descriptors();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let many = 10_000.min(limit.saturating_sub(200) as usize);
    for driver in drivers().into_iter().filter(|d| ["epoll", "io_uring"].contains(d)) {
        let mut server = Tool::start("epoll_echo_server", &["0", "-q", "--driver", driver]);
        let port = server.port();
        let mut honest = connect(port);
        echoes(&mut honest, b"before");
        let descriptors = server.descriptors();
        let mut crowd = || {
            let mut all: Vec<TcpStream> = (0..many).map(|_| connect(port)).collect();
            all.iter_mut().for_each(|s| echoes(s, b"one of many"));
            let full = server.memory();
            drop(all);
            until(&format!("{driver}: descriptors return"), || server.descriptors() <= descriptors);
            echoes(&mut honest, b"meanwhile");
            (full, server.memory())
        };
        // What the first crowd leaves is room for the next one, which must not need more.
        let (full, left) = crowd();
        let (full_again, left_again) = crowd();
        let slack = 1 << 20;
        assert!(full_again <= full + slack, "{driver}: {full} bytes with {many} connections, then {full_again}");
        assert!(left_again <= left + slack, "{driver}: {left} bytes after {many} connections, then {left_again}");
        drop(honest);
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn a_killed_client_leaves_nothing_behind() {
    for driver in drivers() {
        let mut server = Tool::start("echo_server", &["0", "-q", "--max-conns", "200", "--driver", driver]);
        let port = server.port();
        let mut honest = connect(port);
        echoes(&mut honest, b"before");
        let descriptors = server.descriptors();
        for _ in 0..3 {
            let to = port.to_string();
            let client =
                Tool::start("echo_client", &["127.0.0.1", &to, "--verify", "--size", "900GiB", "--conns", "50"]);
            until("all are connected", || server.descriptors() >= descriptors + 50);
            client.signal(rustix::process::Signal::KILL);
            assert_eq!(client.wait().code, None, "killed");
            until(&format!("{driver}: descriptors return"), || server.descriptors() <= descriptors);
            echoes(&mut honest, b"after a kill");
        }
        drop(honest);
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn a_killed_server_starts_again_at_once() {
    let mut port = 0;
    for round in 0..3 {
        let mut server = Tool::start("epoll_echo_server", &[&port.to_string(), "-q"]);
        let bound = server.port();
        assert!(port == 0 || port == bound, "round {round}: {bound} instead of {port}");
        port = bound;
        let mut client = connect(port);
        echoes(&mut client, b"it serves, and its control socket is not in the way");
        server.signal(rustix::process::Signal::KILL);
        assert_eq!(server.wait().code, None, "killed with a client connected");
    }
}
