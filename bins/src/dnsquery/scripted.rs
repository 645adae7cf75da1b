//! A name server for simulations and tests: a small zone, and every way in which networks and servers disappoint.
use core::convert::Infallible;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use proto_core::dns::{
    Class, Domain, Edns, Flags, Frame, Frames, Message, Rcode, Section, TooLong, Type, Writer, data_from_text,
};
use proto_core::{Addr, App, Cx, Deadline, Input, Instant, Machine, Op, Rx, Slots, Start, Step, Token, Tx};
use rand_core::RngCore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

type ServerCx<'a> = Cx<'a, Infallible, Infallible>;

/// A record.
#[derive(Clone, Debug)]
struct Entry {
    name: Domain,
    kind: Type,
    ttl: u32,
    data: Vec<u8>,
}

/// Records of one zone, and of the delegations below it.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    entries: Vec<Entry>,
}

impl Zone {
    /// A line per record: owner, TTL, `IN`, type, data. Names are absolute.
    ///
    /// # Errors
    /// The line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut zone = Zone::default();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(';')) {
            zone.entries.push(entry(line).ok_or_else(|| format!("no record: {line}"))?);
        }
        Ok(zone)
    }
    fn of<'z>(&'z self, name: &'z Domain, kind: Type) -> impl Iterator<Item = &'z Entry> {
        self.entries.iter().filter(move |e| e.name == *name && (e.kind == kind || kind == Type::ANY))
    }
    fn apex(&self) -> Option<&Entry> {
        self.entries.iter().find(|e| e.kind == Type::SOA)
    }
    /// The delegation that `name` is under.
    fn cut(&self, name: &Domain) -> Option<&Domain> {
        let apex = self.apex().map(|e| &e.name);
        let cuts = self.entries.iter().filter(|e| e.kind == Type::NS && Some(&e.name) != apex);
        cuts.map(|e| &e.name).find(|cut| name.is_within(cut))
    }
    /// The reply to a message, of at most `limit` bytes; `None` if it is no question.
    pub fn reply(&self, query: &[u8], limit: usize) -> Option<Vec<u8>> {
        let query = Message::parse(query).ok().filter(|m| !m.header().flags.is_response())?;
        let question = query.question().ok()??;
        let (name, kind) = (question.name.to_domain(), question.kind);
        let recursion = Flags(query.header().flags.0 & 1 << 8);
        let limit = if limit < 65_535 { query.edns().map_or(512, |e| usize::from(e.size).max(512)) } else { limit };
        let build = |code: Rcode, authoritative: bool, body: &dyn Fn(&mut Writer) -> Result<(), TooLong>| {
            let aa = u16::from(authoritative) << 10;
            let flags = Flags(Flags::RESPONSE.0 | recursion.0 | aa).with_rcode(code);
            let mut w = Writer::new(query.header().id, flags).with_limit(limit);
            w.question(&name, kind, question.class.0).ok()?;
            let fits = body(&mut w).and_then(|()| query.edns().map_or(Ok(()), |_| w.edns(&Edns::new(1232))));
            if fits.is_err() {
                w = Writer::new(query.header().id, flags.with_truncation()).with_limit(limit);
                w.question(&name, kind, question.class.0).ok()?;
            }
            Some(w.finish())
        };
        let put =
            |w: &mut Writer, section, e: &Entry| w.record(section, &e.name.name(), e.kind, Class::IN, e.ttl, &e.data);
        if let Some(cut) = self.cut(&name) {
            return build(Rcode::NO_ERROR, false, &|w| {
                self.of(cut, Type::NS).try_for_each(|e| put(w, Section::Authority, e))?;
                let below =
                    self.entries.iter().filter(|e| e.name.is_within(cut) && [Type::A, Type::AAAA].contains(&e.kind));
                { below }.try_for_each(|e| put(w, Section::Additional, e))
            });
        }
        let mut chain = vec![name.clone()];
        while let Some(e) = chain.last().and_then(|n| self.of(n, Type::CNAME).next()).filter(|_| kind != Type::CNAME) {
            let Ok(target) = Domain::parse(text_of(&e.data).as_bytes()) else { break };
            if chain.contains(&target) || chain.len() > 32 {
                break;
            }
            chain.push(target);
        }
        let last = chain.last().unwrap_or(&name);
        let exists = self.entries.iter().any(|e| e.name.is_within(last));
        let ours = self.apex().is_some_and(|a| last.is_within(&a.name));
        let code = if exists || !ours { Rcode::NO_ERROR } else { Rcode::NAME_ERROR };
        build(code, true, &|w| {
            for step in chain.iter().filter(|n| *n != last) {
                self.of(step, Type::CNAME).try_for_each(|e| put(w, Section::Answer, e))?;
            }
            let before = w.len();
            self.of(last, kind).try_for_each(|e| put(w, Section::Answer, e))?;
            match self.apex() {
                Some(soa) if w.len() == before && ours => put(w, Section::Authority, soa),
                _ => Ok(()),
            }
        })
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.splitn(5, char::is_whitespace);
    let (name, ttl, _, kind, data) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let kind = kind.parse().ok()?;
    let data = data_from_text(kind, data).ok()?;
    Some(Entry { name: name.parse().ok()?, kind, ttl: ttl.parse().ok()?, data })
}

