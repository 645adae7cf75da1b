//! A process at its limit of descriptors.
use super::world::Troubled;
use super::{Seen, start};
use drivers::Kind;
use proto_core::Reason;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::net::UdpSocket;

/// Lowers the limit and uses up what is left, until it is dropped.
struct Full {
    before: Rlimit,
    _files: Vec<File>,
}

impl Full {
    fn new() -> Full {
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(300), maximum: before.maximum }).unwrap();
        let mut files = Vec::new();
        while let Ok(f) = File::open("/dev/null") {
            files.push(f);
        }
        assert!(!files.is_empty());
        Full { before, _files: files }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = setrlimit(Resource::Nofile, self.before);
    }
}

/// Out of descriptors, accepting pauses and the app is told; later it goes on, and nobody was lost.
pub fn accepting_pauses_without_descriptors(kind: Kind) {
    let run = start(kind, |tell| Troubled { tell, listeners: Vec::new() });
    let Seen::Bound(at) = run.next() else { panic!("a datagram socket") };
    let us = UdpSocket::bind("127.0.0.1:0").unwrap();
    let clients: Vec<_> = (0..3).map(|_| run.connect()).collect();
    let full = Full::new();
    us.send_to(b"go", at).unwrap();
    for _ in 0..3 {
        assert_eq!(run.next(), Seen::Trouble(Reason::Descriptors), "each pause is told");
    }
    drop(full);
    for _ in 0..clients.len() {
        assert_eq!(run.until(|s| !matches!(s, Seen::Trouble(_))), Seen::Accepted);
    }
    run.end();
}
