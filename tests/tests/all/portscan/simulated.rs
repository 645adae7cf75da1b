//! `portscan` in virtual time: networks with loss and delay, few descriptors, a host that dies, positions at every moment.
use bins::outcome::Code;
use bins::scan::scripted::{self, FORBIDDEN, OPEN, SILENT, UNREACHABLE};
use bins::scan::{Scan, services};
use bins::tools::PortScanTool;
use clap::Parser;
use drivers::sim::{NodeConfig, NodeId, Plan, Sim, check_seeds};
use proto_core::{Shard, Signal};
use std::time::Duration;

fn app(args: &[&str]) -> Scan {
    use bins::cli::Tool;
    let tool = PortScanTool::parse_from([&["portscan"], args].concat());
    tool.app(Shard(0))
}

/// A host and a scanner of it.
fn world(seed: u64, plan: &str, args: &[&str], config: NodeConfig) -> Result<(Sim, NodeId, NodeId), String> {
    let mut sim = Sim::new(seed, plan.parse()?);
    let host = sim.add("host", scripted::Host, scripted::config()).map_err(|e| e.to_string())?;
    let client = sim.add("client", app(args), config).map_err(|e| e.to_string())?;
    Ok((sim, host, client))
}

fn finish(sim: &mut Sim, client: NodeId) -> Result<String, String> {
    sim.run_until(Duration::from_secs(3600), |s| s.exit(client).is_some());
    let text = String::from_utf8_lossy(sim.stdout(client)).into_owned();
    match sim.exit(client) {
        Some(0) => Ok(text),
        other => Err(format!("ended with {other:?}: {text}{}", String::from_utf8_lossy(sim.stderr(client)))),
    }
}

/// What a scan of ports 1-1000 must say, apart from its head and its time.
fn truth() -> String {
    let mut rows: Vec<(u16, &str)> = OPEN.iter().filter(|p| **p <= 1000).map(|p| (*p, "open syn-ack")).collect();
    rows.extend(SILENT.iter().map(|p| (*p, "filtered no-answer")));
    rows.extend([(FORBIDDEN, "filtered admin-prohibited"), (UNREACHABLE, "filtered host-unreach")]);
    rows.sort_unstable();
    let row = |(port, what): &(u16, &str)| {
        let (state, why) = what.split_once(' ').unwrap_or_default();
        format!("{port}/tcp {state} {} {why}\n", services::tcp(*port))
    };
    let rows: String = rows.iter().map(row).collect();
    format!("PORT STATE SERVICE REASON\n{rows}Scan complete: 992 closed, 3 open, 5 filtered\n")
}

fn body(text: &str) -> &str {
    let from = text.find("PORT").unwrap_or_default();
    let to = text.rfind("Time: ").unwrap_or(text.len());
    text.get(from..to).unwrap_or_default()
}

fn plan(seed: u64) -> &'static str {
    match seed % 5 {
        0 => "delay=5ms±4ms",
        1 => "delay=200ms±100ms",
        2 => "delay=20ms±15ms,loss=5%",
        3 => "delay=1ms±1ms,loss=20%",
        _ => "delay=30ms±30ms,loss=2%,again=5%",
    }
}

#[test]
fn every_port_is_what_it_is_whatever_the_network_does() {
    check_seeds("every_port_is_what_it_is_whatever_the_network_does", 0..1000, |seed| {
        let concurrency = ["1", "7", "100", "1000"][(seed / 5 % 4) as usize];
        // One at a time only where nothing is slow: it is the same code, and takes a thousand round trips.
        let args = ["host", "1-1000", "--reason", "--retries", "10", "-c", concurrency, "--timeout", "2s"];
        let descriptors = if seed % 3 == 0 { 25 } else { usize::MAX };
        let once = || {
            let config = NodeConfig { descriptors, ..NodeConfig::default() };
            let (mut sim, _, client) = world(seed, plan(seed), &args, config)?;
            let text = finish(&mut sim, client)?;
            if body(&text) != truth() {
                return Err(format!("it says:\n{text}"));
            }
            sim.run(Duration::from_secs(60));
            sim.check_quiescent()?;
            Ok::<_, String>(sim.trace_hash())
        };
        let hash = once()?;
        if seed % 50 == 0 && once()? != hash {
            return Err("the same seed gave another run".into());
        }
        Ok(())
    });
}

/// The same host, and a scanner that asks once only: in a network that loses, some seed must show it.
#[test]
fn without_retries_loss_is_taken_for_silence() {
    let wrong = (0..20).any(|seed| {
        let args = ["host", "1-1000", "--reason", "--retries", "0", "--timeout", "500ms"];
        let (mut sim, _, client) = world(seed, "delay=20ms±5ms,loss=5%", &args, NodeConfig::default()).unwrap();
        body(&finish(&mut sim, client).unwrap()) != truth()
    });
    assert!(wrong, "the test above would not notice a scanner that does not repeat");
}

