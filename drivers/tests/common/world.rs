//! Everything but accepted connections: datagrams, connecting, listening, files, time, jobs, the end.
use super::apps::{Ctx, Echo, In, tell};
use super::{Run, Seen, client, connection_threads, descriptors, descriptors_are_back_to, settles, start, start_with};
use crate::plain_app;
use drivers::{Config, Kind};
use proto_core::{
    Addr, Answer, App, Ask, Cx, Deadline, FileId, How, Input, Instant, Lost, Op, OpId, Reason, Token, Trouble,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::Sender;
use std::time::Duration;

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn bound(run: &Run) -> SocketAddr {
    match run.until(|s| matches!(s, Seen::Bound(_))) {
        Seen::Bound(at) => at,
        other => panic!("{other:?}"),
    }
}

/// Echoes datagrams; `close` closes the socket.
struct Datagrams {
    tell: Sender<Seen>,
    to: Option<SocketAddr>,
}

impl Datagrams {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(_) => {
                let socket = cx.token(5);
                cx.op(Op::Udp { socket, bind: Some(Addr::Ip(local())), to: self.to.map(Addr::Ip) });
            }
            Input::Bound { socket, local: Addr::Ip(at) } => {
                tell(&self.tell, Seen::Bound(at));
                if self.to.is_some() {
                    cx.send_to(socket, None, b"anybody?");
                }
            }
            Input::Datagram { socket, data, .. } if *data == *b"close" => cx.close(socket, Duration::ZERO),
            Input::Datagram { socket, from, data } => {
                data.reverse();
                cx.send_to(socket, Some(from), data);
            }
            Input::Unreachable { socket, why } => {
                tell(&self.tell, Seen::Unreachable(why));
                cx.send_to(socket, None, b"still nobody?");
            }
            Input::Closed(_, why) => tell(&self.tell, Seen::Closed(why)),
            _ => {}
        }
    }
}
plain_app!(Datagrams);

pub fn echoes_datagrams(kind: Kind) {
    let run = start(kind, |tell| Datagrams { tell, to: None });
    let at = bound(&run);
    let us = UdpSocket::bind(local()).unwrap();
    us.set_read_timeout(Some(super::LIMIT)).unwrap();
    let mut buf = [0; 70_000];
    for size in [0, 1, 1400, 60_000] {
        let out: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        us.send_to(&out, at).unwrap();
        let (n, from) = us.recv_from(&mut buf).unwrap();
        assert_eq!((n, from), (size, at));
        assert!(out.iter().rev().eq(&buf[..n]));
    }
    us.send_to(b"close", at).unwrap();
    assert_eq!(run.next(), Seen::Closed(Reason::Finished));
    UdpSocket::bind(at).expect("the address is free when the app hears of the end");
    run.end();
}

/// ICMP errors come as inputs, one after each datagram.
pub fn datagrams_to_nobody_are_unreachable(kind: Kind) {
    let nobody = UdpSocket::bind(local()).unwrap();
    let at = nobody.local_addr().unwrap();
    drop(nobody);
    let run = start(kind, move |tell| Datagrams { tell, to: Some(at) });
    for _ in 0..3 {
        let seen = run.until(|s| matches!(s, Seen::Unreachable(_)));
        assert_eq!(seen, Seen::Unreachable(Reason::PortUnreachable));
    }
    run.end();
}

/// Connects to an address and sends back what it hears there.
struct Caller {
    tell: Sender<Seen>,
    to: SocketAddr,
}

impl Caller {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(_) => {
                cx.connect(6, Addr::Ip(self.to));
            }
            Input::Connected { conn, peer } => {
                tell(&self.tell, Seen::Said(peer.remote.to_string()));
                if let Some(tx) = cx.tx(conn) {
                    tx.put(b"hello");
                }
            }
            Input::Bytes(t, chunk) => {
                if let Some(tx) = cx.tx(t) {
                    tx.put(&chunk);
                }
            }
            Input::Eof(t) => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Closed(_, why) => tell(&self.tell, Seen::Closed(why)),
            _ => {}
        }
    }
}
plain_app!(Caller);

