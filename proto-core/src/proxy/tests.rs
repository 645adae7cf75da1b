//! What clients of SOCKS 4 and of HTTP say, right and wrong, as rows: what comes in, what goes out, what it means. Each row is
//! cut at every size. SOCKS 5 has rows of its own.
use super::{Config, Event, Server};
use crate::socks5::{self, Limits, Offers, Reply};
use crate::{Instant, Machine, Rx, Step, Tx};
use alloc::{format, string::String, vec::Vec};
use core::net::SocketAddr;
use core::time::Duration;

const PW: Offers = Offers::PASSWORD;
const NO: Offers = Offers::OPEN;
const BOTH: Offers = Offers { open: true, password: true };

fn config(offers: Offers) -> Config {
    let limits = Limits { early: 64, ..Limits::default() };
    Config { socks: socks5::Config { offers, v4: true, limits }, http: Some(Config::http()) }
}

/// Feeds `input` in pieces of `step` bytes, then its end unless the stream is open. What was said, what went out.
fn serve(config: Config, input: &[u8], step: usize) -> (String, Vec<u8>) {
    let (mut m, mut tx) = (Server::new(config, Instant::default()), Tx::default());
    let (mut tail, mut said): (Vec<u8>, Vec<String>) = (Vec::new(), Vec::new());
    let parts = input.chunks(step.max(1)).map(|c| (c, false)).chain([(&[][..], true)]);
    'all: for (part, eof) in parts {
        if eof && m.is_open() {
            break;
        }
        tail.extend_from_slice(part);
        let shown = tail.len();
        let mut rx = Rx::new(&mut tail, eof);
        loop {
            match m.poll(Instant::default(), &mut rx, &mut tx) {
                Ok(Step::Event(Event::Login { user, password })) => {
                    said.push(format!("login {}:{}", user.escape_ascii(), password.escape_ascii()));
                    m.judge(&mut tx, (&*user, &*password) == (b"user", b"pass")).unwrap();
                }
                Ok(Step::Event(Event::Request { command, to })) => {
                    said.push(format!("{} {}", command.name(), to.address()));
                    m.reply(&mut tx, Reply::Succeeded, SocketAddr::from(([10, 0, 0, 1], 0x1092))).unwrap();
                }
                Ok(Step::Paused) if !m.is_open() => {
                    said.push("paused".into());
                    break 'all;
                }
                Ok(Step::NeedMore | Step::Paused) => break,
                Ok(Step::Closed) => {
                    said.push("closed".into());
                    break 'all;
                }
                Err(f) => {
                    said.push(format!("fault {} {}", f.code, f.what));
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
    (said.join("; "), tx.chunks().flatten().copied().collect())
}

/// The same however cut.
fn check(offers: Offers, input: &[u8], out: &[u8], said: &str) {
    // Miri is slow: there only the finest cut.
    for step in if cfg!(miri) { 1..=1 } else { 1..=input.len() } {
        let (got, sent) = serve(config(offers), input, step);
        assert_eq!(got, said, "{} by {step}", input.escape_ascii());
        assert_eq!(sent, out, "{} by {step}: {}", input.escape_ascii(), sent.escape_ascii());
    }
}

/// Offers, input, output, what was said.
type Row = (Offers, &'static [u8], &'static [u8], &'static str);

const YES4: &[u8] = b"\x00\x5a\x10\x92\x0a\x00\x00\x01";
const NO4: &[u8] = b"\x00\x5b\x00\x00\x00\x00\x00\x00";

#[rustfmt::skip]
const SOCKS4: &[Row] = &[
    (NO, b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", YES4, "CONNECT 127.0.0.1:80; open ''"),
    (NO, b"\x04\x01\x00\x50\x7f\x00\x00\x01me\x00hello", YES4, "CONNECT 127.0.0.1:80; open 'hello'"),
    (NO, b"\x04\x01\x00\x50\x00\x00\x00\x00\x00", YES4, "CONNECT 0.0.0.0:80; open ''"),
    (NO, b"\x04\x01\x00\x50\x00\x00\x01\x00\x00", YES4, "CONNECT 0.0.1.0:80; open ''"),
    (NO, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00example.com\x00", YES4, "CONNECT example.com:443; open ''"),
    (NO, b"\x04\x01\x01\xbb\x00\x00\x00\xffme\x00example.com\x00x", YES4, "CONNECT example.com:443; open 'x'"),
    (NO, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00a\x00b\x00", YES4, "CONNECT a:443; open 'b\\x00'"),
    (NO, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00\x00", NO4, "fault 1 not a domain name"),
    (NO, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00a b\x00", NO4, "fault 1 not a domain name"),
    (NO, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00a\r\n\x00", NO4, "fault 1 not a domain name"),
    (NO, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00\xc3\xa9\x00", NO4, "fault 1 not a domain name"),
    (NO, b"\x04\x01\x00\x00\x7f\x00\x00\x01\x00", NO4, "fault 1 port 0"),
    (NO, b"\x04\x00", NO4, "fault 1 unknown command"),
    (NO, b"\x04\x03", NO4, "fault 1 unknown command"),
    (NO, b"\x04\xff", NO4, "fault 1 unknown command"),
    (NO, b"\x04", b"", "fault 0 closed during handshake"),
    (NO, b"\x04\x01\x00\x50\x7f\x00\x00\x01", b"", "fault 0 closed during handshake"),
    (NO, b"\x04\x01\x00\x50\x7f\x00\x00\x01me", b"", "fault 0 closed during handshake"),
    (NO, b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00exa", b"", "fault 0 closed during handshake"),
    (BOTH, b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", YES4, "CONNECT 127.0.0.1:80; open ''"),
    (PW, b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", NO4, "fault 2 SOCKS4 cannot log in"),
    (PW, b"\x04\x01\x00\x50\x7f\x00\x00\x01user\x00", NO4, "fault 2 SOCKS4 cannot log in"),
    // The others are still what they were.
    (NO, b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x00\x05\x00\x00\x01\x0a\x00\x00\x01\x10\x92", "CONNECT 127.0.0.1:80; open ''"),
    (NO, b"\x06", b"", "fault 6 not SOCKS5"),
    (NO, b"\x16\x03\x01", b"", "fault 22 not SOCKS5"),
    (NO, b"get", b"", "fault 103 not SOCKS5"),
];

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
const WHO: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n\
    Proxy-Authenticate: Basic realm=\"proxy\", charset=\"UTF-8\"\r\n\r\na user name and a password, please\n";
const WHO_AT_LAST: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n\
    Connection: close\r\nProxy-Authenticate: Basic realm=\"proxy\", charset=\"UTF-8\"\r\n\r\na user name and a password, please\n";
const NOWHERE: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 22\r\nConnection: close\r\n\r\n\
    not a host and a port\n";
const ONLY: &[u8] =
    b"HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nContent-Length: 30\r\nConnection: close\r\n\
    Allow: CONNECT\r\n\r\na request that is not CONNECT\n";
const BAD: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[rustfmt::skip]
const HTTP: &[Row] = &[
    (NO, b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", OK, "CONNECT example.com:443; open ''"),
    (NO, b"CONNECT a:1 HTTP/1.0\r\n\r\nearly", OK, "CONNECT a:1; open 'early'"),
    (NO, b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: a\r\nUser-Agent: curl\r\n\r\n", OK, "CONNECT 127.0.0.1:80; open ''"),
    (NO, b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", OK, "CONNECT [::1]:80; open ''"),
    (NO, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n", OK, "CONNECT a:1; open ''"),
    (NO, b"CONNECT a:0 HTTP/1.1\r\nHost: a:0\r\n\r\n", NOWHERE, "fault 400 not a host and a port"),
    (NO, b"CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n", BAD, "fault 400 a request target of the wrong form"),
    (NO, b"CONNECT [::1] HTTP/1.1\r\nHost: a\r\n\r\n", NOWHERE, "fault 400 not a host and a port"),
    (NO, b"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", NOWHERE, "fault 400 not a host and a port"),
    (NO, b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", BAD, "fault 400 a request target of the wrong form"),
    (NO, b"CONNECT http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD, "fault 400 a request target of the wrong form"),
    (NO, b"CONNECT u@a:1 HTTP/1.1\r\nHost: a\r\n\r\n", BAD, "fault 400 a request target of the wrong form"),
    (NO, b"CONNECT a:1 HTTP/1.1\r\n\r\n", BAD, "fault 400 no Host in HTTP/1.1"),
    (NO, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", BAD, "fault 400 a request for a tunnel with a body"),
    (NO, b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", ONLY, "fault 405 a request that is not CONNECT"),
    (NO, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ONLY, "fault 405 a request that is not CONNECT"),
    (NO, b"CONNECT a:1 HTTP/1.1\r\nHost", BAD, "fault 400 a request that was cut short"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\nx", OK, "login user:pass; CONNECT a:1; open 'x'"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nproxy-authorization: bASIC   dXNlcjpwYXNz\r\n\r\n", OK, "login user:pass; CONNECT a:1; open ''"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic dXNlcjpmYWls\r\n\r\n", WHO_AT_LAST, "login user:fail; closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic dTphOmI=\r\n\r\n", WHO_AT_LAST, "login u:a:b; closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", WHO, "closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\r\n", WHO, "closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Bearer dXNlcjpwYXNz\r\n\r\n", WHO, "closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic !!!!\r\n\r\n", WHO, "closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic dXNlcg==\r\n\r\n", WHO, "closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic OnBhc3M=\r\n\r\n", WHO, "closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic dXNlcjo=\r\n\r\n", WHO, "closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: \r\n\r\n", WHO, "closed"),
    (PW, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n", WHO, "closed"),
    (BOTH, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", OK, "CONNECT a:1; open ''"),
    (BOTH, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n", OK, "login user:pass; CONNECT a:1; open ''"),
];

#[test]
fn socks4() {
    SOCKS4.iter().for_each(|(offers, input, out, said)| check(*offers, input, out, said));
}

#[test]
fn http() {
    HTTP.iter().for_each(|(offers, input, out, said)| check(*offers, input, out, said));
}

#[test]
fn what_is_not_served_is_not_understood() {
    let mut plain = config(NO);
    (plain.socks.v4, plain.http) = (false, None);
    for (_, input, _, _) in HTTP {
        let (said, out) = serve(plain.clone(), input, input.len());
        assert!(said.ends_with("not SOCKS5") && out.is_empty(), "{said}");
    }
    let (said, out) = serve(plain, b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", 9);
    assert_eq!((said.as_str(), &*out), ("fault 4 not SOCKS5", &b""[..]));
}

#[test]
fn names_have_an_end() {
    let long =
        |n: usize, name: &[u8]| [b"\x04\x01\x00\x50\x00\x00\x00\x01", &*alloc::vec![b'u'; n], b"\x00", name].concat();
    check(NO, &long(255, b"a\x00"), YES4, "CONNECT a:80; open ''");
    check(NO, &long(256, b"a\x00")[..8 + 256], NO4, "fault 1 a user name of more than 255 bytes");
    let name = [&alloc::vec![b'a'; 256][..]].concat();
    check(NO, &long(0, &name), NO4, "fault 1 a domain name of more than 255 bytes");
}

#[test]
fn a_client_of_http_may_log_in_after_it_was_asked() {
    let twice = b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n\
        CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n";
    check(PW, twice, &[WHO, OK].concat(), "login user:pass; CONNECT a:1; open ''");
}

/// A machine that was asked for `input`, and has not answered.
fn asked(input: &[u8]) -> (Server, Tx) {
    let (mut m, mut tx) = (Server::new(config(NO), Instant::default()), Tx::default());
    let mut input = input.to_vec();
    let step = m.poll(Instant::default(), &mut Rx::new(&mut input, false), &mut tx);
    assert!(matches!(step, Ok(Step::Event(Event::Request { .. }))), "{step:?}");
    assert!(m.is_waiting() && !m.is_open());
    (m, tx)
}

const CONNECT: &[u8] = b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n";
const CONNECT4: &[u8] = b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00";

#[test]
fn every_reply_has_its_status() {
    let statuses = [200, 503, 403, 502, 502, 502, 502, 501, 501];
    let bound = SocketAddr::from(([10, 0, 0, 1], 1));
    for (reply, status) in Reply::ALL.into_iter().zip(statuses) {
        let (mut m, mut tx) = asked(CONNECT);
        m.reply(&mut tx, reply, bound).unwrap();
        let out: Vec<u8> = tx.chunks().flatten().copied().collect();
        assert!(out.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{}", out.escape_ascii());
        let failed = reply != Reply::Succeeded;
        assert_eq!(out.windows(12).any(|w| w == b"Proxy-Status"), failed);
        assert_eq!(m.is_open(), !failed);
        assert!(m.reply(&mut tx, reply, bound).is_err(), "it was answered");
        let (mut m, mut tx) = asked(CONNECT4);
        m.reply(&mut tx, reply, bound).unwrap();
        assert_eq!(tx.chunks().flatten().nth(1), Some(&if failed { 0x5b } else { 0x5a }));
    }
}

#[test]
fn an_address_of_16_bytes_is_not_told_in_4() {
    let (mut m, mut tx) = asked(CONNECT4);
    m.reply(&mut tx, Reply::Succeeded, "[2001:db8::1]:80".parse().unwrap()).unwrap();
    assert_eq!(tx.chunks().flatten().copied().collect::<Vec<u8>>(), b"\x00\x5a\x00\x50\x00\x00\x00\x00");
}

#[test]
fn early_bytes_are_kept_up_to_the_limit_and_who_leaves_has_left() {
    for input in [CONNECT, CONNECT4] {
        let (mut m, mut tx) = asked(input);
        let mut poll = |early: usize, eof| {
            let mut bytes = alloc::vec![b'x'; early];
            match m.poll(Instant::default(), &mut Rx::new(&mut bytes, eof), &mut tx) {
                Ok(Step::NeedMore) => "more",
                Ok(Step::Paused) => "paused",
                Ok(_) => "something",
                Err(fault) => fault.what,
            }
        };
        assert_eq!(poll(63, false), "more");
        assert_eq!(poll(64, false), "paused");
        assert_eq!(poll(10, true), "closed during handshake");
    }
}

#[test]
fn the_handshake_has_one_deadline_whatever_is_spoken() {
    let begun = Instant::from_nanos(5_000_000_000);
    for input in [&b""[..], b"C", b"\x04\x01", b"\x05", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let (mut m, mut tx) = (Server::new(config(PW), begun), Tx::default());
        let mut bytes = input.to_vec();
        let later = begun.after(Duration::from_secs(9));
        let _ = m.poll(later, &mut Rx::new(&mut bytes, false), &mut tx); // whatever it says: a deadline there is
        if input.len() == 2 {
            continue; // refused at once: nobody logs in with SOCKS 4
        }
        assert_eq!(m.deadline().map(|d| d.at), Some(begun.after(Duration::from_secs(10))), "{}", input.escape_ascii());
        assert!(m.on_deadline(begun.after(Duration::from_secs(10)), &mut tx).is_err());
    }
    let (m, _) = asked(CONNECT);
    assert_eq!(m.deadline(), None, "it is the app's turn");
}
