//! Connections: bytes whole and in order, nobody delayed by another, each end told once.
use super::apps::{Chat, Echo, Obedient, Single, Spring};
use super::{
    Run, Seen, client, connection_threads, descriptors, descriptors_are_back_to, reset_on_close, settles, start,
    start_with,
};
use drivers::{Config, Kind};
use proto_core::Reason;
use std::hash::{DefaultHasher, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes that repeat nowhere within a megabyte.
fn noise() -> Vec<u8> {
    let mut x = 0x9E37_79B9_7F4A_7C15u64;
    let mut v = Vec::with_capacity(1 << 20);
    while v.len() < 1 << 20 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        v.extend_from_slice(&x.to_le_bytes());
    }
    v
}

fn round_trip(mut c: &TcpStream, word: &[u8]) {
    c.write_all(word).unwrap();
    let mut back = vec![0; word.len()];
    c.read_exact(&mut back).unwrap();
    assert_eq!(back, word);
}

/// Sends 64 MB, closes its side, and gets the same 64 MB back.
pub fn echoes_64_mb_with_half_close(kind: Kind) {
    let run = start(kind, Echo);
    let c = run.connect();
    let (mut to, mut sent) = (c.try_clone().unwrap(), DefaultHasher::new());
    let sender = std::thread::spawn(move || {
        let noise = noise();
        for i in 0..64 {
            let (a, b) = noise.split_at(i * 7919);
            for part in [b, a] {
                to.write_all(part).unwrap();
                sent.write(part);
            }
        }
        to.shutdown(Shutdown::Write).unwrap();
        sent.finish()
    });
    let (mut got, mut total, mut buf, mut from) = (DefaultHasher::new(), 0, vec![0; 64 << 10], &c);
    loop {
        let n = from.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        got.write(&buf[..n]);
        total += n;
    }
    // `write` of the standard hasher does not depend on how the bytes are cut.
    assert_eq!((total, got.finish()), (64 << 20, sender.join().unwrap()));
    assert_eq!(run.until(|s| matches!(s, Seen::Closed(_))), Seen::Closed(Reason::Finished));
    run.end();
}

/// A client that never reads is bounded, and others do not notice it.
pub fn a_client_that_never_reads_is_bounded(kind: Kind) {
    let run = start(kind, Echo);
    let glutton = run.connect();
    let mut to = glutton.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let block = [7; 64 << 10];
        while to.write_all(&block).is_ok() {}
    });
    // A kernel may take more for a while; from some pause on it takes nothing, and the sender hangs.
    run.until(|s| matches!(s, Seen::Paused(_)));
    let other = run.connect();
    for i in 0..200u32 {
        round_trip(&other, &i.to_le_bytes());
    }
    glutton.shutdown(Shutdown::Both).unwrap();
    sender.join().unwrap();
    drop(glutton);
    round_trip(&other, b"still here");
    drop(other);
    let mut closed = 0;
    while closed < 2 {
        match run.next() {
            Seen::Paused(queued) => assert!(queued <= 128 << 10, "{queued} bytes queued: limit and one chunk"),
            Seen::Closed(_) => closed += 1,
            _ => {}
        }
    }
    run.end();
}

/// Everybody resets at once: no descriptor and no thread stays.
pub fn a_storm_of_resets_leaves_nothing_behind(kind: Kind) {
    let run = start(kind, Echo);
    let warm = run.connect();
    round_trip(&warm, b"warm");
    drop(warm);
    run.until(|s| matches!(s, Seen::Closed(_)));
    let idle = if kind == Kind::Blocking { 3 } else { 0 }; // one thread per listener
    settles(idle, connection_threads, "threads before");
    let before = descriptors();
    for _ in 0..3 {
        let clients: Vec<_> = (0..100).map(|_| run.connect()).collect();
        for c in &clients {
            round_trip(c, b"x");
            reset_on_close(c);
        }
        drop(clients);
        for _ in 0..100 {
            let closed = run.until(|s| matches!(s, Seen::Closed(_)));
            assert_eq!(closed, Seen::Closed(Reason::Reset));
        }
    }
    settles(idle, connection_threads, "threads");
    descriptors_are_back_to(before);
    run.end();
}

/// Reads until an error; what it was.
fn error_at_end(mut c: &TcpStream) -> ErrorKind {
    let mut buf = vec![0; 64 << 10];
    loop {
        match c.read(&mut buf) {
            Ok(0) => panic!("a clean end"),
            Ok(_) => {}
            Err(e) => return e.kind(),
        }
    }
}

