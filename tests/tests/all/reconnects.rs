//! Clients that come back, in virtual time: nobody misses a line that the server has taken, however connections break.
use bins::chat::Resume;
use bins::chat::core::Limits;
use bins::chat::server::{ChatServer, Options};
use bins::dialer::{Family, Target};
use bins::line_client::{LineClient, Options as ClientOptions};
use bins::service::Settings;
use bins::text::Secret;
use drivers::sim::{NodeConfig, NodeId, Plan, Sim, check_seeds};
use proto_core::Signal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const CLIENTS: usize = 4;
const LINES: usize = 10;
const MISSED: &str = "* missed at least";

fn client(resume: Resume) -> LineClient {
    let target = Target {
        host: "server".into(),
        port: Some(9000),
        family: Family::Any,
        timeout: Duration::from_secs(10),
        via: None,
    };
    LineClient::new(target, ClientOptions::plain("chat_client")).resuming(resume)
}

fn plan(seed: u64) -> Plan {
    let text =
        if seed.is_multiple_of(2) { "delay=20ms±15ms,reset=2%" } else { "delay=5ms±4ms,split=9,short=5%,reset=1%" };
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The lines of others that a client has heard, as (sender, number), and whether it was told of missed ones.
fn heard(sim: &Sim, clients: &[NodeId], me: usize) -> (Vec<(usize, usize)>, bool) {
    let text = clients.get(me).map(|c| String::from_utf8_lossy(sim.stdout(*c)).into_owned()).unwrap_or_default();
    let parse = |line: &str| {
        let (_, said) = line.strip_prefix('<')?.split_once("> ")?;
        let (from, number) = said.split_once(' ')?;
        Some((from.parse().ok()?, number.parse().ok()?))
    };
    (text.lines().filter_map(parse).filter(|(from, _)| *from != me).collect(), text.contains(MISSED))
}

/// One chat; how many connections were lost in it. `excused`: who was told of missed lines need not have heard them.
fn chat(seed: u64, limits: Limits, excused: bool) -> Result<usize, String> {
    let mut sim = Sim::new(seed, plan(seed));
    let app = ChatServer::new(Settings::default(), Options { limits, ..Options::default() });
    let server = sim.add("server", app, NodeConfig::server(9000)).map_err(|e| e.to_string())?;
    let mut clients = Vec::new();
    // The first line is said when everybody has been told a number: who has none cannot ask for what was missed.
    for i in 0..CLIENTS {
        let line = |k: usize| {
            (Duration::from_millis((100_000 + 1000 * k + 100 * i) as u64), format!("{i} {k}\n").into_bytes())
        };
        let mut script: Vec<_> = (0..LINES).map(line).collect();
        script.push((Duration::from_secs(300), Vec::new()));
        let config = NodeConfig { stdin: Some(script), ..NodeConfig::default() };
        let app = client(Resume::new(true, None));
        clients.push(sim.add(&format!("client{i}"), app, config).map_err(|e| e.to_string())?);
    }
    sim.run_until(Duration::from_secs(600), |s| clients.iter().all(|c| s.exit(*c).is_some()));
    sim.signal(server, Duration::from_secs(1), Signal::Interrupt);
    sim.run(Duration::from_secs(100));
    let all: Vec<_> = (0..CLIENTS).map(|i| heard(&sim, &clients, i)).collect();
    for (me, (lines, missed)) in all.iter().enumerate() {
        for from in 0..CLIENTS {
            let numbers: Vec<usize> = lines.iter().filter(|(f, _)| *f == from).map(|(_, k)| *k).collect();
            if !numbers.is_sorted_by(|a, b| a < b) {
                return Err(format!("client {me} heard {numbers:?} of client {from}"));
            }
        }
        // Who never connected has not been there; who was told of missed lines knows.
        let was_there = |i: usize| clients.get(i).is_some_and(|c| sim.exit(*c) == Some(0));
        for (other, (theirs, they_missed)) in all.iter().enumerate().take(me) {
            if !was_there(me) || !was_there(other) || excused && (*missed || *they_missed) {
                continue;
            }
            let of_third = |lines: &[(usize, usize)]| -> Vec<_> {
                lines.iter().filter(|(f, _)| *f != me && *f != other).copied().collect()
            };
            if of_third(lines) != of_third(theirs) {
                return Err(format!("client {me} heard {lines:?}, client {other} {theirs:?}"));
            }
        }
    }
    let lost = |c: &NodeId| String::from_utf8_lossy(sim.stderr(*c)).matches("trying again").count();
    let lost = clients.iter().map(lost).sum();
    sim.check_quiescent()?;
    Ok(lost)
}

#[test]
fn whoever_comes_back_has_heard_what_all_others_have() {
    let name = "whoever_comes_back_has_heard_what_all_others_have";
    let lost = AtomicUsize::new(0);
    check_seeds(name, 0..300, |seed| {
        lost.fetch_add(chat(seed, Limits::default(), false)?, Ordering::Relaxed);
        Ok(())
    });
    let lost = lost.into_inner();
    assert!(lost > 100, "only {lost} connections were lost: the test shows nothing");
}

#[test]
fn without_a_history_they_miss_lines_and_are_told() {
    let limits = Limits { history: 0, ..Limits::default() };
    check_seeds("without_a_history_they_miss_lines_and_are_told", 0..100, |seed| chat(seed, limits, true).map(|_| ()));
    assert!((0..100).any(|seed| chat(seed, limits, false).is_err()), "the check itself must be able to fail");
}

#[test]
fn who_does_not_say_the_password_is_not_waited_for() {
    let (slow, right) = (Options { password: Some(Secret("x".into())), ..Options::default() }, Secret("x".into()));
    let mut sim = Sim::new(1, Plan::default());
    let server =
        sim.add("server", ChatServer::new(Settings::default(), slow), NodeConfig::server(9000)).expect("a node");
    let typing =
        |at: u64| NodeConfig { stdin: Some(vec![(Duration::from_secs(at), Vec::new())]), ..NodeConfig::default() };
    let silent = sim.add("silent", client(Resume::new(false, None)), typing(300)).expect("a node");
    let member = sim.add("member", client(Resume::new(false, Some(right))), typing(60)).expect("a node");
    sim.run_until(Duration::from_secs(29), |_| false);
    assert_eq!(sim.exit(silent), None, "it has half a minute");
    sim.run_until(Duration::from_secs(32), |_| false);
    assert_eq!(sim.exit(silent), Some(4));
    assert_eq!(sim.stdout(silent), b"! no password within 30 s\n");
    sim.run_until(Duration::from_secs(90), |s| s.exit(member).is_some());
    assert_eq!(sim.exit(member), Some(0));
    sim.signal(server, Duration::from_secs(1), Signal::Interrupt);
    sim.run(Duration::from_secs(100));
    assert_eq!(sim.exit(server), Some(0));
}
