//! From the command line to a running app.
use super::args::{DriverArgs, ServerArgs};
use super::units::Target;
use crate::outcome::{Code, Failure};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use core::net::{IpAddr, SocketAddr};
use drivers::{Bound, Buffers, Config, Kind, listen as bind};
use proto_core::{Addr, App, Shard};
use std::ffi::OsString;
use std::io::Write;

/// A tool: its command line, and the app that it makes of it.
pub trait Tool: Parser + CommandFactory + Clone + Send + Sync + 'static {
    /// The app.
    type App: App + 'static;
    /// The binary's name.
    const NAME: &'static str;
    /// The driver when none is asked for.
    const DRIVER: Kind;

    /// Another spelling of an argument, if the parser does not know this one.
    fn spell(arg: OsString) -> OsString {
        arg
    }
    /// The flags about the driver.
    fn driver(&self) -> &DriverArgs;
    /// Checks what the parser can't, and binds listeners.
    fn plan(&self) -> Result<Plan, Failure>;
    /// Builds the app of one thread: the same one for the same command line.
    fn app(&self, shard: Shard) -> Self::App;
    /// Runs the tool in virtual time against its counterpart.
    fn simulate(&self) -> Result<Code, Failure> {
        Err(Failure::usage(format!("{} has no counterpart to be simulated with", Self::NAME)))
    }
    /// What else may be done instead of running; `Some` ends the tool.
    fn instead(&self) -> Option<Result<Code, Failure>> {
        None
    }
}

/// What a driver needs besides the app.
#[derive(Debug, Default)]
pub struct Plan {
    /// Listeners.
    pub listening: Vec<Bound>,
    /// Settings; the driver's own flags are filled in.
    pub config: Config,
    /// Lines for standard error before it starts.
    pub notes: Vec<String>,
}

/// Listeners, and what to say about them.
#[derive(Debug, Default)]
pub struct Listening {
    /// In the order of the flags.
    pub bound: Vec<Bound>,
    /// Lines for standard error.
    pub notes: Vec<String>,
}

/// Runs a tool with the process's arguments and exits.
pub fn main<T: Tool>() -> ! {
    catch_panics(T::NAME);
    let args: Vec<OsString> = std::env::args_os().map(T::spell).collect();
    let code = match parse::<T, _>(args.clone()).and_then(|tool| tool.map_or(Ok(0), |t| run(&t, &args))) {
        Ok(code) => code.into(),
        Err(failure) => {
            complain(T::NAME, &failure.text);
            failure.code as i32
        }
    };
    std::process::exit(code)
}

/// Any panic is a bug: it says so in one line and ends the process; but one of a job is caught, and told to the app.
pub fn catch_panics(tool: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        if drivers::in_job() {
            return;
        }
        let place = panic.location().map_or("unknown place".into(), |l| format!("{}:{}", l.file(), l.line()));
        complain(tool, &format!("internal error, this is a bug: {place}: {}", panic_text(panic.payload())));
        std::process::exit(Code::Bug as i32);
    }));
}

fn panic_text(payload: &dyn std::any::Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// One line on standard error.
pub fn complain(tool: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{tool}: {text}"); // nowhere left to say it
}

/// Parses a command line. `None`: help or version was asked for, and printed.
pub fn parse<T: Parser, I: IntoIterator<Item = OsString>>(args: I) -> Result<Option<T>, Failure> {
    match T::try_parse_from(args) {
        Ok(tool) => Ok(Some(tool)),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = e.print(); // a closed standard output ends quietly
            Ok(None)
        }
        Err(e) => Err(Failure::usage(one_line(&e))),
    }
}

/// A parser's error in one line, with what to do next.
fn one_line(e: &clap::Error) -> String {
    let get = |kind| match e.get(kind) {
        Some(ContextValue::String(s)) => s.clone(),
        Some(ContextValue::Strings(s)) => s.join(", "),
        _ => String::new(),
    };
    let (arg, value, hint) =
        (get(ContextKind::InvalidArg), get(ContextKind::InvalidValue), get(ContextKind::SuggestedArg));
    match e.kind() {
        ErrorKind::UnknownArgument if hint.is_empty() => format!("unknown argument '{arg}' (see --help)"),
        ErrorKind::UnknownArgument => format!("unknown argument '{arg}': did you mean '{hint}'?"),
        ErrorKind::MissingRequiredArgument => format!("missing {arg} (see --help)"),
        ErrorKind::ValueValidation => match std::error::Error::source(e) {
            Some(why) if why.to_string().starts_with("port ") => why.to_string(),
            Some(why) => format!("{}: {why}", arg.split(' ').next().unwrap_or_default()),
            None => format!("{arg}: bad value '{value}'"),
        },
        ErrorKind::ArgumentConflict => format!("{arg} cannot be used with {}", get(ContextKind::PriorArg)),
        _ => {
            let text = e.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_string()
        }
    }
}

