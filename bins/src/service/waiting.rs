//! How many clients wait in the kernel's backlog while a server that is full does not accept: a part that asks the
//! listeners once a second.
use core::time::Duration;
use proto_core::{Answer, Ask, Cx, Deadline, Input, Instant, OpId, Token};

/// The part byte of its questions.
const WAITING: u8 = 251;
/// How often it asks.
const EVERY: Duration = Duration::from_secs(1);

/// The part.
#[derive(Debug, Default)]
pub struct Waiting {
    next: Option<Instant>,
    /// Answers that have not come yet.
    open: usize,
    sum: u32,
    told: u32,
}

impl Waiting {
    /// The server has become full, or has room again.
    pub fn watch(&mut self, full: bool, now: Instant) {
        match (full, self.next) {
            (true, None) => self.next = Some(now),
            (false, _) => (self.next, self.told) = (None, 0),
            _ => {}
        }
    }
    /// Takes deadlines and answers. `Some`: so many wait now, which is news.
    pub fn handle<J, M>(&mut self, input: &Input<'_, M>, listeners: &[Token], cx: &mut Cx<'_, J, M>) -> Option<u32> {
        match input {
            Input::Deadline if self.next.is_some_and(|at| at <= cx.now) => {
                self.next = Some(cx.now.after(EVERY));
                if self.open == 0 {
                    self.sum = 0;
                    for (i, l) in listeners.iter().enumerate() {
                        self.open += 1;
                        cx.ask(OpId::new(WAITING, i as u64), Ask::SocketInfo(*l));
                    }
                }
                None
            }
            Input::Answer(id, answer) if id.part() == WAITING => {
                self.open = self.open.saturating_sub(1);
                if let Ok(Answer::SocketInfo { queued, .. }) = answer {
                    self.sum = self.sum.saturating_add(*queued);
                }
                let news = self.open == 0 && self.next.is_some() && self.sum != self.told;
                news.then(|| {
                    self.told = self.sum;
                    self.sum
                })
            }
            _ => None,
        }
    }
    /// When it wants `Input::Deadline`.
    pub fn deadline(&self) -> Option<Deadline> {
        self.next.map(|at| Deadline { at, since: at, why: "clients that wait" })
    }
}
