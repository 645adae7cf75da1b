//! The life of a server on every driver: signals, a closed standard output, the ends of what a driver can hold.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use tests::process::{PATIENCE, Tool, until};
use tests::scenario::drivers;

const SERVERS: [&str; 3] = ["echo_server", "chat_server", "epoll_echo_server"];

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let s = TcpStream::connect(("127.0.0.1", port))?;
    s.set_read_timeout(Some(PATIENCE))?;
    Ok(s)
}

#[test]
fn a_second_interrupt_stops_at_once() {
    for driver in drivers() {
        for name in SERVERS {
            let mut server = Tool::start(name, &["0", "-q", "--max-conns", "10", "--drain", "1h", "--driver", driver]);
            let port = server.port();
            let mut client = connect(port).expect("it listens");
            // It never reads, and so cannot be said goodbye to; that it is a client is known when it is answered.
            client.set_nonblocking(true).expect("a socket");
            while client.write(b"/help\n").is_err() {}
            until("it is served", || client.peek(&mut [0]).is_ok());
            server.signal(rustix::process::Signal::INT);
            // The first stops accepting; the client, which does not close, is waited for.
            until("accepting has stopped", || TcpStream::connect(("127.0.0.1", port)).is_err());
            server.signal(rustix::process::Signal::INT);
            assert_eq!(server.wait().code, Some(0), "{name} on {driver}");
        }
    }
}

#[test]
fn a_closed_standard_output_does_not_stop_a_server() {
    for driver in drivers() {
        for (name, say, hear) in
            [("echo_server", "hello\n", "hello\n"), ("chat_server", "/nick A\n", "* You are now known as A\n")]
        {
            let mut command = std::process::Command::new(tests::process::tool(name));
            command.args(["0", "--listen", "127.0.0.1:0", "--driver", driver]);
            let mut child = command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("starts");
            let mut stdout = BufReader::with_capacity(1, child.stdout.take().expect("stdout"));
            let mut banner = String::new();
            stdout.read_line(&mut banner).expect("a banner");
            drop(stdout);
            let port: String = banner.chars().filter(char::is_ascii_digit).collect();
            for _ in 0..3 {
                let mut s = connect(port.parse().expect("a port")).expect("it lives");
                let mut back = vec![0; hear.len()];
                s.write_all(say.as_bytes()).and_then(|()| s.read_exact(&mut back)).expect("it answers");
                assert_eq!(String::from_utf8_lossy(&back), hear, "{name} on {driver}");
                s.shutdown(std::net::Shutdown::Write).and_then(|()| s.read(&mut [0])).expect("it ends");
            }
            child.kill().and_then(|()| child.wait()).expect("it ran");
        }
    }
}

#[test]
fn a_closed_standard_output_ends_a_client() {
    for driver in drivers() {
        let mut server = Tool::start("echo_server", &["0", "-q", "--driver", driver]);
        let port = server.port().to_string();
        let script = format!(
            "{} 127.0.0.1 {port} --driver {driver} | head -n1; echo ${{PIPESTATUS[0]}}",
            tests::process::tool("echo_client").display()
        );
        let mut command = std::process::Command::new("bash");
        command.args(["-c", &script]);
        let mut client = Tool::spawn(command);
        assert_eq!(client.line(), format!("Connected to 127.0.0.1:{port}"));
        // head is gone; what is shown next finds nobody.
        until("the client has ended", || {
            let _ = client.try_type_in("x\n"); // it ends in the midst of this
            client.has_line()
        });
        assert_eq!(client.line(), "0", "{driver}");
        drop(client);
        assert_eq!(server.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn select_says_when_it_is_full_and_serves_on() {
    drivers::listen::raise_descriptors();
    let (mut server, _dir) = Tool::controlled("chat_server", &["0", "--driver", "select", "--max-conns", "5000"]);
    let port = server.port();
    let mut crowd = Vec::new();
    let refusal = loop {
        let mut s = connect(port).expect("it listens");
        s.write_all(b"/nick a-b-c\n/help\n").expect("a socket");
        let mut line = String::new();
        let mut reader = BufReader::new(s);
        reader.read_line(&mut line).expect("an answer");
        if line.starts_with("! server is full") {
            assert_eq!(reader.read_line(&mut String::new()).ok(), Some(0), "and closes");
            break line;
        }
        crowd.push(reader);
        assert!(crowd.len() < 1024, "more than FD_SETSIZE");
    };
    assert_eq!(refusal, format!("! server is full (limit {})\n", crowd.len()));
    assert!(crowd.len() > 900, "{} is far from FD_SETSIZE", crowd.len());
    let said = (0..).map(|_| server.line()).find(|l| l.contains("refused")).expect("endless");
    assert!(
        said.ends_with(&format!("server is full (limit {}); --driver poll has room for more", crowd.len())),
        "{said}"
    );
    // Those who are in are served, and when one goes there is room again.
    let last = crowd.last_mut().expect("a crowd");
    last.get_mut().write_all(b"/foo\n").expect("a socket");
    let mut line = String::new();
    while !line.contains("/foo") {
        line.clear();
        assert_ne!(last.read_line(&mut line).expect("an answer"), 0);
    }
    drop(crowd.pop());
    until("there is room again", || {
        let mut s = connect(port).expect("it listens");
        let mut answer = [0; 1];
        let asked = s.write_all(b"/nick Late\n").and_then(|()| s.read_exact(&mut answer));
        asked.is_ok() && &answer == b"*"
    });
    drop(crowd);
    assert_eq!(server.stop().code, Some(0));
}