#[test]
fn all_ports_take_little_virtual_time_and_few_steps() {
    let args = ["host", "-", "-c", "1000", "--timeout", "1s"];
    let (mut sim, _, client) = world(1, "", &args, NodeConfig::default()).unwrap();
    let text = finish(&mut sim, client).unwrap();
    assert!(text.contains("Scan complete: 65526 closed, 4 open, 5 filtered\n"), "{text}");
    assert!(sim.now() < Duration::from_secs(2), "{:?}", sim.now());
    assert!(sim.steps() < 400_000, "{} steps", sim.steps());
}

#[test]
fn a_rate_is_kept_in_virtual_time() {
    let args = ["host", "1-1000", "--rate", "100"];
    let (mut sim, _, client) = world(1, "", &args, NodeConfig::default()).unwrap();
    finish(&mut sim, client).unwrap();
    assert!((Duration::from_secs(9)..Duration::from_secs(12)).contains(&sim.now()), "{:?}", sim.now());
}

#[test]
fn a_host_that_dies_is_said_to_be_silent_and_the_totals_add_up() {
    for seed in 0..50 {
        let args = ["host", "1-1000", "--timeout", "200ms", "-c", "50"];
        let (mut sim, host, client) = world(seed, "delay=5ms±4ms", &args, NodeConfig::default()).unwrap();
        sim.run(Duration::from_millis(20 + seed * 3));
        sim.power_cut(host);
        let text = finish(&mut sim, client).unwrap();
        let totals = text.lines().find_map(|l| l.strip_prefix("Scan complete: ")).expect("totals");
        let sum: u64 = totals.split(", ").filter_map(|p| p.split(' ').next()?.parse::<u64>().ok()).sum();
        assert_eq!(sum, 1000, "{totals}");
    }
}

#[test]
fn a_silent_host_is_told_once() {
    let mut sim = Sim::new(1, Plan::default());
    let host = sim.add("host", scripted::Host, scripted::config()).unwrap();
    sim.power_cut(host);
    let client = sim.add("client", app(&["host", "1-1000", "--timeout", "100ms"]), NodeConfig::default()).unwrap();
    finish(&mut sim, client).unwrap();
    let said = String::from_utf8_lossy(sim.stderr(client)).into_owned();
    assert_eq!(said, "portscan: no reply so far; the host may be down or drop everything\n");
}

#[test]
fn a_way_that_is_not_there_is_told_once_and_is_code_4() {
    let (mut sim, _, client) = world(1, "", &["10.9.9.9", "1-5", "--timeout", "10s"], NodeConfig::default()).unwrap();
    sim.run_until(Duration::from_secs(100), |s| s.exit(client).is_some());
    assert_eq!(sim.exit(client), Some(Code::Connect as u8));
    let said = String::from_utf8_lossy(sim.stderr(client)).into_owned();
    assert_eq!(said, "portscan: cannot reach 10.9.9.9: host-unreach\n");
    // One host of two: the rest goes on.
    let (mut sim, _, client) =
        world(1, "", &["10.9.9.9", "host", "no.such", "22", "--timeout", "10s"], NodeConfig::default()).unwrap();
    let text = finish(&mut sim, client).unwrap();
    let want = "10.9.9.9:\nPORT STATE\n22/tcp filtered\nhost (10.0.0.1):\nPORT STATE\n22/tcp open\n";
    assert_eq!(text, want, "{}", String::from_utf8_lossy(sim.stderr(client)));
}

/// Interrupted at any moment, a scan goes on to what it would have said; and nothing is asked twice but what was under way.
#[test]
fn positions_at_every_moment_add_up() {
    check_seeds("positions_at_every_moment_add_up", 0..300, |seed| {
        let args = ["host", "1-1000", "--reason", "--retries", "10", "--resume", "position", "-c", "20"];
        let (mut sim, _, client) = world(seed, plan(seed % 3), &args, NodeConfig::default())?;
        let mut stops = 0;
        let text = loop {
            sim.signal(client, Duration::from_millis(3 + (seed * 37 + stops * 101) % 900), Signal::Interrupt);
            sim.run_until(Duration::from_secs(3600), |s| s.exit(client).is_some());
            match sim.exit(client) {
                Some(0) => break String::from_utf8_lossy(sim.stdout(client)).into_owned(),
                Some(130) if stops < 200 => stops += 1,
                other => return Err(format!("ended with {other:?} after {stops} stops")),
            }
            if stops == 8 {
                let err = |e: drivers::Error| e.to_string();
                sim.restart(client, app(&args), NodeConfig::default()).map_err(err)?;
                break finish(&mut sim, client)?;
            }
            sim.restart(client, app(&args), NodeConfig::default()).map_err(|e| e.to_string())?;
        };
        if body(&text) != truth() {
            return Err(format!("after {stops} stops it says:\n{text}"));
        }
        match sim.file(client, "position") {
            Err(_) => Ok(()),
            Ok(_) => Err("the position is still there".into()),
        }
    });
}

#[test]
fn banners_come_in_virtual_time_too() {
    let args = ["host", "22,80", "--banner"];
    let (mut sim, _, client) = world(1, "delay=5ms±1ms", &args, NodeConfig::default()).unwrap();
    let text = finish(&mut sim, client).unwrap();
    assert_eq!(text, "PORT STATE BANNER\n22/tcp open SSH-2.0-drywire\n80/tcp open\n");
}
