//! The scan itself: which probe goes next and when, which answers are late, what is asked again.
//!
//! A target is a number: that of its address times the number of ports, plus that of its port. Every target is in exactly one
//! place: not begun (from `cursor` on), waiting to be asked (again), under way, or done.
use super::order::Order;
use super::pace::{Rate, Rtt, Window};
use core::time::Duration;
use proto_core::{Deadline, Instant, Token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How to go about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Probes under way at once.
    pub window: u32,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// How often a silent port is asked again.
    pub retries: u8,
    /// Probes per second.
    pub rate: Option<u32>,
}

/// What became of a probe that was not answered in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Late {
    /// Whose.
    pub target: u64,
    /// The socket that it was sent from, if that was told.
    pub token: Option<Token>,
    /// It will be sent again; if not, the target is silent.
    pub again: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    sent: Instant,
    due: Instant,
    /// How often it was silent before.
    tries: u8,
    token: Option<Token>,
}

/// Hosts whose round trip times are remembered; with more, the longest known are forgotten.
const HOSTS: usize = 65_536;
/// Probes that leave between two looks at the rest of the world: where every answer comes at once (loopback), sending would
/// never end otherwise.
const BURST: u32 = 1024;
/// After so many pauses without an answer in between there is no point in going on.
const HOPELESS: u32 = 30;
/// When to try again on a machine that has no room even for one probe.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub struct Sweep {
    order: Order,
    /// Ports per address.
    ports: u64,
    settings: Settings,
    cursor: u64,
    again: VecDeque<(u64, u8)>,
    flights: BTreeMap<u64, Flight>,
    due: BTreeSet<(Instant, u64)>,
    rtts: BTreeMap<u64, Rtt>,
    window: Window,
    rate: Option<Rate>,
    burst: u32,
    done: u64,
    /// Probes sent.
    sent: u64,
    /// Of them, those that this machine could not send.
    stuck: u64,
    /// How often there was no room even for one, since the last answer.
    streak: u32,
    pause: Option<Instant>,
}

impl Sweep {
    /// Over the targets of `order`, with so many ports per address.
    pub fn new(order: Order, ports: u32, settings: Settings, now: Instant) -> Self {
        Sweep {
            order,
            ports: u64::from(ports.max(1)),
            settings,
            cursor: 0,
            again: VecDeque::new(),
            flights: BTreeMap::new(),
            due: BTreeSet::new(),
            rtts: BTreeMap::new(),
            window: Window::new(settings.window),
            rate: settings.rate.map(|per_second| Rate::new(per_second, now)),
            burst: 0,
            done: 0,
            sent: 0,
            stuck: 0,
            streak: 0,
            pause: None,
        }
    }
    /// Goes on where another one was: `cursor` targets were begun, of which `open` are not answered.
    pub fn resume(&mut self, cursor: u64, open: impl IntoIterator<Item = u64>) {
        self.cursor = cursor.min(self.order.size());
        self.again = open.into_iter().map(|target| (target, 0)).collect();
        self.done = self.cursor.saturating_sub(self.again.len() as u64);
    }
    /// Where it is: targets begun, and those of them that are not answered.
    pub fn position(&self) -> (u64, impl Iterator<Item = u64>) {
        (self.cursor, self.flights.keys().copied().chain(self.again.iter().map(|(target, _)| *target)))
    }
    /// Targets in all.
    pub fn total(&self) -> u64 {
        self.order.size()
    }
    /// Targets that are answered or given up.
    pub fn done(&self) -> u64 {
        self.done
    }
    /// Nothing is left to do.
    pub fn is_over(&self) -> bool {
        self.done >= self.order.size()
    }
    /// Probes sent, and how many of them this machine could not send.
    pub fn probes(&self) -> (u64, u64) {
        (self.sent, self.stuck)
    }
    /// Targets that wait to be asked again.
    pub fn waiting(&self) -> usize {
        self.again.len()
    }

