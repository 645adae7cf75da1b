//! `chat_server`: the chat over lines.
use super::commands::Done;
use super::core::{Chat, Limits};
use super::member::{Allowance, Backlog, Flood, Slow};
use crate::service::{Life, Note, Refusal, ServerCx, Service, Settings};
use crate::text::size;
use core::convert::Infallible;
use core::time::Duration;
use proto_core::{
    Addr, App, Chunk, ConnEvent, Conns, Deadline, Feed, Input, Instant, Peer, Reason, Slots, Start, Step, Timers,
    Token, line,
};

type ChatCx<'a> = ServerCx<'a, Infallible>;

/// What is special about this server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes that may wait for a client.
    pub queue: usize,
    /// What happens beyond.
    pub slow: Slow,
    /// How many lines a client may send.
    pub flood: Flood,
    /// Of the chat.
    pub limits: Limits,
    /// Others are told who joins and leaves.
    pub notices: bool,
    /// Sent to everybody who comes.
    pub motd: String,
}

/// How long a client may stay above its mark.
const PATIENCE: Duration = Duration::from_secs(10);
/// Beyond this many times the mark it is dropped at once: the wait must not cost without bound.
const HARD: usize = 4;
/// How long a client may go on sending more than its allowance.
const FLOODING: Duration = Duration::from_secs(30);
/// Lines that are too long, before the client is cut off.
const TOO_LONG: u32 = 3;

#[derive(Debug)]
struct Client {
    fd: u32,
    backlog: Backlog,
    allowance: Allowance,
    /// Its next line waits for the allowance until then.
    held: Option<Instant>,
    too_long: u32,
    not_utf8: bool,
    leaving: bool,
}

impl Client {
    fn deadline(&self) -> Option<Instant> {
        let over = self.backlog.over.map(|at| at.after(PATIENCE));
        [over, self.held].into_iter().flatten().min()
    }
}

/// The app.
#[derive(Debug)]
pub struct ChatServer {
    service: Service,
    chat: Chat,
    conns: Conns<line::Lines>,
    clients: Slots<Client>,
    timers: Timers<Token>,
    options: Options,
}

