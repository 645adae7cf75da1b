//! A server under measurement, and what the kernel knows about it.
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Binds a process, or this thread, to one core.
pub fn pin(pid: Option<Pid>, core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(e) = sched_setaffinity(pid, &set) {
        eprintln!("bench: cannot bind to core {core}: {e}");
    }
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
        let child = run.spawn().map_err(|e| io::Error::new(e.kind(), format!("{program}: {e}")))?;
        let server = Server { child, at };
        if let Some(core) = core {
            pin(server.pid(), core);
        }
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(at).is_err() {
            if Instant::now() > end {
                return Err(io::Error::other(format!("'{command}' does not listen on its port")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().cast_signed())
    }
    fn proc(&self, file: &str) -> io::Result<String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
    }
    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        let mut ns = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            ns += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(ns))
    }
    /// Resident memory in bytes that is not shared with files.
    pub fn memory(&self) -> io::Result<u64> {
        Ok(field(&self.proc("status")?, "RssAnon:") * 1024)
    }
    /// How often its threads have waited so far: each wait is at least one system call.
    pub fn waits(&self) -> io::Result<u64> {
        let mut waits = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let status = std::fs::read_to_string(task?.path().join("status"))?;
            waits += field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:");
        }
        Ok(waits)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}
