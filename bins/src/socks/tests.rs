//! The proxy by hand, where an answer can change from one question to the next.
use super::auth::Access;
use super::policy::{Policy, Rule, Where};
use super::proxy::{NAMES, Options, Proxy};
use crate::service::{Note, Settings};
use crate::users::{Check, Users};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::dns::{Class, Flags, Message, Section, Type, Writer};
use proto_core::{
    Addr, Answer, App, Ask, Bytes, Chunk, Cx, Env, FileId, Input, Instant, Listener, Op, OpId, Peer, Reason, Shard,
    Start, Table, Token, Tty, Wall,
};
use std::collections::VecDeque;

mod datagrams;
mod limits;
mod others;
mod played;
mod rules;
mod upstream;
mod usage;

fn policy(allow: &[&str], deny: &[&str]) -> Policy {
    let of = |on: bool, list: &[&str]| -> Vec<Rule> {
        list.iter().map(|s| Rule::of_flag(on, s.parse::<Where>().unwrap())).collect()
    };
    Policy::new([of(false, deny), of(true, allow)].concat())
}

/// Addresses that lead to the proxy's neighbours, in all spellings, and the flag that opens each.
#[rustfmt::skip]
const NEIGHBOURS: &[(&str, &str)] = &[
    ("127.0.0.1", "loopback"), ("127.0.0.2", "loopback"), ("127.1.2.3", "loopback"), ("127.255.255.255", "loopback"),
    ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"), ("::ffff:7f00:1", "loopback"),
    ("64:ff9b::127.0.0.1", "loopback"), ("64:ff9b::7f00:1", "loopback"), ("64:ff9b:1::7f00:1", "loopback"),
    ("64:ff9b:1:fffe::127.0.0.1", "loopback"), ("2002:7f00:1::", "loopback"), ("2002:7f00:1::1", "loopback"),
    ("2002:7fff:ffff:1:2:3:4:5", "loopback"), ("2001:0:4136:e378:8000:63bf:80ff:fffe", "loopback"),
    ("::127.0.0.1", "reserved"), ("::7f00:1", "reserved"), ("::2", "reserved"), ("::10.0.0.1", "reserved"),
    ("0.0.0.0", "unspecified"), ("0.0.0.1", "unspecified"), ("0.255.255.255", "unspecified"), ("::", "unspecified"),
    ("::ffff:0.0.0.0", "unspecified"), ("64:ff9b::", "unspecified"), ("2002::", "unspecified"),
    ("169.254.0.1", "link-local"), ("169.254.1.1", "link-local"), ("169.254.255.255", "link-local"),
    ("::ffff:169.254.1.1", "link-local"), ("64:ff9b::a9fe:101", "link-local"), ("2002:a9fe:101::", "link-local"),
    ("fe80::1", "link-local"), ("fe80::ffff", "link-local"), ("febf:ffff::1", "link-local"), ("fe90::1", "link-local"),
    ("169.254.169.254", "metadata"), ("::ffff:169.254.169.254", "metadata"), ("::ffff:a9fe:a9fe", "metadata"),
    ("64:ff9b::a9fe:a9fe", "metadata"), ("64:ff9b:1::a9fe:a9fe", "metadata"), ("2002:a9fe:a9fe::1", "metadata"),
    ("fd00:ec2::254", "metadata"), ("2001:0:0:0:0:0:5601:5601", "metadata"),
    ("224.0.0.1", "multicast"), ("224.0.0.251", "multicast"), ("239.255.255.255", "multicast"),
    ("::ffff:224.0.0.1", "multicast"), ("64:ff9b::e000:1", "multicast"), ("2002:e000:1::", "multicast"),
    ("ff00::", "multicast"), ("ff02::1", "multicast"), ("ff05::2", "multicast"), ("ffff::1", "multicast"),
    ("240.0.0.1", "reserved"), ("255.255.255.255", "reserved"), ("::ffff:255.255.255.255", "reserved"),
    ("64:ff9b::ffff:ffff", "reserved"), ("2002:ffff:ffff::", "reserved"), ("250.1.2.3", "reserved"),
];

fn users() -> Access {
    Access { users: Some(Users::parse("user:pass\nbob:word").unwrap()), ..Access::default() }
}

/// A proxy whose world is a few tables.
struct Desk {
    app: Proxy,
    table: Table,
    ops: VecDeque<Op<Check, Note>>,
    env: Env,
    now: Instant,
    listener: Token,
}

