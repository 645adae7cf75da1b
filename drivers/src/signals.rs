//! Signals become mail.
use crate::host::{Mail, Post};
use crate::terminal;
use proto_core::Signal;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1, SIGWINCH};
use signal_hook::iterator::{Handle, Signals};
use std::thread::JoinHandle;

/// The thread that waits for signals; it ends when this is dropped, so that a loop leaves nothing behind.
pub struct Watch {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// From now on stopping and continuing the process is watched, too.
    pub fn watch_stops(&self) {
        for s in [SIGTSTP, SIGCONT] {
            let _ = self.handle.add_signal(s); // without it: the terminal stays raw while the program is stopped
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(t) = self.thread.take() {
            let _ = t.join(); // it only sends mail: it does not panic
        }
    }
}

/// Sends every signal that programs care about to one loop.
pub fn watch<P: Post>(post: P) -> std::io::Result<Watch> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGWINCH])?;
    let handle = signals.handle();
    let thread = std::thread::spawn(move || {
        for s in signals.forever() {
            let signal = match s {
                SIGINT => Signal::Interrupt,
                SIGTERM => Signal::Terminate,
                SIGHUP => Signal::Reload,
                SIGUSR1 => Signal::Report,
                SIGTSTP => {
                    terminal::stop();
                    continue; // SIGCONT follows
                }
                SIGCONT => {
                    terminal::resume();
                    Signal::Continue
                }
                _ => {
                    let (columns, rows) = terminal_size();
                    Signal::Resize { columns, rows }
                }
            };
            post.post(Mail::Signal(signal));
        }
    });
    Ok(Watch { handle, thread: Some(thread) })
}

/// Columns and rows of the terminal, zero if there is none.
pub fn terminal_size() -> (u16, u16) {
    rustix::termios::tcgetwinsize(rustix::stdio::stdout()).map_or((0, 0), |w| (w.ws_col, w.ws_row))
}
