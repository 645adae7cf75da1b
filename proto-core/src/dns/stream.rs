//! Messages over TCP and TLS: each has two bytes with its length before it (RFC 1035 4.2.2, RFC 7766).
use super::{HEADER, MESSAGE_MAX};
use crate::{Fault, Instant, Machine, Misuse, Rx, Step, Tx};

/// Both sides of such a stream.
#[derive(Debug, Default)]
pub struct Frames {
    seen: u64,
}

/// A whole message, not read any further.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'b>(pub &'b mut [u8]);

impl Frames {
    /// Sends a message.
    ///
    /// # Errors
    /// It is longer than 65,535 bytes.
    pub fn send(&mut self, message: &[u8], tx: &mut Tx) -> Result<(), Misuse> {
        if message.len() > MESSAGE_MAX {
            return Err(Misuse("a message of more than 65,535 bytes"));
        }
        tx.put(&(message.len() as u16).to_be_bytes());
        tx.put(message);
        Ok(())
    }
}

impl Machine for Frames {
    type Event<'b> = Frame<'b>;
    fn poll<'b>(&mut self, _: Instant, rx: &mut Rx<'b>, _: &mut Tx) -> Result<Step<Frame<'b>>, Fault> {
        if rx.is_eof() {
            return Ok(Step::Closed);
        }
        let fault = |what, offset| Fault { rule: "RFC 7766 8", what, code: 0, offset };
        let Some(&head) = rx.peek().first_chunk::<2>() else {
            if rx.is_last() {
                return Err(fault("stream cut within a length", self.seen));
            }
            return Ok(Step::NeedMore);
        };
        let n = usize::from(u16::from_be_bytes(head));
        if n < HEADER {
            return Err(fault("length below that of a header", self.seen));
        }
        if rx.len() < 2 + n {
            return if rx.is_last() {
                Err(fault("stream cut within a message", self.seen))
            } else {
                Ok(Step::NeedMore)
            };
        }
        self.seen += 2 + n as u64;
        let (_, message) = rx.take(2 + n).split_at_mut(2);
        Ok(Step::Event(Frame(message)))
    }
}
