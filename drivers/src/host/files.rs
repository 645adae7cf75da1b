//! Files that were closed while output still names them.
use super::Host;
use crate::disk::subject;
use proto_core::{Answer, App, Ask, FileId, OpId, Reason, Token, Tx};
use std::collections::BTreeMap;

/// Closed files, by who still has to send from them.
#[derive(Debug, Default)]
pub struct Leaving {
    of: BTreeMap<Token, Vec<FileId>>,
    /// How many tokens hold each.
    holders: BTreeMap<FileId, usize>,
}

fn names(tx: &Tx, file: FileId) -> bool {
    tx.files().any(|f| f == file)
}

impl<A: App + 'static> Host<A> {
    /// Closes a file: now, or when the last output that names it has been sent.
    #[cold]
    fn close_file(&mut self, id: OpId, file: FileId) -> Option<Result<Answer, Reason>> {
        if self.leaving.holders.contains_key(&file) {
            return Some(Err(Reason::NotFound)); // closed already
        }
        let names_it = |t: &Token| self.table.tx(*t).is_some_and(|tx| names(tx, file));
        let tokens: Vec<Token> = self.table.tokens().filter(names_it).collect();
        if tokens.is_empty() || self.disk.file(file).is_none() {
            return self.disk.ask(id, Ask::CloseFile(file));
        }
        self.leaving.holders.insert(file, tokens.len());
        for t in tokens {
            self.leaving.of.entry(t).or_default().push(file);
        }
        Some(Ok(Answer::Done))
    }
    /// Some of a token's output is gone.
    #[inline]
    pub(super) fn sent_some(&mut self, t: Token) {
        if !self.leaving.of.is_empty() {
            self.let_go(t);
        }
    }
    #[cold]
    fn let_go(&mut self, t: Token) {
        let Leaving { of, holders } = &mut self.leaving;
        let Some(files) = of.get_mut(&t) else { return };
        let tx = self.table.tx(t);
        files.retain(|file| {
            let keep = tx.is_some_and(|tx| names(tx, *file));
            if !keep && let Some(n) = holders.get_mut(file) {
                *n -= 1;
            }
            keep
        });
        if files.is_empty() {
            of.remove(&t);
        }
        let disk = &mut self.disk;
        holders.retain(|file, n| {
            if *n == 0 {
                disk.close(*file);
            }
            *n > 0
        });
    }
    /// Begins a question about a file, unless the app has closed it.
    pub(super) fn ask_disk(&mut self, id: OpId, ask: Ask) -> Option<Result<Answer, Reason>> {
        match ask {
            Ask::CloseFile(file) => self.close_file(id, file),
            ask if subject(&ask).is_some_and(|f| self.leaving.holders.contains_key(&f)) => Some(Err(Reason::NotFound)),
            ask => self.disk.ask(id, ask),
        }
    }
}