impl Desk {
    fn new(options: Options) -> Desk {
        Desk::with(options, Settings::default())
    }
    fn with(options: Options, settings: Settings) -> Desk {
        let mut table = Table::new(64 << 10, 64 << 10);
        let (stdout, stderr, listener) = (table.open(0), table.open(0), table.open(0));
        let at = Addr::Ip("127.0.0.1:1080".parse().unwrap());
        let start = Start {
            listeners: vec![Listener { token: listener, at }],
            stdin: None,
            stdout,
            stderr,
            tty: Tty::default(),
            seed: [0; 32],
            shard: Shard(0),
            shards: 1,
            capacity: 100_000,
            driver: "desk".into(),
            facts: Vec::new(),
            now: Instant::default(),
            wall: Wall::default(),
        };
        let (ops, env) = (VecDeque::new(), Env::new([0; 32], Wall::default(), Instant::default()));
        let app = Proxy::new(Settings { quiet: true, ..settings }, options);
        let mut desk = Desk { app, table, ops, env, now: Instant::default(), listener };
        desk.give(Input::Start(&start));
        desk
    }
    fn give(&mut self, input: Input<'_, Note>) -> Vec<Op<Check, Note>> {
        let mut cx = Cx::new(self.now, &mut self.table, &mut self.ops, &mut self.env);
        self.app.handle(input, &mut cx);
        self.ops.drain(..).collect()
    }
    fn bytes(&mut self, t: Token, bytes: &[u8]) -> Vec<Op<Check, Note>> {
        let mut v = bytes.to_vec();
        let n = v.len();
        self.give(Input::Bytes(t, Chunk::new(&mut v, n)))
    }
    /// A client that has asked for `host`.
    fn ask(&mut self, host: &[u8]) -> (Token, Vec<Op<Check, Note>>) {
        let conn = self.table.open(0);
        let remote = Addr::Ip("10.9.9.9:5".parse().unwrap());
        let listener = self.listener;
        self.give(Input::Accepted { conn, listener, peer: Peer { remote, local: None, fd: 0 } });
        let mut request = vec![5, 1, 0, 5, 1, 0, 3, host.len() as u8];
        request.extend_from_slice(host);
        request.extend_from_slice(&[0, 80]);
        let ops = self.bytes(conn, &request);
        (conn, ops)
    }
    fn close(&mut self, t: Token) {
        let out: Vec<u8> = self.heard(t);
        assert!(out.len() >= 2);
        self.give(Input::Closed(t, Reason::Finished));
        self.table.close(t);
    }
    fn heard(&self, t: Token) -> Vec<u8> {
        self.table.tx(t).map(|tx| tx.chunks().flatten().copied().collect()).unwrap_or_default()
    }
}

/// What a name leads to, for a name server that makes it up.
type Zone<'a> = &'a dyn Fn() -> Vec<IpAddr>;

/// The reply to a question: the addresses of its type, which nobody may remember.
fn reply(query: &[u8], ips: &[IpAddr]) -> Vec<u8> {
    let query = Message::parse(query).unwrap();
    let question = query.question().unwrap().unwrap();
    let mut w = Writer::new(query.header().id, Flags::RESPONSE);
    w.question(&question.name.to_domain(), question.kind, question.class.0).unwrap();
    for ip in ips {
        let (kind, data) = match ip {
            IpAddr::V4(a) => (Type::A, a.octets().to_vec()),
            IpAddr::V6(a) => (Type::AAAA, a.octets().to_vec()),
        };
        if kind == question.kind {
            w.record(Section::Answer, &question.name, kind, Class::IN, 0, &data).unwrap();
        }
    }
    w.finish()
}

impl Desk {
    /// Does what the proxy's resolver wants of its world: there are no files, and a server says what `zone` does. The ops
    /// that are left, and how many questions the server has heard.
    fn resolve(&mut self, ops: Vec<Op<Check, Note>>, zone: Zone<'_>) -> (Vec<Op<Check, Note>>, usize) {
        let (mut todo, mut left, mut heard) = (VecDeque::from(ops), Vec::new(), 0);
        let ips = zone();
        while let Some(op) = todo.pop_front() {
            let more = match op {
                Op::Ask(id, Ask::Open { .. }) => self.give(Input::Answer(id, Err(Reason::NotFound))),
                Op::Udp { socket, .. } => {
                    self.give(Input::Bound { socket, local: Addr::Ip("127.0.0.1:9".parse().unwrap()) })
                }
                Op::SendTo { socket, data, .. } => {
                    heard += 1;
                    let (from, mut data) = (Addr::Ip("127.0.0.1:53".parse().unwrap()), reply(&data, &ips));
                    self.give(Input::Datagram { socket, from, data: &mut data })
                }
                Op::Abort(t) if t.part() != 1 && self.is_socket(t) => {
                    let ops = self.give(Input::Closed(t, Reason::Aborted));
                    self.table.close(t);
                    ops
                }
                op => {
                    left.push(op);
                    continue;
                }
            };
            todo.extend(more);
        }
        (left, heard)
    }
    fn is_socket(&self, t: Token) -> bool {
        t.part() == NAMES
    }
}

