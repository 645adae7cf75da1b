//! The app: connections, requests, and files as they come.
use super::access::Asked;
use super::answer::{ALLOW, Given, To};
use super::listing;
use super::lookup::{End, Lookup, Next, varies};
use super::pack::Job;
use super::site::Site;
use super::store::{FILES, Look, Store, close};
use super::target::resolve;
use super::wants::{Wants, bytes};
use crate::front::{Desk, Front};
use crate::outcome::Code;
use crate::service::{Note, Refusal, ServerCx, Settings};
use crate::text::Escaped;
use proto_core::http1::Method;
use proto_core::http1::server::Request;
use proto_core::{
    Addr, Answer, App, Ask, Bytes, Deadline, DirId, Fault, FileId, How, Input, Lost, Misuse, OpId, Peer, Reason, Slots,
    Start, Token,
};
use rand_core::RngCore;
use std::collections::BTreeMap;

/// Part byte of the root directory.
const ROOT: u8 = 3;
/// Part bytes of directories that are listed: opened, then read.
const LIST_OPEN: u8 = 4;
const LIST_READ: u8 = 5;
type MyCx<'a> = ServerCx<'a, Job>;

/// What the app knows of a connection.
#[derive(Debug)]
struct Guest {
    remote: Addr,
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
    front: Front,
    shop: Shop,
    /// Until the root is open.
    start: Option<Start>,
}

/// Everything behind the front.
#[derive(Debug)]
struct Shop {
    site: Site,
    store: Store,
    guests: Slots<Guest>,
    lists: BTreeMap<u64, List>,
    next_list: u64,
}

impl HttpServer {
    /// With the service's settings and its own.
    pub fn new(settings: Settings, site: Site) -> Self {
        let o = &site.options;
        let store = Store::new(o.cache, !o.follow_symlinks, o.types.clone());
        let mut front = Front::new(settings, o.http);
        front.finish_for_gone = true; // `nc -N` wants its answer
        let shop = Shop { site, store, guests: Slots::default(), lists: BTreeMap::new(), next_list: 0 };
        HttpServer { front, shop, start: None }
    }
    /// What is cached: names, bytes, open files.
    pub fn usage(&self) -> (usize, usize, usize) {
        self.shop.store.usage()
    }

    // The root: nobody is accepted before it is open.

    fn start(&mut self, start: &Start, cx: &mut MyCx<'_>) {
        for l in start.listeners.iter().filter(|l| l.token.part() == 0) {
            cx.accept(l.token, false);
        }
        self.start = Some(start.clone());
        let how = How { dir: true, ..How::default() };
        cx.ask(OpId::new(ROOT, 0), Ask::Open { dir: None, path: self.shop.site.options.root.clone(), how });
    }
    fn rooted(&mut self, answer: Result<Answer, Reason>, cx: &mut MyCx<'_>) {
        let Some(start) = self.start.take() else { return };
        let root = Escaped(self.shop.site.options.root.as_bytes()).to_string();
        let Ok(Answer::Opened { file, .. }) = answer else {
            let why = answer.err().map_or("not a directory".into(), |why| why.to_string());
            if let Some(tx) = cx.tx(start.stderr) {
                tx.put(format!("httpserver: root '{root}': {why}\n").as_bytes());
            }
            return cx.exit(Code::Usage as u8);
        };
        self.shop.store.set_root(file);
        let port = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
        self.front.start(&start, &format!("HTTP server listening on {port}\nServing files from {root}"), cx);
        for l in start.listeners.iter().filter(|l| l.token.part() == 0) {
            cx.accept(l.token, true);
        }
    }
}