/// The name in data that is one.
fn text_of(data: &[u8]) -> String {
    let mut at = data;
    let mut text = String::new();
    while let Some((&n, rest)) = at.split_first().filter(|(n, _)| **n > 0) {
        let (label, tail) = rest.split_at_checked(usize::from(n)).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(label));
        text.push('.');
        at = tail;
    }
    text
}

/// How it disappoints, in percent of the datagrams it gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Temper {
    /// No reply.
    pub loses: u32,
    /// A reply up to this much later.
    pub delays: Duration,
    /// A reply that is cut.
    pub cuts: u32,
    /// Forgeries before the reply: wrong ids, wrong questions, rubbish.
    pub lies: u32,
    /// SERVFAIL.
    pub fails: u32,
    /// TCP connections that are closed at once.
    pub hangs_up: u32,
    /// TCP connections that are closed after a reply.
    pub leaves: u32,
    /// TCP connections that are reset when another question comes.
    pub tires: u32,
}

#[derive(Debug, Default)]
struct Stream {
    frames: Frames,
    kept: Vec<u8>,
    answers: u32,
}

/// The app. It serves UDP and TCP on the port of its listener.
#[derive(Debug)]
pub struct NameServer {
    zone: Zone,
    temper: Temper,
    udp: Option<Token>,
    streams: Slots<Stream>,
    later: BTreeMap<(Instant, u64), (Addr, Vec<u8>)>,
    count: u64,
    /// TCP connections so far.
    pub connections: Arc<AtomicU32>,
}

