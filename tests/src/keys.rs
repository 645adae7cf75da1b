//! What people do at a terminal, at random.
use crate::drive::Rng;

/// Keys that people press, and some that they do not.
const KEYS: [&str; 40] = [
    "a",
    "b",
    "x",
    "word ",
    "é",
    "世界",
    "👨‍👩‍👧",
    "e\u{301}",
    "\u{301}",
    "\u{202e}",
    "0123456789012345678901234567890123456789",
    "\x1b[D",
    "\x1b[C",
    "\x1b[A",
    "\x1b[B",
    "\x1b[H",
    "\x1bOF",
    "\x1b[1;5D",
    "\x1b[1;5C",
    "\x1b[3~",
    "\x1b[15~",
    "\x1bb",
    "\x1bd",
    "\x7f",
    "\x01",
    "\x03",
    "\x04",
    "\x07",
    "\x0b",
    "\x12",
    "\x14",
    "\x15",
    "\x17",
    "\x19",
    "\r",
    "\t",
    "al\t",
    "\x1b[200~one\ntwo\tthree\x1b[31m\x03\x1b[201~",
    "\x1b[200~",
    "\x1b[201~",
];
/// What is printed meanwhile.
const TEXTS: [&str; 9] = [
    "hello\n",
    "no end",
    " and more",
    "\n",
    "a\tb\tc\n",
    "世界世界世界世界世界\n",
    "0123456789012345678901234567890123456789 a long one\n",
    "\x1b[2J\x07evil\x08\u{9b}2J\n",
    "two\nlines\n",
];

/// Steps in the form that [`crate::desk::play`] reads.
pub fn steps(seed: u64) -> Vec<u8> {
    let mut rng = Rng(seed);
    let mut data = vec![rng.below(256) as u8];
    for _ in 0..rng.below(60) {
        let (what, bytes): (u8, &str) = match rng.below(12) {
            0 | 1 => (0, TEXTS[rng.below(TEXTS.len())]),
            2 => (1, ""),
            3 if seed.is_multiple_of(4) => (2, "x"),
            _ => (3, KEYS[rng.below(KEYS.len())]),
        };
        data.extend([what, bytes.len() as u8]);
        data.extend(bytes.as_bytes());
    }
    data
}
