//! What comes before the first probe: the targets, a question to the user, an earlier position.
use super::super::options::{Form, MANY};
use super::super::order::Order;
use super::super::state::Saved;
use super::super::sweep::{Settings, Sweep};
use super::super::targets::MOST;
use super::super::{compare, mix, report};
use super::{Found, SAVE, SHOW, Scan, ScanCx, Stage, talk};
use crate::outcome::{Code, Failure};
use crate::text::Thousands;
use rand_core::RngCore;

impl Scan {
    /// All that is needed before the scan may be there.
    pub(super) fn prepare(&mut self, cx: &mut ScanCx<'_>) {
        let read = self.slurps.iter().all(Option::is_none);
        if !matches!(self.stage, Stage::Asking) || !self.asking.is_done() || !read {
            return;
        }
        let failed = self.asking.finish(&mut self.targets, cx);
        for failure in &failed {
            self.complain(&failure.text, cx);
        }
        if self.targets.is_empty() {
            let Some(first) = failed.first() else { return self.fail(&Failure::usage("nothing to scan"), cx) };
            self.stage = Stage::Ending(first.code);
            return self.pump(cx);
        }
        let pairs = self.targets.len().saturating_mul(self.o.ports.len().into());
        if pairs > MOST {
            let (n, most) = (Thousands(pairs), Thousands(MOST));
            return self.fail(&Failure::usage(format!("too many targets: {n} (at most {most})")), cx);
        }
        if self.o.expect.is_some() && self.targets.len() > MANY {
            let text = format!("--expect is for at most {} addresses", Thousands(MANY));
            return self.fail(&Failure::usage(text), cx);
        }
        if self.o.yes || (pairs <= MANY && !self.targets.has_large_public()) {
            return self.begin(cx);
        }
        if !self.typed {
            return self.fail(&Failure::usage(format!("{} targets need --yes", Thousands(pairs))), cx);
        }
        self.stage = Stage::Question(Vec::new());
        if let Some(tx) = self.err.and_then(|t| cx.tx(t)) {
            tx.put(format!("Scan {} targets? [y/N] ", Thousands(pairs)).as_bytes());
        }
    }
    pub(super) fn answered(&mut self, bytes: &[u8], ended: bool, cx: &mut ScanCx<'_>) {
        let Stage::Question(typed) = &mut self.stage else { return };
        let room = 64usize.saturating_sub(typed.len());
        typed.extend(bytes.iter().take(room));
        let line = typed.split(|b| *b == b'\n').next().unwrap_or_default();
        if !ended && line.len() == typed.len() && typed.len() < 64 {
            return;
        }
        match line.trim_ascii().to_ascii_lowercase().as_slice() {
            b"y" | b"yes" => self.begin(cx),
            _ => self.fail(&Failure::usage("not scanned"), cx),
        }
    }
    /// What this scan is of: the same number only for the same work.
    fn digest_of(&self) -> u64 {
        let text = format!("{} {:?} {:?} {:?}", self.o.ports, self.o.protocol, self.o.shard, self.found);
        text.bytes().fold(self.targets.digest(), |h, b| mix(h ^ u64::from(b)))
    }
    fn begin(&mut self, cx: &mut ScanCx<'_>) {
        let pairs = self.targets.len().saturating_mul(self.o.ports.len().into());
        let listed = self.o.listed(pairs);
        self.found = Found::new(listed);
        self.digest = self.digest_of();
        let saved = match self.read[0].take().filter(|b| !b.is_empty()) {
            None => None,
            Some(bytes) => match self.recall(&bytes, pairs) {
                Ok(saved) => Some(saved),
                Err(failure) => return self.fail(&failure, cx),
            },
        };
        self.seed = match &saved {
            Some(saved) => saved.seed,
            None if self.o.shard.1 > 1 => Some(self.o.seed.unwrap_or(0)),
            None if self.o.randomize => Some(self.o.seed.unwrap_or_else(|| cx.rng().next_u64())),
            None => None,
        };
        if let Some(bytes) = self.read[1].take() {
            match compare::open_ports(&bytes, self.o.protocol) {
                Ok(old) => self.old = old,
                Err(why) => {
                    let path = self.o.diff.clone().unwrap_or_default();
                    return self.fail(&Failure::usage(format!("'{}' {why}", path.escape_debug())), cx);
                }
            }
        }
        let window = self.o.concurrency.min(u32::try_from(self.capacity).unwrap_or(u32::MAX)).max(1);
        if window < self.o.concurrency {
            let text = format!("{} connections at once do not fit, {window} do", self.o.concurrency);
            self.note(&text, cx);
        }
        self.window = window;
        if self.o.tls {
            match talk::curious() {
                Ok(setup) => self.tls = Some(setup),
                Err(why) => return self.fail(&Failure::new(Code::Local, format!("TLS: {why}")), cx),
            }
        }
        let settings = Settings { window, timeout: self.o.timeout, retries: self.o.retries, rate: self.o.rate };
        let order = Order::new(pairs, self.seed, self.o.shard);
        let mut sweep = Sweep::new(order, self.o.ports.len(), settings, cx.now);
        if let Some(saved) = saved {
            sweep.resume(saved.begun, saved.open);
            self.before = sweep.done();
            self.found = saved.found;
            let text = format!("going on after {} of {} targets", Thousands(self.before), Thousands(sweep.total()));
            self.note(&text, cx);
        }
        self.sweep = Some(sweep);
        if !self.open_raw(cx) {
            self.go(cx);
        }
    }
    /// All is ready.
    pub(super) fn go(&mut self, cx: &mut ScanCx<'_>) {
        self.began = cx.now;
        self.save_at = self.o.resume.as_ref().map(|_| cx.now.after(SAVE));
        self.show_at = self.o.progress.then(|| cx.now.after(SHOW.0));
        self.stage = Stage::Scanning;
        if self.o.form == Form::Text && self.o.ports.is_ranged() && !self.o.quiet {
            let sheet = report::Sheet { options: &self.o, targets: &self.targets, found: &self.found };
            let header = sheet.header(self.window);
            self.print(&header, cx);
        }
    }
    /// The position that an earlier run has left.
    fn recall(&self, bytes: &[u8], pairs: u64) -> Result<Saved, Failure> {
        let path = self.o.resume.as_deref().unwrap_or_default().escape_debug();
        let saved = Saved::parse(bytes, self.o.listed(pairs));
        let saved = saved.map_err(|why| Failure::usage(format!("'{path}' {why}")))?;
        let mine = Order::new(pairs, saved.seed, self.o.shard).size();
        if saved.digest != self.digest || saved.begun > mine || saved.open.iter().any(|t| *t >= pairs) {
            return Err(Failure::usage(format!("resume file is for {}", saved.scan.escape_debug())));
        }
        Ok(saved)
    }
}
