//! Every message of both sides, right and wrong, as rows: what comes in, what goes out, what it means. Each row is cut at
//! every size.
use super::{
    Client, ClientEvent, Command, Config, Credentials, Destination, Limits, Offers, Reply, Server, ServerEvent, Via,
    datagram, is_name,
};
use crate::{Fault, Instant, Layer, Machine, Reason, Rx, Sealed, Step, Tx};
use alloc::{format, string::String, vec::Vec};
use core::net::SocketAddr;
use core::time::Duration;

/// Bytes: hex digits, and text in quotes; `*N` repeats what stands before it.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let (word, times) = word.split_once('*').map_or((word, 1), |(w, n)| (w, n.parse().unwrap()));
        let one: Vec<u8> = match word.strip_prefix('\'') {
            Some(quoted) => quoted.trim_end_matches('\'').bytes().collect(),
            None => {
                let hex = |i| u8::from_str_radix(word.get(i..i + 2).unwrap(), 16).unwrap();
                (0..word.len()).step_by(2).map(hex).collect()
            }
        };
        (0..times).for_each(|_| out.extend_from_slice(&one));
    }
    out
}

fn hex(b: &[u8]) -> String {
    b.iter().map(|b| format!("{b:02x}")).collect()
}

/// What a machine did with input of `step` bytes at a time; with its end, unless it is still open then.
struct Ran {
    said: Vec<String>,
    out: Vec<u8>,
}

fn fault(f: &Fault) -> String {
    format!("fault {} {}", f.code, f.what)
}

fn serve(offers: Offers, input: &[u8], step: usize, eof: bool) -> Ran {
    let config = Config { offers, v4: false, limits: Limits { early: 64, ..Limits::default() } };
    let (mut m, mut tx) = (Server::new(config, Instant::default()), Tx::default());
    let (mut tail, mut said) = (Vec::new(), Vec::new());
    let parts = input.chunks(step.max(1)).map(|c| (c, false)).chain(eof.then_some((&[][..], true)));
    'all: for (part, eof) in parts {
        tail.extend_from_slice(part);
        let shown = tail.len();
        let mut rx = Rx::new(&mut tail, eof);
        loop {
            match m.poll(Instant::default(), &mut rx, &mut tx) {
                Ok(Step::Event(ServerEvent::Login { user, password })) => {
                    let good = (user, password) == (b"user", b"pass");
                    said.push(format!("login {}:{}", user.escape_ascii(), password.escape_ascii()));
                    m.judge(&mut tx, good).unwrap();
                }
                Ok(Step::Event(ServerEvent::Request { command, address })) => {
                    said.push(format!("{} {address}", command.name()));
                    let bound = SocketAddr::from(([10, 0, 0, 1], 0x1092));
                    m.reply(&mut tx, Reply::Succeeded, bound).unwrap();
                }
                Ok(Step::NeedMore) => break,
                Ok(Step::Paused) if m.is_open() => {
                    break;
                }
                Ok(Step::Paused) => {
                    said.push("paused".into());
                    break 'all;
                }
                Ok(Step::Closed) => {
                    said.push("closed".into());
                    break 'all;
                }
                Err(f) => {
                    said.push(fault(&f));
                    break 'all;
                }
            }
        }
        let used = shown - rx.len();
        tail.drain(..used);
    }
    if m.is_open() {
        said.push(format!("open '{}'", tail.escape_ascii()));
    }
    Ran { said, out: tx.chunks().flatten().copied().collect() }
}

const PW: Offers = Offers::PASSWORD;
const NO: Offers = Offers::OPEN;
const BOTH: Offers = Offers { open: true, password: true };

