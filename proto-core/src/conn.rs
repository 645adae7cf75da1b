//! One connection of an app: layers, the unfinished tail of the input, and a machine.
use crate::{
    Bytes, Chunk, Deadline, Fault, FileId, Grounds, Info, Instant, Layer, Machine, Next, Sealed, Token, Tx, Wall,
};
use alloc::{boxed::Box, vec::Vec};
use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

/// How long the peer of a connection that is over may take to read the last words, without progress.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// What happened on a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum ConnEvent<E> {
    /// A layer is ready; precedes every machine event. Not told without layers.
    Ready(Info),
    /// The machine says.
    Machine(E),
}

#[derive(Debug)]
enum Store<'c> {
    Lent(Chunk<'c>),
    Kept(Vec<u8>),
}

/// The bytes of one feeding, taken out of the connection: events borrow the feeding and never the connection, so an
/// event of A may write to B. That is a broadcast.
#[derive(Debug)]
#[must_use = "give it back with Conns::done, or its unread bytes are lost"]
pub struct Feed<'c> {
    pub(crate) token: Token,
    store: Store<'c>,
    at: usize,
    eof: bool,
    ready: Option<Info>,
    fault: Option<Fault>,
}

/// A layer between the wire and the machine. `inbox` comes from below, `out` from above.
struct Stage {
    layer: Box<dyn Layer>,
    inbox: Vec<u8>,
    out: Tx,
    ready: bool,
    closed: bool,
}

/// Layers, unfinished tail and machine. Without layers the machine reads what the driver lends and writes into the
/// wire's output: nothing is copied but the head of an unfinished frame.
pub struct Conn<M> {
    /// The protocol.
    pub machine: M,
    stages: Vec<Stage>,
    tail: Vec<u8>,
    /// What the lowest layer said about where it comes from, until all are ready.
    from: Option<Box<SocketAddr>>,
    /// What a layer said and the app has not heard yet, because the machine paused or the app stopped listening.
    ready: Option<Info>,
    fault: Option<Fault>,
    eof: bool,
    over: bool,
    paused: bool,
    /// Over, but waiting for files ahead of the last words: since when, and what had been sent by then.
    pub(crate) draining: Option<(Instant, u64)>,
    /// A file that was promised could not be read: nothing that follows may be sent.
    pub(crate) broken: bool,
    pub(crate) held: bool,
    pub(crate) touched: bool,
    pub(crate) closing: bool,
    pub(crate) asked: bool,
    /// When its timer wakes it up: a look here saves a search among the timers.
    pub(crate) armed: Option<Instant>,
}

