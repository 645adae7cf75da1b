//! The modes of the terminal on standard input. There is one terminal per process, so its state is the process's.
//!
//! Raw here means: every key is delivered at once and not shown. Ctrl-C and Ctrl-Z stay signals, so that a program that
//! is not reading can still be ended, and output is translated as before, so that a message from anywhere looks right.
//!
//! Invariant: while a program does not run (it was stopped, has ended, or dies of a panic) its terminal is as it was.
use crate::workers::in_job;
use parking_lot::Mutex;
use proto_core::terminal::{PASTE_OFF, PASTE_ON};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcsetattr,
};
use std::sync::Once;

/// How it was before; `Some` as long as the program wants it raw.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Keeps the terminal raw until it is dropped.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// `None` if standard input is no terminal, or another loop has it.
    pub fn enter() -> Option<Raw> {
        static HOOK: Once = Once::new();
        let mut before = BEFORE.lock();
        if before.is_some() {
            return None;
        }
        *before = Some(tcgetattr(stdin()).ok()?);
        drop(before);
        // A panic hook may end the process without running any destructor: it finds the terminal in order.
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if !in_job() {
                    leave();
                }
                next(panic);
            }));
        });
        resume();
        Some(Raw(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        leave();
        *BEFORE.lock() = None;
    }
}

/// Makes the terminal raw again, if that is wanted.
pub fn resume() {
    let Some(mut modes) = BEFORE.lock().clone() else { return };
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
    // The kernel would throw away what is on its way to the screen, too, and leave half a sequence there.
    modes.local_modes.insert(LocalModes::ISIG | LocalModes::NOFLSH);
    modes.input_modes.remove(InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR | InputModes::IXON);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    // Ctrl-\ would kill without a chance to put things in order; 0 is _POSIX_VDISABLE.
    modes.special_codes[SpecialCodeIndex::VQUIT] = 0;
    set(&modes, PASTE_ON);
}

fn leave() {
    if let Some(modes) = BEFORE.lock().as_ref() {
        set(modes, PASTE_OFF);
    }
}

/// What fails here fails because the terminal is gone.
fn set(modes: &Termios, say: &[u8]) {
    if isatty(stdout()) {
        let _ = rustix::io::write(stdout(), say);
    }
    let _ = tcsetattr(stdin(), OptionalActions::Now, modes);
}

/// Does what SIGTSTP does without a handler, with the terminal in order; returns when the process goes on.
pub fn stop() {
    // Nobody could continue a process whose parent is not of its session: the kernel does not stop such a one either.
    let session = |pid| rustix::process::getsid(pid).ok();
    if session(rustix::process::getppid()).is_none_or(|parents| session(None) != Some(parents)) {
        return;
    }
    leave();
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGSTOP); // this cannot be refused
}
