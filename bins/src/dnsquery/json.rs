//! Messages as JSON with the names of RFC 8427.
use super::show::{data, option_text};
use crate::text::Json;
use proto_core::dns::{Header, Message, Record, Reply, Section, Type, Via};

/// What the objects say they are.
const SCHEMA: &str = "drywire/dnsquery/1";

/// A message as one object, in one line.
pub fn message(m: &Message<'_>, reply: Option<&Reply>) -> String {
    let Header { id, flags, counts } = m.header();
    let bit = |n: u16| u8::from(flags.0 >> n & 1 != 0);
    let mut out = format!("{{\"schema\":\"{SCHEMA}\",\"ID\":{id},\"QR\":{},\"Opcode\":{}", bit(15), flags.opcode().0);
    for (name, n) in [("AA", 10), ("TC", 9), ("RD", 8), ("RA", 7), ("AD", 5), ("CD", 4)] {
        out.push_str(&format!(",\"{name}\":{}", bit(n)));
    }
    out.push_str(&format!(",\"RCODE\":{},\"RCODEname\":{}", m.rcode().0, Json(&m.rcode().to_string())));
    for (name, n) in ["QDCOUNT", "ANCOUNT", "NSCOUNT", "ARCOUNT"].iter().zip(counts) {
        out.push_str(&format!(",\"{name}\":{n}"));
    }
    if let Ok(Some(q)) = m.question() {
        out.push_str(&format!(
            ",\"QNAME\":{},\"QTYPE\":{},\"QTYPEname\":\"{}\",\"QCLASS\":{},\"QCLASSname\":\"{}\"",
            Json(&q.name.to_string()),
            q.kind.0,
            q.kind,
            q.class.0,
            q.class
        ));
    }
    for (name, section) in
        [("answerRRs", Section::Answer), ("authorityRRs", Section::Authority), ("additionalRRs", Section::Additional)]
    {
        let records = m.records().into_iter().flatten().flatten();
        let all: Vec<String> =
            records.filter(|r| r.section == section && r.kind != Type::OPT).map(|r| record(&r)).collect();
        if !all.is_empty() {
            out.push_str(&format!(",\"{name}\":[{}]", all.join(",")));
        }
    }
    if let Some(edns) = m.edns() {
        let options: Vec<String> =
            edns.options().map(|o| format!("{{\"code\":{},\"data\":{}}}", o.code, Json(&option_text(&o)))).collect();
        out.push_str(&format!(
            ",\"EDNS\":{{\"Version\":{},\"DO\":{},\"UDPsize\":{},\"options\":[{}]}}",
            edns.version,
            u8::from(edns.dnssec),
            edns.size,
            options.join(",")
        ));
    }
    if let Some(r) = reply {
        let via = if r.via == Via::Udp { "udp" } else { "tcp" };
        out.push_str(&format!(
            ",\"server\":\"{}\",\"via\":\"{via}\",\"took_us\":{},\"sent\":{},\"dropped\":{}",
            r.server,
            r.took.as_micros(),
            r.sent,
            r.dropped.total()
        ));
    }
    out.push('}');
    out
}

/// A question that failed.
pub fn failure(name: &str, kind: Type, why: &str, code: u8) -> String {
    format!(
        "{{\"schema\":\"{SCHEMA}\",\"QNAME\":{},\"QTYPE\":{},\"QTYPEname\":\"{kind}\",\"error\":{},\"exit\":{code}}}",
        Json(name),
        kind.0,
        Json(why)
    )
}

fn record(r: &Record<'_>) -> String {
    let mut out = format!(
        "{{\"NAME\":{},\"TYPE\":{},\"TYPEname\":\"{}\",\"CLASS\":{},\"CLASSname\":\"{}\",\"TTL\":{}",
        Json(&r.name.to_string()),
        r.kind.0,
        r.kind,
        r.class.0,
        r.class,
        r.ttl
    );
    if r.kind.name().is_some() {
        out.push_str(&format!(",\"rdata{}\":{}", r.kind, Json(&data(r))));
    } else {
        let hex: String = r.data().iter().map(|b| format!("{b:02X}")).collect();
        out.push_str(&format!(",\"RDLENGTH\":{},\"RDATAHEX\":\"{hex}\"", r.data().len()));
    }
    out.push('}');
    out
}
