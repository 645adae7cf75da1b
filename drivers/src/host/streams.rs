//! Mail, and the standard streams, which come and go by it.
use super::{Host, Mail};
use crate::Error;
use crate::disk::Outcome;
use crate::signals::Watch;
use crate::terminal::Raw;
use proto_core::{App, Chunk, Input, Reason, Token, Trouble};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::VecDeque;

impl<A: App + 'static> Host<A> {
    /// Takes mail that has come in; `rung`: the bell was cleared just now.
    pub fn mail(&mut self, rung: bool) -> VecDeque<Mail<A::Msg>> {
        let mut mail = std::mem::take(&mut self.local);
        if rung {
            mail.extend(self.bell().take());
        }
        mail
    }
    /// There is mail that no bell rings for.
    #[inline]
    pub fn has_local_mail(&self) -> bool {
        !self.local.is_empty()
    }
    /// Delivers one piece of mail; do the ops before the next.
    pub fn open_mail(&mut self, mail: Mail<A::Msg>) {
        match mail {
            Mail::Stdin(chunk) => {
                if let Some(input) = &mut self.input {
                    input.parked = Some(chunk);
                }
                self.unpark_stdin();
            }
            Mail::StdoutReady(t) => {
                for o in self.outputs.iter_mut().filter(|o| o.token == t) {
                    o.waiting = false;
                }
                self.pump_stdio(t);
            }
            Mail::Disk(outcome) => {
                // The first answer is delivered now, what follows from it later: ops come between.
                let mut answers = self.disk.finish(outcome).into_iter();
                let first = answers.next();
                for (id, done) in answers.rev() {
                    self.local.push_front(Mail::Disk(Outcome::known(id, done)));
                }
                if let Some((id, done)) = first {
                    self.deliver(Input::Answer(id, done));
                }
            }
            Mail::Job(id, result) => self.deliver(Input::Job(id, result)),
            Mail::Post(from, msg) => self.deliver(Input::Post(from, msg)),
            Mail::Signal(signal) => self.deliver(Input::Signal(signal)),
            Mail::Ended(t, why) => self.closed(t, why),
            Mail::Trouble(trouble) => {
                if matches!(trouble, Trouble::RecordingEnded { .. }) {
                    self.unsaid = None;
                }
                self.deliver(Input::Trouble(trouble));
            }
        }
    }

    /// Whether the token is a standard stream, after doing what its switches and output now ask for.
    #[cold]
    pub fn pump_stdio(&mut self, t: Token) -> bool {
        if self.input.as_ref().is_some_and(|i| i.token == t) {
            self.unpark_stdin();
            return true;
        }
        let Some(last) = self.outputs.iter().position(|o| o.token == t) else { return false };
        // Standard output before standard error: on a terminal, what was said together is seen in this order.
        for i in 0..=last {
            if !self.ops.is_empty() {
                self.local.push_back(Mail::StdoutReady(t)); // the end of the one has to be dealt with first
                break;
            }
            self.pump_output(i);
        }
        true
    }
    fn pump_output(&mut self, i: usize) {
        let me = self.bell();
        while let Some(out) = self.outputs.get_mut(i).filter(|o| !o.waiting) {
            let t = out.token;
            let Some(chunk) = self.table.tx(t).and_then(|tx| tx.chunks().find(|c| !c.is_empty())) else { break };
            match out.write(chunk) {
                Ok(0) => out.wait(me.clone()),
                Ok(n) => self.consumed(t, n),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.closed(t, Reason::BrokenPipe);
                    break;
                }
            }
        }
    }
    fn unpark_stdin(&mut self) {
        let Some(input) = &mut self.input else { return };
        let t = input.token;
        if !self.table.is_wanted(t) || !self.ops.is_empty() {
            return;
        }
        match input.parked.take() {
            None => {}
            Some(Ok(mut chunk)) if !chunk.is_empty() => {
                input.next();
                let n = chunk.len();
                self.deliver(Input::Bytes(t, Chunk::new(&mut chunk, n)));
            }
            Some(Ok(_)) => self.deliver(Input::Eof(t)),
            Some(Err(_)) => self.closed(t, Reason::Io(0)),
        }
    }
    /// See [`proto_core::Op::Terminal`].
    pub(super) fn terminal(&mut self, raw: bool) {
        if !raw {
            self.raw = None;
        } else if self.input.is_some() && self.raw.is_none() {
            self.raw = Raw::enter();
            self.signals.iter().for_each(Watch::watch_stops);
        }
    }
    /// What kind of terminal it is, for an app that draws on it.
    pub(super) fn name_terminal(&mut self) {
        let tty = self.start.tty;
        if self.start.stdin.is_some() && tty.stdin && tty.stdout {
            let name = std::env::var("TERM").unwrap_or_default();
            self.start.facts.push(("term".into(), name));
        }
    }
    /// The last thing a driver does: what was asked of files is done, what is left for standard output and error is written,
    /// and the recording ends. It waits for the disk and for the reader.
    pub fn end(&mut self) -> Result<(), Error> {
        self.end_disk();
        self.flush_stdio();
        self.end_recording()
    }
    /// What was to be written is written, in order, whether or not the app waits for the answers; nothing else is begun.
    fn end_disk(&mut self) {
        self.disk.give_up();
        loop {
            self.bell().waker().clear();
            for mail in self.mail(true) {
                if let Mail::Disk(outcome) = mail {
                    self.disk.finish(outcome);
                }
            }
            if !self.disk.is_changing() {
                return;
            }
            let _ = poll(&mut [PollFd::from_borrowed_fd(self.bell().waker().fd(), PollFlags::IN)], None); // look anyway
        }
    }
    fn flush_stdio(&mut self) {
        for i in 0..self.outputs.len() {
            while let Some(out) = self.outputs.get(i) {
                let t = out.token;
                let Some(chunk) = self.table.tx(t).and_then(|tx| tx.chunks().find(|c| !c.is_empty())) else { break };
                match out.write_now(chunk) {
                    Ok(n) => self.consumed(t, n),
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
    }
}
