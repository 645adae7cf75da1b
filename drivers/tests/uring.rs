//! The driver `io_uring`: the scenarios of all drivers, and what only a ring can get wrong.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use common::apps::{Ctx, Echo, In, tell};
use common::{Run, Seen, client, descriptors, descriptors_are_back_to, reset_on_close, start, start_with};
use drivers::{Config, CqeFault, CqeOp, Kind};
use proto_core::{Addr, Input, Reason, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Sender;

/// Makes one test of each function; without io_uring it says so and passes.
macro_rules! on_a_ring {
    ($($name:ident = $run:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let _alone = common::alone();
                match drivers::available(Kind::IoUring) {
                    Ok(()) => $run,
                    Err(why) => println!("skipped: {why}"),
                }
            }
        )*
    };
    ($module:ident: $($name:ident)*) => { on_a_ring! { $($name = common::$module::$name(Kind::IoUring);)* } };
}

on_a_ring!(streams:
    echoes_64_mb_with_half_close
    a_client_that_never_reads_is_bounded
    a_storm_of_resets_leaves_nothing_behind
    abort_gives_the_peer_a_reset
    input_switched_off_waits
    serves_one_client_at_a_time
    a_stuck_reader_does_not_delay_a_broadcast
    a_flooder_does_not_starve_others
    close_lingers_and_then_cuts
);
on_a_ring!(world:
    echoes_datagrams
    datagrams_to_nobody_are_unreachable
    a_refused_connect_is_told
    connects_and_talks
    ends_while_connecting
    listens_at_run_time_and_again
    sends_ranges_of_files
    a_file_shorter_than_promised_ends_the_connection
    deadlines_are_precise
    exit_ends_all_threads
    jobs_are_answered_once
    a_panic_leaves_run
);
on_a_ring!(limits: accepting_pauses_without_descriptors);
on_a_ring! {
    tiny_buffers_carry_bulk = bulk(Config { buffers: (2, 64), ..Config::default() });
    one_buffer_carries_bulk = bulk(Config { buffers: (1, 1), entries: 4, ..Config::default() });
    large_buffers_are_kept_and_replaced = bulk(Config { buffers: (4, 16 << 10), ..Config::default() });
    a_crowd_shares_two_buffers = crowd(Config { buffers: (2, 64), ..Config::default() });
    a_crowd_shares_four_entries = crowd(Config { entries: 4, ..Config::default() });
    a_broadcast_overflows_small_queues = broadcast();
    relays_both_ways_with_back_pressure = relay();
    a_kernel_that_gives_up_is_asked_again = given_up();
    forced_errors_end_one_connection_only = forced();
    forced_errors_of_accept_lose_nobody = forced_accept();
    a_forced_error_of_connect_is_told = forced_connect();
    storms_under_faults_leave_nothing_behind = storm();
    the_facts_tell_what_was_set_up = facts();
}

