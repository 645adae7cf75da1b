//! Scenarios over real loopback sockets, the same for every driver, and what they are made of.
//!
//! A scenario runs alone: it may count the process's descriptors and threads. Whatever it waits for it is told, by the
//! app over a channel or by the kernel; a time limit only ends a run that hangs.
#![allow(dead_code)] // each test crate uses a part of it
pub mod apps;
pub mod files;
pub mod limits;
pub mod relays;
pub mod rings;
pub mod streams;
pub mod world;

use drivers::{Bound, Config, Error, Kind};
use proto_core::{Addr, App, Cx, Deadline, Input, Reason};
use std::cell::RefCell;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Ends a run that hangs.
pub const LIMIT: Duration = Duration::from_secs(120);
/// Connections of this part end the program.
const QUIT: u8 = 200;

static ALONE: Mutex<()> = Mutex::new(());

thread_local! {
    /// What scenarios configure a driver with.
    static BASE: RefCell<Config> = RefCell::new(Config::default());
}

/// What an app tells its test.
#[derive(Clone, PartialEq, Debug)]
pub enum Seen {
    Started {
        capacity: usize,
        driver: String,
    },
    Accepted,
    Bound(SocketAddr),
    /// Input was switched off with that many bytes queued.
    Paused(usize),
    /// A message was not queued for a slow reader.
    Dropped,
    Closed(Reason),
    Trouble(Reason),
    Unreachable(Reason),
    Late(Duration),
    Early,
    Said(String),
}

/// A program under test.
pub struct Run {
    pub at: SocketAddr,
    /// A second listener of the app's part 1.
    pub other: SocketAddr,
    quit: SocketAddr,
    thread: Option<JoinHandle<Result<u8, Error>>>,
    pub seen: Receiver<Seen>,
}

/// Adds a way to end to any app.
struct Quits<A>(A);

impl<A: App> App for Quits<A> {
    type Job = A::Job;
    type Msg = A::Msg;
    fn handle(&mut self, input: Input<'_, A::Msg>, cx: &mut Cx<'_, A::Job, A::Msg>) {
        match input {
            Input::Accepted { listener, .. } if listener.part() == QUIT => cx.exit(3),
            input => self.0.handle(input, cx),
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        self.0.deadline()
    }
    fn work(job: A::Job) -> A::Msg {
        A::work(job)
    }
}

fn bind(part: u8) -> (Bound, SocketAddr) {
    let any = Addr::Ip(SocketAddr::from(([127, 0, 0, 1], 0)));
    let bound = Bound::new(&any, part, 1024, false).unwrap();
    let Addr::Ip(at) = bound.at else { panic!("an IP address was bound") };
    (bound, at)
}

/// Starts an app that is made on the thread it runs on.
pub fn start<A: App + 'static>(kind: Kind, make: impl Fn(Sender<Seen>) -> A + Send + 'static) -> Run {
    start_with(kind, base(), make)
}

/// The right to run scenarios of a driver that is configured so; without the driver it says so, and there is none.
pub fn begin(kind: Kind, config: Config) -> Option<MutexGuard<'static, ()>> {
    let alone = alone();
    BASE.set(config);
    match drivers::available(kind) {
        Ok(()) => Some(alone),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// The right to run: one scenario at a time, to its very end.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|e| e.into_inner()) // a failed test says so itself
}

/// What scenarios are configured with.
pub fn base() -> Config {
    BASE.with_borrow(Config::clone)
}

pub fn start_with<A: App + 'static>(
    kind: Kind,
    config: Config,
    make: impl Fn(Sender<Seen>) -> A + Send + 'static,
) -> Run {
    let ((a, at), (b, other), (c, quit)) = (bind(0), bind(1), bind(QUIT));
    let (tell, seen) = channel();
    let make = move |_| Quits(make(tell.clone()));
    let thread = std::thread::spawn(move || drivers::run(kind, make, vec![a, b, c], &config));
    Run { at, other, quit, thread: Some(thread), seen }
}

