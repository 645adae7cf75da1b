//! A server of TLS on a port, in the test's process: it shows what it is given to show, and ends as it is told.
use crate::process::PATIENCE;
use crate::tls::End;
use proto_core::tls::ServerSetup;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

/// How it ends a connection after its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With a record that nobody has sealed.
    Garbage,
    /// With close_notify.
    Goodbye,
    /// Without.
    Cut,
    /// It waits for the client to end it.
    Never,
}

/// See the module. It lives as long as the process.
#[derive(Debug)]
pub struct Secure {
    /// Where it listens.
    pub port: u16,
}

impl Secure {
    /// Answers every request of every connection, one connection after the other; with `ending` after the first answer.
    pub fn start(setup: ServerSetup, answer: impl Into<Vec<u8>>, ending: Ending) -> Secure {
        Secure::after(&[], setup, answer, ending)
    }
    /// The same after something in clear: it says the first of `words`, and each further one when it has heard a line.
    pub fn after(words: &[&str], setup: ServerSetup, answer: impl Into<Vec<u8>>, ending: Ending) -> Secure {
        let words: Vec<Vec<u8>> = words.iter().map(|w| w.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let answer = answer.into();
        std::thread::spawn(move || {
            for s in listener.incoming().flatten() {
                serve(s, &words, &setup, &answer, ending);
            }
        });
        Secure { port }
    }
}

fn serve(mut s: TcpStream, words: &[Vec<u8>], setup: &ServerSetup, answer: &[u8], ending: Ending) {
    let Ok(()) = s.set_read_timeout(Some(PATIENCE)) else { return };
    for (i, word) in words.iter().enumerate() {
        let mut line = [0];
        while i > 0 && s.read(&mut line).is_ok_and(|n| n > 0) && line != *b"\n" {}
        let _ = s.write_all(word); // the client may have gone
    }
    let mut end = End::new(setup.layer().expect("a layer"), 1 << 20);
    let (mut piece, mut answered) = ([0; 16_384], false);
    loop {
        if end.plain.windows(4).any(|w| w == b"\r\n\r\n") {
            end.plain.clear();
            end.out.put(answer);
            answered = true;
            end.closing = ending == Ending::Goodbye;
        }
        end.seal();
        let bytes = end.send(usize::MAX);
        if s.write_all(&bytes).is_err() || end.fault.is_some() || answered && ending != Ending::Never {
            break;
        }
        match s.read(&mut piece) {
            Ok(n @ 1..) => end.feed(&piece[..n]),
            _ => break,
        }
    }
    if answered && ending == Ending::Garbage {
        let _ = s.write_all(&[&[0x17, 3, 3, 0, 0x20][..], &[7; 32]].concat()); // the client may have gone
    }
    // What the client still says is read, so that it hears the last words and no reset.
    let _ = s.shutdown(Shutdown::Write);
    while s.read(&mut piece).is_ok_and(|n| n > 0) {}
}
