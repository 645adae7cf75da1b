//! Names to addresses: the one place that knows who is asked, which is our own resolver.
use crate::names::Names;
use core::net::SocketAddr;
use proto_core::dns::{Family, Known};
use proto_core::{Cx, Deadline, Input, Token};
use std::collections::{BTreeMap, BTreeSet};

/// The first key of the questions about files.
const FILES: u64 = 1 << 40;

/// Lookups under way, each for one client.
#[derive(Debug)]
pub struct Lookups {
    part: u8,
    names: Names,
    next: u64,
    clients: BTreeMap<u64, Token>,
    by_client: BTreeSet<(Token, u64)>,
}

impl Lookups {
    /// Tokens and questions carry `part`; `servers` are asked instead of those of `resolv.conf`, if there are any.
    pub fn new(part: u8, servers: Vec<SocketAddr>) -> Self {
        let names = Names::new(part, FILES).with_servers(servers);
        Lookups { part, names, next: 0, clients: BTreeMap::new(), by_client: BTreeSet::new() }
    }
    /// Looks up the addresses of `name`, once; [`Lookups::next_done`] tells, perhaps at once, with the key given back.
    ///
    /// The name is taken as it is, without a search list: what is looked up is what rules were checked on.
    pub fn start<J, M>(&mut self, client: Token, name: &str, cx: &mut Cx<'_, J, M>) -> u64 {
        self.next += 1;
        self.clients.insert(self.next, client);
        self.by_client.insert((client, self.next));
        let absolute = format!("{}.", name.trim_end_matches('.'));
        self.names.lookup(self.next, &absolute, Family::Any, cx);
        self.next
    }
    /// Takes an input; false if it is none of its own. Everybody may be told of `Input::Deadline`.
    pub fn handle<J, M>(&mut self, input: &Input<'_, M>, cx: &mut Cx<'_, J, M>) -> bool {
        let own = input.part() == Some(self.part);
        if own || matches!(input, Input::Deadline) {
            self.names.handle(input, cx);
        }
        own
    }
    /// The next lookup that is over: whose, and its key.
    pub fn next_done(&mut self) -> Option<(Token, u64, Known)> {
        loop {
            let (key, known) = self.names.next_done()?;
            if let Some(client) = self.clients.remove(&key) {
                self.by_client.remove(&(client, key));
                return Some((client, key, known));
            }
        }
    }
    /// The client does not wait any more. Its questions go on, for the next who asks.
    pub fn give_up(&mut self, client: Token) {
        let keys: Vec<u64> = self.by_client.range((client, 0)..=(client, u64::MAX)).map(|(_, key)| *key).collect();
        for key in keys {
            self.by_client.remove(&(client, key));
            self.clients.remove(&key);
            self.names.cancel(key);
        }
    }
    /// How many names are being looked up, those that nobody waits for included: of each, two questions are asked.
    pub fn len(&self) -> usize {
        self.clients.len().max(self.names.questions().div_ceil(2))
    }
    /// When it wants an `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        self.names.deadline()
    }
}