/// Bytes that repeat nowhere soon.
fn noise(n: usize) -> Vec<u8> {
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
fn there_and_back(c: &TcpStream, data: &[u8]) -> std::io::Result<Vec<u8>> {
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
fn bulk(config: Config) {
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
fn crowd(config: Config) {
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

/// Tells everybody what anybody says, and what the driver has counted.
struct Crier {
    tell: Sender<Seen>,
    all: Vec<Token>,
}

impl Crier {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Accepted { conn, .. } => {
                self.all.push(conn);
                tell(&self.tell, Seen::Accepted);
            }
            Input::Bytes(_, chunk) => {
                self.all.iter().for_each(|t| {
                    if let Some(tx) = cx.tx(*t) {
                        tx.put(&chunk);
                    }
                });
            }
            Input::Eof(t) => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Closed(t, _) => {
                self.all.retain(|a| *a != t);
                let c = cx.counters();
                assert!(c.submissions > 0 && c.completions > 0 && c.syscalls > 0 && c.epoll_ctl == 0);
                tell(&self.tell, Seen::Said(c.cq_overflow.to_string()));
            }
            _ => {}
        }
    }
}
plain_app!(Crier);

/// One message to 300: more entries and completions than either queue holds.
fn broadcast() {
    let config = Config { entries: 4, ..Config::default() };
    let run = start_with(Kind::IoUring, config, |tell| Crier { tell, all: Vec::new() });
    let crowd: Vec<_> = (0..300).map(|_| run.connect()).collect();
    crowd.iter().for_each(|_| drop(run.until(|s| *s == Seen::Accepted)));
    for round in 0..20u8 {
        (&crowd[usize::from(round)]).write_all(&[round; 100]).unwrap();
        for mut c in &crowd {
            let mut got = [0; 100];
            c.read_exact(&mut got).unwrap();
            assert_eq!(got, [round; 100]);
        }
    }
    drop(crowd);
    let Seen::Said(overflows) = run.until(|s| matches!(s, Seen::Said(_))) else { panic!("a count") };
    assert_ne!(overflows, "0", "the queue of completions was full at times");
    run.end();
}

/// Passes bytes between each client and a connection of its own to `to`.
struct Relay {
    to: SocketAddr,
    pairs: Vec<(Token, Token)>,
    tell: Sender<Seen>,
}

impl Relay {
    fn other(&self, t: Token) -> Option<Token> {
        let (a, b) = self.pairs.iter().find(|(a, b)| *a == t || *b == t)?;
        Some(if *a == t { *b } else { *a })
    }
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Accepted { conn, .. } => {
                cx.read(conn, false);
                let out = cx.connect(0, Addr::Ip(self.to));
                self.pairs.push((conn, out));
            }
            Input::Connected { conn, .. } => self.other(conn).into_iter().for_each(|t| cx.read(t, true)),
            Input::Bytes(t, chunk) => {
                let Some(tx) = self.other(t).and_then(|o| cx.tx(o)) else { return };
                tx.forward(chunk);
                if tx.room() == 0 {
                    tell(&self.tell, Seen::Paused(tx.len()));
                    cx.read(t, false);
                }
            }
            Input::Writable(t) => self.other(t).into_iter().for_each(|t| cx.read(t, true)),
            Input::Eof(t) => {
                if let Some(tx) = self.other(t).and_then(|o| cx.tx(o)) {
                    tx.finish();
                }
            }
            Input::Closed(t, why) => {
                assert!(!cx.is_live(t) || cx.queued(t) == 0 || why != Reason::Finished, "finished with output left");
                tell(&self.tell, Seen::Closed(why));
            }
            _ => {}
        }
    }
}
plain_app!(Relay);

/// Eight clients through a relay to an echo, 4 MB each: the relay connects, pauses and half-closes both ways.
fn relay() {
    let before = descriptors();
    let echo = start(Kind::IoUring, Echo);
    let to = echo.at;
    let run = start(Kind::IoUring, move |tell| Relay { to, pairs: Vec::new(), tell });
    let at = run.at;
    let data = noise(4 << 20);
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| assert!(there_and_back(&client(at), &data).unwrap() == data));
        }
    });
    let seen = run.end();
    let ends: Vec<_> = seen.into_iter().filter(|s| matches!(s, Seen::Closed(_))).collect();
    assert_eq!(ends.iter().filter(|s| **s != Seen::Closed(Reason::Finished)).count(), 0);
    echo.end();
    descriptors_are_back_to(before);
}

fn fault(op: CqeOp, errno: i32, per_mille: u16) -> CqeFault {
    CqeFault { op, errno, per_mille, seed: u64::from(per_mille) << 32 | errno as u64 }
}

/// Errors that say no more than "ask again" are not heard of.
fn given_up() {
    for per_mille in [10, 200, 700] {
        let faults = [
            fault(CqeOp::Recv, libc::ENOBUFS, per_mille),
            fault(CqeOp::Recv, libc::ECANCELED, per_mille),
            fault(CqeOp::Poll, libc::ECANCELED, per_mille),
            fault(CqeOp::Send, libc::EINTR, per_mille),
        ];
        bulk(Config { cqe_faults: faults.to_vec(), ..Config::default() });
        crowd(Config { cqe_faults: faults.to_vec(), buffers: (2, 64), ..Config::default() });
    }
}

/// Talks until it is served or cut off; true if it was served. Whatever came back is right.
fn visit(at: SocketAddr, data: &[u8]) -> bool {
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

fn cut_off(e: &std::io::Error) -> bool {
    let cut = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof, ErrorKind::NotConnected];
    assert!(cut.contains(&e.kind()), "{e}");
    false
}

/// One of each that came has ended.
fn all_ended(run: Run) {
    let (mut accepted, mut closed) = (0, 0);
    let mut count = |s: Seen| {
        accepted += usize::from(s == Seen::Accepted);
        closed += usize::from(matches!(s, Seen::Closed(_)));
        accepted == closed
    };
    while !count(run.next()) {}
    run.end().into_iter().for_each(|s| {
        count(s);
    });
    assert_eq!(accepted, closed, "each connection has one end");
}

