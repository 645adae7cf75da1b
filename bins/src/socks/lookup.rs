//! Names to addresses: the one place that knows who is asked, which is our own resolver.
use crate::names::Names;
use core::net::SocketAddr;
use proto_core::dns::{Family, Known};
use proto_core::{Cx, Deadline, Input, Slots, Token};
use std::collections::BTreeMap;

/// The first key of the questions about files.
const FILES: u64 = 1 << 40;

/// Lookups under way, each for one client.
#[derive(Debug)]
pub struct Lookups {
    part: u8,
    names: Names,
    next: u64,
    clients: BTreeMap<u64, Token>,
    by_client: Slots<u64>,
}

impl Lookups {
    /// Tokens and questions carry `part`; `servers` are asked instead of those of `resolv.conf`, if there are any.
    pub fn new(part: u8, servers: Vec<SocketAddr>) -> Self {
        let names = Names::new(part, FILES).with_servers(servers);
        Lookups { part, names, next: 0, clients: BTreeMap::new(), by_client: Slots::default() }
    }
    /// Looks up the addresses of `name`, once; [`Lookups::next_done`] tells, perhaps at once.
    ///
    /// The name is taken as it is, without a search list: what is looked up is what rules were checked on.
    pub fn start<J, M>(&mut self, client: Token, name: &str, cx: &mut Cx<'_, J, M>) {
        self.next += 1;
        self.clients.insert(self.next, client);
        self.by_client.insert(client, self.next);
        let absolute = format!("{}.", name.trim_end_matches('.'));
        self.names.lookup(self.next, &absolute, Family::Any, cx);
    }
    /// Takes an input; false if it is none of its own. Everybody may be told of `Input::Deadline`.
    pub fn handle<J, M>(&mut self, input: &Input<'_, M>, cx: &mut Cx<'_, J, M>) -> bool {
        let own = input.part() == Some(self.part);
        if own || matches!(input, Input::Deadline) {
            self.names.handle(input, cx);
        }
        own
    }
    /// The next client whose lookup is over.
    pub fn next_done(&mut self) -> Option<(Token, Known)> {
        loop {
            let (key, known) = self.names.next_done()?;
            if let Some(client) = self.clients.remove(&key) {
                self.by_client.remove(client);
                return Some((client, known));
            }
        }
    }
    /// The client does not wait any more. Its question goes on, for the next who asks.
    pub fn give_up(&mut self, client: Token) {
        if let Some(key) = self.by_client.remove(client) {
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
