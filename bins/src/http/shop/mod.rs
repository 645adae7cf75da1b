//! Everything behind the front: requests, who may ask, files, folders, uploads.
use super::access::Asked;
use super::answer::{ALLOW, Given, To};
use super::forwarded;
use super::gate::{Gate, Verdict};
use super::job::Job;
use super::lookup::{Lookup, varies};
use super::place::Places;
use super::site::Site;
use super::target::{authority, resolve};
use super::upload::Upload;
use super::wants::{Wants, bytes};
use crate::front::{Desk, Front};
use crate::service::{Note, Refusal, ServerCx};
use core::net::{IpAddr, SocketAddr};
use proto_core::http1::Method;
use proto_core::http1::server::Request;
use proto_core::{Addr, DirId, Fault, Lost, Misuse, OpId, Peer, Slots, Token};
use rand_core::RngCore;
use std::collections::BTreeMap;

mod deposits;
mod files;
mod reload;

pub(super) type MyCx<'a> = ServerCx<'a, Job>;

/// Part bytes of folders that are listed: opened, then read.
pub(super) const LIST_OPEN: u8 = 4;
pub(super) const LIST_READ: u8 = 5;
/// Part bytes of passwords being checked: of who asks, and of who uploads.
pub(super) const GATE: u8 = 6;
pub(super) const UPLOAD_GATE: u8 = 7;
/// Part byte of uploads.
pub(super) const UPLOADS: u8 = 8;
/// Part byte of files of users.
const RELOAD: u8 = 9;

/// What the app knows of a connection.
#[derive(Debug)]
struct Guest {
    /// Who is at the other end.
    peer: Addr,
    /// Whom it asks for: itself, unless it is a proxy that is believed.
    remote: Addr,
    /// Its request waits for files, or for who it is.
    lookup: Option<Box<Lookup>>,
    /// It sends files.
    deposit: Option<u64>,
}

impl Guest {
    fn ip(&self) -> Option<IpAddr> {
        match self.remote {
            Addr::Ip(a) => Some(a.ip()),
            Addr::Unix(_) => None,
        }
    }
}

/// A folder that is being listed.
#[derive(Debug)]
struct List {
    to: Token,
    dir: DirId,
}

/// A body that is stored.
#[derive(Debug)]
struct Deposit {
    /// Nobody: the client is gone, and what it has sent goes, too.
    conn: Option<Token>,
    upload: Upload,
    /// Which folder of which place, and what was asked.
    lookup: Box<Lookup>,
    /// It waits for `100 Continue`.
    continues: bool,
}

/// Everything behind the front.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) site: Site,
    pub(super) places: Places,
    pub(super) gate: Gate,
    upload_gate: Gate,
    guests: Slots<Guest>,
    lists: BTreeMap<u64, List>,
    deposits: BTreeMap<u64, Deposit>,
    reading: reload::Reading,
    next: u64,
}

impl Shop {
    pub(super) fn new(site: Site) -> Self {
        let o = &site.options;
        Shop {
            places: Places::new(o),
            gate: Gate::new(GATE, o.users.clone()),
            upload_gate: Gate::new(UPLOAD_GATE, o.upload.as_ref().and_then(|u| u.users.clone())),
            guests: Slots::default(),
            lists: BTreeMap::new(),
            deposits: BTreeMap::new(),
            reading: [None, None],
            next: 0,
            site,
        }
    }
}

impl Desk<Job> for Shop {
    fn opened(&mut self, t: Token, peer: &Peer, _: &mut Front, _: &mut MyCx<'_>) {
        self.guests
            .insert(t, Guest { peer: peer.remote.clone(), remote: peer.remote.clone(), lookup: None, deposit: None });
    }
    fn gone(&mut self, t: Token, _: &mut Front, cx: &mut MyCx<'_>) {
        if let Some(id) = self.guests.remove(t).and_then(|g| g.deposit) {
            self.abandon(id, cx);
        }
    }
    fn body(&mut self, t: Token, bytes: &[u8], front: &mut Front, cx: &mut MyCx<'_>) {
        self.sent(t, Some(bytes), front, cx);
    }
    fn body_end(&mut self, t: Token, front: &mut Front, cx: &mut MyCx<'_>) {
        self.sent(t, None, front, cx);
    }
    fn came_from(&mut self, t: Token, from: SocketAddr, _: &mut Front, _: &mut MyCx<'_>) {
        if let Some(guest) = self.guests.get_mut(t) {
            (guest.peer, guest.remote) = (Addr::Ip(from), Addr::Ip(from));
        }
    }
    fn refused(&mut self, from: &Addr, why: Refusal, front: &mut Front, cx: &mut MyCx<'_>) {
        front.service.log(cx, format_args!("Client refused from {from}: {why}"));
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
        if !front.service.settings.trusted.is_empty() {
            self.sent_on(t, request, front);
        }
        let wants = Wants::of(request);
        let asked = self.site.options.access.map(|_| Asked::of(request));
        match request.method() {
            Method::Get | Method::Head => {}
            Method::Options => return self.options(t, &wants, asked.as_ref(), front, cx),
            // There is nothing behind us that a tunnel could lead to.
            Method::Connect => return self.status(t, 400, &wants, asked.as_ref(), front, cx),
            Method::Other => return self.status(t, 501, &wants, asked.as_ref(), front, cx),
            Method::Post | Method::Put if self.site.options.upload.is_some() => {
                return self.deposit(t, request, wants, asked, front, cx);
            }
            Method::Post | Method::Put | Method::Delete | Method::Trace | Method::Patch => {
                return self.status(t, 405, &wants, asked.as_ref(), front, cx);
            }
        }
        let place = self.places.of(authority(request.target()).or(bytes(&wants.host)));
        let target = match resolve(request.target(), self.site.options.dotfiles) {
            Ok(target) => target,
            Err(bad) => {
                let lookup = Lookup::failed(place, bad.status(), wants.into_owned(), asked);
                return self.judge(t, lookup, front, cx);
            }
        };
        if !self.gate.is_open() {
            return self.judge(t, Lookup::new(place, &target, wants.into_owned(), asked), front, cx);
        }
        let vary = varies(&target.path, &self.site.options);
        let coded = vary && wants.accept_encoding.is_some();
        let hit = if target.slash || coded { None } else { self.hit(place, &target.path, cx) };
        match hit {
            Some(slot) => self.file(t, (place, slot), 200, None, vary, &wants, asked.as_ref(), front, cx),
            None => self.begin(t, Lookup::new(place, &target, wants.into_owned(), asked), front, cx),
        }
    }
}

