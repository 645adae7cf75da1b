//! `tests/corpora/dns/replies.txt`: what comes back to a question, and what the stub makes of it.
use super::stub::{Sent, World, at, policy};
use super::{reply, tables::rows};
use core::net::SocketAddr;
use proto_core::Reason;
use proto_core::dns::{Dropped, Failed, Message, Policy, Rcode, Tcp, Type, Via};

const NAME: &str = "bank.example";
const LONG: &str = "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f";
const TRUE: &[(&str, Type, u32, &str)] = &[("", Type::A, 60, "192.0.2.99")];

/// The true reply to a message.
fn good(to: &[u8]) -> Vec<u8> {
    reply(to, 0, TRUE)
}

/// A header alone, as a server sends that cannot read the question.
fn bare(to: &[u8], code: u8) -> Vec<u8> {
    let mut m = to[..12].to_vec();
    m[2..].copy_from_slice(&[0x80, code, 0, 0, 0, 0, 0, 0, 0, 0]);
    m
}

/// A reply with one thing wrong, and where it comes from.
fn wrong(word: &str, sent: &Sent) -> (SocketAddr, Vec<u8>) {
    let (q, from) = (&sent.message[..], sent.server);
    let question = 12..12 + Message::parse(q).unwrap().question().unwrap().unwrap().name.wire_len();
    let end = question.end + 4;
    let mut m = good(q);
    let number = |prefix: &str| word.strip_prefix(prefix).and_then(|n| n.parse::<u8>().ok());
    let tc = |mut m: Vec<u8>| {
        m[2] |= 2;
        m
    };
    let replaced = |name: &[u8]| [&m[..12], name, &m[question.end..]].concat();
    let data = match word {
        "good" | "address" | "port" | "mapped" | "six" => m,
        "upper" | "lower" | "case" => {
            let name = &mut m[question];
            match word {
                "upper" => name.make_ascii_uppercase(),
                "lower" => name.make_ascii_lowercase(),
                _ => name.iter_mut().filter(|b| b.is_ascii_alphabetic()).for_each(|b| *b ^= 0x20),
            }
            m
        }
        "trailing" => [&m[..], b"xyz"].concat(),
        "nosuch" => reply(q, 3, &[("example", Type::SOA, 60, "a. b. 1 2 3 4 5")]),
        "empty" => reply(q, 0, &[]),
        // The question's last label is there in full, and the answer points into it.
        "pointed" => reply(q, 0, &[("example", Type::A, 60, "192.0.2.99")]),
        "id+1" | "id-1" | "id^1" | "id^8000" | "idswap" | "tcid" => {
            let id = u16::from_be_bytes([m[0], m[1]]);
            let id = match word {
                "id-1" => id.wrapping_sub(1),
                "id^1" => id ^ 1,
                "id^8000" => id ^ 0x8000,
                "idswap" => id.swap_bytes(),
                _ => id.wrapping_add(1),
            };
            m[..2].copy_from_slice(&id.to_be_bytes());
            if word == "tcid" { tc(m) } else { m }
        }
        "query" => {
            m[2] &= 0x7f;
            m
        }
        "echoed" => q.to_vec(),
        "name" | "tcname" => {
            m[13] = b'x';
            if word == "tcname" { tc(m) } else { m }
        }
        "shorter" => replaced(b"\x07example\0"),
        "longer" => replaced(&[b"\x03www", &m[question.clone()]].concat()),
        "root" => replaced(b"\0"),
        "dotted" => replaced(b"\x0cbank.example\0"),
        "type" | "any" | "class" => {
            let (at, value) = match word {
                "type" => (end - 3, 28),
                "any" => (end - 3, 255),
                _ => (end - 1, 3),
            };
            m[at] = value;
            m
        }
        "noquestion" | "twoquestions" => {
            m[5] = if word == "noquestion" { 0 } else { 2 };
            m
        }
        "manyquestions" => {
            m[4..6].fill(0xff);
            m
        }
        "cutquestion" => m[..end - 2].to_vec(),
        "loopquestion" => replaced(b"\xc0\x0c"),
        "nothing" => Vec::new(),
        "one" => m[..1].to_vec(),
        "eleven" => m[..11].to_vec(),
        "tc" | "tcport" => tc(m),
        "tcempty" => tc(reply(q, 0, &[])),
        "tchalf" => tc(m[..m.len() - 6].to_vec()),
        "nosuchtc" => tc(reply(q, 3, &[])),
        "baddata" => {
            let n = m.len();
            m[n - 5] = 3; // an address of three bytes, and one byte of nothing
            m
        }
        "badpointer" => {
            let at = end as u16;
            m[end..end + 2].copy_from_slice(&(0xc000 | at).to_be_bytes());
            m
        }
        "badcount" => {
            m[6..8].fill(0xff);
            m
        }
        "cutrecord" => m[..m.len() - 1].to_vec(),
        "twoopts" => {
            m[11] = 2;
            [&m[..], &b"\0\0\x29\x04\xd0\0\0\0\0\0\0".repeat(2)].concat()
        }
        "badvers" => {
            let mut m = reply(q, 0, &[]);
            m[11] = 1;
            [&m[..], b"\0\0\x29\x04\xd0\x01\0\0\0\0\0"].concat()
        }
        _ => match (number("opcode"), number("bare"), number("code")) {
            (Some(n), ..) => {
                m[2] |= n << 3;
                m
            }
            (_, Some(n), _) => bare(q, n),
            (.., Some(n)) => reply(q, u16::from(n), &[]),
            _ => panic!("what is '{word}'?"),
        },
    };
    let from = match word {
        "address" => at(9),
        "port" | "tcport" => SocketAddr::new(from.ip(), 54),
        "mapped" => "[::ffff:192.0.2.1]:53".parse().unwrap(),
        "six" => "[2001:db8::1]:53".parse().unwrap(),
        _ => from,
    };
    (from, data)
}

