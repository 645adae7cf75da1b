//! Requests that bring files.
use super::super::access::Asked;
use super::super::gate::Verdict;
use super::super::listing;
use super::super::lookup::Lookup;
use super::super::store::NOBODY;
use super::super::target::{authority, encode, resolve};
use super::super::upload::{Failed, Next, Source, Upload, check_name};
use super::super::wants::{Wants, bytes};
use super::{Deposit, MyCx, Shop, UPLOADS};
use crate::front::Front;
use crate::text::Escaped;
use proto_core::http1::Method;
use proto_core::http1::form::Form;
use proto_core::http1::server::Request;
use proto_core::{Answer, OpId, Reason, Token};
use rand_core::RngCore;

/// Uploads at once.
const AT_ONCE: usize = 256;

impl Shop {
    /// A PUT or a POST, where uploads are taken.
    pub(super) fn deposit(
        &mut self,
        t: Token,
        request: &Request<'_>,
        wants: Wants<'_>,
        asked: Option<Asked>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let host = authority(request.target()).or(bytes(&wants.host)).map(<[u8]>::to_vec);
        let place = self.places.of(host.as_deref());
        let (source, folder, slash) = match self.source(request) {
            Ok(found) => found,
            Err(status) => return self.status(t, status, &wants, asked.as_ref(), front, cx),
        };
        if is_foreign(request, host.as_deref()) {
            return self.status(t, 403, &wants, asked.as_ref(), front, cx);
        }
        if self.deposits.len() >= AT_ONCE {
            return self.status(t, 503, &wants, asked.as_ref(), front, cx);
        }
        let target = super::super::target::Target { path: folder.into(), slash, query: "" };
        let lookup = Box::new(Lookup::new(place, &target, wants.into_owned(), asked));
        let own = self.site.options.upload.as_ref().is_some_and(|u| u.users.is_some());
        let authorization = lookup.wants.authorization.clone();
        let overwrite = self.site.options.upload.as_ref().is_some_and(|u| u.overwrite);
        let upload = Upload::new(source, overwrite, cx.rng().next_u64());
        let Some(guest) = self.guests.get_mut(t) else { return };
        self.next += 1;
        guest.deposit = Some(self.next);
        let ip = guest.ip();
        let continues = request.expects_continue();
        self.deposits.insert(self.next, Deposit { conn: Some(t), upload, lookup, continues });
        let gate = if own { &mut self.upload_gate } else { &mut self.gate };
        let verdict = gate.ask(t, ip, bytes(&authorization), cx);
        self.deposit_judged(t, verdict, front, cx);
        if !request.has_body() {
            self.sent(t, None, front, cx);
        }
    }
    /// Where the files of a request are, and the folder that they go into; or a status.
    fn source(&self, request: &Request<'_>) -> Result<(Source, String, bool), u16> {
        let target = resolve(request.target(), self.site.options.dotfiles).map_err(|bad| bad.status())?;
        let takes = |path: &str| self.site.options.takes_uploads(path);
        if request.method() == Method::Put {
            let (folder, name) = target.path.rsplit_once('/').unwrap_or(("", &target.path));
            if !takes(folder) || target.slash {
                return Err(405);
            }
            check_name(name).map_err(|(status, _)| status)?;
            // A part of a file is not a file (RFC 9110 14.5).
            return match request.field("content-range") {
                Some(_) => Err(400),
                None => Ok((Source::Whole(name.into()), folder.into(), false)),
            };
        }
        if !takes(&target.path) {
            return Err(405);
        }
        let form = Form::new(request.field("content-type").unwrap_or_default()).ok_or(415_u16)?;
        Ok((Source::Form(form), target.path.into_owned(), true))
    }
    /// Whether the client may send files is known.
    pub(super) fn deposit_judged(&mut self, t: Token, verdict: Verdict, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some(id) = self.guests.get(t).and_then(|g| g.deposit) else { return };
        let Some(deposit) = self.deposits.get_mut(&id) else { return };
        match verdict {
            Verdict::Wait => {}
            Verdict::Pass(user) => {
                if let Some(asked) = deposit.lookup.asked.as_mut() {
                    asked.user = user;
                }
                let Some(store) = self.places.store(deposit.lookup.place) else { return };
                let open = deposit.upload.start(store.open_ask(&deposit.lookup.path, true));
                cx.ask(OpId::new(UPLOADS, id), open);
            }
            Verdict::Refuse(status) => self.conclude_deposit(id, Err((status, String::new())), front, cx),
        }
    }
    /// Bytes of a body, or its end.
    pub(super) fn sent(&mut self, t: Token, piece: Option<&[u8]>, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some(id) = self.guests.get(t).and_then(|g| g.deposit) else { return };
        let Some(deposit) = self.deposits.get_mut(&id) else { return };
        match piece {
            Some(bytes) => deposit.upload.put(bytes),
            None => deposit.upload.end(),
        }
        self.pump(id, front, cx);
    }
    /// The answer to a question of an upload.
    pub(in super::super) fn deposited(
        &mut self,
        id: u64,
        answer: Result<Answer, Reason>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let Some(deposit) = self.deposits.get_mut(&id) else { return };
        let over = deposit.upload.heard(answer);
        for file in deposit.upload.take_seen() {
            super::super::store::close(file, cx);
        }
        if deposit.conn.is_none() {
            return self.clear(id, cx);
        }
        match over {
            Some(Next::Over(ended)) => self.conclude_deposit(id, ended, front, cx),
            _ => self.pump(id, front, cx),
        }
    }
    fn pump(&mut self, id: u64, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some(deposit) = self.deposits.get_mut(&id) else { return };
        match deposit.upload.next() {
            Next::Ask(ask) => cx.ask(OpId::new(UPLOADS, id), ask),
            Next::More => {}
            Next::Over(ended) => return self.conclude_deposit(id, ended, front, cx),
        }
        let Some(t) = deposit.conn else { return };
        let full = deposit.upload.is_full();
        let go_ahead = deposit.upload.is_willing() && core::mem::take(&mut deposit.continues);
        if let Some((http, tx)) = front.http(t, cx) {
            http.hold(full);
            if go_ahead {
                let _ = http.continue_100(tx); // needless if the body has begun
            }
        }
    }
    fn conclude_deposit(
        &mut self,
        id: u64,
        ended: Result<(Vec<String>, bool), Failed>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let Some(deposit) = self.deposits.get_mut(&id) else { return };
        let Some(t) = deposit.conn.take() else { return };
        let lookup = core::mem::replace(&mut deposit.lookup, Box::new(Lookup::failed(0, 500, Wants::default(), None)));
        if let Some(guest) = self.guests.get_mut(t) {
            guest.deposit = None;
        }
        if !deposit.upload.is_asking() {
            self.clear(id, cx);
        }
        if let Some((http, _)) = front.http(t, cx) {
            http.hold(false);
        }
        match ended {
            Ok((names, replaced)) => self.stored(t, &lookup, &names, replaced, front, cx),
            Err((status, why)) => {
                if !why.is_empty() {
                    let (path, why) = (Escaped(lookup.path.as_bytes()), Escaped(why.as_bytes()));
                    front.service.log_at(cx, format_args!("upload into /{path} failed: {why}"));
                }
                self.status(t, status, &lookup.wants, lookup.asked.as_ref(), front, cx);
            }
        }
    }
    fn stored(
        &mut self,
        t: Token,
        lookup: &Lookup,
        names: &[String],
        replaced: bool,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let folder = if lookup.path.is_empty() { String::new() } else { format!("{}/", lookup.path) };
        for name in names {
            let path = format!("{folder}{name}");
            if let Some(store) = self.places.store(lookup.place) {
                store.renew(&path, cx);
            }
            front.service.log_at(cx, format_args!("stored /{}", Escaped(path.as_bytes())));
        }
        let (wants, asked) = (&lookup.wants, lookup.asked.as_ref());
        let first = names.first().map_or("", String::as_str);
        match (lookup.is_folder(), replaced) {
            (false, true) => self.give(t, wants, asked, front, cx, |mut to, site| to.empty(204, &[], site)),
            (false, false) => {
                let at = format!("/{}", encode(&format!("{folder}{first}")));
                self.say_stored(t, 201, &at, &[first.to_string()], lookup, front, cx);
            }
            // A browser goes back to the list of the folder; a program reads what was stored.
            (true, _) if listing::wants_json(bytes(&wants.accept)) => {
                self.say_stored(t, 201, &format!("/{}", encode(&folder)), names, lookup, front, cx);
            }
            (true, _) => self.say_stored(t, 303, &format!("/{}", encode(&folder)), names, lookup, front, cx),
        }
    }
    #[allow(clippy::too_many_arguments)] // an answer and where it goes
    fn say_stored(
        &mut self,
        t: Token,
        status: u16,
        location: &str,
        names: &[String],
        lookup: &Lookup,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let (wants, asked) = (&lookup.wants, lookup.asked.as_ref());
        let json = listing::wants_json(bytes(&wants.accept));
        let (media, text) = match json {
            true => ("application/json", listing::stored(names)),
            false => ("text/plain; charset=utf-8", names.iter().map(|n| format!("stored {n}\n")).collect()),
        };
        self.give(t, wants, asked, front, cx, |mut to, site| {
            to.text(status, media, &text, &[("Location", location.as_bytes())], false, site)
        });
    }
    /// The client is gone.
    pub(super) fn abandon(&mut self, id: u64, cx: &mut MyCx<'_>) {
        let Some(deposit) = self.deposits.get_mut(&id) else { return };
        deposit.conn = None;
        if !deposit.upload.is_asking() {
            self.clear(id, cx);
        }
    }
    fn clear(&mut self, id: u64, cx: &mut MyCx<'_>) {
        if let Some(deposit) = self.deposits.remove(&id) {
            deposit.upload.leftovers().into_iter().for_each(|ask| cx.ask(OpId::new(NOBODY, 0), ask));
        }
    }
}

/// A page of another site makes the browser send this, with the user's password if it knows one.
fn is_foreign(request: &Request<'_>, host: Option<&[u8]>) -> bool {
    if let Some(site) = request.field("sec-fetch-site") {
        return !matches!(site, b"same-origin" | b"none");
    }
    let Some(origin) = request.field("origin") else { return false };
    let authority = origin.windows(3).position(|w| w == b"://").and_then(|at| origin.get(at + 3..));
    !authority.zip(host).is_some_and(|(a, h)| a.eq_ignore_ascii_case(h))
}