impl Desk<Job> for Shop {
    fn opened(&mut self, t: Token, peer: &Peer, _: &mut Front, _: &mut MyCx<'_>) {
        self.guests.insert(t, Guest { remote: peer.remote.clone(), lookup: None });
    }
    fn gone(&mut self, t: Token, _: &mut Front, _: &mut MyCx<'_>) {
        self.guests.remove(t);
    }
    fn refused(&mut self, peer: &Peer, why: Refusal, front: &mut Front, cx: &mut MyCx<'_>) {
        front.service.log(cx, format_args!("Client refused from {}: {why}", peer.remote));
    }
    fn fault(&mut self, t: Token, fault: &Fault, front: &mut Front, cx: &mut MyCx<'_>) {
        if front.service.settings.verbose
            && let Some(g) = self.guests.get(t)
        {
            front.service.log(cx, format_args!("Client {}: {fault}", g.remote));
        }
        let status = u16::try_from(fault.code).unwrap_or(400);
        self.note(t, None, Given { status, bytes: 0 }, front, cx);
    }
    fn request(&mut self, t: Token, request: &Request<'_>, front: &mut Front, cx: &mut MyCx<'_>) {
        let wants = Wants::of(request);
        let asked = self.site.options.access.map(|_| Asked::of(request));
        match request.method() {
            Method::Get | Method::Head => {}
            Method::Options => return self.options(t, &wants, asked.as_ref(), front, cx),
            // There is nothing behind us that a tunnel could lead to.
            Method::Connect => return self.status(t, 400, &wants, asked.as_ref(), front, cx),
            Method::Other => return self.status(t, 501, &wants, asked.as_ref(), front, cx),
            Method::Post | Method::Put | Method::Delete | Method::Trace | Method::Patch => {
                return self.status(t, 405, &wants, asked.as_ref(), front, cx);
            }
        }
        let target = match resolve(request.target(), self.site.options.dotfiles) {
            Ok(target) => target,
            Err(bad) => return self.begin(t, Lookup::failed(bad.status(), wants.into_owned(), asked), front, cx),
        };
        let vary = varies(&target.path, &self.site.options);
        let coded = vary && wants.accept_encoding.is_some();
        let hit = if target.slash || coded { None } else { self.store.hit(&target.path, cx) };
        match hit {
            Some(slot) => self.file(t, slot, 200, None, vary, &wants, asked.as_ref(), front, cx),
            None => self.begin(t, Lookup::new(&target, wants.into_owned(), asked), front, cx),
        }
    }
}

