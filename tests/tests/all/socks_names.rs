//! Names that clients of `socks5_proxy` ask for, with a name server that says what it likes.
use super::socks::{connect, patient, target};
use proto_core::dns::{Class, Flags, Message, Section, Type, Writer};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use tests::process::Tool;
use tests::scenario::drivers;

/// A name server on this machine, for as long as the test runs: `rebind.example` leads to each of `turns` in turn, `slow.example`
/// nowhere, and every other name to 127.0.0.1.
pub fn name_server(turns: &'static [&'static str]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let at = socket.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let (mut buf, mut turn) = ([0; 512], 0);
        while let Ok((n, from)) = socket.recv_from(&mut buf) {
            let Ok(query) = Message::parse(&buf[..n]) else { continue };
            let Ok(Some(question)) = query.question() else { continue };
            let name = question.name.to_string().to_lowercase();
            let ip: IpAddr = match name.as_str() {
                "slow.example." => continue,
                "rebind.example." => turns[turn % turns.len()].parse().expect("an address"),
                _ => Ipv4Addr::LOCALHOST.into(),
            };
            // Both questions of one lookup get the same address.
            turn += usize::from(name == "rebind.example." && question.kind == Type::A);
            let mut w = Writer::new(query.header().id, Flags::RESPONSE);
            w.question(&question.name.to_domain(), question.kind, question.class.0).expect("it fits");
            let (kind, data) = match ip {
                IpAddr::V4(a) => (Type::A, a.octets().to_vec()),
                IpAddr::V6(a) => (Type::AAAA, a.octets().to_vec()),
            };
            if kind == question.kind {
                w.record(Section::Answer, &question.name, kind, Class::IN, 0, &data).expect("it fits");
            }
            let _ = socket.send_to(&w.finish(), from); // who has gone hears nothing
        }
    });
    at
}

/// What a client that asks for that name and port hears, and the connection.
fn ask_for(port: u16, name: &str, to: u16) -> (Option<u8>, TcpStream) {
    let mut s = connect(port);
    let head = [&b"\x05\x01\x00\x05\x01\x00\x03"[..], &[name.len() as u8], name.as_bytes(), &to.to_be_bytes()];
    s.write_all(&head.concat()).expect("it reads");
    let mut heard = [0; 12];
    let got = s.read_exact(&mut heard);
    (got.is_ok().then_some(heard[3]), s)
}

#[test]
fn sk_02_names_are_looked_up_and_checked_on_all_drivers() {
    let ns = name_server(&["127.0.0.1", "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::1"]);
    for driver in drivers() {
        let (l, at) = target();
        let dns = ns.to_string();
        // The door to 127.0.0.1 is open; the name leads there, and then to others, which are refused in all spellings.
        let args = ["0", "--allow", "127.0.0.1/32", "--dns", &dns, "-q", "--driver", driver];
        let mut tool = Tool::start("socks5_proxy", &args);
        let port = tool.port();
        tool.line();
        let slow = connect(port);
        let mut waits = slow.try_clone().expect("a socket");
        waits.write_all(b"\x05\x01\x00\x05\x01\x00\x03\x0cslow.example\x00\x50").expect("it reads");
        let codes: Vec<Option<u8>> = (0..5).map(|_| ask_for(port, "rebind.example", at.port()).0).collect();
        let mut sorted = codes.clone();
        sorted.sort();
        assert_eq!(sorted, [Some(0), Some(2), Some(2), Some(2), Some(2)], "{driver}: {codes:?}");
        let (code, mut c) = ask_for(port, "good.example", at.port());
        assert_eq!(code, Some(0), "{driver}: a slow name delays nobody else");
        c.write_all(b"x").expect("it reads");
        let mut got = 0;
        while got == 0 {
            let (t, _) = l.accept().expect("it connects"); // that of the first name is closed already
            got = patient(t).read(&mut [0]).unwrap_or(0);
        }
        drop((c, slow, waits, l)); // what relays may finish
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn a_dry_run_asks_whom_the_proxy_would_ask() {
    let ns = name_server(&["169.254.169.254", "93.184.216.34"]).to_string();
    let run = |name: &str, more: &[&str]| {
        let mut tool = Tool::start("socks5_proxy", &[&["--dry-run", name, "--dns", &ns], more].concat());
        tool.end_input();
        let ended = tool.wait();
        (ended.code, ended.stdout)
    };
    let line = |s: &str| format!("{s}\n");
    assert_eq!(
        run("rebind.example:80", &[]),
        (Some(10), line("rebind.example:80: 169.254.169.254: denied by rule: metadata"))
    );
    assert_eq!(run("rebind.example:80", &[]), (Some(0), line("rebind.example:80: 93.184.216.34: allowed")));
    assert_eq!(run("any.example:80", &["--allow", "loopback"]).0, Some(0));
    assert_eq!(run("no-such.invalid:80", &[]), (Some(3), String::new()));
}
