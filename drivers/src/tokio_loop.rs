//! tokio: the loop of the readiness drivers as one task, for people who live in tokio.
//!
//! One task owns the host; there is no task per connection and no lock around the app. Each socket is an `AsyncFd`
//! whose waker puts the socket's token on a list and wakes the task, so that a turn looks at those sockets only that
//! have something to say. Of tokio's cached readiness each piece is taken as an edge: it is cleared before the loop
//! tries the socket, hence what comes later is a new edge and none is lost, on whatever thread tokio's reactor runs.
//!
//! tokio's timers have a granularity of one millisecond; so have this driver's deadlines. They are never early.
use crate::host::{Facts, Host, Place, mailbox};
use crate::listen::{self, Bound};
use crate::ready::{BELL, Event, Poller, Ready};
use crate::{Config, Error};
use proto_core::{App, Shard, Slots, Token};
use rustix::fd::{AsRawFd, BorrowedFd, RawFd};
use rustix::io::Errno;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// Tokens whose sockets have something to say, and the task to wake for them.
#[derive(Debug, Default)]
struct Inbox(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ready: Vec<Token>,
    task: Option<Waker>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()) // no user code runs under it
    }
    fn push(&self, t: Token) {
        let mut inner = self.lock();
        inner.ready.push(t);
        let task = inner.task.take();
        drop(inner);
        if let Some(task) = task {
            task.wake();
        }
    }
    /// Ready when there is something to look at. What is there stays there if the wait is given up.
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if !inner.ready.is_empty() {
            return Poll::Ready(());
        }
        match &mut inner.task {
            Some(task) => task.clone_from(cx.waker()),
            None => inner.task = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
    fn is_empty(&self) -> bool {
        self.lock().ready.is_empty()
    }
    fn take(&self) -> Vec<Token> {
        std::mem::take(&mut self.lock().ready)
    }
}

/// Wakes for one socket.
#[derive(Debug)]
struct Alert {
    token: Token,
    /// It is on the list.
    listed: AtomicBool,
    inbox: Arc<Inbox>,
}

impl Wake for Alert {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            self.inbox.push(self.token);
        }
    }
}

/// A socket that somebody else closes, after [`Poller::remove`].
#[derive(Debug)]
struct Borrowed(RawFd);

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

#[derive(Debug)]
struct Watched {
    /// None only between two registrations.
    fd: Option<AsyncFd<Borrowed>>,
    raw: RawFd,
    alert: Arc<Alert>,
    waker: Waker,
    /// The end of input, or of output, was reported. tokio keeps reporting it, and nothing else can follow.
    over: (bool, bool),
}

/// The sockets of one loop; [`BELL`] is in no table.
#[derive(Debug, Default)]
struct Reactor {
    inbox: Arc<Inbox>,
    sockets: Slots<Watched>,
    bell: Option<Watched>,
}

impl Poller for Reactor {
    const LEVEL: bool = false;
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token) -> rustix::io::Result<()> {
        let raw = fd.as_raw_fd();
        let fd = register(raw).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let alert = Arc::new(Alert { token, listed: AtomicBool::new(false), inbox: self.inbox.clone() });
        let watched = Watched { fd: Some(fd), raw, waker: alert.clone().into(), alert, over: (false, false) };
        watched.alert.wake_by_ref(); // the first look leaves the waker with tokio
        if token == BELL {
            self.bell = Some(watched)
        } else {
            self.sockets.insert(token, watched)
        }
        Ok(())
    }
    fn remove(&mut self, _: BorrowedFd<'_>, t: Token) {
        self.sockets.remove(t);
    }
    fn used_up(&mut self, t: Token, _: bool) {
        if let Some(watched) = self.sockets.get_mut(t).filter(|w| w.over == (false, true)) {
            watched.renew();
        }
    }
}

#[allow(unsafe_code)]
fn register(raw: RawFd) -> std::io::Result<AsyncFd<Borrowed>> {
    // SAFETY: `raw` comes from the `BorrowedFd` of `Poller::add` and stays open while it is registered. The loop holds
    // the socket and calls `Poller::remove`, which drops the `AsyncFd`, before it closes one; when the whole loop is
    // dropped, the poller goes before the sockets (the order of its fields), and the bell, which the loop does not hold,
    // goes after both (the first local of `turns`).
    let registered = unsafe { AsyncFd::register_with_interest(Borrowed(raw), Interest::READABLE | Interest::WRITABLE) };
    Ok(registered?)
}

impl Reactor {
    fn look(&mut self, t: Token) -> Option<Event> {
        let watched = if t == BELL { self.bell.as_mut() } else { self.sockets.get_mut(t) };
        watched.and_then(Watched::look)
    }
}

