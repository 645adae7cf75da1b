//! A body that goes out: the app puts it into a [`Tx`], and it is framed as room appears.
use super::write::{DIGITS, Role, Writer, check, digits};
use crate::{Fault, Misuse, Tx};
use alloc::{boxed::Box, vec::Vec};

/// How the end of a body that we send is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// There is no body.
    None,
    /// It has this many bytes.
    Known(u64),
    /// Chunk by chunk. To a client of HTTP/1.0, which does not know chunks: with the connection.
    Chunked,
    /// With the connection. Answers only.
    UntilClose,
}

/// Content of the largest chunk. So much may be put beyond the room there is.
const CHUNK: usize = 16 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Mode {
    /// Nothing is being sent.
    #[default]
    Over,
    /// There is nothing to send, but what is put is dropped and not an error: the answer to HEAD, 204, 304.
    Mute,
    Known(u64),
    Chunked,
    UntilClose,
}

/// The body that is being sent.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    mode: Mode,
    /// What the app has put and we have not framed. Only there once it was asked for.
    body: Option<Box<Tx>>,
    trailers: Vec<u8>,
    /// The app's length was wrong.
    wrong: Option<&'static str>,
}

const TOO_LONG: &str = "more of a body was put than was announced";
const TOO_SHORT: &str = "less of a body was put than was announced";

impl Outgoing {
    /// Begins a body; `mute` if its content must not be sent.
    pub(crate) fn begin(&mut self, length: Length, mute: bool) {
        debug_assert!(self.is_over());
        self.end();
        self.mode = match length {
            _ if mute => Mode::Mute,
            Length::None | Length::Known(0) => Mode::Over,
            Length::Known(n) => Mode::Known(n),
            Length::Chunked => Mode::Chunked,
            Length::UntilClose => Mode::UntilClose,
        };
    }
    /// All was framed.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.mode, Mode::Over | Mode::Mute)
    }
    /// Stops without an end: the connection cannot be used any more.
    pub(crate) fn abandon(&mut self) {
        *self = Outgoing::default();
    }
    /// What came of a wrong length, once.
    pub(crate) fn fault(&mut self) -> Option<Fault> {
        let what = self.wrong.take()?;
        Some(Fault { rule: "RFC 9112 6.2", what, code: 0, offset: 0 })
    }
    /// Where the app puts the body, to be framed by [`Outgoing::fill`]. `Tx::finish` ends it.
    pub(crate) fn body(&mut self) -> Option<&mut Tx> {
        (self.mode != Mode::Over).then(|| &mut **self.body.get_or_insert_default())
    }
    /// Bytes that wait to be framed.
    pub(crate) fn queued(&self) -> usize {
        self.body.as_ref().map_or(0, |b| b.len())
    }
    fn is_finished(&self) -> bool {
        self.body.as_ref().is_some_and(|b| b.is_finished())
    }
    /// Sends `len` bytes that `put` puts, as one piece and whatever room there is, behind what was put before.
    pub(crate) fn push(&mut self, tx: &mut Tx, len: u64, put: impl FnOnce(&mut Tx)) -> Result<(), Misuse> {
        let left = match self.mode {
            Mode::Over => return Err(Misuse("there is no body to put into")),
            Mode::Mute => return Ok(()),
            Mode::Known(left) => left,
            Mode::Chunked | Mode::UntilClose => u64::MAX,
        };
        if self.is_finished() {
            return Err(Misuse("the body has ended"));
        }
        if (self.queued() as u64).saturating_add(len) > left {
            return Err(Misuse(TOO_LONG));
        }
        if len == 0 {
            return Ok(());
        }
        match (&mut self.body, &mut self.mode) {
            (Some(body), _) if !body.is_empty() => put(body),
            (_, Mode::Known(left)) => {
                *left -= len;
                put(tx);
                if *left == 0 {
                    self.end();
                }
            }
            (_, Mode::Chunked) => {
                size_line(len, tx);
                put(tx);
                tx.put(b"\r\n");
            }
            _ => put(tx),
        }
        Ok(())
    }
    /// Sends `bytes`, behind what was put before.
    pub(crate) fn put(&mut self, tx: &mut Tx, bytes: &[u8]) -> Result<(), Misuse> {
        // A chunk of a moderate size suits a receiver that handles whole chunks.
        let pieces = if self.mode == Mode::Chunked { CHUNK } else { bytes.len().max(1) };
        if bytes.is_empty() {
            return self.push(tx, 0, |_| {});
        }
        bytes.chunks(pieces).try_for_each(|piece| self.push(tx, piece.len() as u64, |to| to.put(piece)))
    }
    /// Ends the body, with trailers if it is chunked (elsewhere there is no place for them, and they are left out).
    pub(crate) fn finish(&mut self, tx: &mut Tx, trailers: &[(&str, &[u8])]) -> Result<(), Misuse> {
        let size = check(trailers, Role::Trailers)?;
        match self.mode {
            Mode::Over => return Err(Misuse("there is no body to end")),
            Mode::Mute => return Ok(()),
            Mode::Known(left) if self.queued() as u64 != left => {
                return Err(Misuse(TOO_SHORT));
            }
            _ if self.is_finished() => return Err(Misuse("the body has ended")),
            Mode::Chunked if size > 0 => {
                self.trailers.resize(size, 0);
                let mut w = Writer::new(&mut self.trailers);
                trailers.iter().for_each(|(name, value)| w.field(name, value));
            }
            _ => {}
        }
        self.body.get_or_insert_default().finish();
        self.fill(tx);
        Ok(())
    }
    /// Frames what was put, as far as `tx` has room.
    pub(crate) fn fill(&mut self, tx: &mut Tx) {
        let Some(body) = &mut self.body else { return };
        match &mut self.mode {
            Mode::Known(left) => {
                while !body.is_empty() && *left > 0 && tx.room() > 0 {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(tx.room());
                    *left -= tx.append(body, most) as u64;
                }
                self.wrong = match *left {
                    0 if !body.is_empty() => Some(TOO_LONG),
                    1.. if body.is_empty() && body.is_finished() => Some(TOO_SHORT),
                    _ => None,
                };
                if *left == 0 || self.wrong.is_some() {
                    self.end();
                }
            }
            Mode::Mute => body.consume(body.len(), None),
            Mode::Chunked => {
                while !body.is_empty() && tx.room() > 0 {
                    let n = body.len().min(CHUNK);
                    size_line(n as u64, tx);
                    tx.append(body, n);
                    tx.put(b"\r\n");
                }
                if body.is_empty() && body.is_finished() {
                    tx.put(b"0\r\n");
                    tx.put(&self.trailers);
                    tx.put(b"\r\n");
                    self.end();
                }
            }
            Mode::UntilClose => {
                while !body.is_empty() && tx.room() > 0 {
                    let room = tx.room();
                    tx.append(body, room);
                }
                if body.is_empty() && body.is_finished() {
                    self.end();
                }
            }
            Mode::Over => self.end(),
        }
    }
    fn end(&mut self) {
        (self.mode, self.body, self.trailers) = (Mode::Over, None, Vec::new());
    }
}

fn size_line(n: u64, tx: &mut Tx) {
    digits(n, 16, |d| tx.put(d));
    tx.put(b"\r\n");
    const { assert!(DIGITS >= 16) };
}
