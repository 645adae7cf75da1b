//! JSON for people: indented and coloured while it passes, whatever the pieces it comes in. What is no JSON stays as it is.
use core::fmt::Write;

/// Levels that are indented; deeper ones are not told apart.
const DEEP: usize = 64;
const NAME: &str = "\x1b[34m";
const TEXT: &str = "\x1b[32m";
const OTHER: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// See the module. Text goes in after it was made safe for a terminal: of its own it adds spaces, lines and colours only.
#[derive(Debug, Default)]
pub struct Pretty {
    colour: bool,
    /// What is open: true for an object.
    open: Vec<bool>,
    /// Open brackets beyond those.
    beyond: usize,
    in_text: bool,
    escaped: bool,
    in_other: bool,
    /// A bracket was opened and nothing has come in it.
    fresh: bool,
    /// The next text is a name.
    name: bool,
}

impl Pretty {
    /// With colours, or without.
    pub fn new(colour: bool) -> Self {
        Pretty { colour, ..Pretty::default() }
    }
    fn paint(&self, colour: &str, out: &mut String) {
        if self.colour {
            out.push_str(colour);
        }
    }
    fn line(&self, out: &mut String) {
        let depth = self.open.len();
        let _ = write!(out, "\n{:1$}", "", 2 * depth); // a String takes everything
    }
    /// Something begins where a bracket was opened.
    fn begin(&mut self, out: &mut String) {
        if core::mem::take(&mut self.fresh) && self.beyond == 0 {
            self.line(out);
        }
    }
    fn end_other(&mut self, out: &mut String) {
        if core::mem::take(&mut self.in_other) {
            self.paint(PLAIN, out);
        }
    }
    /// Takes a piece.
    pub fn push(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            self.one(c, out);
        }
    }
    fn one(&mut self, c: char, out: &mut String) {
        if self.in_text {
            out.push(c);
            match c {
                _ if core::mem::take(&mut self.escaped) => {}
                '\\' => self.escaped = true,
                '"' => {
                    self.in_text = false;
                    self.paint(PLAIN, out);
                }
                _ => {}
            }
            return;
        }
        match c {
            ' ' | '\t' | '\n' | '\r' => self.end_other(out),
            '{' | '[' => {
                self.begin(out);
                out.push(c);
                self.fresh = true;
                self.name = c == '{';
                if self.open.len() == DEEP { self.beyond += 1 } else { self.open.push(c == '{') }
            }
            '}' | ']' => {
                self.end_other(out);
                let empty = core::mem::take(&mut self.fresh);
                if self.beyond > 0 {
                    self.beyond -= 1;
                } else {
                    self.open.pop();
                    if !empty {
                        self.line(out);
                    }
                }
                self.name = false;
                out.push(c);
            }
            ',' => {
                self.end_other(out);
                out.push(c);
                self.name = self.beyond == 0 && self.open.last() == Some(&true);
                if self.beyond == 0 && !self.open.is_empty() {
                    self.line(out);
                }
            }
            ':' => {
                self.end_other(out);
                out.push_str(": ");
                self.name = false;
            }
            '"' => {
                self.begin(out);
                self.paint(if self.name { NAME } else { TEXT }, out);
                out.push(c);
                self.in_text = true;
            }
            c => {
                self.begin(out);
                if !core::mem::replace(&mut self.in_other, true) {
                    self.paint(OTHER, out);
                }
                out.push(c);
            }
        }
    }
    /// The body has ended: nothing stays coloured, and a line ends.
    pub fn end(&mut self, out: &mut String) {
        self.end_other(out);
        if core::mem::take(&mut self.in_text) {
            self.paint(PLAIN, out);
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, cut: usize, colour: bool) -> String {
        let (mut pretty, mut out) = (Pretty::new(colour), String::new());
        pretty.push(&text[..cut], &mut out);
        pretty.push(&text[cut..], &mut out);
        pretty.end(&mut out);
        out
    }

    #[test]
    fn json_at_every_cut() {
        for (text, want) in [
            (
                r#"{"a":1,"b":[true,null,{}],"c":{"d":"x, \"{y"}}"#,
                "{\n  \"a\": 1,\n  \"b\": [\n    true,\n    null,\n    {}\n  ],\n  \"c\": {\n    \"d\": \"x, \\\"{y\"\n  }\n}\n",
            ),
            ("[]", "[]\n"),
            (" [ 1 , 2 ] ", "[\n  1,\n  2\n]\n"),
            ("\"a\"", "\"a\"\n"),
            ("{\"a\": \"\\\\\"}", "{\n  \"a\": \"\\\\\"\n}\n"),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(shown(text, cut, false), want, "{cut}");
            }
        }
    }

    #[test]
    fn colours_end_where_they_should() {
        let got = shown(r#"{"a":[1,"b"]}"#, 0, true);
        let want = "{\n  \x1b[34m\"a\"\x1b[0m: [\n    \x1b[33m1\x1b[0m,\n    \x1b[32m\"b\"\x1b[0m\n  ]\n}\n";
        assert_eq!(got, want);
        for text in ["[1", "{\"a", "tru", "\"\\"] {
            assert!(shown(text, 0, true).ends_with("\x1b[0m\n"), "{text}");
        }
    }

    #[test]
    fn what_is_deep_or_no_json_does_no_harm() {
        let deep = "[".repeat(100_000);
        assert!(shown(&deep, 7, false).len() < 2 * 100_000 + DEEP * DEEP * 2);
        let closed = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(shown(&closed, 50, false).ends_with("\n]\n"));
        for text in ["]]]}}", "::,,", "<html>", "é\u{1f600}"] {
            let _ = shown(text, 0, true); // it is shown somehow
        }
    }
}
