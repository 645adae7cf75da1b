//! The app: servers and questions; what becomes of answers is in `results`.
mod results;

use super::batch::{Input as From, Lines};
use super::looped::Times;
use super::race::Race;
use super::trace::{self, Trace};
use super::{Form, Mode, Options, Wanted, show};
use crate::names::{Names, Ports, RESOLV_CONF, Wire};
use crate::outcome::Code;
use crate::slurp::Slurp;
use core::convert::Infallible;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use proto_core::dns::{Asked, Domain, EdnsOption, Family, Flags, Policy, QueryId, ResolvConf, Stub};
use proto_core::{Answer, App, Ask, Cx, Deadline, FileId, How, Input, Instant, OpId, Signal, Token};
use rand_core::RngCore;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

type QueryCx<'a> = Cx<'a, Infallible, Infallible>;

/// Part bytes: our own files, questions to servers, names of servers.
const FILES: u8 = 1;
const WIRE: u8 = 2;
const NAMES: u8 = 3;
/// Keys of questions about files: resolv.conf takes three.
const CONF: u64 = 0;
const BATCH_OPEN: u64 = 8;
const BATCH_READ: u64 = 9;
/// Bytes of a batch that are read at a time.
const PIECE: u32 = 64 << 10;
/// The key of the lookup of a proxy's name; those of servers have their places.
const PROXY: u64 = u64::MAX >> 1;
/// Who is asked if nobody is named anywhere.
const DEFAULT_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));
/// Sockets that the questions of a batch share.
const SHARED: usize = 8;

/// A question under way.
#[derive(Debug)]
struct Asking {
    wanted: Wanted,
    /// Other names to try, the next one last.
    others: Vec<Domain>,
}

/// The file or stream of a batch.
#[derive(Debug)]
struct Batch {
    lines: Lines,
    file: Option<FileId>,
    offset: u64,
    reading: bool,
}

/// The app.
#[derive(Debug)]
pub struct DnsQuery {
    options: Options,
    out: Option<Token>,
    err: Option<Token>,
    stdin: Option<Token>,
    stub: Stub,
    wire: Wire,
    names: Names,
    conf: Option<Slurp>,
    known: ResolvConf,
    /// Servers by their place on the command line, while their names are looked up.
    servers: Vec<Vec<SocketAddr>>,
    unresolved: usize,
    policy: Option<Arc<Policy>>,
    asking: BTreeMap<QueryId, Asking>,
    todo: VecDeque<Wanted>,
    batch: Option<Batch>,
    trace: Trace,
    race: Race,
    times: Times,
    again: Option<Deadline>,
    /// Documents printed.
    printed: u64,
    code: Code,
    over: bool,
}

impl DnsQuery {
    /// With what the command line says.
    pub fn new(options: Options) -> Self {
        let ports = if matches!(options.mode, Mode::Batch(_)) { Ports::Shared(SHARED) } else { Ports::Fresh };
        DnsQuery {
            todo: options.wanted.clone().into(),
            servers: vec![Vec::new(); options.servers.len()],
            options,
            out: None,
            err: None,
            stdin: None,
            stub: Stub::default(),
            wire: Wire::new(WIRE, ports),
            names: Names::new(NAMES, 0),
            conf: None,
            known: ResolvConf::default(),
            unresolved: 0,
            policy: None,
            asking: BTreeMap::new(),
            batch: None,
            trace: Trace::default(),
            race: Race::default(),
            times: Times::default(),
            again: None,
            printed: 0,
            code: Code::Ok,
            over: false,
        }
    }
    fn print(&self, text: &str, cx: &mut QueryCx<'_>) {
        if let Some(tx) = self.out.and_then(|t| cx.tx(t)) {
            tx.put(text.as_bytes());
        }
    }
    fn complain(&self, text: &str, cx: &mut QueryCx<'_>) {
        if let Some(tx) = self.err.and_then(|t| cx.tx(t)) {
            tx.put(format!("dnsquery: {text}\n").as_bytes());
        }
    }
    /// The first cause decides.
    fn note(&mut self, code: Code) {
        if self.code == Code::Ok {
            self.code = code;
        }
    }
    fn exit(&mut self, cx: &mut QueryCx<'_>) {
        if self.options.form == Form::Json && self.is_array() {
            let end = if self.printed == 0 { "[]\n" } else { "\n]\n" };
            self.print(end, cx);
        }
        self.over = true;
        cx.exit(self.code as u8);
    }
    fn die(&mut self, code: Code, text: &str, cx: &mut QueryCx<'_>) {
        self.complain(text, cx);
        self.note(code);
        self.over = true;
        cx.exit(self.code as u8);
    }

