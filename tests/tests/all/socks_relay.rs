//! How `socks5_proxy` passes bytes on: copied, or within the kernel.
use super::socks::{patient, proxy, receive, send, target, through};
use tests::scenario::drivers;

/// A counter in a line of statistics.
fn of(line: &str, name: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).expect(line);
    rest.split([',', '}']).next().and_then(|n| n.parse().ok()).expect(line)
}

/// Bytes both ways at once through a proxy with these flags, and then its statistics.
fn play(driver: &str, more: &[&str]) -> (u64, u64) {
    const LEN: usize = 3_000_000;
    let (mut tool, port) = proxy(driver, &[&["-q", "--stats=1s", "--json"], more].concat());
    let (l, at) = target();
    let (c, t) = (through(port, at), patient(l.accept().expect("it connects").0));
    let clone = |s: &std::net::TcpStream| s.try_clone().expect("a socket");
    let (a, b, d, e) = (clone(&c), clone(&t), clone(&t), clone(&c));
    let sender = std::thread::spawn(move || send(a, LEN, 1));
    let other = std::thread::spawn(move || send(d, LEN, 2));
    let back = std::thread::spawn(move || receive(e, LEN, 2));
    assert!(receive(b, LEN, 1), "{driver} {more:?}: as it was sent");
    assert!(back.join().expect("no panic"), "{driver} {more:?}: as it was sent");
    let _ = (sender.join(), other.join()); // they have sent all, or this would not be the end
    let mut line = tool.line();
    while of(&line, "bytes_out") < 2 * LEN as u64 {
        line = tool.line();
    }
    let numbers = (of(&line, "relayed"), of(&line, "spliced"));
    assert_eq!(numbers.0 + numbers.1, 2 * LEN as u64, "{driver}: each byte is counted once: {line}");
    drop((c, t, l));
    assert_eq!(tool.stop().code, Some(0), "{driver}");
    numbers
}

#[test]
fn bulk_is_spliced_where_a_driver_can_and_copied_where_it_is_told_to() {
    for driver in drivers() {
        let (_, spliced) = play(driver, &["--relay", "splice"]);
        let can = ["select", "poll", "epoll", "pool", "async"].contains(&driver);
        assert_eq!(spliced > 0, can, "{driver}: {spliced} bytes");
        assert_eq!(play(driver, &["--relay", "copy"]).1, 0, "{driver}");
    }
    // A recording sees every byte.
    let path = std::env::temp_dir().join(format!("drywire-socks-relay-{}", std::process::id()));
    assert_eq!(play("epoll", &["--record", path.to_str().expect("a name")]).1, 0);
    let _ = std::fs::remove_file(path); // in nobody's way
}