impl ChatServer {
    /// With the service's settings.
    pub fn new(settings: Settings, options: Options) -> Self {
        ChatServer {
            chat: Chat::new(options.limits, options.notices, settings.utc),
            service: Service::new(settings),
            conns: Conns::new(0),
            clients: Slots::default(),
            timers: Timers::default(),
            options,
        }
    }
    fn start(&mut self, start: &Start, cx: &mut ChatCx<'_>) {
        let port = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
        self.service.start(start, &format!("Chat server started on {port}"), cx);
    }
    fn accepted(&mut self, t: Token, peer: &Peer, cx: &mut ChatCx<'_>) {
        if let Err(why) = self.service.admit(t, peer, cx) {
            return self.refuse(t, &peer.remote, why, cx);
        }
        let fd = peer.fd;
        self.service.log_at(cx, format_args!("Client connected from {} (fd={fd})", peer.remote));
        self.conns.insert(t, line::Lines::new(line::Limits::default()), Vec::new(), cx);
        let client = Client {
            fd,
            backlog: Backlog::default(),
            allowance: Allowance::new(self.options.flood, cx.now),
            held: None,
            too_long: 0,
            not_utf8: false,
            leaving: false,
        };
        self.clients.insert(t, client);
        self.chat.enter(t, cx.wall());
        if !self.options.motd.is_empty() {
            let motd = self.options.motd.clone();
            self.chat.reply(t, &motd);
        }
    }
    fn refuse(&mut self, t: Token, remote: &Addr, why: Refusal, cx: &mut ChatCx<'_>) {
        let text = match why {
            Refusal::Address => "! you are not allowed here\n".into(),
            Refusal::Full(n) => format!("! server is full (limit {n})\n"),
            Refusal::PerAddress(n) => format!("! too many connections from your address (limit {n})\n"),
        };
        let driver = if self.service.driver() == "select" { "; --driver poll has room for more" } else { "" };
        self.service
            .log_at(cx, format_args!("Client refused from {remote}: {}{driver}", text.trim().trim_start_matches("! ")));
        self.service.turn_away(t, &text, cx);
    }
    /// Goes through a client's lines as far as its allowance reaches.
    fn read(&mut self, mut feed: Feed<'_>, t: Token, cx: &mut ChatCx<'_>) {
        while let Some(c) = self.clients.get_mut(t).filter(|c| !c.leaving) {
            if !c.allowance.has_line(self.options.flood, cx.now) {
                self.slow_down(t, cx);
                break;
            }
            match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(event))) => {
                    c.allowance.take(self.options.flood);
                    match event {
                        line::Event::Line(bytes) => self.line(t, bytes, cx),
                        line::Event::TooLong(bytes) => self.too_long(t, bytes, cx),
                    }
                }
                Ok(Step::Closed) => {
                    self.leave(t, "", cx);
                    break;
                }
                _ => break,
            }
        }
        self.conns.done(feed);
    }
    fn line(&mut self, t: Token, bytes: &[u8], cx: &mut ChatCx<'_>) {
        let bytes = without_telnet(bytes);
        let text = String::from_utf8_lossy(&bytes);
        if let Some(c) = self.clients.get_mut(t).filter(|c| text.contains('\u{fffd}') && !c.not_utf8)
            && core::str::from_utf8(&bytes).is_err()
        {
            c.not_utf8 = true;
            self.chat.reply(t, "! not UTF-8");
        }
        match self.chat.line(t, &text, cx.wall()) {
            Done::Stay(Some(line)) => {
                if self.service.logs() {
                    self.service.log_at(cx, format_args!("{line}"));
                }
            }
            Done::Stay(None) => {}
            Done::Quit(words) => self.leave(t, &words, cx),
        }
    }
    fn too_long(&mut self, t: Token, head: &[u8], cx: &mut ChatCx<'_>) {
        let cut = head.utf8_chunks().next().map_or("", |c| c.valid()).to_string();
        self.line(t, cut.as_bytes(), cx);
        self.chat.reply(t, &format!("! line too long (limit {})", line::Limits::default().line));
        let Some(c) = self.clients.get_mut(t) else { return };
        c.too_long += 1;
        if c.too_long >= TOO_LONG {
            self.leave(t, "", cx);
        }
    }
    fn slow_down(&mut self, t: Token, cx: &mut ChatCx<'_>) {
        let Some(c) = self.clients.get_mut(t) else { return };
        match c.allowance.empty {
            None => {
                c.allowance.empty = Some(cx.now);
                self.chat.reply(t, "! slow down");
            }
            Some(since) if cx.now.since(since) > FLOODING => {
                self.chat.reply(t, "! flooding");
                return self.leave(t, "", cx);
            }
            Some(_) => {}
        }
        c.held = Some(c.allowance.next(self.options.flood));
        self.conns.hold(t, true);
    }
    /// The member is gone for the others; the connection closes after its last words.
    fn leave(&mut self, t: Token, words: &str, cx: &mut ChatCx<'_>) {
        self.deliver(cx);
        self.chat.leave(t, words);
        let Some(c) = self.clients.get_mut(t).filter(|c| !c.leaving) else { return };
        c.leaving = true;
        c.held = None;
        if let Some(out) = self.conns.out(t, cx) {
            while let Some(line) = c.backlog.pop() {
                out.share(line);
            }
        }
        self.conns.close(t);
    }
    fn closed(&mut self, t: Token, cx: &mut ChatCx<'_>) {
        self.chat.leave(t, "");
        self.conns.remove(t);
        self.timers.disarm(t);
        if let Some(c) = self.clients.remove(t) {
            self.service.log_at(cx, format_args!("Client disconnected (fd={})", c.fd));
        }
        self.service.closed(t, cx);
    }

    /// Hands the chat's lines to their readers, or to their backlogs.
    fn deliver(&mut self, cx: &mut ChatCx<'_>) {
        while let Some(d) = self.chat.out.pop_front() {
            let Some(c) = self.clients.get_mut(d.to).filter(|c| !c.leaving) else { continue };
            c.backlog.push(d.line, d.droppable);
            self.top_up(d.to, cx);
        }
    }
    fn top_up(&mut self, t: Token, cx: &mut ChatCx<'_>) {
        let Some(c) = self.clients.get_mut(t) else { return };
        let Some(out) = self.conns.out(t, cx) else { return };
        while out.room() > 0 {
            let Some(line) = c.backlog.pop() else { break };
            out.share(line);
        }
        let mark = self.options.queue;
        if c.backlog.len() <= mark {
            c.backlog.over = None;
            return;
        }
        if self.options.slow == Slow::DropOldest {
            c.backlog.shrink(mark);
        } else if c.backlog.len() > mark.saturating_mul(HARD) {
            self.drop_slow(t, cx);
        } else {
            let since = *c.backlog.over.get_or_insert(cx.now);
            self.timers.arm(t, since.after(PATIENCE));
        }
    }
    fn drop_slow(&mut self, t: Token, cx: &mut ChatCx<'_>) {
        let Some(c) = self.clients.get_mut(t).filter(|c| !c.leaving) else { return };
        c.leaving = true;
        let (fd, queued) = (c.fd, size(c.backlog.len() >> 10 << 10));
        c.backlog = Backlog::default();
        self.service.log_at(cx, format_args!("Client dropped (fd={fd}): too slow, {queued} queued"));
        self.chat.leave(t, "");
        cx.abort(t);
    }
    fn due(&mut self, cx: &mut ChatCx<'_>) {
        while let Some((t, _)) = self.service.next_idle(cx) {
            self.chat.reply(t, "! idle too long");
            self.leave(t, "", cx);
        }
        while let Some(t) = self.timers.pop(cx.now) {
            let Some(c) = self.clients.get_mut(t) else { continue };
            if c.backlog.over.is_some_and(|at| at.after(PATIENCE) <= cx.now) {
                self.drop_slow(t, cx);
                continue;
            }
            if c.held.is_some_and(|at| at <= cx.now) {
                c.held = None;
                self.conns.hold(t, false);
                let feed = self.conns.resume(t, cx);
                self.read(feed, t, cx);
            }
        }
    }
    fn arm(&mut self, t: Token) {
        if let Some(at) = self.clients.get(t).and_then(Client::deadline) {
            self.timers.arm(t, at);
        }
    }
    fn stop(&mut self, cx: &mut ChatCx<'_>) {
        self.chat.announce("* server is going down");
        self.deliver(cx);
        for t in self.service.tokens() {
            self.leave(t, "", cx);
        }
    }
    fn bytes(&mut self, t: Token, chunk: Chunk<'_>, cx: &mut ChatCx<'_>) {
        let feed = self.conns.feed(t, chunk, cx);
        self.read(feed, t, cx);
        self.arm(t);
    }
}

