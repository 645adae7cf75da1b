//! `threadpool_server`, `single_thread_server`, `benchmark_client`.
use super::simulate::{Scene, simulate};
use super::{running, server_plan, target};
use crate::cli::{ClientArgs, DriverArgs, Plan, ServerArgs, Tool, duration};
use crate::dialer::Target;
use crate::outcome::{Code, Failure};
use crate::pool::bench::{Bench, Options as BenchOptions};
use crate::pool::server::{Options, Policy, PoolServer};
use crate::service::Settings;
use crate::work::{Kind as WorkKind, MAX_SIZE, Work, parse_size};
use clap::{Args, Parser};
use core::time::Duration;
use drivers::Kind;
use proto_core::Shard;

/// Worker threads at most.
const WORKERS_MAX: usize = 1024;
/// Jobs that may wait at most.
const QUEUE_MAX: usize = 1_000_000;

#[derive(Args, Clone, Debug)]
struct WorkArgs {
    /// What GET /work does: none, json, crypto, sleep:MS, spin:US or panic
    #[arg(long, value_name = "KIND", default_value = "crypto")]
    work: Work,
    /// How much of it: numbers, hashes, milliseconds or microseconds
    #[arg(long, value_name = "N", value_parser = parse_size)]
    work_size: Option<u32>,
}

impl WorkArgs {
    fn work(&self) -> Work {
        Work { size: self.work_size.unwrap_or(self.work.size), ..self.work }
    }
}

/// Does CPU work on threads, and talks to all clients on one
#[derive(Parser, Clone, Debug)]
#[command(
    name = "threadpool_server",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  threadpool_server -p 8080 -t 8
  threadpool_server -p 8080 --work sleep:20 --queue 16     503 when more wait
  curl 'localhost:8080/work?kind=json&n=5'                 another kind of work
  curl localhost:8080/health                               answered by the loop, whatever the workers do
  curl localhost:8080/stats                                counts, as JSON"
)]
pub struct ThreadpoolTool {
    #[command(flatten)]
    args: ServerArgs,
    /// Worker threads; as many as there are cores by default
    #[arg(short = 't', value_name = "N", value_parser = workers, conflicts_with = "workers", allow_hyphen_values = true)]
    pool: Option<usize>,
    /// Jobs that may wait for a worker
    #[arg(long, value_name = "N", default_value = "1024", value_parser = queue)]
    queue: usize,
    /// Whom a full queue turns away: reject (the new request) or drop-oldest
    #[arg(long, value_name = "POLICY", default_value = "reject", value_enum, hide_possible_values = true)]
    queue_policy: Policy,
    /// When a request is answered with 503 instead of its result
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    job_timeout: Duration,
    #[command(flatten)]
    work: WorkArgs,
}

fn workers(s: &str) -> Result<usize, String> {
    let n = s.parse::<usize>().ok().filter(|n| (1..=WORKERS_MAX).contains(n));
    n.ok_or_else(|| format!("worker threads must be 1-{WORKERS_MAX}"))
}

fn queue(s: &str) -> Result<usize, String> {
    let n = s.parse::<usize>().ok().filter(|n| *n <= QUEUE_MAX);
    n.ok_or_else(|| format!("a queue holds 0-{QUEUE_MAX} jobs"))
}

impl ThreadpoolTool {
    fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, Into::into);
        self.pool.or(self.args.workers).unwrap_or_else(cores)
    }
}

impl Tool for ThreadpoolTool {
    type App = PoolServer;
    const NAME: &'static str = "threadpool_server";
    const DRIVER: Kind = Kind::Pool;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn instead(&self) -> Option<Result<Code, Failure>> {
        running(Self::NAME, &self.args)
    }
    fn simulate(&self) -> Result<Code, Failure> {
        simulate(self, self.args.driver.sim.as_ref(), Scene::Work)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        let n = self.workers();
        if !(1..=WORKERS_MAX).contains(&n) {
            return Err(Failure::usage(format!("worker threads must be 1-{WORKERS_MAX}")));
        }
        let mut plan = server_plan(Self::NAME, &self.args)?;
        plan.config.workers = n;
        // The app counts what waits; a job that is being given up may wait beside the others for a moment.
        plan.config.job_queue = 2 * (n + self.queue);
        Ok(plan)
    }
    fn app(&self, _: Shard) -> PoolServer {
        PoolServer::new(
            Settings::new(&self.args, None),
            Options {
                workers: self.workers(),
                queue: self.queue,
                work: self.work.work(),
                timeout: self.job_timeout,
                policy: self.queue_policy,
            },
        )
    }
}

