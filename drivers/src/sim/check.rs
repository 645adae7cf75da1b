//! Many seeds, and how to repeat the one that failed.
use super::rng::Trace;
use proto_core::Instant;
use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// The end of the last simulation of this thread.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the last lines of a simulation that ends.
pub fn remember(trace: &Trace, now: Instant) {
    let text = || format!("trace hash {:016x} after {} ns; its end:\n{}", trace.hash(), now.as_nanos(), trace.tail());
    // During thread exit there is nobody left to show it to.
    let _ = LAST.try_with(|last| last.replace(text()));
}

/// The seeds to run: `DRYWIRE_SEED=N` names one, `DRYWIRE_SEEDS=N` says how many.
pub fn seeds(range: Range<u64>) -> Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
    };
    if let Some(seed) = number("DRYWIRE_SEED") {
        return seed..seed.saturating_add(1);
    }
    match number("DRYWIRE_SEEDS") {
        Some(n) => range.start..range.start.saturating_add(n),
        None => range,
    }
}

/// Runs `test` with every seed. The first that fails or panics ends it with a panic that names the seed, the end of the
/// run, and the one command that repeats it. `name` is the test's.
pub fn check_seeds(name: &str, range: Range<u64>, test: impl Fn(u64) -> Result<(), String>) {
    for seed in seeds(range) {
        let why = match catch_unwind(AssertUnwindSafe(|| test(seed))) {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without text").into()
            }
        };
        let end = LAST.with(|last| last.borrow().clone());
        panic!("{name}: seed {seed} failed: {why}\n{end}repeat it with: {}", command(name, seed));
    }
}

fn command(name: &str, seed: u64) -> String {
    let package = std::env::var("CARGO_PKG_NAME").map(|p| format!(" -p {p}")).unwrap_or_default();
    let program = std::env::args().next().unwrap_or_default();
    let file = std::path::Path::new(&program).file_stem().map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
    // target/debug/deps/sim-0123456789abcdef
    let target = match file.rsplit_once('-') {
        Some((target, _)) if std::env::var("CARGO_PKG_NAME").is_ok_and(|p| p.replace('-', "_") == target) => {
            " --lib".into()
        }
        Some((target, _)) => format!(" --test {target}"),
        None => String::new(),
    };
    format!("DRYWIRE_SEED={seed} cargo test{package}{target} {name}")
}
