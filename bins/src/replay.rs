//! `replay`: runs a recorded tool again, without sockets.
use crate::cli::{self, Tool};
use crate::outcome::{Code, Failure};
use crate::tools;
use clap::Parser;
use drivers::record::{self, Entry};
use drivers::replay::{Outcome, Report, replay_shards};
use proto_core::Shard;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// Runs a recorded tool again, without sockets, and reports the first difference
#[derive(Parser, Clone, Debug)]
#[command(
    name = "replay",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 same output, 10 different, 2 the file cannot be read.

Examples:
  chat_server 9000 --record evening.rec     write a recording
  replay evening.rec                        run it again
  replay evening.rec --until 100            only the first 100 inputs"
)]
struct Replay {
    /// A file that --record has written
    file: PathBuf,
    /// Stop after this input
    #[arg(long, value_name = "N")]
    until: Option<u64>,
}

/// Runs the tool with the process's arguments and exits.
pub fn main() -> ! {
    cli::catch_panics("replay");
    let done = cli::parse::<Replay, _>(std::env::args_os()).and_then(|r| r.map_or(Ok(Code::Ok), |r| run(&r)));
    let code = done.unwrap_or_else(|failure| {
        cli::complain("replay", &failure.text);
        failure.code
    });
    std::process::exit(code as i32)
}

fn run(args: &Replay) -> Result<Code, Failure> {
    let entries = record::read(&args.file).map_err(Failure::usage)?;
    let Some(Entry::Begin { command, start }) = entries.first() else {
        return Err(Failure::usage("the recording has no beginning"));
    };
    let (command, start) = (command.clone(), start.clone());
    let mut all = vec![entries];
    if start.shard == 0 {
        for i in 1..start.shards {
            all.push(record::read(&record::path_of(&args.file, Shard(i))).map_err(Failure::usage)?);
        }
    }
    let report = dispatch(&command, &all, args.until)?;
    let name = command.first().map_or("", String::as_str);
    let (file, driver) = (args.file.display(), &start.driver);
    let text = format!("{file}: {name} on {driver}, {report}\n");
    let _ = std::io::stdout().write_all(text.as_bytes()); // a closed standard output changes no exit code
    Ok(if matches!(report.outcome, Outcome::Differs(_)) { Code::Answered } else { Code::Ok })
}

/// Runs the tool that the recording names.
fn dispatch(command: &[String], all: &[Vec<Entry>], until: Option<u64>) -> Result<Report, Failure> {
    let again = match command.first().map(String::as_str) {
        Some("echo_server") => again::<tools::EchoServerTool>,
        Some("echo_client") => again::<tools::EchoClientTool>,
        Some("epoll_echo_server") => again::<tools::EpollEchoTool>,
        Some("io_uring_echo_server") => again::<tools::IoUringEchoTool>,
        Some("httpclient") => again::<tools::HttpClientTool>,
        Some("socks5_proxy") => again::<tools::Socks5Tool>,
        Some("httpserver") => again::<tools::HttpServerTool>,
        Some("chat_server") => again::<tools::ChatServerTool>,
        Some("chat_client") => again::<tools::ChatClientTool>,
        Some("coro_http_server") => again::<tools::CoroHttpTool>,
        Some("threadpool_server") => again::<tools::ThreadpoolTool>,
        Some("single_thread_server") => again::<tools::SingleThreadTool>,
        Some("benchmark_client") => again::<tools::BenchmarkTool>,
        other => return Err(Failure::usage(format!("no tool '{}' to replay", other.unwrap_or_default()))),
    };
    again(command, all, until)
}

fn again<T: Tool>(command: &[String], all: &[Vec<Entry>], until: Option<u64>) -> Result<Report, Failure> {
    let tool = cli::parse::<T, _>(command.iter().map(OsString::from))?;
    let tool = tool.ok_or_else(|| Failure::usage("the recorded command printed its help"))?;
    replay_shards(all, |shard| tool.app(shard), until).map_err(|e| Failure::usage(e.to_string()))
}
