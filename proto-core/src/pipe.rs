//! A stream of bytes as a machine, for whoever has no protocol of their own and wants layers beneath.
use crate::{Fault, Instant, Machine, Rx, Step, Tx};

/// Every piece of input is an event; it pauses while the output is full, if it is told to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pipe {
    /// What comes causes output: it waits while that has no room.
    pub answers: bool,
}

impl Machine for Pipe {
    type Event<'b> = &'b mut [u8];
    fn poll<'b>(&mut self, _: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<&'b mut [u8]>, Fault> {
        if rx.is_empty() {
            return Ok(if rx.is_last() { Step::Closed } else { Step::NeedMore });
        }
        if self.answers && tx.room() == 0 && !tx.is_finished() {
            return Ok(Step::Paused);
        }
        let n = rx.len();
        Ok(Step::Event(rx.take(n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_until_the_end() {
        let (mut pipe, mut tx, now) = (Pipe { answers: true }, Tx::with_limit(2), Instant::default());
        let mut input = *b"ab";
        let mut rx = Rx::new(&mut input, true);
        tx.put(b"xx");
        assert!(matches!(pipe.poll(now, &mut rx, &mut tx), Ok(Step::Paused)));
        tx.consume(1, None);
        assert!(matches!(pipe.poll(now, &mut rx, &mut tx), Ok(Step::Event(b)) if b == b"ab"));
        assert!(matches!(pipe.poll(now, &mut rx, &mut tx), Ok(Step::Closed)));
        assert!(matches!(pipe.poll(now, &mut Rx::new(&mut [], false), &mut tx), Ok(Step::NeedMore)));
    }
}
