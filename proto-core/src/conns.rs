//! All connections of an app, or of one of its parts.
use crate::conn::LINGER;
use crate::{
    Answer, Ask, Bytes, Chunk, Conn, ConnEvent, Cx, Deadline, Fault, Feed, Instant, Layer, Machine, OpId, Reason,
    Slots, Step, Timers, Token, Tx,
};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

/// The app owns its connections, the driver owns each token's output; only [`Conns::settle`] crosses.
///
/// ```ignore
/// Input::Bytes(t, chunk) => {
///     let mut feed = self.conns.feed(t, chunk, cx);
///     loop {
///         match self.conns.next(&mut feed, cx) {
///             Ok(Step::Event(ConnEvent::Machine(e))) => ..., // all of self is free here
///             Ok(_) => break,
///             Err(fault) => { ...; break }
///         }
///     }
///     self.conns.done(feed);
/// }
/// ...
/// self.conns.settle(cx, |t, fault| ...); // the last line of `handle`
/// ```
#[derive(Debug)]
pub struct Conns<M> {
    /// Boxed: one that was released leaves no hole of its size behind.
    slots: Slots<Box<Conn<M>>>,
    touched: Vec<Token>,
    timers: Timers<Token>,
    /// Questions of `settle` that are not answered yet.
    asked: BTreeMap<OpId, Token>,
    part: u8,
}

