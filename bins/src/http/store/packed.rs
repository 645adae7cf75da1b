//! Compressed forms, made once and kept beside the files that they are forms of.
//!
//! ```text
//! (not there) --look--> Loading --(read)--> Loading --made--> Ready, or Missing: it would not be smaller
//!                          ^------------ the file has changed ----------/
//! ```
use super::super::job::Job;
use super::super::media::Coding;
use super::super::pack::{MAX, MIN, Pack};
use super::{Body, Entry, Look, State, Step, Store};
use core::time::Duration;
use proto_core::{Answer, Ask, Bytes, Cx, Lost, Meta, Op, OpId, Reason, Token};

/// Files that are being compressed at once; whoever asks for one more gets it as it is.
const AT_ONCE: usize = 16;

/// A path cannot have a NUL in it.
fn key(path: &str, coding: Coding) -> Box<str> {
    format!("{path}\0{}", coding.name()).into()
}

impl Store {
    /// The coded form of the file in the slot `source`; [`Look::Missing`] if there is none worth sending.
    pub fn look_packed<M>(
        &mut self,
        path: &str,
        source: usize,
        coding: Coding,
        waiter: Token,
        cx: &mut Cx<'_, Job, M>,
    ) -> Look {
        let Some(file) = self.file(source) else { return Look::Missing(500) };
        let (of, body) = (file.meta, file.body.clone());
        let path = key(path, coding);
        let slot = self.by_path.get(&path).copied();
        if let Some(entry) = slot.and_then(|slot| self.slots.get_mut(slot)).and_then(Option::as_mut) {
            entry.used = true;
            match &entry.state {
                State::Loading => {
                    entry.waiters.push(waiter);
                    return Look::Wait;
                }
                State::File(_) if entry.of == Some(of) => return Look::File(slot.unwrap_or_default()),
                State::Missing(status) if entry.of == Some(of) => return Look::Missing(*status),
                _ => {} // made from what the file was before
            }
        }
        if self.packing >= AT_ONCE || !(MIN..=MAX).contains(&of.len) {
            return Look::Missing(404);
        }
        let entry = Entry {
            path: path.clone(),
            state: State::Loading,
            waiters: vec![waiter],
            checked: cx.now,
            checking: true,
            used: true,
            keep_missing: true,
            of: Some(of),
        };
        let slot = match slot {
            Some(slot) => self.refill(slot, entry, cx),
            None => self.add(entry),
        };
        self.packing += 1;
        match body {
            Body::Memory(bytes) => self.pack(slot, bytes, coding, cx),
            Body::Disk(file) => {
                let len = u32::try_from(of.len).unwrap_or(u32::MAX);
                self.ask(Step::Fetch(slot, coding), Ask::Read { file, offset: 0, len }, cx);
            }
        }
        Look::Wait
    }
    fn refill<M>(&mut self, slot: usize, entry: Entry, cx: &mut Cx<'_, Job, M>) -> usize {
        if let Some(old) = self.slots.get_mut(slot).and_then(|place| place.replace(entry)) {
            self.drop_state(old.state, cx);
        }
        slot
    }
    fn pack<M>(&mut self, slot: usize, bytes: Bytes, coding: Coding, cx: &mut Cx<'_, Job, M>) {
        self.steps.insert(self.next, Step::Pack(slot));
        cx.op(Op::Job {
            id: OpId::new(self.part, self.next),
            job: Job::Pack(Pack { bytes, coding }),
            hold: Duration::ZERO,
        });
        self.next += 1;
    }
    /// A large file was read, to be compressed. The state, if it is not.
    pub(super) fn fetched<M>(
        &mut self,
        slot: usize,
        coding: Coding,
        answer: Result<Answer, Reason>,
        cx: &mut Cx<'_, Job, M>,
    ) -> Option<State> {
        let of = self.slots.get(slot).and_then(Option::as_ref).and_then(|e| e.of);
        match answer {
            Ok(Answer::Read(bytes)) if of.is_some_and(|of| of.len == bytes.len() as u64) => {
                self.pack(slot, bytes, coding, cx);
                None
            }
            _ => {
                self.packing -= 1;
                Some(State::Missing(404))
            }
        }
    }
    /// The answer to one of its jobs: who waited for it is to look again, and then [`Store::tidy`] is due.
    pub fn packed<M>(
        &mut self,
        id: OpId,
        made: Result<Bytes, Lost>,
        cx: &mut Cx<'_, Job, M>,
    ) -> Option<(usize, Vec<Token>)> {
        let Some(Step::Pack(slot)) = self.steps.remove(&id.key()) else { return None };
        self.packing -= 1;
        let of = self.slots.get(slot)?.as_ref()?.of?;
        let state = match made {
            Ok(bytes) if !bytes.is_empty() => {
                let meta = Meta { len: bytes.len() as u64, ..of };
                State::File(Box::new(self.make(slot, meta, Body::Memory(bytes), true)))
            }
            _ => State::Missing(404),
        };
        self.conclude(slot, state, cx)
    }
}
