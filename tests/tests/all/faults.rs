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
