//! io_uring: the kernel does the I/O and tells when it is done; one system call hands over everything that was asked
//! for since the last turn and waits.
//!
//! - `probe`: does this kernel allow it, and what can it do; `setup`: the form that follows
//! - `ring`: submissions in order, completions as values; `buffers`, `pool`: what the kernel receives into; `faults`:
//!   for tests
//! - `conns`: what is known of each socket
//! - `stream`: receiving; `send`: sending; `forms`: both in the ways that are chosen by hand; `accept`: listeners; `ops`: what apps ask for, and ends
//!
//! A connection begins with a multishot receive into small provided buffers and one send in flight. One that fills a
//! buffer is served in bulk: a multishot poll, then plain calls with 64 KB while the data is in the cache, which
//! costs less per byte; short input takes it back. The same form watches a connection whose input is not wanted,
//! since a poll takes nothing out of the socket and still tells of errors. On a kernel without multishot receive
//! everything is asked for one at a time.
//!
//! Invariant: a descriptor is closed, and a slot free, after the last completion of its operations.
//! Invariant: a provided buffer goes back in the turn it came in.
mod accept;
mod buffers;
mod conns;
mod faults;
mod forms;
mod ops;
mod pool;
mod probe;
mod ring;
mod send;
mod setup;
mod stream;

use crate::host::{Due, Facts, Host};
use crate::listen::{self, Bound};
use crate::pass::Way;
use crate::{Config, Error};
use conns::{Conns, Io, Kind};
use forms::Chains;
use proto_core::{Addr, App, Flight, Input, Reason, Token, Trouble};
use ring::{Code, Done, Ring};
use std::collections::VecDeque;
use std::time::Duration;

pub use probe::{check, is_best};

/// Input after which everybody's output is flushed.
const FLUSH: usize = 64 << 10;

/// A ring as the configuration wants it, on the thread that will use it.
pub fn open(config: &Config) -> Result<Ring, Error> {
    Ring::open(config)
}

pub fn facts(ring: &Ring) -> Facts {
    let facts = [
        ("entries", ring.entries().to_string()),
        ("features", probe::feature_names(ring.form.features)),
        ("mode", ring.form.mode.clone()),
    ];
    let notes = ring.form.notes.iter().map(|note| ("note", note.clone()));
    let facts = facts.into_iter().chain(notes).map(|(name, value)| (name.into(), value)).collect();
    Facts { name: "io_uring", capacity: listen::descriptor_capacity(), facts }
}

pub fn run<A: App + 'static>(host: Host<A>, ring: Ring, listeners: Vec<Bound>) -> Result<u8, Error> {
    let mut d = Driver::new(host, ring, listeners)?;
    let mut code = d.host.exit();
    while code.is_none() {
        let timeout = d.timeout();
        d.ring.wait(timeout).map_err(Error::system("io_uring_enter"))?;
        code = d.turn();
    }
    d.finish()?;
    d.host.end()?;
    Ok(code.unwrap_or_default())
}

/// What ops and failures have caused and the app was not told yet.
#[derive(Debug)]
enum News {
    Closed(Token, Reason),
    Bound(Token, Addr),
}

/// The loop. The ring is dropped first, and with it the kernel's hold on what the others own: the order of the fields
/// matters.
struct Driver<A: App> {
    ring: Ring,
    host: Host<A>,
    conns: Conns,
    done: Vec<Done>,
    again: Vec<Token>,
    /// Empty flights, to be used again.
    #[allow(clippy::vec_box)] // they move into connections, most of which have none
    spare: Vec<Box<Flight>>,
    /// Connections that found no buffer, in the order in which they try again.
    starved: VecDeque<Token>,
    chains: Chains,
    news: VecDeque<News>,
    /// What plain calls read into; replaced when the app keeps it.
    scratch: Vec<u8>,
    /// What relays in bulk go through.
    way: Way,
    /// Input delivered since everybody's output was flushed.
    unflushed: usize,
    /// Datagrams dropped and not told yet.
    dropped: u64,
}

