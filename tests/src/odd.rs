//! A server that does what a script says, byte by byte, and remembers what it was asked.
use crate::process::PATIENCE;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// One thing that it does with a connection. At the end of its steps a connection is closed.
#[derive(Clone, Debug)]
pub enum Do {
    /// Reads a request, with a body of the length it announces.
    Read,
    /// Reads only the head of one.
    Head,
    /// Reads what comes first, whatever it is.
    Hello,
    /// Sends.
    Say(Vec<u8>),
    /// Sends one byte at a time.
    Drip(Vec<u8>),
    /// Reads until the client closes; half-closed from our side before, if asked.
    Linger,
    /// Closes with RST.
    Reset,
}

/// See the module.
#[derive(Debug)]
pub struct Odd {
    /// Where it listens.
    pub port: u16,
    heard: Receiver<Vec<u8>>,
}

impl Odd {
    /// Serves one connection per script, in this order.
    pub fn start(scripts: Vec<Vec<Do>>) -> Odd {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            for script in scripts {
                let Ok((mut s, _)) = listener.accept() else { return };
                s.set_nodelay(true).and_then(|()| s.set_read_timeout(Some(PATIENCE))).expect("a socket");
                for step in script {
                    match step {
                        Do::Read | Do::Head => {
                            let request = read(&mut s, matches!(step, Do::Read));
                            let _ = tell.send(request); // the test may have heard enough
                        }
                        Do::Hello => {
                            let _ = s.read(&mut [0; 4096]); // the client may have gone
                        }
                        Do::Say(bytes) => {
                            let _ = s.write_all(&bytes); // the client may have gone
                        }
                        Do::Drip(bytes) => {
                            for b in bytes {
                                let _ = s.write_all(&[b]);
                            }
                        }
                        Do::Linger => {
                            let mut rest = [0; 4096];
                            while s.read(&mut rest).is_ok_and(|n| n > 0) {}
                        }
                        Do::Reset => {
                            let _ = rustix::net::sockopt::set_socket_linger(&s, Some(Duration::ZERO));
                        }
                    }
                }
            }
        });
        Odd { port, heard }
    }
    /// One connection, one request, one answer.
    pub fn once(answer: impl Into<Vec<u8>>) -> Odd {
        Odd::start(vec![vec![Do::Read, Do::Say(answer.into())]])
    }
    /// The next request it has read.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.recv_timeout(PATIENCE).expect("a request")).into_owned()
    }
    /// It has read no other request, and will not: all scripts are over.
    pub fn is_silent(&self) -> bool {
        self.heard.recv_timeout(PATIENCE).is_err()
    }
    /// Its URL with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn read(s: &mut TcpStream, with_body: bool) -> Vec<u8> {
    let mut got = Vec::new();
    let mut piece = [0; 65_536];
    loop {
        let head = got.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&got[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            if !with_body || got.len() >= head + length.unwrap_or(0) {
                return got;
            }
        }
        match s.read(&mut piece) {
            Ok(n @ 1..) => got.extend_from_slice(&piece[..n]),
            _ => return got,
        }
    }
}
