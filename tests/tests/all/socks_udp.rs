//! UDP ASSOCIATE and BIND of `socks5_proxy`.
use super::socks::{byte, connect, patient, proxy, target, through};
use super::socks_names::name_server;
use super::socks_peers::foreign;
use proto_core::socks5::datagram;
use proto_core::socks5::{Address, Host};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use tests::process::{PATIENCE, Tool, until};
use tests::scenario::drivers;

/// A datagram socket of the test's own.
fn udp(ip: &str) -> (UdpSocket, SocketAddr) {
    let s = UdpSocket::bind((ip, 0)).expect("a port");
    s.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let at = s.local_addr().expect("it is bound");
    (s, at)
}

/// Sends back what it hears, from where it heard it, until the test ends.
fn echo() -> SocketAddr {
    let (s, at) = udp("127.0.0.1");
    s.set_read_timeout(None).expect("a socket");
    std::thread::spawn(move || {
        let mut buf = vec![0; 65_536];
        while let Ok((n, from)) = s.recv_from(&mut buf) {
            let _ = s.send_to(&buf[..n], from); // who has gone hears nothing
        }
    });
    at
}

/// Asks for a command at 127.0.0.1:`port` (0: whatever); the connection, the reply, and the address in it.
fn command(proxy: u16, command: u8, port: u16, ip: [u8; 4]) -> (TcpStream, u8, SocketAddr) {
    let mut s = connect(proxy);
    s.write_all(&[&[5, 1, 0, 5, command, 0, 1][..], &ip, &port.to_be_bytes()].concat()).expect("it reads");
    let mut heard = [0; 12];
    s.read_exact(&mut heard).expect("it answers");
    (s, heard[3], address(&heard[6..]))
}

fn address(b: &[u8]) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(b[0], b[1], b[2], b[3]), u16::from_be_bytes([b[4], b[5]])))
}

/// Through the relay and back: the payload, and where it says that it comes from.
fn exchange(
    s: &UdpSocket,
    relay: SocketAddr,
    host: Host<'_>,
    port: u16,
    payload: &[u8],
) -> Option<(Vec<u8>, SocketAddr)> {
    let (mut out, mut buf) = (Vec::new(), vec![0; 65_536]);
    datagram::wrap(&Address { host, port }, payload, &mut out);
    s.send_to(&out, relay).expect("it is there");
    let (n, from) = s.recv_from(&mut buf).ok()?;
    assert_eq!(from, relay, "nobody else is heard");
    let (address, payload) = datagram::parse(&buf[..n]).expect("a header");
    let Host::Ip(ip) = address.host else { panic!("an address comes back") };
    Some((payload.to_vec(), SocketAddr::new(ip, address.port)))
}