impl<M: Machine> Conn<M> {
    pub(crate) fn new(machine: M, layers: Vec<Box<dyn Layer>>) -> Self {
        let stage = |layer| Stage { layer, inbox: Vec::new(), out: Tx::default(), ready: false, closed: false };
        Conn {
            machine,
            stages: layers.into_iter().map(stage).collect(),
            tail: Vec::new(),
            from: None,
            ready: None,
            fault: None,
            eof: false,
            over: false,
            paused: false,
            draining: None,
            broken: false,
            held: false,
            touched: false,
            closing: false,
            asked: false,
            armed: None,
        }
    }
    /// The protocol is over, by agreement or by fault: input is discarded.
    pub fn is_over(&self) -> bool {
        self.over
    }
    /// Input that was received and not yet understood, in bytes.
    pub fn tail_len(&self) -> usize {
        self.tail.len()
    }
    /// Takes the unread tail, for whoever takes the connection over.
    pub fn take_tail(&mut self) -> Vec<u8> {
        mem::take(&mut self.tail)
    }
    pub(crate) fn end(&mut self) {
        self.over = true;
        self.tail = Vec::new();
    }
    /// Where the machine writes: the top layer, or the wire if there is none.
    pub(crate) fn out<'a>(&'a mut self, wire: &'a mut Tx) -> &'a mut Tx {
        self.parts(wire).1
    }
    /// The top layer's output has as much room as the wire: so a machine pauses only if its output, once sealed, fills
    /// the wire, and `Writable` will come.
    pub(crate) fn parts<'a>(&'a mut self, wire: &'a mut Tx) -> (&'a mut M, &'a mut Tx) {
        let out = match self.stages.last_mut() {
            Some(top) => {
                top.out.set_limit(wire.room());
                &mut top.out
            }
            None => wire,
        };
        (&mut self.machine, out)
    }
    /// Nothing may be put any more.
    pub(crate) fn is_finished(&self, wire: &Tx) -> bool {
        self.closing || self.stages.last().map_or(wire, |top| &top.out).is_finished()
    }
    /// Input is wanted. A handshake goes on even while the machine waits for room.
    pub(crate) fn wants_input(&self) -> bool {
        !(self.held || self.paused && self.stages.iter().all(|s| s.ready))
    }
    /// Something is between the wire and the machine.
    pub fn is_layered(&self) -> bool {
        !self.stages.is_empty()
    }

    pub(crate) fn start(&mut self, now: Instant, wall: Wall, wire: &mut Tx) {
        for i in 0..self.stages.len() {
            if let Some((stage, below)) = self.stage(i, wire) {
                stage.layer.tell_time(wall);
                stage.layer.start(now, below);
            }
        }
    }
    /// A stage and the output beneath it.
    fn stage<'a>(&'a mut self, i: usize, wire: &'a mut Tx) -> Option<(&'a mut Stage, &'a mut Tx)> {
        let (lower, upper) = self.stages.split_at_mut(i);
        Some((upper.first_mut()?, lower.last_mut().map_or(wire, |s| &mut s.out)))
    }

    /// Takes the connection's bytes out for a round of [`Conn::next`].
    pub(crate) fn feed<'c>(
        &mut self,
        token: Token,
        (now, wall): (Instant, Wall),
        chunk: Option<Chunk<'c>>,
        wire: &mut Tx,
    ) -> Feed<'c> {
        let mut feed = Feed { eof: self.eof, ..Feed::none(token) };
        if self.over {
            return feed;
        }
        (feed.ready, feed.fault) = (self.ready.take(), self.fault.take());
        match chunk {
            Some(_) if feed.fault.is_some() => {} // a layer has lost its way
            Some(chunk) if self.is_layered() => {
                if let Some(s) = self.stages.first_mut() {
                    s.inbox.extend_from_slice(&chunk);
                }
                self.open((now, wall), wire, &mut feed);
                feed.eof = self.eof;
            }
            Some(chunk) if self.tail.is_empty() => {
                feed.store = Store::Lent(chunk);
                return feed;
            }
            Some(chunk) => self.tail.extend_from_slice(&chunk),
            None => {}
        }
        feed.store = Store::Kept(mem::take(&mut self.tail));
        feed
    }
    fn open(&mut self, (now, wall): (Instant, Wall), wire: &mut Tx, feed: &mut Feed<'_>) {
        let mut ended = false; // the input of the stage
        let mut from = self.from.take();
        for i in 0..self.stages.len() {
            let mut plain = Vec::new();
            let Some((stage, below)) = self.stage(i, wire) else { return };
            let mut inbox = mem::take(&mut stage.inbox);
            stage.layer.tell_time(wall);
            loop {
                match stage.layer.open(now, &mut inbox, &mut plain, below) {
                    Ok(None) => break,
                    Ok(Some(mut info)) => {
                        stage.ready = true;
                        from = info.from.take().or(from);
                        feed.ready = Some(info); // once more, for what follows the handshake
                    }
                    Err(fault) => {
                        feed.fault = feed.fault.or(Some(fault));
                        break;
                    }
                }
            }
            stage.inbox = inbox;
            if ended && let Err(fault) = stage.layer.end_of_input(below) {
                feed.fault = feed.fault.or(Some(fault));
            }
            ended = stage.layer.is_ended();
            match self.stages.get_mut(i + 1) {
                Some(next) => pass(&mut plain, &mut next.inbox),
                None => pass(&mut plain, &mut self.tail),
            }
        }
        self.eof |= ended && feed.fault.is_none();
        if self.stages.iter().any(|s| !s.ready) {
            feed.ready = None; // told when the last layer is ready
            self.from = from;
        } else if let Some(info) = &mut feed.ready {
            info.from = from;
        }
    }
    /// Notes the end of the wire's input. One that a layer calls cut short is none for the machine, which would take
    /// what it has for the whole.
    pub(crate) fn end_of_input(&mut self, wire: &mut Tx) -> Result<(), Fault> {
        for i in 0..self.stages.len() {
            if let Some((stage, below)) = self.stage(i, wire) {
                stage.layer.end_of_input(below)?;
            }
        }
        self.eof = true;
        Ok(())
    }

    /// All layers have done their handshakes.
    pub fn is_ready(&self) -> bool {
        self.stages.iter().all(|s| s.ready)
    }
    /// More about a layer's fault.
    pub fn grounds(&self) -> Option<&Grounds> {
        self.stages.iter().find_map(|s| s.layer.grounds())
    }

    /// One step of the machine over the feeding.
    pub(crate) fn next<'f>(
        &mut self,
        now: Instant,
        feed: &'f mut Feed<'_>,
        wire: &mut Tx,
    ) -> Result<Step<'f, M>, Fault> {
        if self.over {
            return Ok(crate::Step::NeedMore); // the end was told once
        }
        if let Some(info) = feed.ready.take() {
            return Ok(crate::Step::Event(ConnEvent::Ready(info)));
        }
        let Feed { store, at, eof, fault, .. } = feed;
        let (machine, tx) = self.parts(wire);
        let rest = store.rest(*at);
        let before = rest.len();
        let mut rx = crate::Rx::new(rest, *eof);
        let step = machine.poll(now, &mut rx, tx);
        *at += before - rx.len();
        debug_assert!(
            !(rx.is_last() && matches!(step, Ok(crate::Step::NeedMore))),
            "a machine must not wait for more after the end of input"
        );
        self.paused = matches!(step, Ok(crate::Step::Paused));
        match step? {
            crate::Step::Event(e) => Ok(crate::Step::Event(ConnEvent::Machine(e))),
            crate::Step::Paused => Ok(crate::Step::Paused),
            crate::Step::NeedMore => match fault.take() {
                Some(fault) => Err(fault),
                None => Ok(crate::Step::NeedMore),
            },
            crate::Step::Closed => {
                self.end();
                Ok(crate::Step::Closed)
            }
        }
    }
    /// Keeps what was not understood yet. An idle connection holds no storage.
    pub(crate) fn done(&mut self, feed: Feed<'_>) {
        if self.over {
            return;
        }
        (self.ready, self.fault) = (feed.ready, feed.fault);
        match feed.store {
            Store::Lent(c) => self.tail.extend_from_slice(c.get(feed.at..).unwrap_or_default()),
            Store::Kept(mut v) if feed.at < v.len() => {
                v.drain(..feed.at);
                self.tail = v;
            }
            Store::Kept(_) => {}
        }
    }

    /// Lets the machine fill, and seals what it put, down to the wire. The file range that must be read first, if any.
    pub(crate) fn flush(&mut self, now: Instant, wire: &mut Tx) -> Result<Option<FileRange>, Fault> {
        if !self.over {
            let (machine, tx) = self.parts(wire);
            machine.fill(now, tx);
        }
        if self.broken {
            return Ok(None);
        }
        // Again while bytes move: what leaves a lower stage makes room for the upper one.
        loop {
            let (moved, file) = self.seal(now, wire)?;
            if !moved || file.is_some() {
                return Ok(file);
            }
        }
    }
    /// Goes over the stages once, from the top. Whether bytes moved, and the first file range in the way.
    fn seal(&mut self, now: Instant, wire: &mut Tx) -> Result<(bool, Option<FileRange>), Fault> {
        let (mut moved, mut need) = (false, None);
        for i in (0..self.stages.len()).rev() {
            let Some((stage, below)) = self.stage(i, wire) else { break };
            while !stage.out.is_empty() && below.room() > 0 {
                let before = stage.out.len();
                let sealed = stage.layer.seal(now, &mut stage.out, below)?;
                moved |= stage.out.len() != before;
                match sealed {
                    Sealed::All if stage.out.len() < before => {}
                    Sealed::All | Sealed::WireFull | Sealed::NotReady => break,
                    Sealed::NeedFile { file, offset, len } => {
                        need = need.or(Some((file, offset, len)));
                        break;
                    }
                }
            }
            if stage.out.is_finished() && stage.out.is_empty() && !stage.closed {
                stage.closed = true;
                stage.layer.close(below);
                below.finish();
            }
        }
        Ok((moved, need))
    }
    /// It is over: nothing more will be put. What is sealed now may overfill the wire by what was queued above it,
    /// unless files are waiting, which would be read into memory. True if they are.
    pub(crate) fn finish(&mut self, wire: &mut Tx) -> bool {
        if !self.is_finished(wire) {
            self.out(wire).finish();
        }
        let files = !self.broken && self.stages.iter().any(|s| s.out.files().next().is_some());
        if self.is_layered() && !files {
            wire.set_limit(usize::MAX);
            self.stages.iter_mut().for_each(|s| s.out.set_limit(usize::MAX));
        }
        files
    }
    /// Bytes of the file range that [`Conn::flush`] asked for.
    pub(crate) fn supply(&mut self, bytes: Bytes) {
        if let Some(s) = self.stages.iter_mut().rev().find(|s| matches!(s.out.next(), Next::File { .. })) {
            s.out.supply(bytes);
        }
    }

    /// The next deadline of the machine or a layer, or of the peer once it is over.
    pub fn deadline(&self) -> Option<Deadline> {
        if self.over {
            let (since, _) = self.draining.filter(|_| !self.closing)?;
            return Some(Deadline::new(since, LINGER, "reader of the last words"));
        }
        let layers = self.stages.iter().fold(None, |d, s| Deadline::earliest(d, s.layer.deadline()));
        Deadline::earliest(self.machine.deadline(), layers)
    }
    pub(crate) fn on_deadline(&mut self, now: Instant, wire: &mut Tx) -> Result<(), Fault> {
        for i in 0..self.stages.len() {
            if let Some((stage, below)) = self.stage(i, wire)
                && stage.layer.deadline().is_some_and(|d| d.at <= now)
            {
                stage.layer.on_deadline(now, below)?;
            }
        }
        let (machine, tx) = self.parts(wire);
        if machine.deadline().is_some_and(|d| d.at <= now) { machine.on_deadline(now, tx) } else { Ok(()) }
    }
}

