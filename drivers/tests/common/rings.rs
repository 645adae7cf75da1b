//! What any form of a ring must bear: bulk, crowds, forced errors, storms.
use super::apps::Echo;
use super::{Run, Seen, client, descriptors, descriptors_are_back_to, reset_on_close, start_with};
use drivers::{Config, CqeFault, CqeOp, Kind};
use proto_core::Reason;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// Bytes that repeat nowhere soon.
pub fn noise(n: usize) -> Vec<u8> {
    let mut x = 0x9E37_79B9_7F4A_7C15u64;
    let mut v = Vec::with_capacity(n + 8);
    while v.len() < n {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        v.extend_from_slice(&x.to_le_bytes());
    }
    v.truncate(n);
    v
}

/// Sends `data` and FIN while it reads; what came back.
pub fn there_and_back(c: &TcpStream, data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut back = Vec::with_capacity(data.len());
    let (mut to, mut from) = (c.try_clone()?, c);
    std::thread::scope(|s| {
        let sent = s.spawn(move || {
            to.write_all(data)?;
            to.shutdown(Shutdown::Write)
        });
        let got = from.read_to_end(&mut back);
        if got.is_err() {
            let _ = c.shutdown(Shutdown::Both); // so that the sender ends, too
        }
        sent.join().expect("the sender does not panic")?;
        got
    })?;
    Ok(back)
}

/// 16 MB come back equal, with FIN both ways.
pub fn bulk(config: Config) {
    let before = descriptors();
    let run = start_with(Kind::IoUring, config, Echo);
    let data = noise(16 << 20);
    let back = there_and_back(&run.connect(), &data).unwrap();
    assert!(back == data, "{} of {} bytes, or others", back.len(), data.len());
    assert_eq!(run.until(|s| matches!(s, Seen::Closed(_))), Seen::Closed(Reason::Finished));
    run.end();
    descriptors_are_back_to(before);
}

/// 200 connections talk at the same time.
pub fn crowd(config: Config) {
    let before = descriptors();
    let run = start_with(Kind::IoUring, config, Echo);
    let crowd: Vec<_> = (0..200).map(|_| run.connect()).collect();
    for round in 0..20u32 {
        for (i, mut c) in crowd.iter().enumerate() {
            c.write_all(&[round, i as u32].map(u32::to_le_bytes).concat()).unwrap();
        }
        for (i, mut c) in crowd.iter().enumerate() {
            let mut back = [0; 8];
            c.read_exact(&mut back).unwrap();
            assert_eq!(back[..], [round, i as u32].map(u32::to_le_bytes).concat());
        }
    }
    drop(crowd);
    let ends =
        (0..200).map(|_| run.until(|s| matches!(s, Seen::Closed(_)))).all(|s| s == Seen::Closed(Reason::Finished));
    assert!(ends);
    run.end();
    descriptors_are_back_to(before);
}

pub fn fault(op: CqeOp, errno: i32, per_mille: u16) -> CqeFault {
    CqeFault { op, errno, per_mille, seed: u64::from(per_mille) << 32 | errno as u64 }
}

/// Errors that say no more than "ask again" are not heard of.
pub fn given_up(base: &Config) {
    for per_mille in [10, 200, 700] {
        let faults = [
            fault(CqeOp::Recv, libc::ENOBUFS, per_mille),
            fault(CqeOp::Recv, libc::ECANCELED, per_mille),
            fault(CqeOp::Poll, libc::ECANCELED, per_mille),
            fault(CqeOp::Send, libc::EINTR, per_mille),
        ];
        bulk(Config { cqe_faults: faults.to_vec(), ..base.clone() });
        crowd(Config { cqe_faults: faults.to_vec(), buffers: (2, 64), ..base.clone() });
    }
}

