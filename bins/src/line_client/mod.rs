//! A line client: what the user types goes to the server, what the server says is shown by the line. `echo_client` and
//! `chat_client` are this with other options.
use crate::chat::Resume;
use crate::console::{self, Console};
use crate::dialer::{Dialer, Source, Target};
use crate::outcome::{Code, Failure};
use crate::text::Escaped;
use crate::tls::ClientTls;
use core::convert::Infallible;
use core::time::Duration;
use proto_core::pipe::Pipe;
use proto_core::terminal::Event;
use proto_core::{
    App, Chunk, ConnEvent, Conns, Cx, Deadline, Fault, Feed, Input, Op, Reason, Signal, Start, Step, Token, Tx,
};
use rand_core::RngCore;

mod options;

pub use options::{Options, Prompt};

type ClientCx<'a> = Cx<'a, Infallible, Infallible>;

/// How a notice to this client begins.
const OWN: &[u8] = b"* You ";
/// Part byte of the connection.
const DIAL: u8 = 1;

/// The app.
#[derive(Debug)]
pub struct LineClient {
    dialer: Dialer,
    options: Options,
    stdin: Option<Token>,
    stdout: Option<Token>,
    stderr: Option<Token>,
    conn: Option<Token>,
    conns: Conns<Pipe>,
    prompt: bool,
    /// A prompt is the last thing on the screen.
    prompted: bool,
    /// A line of the server is shown that has not ended yet.
    open_line: bool,
    /// The first bytes of a line that are not shown yet.
    held: Vec<u8>,
    stdin_ended: Option<Deadline>,
    /// Columns of the terminal, if lines are edited here.
    columns: Option<u16>,
    /// While lines are edited: from the greeting to the end of input.
    console: Option<Console>,
    sent: u64,
    received: u64,
    /// What a chat wants to say first, and to hear again.
    resume: Option<Resume>,
}

