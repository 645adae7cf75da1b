//! Lines of text: LF or CRLF in, the line without its end out.
//!
//! States: *inside a line* (looking for LF) -> *skipping* (the line was too long; up to its LF) -> *inside*.
//! Limit: [`Limits::line`], 4,096 bytes, since a chat line is written by a person.
use crate::{Fault, Instant, Machine, Rx, Step, Tx};

/// What is bounded, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest line in bytes, without its end.
    pub line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { line: 4096 }
    }
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A whole line, without CR and LF. The last line of the input needs no LF.
    Line(&'b mut [u8]),
    /// The first bytes of a line that is longer than the limit; the rest of it is skipped.
    TooLong(&'b mut [u8]),
}

/// Splits input into lines.
#[derive(Debug)]
pub struct Lines {
    limits: Limits,
    /// How far the unfinished line has been searched.
    seen: usize,
    skipping: bool,
}

impl Lines {
    /// With the given limits.
    pub fn new(limits: Limits) -> Self {
        Lines { limits, seen: 0, skipping: false }
    }
    /// Takes a line of `len` bytes and its end of `end` bytes.
    fn line<'b>(&mut self, rx: &mut Rx<'b>, len: usize, end: usize) -> Step<Event<'b>> {
        self.seen = 0;
        let line = rx.take(len);
        rx.take(end);
        let n = len - usize::from(end > 0 && line.last() == Some(&b'\r'));
        let (line, _) = line.split_at_mut(n);
        if n > self.limits.line {
            let (head, _) = line.split_at_mut(self.limits.line);
            return Step::Event(Event::TooLong(head));
        }
        Step::Event(Event::Line(line))
    }
    /// The line can't become short enough any more, whatever follows (a CR may still belong to its end).
    fn is_too_long(&self, rx: &Rx<'_>) -> bool {
        rx.len() > self.limits.line + 1 || rx.len() > self.limits.line && rx.peek().last() != Some(&b'\r')
    }
}

impl Machine for Lines {
    type Event<'b> = Event<'b>;

    fn poll<'b>(&mut self, _: Instant, rx: &mut Rx<'b>, _: &mut Tx) -> Result<Step<Event<'b>>, Fault> {
        if self.skipping {
            match memchr::memchr(b'\n', rx.peek()) {
                Some(i) => {
                    rx.take(i + 1);
                    self.skipping = false;
                }
                None => {
                    rx.take(rx.len());
                }
            }
        }
        if rx.is_eof() {
            return Ok(Step::Closed);
        }
        if self.skipping {
            return Ok(Step::NeedMore);
        }
        let fresh = rx.peek().get(self.seen..).unwrap_or_default();
        if let Some(i) = memchr::memchr(b'\n', fresh) {
            return Ok(self.line(rx, self.seen + i, 1));
        }
        self.seen = rx.len();
        if self.is_too_long(rx) || rx.is_last() && rx.len() > self.limits.line {
            self.seen = 0;
            self.skipping = true;
            return Ok(Step::Event(Event::TooLong(rx.take(self.limits.line))));
        }
        if rx.is_last() {
            return Ok(self.line(rx, rx.len(), 0));
        }
        Ok(Step::NeedMore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec::Vec};

    /// What `input` says, fed `step` bytes at a time, then the end of input.
    fn lines(line: usize, input: &[u8], step: usize) -> Vec<String> {
        let (mut m, mut tx, mut tail, mut said) = (Lines::new(Limits { line }), Tx::default(), Vec::new(), Vec::new());
        for (bytes, eof) in input.chunks(step).map(|c| (c, false)).chain([(&[][..], true)]) {
            tail.extend_from_slice(bytes);
            let shown = tail.len();
            let mut rx = Rx::new(&mut tail, eof);
            while let Ok(Step::Event(e)) = m.poll(Instant::default(), &mut rx, &mut tx) {
                said.push(match e {
                    Event::Line(l) => alloc::format!("{}", l.escape_ascii()),
                    Event::TooLong(l) => alloc::format!("{}...", l.escape_ascii()),
                });
            }
            assert_eq!(rx.is_eof(), eof, "at the end nothing is left");
            let used = shown - rx.len();
            tail.drain(..used);
        }
        said
    }

    #[test]
    fn lines_and_their_limit() {
        for step in 1..12 {
            assert_eq!(lines(4, b"ab\ncd\r\n\nrest", step), ["ab", "cd", "", "rest"]);
            assert_eq!(
                lines(4, b"1234\n1234\r\n12345\n12345\r\n1234\r", step),
                ["1234", "1234", "1234...", "1234...", "1234..."]
            );
            assert_eq!(lines(1, b"a\r\r\nb", step), ["a...", "b"]);
            assert_eq!(lines(0, b"\n\r\na\n", step), ["", "", "..."]);
        }
    }

    #[test]
    fn an_event_is_the_input_itself() {
        let mut input = *b"shout\n";
        let (mut m, mut tx) = (Lines::new(Limits::default()), Tx::default());
        if let Ok(Step::Event(Event::Line(l))) = m.poll(Instant::default(), &mut Rx::new(&mut input, false), &mut tx) {
            l.make_ascii_uppercase();
        }
        assert_eq!(&input, b"SHOUT\n");
    }
}
