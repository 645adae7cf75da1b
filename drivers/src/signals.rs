//! Signals become mail.
use crate::host::{Mail, Post};
use proto_core::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGWINCH};
use signal_hook::iterator::Signals;

/// Sends every signal that programs care about to one loop.
pub fn watch<P: Post>(post: P) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGWINCH])?;
    std::thread::spawn(move || {
        for s in signals.forever() {
            let signal = match s {
                SIGINT => Signal::Interrupt,
                SIGTERM => Signal::Terminate,
                SIGHUP => Signal::Reload,
                SIGUSR1 => Signal::Report,
                _ => {
                    let (columns, rows) = terminal_size();
                    Signal::Resize { columns, rows }
                }
            };
            post.post(Mail::Signal(signal));
        }
    });
    Ok(())
}

/// Columns and rows of the terminal, zero if there is none.
pub fn terminal_size() -> (u16, u16) {
    rustix::termios::tcgetwinsize(rustix::stdio::stdout()).map_or((0, 0), |w| (w.ws_col, w.ws_row))
}
