//! The app: connections, requests, and files as they come.
use super::access::Asked;
use super::answer::{ALLOW, Given, To};
use super::listing;
use super::lookup::{End, Lookup, varies};
use super::site::Site;
use super::store::{FILES, Look, Store, close};
use super::target::resolve;
use super::wants::{Wants, bytes};
use crate::outcome::Code;
use crate::service::{Life, Note, Refusal, ServerCx, Service, Settings};
use crate::text::Escaped;
use core::convert::Infallible;
use core::fmt;
use proto_core::http1::server::{Event, Request};
use proto_core::http1::{Method, Server};
use proto_core::{
    Addr, Answer, App, Ask, Chunk, ConnEvent, Conns, Deadline, DirId, Fault, Feed, How, Input, Misuse, OpId, Reason,
    Slots, Start, Step, Token,
};
use rand_core::RngCore;
use std::collections::BTreeMap;

/// Part byte of file ranges that a layer wants.
const RANGES: u8 = 1;
/// Part byte of the root directory.
const ROOT: u8 = 3;
/// Part bytes of directories that are listed: opened, then read.
const LIST_OPEN: u8 = 4;
const LIST_READ: u8 = 5;
/// First byte of a TLS record with a handshake (RFC 8446 5.1).
const TLS_HELLO: u8 = 0x16;

type MyCx<'a> = ServerCx<'a, Infallible>;

/// What the app knows of a connection.
#[derive(Debug)]
struct Guest {
    remote: Addr,
    /// A byte has come.
    spoken: bool,
    /// Its request waits for files.
    lookup: Option<Box<Lookup>>,
}

/// A directory that is being listed.
#[derive(Debug)]
struct List {
    to: Token,
    dir: DirId,
}

/// The app.
#[derive(Debug)]
pub struct HttpServer {
    service: Service,
    site: Site,
    store: Store,
    conns: Conns<Server>,
    guests: Slots<Guest>,
    lists: BTreeMap<u64, List>,
    next_list: u64,
    /// Until the root is open.
    start: Option<Start>,
    /// When connections that are idle while the server stops are closed.
    curfew: Option<Deadline>,
}

impl HttpServer {
    /// With the service's settings and its own.
    pub fn new(settings: Settings, site: Site) -> Self {
        let o = &site.options;
        let store = Store::new(o.cache, !o.follow_symlinks, o.types.clone());
        HttpServer {
            service: Service::new(settings),
            site,
            store,
            conns: Conns::new(RANGES),
            guests: Slots::default(),
            lists: BTreeMap::new(),
            next_list: 0,
            start: None,
            curfew: None,
        }
    }
    /// The cache, for tests: names, bytes, open files.
    pub fn usage(&self) -> (usize, usize, usize) {
        self.store.usage()
    }

    // The root: nobody is accepted before it is open.

    fn start(&mut self, start: &Start, cx: &mut MyCx<'_>) {
        for l in start.listeners.iter().filter(|l| l.token.part() == 0) {
            cx.accept(l.token, false);
        }
        self.start = Some(start.clone());
        let how = How { dir: true, ..How::default() };
        cx.ask(OpId::new(ROOT, 0), Ask::Open { dir: None, path: self.site.options.root.clone(), how });
    }
    fn rooted(&mut self, answer: Result<Answer, Reason>, cx: &mut MyCx<'_>) {
        let Some(start) = self.start.take() else { return };
        let Ok(Answer::Opened { file, .. }) = answer else {
            let why = answer.err().map_or("not a directory".into(), |why| why.to_string());
            let root = Escaped(self.site.options.root.as_bytes());
            self.complain_early(&start, format_args!("httpserver: root '{root}': {why}\n"), cx);
            return cx.exit(Code::Usage as u8);
        };
        self.store.set_root(file);
        let port = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
        let root = Escaped(self.site.options.root.as_bytes()).to_string();
        self.service.start(&start, &format!("HTTP server listening on {port}\nServing files from {root}"), cx);
        for l in start.listeners.iter().filter(|l| l.token.part() == 0) {
            cx.accept(l.token, true);
        }
    }
    fn complain_early(&self, start: &Start, text: fmt::Arguments<'_>, cx: &mut MyCx<'_>) {
        if let Some(tx) = cx.tx(start.stderr) {
            tx.put(text.to_string().as_bytes());
        }
    }

