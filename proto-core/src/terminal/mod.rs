//! A line editor: the keys of a terminal in, lines and what to draw out.
//!
//! A [`Machine`] like any other, so it serves a terminal on standard input as well as one at the end of a connection. It
//! wants a terminal in raw mode (`Op::Terminal`), speaks the part of ECMA-48 that every emulator knows (`CR`, `LF`,
//! erase to the end of the row, cursor up and right), and sends nothing that needs an answer.
//!
//! - `keys`: bytes to keys, cut anywhere; `text`: the line and its cursor; `history`; `view`: what is on the screen
//!
//! ```
//! use proto_core::{Instant, Machine, Rx, Step, Tx};
//! use proto_core::terminal::{Editor, Event, Limits};
//!
//! let mut editor = Editor::new(Limits::default());
//! let mut tx = Tx::default(); // of the terminal
//! editor.set_prompt("> ", &mut tx);
//! editor.show(&mut tx);
//! let mut keys = *b"helo\x1b[Dl\r"; // an arrow to the left, and the letter that was missing
//! let step = editor.poll(Instant::default(), &mut Rx::new(&mut keys, false), &mut tx);
//! assert_eq!(step, Ok(Step::Event(Event::Line("hello".into()))));
//! editor.print("Server: hello\n", &mut tx); // appears above the line that is being edited
//! ```
//!
//! Limits: [`Limits`]. Invariant: nothing that is typed, pasted or printed reaches the terminal as a control character.
mod history;
mod keys;
mod text;
mod view;

use crate::{Fault, Instant, Machine, Rx, Step, Tx};
use alloc::{format, string::String};
use history::History;
use keys::{Key, Keys};
use text::Text;
use view::View;

/// Sent to a terminal that is to mark what is pasted (bracketed paste, as xterm has it).
pub const PASTE_ON: &[u8] = b"\x1b[?2004h";
/// The reverse of [`PASTE_ON`].
pub const PASTE_OFF: &[u8] = b"\x1b[?2004l";
const BELL: &[u8] = b"\x07";

/// What is bounded, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest line in bytes; also of what is killed. 4,096 is what a terminal's own line editing has.
    pub line: usize,
    /// Lines that are remembered.
    pub history: usize,
    /// Bytes that are remembered.
    pub history_bytes: usize,
    /// Bytes to search for.
    pub query: usize,
    /// Candidates of a completion that are shown.
    pub candidates: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { line: 4096, history: 500, history_bytes: 64 << 10, query: 128, candidates: 50 }
    }
}

/// What the user wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Enter. A pasted text of several lines has LF in it.
    Line(String),
    /// Ctrl-C, where the terminal does not make a signal of it. The line is still there: see [`Editor::leave`].
    Interrupt,
    /// Ctrl-D on an empty line.
    Eof,
    /// Ctrl-Z, where the terminal does not make a signal of it.
    Suspend,
    /// Tab, with what is before the cursor up to the last white space: see [`Editor::complete`].
    Complete(String),
}

/// Ctrl-R.
#[derive(Debug)]
struct Search {
    query: String,
    /// The line that is shown, counted from the oldest.
    at: usize,
    /// The line before the search.
    before: String,
}

/// See the module.
#[derive(Debug)]
pub struct Editor {
    limits: Limits,
    prompt: String,
    keys: Keys,
    text: Text,
    killed: String,
    history: History,
    search: Option<Search>,
    view: View,
    /// Something of a paste found no room.
    overflowed: bool,
}

