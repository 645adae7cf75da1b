//! `on_terminal PROGRAM ARGS...`: runs a program as a shell's foreground job on the terminal that is its standard input,
//! and exits as the program did. For tests of what happens on a terminal.
use rustix::process::{Pid, Signal, ioctl_tiocsctty, kill_process, setsid};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let program = args.next().expect("a program");
    setsid().expect("a session of its own");
    ioctl_tiocsctty(rustix::stdio::stdin()).expect("a terminal on standard input");
    let mut child = Command::new(program).args(args).process_group(0).spawn().expect("the program starts");
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    rustix::termios::tcsetpgrp(rustix::stdio::stdin(), pid).expect("the foreground");
    let _ = kill_process(pid, Signal::CONT); // it may have wanted the terminal before it was in the foreground
    let status = child.wait().expect("its end");
    ExitCode::from(status.code().unwrap_or(128 + status.signal().unwrap_or(0)) as u8)
}
