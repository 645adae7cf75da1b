//! The driver `io_uring`: the scenarios of all drivers, and what only a ring can get wrong.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod common;

use common::apps::{Ctx, Echo, In, tell};
use common::rings::{all_ended, bulk, crowd, fault, forced, given_up, noise, storm, there_and_back, visit};
use common::{Seen, client, descriptors, descriptors_are_back_to, start, start_with};
use drivers::{Bound, Buffers, Config, CqeFault, CqeOp, Kind};
use proto_core::{Addr, Input, Op, Reason, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::Sender;

/// Makes one test of each.
macro_rules! on_a_ring {
    ($($name:ident = $run:expr;)*) => {
        $(
            #[test]
            fn $name() {
                if let Some(_alone) = common::begin(Kind::IoUring, Config::default()) {
                    $run;
                }
            }
        )*
    };
}

scenarios!(Kind::IoUring);
on_a_ring! {
    tiny_buffers_carry_bulk = bulk(Config { buffers: (2, 64), ..Config::default() });
    one_buffer_carries_bulk = bulk(Config { buffers: (1, 1), entries: 4, ..Config::default() });
    large_buffers_are_kept_and_replaced = bulk(Config { buffers: (4, 16 << 10), ..Config::default() });
    a_crowd_shares_two_buffers = crowd(Config { buffers: (2, 64), ..Config::default() });
    a_crowd_shares_four_entries = crowd(Config { entries: 4, ..Config::default() });
    a_broadcast_overflows_small_queues = broadcast();
    relays_both_ways_with_back_pressure = relay();
    a_kernel_that_gives_up_is_asked_again = given_up(&Config::default());
    forced_errors_end_one_connection_only = forced(&Config::default());
    forced_errors_of_accept_lose_nobody = forced_accept();
    a_forced_error_of_connect_is_told = forced_connect();
    storms_under_faults_leave_nothing_behind = storm(&Config::default());
    the_facts_tell_what_was_set_up = facts();
    a_receive_that_the_kernel_keeps_ending_is_given_up = kept_ending();
    a_thousand_share_four_entries = thousand();
    stopping_under_load_leaves_nothing = stop_under_load();
    threads_each_have_a_ring = threads();
    too_little_memory_may_be_locked = memlock();
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
    assert!(facts.contains("mode=multishot, provided buffers 128 x 2 KiB"), "{facts}");
    run.end();
}

/// Every multishot receive is ended at once: without the switch to single-shot nobody would be served.
fn kept_ending() {
    let faults = vec![fault(CqeOp::RecvMulti, libc::ECANCELED, 1000)];
    crowd(Config { cqe_faults: faults.clone(), ..Config::default() });
    // The control: single-shot receives, too, are ended then, and nothing is heard until the time is over.
    let faults = vec![CqeFault { op: CqeOp::Recv, ..faults[0] }];
    let run = start_with(Kind::IoUring, Config { cqe_faults: faults, ..Config::default() }, Echo);
    let c = run.connect();
    c.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    (&c).write_all(b"x").unwrap();
    assert_eq!((&c).read(&mut [0]).expect_err("no answer").kind(), std::io::ErrorKind::WouldBlock);
    drop(c);
    run.end();
}

/// Everybody of a thousand speaks before anybody is read from.
fn thousand() {
    for config in [
        Config { entries: 4, buffers: (2, 64), ..Config::default() },
        Config { entries: 4, link: true, ..Config::default() },
        Config { entries: 4, buffers: (2, 64), lend: Some(Buffers::Fixed), ..Config::default() },
    ] {
        let before = descriptors();
        let run = start_with(Kind::IoUring, config, Echo);
        let crowd: Vec<_> = (0..1000).map(|_| run.connect()).collect();
        for round in 0..3u32 {
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
        run.end();
        descriptors_are_back_to(before);
    }
}

/// The app exits while a hundred connections are flooded, paused, read from and written to: the ring gives everything
/// back, or its end would abort the process.
fn stop_under_load() {
    for config in [
        Config::default(),
        Config { link: true, ..Config::default() },
        Config { lend: Some(Buffers::Plain), ..Config::default() },
        Config { lend: Some(Buffers::Fixed), direct_files: true, entries: 8, ..Config::default() },
        Config { as_kernel: Some((5, 11)), ..Config::default() },
    ] {
        let before = descriptors();
        let mut run = start_with(Kind::IoUring, config, Echo);
        let crowd: Vec<_> = (0..100).map(|_| run.connect()).collect();
        let senders = crowd.iter().enumerate().map(|(i, c)| {
            let mut to = c.try_clone().unwrap();
            std::thread::spawn(move || {
                let block = vec![i as u8; 100 + i * 1000];
                while to.write_all(&block).is_ok() {}
            })
        });
        let senders: Vec<_> = senders.collect();
        for mut c in crowd.iter().step_by(3) {
            c.read_exact(&mut [0; 100]).unwrap(); // the load has begun
        }
        run.until(|s| matches!(s, Seen::Paused(_)));
        run.quit();
        drop(run);
        senders.into_iter().for_each(|s| s.join().unwrap());
        drop(crowd);
        descriptors_are_back_to(before);
    }
}

/// Two loops share a port; both end.
fn threads() {
    let before = descriptors();
    let at = Addr::Ip(SocketAddr::from(([127, 0, 0, 1], 0)));
    let bound = Bound::new(&at, 0, 1024, true).unwrap();
    let Addr::Ip(at) = bound.at else { panic!("an address") };
    let (tell, seen) = std::sync::mpsc::channel();
    let config = Config { threads: 2, ..Config::default() };
    let run = std::thread::spawn(move || {
        drivers::run(Kind::IoUring, |shard| Shard(Echo(tell.clone()), shard, 0), vec![bound], &config)
    });
    let crowd: Vec<_> = (0..64).map(|_| client(at)).collect();
    for mut c in &crowd {
        c.write_all(b"hello").unwrap();
        c.read_exact(&mut [0; 5]).unwrap();
    }
    drop(crowd);
    assert_eq!(run.join().unwrap().unwrap(), 7);
    assert_eq!(seen.iter().filter(|s| *s == Seen::Accepted).count(), 64);
    descriptors_are_back_to(before);
}

/// Ends when all loops together have seen 64 connections close.
struct Shard(Echo, proto_core::Shard, usize);

impl proto_core::App for Shard {
    type Job = core::convert::Infallible;
    type Msg = usize;
    fn handle(&mut self, input: Input<'_, usize>, cx: &mut proto_core::Cx<'_, Self::Job, usize>) {
        let first = proto_core::Shard(0);
        match input {
            Input::Accepted { .. } => tell(&self.0.0, Seen::Accepted),
            Input::Bytes(t, chunk) => cx.tx(t).into_iter().for_each(|tx| tx.put(&chunk)),
            Input::Eof(t) => cx.tx(t).into_iter().for_each(proto_core::Tx::finish),
            Input::Closed(t, _) if t.part() == 0 => cx.op(Op::Post { to: first, msg: 1 }),
            Input::Post(_, n) if self.1 == first => {
                self.2 += n;
                if self.2 == 64 {
                    cx.op(Op::Post { to: proto_core::Shard(1), msg: 0 });
                    cx.exit(7);
                }
            }
            Input::Post(..) => cx.exit(0),
            _ => {}
        }
    }
    fn deadline(&self) -> Option<proto_core::Deadline> {
        None
    }
    fn work(job: Self::Job) -> usize {
        match job {}
    }
}

/// Without the right to lock memory, and with a limit: fewer buffers and a note, then the error.
fn memlock() {
    let before = getrlimit(Resource::Memlock);
    let limited = |kib: u64, config: Config| {
        setrlimit(Resource::Memlock, Rlimit { current: Some(kib << 10), maximum: before.maximum }).unwrap();
        std::thread::spawn(move || {
            drop_rights();
            let (tell, seen) = std::sync::mpsc::channel();
            let run = drivers::run(Kind::IoUring, |_| Told(tell.clone()), Vec::new(), &config);
            (run.map_err(|e| e.to_string()), seen.try_iter().collect::<Vec<_>>())
        })
        .join()
        .unwrap()
    };
    let fixed = Config { entries: 4, buffers: (512, 4096), lend: Some(Buffers::Fixed), ..Config::default() };
    let (run, seen) = limited(1024, fixed.clone());
    let (none, _) = limited(0, fixed.clone());
    let (enough, unlimited) = limited(7 << 10, fixed);
    setrlimit(Resource::Memlock, before).unwrap();
    let text = none.expect_err("nothing may be locked");
    assert!(text.contains("RLIMIT_MEMLOCK is 0 KiB, need ") && text.ends_with("raise it (ulimit -l)"), "{text}");
    let note = |seen: &[Seen]| match seen {
        [Seen::Said(facts)] => facts.split('\n').find(|f| f.starts_with("note=")).map(String::from),
        other => panic!("{other:?}"),
    };
    assert_eq!((run, enough), (Ok(0), Ok(0)));
    assert_eq!(note(&unlimited), None, "the control");
    let note = note(&seen).expect("a note");
    assert!(note.starts_with("note=RLIMIT_MEMLOCK allows ") && note.ends_with(" buffers only, not 512"), "{note}");
}

/// Says the driver's facts and ends.
struct Told(Sender<Seen>);

impl Told {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        Facts(self.0.clone()).on(input, cx);
        cx.exit(0);
    }
}
plain_app!(Told);

/// This thread may do no more than anybody.
#[allow(unsafe_code)]
fn drop_rights() {
    let header = [0x2008_0522u32, 0]; // _LINUX_CAPABILITY_VERSION_3, this thread
    let none = [0u32; 6];
    // SAFETY: both are what the call reads, by its third version: a version and an id, and two times three words.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    assert_eq!(done, 0);
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
        let hint = if errno == libc::ENOMEM { "raise it (ulimit -l)" } else { "allow io_uring_setup" };
        assert!(text.ends_with(&format!("; use --driver epoll, or {hint}")), "{text}");
        assert_eq!((kind, &why), (Kind::Epoll, &text));
        assert_eq!(run.expect_err("no fall-back").to_string(), text);
    }
}