    fn start(&mut self, cx: &mut QueryCx<'_>) {
        if self.options.servers.is_empty() || self.options.search {
            self.conf = Some(Slurp::start(FILES, CONF, RESOLV_CONF, cx));
        }
        self.wire.streams.carry(self.options.carrier.clone());
        if matches!(self.options.mode, Mode::Batch(_)) || self.options.wanted.len() > 1 {
            self.wire.streams.keep();
        }
        for (i, server) in self.options.servers.iter().enumerate() {
            self.unresolved += 1;
            self.names.lookup(i as u64, &server.host, Family::Any, cx);
        }
        if let Some(via) = &self.options.via {
            let host = via.at.origin.host.trim_matches(['[', ']']).to_string();
            self.unresolved += 1;
            self.names.lookup(PROXY, &host, Family::Any, cx);
        }
        match self.options.mode.clone() {
            Mode::Batch(from) => {
                let lines = Lines::new(self.options.kind, self.options.style.idn);
                self.batch = Some(Batch { lines, file: None, offset: 0, reading: true });
                if let From::File(path) = from {
                    let how = How { read: true, ..How::default() };
                    cx.ask(OpId::new(FILES, BATCH_OPEN), Ask::Open { dir: None, path, how });
                }
            }
            Mode::Plain | Mode::Trace | Mode::Race | Mode::Loop { .. } => {}
        }
        self.named(cx);
    }
    /// Takes addresses of servers; begins when all are there.
    fn named(&mut self, cx: &mut QueryCx<'_>) {
        while let Some((key, known)) = self.names.next_done() {
            if self.policy.is_some() {
                self.trace_named(known, cx);
                continue;
            }
            let via = self.options.via.clone().filter(|_| key == PROXY);
            match known {
                Ok(ips) if via.is_some() => {
                    self.unresolved -= 1;
                    let at = ips.first().zip(via.as_ref()).map(|(ip, v)| SocketAddr::new(*ip, v.at.origin.port));
                    at.zip(via).into_iter().for_each(|(at, via)| self.wire.streams.through(via, at));
                }
                Ok(ips) => {
                    self.unresolved -= 1;
                    let Some(server) = self.options.servers.get(key as usize) else { continue };
                    let is_name = server.host.parse::<IpAddr>().is_err();
                    ips.iter().filter(|_| is_name).for_each(|ip| self.wire.streams.name(*ip, &server.host));
                    let port = server.port.unwrap_or(self.options.port);
                    let at = ips.iter().map(|ip| SocketAddr::new(*ip, port));
                    self.servers.get_mut(key as usize).into_iter().for_each(|s| s.extend(at.clone()));
                }
                Err(why) => {
                    let proxy = via.map(|v| v.at.origin.host);
                    let server = || self.options.servers.get(key as usize).map_or(String::new(), |s| s.host.clone());
                    let name = proxy.unwrap_or_else(server);
                    return self.die(Code::Name, &format!("cannot resolve '{name}': {why}"), cx);
                }
            }
        }
        if self.policy.is_none() && self.unresolved == 0 && self.conf.is_none() && !self.over {
            self.begin(cx);
        }
    }
    fn begin(&mut self, cx: &mut QueryCx<'_>) {
        let port = self.options.port;
        let mut servers: Vec<SocketAddr> = self.servers.concat();
        if servers.is_empty() && self.options.mode == Mode::Trace {
            servers = trace::root(port);
        } else if servers.is_empty() {
            let with_port = |a: &SocketAddr| {
                let mut a = *a;
                a.set_port(port);
                a
            };
            servers = self.known.servers.iter().map(with_port).collect();
        }
        if servers.is_empty() {
            servers.push(SocketAddr::new(DEFAULT_SERVER, port));
        }
        let mut policy = Policy { servers, ..self.options.policy.clone() };
        if let Some((.., options)) = policy.edns.as_mut().filter(|_| self.options.new_cookie) {
            let mut cookie = [0; 8];
            cx.rng().fill_bytes(&mut cookie);
            EdnsOption { code: EdnsOption::COOKIE, data: &cookie }.put(options);
        }
        if self.options.mode == Mode::Trace {
            policy.flags = Flags(policy.flags.0 & !Flags::QUERY.with_recursion().0);
        }
        self.policy = Some(Arc::new(policy));
        self.go_on(cx);
    }
    /// Asks what can be asked now; ends when there is nothing left.
    fn go_on(&mut self, cx: &mut QueryCx<'_>) {
        let Some(policy) = self.policy.clone() else { return };
        if self.over {
            return;
        }
        match self.options.mode {
            Mode::Batch(_) => return self.fill(&policy, cx),
            Mode::Race if self.asking.is_empty() => {
                if let Some(wanted) = self.todo.pop_front() {
                    self.race = Race::default();
                    for server in &policy.servers {
                        let alone = Arc::new(Policy { servers: vec![*server], ..(*policy).clone() });
                        self.ask(wanted.clone(), Vec::new(), &alone, cx);
                    }
                    return;
                }
            }
            Mode::Plain | Mode::Trace | Mode::Loop { .. } if self.asking.is_empty() && self.again.is_none() => {
                if let Some(wanted) = self.todo.pop_front() {
                    self.announce(&wanted, &policy, cx);
                    let (first, others) = self.candidates(&wanted);
                    let wanted = Wanted { asked: Asked { name: first, ..wanted.asked }, ..wanted };
                    return self.ask(wanted, others, &policy, cx);
                }
            }
            _ => return,
        }
        self.exit(cx);
    }
    fn announce(&self, wanted: &Wanted, policy: &Policy, cx: &mut QueryCx<'_>) {
        let plain = self.options.form == Form::Text && self.options.mode == Mode::Plain;
        if let Some(server) = policy.servers.first().filter(|_| plain) {
            self.print(&show::asking(&wanted.asked, &wanted.text, server), cx);
        }
    }
    /// The name to ask for first, and the others of the search list, the next one last.
    fn candidates(&self, wanted: &Wanted) -> (Domain, Vec<Domain>) {
        let name = wanted.asked.name.clone();
        if !self.options.search || wanted.text.ends_with('.') {
            return (name, Vec::new());
        }
        let mut all: Vec<Domain> = self.known.search.iter().filter_map(|zone| name.within(zone).ok()).collect();
        let first = name.label_count() > usize::from(self.known.ndots);
        all.insert(if first { 0 } else { all.len() }, name.clone());
        all.reverse();
        (all.pop().unwrap_or(name), all)
    }
    fn ask(&mut self, wanted: Wanted, others: Vec<Domain>, policy: &Arc<Policy>, cx: &mut QueryCx<'_>) {
        let id = self.stub.ask(wanted.asked.clone(), policy, cx.now, cx.rng());
        self.asking.insert(id, Asking { wanted, others });
    }
    /// Keeps as many questions of a batch under way as may be, unless nobody takes the answers.
    fn fill(&mut self, policy: &Arc<Policy>, cx: &mut QueryCx<'_>) {
        let room = |cx: &mut QueryCx<'_>, t: Option<Token>| t.and_then(|t| cx.tx(t)).is_some_and(|tx| tx.room() > 0);
        while self.asking.len() < self.options.parallel && room(cx, self.out) {
            let Some(batch) = &mut self.batch else { return };
            match batch.lines.next() {
                Some(Ok(wanted)) => self.ask(wanted, Vec::new(), policy, cx),
                Some(Err(why)) => {
                    self.complain(&why, cx);
                    self.note(Code::Usage);
                }
                None if batch.lines.is_over() => {
                    if self.asking.is_empty() {
                        self.exit(cx);
                    }
                    return;
                }
                None => return self.read_more(cx),
            }
        }
    }
    fn read_more(&mut self, cx: &mut QueryCx<'_>) {
        let Some(batch) = &mut self.batch else { return };
        match (batch.file, self.stdin) {
            (Some(file), _) if !batch.reading => {
                batch.reading = true;
                cx.ask(OpId::new(FILES, BATCH_READ), Ask::Read { file, offset: batch.offset, len: PIECE });
            }
            (None, Some(stdin)) => cx.read(stdin, true),
            _ => {}
        }
    }
    fn batch_answer(&mut self, key: u64, answer: &Result<Answer, proto_core::Reason>, cx: &mut QueryCx<'_>) {
        let Some(batch) = &mut self.batch else { return };
        batch.reading = false;
        match (key, answer) {
            (BATCH_OPEN, Ok(Answer::Opened { file, .. })) => batch.file = Some(*file),
            (BATCH_READ, Ok(Answer::Read(bytes))) if bytes.is_empty() => batch.lines.end(),
            (BATCH_READ, Ok(Answer::Read(bytes))) => {
                batch.offset += bytes.len() as u64;
                batch.lines.feed(bytes);
            }
            (_, Err(why)) => {
                let path =
                    if let Mode::Batch(From::File(path)) = &self.options.mode { path.clone() } else { String::new() };
                return self.die(Code::Usage, &format!("cannot read {path}: {why}"), cx);
            }
            _ => {}
        }
        self.go_on(cx);
    }

