//! A stub resolver's dealings with servers: which server is asked when, and which datagram is the reply.
//!
//! ```text
//!  ask ─> try 1 ──timeout──> try 2 (new id, new port, next server) ... ──> NoReply
//!           │ the reply? else it is dropped and counted, and the wait goes on
//!           ├─ cut (TC) ──────────> the same over TCP
//!           ├─ FORMERR to EDNS ───> the same without EDNS, once
//!           ├─ SERVFAIL, REFUSED ─> next server
//!           └─ answer, NXDOMAIN ──> Reply
//! ```
//! It opens no sockets: whoever runs it carries out each [`Act`] and tells it what came. A try's socket stays open until the
//! question is over, so a late reply still counts.
//!
//! A datagram is the reply if it comes from the server asked, to the port that asked, has the id, is a response to a query,
//! and repeats the question; under [`Policy::mixed_case`] with the same letters in upper case. Somebody who guesses makes
//! mistakes: after [`Policy::mistakes`] of them the question goes over TCP, where guessing does not help.
mod query;

use super::{Class, Domain, Flags, Rcode, Type};
use crate::{Deadline, Fault, Instant, Reason, Timers};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::net::SocketAddr;
use core::time::Duration;
use query::Query;
use rand_core::RngCore;

/// One question under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct QueryId(pub u64);

/// One attempt at it, with a socket of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TryId {
    /// Of which question.
    pub query: QueryId,
    /// Which attempt, from 0.
    pub n: u8,
}

/// What to ask.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Asked {
    /// About which name.
    pub name: Domain,
    /// What about it.
    pub kind: Type,
    /// In which class.
    pub class: Class,
}

impl Asked {
    /// In class IN.
    pub fn new(name: Domain, kind: Type) -> Self {
        Asked { name, kind, class: Class::IN }
    }
}

/// What carries a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// A datagram.
    Udp,
    /// A connection of its own.
    Tcp,
}

/// When TCP is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tcp {
    /// When a reply was cut, or somebody guesses.
    #[default]
    WhenCut,
    /// From the start.
    Always,
    /// Not at all: a reply that was cut is the reply.
    Never,
}

/// Who is asked, how often, and how.
#[derive(Clone, Debug)]
pub struct Policy {
    /// In the order of preference.
    pub servers: Vec<SocketAddr>,
    /// Rounds over all servers.
    pub tries: u8,
    /// How long the first round waits for each server.
    pub timeout: Duration,
    /// Each round waits twice as long as the one before.
    pub doubles: bool,
    /// Waits are longer by a random part, up to an eighth.
    pub jitter: bool,
    /// For all of it.
    pub total: Duration,
    /// Messages sent in all; a question must not become a flood (NXNS, TsuNAME).
    pub sends: u8,
    /// Datagrams that are not the reply, after which TCP is used; `u32::MAX` for never.
    pub mistakes: u32,
    /// Ids are 0 instead of random, for what carries messages in a way that tells them apart: an HTTP cache knows a question
    /// again then (RFC 8484 section 4.1).
    pub zero_ids: bool,
    /// Letters of the name are in upper or lower case at random, and the reply must have them so. Not in the last of several
    /// rounds, as there are servers that lose the case.
    pub mixed_case: bool,
    /// When TCP is used.
    pub tcp: Tcp,
    /// Flags of the question.
    pub flags: Flags,
    /// EDNS, if it is used: size of datagrams, DO, options in wire form.
    pub edns: Option<(u16, bool, Vec<u8>)>,
}

impl Default for Policy {
    /// What programs need that look up names: tries of 1, 2 and 4 s.
    fn default() -> Self {
        Policy {
            servers: Vec::new(),
            tries: 3,
            timeout: Duration::from_secs(1),
            doubles: true,
            jitter: true,
            total: Duration::from_secs(8),
            sends: 12,
            mistakes: 16,
            zero_ids: false,
            mixed_case: true,
            tcp: Tcp::WhenCut,
            flags: Flags::QUERY.with_recursion(),
            edns: Some((1232, false, Vec::new())),
        }
    }
}

/// What is to be done. Nothing is told about a try after its [`Act::Drop`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Send this from a new socket, of a port that nobody can know, connected to the server.
    Udp {
        /// For which attempt.
        id: TryId,
        /// To whom.
        server: SocketAddr,
        /// What.
        message: Vec<u8>,
    },
    /// Send this over a new connection.
    Tcp {
        /// For which attempt.
        id: TryId,
        /// To whom.
        server: SocketAddr,
        /// What, without its length.
        message: Vec<u8>,
    },
    /// Close the socket of this attempt.
    Drop(TryId),
}

/// Datagrams that were not the reply, by what was wrong with them first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// From another address.
    pub source: u32,
    /// With another id.
    pub id: u32,
    /// No response, or to another kind of question.
    pub kind: u32,
    /// About something else, or with another case of letters.
    pub question: u32,
    /// No message at all.
    pub malformed: u32,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u32 {
        let parts = [self.source, self.id, self.kind, self.question, self.malformed];
        parts.into_iter().fold(0, u32::saturating_add)
    }
}

