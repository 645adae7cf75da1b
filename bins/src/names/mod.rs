//! A part that looks up names: our own resolver over datagrams, with `/etc/resolv.conf` and `/etc/hosts`.
//!
//! ```text
//! names.lookup(key, "www.example", Family::Any, cx);
//! // in handle:
//! names.handle(&input, cx);
//! while let Some((key, addresses)) = names.next_done() { .. }
//! ```
//! Many lookups may be under way at once, each with a key of its owner's. The files are read once, when the first name comes
//! that needs them.
mod streams;
mod wire;

pub use streams::{Carrier, Secured, Web};
pub use wire::{Ports, Wire};

use crate::slurp::Slurp;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use proto_core::dns::{Config, Family, Hosts, Known, ResolvConf, Resolver, Unresolved};
use proto_core::{Bytes, Cx, Deadline, Input, OpId};
use std::collections::VecDeque;

/// The file that names the servers, and how much of it is read.
pub const RESOLV_CONF: (&str, u32) = ("/etc/resolv.conf", 64 << 10);
/// The file that names hosts, and how much of it is read.
pub const HOSTS: (&str, u32) = ("/etc/hosts", 4 << 20);

/// How far it is.
#[derive(Debug)]
enum State {
    /// No name has needed a file yet.
    Idle,
    /// The files are being read.
    Reading { files: [Slurp; 2], texts: [Option<Bytes>; 2] },
    /// It looks up names.
    Ready(Box<Resolver>),
}

/// See the module.
#[derive(Debug)]
pub struct Names {
    part: u8,
    base: u64,
    state: State,
    waiting: Vec<(u64, String, Family)>,
    done: VecDeque<(u64, Known)>,
    wire: Wire,
    servers: Vec<SocketAddr>,
}

impl Names {
    /// Its tokens and questions carry `part`; its questions' keys are the six from `base`.
    pub fn new(part: u8, base: u64) -> Self {
        let wire = Wire::new(part, Ports::Fresh);
        let (waiting, done, servers) = (Vec::new(), VecDeque::new(), Vec::new());
        Names { part, base, state: State::Idle, waiting, done, wire, servers }
    }
    /// Asks `servers`, if there are any, instead of those that the file names.
    pub fn with_servers(self, servers: Vec<SocketAddr>) -> Self {
        Names { servers, ..self }
    }
    /// Questions under way, those that nobody waits for included, and names that wait for the files.
    pub fn questions(&self) -> usize {
        let asked = if let State::Ready(resolver) = &self.state { resolver.stub.len() } else { 0 };
        asked + self.waiting.len()
    }
    /// Looks up the addresses of `host`; the answer has `key`.
    pub fn lookup<J, M>(&mut self, key: u64, host: &str, family: Family, cx: &mut Cx<'_, J, M>) {
        if let Some(known) = plain(host, family) {
            return self.done.push_back((key, known));
        }
        match &mut self.state {
            State::Ready(resolver) => resolver.lookup(key, host, family, cx.now, cx.rng()),
            State::Reading { .. } => return self.waiting.push((key, host.into(), family)),
            State::Idle => {
                self.waiting.push((key, host.into(), family));
                let files = [(RESOLV_CONF, self.base), (HOSTS, self.base + 3)];
                let files = files.map(|(what, base)| Slurp::start(self.part, base, what, cx));
                self.state = State::Reading { files, texts: [None, None] };
                return;
            }
        }
        self.settle(cx);
    }
    /// Forgets a lookup; it is not answered.
    pub fn cancel(&mut self, key: u64) {
        self.waiting.retain(|(k, ..)| *k != key);
        self.done.retain(|(k, _)| *k != key);
        if let State::Ready(resolver) = &mut self.state {
            resolver.cancel(key);
        }
    }
    /// Takes an input; false if it is none of its own. Every part may be told of `Input::Deadline`.
    pub fn handle<J, M>(&mut self, input: &Input<'_, M>, cx: &mut Cx<'_, J, M>) -> bool {
        let own = match &mut self.state {
            State::Idle => false,
            State::Reading { files, texts } => {
                for (file, text) in files.iter_mut().zip(texts.iter_mut()) {
                    if let Some(read) = file.handle(input, cx) {
                        *text = Some(read.unwrap_or_default()); // a file that is not there is an empty one
                    }
                }
                if let [Some(conf), Some(hosts)] = texts {
                    let mut conf = ResolvConf::parse(conf);
                    if !self.servers.is_empty() {
                        conf.servers.clone_from(&self.servers);
                    }
                    let config = Config { conf, hosts: Hosts::parse(hosts) };
                    let mut resolver = Box::new(Resolver::new(config));
                    for (key, host, family) in self.waiting.drain(..) {
                        resolver.lookup(key, &host, family, cx.now, cx.rng());
                    }
                    self.state = State::Ready(resolver);
                }
                matches!(input, Input::Answer(id, _) if self.is_own(*id))
            }
            State::Ready(resolver) => self.wire.handle(&mut resolver.stub, input, cx),
        };
        if own || matches!(input, Input::Deadline) {
            self.settle(cx);
        }
        own || matches!(input, Input::Answer(id, _) if self.is_own(*id))
    }
    fn is_own(&self, id: OpId) -> bool {
        id.part() == self.part && (self.base..self.base + 6).contains(&id.key())
    }
    /// Takes what has come, asks what is to be asked.
    fn settle<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        let State::Ready(resolver) = &mut self.state else { return };
        resolver.turn(cx.now, cx.rng());
        self.wire.act(&mut resolver.stub, cx);
        while let Some(done) = resolver.next_done() {
            self.done.push_back(done);
        }
    }
    /// The next lookup that is over.
    pub fn next_done(&mut self) -> Option<(u64, Known)> {
        self.done.pop_front()
    }
    /// When it wants an `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        if let State::Ready(resolver) = &self.state { resolver.deadline() } else { None }
    }
    /// Closes its sockets and forgets its lookups; what is known stays.
    pub fn rest<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.waiting.clear();
        self.done.clear();
        if let State::Ready(resolver) = &mut self.state {
            resolver.rest();
            while resolver.stub.next_act().is_some() {}
        }
        self.wire.close(cx);
    }
}

/// What needs neither files nor servers: literals, and `localhost` (RFC 6761 6.3).
fn plain(host: &str, family: Family) -> Option<Known> {
    let local: [IpAddr; 2] = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    let all = match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) if host.eq_ignore_ascii_case("localhost") => local.to_vec(),
        Err(_) => return None,
    };
    let wanted: Vec<IpAddr> = all.into_iter().filter(|ip| family.has(ip)).collect();
    Some(if wanted.is_empty() { Err(Unresolved::NoAddress) } else { Ok(wanted) })
}
