//! Every interleaving of the mailbox and of the queue of work.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p drivers --test loom --release`
//!
//! Each model comes with a control: the same model with one mistake in it, which loom must find. A deadlock that loom
//! finds ends its process, so those with one are `ignored` and run by their control in a process of their own.
#![cfg(loom)]
#![allow(clippy::unwrap_used)] // a test fails by panicking
use drivers::mail::{Mailbox, Queue, Wake};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// The eventfd: a flag that rings until it is cleared.
struct Bell {
    rings: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn new() -> Bell {
        Bell { rings: Mutex::new(false), changed: Condvar::new() }
    }
    /// As `poll` does: it does not clear. A wake-up that is lost makes this wait for ever, which loom reports.
    fn wait(&self) {
        let mut rings = self.rings.lock().unwrap();
        while !*rings {
            rings = self.changed.wait(rings).unwrap();
        }
    }
    fn clear(&self) {
        *self.rings.lock().unwrap() = false;
    }
}

impl Wake for Bell {
    fn wake(&self) {
        *self.rings.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

#[derive(Clone, Copy)]
enum Order {
    ClearThenTake,
    TakeThenClear,
}

/// Runs an ignored model; loom must find that it hangs.
fn must_deadlock(model: &str) {
    let own = std::env::current_exe().unwrap();
    let run = std::process::Command::new(own).args(["--exact", model, "--ignored", "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    assert!(!run.status.success() && said.contains("deadlock"), "{model} ended with {}: {said}", run.status);
}

/// Two senders and a loop that waits, clears and takes until it has everything.
fn mailbox(order: Order) {
    loom::model(move || {
        let mail = Arc::new(Mailbox::new(Bell::new()));
        let senders: Vec<_> = [vec![1, 2], vec![11]]
            .into_iter()
            .map(|letters| {
                let mail = mail.clone();
                thread::spawn(move || letters.into_iter().for_each(|l| mail.send(l)))
            })
            .collect();
        let mut got = Vec::new();
        while got.len() < 3 {
            mail.waker().wait();
            match order {
                Order::ClearThenTake => {
                    mail.waker().clear();
                    got.extend(mail.take());
                }
                Order::TakeThenClear => {
                    got.extend(mail.take());
                    mail.waker().clear();
                }
            }
        }
        senders.into_iter().for_each(|s| s.join().unwrap());
        let of = |from: i32| got.iter().copied().filter(|l| (from..from + 10).contains(l)).collect::<Vec<_>>();
        assert_eq!((of(1), of(11)), (vec![1, 2], vec![11]), "each letter once, each sender's in order");
    });
}

#[test]
fn no_wake_up_of_the_mailbox_is_lost() {
    mailbox(Order::ClearThenTake);
}

#[test]
#[ignore = "hangs, and is meant to"]
fn take_before_clear() {
    mailbox(Order::TakeThenClear);
}

#[test]
fn control_take_before_clear_loses_one() {
    must_deadlock("take_before_clear");
}

/// Only the first letter into an empty box rings, and one ring is enough for both.
#[test]
fn mail_behind_a_ring_is_found_without_another() {
    loom::model(|| {
        let mail = Arc::new(Mailbox::new(Bell::new()));
        let senders: Vec<_> = (0..2)
            .map(|l| {
                let mail = mail.clone();
                thread::spawn(move || mail.send(l))
            })
            .collect();
        senders.into_iter().for_each(|s| s.join().unwrap());
        mail.waker().wait();
        mail.waker().clear();
        assert_eq!(mail.take().len(), 2, "one ring stands for all that came before it");
    });
}

/// Two producers into a queue of `limit`, one consumer, then the end. What was pushed is popped once; what was given
/// back is not.
fn queue(limit: usize, wrong: bool) {
    loom::model(move || {
        let queue = Arc::new(Queue::new(limit));
        let consumer = {
            let queue = queue.clone();
            thread::spawn(move || std::iter::from_fn(|| queue.pop()).collect::<Vec<u32>>())
        };
        let producer = {
            let queue = queue.clone();
            thread::spawn(move || [1, 2].into_iter().filter(|piece| queue.push(*piece).is_err()).count())
        };
        let own = usize::from(queue.push(3).is_err() && !wrong);
        let given_back = own + producer.join().unwrap();
        queue.close();
        assert_eq!(queue.push(9), Err(9), "closed");
        let mut got = consumer.join().unwrap();
        got.sort_unstable();
        let whole = got.len();
        got.dedup();
        assert_eq!(got.len(), whole, "popped once");
        assert_eq!(whole + given_back, 3, "popped or given back");
        assert_eq!(queue.pop(), None, "closed and empty");
    });
}

#[test]
fn every_piece_is_popped_once_or_given_back() {
    queue(8, false);
    queue(1, false);
}

#[test]
#[should_panic(expected = "popped or given back")]
fn control_a_piece_given_back_is_missed() {
    queue(1, true);
}

/// `close` lets the consumers take what is queued, then wakes all of them.
#[test]
fn close_drains_and_wakes_all() {
    loom::model(|| {
        let queue = Arc::new(Queue::new(4));
        queue.push(1).unwrap();
        queue.push(2).unwrap();
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || std::iter::from_fn(|| queue.pop()).count())
            })
            .collect();
        queue.close();
        let popped: usize = consumers.into_iter().map(|c| c.join().unwrap()).sum();
        assert_eq!(popped, 2);
    });
}

/// A consumer that nobody tells of the end waits for ever.
#[test]
fn control_without_close_a_consumer_hangs() {
    must_deadlock("without_close");
}

#[test]
#[ignore = "hangs, and is meant to"]
fn without_close() {
    loom::model(|| {
        let queue = Arc::new(Queue::new(4));
        let consumer = {
            let queue = queue.clone();
            thread::spawn(move || std::iter::from_fn(|| queue.pop()).count())
        };
        queue.push(1).unwrap();
        consumer.join().unwrap();
    });
}

/// A piece is cancelled or popped, never both and never neither. With `wrong` the canceller believes that it always
/// comes in time.
fn cancel(wrong: bool) {
    loom::model(move || {
        let queue = Arc::new(Queue::new(4));
        queue.push(1).unwrap();
        queue.push(2).unwrap();
        let consumer = {
            let queue = queue.clone();
            thread::spawn(move || std::iter::from_fn(|| queue.pop()).collect::<Vec<u32>>())
        };
        let cancelled = queue.cancel(|piece| *piece == 2);
        queue.close();
        let got = consumer.join().unwrap();
        match cancelled {
            Some(piece) => assert_eq!((piece, got), (2, vec![1]), "cancelled"),
            None if wrong => assert_eq!(got, [1], "cancelled, surely"),
            None => assert_eq!(got, [1, 2], "too late"),
        }
    });
}

#[test]
fn a_piece_is_cancelled_or_popped() {
    cancel(false);
}

#[test]
#[should_panic(expected = "cancelled, surely")]
fn control_cancel_may_come_too_late() {
    cancel(true);
}