fn connects(ops: &[Op<Check, Note>]) -> Vec<SocketAddr> {
    let to = |op: &Op<Check, Note>| if let Op::Connect { to: Addr::Ip(a), .. } = op { Some(*a) } else { None };
    ops.iter().filter_map(to).collect()
}

/// Ten thousand requests for a name that leads somewhere else whenever it is asked about; the addresses connected to.
fn flip_flop(allow: &[&str]) -> Vec<SocketAddr> {
    let mut desk =
        Desk::new(Options { access: Access { users: None, policy: policy(allow, &[]) }, ..Options::default() });
    let good: IpAddr = "93.184.216.34".parse().unwrap();
    let mut reached = Vec::new();
    for n in 0..10_000usize {
        let bad: IpAddr = NEIGHBOURS[n % NEIGHBOURS.len()].0.parse().unwrap();
        let (t, ops) = desk.ask(b"rebind.example");
        assert_eq!(connects(&ops).len(), 0, "nothing before the answer");
        let ips = match n % 4 {
            0 => vec![good],
            1 => vec![bad],
            2 => vec![bad, good],
            _ => vec![good, bad],
        };
        let (ops, heard) = desk.resolve(ops, &|| ips.clone());
        assert_eq!(heard, 2, "A and AAAA once, and no second question between check and connect");
        reached.extend(connects(&ops));
        for op in &ops {
            if let Op::Connect { conn, .. } = op {
                // The attempt fails: the next address, if there is one, was checked as well.
                let ops = desk.give(Input::Closed(*conn, Reason::Refused));
                desk.table.close(*conn);
                reached.extend(connects(&ops));
                for op in ops {
                    if let Op::Connect { conn, .. } = op {
                        desk.give(Input::Closed(conn, Reason::Refused));
                        desk.table.close(conn);
                    }
                }
            }
        }
        let reply = desk.heard(t);
        assert!(reply.get(3).is_some_and(|code| [2, 5].contains(code)), "{reply:?}");
        desk.close(t);
    }
    reached
}

#[test]
fn sk_02_a_name_that_changes_between_check_and_connect_leads_nowhere() {
    let reached = flip_flop(&[]);
    assert_eq!(reached.len(), 7500);
    assert!(reached.iter().all(|a| a.ip().to_string() == "93.184.216.34"), "what was checked is what is connected to");
    // With the door open the same script does get in.
    let reached = flip_flop(&["loopback", "metadata"]);
    assert!(reached.iter().any(|a| a.ip().is_loopback()), "the check is what holds");
}

#[test]
fn sk_12_connections_under_way_are_bounded() {
    let mut desk = Desk::new(Options { pending: 10, ..Options::default() });
    let mut codes = Vec::new();
    for n in 0..20u8 {
        let (t, ops) = desk.ask(format!("10.0.0.{n}").as_bytes());
        assert_eq!(connects(&ops).len(), usize::from(n < 10));
        codes.push(desk.heard(t).get(3).copied());
    }
    assert_eq!(codes[..10], [None; 10], "they wait");
    assert_eq!(codes[10..], [Some(1); 10]);
    assert_eq!(desk.app.refused, 10);
}

#[test]
fn sk_02_spellings_of_an_address_are_one_address_to_rules() {
    // What a name server may say instead of 10.1.2.3, which is denied: in each, the address within counts.
    let spellings = ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "64:ff9b:1::a01:203", "2002:a01:203::1"];
    for (deny, reached) in [("10.0.0.0/8", 0), ("11.0.0.0/8", spellings.len())] {
        let policy = policy(&[], &[deny]);
        let mut desk = Desk::new(Options { access: Access { users: None, policy }, ..Options::default() });
        let connected = |desk: &mut Desk, ip: &str| {
            let (t, ops) = desk.ask(b"spelled.example");
            let (ops, _) = desk.resolve(ops, &|| vec![ip.parse().unwrap()]);
            let to = connects(&ops);
            assert!(to.iter().all(|a| a.ip().to_string() == ip), "as it was spelled: {to:?}");
            assert_eq!(desk.heard(t).get(3), if to.is_empty() { Some(&2) } else { None });
            to.len()
        };
        let n: usize = spellings.iter().map(|ip| connected(&mut desk, ip)).sum();
        assert_eq!(n, reached, "--deny {deny}");
    }
}

