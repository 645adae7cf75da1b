//! One question, from the first try to the reply.
use super::{Act, Asked, Dropped, Failed, Policy, QueryId, Reply, Tcp, TryId, Via, is_final};
use crate::dns::{Domain, Edns, Message, Rcode, Writer};
use crate::{Fault, Instant, Reason};
use alloc::collections::VecDeque;
use alloc::{sync::Arc, vec, vec::Vec};
use core::net::SocketAddr;
use core::time::Duration;
use rand_core::RngCore;

/// An attempt.
#[derive(Debug)]
struct Try {
    server: usize,
    id: u16,
    name: Domain,
    via: Via,
    edns: bool,
    open: bool,
}

/// See the file's head.
#[derive(Debug)]
pub struct Query {
    me: QueryId,
    asked: Asked,
    policy: Arc<Policy>,
    tries: Vec<Try>,
    pub started: Instant,
    /// When the present attempt has waited long enough.
    pub due: Instant,
    /// Which server of which round is next, counted through.
    next: usize,
    /// Servers that have said all they will.
    spent: Vec<bool>,
    dropped: Dropped,
    without_edns: bool,
    only_tcp: bool,
    /// What will be said if nothing better comes.
    last: Option<Result<Reply, Failed>>,
}

type Over = Option<Result<Reply, Failed>>;

impl Query {
    pub fn new(me: QueryId, asked: Asked, policy: Arc<Policy>, now: Instant) -> Self {
        let (spent, only_tcp) = (vec![false; policy.servers.len()], policy.tcp == Tcp::Always);
        Query {
            me,
            asked,
            policy,
            tries: Vec::new(),
            started: now,
            due: now,
            next: 0,
            spent,
            dropped: Dropped::default(),
            without_edns: false,
            only_tcp,
            last: None,
        }
    }
    fn server(&self, i: usize) -> Option<SocketAddr> {
        self.policy.servers.get(i).copied()
    }
    fn round(&self) -> u32 {
        (self.next / self.policy.servers.len().max(1)) as u32
    }
    /// Asks the next server, if there is one.
    pub fn advance(&mut self, now: Instant, rng: &mut impl RngCore, acts: &mut VecDeque<Act>) -> Over {
        let n = self.policy.servers.len();
        let late = now >= self.started.after(self.policy.total);
        if n == 0 {
            return Some(Err(Failed::NoServer));
        }
        while self.next < n * usize::from(self.policy.tries) && !late {
            let server = self.next % n;
            if self.spent.get(server) == Some(&false) {
                let over = self.send(server, now, rng, acts);
                self.next += 1;
                return over;
            }
            self.next += 1;
        }
        Some(self.last.take().unwrap_or_else(|| Err(self.no_reply())))
    }
    fn no_reply(&self) -> Failed {
        let server = self.tries.last().and_then(|t| self.server(t.server));
        let sent = self.tries.len() as u8;
        server.map_or(Failed::NoServer, |server| Failed::NoReply { server, sent, dropped: self.dropped })
    }
    /// The server has no more to say in this question.
    fn give_up(&mut self, i: usize, now: Instant, rng: &mut impl RngCore, acts: &mut VecDeque<Act>) -> Over {
        if let Some(spent) = self.spent.get_mut(i) {
            *spent = true;
        }
        self.advance(now, rng, acts)
    }
    fn send(&mut self, server: usize, now: Instant, rng: &mut impl RngCore, acts: &mut VecDeque<Act>) -> Over {
        let (Some(to), true) = (self.server(server), self.tries.len() < usize::from(self.policy.sends)) else {
            return Some(self.last.take().unwrap_or_else(|| Err(self.no_reply())));
        };
        let random = rng.next_u64();
        let mixes = self.policy.mixed_case && (self.round() == 0 || self.round() + 1 < u32::from(self.policy.tries));
        let name = if mixes { mixed(&self.asked.name, rng) } else { self.asked.name.clone() };
        let via = if self.only_tcp { Via::Tcp } else { Via::Udp };
        let edns = self.policy.edns.is_some() && !self.without_edns;
        let id = if self.policy.zero_ids { 0 } else { random as u16 };
        let attempt = Try { server, id, name, via, edns, open: true };
        let message = self.message(&attempt);
        let id = TryId { query: self.me, n: self.tries.len() as u8 };
        acts.push_back(match via {
            Via::Udp => Act::Udp { id, server: to, message },
            Via::Tcp => Act::Tcp { id, server: to, message },
        });
        self.tries.push(attempt);
        self.due = now.after(self.wait((random >> 32) as u32)).min(self.started.after(self.policy.total));
        None
    }
    fn wait(&self, random: u32) -> Duration {
        let doubled = if self.policy.doubles { self.round().min(16) } else { 0 };
        let wait = self.policy.timeout.saturating_mul(1 << doubled);
        let part = if self.policy.jitter { random >> 3 } else { 0 };
        wait.saturating_add(Duration::from_nanos((wait.as_nanos() as u64 >> 16).saturating_mul(u64::from(part >> 16))))
    }
    fn message(&self, attempt: &Try) -> Vec<u8> {
        let mut w = Writer::new(attempt.id, self.policy.flags);
        // A name of 255 bytes fits any message, and options are as long as their owner made them.
        let _ = w.question(&attempt.name, self.asked.kind, self.asked.class.0);
        if let Some((size, dnssec, options)) = self.policy.edns.as_ref().filter(|_| attempt.edns) {
            let _ = w.edns(&Edns { dnssec: *dnssec, options, ..Edns::new(*size) });
        }
        w.finish()
    }
    /// Closes all sockets.
    pub fn close(&self, acts: &mut VecDeque<Act>) {
        let open = self.tries.iter().zip(0..).filter(|(t, _)| t.open);
        acts.extend(open.map(|(_, n)| Act::Drop(TryId { query: self.me, n })));
    }

