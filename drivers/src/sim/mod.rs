//! Simulation: many apps in one process, virtual time, faults from one seed, no sockets.
//!
//! A [`Sim`] holds nodes (an app each, with a disk and the address 10.0.0.N) and a heap of events. A step takes the
//! earliest event or deadline, sets the time, and lets one node handle it; nothing else happens at that moment, so a
//! seed repeats a run exactly. [`check_seeds`] runs many seeds and says how to repeat the one that failed.
//!
//! Invariant: nothing here reads a clock, a socket or the operating system's randomness.
mod check;
mod disk;
mod files;
mod net;
mod node;
mod plan;
mod rng;
mod script;

pub use check::{check_seeds, seeds};
pub use plan::{Chance, Plan, Spread};
pub use script::{Filter, NodeConfig};

use crate::Error;
use disk::Disk;
use net::{Datagrams, End, Listening, Packet};
use node::{AnyNode, Node};
use proto_core::{Addr, App, Instant, OpId, Reason, Signal, Token};
use rng::{Rng, Trace};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// One machine of a simulation, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeId(pub usize);

/// What a run ended with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nothing will ever happen again.
    Idle,
    /// The time was up.
    Limit,
    /// What was waited for has come.
    Reached,
}

#[derive(Debug)]
enum Event {
    Syn {
        end: u64,
        tries: u8,
    },
    Established {
        end: u64,
    },
    Arrive {
        end: u64,
        packet: Packet,
        left: Instant,
        tries: u8,
    },
    Ack {
        end: u64,
        n: usize,
    },
    Rst {
        end: u64,
        why: Reason,
    },
    Datagram {
        node: NodeId,
        to: SocketAddr,
        from: SocketAddr,
        sender: (NodeId, Token),
        data: Vec<u8>,
    },
    /// Of one node, in one of its lives.
    Local(NodeId, u32, Local),
}

/// What happens within a node.
#[derive(Debug)]
enum Local {
    /// A socket that would have blocked may be tried again.
    Retry(Token),
    Unreachable(Token),
    Disk(OpId),
    Job(OpId),
    /// Empty: the end.
    Stdin(Vec<u8>),
    Signal(Signal),
    PowerCut,
    /// The time of day jumps.
    Jump(i64),
}

/// What a node is told.
#[derive(Debug)]
enum Notice {
    Connected(Token),
    Acceptable(Token),
    Readable(Token),
    /// The peer has read: there may be room to write.
    Room(Token),
    Closed(Token, Reason),
    Local(Local),
}

struct Timed(Instant, u64, Event);

impl PartialEq for Timed {
    fn eq(&self, o: &Timed) -> bool {
        self.cmp(o) == Ordering::Equal
    }
}
impl Eq for Timed {}
impl PartialOrd for Timed {
    fn partial_cmp(&self, o: &Timed) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Timed {
    fn cmp(&self, o: &Timed) -> Ordering {
        (o.0, o.1).cmp(&(self.0, self.1)) // the heap gives the greatest first, we want the earliest
    }
}

/// Everything outside the programs.
struct World {
    now: Instant,
    heap: BinaryHeap<Timed>,
    seq: u64,
    plan: Plan,
    /// Randomness of the network, of disks and jobs: apart, so that one more packet does not change the disk.
    net: Rng,
    io: Rng,
    window: usize,
    ends: BTreeMap<u64, End>,
    next_end: u64,
    port: u16,
    /// The firewall of each node.
    filters: Vec<Vec<(RangeInclusive<u16>, Filter)>>,
    listeners: Vec<Listening>,
    datagrams: Vec<Datagrams>,
    partitions: Vec<(NodeId, NodeId, Instant)>,
    names: Vec<String>,
    /// Which life each node is in, and whether it has power.
    up: Vec<(u32, bool)>,
    disks: Vec<Disk>,
    trace: Trace,
}

impl World {
    fn at(&mut self, at: Instant, event: Event) {
        self.seq += 1;
        self.heap.push(Timed(at.max(self.now), self.seq, event));
    }
    fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now.after(wait), event);
    }
    fn is_up(&self, node: NodeId) -> bool {
        self.up.get(node.0).is_some_and(|(_, up)| *up)
    }
    fn life(&self, node: NodeId) -> u32 {
        self.up.get(node.0).map_or(0, |(life, _)| *life)
    }
    /// Later, to the node itself, unless it loses power before.
    fn local(&mut self, wait: Duration, node: NodeId, what: Local) {
        let life = self.life(node);
        self.after(wait, Event::Local(node, life, what));
    }
    /// Nanoseconds since 1970, for files.
    fn wall_ns(&self) -> i64 {
        WALL_NS + self.now.as_nanos() as i64
    }
    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Reason> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![ip]);
        }
        if host == "localhost" {
            return Ok(vec![[0, 0, 0, 0, 0, 0, 0, 1].into(), [127, 0, 0, 1].into()]);
        }
        let found = self.names.iter().position(|n| n == host);
        found.map(|n| vec![net::ip_of(NodeId(n))]).ok_or(Reason::NotFound)
    }
    /// What an event means, and for whom.
    fn happen(&mut self, event: Event) -> Option<(NodeId, Notice)> {
        match event {
            Event::Syn { end, tries } => self.syn(end, tries),
            Event::Established { end } => {
                let e = self.ends.get(&end).filter(|e| !e.dead)?;
                Some((e.node, Notice::Connected(e.token?)))
            }
            Event::Arrive { end, packet, left, tries } => self.arrive(end, packet, left, tries),
            Event::Ack { end, n } => self.ack(end, n),
            Event::Rst { end, why } => self.rst(end, why),
            Event::Datagram { node, to, from, sender, data } => self.datagram(node, to, from, sender, data),
            Event::Local(node, life, what) => {
                (self.is_up(node) && self.life(node) == life).then_some((node, Notice::Local(what)))
            }
        }
    }
}

