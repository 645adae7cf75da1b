//! Applications: a whole tool as a pure function from inputs to ops.
use crate::{Addr, Ask, ConnectOpts, Deadline, Input, Instant, Op, OpId, Stat, Table, Token, Tx, Wall};
use alloc::collections::VecDeque;
use core::time::Duration;
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// A whole tool. It runs in a unit test with no socket.
pub trait App: Send {
    /// Work for a worker thread.
    type Job: Send + 'static;
    /// Results of work, and messages between shards.
    type Msg: Send + 'static;

    /// Takes one input. What it wants goes into `cx`.
    fn handle(&mut self, input: Input<'_, Self::Msg>, cx: &mut Cx<'_, Self::Job, Self::Msg>);
    /// When [`Input::Deadline`] is to come. A time in the past means: after one look at the network.
    fn deadline(&self) -> Option<Deadline> {
        None
    }
    /// Pure CPU work: on a worker, inline, or delayed by a simulator.
    fn work(job: Self::Job) -> Self::Msg;
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a driver counts about itself. Zero where it has no such thing.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }
        impl Counters {
            /// Names and values, in a fixed order.
            pub fn list(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
            /// Names and values, to change.
            pub fn list_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut u64)> {
                [$((stringify!($name), &mut self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Inputs handed to the app.
    inputs,
    /// Bytes received.
    bytes_in,
    /// Bytes sent.
    bytes_out,
    /// Connections accepted.
    accepted,
    /// Returns from the wait for events.
    wakeups,
    /// Events they reported.
    events,
    /// System calls for I/O and waiting.
    syscalls,
    /// Of these, changes of what epoll watches.
    epoll_ctl,
    /// io_uring: entries submitted.
    submissions,
    /// io_uring: entries completed.
    completions,
    /// io_uring: completion queue overflows.
    cq_overflow,
    /// Errors of accept other than "try again".
    accept_errors,
    /// Datagrams that could not be sent.
    datagrams_dropped,
    /// Bytes that relays have copied.
    relayed,
    /// Bytes that relays have passed on within the kernel.
    spliced,
}

/// What an app may read besides its inputs. Recorded, so that a replay reads the same.
#[derive(Debug)]
pub struct Env {
    /// Time of day when `now` was `wall_at`.
    pub wall: Wall,
    /// See `wall`.
    pub wall_at: Instant,
    /// Random numbers from the seed in `Start`.
    pub rng: ChaCha12Rng,
    /// The driver's counters.
    pub counters: Counters,
}

impl Env {
    /// With randomness from `seed`.
    pub fn new(seed: [u8; 32], wall: Wall, wall_at: Instant) -> Self {
        let rng = ChaCha12Rng::from_seed(seed);
        Env { wall, wall_at, rng, counters: Counters::default() }
    }
}

/// What an app may use during one call.
#[derive(Debug)]
pub struct Cx<'a, J, M> {
    /// The driver's clock, read for this input. It never goes back.
    pub now: Instant,
    table: &'a mut Table,
    ops: &'a mut VecDeque<Op<J, M>>,
    env: &'a mut Env,
}

impl<'a, J, M> Cx<'a, J, M> {
    /// For drivers.
    pub fn new(now: Instant, table: &'a mut Table, ops: &'a mut VecDeque<Op<J, M>>, env: &'a mut Env) -> Self {
        Cx { now, table, ops, env }
    }
    /// Time of day.
    pub fn wall(&self) -> Wall {
        let passed = self.now.as_nanos().saturating_sub(self.env.wall_at.as_nanos());
        Wall { unix_ns: self.env.wall.unix_ns.saturating_add(passed as i64), ..self.env.wall }
    }
    /// Random numbers: repeatable from the seed in `Start`.
    pub fn rng(&mut self) -> &mut ChaCha12Rng {
        &mut self.env.rng
    }
    /// The driver's counters, as of the last input that was not bytes.
    pub fn counters(&self) -> &crate::Counters {
        &self.env.counters
    }
    /// A new token for one `Op::Connect`, `Op::Listen`, `Op::Udp` or `Op::Raw`; more of them change nothing. `Op::Close` and
    /// `Op::Abort` before that end it: it, too, gets its `Closed`.
    pub fn token(&mut self, part: u8) -> Token {
        self.table.open_bare(part)
    }
    /// A token's output; `None` once it is closed. What is put goes out after the call.
    #[inline]
    pub fn tx(&mut self, t: Token) -> Option<&mut Tx> {
        self.table.out(t, false)
    }
    /// For `Conns`, which has claimed the token.
    #[inline]
    pub(crate) fn wire(&mut self, t: Token) -> Option<&mut Tx> {
        self.table.out(t, true)
    }
    pub(crate) fn claim(&mut self, t: Token, on: bool) {
        self.table.claim(t, on);
    }
    /// Bytes queued for `t`, without marking it for a flush.
    pub fn queued(&self, t: Token) -> usize {
        self.table.tx(t).map_or(0, Tx::len)
    }
    /// The token is alive.
    pub fn is_live(&self, t: Token) -> bool {
        self.table.is_live(t)
    }
    /// What has passed over a connection.
    pub fn stat(&self, t: Token) -> Stat {
        self.table.stat(t)
    }
    /// Whether input of a connection, datagram socket or standard input is wanted. Nothing is delivered while it is not.
    #[inline]
    pub fn read(&mut self, t: Token, on: bool) {
        self.table.want(t, on);
    }
    /// Whether a listener's connections are wanted.
    pub fn accept(&mut self, listener: Token, on: bool) {
        self.table.want(listener, on);
    }
    /// Asks for anything else.
    pub fn op(&mut self, op: Op<J, M>) {
        self.ops.push_back(op);
    }
    /// Connects a new token.
    pub fn connect(&mut self, part: u8, to: Addr) -> Token {
        let conn = self.token(part);
        self.op(Op::Connect { conn, to, opts: ConnectOpts::default() });
        conn
    }
    /// Sends a datagram, copied into pooled storage.
    pub fn send_to(&mut self, socket: Token, to: Option<Addr>, data: &[u8]) {
        let mut v = self.table.pool.tail();
        v.extend_from_slice(data);
        self.op(Op::SendTo { socket, to, data: v });
    }
    /// `Op::Close`.
    pub fn close(&mut self, conn: Token, linger: Duration) {
        self.op(Op::Close { conn, linger });
    }
    /// `Op::Relay`.
    pub fn relay(&mut self, from: Token, to: Token, quota: Option<u64>) {
        self.op(Op::Relay { from, to, quota });
    }
    /// `Op::Abort`.
    pub fn abort(&mut self, conn: Token) {
        self.op(Op::Abort(conn));
    }
    /// `Op::Ask`.
    pub fn ask(&mut self, id: OpId, ask: Ask) {
        self.op(Op::Ask(id, ask));
    }
    /// `Op::Exit`.
    pub fn exit(&mut self, code: u8) {
        self.op(Op::Exit(code));
    }
}
