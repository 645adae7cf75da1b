//! What people see: heads, bodies on a terminal, a bar, figures.
use super::net::FetchCx;
use crate::text::{Escaped, Json, bytes, is_unsafe};
use core::fmt::{self, Write};
use core::time::Duration;
use proto_core::{Start, Token};

/// Standard output and error.
#[derive(Debug, Default)]
pub struct Screen {
    out: Option<Token>,
    err: Option<Token>,
    /// Standard output is a terminal, so wide.
    pub tty: Option<u16>,
    /// A bar is the last thing on standard error.
    bar: bool,
}

impl Screen {
    /// What a program has when it starts.
    pub fn new(start: &Start) -> Self {
        let tty = start.tty.stdout.then_some(start.tty.columns);
        Screen { out: Some(start.stdout), err: Some(start.stderr), tty, bar: false }
    }
    /// Bytes for standard output, as they are.
    pub fn put(&self, bytes: &[u8], cx: &mut FetchCx<'_>) {
        if let Some(tx) = self.out.and_then(|t| cx.tx(t)) {
            tx.put(bytes);
        }
    }
    /// A line for standard error.
    pub fn note(&mut self, line: &str, cx: &mut FetchCx<'_>) {
        self.clear(cx);
        if let Some(tx) = self.err.and_then(|t| cx.tx(t)) {
            tx.put(line.as_bytes());
            tx.put(b"\n");
        }
    }
    /// Standard output takes no more now.
    pub fn is_full(&self, cx: &mut FetchCx<'_>) -> bool {
        self.out.and_then(|t| cx.tx(t)).is_some_and(|tx| tx.room() == 0)
    }
    /// It is standard output.
    pub fn is_out(&self, t: Token) -> bool {
        self.out == Some(t)
    }
    /// Draws the bar anew.
    pub fn bar(&mut self, text: &str, cx: &mut FetchCx<'_>) {
        if let Some(tx) = self.err.and_then(|t| cx.tx(t)) {
            self.bar = true;
            tx.put(format!("\r{text}\x1b[K").as_bytes());
        }
    }
    /// Takes the bar away.
    pub fn clear(&mut self, cx: &mut FetchCx<'_>) {
        if core::mem::take(&mut self.bar)
            && let Some(tx) = self.err.and_then(|t| cx.tx(t))
        {
            tx.put(b"\r\x1b[K");
        }
    }
}

/// Text of a peer with its lines, quotes and tabs; nothing of it moves the cursor.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a [u8]);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            for c in part.valid().chars() {
                match c {
                    '\n' | '\t' => f.write_char(c)?,
                    c if is_unsafe(c) => write!(f, "{}", Escaped(c.encode_utf8(&mut [0; 4]).as_bytes()))?,
                    c => f.write_char(c)?,
                }
            }
            part.invalid().iter().try_for_each(|b| write!(f, "\\x{b:02x}"))?;
        }
        Ok(())
    }
}

/// The lines of a head, without their ends and without the empty one.
pub fn lines(raw: &[u8]) -> impl Iterator<Item = String> {
    let lines = raw.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    lines.filter(|l| !l.is_empty()).map(|l| Plain(l).to_string())
}

/// `45% [=====>      ] 12 MB of 27 MB, 3.4 MB/s, 4 s left`.
pub fn bar(got: u64, all: Option<u64>, passed: Duration, columns: u16) -> String {
    let rate = got as f64 / passed.as_secs_f64().max(0.001);
    let Some(all) = all.filter(|a| *a > 0) else {
        return format!("{}, {}/s", bytes(got as f64), bytes(rate));
    };
    let left = (all.saturating_sub(got)) as f64 / rate.max(1.0);
    let tail = format!("{} of {}, {}/s, {:.0} s left", bytes(got as f64), bytes(all as f64), bytes(rate), left);
    let part = (got.min(all) as f64) / all as f64;
    let room = usize::from(columns.max(20)).saturating_sub(tail.len() + 9).min(40);
    let done = (part * room as f64) as usize;
    let head = format!("{:3.0}%", part * 100.0);
    if room < 8 {
        return format!("{head} {tail}");
    }
    format!("{head} [{}>{}] {tail}", "=".repeat(done), " ".repeat(room - done))
}

