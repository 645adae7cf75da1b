//! The simulator: an echo server and its client under faults, and every fault seen to happen.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod simple;
use drivers::sim::{Chance, Ended, NodeConfig, NodeId, Plan, Sim, check_seeds};
use simple::{Bug, Client, Echo};
use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// Bytes that tell where they come from.
fn data(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn plan(text: &str) -> Plan {
    text.parse().unwrap()
}

/// Plans by turns, so that a thousand seeds meet everything.
fn faults(seed: u64) -> Plan {
    plan(match seed % 6 {
        0 => "split=7,short=20%,again=10%",
        1 => "delay=20ms±19ms,loss=2%,stall=1%:5s,split=1000",
        2 => "reset=2%,split=500,short=5%",
        3 => "halfclose=2%,delay=5ms±5ms",
        4 => "refuse=30%,bw=100kB,again=20%",
        _ => "split=3,short=30%,again=10%,reset=1%,halfclose=1%,loss=1%,stall=1%:1s,delay=1ms±1ms",
    })
}

struct Run {
    sim: Sim,
    server: NodeId,
    client: NodeId,
    sent: Vec<u8>,
}

fn echo(seed: u64, plan: Plan, bug: Bug) -> Run {
    let mut sim = Sim::new(seed, plan);
    let server = sim.add("server", Echo::new(bug), NodeConfig::server(7)).unwrap();
    let sent = data(1 + (seed as usize * 7919) % 9000);
    let client = sim.add("client", Client::new(sim.addr(server, 7), sent.clone()), NodeConfig::default()).unwrap();
    Run { sim, server, client, sent }
}

impl Run {
    fn check(&mut self) -> Result<(), String> {
        match self.sim.run(LONG) {
            Ended::Idle => {}
            ended => return Err(format!("the run ended with {ended:?}")),
        }
        let back = self.sim.stdout(self.client);
        if !self.sent.starts_with(back) {
            let at = back.iter().zip(&self.sent).take_while(|(a, b)| a == b).count();
            return Err(format!("byte {at} of {} came back wrong", self.sent.len()));
        }
        match self.sim.exit(self.client) {
            Some(4) => {}
            Some(0) if back == self.sent => {}
            Some(0) => {
                // Without a word of trouble the end came early: only a half-close does that.
                return Err(format!("{} of {} bytes came back and nobody said why", back.len(), self.sent.len()));
            }
            code => return Err(format!("the client's exit code is {code:?}")),
        }
        self.sim.check_quiescent()
    }
}

#[test]
fn what_comes_back_is_what_was_sent() {
    let mut ends = [0; 2];
    let ends_of = std::cell::RefCell::new(&mut ends);
    check_seeds("what_comes_back_is_what_was_sent", 0..1000, |seed| {
        let plan = faults(seed);
        let halfclose = plan.halfclose > Chance(0);
        let mut run = echo(seed, plan, Bug::None);
        if halfclose {
            // A peer that is half closed by the network sees less, never something else.
            if run.sim.run(LONG) != Ended::Idle {
                return Err("it never ends".into());
            }
            let back = run.sim.stdout(run.client);
            return match run.sent.starts_with(back) {
                true => run.sim.check_quiescent(),
                false => Err("something else came back".into()),
            };
        }
        run.check()?;
        let code = run.sim.exit(run.client).unwrap_or_default();
        ends_of.borrow_mut()[usize::from(code == 4)] += 1;
        Ok(())
    });
    if drivers::sim::seeds(0..1000).count() == 1000 {
        assert!(ends[0] > 300 && ends[1] > 50, "whole and broken runs: {ends:?}");
    }
}

#[test]
fn without_resets_everything_comes_back() {
    check_seeds("without_resets_everything_comes_back", 0..200, |seed| {
        let mut run =
            echo(seed, plan("delay=20ms±19ms,loss=5%,split=9,short=20%,again=20%,bw=1MB,stall=1%:1s"), Bug::None);
        run.check()?;
        match run.sim.exit(run.client) {
            Some(0) => Ok(()),
            code => Err(format!("exit {code:?}")),
        }
    });
}

#[test]
fn a_seed_is_a_run() {
    let hash = |seed| {
        let mut run = echo(seed, faults(5), Bug::None);
        run.sim.run(LONG);
        (run.sim.trace_hash(), run.sim.now(), run.sim.stdout(run.client).to_vec())
    };
    let all: BTreeSet<_> = (0..50).map(|seed| (hash(seed).0, seed)).collect();
    assert!((0..50).all(|seed| all.contains(&(hash(seed).0, seed))), "the same seed, the same trace");
    let different: BTreeSet<u64> = all.iter().map(|(h, _)| *h).collect();
    assert_eq!(different.len(), 50);
}

/// The panic text of a run over seeds.
fn failure(test: impl Fn() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(test).expect_err("the check found nothing");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_planted_bug_is_found_and_repeated_from_its_seed() {
    let test = |seed| echo(seed, plan("split=7"), Bug::DropsLastOf(6)).check();
    let text = failure(move || check_seeds("planted", 0..100, test));
    assert!(text.contains("repeat it with: DRYWIRE_SEED="), "{text}");
    assert!(text.contains("cargo test -p drivers --test sim planted"), "{text}");
    assert!(text.contains("Bytes("), "the end of the trace is shown: {text}");
    let seed: u64 = text.split("seed ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let again = |_: ()| {
        let mut run = echo(seed, plan("split=7"), Bug::DropsLastOf(6));
        (run.check().unwrap_err(), run.sim.trace_hash())
    };
    assert_eq!(again(()), again(()));
    assert!(text.contains(&format!("{:016x}", again(()).1)), "the hash that was printed comes again");
    assert!(echo(seed, plan("split=7"), Bug::None).check().is_ok(), "it is the bug that fails, not the seed");
}

#[test]
fn a_connection_that_never_ends_is_found() {
    let mut run = echo(3, Plan::default(), Bug::NeverFinishes);
    run.sim.run(LONG);
    let text = run.sim.check_quiescent().unwrap_err();
    assert!(text.contains("server") && text.contains("is not closed"), "{text}");
}

#[test]
fn a_reader_that_does_not_read_stops_the_writer() {
    let run = |bug| {
        let mut sim = Sim::new(1, Plan::default());
        sim.set_window(10_000);
        let server = sim.add("server", Echo::new(bug), NodeConfig::server(7)).unwrap();
        let client = Client::new(sim.addr(server, 7), data(2_000_000)).lazy();
        let client = sim.add("client", client, NodeConfig::default()).unwrap();
        sim.run(LONG);
        (sim, server, client)
    };
    // A client that reads nothing before it has sent everything waits for ever, and nobody's memory grows.
    let (sim, server, client) = run(Bug::None);
    assert_eq!(sim.exit(client), None);
    assert!(sim.peak_queued(server) <= 128 << 10, "{}", sim.peak_queued(server));
    assert!(sim.peak_queued(client) <= 128 << 10);
    // A server that ignores its limit is caught.
    let (sim, _, client) = run(Bug::NeverPauses);
    assert_eq!(sim.exit(client), Some(0));
    let text = sim.check_quiescent().unwrap_err();
    assert!(text.contains("server") && text.contains("were queued"), "{text}");
}

#[test]
fn nobody_listens_and_nobody_is_there() {
    let connect = |to: std::net::SocketAddr| {
        let mut sim = Sim::new(1, Plan::default());
        let client = sim.add("client", Client::new(to.into(), data(1)), NodeConfig::default()).unwrap();
        assert_eq!(sim.run(LONG), Ended::Idle);
        assert_eq!(sim.exit(client), Some(4));
        (sim.trace_tail(), sim.now())
    };
    let (trace, after) = connect(([10, 0, 0, 1], 9).into());
    assert!(trace.contains("Refused") && after < Duration::from_millis(10), "{trace}");
    let (trace, after) = connect(([10, 0, 9, 9], 9).into());
    assert!(trace.contains("HostUnreachable") && after > Duration::from_secs(1), "{trace}");
}

#[test]
fn a_partition_holds_everything_up() {
    let mut run = echo(8, Plan::default(), Bug::None);
    run.sim.partition(run.server, run.client, Duration::from_secs(100));
    run.check().unwrap();
    assert!(run.sim.now() > Duration::from_secs(100));
}

#[test]
fn a_machine_without_power_is_found_out_by_its_peers() {
    for back in [false, true] {
        let mut run = echo(9, plan("bw=1kB"), Bug::None);
        let half = run.sent.len() / 2;
        let (server, client) = (run.server, run.client);
        let some = |s: &Sim| s.stdout(client).len() >= half;
        assert_eq!(run.sim.run_until(LONG, some), Ended::Reached);
        run.sim.power_cut(server);
        if back {
            run.sim.restart(server, Echo::new(Bug::None), NodeConfig::server(7)).unwrap();
        }
        assert_eq!(run.sim.run(LONG), Ended::Idle);
        assert_eq!(run.sim.exit(client), Some(4));
        let why = if back { "Reset" } else { "TimedOut" };
        assert!(run.sim.trace_tail().contains(why), "{}", run.sim.trace_tail());
    }
}
