//! What is on the screen: text that has been printed, and below it one row with the line being edited.
//!
//! The row never reaches the last column, so no terminal wraps it; a longer line is scrolled sideways. What is printed
//! goes above it. Nothing but the row is ever erased.
use crate::Tx;
use alloc::{format, vec::Vec};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;
/// Fewer are treated as this many: a wide character, and the last column, which stays free.
const FEWEST: usize = 4;
/// A prompt that would leave fewer columns than this for the line is not shown.
const USEFUL: usize = 8;
/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// What a character is shown as, and how many columns that takes. What could move the cursor, hide or reorder text
/// becomes a mark.
pub(super) fn cell(g: &str) -> (&str, usize) {
    match g {
        "\n" => ("\u{21b5}", 1),
        "\t" => (" ", 1),
        g if g.is_ascii() => {
            if g.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                (g, g.len())
            } else {
                ("\u{fffd}", 1)
            }
        }
        g => match g.width() {
            w @ 1..=16 if !g.chars().any(is_unsafe) => (g, w),
            _ => ("\u{fffd}", 1),
        },
    }
}

/// Controls, bidirectional overrides and isolates, line separators, annotations and tags.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

fn width(text: &str) -> usize {
    text.graphemes(true).map(|g| cell(g).1).sum()
}

fn put_cells(text: &str, tx: &mut Tx) {
    text.graphemes(true).for_each(|g| tx.put(cell(g).0.as_bytes()));
}

/// See the module.
#[derive(Debug)]
pub(super) struct View {
    columns: usize,
    /// The row is on the screen.
    pub shown: bool,
    /// Where printed text that has no line end yet stops, in columns; 0 if it has. With the row on the screen, that is
    /// one row up, unless the text has filled its row.
    col: usize,
    /// That text has filled its row, and the cursor went on to the next: a line end that follows is there already.
    filled: bool,
    /// The first byte of the line that is shown.
    start: usize,
    /// The cursor is behind the last character, in this column of those that the line may use.
    tip: Option<usize>,
}