/// The same server without workers: who works cannot talk
#[derive(Parser, Clone, Debug)]
#[command(
    name = "single_thread_server",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  single_thread_server -p 8080
  benchmark_client localhost 8080 --requests 10000
  curl localhost:8080/health        waits while somebody's work is done: that is the lesson"
)]
pub struct SingleThreadTool {
    #[command(flatten)]
    args: ServerArgs,
    #[command(flatten)]
    work: WorkArgs,
}

impl Tool for SingleThreadTool {
    type App = PoolServer;
    const NAME: &'static str = "single_thread_server";
    const DRIVER: Kind = Kind::Epoll;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn instead(&self) -> Option<Result<Code, Failure>> {
        running(Self::NAME, &self.args)
    }
    fn simulate(&self) -> Result<Code, Failure> {
        simulate(self, self.args.driver.sim.as_ref(), Scene::Work)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        if self.args.workers.is_some_and(|n| n > 0) || self.args.driver.driver == Some(Kind::Pool) {
            return Err(Failure::usage("single_thread_server has no workers; see threadpool_server"));
        }
        server_plan(Self::NAME, &self.args)
    }
    fn app(&self, _: Shard) -> PoolServer {
        PoolServer::new(
            Settings::new(&self.args, None),
            Options {
                workers: 0,
                queue: 0,
                work: self.work.work(),
                timeout: Duration::from_secs(3600),
                policy: Policy::Reject,
            },
        )
    }
}

/// Measures a server of work: requests per second, and how long answers take
#[derive(Parser, Clone, Debug)]
#[command(
    name = "benchmark_client",
    version,
    max_term_width = 100,
    after_help = "\
Every answer is checked: the client does the same work once.

Examples:
  benchmark_client localhost 8080 --requests 10000
  benchmark_client localhost 8080 -c 8 --duration 10s --work json -v
  benchmark_client localhost 8080 --compare localhost:8081     both servers, and how many times faster the first is"
)]
pub struct BenchmarkTool {
    #[command(flatten)]
    args: ClientArgs,
    /// Requests in all
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    requests: u64,
    /// Requests for so long, however many
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "requests")]
    duration: Option<Duration>,
    /// Connections at once
    #[arg(short, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    conns: u32,
    /// The work to ask for, such as crypto or json:5; the server's own by default
    #[arg(long, value_name = "KIND")]
    work: Option<Work>,
    /// Measure this server too
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    compare: Option<(String, u16)>,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// One JSON object per server
    #[arg(long)]
    json: bool,
    /// Print p50, p95 and the maximum too
    #[arg(short, long)]
    verbose: bool,
}

fn host_port(s: &str) -> Result<(String, u16), String> {
    let (host, port) = s.rsplit_once(':').ok_or_else(|| format!("'{s}' is not HOST:PORT"))?;
    if host.is_empty() {
        return Err(format!("'{s}' is not HOST:PORT"));
    }
    Ok((host.into(), crate::cli::port(port)?))
}

impl Tool for BenchmarkTool {
    type App = Bench;
    const NAME: &'static str = "benchmark_client";
    const DRIVER: Kind = Kind::Auto;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn simulate(&self) -> Result<Code, Failure> {
        simulate(self, self.args.driver.sim.as_ref(), Scene::Worker)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        if let Some(Work { kind: WorkKind::Panic, .. }) = self.work {
            return Err(Failure::usage("--work panic has no right answer"));
        }
        if self.duration.is_some_and(|d| d.is_zero()) {
            return Err(Failure::usage("--duration 0 measures nothing"));
        }
        debug_assert!(self.work.is_none_or(|w| w.size <= MAX_SIZE));
        Ok(Plan::default())
    }
    fn app(&self, _: Shard) -> Bench {
        let first = target(&self.args);
        let second = self.compare.clone().map(|(host, port)| Target { host, port: Some(port), ..first.clone() });
        Bench::new(BenchOptions {
            targets: [Some(first), second].into_iter().flatten().collect(),
            requests: self.requests,
            duration: self.duration,
            conns: self.conns as usize,
            work: self.work,
            path: None,
            json: self.json,
            verbose: self.verbose,
            timeout: self.timeout,
        })
        .with_source(self.args.resolver)
    }
}
