//! A message taken apart, byte by byte.
use crate::text::Escaped;
use proto_core::Fault;
use proto_core::dns::{HEADER, Header, Message, Name, Record, Text};

/// Lines with the offset of each thing, its bytes and its meaning, up to the first fault.
pub fn message(m: &Message<'_>) -> String {
    let mut out = String::new();
    if let Err(fault) = parts(m, &mut out) {
        out.push_str(&format!("{:5}  *** {} ({})\n", fault.offset, fault.what, fault.rule));
    }
    out
}

fn line(m: &Message<'_>, from: usize, to: usize, what: &str, out: &mut String) {
    const SHOWN: usize = 16;
    let bytes = m.bytes().get(from..to).unwrap_or_default();
    let mut hex: String = bytes.iter().take(SHOWN).map(|b| format!("{b:02x} ")).collect();
    if bytes.len() > SHOWN {
        hex.push_str("... ");
    }
    out.push_str(&format!("{from:5}  {hex:<36} {what}\n"));
}

fn parts(m: &Message<'_>, out: &mut String) -> Result<(), Fault> {
    let Header { id, flags, counts } = m.header();
    let names: Vec<&str> = flags.names().collect();
    line(m, 0, 2, &format!("id 0x{id:04x}"), out);
    let text = format!("flags: {}; opcode {}, rcode {}", names.join(" "), flags.opcode(), flags.rcode());
    line(m, 2, 4, &text, out);
    for (i, what) in ["questions", "answers", "authority", "additional"].iter().enumerate() {
        let n = counts.get(i).copied().unwrap_or(0);
        line(m, 4 + 2 * i, 6 + 2 * i, &format!("{what}: {n}"), out);
    }
    let mut at = HEADER;
    for q in m.questions() {
        let q = q?;
        let end = name_end(m, &q.name);
        name(m, &q.name, end, "question", out);
        line(m, end, end + 2, &format!("type {}", q.kind), out);
        line(m, end + 2, end + 4, &format!("class {}", q.class), out);
        at = end + 4;
    }
    let mut records = m.records()?;
    while let Some(r) = records.next() {
        record(m, &r?, out)?;
        at = records.offset();
    }
    if at < m.bytes().len() {
        line(m, at, m.bytes().len(), "*** bytes after the message", out);
    }
    Ok(())
}

/// Where a name ends: after its first pointer, or after the root.
fn name_end(m: &Message<'_>, n: &Name<'_>) -> usize {
    let mut at = n.offset();
    loop {
        match m.bytes().get(at) {
            Some(0) | None => return at + 1,
            Some(len @ 1..=63) => at += 1 + usize::from(*len),
            Some(_) => return at + 2,
        }
    }
}

fn name(m: &Message<'_>, n: &Name<'_>, end: usize, what: &str, out: &mut String) {
    line(m, n.offset(), end, &format!("{what} {n}"), out);
    for (from, to) in n.pointers() {
        out.push_str(&format!("{from:5}  {:<36} compression pointer to {to}\n", ""));
    }
}

fn record(m: &Message<'_>, r: &Record<'_>, out: &mut String) -> Result<(), Fault> {
    let end = name_end(m, &r.name);
    name(m, &r.name, end, &format!("{:?}", r.section).to_lowercase(), out);
    line(m, end, end + 2, &format!("type {}", r.kind), out);
    line(m, end + 2, end + 4, &format!("class {}", r.class), out);
    line(m, end + 4, end + 8, &format!("ttl {}", r.ttl), out);
    let (start, stop) = r.span();
    line(m, end + 8, end + 10, &format!("data of {} bytes", stop - start), out);
    let mut fields = r.fields();
    loop {
        let from = fields.offset();
        let Some(value) = fields.next() else { return Ok(()) };
        let value = value?;
        let text = Text(&value).to_string();
        let text = Escaped(text.as_bytes()).to_string().replace("\\\"", "\"").replace("\\\\", "\\");
        match value.name() {
            Some(n) => name(m, &n, fields.offset(), "  name", out),
            None => line(m, from, fields.offset(), &format!("  {text}"), out),
        }
    }
}