/// 2026-01-01 00:00 UTC: when every simulation begins.
const WALL_NS: i64 = 1_767_225_600_000_000_000;
/// Send buffer and receive window of a connection together.
const WINDOW: usize = 64 << 10;
/// A node whose deadline is in the past is called again this much later: a turn takes time.
const TURN: Duration = Duration::from_micros(1);

/// A simulation.
pub struct Sim {
    world: World,
    nodes: Vec<Box<dyn AnyNode>>,
    /// When each node wants to be called by itself.
    due: Vec<Option<Instant>>,
    steps: u64,
}

impl Sim {
    /// An empty world. `seed` decides about everything random (whatever seed the plan names).
    pub fn new(seed: u64, plan: Plan) -> Sim {
        let world = World {
            now: Instant::default(),
            heap: BinaryHeap::new(),
            seq: 0,
            plan,
            net: Rng::new(seed, 1),
            io: Rng::new(seed, 2),
            window: WINDOW,
            ends: BTreeMap::new(),
            next_end: 0,
            port: 32768,
            filters: Vec::new(),
            listeners: Vec::new(),
            datagrams: Vec::new(),
            partitions: Vec::new(),
            names: Vec::new(),
            up: Vec::new(),
            disks: Vec::new(),
            trace: Trace::default(),
        };
        Sim { world, nodes: Vec::new(), due: Vec::new(), steps: 0 }
    }
    /// Changes what a connection holds between two programs, in bytes per direction.
    pub fn set_window(&mut self, bytes: usize) {
        self.world.window = bytes.max(1);
    }
    /// Adds a machine named `name` that runs `app`, and starts it.
    pub fn add<A: App + 'static>(&mut self, name: &str, app: A, config: NodeConfig) -> Result<NodeId, Error> {
        let id = NodeId(self.nodes.len());
        self.world.names.push(name.into());
        self.world.up.push((0, true));
        self.world.disks.push(Disk::default());
        self.world.filters.push(config.filters.clone());
        for (path, data) in &config.files {
            let installed = self.world.disks.last_mut().map_or(Ok(()), |d| d.install(path, data));
            installed.map_err(|why| Error::Unavailable(format!("cannot install {path}: {why}")))?;
        }
        let node = Node::new(id, app, config, &mut self.world)?;
        self.nodes.push(Box::new(node));
        self.due.push(None);
        if let Some(ns) = self.world.plan.time {
            let wait = self.world.net.within(Duration::from_secs(10));
            self.world.local(wait, id, Local::Jump(ns));
        }
        self.with(id, |n, w| n.start(w));
        Ok(id)
    }
    /// Runs `f` on a node and asks when it wants to be called again.
    fn with(&mut self, id: NodeId, f: impl FnOnce(&mut dyn AnyNode, &mut World)) {
        let Sim { world, nodes, due, .. } = self;
        if let (Some(node), Some(due)) = (nodes.get_mut(id.0), due.get_mut(id.0)) {
            f(node.as_mut(), world);
            *due = node.due();
        }
    }
    fn next(&self) -> (Option<Instant>, Option<(Instant, NodeId)>) {
        let due = self.due.iter().enumerate().filter_map(|(n, at)| at.map(|at| (at, NodeId(n)))).min();
        (self.world.heap.peek().map(|t| t.0), due)
    }
    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Instant> {
        let (event, due) = self.next();
        [event, due.map(|(at, _)| at)].into_iter().flatten().min()
    }
    /// Does the next thing; false if there is none.
    pub fn step(&mut self) -> bool {
        let (event, due) = self.next();
        self.steps += 1;
        match (event, due) {
            (None, None) => return false,
            (event, Some((at, node))) if event.is_none_or(|e| at < e) => {
                self.world.now = self.world.now.max(at);
                self.with(node, |n, w| n.timers(w));
            }
            _ => {
                let Some(Timed(at, _, event)) = self.world.heap.pop() else { return false };
                self.world.now = at;
                match self.world.happen(event) {
                    Some((node, Notice::Local(Local::PowerCut))) => self.power_cut(node),
                    Some((node, notice)) => self.with(node, |n, w| n.notice(notice, w)),
                    None => {}
                }
            }
        }
        true
    }
    /// Runs until nothing is left to happen, or for `limit`.
    pub fn run(&mut self, limit: Duration) -> Ended {
        self.run_until(limit, |_| false)
    }
    /// Runs until `reached`, until nothing is left to happen, or for `limit`.
    pub fn run_until(&mut self, limit: Duration, reached: impl Fn(&Sim) -> bool) -> Ended {
        let end = self.world.now.after(limit);
        loop {
            if reached(self) {
                return Ended::Reached;
            }
            match self.next_at() {
                None => return Ended::Idle,
                Some(at) if at > end => {
                    self.world.now = end;
                    return Ended::Limit;
                }
                Some(_) => self.step(),
            };
        }
    }
    /// The time since the beginning.
    pub fn now(&self) -> Duration {
        self.world.now.since(Instant::default())
    }
    /// Events and deadlines so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }
    fn node(&self, id: NodeId) -> Option<&dyn AnyNode> {
        self.nodes.get(id.0).map(AsRef::as_ref)
    }
    /// What a node has written to standard output.
    pub fn stdout(&self, id: NodeId) -> &[u8] {
        self.node(id).map_or(&[], |n| n.output(0))
    }
    /// What a node has written to standard error.
    pub fn stderr(&self, id: NodeId) -> &[u8] {
        self.node(id).map_or(&[], |n| n.output(1))
    }
    /// The exit code, once a node has ended.
    pub fn exit(&self, id: NodeId) -> Option<u8> {
        self.node(id)?.exit()
    }
    /// Where a node is; listeners on it, on 0.0.0.0 or on `[::]` are reached there.
    pub fn ip(&self, id: NodeId) -> IpAddr {
        net::ip_of(id)
    }
    /// The address of a node's port.
    pub fn addr(&self, id: NodeId, port: u16) -> Addr {
        Addr::Ip(SocketAddr::new(net::ip_of(id), port))
    }
    /// The most bytes that were queued for one connection of a node.
    pub fn peak_queued(&self, id: NodeId) -> usize {
        self.node(id).map_or(0, |n| n.peak_queued())
    }
    /// Gives a node standard input, `after` from now. Nothing means its end.
    pub fn stdin(&mut self, id: NodeId, after: Duration, bytes: &[u8]) {
        self.world.local(after, id, Local::Stdin(bytes.to_vec()));
    }
    /// Ends a node's standard input, `after` from now.
    pub fn close_stdin(&mut self, id: NodeId, after: Duration) {
        self.stdin(id, after, &[]);
    }
    /// Sends a node a signal, `after` from now.
    pub fn signal(&mut self, id: NodeId, after: Duration, signal: Signal) {
        self.world.local(after, id, Local::Signal(signal));
    }
    /// Nothing passes between two nodes for a while; streams go on after it.
    pub fn partition(&mut self, a: NodeId, b: NodeId, span: Duration) {
        let end = self.world.now.after(span);
        self.world.partitions.push((a, b, end));
    }
    /// A node loses power: its program is gone, its peers hear nothing, its disk keeps what was durable and a part of
    /// what was pending.
    pub fn power_cut(&mut self, id: NodeId) {
        let w = &mut self.world;
        let Some(up) = w.up.get_mut(id.0).filter(|(_, up)| *up) else { return };
        up.1 = false;
        w.vanish(id);
        if let Some(disk) = w.disks.get_mut(id.0) {
            disk.power_cut(&mut w.io);
        }
        w.trace.add(format!("{} {id:?} power cut", w.now.as_nanos()));
        if let Some(due) = self.due.get_mut(id.0) {
            *due = None;
        }
    }
    /// A node has no power.
    pub fn is_down(&self, id: NodeId) -> bool {
        !self.world.is_up(id)
    }
    /// Gives a node power again, with a new program over what its disk has kept.
    pub fn restart<A: App + 'static>(&mut self, id: NodeId, app: A, config: NodeConfig) -> Result<(), Error> {
        if self.node(id).is_none() {
            return Err(Error::Unavailable(format!("there is no {id:?}")));
        }
        self.power_cut(id);
        if let Some(up) = self.world.up.get_mut(id.0) {
            *up = (up.0 + 1, true);
        }
        let node = Node::new(id, app, config, &mut self.world)?;
        if let Some(old) = self.nodes.get_mut(id.0) {
            *old = Box::new(node);
        }
        self.with(id, |n, w| n.start(w));
        Ok(())
    }
    /// Puts a durable file on a node's disk.
    pub fn install(&mut self, id: NodeId, path: &str, data: &[u8]) -> Result<(), Reason> {
        self.world.disks.get_mut(id.0).ok_or(Reason::NotFound)?.install(path, data)
    }
    /// A file of a node as its programs see it.
    pub fn file(&mut self, id: NodeId, path: &str) -> Result<Vec<u8>, Reason> {
        self.world.disks.get_mut(id.0).ok_or(Reason::NotFound)?.content(path)
    }
    /// A hash over every input and op of every node with its time: the same seed gives the same.
    pub fn trace_hash(&self) -> u64 {
        self.world.trace.hash()
    }
    /// The last inputs and ops, one per line.
    pub fn trace_tail(&self) -> String {
        self.world.trace.tail()
    }
    /// Whether every node has come to rest: every token closed except listeners and standard streams, every output
    /// empty, and never more queued than the limits allow. The text says what is left.
    pub fn check_quiescent(&self) -> Result<(), String> {
        for (node, name) in self.nodes.iter().zip(&self.world.names) {
            node.check_quiescent(&self.world).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }
    /// Ends the recordings of all nodes in order.
    ///
    /// The first error is returned, after all have ended.
    pub fn end_recordings(&mut self) -> Result<(), Error> {
        let all: Vec<_> = self.nodes.iter_mut().map(|n| n.end_recording()).collect();
        all.into_iter().collect()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        check::remember(&self.world.trace, self.world.now);
    }
}

/// Runs a tool against its counterparts: `build` adds them all and says which node is the tool. Its exit code, or an
/// error text if it has not ended after `limit` or can't go on.
pub fn run(plan: Plan, limit: Duration, build: impl FnOnce(&mut Sim) -> Result<NodeId, Error>) -> Result<u8, Error> {
    let mut sim = Sim::new(plan.seed.unwrap_or(1), plan);
    let tool = build(&mut sim)?;
    let ended = sim.run_until(limit, |s| s.exit(tool).is_some() || s.is_down(tool));
    sim.end_recordings()?;
    match (sim.exit(tool), ended) {
        (Some(code), _) => Ok(code),
        (None, Ended::Idle) => {
            Err(Error::Unavailable("the simulation stands still: nothing can happen any more".into()))
        }
        (None, Ended::Limit) => Err(Error::Unavailable(format!("the simulation was not over after {limit:?}"))),
        (None, Ended::Reached) => Err(Error::Unavailable("the simulated power failed".into())),
    }
}
