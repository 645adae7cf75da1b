//! DNS: tables of messages, data and text; second opinions; the stub against whoever guesses; real servers; the tool.
mod codec;
pub mod nsd;
mod oracle;
pub mod real;
mod replies;
mod resolver;
mod signed;
mod simulated;
mod spoof;
mod stub;
mod tables;
mod tool;

use proto_core::dns::{Domain, Flags, Type, Writer};

pub fn name(text: &str) -> Domain {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A question as it is sent.
pub fn query(text: &str, kind: Type) -> Vec<u8> {
    let mut w = Writer::new(7, Flags::QUERY.with_recursion());
    w.question(&name(text), kind, 1).unwrap();
    w.finish()
}

/// The reply of a server to `query`, with records of `data` in the answer.
pub fn reply(query: &[u8], flags: u16, records: &[(&str, Type, u32, &str)]) -> Vec<u8> {
    use proto_core::dns::{Class, Message, Section, data_from_text};
    let m = Message::parse(query).unwrap();
    let q = m.question().unwrap().unwrap();
    let mut w = Writer::new(m.header().id, Flags(Flags::RESPONSE.0 | flags));
    w.question(&q.name.to_domain(), q.kind, q.class.0).unwrap();
    for (owner, kind, ttl, data) in records {
        let section = if *kind == Type::SOA { Section::Authority } else { Section::Answer };
        let owner = if owner.is_empty() { q.name.to_domain() } else { name(owner) };
        let data = data_from_text(*kind, data).unwrap();
        w.record(section, &owner.name(), *kind, Class::IN, *ttl, &data).unwrap();
    }
    w.finish()
}
