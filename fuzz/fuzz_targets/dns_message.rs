//! DNS messages: never a panic; read the same as `domain` and `hickory-proto` read them, but for differences with a reason; what is shown as
//! zone-file text reads back to the same bytes, and what is written again is the same message.
#![no_main]
#[allow(dead_code)] // the tests use more of it
#[path = "../../tests/src/dns_oracle.rs"]
mod dns_oracle;
use libfuzzer_sys::fuzz_target;
use proto_core::dns::{Flags, Message, Type, Writer, data_from_text};

fuzz_target!(|bytes: &[u8]| {
    let others = [dns_oracle::unexplained(bytes), dns_oracle::unexplained_by_hickory(bytes)];
    if let Some(text) = others.into_iter().flatten().next() {
        panic!("{text}");
    }
    let Ok(message) = Message::parse(bytes) else { return };
    let _ = (message.question().is_ok(), message.edns(), message.rcode());
    for record in message.records().into_iter().flatten().flatten() {
        let _ = (record.to_string(), record.ip(), record.target(), record.soa_minimum());
    }
    let Ok(held) = dns_oracle::ours(bytes) else { return };
    let mut again = Writer::new(message.header().id, Flags(message.header().flags.0));
    for question in message.questions().flatten() {
        if again.question(&question.name.to_domain(), question.kind, question.class.0).is_err() {
            return;
        }
    }
    for (record, (.., data)) in message.records().into_iter().flatten().flatten().zip(&held) {
        let mut text = String::new();
        let _ = record.write_data(&mut text);
        // LOC and options have no reader, and are shown as they are.
        if record.kind != Type::OPT && record.kind != Type::LOC {
            let back = data_from_text(record.kind, &text);
            assert_eq!(back.as_ref(), Ok(data), "{} {text}", record.kind);
        }
        let (kind, class, ttl) = (record.kind, record.class, record.ttl);
        if again.record(record.section, &record.name, kind, class, ttl, data).is_err() {
            return;
        }
    }
    let again = again.finish();
    assert_eq!(dns_oracle::ours(&again), Ok(held), "written again");
});
