//! Relays in the simulator: a client, a relay, an echo, and everything that can happen between them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod simple;
use drivers::record::{self, Entry, Told};
use drivers::replay::{Outcome, replay};
use drivers::sim::{Ended, NodeConfig, NodeId, Plan, Sim, check_seeds};
use drivers::{Config, Error};
use proto_core::{Addr, Signal};
use simple::{Bug, Client, Echo, Pipe};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

fn plan(seed: u64) -> Plan {
    let text = match seed % 5 {
        0 => "split=7,short=20%,again=10%",
        1 => "delay=20ms±19ms,loss=2%,stall=1%:5s,split=1000",
        2 => "reset=1%,split=500,short=5%",
        3 => "refuse=20%,bw=1MB,again=20%",
        _ => "split=30,short=30%,again=10%,reset=1%,loss=1%,stall=1%:1s,delay=1ms±1ms",
    };
    text.parse().unwrap()
}

/// Small ones, so that every run meets a full output.
const WINDOW: usize = 3000;
const BUFFER: usize = 1024;

struct Run {
    sim: Sim,
    pipe: NodeId,
    client: NodeId,
    echo: Addr,
    sent: Vec<u8>,
}

fn stage(seed: u64, plan: Plan, change: impl Fn(Pipe) -> Pipe, config: Config) -> Result<Run, Error> {
    let mut sim = Sim::new(seed, plan);
    sim.set_window(WINDOW);
    let echo = sim.add("echo", Echo::new(Bug::None), NodeConfig::server(7))?;
    let quota = seed.is_multiple_of(3).then_some(1 + seed % 5000);
    let echo = sim.addr(echo, 7);
    let config = Config { out_buffer: BUFFER, ..config };
    let app = change(Pipe::new(echo.clone(), quota));
    let pipe = sim.add("pipe", app, NodeConfig { config, ..NodeConfig::server(8) })?;
    let sent: Vec<u8> = (0..1 + (seed * 7919) % 20_000).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let client = sim.add("client", Client::new(sim.addr(pipe, 8), sent.clone()), NodeConfig::default())?;
    Ok(Run { sim, pipe, client, echo, sent })
}

impl Run {
    fn check(&mut self) -> Result<(), String> {
        if self.sim.run(LONG) != Ended::Idle {
            return Err("it never ends".into());
        }
        let back = self.sim.stdout(self.client);
        match self.sim.exit(self.client) {
            Some(0) if back == self.sent => {}
            Some(4) if self.sent.starts_with(back) => {}
            code => return Err(format!("{} of {} bytes, exit {code:?}", back.len(), self.sent.len())),
        }
        let peak = self.sim.peak_queued(self.pipe);
        if peak > BUFFER + WINDOW {
            return Err(format!("{peak} bytes were queued in the relay"));
        }
        self.sim.check_quiescent()
    }
}

#[test]
fn relays_with_faults_are_clean() {
    let whole = std::cell::Cell::new(0);
    check_seeds("relays_with_faults_are_clean", 0..1000, |seed| {
        let mut run = stage(seed, plan(seed), |p| p, Config::default()).map_err(|e| e.to_string())?;
        run.check()?;
        whole.set(whole.get() + u32::from(run.sim.exit(run.client) == Some(0)));
        Ok(())
    });
    if drivers::sim::seeds(0..1000).count() == 1000 {
        assert!((400..900).contains(&whole.get()), "{} whole runs", whole.get());
    }
}

/// What RELIABILITY calls for: one side that is done must not cut the other off.
#[test]
fn a_relay_that_is_hasty_is_found_out() {
    let hasty = |seed| stage(seed, "delay=5ms".parse().unwrap(), Pipe::hasty, Config::default());
    let found = (0..50).filter(|seed| hasty(*seed).unwrap().check().is_err() || lost(hasty(*seed).unwrap())).count();
    assert!(found > 25, "{found} of 50");
}

fn lost(mut run: Run) -> bool {
    run.sim.run(LONG);
    run.sim.stdout(run.client).len() < run.sent.len()
}

/// A recording has what a relay took as the inputs that it would have been, and replays to the same bytes.
#[test]
fn a_recorded_relay_replays() {
    let path = std::env::temp_dir().join(format!("drywire-relay-{}", std::process::id()));
    for seed in [1, 3, 6] {
        let config = Config { record: Some(path.clone()), command: vec!["pipe".into()], ..Config::default() };
        let mut run = stage(seed, "split=999,short=10%".parse().unwrap(), |p| p, config).unwrap();
        run.sim.signal(run.pipe, Duration::from_secs(3000), Signal::Interrupt);
        run.sim.run(LONG);
        assert_eq!(run.sim.exit(run.client), Some(0));
        let quota = seed.is_multiple_of(3).then_some(1 + seed % 5000);
        let entries = record::read(&path).unwrap();
        let took = |e: &Entry| if let Entry::Input { input: Told::Bytes(_, b), .. } = e { b.len() } else { 0 };
        assert_eq!(entries.iter().map(took).sum::<usize>(), 2 * run.sent.len());
        let same = replay(&entries, Pipe::new(run.echo.clone(), quota), None).unwrap();
        assert_eq!(same.outcome, Outcome::Same, "{same}");
        // With another quota it asks for relays that are not in the recording.
        let other = replay(&entries, Pipe::new(run.echo.clone(), Some(77)), None).unwrap();
        assert!(matches!(other.outcome, Outcome::Differs(_)), "{other}");
    }
    std::fs::remove_file(&path).unwrap();
}