fn say(run: &Run, mut c: &TcpStream, word: &str) {
    c.write_all(word.as_bytes()).unwrap();
    run.until(|s| *s == Seen::Said(word.into()));
}

/// Abort means RST, also for a connection whose output waits, or whose input is off, or that has half-closed.
pub fn abort_gives_the_peer_a_reset(kind: Kind) {
    let run = start(kind, Obedient::new);
    let own = run.connect();
    say(&run, &own, "abort");
    assert_eq!(run.until(|s| matches!(s, Seen::Closed(_))), Seen::Closed(Reason::Aborted));
    assert_eq!(error_at_end(&own), ErrorKind::ConnectionReset);
    let (idle, paused, stuck, half, boss) = (run.connect(), run.connect(), run.connect(), run.connect(), run.connect());
    for _ in 0..5 {
        run.until(|s| *s == Seen::Accepted);
    }
    say(&run, &paused, "wait");
    say(&run, &stuck, "fill");
    say(&run, &half, "fill");
    half.shutdown(Shutdown::Write).unwrap();
    say(&run, &boss, "abort others");
    for _ in 0..4 {
        assert_eq!(run.until(|s| matches!(s, Seen::Closed(_))), Seen::Closed(Reason::Aborted));
    }
    for c in [&idle, &paused, &stuck, &half] {
        assert_eq!(error_at_end(c), ErrorKind::ConnectionReset);
    }
    let left = run.end();
    assert!(!left.iter().any(|s| matches!(s, Seen::Closed(_))), "one end each: {left:?}");
}

/// Input that is switched off comes when it is switched on again, whatever has arrived in the meantime.
pub fn input_switched_off_waits(kind: Kind) {
    let run = start(kind, Obedient::new);
    let (c, boss) = (run.connect(), run.connect());
    say(&run, &c, "wait");
    (&c).write_all(b"later").unwrap();
    c.shutdown(Shutdown::Write).unwrap();
    for _ in 0..50 {
        say(&run, &boss, "nothing");
    }
    (&boss).write_all(b"go").unwrap();
    assert_eq!(run.next(), Seen::Said("go".into()), "nothing came before");
    assert_eq!(run.next(), Seen::Said("later".into()));
    run.end();
}

/// Accepting is switched off while a client is there: the next one waits in the kernel, on either listener.
pub fn serves_one_client_at_a_time(kind: Kind) {
    let run = start(kind, |tell| Single { tell, listeners: Vec::new() });
    let first = run.connect();
    round_trip(&first, b"first");
    assert_eq!(run.next(), Seen::Accepted);
    let (second, third) = (run.connect(), client(run.other));
    for mut c in [&second, &third] {
        c.write_all(b"x").unwrap();
    }
    for _ in 0..200 {
        round_trip(&first, b"still first");
    }
    assert!(run.seen.try_recv().is_err(), "nobody else was accepted");
    drop(first);
    for _ in 0..2 {
        assert_eq!(run.next(), Seen::Closed(Reason::Finished));
        assert_eq!(run.next(), Seen::Accepted);
        // One of the two has its answer; closing both ends lets the other one in.
        for c in [&second, &third] {
            let _ = c.shutdown(Shutdown::Write);
        }
    }
    assert_eq!(run.next(), Seen::Closed(Reason::Finished));
    for mut c in [&second, &third] {
        let mut back = String::new();
        c.read_to_string(&mut back).unwrap();
        assert_eq!(back, "x");
    }
    run.end();
}

/// One listener of a broadcast does not read: the others get everything at once.
pub fn a_stuck_reader_does_not_delay_a_broadcast(kind: Kind) {
    let run = start(kind, |tell| Chat { tell, all: Vec::new() });
    let (stuck, speaker, hearer) = (run.connect(), run.connect(), run.connect());
    for _ in 0..3 {
        run.until(|s| *s == Seen::Accepted);
    }
    let (message, mut back) = (noise()[..64 << 10].to_vec(), vec![0; 64 << 10]);
    let mut dropped = 0;
    for _ in 0..400 {
        (&speaker).write_all(&message).unwrap();
        for mut c in [&hearer, &speaker] {
            c.read_exact(&mut back).unwrap();
            assert_eq!(back, message);
        }
        dropped += run.seen.try_iter().filter(|s| *s == Seen::Dropped).count();
    }
    assert!(dropped > 0, "25 MB fit nowhere: the stuck one was passed over");
    drop(stuck);
    run.end();
}

