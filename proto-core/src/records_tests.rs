//! A layer in small, for tests and fuzzing: it needs nothing but the contract, which its parent has imported.
use super::{Deadline, Fault, Info, Instant, Layer, Next, Sealed, Tx};
use alloc::{vec, vec::Vec};
use core::time::Duration;

/// A layer in small: both sides say HI, then records of a length byte and up to 16 bytes, XORed with 0x55. A record of
/// length 0 is the goodbye, and a length above 16 is a fault. A record opens only when it is whole.
#[derive(Debug, Default)]
pub struct Records {
    ready: bool,
    closed: bool,
    since: Option<Instant>,
}

/// The largest record's content.
pub const RECORD: usize = 16;

/// A fault of this layer.
pub fn fault(what: &'static str) -> Fault {
    Fault { rule: "records", what, code: 7, offset: 0 }
}

/// One record.
pub fn record(b: &[u8]) -> Vec<u8> {
    core::iter::once(b.len() as u8).chain(b.iter().map(|b| b ^ 0x55)).collect()
}

/// What a peer would send after its hello.
pub fn sealed(plain: &[u8]) -> Vec<u8> {
    plain.chunks(RECORD).flat_map(record).collect()
}

/// What a peer would read, and whether it was a goodbye that ended it.
pub fn opened(wire: &[u8]) -> (Vec<u8>, bool) {
    let (mut rest, mut plain) = (wire.strip_prefix(b"HI").expect("the hello comes first"), vec![]);
    while let [n, more @ ..] = rest {
        let (now, later) = more.split_at(usize::from(*n));
        plain.extend(now.iter().map(|b| b ^ 0x55));
        if *n == 0 {
            assert_eq!(later, b"", "nothing follows the goodbye");
            return (plain, true);
        }
        rest = later;
    }
    (plain, false)
}

impl Layer for Records {
    fn start(&mut self, now: Instant, wire: &mut Tx) {
        self.since = Some(now);
        wire.put(b"HI");
    }
    fn open(
        &mut self,
        _: Instant,
        input: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        wire: &mut Tx,
    ) -> Result<Option<Info>, Fault> {
        if !self.ready {
            if !input.starts_with(b"HI") {
                return if b"HI".starts_with(input) { Ok(None) } else { Err(fault("no hello")) };
            }
            input.drain(..2);
            self.ready = true;
            return Ok(Some(Info { alpn: b"records".to_vec(), ..Info::default() }));
        }
        while let Some(&n) = input.first() {
            let n = usize::from(n);
            if n > RECORD {
                wire.put(b"\xff"); // the alert
                return Err(fault("a record too long"));
            }
            if input.len() <= n {
                break;
            }
            self.closed |= n == 0;
            plain.extend(input.drain(..=n).skip(1).map(|b| b ^ 0x55));
        }
        Ok(None)
    }
    fn seal(&mut self, _: Instant, plain: &mut Tx, wire: &mut Tx) -> Result<Sealed, Fault> {
        if !self.ready {
            return Ok(Sealed::NotReady);
        }
        while wire.room() > 0 {
            match plain.next() {
                Next::Empty => return Ok(Sealed::All),
                Next::File { file, offset, len } => {
                    return Ok(Sealed::NeedFile { file, offset, len: len.min(20) as u32 });
                }
                Next::Bytes => {
                    let piece: Vec<u8> = plain.chunks().flatten().copied().take(RECORD).collect();
                    plain.consume(piece.len(), None);
                    wire.put(&record(&piece));
                }
            }
        }
        Ok(Sealed::WireFull)
    }
    fn end_of_input(&mut self, _: &mut Tx) -> Result<(), Fault> {
        if self.closed { Ok(()) } else { Err(fault("cut short")) }
    }
    fn is_ended(&self) -> bool {
        self.closed
    }
    fn close(&mut self, wire: &mut Tx) {
        wire.put(&[0]);
    }
    fn deadline(&self) -> Option<Deadline> {
        let since = self.since.filter(|_| !self.ready)?;
        Some(Deadline::new(since, Duration::from_secs(10), "hello"))
    }
    fn on_deadline(&mut self, _: Instant, _: &mut Tx) -> Result<(), Fault> {
        Err(fault("no hello in time"))
    }
}