impl View {
    pub fn new() -> Self {
        View { columns: COLUMNS, shown: false, col: 0, filled: false, start: 0, tip: None }
    }
    /// A new width; what an emulator made of rows that were there is unknown.
    pub fn resize(&mut self, columns: usize) {
        self.columns = if columns == 0 { COLUMNS } else { columns.max(FEWEST) };
        self.break_off();
    }
    /// What was printed is not continued.
    pub fn break_off(&mut self) {
        self.col = 0;
        self.filled = false;
        self.tip = None;
    }
    /// Takes the row off the screen; the cursor is then where printed text goes on.
    fn lift(&mut self, tx: &mut Tx) {
        tx.put(b"\r\x1b[K");
        if self.col >= self.columns {
            (self.col, self.filled) = (0, true);
        } else if self.col > 0 {
            tx.put(format!("\x1b[A\x1b[{}C", self.col).as_bytes());
        }
    }
    /// Puts the row on the screen, below what was printed.
    fn set(&mut self, prompt: &str, text: &str, at: usize, tx: &mut Tx) {
        if self.col > 0 {
            tx.put(b"\r\n");
        }
        self.draw(prompt, text, at, tx);
    }
    pub fn show(&mut self, prompt: &str, text: &str, at: usize, tx: &mut Tx) {
        if !self.shown {
            self.shown = true;
            self.set(prompt, text, at, tx);
        }
    }
    pub fn hide(&mut self, tx: &mut Tx) {
        if core::mem::take(&mut self.shown) {
            self.lift(tx);
        }
    }
    /// Prints above the row.
    pub fn print(&mut self, what: &str, prompt: &str, text: &str, at: usize, tx: &mut Tx) {
        if what.is_empty() {
            return;
        }
        if self.shown {
            self.lift(tx);
        }
        for g in what.graphemes(true) {
            self.advance(g, tx);
        }
        if self.shown {
            self.set(prompt, text, at, tx);
        }
    }
    fn advance(&mut self, g: &str, tx: &mut Tx) {
        let filled = core::mem::take(&mut self.filled);
        let (seen, w) = match g {
            "\n" | "\r\n" if filled => return,
            "\n" | "\r\n" => {
                self.col = 0;
                return tx.put(b"\r\n");
            }
            "\t" => {
                let at = if self.col >= self.columns { 0 } else { self.col };
                let n = (TAB - at % TAB).min(self.columns - at);
                self.col = at + n;
                return (0..n).for_each(|_| tx.put(b" "));
            }
            g => cell(g),
        };
        tx.put(seen.as_bytes());
        self.col = if self.col + w > self.columns { w.min(self.columns) } else { self.col + w };
    }
    /// The prompt as far as there is room for it, its width, and the columns that the line may use, one of which is the
    /// cursor's when it is behind the last character.
    fn layout<'p>(&self, prompt: &'p str) -> (&'p str, usize, usize) {
        let w = width(prompt);
        match self.columns.checked_sub(w) {
            Some(left) if left > USEFUL => (prompt, w, left - 1),
            _ => ("", 0, self.columns - 1),
        }
    }
    /// Draws the row anew.
    pub fn draw(&mut self, prompt: &str, text: &str, at: usize, tx: &mut Tx) {
        if !self.shown {
            return;
        }
        let (prompt, indent, room) = self.layout(prompt);
        let mut cells: Vec<(usize, &str, usize)> = Vec::new();
        let (mut total, mut cursor, mut from) = (0, 0, 0);
        for (i, g) in text.grapheme_indices(true) {
            let (seen, w) = cell(g);
            if i < at {
                cursor = total + w;
            }
            if i < self.start {
                from = total + w;
            }
            cells.push((i, seen, total));
            total += w;
        }
        from = match from {
            _ if total <= room => 0,
            from if cursor < from => cursor.saturating_sub(room / 3),
            from if cursor > from + room => cursor - room * 2 / 3,
            from => from,
        };
        let first = cells.iter().find(|(_, _, col)| *col >= from);
        (self.start, from) = first.map_or((text.len(), total), |(i, _, col)| (*i, *col));
        tx.put(b"\r");
        put_cells(prompt, tx);
        let mut drawn = from;
        let ends = cells.iter().skip(1).map(|(_, _, col)| *col).chain([total]);
        for ((_, seen, _), end) in cells.iter().zip(ends).filter(|((_, _, col), _)| *col >= from) {
            if end > from + room {
                break;
            }
            tx.put(seen.as_bytes());
            drawn = end;
        }
        tx.put(b"\x1b[K");
        if cursor != drawn {
            tx.put(b"\r");
            let column = indent + cursor - from;
            if column > 0 {
                tx.put(format!("\x1b[{column}C").as_bytes());
            }
        }
        self.tip = (at == text.len()).then_some(cursor - from);
    }
    /// The line has got `c` at its end, and the cursor is behind it: often that is all there is to draw.
    pub fn grown(&mut self, c: char, prompt: &str, text: &str, tx: &mut Tx) {
        let room = self.layout(prompt).2;
        let plain = text.bytes().rev().take(2).all(|b| (0x20..0x7f).contains(&b));
        match self.tip.filter(|tip| self.shown && plain && *tip < room) {
            Some(tip) => {
                tx.put(&[c as u8]);
                self.tip = Some(tip + 1);
            }
            None => self.draw(prompt, text, text.len(), tx),
        }
    }
    /// Leaves the whole line, and `mark`, behind as printed text; the row is off the screen.
    pub fn leave(&mut self, prompt: &str, text: &str, mark: &str, tx: &mut Tx) {
        if core::mem::take(&mut self.shown) {
            let prompt = self.layout(prompt).0;
            tx.put(b"\r\x1b[K");
            [prompt, text, mark].into_iter().for_each(|part| put_cells(part, tx));
            tx.put(b"\r\n");
        }
        self.start = 0;
        self.break_off();
    }
    /// Takes the row off the screen; what is printed next begins in its place.
    pub fn vanish(&mut self, tx: &mut Tx) {
        if core::mem::take(&mut self.shown) {
            tx.put(b"\r\x1b[K");
        }
        self.start = 0;
        self.break_off();
    }
    /// An empty screen.
    pub fn clear(&mut self, tx: &mut Tx) {
        tx.put(b"\x1b[H\x1b[2J");
        self.break_off();
    }
}