fn run<T: Tool>(tool: &T, args: &[OsString]) -> Result<u8, Failure> {
    let flags = tool.driver();
    if flags.list_drivers {
        return list_drivers();
    }
    if let Some(done) = tool.instead() {
        return done.map(|code| code as u8);
    }
    let mut kind = flags.driver.unwrap_or(T::DRIVER);
    if kind == Kind::Sim {
        return tool.simulate().map(|code| code as u8);
    }
    if flags.sim.is_some() {
        return Err(Failure::usage("--sim needs --driver sim"));
    }
    if kind == Kind::Auto {
        let (chosen, why) = drivers::choose();
        complain(T::NAME, &format!("driver {} ({why})", chosen.name()));
        kind = chosen;
    }
    bind::raise_descriptors();
    let mut plan = tool.plan()?;
    drivers::available(kind).map_err(|why| Failure::new(Code::Local, why))?;
    configure(&mut plan.config, flags, T::NAME, args)?;
    if kind == Kind::Pool && plan.config.workers == 0 {
        plan.config.workers = std::thread::available_parallelism().map_or(1, Into::into);
    }
    for note in &plan.notes {
        complain(T::NAME, note);
    }
    let ran = drivers::run(kind, |shard| tool.app(shard), plan.listening, &plan.config);
    ran.map_err(|e| Failure::new(Code::Local, e.to_string()))
}

fn configure(config: &mut Config, flags: &DriverArgs, name: &str, args: &[OsString]) -> Result<(), Failure> {
    config.record = flags.record.clone();
    config.entries = flags.entries;
    config.buffers = (flags.buffer_count, flags.buffer_size);
    (config.lend, config.link) = (flags.buffers, flags.link);
    (config.direct_files, config.as_kernel) = (flags.direct_files, flags.as_kernel);
    if flags.link && matches!(flags.buffers, Some(Buffers::Fixed | Buffers::Plain)) {
        return Err(Failure::usage("--link needs --buffers provided: a receive that waits must not hold a buffer"));
    }
    config.seed = flags.seed.map(seed);
    let rest = args.iter().skip(1).map(|a| a.to_string_lossy().into_owned());
    config.command = std::iter::once(name.to_string()).chain(rest).collect();
    if config.record.is_some() {
        let _ = writeln!(std::io::stderr(), "{name}: the recording will hold everything that peers send");
    }
    Ok(())
}

/// A short seed as a long one.
pub fn seed(n: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed.iter_mut().zip(n.to_le_bytes()).for_each(|(s, b)| *s = b);
    seed
}

fn list_drivers() -> Result<u8, Failure> {
    let mut out = std::io::stdout().lock();
    for (kind, name) in Kind::ALL {
        let line = match (kind, drivers::available(kind)) {
            (Kind::Auto, _) => format!("{name:<9} {} here", drivers::choose().0.name()),
            (_, Ok(())) => format!("{name:<9} available"),
            (_, Err(why)) => format!("{name:<9} {why}"),
        };
        if writeln!(out, "{line}").is_err() {
            break; // nobody reads on
        }
    }
    Ok(0)
}

/// Binds what a server's flags ask for.
pub fn listen(args: &ServerArgs, part: u8) -> Result<Listening, Failure> {
    let mut l = bind_all(args, part)?;
    let local = |e: bind::Error| Failure::new(Code::Local, e.to_string());
    l.bound.iter_mut().try_for_each(|b| b.set_buffers(args.sndbuf, args.rcvbuf)).map_err(local)?;
    Ok(l)
}

/// The listener of `--metrics`, and a note that says where.
pub fn metrics(args: &ServerArgs, part: u8) -> Result<Option<(Bound, String)>, Failure> {
    let Some(target) = &args.metrics else { return Ok(None) };
    let Target::Ip(ip, Some(port)) = target else {
        return Err(Failure::usage("--metrics wants ADDR:PORT, such as 127.0.0.1:9464"));
    };
    let bound = Bound::new(&Addr::Ip(SocketAddr::new(*ip, *port)), part, 64, args.threads > 1);
    let bound = bound.map_err(|e| Failure::new(Code::Local, e.to_string()))?;
    let note = format!("metrics on http://{}/metrics", bound.at);
    Ok(Some((bound, note)))
}

fn bind_all(args: &ServerArgs, part: u8) -> Result<Listening, Failure> {
    let shared = args.threads > 1;
    let backlog = i32::from(args.backlog);
    let local = |e: bind::Error| Failure::new(Code::Local, e.to_string());
    let mut l = Listening::default();
    if args.listen.is_empty() {
        let port = args.port().ok_or_else(|| Failure::usage("missing PORT (see --help)"))?;
        let (bound, note) = Bound::local(port, part, backlog, shared).map_err(local)?;
        l.bound = bound;
        l.notes.extend(note);
        l.notes.push("only this machine can connect; use --listen 0.0.0.0 to open it".into());
        return Ok(l);
    }
    for target in &args.listen {
        let bound = match target {
            Target::Ip(ip, port) => {
                let port = port.or(args.port()).ok_or_else(|| Failure::usage(format!("--listen {ip} needs a port")))?;
                Bound::new(&Addr::Ip(SocketAddr::new(*ip, port)), part, backlog, shared)
            }
            Target::Unix(path) => Bound::unix(path, part, backlog),
            Target::Descriptor(n) => Bound::inherited(*n, part, backlog),
        };
        l.bound.push(bound.map_err(local)?);
    }
    let open = |a: &IpAddr| !a.is_loopback();
    let opened = args.listen.iter().any(|t| matches!(t, Target::Ip(ip, _) if open(ip)));
    if opened && args.allow_from.is_empty() {
        l.notes.push("every machine that can reach this one can connect; see --allow-from".into());
    }
    Ok(l)
}