impl Watched {
    /// Takes what tokio knows as edges and leaves the waker for the next ones.
    fn look(&mut self) -> Option<Event> {
        self.alert.listed.store(false, Ordering::Release); // first: a wake during the look is a reason for another
        let mut cx = Context::from_waker(&self.waker);
        let token = self.alert.token;
        let mut event = Event { token, readable: false, writable: false, hup: false, error: false };
        let Some(fd) = &self.fd else {
            self.renew();
            return None;
        };
        while !self.over.0 {
            let Poll::Ready(guard) = fd.poll_read_ready(&mut cx) else { break };
            event.readable = true;
            self.over.0 = taken(guard, |r| r.is_read_closed());
        }
        while !self.over.1 {
            let Poll::Ready(guard) = fd.poll_write_ready(&mut cx) else { break };
            event.writable = true;
            self.over.1 = taken(guard, |r| r.is_write_closed());
        }
        event.hup = self.over.0;
        event.error = self.over.1;
        event.readable |= event.writable && event.error; // a datagram socket's error is there to be read
        (event.readable || event.writable).then_some(event)
    }
    /// Begins anew. An error of a datagram socket counts as the end of its output for tokio, but the next one must be
    /// heard of too.
    fn renew(&mut self) {
        self.fd = None; // two registrations of one descriptor cannot be
        self.over.1 = false;
        self.fd = register(self.raw).ok(); // out of kernel memory: the next look tries again
        self.alert.wake_by_ref();
    }
}

/// Clears one direction's readiness; true if it has ended. An error of the reactor (it shuts down) ends it too.
fn taken(guard: std::io::Result<AsyncFdReadyGuard<'_, Borrowed>>, ended: impl Fn(tokio::io::Ready) -> bool) -> bool {
    let Ok(mut guard) = guard else { return true };
    let over = ended(guard.ready());
    guard.clear_ready();
    over
}

/// Returns when a socket has something to say or `limit` has passed.
async fn wait(inbox: &Inbox, limit: Option<Duration>) {
    let said = poll_fn(|cx| inbox.poll(cx));
    match limit {
        // One look at the network, and a turn for other tasks: the reactor runs while a task yields.
        _ if !inbox.is_empty() => tokio::task::yield_now().await,
        Some(Duration::ZERO) => tokio::task::yield_now().await,
        Some(limit) => tokio::time::timeout(limit, said).await.unwrap_or_default(),
        None => said.await,
    }
}

pub fn facts() -> Facts {
    let facts = vec![
        ("runtime".into(), "tokio".into()),
        ("trigger".into(), "edge-triggered".into()),
        ("timer".into(), "1 ms".into()),
    ];
    Facts { name: "async", capacity: listen::descriptor_capacity(), facts }
}

/// Runs an app inside somebody's tokio runtime, which must have I/O and time enabled; its exit code.
///
/// The future may be dropped at any time: the sockets are closed then, as at the end of a program. Standard streams
/// and signals are watched by threads, as on every driver. Of `config`, `threads` means nothing here: one future is one
/// loop.
///
/// ```
/// use drivers::{Config, serve};
/// use proto_core::{App, Cx, Input};
///
/// struct Quit;
/// impl App for Quit {
///     type Job = ();
///     type Msg = ();
///     fn handle(&mut self, _: Input<'_, ()>, cx: &mut Cx<'_, (), ()>) {
///         cx.exit(7);
///     }
///     fn work(_: ()) {}
/// }
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// let code = runtime.block_on(serve(Quit, Vec::new(), Config::default()))?;
/// assert_eq!(code, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn serve<A: App + 'static>(app: A, listeners: Vec<Bound>, config: Config) -> Result<u8, Error> {
    let at: Vec<_> = listeners.iter().map(|b| (b.part, b.at.clone())).collect();
    let place = Place { shard: Shard(0), all: vec![mailbox()?] };
    drive(Host::new(app, &at, &config, facts(), place)?, listeners).await
}

/// The driver named `async`: a runtime of its own, on this thread.
pub fn run<A: App + 'static>(host: Host<A>, listeners: Vec<Bound>) -> Result<u8, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    runtime.map_err(Error::system("start tokio"))?.block_on(drive(host, listeners))
}

/// Without tokio's budget, which counts looks at sockets: a turn has budgets of its own and then waits or yields.
async fn drive<A: App + 'static>(host: Host<A>, listeners: Vec<Bound>) -> Result<u8, Error> {
    tokio::task::unconstrained(turns(host, listeners)).await
}

async fn turns<A: App + 'static>(host: Host<A>, listeners: Vec<Bound>) -> Result<u8, Error> {
    // Before the loop, thus dropped after it: the reactor lets go of a descriptor before it is closed.
    let _bell = host.bell();
    let reactor = Reactor::default();
    let inbox = reactor.inbox.clone();
    let mut ready = Ready::new(host, reactor, listeners)?;
    let mut events = Vec::new();
    let mut code = ready.host.exit();
    while code.is_none() {
        wait(&inbox, ready.timeout()).await;
        events.extend(inbox.take().into_iter().filter_map(|t| ready.poller.look(t)));
        code = ready.turn(events.drain(..));
    }
    ready.host.end()?;
    Ok(code.unwrap_or_default())
}