impl<M: Machine> Conns<M> {
    /// Its questions to the driver (file ranges under a layer) carry `part`.
    pub fn new(part: u8) -> Self {
        let asked = BTreeMap::new();
        Conns { slots: Slots::default(), touched: Vec::new(), timers: Timers::default(), asked, part }
    }
    /// Puts a machine, and layers from the wire upwards, on a token; from now on only this writes to it.
    pub fn insert<J, X>(&mut self, t: Token, machine: M, layers: Vec<Box<dyn Layer>>, cx: &mut Cx<'_, J, X>) {
        cx.claim(t, true);
        let mut conn = Conn::new(machine, layers);
        let (now, wall) = (cx.now, cx.wall());
        if let Some(wire) = cx.wire(t) {
            conn.start(now, wall, wire);
        }
        self.slots.insert(t, Box::new(conn));
        self.touch(t);
    }
    /// Forgets a connection: the answer to `Input::Closed`.
    pub fn remove(&mut self, t: Token) -> Option<Conn<M>> {
        self.disarm(t);
        self.slots.remove(t).map(|conn| *conn)
    }
    /// Gives a connection without layers back to the app, which writes to it itself from now on: what a protocol does that
    /// has become a plain stream. The unread tail is [`Conn::take_tail`].
    pub fn release<J, X>(&mut self, t: Token, cx: &mut Cx<'_, J, X>) -> Option<Conn<M>> {
        debug_assert!(self.slots.get(t).is_none_or(|c| !c.is_layered()), "a layered connection stays a Conn");
        cx.claim(t, false);
        self.remove(t)
    }
    /// A connection, marked to be settled.
    pub fn get(&mut self, t: Token) -> Option<&mut Conn<M>> {
        self.touch(t);
        self.slots.get_mut(t).map(Box::as_mut)
    }
    /// A connection, to look at.
    pub fn peek(&self, t: Token) -> Option<&Conn<M>> {
        self.slots.get(t).map(Box::as_ref)
    }
    /// Where bytes for the peer go: above all layers. `None` once the output is finished.
    pub fn out<'a, J, X>(&'a mut self, t: Token, cx: &'a mut Cx<'_, J, X>) -> Option<&'a mut Tx> {
        self.machine(t, cx).map(|(_, out)| out)
    }
    /// The machine and where it writes, for a command: `ws.send_text(tx, ..)`. `None` once the output is finished.
    pub fn machine<'a, J, X>(&'a mut self, t: Token, cx: &'a mut Cx<'_, J, X>) -> Option<(&'a mut M, &'a mut Tx)> {
        let conn = self.get(t)?;
        let wire = cx.wire(t)?;
        if conn.is_finished(wire) { None } else { Some(conn.parts(wire)) }
    }
    /// The app has had enough: input is swallowed from now on, and `settle` closes after what was put.
    pub fn close(&mut self, t: Token) {
        if let Some(conn) = self.get(t) {
            conn.end();
        }
    }
    /// All, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &Conn<M>)> {
        self.slots.iter().map(|(t, conn)| (t, &**conn))
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes the bytes of `Input::Bytes` for a round of [`Conns::next`].
    pub fn feed<'c, J, X>(&mut self, t: Token, chunk: Chunk<'c>, cx: &mut Cx<'_, J, X>) -> Feed<'c> {
        self.feeding(t, Some(chunk), cx)
    }
    /// A round over kept bytes: after `Input::Writable`, a deadline, or an answer the machine waited for.
    pub fn resume<J, X>(&mut self, t: Token, cx: &mut Cx<'_, J, X>) -> Feed<'static> {
        self.feeding(t, None, cx)
    }
    /// The round of `Input::Eof`.
    pub fn end<J, X>(&mut self, t: Token, cx: &mut Cx<'_, J, X>) -> Feed<'static> {
        let ended = match (self.get(t), cx.wire(t)) {
            (Some(conn), Some(wire)) => conn.end_of_input(wire),
            _ => Ok(()),
        };
        self.feeding(t, None, cx).with_fault(ended.err())
    }
    fn feeding<'c, J, X>(&mut self, t: Token, chunk: Option<Chunk<'c>>, cx: &mut Cx<'_, J, X>) -> Feed<'c> {
        let time = (cx.now, cx.wall());
        match (self.get(t), cx.wire(t)) {
            (Some(conn), Some(wire)) => conn.feed(t, time, chunk, wire),
            _ => Feed::none(t),
        }
    }
    /// The next thing that happened. After `Closed` or `Err`, told once, the connection is over: it only ever needs
    /// more, its input is swallowed, and `settle` closes it.
    pub fn next<'f, J, X>(
        &mut self,
        feed: &'f mut Feed<'_>,
        cx: &mut Cx<'_, J, X>,
    ) -> Result<Step<ConnEvent<M::Event<'f>>>, Fault> {
        let (now, t) = (cx.now, feed.token);
        let (Some(conn), Some(wire)) = (self.slots.get_mut(t), cx.wire(t)) else { return Ok(Step::NeedMore) };
        let step = conn.next(now, feed, wire);
        if step.is_err() {
            conn.end();
        }
        step
    }
    /// Ends a round.
    pub fn done(&mut self, feed: Feed<'_>) {
        if let Some(conn) = self.slots.get_mut(feed.token) {
            conn.done(feed);
        }
    }
    /// Stops and starts reading for a reason of the app's own, such as an upstream that is full.
    pub fn hold(&mut self, t: Token, on: bool) {
        if let Some(conn) = self.get(t) {
            conn.held = on;
        }
    }

    /// The last line of `handle`: fills, seals, pauses and resumes reading, arms deadlines, asks for file ranges, and
    /// closes what is over. `on` hears of faults found on the way.
    pub fn settle<J, X>(&mut self, cx: &mut Cx<'_, J, X>, mut on: impl FnMut(Token, Fault)) {
        while let Some(t) = self.touched.pop() {
            let Some(conn) = self.slots.get_mut(t) else { continue };
            conn.touched = false;
            if conn.closing {
                continue;
            }
            if !conn.is_over()
                && let Err(fault) = self.flush(t, cx)
            {
                on(t, fault);
            }
            let Some(conn) = self.slots.get_mut(t) else { continue };
            if conn.is_over() {
                self.wind_up(t, cx);
                continue;
            }
            cx.read(t, conn.wants_input());
            if let Some(d) = conn.deadline() {
                self.arm(t, d.at);
            }
        }
    }
    /// Seals, and asks for the file range that is in the way. After `Err` the connection is over.
    fn flush<J, X>(&mut self, t: Token, cx: &mut Cx<'_, J, X>) -> Result<(), Fault> {
        let now = cx.now;
        let (Some(conn), Some(wire)) = (self.slots.get_mut(t), cx.wire(t)) else { return Ok(()) };
        let flushed = conn.flush(now, wire).inspect_err(|_| conn.end())?;
        if let Some((file, offset, len)) = flushed
            && !core::mem::replace(&mut conn.asked, true)
        {
            let id = OpId::new(self.part, key(t));
            self.asked.insert(id, t);
            cx.ask(id, Ask::Read { file, offset, len });
        }
        Ok(())
    }
    /// Sends the last words of a connection that is over, then closes it.
    fn wind_up<J, X>(&mut self, t: Token, cx: &mut Cx<'_, J, X>) {
        cx.read(t, true); // and swallow it, so that the peer is not reset before it has read
        let (Some(conn), Some(wire)) = (self.slots.get_mut(t), cx.wire(t)) else { return };
        conn.finish(wire);
        let _ = self.flush(t, cx); // a second fault changes nothing
        let (Some(conn), Some(wire)) = (self.slots.get_mut(t), cx.wire(t)) else { return };
        if conn.broken {
            conn.closing = true;
            cx.abort(t);
        } else if conn.finish(wire) {
            let (now, sent) = (cx.now, cx.stat(t).sent);
            if conn.draining.is_none_or(|(_, before)| before != sent) {
                conn.draining = Some((now, sent));
            }
            self.arm(t, now.after(LINGER));
            return;
        } else {
            conn.closing = true;
            let now = cx.now;
            if let Some(wire) = cx.wire(t) {
                let _ = conn.flush(now, wire); // the last file has just left
            }
            cx.close(t, LINGER);
        }
        self.disarm(t);
    }
    /// Makes sure that the timer of a connection wakes up at `at` or earlier.
    fn arm(&mut self, t: Token, at: Instant) {
        let Some(conn) = self.slots.get_mut(t) else { return };
        if conn.armed.is_none_or(|old| at < old) {
            conn.armed = Some(at);
            self.timers.arm(t, at);
        }
    }
    fn disarm(&mut self, t: Token) {
        if let Some(conn) = self.slots.get_mut(t)
            && conn.armed.take().is_some()
        {
            self.timers.disarm(t);
        }
    }
    /// The answer to a question of `settle`; false if it was somebody else's.
    pub fn answer(&mut self, id: OpId, answer: &Result<Answer, Reason>) -> bool {
        let Some(t) = self.asked.remove(&id) else { return false };
        let Some(conn) = self.get(t) else { return true };
        conn.asked = false;
        match answer {
            Ok(Answer::Read(bytes)) if !bytes.is_empty() => conn.supply(Bytes::clone(bytes)),
            // A file that shrank or failed. Never pad, and never look complete.
            _ => {
                conn.broken = true;
                conn.end();
            }
        }
        true
    }

    /// The next time at which [`Conns::due`] has something to do.
    pub fn deadline(&self) -> Option<Deadline> {
        let (at, t) = self.timers.next()?;
        let d = self.slots.get(t).and_then(|conn| conn.deadline());
        Some(Deadline { at, since: d.map_or(at, |d| d.since), why: d.map_or("a timer", |d| d.why) })
    }
    /// A connection whose deadline has passed, after its machine was told. Go over it with [`Conns::resume`] next.
    pub fn due<J, X>(&mut self, cx: &mut Cx<'_, J, X>) -> Option<(Token, Result<(), Fault>)> {
        while let Some(t) = self.timers.pop(cx.now) {
            let Some(conn) = self.slots.get_mut(t) else { continue };
            conn.armed = None;
            let Some(d) = conn.deadline() else { continue };
            if d.at > cx.now {
                self.arm(t, d.at); // it had moved
                continue;
            }
            let (now, sent) = (cx.now, cx.stat(t).sent);
            let (Some(conn), Some(wire)) = (self.get(t), cx.wire(t)) else { continue };
            if conn.is_over() {
                if conn.draining.is_some_and(|(_, before)| before == sent) {
                    conn.closing = true;
                    cx.abort(t);
                }
                continue; // progress: settle waits anew
            }
            let told = conn.on_deadline(now, wire);
            if told.is_err() {
                conn.end();
            }
            return Some((t, told));
        }
        None
    }
    fn touch(&mut self, t: Token) {
        if let Some(conn) = self.slots.get_mut(t)
            && !core::mem::replace(&mut conn.touched, true)
        {
            self.touched.push(t);
        }
    }
}

/// Index and generation are 56 bits: just what an `OpId` has room for.
fn key(t: Token) -> u64 {
    (t.generation() as u64) << 24 | t.index() as u64
}

#[cfg(test)]
#[path = "conns_tests.rs"]
mod tests;