impl Shop {
    fn options(&mut self, t: Token, wants: &Wants<'_>, asked: Option<&Asked>, front: &mut Front, cx: &mut MyCx<'_>) {
        let own = self.site.options.preflight.iter().filter(|_| wants.origin.is_some());
        let preflight: Vec<(String, Vec<u8>)> = own.cloned().collect();
        let mut fields = vec![("Allow", ALLOW)];
        fields.extend(preflight.iter().map(|(n, v)| (n.as_str(), v.as_slice())));
        self.give(t, wants, asked, front, cx, |mut to, site| to.empty(204, &fields, site));
    }
    fn status(
        &mut self,
        t: Token,
        status: u16,
        wants: &Wants<'_>,
        asked: Option<&Asked>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let fields: &[(&str, &[u8])] = if status == 405 { &[("Allow", ALLOW)] } else { &[] };
        self.give(t, wants, asked, front, cx, |mut to, site| to.status(status, fields, site));
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
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        // Nobody can guess it and put it into a file.
        let boundary = if wants.range.is_some() { cx.rng().next_u64() } else { 0 };
        let given = {
            let Some((http, tx)) = front.http(t, cx) else { return };
            let Some(file) = self.store.file(slot) else { return };
            let mut to = To { http, tx, head: wants.head };
            if status == 200 && (wants.is_special() || coded.is_some()) {
                to.file(file, wants, coded, vary, boundary, &self.site)
            } else {
                to.whole(status, file, vary, &self.site)
            }
        };
        self.gave(t, asked, given, front, cx);
    }
    /// Gives an answer that is no file.
    fn give(
        &mut self,
        t: Token,
        wants: &Wants<'_>,
        asked: Option<&Asked>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
        f: impl FnOnce(To<'_>, &Site) -> Result<Given, Misuse>,
    ) {
        let given = match front.http(t, cx) {
            Some((http, tx)) => f(To { http, tx, head: wants.head }, &self.site),
            None => return,
        };
        self.gave(t, asked, given, front, cx);
    }
    fn gave(
        &mut self,
        t: Token,
        asked: Option<&Asked>,
        given: Result<Given, Misuse>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        match given {
            Ok(given) => {
                front.count(given.status);
                self.note(t, asked, given, front, cx);
            }
            // A field of a configuration that cannot be sent was refused at the start, so this is a bug of ours: the
            // client must not wait for an answer that will not come.
            Err(_) => front.abort(t, cx),
        }
    }
    fn note(&mut self, t: Token, asked: Option<&Asked>, given: Given, front: &mut Front, cx: &mut MyCx<'_>) {
        let (Some(format), Some(guest)) = (self.site.options.access, self.guests.get(t)) else { return };
        let at = (cx.wall(), front.service.settings.utc);
        let line = Asked::line(asked, &guest.remote, given.status, given.bytes, at, format);
        front.service.print_raw(cx, line);
    }

    // Requests that wait for files.

    fn begin(&mut self, t: Token, lookup: Lookup, front: &mut Front, cx: &mut MyCx<'_>) {
        if let Some(guest) = self.guests.get_mut(t) {
            guest.lookup = Some(Box::new(lookup));
            self.advance(t, front, cx);
        }
    }
    /// Goes on with a lookup as far as that is possible now.
    fn advance(&mut self, t: Token, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some(mut lookup) = self.guests.get_mut(t).and_then(|g| g.lookup.take()) else { return };
        let end = loop {
            let Next { path, keep, pack } = match lookup.next(&self.site.options) {
                Ok(next) => next,
                Err(end) => break end,
            };
            let look = match (self.store.look(&path, t, keep, cx), pack) {
                (Look::File(source), Some(coding)) => self.store.look_packed(&path, source, coding, t, cx),
                (look, _) => look,
            };
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
        self.conclude(t, *lookup, end, front, cx);
    }
    fn conclude(&mut self, t: Token, lookup: Lookup, end: End, front: &mut Front, cx: &mut MyCx<'_>) {
        let Lookup { wants, asked, path, .. } = &lookup;
        let asked = asked.as_ref();
        match end {
            End::File { slot, status, coded: None } => {
                let vary = varies(path, &self.site.options);
                self.file(t, slot, status, None, vary, wants, asked, front, cx);
            }
            End::File { slot, status, coded: Some((coding, plain)) } => {
                let media = self.site.options.types.of(&plain);
                self.file(t, slot, status, Some((coding, &media)), true, wants, asked, front, cx);
            }
            End::Redirect(to) => {
                let text = format!("<h1>301 {}</h1>\n", proto_core::http1::reason(301));
                self.give(t, wants, asked, front, cx, |mut g, site| {
                    g.text(301, "text/html", &text, &[("Location", to.as_bytes())], false, site)
                });
            }
            End::Status(status) => self.status(t, status, wants, asked, front, cx),
            End::List(path) => {
                let ask = self.store.open_ask(&path, true);
                self.next_list += 1;
                cx.ask(OpId::new(LIST_OPEN, self.next_list), ask);
                self.lists.insert(self.next_list, List { to: t, dir: FileId(0) });
                if let Some(guest) = self.guests.get_mut(t) {
                    guest.lookup = Some(Box::new(lookup));
                }
            }
        }
    }
    /// An answer about a file: those who waited for it go on, and then their next requests.
    fn looked(&mut self, id: OpId, answer: Result<Answer, Reason>, front: &mut Front, cx: &mut MyCx<'_>) {
        let looked = self.store.answered(id, answer, cx);
        self.go_on(looked, front, cx);
    }
    /// A compressed form is there, or will not be.
    fn packed(&mut self, id: OpId, made: Result<Note, Lost>, front: &mut Front, cx: &mut MyCx<'_>) {
        let made = made.map(|note| if let Note::Made(bytes) = note { bytes } else { Bytes::new() });
        let looked = self.store.packed(id, made, cx);
        self.go_on(looked, front, cx);
    }
    fn go_on(&mut self, looked: Option<(usize, Vec<Token>)>, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some((slot, waiters)) = looked else { return };
        for t in &waiters {
            self.advance(*t, front, cx);
        }
        self.store.tidy(slot, cx);
    }
    fn list_opened(&mut self, key: u64, answer: Result<Answer, Reason>, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some(list) = self.lists.get_mut(&key) else { return };
        match answer {
            Ok(Answer::Opened { file, .. }) => {
                list.dir = file;
                cx.ask(OpId::new(LIST_READ, key), Ask::List { dir: file });
            }
            other => self.listed(key, other, front, cx),
        }
    }
    fn listed(&mut self, key: u64, answer: Result<Answer, Reason>, front: &mut Front, cx: &mut MyCx<'_>) {
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
                self.give(t, wants, asked.as_ref(), front, cx, |mut to, site| {
                    to.text(200, media, &text, &fields, false, site)
                });
            }
            other => {
                let status = other.err().map_or(500, super::store::status);
                self.status(t, status, wants, asked.as_ref(), front, cx);
            }
        }
    }
}

impl App for HttpServer {
    type Job = Job;
    type Msg = Note;

    fn handle(&mut self, input: Input<'_, Note>, cx: &mut MyCx<'_>) {
        self.shop.site.tick(cx.wall());
        let (front, shop) = (&mut self.front, &mut self.shop);
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Answer(id, answer) if id.part() == ROOT => self.rooted(answer, cx),
            Input::Answer(id, answer) if id.part() == FILES => shop.looked(id, answer, front, cx),
            Input::Job(id, made) => shop.packed(id, made, front, cx),
            Input::Answer(id, answer) if id.part() == LIST_OPEN => shop.list_opened(id.key(), answer, front, cx),
            Input::Answer(id, answer) if id.part() == LIST_READ => shop.listed(id.key(), answer, front, cx),
            other => front.handle(other, shop, cx),
        }
        self.front.settle(&mut self.shop, cx);
    }
    fn deadline(&self) -> Option<Deadline> {
        self.front.deadline()
    }
    fn work(job: Job) -> Note {
        Note::Made(job.run())
    }
}
