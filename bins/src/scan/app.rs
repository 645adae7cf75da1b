//! The app: finds out what to scan, sends the probes that `Sweep` wants, and tells it what becomes of them.
mod begin;
mod end;
mod half;
mod talk;

use super::asking::Asking;
use super::found::{Found, Row};
use super::options::{Form, Options, Protocol};
use super::sweep::{Late, Sweep};
use super::targets::Targets;
use super::{State, Verdict, Why, json, probes};
use crate::keeper::Keeper;
use crate::outcome::{Code, Failure};
use crate::slurp::Slurp;
use core::convert::Infallible;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto_core::tls::ClientSetup;
use proto_core::{Addr, App, Bytes, ConnectOpts, Cx, Deadline, Input, Instant, Op, Reason, Signal, Slots, Token};
use std::collections::BTreeSet;
use talk::Talks;

type ScanCx<'a> = Cx<'a, Infallible, Infallible>;

/// Part bytes: probes, names and the list of targets, files, the resume file being written.
const PROBES: u8 = 1;
const ASKING: u8 = 2;
const FILES: u8 = 3;
const KEEPER: u8 = 4;
/// Keys of files: a slurp takes three.
const RESUME: u64 = 0;
const OLD: u64 = 3;
/// Silent ports without a single answer before the user is told.
const SILENT: u64 = 100;
/// How often the position is written.
const SAVE: Duration = Duration::from_secs(5);
/// When progress is shown first, and how often then.
const SHOW: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(500));

/// What it is busy with.
#[derive(Debug)]
enum Stage {
    /// Finding out what to scan.
    Asking,
    /// Waiting for a yes or no.
    Question(Vec<u8>),
    /// Waiting for raw sockets.
    Opening,
    /// Scanning.
    Scanning,
    /// Writing the result, and where it stopped if it did.
    Ending(Code),
}

/// What a socket of ours asks.
#[derive(Clone, Copy, Debug)]
struct Probe {
    target: u64,
}

/// The app.
#[derive(Debug)]
pub struct Scan {
    o: Options,
    out: Option<Token>,
    err: Option<Token>,
    stdin: Option<Token>,
    typed: bool,
    stage: Stage,
    asking: Asking,
    slurps: [Option<Slurp>; 2],
    /// What the files hold: the earlier position, the earlier result.
    read: [Option<Bytes>; 2],
    capacity: usize,
    /// Probes that may be under way at once.
    window: u32,
    targets: Targets,
    digest: u64,
    seed: Option<u64>,
    sweep: Option<Sweep>,
    found: Found,
    old: BTreeSet<(IpAddr, u16)>,
    probes: Slots<Probe>,
    raw: Option<half::Raw>,
    talks: Talks,
    /// Who greets open ports, with `--tls`.
    tls: Option<ClientSetup>,
    began: Instant,
    /// Targets that an earlier run has done.
    before: u64,
    keeper: Option<Keeper>,
    /// The first key of the last question about it.
    saves: u64,
    /// The position at the end was written, or is being written.
    saved_last: bool,
    save_at: Option<Instant>,
    show_at: Option<Instant>,
    shown: bool,
    told_silence: bool,
    told_limit: bool,
    /// Output that waits for room, and how much of it is out.
    pending: (Vec<u8>, usize),
}

impl Scan {
    /// With what the command line says.
    pub fn new(o: Options) -> Self {
        let asking = Asking::new(ASKING, o.items.clone(), o.list.clone(), o.source, o.family);
        let mut targets = Targets::default();
        o.exclude.iter().for_each(|block| targets.exclude(*block));
        Scan {
            found: Found::new(o.listed(0)),
            o,
            out: None,
            err: None,
            stdin: None,
            typed: false,
            stage: Stage::Asking,
            asking,
            slurps: [None, None],
            read: [None, None],
            capacity: 0,
            window: 0,
            targets,
            digest: 0,
            seed: None,
            sweep: None,
            old: BTreeSet::new(),
            probes: Slots::default(),
            raw: None,
            talks: Talks::default(),
            tls: None,
            began: Instant::default(),
            before: 0,
            keeper: None,
            saves: 0,
            saved_last: false,
            save_at: None,
            show_at: None,
            shown: false,
            told_silence: false,
            told_limit: false,
            pending: (Vec::new(), 0),
        }
    }

