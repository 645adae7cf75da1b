//! Runs one machine over input that is cut anyhow, drains its output anyhow, and writes down what it did.
//!
//! Knows nothing but the contract, so that fuzz targets use it too. What breaks a law of
//! [`proto_core::Machine`] is an `Err` with a sentence.
use proto_core::{Deadline, Flight, Instant, Machine, Rx, Step, Tx};
use std::fmt::Write;
use std::time::Duration;

/// Small seeded random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// A number below `n`; 0 if there is none.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// What an event says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// A line of text.
    Event(String),
    /// Bytes that may come in any number of pieces: only what they are together counts.
    Piece(&'static str, Vec<u8>),
}

/// A machine under test.
pub trait Subject {
    /// Its type.
    type Machine: Machine;
    /// Names of events that are pieces.
    const PIECES: &'static [&'static str] = &[];
    /// A machine with the settings of a transcript, which are (name, value).
    fn new(settings: &[(String, String)]) -> Result<Self::Machine, String>;
    /// What an event says; the place to do what an app would do with it.
    fn said(event: <Self::Machine as Machine>::Event<'_>, tx: &mut Tx) -> Said;
    /// It may pause though there is room: it waits for a command.
    fn waits(_machine: &Self::Machine) -> bool {
        false
    }
    /// Runs a command of a transcript.
    fn command(_machine: &mut Self::Machine, _tx: &mut Tx, text: &str) -> Result<(), String> {
        Err(format!("no such command: {text}"))
    }
}

/// What a machine did, with the cuts forgotten.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Log {
    /// Events in order, neighbouring pieces joined; the last may be `closed` or `fault ...`.
    pub events: Vec<Said>,
    /// Bytes sent.
    pub output: Vec<u8>,
}

impl Log {
    /// Adds an event.
    pub fn push(&mut self, said: Said) {
        match (self.events.last_mut(), &said) {
            (Some(Said::Piece(old, bytes)), Said::Piece(new, more)) if old == new => bytes.extend_from_slice(more),
            (_, Said::Piece(_, bytes)) if bytes.is_empty() => {}
            _ => self.events.push(said),
        }
    }
    /// In the notation of transcripts.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for event in &self.events {
            let _ = match event {
                Said::Event(e) => writeln!(text, "! {e}"),
                Said::Piece(name, bytes) => writeln!(text, "! {name} {}", bytes.escape_ascii()),
            };
        }
        if !self.output.is_empty() {
            let _ = writeln!(text, "< {}", self.output.escape_ascii());
        }
        text
    }
}

/// How output is taken from the machine.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The output's soft limit in bytes.
    pub limit: usize,
    /// Takes all at once, or random portions.
    pub drain: Option<Rng>,
}

impl Plan {
    /// The default limit, all taken at once.
    pub fn simple() -> Self {
        Plan { limit: Tx::default().limit(), drain: None }
    }
    /// A small limit and random portions.
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let limit = 1 + [3, 40, 700, 70_000].get(rng.below(4)).map_or(0, |n| rng.below(*n));
        Plan { limit, drain: Some(rng) }
    }
}

/// A machine that runs.
pub struct Run<S: Subject> {
    machine: S::Machine,
    tx: Tx,
    tail: Vec<u8>,
    eof: bool,
    over: bool,
    now: Instant,
    plan: Plan,
    log: Log,
    /// Polls so far.
    pub polls: u64,
}

/// Polls in a row that neither take a byte nor send one, before it counts as going round in circles.
const CIRCLES: u32 = 64;

impl<S: Subject> Run<S> {
    /// Starts a machine.
    pub fn new(settings: &[(String, String)], plan: Plan) -> Result<Self, String> {
        let mut machine = S::new(settings)?;
        let mut tx = Tx::with_limit(plan.limit);
        let (now, log) = (Instant::from_nanos(1), Log::default());
        machine.fill(now, &mut tx); // as a connection does when it begins
        Ok(Run { machine, tx, tail: Vec::new(), eof: false, over: false, now, plan, log, polls: 0 })
    }
    /// It has closed or failed.
    pub fn is_over(&self) -> bool {
        self.over
    }
    /// Bytes shown and not taken yet.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }
    /// What it wants to be woken for.
    pub fn deadline(&self) -> Option<Deadline> {
        self.machine.deadline()
    }
    /// More input, and perhaps its end.
    pub fn input(&mut self, bytes: &[u8], eof: bool) -> Result<(), String> {
        if !self.over {
            self.tail.extend_from_slice(bytes);
            self.eof |= eof;
            self.poll()?;
        }
        Ok(())
    }
    /// Time passes; deadlines within come first, each at its time.
    pub fn wait(&mut self, span: Duration) -> Result<(), String> {
        let until = self.now.after(span);
        let mut rounds = 0;
        while let Some(d) = self.machine.deadline().filter(|d| d.at <= until && !self.over) {
            rounds += 1;
            if rounds > 10_000 {
                return Err(format!("the deadline for {} never moves", d.why));
            }
            self.now = self.now.max(d.at);
            let told = self.machine.on_deadline(self.now, &mut self.tx);
            self.end(told.err().map(|f| format!("fault {}: {f}", f.code)));
            self.poll()?;
        }
        self.now = until;
        self.poll()
    }
    /// Runs a command.
    pub fn command(&mut self, text: &str) -> Result<(), String> {
        S::command(&mut self.machine, &mut self.tx, text)?;
        self.poll()
    }
    /// What it did since the last call; takes all output, also what finds room only then.
    pub fn log(&mut self) -> Log {
        loop {
            drain(&mut self.tx, usize::MAX, false, &mut self.log);
            if self.over {
                break;
            }
            if let Err(why) = self.poll() {
                self.end(Some(why));
            }
            if self.tx.is_empty() {
                break;
            }
        }
        std::mem::take(&mut self.log)
    }