    /// A message to the socket of try `n`: a datagram if there is a `from`.
    pub fn on_message(
        &mut self,
        n: u8,
        from: Option<SocketAddr>,
        data: &[u8],
        now: Instant,
        rng: &mut impl RngCore,
        acts: &mut VecDeque<Act>,
    ) -> Over {
        let attempt = self.tries.get(usize::from(n)).filter(|t| t.open)?;
        let server = self.server(attempt.server)?;
        let (i, via, edns) = (attempt.server, attempt.via, attempt.edns);
        let message = match matches(&self.asked, attempt, server, from, data) {
            Ok(message) => message,
            Err(why) => {
                why(&mut self.dropped);
                return self.mistaken(i, via, now, rng, acts);
            }
        };
        let header = message.header();
        if header.flags.is_truncated() && via == Via::Udp && self.policy.tcp != Tcp::Never {
            return self.over_tcp(i, now, rng, acts);
        }
        let len = match message.check() {
            Ok(len) => len,
            Err(fault) => {
                self.last = Some(Err(Failed::Malformed { server, fault, bytes: data.to_vec() }));
                return self.give_up(i, now, rng, acts);
            }
        };
        let rcode = message.rcode();
        let knows_no_edns = matches!(rcode, Rcode::FORMAT_ERROR | Rcode::NOT_IMPLEMENTED | Rcode::BAD_VERSION);
        if edns && knows_no_edns && !self.without_edns {
            self.without_edns = true;
            return self.send(i, now, rng, acts);
        }
        let reply = Reply {
            bytes: data.to_vec(),
            len,
            rcode,
            server,
            via,
            sent: self.tries.len() as u8,
            dropped: self.dropped,
            without_edns: !edns && self.without_edns,
            took: now.since(self.started),
        };
        if is_final(rcode) {
            return Some(Ok(reply));
        }
        self.last = Some(Ok(reply));
        self.give_up(i, now, rng, acts)
    }
    /// Somebody guesses, or something is broken: the wait goes on, but not for ever.
    fn mistaken(&mut self, i: usize, via: Via, now: Instant, rng: &mut impl RngCore, acts: &mut VecDeque<Act>) -> Over {
        let few = self.dropped.total() < self.policy.mistakes;
        if few || via == Via::Tcp || self.only_tcp || self.policy.tcp == Tcp::Never {
            return None;
        }
        self.only_tcp = true;
        self.over_tcp(i, now, rng, acts)
    }
    /// The same question to the same server over TCP. What still comes over UDP is of no interest.
    fn over_tcp(&mut self, i: usize, now: Instant, rng: &mut impl RngCore, acts: &mut VecDeque<Act>) -> Over {
        self.close(acts);
        self.tries.iter_mut().for_each(|t| t.open = false);
        let before = core::mem::replace(&mut self.only_tcp, true);
        let over = self.send(i, now, rng, acts);
        self.only_tcp = before;
        over
    }
    pub fn on_fault(
        &mut self,
        n: u8,
        fault: Fault,
        now: Instant,
        rng: &mut impl RngCore,
        acts: &mut VecDeque<Act>,
    ) -> Over {
        let i = self.end_try(n, acts)?;
        let server = self.server(i)?;
        self.last = Some(Err(Failed::Malformed { server, fault, bytes: Vec::new() }));
        self.give_up(i, now, rng, acts)
    }
    pub fn on_closed(
        &mut self,
        n: u8,
        why: Reason,
        now: Instant,
        rng: &mut impl RngCore,
        acts: &mut VecDeque<Act>,
    ) -> Over {
        let i = self.end_try(n, acts)?;
        let server = self.server(i)?;
        if !matches!(self.last, Some(Ok(_))) {
            self.last = Some(Err(Failed::Unreachable { server, why }));
        }
        self.give_up(i, now, rng, acts)
    }
    /// Closes the socket of a try; answers whom it asked.
    fn end_try(&mut self, n: u8, acts: &mut VecDeque<Act>) -> Option<usize> {
        let attempt = self.tries.get_mut(usize::from(n)).filter(|t| t.open)?;
        attempt.open = false;
        acts.push_back(Act::Drop(TryId { query: self.me, n }));
        Some(attempt.server)
    }
}