impl App for ChatServer {
    type Job = Infallible;
    type Msg = Note;

    fn handle(&mut self, input: Input<'_, Note>, cx: &mut ChatCx<'_>) {
        if self.service.handle(&input, cx) == Life::Drain {
            self.stop(cx);
        }
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Accepted { conn, peer, .. } if conn.part() == 0 => self.accepted(conn, &peer, cx),
            Input::Bytes(t, chunk) if t.part() == 0 => self.bytes(t, chunk, cx),
            Input::Eof(t) if t.part() == 0 => {
                let feed = self.conns.end(t, cx);
                self.read(feed, t, cx);
                self.arm(t);
            }
            Input::Writable(t) => self.top_up(t, cx),
            Input::Closed(t, Reason::BrokenPipe) if !self.service.is_client(t) => {}
            Input::Closed(t, _) => self.closed(t, cx),
            Input::Deadline => self.due(cx),
            _ => {}
        }
        self.deliver(cx);
        self.conns.settle(cx, |_, _| {}); // lines have no faults
    }
    fn deadline(&self) -> Option<Deadline> {
        let next = self.timers.next().map(|(at, _)| Deadline { at, since: at, why: "slow or flooding client" });
        Deadline::earliest(self.service.deadline(), next)
    }
    fn work(job: Infallible) -> Note {
        match job {}
    }
}

/// Telnet's negotiations (RFC 854: IAC and what belongs to it) are no text.
fn without_telnet(line: &[u8]) -> Vec<u8> {
    const IAC: u8 = 255;
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line.iter().copied();
    while let Some(b) = rest.next() {
        if b != IAC {
            out.push(b);
            continue;
        }
        match rest.next() {
            Some(250) => while rest.by_ref().take_while(|b| *b != 240).next().is_some() {}, // SB ... SE
            Some(251..=254) => {
                rest.next(); // WILL, WONT, DO, DONT and their option
            }
            Some(IAC) => out.push(IAC),
            _ => {}
        }
    }
    out
}
