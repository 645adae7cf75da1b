//! Forced errors, for tests: what no tracer can do to a ring from outside.
//!
//! A chosen operation never starts: one that must fail takes its place under the same name, and its completion carries
//! the error. So nothing is received and lost, and a chain breaks, just as if the kernel itself had refused.
use super::ring::Code;
use crate::config::{CqeFault, CqeOp};
use std::collections::BTreeMap;

pub struct Forced {
    faults: Vec<(CqeFault, u64)>,
    /// The errors of operations that were replaced.
    waiting: BTreeMap<u64, i32>,
    on: bool,
}

impl Forced {
    pub fn new(faults: &[CqeFault]) -> Forced {
        // A state of zero would stay zero.
        let faults: Vec<_> = faults.iter().map(|f| (*f, f.seed | 1 << 63)).collect();
        Forced { on: !faults.is_empty(), faults, waiting: BTreeMap::new() }
    }
    #[inline]
    pub fn is_active(&self) -> bool {
        self.on
    }
    /// No new faults.
    pub fn stop(&mut self) {
        self.faults.clear();
    }
    /// Whether the operation is to fail.
    #[cold]
    pub fn roll(&mut self, name: u64) -> bool {
        let is = |op, code: &[Code]| code.iter().any(|c| *c as u8 == op);
        let of = |op| match op {
            CqeOp::Accept => &[Code::Accept][..],
            CqeOp::Recv => &[Code::Recv, Code::Once, Code::Read],
            CqeOp::RecvMulti => &[Code::Recv],
            CqeOp::Poll => &[Code::Poll],
            CqeOp::Send => &[Code::Send],
            CqeOp::Connect => &[Code::Connect],
        };
        for (fault, state) in &mut self.faults {
            if is((name >> 24) as u8, of(fault.op)) && next(state) % 1000 < u64::from(fault.per_mille) {
                self.waiting.insert(name, fault.errno);
                return true;
            }
        }
        false
    }
    /// The error of an operation that was replaced.
    #[cold]
    pub fn take(&mut self, name: u64) -> Option<i32> {
        self.waiting.remove(&name)
    }
}

/// xorshift64*.
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
}