pub fn a_refused_connect_is_told(kind: Kind) {
    let nobody = TcpListener::bind(local()).unwrap();
    let to = nobody.local_addr().unwrap();
    drop(nobody);
    let run = start(kind, move |tell| Caller { tell, to });
    assert_eq!(run.next(), Seen::Closed(Reason::Refused));
    assert_eq!(run.end(), []);
}

pub fn connects_and_talks(kind: Kind) {
    let server = TcpListener::bind(local()).unwrap();
    let to = server.local_addr().unwrap();
    let run = start(kind, move |tell| Caller { tell, to });
    let (mut c, _) = server.accept().unwrap();
    assert_eq!(run.next(), Seen::Said(to.to_string()));
    c.write_all(b" and goodbye").unwrap();
    c.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    c.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello and goodbye");
    assert_eq!(run.next(), Seen::Closed(Reason::Finished));
    run.end();
}

/// A connection attempt that gets no answer does not keep the program from ending.
pub fn ends_while_connecting(kind: Kind) {
    // A listener whose queue is full answers no SYN; on loopback that needs no network.
    let full = TcpListener::bind(local()).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let to = full.local_addr().unwrap();
    let _queued = TcpStream::connect(to).unwrap();
    let before = descriptors();
    let run = start_with(kind, Config::default(), move |tell| Caller { tell, to });
    // Ending takes a connection of its own, so the app has started by then and has begun to connect.
    run.end();
    settles(0, connection_threads, "threads");
    descriptors_are_back_to(before);
}

/// Listens on its own; a first connection makes it stop.
struct Opens {
    tell: Sender<Seen>,
    own: Option<Token>,
    at: Addr,
}

impl Opens {
    fn listen(&mut self, cx: Ctx<'_, '_>) {
        let listener = cx.token(8);
        self.own = Some(listener);
        cx.op(Op::Listen { listener, at: self.at.clone() });
    }
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(_) => self.listen(cx),
            Input::Bound { local: Addr::Ip(at), .. } => {
                self.at = Addr::Ip(at);
                tell(&self.tell, Seen::Bound(at));
            }
            Input::Accepted { conn, listener, .. } if Some(listener) == self.own => {
                cx.close(listener, Duration::ZERO);
                if let Some(tx) = cx.tx(conn) {
                    tx.put(b"hi");
                    tx.finish();
                }
            }
            Input::Closed(t, why) if Some(t) == self.own => {
                tell(&self.tell, Seen::Closed(why));
                self.listen(cx); // the same address again
            }
            _ => {}
        }
    }
}
plain_app!(Opens);

pub fn listens_at_run_time_and_again(kind: Kind) {
    let run = start(kind, |tell| Opens { tell, own: None, at: Addr::Ip(local()) });
    let at = bound(&run);
    for _ in 0..20 {
        let mut c = client(at);
        let mut heard = String::new();
        c.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hi");
        assert_eq!(run.next(), Seen::Closed(Reason::Finished));
        assert_eq!(run.next(), Seen::Bound(at));
    }
    run.end();
}

/// Serves ranges of a file of 3 MB between words.
struct Files {
    path: String,
    len: usize,
    file: Option<FileId>,
    waiting: Vec<Token>,
    /// How often the longer range is sent.
    times: usize,
    /// Close the file once a connection has its ranges queued.
    once: bool,
    tell: Sender<Seen>,
}

const FILE: usize = 3_000_000;

impl Files {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(_) => {
                let how = How { read: true, ..How::default() };
                cx.ask(OpId::new(0, 1), Ask::Open { dir: None, path: self.path.clone(), how });
            }
            Input::Answer(_, Ok(Answer::Opened { file, .. })) => {
                self.file = Some(file);
                tell(&self.tell, Seen::Said("opened".into()));
                for t in std::mem::take(&mut self.waiting) {
                    self.serve(t, cx);
                }
            }
            Input::Answer(id, done) => tell(&self.tell, Seen::Said(format!("{} {done:?}", id.key()))),
            Input::Accepted { conn, .. } => {
                self.serve(conn, cx);
                if let Some(file) = self.file.filter(|_| self.once) {
                    cx.ask(OpId::new(0, 2), Ask::CloseFile(file));
                    cx.ask(OpId::new(0, 3), Ask::Stat { file });
                    cx.ask(OpId::new(0, 4), Ask::CloseFile(file));
                }
            }
            Input::Closed(_, why) => tell(&self.tell, Seen::Closed(why)),
            _ => {}
        }
    }
    fn serve(&mut self, t: Token, cx: Ctx<'_, '_>) {
        let Some(file) = self.file else { return self.waiting.push(t) };
        if let Some(tx) = cx.tx(t) {
            tx.put(b"<");
            for _ in 0..self.times {
                tx.file(file, 10, self.len - 10);
            }
            tx.put(b"|");
            tx.file(file, 0, 10);
            tx.put(b">");
            tx.finish();
        }
    }
}
plain_app!(Files);