/// What can be said about an answer afterwards: names and values, numbers as text.
pub type Figures = Vec<(&'static str, Figure)>;

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Figure {
    /// Text of ours or of a peer.
    Text(String),
    /// A number.
    Count(u64),
    /// Seconds.
    Span(Duration),
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figure::Text(t) => write!(f, "{}", Plain(t.as_bytes())),
            Figure::Count(n) => write!(f, "{n}"),
            Figure::Span(d) => write!(f, "{:.6}", d.as_secs_f64()),
        }
    }
}

/// Fills `%{name}`, `\n`, `\t`, `\r`, `\\` and `%%` into a text; names that are not known stay empty.
pub fn write_out(format: &str, figures: &Figures) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        let tail = rest.get(c.len_utf8()..).unwrap_or_default();
        let named = tail.strip_prefix('{').filter(|_| c == '%').and_then(|t| t.split_once('}'));
        rest = match (c, tail.chars().next()) {
            _ if let Some((name, after)) = named => {
                if let Some((_, figure)) = figures.iter().find(|(n, _)| *n == name) {
                    let _ = write!(out, "{figure}"); // a String takes everything
                }
                after
            }
            ('%', Some('%')) | ('\\', Some('\\' | 'n' | 't' | 'r')) => {
                out.push(match tail.chars().next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(c) => c,
                    None => '%',
                });
                tail.get(1..).unwrap_or_default()
            }
            _ => {
                out.push(c);
                tail
            }
        };
    }
    out
}

/// The same as one line of JSON.
pub fn json(figures: &Figures) -> String {
    let mut out = String::from("{\"schema\":\"drywire/httpclient/1\"");
    for (name, figure) in figures {
        // A String takes everything.
        let _ = match figure {
            Figure::Text(t) => write!(out, ",\"{name}\":{}", Json(t)),
            other => write!(out, ",\"{name}\":{other}"),
        };
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let figures: Figures = vec![
            ("http_code", Figure::Count(200)),
            ("content_type", Figure::Text("a\u{1b}\"b".into())),
            ("time_total", Figure::Span(Duration::from_millis(1500))),
        ];
        let text = write_out(r"%{http_code}|%{time_total}|%{nope}|%%\n\t\\%{http_code|é\q", &figures);
        assert_eq!(text, "200|1.500000||%\n\t\\%{http_code|é\\q");
        let want =
            r#"{"schema":"drywire/httpclient/1","http_code":200,"content_type":"a\u001b\"b","time_total":1.500000}"#;
        assert_eq!(json(&figures), want);
    }

    #[test]
    fn nothing_of_a_peer_moves_the_cursor() {
        assert_eq!(Plain(b"a\tb\n\"c\\\"\r\x1b[2J\xff\xc2\x9b").to_string(), "a\tb\n\"c\\\"\\r\\x1b[2J\\xff\\u{9b}");
        let raw = b"HTTP/1.1 200 O\x9bK\r\nA: \"b\"\r\n\r\n";
        assert_eq!(lines(raw).collect::<Vec<_>>(), ["HTTP/1.1 200 O\\x9bK", "A: \"b\""]);
    }

    #[test]
    fn bars() {
        let s = Duration::from_secs(2);
        assert_eq!(bar(2_000_000, None, s, 80), "2.0 MB, 1.0 MB/s");
        let text = bar(50, Some(100), s, 80);
        assert!(text.starts_with(" 50% [=") && text.ends_with("50 B of 100 B, 25 B/s, 2 s left"), "{text}");
        for columns in 0..200 {
            assert!(bar(5, Some(10), s, columns).len() <= 80);
        }
    }
}