impl Editor {
    /// With an empty line that is not on the screen yet, for a screen of 80 columns.
    pub fn new(limits: Limits) -> Self {
        Editor {
            limits,
            prompt: String::new(),
            keys: Keys::new(),
            text: Text::default(),
            killed: String::new(),
            history: History::default(),
            search: None,
            view: View::new(),
            overflowed: false,
        }
    }
    /// The line as it is.
    pub fn line(&self) -> &str {
        self.text.as_str()
    }
    /// Where the cursor is in the line, in bytes.
    pub fn cursor(&self) -> usize {
        self.text.at()
    }
    /// The line is on the screen.
    pub fn is_shown(&self) -> bool {
        self.view.shown
    }
    /// What is shown before the line, if there is room for both.
    pub fn set_prompt(&mut self, prompt: &str, tx: &mut Tx) {
        self.prompt = prompt.into();
        self.draw(tx);
    }
    /// The screen has another width; 0 if that is unknown. Also after something else has written to the terminal, with
    /// the cursor in an empty row.
    pub fn resize(&mut self, columns: u16, tx: &mut Tx) {
        self.view.resize(columns.into());
        self.draw(tx);
    }
    /// Puts the line on the screen, below what was printed.
    pub fn show(&mut self, tx: &mut Tx) {
        self.view.show(&shown_prompt(&self.prompt, self.search.as_ref()), self.text.as_str(), self.text.at(), tx);
    }
    /// Takes it off the screen. Keys still edit it.
    pub fn hide(&mut self, tx: &mut Tx) {
        self.view.hide(tx);
    }
    /// Prints above the line. Text without a line end is continued by the next call. Control characters but LF and tab
    /// are shown as a mark.
    pub fn print(&mut self, text: &str, tx: &mut Tx) {
        let prompt = shown_prompt(&self.prompt, self.search.as_ref());
        self.view.print(text, &prompt, self.text.as_str(), self.text.at(), tx);
    }
    /// Gives the line up and takes it off the screen. What there is of it, or a `mark` such as `^C`, stays visible as a
    /// row above the cursor.
    pub fn leave(&mut self, mark: &str, tx: &mut Tx) {
        self.search = None;
        let line = self.text.take();
        if line.is_empty() && mark.is_empty() {
            return self.view.vanish(tx);
        }
        self.view.leave(&self.prompt, &line, mark, tx);
    }
    /// Completes the word of [`Event::Complete`]. One candidate replaces it, with `end` behind; of several, what they
    /// begin with in common does, or else they are listed.
    pub fn complete<'c>(&mut self, candidates: impl Iterator<Item = &'c str> + Clone, end: &str, tx: &mut Tx) {
        let word = self.text.word().len();
        let mut all = candidates.clone();
        let Some(first) = all.next() else { return tx.put(BELL) };
        let common = all.clone().fold(first, |c, other| common(c, other));
        let only = all.next().is_none();
        let with = if only { format!("{first}{end}") } else { common.into() };
        if !only && common.len() <= word {
            return self.list(candidates, tx);
        }
        if !self.text.replace_before(word, &with, self.limits.line) {
            tx.put(BELL);
        }
        self.draw(tx);
    }
    fn list<'c>(&mut self, candidates: impl Iterator<Item = &'c str> + Clone, tx: &mut Tx) {
        let mut text = String::new();
        for c in candidates.clone().take(self.limits.candidates) {
            text.push_str(c);
            text.push_str("  ");
        }
        let rest = candidates.skip(self.limits.candidates).count();
        if rest > 0 {
            text.push_str(&format!("and {rest} more"));
        }
        let text = format!("{}\n", text.trim_end());
        self.print(&text, tx);
    }
    fn draw(&mut self, tx: &mut Tx) {
        let prompt = shown_prompt(&self.prompt, self.search.as_ref());
        self.view.draw(&prompt, self.text.as_str(), self.text.at(), tx);
    }

    fn key(&mut self, key: Key, tx: &mut Tx) -> Option<Event> {
        if self.search.is_some() && self.searched(key, tx) {
            return None;
        }
        match key {
            Key::Char(c) => {
                if !self.insert(c, tx) {
                    tx.put(BELL);
                }
                return None;
            }
            Key::Pasted(c) => {
                self.overflowed |= !self.insert(c, tx); // heard once, at the end
                return None;
            }
            Key::PasteEnd => {
                if core::mem::take(&mut self.overflowed) {
                    tx.put(BELL);
                }
            }
            Key::Enter => return Some(self.enter(tx)),
            Key::Interrupt => return Some(Event::Interrupt),
            Key::Suspend => return Some(Event::Suspend),
            Key::Tab => return Some(Event::Complete(self.text.word().into())),
            Key::End4 if self.text.as_str().is_empty() => return Some(Event::Eof),
            Key::End4 | Key::Delete => drop(self.text.delete()),
            Key::Backspace => drop(self.text.backspace()),
            Key::Left => self.text.left(),
            Key::Right => self.text.right(),
            Key::WordLeft => self.text.word_left(),
            Key::WordRight => self.text.word_right(),
            Key::Home => self.text.home(),
            Key::End => self.text.end(),
            Key::Swap => self.text.swap(),
            Key::KillToEnd => self.killed = self.text.kill_to_end(),
            Key::KillToStart => self.killed = self.text.kill_to_start(),
            Key::KillWord => self.killed = self.text.kill_blank_word(),
            Key::KillWordLeft => self.killed = self.text.kill_word_left(),
            Key::KillWordRight => self.killed = self.text.kill_word_right(),
            Key::Yank => {
                if !self.text.insert(&self.killed, self.limits.line) {
                    tx.put(BELL);
                }
            }
            Key::Up | Key::Down => self.step(key == Key::Up, tx),
            Key::Clear => self.view.clear(tx),
            Key::Cancel => {}
            Key::Search => {
                let (query, at, before) = (String::new(), self.history.len(), self.text.as_str().into());
                self.search = Some(Search { query, at, before });
            }
        }
        self.draw(tx);
        None
    }
    fn insert(&mut self, c: char, tx: &mut Tx) -> bool {
        if !self.text.insert(c.encode_utf8(&mut [0; 4]), self.limits.line) {
            return false;
        }
        if self.text.is_at_end() && self.search.is_none() {
            self.view.grown(c, &self.prompt, self.text.as_str(), tx);
        } else {
            self.draw(tx);
        }
        true
    }
    fn enter(&mut self, tx: &mut Tx) -> Event {
        let shown = self.view.shown;
        let line = self.text.take();
        self.view.leave(&self.prompt, &line, "", tx);
        self.history.push(&line, &self.limits);
        if shown {
            self.show(tx);
        }
        Event::Line(line)
    }
    fn step(&mut self, up: bool, tx: &mut Tx) {
        let found = if up { self.history.older(self.text.as_str()) } else { self.history.newer() };
        match found {
            Some(line) => self.text.set(line),
            None => tx.put(BELL),
        }
    }
    /// A key during a search; false if it ends the search and means what it means without.
    fn searched(&mut self, key: Key, tx: &mut Tx) -> bool {
        let Some(search) = &mut self.search else { return false };
        let mut before = search.at;
        match key {
            Key::Char(c) | Key::Pasted(c) if search.query.len() + c.len_utf8() <= self.limits.query => {
                search.query.push(c);
                before = before.saturating_add(1); // the line that is shown may do
            }
            Key::Char(_) | Key::Pasted(_) => {}
            Key::PasteEnd | Key::Search => {}
            Key::Backspace => {
                search.query.pop();
                before = self.history.len();
            }
            Key::Cancel => {
                self.text.set(&search.before);
                self.search = None;
                self.draw(tx);
                return true;
            }
            _ => {
                self.search = None;
                return false;
            }
        }
        match self.history.find(&search.query, before).filter(|_| !search.query.is_empty()) {
            Some((at, line)) => {
                search.at = at;
                self.text.set(line);
            }
            None => tx.put(BELL),
        }
        self.draw(tx);
        true
    }
}

fn shown_prompt<'p>(prompt: &'p str, search: Option<&Search>) -> alloc::borrow::Cow<'p, str> {
    search.map_or(prompt.into(), |s| format!("(search '{}') ", s.query).into())
}

/// What two words begin with in common.
fn common<'a>(a: &'a str, b: &str) -> &'a str {
    let differs = a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map(|((i, _), _)| i);
    a.get(..differs.unwrap_or(a.len().min(b.len()))).unwrap_or_default()
}

impl Machine for Editor {
    type Event<'b> = Event;

    fn poll<'b>(&mut self, _: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Event>, Fault> {
        while let Some(&b) = rx.peek().first() {
            if tx.room() == 0 {
                return Ok(Step::Paused);
            }
            let (key, used) = self.keys.push(b);
            if used {
                rx.take(1);
            }
            if let Some(event) = key.and_then(|key| self.key(key, tx)) {
                return Ok(Step::Event(event));
            }
        }
        Ok(if rx.is_last() { Step::Closed } else { Step::NeedMore })
    }
}