/// A file that is removed at the end.
struct Temp(std::path::PathBuf, Vec<u8>);

impl Temp {
    fn new(name: &str) -> Temp {
        let path = std::env::temp_dir().join(format!("drywire-{}-{name}", std::process::id()));
        let bytes: Vec<u8> = (0..FILE).map(|i| (i % 253) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        Temp(path, bytes)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn serve_file(kind: Kind, name: &str, len: usize, times: usize) -> (Temp, Run) {
    let temp = Temp::new(&format!("{name}-{}", kind.name()));
    let path = temp.0.to_string_lossy().into_owned();
    let once = times > 1;
    let make = move |tell| Files { path: path.clone(), len, file: None, waiting: Vec::new(), times, once, tell };
    let run = start(kind, make);
    (temp, run)
}

pub fn sends_ranges_of_files(kind: Kind) {
    let (temp, run) = serve_file(kind, "file", FILE, 1);
    let want = [b"<", &temp.1[10..], b"|", &temp.1[..10], b">"].concat();
    let clients: Vec<_> = (0..4).map(|_| run.connect()).collect();
    for mut c in clients {
        let mut got = Vec::new();
        c.read_to_end(&mut got).unwrap();
        assert!(got == want, "{} of {} bytes", got.len(), want.len());
    }
    run.end();
}

pub fn a_file_shorter_than_promised_ends_the_connection(kind: Kind) {
    let (_temp, run) = serve_file(kind, "short", FILE + 1, 1);
    let mut c = run.connect();
    let mut got = Vec::new();
    let _ = c.read_to_end(&mut got); // the end of the connection may come as a reset
    assert_eq!(run.until(|seen| matches!(seen, Seen::Closed(_))), Seen::Closed(Reason::FileShort));
    run.end();
}

pub fn a_file_that_is_closed_is_still_sent_to_its_end(kind: Kind) {
    let (temp, run) = serve_file(kind, "closed", FILE, 20);
    let is_open = || {
        let all = std::fs::read_dir("/proc/self/fd").unwrap();
        all.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == temp.0))
    };
    assert_eq!(run.next(), Seen::Said("opened".into()));
    let mut c = run.connect();
    let said = [(); 3].map(|()| run.next());
    let want = ["2 Ok(Done)", "3 Err(NotFound)", "4 Err(NotFound)"];
    assert_eq!(said, want.map(|text| Seen::Said(text.into())), "nothing more can be asked");
    assert!(is_open(), "60 MB are more than a socket takes");
    let want = [b"<", &temp.1[10..].repeat(20)[..], b"|", &temp.1[..10], b">"].concat();
    let mut got = Vec::new();
    c.read_to_end(&mut got).unwrap();
    assert!(got == want, "{} of {} bytes", got.len(), want.len());
    settles(false, is_open, "it is closed then");
    run.end();
}

/// Asks for a deadline every 5 ms, 50 times; then for one in an hour, until somebody says "soon".
struct Clock {
    tell: Sender<Seen>,
    next: Instant,
    left: u32,
}

const PERIOD: Duration = Duration::from_millis(5);

impl Clock {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(start) => self.next = start.now.after(PERIOD),
            Input::Deadline => {
                let seen = if cx.now < self.next { Seen::Early } else { Seen::Late(cx.now.since(self.next)) };
                tell(&self.tell, seen);
                self.left = self.left.saturating_sub(1);
                let wait = if self.left > 0 { PERIOD } else { Duration::from_secs(3600) };
                self.next = cx.now.after(wait);
            }
            Input::Bytes(..) => self.next = cx.now.after(PERIOD),
            _ => {}
        }
    }
}
plain_app!(Clock, |c| Some(Deadline::new(
    Instant::default(),
    Duration::from_nanos(c.next.as_nanos()),
    "the next tick"
)));

