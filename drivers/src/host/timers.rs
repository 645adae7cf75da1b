//! Times: the app's deadline, connections that linger, listeners that pause.
use super::Host;
use proto_core::{App, Deadline, Input, Instant, Reason, Token, Trouble};
use std::time::Duration;

/// A timer of the host that has run out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// The peer did not close in time: close now.
    Cut(Token),
    /// The listener may accept again.
    Accept(Token),
}

#[derive(Debug)]
pub struct Linger {
    at: Instant,
    span: Duration,
    /// What had been sent when the wait began: progress begins it anew.
    sent: u64,
}

/// How long accepting stops when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl<A: App + 'static> Host<A> {
    /// Finishes the output and starts the linger time.
    pub(crate) fn linger(&mut self, t: Token, span: Duration) {
        let stream = [Some(self.start.stdout), Some(self.start.stderr), self.start.stdin].contains(&Some(t));
        self.end_relays(t);
        if let Some(tx) = self.table.tx_mut(t) {
            tx.finish();
            self.table.touch(t);
            if stream {
                return; // ends with the program: nobody would take it off the list of those that linger
            }
            let sent = self.table.stat(t).sent;
            self.lingers.insert(t, Linger { at: self.now.after(span), span, sent });
        }
    }
    /// `Close` was asked for: input is discarded.
    #[inline]
    pub fn is_lingering(&self, t: Token) -> bool {
        !self.lingers.is_empty() && self.lingers.contains_key(&t)
    }

    /// How long the driver may wait; `None` is for ever.
    pub fn timeout(&self) -> Option<Duration> {
        if !self.local.is_empty() || !self.writable.is_empty() {
            return Some(Duration::ZERO);
        }
        let at = self.next_due()?;
        Some(at.since(self.clock.now()))
    }
    /// The next time at which something is to happen by itself.
    pub fn next_due(&self) -> Option<Instant> {
        let lingers = self.lingers.values().map(|l| l.at).min();
        let pauses = self.pauses.values().min().copied();
        [self.app.deadline().map(|d| d.at), lingers, pauses].into_iter().flatten().min()
    }
    /// The app's deadline has passed: deliver [`Input::Deadline`], once per turn.
    pub fn is_app_due(&self) -> bool {
        self.app.deadline().is_some_and(|d: Deadline| d.at <= self.clock.now())
    }
    /// A timer of the host that has run out.
    pub fn due(&mut self) -> Option<Due> {
        if self.lingers.is_empty() && self.pauses.is_empty() {
            return None;
        }
        let now = self.clock.now();
        let mut cut = None;
        for (&t, l) in self.lingers.iter_mut().filter(|(_, l)| l.at <= now) {
            let sent = self.table.stat(t).sent;
            if sent == l.sent {
                cut = Some(t);
                break;
            }
            (l.sent, l.at) = (sent, now.after(l.span)); // there was progress
        }
        if let Some(t) = cut {
            self.lingers.remove(&t); // told once, although the token's end may take a driver a while
            return Some(Due::Cut(t));
        }
        let t = self.pauses.iter().find(|(_, at)| **at <= now).map(|(t, _)| *t)?;
        self.pauses.remove(&t);
        Some(Due::Accept(t))
    }
    /// Accepting failed for want of a resource: it stops for 100 ms, so that it does not spin.
    pub fn accept_failed(&mut self, listener: Token, why: Reason) {
        self.counters.accept_errors += 1;
        self.now = self.now.max(self.clock.now()); // the last input may be long ago: a pause from then is over
        self.pauses.insert(listener, self.now.after(ACCEPT_PAUSE));
        self.deliver(Input::Trouble(Trouble::AcceptPaused { listener, why }));
    }
    /// The listener's connections are wanted and accepting is not paused.
    pub fn is_accepting(&self, listener: Token) -> bool {
        self.table.is_wanted(listener) && !self.pauses.contains_key(&listener)
    }
}
