//! The file that remembers what users have used.
use super::account::Accounts;
use crate::keeper::Keeper;
use crate::outcome::Failure;
use core::time::Duration;
use proto_core::{Answer, Cx, Deadline, OpId, Reason};

/// How long a change may wait to be written.
const PATIENCE: Duration = Duration::from_secs(10);

/// It writes the accounts when they have changed, a while later.
#[derive(Debug)]
pub struct Ledger {
    path: Option<String>,
    keeper: Option<Keeper>,
    /// Its next question.
    next: OpId,
    due: Option<Deadline>,
}

impl Ledger {
    /// To `path`, if there is one; questions carry `part`.
    pub fn new(part: u8, path: Option<String>) -> Self {
        Ledger { path, keeper: None, next: OpId::new(part, 0), due: None }
    }
    /// There is a file.
    pub fn is_kept(&self) -> bool {
        self.path.is_some()
    }
    /// The accounts have changed.
    pub fn note<J, M>(&mut self, cx: &Cx<'_, J, M>) {
        if self.is_kept() && self.due.is_none() {
            self.due = Some(Deadline::new(cx.now, PATIENCE, "accounts to be written"));
        }
    }
    /// When it wants to be asked again.
    pub fn deadline(&self) -> Option<Deadline> {
        self.due.filter(|_| self.keeper.is_none())
    }
    /// Writes if it is time to.
    pub fn due<J, M>(&mut self, accounts: &mut Accounts, cx: &mut Cx<'_, J, M>) {
        if self.deadline().is_some_and(|d| d.at <= cx.now) {
            self.write(accounts, cx);
        }
    }
    /// Writes what is new, unless that is being done; true if something is being written.
    pub fn write<J, M>(&mut self, accounts: &mut Accounts, cx: &mut Cx<'_, J, M>) -> bool {
        if let Some(path) = self.path.as_ref().filter(|_| self.keeper.is_none()) {
            self.due = None;
            self.keeper = accounts.text().map(|text| Keeper::begin(path, text, self.next, cx));
        }
        self.keeper.is_some()
    }
    /// Takes an answer; true if the file is there now.
    ///
    /// # Errors
    /// It cannot be written; it will be tried again.
    pub fn answer<J, M>(
        &mut self,
        id: OpId,
        answer: &Result<Answer, Reason>,
        accounts: &mut Accounts,
        cx: &mut Cx<'_, J, M>,
    ) -> Result<bool, Failure> {
        let Some(keeper) = &mut self.keeper else { return Ok(false) };
        let told = keeper.answer(id, answer, cx);
        if !matches!(told, Ok(false)) {
            self.next = keeper.next();
            self.keeper = None;
        }
        if told.is_err() {
            accounts.change();
            self.note(cx);
        }
        told
    }
}
