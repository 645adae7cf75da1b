//! A person at a terminal: a line editor on standard input and output, and names that Tab completes.
use crate::chat::nicks::Nicks;
use proto_core::terminal::{Editor, Event, Limits};
use proto_core::{Instant, Machine, Rx, Start, Step, Tx};

/// Bytes of a line of the server that are looked at for names.
const HEARD: usize = 256;

/// Whether standard input and output are a terminal that the editor can draw on; its columns.
pub fn columns(start: &Start) -> Option<u16> {
    let able = !matches!(start.fact("term"), Some("dumb" | ""));
    (able && start.stdin.is_some() && start.tty.stdin && start.tty.stdout).then_some(start.tty.columns)
}

/// See the module.
#[derive(Debug)]
pub struct Console {
    editor: Editor,
    /// Keys that wait: standard output or the server has no room. At most what was read at once.
    waiting: Vec<u8>,
    nicks: Option<Nicks>,
    /// The line of the server that is being heard.
    heard: String,
}

impl Console {
    /// An editor for a screen of so many columns, not drawn yet; `names`: Tab completes nicknames.
    pub fn new(prompt: &str, names: bool, columns: u16, tx: &mut Tx) -> Self {
        let mut editor = Editor::new(Limits::default());
        editor.set_prompt(prompt, tx);
        editor.resize(columns, tx);
        Console { editor, waiting: Vec::new(), nicks: names.then(Nicks::default), heard: String::new() }
    }
    /// The keys that were pressed.
    pub fn keys(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }
    /// There are keys to be looked at.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
    /// What the user wants next. `None`: nothing more, or there is no room for what it would draw.
    pub fn next(&mut self, now: Instant, tx: &mut Tx) -> Option<Event> {
        loop {
            let shown = self.waiting.len();
            let mut rx = Rx::new(&mut self.waiting, false);
            let step = self.editor.poll(now, &mut rx, tx);
            let used = shown - rx.len();
            self.waiting.drain(..used);
            match step {
                Ok(Step::Event(Event::Complete(word))) => self.complete(&word, tx),
                Ok(Step::Event(event)) => return Some(event),
                Ok(Step::NeedMore | Step::Paused | Step::Closed) | Err(_) => return None,
            }
        }
    }
    fn complete(&mut self, word: &str, tx: &mut Tx) {
        let Some(nicks) = &self.nicks else { return };
        let first = self.editor.line().get(..self.editor.cursor()) == Some(word);
        let end = if first && !word.starts_with('/') { ": " } else { " " };
        let found = nicks.matching(word, first);
        self.editor.complete(found.iter().map(String::as_str), end, tx);
    }
    /// Prints above the line; the first time it also puts the line on the screen.
    pub fn print(&mut self, text: &str, tx: &mut Tx) {
        if let Some(nicks) = &mut self.nicks {
            for part in text.split_inclusive('\n') {
                let room = HEARD.saturating_sub(self.heard.len());
                self.heard.extend(part.chars().take(room));
                if part.ends_with('\n') {
                    nicks.hear(self.heard.trim_end());
                    self.heard.clear();
                }
            }
        }
        self.editor.print(text, tx);
    }
    /// Puts the line on the screen.
    pub fn show(&mut self, tx: &mut Tx) {
        self.editor.show(tx);
    }
    /// The screen has another width, or others have written on it.
    pub fn resize(&mut self, columns: u16, tx: &mut Tx) {
        self.editor.resize(columns, tx);
    }
    /// The end: the line stays visible if there is one, with `mark` behind.
    pub fn leave(mut self, mark: &str, tx: &mut Tx) {
        self.editor.leave(mark, tx);
    }
}
