//! Two layers back to back: what one writes the other reads, cut as a test likes.
use crate::certs::{Ca, Made, NOW_NS, client, server};
use proto_core::tls::{ClientAuth, ClientSetup, Common, Peers, ServerSetup};
use proto_core::{Fault, Grounds, Info, Instant, Layer, Sealed, Tx, Wall};

/// One side.
pub struct End {
    /// The layer.
    pub layer: Box<dyn Layer>,
    /// What it has put for the other side.
    pub wire: Tx,
    /// What is to be sealed.
    pub out: Tx,
    input: Vec<u8>,
    /// What was opened.
    pub plain: Vec<u8>,
    /// What it learned, when it was ready.
    pub info: Option<Info>,
    /// How it failed.
    pub fault: Option<Fault>,
    /// It is to say goodbye after its output.
    pub closing: bool,
    closed: bool,
}

/// The time of tests.
pub const NOW: Instant = Instant::from_nanos(1_000_000_000);
/// The time of day of tests.
pub const WALL: Wall = Wall { unix_ns: NOW_NS, utc_offset_s: 0 };

impl End {
    /// A side whose wire takes `limit` bytes at once.
    pub fn new(mut layer: Box<dyn Layer>, limit: usize) -> End {
        let mut wire = Tx::with_limit(limit);
        layer.tell_time(WALL);
        layer.start(NOW, &mut wire);
        let (input, plain) = (Vec::new(), Vec::new());
        let out = Tx::default();
        End { layer, wire, out, input, plain, info: None, fault: None, closing: false, closed: false }
    }
    /// Takes bytes of the wire.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.layer.tell_time(WALL);
        while self.fault.is_none() {
            match self.layer.open(NOW, &mut self.input, &mut self.plain, &mut self.wire) {
                Ok(None) => break,
                Ok(Some(info)) => assert!(self.info.replace(info).is_none(), "ready once"),
                Err(fault) => self.fault = Some(fault),
            }
        }
    }
    /// Seals what there is room for.
    pub fn seal(&mut self) {
        while self.fault.is_none() && !self.out.is_empty() && self.wire.room() > 0 {
            let (before, wire) = (self.out.len(), self.wire.len());
            match self.layer.seal(NOW, &mut self.out, &mut self.wire) {
                Ok(Sealed::NeedFile { .. }) => panic!("no files here"),
                Ok(_) if self.out.len() == before => break,
                Ok(_) => assert!(self.wire.len() - wire >= before - self.out.len(), "never shorter than what it takes"),
                Err(fault) => self.fault = Some(fault),
            }
        }
        if self.closing && self.out.is_empty() && self.info.is_some() && !self.closed {
            self.closed = true;
            self.layer.close(&mut self.wire);
        }
    }
    /// Takes up to `n` bytes off the wire.
    pub fn send(&mut self, n: usize) -> Vec<u8> {
        let bytes: Vec<u8> = self.wire.chunks().flatten().copied().take(n).collect();
        self.wire.consume(bytes.len(), None);
        bytes
    }
    /// Why it failed, in words.
    pub fn grounds(&self) -> Option<&Grounds> {
        self.layer.grounds()
    }
    /// The first defect's text.
    pub fn reason(&self) -> Option<&str> {
        self.grounds().and_then(|g| g.defects.first()).map(|d| d.reason.as_str())
    }
}

/// A client and a server.
pub struct Pair {
    /// The client.
    pub client: End,
    /// The server.
    pub server: End,
}

impl Pair {
    /// Both begin.
    pub fn new(client: &ClientSetup, server: &ServerSetup, name: &str, limit: usize) -> Pair {
        let client = End::new(client.layer(name).expect("a name"), limit);
        Pair { client, server: End::new(server.layer().expect("a layer"), limit) }
    }
    /// Moves bytes both ways, `portion` at a time, until nothing moves.
    pub fn run(&mut self, mut portion: impl FnMut() -> usize) {
        loop {
            let mut moved = false;
            for turn in [true, false] {
                let (from, to) = match turn {
                    true => (&mut self.client, &mut self.server),
                    false => (&mut self.server, &mut self.client),
                };
                from.seal();
                let bytes = from.send(portion());
                moved |= !bytes.is_empty();
                if !bytes.is_empty() {
                    to.feed(&bytes);
                }
            }
            if !moved {
                return;
            }
        }
    }
}

/// A small world of certificates.
pub struct World {
    /// Who signs.
    pub ca: Ca,
    /// Of `localhost`.
    pub server: Made,
    /// Of Alice.
    pub alice: Made,
}

impl Default for World {
    fn default() -> Self {
        let ca = Ca::named("My Chat CA");
        let server = ca.sign(server(&["localhost", "127.0.0.1", "::1"]));
        World { server, alice: ca.sign(client("alice@example.com")), ca }
    }
}

impl World {
    /// What a server of this world has.
    pub fn of_server(&self) -> Common {
        Common { identity: Some(self.server.identity(&[])), resume: true, ..Common::default() }
    }
    /// A server that asks nobody.
    pub fn server_setup(&self) -> ServerSetup {
        ServerSetup::new(self.of_server(), ClientAuth::No).expect("a setup")
    }
    /// A client that believes the CA.
    pub fn client_setup(&self) -> ClientSetup {
        ClientSetup::new(Common { resume: true, ..Common::default() }, self.peers()).expect("a setup")
    }
    /// Believing the CA.
    pub fn peers(&self) -> Peers {
        Peers { roots: Some(self.ca.made.root()), ..Peers::default() }
    }
}
