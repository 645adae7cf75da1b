//! Questions from a file: a name and perhaps a type per line.
use super::Wanted;
use proto_core::dns::{Class, Type};

/// Where they come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A file by its path.
    File(String),
    /// Standard input.
    Stdin,
}

/// Bytes of a line.
const LINE_MAX: usize = 4096;

/// Cuts lines out of what was read, and reads them.
#[derive(Debug)]
pub struct Lines {
    kept: Vec<u8>,
    at: usize,
    number: u64,
    over: bool,
    kind: Type,
    idn: bool,
}

impl Lines {
    /// Questions without a type are of type `kind`.
    pub fn new(kind: Type, idn: bool) -> Self {
        Lines { kept: Vec::new(), at: 0, number: 0, over: false, kind, idn }
    }
    /// More was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.kept.drain(..self.at);
        self.at = 0;
        self.kept.extend_from_slice(bytes);
    }
    /// Nothing more will be read.
    pub fn end(&mut self) {
        self.over = true;
    }
    /// All lines were taken.
    pub fn is_over(&self) -> bool {
        self.over && self.at == self.kept.len()
    }
    /// The next question; `None` if more must be read for it.
    ///
    /// # Errors
    /// A line that is no question, with its number.
    pub fn next(&mut self) -> Option<Result<Wanted, String>> {
        loop {
            let rest = self.kept.get(self.at..)?;
            let (line, used) = match rest.iter().position(|b| *b == b'\n') {
                Some(end) => (rest.get(..end)?, end + 1),
                None if rest.is_empty() => return None,
                None if self.over || rest.len() > LINE_MAX => (rest, rest.len()),
                None => return None,
            };
            let read = read(line, self.kind, self.idn);
            self.at += used;
            self.number += 1;
            match read {
                Ok(None) => {}
                Ok(Some(wanted)) => return Some(Ok(wanted)),
                Err(why) => return Some(Err(format!("line {}: {why}", self.number))),
            }
        }
    }
}

/// A line: empty, a comment, a name, or a name and a type.
fn read(line: &[u8], kind: Type, idn: bool) -> Result<Option<Wanted>, String> {
    if line.len() > LINE_MAX {
        return Err("too long".into());
    }
    let line = core::str::from_utf8(line).map_err(|_| "not UTF-8".to_string())?;
    let mut words = line.split_ascii_whitespace();
    let Some(name) = words.next().filter(|n| !n.starts_with(['#', ';'])) else { return Ok(None) };
    let kind = match words.next() {
        Some(word) => word.parse().map_err(|()| format!("unknown record type '{}'", word.escape_debug()))?,
        None => kind,
    };
    match words.next() {
        Some(_) => Err("more than a name and a type".into()),
        None => Wanted::new(name, kind, Class::IN, idn).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_however_they_are_cut() {
        let text = "a.example\n\n# comment\nb.example MX\r\nc..d\ne f g\nh BOGUS\nlast.example TYPE99";
        let want = ["a.example. A", "b.example. MX", "line 5", "line 6", "line 7", "last.example. SPF"];
        for cut in 0..text.len() {
            let mut lines = Lines::new(Type::A, true);
            let mut got = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                lines.feed(part.as_bytes());
                while let Some(next) = lines.next() {
                    got.push(next.map_or_else(
                        |e| e.split(':').next().unwrap_or_default().to_string(),
                        |w| format!("{} {}", w.asked.name, w.asked.kind),
                    ));
                }
            }
            assert_eq!(got.len(), 5);
            lines.end();
            got.extend(lines.next().and_then(Result::ok).map(|w| format!("{} {}", w.asked.name, w.asked.kind)));
            assert_eq!(got, want);
            assert!(lines.is_over() && lines.next().is_none());
        }
    }
}
