//! Looks at the records of a handshake as they pass, as a layer beneath TLS: what came and went, how large, and when.
use core::fmt;
use proto_core::{Fault, Info, Instant, Layer, Sealed, Tx};
use std::sync::{Arc, Mutex, PoisonError};

/// Lines that are kept of one connection.
const LINES: usize = 64;
/// The header of a record (RFC 8446 5.1).
const HEADER: usize = 5;

/// Something that passed.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Passed {
    at: Instant,
    out: bool,
    what: &'static str,
    len: usize,
}

/// What the taps of a run have seen, of the last connection.
#[derive(Clone, Debug, Default)]
pub struct Log {
    all: Arc<Mutex<(Instant, Vec<Passed>)>>,
}

impl Log {
    /// The lines so far; they are not told again. Each says how long after the one before it came, and so who was waited for.
    pub fn take(&self) -> Vec<String> {
        let mut guard = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, all) = (guard.0, core::mem::take(&mut guard.1));
        let mut before = start;
        let line = |p: Passed| {
            let waited = core::mem::replace(&mut before, p.at);
            Line { ms: p.at.since(start).as_secs_f64() * 1e3, after: p.at.since(waited).as_secs_f64() * 1e3, passed: p }
                .to_string()
        };
        all.into_iter().map(line).collect()
    }
    fn note(&self, p: Passed) {
        let mut guard = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.1.len() < LINES {
            guard.1.push(p);
        }
    }
    fn begin(&self, now: Instant) {
        *self.all.lock().unwrap_or_else(PoisonError::into_inner) = (now, Vec::new());
    }
}

struct Line {
    ms: f64,
    after: f64,
    passed: Passed,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Passed { out, what, len, .. } = self.passed;
        let (arrow, who) = if out { (">", "this side") } else { ("<", "the server") };
        write!(f, "* {:8.1} ms {arrow} {what}, {len} bytes", self.ms)?;
        if self.after >= 0.05 { write!(f, " (waited {:.1} ms for {who})", self.after) } else { Ok(()) }
    }
}

/// One direction: where in a record it is.
#[derive(Debug, Default)]
struct Flow {
    head: Vec<u8>,
    /// Bytes of the record's body that are to come.
    left: usize,
    /// Bytes of a handshake message that are to come; its head so far.
    message: usize,
    begun: Vec<u8>,
    /// ChangeCipherSpec has passed: handshake records are sealed from here on, or in TLS 1.3 (whose sealed records are of
    /// another kind) that meant nothing.
    sealed: bool,
    /// The length of a record of which that is not known yet.
    doubt: usize,
}