impl LineClient {
    /// With names looked up by `source`.
    pub fn with_source(mut self, source: Source) -> Self {
        self.dialer = self.dialer.with_source(source);
        self
    }
    /// A client of `target`.
    pub fn new(target: Target, options: Options) -> Self {
        LineClient {
            dialer: Dialer::new(DIAL, target),
            prompt: options.prompt == Prompt::On,
            options,
            stdin: None,
            stdout: None,
            stderr: None,
            conn: None,
            conns: Conns::new(DIAL),
            prompted: false,
            open_line: false,
            held: Vec::new(),
            stdin_ended: None,
            columns: None,
            console: None,
            sent: 0,
            received: 0,
            resume: None,
        }
    }
    /// It says something first, and may come back after its connection was lost.
    pub fn resuming(self, resume: Resume) -> Self {
        LineClient { resume: Some(resume), ..self }
    }
    fn start(&mut self, start: &Start, cx: &mut ClientCx<'_>) {
        (self.stdin, self.stdout, self.stderr) = (start.stdin, Some(start.stdout), Some(start.stderr));
        self.prompt |= start.tty.stdin && self.options.prompt == Prompt::Terminal;
        self.columns = console::columns(start).filter(|_| self.options.editing);
        if let Some(stdin) = self.stdin {
            cx.read(stdin, false); // nothing is read before there is somebody to send it to
        }
        self.dialer.start(cx);
    }
    fn show(&mut self, text: &str, cx: &mut ClientCx<'_>) {
        let Some(tx) = self.stdout.and_then(|t| cx.tx(t)) else { return };
        match &mut self.console {
            Some(console) => console.print(text, tx),
            None => tx.put(text.as_bytes()),
        }
    }
    /// Does something with the editor, if there is one.
    fn edit<R>(&mut self, cx: &mut ClientCx<'_>, f: impl FnOnce(&mut Console, &mut Tx) -> R) -> Option<R> {
        let console = self.console.as_mut()?;
        self.stdout.and_then(|t| cx.tx(t)).map(|tx| f(console, tx))
    }
    /// Lines are not edited any more; true if they were. The line stays on the screen, with `mark` behind it.
    fn end_editing(&mut self, mark: &str, cx: &mut ClientCx<'_>) -> bool {
        let Some(console) = self.console.take() else { return false };
        if let Some(tx) = self.stdout.and_then(|t| cx.tx(t)) {
            console.leave(mark, tx);
        }
        self.open_line = false;
        true
    }
    fn show_prompt(&mut self, cx: &mut ClientCx<'_>) {
        if self.prompt && !self.prompted && self.console.is_none() && self.stdin_ended.is_none() {
            self.prompted = true;
            self.show("> ", cx);
        }
    }
    fn connected(&mut self, conn: Token, cx: &mut ClientCx<'_>) {
        self.conn = Some(conn);
        let tls = self.options.tls.clone().map_err(Failure::usage);
        let tls = tls.and_then(|tls| ClientTls::layers(tls.as_ref()));
        match self.dialer.layers().and_then(|via| Ok(via.into_iter().chain(tls?).collect::<Vec<_>>())) {
            Ok(layers) => {
                let at_once = layers.is_empty();
                self.conns.insert(conn, Pipe::default(), layers, cx);
                if at_once {
                    self.begin(cx);
                }
            }
            Err(failure) => self.fail(&failure, cx),
        }
    }
    /// Where lines to the server go.
    fn out<'a>(&'a mut self, cx: &'a mut ClientCx<'_>) -> Option<&'a mut Tx> {
        self.conns.out(self.conn?, cx)
    }
    fn begin(&mut self, cx: &mut ClientCx<'_>) {
        let greeting = std::mem::take(&mut self.options.greeting);
        self.show(&greeting, cx);
        self.begin_editing(cx);
        self.show_prompt(cx);
        let hello = self.resume.as_mut().map(Resume::hello);
        if let (Some(hello), Some(tx)) = (hello, self.out(cx)) {
            tx.put(hello.as_bytes());
        }
        if let Some(stdin) = self.stdin {
            cx.read(stdin, true);
        }
    }
    fn begin_editing(&mut self, cx: &mut ClientCx<'_>) {
        let (Some(columns), Some(tx)) = (self.columns, self.stdout.and_then(|t| cx.tx(t))) else { return };
        let prompt = if self.prompt { "> " } else { "" };
        let mut console = Console::new(prompt, self.options.names, columns, tx);
        console.show(tx);
        self.console = Some(console);
        cx.op(Op::Terminal { raw: true });
    }
    /// What the keys mean that were pressed. Keys wait while the server or the screen does not take more.
    fn keys(&mut self, cx: &mut ClientCx<'_>) {
        while !self.is_full(cx) {
            let now = cx.now;
            match self.edit(cx, |c, tx| c.next(now, tx)).flatten() {
                Some(Event::Line(line)) => {
                    let line = format!("{line}\n");
                    self.sent += line.len() as u64;
                    if let Some(tx) = self.out(cx) {
                        tx.put(line.as_bytes());
                    }
                }
                Some(Event::Interrupt) => return self.interrupted("^C", cx),
                Some(Event::Eof) => return self.stdin_over(cx),
                Some(Event::Suspend | Event::Complete(_)) => {} // the terminal sees to the one, the console to the other
                None => break,
            }
        }
        let waits = self.is_full(cx) || self.console.as_ref().is_some_and(Console::is_waiting);
        if let Some(stdin) = self.stdin {
            cx.read(stdin, !waits);
        }
    }
    fn is_full(&mut self, cx: &mut ClientCx<'_>) -> bool {
        self.out(cx).is_some_and(|tx| tx.room() == 0)
    }
    fn typed(&mut self, chunk: Chunk<'_>, cx: &mut ClientCx<'_>) {
        if let Some(console) = &mut self.console {
            console.keys(&chunk);
            return self.keys(cx);
        }
        self.prompted = false; // the terminal has shown the line, and its end
        self.sent += chunk.len() as u64;
        let Some(tx) = self.out(cx) else { return };
        tx.forward(chunk);
        let full = tx.room() == 0;
        if let Some(stdin) = self.stdin.filter(|_| full) {
            cx.read(stdin, false);
        }
    }
    fn stdin_over(&mut self, cx: &mut ClientCx<'_>) {
        if self.end_editing("", cx) {
            cx.op(Op::Terminal { raw: false });
        }
        if let Some(stdin) = self.stdin {
            cx.read(stdin, false); // after Ctrl-D a terminal goes on
        }
        let linger = self.options.linger.unwrap_or(Duration::MAX);
        self.stdin_ended = Some(Deadline::new(cx.now, linger, "server to close"));
        if self.options.keep_open {
            return;
        }
        if let Some(tx) = self.out(cx) {
            tx.finish();
        }
    }
    fn read(&mut self, mut feed: Feed<'_>, cx: &mut ClientCx<'_>) {
        loop {
            match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Ready(_))) => self.begin(cx),
                Ok(Step::Event(ConnEvent::Machine(bytes))) => self.heard(bytes, cx),
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break,
                Err(fault) => {
                    self.broken(&fault, cx);
                    break;
                }
            }
        }
        self.conns.done(feed);
    }
    /// A layer of the connection has failed.
    fn broken(&mut self, fault: &Fault, cx: &mut ClientCx<'_>) {
        if let Some(failure) = self.dialer.failure(fault) {
            let text = format!("{}: {failure}", self.options.tool);
            return self.fail(&Failure { text, ..failure }, cx);
        }
        let grounds = self.conn.and_then(|t| self.conns.peek(t)?.grounds());
        let tls = self.options.tls.as_ref().ok().and_then(Option::as_ref);
        let failed = match (grounds, tls) {
            (Some(grounds), Some(tls)) => tls.failure(grounds, cx.wall()),
            _ => Failure::new(Code::Protocol, "connection is broken"),
        };
        self.fail(&failed, cx);
    }
    fn heard(&mut self, chunk: &[u8], cx: &mut ClientCx<'_>) {
        self.received += chunk.len() as u64;
        let shown = self.resume.as_mut().map(|r| r.heard(chunk));
        let chunk = shown.as_deref().unwrap_or(chunk);
        let mut text = String::new();
        if self.options.hex {
            hex(chunk, &mut text);
        } else {
            self.lines(chunk, &mut text);
        }
        self.show(&text, cx);
        if !self.open_line {
            self.show_prompt(cx);
        }
        let full = self.stdout.is_some_and(|t| cx.tx(t).is_some_and(|tx| tx.room() == 0));
        if let Some(conn) = self.conn.filter(|_| full) {
            self.conns.hold(conn, true);
        }
    }
    fn lines(&mut self, chunk: &[u8], text: &mut String) {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(chunk);
        // What the end of the chunk has cut waits for the rest: the same text, however it was cut.
        self.held = bytes.split_off(bytes.len() - unfinished(&bytes));
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if self.options.notices && !self.open_line && OWN.starts_with(line) {
                self.held.splice(..0, line.iter().copied()); // it may yet become a notice to this client
                return;
            }
            if !self.open_line {
                if std::mem::take(&mut self.prompted) {
                    text.push_str("\r\x1b[K"); // the prompt comes again after the line
                }
                text.push_str(self.options.prefix);
            }
            let fresh = !self.open_line;
            let body = line.strip_suffix(b"\n").unwrap_or(line);
            self.open_line = body.len() == line.len();
            let body = body.strip_suffix(b"\r").unwrap_or(body);
            let own = fresh && self.options.notices && body.starts_with(OWN);
            let body = if own { body.get(2..).unwrap_or_default() } else { body };
            text.push_str(&Plain(body).to_string());
            if !self.open_line {
                text.push('\n');
            }
        }
    }
    /// Waits for another attempt. False if there is to be none.
    fn retry(&mut self, why: &str, cx: &mut ClientCx<'_>) -> bool {
        let dice = cx.rng().next_u32();
        let wait = self.resume.as_mut().filter(|_| self.stdin_ended.is_none()).and_then(|r| r.lost(cx.now, dice));
        let Some(wait) = wait else { return false };
        self.conn = None;
        let edited = self.end_editing("", cx);
        if edited {
            cx.op(Op::Terminal { raw: false }); // so that Ctrl-C is a signal while no keys are read
        }
        if let Some(stdin) = self.stdin {
            cx.read(stdin, false); // what is typed meanwhile is sent afterwards
        }
        if !edited && (self.open_line || std::mem::take(&mut self.prompted)) {
            self.show("\n", cx);
        }
        self.open_line = false;
        self.complain(&format!("{why}; trying again in {:.1} s", wait.as_secs_f64()), cx);
        true
    }
    fn writable(&mut self, t: Token, cx: &mut ClientCx<'_>) {
        if self.console.is_some() {
            self.keys(cx);
        }
        if Some(t) != self.conn {
            if let Some(conn) = self.conn {
                self.conns.hold(conn, false);
            }
        } else if let Some(stdin) = self.stdin.filter(|_| self.console.is_none() && self.stdin_ended.is_none()) {
            cx.read(stdin, true);
        }
    }
    fn disconnected(&mut self, why: Reason, cx: &mut ClientCx<'_>) {
        let rest = Plain(&std::mem::take(&mut self.held)).to_string();
        self.show(&rest, cx);
        let complete = !self.options.echo || self.received >= self.sent;
        if self.stdin_ended.is_some() && why == Reason::Finished && complete {
            if self.open_line || self.prompted {
                self.show("\n", cx);
            }
            self.show(self.options.goodbye, cx);
            return cx.exit(Code::Ok as u8);
        }
        let why = match why {
            Reason::Finished => "server closed the connection".into(),
            other => other.to_string(),
        };
        let text = format!("Disconnected: {why}");
        if !self.retry(&text, cx) {
            self.fail(&Failure::new(Code::Connect, text), cx);
        }
    }
    fn fail(&mut self, failure: &Failure, cx: &mut ClientCx<'_>) {
        let edited = self.end_editing("", cx);
        if !edited && (self.open_line || std::mem::take(&mut self.prompted)) {
            self.show("\n", cx);
        }
        self.complain(&failure.text, cx);
        cx.exit(failure.code as u8);
    }
    fn complain(&self, text: &str, cx: &mut ClientCx<'_>) {
        if let Some(tx) = self.stderr.and_then(|t| cx.tx(t)) {
            tx.put(format!("{text}\n").as_bytes());
        }
    }
    fn interrupted(&mut self, mark: &str, cx: &mut ClientCx<'_>) {
        self.end_editing(mark, cx);
        let text = if self.prompted || self.open_line { "\nDisconnected.\n" } else { "Disconnected.\n" };
        self.show(text, cx);
        cx.exit(Code::Interrupted as u8);
    }
}

