//! A sweep against a network that is a function: every target once, whatever is lost; how long it takes in virtual time.
use super::order::Order;
use super::sweep::{Settings, Sweep};
use core::time::Duration;
use proto_core::Instant;
use std::collections::BTreeMap;

const MS: Duration = Duration::from_millis(1);

fn settings() -> Settings {
    Settings { window: 100, timeout: MS * 3000, retries: 1, rate: None }
}

/// What happens to the n-th probe of a target.
#[derive(Clone, Copy)]
enum Fate {
    Answer(Duration),
    Lost,
    Stuck,
}

struct Played {
    heard: BTreeMap<u64, u32>,
    silent: Vec<u64>,
    took: Duration,
    most: usize,
    sent: u64,
    sent_at: Vec<Duration>,
}

/// Plays to the end; the calls that a driver would make.
fn play(sweep: &mut Sweep, fate: impl Fn(u64, u32) -> Fate) -> Played {
    let mut now = Instant::default();
    let mut answers: BTreeMap<(Instant, u64), ()> = BTreeMap::new();
    let mut tries: BTreeMap<u64, u32> = BTreeMap::new();
    let (heard, silent, sent_at) = (BTreeMap::new(), Vec::new(), Vec::new());
    let mut played = Played { heard, silent, took: Duration::ZERO, most: 0, sent: 0, sent_at };
    let mut under_way = 0usize;
    while !sweep.is_over() {
        sweep.breathe();
        while let Some(target) = sweep.next(0, now) {
            let n = tries.entry(target).or_insert(0);
            *n += 1;
            played.sent_at.push(now.since(Instant::default()));
            under_way += 1;
            played.most = played.most.max(under_way);
            match fate(target, *n) {
                Fate::Answer(after) => drop(answers.insert((now.after(after), target), ())),
                Fate::Lost => {}
                Fate::Stuck => {
                    under_way -= 1;
                    assert!(sweep.stuck(target, now), "given up");
                }
            }
        }
        let next = sweep.deadline(0, now).map(|d| d.at);
        let answer = answers.keys().next().copied();
        match (next, answer) {
            (next, Some((at, target))) if next.is_none_or(|next| at <= next) => {
                answers.remove(&(at, target));
                now = now.max(at);
                if sweep.heard(target, now) {
                    under_way -= 1;
                    *played.heard.entry(target).or_insert(0) += 1;
                }
            }
            (Some(at), _) => now = now.max(at),
            (None, _) => panic!("it stands still"),
        }
        while let Some(late) = sweep.expired(now) {
            under_way -= 1;
            if !late.again {
                played.silent.push(late.target);
            }
        }
    }
    played.took = now.since(Instant::default());
    played.sent = sweep.probes().0;
    played
}

fn sweep(total: u64, settings: Settings) -> Sweep {
    Sweep::new(Order::new(total, None, (0, 1)), total.min(65_535) as u32, settings, Instant::default())
}

#[test]
fn every_target_is_answered_once() {
    let p = play(&mut sweep(5000, settings()), |_, _| Fate::Answer(MS * 20));
    assert_eq!((p.heard.len(), p.silent.len(), p.sent, p.most), (5000, 0, 5000, 100));
    assert!(p.heard.values().all(|n| *n == 1));
    assert_eq!(p.took, MS * 20 * 50, "a hundred at a time");
}

#[test]
fn only_what_is_silent_twice_is_silent() {
    let p = play(&mut sweep(1000, settings()), |t, n| match (t % 20, n) {
        (0, _) => Fate::Lost,
        (1, 1) => Fate::Lost,
        _ => Fate::Answer(MS * 10),
    });
    assert_eq!((p.silent.len(), p.heard.len(), p.sent), (50, 950, 1100));
    assert!(p.took < MS * 3000, "it waits as long as this host takes, not the three seconds: {:?}", p.took);
    // Without retries a lost probe is taken for silence.
    let p = play(&mut sweep(1000, Settings { retries: 0, ..settings() }), |t, n| match (t % 20, n) {
        (1, 1) => Fate::Lost,
        _ => Fate::Answer(MS * 10),
    });
    assert_eq!(p.silent.len(), 50);
}

