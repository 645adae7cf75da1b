//! How long it takes to read a DNS reply of 126 bytes with all its records, beside the crates `domain` and `hickory-proto`, in
//! turns, in CPU time of the thread; and to write the worst message.
use domain::base::Message as DomainMessage;
use domain::rdata::AllRecordData;
use hickory_proto::op::Message as HickoryMessage;
use hickory_proto::serialize::binary::BinDecodable;
use proto_core::dns::{Class, Domain, Flags, Message, Section, Type, Writer};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

/// Reads a message; how many records it had.
type Parser = fn(&[u8]) -> usize;

/// Rounds; the median counts.
const ROUNDS: usize = 9;
/// Seconds of one measurement.
const SPAN: f64 = 0.15;

fn cpu() -> f64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// `www.example.com A`: a CNAME, four addresses and EDNS, names compressed.
fn reply() -> Vec<u8> {
    let mut m = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 5, 0, 0, 0, 1];
    m.extend(b"\x03www\x07example\x03com\0\0\x01\0\x01");
    m.extend(b"\xc0\x0c\0\x05\0\x01\0\0\x01\x2c\0\x06\x03cdn\xc0\x10");
    for i in 0..4 {
        m.extend(b"\xc0\x2d\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71");
        m.push(i);
    }
    m.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\0");
    m
}

fn ours(bytes: &[u8]) -> usize {
    let Ok(message) = Message::parse(bytes) else { return 0 };
    let mut n = 0;
    message.questions().for_each(|q| {
        black_box(q.is_ok());
    });
    for record in message.records().into_iter().flatten() {
        let Ok(record) = record else { return 0 };
        black_box(&record);
        for field in record.fields() {
            black_box(field.is_ok());
            black_box(&field);
        }
        n += 1;
    }
    n
}

fn domain(bytes: &[u8]) -> usize {
    let Ok(message) = DomainMessage::from_octets(bytes) else { return 0 };
    let mut n = 0;
    message.question().for_each(|q| {
        black_box(q.is_ok());
    });
    let Ok(answer) = message.answer() else { return 0 };
    for record in answer.limit_to::<AllRecordData<_, _>>() {
        black_box(record.is_ok());
        n += 1;
    }
    let Ok(additional) = message.additional() else { return 0 };
    for record in additional {
        black_box(record.is_ok());
        n += 1;
    }
    n
}

fn hickory(bytes: &[u8]) -> usize {
    let Ok(message) = HickoryMessage::from_bytes(bytes) else { return 0 };
    black_box(message.answers.len()) + usize::from(message.edns.is_some())
}

fn measure(f: Parser, bytes: &[u8]) -> f64 {
    let (began, mut n) = (cpu(), 0u64);
    while cpu() - began < SPAN {
        for _ in 0..200 {
            assert_eq!(f(black_box(bytes)), 6);
        }
        n += 200;
    }
    (cpu() - began) / n as f64 * 1e9
}

/// Nanoseconds to read the reply, by reader; ours is the first.
pub fn reading() -> [(&'static str, f64); 3] {
    let bytes = reply();
    let parsers: [(&str, Parser); 3] = [("ours", ours), ("domain", domain), ("hickory-proto", hickory)];
    let mut times = parsers.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, f), times) in parsers.iter().zip(&mut times) {
            times.push(measure(*f, &bytes));
        }
    }
    let mut all = parsers.map(|(name, _)| (name, 0.0));
    for ((_, ns), times) in all.iter_mut().zip(&mut times) {
        *ns = super::median(times);
    }
    all
}

/// Milliseconds to write a message of 64 KiB whose names are as bad for compression as can be: many labels, nearly the same
/// suffixes.
pub fn writing() -> f64 {
    let names: Vec<Domain> = (0..4000)
        .filter_map(|i| {
            let labels: Vec<String> = (0..60).map(|k| ((i * 31 + k) % 10).to_string()).collect();
            labels.join(".").parse().ok()
        })
        .collect();
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = cpu();
            let mut w = Writer::new(0, Flags::RESPONSE);
            for name in &names {
                if w.record(Section::Answer, &name.name(), Type::A, Class::IN, 0, &[1, 2, 3, 4]).is_err() {
                    break;
                }
            }
            black_box(w.finish());
            (cpu() - began) * 1e3
        })
        .collect();
    super::median(&mut times)
}
