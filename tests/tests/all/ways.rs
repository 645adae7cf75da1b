//! Other ways in than one loop and a port: Unix sockets, standard streams that are pipes, several loops, on every driver.
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use tests::process::{PATIENCE, RuntimeDir, Tool, tool, until};
use tests::scenario::drivers;

/// More than pipes and sockets hold, so that every part has to wait for the next.
fn much() -> Vec<u8> {
    (0..6_100_000u32)
        .map(|i| if i % 61 == 60 { b'\n' } else { b'a' + (i.wrapping_mul(2_654_435_761) >> 28) as u8 })
        .collect()
}

#[test]
fn bytes_pass_standard_streams_and_a_unix_socket() {
    let bytes = much();
    let dir = RuntimeDir::new();
    for driver in drivers() {
        let path = dir.0.join(driver);
        let path = path.to_str().expect("a name");
        let at = format!("unix:{path}");
        let mut server = Tool::start("echo_server", &["--listen", &at, "--max-conns", "10", "--driver", driver]);
        let banner = server.line();
        assert!(banner.contains("unix"), "{driver}: {banner}");
        let descriptors = server.descriptors();
        for _ in 0..2 {
            let mut client = Command::new(tool("echo_client"));
            client.args([path, "--unix", "-q", "--driver", driver]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut client = client.spawn().expect("it starts");
            let mut stdin = client.stdin.take().expect("a pipe");
            std::thread::scope(|s| {
                s.spawn(move || stdin.write_all(&much()).expect("it reads"));
                let out = client.wait_with_output().expect("it ends");
                assert_eq!(out.status.code(), Some(0), "{driver}");
                assert!(out.stdout == bytes, "{driver}: {} of {} bytes", out.stdout.len(), bytes.len());
            });
        }
        until(&format!("{driver}: descriptors return"), || server.descriptors() <= descriptors);
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

fn connect(port: u16) -> TcpStream {
    let s = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    s.set_read_timeout(Some(PATIENCE)).expect("a socket");
    s
}

const CLIENTS: usize = 40;

/// Three loops, each with clients; what they did is recorded and can be done again.
#[test]
fn several_loops_share_the_clients() {
    let dir = RuntimeDir::new();
    for driver in drivers() {
        let record = dir.0.join(format!("{driver}.rec"));
        let record = record.to_str().expect("a name");
        let args = ["0", "-q", "--threads", "3", "--http", "off", "--record", record, "--driver", driver];
        let mut server = Tool::start("epoll_echo_server", &args);
        let port = server.port();
        let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(port)).collect();
        for round in 0..5 {
            for (i, c) in clients.iter_mut().enumerate() {
                let text = format!("round {round} of client {i}");
                let mut back = vec![0; text.len()];
                c.write_all(text.as_bytes()).and_then(|()| c.read_exact(&mut back)).expect("it echoes");
                assert_eq!(back, text.as_bytes(), "{driver}");
            }
        }
        let descriptors = server.descriptors() - CLIENTS; // all loops have begun by now
        for mut c in clients {
            c.shutdown(Shutdown::Write).expect("a socket");
            assert_eq!(c.read(&mut [0]).expect("it ends"), 0, "{driver}");
        }
        until(&format!("{driver}: descriptors return"), || server.descriptors() <= descriptors);
        assert_eq!(server.stop().code, Some(0), "{driver}");
        let again = Tool::start("replay", &[record]).wait();
        assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{driver}: {}", again.stdout);
        assert!(again.stdout.contains(": same output") || again.stdout.contains("same output,"), "{}", again.stdout);
        std::fs::remove_file(format!("{record}.2")).expect("each loop has its own");
        let again = Tool::start("replay", &[record]).wait();
        assert_eq!(again.code, Some(2), "the control: {}", again.stdout);
    }
}