impl App for LineClient {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut ClientCx<'_>) {
        self.take(input, cx);
        self.conns.settle(cx, |_, _| {}); // what fails there fails in the next reading too
    }
    fn deadline(&self) -> Option<Deadline> {
        let linger = self.stdin_ended.filter(|_| self.options.linger.is_some());
        let again = self.resume.as_ref().and_then(Resume::deadline);
        [self.dialer.deadline(), linger, again, self.conns.deadline()].into_iter().fold(None, Deadline::earliest)
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

impl LineClient {
    fn take(&mut self, input: Input<'_, Infallible>, cx: &mut ClientCx<'_>) {
        match self.dialer.handle(&input, cx) {
            Some(Ok((conn, _))) => return self.connected(conn, cx),
            Some(Err(failure)) if self.retry(&failure.text, cx) => return,
            Some(Err(failure)) => {
                let text = format!("{}: {failure}", self.options.tool);
                return self.fail(&Failure { text, ..failure }, cx);
            }
            None => {}
        }
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Bytes(t, chunk) if Some(t) == self.stdin => self.typed(chunk, cx),
            Input::Bytes(t, chunk) => {
                let feed = self.conns.feed(t, chunk, cx);
                self.read(feed, cx);
            }
            Input::Eof(t) if Some(t) == self.stdin => self.stdin_over(cx),
            Input::Closed(t, _) if Some(t) == self.stdin => {
                self.stdin = None; // a terminal that has gone away
                self.stdin_over(cx);
            }
            Input::Eof(t) => {
                let feed = self.conns.end(t, cx);
                self.read(feed, cx);
            }
            Input::Writable(t) => self.writable(t, cx),
            Input::Closed(t, why) if Some(t) == self.conn => {
                self.conns.remove(t);
                self.disconnected(why, cx);
            }
            Input::Closed(t, _) if Some(t) == self.stdout => cx.exit(Code::Ok as u8),
            Input::Deadline if self.resume.as_mut().is_some_and(|r| r.due(cx.now)) => self.dialer.start(cx),
            Input::Signal(Signal::Interrupt) => self.interrupted("^C", cx),
            Input::Signal(Signal::Terminate) => self.interrupted("", cx),
            Input::Signal(Signal::Resize { columns, .. }) => {
                self.columns = self.columns.map(|_| columns);
                self.edit(cx, |c, tx| c.resize(columns, tx));
            }
            Input::Signal(Signal::Continue) => {
                let columns = self.columns.unwrap_or_default();
                self.edit(cx, |c, tx| c.resize(columns, tx));
            }
            Input::Deadline if self.stdin_ended.is_some_and(|d| d.at <= cx.now) => cx.exit(Code::Ok as u8),
            Input::Deadline => {
                while let Some((_, told)) = self.conns.due(cx) {
                    if let Err(fault) = told {
                        self.broken(&fault, cx);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Text as the server sent it, with what could move the cursor escaped.
struct Plain<'a>(&'a [u8]);

impl core::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for part in self.0.split_inclusive(|b| matches!(b, b'"' | b'\\' | b'\t')) {
            let plain = part.strip_suffix(b"\"").or(part.strip_suffix(b"\\")).or(part.strip_suffix(b"\t"));
            match (plain, part.last()) {
                (Some(head), Some(last)) => write!(f, "{}{}", Escaped(head), char::from(*last))?,
                _ => Escaped(part).fmt(f)?,
            }
        }
        Ok(())
    }
}

/// Bytes at the end that mean nothing yet: a CR, or the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let cut = |n: &usize| {
        let tail = bytes.get(bytes.len() - n..).unwrap_or_default();
        tail == b"\r" || core::str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
    };
    (1..=bytes.len().min(3)).rev().find(cut).unwrap_or(0)
}

fn hex(bytes: &[u8], out: &mut String) {
    use core::fmt::Write;
    for row in bytes.chunks(16) {
        for b in row {
            let _ = write!(out, "{b:02x} "); // a String takes everything
        }
        let _ = writeln!(out, " \"{}\"", Escaped(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_chunk_cuts_waits() {
        assert_eq!(unfinished(b""), 0);
        assert_eq!(unfinished(b"abc"), 0);
        assert_eq!(unfinished(b"abc\r"), 1);
        assert_eq!(unfinished("a✓".as_bytes()), 0);
        assert_eq!(unfinished(&"a✓".as_bytes()[..2]), 1);
        assert_eq!(unfinished(&"a✓".as_bytes()[..3]), 2);
        assert_eq!(unfinished(b"a\xff"), 0, "never valid: shown at once");
    }
}
