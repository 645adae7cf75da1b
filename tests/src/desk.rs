//! A line editor with a screen, and an independent idea of what that screen must show. Fuzz targets use it too.
use super::screen::Screen;
use proto_core::terminal::{Editor, Event, Limits};
use proto_core::{Instant, Machine, Rx, Step, Tx};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// What Tab completes.
const NAMES: [&str; 4] = ["alice", "alina", "bob", "größe"];
const HEIGHT: usize = 24;
/// Ctrl-L.
const CLEAR: u8 = 0x0c;

/// See the module.
pub struct Desk {
    editor: Editor,
    tx: Tx,
    /// What is seen.
    pub screen: Screen,
    /// All that was written to it.
    pub output: Vec<u8>,
    prompt: String,
    columns: usize,
    /// Lines above the editor's row, as they were printed; the last is not complete if `open`.
    log: Vec<String>,
    open: bool,
    /// Lines that were entered.
    pub lines: Vec<String>,
}

/// What a character must look like.
fn look(g: &str) -> (&str, usize) {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c as u32, 0xad | 0x61c | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb)
    };
    match g {
        "\n" => ("↵", 1),
        "\t" => (" ", 1),
        g if g.width() == 0 || g.width() > 16 || g.chars().any(hidden) => ("\u{fffd}", 1),
        g => (g, g.width()),
    }
}

fn looks(text: &str) -> (String, usize) {
    let cells = || text.graphemes(true).map(look);
    (cells().map(|(s, _)| s).collect(), cells().map(|(_, w)| w).sum())
}

/// A printed line as rows.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let (mut rows, mut at) = (vec![String::new()], 0);
    for g in line.graphemes(true) {
        if g == "\t" {
            if at == columns {
                rows.push(String::new());
                at = 0;
            }
            let n = (8 - at % 8).min(columns - at);
            rows.last_mut().expect("a row").push_str(&" ".repeat(n));
            at += n;
            continue;
        }
        let (seen, w) = look(g);
        if at + w > columns {
            rows.push(String::new());
            at = 0;
        }
        rows.last_mut().expect("a row").push_str(seen);
        at += w;
    }
    rows.iter().map(|r| r.trim_end().to_string()).collect()
}

