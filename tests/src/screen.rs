//! A terminal's screen, as far as our tools draw on one: what a person would see. What it does not know is kept apart, so
//! that a test can insist that there is none.
use std::borrow::Cow;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

#[derive(Clone, Debug, PartialEq)]
enum State {
    Ground,
    Escape,
    Sequence(String),
}

/// What a cell shows; nothing in the second half of a wide character. Most need no storage of their own.
type Cell = Cow<'static, str>;

const BLANK: Cell = Cow::Borrowed(" ");
const NOTHING: Cell = Cow::Borrowed("");
/// From blank on.
const ASCII: &str = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";

fn cell(text: &str) -> Cell {
    let plain = ASCII.find(text).filter(|_| text.len() == 1).and_then(|i| ASCII.get(i..=i));
    plain.map_or_else(|| Cow::Owned(text.into()), Cow::Borrowed)
}

/// See the module. Rows that scroll off the top stay readable.
#[derive(Clone, Debug)]
pub struct Screen {
    columns: usize,
    height: usize,
    rows: Vec<Vec<Cell>>,
    row: usize,
    col: usize,
    /// The last column was filled: the next character begins a new row.
    wrap: bool,
    /// Where the last character is, for marks that join it.
    last: Option<(usize, usize)>,
    state: State,
    partial: Vec<u8>,
    /// Control characters and sequences that no tool of ours has a reason to send.
    pub strange: Vec<String>,
    /// Bells rung.
    pub bells: usize,
    /// Pastes are to be marked.
    pub marks_pastes: bool,
}

impl Screen {
    /// An empty one.
    pub fn new(columns: usize, height: usize) -> Self {
        Screen {
            columns,
            height,
            rows: vec![Vec::new()],
            row: 0,
            col: 0,
            wrap: false,
            last: None,
            state: State::Ground,
            partial: Vec::new(),
            strange: Vec::new(),
            bells: 0,
            marks_pastes: false,
        }
    }
    /// Another size; rows stay as they are.
    pub fn resize(&mut self, columns: usize, height: usize) {
        (self.columns, self.height, self.wrap) = (columns, height, false);
        self.col = self.col.min(columns - 1);
    }
    /// All rows from the first that was ever shown, without blanks at their ends; empty rows at the end are left out.
    pub fn text(&self) -> Vec<String> {
        let mut rows: Vec<String> = (0..self.rows.len()).map(|i| self.line(i)).collect();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }
    fn line(&self, row: usize) -> String {
        self.rows.get(row).map_or(String::new(), |r| r.concat().trim_end().into())
    }
    /// The cursor's row, and what is left of the cursor and from it on.
    pub fn cursor(&self) -> (usize, String, String) {
        let cells = self.rows.get(self.row).map_or(&[][..], Vec::as_slice);
        let (left, right) = cells.split_at(self.col.min(cells.len()));
        let left = format!("{}{}", left.concat(), " ".repeat(self.col.saturating_sub(cells.len())));
        (self.row, left, right.concat().trim_end().into())
    }
    /// Shows what a program has written.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.partial.push(b);
            match std::str::from_utf8(&self.partial) {
                Ok(text) => {
                    let c = text.chars().next();
                    self.partial.clear();
                    c.into_iter().for_each(|c| self.character(c));
                }
                Err(e) if e.error_len().is_none() => {}
                Err(_) => {
                    self.strange.push(format!("bytes {:02x?}", self.partial));
                    self.partial.clear();
                }
            }
        }
    }
    fn character(&mut self, c: char) {
        match std::mem::replace(&mut self.state, State::Ground) {
            State::Ground => self.ground(c),
            State::Escape if c == '[' => self.state = State::Sequence(String::new()),
            State::Escape => self.strange.push(format!("ESC {c:?}")),
            State::Sequence(mut parameters) => match c {
                '0'..='?' => {
                    parameters.push(c);
                    self.state = State::Sequence(parameters);
                }
                _ => self.sequence(&parameters, c),
            },
        }
    }
    fn ground(&mut self, c: char) {
        match c {
            '\x1b' => self.state = State::Escape,
            '\r' => self.go(self.row, 0),
            '\n' => self.line_feed(),
            '\x07' => self.bells += 1,
            '\x08' => self.go(self.row, self.col.saturating_sub(1)), // a terminal's own echo of a deletion
            c if c.is_control() => self.strange.push(format!("{c:?}")),
            c => self.put(c),
        }
    }
    fn go(&mut self, row: usize, col: usize) {
        (self.row, self.col, self.wrap, self.last) = (row, col, false, None);
    }
    fn line_feed(&mut self) {
        self.go(self.row + 1, self.col);
        if self.rows.len() <= self.row {
            self.rows.resize(self.row + 1, Vec::new());
        }
    }
    fn top(&self) -> usize {
        self.rows.len().saturating_sub(self.height)
    }
    fn put(&mut self, c: char) {
        if self.joins(c) {
            return;
        }
        let mut buffer = [0; 4];
        let text = c.encode_utf8(&mut buffer);
        let w = text.width().min(self.columns);
        if self.wrap || self.col + w > self.columns {
            self.go(self.row, 0);
            self.line_feed();
        }
        let (row, col) = (self.row, self.col);
        self.cell(row, col, text, w);
        self.last = Some((row, col));
        self.advance(col + w);
    }
    fn advance(&mut self, col: usize) {
        self.wrap = col >= self.columns;
        self.col = col.min(self.columns - 1);
    }
    fn cell(&mut self, row: usize, col: usize, text: &str, w: usize) {
        let cells = &mut self.rows[row];
        if cells.len() < col + w.max(1) {
            cells.resize(col + w.max(1), BLANK);
        }
        cells[col] = cell(text);
        cells[col + 1..col + w.max(1)].fill(NOTHING);
    }
    /// A mark, or the second part of what people see as one character.
    fn joins(&mut self, c: char) -> bool {
        let Some((row, col)) = self.last else { return false };
        if c.is_ascii() && self.rows[row][col].is_ascii() {
            return false;
        }
        let joined = format!("{}{c}", self.rows[row][col]);
        if joined.graphemes(true).count() != 1 {
            return false;
        }
        let w = joined.width().clamp(1, self.columns - col);
        self.cell(row, col, &joined, w);
        self.row = row;
        self.advance(col + w);
        true
    }
    fn sequence(&mut self, parameters: &str, last: char) {
        let n = parameters.parse().unwrap_or(1);
        self.last = None;
        match (parameters, last) {
            (_, 'A') => self.go(self.row.saturating_sub(n).max(self.top()), self.col),
            (_, 'C') => self.go(self.row, (self.col + n).min(self.columns - 1)),
            ("", 'H') => self.go(self.top(), 0),
            ("" | "0", 'K') => self.rows[self.row].truncate(self.col),
            ("" | "0", 'J') => {
                self.rows[self.row].truncate(self.col);
                self.rows.iter_mut().skip(self.row + 1).for_each(Vec::clear);
            }
            ("2", 'J') => {
                let top = self.top();
                self.rows.iter_mut().skip(top).for_each(Vec::clear);
            }
            ("?2004", 'h' | 'l') => self.marks_pastes = last == 'h',
            _ => self.strange.push(format!("CSI {parameters:?} {last:?}")),
        }
    }
}
