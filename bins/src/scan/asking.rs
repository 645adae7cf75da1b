//! What is to be known before a scan begins, as a part: the file with targets, and the addresses of names.
use super::targets::{Item, Targets, items};
use crate::dialer::{Family, Source};
use crate::names::Names;
use crate::outcome::{Code, Failure};
use crate::slurp::Slurp;
use crate::text::Escaped;
use core::net::IpAddr;
use proto_core::{Answer, Ask, Cx, Deadline, Input, OpId, Reason};

/// Names looked up at once.
const AT_ONCE: usize = 64;
/// Size of a list of targets that is read.
const LIST: u32 = 16 << 20;
/// The first key of questions to the system's resolver; ours has keys of its own below.
const SYSTEM: u64 = 1 << 32;
/// The key of questions about the list.
const FILE: u64 = 16;

/// See the module.
#[derive(Debug)]
pub struct Asking {
    part: u8,
    source: Source,
    family: Family,
    items: Vec<Item>,
    /// What is known of each item that is a name.
    known: Vec<Option<Result<Vec<IpAddr>, String>>>,
    list: Option<String>,
    reading: Option<Slurp>,
    next: usize,
    under_way: usize,
    names: Names,
}

impl Asking {
    /// Its tokens and questions carry `part`.
    pub fn new(part: u8, items: Vec<Item>, list: Option<String>, source: Source, family: Family) -> Self {
        let names = Names::new(part, 0);
        let (known, reading) = (Vec::new(), None);
        Asking { part, source, family, items, known, list, reading, next: 0, under_way: 0, names }
    }
    /// Begins.
    pub fn start<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        match &self.list {
            Some(path) => self.reading = Some(Slurp::start(self.part, FILE, (path, LIST), cx)),
            None => self.ask(cx),
        }
    }
    fn ask<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.known.resize(self.items.len(), None);
        while self.under_way < AT_ONCE
            && let Some(item) = self.items.get(self.next)
        {
            if let Item::Name(name) = item {
                self.under_way += 1;
                let key = self.next as u64;
                match self.source {
                    Source::Own => self.names.lookup(key, name, self.family, cx),
                    Source::System => cx.ask(OpId::new(self.part, SYSTEM + key), Ask::Resolve { host: name.clone() }),
                }
            }
            self.next += 1;
            self.take();
        }
    }
    /// What the resolver has found out.
    fn take(&mut self) {
        while let Some((key, known)) = self.names.next_done() {
            self.learn(key, known.map_err(|why| why.to_string()));
        }
    }
    fn learn(&mut self, key: u64, known: Result<Vec<IpAddr>, String>) {
        if let Some(place @ None) = usize::try_from(key).ok().and_then(|i| self.known.get_mut(i)) {
            *place = Some(known);
            self.under_way = self.under_way.saturating_sub(1);
        }
    }
    /// Takes an input.
    ///
    /// # Errors
    /// The file cannot be read, or what is in it.
    pub fn handle<J, M>(&mut self, input: &Input<'_, M>, cx: &mut Cx<'_, J, M>) -> Result<(), Failure> {
        self.names.handle(input, cx);
        self.take();
        if let Input::Answer(id, answer) = input
            && id.part() == self.part
            && id.key() >= SYSTEM
        {
            self.learn(id.key() - SYSTEM, system(answer, self.family));
        }
        let read = self.reading.as_mut().and_then(|slurp| slurp.handle(input, cx));
        if let (Some(read), Some(path)) = (read, &self.list) {
            self.reading = None;
            let path = Escaped(path.as_bytes()).to_string();
            let bytes = read.map_err(|why| Failure::usage(format!("cannot read '{path}': {why}")))?;
            if bytes.len() >= LIST as usize {
                return Err(Failure::usage(format!("'{path}' is longer than {}", crate::text::size(LIST as usize))));
            }
            let text = core::str::from_utf8(&bytes).map_err(|_| Failure::usage(format!("'{path}' is not text")))?;
            self.items.extend(items(text).map_err(|why| Failure::usage(format!("{path}: {why}")))?);
        }
        if self.reading.is_none() {
            self.ask(cx);
        }
        Ok(())
    }
    /// All is known.
    pub fn is_done(&self) -> bool {
        self.reading.is_none() && self.next >= self.items.len() && self.under_way == 0
    }
    /// Adds all addresses to `targets`, of a name the first, IPv4 rather than IPv6; the failures are returned.
    pub fn finish<J, M>(&mut self, targets: &mut Targets, cx: &mut Cx<'_, J, M>) -> Vec<Failure> {
        self.names.rest(cx);
        let mut failed = Vec::new();
        for (item, known) in self.items.drain(..).zip(self.known.drain(..)) {
            match (item, known) {
                (Item::Block(block), _) => targets.add(block),
                (Item::Name(name), Some(Ok(ips))) => {
                    if let Some(ip) = ips.iter().find(|ip| ip.is_ipv4()).or(ips.first()) {
                        targets.add_name(&name, *ip);
                    }
                }
                (Item::Name(name), Some(Err(why))) => {
                    failed.push(Failure::new(Code::Name, format!("cannot resolve '{name}': {why}")));
                }
                (Item::Name(_), None) => {}
            }
        }
        failed
    }
    /// When it wants an `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        self.names.deadline()
    }
}

fn system(answer: &Result<Answer, Reason>, family: Family) -> Result<Vec<IpAddr>, String> {
    match answer {
        Ok(Answer::Resolved(ips)) => {
            let usable: Vec<IpAddr> = ips.iter().filter(|ip| family.has(ip)).copied().collect();
            if usable.is_empty() { Err("no address of that family".into()) } else { Ok(usable) }
        }
        Err(Reason::NotFound) => Err("NXDOMAIN".into()),
        _ => Err("the resolver does not answer".into()),
    }
}
