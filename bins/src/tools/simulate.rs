//! `--driver sim`: a tool in virtual time, against counterparts in the same process.
use crate::chat::server::{ChatServer, Options as ChatOptions};
use crate::cli::Tool;
use crate::dialer::{Family, Target};
use crate::dnsquery::scripted::{NameServer, Temper, Zone};
use crate::echo::load::LoadEcho;
use crate::echo::verify::Verify;
use crate::http::{HttpServer, Options as SiteOptions, Site};
use crate::line_client::{LineClient, Options};
use crate::outcome::{Code, Failure};
use crate::pool::bench::{Bench, Options as BenchOptions};
use crate::pool::server::{Options as PoolOptions, PoolServer};
use crate::scan;
use crate::service::Settings;
use crate::socks::visit::{Visitor, Visits};
use crate::tls::Guard;
use crate::work::{Kind, Work};
use core::time::Duration;
use drivers::sim::{self, NodeConfig, NodeId, Plan, Sim};
use drivers::{Config, Error};
use proto_core::{App, Shard, Signal, dns, echo::Mode};

/// The port of simulated servers.
const PORT: u16 = 9000;
/// The port of what a simulated proxy leads to.
const TARGET: u16 = 7;
/// When a simulated server is told to stop.
const STOP: Duration = Duration::from_secs(30);
/// When a simulation has failed.
const LIMIT: Duration = Duration::from_secs(3600);

/// The folder of a simulated server's files.
pub const DISK: &str = "www";

/// What the tool is played against.
#[derive(Clone, Copy, Debug)]
pub enum Scene {
    /// A server, and two people who type.
    Typists,
    /// A server, and a client that sends 64 KiB on each of ten connections and checks what comes back.
    Streams,
    /// A client of an echo.
    Echo,
    /// A client of a chat in which somebody else talks.
    Chat,
    /// A server of work, and a client that sends a hundred requests and checks the answers.
    Work,
    /// A client of a server of work.
    Worker,
    /// A server of the files in [`DISK`], and two clients that type requests.
    Files,
    /// A client of a server of the files in [`DISK`].
    Fetch,
    /// A proxy, and a client that has ten times 64 KiB echoed through it.
    Proxy,
    /// A server of HTTP, and a client that has a hundred hashes made and checks them.
    Http,
}

/// Runs a tool; its output goes to standard output, all of it from the plan's seed.
pub fn simulate<T: Tool>(tool: &T, plan: Option<&Plan>, scene: Scene) -> Result<Code, Failure> {
    let plan = plan.cloned().unwrap_or_default();
    let code = sim::run(plan, LIMIT, |world| play(tool, world, scene));
    match code.map_err(|e| Failure::new(Code::Bug, e.to_string()))? {
        0 => Ok(Code::Ok),
        code => Err(Failure::new(Code::Connect, format!("the simulated tool ended with {code}"))),
    }
}

