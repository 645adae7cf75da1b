//! epoll through mio, edge-triggered: one registration per connection for its whole life.
use crate::host::{Facts, Host};
use crate::listen::Bound;
use crate::ready::{Event, Poller, Ready};
use crate::{Error, listen};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry};
use proto_core::{App, Token};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::time::Duration;

/// Events taken per wait.
const EVENTS: usize = 1024;
/// mio rounds a timeout up to whole milliseconds; below this a timerfd serves it.
const FINE: Duration = Duration::from_millis(20);
const TIMER: mio::Token = mio::Token(usize::MAX - 1);

struct Epoll(Registry);

impl Poller for Epoll {
    const LEVEL: bool = false;
    fn add(&mut self, fd: BorrowedFd<'_>, t: Token) -> rustix::io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        let added = self.0.register(&mut SourceFd(&fd.as_raw_fd()), mio::Token(t.to_bits() as usize), both);
        added.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
    }
    fn remove(&mut self, _: BorrowedFd<'_>, _: Token) {} // closing the only descriptor does it
}

pub fn facts() -> Facts {
    let facts = vec![("trigger".into(), "edge-triggered".into())];
    Facts { name: "epoll", capacity: listen::descriptor_capacity(), facts }
}

pub fn run<A: App + 'static>(host: Host<A>, listeners: Vec<Bound>) -> Result<u8, Error> {
    let mut poll = Poll::new().map_err(Error::system("epoll_create"))?;
    let registry = poll.registry().try_clone().map_err(Error::system("clone the epoll registry"))?;
    let timer = Timer::new(poll.registry())?;
    let mut ready = Ready::new(host, Epoll(registry), listeners)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut code = ready.host.exit();
    while code.is_none() {
        let wait = ready.timeout();
        let fine = wait.filter(|w| !w.is_zero() && *w < FINE);
        if let Some(wait) = fine {
            timer.set(wait)?;
        }
        match poll.poll(&mut events, if fine.is_some() { None } else { wait }) {
            Err(e) if e.kind() != std::io::ErrorKind::Interrupted => return Err(Error::system("epoll_wait")(e)),
            Err(_) => events.clear(),
            Ok(()) => {}
        }
        code = ready.turn(events.iter().filter(|e| e.token() != TIMER).map(|e| Event {
            token: Token::from_bits(e.token().0 as u64),
            readable: e.is_readable() || e.is_error(), // an error of a datagram socket is there to be read
            writable: e.is_writable(),
            hup: e.is_read_closed(),
            error: e.is_error(),
        }));
    }
    ready.host.end()?;
    Ok(code.unwrap_or_default())
}

/// Wakes the wait at a time finer than a millisecond. Edge-triggered, so it need not be read.
struct Timer(OwnedFd);

impl Timer {
    fn new(registry: &Registry) -> Result<Timer, Error> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC);
        let fd = fd.map_err(|e| Error::system("timerfd_create")(e.into()))?;
        let raw = fd.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&raw), TIMER, Interest::READABLE).map_err(Error::system("watch a timer"))?;
        Ok(Timer(fd))
    }
    fn set(&self, wait: Duration) -> Result<(), Error> {
        let it_value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().max(1).into() };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let set = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: zero, it_value });
        set.map(|_| ()).map_err(|e| Error::system("timerfd_settime")(e.into()))
    }
}