/// The reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The whole message, which [`super::Message::check`] has found in order.
    pub bytes: Vec<u8>,
    /// How many of these bytes are the message; what follows is garbage.
    pub len: usize,
    /// Its code, with the upper bits from EDNS.
    pub rcode: Rcode,
    /// Who sent it.
    pub server: SocketAddr,
    /// How it came.
    pub via: Via,
    /// Messages sent until then.
    pub sent: u8,
    /// What was dropped until then.
    pub dropped: Dropped,
    /// The server did not understand EDNS and was asked again without.
    pub without_edns: bool,
    /// Since the question was asked.
    pub took: Duration,
}

/// Why there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failed {
    /// Nobody answered.
    NoReply {
        /// Who was asked last.
        server: SocketAddr,
        /// Messages sent.
        sent: u8,
        /// What was dropped.
        dropped: Dropped,
    },
    /// All servers are out of reach.
    Unreachable {
        /// The last of them.
        server: SocketAddr,
        /// What the network said.
        why: Reason,
    },
    /// The reply, or the stream it came on, broke a rule.
    Malformed {
        /// Who sent it.
        server: SocketAddr,
        /// What is wrong.
        fault: Fault,
        /// The message, empty if none came.
        bytes: Vec<u8>,
    },
    /// There is no server to ask.
    NoServer,
}

/// All questions under way.
#[derive(Debug, Default)]
pub struct Stub {
    queries: BTreeMap<QueryId, Box<Query>>,
    next: u64,
    acts: VecDeque<Act>,
    done: VecDeque<(QueryId, Result<Reply, Failed>)>,
    timers: Timers<QueryId>,
}

impl Stub {
    /// Asks.
    pub fn ask(&mut self, asked: Asked, policy: &Arc<Policy>, now: Instant, rng: &mut impl RngCore) -> QueryId {
        let id = QueryId(self.next);
        self.next += 1;
        self.queries.insert(id, Box::new(Query::new(id, asked, policy.clone(), now)));
        self.step(id, |q, acts| q.advance(now, rng, acts));
        id
    }
    /// Forgets a question.
    pub fn cancel(&mut self, id: QueryId) {
        self.timers.disarm(id);
        if let Some(query) = self.queries.remove(&id) {
            query.close(&mut self.acts);
        }
    }
    /// Questions under way.
    pub fn len(&self) -> usize {
        self.queries.len()
    }
    /// There is no question under way.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }
    /// A datagram came to the socket of an attempt.
    pub fn on_datagram(&mut self, id: TryId, from: SocketAddr, data: &[u8], now: Instant, rng: &mut impl RngCore) {
        self.step(id.query, |q, acts| q.on_message(id.n, Some(from), data, now, rng, acts));
    }
    /// A message came over the connection of an attempt.
    pub fn on_stream_message(&mut self, id: TryId, data: &[u8], now: Instant, rng: &mut impl RngCore) {
        self.step(id.query, |q, acts| q.on_message(id.n, None, data, now, rng, acts));
    }
    /// The connection of an attempt broke the rules of framing.
    pub fn on_stream_fault(&mut self, id: TryId, fault: Fault, now: Instant, rng: &mut impl RngCore) {
        self.step(id.query, |q, acts| q.on_fault(id.n, fault, now, rng, acts));
    }
    /// The socket of an attempt is of no use: the server is out of reach, or the connection ended without a reply.
    pub fn on_closed(&mut self, id: TryId, why: Reason, now: Instant, rng: &mut impl RngCore) {
        self.step(id.query, |q, acts| q.on_closed(id.n, why, now, rng, acts));
    }
    /// Time has passed.
    pub fn on_deadline(&mut self, now: Instant, rng: &mut impl RngCore) {
        while let Some(id) = self.timers.pop(now) {
            match self.queries.get(&id).map(|q| q.due) {
                Some(due) if due <= now => self.step(id, |q, acts| q.advance(now, rng, acts)),
                Some(due) => self.timers.arm(id, due),
                None => {}
            }
        }
    }
    /// When [`Stub::on_deadline`] wants to be called.
    pub fn deadline(&self) -> Option<Deadline> {
        let (at, id) = self.timers.next()?;
        let since = self.queries.get(&id).map_or(at, |q| q.started);
        Some(Deadline { at, since, why: "reply of a name server" })
    }
    /// What is to be done next.
    #[must_use]
    pub fn next_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }
    /// The next question that is over.
    #[must_use]
    pub fn next_done(&mut self) -> Option<(QueryId, Result<Reply, Failed>)> {
        self.done.pop_front()
    }
    fn step(&mut self, id: QueryId, f: impl FnOnce(&mut Query, &mut VecDeque<Act>) -> Option<Result<Reply, Failed>>) {
        let Some(query) = self.queries.get_mut(&id) else { return };
        match f(query, &mut self.acts) {
            None => self.timers.arm(id, query.due),
            Some(result) => {
                self.cancel(id);
                self.done.push_back((id, result));
            }
        }
    }
}

/// What a server's code means for the question.
fn is_final(rcode: Rcode) -> bool {
    matches!(rcode, Rcode::NO_ERROR | Rcode::NAME_ERROR)
}