impl<A: App + 'static> Driver<A> {
    fn new(mut host: Host<A>, ring: Ring, listeners: Vec<Bound>) -> Result<Self, Error> {
        let scratch = host.table.pool.chunk();
        let mut d = Driver {
            ring,
            host,
            conns: Conns::default(),
            done: Vec::new(),
            again: Vec::new(),
            spare: Vec::new(),
            starved: VecDeque::new(),
            chains: Chains::default(),
            news: VecDeque::new(),
            scratch,
            way: Way::default(),
            unflushed: 0,
            dropped: 0,
        };
        d.ring.poll_bell(d.host.bell().waker().fd());
        for (t, bound) in d.host.listeners().into_iter().zip(listeners) {
            // The kernel waits in our place only on a descriptor that blocks.
            rustix::io::ioctl_fionbio(&bound.fd, false).map_err(|e| Error::system("set a listener")(e.into()))?;
            d.conns.insert(Io::new(t, bound.fd, Kind::Listener));
        }
        d.host.start();
        d.settle();
        // Not before the app had a chance to switch one off.
        for t in d.host.listeners() {
            d.arm_accept(t);
        }
        d.before_waiting();
        Ok(d)
    }
    fn timeout(&self) -> Option<Duration> {
        let most = match (self.again.is_empty() && self.starved.is_empty(), self.chains.are_there()) {
            (false, _) => Duration::ZERO,
            (true, true) => forms::STUCK,
            (true, false) => return self.host.timeout(),
        };
        Some(self.host.timeout().unwrap_or(most).min(most))
    }
    /// One turn over what has completed. The exit code, once the app has ended.
    fn turn(&mut self) -> Option<u8> {
        let mut done = std::mem::take(&mut self.done);
        self.ring.reap(&mut done);
        self.host.counters.wakeups += 1;
        self.host.counters.events += done.len() as u64;
        self.host.counters.completions += done.len() as u64;
        for d in done.drain(..) {
            self.complete(d);
        }
        self.done = done;
        for t in std::mem::take(&mut self.again) {
            self.serve_again(t);
        }
        self.dues();
        if self.host.is_app_due() {
            self.tell(Input::Deadline);
        }
        self.settle();
        if self.host.has_local_mail() {
            self.mail(false);
        }
        if self.dropped > 0 {
            let count = std::mem::take(&mut self.dropped);
            self.tell(Input::Trouble(Trouble::DatagramsDropped { count }));
            self.settle();
        }
        self.before_waiting();
        self.host.exit()
    }
    #[inline]
    fn complete(&mut self, d: Done) {
        match d.code() {
            Code::Recv | Code::Once => self.received(d),
            Code::Read => self.was_read(d),
            Code::Send => self.sent(d),
            Code::Poll => self.polled(d),
            Code::Accept => self.accepted(d),
            Code::Connect => self.connected(d),
            Code::Enlist => self.enlisted(d),
            Code::Bell => self.rung(d),
            Code::Cancel => {} // what was cancelled speaks for itself
        }
    }
    fn dues(&mut self) {
        while let Some(due) = self.host.due() {
            match due {
                Due::Cut(t) => {
                    if let Some(io) = self.conns.live(t) {
                        crate::sock::give_up(&io.fd);
                    }
                    self.die(t, Reason::TimedOut);
                }
                Due::Accept(t) => self.arm_accept(t),
            }
            self.ops();
        }
    }
    /// Buffers back to the kernel, then those that found none may try again: as many as there are buffers, so that a
    /// crowd does not fail all over again each turn.
    #[inline]
    fn before_waiting(&mut self) {
        self.ring.buffers.publish();
        for _ in 0..self.ring.form.tries {
            let Some(t) = self.starved.pop_front() else { break };
            if let Some(io) = self.conns.live(t) {
                io.starving = false;
                if self.ring.pool.is_used() { self.read(t) } else { self.arm(t) }
            }
        }
        if self.chains.are_there() {
            self.break_chains();
        }
        let c = &mut self.host.counters;
        (c.submissions, c.cq_overflow) = (self.ring.submissions, self.ring.overflows);
        c.syscalls += std::mem::take(&mut self.ring.enters);
    }
    #[cold]
    fn rung(&mut self, d: Done) {
        self.host.bell().waker().clear();
        self.host.counters.syscalls += 1;
        if !d.more() {
            self.ring.poll_bell(self.host.bell().waker().fd());
        }
        self.mail(true);
    }
    #[cold]
    fn mail(&mut self, rung: bool) {
        for mail in self.host.mail(rung) {
            self.host.open_mail(mail);
            self.ops();
        }
        self.settle();
    }

    /// Delivers an input and does its ops.
    #[inline]
    fn tell(&mut self, input: Input<'_, A::Msg>) {
        self.host.deliver(input);
        self.ops();
    }
    /// Ops, then the news that they and failures have caused, until nothing is left. A loop, not recursion: the end of
    /// one connection may cause that of another ten thousand times.
    #[inline]
    fn ops(&mut self) {
        loop {
            if let Some(op) = self.host.next_op() {
                self.op(op);
            } else {
                match self.news.pop_front() {
                    Some(News::Closed(t, why)) => self.say_closed(t, why),
                    Some(News::Bound(socket, local)) => self.host.deliver(Input::Bound { socket, local }),
                    None => return,
                }
            }
        }
    }
    /// Everybody's output, and one round of what follows from it: see [`Host::writable`].
    #[inline]
    fn settle(&mut self) {
        self.unflushed = 0;
        self.flush();
        for _ in 0..self.host.writable.len() {
            if let Some(t) = self.host.writable.pop_front()
                && (self.conns.live(t).is_some() || self.conns.any(t).is_none() && self.host.table.is_live(t))
            {
                self.tell(Input::Writable(t));
            }
        }
        self.flush();
    }
    #[inline]
    fn flush(&mut self) {
        loop {
            self.ops();
            let Some(t) = self.host.table.next_dirty() else { return };
            self.attend(t);
        }
    }
    /// An app has touched the output or the switches of a token.
    #[inline]
    fn attend(&mut self, t: Token) {
        match self.conns.any(t).map(|io| (io.closing, io.kind)) {
            None => {
                self.host.pump_stdio(t);
            }
            Some((true, _) | (_, Kind::Connecting)) => {}
            Some((_, Kind::Stream)) => {
                self.pump(t);
                self.switched(t);
            }
            Some((_, Kind::Listener)) => self.arm_accept(t),
            Some((_, Kind::Datagram)) => {
                if self.host.table.is_wanted(t) && self.conns.live(t).is_some_and(|io| io.readable) {
                    self.later(t);
                }
            }
        }
    }
    /// Bytes of the connection are taken: by the app, or to be discarded.
    #[inline]
    fn wants(&self, t: Token) -> bool {
        self.host.table.is_wanted(t) || self.host.is_lingering(t)
    }
    fn later(&mut self, t: Token) {
        if let Some(io) = self.conns.live(t)
            && !std::mem::replace(&mut io.queued, true)
        {
            self.again.push(t);
        }
    }
    fn serve_again(&mut self, t: Token) {
        let Some(io) = self.conns.live(t) else { return };
        io.queued = false;
        match io.kind {
            Kind::Stream => self.resume(t),
            Kind::Listener => self.unpark(t),
            Kind::Datagram => self.datagrams(t),
            Kind::Connecting => {}
        }
    }
    /// The app has ended: everything in flight is given up, then what is left goes out as far as sockets take it.
    fn finish(&mut self) -> Result<(), Error> {
        self.ring.wait(Some(Duration::ZERO)).map_err(Error::system("io_uring_enter"))?;
        let mut done = Vec::new();
        self.ring.drain(&mut done).map_err(Error::system("end an io_uring"))?;
        for d in done {
            drop(d.descriptor());
            let io = self.conns.of(d.token()).filter(|_| d.code() == Code::Send);
            if let Some((t, Some(mut flight))) = io.map(|io| (io.token, io.flight.take())) {
                self.host.landed(t, usize::try_from(d.res).unwrap_or_default(), &mut flight);
            }
        }
        for t in self.conns.streams() {
            self.send_now(t);
        }
        Ok(())
    }
}