/// One floods; ten others make progress, and so does it.
pub fn a_flooder_does_not_starve_others(kind: Kind) {
    let run = start(kind, Echo);
    let (flooder, stop, flood) = (run.connect(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut to = flooder.try_clone().unwrap();
    let stopped = stop.clone();
    let writer = std::thread::spawn(move || {
        let block = [1; 64 << 10];
        while !stopped.load(Ordering::Relaxed) && to.write_all(&block).is_ok() {}
        let _ = to.shutdown(Shutdown::Write);
    });
    let count = flood.clone();
    let reader = std::thread::spawn(move || {
        let (mut from, mut buf) = (&flooder, vec![0; 256 << 10]);
        while let Ok(n @ 1..) = from.read(&mut buf) {
            count.fetch_add(n as u64, Ordering::Relaxed);
        }
    });
    settles(true, || flood.load(Ordering::Relaxed) > 1 << 20, "the flood has begun");
    let before = flood.load(Ordering::Relaxed);
    let at = run.at;
    let others: Vec<_> = (0..10u32)
        .map(|i| {
            std::thread::spawn(move || {
                let c = client(at);
                for k in 0..100u32 {
                    round_trip(&c, &(i << 16 | k).to_le_bytes());
                }
            })
        })
        .collect();
    others.into_iter().for_each(|o| o.join().unwrap());
    settles(true, || flood.load(Ordering::Relaxed) > before, "the flood goes on");
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    reader.join().unwrap();
    run.end();
}

/// A source that always has more, for a peer that always takes it: its 64 bytes at a time never fill a socket.
pub fn an_endless_source_does_not_starve_others(kind: Kind) {
    let config = Config { out_buffer: 64, ..Config::default() };
    let run = start_with(kind, config, |_| Spring);
    let (thirsty, drunk) = (run.connect(), Arc::new(AtomicU64::new(0)));
    let reader = std::thread::spawn({
        let (mut from, drunk) = (thirsty.try_clone().unwrap(), drunk.clone());
        move || {
            let mut buf = vec![0; 256 << 10];
            while let Ok(n @ 1..) = from.read(&mut buf) {
                drunk.fetch_add(n as u64, Ordering::Relaxed);
            }
        }
    });
    let other = client(run.other);
    for k in 0..100u32 {
        round_trip(&other, &k.to_le_bytes());
    }
    let before = drunk.load(Ordering::Relaxed);
    settles(true, || drunk.load(Ordering::Relaxed) > before, "the source goes on");
    thirsty.shutdown(Shutdown::Both).unwrap();
    reader.join().unwrap();
    run.end();
}

/// `Close` finishes the output and discards input, so the last words arrive; a peer that stays is cut off.
pub fn close_lingers_and_then_cuts(kind: Kind) {
    let run = start(kind, Obedient::new);
    let polite = run.connect();
    say(&run, &polite, "fill");
    say(&run, &polite, "close");
    let sender = std::thread::spawn({
        let mut to = polite.try_clone().unwrap();
        move || (0..16).try_for_each(|_| to.write_all(&[b'x'; 64 << 10])) // nobody wants it; it must not cause an RST
    });
    let mut back = Vec::new();
    (&polite).read_to_end(&mut back).unwrap();
    assert_eq!(back.len(), 8 << 20);
    sender.join().unwrap().unwrap();
    polite.shutdown(Shutdown::Write).unwrap();
    assert_eq!(run.until(|s| matches!(s, Seen::Closed(_))), Seen::Closed(Reason::Finished));
    let stays = run.connect();
    say(&run, &stays, "close soon");
    assert_eq!(run.until(|s| matches!(s, Seen::Closed(_))), Seen::Closed(Reason::TimedOut));
    // What a peer does not take is not kept by the kernel after the cut.
    let reads_nothing = run.connect();
    say(&run, &reads_nothing, "fill");
    say(&run, &reads_nothing, "close soon");
    assert_eq!(run.until(|s| matches!(s, Seen::Closed(_))), Seen::Closed(Reason::TimedOut));
    assert_eq!(error_at_end(&reads_nothing), ErrorKind::ConnectionReset);
    run.end();
}