#[test]
fn a_silent_host_gets_the_whole_timeout() {
    let p = play(&mut sweep(200, settings()), |_, _| Fate::Lost);
    assert_eq!((p.silent.len(), p.sent, p.took), (200, 400, MS * 3000 * 4));
}

#[test]
fn slow_answers_are_waited_for() {
    // 200 ms ± 100 ms: the estimate leaves room for that.
    let p = play(&mut sweep(2000, settings()), |t, n| {
        let spread = super::mix(t * 3 + u64::from(n)) % 200;
        Fate::Answer(MS * (100 + spread as u32))
    });
    assert_eq!((p.heard.len(), p.silent.len()), (2000, 0));
    assert!(p.sent < 2050, "{} probes", p.sent);
}

#[test]
fn loss_makes_the_window_small() {
    let p = play(&mut sweep(4000, settings()), |t, n| match (super::mix(t) % 20, n) {
        (0, 1) => Fate::Lost,
        _ => Fate::Answer(MS * 20),
    });
    assert_eq!((p.heard.len(), p.silent.len()), (4000, 0));
    let clean = play(&mut sweep(4000, settings()), |_, _| Fate::Answer(MS * 20));
    assert!(p.took > clean.took * 2, "{:?} with loss, {:?} without", p.took, clean.took);
}

#[test]
fn local_limits_never_decide_about_a_port() {
    let p = play(&mut sweep(3000, settings()), |t, n| match (t % 7, n) {
        (0, 1..=2) => Fate::Stuck,
        _ => Fate::Answer(MS * 5),
    });
    assert_eq!((p.heard.len(), p.silent.len()), (3000, 0));
    let mut hopeless = sweep(10, settings());
    let mut now = Instant::default();
    let given_up = (0..100).position(|_| {
        now = now.after(MS * 200);
        hopeless.next(0, now).is_some_and(|t| !hopeless.stuck(t, now))
    });
    assert_eq!(given_up, Some(29), "a machine that can send nothing at all is not asked for ever");
}

#[test]
fn a_rate_is_kept() {
    let p = play(&mut sweep(500, Settings { rate: Some(100), ..settings() }), |_, _| Fate::Answer(MS));
    assert!((MS * 4900..MS * 5100).contains(&p.took), "{:?}", p.took);
    for (i, at) in p.sent_at.iter().enumerate().skip(100) {
        let second_before = p.sent_at.get(i - 100).copied().unwrap_or_default();
        assert!(*at - second_before >= MS * 940, "more than 100 in a second");
    }
}

#[test]
fn what_was_interrupted_goes_on_without_gap_or_double() {
    for stop in [0, 1, 7, 150, 499] {
        let mut first = sweep(500, settings());
        let now = Instant::default();
        let mut heard = Vec::new();
        while heard.len() < stop {
            first.breathe();
            while first.next(0, now).is_some() {}
            let target = first.position().1.next().expect("one is under way");
            assert!(first.heard(target, now));
            heard.push(target);
        }
        first.breathe();
        while first.next(0, now).is_some() {}
        let (cursor, open) = first.position();
        let open: Vec<u64> = open.collect();
        let mut second = sweep(500, settings());
        second.resume(cursor, open);
        assert_eq!(second.done(), stop as u64);
        let p = play(&mut second, |_, _| Fate::Answer(MS));
        heard.extend(p.heard.keys());
        heard.sort_unstable();
        assert_eq!(heard, (0..500).collect::<Vec<u64>>(), "stopped after {stop}");
    }
}

#[test]
fn all_ports_of_a_host_in_virtual_time() {
    let p = play(&mut sweep(65_535, Settings { window: 1000, ..settings() }), |t, _| match t % 100 {
        0 => Fate::Lost,
        _ => Fate::Answer(MS),
    });
    assert_eq!((p.heard.len(), p.silent.len()), (64_879, 656));
    assert!(p.took < MS * 3000, "{:?}", p.took);
}
