//! Bytes of a keyboard to keys.
//!
//! States: *ground* -> *inside a character* -> *ground*; *ground* -> *escape* -> *control sequence* -> *ground*. A
//! sequence may be cut at any byte: what was seen of it is kept here, at most [`PARAMETERS`] bytes. What is no sequence
//! that means something here is swallowed whole, so that no piece of it ends up in the line.

/// Longest parameters of a control sequence (ECMA-48, 5.4) that are looked at; a longer one is swallowed.
const PARAMETERS: usize = 16;

/// One key, or one character of a paste.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Char(char),
    /// Part of a bracketed paste: a line end or tab is text, not a key.
    Pasted(char),
    PasteEnd,
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    KillToEnd,
    KillToStart,
    /// Back to white space.
    KillWord,
    /// Back to the beginning of the word.
    KillWordLeft,
    KillWordRight,
    Yank,
    Swap,
    Clear,
    Search,
    Cancel,
    Interrupt,
    /// Ctrl-D: deletes, or ends the input.
    End4,
    Suspend,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ground,
    /// So many bytes of a character are in `held`.
    Character(usize),
    Escape,
    /// So many bytes of parameters are in `held`; one more than fits if there were too many.
    Sequence(usize),
    /// After `ESC O`.
    Single,
    /// After `ESC [ [`: a function key of the Linux console.
    Console,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Keys {
    state: State,
    held: [u8; PARAMETERS],
    pasting: bool,
    /// The last pasted byte was CR: an LF that follows belongs to it.
    after_cr: bool,
}

impl Keys {
    pub fn new() -> Self {
        Keys { state: State::Ground, held: [0; PARAMETERS], pasting: false, after_cr: false }
    }
    /// Looks at one byte. False if it is to be shown again: it ended something that came before it.
    pub fn push(&mut self, b: u8) -> (Option<Key>, bool) {
        match self.state {
            State::Ground => (self.ground(b), true),
            State::Character(n) => self.character(b, n),
            State::Escape => self.escape(b),
            State::Sequence(n) => self.sequence(b, n),
            State::Single => {
                self.state = State::Ground;
                (self.unless_pasting(single(b)), true)
            }
            State::Console => {
                self.state = State::Ground;
                (None, true)
            }
        }
    }
    fn unless_pasting(&self, key: Option<Key>) -> Option<Key> {
        key.filter(|_| !self.pasting)
    }
    fn ground(&mut self, b: u8) -> Option<Key> {
        let after_cr = core::mem::replace(&mut self.after_cr, self.pasting && b == b'\r');
        match b {
            0x1b => self.state = State::Escape,
            0xc2..=0xf4 => {
                self.hold(0, b);
                self.state = State::Character(1);
            }
            0x80..=0xff => return self.text(char::REPLACEMENT_CHARACTER),
            b'\n' if after_cr => {}
            b'\r' | b'\n' if self.pasting => return Some(Key::Pasted('\n')),
            b'\t' if self.pasting => return Some(Key::Pasted('\t')),
            0x20..=0x7e => return self.text(char::from(b)),
            _ => return self.unless_pasting(control(b)),
        }
        None
    }
    #[allow(clippy::unnecessary_wraps)] // what its callers return
    fn text(&self, c: char) -> Option<Key> {
        Some(if self.pasting { Key::Pasted(c) } else { Key::Char(c) })
    }
    fn hold(&mut self, n: usize, b: u8) {
        if let Some(place) = self.held.get_mut(n) {
            *place = b;
        }
    }
    fn character(&mut self, b: u8, n: usize) -> (Option<Key>, bool) {
        self.hold(n, b);
        let held = self.held.get(..n + 1).unwrap_or_default();
        match core::str::from_utf8(held) {
            Ok(text) => {
                self.state = State::Ground;
                (text.chars().next().and_then(|c| self.text(c)), true)
            }
            Err(e) if e.error_len().is_none() => {
                self.state = State::Character(n + 1);
                (None, true)
            }
            Err(_) => {
                self.state = State::Ground;
                (self.text(char::REPLACEMENT_CHARACTER), false)
            }
        }
    }
    fn escape(&mut self, b: u8) -> (Option<Key>, bool) {
        self.state = match b {
            b'[' => State::Sequence(0),
            b'O' => State::Single,
            0x1b => State::Escape,
            _ => State::Ground,
        };
        match b {
            b'[' | b'O' | 0x1b => (None, true),
            _ if self.pasting => (None, false), // the escape is dropped, what follows is text
            _ => (alt(b), true),
        }
    }
    fn sequence(&mut self, b: u8, n: usize) -> (Option<Key>, bool) {
        match b {
            b'[' if n == 0 => {
                self.state = State::Console;
                (None, true)
            }
            0x20..=0x3f => {
                self.hold(n, b);
                self.state = State::Sequence((n + 1).min(PARAMETERS + 1));
                (None, true)
            }
            0x40..=0x7e => {
                self.state = State::Ground;
                (self.held.get(..n).map(<[u8]>::to_vec).and_then(|p| self.finished(&p, b)), true)
            }
            _ => {
                self.state = State::Ground;
                (None, false) // a control character or a byte that cannot be in a sequence cancels it
            }
        }
    }
    fn finished(&mut self, parameters: &[u8], last: u8) -> Option<Key> {
        match (parameters, last) {
            (b"200", b'~') => {
                self.pasting = true;
                None
            }
            (b"201", b'~') => {
                self.after_cr = false;
                core::mem::take(&mut self.pasting).then_some(Key::PasteEnd)
            }
            _ => self.unless_pasting(sequence(parameters, last)),
        }
    }
}