#[test]
fn a_name_is_looked_up_as_it_is() {
    // Rules are checked on the name that was asked for: a search list would make another one of it.
    let mut desk = Desk::new(Options::default());
    let (_, ops) = desk.ask(b"intranet");
    let opened: Vec<OpId> =
        ops.iter().filter_map(|op| if let Op::Ask(id, Ask::Open { .. }) = op { Some(*id) } else { None }).collect();
    let mut sent = Vec::new();
    for (id, text) in opened.into_iter().zip([&b"search corp.example\nnameserver 127.0.0.1\n"[..], b""]) {
        let answer = Answer::Opened { file: FileId(id.key() as u32), meta: Default::default() };
        for op in desk.give(Input::Answer(id, Ok(answer))) {
            let Op::Ask(id, Ask::Read { .. }) = op else { continue };
            for op in desk.give(Input::Answer(id, Ok(Answer::Read(Bytes::copy_from_slice(text))))) {
                let Op::Udp { socket, .. } = op else { continue };
                let local = Addr::Ip("127.0.0.1:9".parse().unwrap());
                sent.extend(desk.give(Input::Bound { socket, local }));
            }
        }
    }
    let names: Vec<String> = sent
        .iter()
        .filter_map(|op| if let Op::SendTo { data, .. } = op { Some(data) } else { None })
        .map(|data| Message::parse(data).unwrap().question().unwrap().unwrap().name.to_string().to_lowercase())
        .collect();
    assert_eq!(names, ["intranet.", "intranet."]);
}

#[test]
fn an_answer_that_comes_too_late_finds_nobody() {
    for leaves in [true, false] {
        let mut desk = Desk::new(Options::default());
        let (t, ops) = desk.ask(b"slow.example");
        if leaves {
            desk.give(Input::Closed(t, Reason::Reset));
            desk.table.close(t);
        }
        let (ops, _) = desk.resolve(ops, &|| vec!["93.184.216.34".parse().unwrap()]);
        assert_eq!(connects(&ops).len(), usize::from(!leaves));
    }
}

#[test]
fn sk_12_questions_that_nobody_waits_for_are_bounded() {
    // Clients that ask for a name and leave, again and again, while the servers are silent.
    let mut desk = Desk::new(Options { pending: 10, ..Options::default() });
    let mut refused = 0;
    let mut sockets = 0;
    for n in 0..100 {
        let (t, ops) = desk.ask(format!("{n}.silent.example").as_bytes());
        let opened = |op: &Op<Check, Note>| if let Op::Ask(id, Ask::Open { .. }) = op { Some(*id) } else { None };
        let files: Vec<OpId> = ops.iter().filter_map(opened).collect();
        sockets += ops.iter().filter(|op| matches!(op, Op::Udp { .. })).count();
        for id in files {
            let ops = desk.give(Input::Answer(id, Err(Reason::NotFound)));
            sockets += ops.iter().filter(|op| matches!(op, Op::Udp { .. })).count();
        }
        refused += usize::from(desk.heard(t).get(3) == Some(&1));
        desk.give(Input::Closed(t, Reason::Reset));
        desk.table.close(t);
    }
    assert_eq!((refused, sockets), (90, 20), "two questions for each of ten names");
}

#[test]
fn brute_force_from_one_address_is_refused() {
    let mut desk = Desk::new(Options { access: users(), ..Options::default() });
    let try_in = |desk: &mut Desk, word: &[u8]| {
        let conn = desk.table.open(0);
        let remote = Addr::Ip("10.9.9.9:5".parse().unwrap());
        let listener = desk.listener;
        let ops = desk.give(Input::Accepted { conn, listener, peer: Peer { remote, local: None, fd: 0 } });
        if ops.iter().any(|op| matches!(op, Op::Abort(t) if *t == conn)) {
            return None;
        }
        desk.bytes(conn, &[b"\x05\x01\x02\x01\x04user\x04".as_slice(), word].concat());
        desk.now = desk.now.after(Duration::from_secs(1));
        desk.give(Input::Deadline);
        let heard = desk.heard(conn);
        desk.give(Input::Closed(conn, Reason::Finished));
        desk.table.close(conn);
        heard.last().copied()
    };
    for _ in 0..10 {
        assert_eq!(try_in(&mut desk, b"nope"), Some(1));
    }
    assert_eq!(try_in(&mut desk, b"pass"), None, "refused at the door");
    desk.now = desk.now.after(Duration::from_secs(60));
    assert_eq!(try_in(&mut desk, b"pass"), Some(0), "a minute later it may try again");
}