pub fn deadlines_are_precise(kind: Kind) {
    let run = start(kind, |tell| Clock { tell, next: Instant::default(), left: 50 });
    let mut late = Vec::new();
    for _ in 0..50 {
        match run.next() {
            Seen::Late(by) => late.push(by),
            other => panic!("{other:?}"),
        }
    }
    late.sort();
    // A machine that is busy may be late now and then; half of the time it is not.
    let median = late[25];
    eprintln!("{}: lateness median {median:?}, worst {:?}", kind.name(), late[49]);
    assert!(median < Duration::from_millis(3), "median lateness {median:?}");
    // A deadline that another thread's input brings nearer is kept too.
    let c = run.connect();
    for _ in 0..10 {
        (&c).write_all(b"soon").unwrap();
        assert!(matches!(run.next(), Seen::Late(_)));
    }
    run.end();
}

/// `Exit` ends the program whatever its connections are at.
pub fn exit_ends_all_threads(kind: Kind) {
    let before = descriptors();
    let run = start_with(kind, Config::default(), Echo);
    let idle: Vec<_> = (0..20).map(|_| run.connect()).collect();
    let stuck: Vec<_> = (0..3).map(|_| run.connect()).collect();
    let senders: Vec<_> = stuck
        .iter()
        .map(|c| {
            let mut to = c.try_clone().unwrap();
            std::thread::spawn(move || while to.write_all(&[9; 64 << 10]).is_ok() {})
        })
        .collect();
    for _ in 0..3 {
        run.until(|s| matches!(s, Seen::Paused(_)));
    }
    run.end();
    settles(0, connection_threads, "threads");
    for c in &stuck {
        let _ = c.shutdown(Shutdown::Both); // a peer that has been reset is shut already
    }
    senders.into_iter().for_each(|s| s.join().unwrap());
    for mut c in idle {
        assert_eq!(c.read(&mut [0; 1]).unwrap(), 0, "an idle connection ends cleanly");
    }
    drop(stuck);
    descriptors_are_back_to(before);
}

/// Answers each byte with its square, which a job works out; 255 panics.
struct Squares {
    of: Vec<Option<Token>>,
}

impl App for Squares {
    type Job = u8;
    type Msg = u16;
    fn handle(&mut self, input: Input<'_, u16>, cx: &mut Cx<'_, u8, u16>) {
        match input {
            Input::Bytes(t, chunk) => {
                for b in chunk.iter() {
                    let id = OpId::new(0, self.of.len() as u64);
                    self.of.push(Some(t));
                    cx.op(Op::Job { id, job: *b, hold: Duration::ZERO });
                }
            }
            Input::Job(id, done) => {
                let t = self.of.get_mut(id.key() as usize).and_then(Option::take).expect("one answer per job");
                let answer = match done {
                    Ok(square) => square,
                    Err(Lost::Panicked) => 1,
                    Err(Lost::Full | Lost::Cancelled) => 2,
                };
                if let Some(tx) = cx.tx(t) {
                    tx.put(&answer.to_le_bytes());
                }
            }
            _ => {}
        }
    }
    fn work(job: u8) -> u16 {
        assert!(job < 255, "a job that panics, on purpose");
        u16::from(job) * u16::from(job)
    }
}

pub fn jobs_are_answered_once(kind: Kind) {
    for workers in [0, 1, 4] {
        let config = Config { workers, job_queue: 1 << 20, ..Config::default() };
        let run = start_with(kind, config, |_| Squares { of: Vec::new() });
        let at = run.at;
        let clients: Vec<_> = (0..8).map(|_| std::thread::spawn(move || squares(client(at)))).collect();
        clients.into_iter().for_each(|c| c.join().unwrap());
        run.end();
    }
}