    /// The next target to be probed, if one may go now; `busy`: sockets that are in use for something else.
    pub fn next(&mut self, busy: usize, now: Instant) -> Option<u64> {
        let full = self.flights.len().saturating_add(busy) >= self.window.size() as usize;
        if full || self.burst >= BURST || self.opens_at().is_some_and(|at| at > now) {
            return None;
        }
        let (target, tries) = self.again.pop_front().or_else(|| {
            let target = self.order.nth(self.cursor)?;
            self.cursor += 1;
            Some((target, 0))
        })?;
        if let Some(rate) = &mut self.rate {
            rate.take(now);
        }
        self.pause = None;
        self.burst += 1;
        self.sent += 1;
        let due = now.after(self.timeout(target / self.ports, tries));
        self.flights.insert(target, Flight { sent: now, due, tries, token: None });
        self.due.insert((due, target));
        Some(target)
    }
    /// The probe that [`Sweep::next`] wanted was sent from this socket.
    pub fn launched(&mut self, target: u64, token: Token) {
        if let Some(flight) = self.flights.get_mut(&target) {
            flight.token = Some(token);
        }
    }
    /// The probe has met itself: it says nothing about the target, which is asked again.
    pub fn repeat(&mut self, target: u64) {
        if let Some(flight) = self.land(target) {
            self.again.push_front((target, flight.tries));
        }
    }
    /// When the next probe may go, as far as pace decides.
    fn opens_at(&self) -> Option<Instant> {
        self.rate.map(|r| r.at()).max(self.pause)
    }
    /// The driver has looked at everything else.
    pub fn breathe(&mut self) {
        self.burst = 0;
    }
    /// As long as an answer of that host may take; twice that for each time that it was silent.
    fn timeout(&self, host: u64, tries: u8) -> Duration {
        let most = self.settings.timeout;
        let known = self.rtts.get(&host).map_or(most, |rtt| rtt.timeout(most));
        known.saturating_mul(1 << tries.min(10)).min(most)
    }
    fn land(&mut self, target: u64) -> Option<Flight> {
        let flight = self.flights.remove(&target)?;
        self.due.remove(&(flight.due, target));
        Some(flight)
    }
    /// The target has answered, or somebody for it. False if nobody had asked.
    pub fn heard(&mut self, target: u64, now: Instant) -> bool {
        let Some(flight) = self.land(target) else { return false };
        self.done += 1;
        self.streak = 0;
        match flight.tries {
            0 => self.window.heard(),
            _ => self.window.lost(),
        }
        // Each try has a socket of its own, so this is the answer to the last one (Karn's problem does not arise).
        self.measure(target / self.ports, now.since(flight.sent));
        true
    }
    fn measure(&mut self, host: u64, sample: Duration) {
        if let Some(rtt) = self.rtts.get_mut(&host) {
            return rtt.add(sample);
        }
        if self.rtts.len() >= HOSTS {
            self.rtts.pop_first();
        }
        self.rtts.insert(host, Rtt::new(sample));
        // Those under way were sent when nothing was known of the host.
        let (first, after) = (host * self.ports, (host + 1) * self.ports);
        let sooner: Vec<(u64, Flight)> = self.flights.range(first..after).map(|(t, f)| (*t, *f)).collect();
        for (target, flight) in sooner {
            let due = flight.sent.after(self.timeout(host, flight.tries)).min(flight.due);
            self.due.remove(&(flight.due, target));
            self.due.insert((due, target));
            if let Some(f) = self.flights.get_mut(&target) {
                f.due = due;
            }
        }
    }
    /// Silence for as long as is waited, or the kernel says so.
    pub fn silent(&mut self, target: u64) -> Option<Late> {
        let flight = self.land(target)?;
        self.streak = 0;
        if flight.tries < self.settings.retries {
            self.again.push_back((target, flight.tries + 1));
            return Some(Late { target, token: flight.token, again: true });
        }
        self.done += 1;
        Some(Late { target, token: flight.token, again: false })
    }
    /// A target whose time is up.
    pub fn expired(&mut self, now: Instant) -> Option<Late> {
        let (at, target) = self.due.first().copied()?;
        if at <= now { self.silent(target) } else { None }
    }
    /// This machine could not send the probe: fewer at once, and the same one again. False if there is no hope.
    pub fn stuck(&mut self, target: u64, now: Instant) -> bool {
        let Some(flight) = self.land(target) else { return true };
        self.again.push_front((target, flight.tries));
        self.stuck += 1;
        self.window.limited(u32::try_from(self.flights.len()).unwrap_or(u32::MAX));
        if self.flights.is_empty() {
            self.pause = Some(now.after(PAUSE));
            self.streak += 1;
        }
        self.streak < HOPELESS
    }
    /// When something is to be done; `busy` as for [`Sweep::next`].
    pub fn deadline(&self, busy: usize, now: Instant) -> Option<Deadline> {
        let late = self.due.first().map(|(at, _)| Deadline { at: *at, since: now, why: "answer" });
        let more = !self.again.is_empty() || self.cursor < self.order.size();
        let room = self.flights.len().saturating_add(busy) < self.window.size() as usize;
        let next = (more && room).then(|| self.opens_at().unwrap_or(now));
        let next = next.map(|at| Deadline { at, since: now, why: "next probe" });
        Deadline::earliest(late, next)
    }
}
