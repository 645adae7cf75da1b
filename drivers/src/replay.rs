//! Replay: the same app, fed from a recording, with no sockets; the first difference is found.
//!
//! Every entry is either done to the app (inputs, slots, bytes that the kernel took) or compared with what the app does
//! (ops in order, bytes sent, bytes left over). Jobs are pure and run again. Messages between shards are not in a recording
//! either: their shards are replayed together, and each waits for what the others have to say. What a layer with fresh keys
//! produced is not in it: a replay goes up to that.
use crate::host::{CHUNK, Facts, Host};
use crate::record::{Began, Entry, Told, answer, lost, reason, signal_of};
use crate::{Config, Error, workers};
use proto_core::{
    Addr, App, Chunk, Counters, FileId, Input, Instant, Next, Op, OpId, Peer, Shard, Token, Trouble, Tty, Wall,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

/// How a replay went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Inputs that the app was given; the first, `Start`, is number 1.
    pub inputs: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a replay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The app did what it had done.
    Same,
    /// It did, up to this input: what follows is not in the recording, and why.
    CutAt(u64, &'static str),
    /// It did something else.
    Differs(Difference),
}

/// The first difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// In which shard.
    pub shard: Shard,
    /// After which input of the shard, counted from 1.
    pub input: u64,
    /// On which connection, if it is about one.
    pub token: Option<Token>,
    /// At which byte of the connection's output, counted from 0.
    pub offset: u64,
    /// What the recording has from there, at most 32 bytes.
    pub recorded: Vec<u8>,
    /// What the replay has from there, at most 32 bytes.
    pub replayed: Vec<u8>,
    /// What is different.
    pub text: String,
}

/// Bytes shown of either side.
const SHOWN: usize = 32;
const CUT: &str = "the end of the recording is missing";
const POST: &str = "a message from a shard whose recording is missing or over";

/// Feeds a recording ([`crate::record::read`]) to an app that was built as the recorded one was, at most up to input
/// number `until`.
pub fn replay<A: App + 'static>(entries: &[Entry], app: A, until: Option<u64>) -> Result<Report, Error> {
    together(vec![Replay::new(app, entries)?], until)
}

/// Feeds the recordings of all shards of a program to apps that were built as the recorded ones were, each at most up to
/// its input number `until`.
pub fn replay_shards<A: App + 'static>(
    all: &[Vec<Entry>],
    make: impl Fn(Shard) -> A,
    until: Option<u64>,
) -> Result<Report, Error> {
    let shards = all.iter().map(|entries| {
        let shard = if let Some(Entry::Begin { start, .. }) = entries.first() { start.shard } else { 0 };
        Replay::new(make(Shard(shard)), entries)
    });
    together(shards.collect::<Result<_, _>>()?, until)
}

/// Each goes on until it needs a message that nobody has sent yet, in turn, until none gets on.
fn together<A: App + 'static>(mut shards: Vec<Replay<'_, A>>, until: Option<u64>) -> Result<Report, Error> {
    let (mut posts, mut moved) = (Posts::new(), true);
    while std::mem::take(&mut moved) {
        for r in shards.iter_mut().filter(|r| r.outcome.is_none()) {
            let before = r.at;
            r.outcome = r.run(until, &mut posts).unwrap_or_else(|d| Some(Outcome::Differs(*d)));
            moved |= r.outcome.is_some() || r.at > before;
            if matches!(r.outcome, Some(Outcome::Differs(_))) {
                moved = false;
                break;
            }
        }
    }
    let inputs = shards.iter().map(|r| r.inputs).sum();
    let waits = |n| if until.is_some() { Outcome::Same } else { Outcome::CutAt(n, POST) };
    let mut outcomes: Vec<_> = shards.into_iter().map(|r| r.outcome.unwrap_or_else(|| waits(r.inputs))).collect();
    outcomes.sort_by_key(|o| match o {
        Outcome::Differs(_) => 0,
        Outcome::CutAt(..) => 1,
        Outcome::Same => 2,
    });
    let outcome = outcomes.into_iter().next().unwrap_or(Outcome::Same);
    Ok(Report { inputs, outcome })
}

