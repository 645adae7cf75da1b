//! Replies as text for people.
use super::idn;
use crate::text::{Escaped, span};
use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::dns::{
    Asked, Dropped, Edns, EdnsOption, Header, Message, PORT, Rcode, Record, Reply, Section, Type, Via, ede_name,
};

/// How much is shown, and how.
#[derive(Clone, Debug)]
pub struct Style {
    /// The four lines before the answers.
    pub header: bool,
    /// Authority and additional sections.
    pub all: bool,
    /// Flags, EDNS, timing, what was dropped.
    pub verbose: bool,
    /// `5m` instead of `300`.
    pub ttl_units: bool,
    /// Names in the script of their language.
    pub idn: bool,
    /// Records shown.
    pub max_records: usize,
}

/// An address, without the port that is everyone's.
pub fn server(at: &SocketAddr) -> String {
    if at.port() == PORT { at.ip().to_string() } else { at.to_string() }
}

/// What the code means, in words.
pub fn words(code: Rcode) -> String {
    code.words().map_or_else(|| code.to_string(), Into::into)
}

/// A record in one line.
pub fn record(r: &Record<'_>, style: &Style) -> String {
    let mut data = String::new();
    let _ = r.write_data(&mut data); // a string takes everything
    let ttl = if style.ttl_units { units(r.ttl) } else { r.ttl.to_string() };
    let line = format!("{} {ttl} {} {}{data}", r.name, r.class, r.kind);
    if style.idn { idn::shown(&line) } else { line }
}

/// The data of a record alone.
pub fn data(r: &Record<'_>) -> String {
    let mut data = String::new();
    let _ = r.write_data(&mut data); // a string takes everything
    data.trim_start().into()
}