fn forced() {
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
            let config = Config { cqe_faults: vec![fault(op, errno, per_mille)], ..Config::default() };
            let run = start_with(Kind::IoUring, config, Echo);
            let at = run.at;
            let served = (0..60).filter(|_| visit(at, &data)).count();
            assert!(per_mille < 200 || served < 60, "{op:?} {errno}: nobody was cut off");
            assert!(op == CqeOp::Send && per_mille == 200 || served > 0, "{op:?} {errno}: nobody was served");
            all_ended(run);
        }
    }
    descriptors_are_back_to(before);
}

fn forced_accept() {
    let before = descriptors();
    for errno in [libc::ECANCELED, libc::ECONNABORTED] {
        let config = Config { cqe_faults: vec![fault(CqeOp::Accept, errno, 500)], ..Config::default() };
        let run = start_with(Kind::IoUring, config, Echo);
        assert!((0..20).all(|_| visit(run.at, b"everybody is served")));
        all_ended(run);
    }
    descriptors_are_back_to(before);
}

fn forced_connect() {
    let before = descriptors();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = nobody.local_addr().unwrap();
    let config = Config { cqe_faults: vec![fault(CqeOp::Connect, libc::ECONNREFUSED, 1000)], ..Config::default() };
    let run = start_with(Kind::IoUring, config, move |tell| Relay { to, pairs: Vec::new(), tell });
    let c = run.connect();
    assert_eq!(run.next(), Seen::Closed(Reason::Refused));
    drop(c);
    run.end();
    drop(nobody);
    descriptors_are_back_to(before);
}

/// Clients that reset at any moment, while operations fail at any moment.
fn storm() {
    let before = descriptors();
    let faults = [
        fault(CqeOp::Recv, libc::ENOBUFS, 200),
        fault(CqeOp::Recv, libc::ECONNRESET, 10),
        fault(CqeOp::Poll, libc::ECANCELED, 200),
        fault(CqeOp::Send, libc::ECANCELED, 50),
    ];
    let run = start_with(Kind::IoUring, Config { cqe_faults: faults.to_vec(), entries: 8, ..Config::default() }, Echo);
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

/// Says the driver's facts.
struct Facts(Sender<Seen>);

impl Facts {
    fn on(&mut self, input: In<'_>, _: Ctx<'_, '_>) {
        if let Input::Start(start) = input {
            let facts = start.facts.iter().map(|(name, value)| format!("{name}={value}"));
            tell(&self.0, Seen::Said(facts.collect::<Vec<_>>().join("\n")));
        }
    }
}
plain_app!(Facts);

fn facts() {
    let run = start_with(Kind::IoUring, Config { entries: 64, ..Config::default() }, Facts);
    let Seen::Said(facts) = run.next() else { panic!("facts") };
    assert!(facts.starts_with("entries=64\nfeatures=IORING_FEAT_SINGLE_MMAP, IORING_FEAT_NODROP, "), "{facts}");
    assert!(facts.contains("mode=multishot, provided buffers 128 x 2048 bytes"), "{facts}");
    run.end();
}

/// What a container's filter does: the system call fails for this thread.
#[allow(unsafe_code)]
fn forbid_io_uring(errno: u32) {
    let filter = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filters = [
        filter((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 0), // the number of the call
        filter((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, libc::SYS_io_uring_setup as u32),
        filter((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
        filter((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filters.len() as u16, filter: filters.as_mut_ptr() };
    // SAFETY: the program and its filters live until the calls return; the kernel copies them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// The exact cause is told, and an explicit choice does not fall back.
#[test]
fn a_kernel_that_refuses_is_named() {
    let _alone = common::alone();
    for (errno, cause) in [(libc::EPERM, "(EPERM)"), (libc::ENOSYS, "(ENOSYS)"), (libc::ENOMEM, "RLIMIT_MEMLOCK is ")] {
        let refused = std::thread::spawn(move || {
            forbid_io_uring(errno as u32);
            let (tell, _seen) = std::sync::mpsc::channel();
            let run = drivers::run(Kind::IoUring, |_| Echo(tell.clone()), Vec::new(), &Config::default());
            (drivers::available(Kind::IoUring), drivers::choose(), run)
        });
        let (available, (kind, why), run) = refused.join().unwrap();
        let text = available.expect_err("the filter refuses");
        assert!(text.starts_with("io_uring is not available: ") && text.contains(cause), "{text}");
        assert!(text.ends_with("; use --driver epoll, or allow io_uring_setup"), "{text}");
        assert_eq!((kind, &why), (Kind::Epoll, &text));
        assert_eq!(run.expect_err("no fall-back").to_string(), text);
    }
}