    fn deadline_passed(&mut self, cx: &mut QueryCx<'_>) {
        self.stub.on_deadline(cx.now, cx.rng());
        if self.again.is_some_and(|d| d.at <= cx.now) {
            self.again = None;
            self.go_on(cx);
        }
    }
}

impl App for DnsQuery {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut QueryCx<'_>) {
        if self.over {
            return;
        }
        self.wire.handle(&mut self.stub, &input, cx);
        if self.names.handle(&input, cx) || matches!(input, Input::Deadline) {
            self.named(cx);
        }
        if let Some(read) = self.conf.as_mut().and_then(|c| c.handle(&input, cx)) {
            self.conf = None;
            self.known = ResolvConf::parse(&read.unwrap_or_default()); // without the file, its defaults
            self.named(cx);
        }
        match input {
            Input::Start(start) => {
                (self.out, self.err, self.stdin) = (Some(start.stdout), Some(start.stderr), start.stdin);
                self.start(cx);
            }
            Input::Answer(id, answer) if id.part() == FILES && id.key() >= BATCH_OPEN => {
                self.batch_answer(id.key(), &answer, cx);
            }
            Input::Bytes(t, chunk) if Some(t) == self.stdin => {
                cx.read(t, false);
                self.batch.iter_mut().for_each(|b| b.lines.feed(&chunk));
                self.go_on(cx);
            }
            Input::Eof(t) | Input::Closed(t, _) if Some(t) == self.stdin => {
                self.stdin = None;
                self.batch.iter_mut().for_each(|b| b.lines.end());
                self.go_on(cx);
            }
            Input::Writable(t) if Some(t) == self.out => self.go_on(cx),
            Input::Closed(t, _) if Some(t) == self.out => {
                self.over = true;
                cx.exit(self.code as u8); // nobody reads on
            }
            Input::Deadline => self.deadline_passed(cx),
            Input::Signal(Signal::Interrupt | Signal::Terminate) => {
                if let Mode::Loop { .. } = self.options.mode {
                    self.print(&self.times.summary(), cx);
                }
                self.over = true;
                cx.exit(Code::Interrupted as u8);
            }
            _ => {}
        }
        while let Some((id, result)) = self.stub.next_done() {
            self.finished(id, result, cx);
        }
        if !self.over {
            self.wire.act(&mut self.stub, cx);
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        if self.over {
            return None;
        }
        let streams = self.wire.streams.deadline();
        let again = Deadline::earliest(self.again.filter(|d| d.at < Instant::from_nanos(u64::MAX)), streams);
        Deadline::earliest(Deadline::earliest(self.stub.deadline(), self.names.deadline()), again)
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
