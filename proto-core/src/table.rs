//! Every token's output and switches: what apps write to and drivers send from.
use crate::{Chunk, Flight, Instant, Pool, Token, Tx};
use alloc::{collections::VecDeque, vec::Vec};

/// What has passed over a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Bytes delivered to the app.
    pub received: u64,
    /// Bytes the kernel has taken.
    pub sent: u64,
    /// When the last byte moved either way.
    pub last: Instant,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    part: u8,
    live: bool,
    dirty: bool,
    full: bool,
    wanted: bool,
    claimed: bool,
    /// The app has its token, and no socket was asked for yet.
    bare: bool,
    tx: Tx,
    stat: Stat,
}

/// All tokens of one loop. The driver owns it; apps reach it through [`crate::Cx`].
#[derive(Debug)]
pub struct Table {
    slots: Vec<Slot>,
    /// First in, first out: a slot rests as long as possible before it is used again.
    free: VecDeque<u32>,
    dirty: Vec<Token>,
    /// Spare storage.
    pub pool: Pool,
    limit: usize,
    live: usize,
}

impl Table {
    /// `chunk` is the size of input storage, `limit` the default soft limit of outputs, both in bytes.
    pub fn new(chunk: usize, limit: usize) -> Self {
        Table { slots: Vec::new(), free: VecDeque::new(), dirty: Vec::new(), pool: Pool::new(chunk), limit, live: 0 }
    }
    /// A new token of `part`, its input wanted.
    pub fn open(&mut self, part: u8) -> Token {
        let index = self.free.pop_front().unwrap_or(self.slots.len() as u32);
        let generation = self.slots.get(index as usize).map_or(0, |s| s.generation);
        let tx = Tx::with_limit(self.limit);
        let stat = Stat::default();
        let (dirty, full, wanted, claimed, bare) = (false, false, true, false, false);
        let slot = Slot { generation, part, live: true, dirty, full, wanted, claimed, bare, tx, stat };
        match self.slots.get_mut(index as usize) {
            Some(s) => *s = slot,
            None => self.slots.push(slot),
        }
        self.live += 1;
        Token::new(index, part, generation)
    }
    /// A new token of `part` that has no socket yet.
    pub fn open_bare(&mut self, part: u8) -> Token {
        let t = self.open(part);
        if let Some(s) = self.slot_mut(t) {
            s.bare = true;
        }
        t
    }
    /// A bare token gets its socket, or its end: true once, and only for such a token.
    pub fn engage(&mut self, t: Token) -> bool {
        self.slot_mut(t).is_some_and(|s| core::mem::take(&mut s.bare))
    }
    /// Retires a token.
    pub fn close(&mut self, t: Token) {
        let Some(s) = self.slot_mut(t) else { return };
        s.live = false;
        s.generation = s.generation.wrapping_add(1);
        s.tx = Tx::with_limit(0);
        self.live -= 1;
        self.free.push_back(t.index() as u32);
    }
    /// Every token alive, in slot order.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        let live = self.slots.iter().enumerate().filter(|(_, s)| s.live);
        live.map(|(index, s)| Token::new(index as u32, s.part, s.generation))
    }
    /// Tokens alive.
    pub fn live(&self) -> usize {
        self.live
    }
    #[inline]
    fn slot(&self, t: Token) -> Option<&Slot> {
        self.slots.get(t.index()).filter(|s| s.live && s.generation == t.generation() && s.part == t.part())
    }
    #[inline]
    fn slot_mut(&mut self, t: Token) -> Option<&mut Slot> {
        self.slots.get_mut(t.index()).filter(|s| s.live && s.generation == t.generation() && s.part == t.part())
    }
    /// The token is alive.
    pub fn is_live(&self, t: Token) -> bool {
        self.slot(t).is_some()
    }
    /// Marks a token for the driver's attention.
    #[inline]
    pub fn touch(&mut self, t: Token) -> bool {
        let Some(s) = self.slot_mut(t) else { return false };
        if !core::mem::replace(&mut s.dirty, true) {
            self.dirty.push(t);
        }
        true
    }
    /// A token whose output or switches an app has touched. If it has put nothing, storage that was laid ready goes back.
    #[inline]
    pub fn next_dirty(&mut self) -> Option<Token> {
        loop {
            let t = self.dirty.pop()?;
            if self.slot(t).is_some() {
                self.clean(t);
                return Some(t);
            }
        }
    }
    #[inline]
    fn clean(&mut self, t: Token) {
        let Table { slots, pool, .. } = self;
        if let Some(s) = slots.get_mut(t.index()) {
            s.dirty = false;
            s.tx.rest(pool);
        }
    }
    /// Takes the connection just served off the list: it is flushed first, while it is in the cache, and not visited
    /// again.
    #[inline]
    pub fn served(&mut self, t: Token) {
        if self.dirty.last() == Some(&t) {
            self.dirty.pop();
            self.clean(t);
        }
    }
    /// The token's input (bytes, datagrams, connections) is wanted.
    #[inline]
    pub fn is_wanted(&self, t: Token) -> bool {
        self.slot(t).is_some_and(|s| s.wanted)
    }
    /// Switches the token's input on or off, for drivers that relay.
    pub fn want(&mut self, t: Token, on: bool) {
        let changed = self.slot_mut(t).is_some_and(|s| core::mem::replace(&mut s.wanted, on) != on);
        if changed {
            self.touch(t);
        }
    }
    /// The output, for the driver.
    #[inline]
    pub fn tx(&self, t: Token) -> Option<&Tx> {
        self.slot(t).map(|s| &s.tx)
    }
    /// The output, for the driver, to launch or supply.
    #[inline]
    pub fn tx_mut(&mut self, t: Token) -> Option<&mut Tx> {
        self.slot_mut(t).map(|s| &mut s.tx)
    }
    /// The output, for an app to write to.
    #[inline]
    pub(crate) fn out(&mut self, t: Token, by_conn: bool) -> Option<&mut Tx> {
        if !self.touch(t) {
            return None;
        }
        let Table { slots, pool, .. } = self;
        let s = slots.get_mut(t.index())?;
        debug_assert!(by_conn || !s.claimed, "{t:?} belongs to a Conn: write through Conns::out");
        s.tx.prime(pool);
        Some(&mut s.tx)
    }
    /// Passes input on as output, for drivers that relay; the room that is left.
    pub fn pass_on(&mut self, to: Token, chunk: Chunk<'_>) -> usize {
        let Some(tx) = self.out(to, false) else { return 0 };
        tx.forward(chunk);
        tx.room()
    }
    /// Finishes the output, for drivers that relay.
    pub fn finish(&mut self, t: Token) {
        if let Some(tx) = self.out(t, false) {
            tx.finish();
        }
    }
    pub(crate) fn claim(&mut self, t: Token, on: bool) {
        if let Some(s) = self.slot_mut(t) {
            s.claimed = on;
        }
    }
    /// What has passed over the token.
    pub fn stat(&self, t: Token) -> Stat {
        self.slot(t).map(|s| s.stat).unwrap_or_default()
    }
    /// `n` bytes were delivered to the app.
    #[inline]
    pub fn received(&mut self, t: Token, n: usize, now: Instant) {
        if let Some(s) = self.slot_mut(t) {
            s.stat.received += n as u64;
            s.stat.last = now;
        }
    }
    /// `n` bytes went out past the output, for drivers that relay within the kernel.
    pub fn passed(&mut self, t: Token, n: usize, now: Instant) {
        if let Some(s) = self.slot_mut(t) {
            s.stat.sent += n as u64;
            s.stat.last = now;
        }
    }
    /// The kernel took `n` bytes of [`Tx::chunks`] or of a file range; true when the app is to be told that there is
    /// room again.
    #[inline]
    pub fn consume(&mut self, t: Token, n: usize, now: Instant) -> bool {
        self.sent(t, n, now, Tx::consume)
    }
    /// A flight is over, of which the kernel took `n` bytes; true when the app is to be told that there is room again.
    #[inline]
    pub fn land(&mut self, t: Token, n: usize, flight: &mut Flight, now: Instant) -> bool {
        self.sent(t, n, now, |tx, n, pool| tx.land(n, flight, pool))
    }
    #[inline]
    fn sent(&mut self, t: Token, n: usize, now: Instant, f: impl FnOnce(&mut Tx, usize, Option<&mut Pool>)) -> bool {
        if self.slot(t).is_none() {
            return false;
        }
        let Table { slots, pool, .. } = self;
        let Some(s) = slots.get_mut(t.index()) else { return false };
        // Here, not at flush: whoever filled it, this is before it empties.
        s.full |= s.tx.room() == 0;
        f(&mut s.tx, n, Some(pool));
        s.tx.rest(pool);
        s.stat.sent += n as u64;
        s.stat.last = now;
        let woke = s.full && s.tx.len() <= s.tx.limit() / 2;
        s.full &= !woke;
        woke
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(5);

    #[test]
    fn slots_rest_before_they_are_used_again() {
        let mut t = Table::new(64, 64);
        let (a, b) = (t.open(1), t.open(1));
        t.close(a);
        t.close(b);
        let c = t.open(2);
        assert_eq!((c.index(), c.generation(), c.part()), (a.index(), 1, 2));
        assert!(!t.is_live(a) && t.is_live(c));
        assert_eq!(t.live(), 1);
    }

    #[test]
    fn an_output_that_nobody_wrote_to_keeps_no_storage() {
        let mut t = Table::new(64, 64);
        let (a, b) = (t.open(0), t.open(0));
        for idle in [a, b] {
            let storage = t.out(idle, false).map(|tx| tx.reserved());
            assert!(storage.is_some_and(|n| n > 0), "laid ready for the app");
        }
        while t.next_dirty().is_some() {}
        assert_eq!([a, b].map(|idle| t.tx(idle).map(Tx::reserved)), [Some(0); 2]);
    }

    #[test]
    fn writable_is_told_once_at_half() {
        let mut t = Table::new(64, 100);
        let a = t.open(0);
        if let Some(tx) = t.out(a, false) {
            tx.put(&[1; 120]);
        }
        assert!(!t.consume(a, 30, NOW), "90 of 100 left");
        assert!(t.consume(a, 40, NOW), "50 left: half");
        assert!(!t.consume(a, 50, NOW), "told already");
        assert_eq!(t.stat(a), Stat { received: 0, sent: 120, last: NOW });
    }

    #[test]
    fn dirty_lists_each_token_once() {
        let mut t = Table::new(64, 64);
        let (a, b) = (t.open(0), t.open(0));
        t.touch(a);
        t.touch(b);
        t.touch(b);
        t.served(b);
        assert_eq!((t.next_dirty(), t.next_dirty()), (Some(a), None));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "belongs to a Conn")]
    fn a_claimed_token_is_not_written_directly() {
        let mut t = Table::new(64, 64);
        let a = t.open(0);
        t.claim(a, true);
        t.out(a, false);
    }
}
