//! `https_client` against a server of TLS in virtual time, with every fault of the network, from a seed.
use bins::certs::peer::{Fake, Peer};
use bins::fetch::address::Address;
use bins::fetch::options::{Fail, Job, Out, Reach};
use bins::fetch::report::Report;
use bins::fetch::secured::Secured;
use bins::fetch::{Fetch, Options};
use bins::http::{HttpServer, Options as SiteOptions, Site};
use bins::outcome::Failure;
use bins::service::Settings;
use clap::ValueEnum;
use drivers::sim::{NodeConfig, Plan, Sim, check_seeds};
use proto_core::tls::{Common, Peers};
use std::sync::OnceLock;
use std::time::Duration;

fn plan(seed: u64) -> Plan {
    let text = match seed % 6 {
        0 => "delay=20ms±19ms",
        1 => "delay=20ms±15ms,split=700,short=20%,again=5%",
        2 => "delay=5ms±5ms,split=900,short=5%,stall=1%:2s,loss=2%",
        3 => "delay=20ms±5ms,split=800,reset=1%,halfclose=1%,short=5%",
        4 => "delay=1ms±1ms,split=1,short=50%,again=20%",
        _ => "delay=1ms±1ms,split=500,refuse=10%,reset=1%,stall=2%:3s,bw=200000",
    };
    text.parse().expect("a plan")
}

const BIG: usize = 20_000;