    fn end(&mut self, why: Option<String>) {
        if let Some(why) = why {
            self.over = true;
            self.log.push(Said::Event(why));
        }
    }
    /// Until it wants more.
    fn poll(&mut self) -> Result<(), String> {
        let mut at = 0;
        let polled = self.poll_from(&mut at);
        self.tail.drain(..at);
        polled
    }
    fn poll_from(&mut self, at: &mut usize) -> Result<(), String> {
        let mut circles = 0;
        while !self.over {
            let sent = self.log.output.len();
            let (used, answer) = self.step(*at)?;
            *at += used;
            match answer {
                Answer::More => {
                    self.drain(0);
                    self.machine.fill(self.now, &mut self.tx);
                    return Ok(());
                }
                Answer::Room => self.drain(1),
                Answer::Again => {}
                Answer::Over(why) => self.end(Some(why)),
            }
            circles = if used > 0 || self.log.output.len() > sent { 0 } else { circles + 1 };
            if circles > CIRCLES {
                return Err(format!("{CIRCLES} polls without progress"));
            }
        }
        Ok(())
    }
    /// One poll: how many bytes it took, and what comes next.
    fn step(&mut self, at: usize) -> Result<(usize, Answer), String> {
        self.polls += 1;
        let rest = self.tail.get_mut(at..).unwrap_or_default();
        let shown = rest.len();
        let mut rx = Rx::new(rest, self.eof);
        let step = self.machine.poll(self.now, &mut rx, &mut self.tx);
        let used = shown - rx.len();
        let answer = match step {
            Ok(Step::Event(event)) => {
                self.log.push(S::said(event, &mut self.tx));
                Answer::Again
            }
            Ok(Step::NeedMore) if self.eof => return Err("it needs more after the end of input".into()),
            Ok(Step::NeedMore) => Answer::More,
            Ok(Step::Paused) if S::waits(&self.machine) => Answer::More,
            Ok(Step::Paused) if self.tx.room() > 0 => return Err("it paused though there is room".into()),
            Ok(Step::Paused) => Answer::Room,
            Ok(Step::Closed) => Answer::Over("closed".into()),
            Err(fault) => Answer::Over(format!("fault {}: {fault}", fault.code)),
        };
        Ok((used, answer))
    }
    /// Takes all output, or a portion of at least `least` bytes.
    fn drain(&mut self, least: usize) {
        let portion = |rng: &mut Rng| least + rng.below(self.tx.len() + 1 - least.min(self.tx.len()));
        let n = self.plan.drain.as_mut().map_or(usize::MAX, portion);
        let flights = self.plan.drain.as_mut().is_some_and(|rng| rng.below(2) == 0);
        drain(&mut self.tx, n, flights, &mut self.log);
    }
}

/// What a poll asks for.
enum Answer {
    More,
    Room,
    Again,
    Over(String),
}

/// Takes output: as readiness drivers do, or as completion drivers do.
fn drain(tx: &mut Tx, n: usize, flights: bool, log: &mut Log) {
    let mut n = n.min(tx.len());
    let mut flight = Flight::default();
    while flights && n > 0 && tx.launch(3, &mut flight) {
        let at = log.output.len();
        log.output.extend(flight.chunks().flatten().take(n));
        let sent = log.output.len() - at;
        tx.land(sent, &mut flight, None);
        n -= sent;
    }
    let at = log.output.len();
    log.output.extend(tx.chunks().flatten().take(n));
    tx.consume(log.output.len() - at, None);
}

/// What a machine does with `input`, cut at `cuts` (ascending), with `plan`. At the end of input if `eof`: told with
/// the last bytes when `plan` says random and its dice say so, else in a call of its own.
pub fn over<S: Subject>(
    settings: &[(String, String)],
    input: &[u8],
    cuts: &[usize],
    eof: bool,
    mut plan: Plan,
) -> Result<Log, String> {
    let together = plan.drain.as_mut().is_some_and(|rng| rng.below(2) == 0);
    let mut run = Run::<S>::new(settings, plan)?;
    let mut at = 0;
    for &cut in cuts.iter().chain([&input.len()]) {
        let cut = cut.clamp(at, input.len());
        let last = cut == input.len();
        run.input(input.get(at..cut).unwrap_or_default(), eof && together && last)?;
        at = cut;
    }
    if eof {
        run.input(&[], true)?;
    }
    Ok(run.log())
}