impl NameServer {
    /// With a zone and a temper.
    pub fn new(zone: Zone, temper: Temper) -> Self {
        NameServer {
            zone,
            temper,
            udp: None,
            streams: Slots::default(),
            later: BTreeMap::new(),
            count: 0,
            connections: Arc::default(),
        }
    }
    fn start(&mut self, start: &Start, cx: &mut ServerCx<'_>) {
        let socket = cx.token(1);
        let bind = SocketAddr::from((Ipv4Addr::UNSPECIFIED, start.port().unwrap_or(proto_core::dns::PORT)));
        cx.op(Op::Udp { socket, bind: Some(bind.into()), to: None });
        self.udp = Some(socket);
    }
    fn happens(percent: u32, cx: &mut ServerCx<'_>) -> bool {
        percent > 0 && cx.rng().next_u32() % 100 < percent
    }
    fn asked(&mut self, from: &Addr, query: &[u8], cx: &mut ServerCx<'_>) {
        if Self::happens(self.temper.loses, cx) {
            return;
        }
        let Some(mut reply) = self.zone.reply(query, 512) else { return };
        if Self::happens(self.temper.lies, cx) {
            for mut lie in forgeries(&reply, cx.rng().next_u64()) {
                self.later(from, std::mem::take(&mut lie), cx);
            }
        }
        if Self::happens(self.temper.fails, cx) {
            reply = coded(query, Rcode::SERVER_FAILURE);
        } else if Self::happens(self.temper.cuts, cx) {
            reply = coded(query, Rcode::NO_ERROR);
            reply.get_mut(2).into_iter().for_each(|b| *b |= 2);
        }
        self.later(from, reply, cx);
    }
    fn later(&mut self, to: &Addr, data: Vec<u8>, cx: &mut ServerCx<'_>) {
        let ns = self.temper.delays.as_nanos() as u64;
        let wait = if ns == 0 { 0 } else { cx.rng().next_u64() % ns };
        self.count += 1;
        self.later.insert((cx.now.after(Duration::from_nanos(wait)), self.count), (to.clone(), data));
        self.send_due(cx);
    }
    fn send_due(&mut self, cx: &mut ServerCx<'_>) {
        while let Some(e) = self.later.first_entry().filter(|e| e.key().0 <= cx.now) {
            let (to, data) = e.remove();
            if let Some(socket) = self.udp {
                cx.op(Op::SendTo { socket, to: Some(to), data });
            }
        }
    }
    fn stream(&mut self, t: Token, bytes: &[u8], cx: &mut ServerCx<'_>) {
        let Some(stream) = self.streams.get_mut(t) else { return };
        let (begins, answers) = (stream.kept.is_empty(), stream.answers);
        stream.kept.extend_from_slice(bytes);
        let (before, mut unused) = (stream.kept.len(), Tx::default());
        let mut rx = Rx::new(&mut stream.kept, false);
        if begins && answers > 0 && Self::happens(self.temper.tires, cx) {
            self.streams.remove(t);
            return cx.abort(t);
        }
        while let Ok(Step::Event(Frame(query))) = stream.frames.poll(cx.now, &mut rx, &mut unused) {
            let reply = self.zone.reply(query, 65_535);
            if let (Some(reply), Some(tx)) = (reply, cx.tx(t)) {
                let length = (reply.len() as u16).to_be_bytes();
                tx.put(&length);
                tx.put(&reply);
                stream.answers += 1;
            }
        }
        let used = before - rx.len();
        stream.kept.drain(..used);
        if stream.answers > answers && Self::happens(self.temper.leaves, cx) {
            self.streams.remove(t);
            cx.tx(t).into_iter().for_each(Tx::finish);
        }
    }
}

/// A reply with nothing but a code.
fn coded(query: &[u8], code: Rcode) -> Vec<u8> {
    let Ok(m) = Message::parse(query) else { return Vec::new() };
    let mut w = Writer::new(m.header().id, Flags::RESPONSE.with_rcode(code));
    if let Ok(Some(q)) = m.question() {
        let _ = w.question(&q.name.to_domain(), q.kind, q.class.0); // a question always fits
    }
    w.finish()
}

/// What somebody would send who does not know the id, or the question, or anything.
fn forgeries(reply: &[u8], random: u64) -> [Vec<u8>; 4] {
    let change = |at: usize, with: u8| {
        let mut lie = reply.to_vec();
        lie.get_mut(at).into_iter().for_each(|b| *b ^= with);
        lie
    };
    let rubbish = reply.iter().zip(0u32..).map(|(b, i)| b ^ (random >> (i % 57)) as u8).take(40).collect();
    [change(0, 1 + (random % 255) as u8), change(2, 0x80), change(13, 3), rubbish]
}

impl App for NameServer {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut ServerCx<'_>) {
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Datagram { from, data, .. } => self.asked(&from, data, cx),
            Input::Accepted { conn, .. } => {
                if Self::happens(self.temper.hangs_up, cx) {
                    return cx.abort(conn);
                }
                self.streams.insert(conn, Stream::default());
                self.connections.fetch_add(1, Ordering::Relaxed);
            }
            Input::Bytes(t, chunk) => self.stream(t, &chunk, cx),
            Input::Eof(t) => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Closed(t, _) => {
                self.streams.remove(t);
            }
            Input::Deadline => self.send_due(cx),
            Input::Signal(_) => cx.exit(0),
            _ => {}
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        let ((at, _), _) = self.later.first_key_value()?;
        Some(Deadline { at: *at, since: *at, why: "a late reply" })
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
