//! Names to addresses: the one place that knows who is asked.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proto_core::{Answer, Ask, Cx, Op, OpId, Reason, Slots, Token};
use std::collections::BTreeMap;

/// Lookups under way, each for one client.
#[derive(Debug)]
pub struct Lookups {
    part: u8,
    next: u64,
    clients: BTreeMap<u64, Token>,
    by_client: Slots<u64>,
}

impl Lookups {
    /// Questions carry `part`.
    pub fn new(part: u8) -> Self {
        Lookups { part, next: 0, clients: BTreeMap::new(), by_client: Slots::default() }
    }
    /// Asks once for the addresses of `name`. `Some`: nobody had to be asked.
    pub fn resolve<J, M>(&mut self, client: Token, name: &str, cx: &mut Cx<'_, J, M>) -> Option<Vec<IpAddr>> {
        let host = name.trim_end_matches('.');
        if host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost") {
            return Some(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]); // RFC 6761 6.3
        }
        self.next += 1;
        self.clients.insert(self.next, client);
        self.by_client.insert(client, self.next);
        cx.ask(OpId::new(self.part, self.next), Ask::Resolve { host: host.into() });
        None
    }
    /// The answer to a question, if its client still waits.
    pub fn answered(
        &mut self,
        id: OpId,
        answer: Result<Answer, Reason>,
    ) -> Option<(Token, Result<Vec<IpAddr>, Reason>)> {
        let client = self.clients.remove(&id.key())?;
        if self.by_client.get(client) != Some(&id.key()) {
            return None;
        }
        self.by_client.remove(client);
        match answer {
            Ok(Answer::Resolved(ips)) => Some((client, Ok(ips))),
            Ok(_) => Some((client, Err(Reason::NotFound))),
            Err(why) => Some((client, Err(why))),
        }
    }
    /// The client does not wait any more.
    pub fn give_up<J, M>(&mut self, client: Token, cx: &mut Cx<'_, J, M>) {
        if let Some(key) = self.by_client.remove(client) {
            cx.op(Op::Cancel(OpId::new(self.part, key)));
        }
    }
    /// How many questions are open, those that nobody waits for included.
    pub fn len(&self) -> usize {
        self.clients.len()
    }
}
