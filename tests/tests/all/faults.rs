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
        echoes(&mut honest, b"while it is full");
        drop(crowd);
        let mut late = connect(port);
        echoes(&mut late, b"it accepts again");
        drop((honest, late));
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{driver}");
        assert!(ended.stderr.contains("out of file descriptors"), "{driver}: {}", ended.stderr);
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