impl Run {
    /// What the app says next.
    pub fn next(&self) -> Seen {
        self.seen.recv_timeout(LIMIT).expect("the app says something")
    }
    /// Passes over what the app says until `is_it`.
    pub fn until(&self, is_it: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let seen = self.next();
            if is_it(&seen) {
                return seen;
            }
        }
    }
    pub fn connect(&self) -> TcpStream {
        client(self.at)
    }
    /// Ends the program; what it has not told.
    pub fn end(mut self) -> Vec<Seen> {
        self.quit();
        self.seen.try_iter().collect()
    }
    pub fn quit(&mut self) {
        let knock = TcpStream::connect(self.quit).unwrap();
        let code = self.thread.take().unwrap().join();
        drop(knock);
        assert_eq!(code.expect("the driver does not panic").expect("the driver runs"), 3);
    }
    /// The program's thread, for one that ends by itself.
    pub fn join(&mut self) -> std::thread::Result<Result<u8, Error>> {
        self.thread.take().unwrap().join()
    }
}

pub fn client(at: SocketAddr) -> TcpStream {
    let c = TcpStream::connect(at).unwrap();
    c.set_read_timeout(Some(LIMIT)).unwrap();
    c.set_write_timeout(Some(LIMIT)).unwrap();
    c
}

/// Closing this socket will send RST.
pub fn reset_on_close(c: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(c, Some(Duration::ZERO)).unwrap();
}

/// Open descriptors of this process.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// No more descriptors are open than there were. A thread of an earlier test that answered a question about a file may
/// have been on its way out then, so there may be fewer.
pub fn descriptors_are_back_to(before: usize) {
    settles(true, || descriptors() <= before, "no descriptor stays");
}

/// Threads of this process that belong to connections of the blocking driver.
pub fn connection_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.flatten().map(|t| std::fs::read_to_string(t.path().join("comm")).unwrap_or_default());
    names.filter(|n| n.trim() == "connection").count()
}

/// Waits until the kernel has come to the same view.
pub fn settles<T: PartialEq + std::fmt::Debug>(want: T, mut look: impl FnMut() -> T, what: &str) {
    let begin = Instant::now();
    loop {
        let got = look();
        if got == want {
            return;
        }
        assert!(begin.elapsed() < LIMIT, "{what}: {got:?}, not {want:?}");
        std::thread::yield_now();
    }
}

/// Makes a test of each scenario for one driver.
#[macro_export]
macro_rules! scenarios {
    ($kind:expr) => {
        $crate::scenarios!($kind, drivers::Config::default());
    };
    ($kind:expr, $config:expr) => {
        $crate::scenarios!($kind, $config, streams:
            echoes_64_mb_with_half_close
            a_client_that_never_reads_is_bounded
            a_storm_of_resets_leaves_nothing_behind
            abort_gives_the_peer_a_reset
            input_switched_off_waits
            serves_one_client_at_a_time
            a_stuck_reader_does_not_delay_a_broadcast
            a_flooder_does_not_starve_others
            an_endless_source_does_not_starve_others
            close_lingers_and_then_cuts
        );
        $crate::scenarios!($kind, $config, world:
            echoes_datagrams
            datagrams_to_nobody_are_unreachable
            a_refused_connect_is_told
            connects_and_talks
            ends_while_connecting
            tokens_without_a_socket_end_once
            listens_at_run_time_and_again
            sends_ranges_of_files
            a_file_shorter_than_promised_ends_the_connection
            a_file_that_is_closed_is_still_sent_to_its_end
            deadlines_are_precise
            exit_ends_all_threads
            jobs_are_answered_once
            a_panic_leaves_run
        );
        $crate::scenarios!($kind, $config, relays:
            relays_both_ways_at_once
            relays_end_at_their_quota
            relays_pass_half_closes
            relays_are_bounded
            relays_pass_resets
        );
        $crate::scenarios!($kind, $config, files:
            what_is_to_be_written_at_the_end_is_written
            what_was_asked_before_a_file_is_closed_is_answered
        );
        $crate::scenarios!($kind, $config, limits: accepting_pauses_without_descriptors);
    };
    ($kind:expr, $config:expr, $module:ident: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                if let Some(_alone) = $crate::common::begin($kind, $config) {
                    $crate::common::$module::$name($kind);
                }
            }
        )*
    };
}