impl Desk {
    /// An editor on an empty screen of so many columns, at least 4.
    pub fn new(columns: usize, prompt: &str) -> Self {
        let limits = Limits { line: 200, history: 5, history_bytes: 300, query: 16, candidates: 2 };
        let mut desk = Desk {
            editor: Editor::new(limits),
            tx: Tx::default(),
            screen: Screen::new(columns, HEIGHT),
            output: Vec::new(),
            prompt: prompt.into(),
            columns,
            log: Vec::new(),
            open: false,
            lines: Vec::new(),
        };
        desk.editor.set_prompt(prompt, &mut desk.tx);
        desk.editor.resize(columns as u16, &mut desk.tx);
        desk.editor.show(&mut desk.tx);
        desk.flush();
        desk
    }
    fn flush(&mut self) {
        let sent: Vec<u8> = self.tx.chunks().flatten().copied().collect();
        self.tx.consume(sent.len(), None);
        self.screen.feed(&sent);
        self.output.extend(sent);
    }
    /// Some keys; `Err` says what is wrong on the screen.
    pub fn keys(&mut self, bytes: &[u8]) -> Result<(), String> {
        for part in bytes.split_inclusive(|b| *b == CLEAR) {
            self.press(part)?;
            if part.ends_with(&[CLEAR]) {
                self.forget();
            }
            self.check()?;
        }
        Ok(())
    }
    fn press(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut bytes = bytes.to_vec();
        let mut rx = Rx::new(&mut bytes, false);
        loop {
            let step = self.editor.poll(Instant::default(), &mut rx, &mut self.tx);
            match step.map_err(|f| f.to_string())? {
                Step::Event(Event::Line(line)) => {
                    let prompt = self.fitting_prompt().to_string();
                    self.leave(&format!("{prompt}{}", looks(&line).0));
                    self.lines.push(line);
                }
                Step::Event(Event::Interrupt) => {
                    let (prompt, line) = (self.fitting_prompt().to_string(), looks(self.editor.line()).0);
                    self.leave(&format!("{prompt}{line}^C"));
                    self.editor.leave("^C", &mut self.tx);
                    self.editor.show(&mut self.tx);
                }
                Step::Event(Event::Complete(word)) => self.complete(&word),
                Step::Event(Event::Eof | Event::Suspend) => {}
                Step::Paused => self.flush(),
                Step::NeedMore | Step::Closed => break,
            }
        }
        self.flush();
        Ok(())
    }
    fn complete(&mut self, word: &str) {
        let found = NAMES.iter().copied().filter(|n| n.starts_with(word));
        let before = self.editor.line().len();
        self.editor.complete(found.clone(), " ", &mut self.tx);
        if found.clone().count() > 1 && self.editor.line().len() == before {
            let mut text: Vec<String> = found.clone().take(2).map(String::from).collect();
            if found.clone().count() > 2 {
                text.push(format!("and {} more", found.count() - 2));
            }
            self.append(&format!("{}\n", text.join("  ")));
        }
    }
    fn leave(&mut self, line: &str) {
        self.open = false;
        self.log.push(line.into());
    }
    fn append(&mut self, text: &str) {
        for part in text.split_inclusive('\n') {
            let body = part.strip_suffix('\n').unwrap_or(part);
            match self.log.last_mut().filter(|_| self.open) {
                Some(last) => last.push_str(body),
                None => self.log.push(body.into()),
            }
            self.open = body.len() == part.len();
        }
    }
    /// Prints above the line.
    pub fn print(&mut self, text: &str) -> Result<(), String> {
        self.append(text);
        self.editor.print(text, &mut self.tx);
        self.flush();
        self.check()
    }
    /// Takes the line off the screen and puts it back.
    pub fn blink(&mut self) -> Result<(), String> {
        self.editor.hide(&mut self.tx);
        self.editor.show(&mut self.tx);
        self.flush();
        self.check()
    }
    /// What was printed is not looked at any more, since the screen is about to be cleared or its size to change.
    pub fn forget(&mut self) {
        self.log.clear();
        self.open = false;
    }
    /// Another width.
    pub fn resize(&mut self, columns: usize) -> Result<(), String> {
        self.forget();
        self.columns = columns;
        self.screen.resize(columns, HEIGHT);
        self.editor.resize(columns as u16, &mut self.tx);
        self.flush();
        self.check()
    }
    fn fitting_prompt(&self) -> &str {
        if self.columns > looks(&self.prompt).1 + 8 { &self.prompt } else { "" }
    }
    fn check(&self) -> Result<(), String> {
        if !self.screen.strange.is_empty() {
            return Err(format!("sent to the terminal: {:?}", self.screen.strange));
        }
        self.check_row()?;
        self.check_log()
    }
    /// The cursor's row shows a part of the line, all of it if it fits, with the cursor where it belongs.
    fn check_row(&self) -> Result<(), String> {
        let (line, at) = (self.editor.line(), self.editor.cursor());
        let (before, after) = line.split_at_checked(at).ok_or("the cursor is inside a character")?;
        let (before, _) = looks(before);
        let (after, _) = looks(after);
        let (_, left, right) = self.screen.cursor();
        let wrong = |what: &str| Err(format!("{what}: {left:?} | {right:?} shows {before:?} | {after:?}"));
        let shown = match left.strip_prefix(self.fitting_prompt()) {
            _ if left.starts_with("(search '") => match left.rsplit_once("') ") {
                Some((_, shown)) => shown,
                None => &left,
            },
            Some(shown) => shown,
            None if before.ends_with(&left) => &left, // a search without room for its prompt
            None => return wrong("no prompt"),
        };
        if !before.ends_with(shown) && !before.ends_with(&left) || !after.trim_end().starts_with(&right) {
            return wrong("another text");
        }
        let room = self.columns - 1 - looks(self.fitting_prompt()).1;
        let searching = left.starts_with("(search");
        if !searching && looks(line).1 <= room && (shown != before || right != after.trim_end()) {
            return wrong("not all of it");
        }
        Ok(())
    }
    /// What was printed is above, complete and in order.
    fn check_log(&self) -> Result<(), String> {
        let mut want: Vec<String> = self.log.iter().flat_map(|l| wrapped(l, self.columns)).collect();
        let (row, _, _) = self.screen.cursor();
        let mut rows = self.screen.text();
        rows.resize(row, String::new());
        want.drain(..want.len().saturating_sub(row));
        let have = rows.split_off(row - want.len());
        if have != want {
            return Err(format!("above the line is\n{}\nand not\n{}", have.join("\n"), want.join("\n")));
        }
        Ok(())
    }
}

/// Plays what a fuzzer has made up: the first byte is the width, then every step has a byte that says what it is and one
/// with its length. What was written, or what was wrong on the screen.
pub fn play(data: &[u8], bytewise: bool) -> Result<Vec<u8>, String> {
    let (width, mut rest) = data.split_first().unwrap_or((&80, &[]));
    let columns = 4 + usize::from(*width) % 90;
    let mut desk = Desk::new(columns, if width % 2 == 0 { "> " } else { "" });
    while let [what, len, tail @ ..] = rest {
        let (bytes, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        match what % 8 {
            0 => desk.print(&String::from_utf8_lossy(bytes).replace('\r', "\u{1}"))?,
            1 => desk.blink()?,
            2 => {
                desk.resize(4 + usize::from(*len) % 90)?;
            }
            _ if bytewise => bytes.iter().try_for_each(|b| desk.keys(&[*b]))?,
            _ => desk.keys(bytes)?,
        }
    }
    Ok(desk.output)
}