/// Offers, input, output in hex, what was said.
type Row = (Offers, &'static str, &'static str, &'static str);

const OK: &str = "050000010a0000011092";
const LOGIN: &str = "05 01 02 01 04 'user' 04 'pass'";

#[rustfmt::skip]
const GREETINGS: &[Row] = &[
    (NO, "05 01 00", "0500", ""),
    (NO, "05 02 00 02", "0500", ""),
    (NO, "05 02 02 00", "0500", ""),
    (NO, "05 01 02", "05ff", "fault 255 no acceptable method"),
    (NO, "05 01 01", "05ff", "fault 255 no acceptable method"),
    (NO, "05 01 80", "05ff", "fault 255 no acceptable method"),
    (NO, "05 01 ff", "05ff", "fault 255 no acceptable method"),
    (NO, "05 00", "05ff", "fault 255 no methods offered"),
    (NO, "05 ff 01*254 00", "0500", ""),
    (NO, "05 ff 01*255", "05ff", "fault 255 no acceptable method"),
    (NO, "05 03 00 00 00", "0500", ""),
    (PW, "05 01 02", "0502", ""),
    (PW, "05 02 00 02", "0502", ""),
    (PW, "05 02 02 00", "0502", ""),
    (PW, "05 01 00", "05ff", "fault 255 no acceptable method"),
    (PW, "05 02 00 01", "05ff", "fault 255 no acceptable method"),
    (PW, "05 00", "05ff", "fault 255 no methods offered"),
    (PW, "05 ff 00*254 02", "0502", ""),
    (BOTH, "05 01 00", "0500", ""),
    (BOTH, "05 01 02", "0502", ""),
    (BOTH, "05 02 00 02", "0502", ""),
    (BOTH, "05 01 03", "05ff", "fault 255 no acceptable method"),
    (NO, "04", "", "fault 4 not SOCKS5"),
    (NO, "04 01 0050 7f000001 00", "", "fault 4 not SOCKS5"),
    (NO, "00", "", "fault 0 not SOCKS5"),
    (NO, "06 01 00", "", "fault 6 not SOCKS5"),
    (NO, "ff", "", "fault 255 not SOCKS5"),
    (NO, "'GET'", "", "fault 71 not SOCKS5"),
    (NO, "'CONNECT'", "", "fault 67 not SOCKS5"),
    (NO, "16 03 01", "", "fault 22 not SOCKS5"),
];

#[rustfmt::skip]
const LOGINS: &[Row] = &[
    (PW, "05 01 02 01 04 'user' 04 'pass'", "05020100", "login user:pass"),
    (PW, "05 01 02 01 04 'user' 04 'fail'", "05020101", "login user:fail; closed"),
    (PW, "05 01 02 01 04 'nobo' 04 'pass'", "05020101", "login nobo:pass; closed"),
    (PW, "05 01 02 01 04 'user' 05 'pass' 00", "05020101", "login user:pass\\x00; closed"),
    (PW, "05 01 02 01 05 'user' 00 04 'pass'", "05020101", "login user\\x00:pass; closed"),
    (PW, "05 01 02 01 04 'user' 03 'pas'", "05020101", "login user:pas; closed"),
    (PW, "05 01 02 01 01 'u' 01 'p'", "05020101", "login u:p; closed"),
    (PW, "05 01 02 01 01 ff 01 0a", "05020101", "login \\xff:\\n; closed"),
    (PW, "05 01 02 01 00 04 'pass'", "05020101", "fault 1 empty user name"),
    (PW, "05 01 02 01 00", "05020101", "fault 1 empty user name"),
    (PW, "05 01 02 01 04 'user' 00", "05020101", "fault 1 empty password"),
    (PW, "05 01 02 01 00 00", "05020101", "fault 1 empty user name"),
    (PW, "05 01 02 00 04 'user' 04 'pass'", "05020101", "fault 1 unknown version of the login"),
    (PW, "05 01 02 02", "05020101", "fault 1 unknown version of the login"),
    (PW, "05 01 02 05 01 00 01", "05020101", "fault 1 unknown version of the login"),
    (PW, "05 01 02 ff", "05020101", "fault 1 unknown version of the login"),
];

#[rustfmt::skip]
const REQUESTS: &[Row] = &[
    (NO, "05 01 00 05 01 00 01 7f000001 0050", "0500+", "CONNECT 127.0.0.1:80; open ''"),
    (NO, "05 01 00 05 01 00 01 00000000 ffff", "0500+", "CONNECT 0.0.0.0:65535; open ''"),
    (NO, "05 01 00 05 01 00 01 ffffffff 0001", "0500+", "CONNECT 255.255.255.255:1; open ''"),
    (NO, "05 01 00 05 01 00 04 00*15 01 01bb", "0500+", "CONNECT [::1]:443; open ''"),
    (NO, "05 01 00 05 01 00 04 20010db8 00*11 07 1f90", "0500+", "CONNECT [2001:db8::7]:8080; open ''"),
    (NO, "05 01 00 05 01 00 04 00*10 ffff 7f000001 0050", "0500+", "CONNECT [::ffff:127.0.0.1]:80; open ''"),
    (NO, "05 01 00 05 01 00 03 0b 'example.com' 01bb", "0500+", "CONNECT example.com:443; open ''"),
    (NO, "05 01 00 05 01 00 03 01 'a' 0001", "0500+", "CONNECT a:1; open ''"),
    (NO, "05 01 00 05 01 00 03 0c 'example.com.' 0050", "0500+", "CONNECT example.com.:80; open ''"),
    (NO, "05 01 00 05 01 00 03 0b 'EXAMPLE.com' 0050", "0500+", "CONNECT EXAMPLE.com:80; open ''"),
    (NO, "05 01 00 05 01 00 03 08 '_sip.a-b' 0050", "0500+", "CONNECT _sip.a-b:80; open ''"),
    (NO, "05 01 00 05 01 00 03 0a '10.11.12.1' 0050", "0500+", "CONNECT 10.11.12.1:80; open ''"),
    (NO, "05 01 00 05 01 00 03 05 '127.1' 0050", "0500+", "CONNECT 127.1:80; open ''"),
    (NO, "05 01 00 05 01 00 03 0a '0x7f000001' 0050", "0500+", "CONNECT 0x7f000001:80; open ''"),
    (NO, "05 01 00 05 01 00 03 0a 'localhost.' 0050", "0500+", "CONNECT localhost.:80; open ''"),
    (NO, "05 01 00 05 01 00 03 3f 'a'*63 0050", "0500+", "CONNECT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:80; open ''"),
    (NO, "05 01 00 05 01 00 03 40 'a'*64 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 fe 'a.'*127 0050", "0500+", "CONNECT a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.:80; open ''"),
    (NO, "05 01 00 05 01 00 03 ff 'a.'*127 'a' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 ff 'a'*255 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 00 0050", "0500-01", "fault 1 empty domain name"),
    (NO, "05 01 00 05 01 00 03 00", "0500-01", "fault 1 empty domain name"),
    (NO, "05 01 00 05 01 00 03 01 '.' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 04 'a..b' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 02 '.a' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 03 'a..' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 03 'a' 00 'b' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 03 'a' 20 'b' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 04 'a' 0d0a 'b' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 03 'a/b' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 03 'a:b' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 03 'a@b' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 03 'a%b' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 05 '[::1]' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 03 '::1' 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 02 c3a9 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 01 ff 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 03 01 7f 0050", "0500-01", "fault 1 not a domain name"),
    (NO, "05 01 00 05 01 00 01 7f000001 0000", "0500-01", "fault 1 port 0"),
    (NO, "05 01 00 05 01 00 03 01 'a' 0000", "0500-01", "fault 1 port 0"),
    (NO, "05 01 00 05 01 00 04 00*15 01 0000", "0500-01", "fault 1 port 0"),
    (NO, "05 01 00 05 00 00 01 7f000001 0050", "0500-07", "fault 7 unknown command"),
    (NO, "05 01 00 05 04", "0500-07", "fault 7 unknown command"),
    (NO, "05 01 00 05 f0", "0500-07", "fault 7 unknown command"),
    (NO, "05 01 00 05 ff 00 01", "0500-07", "fault 7 unknown command"),
    (NO, "05 01 00 05 09 00 02", "0500-07", "fault 7 unknown command"),
    (NO, "05 01 00 05 01 00 00", "0500-08", "fault 8 unknown type of address"),
    (NO, "05 01 00 05 01 00 02 7f000001 0050", "0500-08", "fault 8 unknown type of address"),
    (NO, "05 01 00 05 01 00 05", "0500-08", "fault 8 unknown type of address"),
    (NO, "05 01 00 05 01 00 ff", "0500-08", "fault 8 unknown type of address"),
    (NO, "05 01 00 05 01 01 01 7f000001 0050", "0500-01", "fault 1 a reserved byte that is not 0"),
    (NO, "05 01 00 05 01 ff", "0500-01", "fault 1 a reserved byte that is not 0"),
    (NO, "05 01 00 04 01", "0500-01", "fault 1 unknown version of the request"),
    (NO, "05 01 00 01 04 'user'", "0500-01", "fault 1 unknown version of the request"),
    (NO, "05 01 00 00", "0500-01", "fault 1 unknown version of the request"),
    (NO, "05 01 00 05 03 00 01 00000000 0000", "0500+", "UDP ASSOCIATE 0.0.0.0:0; open ''"),
    (NO, "05 01 00 05 03 00 04 00*16 0000", "0500+", "UDP ASSOCIATE [::]:0; open ''"),
    (NO, "05 01 00 05 03 00 01 7f000001 1388", "0500+", "UDP ASSOCIATE 127.0.0.1:5000; open ''"),
    (NO, "05 01 00 05 02 00 01 7f000001 0000", "0500+", "BIND 127.0.0.1:0"),
    (NO, "05 01 00 05 02 00 01 7f000001 0015", "0500+", "BIND 127.0.0.1:21"),
    // What comes early belongs to the stream.
    (NO, "05 01 00 05 01 00 01 7f000001 0050 'GET'", "0500+", "CONNECT 127.0.0.1:80; open 'GET'"),
    (NO, "05 01 00 05 01 00 03 01 'a' 0050 05 01 00", "0500+", "CONNECT a:80; open '\\x05\\x01\\x00'"),
];

fn check_server(rows: &[Row], prefix: &str, reply: &str) {
    for (offers, input, output, said) in rows {
        let (offers, row) = if prefix.is_empty() { (*offers, String::new()) } else { (PW, prefix.into()) };
        let tail = if prefix.is_empty() { *input } else { input.strip_prefix("05 01 00 ").unwrap() };
        let input = bytes(&format!("{row} {tail}"));
        let want_out = match output.split_once(['+', '-']) {
            Some((_, "")) => format!("{reply}{OK}"),
            Some((_, code)) => format!("{reply}05{code}0001000000000000"),
            None => output.replace(' ', ""),
        };
        let said: Vec<&str> = said.split("; ").filter(|s| !s.is_empty()).collect();
        for step in steps(input.len()) {
            let ran = serve(offers, &input, step, false);
            let got: Vec<&str> = ran.said.iter().map(String::as_str).filter(|s| !prefix_event(prefix, s)).collect();
            assert_eq!((got, hex(&ran.out)), (said.clone(), want_out.clone()), "{tail}, {step} at a time");
        }
    }
}

/// Sizes of pieces. Miri is slow: it sees one byte at a time.
fn steps(len: usize) -> core::ops::RangeInclusive<usize> {
    1..=if cfg!(miri) { 1 } else { len }
}

fn prefix_event(prefix: &str, said: &str) -> bool {
    !prefix.is_empty() && said == "login user:pass"
}

#[test]
fn greetings() {
    check_server(GREETINGS, "", "");
}

#[test]
fn logins() {
    check_server(LOGINS, "", "");
}

#[test]
fn requests_without_and_with_a_login() {
    check_server(REQUESTS, "", "0500");
    check_server(REQUESTS, LOGIN, "05020100");
}

#[test]
fn there_are_enough_rows() {
    let n = GREETINGS.len() + LOGINS.len() + REQUESTS.len() + ANSWERS.len() + DATAGRAMS.len();
    assert!(n >= 160, "{n} rows");
}

#[test]
fn a_prefix_waits_and_its_end_is_a_fault() {
    for request in ["01 7f000001 0050", "03 0b 'example.com' 01bb", "04 00*15 01 01bb"] {
        let input = bytes(&format!("{LOGIN} 05 01 00 {request}"));
        for n in 0..input.len() {
            let open = serve(PW, &input[..n], n, false).said;
            assert!(open.iter().all(|s| s == "login user:pass"), "{n} bytes: {open:?}");
            let cut = serve(PW, &input[..n], 1, true).said;
            assert_eq!(cut.last().unwrap(), "fault 0 closed during handshake", "{n} bytes");
        }
    }
}

#[test]
fn the_end_tells_how_far_it_came() {
    let config = Config { offers: NO, v4: false, limits: Limits::default() };
    let mut m = Server::new(config, Instant::default());
    let mut input = bytes("05 02 00");
    let f = m.poll(Instant::default(), &mut Rx::new(&mut input, true), &mut Tx::default()).unwrap_err();
    assert_eq!((f.offset, f.what), (3, "closed during handshake"));
}

/// A server that was asked, and its output.
fn asked(command: u8) -> (Server, Tx) {
    let config = Config { offers: NO, v4: false, limits: Limits { early: 10, ..Limits::default() } };
    let (mut m, mut tx) = (Server::new(config, Instant::default()), Tx::default());
    let mut input = bytes(&format!("05 01 00 05 {command:02x} 00 01 7f000001 0050"));
    let step = m.poll(Instant::default(), &mut Rx::new(&mut input, false), &mut tx);
    assert!(matches!(step, Ok(Step::Event(ServerEvent::Request { .. }))));
    let n = tx.len();
    tx.consume(n, None);
    (m, tx)
}

fn poll(m: &mut Server, tx: &mut Tx, input: &[u8], eof: bool) -> String {
    match m.poll(Instant::default(), &mut Rx::new(&mut input.to_vec(), eof), tx) {
        Ok(step) => format!("{step:?}"),
        Err(f) => fault(&f),
    }
}

#[test]
fn early_bytes_are_kept_up_to_the_limit() {
    let (mut m, mut tx) = asked(1);
    assert_eq!(poll(&mut m, &mut tx, b"123456789", false), "NeedMore");
    assert_eq!(poll(&mut m, &mut tx, b"1234567890", false), "Paused");
    assert_eq!(poll(&mut m, &mut tx, b"12345678", true), "fault 0 closed during handshake");
}

#[test]
fn who_leaves_before_the_reply_has_left() {
    let (mut m, mut tx) = asked(1);
    assert_eq!(poll(&mut m, &mut tx, b"", true), "fault 0 closed during handshake");
    assert_eq!(poll(&mut m, &mut tx, b"", true), "Closed");
    assert!(m.reply(&mut tx, Reply::Succeeded, SocketAddr::from(([1; 4], 1))).is_err(), "it is over");
    assert!(tx.is_empty());
}

#[test]
fn every_reply_ends_or_opens() {
    let at = SocketAddr::from(([10, 1, 2, 3], 0x1234));
    for reply in Reply::ALL {
        let (mut m, mut tx) = asked(1);
        m.reply(&mut tx, reply, at).unwrap();
        assert_eq!(hex(tx.front()), format!("05{:02x}00010a0102031234", reply.code()));
        assert_eq!(m.is_open(), reply == Reply::Succeeded);
        assert_eq!(poll(&mut m, &mut tx, b"", false), if m.is_open() { "Paused" } else { "Closed" });
        assert!(m.reply(&mut tx, reply, at).is_err(), "one reply");
        assert_eq!(Reply::of(reply.code()), Some(reply));
    }
    assert_eq!(Reply::of(9), None);
    let (mut m, mut tx) = asked(3);
    m.reply(&mut tx, Reply::Succeeded, "[2001:db8::1]:9".parse().unwrap()).unwrap();
    assert_eq!(hex(tx.front()), "0500000420010db80000000000000000000000010009");
}

#[test]
fn bind_is_answered_twice() {
    let at = SocketAddr::from(([10, 1, 2, 3], 1));
    let (mut m, mut tx) = asked(2);
    m.reply(&mut tx, Reply::Succeeded, at).unwrap();
    assert!(!m.is_open() && m.is_asked());
    m.reply(&mut tx, Reply::Succeeded, at).unwrap();
    assert!(m.is_open());
    assert_eq!(tx.len(), 20);
    let (mut m, mut tx) = asked(2);
    m.reply(&mut tx, Reply::Succeeded, at).unwrap();
    m.reply(&mut tx, Reply::HostUnreachable, at).unwrap();
    assert_eq!(poll(&mut m, &mut tx, b"", false), "Closed");
}

#[test]
fn what_was_not_asked_is_not_answered() {
    let at = SocketAddr::from(([1; 4], 1));
    let mut tx = Tx::default();
    let mut m = Server::new(Config { offers: PW, v4: false, limits: Limits::default() }, Instant::default());
    assert!(m.judge(&mut tx, true).is_err() && m.reply(&mut tx, Reply::Succeeded, at).is_err());
    assert!(tx.is_empty() && m.handshake_len() == 0);
}

#[test]
fn the_handshake_has_one_deadline() {
    let began = Instant::from_nanos(7);
    let mut m = Server::new(Config { offers: PW, v4: false, limits: Limits::default() }, began);
    let at = |m: &Server| m.deadline().map(|d| d.at.since(began).as_secs());
    assert_eq!(at(&m), Some(10));
    assert_eq!(poll(&mut m, &mut Tx::default(), &bytes("05 01 02"), false), "NeedMore");
    assert_eq!(at(&m), Some(10), "it does not move with the bytes");
    let f = m.on_deadline(began, &mut Tx::default()).unwrap_err();
    assert_eq!(f.what, "handshake took too long");
    assert_eq!(asked(1).0.deadline(), None, "the target has a deadline of its own");
}

#[test]
fn reasons_have_codes() {
    for (why, reply) in [
        (Reason::Refused, Reply::ConnectionRefused),
        (Reason::NetUnreachable, Reply::NetworkUnreachable),
        (Reason::HostUnreachable, Reply::HostUnreachable),
        (Reason::TimedOut, Reply::HostUnreachable),
        (Reason::NotFound, Reply::HostUnreachable),
        (Reason::TtlExpired, Reply::TtlExpired),
        (Reason::Prohibited, Reply::NotAllowed),
        (Reason::Descriptors, Reply::GeneralFailure),
        (Reason::AddrNotAvailable, Reply::GeneralFailure),
    ] {
        assert_eq!(Reply::to_failure(why), reply, "{why:?}");
    }
}

/// Command of the client, what the proxy says, what the client sends after its greeting, what it takes it for.
type Answer = (Command, bool, &'static str, &'static str, &'static str);
const C: Command = Command::Connect;
const ASK: &str = "05010003016101bb";

#[rustfmt::skip]
const ANSWERS: &[Answer] = &[
    (C, false, "05 00 05 00 00 01 0a000001 1f90", ASK, "open 10.0.0.1:8080 ''"),
    (C, false, "05 00 05 00 00 04 00*15 01 1f90", ASK, "open [::1]:8080 ''"),
    (C, false, "05 00 05 00 00 03 05 'proxy' 1f90", ASK, "open proxy:8080 ''"),
    (C, false, "05 00 05 00 00 01 00000000 0000", ASK, "open 0.0.0.0:0 ''"),
    (C, false, "05 00 05 00 00 01 0a000001 1f90 'HTTP'", ASK, "open 10.0.0.1:8080 'HTTP'"),
    (C, false, "05 00 05 01 00 01 00000000 0000", ASK, "fault 1 general failure of the proxy"),
    (C, false, "05 00 05 02", ASK, "fault 2 not allowed by the proxy's rules"),
    (C, false, "05 00 05 03", ASK, "fault 3 network unreachable"),
    (C, false, "05 00 05 04", ASK, "fault 4 host unreachable"),
    (C, false, "05 00 05 05", ASK, "fault 5 connection refused"),
    (C, false, "05 00 05 06", ASK, "fault 6 TTL expired"),
    (C, false, "05 00 05 07", ASK, "fault 7 command not supported"),
    (C, false, "05 00 05 08", ASK, "fault 8 address type not supported"),
    (C, false, "05 00 05 09", ASK, "fault 9 an unknown reply of the proxy"),
    (C, false, "05 00 05 ff", ASK, "fault 255 an unknown reply of the proxy"),
    (C, false, "05 00 05 00 00 02", ASK, "fault 0 a reply with an address that is none"),
    (C, false, "05 00 05 00 00 03 00", ASK, "fault 0 a reply with an address that is none"),
    (C, false, "05 00 05 00 00 03 01 00 0050", ASK, "fault 0 a reply with an address that is none"),
    (C, false, "05 00 05 00 01 01", ASK, "fault 0 a reserved byte that is not 0"),
    (C, false, "05 00 04", ASK, "fault 4 not SOCKS5"),
    (C, false, "04", "", "fault 4 not SOCKS5"),
    (C, false, "'HTTP/1.1'", "", "fault 72 not SOCKS5"),
    (C, false, "05 ff", "", "fault 255 the proxy wants a user name and a password"),
    (C, false, "05 02", "", "fault 2 the proxy picked a method that was not offered"),
    (C, false, "05 01", "", "fault 1 the proxy picked a method that was not offered"),
    (C, false, "05 80", "", "fault 128 the proxy picked a method that was not offered"),
    (C, true, "05 02 01 00 05 00 00 01 0a000001 1f90", "01047573657204706173730501000301610 1bb", "open 10.0.0.1:8080 ''"),
    (C, true, "05 00 05 00 00 01 0a000001 1f90", ASK, "open 10.0.0.1:8080 ''"),
    (C, true, "05 02 01 01", "0104757365720470617373", "fault 1 the proxy does not accept the user name and password"),
    (C, true, "05 02 01 ff", "0104757365720470617373", "fault 255 the proxy does not accept the user name and password"),
    (C, true, "05 02 05 00", "0104757365720470617373", "fault 5 not an answer to a login"),
    (C, true, "05 ff", "", "fault 255 the proxy accepts neither way to log in"),
    (C, true, "05 01", "", "fault 1 the proxy picked a method that was not offered"),
    (Command::UdpAssociate, false, "05 00 05 00 00 01 0a000001 1f90", "05030003016101bb", "open 10.0.0.1:8080 ''"),
    (Command::Bind, false, "05 00 05 00 00 01 0a000001 1f90 05 00 00 01 0a000002 0001", "05020003016101bb", "listening 10.0.0.1:8080; open 10.0.0.2:1 ''"),
    (Command::Bind, false, "05 00 05 00 00 01 0a000001 1f90 05 05", "05020003016101bb", "listening 10.0.0.1:8080; fault 5 connection refused"),
];

fn ask(command: Command, login: bool, input: &[u8], step: usize, eof: bool) -> Ran {
    let credentials = login.then(|| Credentials::new(b"user", b"pass").unwrap());
    let mut m = Client::new(command, Destination::new("a", 443).unwrap(), credentials, Duration::from_secs(10));
    let (mut tx, mut tail, mut said) = (Tx::default(), Vec::new(), Vec::new());
    m.start(Instant::default(), &mut tx).unwrap();
    let parts = input.chunks(step.max(1)).map(|c| (c, false)).chain(eof.then_some((&[][..], true)));
    'all: for (part, eof) in parts {
        tail.extend_from_slice(part);
        let shown = tail.len();
        let mut rx = Rx::new(&mut tail, eof);
        loop {
            match m.poll(Instant::default(), &mut rx, &mut tx) {
                Ok(Step::Event(ClientEvent::Listening(a))) => said.push(format!("listening {a}")),
                Ok(Step::Event(ClientEvent::Open(a))) => said.push(format!("open {a}")),
                Ok(Step::NeedMore | Step::Paused) => break,
                Ok(Step::Closed) => {
                    said.push("closed".into());
                    break 'all;
                }
                Err(f) => {
                    said.push(fault(&f));
                    break 'all;
                }
            }
        }
        let used = shown - rx.len();
        tail.drain(..used);
    }
    if let (true, Some(last)) = (m.is_open(), said.last_mut()) {
        *last = format!("{last} '{}'", tail.escape_ascii());
    }
    Ran { said, out: tx.chunks().flatten().copied().collect() }
}

#[test]
fn answers() {
    for (command, login, input, output, said) in ANSWERS {
        let input = bytes(input);
        let greeting = if *login { "05020002" } else { "050100" };
        for step in steps(input.len()) {
            let ran = ask(*command, *login, &input, step, false);
            let want = format!("{greeting}{}", output.replace(' ', ""));
            assert_eq!((ran.said.join("; ").as_str(), hex(&ran.out)), (*said, want), "{said}, {step} at a time");
        }
        for n in 0..input.len() {
            let cut = ask(*command, *login, &input[..n], n, true).said;
            let ended = cut.last().is_some_and(|s| s.starts_with("fault") || s.starts_with("open"));
            assert!(ended, "{said}: cut after {n} bytes: {cut:?}");
        }
    }
}

#[test]
fn a_client_neither_cuts_names_nor_sends_what_does_not_fit() {
    let long = "a".repeat(64);
    for bad in ["", ".", "a b", "a\0b", "a\r\nb", "größe", "[::1]", long.as_str()] {
        assert!(Destination::new(bad, 1).is_err(), "{bad:?}");
    }
    let labels = ["a"; 127].join("."); // 253 bytes
    assert!(Destination::new(&labels, 1).is_ok() && Destination::new(&format!("{labels}.a"), 1).is_err());
    for good in ["::1", "127.0.0.1", "localhost", "a.b.c."] {
        assert!(Destination::new(good, 1).is_ok(), "{good:?}");
    }
    for (user, password) in [(0, 1), (1, 0), (256, 1), (1, 256)] {
        assert!(Credentials::new(&[b'u'; 256][..user], &[b'p'; 256][..password]).is_err(), "{user} {password}");
    }
    assert!(Credentials::new(&[b'u'; 255], &[b'p'; 255]).is_ok());
    assert_eq!(format!("{:?}", Credentials::new(b"u", b"p").unwrap()), "(secret)");
}

#[test]
fn names() {
    for good in ["a", "a.b", "a.b.", "xn--bcher-kva.example", "_dmarc.a", "1.2.3.4", "0"] {
        assert!(is_name(good.as_bytes()), "{good}");
    }
    for bad in ["", ".", "a..", "a b", "a\n", "*", "a\\b", "a\"b", "\u{e9}"] {
        assert!(!is_name(bad.as_bytes()), "{bad}");
    }
}

/// A datagram, and what it is.
#[rustfmt::skip]
const DATAGRAMS: &[(&str, &str)] = &[
    ("0000 00 01 7f000001 0035 'hi'", "127.0.0.1:53 'hi'"),
    ("0000 00 01 7f000001 0035", "127.0.0.1:53 ''"),
    ("0000 00 04 00*15 01 0035 'hi'", "[::1]:53 'hi'"),
    ("0000 00 03 01 'a' 0035 'hi'", "a:53 'hi'"),
    ("0000 01 01 7f000001 0035 'hi'", "Fragment"),
    ("0000 80 01 7f000001 0035 'hi'", "Fragment"),
    ("0000 ff", "Fragment"),
    ("0001 00 01 7f000001 0035 'hi'", "Reserved"),
    ("0100 00 01 7f000001 0035 'hi'", "Reserved"),
    ("0100 01 01 7f000001 0035 'hi'", "Reserved"),
    ("", "Short"),
    ("00", "Short"),
    ("0000", "Short"),
    ("0000 00", "Short"),
    ("0000 00 01 7f000001 00", "Short"),
    ("0000 00 04 00*17", "Short"),
    ("0000 00 03", "Short"),
    ("0000 00 03 05 'abc' 0035", "Short"),
    ("0000 00 03 00 0035 'hi'", "Address"),
    ("0000 00 03 01 00 0035", "Address"),
    ("0000 00 02 7f000001 0035", "Address"),
    ("0000 00 01 7f000001 0000 'hi'", "Address"),
];

#[test]
fn datagrams() {
    for (row, want) in DATAGRAMS {
        let b = bytes(row);
        let got = match datagram::parse(&b) {
            Ok((a, payload)) => {
                let mut again = Vec::new();
                datagram::wrap(&a, payload, &mut again);
                assert_eq!(again, b, "{row}");
                format!("{a} '{}'", payload.escape_ascii())
            }
            Err(bad) => format!("{bad:?}"),
        };
        assert_eq!(got, *want, "{row}");
    }
    let mut v = b"old".to_vec();
    datagram::wrap_from("[::1]:53".parse().unwrap(), b"x", &mut v);
    assert!(v.len() < datagram::HEADER_MAX && v.ends_with(b"x") && datagram::parse(&v).is_ok());
}

#[test]
fn a_layer_hides_the_proxy() {
    let all = bytes("05 00 05 00 00 01 0a000001 1f90 'now'");
    for step in 1..=all.len() {
        let mut via = Via::new(Destination::new("a", 443).unwrap(), None, Duration::from_secs(10));
        let (mut wire, mut above) = (Tx::default(), Tx::default());
        let (mut inbox, mut plain, mut ready) = (Vec::new(), Vec::new(), 0);
        let now = Instant::default();
        via.start(now, &mut wire);
        above.put(b"hello");
        assert_eq!(via.seal(now, &mut above, &mut wire), Ok(Sealed::NotReady));
        assert!(via.deadline().is_some() && via.clone().on_deadline(now, &mut wire).is_err());
        assert!(via.clone().end_of_input(&mut wire).is_err(), "cut short");
        for part in all.chunks(step) {
            inbox.extend_from_slice(part);
            while let Some(info) = via.open(now, &mut inbox, &mut plain, &mut wire).unwrap() {
                assert_eq!(info, crate::Info::default());
                ready += 1;
            }
        }
        assert_eq!((ready, plain.as_slice(), inbox.len()), (1, b"now".as_slice(), 0));
        assert!(via.deadline().is_none() && via.end_of_input(&mut wire).is_ok());
        assert_eq!(via.seal(now, &mut above, &mut wire), Ok(Sealed::All));
        let sent: Vec<u8> = wire.chunks().flatten().copied().collect();
        assert_eq!(hex(&sent), format!("050100{ASK}{}", hex(b"hello")));
    }
}
