//! The laws of machines that are not about cutting alone.
use crate::drive::{Log, Plan, Run, Said, Subject, over};
use proto_core::{Instant, Machine, Rx, Step, Tx};

type Settings = [(String, String)];

fn last(log: &Log) -> &str {
    match log.events.last() {
        Some(Said::Event(text)) => text,
        Some(Said::Piece(name, _)) => name,
        None => "",
    }
}

/// A strict prefix of a valid message is neither a fault nor the end, and the whole message is no fault.
pub fn prefixes_wait<S: Subject>(settings: &Settings, message: &[u8]) -> Result<(), String> {
    for n in 0..=message.len() {
        let log = over::<S>(settings, message.get(..n).unwrap_or_default(), &[], false, Plan::simple())?;
        let last = last(&log);
        if last.starts_with("fault") || last == "closed" && n < message.len() {
            return Err(format!("the first {n} of {} bytes: {last}", message.len()));
        }
    }
    Ok(())
}

/// Whatever the end of input cuts short, the last event is one that `documented` allows for a prefix of that length.
pub fn ends_are_told<S: Subject>(
    settings: &Settings,
    message: &[u8],
    documented: impl Fn(usize, &str) -> bool,
) -> Result<(), String> {
    for n in 0..=message.len() {
        let log = over::<S>(settings, message.get(..n).unwrap_or_default(), &[], true, Plan::simple())?;
        if !documented(n, last(&log)) {
            return Err(format!("the end after {n} bytes: `{}`", last(&log)));
        }
    }
    Ok(())
}

/// A machine that waits does not look again at what it has seen: bytes older than `recent` are overwritten by `bait`,
/// which would mean something if it were read, while `filler` comes in byte by byte, `times` times. And it is polled
/// once per byte, no more. So work is linear, however slowly a peer sends.
pub fn looks_once<S: Subject>(
    settings: &Settings,
    start: &[u8],
    filler: &[u8],
    times: usize,
    recent: usize,
    bait: u8,
) -> Result<(), String> {
    let mut run = Run::<S>::new(settings, Plan::simple())?;
    run.input(start, false)?;
    let mut fed = 0;
    for byte in std::iter::repeat_n(filler, times).flatten() {
        run.input(&[*byte], false)?;
        fed += 1;
        if run.is_over() || run.tail().len() != start.len() + fed {
            let text = run.log().text();
            return Err(format!("after {fed} bytes it saw what it had seen before:\n{text}"));
        }
        let old = run.tail().len().saturating_sub(recent);
        let fresh = if fed == 1 { 0 } else { old.saturating_sub(1) };
        run.tail().get_mut(fresh..old).unwrap_or_default().fill(bait);
    }
    let polls = run.polls;
    if polls > fed as u64 + 8 {
        return Err(format!("{polls} polls for {fed} bytes"));
    }
    Ok(())
}

/// A peer that sends and never reads: the machine pauses before its output is larger than `limit` and one answer of at
/// most `answer` bytes, and `input` is enough to get there.
pub fn stops_when_full<S: Subject>(
    settings: &Settings,
    input: &[u8],
    limit: usize,
    answer: usize,
) -> Result<(), String> {
    let (mut machine, mut tx, mut input) = (S::new(settings)?, Tx::with_limit(limit), input.to_vec());
    let mut rx = Rx::new(&mut input, false);
    loop {
        match machine.poll(Instant::default(), &mut rx, &mut tx) {
            Ok(Step::Event(event)) => drop(S::said(event, &mut tx)),
            Ok(Step::Paused) if rx.is_empty() => return Err("it paused when nothing was left to do".into()),
            Ok(Step::Paused) => return Ok(()),
            Ok(Step::NeedMore | Step::Closed) => return Err(format!("it took all, and {} bytes wait", tx.len())),
            Err(fault) => return Err(fault.to_string()),
        }
        if tx.len() > limit + answer {
            return Err(format!("{} bytes wait, {limit} and an answer are allowed", tx.len()));
        }
    }
}