    // Connections.

    fn accepted(&mut self, conn: Token, remote: Addr, cx: &mut MyCx<'_>) {
        self.conns.insert(conn, Server::new(self.site.options.http), Vec::new(), cx);
        self.guests.insert(conn, Guest { remote, spoken: false, lookup: None });
    }
    fn refused(&mut self, conn: Token, remote: &Addr, why: Refusal, cx: &mut MyCx<'_>) {
        self.service.log(cx, format_args!("Client refused from {remote}: {why}"));
        let body = super::page(503);
        let text = format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        self.service.turn_away(conn, &text, cx);
    }
    fn bytes(&mut self, t: Token, chunk: Chunk<'_>, cx: &mut MyCx<'_>) {
        let first = self.guests.get_mut(t).is_some_and(|g| !core::mem::replace(&mut g.spoken, true));
        if first && chunk.first() == Some(&TLS_HELLO) {
            return self.speaks_tls(t, cx);
        }
        let feed = self.conns.feed(t, chunk, cx);
        self.read(feed, t, cx);
    }
    fn speaks_tls(&mut self, t: Token, cx: &mut MyCx<'_>) {
        if let Some(g) = self.guests.get(t) {
            self.service.log(cx, format_args!("Client {} speaks TLS, which is not served on this port", g.remote));
        }
        let text = "This port speaks HTTP without TLS.\n";
        if let Some(tx) = self.conns.out(t, cx) {
            let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length";
            tx.put(format!("{head}: {}\r\nConnection: close\r\n\r\n{text}", text.len()).as_bytes());
        }
        self.conns.close(t);
        self.note(t, None, Given { status: 400, bytes: text.len() as u64 }, cx);
    }
    /// Goes over what has come on a connection.
    fn read(&mut self, mut feed: Feed<'_>, t: Token, cx: &mut MyCx<'_>) {
        loop {
            match self.conns.next(&mut feed, cx) {
                Ok(Step::Event(ConnEvent::Machine(Event::Request(request)))) => self.request(t, &request, cx),
                Ok(Step::Event(_)) => {} // nobody wants the bodies of requests
                Ok(Step::NeedMore | Step::Paused | Step::Closed) => break,
                Err(fault) => {
                    self.broken(t, fault, cx);
                    break;
                }
            }
        }
        self.conns.done(feed);
    }
    fn broken(&mut self, t: Token, fault: Fault, cx: &mut MyCx<'_>) {
        let status = u16::try_from(fault.code).unwrap_or(400);
        if self.service.settings.verbose
            && let Some(g) = self.guests.get(t)
        {
            self.service.log(cx, format_args!("Client {}: {fault}", g.remote));
        }
        self.note(t, None, Given { status, bytes: 0 }, cx);
    }
    fn closed(&mut self, t: Token, cx: &mut MyCx<'_>) {
        self.conns.remove(t);
        self.guests.remove(t);
        self.service.closed(t, cx);
    }
    fn drain(&mut self, cx: &mut MyCx<'_>) {
        for t in self.service.tokens() {
            if let Some(conn) = self.conns.get(t) {
                conn.machine.close_after();
            }
        }
        self.curfew = Some(Deadline::new(cx.now, self.site.options.last_request, "last requests"));
    }
    fn due(&mut self, cx: &mut MyCx<'_>) {
        while let Some((t, told)) = self.conns.due(cx) {
            if let Err(fault) = told {
                self.broken(t, fault, cx);
            }
            let feed = self.conns.resume(t, cx);
            self.read(feed, t, cx);
        }
        while let Some((t, _)) = self.service.next_idle(cx) {
            self.conns.close(t);
        }
        if self.curfew.is_some_and(|d| d.at <= cx.now) {
            self.curfew = None;
            let idle: Vec<Token> = self.conns.iter().filter(|(_, c)| c.machine.is_idle()).map(|(t, _)| t).collect();
            idle.into_iter().for_each(|t| self.conns.close(t));
        }
    }

