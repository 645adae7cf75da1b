//! Chooses a driver and runs an app on it, once or on several threads.
use crate::host::{Facts, Host, Place, mailbox};
use crate::listen::Bound;
#[cfg(not(loom))]
use crate::tokio_loop;
use crate::{Config, Error, Kind, blocking, epoll, poll, select, uring};
use proto_core::{App, Shard};

/// Whether this kernel and build allow a driver, and if not, why.
pub fn available(kind: Kind) -> Result<(), String> {
    match kind {
        Kind::IoUring => uring::check(),
        _ => Ok(()),
    }
}

/// What `auto` stands for here, and why.
pub fn choose() -> (Kind, String) {
    match uring::is_best() {
        Ok(()) => (Kind::IoUring, "multishot receive and provided buffers are available".into()),
        Err(why) => (Kind::Epoll, why),
    }
}

/// Runs until the app exits; its exit code. `make` is called once per thread. An explicit choice never falls back.
pub fn run<A: App + 'static>(
    kind: Kind,
    make: impl Fn(Shard) -> A,
    listeners: Vec<Bound>,
    config: &Config,
) -> Result<u8, Error> {
    let kind = if kind == Kind::Auto { choose().0 } else { kind };
    available(kind).map_err(Error::Unavailable)?;
    if kind == Kind::Sim {
        return Err(Error::Unavailable("a simulation needs the tool's counterparts: see drivers::sim::run".into()));
    }
    let threads = config.threads.max(1);
    let all = (0..threads).map(|_| mailbox()).collect::<Result<Vec<_>, _>>()?;
    let mut loops = vec![(make(Shard(0)), listeners)];
    for i in 1..threads {
        let again = |b: &Bound| b.again().map_err(|e| Error::Unavailable(e.to_string()));
        let copies = loops.first().into_iter().flat_map(|(_, first)| first).map(again);
        let copies = copies.collect::<Result<Vec<_>, _>>()?;
        loops.push((make(Shard(i)), copies));
    }
    let mut codes = Vec::new();
    std::thread::scope(|s| {
        let mut spawned = Vec::new();
        let mut first = None;
        for (i, (app, listeners)) in loops.into_iter().enumerate() {
            let place = Place { shard: Shard(i as u16), all: all.clone() };
            let run = move || run_one(kind, app, listeners, config, place);
            if i == 0 { first = Some(run) } else { spawned.push(s.spawn(run)) }
        }
        codes.extend(first.map(|run| run()));
        codes.extend(spawned.into_iter().map(|t| t.join().unwrap_or(Ok(1))));
    });
    codes.into_iter().try_fold(0, |worst: u8, code| Ok(worst.max(code?)))
}

fn run_one<A: App + 'static>(
    kind: Kind,
    app: A,
    listeners: Vec<Bound>,
    config: &Config,
    place: Place<A::Msg>,
) -> Result<u8, Error> {
    let at: Vec<_> = listeners.iter().map(|b| (b.part, b.at.clone())).collect();
    let host = |facts: Facts| Host::new(app, &at, config, facts, place);
    match kind {
        #[cfg(not(loom))]
        Kind::Async => tokio_loop::run(host(tokio_loop::facts())?, listeners),
        Kind::Blocking => blocking::run(host(blocking::facts())?, listeners),
        Kind::IoUring => {
            let ring = uring::open(config)?;
            uring::run(host(uring::facts(&ring))?, ring, listeners)
        }
        Kind::Select => select::run(host(select::facts())?, listeners),
        Kind::Poll => poll::run(host(poll::facts())?, listeners),
        Kind::Pool => epoll::run(host(Facts { name: "pool", ..epoll::facts() })?, listeners),
        _ => epoll::run(host(epoll::facts())?, listeners),
    }
}