impl Shop {
    /// A proxy that is believed says whom it asks for.
    fn sent_on(&mut self, t: Token, request: &Request<'_>, front: &Front) {
        let Some(guest) = self.guests.get_mut(t) else { return };
        let settings = &front.service.settings;
        let all = |name: &str| {
            let values = request.fields().filter(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value);
            Some(values.collect::<Vec<_>>().join(&b", "[..])).filter(|v| !v.is_empty())
        };
        let ip = settings.trusts(&guest.peer).then(|| {
            let (standard, usual) = (all("forwarded"), all("x-forwarded-for"));
            forwarded::client(standard.as_deref(), usual.as_deref(), &settings.trusted)
        });
        guest.remote = ip.flatten().map_or_else(|| guest.peer.clone(), |ip| Addr::Ip(SocketAddr::new(ip, 0)));
    }
    fn hit(&mut self, place: usize, path: &str, cx: &mut MyCx<'_>) -> Option<usize> {
        self.places.store(place)?.hit(path, cx)
    }
    /// Looks up what was asked for, if the client may have it.
    fn judge(&mut self, t: Token, lookup: Lookup, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some(guest) = self.guests.get_mut(t) else { return };
        let verdict = self.gate.ask(t, guest.ip(), bytes(&lookup.wants.authorization), cx);
        guest.lookup = Some(Box::new(lookup));
        self.judged(t, verdict, front, cx);
    }
    fn judged(&mut self, t: Token, verdict: Verdict, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some(guest) = self.guests.get_mut(t) else { return };
        match verdict {
            Verdict::Wait => {}
            Verdict::Pass(user) => {
                if let Some(asked) = guest.lookup.as_mut().and_then(|l| l.asked.as_mut()) {
                    asked.user = user;
                }
                self.advance(t, front, cx);
            }
            Verdict::Refuse(status) => {
                if let Some(lookup) = guest.lookup.take() {
                    self.status(t, status, &lookup.wants, lookup.asked.as_ref(), front, cx);
                }
            }
        }
    }
    /// A password was checked.
    pub(super) fn checked(&mut self, id: OpId, made: &Result<Note, Lost>, front: &mut Front, cx: &mut MyCx<'_>) {
        if id.part() == UPLOAD_GATE {
            if let Some((t, verdict)) = self.upload_gate.checked(id, made, cx.now) {
                self.deposit_judged(t, verdict, front, cx);
            }
        } else if let Some((t, verdict)) = self.gate.checked(id, made, cx.now) {
            match self.guests.get(t).is_some_and(|g| g.deposit.is_some()) {
                true => self.deposit_judged(t, verdict, front, cx),
                false => self.judged(t, verdict, front, cx),
            }
        }
    }
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
        let fields: &[(&str, &[u8])] = match status {
            401 => &[("WWW-Authenticate", b"Basic realm=\"files\", charset=\"UTF-8\"")],
            405 => &[("Allow", ALLOW)],
            429 => &[("Retry-After", b"60")],
            503 => &[("Retry-After", b"1")],
            _ => &[],
        };
        self.give(t, wants, asked, front, cx, |mut to, site| to.status(status, fields, site));
    }
    #[allow(clippy::too_many_arguments)] // a hit has no record in which they could be
    fn file(
        &mut self,
        t: Token,
        (place, slot): (usize, usize),
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
            let Some(file) = self.places.store(place).and_then(|s| s.file(slot)) else { return };
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
}