fn big() -> Vec<u8> {
    (0..BIG as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

/// The servers, each made once.
fn peer(fake: Fake) -> &'static Peer {
    static ALL: OnceLock<Vec<Peer>> = OnceLock::new();
    let all = ALL.get_or_init(|| Fake::value_variants().iter().map(|_| Peer::default()).collect());
    &all[Fake::value_variants().iter().position(|f| *f == fake).expect("one of them")]
}

fn client(fake: Fake) -> Result<Fetch, Failure> {
    let peers = Peers { roots: Some(peer(fake).roots(fake)?), ..Peers::default() };
    let job = |path: &str, again| Job {
        url: Address::parse(&format!("https://server:9000{path}"), false).expect("a URL"),
        out: Out::Stdout,
        again,
    };
    let mut o = Options {
        jobs: vec![job("/small", false), job("/big", true), job("/small", false)],
        retry: 30,
        reach: Reach { timeout: Duration::from_secs(10), ..Reach::default() },
        tls: Secured::new(Common { resume: true, ..Common::default() }, peers, None),
        report: Some(Report::default()),
        fail: Fail::Quiet,
        name: "https_client",
        ..Options::default()
    };
    o.show.body_only = true;
    Ok(Fetch::new(o))
}

/// What a run ended with, and what it said.
struct Ran {
    code: u8,
    stdout: Vec<u8>,
    stderr: String,
}

fn run(seed: u64, plan: Plan, fake: Fake) -> Result<Ran, String> {
    let mut sim = Sim::new(seed, plan);
    let options = SiteOptions { root: "www".into(), ..SiteOptions::default() };
    let guard = peer(fake).guard(fake).map_err(|e| e.to_string())?;
    let server = HttpServer::new(Settings::default().guarded(guard), Site::new(options));
    let files = vec![("www/small".to_string(), b"small\n".to_vec()), ("www/big".to_string(), big())];
    sim.add("server", server, NodeConfig { files, ..NodeConfig::server(9000) }).map_err(|e| e.to_string())?;
    let app = client(fake).map_err(|e| e.to_string())?;
    let it = sim.add("client", app, NodeConfig::default()).map_err(|e| e.to_string())?;
    sim.run_until(Duration::from_secs(20_000), |s| s.exit(it).is_some());
    let stderr = String::from_utf8_lossy(sim.stderr(it)).into_owned();
    let code = sim.exit(it).ok_or_else(|| format!("it does not end: {stderr}"))?;
    Ok(Ran { code, stdout: sim.stdout(it).to_vec(), stderr })
}

#[test]
fn a_thousand_runs_with_faults() {
    let want = [b"small\n", &big()[..], b"small\n"].concat();
    check_seeds("a_thousand_runs_with_faults", 0..1000, |seed| {
        let ran = run(seed, plan(seed), Fake::Nothing)?;
        match ran.code {
            0 if ran.stdout == want => {}
            0 => return Err(format!("a success with {} bytes: {}", ran.stdout.len(), ran.stderr)),
            // A body that was shown in part cannot be asked for again.
            4 | 5 | 7 | 10 if matches!(seed % 6, 3 | 5) => {}
            code => return Err(format!("it ended with {code}: {}", ran.stderr)),
        }
        // Nobody takes a fault of the network for a wrong certificate.
        if ran.stderr.contains("Error: certificate") {
            return Err(ran.stderr);
        }
        if seed % 20 == 0 {
            let again = run(seed, plan(seed), Fake::Nothing)?;
            if (again.code, &again.stdout, &again.stderr) != (ran.code, &ran.stdout, &ran.stderr) {
                return Err(format!("the same seed gave another run: {} {}", ran.stderr, again.stderr));
            }
        }
        Ok(())
    });
}

#[test]
fn every_defect_is_found_whatever_the_network_does() {
    check_seeds("every_defect_is_found_whatever_the_network_does", 0..120, |seed| {
        let all: Vec<Fake> = Fake::value_variants().iter().copied().filter(|f| *f != Fake::Nothing).collect();
        let fake = all[seed as usize % all.len()];
        let ran = run(seed, plan(seed), fake)?;
        let told = ran.stderr.contains("Error: certificate verify failed\nReason: ");
        let faulty = matches!(seed % 6, 3 | 5);
        if !ran.stdout.is_empty() || ran.code == 0 || !(faulty || told && ran.code == 6) {
            return Err(format!("{fake:?}: it ended with {}: {}", ran.code, ran.stderr));
        }
        Ok(())
    });
}

/// The control: without TLS a changed byte would pass.
#[test]
fn a_changed_byte_is_noticed() {
    use core::convert::Infallible;
    use proto_core::{App, Chunk, Cx, Deadline, Input};
    struct Careless(Fetch, u32);
    impl App for Careless {
        type Job = Infallible;
        type Msg = Infallible;
        fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cx<'_, Infallible, Infallible>) {
            match input {
                Input::Bytes(t, chunk) => {
                    let (mut kept, len) = (chunk.to_vec(), chunk.len());
                    self.1 += 1;
                    if let Some(last) = kept.last_mut().filter(|_| self.1 > 6) {
                        *last ^= 1;
                    }
                    self.0.handle(Input::Bytes(t, Chunk::new(&mut kept, len)), cx);
                }
                other => self.0.handle(other, cx),
            }
        }
        fn deadline(&self) -> Option<Deadline> {
            self.0.deadline()
        }
        fn work(job: Infallible) -> Infallible {
            job
        }
    }
    let mut sim = Sim::new(1, plan(1));
    let options = SiteOptions { root: "www".into(), ..SiteOptions::default() };
    let guard = peer(Fake::Nothing).guard(Fake::Nothing).expect("a server");
    let server = HttpServer::new(Settings::default().guarded(guard), Site::new(options));
    let files = vec![("www/small".to_string(), b"small\n".to_vec()), ("www/big".to_string(), big())];
    sim.add("server", server, NodeConfig { files, ..NodeConfig::server(9000) }).expect("added");
    let app = Careless(client(Fake::Nothing).expect("a client"), 0);
    let it = sim.add("client", app, NodeConfig::default()).expect("added");
    sim.run_until(Duration::from_secs(20_000), |s| s.exit(it).is_some());
    let stderr = String::from_utf8_lossy(sim.stderr(it)).into_owned();
    assert!(matches!(sim.exit(it), Some(6 | 7)), "{stderr}");
    assert!(!stderr.is_empty() && stderr.contains("Reason: "), "{stderr}");
}
