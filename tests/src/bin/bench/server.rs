//! A server under measurement, and what the kernel knows about it and its children.
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Binds a process, or this thread, to one core. Answers with what it was bound to before.
pub fn pin(pid: Option<Pid>, core: usize) -> io::Result<CpuSet> {
    let before = sched_getaffinity(pid)?;
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(e) = sched_setaffinity(pid, &set) {
        eprintln!("bench: cannot bind to core {core}: {e}");
    }
    Ok(before)
}

/// A process that listens on a port of its own.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub at: SocketAddr,
}

impl Server {
    /// Runs `command`, its words separated by spaces, `{port}` replaced, and waits until it accepts.
    pub fn start(command: &str, core: Option<usize>) -> io::Result<Server> {
        let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?; // free again at once
        let command = command.replace("{port}", &at.port().to_string());
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(|| io::Error::other("empty command"))?;
        let mut run = Command::new(program);
        run.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Bound before it begins: its threads and children inherit that.
        let before = core.map(|core| pin(None, core));
        let child = run.spawn().map_err(|e| io::Error::new(e.kind(), format!("{program}: {e}")));
        if let Some(Ok(before)) = before {
            let _ = sched_setaffinity(None, &before); // back to where it was
        }
        let server = Server { child: child?, at };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(at).is_err() {
            if Instant::now() > end {
                return Err(io::Error::other(format!("'{command}' does not listen on its port")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
    /// It and the processes that it has started, such as nginx's worker.
    fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = all.get(at).copied() {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            at += 1;
        }
        all
    }
    /// The sum of what `f` finds in a file of each of its threads.
    fn threads(&self, file: &str, f: impl Fn(&str) -> u64) -> io::Result<u64> {
        let mut sum = 0;
        for pid in self.processes() {
            for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
                sum += f(&std::fs::read_to_string(task?.path().join(file))?);
            }
        }
        Ok(sum)
    }
    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        let ns = |text: &str| text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        self.threads("schedstat", ns).map(Duration::from_nanos)
    }
    /// The same with threads and children that have ended, in steps of a tick (10 ms).
    pub fn cpu_with_the_dead(&self) -> io::Result<Duration> {
        let mut ticks = 0;
        for pid in self.processes() {
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue }; // it has just ended
            let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
            // utime, stime, cutime and cstime are fields 14 to 17 of proc_pid_stat(5).
            ticks += fields.skip(11).take(4).filter_map(|n| n.parse::<u64>().ok()).sum::<u64>();
        }
        Ok(Duration::from_millis(ticks * 10))
    }
    /// Resident memory in bytes that is not shared with files.
    pub fn memory(&self) -> io::Result<u64> {
        let status = |pid| std::fs::read_to_string(format!("/proc/{pid}/status"));
        self.processes().into_iter().try_fold(0, |sum, pid| Ok(sum + field(&status(pid)?, "RssAnon:") * 1024))
    }
    /// How often its threads have waited so far: each wait is at least one system call.
    pub fn waits(&self) -> io::Result<u64> {
        self.threads("status", |text| {
            field(text, "voluntary_ctxt_switches:") + field(text, "nonvoluntary_ctxt_switches:")
        })
    }
}

/// Ticks of the clock that processes are charged by (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all children that have ended and were waited for.
pub fn spent() -> io::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // After the name in brackets, the 14th and 15th fields (proc(5): cutime, cstime).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u32>().ok());
    let sum = ticks(13).zip(ticks(14)).map(|(user, system)| TICK * (user + system));
    sum.ok_or_else(|| io::Error::other("/proc/self/stat has no times of children"))
}

impl Drop for Server {
    fn drop(&mut self) {
        for pid in self.processes().into_iter().rev().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL); // it may have ended by itself
        }
        let _ = self.child.wait();
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}
