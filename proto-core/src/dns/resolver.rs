//! Addresses of names: hosts, the search list, A and AAAA together, CNAME chains, what is known already.
//!
//! ```text
//!  lookup ─> literal, localhost, hosts ───────────────────────────────> addresses
//!     └─> candidate 1 of the search list ─┬─ AAAA ─┐ one has come: 50 ms for the other
//!                                         └─ A ────┴─> addresses, or the next candidate
//! ```
//! Records are taken from the answer section only, and only those that the chain from the name asked leads to: what else a
//! server says is not believed. Questions that are under way are shared, so that nobody gets more guesses by asking often.
use super::{
    Asked, Cache, Domain, Dropped, Failed, Hosts, Known, Message, Policy, QueryId, Rcode, ResolvConf, Section, Stub,
    Tcp, Type,
};
use super::{BadName, PORT};
use crate::{Deadline, Fault, Instant, Reason};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::{sync::Arc, vec, vec::Vec};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use rand_core::RngCore;

/// CNAMEs that one name may lead through.
pub const CHAIN_MAX: usize = 16;
/// Records of a reply that are looked at.
const RECORDS_MAX: usize = 256;
/// Addresses of one name.
const ADDRESSES_MAX: usize = 64;
/// Lookups under way at once.
const LOOKUPS_MAX: usize = 4096;
/// How long addresses of one family wait for the other's (RFC 8305 3).
const GRACE: Duration = Duration::from_millis(50);

/// Which addresses are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Family {
    /// Both.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// The address is of this family.
    pub fn has(self, ip: &IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        }
    }
    fn kinds(self) -> &'static [Type] {
        match self {
            Family::Any => &[Type::AAAA, Type::A],
            Family::V4 => &[Type::A],
            Family::V6 => &[Type::AAAA],
        }
    }
}

/// Why a name has no addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unresolved {
    /// There is no such name.
    NoSuchName,
    /// The name has no addresses of the kind that is wanted.
    NoAddress,
    /// No server answered.
    NoAnswer,
    /// The servers cannot be reached.
    Unreachable(Reason),
    /// The servers answered "no" with this code.
    Refused(Rcode),
    /// The answer broke a rule.
    Malformed(Fault),
    /// The chain of CNAMEs is too long, or a circle.
    Chain,
    /// It is no name.
    BadName(BadName),
    /// Too many lookups are under way.
    Busy,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unresolved::NoSuchName => f.write_str("NXDOMAIN"),
            Unresolved::NoAddress => f.write_str("no address of that family"),
            Unresolved::NoAnswer => f.write_str("no name server answers"),
            Unresolved::Unreachable(why) => write!(f, "no name server can be reached ({why})"),
            Unresolved::Refused(code) => write!(f, "the name servers answer {code}"),
            Unresolved::Malformed(fault) => write!(f, "malformed reply: {}", fault.what),
            Unresolved::Chain => f.write_str("its CNAMEs lead nowhere"),
            Unresolved::BadName(why) => write!(f, "not a legal name ({why})"),
            Unresolved::Busy => f.write_str("too many lookups at once"),
        }
    }
}

impl core::error::Error for Unresolved {}

/// What a resolver goes by.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Servers and search list.
    pub conf: ResolvConf,
    /// Names that nobody is asked about.
    pub hosts: Hosts,
}

