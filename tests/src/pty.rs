//! Tools on a pseudo-terminal: keys go in, a [`Screen`] shows what comes out.
use crate::process::{PATIENCE, tool};
use crate::screen::Screen;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcgetpgrp, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const HEIGHT: u16 = 24;

/// A terminal with a tool on it.
pub struct Terminal {
    keyboard: File,
    /// Kept open, so that the terminal outlives the tool.
    line: OwnedFd,
    child: Child,
    written: Receiver<Vec<u8>>,
    /// Its modes before the tool.
    pub before: Termios,
    /// What is seen.
    pub screen: Screen,
    /// All that was written to it.
    pub output: Vec<u8>,
}

impl Terminal {
    /// Starts a tool on a terminal of so many columns. `runner` is the path of `on_terminal`.
    pub fn start(runner: &str, name: &str, args: &[&str], columns: u16) -> Terminal {
        let mut command = Command::new(runner);
        command.arg(tool(name)).args(args).env("TERM", "xterm");
        Terminal::spawn(command, columns)
    }
    /// Starts a command that runs `on_terminal`.
    pub fn spawn(mut command: Command, columns: u16) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("its other end");
        let path = ptsname(&master, Vec::new()).expect("its name");
        let line = open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).expect("a terminal");
        size(&line, columns);
        let end = || line.try_clone().expect("a descriptor");
        command.stdin(end()).stdout(end()).stderr(end());
        let before = tcgetattr(&line).expect("modes");
        let child = command.spawn().expect("it starts");
        let keyboard = File::from(master);
        let mut from = keyboard.try_clone().expect("a descriptor");
        let (to, written) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n) = from.read(&mut buffer) {
                if n == 0 || to.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = Screen::new(columns.into(), HEIGHT.into());
        Terminal { keyboard, line, child, written, before, screen, output: Vec::new() }
    }
    /// Presses keys.
    pub fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a keyboard");
    }
    /// Waits until what is seen is as it should be.
    #[track_caller]
    pub fn until(&mut self, what: &str, seen: impl Fn(&Screen) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !seen(&self.screen) {
            let left = end.saturating_duration_since(Instant::now());
            match self.written.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => panic!("{what}: not within {PATIENCE:?}:\n{}", self.screen.text().join("\n")),
            }
        }
    }
    /// Waits for these rows and no others.
    #[track_caller]
    pub fn rows(&mut self, rows: &[&str]) {
        self.until(&format!("{rows:?}"), |s| s.text() == rows);
    }
    /// Waits until the cursor's row has this left of the cursor and this from it on.
    #[track_caller]
    pub fn row(&mut self, left: &str, right: &str) {
        self.until(&format!("{left:?} | {right:?}"), |s| {
            let (_, l, r) = s.cursor();
            l == left && r == right
        });
    }
    fn take(&mut self, bytes: &[u8]) {
        self.screen.feed(bytes);
        self.output.extend_from_slice(bytes);
    }
    /// Its modes now.
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.line).expect("modes")
    }
    /// Keys go to the tool as they are pressed.
    pub fn is_raw(&self) -> bool {
        !self.modes().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }
    /// Everything is as it was before the tool.
    pub fn is_in_order(&self) -> bool {
        format!("{:?}", self.modes()) == format!("{:?}", self.before) && !self.screen.marks_pastes
    }
    /// Another width; the tool gets SIGWINCH from the kernel.
    pub fn resize(&mut self, columns: u16) {
        self.screen.resize(columns.into(), HEIGHT.into());
        size(&self.line, columns);
    }
    /// The tool's process.
    pub fn pid(&self) -> Pid {
        tcgetpgrp(&self.keyboard).expect("a foreground job")
    }
    /// The tool is stopped (`T`), sleeps (`S`), ...
    pub fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|s| s.chars().next()).unwrap_or('?')
    }
    /// Sends the tool a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }
    /// Waits for the tool's end; its exit code. All it has written is on the screen then.
    pub fn wait(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("wait") {
                Some(status) => break status,
                None if Instant::now() > end => panic!("it does not end:\n{}", self.screen.text().join("\n")),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        // A last character of our own comes after everything that the tool has written.
        rustix::io::write(&self.line, b"\x00").expect("the terminal is there");
        while !self.output.contains(&0) {
            let bytes = self.written.recv_timeout(PATIENCE).expect("the end of the output");
            self.output.extend_from_slice(&bytes);
            self.screen.feed(bytes.strip_suffix(b"\x00").unwrap_or(&bytes));
        }
        status.code().expect("an exit code")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(self.pid(), Signal::KILL); // it may have ended
            let _ = self.child.wait();
        }
    }
}

fn size(line: &OwnedFd, columns: u16) {
    let size = Winsize { ws_row: HEIGHT, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(line, size).expect("a size");
}
