//! The line being edited: text, and a cursor that is always between two characters as people see them.
use alloc::string::String;
use core::mem;
use unicode_segmentation::GraphemeCursor;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    at: usize,
}

impl Text {
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// Where the cursor is, in bytes.
    pub fn at(&self) -> usize {
        self.at
    }
    pub fn before(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }
    pub fn after(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }
    pub fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }
    pub fn take(&mut self) -> String {
        self.at = 0;
        mem::take(&mut self.text)
    }
    /// Replaces all of it; the cursor goes to the end.
    pub fn set(&mut self, text: &str) {
        self.text.clear();
        self.text.push_str(text);
        self.at = self.text.len();
    }
    /// Inserts before the cursor; false, and nothing is done, if it would become longer than `limit` bytes.
    pub fn insert(&mut self, what: &str, limit: usize) -> bool {
        if self.text.len() + what.len() > limit {
            return false;
        }
        self.text.insert_str(self.at, what);
        self.at += what.len();
        self.snap();
        true
    }
    /// A mark may have joined what is before the cursor with what follows.
    fn snap(&mut self) {
        let mut c = GraphemeCursor::new(self.at, self.text.len(), true);
        if let (Ok(false), Ok(Some(next))) = (c.is_boundary(&self.text, 0), c.next_boundary(&self.text, 0)) {
            self.at = next;
        }
    }
    fn previous(&self) -> usize {
        let mut c = GraphemeCursor::new(self.at, self.text.len(), true);
        c.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }
    fn next(&self) -> usize {
        let mut c = GraphemeCursor::new(self.at, self.text.len(), true);
        c.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }
    pub fn left(&mut self) {
        self.at = self.previous();
    }
    pub fn right(&mut self) {
        self.at = self.next();
    }
    pub fn home(&mut self) {
        self.at = 0;
    }
    pub fn end(&mut self) {
        self.at = self.text.len();
    }
    pub fn word_left(&mut self) {
        self.at = self.word_start();
        self.snap();
    }
    pub fn word_right(&mut self) {
        self.at = self.word_end();
        self.snap();
    }
    fn word_start(&self) -> usize {
        let head = self.before().trim_end_matches(|c: char| !c.is_alphanumeric());
        head.trim_end_matches(char::is_alphanumeric).len()
    }
    fn word_end(&self) -> usize {
        let tail = self.after().trim_start_matches(|c: char| !c.is_alphanumeric());
        self.text.len() - tail.trim_start_matches(char::is_alphanumeric).len()
    }
    fn cut(&mut self, from: usize, to: usize) -> String {
        let (from, to) = (from.min(to), to.min(self.text.len()));
        let killed = self.text.get(from..to).unwrap_or_default().into();
        self.text.replace_range(from..to, "");
        self.at = from;
        self.snap();
        killed
    }
    pub fn backspace(&mut self) -> String {
        self.cut(self.previous(), self.at)
    }
    pub fn delete(&mut self) -> String {
        self.cut(self.at, self.next())
    }
    pub fn kill_to_end(&mut self) -> String {
        self.cut(self.at, self.text.len())
    }
    pub fn kill_to_start(&mut self) -> String {
        self.cut(0, self.at)
    }
    pub fn kill_word_left(&mut self) -> String {
        self.cut(self.word_start(), self.at)
    }
    pub fn kill_word_right(&mut self) -> String {
        self.cut(self.at, self.word_end())
    }
    /// Where the word before the cursor begins, words being what white space parts.
    pub fn blank_word_start(&self) -> usize {
        self.before().trim_end().trim_end_matches(|c: char| !c.is_whitespace()).len()
    }
    pub fn kill_blank_word(&mut self) -> String {
        self.cut(self.blank_word_start(), self.at)
    }
    /// What is to be completed: from the last white space to the cursor, so nothing right behind white space.
    pub fn word(&self) -> &str {
        self.before().rsplit(char::is_whitespace).next().unwrap_or_default()
    }
    /// Puts `with` in the place of the last `n` bytes before the cursor; false if that does not fit.
    pub fn replace_before(&mut self, n: usize, with: &str, limit: usize) -> bool {
        if self.text.len().saturating_sub(n) + with.len() > limit {
            return false;
        }
        self.cut(self.at.saturating_sub(n), self.at);
        self.insert(with, limit)
    }
    /// Exchanges the character before the cursor with the one under it, or the last two.
    pub fn swap(&mut self) {
        if self.is_at_end() {
            self.left();
        }
        let (from, middle, to) = (self.previous(), self.at, self.next());
        let (Some(a), Some(b)) = (self.text.get(from..middle), self.text.get(middle..to)) else { return };
        let swapped = alloc::format!("{b}{a}");
        self.text.replace_range(from..to, &swapped);
        self.at = to;
        self.snap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(before: &str, after: &str) -> Text {
        Text { text: alloc::format!("{before}{after}"), at: before.len() }
    }

    #[test]
    fn a_character_is_what_people_see() {
        let mut t = text("ae\u{301}👨‍👩‍👧", "");
        t.left();
        assert_eq!(t.before(), "ae\u{301}");
        t.backspace();
        assert_eq!((t.before(), t.after()), ("a", "👨‍👩‍👧"));
        t.delete();
        assert_eq!(t.as_str(), "a");
        let mut t = text("x", "\u{301}y");
        t.snap();
        assert_eq!(t.before(), "x\u{301}");
    }

    #[test]
    fn words() {
        let mut t = text("/msg Bob hey, you", "");
        t.word_left();
        assert_eq!(t.after(), "you");
        assert_eq!(t.kill_word_left(), "hey, ");
        assert_eq!(t.kill_blank_word(), "Bob ");
        t.word_right();
        assert_eq!((t.before(), t.word()), ("/msg you", "you"));
        assert_eq!(text("a ", "").word(), "");
    }

    #[test]
    fn swaps_and_limits() {
        let mut t = text("ab", "");
        t.swap();
        assert_eq!(t.as_str(), "ba");
        t.swap();
        assert_eq!(t.as_str(), "ab");
        let mut one = text("a", "");
        one.swap();
        assert_eq!(one.as_str(), "a");
        assert!(!t.insert("é", 3), "it would have 4 bytes");
        assert!(t.insert("c", 3) && !t.replace_before(1, "de", 3));
        assert_eq!(t.as_str(), "abc");
    }
}
