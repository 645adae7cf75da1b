//! Who has the next turn with the lock: strictly first come, first served.
//!
//! The mutex's own fairness is not enough: it hands itself over to a thread that sleeps, but one that waits spinning or
//! has yielded the processor is passed over, on a busy machine for many milliseconds.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread::Thread;

/// Looks at the number that is served before a thread goes to sleep: about as long as it takes to wake it.
const SPINS: u32 = 200;

/// Numbers are drawn and served in order.
#[derive(Debug, Default)]
pub struct Turns {
    serving: AtomicU64,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// Who waits, in order; perhaps not asleep yet.
    waiting: VecDeque<(u64, Thread)>,
}

impl Turns {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(|e| e.into_inner()) // nothing under it can panic halfway
    }
    /// Waits for a turn; [`Turns::give`] ends it.
    pub fn take(&self) {
        let mine = {
            let mut line = self.line();
            let mine = line.next;
            line.next += 1;
            if self.is_at(mine) {
                return;
            }
            line.waiting.push_back((mine, std::thread::current()));
            mine
        };
        let mut spins = if self.is_at(mine.wrapping_sub(1)) { SPINS } else { 0 };
        while !self.is_at(mine) {
            if spins > 0 {
                spins -= 1;
                std::hint::spin_loop();
            } else {
                std::thread::park(); // may return for nothing
            }
        }
    }
    /// The turn is over: the next in line has it.
    pub fn give(&self) {
        let mut line = self.line();
        let next = self.serving.load(Ordering::Relaxed) + 1;
        self.serving.store(next, Ordering::Release);
        if line.waiting.front().is_some_and(|(n, _)| *n == next)
            && let Some((_, thread)) = line.waiting.pop_front()
        {
            drop(line);
            thread.unpark();
        }
    }
    fn is_at(&self, n: u64) -> bool {
        self.serving.load(Ordering::Acquire) == n
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    #[test]
    fn turns_are_had_one_at_a_time_in_the_order_they_were_asked_for() {
        let (turns, (tell, order)) = (Arc::new(Turns::default()), channel());
        turns.take();
        let threads: Vec<_> = (0..20u64)
            .map(|i| {
                let (theirs, tell) = (turns.clone(), tell.clone());
                let thread = std::thread::spawn(move || {
                    theirs.take();
                    tell.send(i).unwrap();
                    theirs.give();
                });
                while turns.line().next < i + 2 {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        assert!(order.try_recv().is_err(), "somebody else's turn");
        turns.give();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert!(order.try_iter().eq(0..20));
    }
}
