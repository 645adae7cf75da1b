//! Lines that were entered before: bounded in number and bytes, the oldest go first.
use super::Limits;
use alloc::collections::VecDeque;
use alloc::string::String;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    lines: VecDeque<String>,
    bytes: usize,
    /// The line that is shown, if it is one of these.
    at: Option<usize>,
    /// What was typed before the first step back.
    draft: String,
}

impl History {
    /// Keeps a line, unless it is empty or the last one again.
    pub fn push(&mut self, line: &str, limits: &Limits) {
        self.at = None;
        self.draft.clear();
        if line.is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line.into());
        while self.lines.len() > limits.history || self.bytes > limits.history_bytes {
            self.bytes -= self.lines.pop_front().map_or(self.bytes, |old| old.len());
        }
    }
    /// The line before the one shown; `now` is what is shown.
    pub fn older(&mut self, now: &str) -> Option<&str> {
        let at = self.at.unwrap_or(self.lines.len()).checked_sub(1)?;
        if self.at.is_none() {
            self.draft = now.into();
        }
        self.go(at)
    }
    /// The line after the one shown; in the end what was typed.
    pub fn newer(&mut self) -> Option<&str> {
        let at = self.at? + 1;
        if at < self.lines.len() {
            return self.go(at);
        }
        self.at = None;
        Some(&self.draft)
    }
    fn go(&mut self, at: usize) -> Option<&str> {
        self.at = Some(at);
        self.lines.get(at).map(String::as_str)
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }
    /// The newest line with `what` in it among the first `before`.
    pub fn find(&self, what: &str, before: usize) -> Option<(usize, &str)> {
        let older = self.lines.iter().enumerate().take(before);
        older.rev().find(|(_, l)| l.contains(what)).map(|(i, l)| (i, l.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_and_down_and_the_draft() {
        let (mut h, limits) = (History::default(), Limits::default());
        for line in ["one", "two", "two", ""] {
            h.push(line, &limits);
        }
        assert_eq!(h.newer(), None);
        assert_eq!(h.older("dra"), Some("two"));
        assert_eq!(h.older("two"), Some("one"), "the same line again is kept once");
        assert_eq!(h.older("one"), None);
        assert_eq!(h.newer(), Some("two"));
        assert_eq!(h.newer(), Some("dra"), "what was typed before");
        assert_eq!(h.newer(), None);
    }

    #[test]
    fn bounded() {
        let limits = Limits { history: 3, history_bytes: 10, ..Limits::default() };
        let mut h = History::default();
        for i in 0..100 {
            h.push(&alloc::format!("{i}"), &limits);
        }
        assert_eq!((h.len(), h.bytes), (3, 6));
        h.push("123456", &limits);
        assert_eq!((h.len(), h.bytes), (3, 10));
        h.push("12345678901", &limits);
        assert_eq!((h.len(), h.bytes), (0, 0), "a line that is larger than all may be");
    }
}