#[test]
fn an_address_that_logged_in_may_come_without() {
    for once in [true, false] {
        let mut desk = Desk::new(Options { access: users(), auth_once: once, ..Options::default() });
        let greet = |desk: &mut Desk, bytes: &[u8]| {
            let conn = desk.table.open(0);
            let (listener, remote) = (desk.listener, Addr::Ip("10.9.9.9:5".parse().unwrap()));
            desk.give(Input::Accepted { conn, listener, peer: Peer { remote, local: None, fd: 0 } });
            desk.bytes(conn, bytes);
            let heard = desk.heard(conn);
            desk.give(Input::Closed(conn, Reason::Finished));
            desk.table.close(conn);
            heard
        };
        assert_eq!(greet(&mut desk, &[5, 1, 0]), [5, 255]);
        assert_eq!(greet(&mut desk, b"\x05\x01\x02\x01\x04user\x04pass"), [5, 2, 1, 0]);
        assert_eq!(greet(&mut desk, &[5, 1, 0]), if once { [5, 0] } else { [5, 255] });
        desk.now = desk.now.after(Duration::from_secs(601));
        assert_eq!(greet(&mut desk, &[5, 1, 0]), [5, 255], "for ten minutes");
    }
}

/// A client that has a UDP relay: its connection, the relay's socket, and what is asked for besides.
fn associated(desk: &mut Desk) -> (Token, Token) {
    let conn = desk.table.open(0);
    let (listener, remote) = (desk.listener, Addr::Ip("10.9.9.9:5".parse().unwrap()));
    desk.give(Input::Accepted { conn, listener, peer: Peer { remote, local: None, fd: 0 } });
    let ops = desk.bytes(conn, b"\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0");
    let socket = ops.iter().find_map(|op| match op {
        Op::Udp { socket, bind: Some(_), to: None } => Some(*socket),
        _ => None,
    });
    let socket = socket.unwrap();
    desk.give(Input::Bound { socket, local: Addr::Ip("127.0.0.1:4000".parse().unwrap()) });
    assert_eq!(desk.heard(conn)[2..4], [5, 0]);
    (conn, socket)
}

/// A datagram of the client's to 93.184.216.34.
const PACKET: &[u8] = b"\0\0\0\x01\x5d\xb8\xd8\x22\0\x35question";

#[test]
fn datagrams_keep_an_association_alive_and_silence_ends_it() {
    let options = Options { associations: 1, ..Options::default() };
    let mut desk = Desk::with(options, Settings { idle: Some(Duration::from_secs(3600)), ..Settings::default() });
    let (conn, socket) = associated(&mut desk);
    let aborted = |desk: &mut Desk, at: u64| {
        desk.now = Instant::from_nanos(at * 1_000_000_000);
        let ops = desk.give(Input::Deadline);
        ops.iter().any(|op| matches!(op, Op::Abort(t) if *t == conn))
    };
    assert!(!aborted(&mut desk, 3000));
    let from = Addr::Ip("10.9.9.9:77".parse().unwrap());
    desk.give(Input::Datagram { socket, from, data: &mut PACKET.to_vec() });
    assert!(!aborted(&mut desk, 3700), "3,600 s since the last datagram, not since the first");
    assert!(aborted(&mut desk, 6601));
    // It ends with its connection, sockets and all.
    let ops = desk.give(Input::Closed(conn, Reason::Aborted));
    let closed = ops.iter().filter(|op| matches!(op, Op::Abort(t) if t.part() == super::association::SOCKETS)).count();
    assert_eq!(closed, 2, "inside and outside");
}

#[test]
fn sk_05_rules_hold_for_datagrams() {
    for (deny, sent) in [("*:53", 0), ("93.184.216.0/24", 0), ("*:54", 1)] {
        let access = Access { users: None, policy: policy(&[], &[deny]) };
        let mut desk = Desk::new(Options { access, associations: 1, ..Options::default() });
        let (_, socket) = associated(&mut desk);
        let from = Addr::Ip("10.9.9.9:77".parse().unwrap());
        let ops = desk.give(Input::Datagram { socket, from, data: &mut PACKET.to_vec() });
        let mut out = 0;
        for op in ops {
            if let Op::Udp { socket, .. } = op {
                let local = Addr::Ip("0.0.0.0:4001".parse().unwrap());
                let ops = desk.give(Input::Bound { socket, local });
                out += ops.iter().filter(|op| matches!(op, Op::SendTo { data, .. } if data == b"question")).count();
            }
        }
        assert_eq!(out, sent, "--deny {deny}");
    }
}