    fn complain(&mut self, text: &str, cx: &mut ScanCx<'_>) {
        self.unshow(cx);
        if let Some(tx) = self.err.and_then(|t| cx.tx(t)) {
            tx.put(format!("portscan: {text}\n").as_bytes());
        }
    }
    /// The same, unless only data is wanted.
    fn note(&mut self, text: &str, cx: &mut ScanCx<'_>) {
        if !self.o.quiet {
            self.complain(text, cx);
        }
    }
    fn fail(&mut self, failure: &Failure, cx: &mut ScanCx<'_>) {
        self.complain(&failure.text, cx);
        self.stage = Stage::Ending(failure.code);
        self.pump(cx);
    }

    /// Sends what may go.
    fn fill(&mut self, cx: &mut ScanCx<'_>) {
        if !matches!(self.stage, Stage::Scanning) {
            return;
        }
        let busy = self.busy();
        while let Some(sweep) = &mut self.sweep
            && let Some(target) = sweep.next(busy, cx.now)
        {
            if self.raw.is_some() {
                self.send_syn(target, cx);
                continue;
            }
            let Some((ip, _, port)) = self.place(target) else { continue };
            let to = Addr::Ip(SocketAddr::new(ip, port));
            let token = cx.token(PROBES);
            let opts = ConnectOpts { error_queue: true, ..ConnectOpts::default() };
            cx.op(match self.o.protocol {
                Protocol::Tcp => Op::Connect { conn: token, to, opts },
                Protocol::Udp => Op::Udp { socket: token, bind: None, to: Some(to) },
            });
            self.probes.insert(token, Probe { target });
            if let Some(sweep) = &mut self.sweep {
                sweep.launched(target, token);
            }
        }
        if self.sweep.as_ref().is_some_and(Sweep::is_over) && self.talks.is_empty() {
            self.end(None, cx);
        }
    }
    /// Sockets in use for something else than probes; no end of them while nobody takes what is printed.
    fn busy(&self) -> usize {
        let blocked = self.o.form == Form::Lines && self.pending.0.len() > self.pending.1;
        if blocked { usize::MAX } else { self.talks.len() }
    }
    /// Where a target is: its address, the number of that, and its port.
    fn place(&self, target: u64) -> Option<(IpAddr, u32, u16)> {
        let ports = u64::from(self.o.ports.len().max(1));
        let (host, port) = (target / ports, target % ports);
        Some((self.targets.nth(host)?, u32::try_from(host).ok()?, self.o.ports.nth(u32::try_from(port).ok()?)?))
    }
    fn connected(&mut self, conn: Token, itself: bool, cx: &mut ScanCx<'_>) {
        let Some(Probe { target }) = self.probes.remove(conn) else { return };
        let Some(sweep) = &mut self.sweep else { return };
        if itself {
            sweep.repeat(target);
            return cx.abort(conn);
        }
        let heard = sweep.heard(target, cx.now);
        if self.o.banner && heard {
            return self.listen_to(conn, target, cx);
        }
        cx.abort(conn);
        self.known(target, State::Open, Why::SynAck, None, cx);
    }
    /// A probe has ended without a connection.
    fn failed(&mut self, target: u64, why: Reason, cx: &mut ScanCx<'_>) {
        let Some(sweep) = &mut self.sweep else { return };
        match Verdict::of(why) {
            Verdict::Known(state, why) => {
                if sweep.heard(target, cx.now) {
                    self.known(target, state, why, None, cx);
                }
            }
            Verdict::Silence => {
                if let Some(late) = sweep.silent(target) {
                    self.late(late, cx);
                }
            }
            Verdict::Local => {
                let hope = sweep.stuck(target, cx.now);
                if !hope {
                    let text = format!("cannot open more connections: {why}");
                    return self.end(Some(Failure::new(Code::Local, text)), cx);
                }
                if !std::mem::replace(&mut self.told_limit, true) {
                    self.note(&format!("{why}: fewer probes at once, and these again"), cx);
                }
            }
        }
    }
    fn late(&mut self, late: Late, cx: &mut ScanCx<'_>) {
        if let Some(token) = late.token
            && self.probes.remove(token).is_some()
        {
            self.drop_socket(token, cx);
        }
        if late.again {
            return;
        }
        let state = if self.o.protocol == Protocol::Udp { State::OpenFiltered } else { State::Filtered };
        self.known(late.target, state, Why::NoAnswer, None, cx);
        let silent = self.found.count(state);
        if silent >= SILENT && silent == self.found.total() && !std::mem::replace(&mut self.told_silence, true) {
            self.note("no reply so far; the host may be down or drop everything", cx);
        }
    }
    fn drop_socket(&self, token: Token, cx: &mut ScanCx<'_>) {
        match self.o.protocol {
            Protocol::Tcp => cx.abort(token),
            Protocol::Udp => cx.close(token, Duration::ZERO),
        }
    }
    /// A port's state is known.
    fn known(&mut self, target: u64, state: State, why: Why, banner: Option<Vec<u8>>, cx: &mut ScanCx<'_>) {
        let Some((_, host, port)) = self.place(target) else { return };
        let row = Row { host, port, state, why };
        let listed = self.found.add(row);
        if self.o.form == Form::Lines && listed {
            let line = json::line(&self.o, &self.targets, &row, banner.as_deref());
            self.print(&line, cx);
        }
        if let Some(banner) = banner {
            self.found.add_banner(host, port, banner);
        }
    }
    /// A datagram socket is open, has an answer, or an error.
    fn datagram(&mut self, socket: Token, end: Option<Verdict>, cx: &mut ScanCx<'_>) {
        let Some(Probe { target }) = self.probes.get(socket).copied() else { return };
        let Some(verdict) = end else {
            let port = self.place(target).map_or(0, |(_, _, port)| port);
            return cx.send_to(socket, None, probes::payload(port));
        };
        let Verdict::Known(state, why) = verdict else { return };
        self.probes.remove(socket);
        cx.close(socket, Duration::ZERO);
        if self.sweep.as_mut().is_some_and(|s| s.heard(target, cx.now)) {
            self.known(target, state, why, None, cx);
        }
    }
    fn due(&mut self, cx: &mut ScanCx<'_>) {
        if let Some(sweep) = &mut self.sweep {
            sweep.breathe();
        }
        if !matches!(self.stage, Stage::Scanning) {
            return;
        }
        while let Some(late) = self.sweep.as_mut().and_then(|s| s.expired(cx.now)) {
            self.late(late, cx);
        }
        while let Some(talk) = self.talks.expired(cx.now) {
            self.said(talk, cx);
        }
        if self.save_at.is_some_and(|at| at <= cx.now) {
            self.save_at = Some(cx.now.after(SAVE));
            self.save(cx);
        }
        if self.show_at.is_some_and(|at| at <= cx.now) {
            self.show_at = Some(cx.now.after(SHOW.1));
            self.show(cx);
        }
    }
}