    // Requests.

    fn request(&mut self, t: Token, request: &Request<'_>, cx: &mut MyCx<'_>) {
        let wants = Wants::of(request);
        let asked = self.site.options.access.map(|_| Asked::of(request));
        match request.method() {
            Method::Get | Method::Head => {}
            Method::Options => return self.options(t, &wants, asked.as_ref(), cx),
            // There is nothing behind us that a tunnel could lead to.
            Method::Connect => return self.status(t, 400, &wants, asked.as_ref(), cx),
            Method::Other => return self.status(t, 501, &wants, asked.as_ref(), cx),
            Method::Post | Method::Put | Method::Delete | Method::Trace | Method::Patch => {
                return self.status(t, 405, &wants, asked.as_ref(), cx);
            }
        }
        let target = match resolve(request.target(), self.site.options.dotfiles) {
            Ok(target) => target,
            Err(bad) => return self.begin(t, Lookup::failed(bad.status(), wants.into_owned(), asked), cx),
        };
        let vary = varies(&target.path, &self.site.options);
        let coded = vary && wants.accept_encoding.is_some();
        let hit = if target.slash || coded { None } else { self.store.hit(&target.path, cx) };
        match hit {
            Some(slot) => self.file(t, slot, 200, None, vary, &wants, asked.as_ref(), cx),
            None => self.begin(t, Lookup::new(&target, wants.into_owned(), asked), cx),
        }
    }
    fn options(&mut self, t: Token, wants: &Wants<'_>, asked: Option<&Asked>, cx: &mut MyCx<'_>) {
        let own = self.site.options.preflight.iter().filter(|_| wants.origin.is_some());
        let preflight: Vec<(String, Vec<u8>)> = own.cloned().collect();
        let mut fields = vec![("Allow", ALLOW)];
        fields.extend(preflight.iter().map(|(n, v)| (n.as_str(), v.as_slice())));
        self.give(t, wants, asked, cx, |mut to, site| to.empty(204, &fields, site));
    }
    fn status(&mut self, t: Token, status: u16, wants: &Wants<'_>, asked: Option<&Asked>, cx: &mut MyCx<'_>) {
        let fields: &[(&str, &[u8])] = if status == 405 { &[("Allow", ALLOW)] } else { &[] };
        self.give(t, wants, asked, cx, |mut to, site| to.status(status, fields, site));
    }
    #[allow(clippy::too_many_arguments)] // a hit has no record in which they could be
    fn file(
        &mut self,
        t: Token,
        slot: usize,
        status: u16,
        coded: Option<(super::Coding, &str)>,
        vary: bool,
        wants: &Wants<'_>,
        asked: Option<&Asked>,
        cx: &mut MyCx<'_>,
    ) {
        // Nobody can guess it and put it into a file.
        let boundary = if wants.range.is_some() { cx.rng().next_u64() } else { 0 };
        let given = {
            let Some((http, tx)) = self.conns.machine(t, cx) else { return };
            let Some(file) = self.store.file(slot) else { return };
            let mut to = To { http, tx, head: wants.head };
            if status == 200 && (wants.is_special() || coded.is_some()) {
                to.file(file, wants, coded, vary, boundary, &self.site)
            } else {
                to.whole(status, file, vary, &self.site)
            }
        };
        self.gave(t, asked, given, cx);
    }
    /// Gives an answer that is no file.
    fn give(
        &mut self,
        t: Token,
        wants: &Wants<'_>,
        asked: Option<&Asked>,
        cx: &mut MyCx<'_>,
        f: impl FnOnce(To<'_>, &Site) -> Result<Given, Misuse>,
    ) {
        let given = match self.conns.machine(t, cx) {
            Some((http, tx)) => f(To { http, tx, head: wants.head }, &self.site),
            None => return,
        };
        self.gave(t, asked, given, cx);
    }
    fn gave(&mut self, t: Token, asked: Option<&Asked>, given: Result<Given, Misuse>, cx: &mut MyCx<'_>) {
        match given {
            Ok(given) => self.note(t, asked, given, cx),
            // A field of a configuration that cannot be sent was refused at the start, so this is a bug of ours: the
            // client must not wait for an answer that will not come.
            Err(_) => self.conns.close(t),
        }
    }
    fn note(&mut self, t: Token, asked: Option<&Asked>, given: Given, cx: &mut MyCx<'_>) {
        let (Some(format), Some(guest)) = (self.site.options.access, self.guests.get(t)) else { return };
        let at = (cx.wall(), self.service.settings.utc);
        let line = Asked::line(asked, &guest.remote, given.status, given.bytes, at, format);
        self.service.print_raw(cx, line);
    }

    // Requests that wait for files.

    fn begin(&mut self, t: Token, lookup: Lookup, cx: &mut MyCx<'_>) {
        if let Some(guest) = self.guests.get_mut(t) {
            guest.lookup = Some(Box::new(lookup));
            self.advance(t, cx);
        }
    }
    /// Goes on with a lookup as far as that is possible now.
    fn advance(&mut self, t: Token, cx: &mut MyCx<'_>) {
        let Some(mut lookup) = self.guests.get_mut(t).and_then(|g| g.lookup.take()) else { return };
        let end = loop {
            let (path, keep) = match lookup.next(&self.site.options) {
                Ok(next) => next,
                Err(end) => break end,
            };
            let look = self.store.look(&path, t, keep, cx);
            let modified_ns = match look {
                Look::File(slot) => self.store.file(slot).map_or(0, |f| f.meta.modified_ns),
                _ => 0,
            };
            if let Some(end) = lookup.found(look, &path, modified_ns, &self.site.options) {
                break end;
            }
            if look == Look::Wait {
                if let Some(guest) = self.guests.get_mut(t) {
                    guest.lookup = Some(lookup);
                }
                return;
            }
        };
        self.conclude(t, *lookup, end, cx);
    }
    fn conclude(&mut self, t: Token, lookup: Lookup, end: End, cx: &mut MyCx<'_>) {
        let Lookup { wants, asked, path, .. } = &lookup;
        let asked = asked.as_ref();
        match end {
            End::File { slot, status, coded: None } => {
                let vary = varies(path, &self.site.options);
                self.file(t, slot, status, None, vary, wants, asked, cx);
            }
            End::File { slot, status, coded: Some((coding, plain)) } => {
                let media = self.site.options.types.of(&plain);
                self.file(t, slot, status, Some((coding, &media)), true, wants, asked, cx);
            }
            End::Redirect(to) => {
                let text = format!("<h1>301 {}</h1>\n", proto_core::http1::reason(301));
                self.give(t, wants, asked, cx, |mut g, site| {
                    g.text(301, "text/html", &text, &[("Location", to.as_bytes())], false, site)
                });
            }
            End::Status(status) => self.status(t, status, wants, asked, cx),
            End::List(path) => {
                let ask = self.store.open_ask(&path, true);
                self.next_list += 1;
                cx.ask(OpId::new(LIST_OPEN, self.next_list), ask);
                self.lists.insert(self.next_list, List { to: t, dir: proto_core::FileId(0) });
                if let Some(guest) = self.guests.get_mut(t) {
                    guest.lookup = Some(Box::new(lookup));
                }
            }
        }
    }
    /// An answer about a file: those who waited for it go on, and then their next requests.
    fn looked(&mut self, id: OpId, answer: Result<Answer, Reason>, cx: &mut MyCx<'_>) {
        let Some((slot, waiters)) = self.store.answered(id, answer, cx) else { return };
        for t in &waiters {
            self.advance(*t, cx);
        }
        self.store.tidy(slot, cx);
        for t in waiters {
            let feed = self.conns.resume(t, cx);
            self.read(feed, t, cx);
        }
    }
    fn list_opened(&mut self, key: u64, answer: Result<Answer, Reason>, cx: &mut MyCx<'_>) {
        let Some(list) = self.lists.get_mut(&key) else { return };
        match answer {
            Ok(Answer::Opened { file, .. }) => {
                list.dir = file;
                cx.ask(OpId::new(LIST_READ, key), Ask::List { dir: file });
            }
            other => self.listed(key, other, cx),
        }
    }
    fn listed(&mut self, key: u64, answer: Result<Answer, Reason>, cx: &mut MyCx<'_>) {
        let Some(List { to: t, dir }) = self.lists.remove(&key) else { return };
        if dir.0 != 0 {
            close(dir, cx);
        }
        let Some(lookup) = self.guests.get_mut(t).and_then(|g| g.lookup.take()) else { return };
        let Lookup { wants, asked, path, .. } = &*lookup;
        match answer {
            Ok(Answer::List(mut entries)) => {
                let all = self.site.options.dotfiles;
                entries.retain(|e| all || !e.name.starts_with('.'));
                let (media, text) = match listing::wants_json(bytes(&wants.accept)) {
                    true => ("application/json", listing::json(path, &entries)),
                    false => ("text/html; charset=utf-8", listing::html(path, &entries)),
                };
                let fields: [(&str, &[u8]); 3] = [
                    ("X-Content-Type-Options", b"nosniff"),
                    ("Content-Security-Policy", b"default-src 'none'"),
                    ("Vary", b"Accept"),
                ];
                self.give(t, wants, asked.as_ref(), cx, |mut to, site| {
                    to.text(200, media, &text, &fields, false, site)
                });
            }
            other => {
                let status = other.err().map_or(500, super::store::status);
                self.status(t, status, wants, asked.as_ref(), cx);
            }
        }
        let feed = self.conns.resume(t, cx);
        self.read(feed, t, cx);
    }
}

impl App for HttpServer {
    type Job = Infallible;
    type Msg = Note;