impl Flow {
    fn pass(&mut self, bytes: &[u8], mut note: impl FnMut(&'static str, usize)) {
        for b in bytes {
            if self.left == 0 {
                self.head.push(*b);
                if let [kind, _, _, high, low] = self.head[..] {
                    self.left = usize::from(high) << 8 | usize::from(low);
                    let what = match kind {
                        20 => "ChangeCipherSpec",
                        21 => "Alert",
                        23 => "Sealed record",
                        _ => "not a record of TLS",
                    };
                    self.sealed |= kind == 20;
                    if kind != 22 {
                        note(what, self.left + HEADER);
                    } else if self.sealed {
                        self.doubt = self.left;
                    }
                    // The body of a handshake record is looked at; of the rest it only passes.
                    self.head.truncate(usize::from(kind == 22));
                    if self.left == 0 {
                        self.head.clear();
                    }
                }
                continue;
            }
            self.left -= 1;
            match (self.head.len(), self.doubt) {
                (1, 0) => self.handshake(*b, &mut note),
                (1, len) => self.decide(*b, len, &mut note),
                _ => {}
            }
            if self.left == 0 {
                self.head.clear();
            }
        }
    }
    /// A record is sealed unless it is just one message.
    fn decide(&mut self, b: u8, len: usize, note: &mut impl FnMut(&'static str, usize)) {
        self.begun.push(b);
        if self.begun.len() < 4 && self.left > 0 {
            return;
        }
        match self.begun[..] {
            [kind @ 1..=2, a, b, c] if [a, b, c].iter().fold(0, |n, b| n << 8 | usize::from(*b)) + 4 == len => {
                note(name(kind), len);
            }
            _ => note("Handshake, sealed", len + HEADER),
        }
        self.begun.clear();
        self.head.clear(); // the rest of it only passes
        self.doubt = 0;
    }
    /// A byte of handshake messages, which may be several in a record or one in several.
    fn handshake(&mut self, b: u8, note: &mut impl FnMut(&'static str, usize)) {
        if self.message > 0 {
            self.message -= 1;
            return;
        }
        self.begun.push(b);
        let [kind, a, b, c] = self.begun[..] else { return };
        self.message = [a, b, c].iter().fold(0, |n, b| n << 8 | usize::from(*b));
        self.begun.clear();
        note(name(kind), self.message + 4);
    }
}

/// A message of the handshake by its number (RFC 8446 B.3).
fn name(kind: u8) -> &'static str {
    match kind {
        0 => "HelloRequest",
        1 => "ClientHello",
        2 => "ServerHello",
        4 => "NewSessionTicket",
        8 => "EncryptedExtensions",
        11 => "Certificate",
        12 => "ServerKeyExchange",
        13 => "CertificateRequest",
        14 => "ServerHelloDone",
        15 => "CertificateVerify",
        16 => "ClientKeyExchange",
        20 => "Finished",
        22 => "CertificateStatus",
        _ => "unknown message",
    }
}

/// See the module.
#[derive(Debug)]
pub struct Tap {
    log: Log,
    flows: [Flow; 2],
    told: bool,
}

impl Tap {
    /// Writes into this log.
    pub fn new(log: Log) -> Self {
        Tap { log, flows: Default::default(), told: false }
    }
    fn see(&mut self, out: bool, bytes: &[u8], at: Instant) {
        let log = &self.log;
        if let Some(flow) = self.flows.get_mut(usize::from(out)) {
            flow.pass(bytes, |what, len| log.note(Passed { at, out, what, len }));
        }
    }
}

impl Layer for Tap {
    fn start(&mut self, now: Instant, _: &mut Tx) {
        self.log.begin(now);
    }
    fn open(
        &mut self,
        now: Instant,
        input: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        _: &mut Tx,
    ) -> Result<Option<Info>, Fault> {
        self.see(false, input, now);
        plain.append(input);
        let ready = !core::mem::replace(&mut self.told, true);
        Ok(ready.then(Info::default))
    }
    fn seal(&mut self, now: Instant, plain: &mut Tx, wire: &mut Tx) -> Result<Sealed, Fault> {
        let room = wire.room();
        let seen: Vec<u8> = plain.chunks().flatten().copied().take(room).collect();
        let moved = wire.append(plain, room);
        self.see(true, seen.get(..moved).unwrap_or_default(), now);
        Ok(if plain.is_empty() { Sealed::All } else { Sealed::WireFull })
    }
    fn end_of_input(&mut self, _: &mut Tx) -> Result<(), Fault> {
        Ok(())
    }
    fn close(&mut self, _: &mut Tx) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bytes: &[u8], cut: usize) -> Vec<(&'static str, usize)> {
        let (mut flow, mut all) = (Flow::default(), Vec::new());
        for part in [&bytes[..cut], &bytes[cut..]] {
            flow.pass(part, |what, len| all.push((what, len)));
        }
        all
    }

    #[test]
    fn records_and_messages_at_every_cut() {
        let record = |kind: u8, body: &[u8]| [&[kind, 3, 3, 0, body.len() as u8][..], body].concat();
        let message = |kind: u8, len: u8| [&[kind, 0, 0, len][..], &vec![9; len.into()]].concat();
        let certificate = message(11, 20);
        let bytes = [
            record(22, &[message(2, 7), certificate[..10].to_vec()].concat()),
            record(22, &[&certificate[10..], &message(14, 0)].concat()),
            record(22, &[]),
            record(20, &[1]),
            record(22, &[7; 40]),
            record(23, &[7; 50]),
            record(21, &[1, 0]),
            record(22, &message(1, 9)),
            record(22, &[1, 0]),
        ]
        .concat();
        let want = [
            ("ServerHello", 11),
            ("Certificate", 24),
            ("ServerHelloDone", 4),
            ("ChangeCipherSpec", 6),
            ("Handshake, sealed", 45),
            ("Sealed record", 55),
            ("Alert", 7),
            ("ClientHello", 13),
            ("Handshake, sealed", 7),
        ];
        for cut in 0..=bytes.len() {
            assert_eq!(seen(&bytes, cut), want, "{cut}");
        }
        assert_eq!(seen(b"HTTP/1.1 400 Bad", 3)[0].0, "not a record of TLS");
    }

    #[test]
    fn lines_say_who_was_waited_for() {
        let log = Log::default();
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        log.begin(at(5));
        let passed = |ms, out, what, len| Passed { at: at(ms), out, what, len };
        log.note(passed(5, true, "ClientHello", 200));
        log.note(passed(25, false, "ServerHello", 90));
        let want = [
            "*      0.0 ms > ClientHello, 200 bytes",
            "*     20.0 ms < ServerHello, 90 bytes (waited 20.0 ms for the server)",
        ];
        assert_eq!(log.take(), want);
        assert!(log.take().is_empty());
        for _ in 0..2 * LINES {
            log.note(passed(5, true, "ClientHello", 200));
        }
        assert_eq!(log.take().len(), LINES, "a server cannot make it longer");
    }
}