impl App for Scan {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut ScanCx<'_>) {
        if matches!(self.stage, Stage::Asking) {
            match self.asking.handle(&input, cx) {
                Ok(()) => {}
                Err(failure) => return self.fail(&failure, cx),
            }
        }
        self.take(input, cx);
        self.prepare(cx);
        self.fill(cx);
    }
    fn deadline(&self) -> Option<Deadline> {
        let asking = self.asking.deadline().filter(|_| matches!(self.stage, Stage::Asking));
        let Stage::Scanning = self.stage else { return asking };
        let at = |at: Option<Instant>, why| at.map(|at| Deadline { at, since: self.began, why });
        let sweep = self.sweep.as_ref().and_then(|s| s.deadline(self.busy(), self.began));
        let others = [at(self.save_at, "position"), at(self.show_at, "progress"), at(self.talks.next(), "banner")];
        others.into_iter().fold(sweep, Deadline::earliest)
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

impl Scan {
    fn take(&mut self, input: Input<'_, Infallible>, cx: &mut ScanCx<'_>) {
        match input {
            Input::Start(start) => {
                (self.out, self.err, self.stdin) = (Some(start.stdout), Some(start.stderr), start.stdin);
                self.typed = start.tty.stdin && start.stdin.is_some();
                self.capacity = start.capacity;
                let slurp = |path: &Option<String>, key, most, cx: &mut ScanCx<'_>| {
                    path.as_ref().map(|path| Slurp::start(FILES, key, (path, most), cx))
                };
                self.slurps = [
                    slurp(&self.o.resume, RESUME, super::state::MOST, cx),
                    slurp(&self.o.diff, OLD, super::compare::MOST, cx),
                ];
                self.asking.start(cx);
            }
            Input::Connected { conn, peer } => {
                let itself = peer.local.as_ref() == Some(&peer.remote);
                self.connected(conn, itself, cx);
            }
            Input::Closed(t, _) if Some(t) == self.out => cx.exit(Code::Ok as u8),
            Input::Closed(t, why) => match self.probes.remove(t) {
                Some(Probe { target }) => self.failed(target, why, cx),
                None if self.raw_closed(t, why, cx) => {}
                None => self.hung_up(t, cx),
            },
            Input::Bytes(t, chunk) if Some(t) == self.stdin => self.answered(&chunk, false, cx),
            Input::Eof(t) if Some(t) == self.stdin => self.answered(&[], true, cx),
            Input::Bytes(t, chunk) => self.heard_bytes(t, &chunk, cx),
            Input::Eof(t) => self.hung_up(t, cx),
            Input::Bound { socket, ref local } if self.raw_bound(socket, local, cx) => {}
            Input::Bound { socket, .. } => self.datagram(socket, None, cx),
            Input::Datagram { socket, ref from, data } if self.packet(socket, from, data, cx) => {}
            Input::Datagram { socket, .. } => {
                self.datagram(socket, Some(Verdict::Known(State::Open, Why::Response)), cx)
            }
            Input::Unreachable { socket, why } if !self.is_raw(socket) => {
                self.datagram(socket, Some(Verdict::of(why)), cx)
            }
            Input::Writable(_) => self.pump(cx),
            Input::Answer(id, answer) if id.part() == KEEPER => self.kept(id, &answer, cx),
            Input::Answer(..) => self.slurp(&input, cx),
            Input::Deadline => self.due(cx),
            Input::Signal(Signal::Interrupt | Signal::Terminate) => self.interrupted(cx),
            Input::Signal(Signal::Report) if self.sweep.is_some() => self.show(cx),
            _ => {}
        }
    }
    fn slurp(&mut self, input: &Input<'_, Infallible>, cx: &mut ScanCx<'_>) {
        let read = |slurp: &mut Option<Slurp>, cx: &mut ScanCx<'_>| {
            let read = slurp.as_mut().and_then(|s| s.handle(input, cx));
            if read.is_some() {
                *slurp = None;
            }
            read
        };
        let [resume, old] = &mut self.slurps;
        let (resume, old) = (read(resume, cx), read(old, cx));
        if let Some(read) = resume {
            match read {
                Ok(bytes) => self.read[0] = Some(bytes),
                Err(Reason::NotFound) => {} // the first run
                Err(why) => return self.unreadable(self.o.resume.clone(), why, cx),
            }
        }
        match old {
            Some(Ok(bytes)) => self.read[1] = Some(bytes),
            Some(Err(why)) => self.unreadable(self.o.diff.clone(), why, cx),
            None => {}
        }
    }
    fn unreadable(&mut self, path: Option<String>, why: Reason, cx: &mut ScanCx<'_>) {
        let path = path.unwrap_or_default();
        self.fail(&Failure::usage(format!("cannot read '{}': {why}", path.escape_debug())), cx);
    }
}