fn play<T: Tool>(tool: &T, world: &mut Sim, scene: Scene) -> Result<NodeId, Error> {
    let config = Config::default();
    let shown = |base: NodeConfig| NodeConfig { print: true, config: config.clone(), ..base };
    let app = tool.app(Shard(0));
    let it = match scene {
        Scene::Typists | Scene::Streams | Scene::Work | Scene::Http | Scene::Proxy => {
            world.add("server", app, shown(NodeConfig::server(PORT)))?
        }
        Scene::Files => return files(world, app),
        Scene::Fetch => {
            let options = SiteOptions { root: DISK.into(), ..SiteOptions::default() };
            let site = HttpServer::new(Settings::default(), Site::new(options));
            world.add("server", site, NodeConfig { files: pages(), ..NodeConfig::server(PORT) })?;
            return world.add("client", app, shown(NodeConfig::default()));
        }
        Scene::Echo => {
            server(world, LoadEcho::new(Settings::default(), Mode::Off))?;
            let stdin = script(&["Hello, server!", "Testing 123"], Duration::from_millis(100));
            return world.add("client", app, shown(NodeConfig { stdin: Some(stdin), ..NodeConfig::default() }));
        }
        Scene::Worker => {
            let config = Config { workers: 4, ..Config::default() };
            world.add("server", work_server(), NodeConfig { config, ..NodeConfig::server(PORT) })?;
            return world.add("client", app, shown(NodeConfig::default()));
        }
        Scene::Chat => {
            server(world, chat())?;
            typist(world, "bob", &["/nick Bob", "Hey there!"], 300)?;
            let stdin = script(&["/nick Alice", "Hello everyone!", "/who"], Duration::from_millis(200));
            return world.add("client", app, shown(NodeConfig { stdin: Some(stdin), ..NodeConfig::default() }));
        }
    };
    if let Scene::Work = scene {
        world.add("benchmark", Bench::new(bench()), NodeConfig { print: true, ..NodeConfig::default() })?;
    } else if let Scene::Http = scene {
        let bench = BenchOptions { path: Some("/hash?n=20".into()), ..bench() };
        world.add("benchmark", Bench::new(bench), NodeConfig { print: true, ..NodeConfig::default() })?;
    } else if let Scene::Proxy = scene {
        world.add("target", LoadEcho::new(Settings::default(), Mode::Off), NodeConfig::server(TARGET))?;
        let visits = Visits { host: "target".into(), port: TARGET, login: None, times: 10, bytes: 64 << 10 };
        let visitor = Visitor::new(("server".into(), PORT), visits);
        world.add("visitor", visitor, NodeConfig { print: true, ..NodeConfig::default() })?;
    } else if let Scene::Streams = scene {
        world.add("load", Verify::new(target(), 10, 64 << 10), NodeConfig::default())?;
    } else {
        typist(world, "alice", &["/nick Alice", "Hello everyone!"], 200)?;
        typist(world, "bob", &["/nick Bob", "Hey Alice!"], 350)?;
    }
    world.signal(it, STOP, Signal::Interrupt);
    Ok(it)
}

/// Runs a tool beside a name server at 10.0.0.1, which resolv.conf names.
pub fn name_server<T: Tool>(tool: &T, plan: Option<&Plan>) -> Result<Code, Failure> {
    let code = sim::run(plan.cloned().unwrap_or_default(), LIMIT, |world| {
        let zone = Zone::parse(ZONE).map_err(Error::Unavailable)?;
        world.add("ns", NameServer::new(zone, Temper::default()), NodeConfig::server(dns::PORT))?;
        let files = vec![("etc/resolv.conf".into(), b"nameserver 10.0.0.1\nsearch example\n".to_vec())];
        let app = tool.app(Shard(0));
        world.add("client", app, NodeConfig { print: true, files, ..NodeConfig::default() })
    });
    // It has said itself why it ended.
    code.map(Code::of).map_err(|e| Failure::new(Code::Bug, e.to_string()))
}

/// Runs a scanner beside a host with open, silent and forbidden ports, which all names of the command line mean.
pub fn scanned_host<T: Tool>(tool: &T, plan: Option<&Plan>, options: &scan::Options) -> Result<Code, Failure> {
    let name = options.items.iter().find_map(|item| match item {
        scan::targets::Item::Name(name) => Some(name.clone()),
        scan::targets::Item::Block(_) => None,
    });
    let code = sim::run(plan.cloned().unwrap_or_default(), LIMIT, |world| {
        world.add(name.as_deref().unwrap_or("server"), scan::scripted::Host, scan::scripted::config())?;
        let config = Config::default();
        world.add("client", tool.app(Shard(0)), NodeConfig { print: true, config, ..NodeConfig::default() })
    });
    code.map(Code::of).map_err(|e| Failure::new(Code::Bug, e.to_string()))
}

/// Runs a tool beside a server of the files in [`DISK`] that speaks TLS.
pub fn secured<T: Tool>(tool: &T, plan: Option<&Plan>, guard: Guard) -> Result<Code, Failure> {
    let code = sim::run(plan.cloned().unwrap_or_default(), LIMIT, |world| {
        let options = SiteOptions { root: DISK.into(), ..SiteOptions::default() };
        let site = HttpServer::new(Settings::default().guarded(guard), Site::new(options));
        world.add("server", site, NodeConfig { files: pages(), ..NodeConfig::server(PORT) })?;
        let app = tool.app(Shard(0));
        world.add("client", app, NodeConfig { print: true, ..NodeConfig::default() })
    });
    // It has said itself why it ended.
    code.map(Code::of).map_err(|e| Failure::new(Code::Bug, e.to_string()))
}