fn squares(mut c: TcpStream) {
    let bytes: Vec<u8> = (0..=254).cycle().take(255 * 4).chain([255]).collect();
    c.write_all(&bytes).unwrap();
    let mut back = vec![0; bytes.len() * 2];
    c.read_exact(&mut back).unwrap();
    let mut got: Vec<_> = back.chunks(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
    let square = |b: &u8| if *b == 255 { 1 } else { u16::from(*b) * u16::from(*b) };
    let mut want: Vec<_> = bytes.iter().map(square).collect();
    // Workers finish in any order.
    got.sort();
    want.sort();
    assert_eq!(got, want);
}

/// Panics at the word of a client.
struct Fragile;

impl Fragile {
    fn on(&mut self, input: In<'_>, _: Ctx<'_, '_>) {
        assert!(!matches!(input, Input::Bytes(..)), "a bug in the app, on purpose");
    }
}
plain_app!(Fragile);

/// A panic of the app leaves `run`, on whatever thread it happened, and no thread stays.
pub fn a_panic_leaves_run(kind: Kind) {
    let mut run = start(kind, |_| Fragile);
    let others: Vec<_> = (0..10).map(|_| run.connect()).collect();
    for mut c in &others {
        let _ = c.write_all(b"x"); // the first of them ends the program
    }
    let panic = run.join().expect_err("a panic");
    assert_eq!(panic.downcast_ref(), Some(&"a bug in the app, on purpose"));
    settles(0, connection_threads, "threads");
}

/// Tells of trouble, and accepts when it is told to by a datagram.
pub struct Troubled {
    pub tell: Sender<Seen>,
    pub listeners: Vec<Token>,
}

impl Troubled {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(start) => {
                self.listeners.extend(start.listeners.iter().map(|l| l.token).filter(|t| t.part() == 0));
                self.listeners.iter().for_each(|l| cx.accept(*l, false));
                let socket = cx.token(5);
                cx.op(Op::Udp { socket, bind: Some(Addr::Ip(local())), to: None });
            }
            Input::Bound { local: Addr::Ip(at), .. } => tell(&self.tell, Seen::Bound(at)),
            Input::Datagram { .. } => self.listeners.iter().for_each(|l| cx.accept(*l, true)),
            Input::Accepted { .. } => tell(&self.tell, Seen::Accepted),
            Input::Trouble(Trouble::AcceptPaused { why, .. }) => tell(&self.tell, Seen::Trouble(why)),
            _ => {}
        }
    }
}
plain_app!(Troubled);

/// Ends tokens that have no socket, and connects one twice.
struct Careless {
    to: SocketAddr,
    tell: Sender<Seen>,
}

impl Careless {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(_) => {
                let (closed, aborted) = (cx.token(1), cx.token(1));
                cx.close(closed, Duration::from_secs(60));
                cx.abort(aborted);
                cx.close(aborted, Duration::from_secs(60));
                let conn = cx.connect(2, Addr::Ip(self.to));
                cx.op(Op::Connect { conn, to: Addr::Ip(self.to), opts: Default::default() });
                cx.op(Op::Connect { conn: closed, to: Addr::Ip(self.to), opts: Default::default() });
            }
            Input::Connected { conn, .. } => {
                tell(&self.tell, Seen::Said(format!("connected {}", conn.part())));
                cx.abort(conn);
                cx.abort(conn);
            }
            Input::Closed(t, why) => tell(&self.tell, Seen::Said(format!("{} {why:?}", t.part()))),
            _ => {}
        }
    }
}
plain_app!(Careless);

pub fn tokens_without_a_socket_end_once(kind: Kind) {
    let before = descriptors();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = nobody.local_addr().unwrap();
    let run = start(kind, move |tell| Careless { to, tell });
    let seen: Vec<_> = (0..4).map(|_| run.next()).collect();
    let said = |s: &str| seen.iter().filter(|seen| **seen == Seen::Said(s.into())).count();
    let each = ["1 Finished", "1 Aborted", "connected 2", "2 Aborted"].map(said);
    assert_eq!(each, [1; 4], "{seen:?}");
    assert_eq!(run.end(), [], "nothing of a token comes after its end");
    drop(nobody);
    descriptors_are_back_to(before);
}