fn dropped(d: &Dropped) -> String {
    let all =
        [("source", d.source), ("id", d.id), ("kind", d.kind), ("question", d.question), ("malformed", d.malformed)];
    let some: Vec<String> = all.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{what} {n}")).collect();
    if some.is_empty() { String::new() } else { format!("; dropped {}", some.join(" ")) }
}

/// Plays a row; how it stands afterwards.
fn play(text: &str) -> String {
    let (mut servers, mut name, mut made) = (1, NAME, Policy::default());
    let mut steps = Vec::new();
    for word in text.split_whitespace() {
        match word {
            "S2" => servers = 2,
            "S3" => servers = 3,
            "M" => made.mixed_case = true,
            "Q" => name = LONG,
            "E0" => made.edns = None,
            "T0" => made.tcp = Tcp::Never,
            "T1" => made.tcp = Tcp::Always,
            _ => steps.push(word),
        }
    }
    let mixed_case = text.split_whitespace().any(|w| w == "M");
    let total = core::time::Duration::from_secs(100);
    let mut w = World::new(Policy { mixed_case, total, tcp: made.tcp, edns: made.edns, ..policy(servers) });
    w.ask(name);
    let (mut sent, mut done) = (w.acts().0, None);
    let mut last = Dropped::default();
    for step in steps {
        let (times, word) = step.split_once('*').map_or((1, step), |(n, word)| (n.parse().unwrap(), word));
        for _ in 0..times {
            // Once a message went out over TCP, it is not the last: what is wrong still comes to the last socket.
            let (word, to) = word.split_once('@').map_or((word, sent.len()), |(word, n)| (word, n.parse().unwrap()));
            match word {
                // Alarms may come early: it has waited when it does something.
                "wait" => {
                    let mut ahead = Vec::new();
                    while w.stub.deadline().is_some() && ahead.is_empty() {
                        w.wait();
                        ahead = w.acts().0;
                    }
                    sent.extend(ahead);
                }
                "closed" => w.stub.on_closed(sent[to - 1].id, Reason::PortUnreachable, w.now, &mut w.rng),
                word => {
                    let to = &sent[to - 1];
                    let (from, data) = wrong(word, to);
                    let came = if to.via == Via::Tcp { to.server } else { from };
                    w.hear(to, came, &data);
                }
            }
            sent.extend(w.acts().0);
            if let Some(over) = w.done() {
                assert!(done.is_none(), "over twice");
                done = Some(over);
            }
        }
    }
    let how = match &done {
        None => "open".to_string(), // what was dropped is told when it ends
        Some(Ok(reply)) => {
            last = reply.dropped;
            match Message::parse(&reply.bytes).unwrap().rcode() {
                Rcode::NO_ERROR => "ok".into(),
                Rcode::NAME_ERROR => "no such name".into(),
                code => format!("code {}", code.0),
            }
        }
        Some(Err(Failed::NoReply { dropped, .. })) => {
            last = *dropped;
            "no reply".into()
        }
        Some(Err(Failed::Malformed { .. })) => "malformed".into(),
        Some(Err(Failed::Unreachable { .. })) => "unreachable".into(),
        Some(Err(Failed::NoServer)) => "no server".into(),
    };
    let count = |via| sent.iter().filter(|s| s.via == via).count();
    format!("{how}{}; udp {} tcp {}", dropped(&last), count(Via::Udp), count(Via::Tcp))
}

#[test]
fn every_row() {
    let rows = rows("replies.txt");
    assert!(rows.len() >= 140, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for (line, text, want) in &rows {
        let got = play(text);
        if got != *want {
            wrong.push(format!("{line}: {text}\n  got  {got}\n  want {want}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