/// `300` seconds as `5m`.
fn units(ttl: u32) -> String {
    let mut left = ttl;
    let mut text = String::new();
    for (unit, n) in [("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if left >= n {
            let _ = write!(text, "{}{unit}", left / n); // a string takes everything
            left %= n;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// The line before the reply.
pub fn asking(asked: &Asked, text: &str, at: &SocketAddr) -> String {
    format!("Querying DNS server {} for {text} ({} record)...\n", server(at), asked.kind)
}

/// A whole message.
pub fn message(m: &Message<'_>, asked: Option<&Asked>, style: &Style) -> String {
    let Header { id, flags, counts } = m.header();
    let (code, mut text) = (m.rcode(), String::new());
    if style.header {
        let which = if flags.is_response() { "Response" } else { "Query" };
        text.push_str(&format!("Response received ({} bytes):\nTransaction ID: 0x{id:04X}\n", m.bytes().len()));
        text.push_str(&format!("Flags: 0x{:04X} ({which}, {})\n", flags.0, words(code)));
        text.push_str(&format!("Questions: {}, Answers: {}\n", counts[0], counts[1]));
    }
    if style.verbose {
        let names: Vec<&str> = flags.names().collect();
        text.push_str(&format!("Authority: {}, Additional: {}\n", counts[2], counts[3]));
        text.push_str(&format!("Opcode: {}, flags set: {}\n", flags.opcode(), names.join(" ")));
        for q in m.questions().flatten() {
            text.push_str(&format!("Question: {} {} {}\n", q.name, q.class, q.kind));
        }
        if let Some(edns) = m.edns() {
            text.push_str(&edns_lines(&edns));
        }
    }
    if let Some((error, why)) = m.edns().and_then(|e| e.extended_error()) {
        let name = ede_name(error).unwrap_or("unknown");
        let colon = if why.is_empty() { "" } else { ": " };
        text.push_str(&format!("Extended error: {error} ({name}){colon}{}\n", Escaped(why)));
    }
    if flags.is_truncated() {
        text.push_str("Truncated: the server has more to say\n");
    }
    text.push_str(&none(m, asked, code));
    text.push_str(&sections(m, style));
    text
}

/// Why there is no answer, in words.
fn none(m: &Message<'_>, asked: Option<&Asked>, code: Rcode) -> String {
    let Some(asked) = asked.filter(|_| m.header().flags.is_response()) else { return String::new() };
    let has = m.records().is_ok_and(|r| {
        { r }.flatten().any(|r| {
            r.section == Section::Answer && (r.kind == asked.kind || asked.kind == Type::ANY || r.kind == Type::CNAME)
        })
    });
    match code {
        Rcode::NAME_ERROR => format!("No such name: {}\n", asked.name),
        Rcode::NO_ERROR if !has => format!("No {} records for {}\n", asked.kind, asked.name),
        Rcode::NO_ERROR => String::new(),
        code => format!("The server answers {} ({code}) for {}\n", words(code), asked.name),
    }
}

fn sections(m: &Message<'_>, style: &Style) -> String {
    let (mut text, mut shown, mut counts) = (String::new(), 0, [0; 3]);
    let Ok(records) = m.records() else { return text };
    let answers = m.header().counts[1];
    for r in records.flatten() {
        let (name, i) = match r.section {
            Section::Answer => ("Answer", 0),
            Section::Authority => ("Authority", 1),
            Section::Additional => ("Additional", 2),
        };
        let negative = r.kind == Type::SOA && answers == 0 && r.section == Section::Authority;
        let wanted = i == 0 || style.all || style.verbose || negative;
        if !wanted || r.kind == Type::OPT {
            continue;
        }
        if shown == style.max_records {
            text.push_str("(more records are not shown; see --max-records)\n");
            break;
        }
        shown += 1;
        if let Some(n) = counts.get_mut(i) {
            *n += 1;
            text.push_str(&format!("{name} {n}: {}\n", record(&r, style)));
        }
    }
    text
}

fn edns_lines(edns: &Edns<'_>) -> String {
    let flags = if edns.dnssec { "do" } else { "none" };
    let mut text = format!("EDNS: version {}, flags {flags}, datagrams of {} bytes\n", edns.version, edns.size);
    for option in edns.options() {
        let name = option.name().map_or_else(|| format!("OPT{}", option.code), Into::into);
        text.push_str(&format!("EDNS option {name}: {}\n", option_text(&option)));
    }
    text
}

/// An option's data: text where it is text.
pub fn option_text(option: &EdnsOption<'_>) -> String {
    match (option.code, option.data) {
        (EdnsOption::NSID, text) => format!("\"{}\"", Escaped(text)),
        (EdnsOption::ERROR, [a, b, text @ ..]) => {
            let code = u16::from_be_bytes([*a, *b]);
            format!("{code} ({}) \"{}\"", ede_name(code).unwrap_or("unknown"), Escaped(text))
        }
        (EdnsOption::SUBNET, data) => subnet(data).unwrap_or_else(|| hex(data)),
        (_, data) => hex(data),
    }
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|b| format!("{b:02x}")).collect()
}

/// `192.0.2.0/24/0`: address, its bits, and for how many of them the answer holds (RFC 7871 6), as dig shows it.
fn subnet(data: &[u8]) -> Option<String> {
    let (&[_, family, bits, scope], address) = data.split_first_chunk()?;
    let mut all = [0; 16];
    all.get_mut(..address.len())?.copy_from_slice(address);
    let ip: IpAddr = match family {
        1 if address.len() <= 4 => IpAddr::from(*all.first_chunk::<4>()?),
        2 => IpAddr::from(all),
        _ => return None,
    };
    Some(format!("{ip}/{bits}/{scope}"))
}

/// The lines after the reply: who sent it, how long it took, what was dropped.
pub fn about(reply: &Reply) -> String {
    let via = match reply.via {
        Via::Udp => "UDP",
        Via::Tcp => "TCP",
    };
    let ms = reply.took.as_secs_f64() * 1000.0;
    let mut text = format!("From {} over {via}, {ms:.1} ms, messages sent: {}\n", server(&reply.server), reply.sent);
    if reply.without_edns {
        text.push_str("The server does not know EDNS and was asked again without it\n");
    }
    text.push_str(&dropped(&reply.dropped));
    text
}

/// What was dropped, if anything was.
pub fn dropped(d: &Dropped) -> String {
    let kinds = [
        (d.source, "from another address"),
        (d.id, "wrong id"),
        (d.kind, "no response"),
        (d.question, "wrong question"),
        (d.malformed, "no message"),
    ];
    let parts: Vec<String> = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { String::new() } else { format!("Dropped: {}\n", parts.join(", ")) }
}

/// `5.0 s`, as errors say it.
pub fn seconds(d: Duration) -> String {
    if d < Duration::from_secs(1) { span(d) } else { format!("{:.1} s", d.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live() {
        let texts = [0, 59, 300, 3600, 90_061, 604_800].map(units);
        assert_eq!(texts, ["0s", "59s", "5m", "1h", "1d1h1m1s", "1w"]);
    }

    #[test]
    fn options_as_text() {
        let text = |code, data: &[u8]| option_text(&EdnsOption { code, data });
        assert_eq!(text(EdnsOption::SUBNET, &[0, 1, 24, 16, 192, 0, 2]), "192.0.2.0/24/16");
        assert_eq!(text(EdnsOption::SUBNET, &[0, 2, 32, 0, 0x20, 1, 0xd, 0xb8]), "2001:db8::/32/0");
        for bad in [&[0, 1, 24][..], &[0, 1, 24, 0, 1, 2, 3, 4, 5], &[0, 3, 0, 0], &[0, 2, 128, 0].repeat(6)] {
            assert_eq!(text(EdnsOption::SUBNET, bad), hex(bad));
        }
        assert_eq!(text(EdnsOption::NSID, b"ns1\n"), "\"ns1\\n\"");
        assert_eq!(text(EdnsOption::COOKIE, &[1, 0xab]), "01ab");
    }
}