#[test]
fn datagrams_go_there_and_back_on_all_drivers() {
    let ns = name_server(&["127.0.0.1"]).to_string();
    let at = echo();
    for driver in drivers() {
        let (mut tool, port) = proxy(driver, &["--udp", "--dns", &ns]);
        let (control, reply, relay) = command(port, 3, 0, [0; 4]);
        assert_eq!((reply, relay.ip()), (0, Ipv4Addr::LOCALHOST.into()), "{driver}");
        let (s, _) = udp("127.0.0.1");
        for len in [0, 1, 100, 1400, 9000, 60_000] {
            let payload: Vec<u8> = (0..len).map(|i| byte(i, 5)).collect();
            let got = exchange(&s, relay, Host::Ip(at.ip()), at.port(), &payload);
            assert!(got == Some((payload, at)), "{driver}: {len} bytes");
        }
        let got = exchange(&s, relay, Host::Name("some.example"), at.port(), b"by name");
        assert_eq!(got, Some((b"by name".to_vec(), at)), "{driver}");
        // What is dropped, and by whom it was sent: another socket of the client's host is not the client.
        let (other, _) = udp("127.0.0.1");
        let mut good = Vec::new();
        datagram::wrap(&Address { host: Host::Ip(at.ip()), port: at.port() }, b"x", &mut good);
        other.send_to(&good, relay).expect("it is there");
        let mut fragment = good.clone();
        fragment[2] = 1;
        let mut unknown = good.clone();
        unknown[3] = 9;
        let denied = [&[0, 0, 0, 1, 169, 254, 169, 254, 0, 53][..], b"x"].concat();
        for bad in [&fragment[..], &good[..9], &[], &unknown, &denied, &[0, 0, 0, 1, 127, 0, 0, 1, 0, 0]] {
            s.send_to(bad, relay).expect("it is there");
        }
        // In order: when this one is back, all before were seen.
        assert!(exchange(&s, relay, Host::Ip(at.ip()), at.port(), b"last").is_some(), "{driver}");
        let before = tool.descriptors();
        drop(control);
        until(&format!("{driver}: its sockets are closed"), || tool.descriptors() + 3 <= before);
        let log: Vec<String> = (0..5).map(|_| tool.line()).collect();
        assert!(log[0].ends_with("UDP ASSOCIATE 0.0.0.0:0") && log[1].contains("UDP relay on 127.0.0.1:"), "{log:?}");
        assert!(log[2].ends_with("Transferred: 70.5 KB up, 70.5 KB down"), "{driver}: {log:?}");
        let drops =
            "Dropped datagrams: 1 from strangers, 2 too short, 1 fragments, 2 without an address, 1 denied by rules";
        assert!(log[3].ends_with(drops), "{driver}: {log:?}");
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn sk_05_an_association_is_its_clients_alone() {
    let at = echo();
    // Without --udp there is none.
    let (tool, port) = proxy("epoll", &["-q"]);
    assert_eq!(command(port, 3, 0, [0; 4]).1, 7);
    assert_eq!(tool.stop().code, Some(0));
    let (tool, port) = proxy("epoll", &["--udp", "--max-udp", "1", "-q"]);
    let (control, _, relay) = command(port, 3, 0, [0; 4]);
    assert_eq!(command(port, 3, 0, [0; 4]).1, 1, "one at once");
    // Another address than the connection's cannot use it, even if it comes first.
    let (stranger, _) = udp("127.0.0.2");
    stranger.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("a socket");
    assert_eq!(exchange(&stranger, relay, Host::Ip(at.ip()), at.port(), b"let me"), None);
    let (s, _) = udp("127.0.0.1");
    assert!(exchange(&s, relay, Host::Ip(at.ip()), at.port(), b"mine").is_some());
    drop(control);
    until("it has ended", || command(port, 3, 0, [0; 4]).1 == 0);
    // A client that says which port it has is held to that.
    let (tool2, port) = proxy("epoll", &["--udp", "-q"]);
    let (held, own) = udp("127.0.0.1");
    let (_control, _, relay) = command(port, 3, own.port(), [127, 0, 0, 1]);
    let (other, _) = udp("127.0.0.1");
    other.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("a socket");
    assert_eq!(exchange(&other, relay, Host::Ip(at.ip()), at.port(), b"first"), None);
    assert!(exchange(&held, relay, Host::Ip(at.ip()), at.port(), b"mine").is_some());
    // A target that was never sent to is not heard.
    let (uninvited, _) = udp("127.0.0.3");
    held.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("a socket");
    let outside = outside_port(&held, relay);
    uninvited.send_to(b"hello", ("127.0.0.1", outside)).expect("it is there");
    assert!(held.recv_from(&mut [0; 100]).is_err(), "a stranger's word is not passed on");
    drop(_control);
    assert_eq!((tool.stop().code, tool2.stop().code), (Some(0), Some(0)));
}

/// The port that targets see.
fn outside_port(s: &UdpSocket, relay: SocketAddr) -> u16 {
    let (witness, at) = udp("127.0.0.1");
    let mut out = Vec::new();
    datagram::wrap(&Address { host: Host::Ip(at.ip()), port: at.port() }, b"who am I", &mut out);
    s.send_to(&out, relay).expect("it is there");
    witness.recv_from(&mut [0; 100]).expect("it is sent on").1.port()
}

#[test]
fn pysocks_sends_datagrams() {
    let at = echo();
    let mut python = Command::new("python3");
    python.args(["-c", "import socks"]);
    if foreign(python).is_none_or(|(code, _)| code != Some(0)) {
        return eprintln!("passed over: PySocks is not installed");
    }
    let (tool, port) = proxy("epoll", &["--udp", "-q"]);
    let script = format!(
        "import socks, socket\ns = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         s.set_proxy(socks.SOCKS5, '127.0.0.1', {port})\ns.settimeout(20)\n\
         s.sendto(b'from python', ('127.0.0.1', {p}))\nd, a = s.recvfrom(100)\nprint(d.decode(), a[1] == {p})\n",
        p = at.port()
    );
    let mut python = Command::new("python3");
    python.args(["-c", &script]);
    assert_eq!(foreign(python), Some((Some(0), "from python True\n".into())));
    assert_eq!(tool.stop().code, Some(0));
}

#[test]
fn bind_waits_for_who_was_named_on_all_drivers() {
    for driver in drivers() {
        let (tool, port) = proxy(driver, &["--bind-cmd", "-q"]);
        let (mut c, reply, at) = command(port, 2, 99, [127, 0, 0, 1]);
        assert_eq!((reply, at.ip()), (0, Ipv4Addr::LOCALHOST.into()), "{driver}");
        let mut t = patient(TcpStream::connect(at).expect("it listens"));
        let mut heard = [0; 10];
        c.read_exact(&mut heard).expect("a second answer");
        assert_eq!((heard[1], address(&heard[4..])), (0, t.local_addr().expect("a socket")), "{driver}");
        c.write_all(b"ping").and_then(|()| t.write_all(b"pong")).expect("they read");
        let (mut a, mut b) = ([0; 4], [0; 4]);
        t.read_exact(&mut a).and_then(|()| c.read_exact(&mut b)).expect("they send");
        assert_eq!((&a, &b), (b"ping", b"pong"), "{driver}");
        assert!(TcpStream::connect(at).is_err(), "{driver}: one connection, and no more");
        drop((c, t));
        // Rules hold, and everybody is not an address.
        assert_eq!(command(port, 2, 99, [169, 254, 169, 254]).1, 2, "{driver}");
        assert_eq!(command(port, 2, 99, [0; 4]).1, 2, "{driver}");
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}

#[test]
fn sk_06_nobody_else_may_come_to_a_bind() {
    let (tool, port) = proxy("epoll", &["--bind-cmd", "-q"]);
    // 127.0.0.2 is expected; the listener is at the address that leads there.
    let (mut c, reply, at) = command(port, 2, 99, [127, 0, 0, 2]);
    assert_eq!(reply, 0);
    let mut third = patient(TcpStream::connect(at).expect("it listens"));
    assert!(third.read(&mut [0]).is_err(), "reset");
    assert!(TcpStream::connect(at).is_ok(), "and the listener waits on");
    // The client goes: so does the listener.
    c.set_nonblocking(true).expect("a socket");
    assert!(c.read(&mut [0]).is_err(), "no second answer");
    drop(c);
    until("the listener is gone", || TcpStream::connect(at).is_err());
    assert_eq!(tool.stop().code, Some(0));
    // Off, unless asked for; CONNECT goes on.
    let (tool, port) = proxy("epoll", &["-q"]);
    let (l, at) = target();
    assert_eq!(command(port, 2, 99, [127, 0, 0, 1]).1, 7);
    drop((through(port, at), l));
    assert_eq!(tool.stop().code, Some(0));
}

#[test]
fn a_proxy_on_all_addresses_tells_the_one_that_leads_to_the_client() {
    let at = echo();
    for driver in drivers() {
        let args = ["--listen", "0.0.0.0:0", "--open", "--udp", "--allow", "loopback", "-q", "--driver", driver];
        let mut tool = Tool::start("socks5_proxy", &args);
        let port = tool.port();
        let (control, reply, relay) = command(port, 3, 0, [0; 4]);
        assert_eq!((reply, relay.ip()), (0, Ipv4Addr::LOCALHOST.into()), "{driver}");
        let (s, _) = udp("127.0.0.1");
        assert!(exchange(&s, relay, Host::Ip(at.ip()), at.port(), b"here").is_some(), "{driver}");
        drop(control);
        assert_eq!(tool.stop().code, Some(0), "{driver}");
    }
}