fn control(b: u8) -> Option<Key> {
    Some(match b {
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::End4,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x07 => Key::Cancel,
        0x08 | 0x7f => Key::Backspace,
        b'\t' => Key::Tab,
        b'\n' | b'\r' => Key::Enter,
        0x0b => Key::KillToEnd,
        0x0c => Key::Clear,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x12 => Key::Search,
        0x14 => Key::Swap,
        0x15 => Key::KillToStart,
        0x17 => Key::KillWord,
        0x19 => Key::Yank,
        0x1a => Key::Suspend,
        _ => return None,
    })
}

fn alt(b: u8) -> Option<Key> {
    Some(match b {
        b'b' | b'B' => Key::WordLeft,
        b'f' | b'F' => Key::WordRight,
        b'd' | b'D' => Key::KillWordRight,
        0x7f | 0x08 => Key::KillWordLeft,
        _ => return None,
    })
}

fn single(b: u8) -> Option<Key> {
    Some(match b {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'M' => Key::Enter,
        _ => return None,
    })
}

fn sequence(parameters: &[u8], last: u8) -> Option<Key> {
    let mut fields = parameters.split(|b| *b == b';');
    let number = fields.next().unwrap_or_default();
    // xterm's modifiers: 3 is Alt, 5 is Ctrl; with either, an arrow goes by words.
    let by_word = matches!(fields.next(), Some(b"3" | b"5"));
    Some(match (last, number) {
        (b'C', _) if by_word => Key::WordRight,
        (b'D', _) if by_word => Key::WordLeft,
        (b'A' | b'B' | b'C' | b'D' | b'H' | b'F', _) => return single(last),
        (b'~', b"1" | b"7") => Key::Home,
        (b'~', b"3") if by_word => Key::KillWordRight,
        (b'~', b"3") => Key::Delete,
        (b'~', b"4" | b"8") => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let (mut k, mut found) = (Keys::new(), Vec::new());
        for &b in bytes {
            loop {
                let (key, used) = k.push(b);
                found.extend(key);
                if used {
                    break;
                }
            }
        }
        found
    }

    #[test]
    fn sequences() {
        use Key::*;
        assert_eq!(
            keys(b"\x1b[A\x1bOB\x1b[1;5C\x1b[1;3D\x1b[3~\x1b[H\x1b[4~"),
            [Up, Down, WordRight, WordLeft, Delete, Home, End]
        );
        assert_eq!(keys("aé✓😀".as_bytes()), [Char('a'), Char('é'), Char('✓'), Char('😀')]);
        assert_eq!(keys(b"\x1bb\x1b\x7f\x1bx"), [WordLeft, KillWordLeft]);
    }

    #[test]
    fn what_means_nothing_leaves_nothing() {
        assert_eq!(keys(b"\x1b[15~\x1b[[A\x1b[?1;2c\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13~"), vec![]);
        assert_eq!(keys(b"\x1b[1\x01x"), [Key::Home, Key::Char('x')], "a control character cancels");
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Up]);
    }

    #[test]
    fn bad_characters() {
        let bad = Key::Char('\u{fffd}');
        assert_eq!(keys(b"\xffa\xc3(\xe2\x82b"), [bad, Key::Char('a'), bad, Key::Char('('), bad, Key::Char('b')]);
        assert_eq!(keys(b"\xe2\x1b[A"), [bad, Key::Up]);
    }

    #[test]
    fn pastes() {
        use Key::{PasteEnd, Pasted};
        let pasted = keys(b"\x1b[200~a\r\nb\rc\n\x03\x1b[31m\x1bz\x1b[201~");
        let want = ['a', '\n', 'b', '\n', 'c', '\n', 'z'].map(Pasted);
        assert_eq!(pasted, [&want[..], &[PasteEnd]].concat());
        assert_eq!(keys(b"\x1b[201~"), vec![], "an end without a beginning");
    }
}
