//! A thread per connection that blocks in `recv`; the app and its tables behind one fair lock.
//!
//! Whoever holds the lock and makes output tries to send it without waiting. A socket that is full, or an output whose
//! next piece is a file, gets a writer thread until that is over. A reader whose token is switched off waits on the
//! socket's own condition variable. Mail and timers belong to the main thread, which others wake when a deadline came
//! nearer or when they leave work behind.
//!
//! Invariant: the lock is never held over a call that may wait for a peer, a disk or another thread's end.
//! Invariant: a thread that comes back from such a call does nothing before it has seen that its token is still there.
mod limits;
mod net;
mod roles;
mod socket;
mod threads;
mod turn;

use crate::Error;
use crate::host::{Due, Host, NetOp, Sender};
use crate::listen::Bound;
use crate::sock;
pub use limits::facts;
use parking_lot::{Mutex, MutexGuard};
use proto_core::{Addr, App, Input, Instant, Reason, Slots, Token, Trouble};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use socket::{Io, Kind, Socket};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use threads::Threads;
use turn::Turns;

/// What all threads of one loop share.
pub struct Shared<A: App> {
    state: Mutex<State<A>>,
    turns: Arc<Turns>,
}

/// The lock, held.
type Locked<'a, A> = MutexGuard<'a, State<A>>;

#[derive(Debug)]
enum News {
    Closed(Token, Reason),
    Bound(Token, Addr),
}

struct State<A: App> {
    host: Host<A>,
    conns: Slots<Io>,
    /// What ops have caused and the app was not told yet.
    news: VecDeque<News>,
    /// Bound sockets that are closed as soon as their thread has left.
    leaving: Slots<Reason>,
    threads: Threads,
    me: Weak<Shared<A>>,
    bell: Sender<A::Msg>,
    /// Datagrams dropped and not told yet.
    dropped: u64,
    /// For the next connect of this turn.
    spare: sock::Spare,
    /// The main thread is awake, or was woken and waits for the lock.
    awake: bool,
    /// When the main thread wakes up by itself.
    alarm: Option<Instant>,
    /// Nothing is delivered any more and all threads are on their way out.
    stopped: bool,
    /// A bug in the app, to be continued on the main thread.
    panic: Option<Box<dyn Any + Send>>,
    /// In which order threads get in.
    turns: Arc<Turns>,
}

/// Runs until the app exits; all threads have ended then.
pub fn run<A: App + 'static>(host: Host<A>, listeners: Vec<Bound>) -> Result<u8, Error> {
    let turns = Arc::new(Turns::default());
    let shared = Arc::new_cyclic(|me| {
        let state = Mutex::new(State::new(host, me.clone(), turns.clone()));
        Shared { state, turns }
    });
    let done = shared.enter(|s| {
        s.begin(listeners)?;
        serve(s)
    });
    shared.enter(|s| s.stop());
    shared.join();
    let mut s = shared.state.lock();
    let ended = s.host.end();
    if let Some(panic) = s.panic.take() {
        drop(s);
        std::panic::resume_unwind(panic);
    }
    done.unwrap_or(Ok(()))?;
    ended?;
    Ok(s.host.exit().unwrap_or_default())
}

/// The main thread: mail, timers, and what others have left behind.
fn serve<A: App + 'static>(s: &mut Locked<'_, A>) -> Result<(), Error> {
    let bell = s.bell.clone();
    while !s.stopped {
        let wait = s.before_sleep();
        let rung = threads::unlocked(s, || sleep(&bell, wait));
        s.awake = true;
        if rung? {
            bell.waker().clear();
            s.turn(true);
        } else {
            s.turn(false);
        }
    }
    Ok(())
}

/// Waits for the bell; true if it rings.
fn sleep<M>(bell: &Sender<M>, wait: Option<Duration>) -> Result<bool, Error> {
    let spec = wait.map(|w| Timespec { tv_sec: w.as_secs() as i64, tv_nsec: w.subsec_nanos().into() });
    let mut fds = [PollFd::from_borrowed_fd(bell.waker().fd(), PollFlags::IN)];
    match poll(&mut fds, spec.as_ref()) {
        Ok(n) => Ok(n > 0),
        Err(Errno::INTR) => Ok(false),
        Err(e) => Err(Error::system("poll")(e.into())),
    }
}

