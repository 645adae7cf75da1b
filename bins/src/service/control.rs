//! The control socket of a server, as a part: lines in, lines out. `stats` and `stats json` are answered by every server;
//! what else there is, the app knows.
use crate::stats::{Stats, Totals};
use crate::text::Escaped;
use proto_core::{Chunk, ConnEvent, Conns, Cx, Deadline, Feed, Input, Step, Token, line};
use std::collections::VecDeque;

/// The part byte of the control socket and its connections.
pub const CONTROL: u8 = 250;
/// Connections at once: only the user that runs the server can open them.
const SESSIONS: usize = 16;
/// Bytes of an order.
const ORDER: usize = 1024;

/// The part.
#[derive(Debug)]
pub struct Control {
    conns: Conns<line::Lines>,
    /// Orders that are the app's to carry out.
    orders: VecDeque<(Token, String)>,
    /// The app takes orders.
    pub takes_orders: bool,
}

impl Default for Control {
    fn default() -> Self {
        Control { conns: Conns::new(CONTROL), orders: VecDeque::new(), takes_orders: false }
    }
}

impl Control {
    /// An input may be its own.
    pub fn concerns<M>(input: &Input<'_, M>) -> bool {
        match input {
            Input::Accepted { conn: t, .. } | Input::Bytes(t, _) | Input::Writable(t) | Input::Eof(t) => {
                t.part() == CONTROL
            }
            Input::Closed(t, _) => t.part() == CONTROL,
            Input::Deadline => true,
            _ => false,
        }
    }
    /// Takes the inputs of the control socket and its connections. True: statistics were asked for.
    pub fn handle<J, M>(
        &mut self,
        input: &Input<'_, M>,
        stats: &mut Stats,
        totals: &Totals,
        cx: &mut Cx<'_, J, M>,
    ) -> bool {
        let mut asked = false;
        match input {
            Input::Accepted { conn, .. } if conn.part() == CONTROL => self.open(*conn, cx),
            Input::Bytes(t, chunk) if t.part() == CONTROL => {
                let mut copy = chunk.to_vec(); // small and rare
                let n = copy.len();
                let feed = self.conns.feed(*t, Chunk::new(&mut copy, n), cx);
                asked = self.read(feed, *t, stats, totals, cx);
            }
            Input::Writable(t) if t.part() == CONTROL => {
                let feed = self.conns.resume(*t, cx);
                asked = self.read(feed, *t, stats, totals, cx);
            }
            Input::Eof(t) if t.part() == CONTROL => {
                // The last line may lack its end; and the connection is not over while it waits for statistics.
                let mut end = b"\n".to_vec();
                let feed = self.conns.feed(*t, Chunk::new(&mut end, 1), cx);
                asked = self.read(feed, *t, stats, totals, cx);
                if !stats.is_asked_by(*t) {
                    self.conns.close(*t);
                }
            }
            Input::Closed(t, _) if t.part() == CONTROL => {
                self.conns.remove(*t);
                stats.gone(*t);
            }
            Input::Deadline => {
                while let Some((t, _)) = self.conns.due(cx) {
                    self.conns.close(t);
                }
            }
            _ => return false,
        }
        self.conns.settle(cx, |_, _| {}); // lines have no faults
        asked
    }
    fn open<J, M>(&mut self, conn: Token, cx: &mut Cx<'_, J, M>) {
        self.conns.insert(conn, line::Lines::new(line::Limits { line: ORDER }), Vec::new(), cx);
        if self.conns.len() > SESSIONS {
            self.answer(conn, &format!("! {SESSIONS} others are connected already\n"), cx);
            self.conns.close(conn);
        }
    }
    fn read<J, M>(
        &mut self,
        mut feed: Feed<'_>,
        t: Token,
        stats: &mut Stats,
        totals: &Totals,
        cx: &mut Cx<'_, J, M>,
    ) -> bool {
        let mut asked = false;
        loop {
            let order = match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(line::Event::Line(bytes)))) => Ok(&*bytes),
                Ok(Step::Event(ConnEvent::Machine(line::Event::TooLong(_)))) => {
                    Err(String::from("! the line is too long\n"))
                }
                Ok(Step::Event(_)) => continue,
                Ok(Step::NeedMore | Step::Paused | Step::Closed) | Err(_) => break,
            };
            let refusal = match order {
                Ok(b"") => continue,
                Ok(b"stats" | b"stats json") if stats.is_asked_by(t) => continue,
                Ok(what @ (b"stats" | b"stats json")) => {
                    stats.asked(t, totals, cx.now, what != b"stats");
                    asked = true;
                    continue;
                }
                Ok(order) => match core::str::from_utf8(order) {
                    Ok(order) if self.takes_orders => {
                        self.orders.push_back((t, order.into()));
                        continue;
                    }
                    _ => format!("! unknown order {}\n", Escaped(order)),
                },
                Err(text) => text,
            };
            self.answer(t, &refusal, cx);
        }
        self.conns.done(feed);
        asked
    }
    /// The next order, and who gave it.
    pub fn next_order(&mut self) -> Option<(Token, String)> {
        self.orders.pop_front()
    }
    /// Says something to a connection. One that does not read what it asked for loses the rest.
    pub fn answer<J, M>(&mut self, t: Token, text: &str, cx: &mut Cx<'_, J, M>) {
        if let Some(out) = self.conns.out(t, cx).filter(|out| out.room() > 0) {
            out.put(text.as_bytes());
        }
    }
    /// The last thing that is said to a connection.
    pub fn finish<J, M>(&mut self, t: Token, text: &str, cx: &mut Cx<'_, J, M>) {
        self.answer(t, text, cx);
        self.conns.close(t);
        self.settle(cx);
    }
    /// After [`Control::answer`].
    pub fn settle<J, M>(&mut self, cx: &mut Cx<'_, J, M>) {
        self.conns.settle(cx, |_, _| {});
    }
    /// When it wants `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        self.conns.deadline()
    }
}