/// File, offset and length of what [`Conn::flush`] cannot go on without.
pub(crate) type FileRange = (FileId, u64, u32);

/// What a step of a connection's machine gives.
pub(crate) type Step<'f, M> = crate::Step<ConnEvent<<M as Machine>::Event<'f>>>;

/// Moves bytes on; as a rule there is nothing before them, and nothing to copy.
fn pass(from: &mut Vec<u8>, to: &mut Vec<u8>) {
    if to.is_empty() { *to = mem::take(from) } else { to.append(from) }
}

impl Store<'_> {
    fn rest(&mut self, at: usize) -> &mut [u8] {
        match self {
            Store::Lent(c) => c.get_mut(at..),
            Store::Kept(v) => v.get_mut(at..),
        }
        .unwrap_or_default()
    }
}

impl Feed<'_> {
    /// A feeding of a connection that is not there (any more).
    pub(crate) fn none(token: Token) -> Feed<'static> {
        Feed { token, store: Store::Kept(Vec::new()), at: 0, eof: true, ready: None, fault: None }
    }
    /// The bytes that are not read yet: above all layers, from the first one that is no part of a whole message.
    pub fn unread(&self) -> &[u8] {
        match &self.store {
            Store::Lent(c) => c.get(self.at..),
            Store::Kept(v) => v.get(self.at..),
        }
        .unwrap_or_default()
    }
    pub(crate) fn with_fault(mut self, fault: Option<Fault>) -> Self {
        self.fault = self.fault.or(fault);
        self
    }
}

impl<M> core::fmt::Debug for Conn<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Conn").field("layers", &self.stages.len()).field("tail", &self.tail.len()).finish()
    }
}
