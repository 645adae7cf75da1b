//! The machines of `proto-core`, as subjects of transcripts, laws and fuzzing.
use crate::drive::{Said, Subject};
use proto_core::{Tx, dns, echo, http1, line, terminal};
use std::str::FromStr;

type Settings = [(String, String)];

/// Hands each setting to `f`, which says whether it knows it.
fn each(settings: &Settings, mut f: impl FnMut(&str, &str) -> Result<bool, String>) -> Result<(), String> {
    for (name, value) in settings {
        if !f(name, value)? {
            return Err(format!("no such setting: {name}"));
        }
    }
    Ok(())
}

fn number<T: FromStr>(value: &str, field: &mut T) -> Result<bool, String> {
    *field = value.parse().map_err(|_| format!("not a number: {value}"))?;
    Ok(true)
}

fn http_limit(limits: &mut http1::Limits, name: &str, value: &str) -> Result<bool, String> {
    match name {
        "request_line" => number(value, &mut limits.request_line),
        "head" => number(value, &mut limits.head),
        "fields" => number(value, &mut limits.fields),
        "body" => number(value, &mut limits.body),
        "chunk_line" => number(value, &mut limits.chunk_line),
        "chunk_extensions" => number(value, &mut limits.chunk_extensions),
        "chunk_framing" => number(value, &mut limits.chunk_framing),
        "trailers" => number(value, &mut limits.trailers),
        "trailer_fields" => number(value, &mut limits.trailer_fields),
        _ => Ok(false),
    }
}

/// [`line::Lines`].
pub struct Lines;

impl Subject for Lines {
    type Machine = line::Lines;
    fn new(settings: &Settings) -> Result<line::Lines, String> {
        let mut limits = line::Limits::default();
        each(settings, |name, value| if name == "line" { number(value, &mut limits.line) } else { Ok(false) })?;
        Ok(line::Lines::new(limits))
    }
    fn said(event: line::Event<'_>, _: &mut Tx) -> Said {
        Said::Event(match event {
            line::Event::Line(l) => format!("line {}", l.escape_ascii()),
            line::Event::TooLong(l) => format!("too long {}", l.escape_ascii()),
        })
    }
}

/// [`dns::Frames`].
pub struct DnsFrames;

impl Subject for DnsFrames {
    type Machine = dns::Frames;
    fn new(settings: &Settings) -> Result<dns::Frames, String> {
        each(settings, |_, _| Ok(false))?;
        Ok(dns::Frames::default())
    }
    fn said(dns::Frame(message): dns::Frame<'_>, _: &mut Tx) -> Said {
        Said::Event(format!("message {}", message.escape_ascii()))
    }
    fn command(frames: &mut dns::Frames, tx: &mut Tx, text: &str) -> Result<(), String> {
        let message = text.strip_prefix("send ").ok_or_else(|| format!("no such command: {text}"))?;
        frames.send(&crate::transcript::unescape(message)?, tx).map_err(|m| m.to_string())
    }
}

/// [`http1::Requests`].
pub struct Requests;

impl Subject for Requests {
    type Machine = http1::Requests;
    fn new(settings: &Settings) -> Result<http1::Requests, String> {
        let mut limits = http1::Limits::default();
        each(settings, |name, value| http_limit(&mut limits, name, value))?;
        Ok(http1::Requests::new(limits))
    }
    fn said(event: http1::Event<'_>, _: &mut Tx) -> Said {
        let http1::Event::Request { raw, head_len, method, version, keep_alive } = event;
        let first = raw.split(|b| *b == b'\r').next().unwrap_or_default();
        let (first, cut) = first.get(..60).map_or((first, ""), |f| (f, "..."));
        let body = raw.get(head_len..).unwrap_or_default();
        let body = match body.get(..60) {
            Some(b) if body.len() > 60 => format!("{}...", b.escape_ascii()),
            _ => body.escape_ascii().to_string(),
        };
        let stay = if keep_alive { "keep" } else { "close" };
        let first = first.escape_ascii();
        Said::Event(format!("{method:?} {version:?} {stay} {head_len}+{} {first}{cut} | {body}", raw.len() - head_len))
    }
}

/// [`echo::Echo`], with the app's part: bytes go back.
pub struct Echo;

impl Subject for Echo {
    type Machine = echo::Echo;
    const PIECES: &'static [&'static str] = &["bytes"];
    fn new(settings: &Settings) -> Result<echo::Echo, String> {
        let mut limits = echo::Limits::default();
        let mut mode = echo::Mode::Auto;
        each(settings, |name, value| match (name, value) {
            ("mode", "auto" | "on" | "off") => {
                mode = match value {
                    "on" => echo::Mode::On,
                    "off" => echo::Mode::Off,
                    _ => echo::Mode::Auto,
                };
                Ok(true)
            }
            _ => http_limit(&mut limits.http, name, value),
        })?;
        Ok(echo::Echo::new(mode, limits))
    }
    fn said(event: echo::Event<'_>, tx: &mut Tx) -> Said {
        match event {
            echo::Event::Bytes(bytes) => {
                tx.put(bytes);
                Said::Piece("bytes", bytes.to_vec())
            }
            echo::Event::Answered(n) => Said::Event(format!("answered {n}")),
        }
    }
}

/// [`terminal::Editor`] on a screen of 40 columns, or of `columns`; Tab completes nothing.
pub struct Keys;

impl Subject for Keys {
    type Machine = terminal::Editor;
    fn new(settings: &Settings) -> Result<terminal::Editor, String> {
        let mut limits = terminal::Limits::default();
        let (mut columns, mut prompt) = (40u16, String::new());
        each(settings, |name, value| match name {
            "columns" => number(value, &mut columns),
            "line" => number(value, &mut limits.line),
            "history" => number(value, &mut limits.history),
            "query" => number(value, &mut limits.query),
            "prompt" => {
                prompt = format!("{value} ");
                Ok(true)
            }
            _ => Ok(false),
        })?;
        let (mut editor, mut unseen) = (terminal::Editor::new(limits), Tx::default());
        editor.set_prompt(&prompt, &mut unseen);
        editor.resize(columns, &mut unseen);
        editor.show(&mut unseen);
        Ok(editor)
    }
    fn said(event: terminal::Event, _: &mut Tx) -> Said {
        Said::Event(match event {
            terminal::Event::Line(l) => format!("line {}", l.escape_debug()),
            terminal::Event::Complete(w) => format!("complete {}", w.escape_debug()),
            other => format!("{other:?}").to_lowercase(),
        })
    }
    fn command(editor: &mut terminal::Editor, tx: &mut Tx, text: &str) -> Result<(), String> {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("print", what) => editor.print(&String::from_utf8_lossy(&crate::transcript::unescape(what)?), tx),
            ("complete", names) => editor.complete(names.split(' '), " ", tx),
            ("columns", n) => editor.resize(n.parse().map_err(|e| format!("{n}: {e}"))?, tx),
            ("leave", mark) => editor.leave(mark, tx),
            ("hide", _) => editor.hide(tx),
            ("show", _) => editor.show(tx),
            _ => return Err(format!("no such command: {text}")),
        }
        Ok(())
    }
}
