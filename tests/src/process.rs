//! Tools as processes: built once, started with port 0, spoken to over loopback, always killed at the end.
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails: far beyond what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The path of a tool's binary, in the profile of the caller. Builds all tools on first use.
pub fn tool(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let exe = std::env::current_exe().expect("own path");
        let up = exe.ancestors().find(|d| d.ends_with("debug") || d.ends_with("release"));
        let dir = up.expect("a target folder").to_path_buf();
        let mut cargo = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()));
        // With the features of dependencies that the caller was built with, or all would be built twice.
        cargo.args(["build", "--quiet", "-p", "bins", "-p", "tests", "--bins"]);
        cargo.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
        cargo.arg("--target-dir").arg(dir.parent().expect("target"));
        if dir.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo").success(), "the tools do not build");
        dir
    });
    dir.join(name)
}

/// A running tool.
pub struct Tool {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    /// The lines of standard output taken so far.
    pub lines: Vec<String>,
    /// A line that was seen and not taken.
    ahead: Option<String>,
}

/// How a tool ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// Standard output that was not taken before.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

fn pump(from: impl Read + Send + 'static) -> Receiver<String> {
    let (to, lines) = channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if to.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}

impl Tool {
    /// Starts a tool with its arguments.
    pub fn start(name: &str, args: &[&str]) -> Tool {
        let mut command = Command::new(tool(name));
        command.args(args);
        Tool::spawn(command)
    }
    /// Starts a tool that has a control socket, and where that will be: in a folder of its own.
    pub fn controlled(name: &str, args: &[&str]) -> (Tool, RuntimeDir) {
        let dir = RuntimeDir::new();
        let mut command = Command::new(tool(name));
        command.args(args).env("XDG_RUNTIME_DIR", &dir.0);
        (Tool::spawn(command), dir)
    }
    /// Starts a command, its three streams as pipes.
    pub fn spawn(mut command: Command) -> Tool {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stdout = pump(child.stdout.take().expect("stdout"));
        let stderr = pump(child.stderr.take().expect("stderr"));
        Tool { child, stdout, stderr, lines: Vec::new(), ahead: None }
    }
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
    /// The next line of standard output, without its end.
    pub fn line(&mut self) -> String {
        let next = self.ahead.take().map_or_else(|| self.stdout.recv_timeout(PATIENCE), Ok);
        match next {
            Ok(line) => {
                self.lines.push(line.trim_end_matches('\n').to_string());
                self.lines.last().cloned().unwrap_or_default()
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!("ended after {:?}; stderr: {}", self.lines, self.rest_of_stderr())
            }
            Err(RecvTimeoutError::Timeout) => panic!("no line after {:?}", self.lines),
        }
    }
    /// The port in a banner such as `... on port 4711...`.
    pub fn port(&mut self) -> u16 {
        let banner = self.line();
        let digits = banner.split("port ").nth(1).map(|s| s.split(|c: char| !c.is_ascii_digit()).next());
        digits.flatten().and_then(|d| d.parse().ok()).unwrap_or_else(|| panic!("no port in {banner:?}"))
    }
    /// The next line of standard error with these words; those before it are dropped.
    pub fn note(&mut self, words: &str) -> String {
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(_) => panic!("no note with {words:?}"),
            }
        }
    }
    /// Writes to its standard input.
    pub fn type_in(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is open");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("the tool reads");
    }
    /// The same, for one that may have ended.
    pub fn try_type_in(&mut self, text: &str) -> bool {
        let stdin = self.child.stdin.as_mut();
        stdin.is_some_and(|s| s.write_all(text.as_bytes()).and_then(|()| s.flush()).is_ok())
    }
    /// There is a line of standard output that was not taken.
    pub fn has_line(&mut self) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.stdout.try_recv().ok();
        }
        self.ahead.is_some()
    }
    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.child.stdin = None;
    }
    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid() as i32).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it runs");
    }
    /// SIGINT, then waits for the end.
    pub fn stop(self) -> Ended {
        self.signal(rustix::process::Signal::INT);
        self.wait()
    }
    /// Waits for the end; its standard input stays as it is.
    pub fn wait(mut self) -> Ended {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("wait") {
                Some(status) => break status,
                None if Instant::now() > end => panic!("it does not end; output so far {:?}", self.lines),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let stdout: String = self.stdout.iter().collect();
        Ended { code: status.code(), stdout, stderr: self.rest_of_stderr() }
    }
    fn rest_of_stderr(&self) -> String {
        self.stderr.iter().collect()
    }
    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }
    /// Resident memory in bytes that is not shared with files.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let field = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
        let kib = field.and_then(|f| f.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
        kib.expect("RssAnon") * 1024
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// A folder for control sockets, removed at the end.
#[derive(Debug)]
pub struct RuntimeDir(pub PathBuf);

impl RuntimeDir {
    /// A folder of its own.
    #[allow(clippy::new_without_default, reason = "making a folder is no default")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("drywire-tests-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        RuntimeDir(dir)
    }
    /// Gives one order to the tool on that port and reads the answer to its end.
    pub fn order(&self, name: &str, port: u16, order: &str) -> String {
        let path = self.0.join(format!("drywire-{name}-{port}.sock"));
        let path = path.to_str().expect("a name");
        drivers::listen::ask_control(path, order).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // it is in the way of nobody
    }
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a foreign program is installed. Where it is not, a test says so and passes; in CI that is a failure.
pub fn have(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path.split(':').any(|d| std::path::Path::new(d).join(program).is_file());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
        eprintln!("passed over: {program} is not installed");
    }
    found
}