impl Config {
    fn policy(&self) -> Policy {
        let d = Policy::default();
        let mut servers = self.conf.servers.clone();
        if servers.is_empty() {
            // What resolv.conf(5) says about a file that names none.
            servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        Policy {
            servers,
            tries: self.conf.attempts.unwrap_or(d.tries),
            timeout: self.conf.timeout.unwrap_or(d.timeout),
            tcp: if self.conf.tcp { Tcp::Always } else { Tcp::WhenCut },
            ..d
        }
    }
}

/// A name being looked up.
#[derive(Debug)]
struct Lookup {
    family: Family,
    /// Names to try, the next one last.
    candidates: Vec<Domain>,
    name: Domain,
    /// What is known of the present candidate, by type; `None` while it is asked.
    parts: Vec<(Type, Option<Known>)>,
    /// What to say if no candidate has addresses.
    worst: Option<Unresolved>,
    since: Instant,
    /// When what has come must do.
    grace: Option<Instant>,
}

/// A question under way, for all who want to know.
#[derive(Debug)]
struct Pending {
    asked: (Domain, Type),
    chain: usize,
    ttl: u32,
    waiting: Vec<u64>,
}

/// Looks up names for many at once.
#[derive(Debug)]
pub struct Resolver {
    /// Its questions. Whoever runs it carries out the acts, and then calls [`Resolver::turn`].
    pub stub: Stub,
    config: Config,
    policy: Arc<Policy>,
    cache: Cache,
    lookups: BTreeMap<u64, Lookup>,
    pending: BTreeMap<QueryId, Pending>,
    by_name: BTreeMap<(Domain, Type), QueryId>,
    done: VecDeque<(u64, Known)>,
    /// Datagrams that were not the reply, of all questions.
    pub dropped: Dropped,
}

impl Resolver {
    /// With its files.
    pub fn new(config: Config) -> Self {
        let policy = Arc::new(config.policy());
        Resolver::with_policy(config, policy)
    }
    /// With a policy of its own.
    pub fn with_policy(config: Config, policy: Arc<Policy>) -> Self {
        Resolver {
            stub: Stub::default(),
            config,
            policy,
            cache: Cache::default(),
            lookups: BTreeMap::new(),
            pending: BTreeMap::new(),
            by_name: BTreeMap::new(),
            done: VecDeque::new(),
            dropped: Dropped::default(),
        }
    }
    /// Looks up the addresses of `host`; the answer has `key`, which is chosen by who asks and not in use.
    pub fn lookup(&mut self, key: u64, host: &str, family: Family, now: Instant, rng: &mut impl RngCore) {
        if let Some(known) = self.known(host, family) {
            return self.done.push_back((key, known));
        }
        let name = match host.parse::<Domain>() {
            Ok(name) => name,
            Err(why) => return self.done.push_back((key, Err(Unresolved::BadName(why)))),
        };
        if self.lookups.len() >= LOOKUPS_MAX {
            return self.done.push_back((key, Err(Unresolved::Busy)));
        }
        let mut candidates = self.candidates(&name, host.ends_with('.'));
        candidates.reverse();
        let parts = Vec::new();
        let lookup = Lookup { family, candidates, name, parts, worst: None, since: now, grace: None };
        self.lookups.insert(key, lookup);
        self.next_candidate(key, now, rng);
    }
    /// Forgets a lookup; it is not answered. Its questions go on and fill the cache.
    pub fn cancel(&mut self, key: u64) {
        self.lookups.remove(&key);
        self.done.retain(|(k, _)| *k != key);
    }
    /// Forgets all lookups and questions; what is known stays.
    pub fn rest(&mut self) {
        for (id, _) in core::mem::take(&mut self.pending) {
            self.stub.cancel(id);
        }
        self.lookups.clear();
        self.by_name.clear();
        self.done.clear();
    }
    /// The next lookup that is over: its key, and addresses, at least one, in the servers' order; of IPv6 first.
    #[must_use]
    pub fn next_done(&mut self) -> Option<(u64, Known)> {
        self.done.pop_front()
    }
    /// When [`Resolver::turn`] wants to be called, even if nothing came.
    pub fn deadline(&self) -> Option<Deadline> {
        let grace = self.lookups.values().filter_map(|l| l.grace).min();
        let grace = grace.map(|at| Deadline { at, since: at, why: "addresses of the other family" });
        Deadline::earliest(self.stub.deadline(), grace)
    }
    /// Takes what its questions have come to, and what is due.
    pub fn turn(&mut self, now: Instant, rng: &mut impl RngCore) {
        self.stub.on_deadline(now, rng);
        while let Some((id, result)) = self.stub.next_done() {
            self.replied(id, result, now, rng);
        }
        let due: Vec<u64> =
            self.lookups.iter().filter(|(_, l)| l.grace.is_some_and(|at| at <= now)).map(|(k, _)| *k).collect();
        for key in due {
            self.finish(key);
        }
    }