/// Talks until it is served or cut off; true if it was served. Whatever came back is right.
pub fn visit(at: SocketAddr, data: &[u8]) -> bool {
    let c = client(at);
    let mut begun = &c;
    for word in data.chunks(50).take(10) {
        let mut back = vec![0; word.len()];
        match begun.write_all(word).and_then(|()| begun.read_exact(&mut back)) {
            Ok(()) => assert_eq!(back, word),
            Err(e) => return cut_off(&e),
        }
    }
    match there_and_back(&c, data) {
        Ok(back) => {
            assert!(data.starts_with(&back), "what came back is what was sent");
            back.len() == data.len()
        }
        Err(e) => cut_off(&e),
    }
}

pub fn cut_off(e: &std::io::Error) -> bool {
    let cut = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof, ErrorKind::NotConnected];
    assert!(cut.contains(&e.kind()), "{e}");
    false
}

/// One of each that came has ended.
pub fn all_ended(run: Run) {
    // Connections are accepted in the order they came in, so after this one nobody is to be expected.
    visit(run.at, b"the last one");
    let (mut accepted, mut closed) = (0, 0);
    let mut count = |s: Seen| {
        accepted += usize::from(s == Seen::Accepted);
        closed += usize::from(matches!(s, Seen::Closed(_)));
        accepted == closed
    };
    let mut even = run.seen.try_iter().map(&mut count).last().unwrap_or(false);
    while !even {
        even = count(run.next());
    }
    let left = run.end();
    let ends = |s: &Seen| *s == Seen::Accepted || matches!(s, Seen::Closed(_));
    assert_eq!(left.iter().filter(|s| ends(s)).count(), 0, "each connection has one end");
    assert!(accepted > 0);
}

pub fn forced(base: &Config) {
    let data = noise(300_000);
    let before = descriptors();
    for (op, errno) in [
        (CqeOp::Recv, libc::ECONNRESET),
        (CqeOp::Poll, libc::ENOMEM),
        (CqeOp::Send, libc::ECONNRESET),
        (CqeOp::Send, libc::ECANCELED),
        (CqeOp::Send, libc::ENOBUFS),
    ] {
        for per_mille in [10, 200] {
            let config = Config { cqe_faults: vec![fault(op, errno, per_mille)], ..base.clone() };
            let run = start_with(Kind::IoUring, config, Echo);
            let at = run.at;
            let served = (0..60).filter(|_| visit(at, &data)).count();
            assert!(per_mille < 200 || served < 60, "{op:?} {errno}: nobody was cut off");
            // A form that asks for each piece of input anew has more to lose.
            assert!(per_mille == 200 || served > 0, "{op:?} {errno}: nobody was served");
            all_ended(run);
        }
    }
    descriptors_are_back_to(before);
}

/// Clients that reset at any moment, while operations fail at any moment.
pub fn storm(base: &Config) {
    let before = descriptors();
    let faults = [
        fault(CqeOp::Recv, libc::ENOBUFS, 200),
        fault(CqeOp::Recv, libc::ECONNRESET, 10),
        fault(CqeOp::Poll, libc::ECANCELED, 200),
        fault(CqeOp::Send, libc::ECANCELED, 50),
    ];
    let config = Config { cqe_faults: faults.to_vec(), entries: 8, ..base.clone() };
    let run = start_with(Kind::IoUring, config, Echo);
    let (at, data) = (run.at, noise(200_000));
    std::thread::scope(|s| {
        for i in 0..4usize {
            let data = &data;
            s.spawn(move || {
                for n in 0..200 {
                    let mut c = client(at);
                    reset_on_close(&c);
                    let part = &data[..(n * 997 + i * 131) % data.len()];
                    // The server may have ended it already; with the limit it may be stuck, which a reset ends.
                    let _ = c.set_write_timeout(Some(std::time::Duration::from_millis(5)));
                    let _ = c.write_all(part);
                    let _ = c.set_nonblocking(true);
                    let _ = c.read(&mut vec![0; n * 100]);
                }
            });
        }
    });
    all_ended(run);
    descriptors_are_back_to(before);
}