/// What that server knows.
const ZONE: &str = "\
example. 3600 IN SOA ns.example. admin.example. 1 7200 900 1209600 300
example. 3600 IN NS ns.example.
ns.example. 3600 IN A 10.0.0.1
www.example. 300 IN CNAME web.example.
web.example. 300 IN A 10.0.0.7
web.example. 300 IN AAAA 2001:db8::7
google.com. 300 IN A 142.250.80.46
google.com. 300 IN A 142.250.80.78
google.com. 300 IN A 142.250.80.94
google.com. 300 IN A 142.250.80.110
gmail.com. 3600 IN MX 5 gmail-smtp-in.l.google.com.
gmail.com. 3600 IN MX 10 alt1.gmail-smtp-in.l.google.com.
";

fn server<A: App + 'static>(world: &mut Sim, app: A) -> Result<NodeId, Error> {
    world.add("server", app, NodeConfig::server(PORT))
}

fn bench() -> BenchOptions {
    BenchOptions {
        targets: vec![target()],
        requests: 100,
        duration: None,
        conns: 8,
        work: None,
        path: None,
        json: false,
        verbose: false,
        timeout: Duration::from_secs(60),
    }
}

fn work_server() -> PoolServer {
    let work = Work { kind: Kind::Crypto, size: 20 };
    let options =
        PoolOptions { workers: 4, queue: 1024, work, timeout: Duration::from_secs(30), policy: Default::default() };
    PoolServer::new(Settings::default(), options)
}

fn chat() -> ChatServer {
    ChatServer::new(Settings::default(), ChatOptions::default())
}

fn typist(world: &mut Sim, name: &str, lines: &[&str], every_ms: u64) -> Result<NodeId, Error> {
    let options = Options { notices: true, ..Options::plain("client") };
    let stdin = Some(script(lines, Duration::from_millis(every_ms)));
    world.add(name, LineClient::new(target(), options), NodeConfig { stdin, ..NodeConfig::default() })
}

fn files<A: App + 'static>(world: &mut Sim, app: A) -> Result<NodeId, Error> {
    let it = world.add("server", app, NodeConfig { files: pages(), print: true, ..NodeConfig::server(PORT) })?;
    requests(world, "alice", &["/", "/numbers.txt", "/big"], 200)?;
    requests(world, "bob", &["/../secret", "/none", "/numbers.txt"], 350)?;
    world.signal(it, STOP, Signal::Interrupt);
    Ok(it)
}

/// What a simulated server has to serve.
fn pages() -> Vec<(String, Vec<u8>)> {
    let file = |name: &str, bytes: &[u8]| (format!("{DISK}/{name}"), bytes.to_vec());
    vec![file("index.html", b"<p>home\n"), file("numbers.txt", b"0123456789"), file("big", &[b'x'; 300_000])]
}

/// Somebody who types requests.
fn requests(world: &mut Sim, name: &str, targets: &[&str], every_ms: u64) -> Result<NodeId, Error> {
    let lines = targets.iter().flat_map(|t| [format!("GET {t} HTTP/1.1\r"), "Host: server\r".into(), "\r".into()]);
    let lines: Vec<String> = lines.collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    typist(world, name, &lines, every_ms)
}

/// Lines typed at regular times, then the end of the input.
fn script(lines: &[&str], every: Duration) -> Vec<(Duration, Vec<u8>)> {
    let typed = lines.iter().map(|l| format!("{l}\n").into_bytes()).chain([Vec::new()]);
    typed.zip(1..).map(|(line, n)| (every * n, line)).collect()
}

/// What simulated clients connect to, whatever the command line names.
pub fn target() -> Target {
    Target { host: "server".into(), port: Some(PORT), family: Family::Any, timeout: Duration::from_secs(10), via: None }
}