/// The letters of a name in upper or lower case at random.
fn mixed(name: &Domain, rng: &mut impl RngCore) -> Domain {
    let (mut bits, mut left) = (0u64, 0);
    name.with_case(|| {
        if left == 0 {
            (bits, left) = (rng.next_u64(), 64);
        }
        left -= 1;
        bits & 1 << left != 0
    })
}

/// Whether `data` is the reply to `attempt`; else, where the mistake is counted.
fn matches<'m>(
    asked: &Asked,
    attempt: &Try,
    server: SocketAddr,
    from: Option<SocketAddr>,
    data: &'m [u8],
) -> Result<Message<'m>, fn(&mut Dropped)> {
    if from.is_some_and(|from| from != server) || from.is_none() != (attempt.via == Via::Tcp) {
        return Err(|d| d.source = d.source.saturating_add(1));
    }
    let Ok(message) = Message::parse(data) else { return Err(|d| d.malformed = d.malformed.saturating_add(1)) };
    let header = message.header();
    if header.id != attempt.id {
        return Err(|d| d.id = d.id.saturating_add(1));
    }
    if !header.flags.is_response() || header.flags.opcode().0 != 0 {
        return Err(|d| d.kind = d.kind.saturating_add(1));
    }
    // Servers that cannot read the question do not repeat it. This is never taken for an answer.
    let bare = header.counts == [0; 4] && matches!(header.flags.rcode(), Rcode::FORMAT_ERROR | Rcode::NOT_IMPLEMENTED);
    let same = |q: &crate::dns::Question<'_>| {
        // The name as it was sent: in the case that was drawn for it, or in any if none was.
        let named = if attempt.name.wire() == asked.name.wire() {
            q.name.is(&asked.name.name())
        } else {
            q.name.is_exactly(&attempt.name.name())
        };
        named && q.kind == asked.kind && q.class == asked.class
    };
    match message.question() {
        Ok(Some(q)) if header.counts[0] == 1 && same(&q) => Ok(message),
        Ok(None) if bare => Ok(message),
        _ => Err(|d| d.question = d.question.saturating_add(1)),
    }
}