    /// What needs no server: literals, `localhost` (RFC 6761 6.3), names in the hosts file, and `invalid` and `onion`, which
    /// DNS does not have (RFC 6761 6.4, RFC 7686 2).
    fn known(&self, host: &str, family: Family) -> Option<Known> {
        let bare = host.strip_suffix('.').unwrap_or(host);
        let last = bare.rsplit('.').next().unwrap_or_default();
        let local = last.eq_ignore_ascii_case("localhost");
        let all: Vec<IpAddr> = if let Ok(ip) = host.parse() {
            vec![ip]
        } else if local {
            vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
        } else {
            host.parse().map_or(Vec::new(), |name| self.config.hosts.get(&name).to_vec())
        };
        if all.is_empty() {
            // Names that no server is to hear of.
            let nobody = last.eq_ignore_ascii_case("invalid") || last.eq_ignore_ascii_case("onion");
            return nobody.then_some(Err(Unresolved::NoSuchName));
        }
        let wanted: Vec<IpAddr> = all.into_iter().filter(|ip| family.has(ip)).collect();
        Some(if wanted.is_empty() { Err(Unresolved::NoAddress) } else { Ok(wanted) })
    }
    /// The names to try, in order.
    fn candidates(&self, name: &Domain, absolute: bool) -> Vec<Domain> {
        if absolute {
            return vec![name.clone()];
        }
        let within: Vec<Domain> = self.config.conf.search.iter().filter_map(|zone| name.within(zone).ok()).collect();
        let dots = name.label_count().saturating_sub(1);
        if dots >= usize::from(self.config.conf.ndots) {
            [vec![name.clone()], within].concat()
        } else {
            [within, vec![name.clone()]].concat()
        }
    }
    /// Asks about the next candidate, or says that there is none.
    fn next_candidate(&mut self, key: u64, now: Instant, rng: &mut impl RngCore) {
        loop {
            let Some(lookup) = self.lookups.get_mut(&key) else { return };
            let Some(name) = lookup.candidates.pop() else {
                let why = lookup.worst.take().unwrap_or(Unresolved::NoSuchName);
                self.lookups.remove(&key);
                return self.done.push_back((key, Err(why)));
            };
            lookup.name = name.clone();
            lookup.grace = None;
            let kinds = lookup.family.kinds();
            lookup.parts = kinds.iter().map(|k| (*k, self.cache.get(&name, *k, now).cloned())).collect();
            let unknown: Vec<Type> = lookup.parts.iter().filter(|(_, p)| p.is_none()).map(|(k, _)| *k).collect();
            for kind in unknown {
                self.ask(key, &name, kind, now, rng);
            }
            if !self.judge(key, now) {
                return;
            }
        }
    }
    fn ask(&mut self, key: u64, name: &Domain, kind: Type, now: Instant, rng: &mut impl RngCore) {
        if let Some(pending) = self.by_name.get(&(name.clone(), kind)).and_then(|id| self.pending.get_mut(id)) {
            return pending.waiting.push(key);
        }
        let asked = (name.clone(), kind);
        let id = self.stub.ask(Asked::new(name.clone(), kind), &self.policy, now, rng);
        self.by_name.insert(asked.clone(), id);
        self.pending.insert(id, Pending { asked, chain: 0, ttl: u32::MAX >> 1, waiting: vec![key] });
    }
    /// A question has come to something.
    fn replied(&mut self, id: QueryId, result: Result<super::Reply, Failed>, now: Instant, rng: &mut impl RngCore) {
        let Some(mut pending) = self.pending.remove(&id) else { return };
        let (known, ttl) = match result {
            Ok(reply) => {
                add(&mut self.dropped, &reply.dropped);
                match self.follow(&reply.bytes, &mut pending) {
                    Heard::Known(known, ttl) => (known, ttl),
                    Heard::Elsewhere(target) => {
                        let asked = Asked::new(target, pending.asked.1);
                        let id = self.stub.ask(asked, &self.policy, now, rng);
                        self.by_name.insert(pending.asked.clone(), id);
                        self.pending.insert(id, pending);
                        return;
                    }
                }
            }
            Err(failed) => (Err(self.reason(failed)), 0),
        };
        let (name, kind) = pending.asked;
        self.by_name.remove(&(name.clone(), kind));
        self.cache.put(&name, kind, known.clone(), ttl, now);
        for key in pending.waiting {
            let Some(lookup) = self.lookups.get_mut(&key).filter(|l| l.name == name) else { continue };
            if let Some((_, part)) = lookup.parts.iter_mut().find(|(k, p)| *k == kind && p.is_none()) {
                *part = Some(known.clone());
                if self.judge(key, now) {
                    self.next_candidate(key, now, rng);
                }
            }
        }
    }
    fn reason(&mut self, failed: Failed) -> Unresolved {
        match failed {
            Failed::NoReply { dropped, .. } => {
                add(&mut self.dropped, &dropped);
                Unresolved::NoAnswer
            }
            Failed::Unreachable { why, .. } => Unresolved::Unreachable(why),
            Failed::Malformed { fault, .. } => Unresolved::Malformed(fault),
            Failed::NoServer => Unresolved::NoAnswer,
        }
    }
    /// Follows the chain from the name asked through the answer.
    fn follow(&self, bytes: &[u8], pending: &mut Pending) -> Heard {
        let kind = pending.asked.1;
        let none = |why, ttl| Heard::Known(Err(why), ttl);
        let Ok(message) = Message::parse(bytes) else { return none(Unresolved::NoAnswer, 0) };
        let (Ok(records), Ok(Some(question))) = (message.records(), message.question()) else {
            return none(Unresolved::NoAnswer, 0);
        };
        let answers = || records.clone().flatten().take(RECORDS_MAX).take_while(|r| r.section == Section::Answer);
        let (mut name, mut steps) = (question.name, 0);
        while let Some(cname) = answers().find(|r| r.kind == Type::CNAME && r.name.is(&name)) {
            let Some(target) = cname.target() else { break };
            (name, steps) = (target, steps + 1);
            pending.chain += 1;
            pending.ttl = pending.ttl.min(cname.ttl);
            if pending.chain > CHAIN_MAX {
                return none(Unresolved::Chain, 0);
            }
        }
        let mut addresses = Vec::new();
        for record in answers().filter(|r| r.kind == kind && r.name.is(&name)).take(ADDRESSES_MAX) {
            addresses.extend(record.ip());
            pending.ttl = pending.ttl.min(record.ttl);
        }
        if !addresses.is_empty() {
            return Heard::Known(Ok(addresses), pending.ttl);
        }
        let negative = records.flatten().take(RECORDS_MAX).filter(|r| r.section == Section::Authority);
        let soa = { negative }.find_map(|r| Some(r.soa_minimum()?.min(r.ttl)));
        match message.rcode() {
            Rcode::NAME_ERROR => none(Unresolved::NoSuchName, soa.unwrap_or(0)),
            // The server does not know the chain's end; another question will.
            Rcode::NO_ERROR if steps > 0 && soa.is_none() => Heard::Elsewhere(name.to_domain()),
            Rcode::NO_ERROR => none(Unresolved::NoAddress, soa.unwrap_or(0)),
            code => none(Unresolved::Refused(code), 0),
        }
    }
    /// Looks at what is known of the present candidate; true: it is not the one, try the next.
    fn judge(&mut self, key: u64, now: Instant) -> bool {
        let Some(lookup) = self.lookups.get_mut(&key) else { return false };
        let found = lookup.parts.iter().any(|(_, p)| matches!(p, Some(Ok(_))));
        let open = lookup.parts.iter().any(|(_, p)| p.is_none());
        if open {
            if found && lookup.grace.is_none() {
                lookup.grace = Some(now.after(GRACE));
            }
            return false;
        }
        if found {
            self.finish(key);
            return false;
        }
        let reasons = lookup.parts.iter().filter_map(|(_, p)| p.as_ref()?.as_ref().err());
        let why = reasons.max_by_key(|why| weight(why)).cloned();
        let stays = lookup.worst.as_ref().map_or(0, weight);
        let silent = why.as_ref().is_some_and(|w| weight(w) > 4);
        if why.as_ref().map_or(0, weight) > stays {
            lookup.worst = why;
        }
        if silent {
            // Whether the name exists is not known, so the names after it in the search list must not be used.
            lookup.candidates.clear();
        }
        true
    }
    /// Answers with the addresses that have come.
    fn finish(&mut self, key: u64) {
        let Some(lookup) = self.lookups.remove(&key) else { return };
        let all: Vec<IpAddr> = lookup.parts.into_iter().filter_map(|(_, p)| p?.ok()).flatten().collect();
        self.done.push_back((key, if all.is_empty() { Err(Unresolved::NoAddress) } else { Ok(all) }));
    }
    /// Since when a lookup is under way.
    pub fn since(&self, key: u64) -> Option<Instant> {
        self.lookups.get(&key).map(|l| l.since)
    }
    /// What is known.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }
}

/// What a reply means.
enum Heard {
    Known(Known, u32),
    Elsewhere(Domain),
}

/// How much a reason says: a name that exists without addresses outweighs one that does not exist, and so on.
fn weight(why: &Unresolved) -> u8 {
    match why {
        Unresolved::NoSuchName => 1,
        Unresolved::NoAddress => 2,
        Unresolved::BadName(_) => 3,
        Unresolved::Refused(_) | Unresolved::Chain => 4,
        Unresolved::Malformed(_) | Unresolved::Busy => 5,
        Unresolved::Unreachable(_) => 6,
        Unresolved::NoAnswer => 7,
    }
}

fn add(sum: &mut Dropped, more: &Dropped) {
    sum.source = sum.source.saturating_add(more.source);
    sum.id = sum.id.saturating_add(more.id);
    sum.kind = sum.kind.saturating_add(more.kind);
    sum.question = sum.question.saturating_add(more.question);
    sum.malformed = sum.malformed.saturating_add(more.malformed);
}