    fn handle(&mut self, input: Input<'_, Note>, cx: &mut MyCx<'_>) {
        self.site.tick(cx.wall());
        if self.service.handle(&input, cx) == Life::Drain {
            self.drain(cx);
        }
        match input {
            Input::Bytes(t, chunk) if t.part() == 0 => self.bytes(t, chunk, cx),
            Input::Start(start) => self.start(start, cx),
            Input::Accepted { conn, peer, .. } if conn.part() == 0 => match self.service.admit(conn, &peer, cx) {
                Ok(()) => self.accepted(conn, peer.remote, cx),
                Err(why) => self.refused(conn, &peer.remote, why, cx),
            },
            Input::Writable(t) if t.part() == 0 => {
                let feed = self.conns.resume(t, cx);
                self.read(feed, t, cx);
            }
            Input::Eof(t) if t.part() == 0 => {
                let feed = self.conns.end(t, cx);
                self.read(feed, t, cx);
            }
            Input::Closed(t, _) if t.part() == 0 => self.closed(t, cx),
            Input::Answer(id, answer) => match id.part() {
                ROOT => self.rooted(answer, cx),
                FILES => self.looked(id, answer, cx),
                LIST_OPEN => self.list_opened(id.key(), answer, cx),
                LIST_READ => self.listed(id.key(), answer, cx),
                RANGES => {
                    self.conns.answer(id, &answer);
                }
                _ => {}
            },
            Input::Deadline => self.due(cx),
            _ => {}
        }
        let mut faults = Vec::new();
        self.conns.settle(cx, |t, fault| faults.push((t, fault)));
        for (t, fault) in faults {
            self.broken(t, fault, cx);
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        let all = [self.service.deadline(), self.conns.deadline(), self.curfew];
        all.into_iter().fold(None, Deadline::earliest)
    }
    fn work(job: Infallible) -> Note {
        match job {}
    }
}