impl<A: App + 'static> State<A> {
    fn new(host: Host<A>, me: Weak<Shared<A>>, turns: Arc<Turns>) -> Self {
        State {
            bell: host.bell(),
            host,
            conns: Slots::default(),
            news: VecDeque::new(),
            leaving: Slots::default(),
            threads: Threads::default(),
            me,
            dropped: 0,
            spare: sock::Spare::default(),
            awake: true,
            alarm: None,
            stopped: false,
            panic: None,
            turns,
        }
    }
    fn begin(&mut self, listeners: Vec<Bound>) -> Result<(), Error> {
        for (t, bound) in self.host.listeners().into_iter().zip(listeners) {
            self.listen(t, bound.fd).map_err(|why| Error::Unavailable(format!("cannot serve {}: {why}", bound.at)))?;
        }
        self.host.start();
        self.finish();
        Ok(())
    }
    /// How long the main thread may sleep; from now on others must wake it.
    fn before_sleep(&mut self) -> Option<Duration> {
        self.awake = false;
        self.alarm = self.host.next_due();
        self.host.timeout()
    }
    fn wake(&mut self) {
        if !std::mem::replace(&mut self.awake, true) {
            use crate::mail::Wake;
            self.bell.waker().wake();
        }
    }
    /// One turn of the main thread.
    fn turn(&mut self, rung: bool) {
        if self.stopped {
            return;
        }
        self.host.counters.wakeups += 1;
        self.host.counters.syscalls += 1;
        if rung {
            self.mail(true);
        }
        while let Some(due) = self.host.due() {
            match due {
                Due::Cut(t) => {
                    if let Some(io) = self.conns.get(t) {
                        sock::give_up(&io.sock.fd);
                    }
                    self.die(t, Reason::TimedOut);
                }
                Due::Accept(t) => self.attend(t),
            }
            self.ops();
        }
        if self.host.is_app_due() {
            self.tell(Input::Deadline);
        }
        self.finish();
    }
    fn mail(&mut self, rung: bool) {
        for mail in self.host.mail(rung) {
            self.host.open_mail(mail);
            self.ops();
        }
    }

    /// Delivers an input and does its ops.
    fn tell(&mut self, input: Input<'_, A::Msg>) {
        self.host.deliver(input);
        self.ops();
    }
    /// Ops, then the news that they and failed sends have caused, until nothing is left.
    fn ops(&mut self) {
        loop {
            if let Some(op) = self.host.next_op() {
                self.op(op);
            } else {
                match self.news.pop_front() {
                    Some(News::Closed(t, why)) => self.host.closed(t, why),
                    Some(News::Bound(socket, local)) => self.host.deliver(Input::Bound { socket, local }),
                    None => return,
                }
            }
        }
    }
    /// What has to be done before the lock is given up after an input.
    ///
    /// It is one round: an app that puts more at each `Writable` would keep one thread busy for ever, so the main thread
    /// carries on with what a round has left, and the fair lock lets others in between.
    fn finish(&mut self) {
        if self.stopped {
            return;
        }
        self.settle();
        if self.host.has_local_mail() {
            self.mail(false);
            self.settle();
        }
        if self.dropped > 0 {
            let count = std::mem::take(&mut self.dropped);
            self.tell(Input::Trouble(Trouble::DatagramsDropped { count }));
            self.settle();
        }
        self.spare.close();
        if self.host.exit().is_some() {
            return self.stop();
        }
        let earlier = self.host.next_due().is_some_and(|due| self.alarm.is_none_or(|alarm| due < alarm));
        if earlier || !self.host.writable.is_empty() || self.host.has_local_mail() {
            self.wake();
        }
    }
    /// Everybody's output, and what follows from it.
    fn settle(&mut self) {
        self.flush();
        for _ in 0..self.host.writable.len() {
            if let Some(t) = self.host.writable.pop_front()
                && self.host.table.is_live(t)
            {
                self.tell(Input::Writable(t));
            }
        }
        self.flush();
    }
    fn flush(&mut self) {
        loop {
            self.ops();
            let Some(t) = self.host.table.next_dirty() else { return };
            self.attend(t);
        }
    }
    /// A token's output or switches were touched.
    fn attend(&mut self, t: Token) {
        if self.conns.get(t).is_none() {
            self.host.pump_stdio(t);
            return;
        }
        self.pump(t);
        if self.wants(t)
            && let Some(io) = self.conns.get(t)
        {
            io.sock.open_gate();
        }
    }
    fn wants(&self, t: Token) -> bool {
        match self.conns.get(t).map(|io| io.kind) {
            Some(Kind::Listener) => self.host.is_accepting(t),
            Some(Kind::Stream) => self.host.table.is_wanted(t) || self.host.is_lingering(t),
            Some(Kind::Datagram) => self.host.table.is_wanted(t),
            Some(Kind::Connecting) | None => false,
        }
    }

    fn op(&mut self, op: NetOp) {
        let done = match op {
            NetOp::Connect(t, to, o) => self.connect(t, &to, &o).map_err(|why| (t, why)),
            NetOp::Listen(t, at) => self.open_listener(t, &at).map_err(|why| (t, why)),
            NetOp::Udp(t, at, to) => {
                self.open_datagrams(t, sock::datagram(at.as_ref(), to.as_ref(), false)).map_err(|why| (t, why))
            }
            NetOp::Raw(t, at, protocol) => {
                self.open_datagrams(t, sock::raw(at, protocol, false)).map_err(|why| (t, why))
            }
            NetOp::SendTo(t, to, data) => {
                self.send_to(t, to, data);
                Ok(())
            }
            NetOp::Close(t) => {
                match self.conns.get(t).map(|io| io.kind) {
                    Some(Kind::Stream) => self.attend(t),
                    Some(_) => self.die(t, Reason::Finished),
                    None => {} // a standard stream ends with the program
                }
                Ok(())
            }
            NetOp::Abort(t) => {
                if let Some(io) = self.conns.get(t) {
                    sock::reset_on_close(&io.sock.fd);
                }
                self.die(t, Reason::Aborted);
                Ok(())
            }
            NetOp::Info(id, t) => {
                let answer = self.info(t);
                self.host.answer(id, answer);
                Ok(())
            }
        };
        if let Err((t, why)) = done {
            self.news.push_back(News::Closed(t, why));
        }
    }
    fn open_listener(&mut self, t: Token, at: &Addr) -> Result<(), Reason> {
        let fd = sock::listener(at, 1024, false, true).map_err(sock::reason)?;
        let local = sock::local(&fd);
        self.listen(t, fd)?;
        self.news.push_back(News::Bound(t, local));
        Ok(())
    }
    fn open_datagrams(&mut self, t: Token, opened: rustix::io::Result<OwnedFd>) -> Result<(), Reason> {
        let fd = opened.map_err(sock::reason)?;
        let local = sock::local(&fd);
        self.datagrams(t, fd)?;
        self.news.push_back(News::Bound(t, local));
        Ok(())
    }
    /// Ends a token: its threads leave, the last one closes the socket, and [`State::ops`] tells the app.
    fn die(&mut self, t: Token, why: Reason) {
        let Some(io) = self.conns.remove(t) else { return };
        io.cancel();
        match io.kind {
            Kind::Stream | Kind::Connecting => self.news.push_back(News::Closed(t, why)),
            // An app that hears of the end may bind the same address again, so it is told when the address is free.
            Kind::Listener | Kind::Datagram => self.leaving.insert(t, why),
        }
    }
    /// The thread of a bound socket leaves.
    fn left(&mut self, t: Token, sock: Arc<Socket>) {
        drop(sock);
        if let Some(why) = self.leaving.remove(t) {
            self.news.push_back(News::Closed(t, why));
            self.finish();
        }
    }
    /// Sends all threads home.
    fn stop(&mut self) {
        self.stopped = true;
        for (_, io) in std::mem::take(&mut self.conns).iter() {
            io.cancel();
        }
        self.wake();
    }
}
