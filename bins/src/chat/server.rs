//! `chat_server`: the chat over lines.
pub use super::client::Options;
use super::client::{Client, FLOODING, PATIENCE, TOO_LONG, UNKNOWN, WRONG};
use super::commands::Done;
use super::core::Chat;
use super::events::{Event, SCHEMA};
use super::telnet::without_telnet;
use crate::service::{Life, Note, Refusal, ServerCx, Service, Settings};
use crate::text::span;
use core::convert::Infallible;
use proto_core::{
    Addr, App, Chunk, ConnEvent, Conns, Deadline, Feed, Input, Peer, Reason, Slots, Start, Step, Timers, Token, line,
};

pub(super) type ChatCx<'a> = ServerCx<'a, Infallible>;

/// The app.
#[derive(Debug)]
pub struct ChatServer {
    pub(super) service: Service,
    pub(super) chat: Chat,
    pub(super) conns: Conns<line::Lines>,
    pub(super) clients: Slots<Client>,
    pub(super) timers: Timers<Token>,
    pub(super) options: Options,
}

impl ChatServer {
    /// With the service's settings.
    pub fn new(settings: Settings, options: Options) -> Self {
        let mut chat = Chat::new(options.limits, options.notices, settings.utc);
        chat.certified = options.certified;
        let mut service = Service::new(settings);
        service.take_orders();
        if options.events {
            chat.watch();
            service.settings.raw = true;
        }
        ChatServer {
            chat,
            service,
            conns: Conns::new(0),
            clients: Slots::default(),
            timers: Timers::default(),
            options,
        }
    }
    fn start(&mut self, start: &Start, cx: &mut ChatCx<'_>) {
        let port = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
        if self.options.certified && !self.options.events {
            let banner = format!("Secure chat server on {port}\nRequiring client certificates signed by our CA");
            return self.service.start(start, &banner, cx);
        }
        if !self.options.events {
            return self.service.start(start, &format!("Chat server started on {port}"), cx);
        }
        let (time, port) = (start.wall.unix_ns / 1_000_000, start.port().unwrap_or(0));
        let hello = format!("{{\"schema\":\"{SCHEMA}\",\"event\":\"start\",\"time_ms\":{time},\"port\":{port}}}");
        self.service.start(start, &hello, cx);
    }
    fn accepted(&mut self, t: Token, peer: &Peer, cx: &mut ChatCx<'_>) {
        if let Err(why) = self.service.admit(t, peer, cx) {
            return self.refuse(t, &peer.remote, why, cx);
        }
        let machine = line::Lines::new(line::Limits::default());
        if !self.service.enrol(&mut self.conns, t, machine, cx) {
            return;
        }
        let mut client = Client::new(peer.fd, peer.remote.clone(), &self.options, cx.now);
        client.shaking = self.service.is_guarded();
        let shaking = client.shaking;
        self.clients.insert(t, client);
        if !shaking {
            self.arrived(t, cx);
        }
    }
    /// It is connected, and has shown who it is if it must.
    fn arrived(&mut self, t: Token, cx: &mut ChatCx<'_>) {
        let Some(c) = self.clients.get_mut(t) else { return };
        c.shaking = false;
        let (from, fd, stranger) = (&c.remote, c.fd, c.stranger.is_some());
        self.service.log_at(cx, format_args!("Client connected from {from} (fd={fd})"));
        if stranger {
            return self.arm(t);
        }
        self.enter(t, cx);
    }
    /// A connection's layer has failed.
    fn complain(&mut self, t: Token, cx: &mut ChatCx<'_>) {
        if let Some(c) = self.clients.get_mut(t) {
            c.leaving = true;
            self.service.log_failure(self.conns.peek(t), &c.remote, cx);
        }
        self.chat.leave(t, "");
    }
    /// It is one of us now.
    fn enter(&mut self, t: Token, cx: &mut ChatCx<'_>) {
        self.enter_as(t, None, cx);
    }
    pub(super) fn enter_as(&mut self, t: Token, name: Option<&str>, cx: &mut ChatCx<'_>) {
        self.chat.enter_as(t, name, cx.wall());
        if !self.options.motd.is_empty() {
            let motd = self.options.motd.clone();
            self.chat.reply(t, &motd);
        }
    }
    /// A line of somebody who has not said the password: it should be that.
    fn stranger(&mut self, t: Token, line: &str, cx: &mut ChatCx<'_>) {
        let Some(c) = self.clients.get_mut(t) else { return };
        let right = match line.strip_prefix("/pass ") {
            Some(guess) => self.options.password.as_ref().is_none_or(|p| p.is(guess)),
            None if line == "/quit" => return self.leave(t, "", cx),
            None => return self.chat.reply(t, "! password required (/pass PASSWORD)"),
        };
        if right {
            c.stranger = None;
            return self.enter(t, cx);
        }
        c.wrong += 1;
        let over = c.wrong >= WRONG;
        self.chat.reply(t, "! wrong password");
        if over {
            self.leave(t, "", cx);
        }
    }
    fn refuse(&mut self, t: Token, remote: &Addr, why: Refusal, cx: &mut ChatCx<'_>) {
        let text = match why {
            Refusal::Address => "! you are not allowed here\n".into(),
            Refusal::Full(n) => format!("! server is full (limit {n})\n"),
            Refusal::PerAddress(n) => format!("! too many connections from your address (limit {n})\n"),
        };
        let narrow = self.service.driver() == "select" && self.service.is_full_of_driver();
        let driver = if narrow && matches!(why, Refusal::Full(_)) { "; --driver poll has room for more" } else { "" };
        self.service
            .log_at(cx, format_args!("Client refused from {remote}: {}{driver}", text.trim().trim_start_matches("! ")));
        self.service.turn_away(t, &text, cx);
    }
    /// Goes through a client's lines as far as its allowance reaches.
    fn read(&mut self, mut feed: Feed<'_>, t: Token, cx: &mut ChatCx<'_>) {
        while let Some(c) = self.clients.get_mut(t).filter(|c| !c.leaving) {
            if !c.shaking && !c.allowance.has_line(self.options.flood, cx.now) {
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
                Ok(Step::Event(ConnEvent::Ready(info))) if self.options.certified => self.identify(t, &info, cx),
                Ok(Step::Event(ConnEvent::Ready(_))) => self.arrived(t, cx),
                Ok(Step::Closed) => {
                    self.leave(t, "", cx);
                    break;
                }
                Err(_) => {
                    self.complain(t, cx);
                    break;
                }
                Ok(Step::NeedMore | Step::Paused) => break,
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
        if self.clients.get(t).is_some_and(|c| c.stranger.is_some()) {
            return self.stranger(t, &text, cx);
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
            self.drop_event(t, "long lines");
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
                self.drop_event(t, "flood");
                return self.leave(t, "", cx);
            }
            Some(_) => {}
        }
        c.held = Some(c.allowance.next(self.options.flood));
        self.conns.hold(t, true);
    }
    /// The member is gone for the others; the connection closes after its last words.
    pub(super) fn leave(&mut self, t: Token, words: &str, cx: &mut ChatCx<'_>) {
        self.deliver(cx);
        self.chat.leave(t, words);
        let Some(c) = self.clients.get_mut(t).filter(|c| !c.leaving) else { return };
        c.leaving = true;
        (c.held, c.stranger) = (None, None);
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
        if let Some(c) = self.clients.remove(t).filter(|c| !c.shaking) {
            self.service.log_at(cx, format_args!("Client disconnected (fd={})", c.fd));
        }
        self.service.closed(t, cx);
    }

    fn due(&mut self, cx: &mut ChatCx<'_>) {
        while let Some((t, _)) = self.service.next_idle(cx) {
            self.chat.reply(t, "! idle too long");
            self.drop_event(t, "idle");
            self.leave(t, "", cx);
        }
        while let Some((t, told)) = self.conns.due(cx) {
            if told.is_err() {
                self.complain(t, cx);
            }
        }
        while let Some(t) = self.timers.pop(cx.now) {
            let Some(c) = self.clients.get_mut(t) else { continue };
            if c.backlog.over.is_some_and(|at| at.after(PATIENCE) <= cx.now) {
                self.drop_slow(t, cx);
                continue;
            }
            if c.stranger.is_some_and(|at| at <= cx.now) {
                self.chat.reply(t, &format!("! no password within {}", span(UNKNOWN)));
                self.leave(t, "", cx);
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
    /// Tells the events that the server ends a connection.
    pub(super) fn drop_event(&mut self, t: Token, reason: &'static str) {
        if let Some(nick) = self.chat.member(t).map(|m| m.nick.clone()) {
            self.chat.event(|| Event::Drop { nick, reason });
        }
    }
    fn tell_events(&mut self, cx: &mut ChatCx<'_>) {
        while let Some(event) = self.chat.events.pop_front() {
            self.service.print_raw(cx, event.json(cx.wall()));
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
        match self.service.handle(&input, cx) {
            Life::Drain => self.stop(cx),
            Life::Reloaded => self.cut_revoked(cx),
            Life::On => {}
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
            Input::Writable(t) if t.part() == 0 => self.top_up(t, cx),
            Input::Closed(t, Reason::BrokenPipe) if !self.service.is_client(t) => {}
            Input::Closed(t, _) => self.closed(t, cx),
            Input::Deadline => self.due(cx),
            _ => {}
        }
        self.orders(cx);
        self.deliver(cx);
        self.tell_events(cx);
        self.conns.settle(cx, |_, _| {}); // lines have no faults, and those of a layer are told in the next reading
    }
    fn deadline(&self) -> Option<Deadline> {
        let next = self.timers.next().map(|(at, _)| Deadline { at, since: at, why: "slow or flooding client" });
        [self.service.deadline(), self.conns.deadline(), next].into_iter().fold(None, Deadline::earliest)
    }
    fn work(job: Infallible) -> Note {
        match job {}
    }
}
