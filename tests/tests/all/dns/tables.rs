//! The tables of `tests/corpora/dns`.
use proto_core::dns::{Class, Flags, Message, Section, Text, Type, Writer, data_from_text};
use std::path::Path;

/// The rows of a file: line, what is given, what must come of it.
pub fn rows(file: &str) -> Vec<(usize, String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/dns").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with(['#', '[']));
    let row = |(i, l): (usize, &str)| {
        let (left, right) = l.split_once("=>").unwrap_or_else(|| panic!("{file}:{}: no =>", i + 1));
        (i + 1, left.trim().to_string(), right.strip_prefix(' ').unwrap_or(right).to_string())
    };
    lines.map(row).collect()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().filter(|c| *c != ' ').map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|c| c[0] << 4 | c[1]).collect())
}

/// The pieces of a message, as the file's head explains them.
pub fn message(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        if let Some(counts) = word.strip_prefix('H') {
            out.extend([0x12, 0x34, 0x81, 0x80]);
            counts.chars().for_each(|c| {
                let n = c.to_digit(16).unwrap() as u16;
                out.extend(if n == 15 { u16::MAX } else { n }.to_be_bytes());
            });
        } else if word == "Q" {
            out.extend(b"\x01a\0\0\x01\0\x01");
        } else if let Some(label) = word.strip_prefix('"') {
            let label = label.trim_end_matches('"');
            out.push(label.len() as u8);
            out.extend(label.as_bytes());
        } else if let Some(bytes) = word.strip_prefix('\'') {
            out.extend(bytes.trim_end_matches('\'').as_bytes());
        } else if let Some((n, bytes)) = word.split_once('*') {
            out.extend(hex(bytes).unwrap().repeat(n.parse().unwrap()));
        } else {
            out.extend(hex(word).unwrap_or_else(|| panic!("{word}")));
        }
    }
    out
}

#[test]
fn messages() {
    let rows = rows("messages.txt");
    assert!(rows.len() >= 110, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for (line, text, want) in &rows {
        let bytes = message(text);
        let got = match Message::parse(&bytes).and_then(|m| m.check()) {
            Ok(n) => format!("ok {n}"),
            Err(f) => format!("{} {}", f.offset, f.what),
        };
        if got != *want {
            wrong.push(format!("{line}: {text}\n  got  {got}\n  want {want}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A message with one record of that data: what its data is as text, or what is wrong with it.
fn shown(kind: Type, data: &[u8]) -> String {
    let mut w = Writer::new(0, Flags::RESPONSE);
    w.record(Section::Answer, &proto_core::dns::Name::ROOT, kind, Class::IN, 0, data).unwrap();
    let bytes = w.finish();
    let m = Message::parse(&bytes).unwrap();
    let record = m.records().unwrap().next().unwrap().unwrap();
    if let Some(fault) = record.fields().find_map(Result::err) {
        return format!("! {}", fault.what);
    }
    let mut text = String::new();
    record.write_data(&mut text).unwrap();
    let joined: Vec<String> = record.fields().flatten().map(|v| Text(&v).to_string()).collect();
    assert_eq!(text.split_whitespace().collect::<String>(), joined.concat().split_whitespace().collect::<String>());
    text.trim_start().to_string()
}

#[test]
fn data_of_records() {
    let rows = rows("data.txt");
    assert!(rows.len() >= 130, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for (line, text, want) in &rows {
        let (kind, digits) = text.split_once(' ').unwrap_or((text, ""));
        let kind: Type = kind.parse().unwrap();
        let data = hex(digits).unwrap_or_else(|| panic!("{line}: {digits}"));
        let got = shown(kind, &data);
        if got.trim_end() != want.trim_end() {
            wrong.push(format!("{line}: {text}\n  got  {got}\n  want {want}"));
        } else if !got.starts_with('!') && !got.starts_with("\\#") && data_from_text(kind, &got) != Ok(data) {
            wrong.push(format!("{line}: {text}: {got:?} reads as {:?}", data_from_text(kind, &got)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn zone_file_text() {
    let rows = rows("text.txt");
    assert!(rows.len() >= 40, "{} rows", rows.len());
    for (line, text, want) in &rows {
        let (kind, text) = text.split_once(' ').unwrap_or((text, ""));
        let got = match data_from_text(kind.parse().unwrap(), text) {
            Ok(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
            Err(why) => format!("! {why}"),
        };
        let want = if want.starts_with('!') { want.clone() } else { want.replace(' ', "") };
        assert_eq!(got, want, "line {line}: {text}");
    }
}

/// So many cases are in the tables, of each kind, so that none goes missing unseen. Of the data only what is refused counts.
#[test]
fn enough_of_each_kind() {
    let sections = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/dns").join(file);
        let (mut counts, mut name) = (Vec::new(), String::new());
        for line in std::fs::read_to_string(path).unwrap().lines() {
            if let Some(head) = line.strip_prefix('[') {
                name = head.trim_end_matches(']').to_string();
            } else if line.contains("=>") && !line.starts_with('#') {
                counts.push(name.clone());
            }
        }
        counts
    };
    let all: Vec<String> = ["messages.txt", "replies.txt"].iter().flat_map(|f| sections(f)).collect();
    for (kind, least) in
        [("DN-01", 25), ("DN-02", 25), ("DN-03", 38), ("DN-04", 18), ("spoofed", 60), ("late", 16), ("truncated", 16)]
    {
        let n = all.iter().filter(|name| name.starts_with(kind)).count();
        assert!(n >= least, "{kind}: {n} cases");
    }
    let refused = rows("data.txt").iter().filter(|(.., want)| want.starts_with('!')).count();
    let given: std::collections::BTreeSet<String> = ["messages.txt", "replies.txt"]
        .iter()
        .flat_map(|f| rows(f).into_iter().map(move |(_, text, _)| format!("{f} {text}")))
        .collect();
    assert_eq!(given.len(), all.len(), "no case is there twice");
    assert!(all.len() + refused >= 300, "{} cases and {refused} of data", all.len());
}
