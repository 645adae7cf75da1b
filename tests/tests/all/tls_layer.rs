//! TLS as a layer: client and server back to back, in memory.
use proto_core::tls::{ClientAuth, ClientSetup, Common, Limits, ServerSetup, tls_version};
use proto_core::{About, Tx};
use std::time::Duration;
use tests::tls::{End, NOW, Pair, World};

const VERSIONS: [&str; 2] = ["1.2", "1.3"];

fn with_version(version: &str) -> Common {
    Common { versions: vec![tls_version(version).expect("a version")], ..Common::default() }
}

fn pair(world: &World, version: &str, limit: usize) -> Pair {
    let client = ClientSetup::new(with_version(version), world.peers()).expect("a setup");
    Pair::new(&client, &world.server_setup(), "localhost", limit)
}

/// A byte stream that is nowhere the same.
fn stream(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn what_is_sealed_is_opened_however_it_is_cut() {
    let world = World::default();
    for version in VERSIONS {
        for (portion, limit, bytes) in [
            (usize::MAX, 1 << 20, 300_000),
            (1, 1 << 20, 2_000),
            (7, 1, 5_000),
            (1000, 1, 100_000),
            (16_389, 17_000, 200_000),
            (64 << 10, 64 << 10, 300_000),
        ] {
            let mut p = pair(&world, version, limit);
            let (up, down) = (stream(bytes), stream(bytes / 2));
            p.client.out.put(&up);
            p.server.out.put(&down);
            (p.client.closing, p.server.closing) = (true, true);
            p.run(|| portion);
            assert_eq!((p.client.fault, p.server.fault), (None, None), "{version} {portion}");
            assert!(p.server.plain == up && p.client.plain == down, "{version} {portion} {limit}");
            assert!(p.client.layer.is_ended() && p.server.layer.is_ended(), "{version} {portion}: goodbyes");
            let info = p.client.info.as_ref().and_then(|i| i.secure.as_ref()).expect("ready");
            assert_eq!(info.version, format!("TLSv{version}"));
            assert!(info.suite.starts_with("TLS_") && info.chain.len() == 1 && !info.resumed);
            let asked = p.server.info.as_ref().and_then(|i| i.secure.as_ref()?.server_name.clone());
            assert_eq!(asked.as_deref(), Some("localhost"));
        }
    }
}

/// Every place in each direction at which the stream may be cut in two.
#[test]
fn a_cut_at_every_byte_gives_the_same() {
    let world = World::default();
    for version in VERSIONS {
        let run = |to_server: usize, to_client: usize| {
            let mut p = pair(&world, version, 1 << 20);
            p.client.out.put(b"a question");
            p.server.out.put(b"an answer");
            (p.client.closing, p.server.closing) = (true, true);
            let (mut left, mut sent) = ([to_server, to_client], [0, 0]);
            loop {
                let mut moved = false;
                for (i, left) in left.iter_mut().enumerate() {
                    let (from, to) =
                        if i == 0 { (&mut p.client, &mut p.server) } else { (&mut p.server, &mut p.client) };
                    from.seal();
                    // Up to the cut, and from then on all at once.
                    let n = if *left > 0 { *left } else { usize::MAX };
                    let bytes = from.send(n);
                    *left = left.saturating_sub(bytes.len());
                    sent[i] += bytes.len();
                    moved |= !bytes.is_empty();
                    if !bytes.is_empty() {
                        to.feed(&bytes);
                    }
                }
                if !moved {
                    break;
                }
            }
            assert_eq!((p.client.fault, p.server.fault), (None, None), "{version} {to_server} {to_client}");
            assert_eq!((&p.client.plain[..], &p.server.plain[..]), (&b"an answer"[..], &b"a question"[..]));
            assert!(p.client.layer.is_ended() && p.server.layer.is_ended());
            sent
        };
        let [up, down] = run(usize::MAX, usize::MAX);
        assert!(up > 200 && down > 500, "{up} {down}");
        for cut in 1..up {
            run(cut, 0);
        }
        for cut in 1..down {
            run(0, cut);
        }
    }
}

#[test]
fn a_connection_cut_without_goodbye_is_truncated() {
    let world = World::default();
    for version in VERSIONS {
        let mut p = pair(&world, version, 1 << 20);
        p.client.out.put(b"half of it");
        p.run(|| usize::MAX);
        assert_eq!(p.server.plain, b"half of it");
        let fault = p.server.layer.end_of_input(&mut Tx::default()).expect_err("it was cut");
        assert_eq!(fault.what, "connection closed without close_notify (truncated)");
        assert_eq!(p.server.grounds().map(|g| g.about), Some(About::Cut));

        let mut p = pair(&world, version, 1 << 20);
        p.client.closing = true;
        p.run(|| usize::MAX);
        assert_eq!(p.server.layer.end_of_input(&mut Tx::default()), Ok(()), "the control: with a goodbye it is not");
    }
    let mut p = pair(&world, "1.3", 1 << 20);
    let hello = p.client.send(usize::MAX);
    let mut silent = End::new(world.client_setup().layer("localhost").expect("a layer"), 1 << 20);
    silent.layer.end_of_input(&mut Tx::default()).expect_err("cut");
    assert_eq!(silent.reason(), Some("connection closed during handshake (after ClientHello)"));
    p.server.feed(&hello[..10]);
    p.server.layer.end_of_input(&mut Tx::default()).expect_err("cut");
    assert_eq!(p.server.reason(), Some("connection closed during handshake (within ClientHello)"));
}

#[test]
fn a_handshake_has_a_deadline_and_then_none() {
    let world = World::default();
    let limits = Limits { handshake: Duration::from_secs(3), ..Limits::default() };
    let setup = ServerSetup::new(Common { limits, ..world.of_server() }, ClientAuth::No).expect("a setup");
    let mut p = Pair::new(&world.client_setup(), &setup, "localhost", 1 << 20);
    let d = p.server.layer.deadline().expect("it runs");
    assert_eq!((d.at, d.why), (NOW.after(limits.handshake), "TLS handshake"));
    assert!(p.server.layer.on_deadline(d.at, &mut Tx::default()).is_err());
    assert_eq!(p.server.reason(), Some("timeout after 3 s in TLS handshake"));
    let detail = p.server.grounds().and_then(|g| g.defects.first()).map(|d| d.detail.as_str());
    assert_eq!(detail, Some("before ClientHello"));
    assert_eq!(p.server.layer.deadline(), None, "told once");
    let mut p = Pair::new(&world.client_setup(), &setup, "localhost", 1 << 20);
    p.run(|| usize::MAX);
    assert_eq!((p.server.layer.deadline(), p.client.layer.deadline()), (None, None), "the control");
}

#[test]
fn what_is_not_tls_is_said() {
    let world = World::default();
    let mut server = End::new(world.server_setup().layer().expect("a layer"), 1 << 20);
    server.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(server.reason(), Some("not TLS (\"GET / HTTP/1.1\")"));
    let mut client = End::new(world.client_setup().layer("localhost").expect("a layer"), 1 << 20);
    client.feed(b"HTTP/1.1 400 Bad Request\r\n");
    assert_eq!(client.reason(), Some("peer does not speak TLS (answered \"HTTP/1.1 400\")"));
    assert_eq!(client.fault.map(|f| f.what), Some("peer does not speak TLS"));
}

/// Any byte that is changed after the handshake ends the connection, and nothing of the record is shown.
#[test]
fn a_changed_byte_is_a_bad_record() {
    let world = World::default();
    for version in VERSIONS {
        let mut p = pair(&world, version, 1 << 20);
        p.run(|| usize::MAX);
        p.client.out.put(b"secret");
        p.client.seal();
        let record = p.client.send(usize::MAX);
        for at in 5..record.len() {
            let mut p = pair(&world, version, 1 << 20);
            p.run(|| usize::MAX);
            p.client.out.put(b"secret");
            p.client.seal();
            let mut record = p.client.send(usize::MAX);
            record[at] ^= 1;
            p.server.feed(&record);
            assert_eq!((p.server.reason(), &p.server.plain[..]), (Some("bad record"), &b""[..]), "{version} {at}");
            p.client.feed(&p.server.send(usize::MAX));
            assert_eq!(p.client.reason(), Some("peer sent alert bad_record_mac (20)"), "{version} {at}");
            assert!(p.server.fault.is_some());
            p.server.feed(b"more");
            assert_eq!(p.server.plain, b"", "nothing after a fault");
        }
    }
}

#[test]
fn a_long_handshake_is_refused() {
    let world = World::default();
    let limits = Limits { handshake_bytes: 100, ..Limits::default() };
    let setup = ServerSetup::new(Common { limits, ..world.of_server() }, ClientAuth::No).expect("a setup");
    let mut p = Pair::new(&world.client_setup(), &setup, "localhost", 1 << 20);
    p.run(|| 60);
    assert_eq!(p.server.reason(), Some("handshake is longer than 100 bytes"));
}

#[test]
fn goodbyes_and_ends_at_every_place_of_the_handshake_end() {
    let world = World::default();
    for version in VERSIONS {
        let total = {
            let mut p = pair(&world, version, 1 << 20);
            let mut n = 0;
            p.run(|| {
                n += 1;
                1
            });
            n
        };
        for at in (0..total).step_by(3) {
            let mut p = pair(&world, version, 1 << 20);
            let mut n = 0;
            p.run(|| {
                n += 1;
                if n > at { 0 } else { 1 }
            });
            for end in [&mut p.client, &mut p.server] {
                end.layer.close(&mut end.wire);
                let _ = end.layer.end_of_input(&mut end.wire);
                end.feed(b"\x15\x03\x03\x00\x02\x01\x00");
                end.layer.close(&mut end.wire);
            }
        }
    }
}

#[test]
fn sessions_are_continued_within_a_setup_and_not_across_two() {
    let world = World::default();
    for version in VERSIONS {
        let common = Common { resume: true, ..with_version(version) };
        let client = ClientSetup::new(common, world.peers()).expect("a setup");
        let (one, other) = (world.server_setup(), world.server_setup());
        let resumed = |server: &ServerSetup| {
            let mut p = Pair::new(&client, server, "localhost", 1 << 20);
            p.server.out.put(b"hello");
            p.run(|| usize::MAX);
            assert_eq!((p.client.fault, &p.client.plain[..]), (None, &b"hello"[..]), "{version}");
            let [c, s] =
                [&p.client, &p.server].map(|e| e.info.as_ref().and_then(|i| i.secure.as_ref()).expect("ready"));
            assert_eq!(c.resumed, s.resumed);
            c.resumed
        };
        assert_eq!([resumed(&one), resumed(&one), resumed(&one)], [false, true, true], "{version}");
        assert!(!resumed(&other), "{version}: the sessions of another configuration mean nothing");
    }
}

/// An idle connection keeps no buffers, whatever passed over it.
#[test]
fn an_idle_connection_is_small() {
    const MANY: usize = 64;
    let world = World::default();
    for version in VERSIONS {
        let client = ClientSetup::new(with_version(version), world.peers()).expect("a setup");
        let common = Common { resume: false, ..world.of_server() };
        let server = ServerSetup::new(common, ClientAuth::No).expect("a setup");
        let before = tests::alloc::live();
        let all: Vec<End> = (0..MANY)
            .map(|_| {
                let mut p = Pair::new(&client, &server, "localhost", 64 << 10);
                p.client.out.put(&stream(100_000));
                p.server.out.put(&stream(100_000));
                p.run(|| 20_000);
                assert_eq!(p.server.plain.len(), 100_000);
                let mut end = p.server;
                (end.plain, end.info, end.wire, end.out) = (Vec::new(), None, Tx::default(), Tx::default());
                end
            })
            .collect();
        let each = (tests::alloc::live() - before) as usize / MANY;
        println!("{each} bytes for an idle TLS {version} connection of a server");
        assert!(each <= 24 << 10, "{each} bytes");
        drop(all);
    }
}
