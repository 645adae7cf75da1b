//! Which names are good, and when two are the same.
use unicode_normalization::UnicodeNormalization;

/// Longest nickname in characters; a room's name has one less, and `#`.
const LENGTH: usize = 32;

/// 1 to 32 letters, digits, `_` or `-`, of any script.
pub fn is_nick(s: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    (1..=LENGTH).contains(&s.chars().count()) && s.chars().all(good)
}

/// `#`, then 1 to 31 letters, digits, `_` or `-`.
pub fn is_room(s: &str) -> bool {
    s.strip_prefix('#').is_some_and(|s| is_nick(s) && s.chars().count() < LENGTH)
}

/// Names that look alike are the same: compatibility forms composed, letters folded.
pub fn folded(s: &str) -> String {
    s.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// A line fit to be shown to others: no control characters, nothing that reorders or hides text.
pub fn clean(s: &str) -> String {
    s.chars().filter(|c| !crate::text::is_unsafe(*c) || *c == '\u{200d}').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames() {
        for good in ["Alice", "a", "Zoë", "李雷", "x_1-y", &"n".repeat(32)] {
            assert!(is_nick(good), "{good}");
        }
        for bad in ["", "a b", "a\u{1b}[2J", "x\u{200b}y", "\u{202e}evil", "<a>", &"n".repeat(33)] {
            assert!(!is_nick(bad), "{bad:?}");
        }
        assert!(is_room("#lobby") && !is_room("lobby") && !is_room("#") && !is_room(&format!("#{}", "r".repeat(32))));
    }

    #[test]
    fn lookalikes_are_the_same_name() {
        assert_eq!(folded("ALICE"), folded("alice"));
        assert_eq!(folded("ﬁn"), folded("fin")); // a ligature
        assert_eq!(folded("Ａlice"), folded("alice")); // full width
        assert_ne!(folded("alice"), folded("alic3"));
    }

    #[test]
    fn cleaning_removes_what_moves_the_cursor() {
        assert_eq!(clean("hi\x1b[31m\u{202e}there\x07\u{9b}"), "hi[31mthere");
    }
}
