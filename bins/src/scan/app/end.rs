//! The end of a scan, and what is written on the way: rows, progress, the position.
use super::{FILES, KEEPER, Scan, ScanCx, Stage};
use crate::keeper::Keeper;
use crate::outcome::{Code, Failure};
use crate::scan::options::Form;
use crate::scan::report::{self, Sheet};
use crate::scan::state::Saved;
use crate::scan::{compare, json};
use proto_core::{Answer, Ask, OpId, Reason};

/// Bytes that are put at once.
const PIECE: usize = 32 << 10;
/// The key of the question that removes a position that is not needed any more.
const REMOVE: u64 = 8;

impl Scan {
    /// Puts text on standard output, as fast as that takes it.
    pub(super) fn print(&mut self, text: &str, cx: &mut ScanCx<'_>) {
        self.unshow(cx);
        self.pending.0.extend_from_slice(text.as_bytes());
        self.pump(cx);
    }
    pub(super) fn pump(&mut self, cx: &mut ScanCx<'_>) {
        if let Some(tx) = self.out.and_then(|t| cx.tx(t)) {
            while tx.room() > 0
                && let (bytes, at) = (&self.pending.0, self.pending.1)
                && at < bytes.len()
            {
                let piece = bytes.get(at..bytes.len().min(at + PIECE)).unwrap_or_default();
                tx.put(piece);
                self.pending.1 += piece.len();
            }
        }
        if self.pending.1 >= self.pending.0.len() {
            self.pending = (Vec::new(), 0);
            if let Stage::Ending(code) = self.stage
                && self.keeper.is_none()
            {
                cx.exit(code as u8);
            }
        }
    }
    pub(super) fn show(&mut self, cx: &mut ScanCx<'_>) {
        let Some(sweep) = &self.sweep else { return };
        let text = report::progress(sweep, self.before, cx.now.since(self.began));
        let line = if self.o.progress { format!("\r{text}\x1b[K") } else { format!("{text}\n") };
        self.shown = self.o.progress;
        if let Some(tx) = self.err.and_then(|t| cx.tx(t)) {
            tx.put(line.as_bytes());
        }
    }
    /// Takes the progress off the line.
    pub(super) fn unshow(&mut self, cx: &mut ScanCx<'_>) {
        if std::mem::take(&mut self.shown)
            && let Some(tx) = self.err.and_then(|t| cx.tx(t))
        {
            tx.put(b"\r\x1b[K");
        }
    }
    /// Writes the position, unless that is still being done.
    pub(super) fn save(&mut self, cx: &mut ScanCx<'_>) {
        let (Some(path), Some(sweep), None) = (&self.o.resume, &self.sweep, &self.keeper) else { return };
        let (begun, open) = sweep.position();
        // What is being listened to counts as not asked yet.
        let open: Vec<u64> = open.chain(self.talks.targets()).collect();
        let scan = format!("{} {}", self.targets, self.o.ports);
        let (digest, seed, found) = (self.digest, self.seed, self.found.clone());
        let saved = Saved { scan, digest, seed, begun, open, found };
        self.saves += 16; // an old one may still be waiting for an answer
        self.keeper = Some(Keeper::begin(path, saved.write(), OpId::new(KEEPER, self.saves), cx));
    }
    pub(super) fn kept(&mut self, id: OpId, answer: &Result<Answer, Reason>, cx: &mut ScanCx<'_>) {
        let Some(keeper) = &mut self.keeper else { return };
        match keeper.answer(id, answer, cx) {
            Ok(false) => return,
            Ok(true) => self.keeper = None,
            Err(failure) => {
                self.keeper = None;
                self.complain(&failure.text, cx);
            }
        }
        let Stage::Ending(code) = self.stage else { return };
        match code {
            // What was being written when the signal came is old.
            Code::Interrupted | Code::Local if !std::mem::replace(&mut self.saved_last, true) => self.save(cx),
            Code::Interrupted | Code::Local => {}
            _ => self.remove_position(cx),
        }
        self.pump(cx);
    }
    /// The scan is whole: the file would only be in the way of the next one.
    fn remove_position(&self, cx: &mut ScanCx<'_>) {
        if let Some(path) = self.o.resume.clone() {
            cx.ask(OpId::new(FILES, REMOVE), Ask::Remove { dir: None, path }); // it may not be there
        }
    }
    pub(super) fn interrupted(&mut self, cx: &mut ScanCx<'_>) {
        match self.stage {
            Stage::Scanning => self.end(Some(Failure::new(Code::Interrupted, "")), cx),
            _ => cx.exit(Code::Interrupted as u8),
        }
    }
    /// Says what was found, and ends: because all is done, or before that.
    pub(super) fn end(&mut self, early: Option<Failure>, cx: &mut ScanCx<'_>) {
        let Some(sweep) = &self.sweep else { return };
        let (left, probes) = (sweep.total().saturating_sub(self.found.total()), sweep.probes());
        let waiting = sweep.waiting();
        self.found.sort();
        let took = cx.now.since(self.began);
        let sheet = Sheet { options: &self.o, targets: &self.targets, found: &self.found };
        let mut text = match self.o.form {
            Form::Lines => String::new(),
            Form::Json => json::document(&sheet, cx.wall().unix_ns / 1_000_000, left, took),
            Form::Grepable => json::grepable(&sheet),
            Form::Text => {
                let totals = (self.o.ports.is_ranged() || left > 0) && !self.o.quiet;
                sheet.tables() + &if totals { sheet.totals(left, took) } else { String::new() }
            }
        };
        let (mut code, mut said) = (Code::Ok, Vec::new());
        let compared =
            (early.is_none() && self.o.diff.is_some(), early.is_none().then_some(()).and(self.o.expect.as_ref()));
        for differs in [
            compared.0.then(|| compare::changes(&sheet, &self.old)).flatten(),
            compared.1.and_then(|expected| compare::unexpected(&sheet, expected)),
        ]
        .into_iter()
        .flatten()
        {
            code = Code::Answered;
            match self.o.form {
                Form::Text => text.push_str(&differs),
                _ => said.extend(differs.lines().map(String::from)),
            }
        }
        if self.found.unreachable() > 0 && self.found.unreachable() == self.found.total() {
            code = Code::Connect;
            let why = self.found.rows().first().map_or_else(|| "unreachable".into(), |r| r.why.to_string());
            said.push(format!("cannot reach {}: {why}", self.targets));
        }
        if self.o.verbose {
            let repeated = if probes.1 > 0 { format!(" ({} repeated)", probes.1) } else { String::new() };
            let lost = if early.as_ref().is_some_and(|f| f.code == Code::Local) { waiting } else { 0 };
            text.push_str(&format!("{lost} of {} probes lost to local limits{repeated}\n", probes.0));
        }
        if let Some(failure) = &early {
            code = failure.code;
            said.extend((!failure.text.is_empty()).then(|| failure.text.clone()));
            if let Some(path) = &self.o.resume {
                said.push(format!("to go on: --resume {path}"));
            }
        }
        self.stage = Stage::Ending(code);
        (self.save_at, self.show_at) = (None, None);
        self.print_last(&text, early.is_some(), cx);
        for line in said {
            self.complain(&line, cx);
        }
    }
    fn print_last(&mut self, text: &str, early: bool, cx: &mut ScanCx<'_>) {
        match (early, self.keeper.is_some()) {
            (true, false) => {
                self.saved_last = true;
                self.save(cx);
            }
            (false, false) => self.remove_position(cx),
            (_, true) => {} // when that is done
        }
        self.print(text, cx);
    }
}