type Check<T> = Result<T, Box<Difference>>;

/// Messages under way: from, to.
type Posts<M> = BTreeMap<(Shard, Shard), VecDeque<M>>;

struct Replay<'e, A: App> {
    entries: &'e [Entry],
    at: usize,
    /// What has come of it, once it is over.
    outcome: Option<Outcome>,
    host: Host<A>,
    inputs: u64,
    /// Bytes sent per token.
    sent: BTreeMap<Token, u64>,
    jobs: BTreeMap<OpId, A::Job>,
    shard: Shard,
}

impl<'e, A: App + 'static> Replay<'e, A> {
    fn new(app: A, entries: &'e [Entry]) -> Result<Self, Error> {
        match entries.split_first() {
            Some((Entry::Begin { start, .. }, entries)) => Replay::begin(app, start, entries),
            _ => Err(Error::Unavailable("the recording has no beginning".into())),
        }
    }
    fn begin(app: A, b: &Began, entries: &'e [Entry]) -> Result<Self, Error> {
        let listeners: Vec<(u8, Addr)> =
            b.listeners.iter().map(|(t, at)| (Token::from_bits(*t).part(), at.clone().into())).collect();
        let config = Config {
            out_buffer: b.out_buffer as usize,
            stdin: b.stdin.is_some(),
            seed: Some(b.seed),
            ..Config::default()
        };
        let facts = Facts { name: "replay", capacity: b.capacity as usize, facts: b.facts.clone() };
        let wall = Wall { unix_ns: b.wall.0, utc_offset_s: b.wall.1 };
        let mut host = Host::simulated(app, &listeners, &config, facts, Instant::from_nanos(b.now), wall)?;
        let start = host.start_mut();
        start.driver.clone_from(&b.driver);
        (start.shard, start.shards) = (Shard(b.shard), b.shards);
        let (stdin, stdout, columns, rows) = b.tty;
        start.tty = Tty { stdin, stdout, columns, rows };
        let tokens = |s: &proto_core::Start| -> Vec<Option<u64>> {
            let streams = [s.stdin, Some(s.stdout), Some(s.stderr)].map(|t| t.map(Token::to_bits));
            streams.into_iter().chain(s.listeners.iter().map(|l| Some(l.token.to_bits()))).collect()
        };
        let recorded = [b.stdin, Some(b.stdout), Some(b.stderr)];
        let recorded = recorded.into_iter().chain(b.listeners.iter().map(|(t, _)| Some(*t)));
        if !recorded.eq(tokens(start)) {
            return Err(Error::Unavailable("the recording's first tokens are not those of this version".into()));
        }
        host.set_facts(wall, Instant::from_nanos(b.now), Counters::default());
        let (sent, jobs, shard) = (BTreeMap::new(), BTreeMap::new(), Shard(b.shard));
        Ok(Replay { entries, at: 0, outcome: None, host, inputs: 0, sent, jobs, shard })
    }
    /// Goes on; `None` if it waits for a message.
    fn run(&mut self, until: Option<u64>, posts: &mut Posts<A::Msg>) -> Check<Option<Outcome>> {
        while let Some(e) = self.entries.get(self.at) {
            match e {
                Entry::Input { now, input } => {
                    self.no_more_ops()?;
                    if until.is_some_and(|n| self.inputs >= n) {
                        return Ok(Some(Outcome::Same));
                    }
                    let mut post = None;
                    if let Told::Post(from) = input {
                        post = posts.get_mut(&(Shard(*from), self.shard)).and_then(VecDeque::pop_front);
                        if post.is_none() {
                            return Ok(None);
                        }
                    }
                    self.host.set_now(Instant::from_nanos(*now));
                    self.inputs += 1;
                    self.input(input, post)?;
                }
                Entry::Facts { unix_ns, utc_offset_s, wall_at, counters } => {
                    let mut c = Counters::default();
                    c.list_mut().zip(counters).for_each(|((_, to), from)| *to = *from);
                    let wall = Wall { unix_ns: *unix_ns, utc_offset_s: *utc_offset_s };
                    self.host.set_facts(wall, Instant::from_nanos(*wall_at), c);
                }
                Entry::Op(text) => self.op(text, posts)?,
                Entry::Sent { token, bytes } => self.sent(Token::from_bits(*token), bytes)?,
                Entry::SentFile { token, file, offset, len } => {
                    self.sent_file(Token::from_bits(*token), FileId(*file), *offset, *len)?;
                }
                Entry::Left { token, len, bytes } => self.left(Token::from_bits(*token), *len, bytes)?,
                Entry::Opened(bits) => self.opened(Token::from_bits(*bits))?,
                Entry::Retired(bits) => self.retired(Token::from_bits(*bits))?,
                Entry::End => return self.end().map(Some),
                Entry::Begin { .. } => return Err(self.differs("the recording begins twice")),
            }
            self.at += 1;
        }
        Ok(Some(Outcome::CutAt(self.inputs, CUT)))
    }
    fn differs(&self, text: impl Into<String>) -> Box<Difference> {
        let (shard, input, token, offset) = (self.shard, self.inputs, None, 0);
        let (recorded, replayed) = (Vec::new(), Vec::new());
        Box::new(Difference { shard, input, token, offset, recorded, replayed, text: text.into() })
    }

    fn input(&mut self, told: &Told, post: Option<A::Msg>) -> Check<()> {
        let t = |bits: &u64| Token::from_bits(*bits);
        let host = &mut self.host;
        match told {
            Told::Start => host.start(),
            Told::Accepted { conn, listener, remote, fd } => {
                let (conn, listener) = (self.live(*conn)?, t(listener));
                let peer = Peer { remote: remote.clone().into(), local: None, fd: *fd };
                self.host.deliver(Input::Accepted { conn, listener, peer });
            }
            Told::Connected { conn, remote, local, fd } => {
                let local = local.clone().map(Addr::from);
                let (conn, peer) = (self.live(*conn)?, Peer { remote: remote.clone().into(), local, fd: *fd });
                self.host.deliver(Input::Connected { conn, peer });
            }
            Told::Bound { socket, local } => {
                let socket = self.live(*socket)?;
                self.host.deliver(Input::Bound { socket, local: local.clone().into() });
            }
            Told::Bytes(bits, bytes) => {
                let t = self.wanted(*bits)?;
                // As the drivers do: a chunk may be kept, and then belongs to storage of this size.
                let mut store = self.host.table.pool.chunk();
                store.resize(bytes.len().max(CHUNK), 0);
                store.iter_mut().zip(bytes).for_each(|(s, b)| *s = *b);
                self.host.deliver(Input::Bytes(t, Chunk::new(&mut store, bytes.len())));
                self.host.table.pool.put_chunk(store);
            }
            Told::Datagram { socket, from, data } => {
                let (socket, mut data) = (self.wanted(*socket)?, data.clone());
                self.host.deliver(Input::Datagram { socket, from: from.clone().into(), data: &mut data });
            }
            Told::Unreachable { socket, why } => {
                host.deliver(Input::Unreachable { socket: t(socket), why: reason(*why) });
            }
            Told::Eof(bits) => {
                let t = self.live(*bits)?;
                self.host.deliver(Input::Eof(t));
            }
            Told::Writable(bits) => host.deliver(Input::Writable(t(bits))),
            Told::Closed(bits, why) => {
                let t = self.live(*bits)?;
                self.host.say_closed(t, reason(*why));
            }
            Told::Answer(id, done) => {
                let done = done.clone().map(answer).map_err(reason);
                host.deliver(Input::Answer(OpId::from_bits(*id), done));
            }
            Told::Job(id, result) => self.job(OpId::from_bits(*id), *result)?,
            Told::Post(from) => post.into_iter().for_each(|msg| host.deliver(Input::Post(Shard(*from), msg))),
            Told::Deadline => host.deliver(Input::Deadline),
            Told::Signal(kind, columns, rows) => host.deliver(Input::Signal(signal_of(*kind, *columns, *rows))),
            Told::AcceptPaused(l, why) => {
                host.deliver(Input::Trouble(Trouble::AcceptPaused { listener: t(l), why: reason(*why) }));
            }
            Told::DatagramsDropped(count) => {
                host.deliver(Input::Trouble(Trouble::DatagramsDropped { count: *count }));
            }
            Told::Relayed { .. } => return Err(self.differs("a recording does not have the end of a relay by itself")),
            Told::RecordingEnded(why) => {
                host.deliver(Input::Trouble(Trouble::RecordingEnded { why: reason(*why) }));
            }
        }
        Ok(())
    }
    /// A token that an input is for, which must live here too.
    fn live(&self, bits: u64) -> Check<Token> {
        let t = Token::from_bits(bits);
        match self.host.table.is_live(t) {
            true => Ok(t),
            false => Err(self.differs(format!("an input for {t:?}, which the replay does not have"))),
        }
    }
    fn wanted(&self, bits: u64) -> Check<Token> {
        let t = self.live(bits)?;
        match self.host.table.is_wanted(t) {
            true => Ok(t),
            false => Err(self.differs(format!("input of {t:?}, which the replay has paused"))),
        }
    }
    fn job(&mut self, id: OpId, result: Option<u8>) -> Check<()> {
        let Some(job) = self.jobs.remove(&id) else {
            return Err(self.differs(format!("the end of job {id:?}, which the replay has not asked for")));
        };
        let result = match result {
            Some(why) => Err(lost(why)),
            None => workers::perform::<A>(job, Duration::ZERO),
        };
        self.host.deliver(Input::Job(id, result));
        Ok(())
    }
    fn op(&mut self, recorded: &str, posts: &mut Posts<A::Msg>) -> Check<()> {
        let Some(op) = self.host.take_op() else {
            return Err(self.differs(format!("the recording has an op more: {recorded}")));
        };
        let replayed = op.describe();
        if replayed != recorded {
            return Err(self.differs(format!("another op\n  recorded: {recorded}\n  replayed: {replayed}")));
        }
        match op {
            Op::Close { conn, linger } => self.host.linger(conn, linger),
            Op::Relay { from, to, quota } => self.host.relay(from, to, quota),
            Op::Job { id, job, .. } => drop(self.jobs.insert(id, job)),
            Op::Post { to, msg } => posts.entry((self.shard, to)).or_default().push_back(msg),
            _ => {}
        }
        Ok(())
    }
    fn no_more_ops(&mut self) -> Check<()> {
        match self.host.take_op() {
            Some(op) => Err(self.differs(format!("the replay has an op more: {}", op.describe()))),
            None => Ok(()),
        }
    }

    /// Compares bytes with the front of an output and takes them off it. File ranges, which the driver may have read into
    /// memory, count by their length.
    fn sent(&mut self, t: Token, recorded: &[u8]) -> Check<()> {
        let mut rest = recorded;
        while !rest.is_empty() {
            let front = self.front(t, rest.len());
            let n = match front {
                Front::File(n) => n,
                Front::Bytes(b) => {
                    self.compare(t, rest, &b)?;
                    b.len()
                }
            };
            self.take(t, n);
            rest = rest.get(n..).unwrap_or_default();
        }
        Ok(())
    }
    fn front(&self, t: Token, most: usize) -> Front {
        match self.host.table.tx(t).map(|tx| (tx.next(), tx)) {
            Some((Next::File { len, .. }, _)) => Front::File(len.min(most)),
            Some((Next::Bytes, tx)) => Front::Bytes(crate::record::front(tx, most)),
            Some((Next::Empty, _)) | None => Front::Bytes(Vec::new()),
        }
    }
    /// What the replay has is at most as long as what was recorded, shorter only before a file range.
    fn compare(&self, t: Token, recorded: &[u8], replayed: &[u8]) -> Check<()> {
        let same = recorded.iter().zip(replayed).take_while(|(a, b)| a == b).count();
        if same == replayed.len() && same > 0 {
            return Ok(());
        }
        let shown = |b: &[u8]| b.iter().skip(same).take(SHOWN).copied().collect();
        let text = if same == replayed.len() { "the replay has nothing to send" } else { "other bytes" };
        Err(Box::new(Difference {
            shard: self.shard,
            input: self.inputs,
            token: Some(t),
            offset: self.offset(t) + same as u64,
            recorded: shown(recorded),
            replayed: shown(replayed),
            text: text.into(),
        }))
    }
    fn offset(&self, t: Token) -> u64 {
        self.sent.get(&t).copied().unwrap_or_default()
    }
    fn take(&mut self, t: Token, n: usize) {
        *self.sent.entry(t).or_default() += n as u64;
        self.host.consumed(t, n);
        self.host.writable.clear(); // the recording says when the app is told
    }
    fn sent_file(&mut self, t: Token, file: FileId, offset: u64, len: u64) -> Check<()> {
        match self.host.table.tx(t).map(proto_core::Tx::next) {
            Some(Next::File { file: f, offset: o, len: l }) if (f, o) == (file, offset) && l as u64 >= len => {
                self.take(t, len as usize);
                Ok(())
            }
            other => {
                let text = format!("{len} bytes of file {} from {offset} were sent, the replay has {other:?}", file.0);
                let at = self.offset(t);
                Err(Box::new(Difference { token: Some(t), offset: at, ..*self.differs(text) }))
            }
        }
    }
    /// Output that was never sent: as much of it, and the same.
    fn left(&mut self, t: Token, len: u64, recorded: &[u8]) -> Check<()> {
        let here = self.host.table.tx(t).map_or(0, |tx| tx.len() as u64);
        self.sent(t, recorded)?;
        if here != len {
            return Err(self.unsent(t, len, here));
        }
        let rest = self.host.table.tx(t).map_or(0, proto_core::Tx::len);
        self.take(t, rest); // file ranges that nobody had read
        Ok(())
    }
    fn unsent(&self, t: Token, recorded: u64, replayed: u64) -> Box<Difference> {
        let text = format!("{recorded} bytes were never sent, in the replay {replayed}");
        Box::new(Difference { token: Some(t), offset: self.offset(t), ..*self.differs(text) })
    }
    /// What the app has put and the recording neither sent nor left.
    fn nothing_left(&self, t: Token) -> Check<()> {
        let Some(tx) = self.host.table.tx(t).filter(|tx| !tx.is_empty()) else { return Ok(()) };
        let mut d = self.unsent(t, 0, tx.len() as u64);
        d.replayed = crate::record::front(tx, SHOWN);
        Err(d)
    }
    fn opened(&mut self, recorded: Token) -> Check<()> {
        let t = self.host.table.open(recorded.part());
        match t == recorded {
            true => Ok(()),
            false => Err(self.differs(format!("the driver took slot {recorded:?}, in the replay it is {t:?}"))),
        }
    }
    fn retired(&mut self, t: Token) -> Check<()> {
        self.nothing_left(t)?;
        self.sent.remove(&t);
        self.host.retire(t);
        Ok(())
    }
    fn end(&mut self) -> Check<Outcome> {
        self.no_more_ops()?;
        self.host.table.tokens().try_for_each(|t| self.nothing_left(t))?;
        Ok(Outcome::Same)
    }
}

enum Front {
    File(usize),
    Bytes(Vec<u8>),
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Same => write!(f, "same output, {} inputs", self.inputs),
            Outcome::CutAt(n, why) => write!(f, "same output up to input {n}: {why}"),
            Outcome::Differs(d) => d.fmt(f),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "first difference at input {}", self.input)?;
        if self.shard != Shard(0) {
            write!(f, " of loop {}", self.shard.0)?;
        }
        if let Some(t) = self.token {
            write!(f, ", connection {t:?}, byte {}", self.offset)?;
        }
        write!(f, ": {}", self.text)?;
        if self.recorded.is_empty() && self.replayed.is_empty() {
            return Ok(());
        }
        for (name, bytes) in [("recorded", &self.recorded), ("replayed", &self.replayed)] {
            write!(f, "\n  {name}:")?;
            bytes.iter().try_for_each(|b| write!(f, " {b:02x}"))?;
            write!(f, "  \"{}\"", bytes.escape_ascii())?;
        }
        Ok(())
    }
}
