//! What open ports say first.
use super::{Scan, ScanCx};
use crate::scan::{State, Why};
use core::time::Duration;
use proto_core::{Instant, Slots, Token};
use std::collections::BTreeSet;

/// How long a port may take to say something.
pub const WAIT: Duration = Duration::from_secs(2);
/// Bytes that are kept of it.
const BYTES: usize = 256;

#[derive(Debug)]
struct Talk {
    target: u64,
    until: Instant,
    bytes: Vec<u8>,
}

/// The connections that are being listened to.
#[derive(Debug, Default)]
pub struct Talks {
    open: Slots<Talk>,
    due: BTreeSet<(Instant, Token)>,
}

impl Talks {
    /// How many.
    pub fn len(&self) -> usize {
        self.open.len()
    }
    /// None.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
    /// Listens to one more.
    pub fn begin(&mut self, conn: Token, target: u64, until: Instant) {
        self.open.insert(conn, Talk { target, until, bytes: Vec::new() });
        self.due.insert((until, conn));
    }
    /// When the next one has had its time.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
    /// One that has.
    pub fn expired(&self, now: Instant) -> Option<Token> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, t)| *t)
    }
    /// Whom they are with.
    pub fn targets(&self) -> impl Iterator<Item = u64> {
        self.open.iter().map(|(_, talk)| talk.target)
    }
    fn end(&mut self, conn: Token) -> Option<Talk> {
        let talk = self.open.remove(conn)?;
        self.due.remove(&(talk.until, conn));
        Some(talk)
    }
}

impl Scan {
    pub(super) fn heard_bytes(&mut self, conn: Token, bytes: &[u8], cx: &mut ScanCx<'_>) {
        let Some(talk) = self.talks.open.get_mut(conn) else { return };
        let room = BYTES.saturating_sub(talk.bytes.len());
        talk.bytes.extend(bytes.iter().take(room));
        // A line is what servers greet with.
        if talk.bytes.len() >= BYTES || talk.bytes.ends_with(b"\n") {
            self.said(conn, cx);
        }
    }
    /// That is all it says: the connection is not needed any more.
    pub(super) fn said(&mut self, conn: Token, cx: &mut ScanCx<'_>) {
        if let Some(talk) = self.talks.end(conn) {
            cx.abort(conn);
            self.known(talk.target, State::Open, Why::SynAck, Some(talk.bytes), cx);
        }
    }
    /// The peer has closed it.
    pub(super) fn hung_up(&mut self, conn: Token, cx: &mut ScanCx<'_>) {
        self.said(conn, cx);
    }
}
