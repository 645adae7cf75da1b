//! Files in a form that a browser sends: `multipart/form-data` (RFC 7578, RFC 2046 5.1), read as it comes.
//!
//! ```text
//! Preamble --boundary--> Head --empty line--> Body --boundary--> Head .. or the end
//! ```
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

/// The longest boundary (RFC 2046 5.1.1).
const BOUNDARY: usize = 70;
/// Bytes that may stand before the first boundary, and in the head of a part.
const HEAD: usize = 8 << 10;

/// What came. Ranges are of the input that was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// A file begins; its name as the form has it.
    File(String),
    /// A field without a file begins: its bytes are nobody's.
    Field,
    /// Bytes of what has begun.
    Data(Range<usize>),
    /// Its end.
    End,
}

/// What is wrong with a form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadForm(pub &'static str);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Preamble,
    Head,
    Body,
    Over,
}

/// A form being read.
#[derive(Debug)]
pub struct Form {
    /// `\r\n--boundary`.
    delimiter: Vec<u8>,
    state: State,
}

impl Form {
    /// Of a body with this `Content-Type`. `None`: it is no form with files.
    pub fn new(content_type: &[u8]) -> Option<Form> {
        let text = core::str::from_utf8(content_type).ok()?;
        let (kind, parameters) = text.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, "boundary")?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
        if boundary.is_empty() || boundary.len() > BOUNDARY || !boundary.bytes().all(good) || boundary.ends_with(' ') {
            return None;
        }
        Some(Form { delimiter: format!("\r\n--{boundary}").into_bytes(), state: State::Preamble })
    }
    /// How many bytes of the input are done with, and what they meant. `None`: more bytes are needed; those that are not
    /// done with are to be given again, with more.
    ///
    /// # Errors
    /// It is no form.
    pub fn next(&mut self, input: &[u8]) -> Result<(usize, Option<Piece>), BadForm> {
        match self.state {
            State::Preamble => self.preamble(input),
            State::Head => self.head(input),
            State::Body => self.body(input),
            State::Over => Ok((input.len(), None)),
        }
    }
    /// It has come to its end.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }
    fn preamble(&mut self, input: &[u8]) -> Result<(usize, Option<Piece>), BadForm> {
        // The first boundary may be the first line.
        let first = self.delimiter.get(2..).unwrap_or_default();
        let at = match input.len() < first.len() {
            true => None,
            false if input.starts_with(first) => Some(first.len()),
            false => find(input, &self.delimiter).map(|at| at + self.delimiter.len()),
        };
        match at {
            Some(at) => Ok(self.after(input, at)?.map_or((0, None), |(n, _)| (n, None))),
            None if input.len() > HEAD => Err(BadForm("no boundary")),
            None => Ok((0, None)),
        }
    }
    /// What follows a boundary that ends at `at`: the next head, or nothing any more. `None`: that is not to be seen yet.
    fn after(&mut self, input: &[u8], at: usize) -> Result<Option<(usize, bool)>, BadForm> {
        let rest = input.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            self.state = State::Over;
            return Ok(Some((at + 2, true)));
        }
        // Blanks may follow it.
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        match rest.get(blanks..) {
            Some([b'\r', b'\n', ..]) => {
                self.state = State::Head;
                Ok(Some((at + blanks + 2, false)))
            }
            Some([] | [b'\r'] | [b'-']) if blanks < HEAD => Ok(None),
            _ => Err(BadForm("a boundary that goes on")),
        }
    }
    fn head(&mut self, input: &[u8]) -> Result<(usize, Option<Piece>), BadForm> {
        let (end, skip) = match find(input, b"\r\n\r\n") {
            _ if input.starts_with(b"\r\n") => (0, 2),
            Some(at) => (at, 4),
            None if input.len() > HEAD => return Err(BadForm("the head of a part is too long")),
            None => return Ok((0, None)),
        };
        let head = core::str::from_utf8(input.get(..end).unwrap_or_default());
        let head = head.map_err(|_| BadForm("the head of a part is not UTF-8"))?;
        self.state = State::Body;
        let name = head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let own = name.eq_ignore_ascii_case("content-disposition");
            own.then(|| value.split_once(';')).flatten().and_then(|(_, more)| parameter(more, "filename"))
        });
        // A form whose file nobody has chosen sends an empty name.
        let piece = name.filter(|name| !name.is_empty()).map_or(Piece::Field, Piece::File);
        Ok((end + skip, Some(piece)))
    }
    fn body(&mut self, input: &[u8]) -> Result<(usize, Option<Piece>), BadForm> {
        match find(input, &self.delimiter) {
            Some(0) => {
                let after = self.after(input, self.delimiter.len())?;
                Ok(after.map_or((0, None), |(n, _)| (n, Some(Piece::End))))
            }
            Some(at) => Ok((at, Some(Piece::Data(0..at)))),
            None => {
                // The beginning of a boundary may be at the end.
                let start = input.len().saturating_sub(self.delimiter.len() - 1);
                let tail = input.get(start..).unwrap_or_default();
                let part = (0..tail.len()).find(|i| self.delimiter.starts_with(tail.get(*i..).unwrap_or_default()));
                let sure = start + part.unwrap_or(tail.len());
                Ok(if sure == 0 { (0, None) } else { (sure, Some(Piece::Data(0..sure))) })
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack.get(from..)?.iter().position(|b| *b == first) {
        if haystack.get(from + at..)?.starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The value of a parameter, quoted or not. Browsers write `"` in a name as `%22` (WHATWG), curl as `\"`.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after.get(..end)?.trim().to_string(), after.get(end..)?)
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value.replace("%22", "\""), text.get(at + 1..)?)),
            '\\' => match chars.next()? {
                (_, c @ ('"' | '\\')) => value.push(c),
                (_, c) => value.extend(['\\', c]), // an old browser's path
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// Everything that a form means, fed in pieces of `step` bytes.
    fn all(form: &mut Form, body: &[u8], step: usize) -> Result<Vec<(String, Vec<u8>)>, BadForm> {
        let (mut files, mut kept, mut open) = (Vec::new(), Vec::new(), false);
        for piece in body.chunks(step) {
            kept.extend_from_slice(piece);
            loop {
                let before = form.is_over();
                let (n, what) = form.next(&kept)?;
                match what.clone() {
                    Some(Piece::File(name)) => (open, _) = (true, files.push((name, Vec::new()))),
                    Some(Piece::Field) => open = false,
                    Some(Piece::Data(range)) if open => files.last_mut().unwrap().1.extend_from_slice(&kept[range]),
                    _ => {}
                }
                kept.drain(..n);
                if n == 0 && what.is_none() || before {
                    break;
                }
            }
        }
        Ok(files)
    }

    const TYPE: &[u8] = b"multipart/form-data; charset=utf-8; boundary=\"xYz\"";

    #[test]
    fn at_every_split_the_same() {
        let body = b"preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nfield\r\n--xYz  \r\n\
                     content-disposition: form-data; name=f; filename=\"a b.txt\"\r\nContent-Type: text/plain\r\n\r\n\
                     one\r\n--xY\r\ntwo\r\n\r\n--xYz\r\nContent-Disposition: form-data; filename=\"q%22\\\\.txt\"\r\n\r\n\r\n--xYz--\r\nafter";
        let want: Vec<(String, Vec<u8>)> =
            vec![("a b.txt".into(), b"one\r\n--xY\r\ntwo\r\n".to_vec()), ("q\"\\.txt".into(), Vec::new())];
        for step in 1..=if cfg!(miri) { 1 } else { body.len() } {
            let mut form = Form::new(TYPE).unwrap();
            assert_eq!(all(&mut form, body, step), Ok(want.clone()), "pieces of {step}");
            assert!(form.is_over());
        }
        for cut in (0..body.len() - 9).step_by(if cfg!(miri) { 40 } else { 1 }) {
            let mut form = Form::new(TYPE).unwrap();
            let _ = all(&mut form, &body[..cut], 7);
            assert!(!form.is_over(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_form() {
        for bad in [
            "",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"a",
            "multipart/form-data; boundary=a\u{e4}",
            "multipart/mixed; boundary=a",
            "application/x-www-form-urlencoded; boundary=a",
        ] {
            assert!(Form::new(bad.as_bytes()).is_none(), "{bad}");
        }
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        assert!(Form::new(long.as_bytes()).is_none());
        let fails = |body: &[u8]| all(&mut Form::new(TYPE).unwrap(), body, 1000).expect_err("wrong").0;
        assert_eq!(fails(&[b'x'; 10_000]), "no boundary");
        assert_eq!(fails(b"--xYzz\r\n"), "a boundary that goes on");
        assert_eq!(fails(&[&b"--xYz\r\n"[..], &[b'a'; 10_000]].concat()), "the head of a part is too long");
        assert_eq!(fails(b"--xYz\r\n\xff: a\r\n\r\n"), "the head of a part is not UTF-8");
    }
}
