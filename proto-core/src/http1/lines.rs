//! Lines that end in CRLF, found one after the other in bytes that are shown again and again as they grow.
use core::ops::Range;

/// Where the search stands. No byte is looked at twice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lines {
    /// First byte of the unfinished line.
    start: usize,
    /// Bytes searched.
    seen: usize,
}

/// Why there is no next line, ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bad {
    /// No line ends before the bound.
    TooLong,
    /// LF without CR. With [`Lines::take_bare`] the search goes on all the same.
    BareLf(usize),
}

impl Lines {
    /// Nothing was searched yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.seen == 0
    }
    /// The first byte behind the last line.
    pub(crate) fn at(&self) -> usize {
        self.start
    }
    /// The next line ends in a bare LF, which is to be tolerated: the line without it.
    pub(crate) fn take_bare(&mut self, lf: usize) -> Range<usize> {
        let line = self.start..lf;
        (self.start, self.seen) = (lf + 1, lf + 1);
        line
    }
    /// The next whole line without its CRLF. Its LF must be among the first `bound` bytes of `input`: whether it is
    /// depends on these bytes alone, so the answer is the same however they arrived.
    pub(crate) fn next(&mut self, input: &[u8], bound: usize) -> Result<Option<Range<usize>>, Bad> {
        let upto = input.len().min(bound);
        let fresh = input.get(self.seen..upto).unwrap_or_default();
        let Some(i) = memchr::memchr(b'\n', fresh) else {
            self.seen = self.seen.max(upto);
            return if input.len() < bound { Ok(None) } else { Err(Bad::TooLong) };
        };
        let lf = self.seen + i;
        let line = self.start..lf.saturating_sub(1).max(self.start);
        if lf == self.start || input.get(line.end) != Some(&b'\r') {
            return Err(Bad::BareLf(lf));
        }
        (self.start, self.seen) = (lf + 1, lf + 1);
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_as_they_grow() {
        let text = b"ab\r\n\r\nc\r\n";
        let (mut lines, mut got) = (Lines::default(), alloc::vec![]);
        for n in 0..=text.len() {
            while let Ok(Some(r)) = lines.next(&text[..n], 100) {
                got.push((n, r));
            }
        }
        assert_eq!(got, [(4, 0..2), (6, 4..4), (9, 6..7)]);
    }

    #[test]
    fn the_bound_holds_for_every_cut() {
        let text = b"abc\r\n";
        for cut in 0..text.len() {
            let (mut fits, mut long) = (Lines::default(), Lines::default());
            assert_eq!(fits.next(&text[..cut], 5), Ok(None));
            assert_eq!(fits.next(text, 5), Ok(Some(0..3)));
            assert_eq!(long.next(&text[..cut], 4), if cut < 4 { Ok(None) } else { Err(Bad::TooLong) });
            assert_eq!(long.next(text, 4), Err(Bad::TooLong));
        }
    }

    #[test]
    fn lf_needs_its_cr() {
        for (text, at) in [(&b"\n"[..], 0), (b"a\n", 1), (b"\r\n\n", 2)] {
            let mut lines = Lines::default();
            let bad = loop {
                match lines.next(text, 100) {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert_eq!(bad, Err(Bad::BareLf(at)), "{text:?}");
        }
    }
}
