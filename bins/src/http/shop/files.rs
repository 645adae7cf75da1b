//! Requests that wait for files and folders.
use super::super::listing;
use super::super::lookup::{End, Lookup, Next, varies};
use super::super::store::{self, Look, close};
use super::super::wants::bytes;
use super::{LIST_OPEN, LIST_READ, List, MyCx, Shop};
use crate::front::Front;
use crate::service::Note;
use proto_core::{Answer, Ask, Bytes, FileId, Lost, OpId, Reason, Token};

impl Shop {
    pub(super) fn begin(&mut self, t: Token, lookup: Lookup, front: &mut Front, cx: &mut MyCx<'_>) {
        if let Some(guest) = self.guests.get_mut(t) {
            guest.lookup = Some(Box::new(lookup));
            self.advance(t, front, cx);
        }
    }
    /// Goes on with a lookup as far as that is possible now.
    pub(super) fn advance(&mut self, t: Token, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some(mut lookup) = self.guests.get_mut(t).and_then(|g| g.lookup.take()) else { return };
        let end = loop {
            let Next { path, keep, pack } = match lookup.next(&self.site.options) {
                Ok(next) => next,
                Err(end) => break end,
            };
            let Some(store) = self.places.store(lookup.place) else { return };
            let look = match (store.look(&path, t, keep, cx), pack) {
                (Look::File(source), Some(coding)) => store.look_packed(&path, source, coding, t, cx),
                (look, _) => look,
            };
            let modified_ns = match look {
                Look::File(slot) => store.file(slot).map_or(0, |f| f.meta.modified_ns),
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
        let Lookup { wants, asked, path, place, .. } = &lookup;
        let asked = asked.as_ref();
        match end {
            End::File { slot, status, coded: None } => {
                let vary = varies(path, &self.site.options);
                self.file(t, (*place, slot), status, None, vary, wants, asked, front, cx);
            }
            End::File { slot, status, coded: Some((coding, plain)) } => {
                let media = self.site.options.types.of(&plain);
                self.file(t, (*place, slot), status, Some((coding, &media)), true, wants, asked, front, cx);
            }
            End::Redirect(to) => {
                let text = format!("<h1>301 {}</h1>\n", proto_core::http1::reason(301));
                self.give(t, wants, asked, front, cx, |mut g, site| {
                    g.text(301, "text/html", &text, &[("Location", to.as_bytes())], false, site)
                });
            }
            End::Status(status) => self.status(t, status, wants, asked, front, cx),
            End::List(path) => {
                let Some(ask) = self.places.store(*place).map(|s| s.open_ask(&path, true)) else { return };
                self.next += 1;
                cx.ask(OpId::new(LIST_OPEN, self.next), ask);
                self.lists.insert(self.next, List { to: t, dir: FileId(0) });
                if let Some(guest) = self.guests.get_mut(t) {
                    guest.lookup = Some(Box::new(lookup));
                }
            }
        }
    }
    /// An answer about a file: those who waited for it go on, and then their next requests.
    pub(in super::super) fn looked(
        &mut self,
        id: OpId,
        answer: Result<Answer, Reason>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let Some(place) = self.places.by_part(id) else { return };
        let looked = self.places.store(place).and_then(|s| s.answered(id, answer, cx));
        self.go_on(place, looked, front, cx);
    }
    /// A compressed form is there, or will not be.
    pub(in super::super) fn packed(
        &mut self,
        id: OpId,
        made: Result<Note, Lost>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let made = made.map(|note| if let Note::Made(bytes) = note { bytes } else { Bytes::new() });
        let Some(place) = self.places.by_part(id) else { return };
        let looked = self.places.store(place).and_then(|s| s.packed(id, made, cx));
        self.go_on(place, looked, front, cx);
    }
    fn go_on(&mut self, place: usize, looked: Option<(usize, Vec<Token>)>, front: &mut Front, cx: &mut MyCx<'_>) {
        let Some((slot, waiters)) = looked else { return };
        for t in &waiters {
            self.advance(*t, front, cx);
        }
        if let Some(store) = self.places.store(place) {
            store.tidy(slot, cx);
        }
    }
    pub(in super::super) fn list_opened(
        &mut self,
        key: u64,
        answer: Result<Answer, Reason>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let Some(list) = self.lists.get_mut(&key) else { return };
        match answer {
            Ok(Answer::Opened { file, .. }) => {
                list.dir = file;
                cx.ask(OpId::new(LIST_READ, key), Ask::List { dir: file });
            }
            other => self.listed(key, other, front, cx),
        }
    }
    pub(in super::super) fn listed(
        &mut self,
        key: u64,
        answer: Result<Answer, Reason>,
        front: &mut Front,
        cx: &mut MyCx<'_>,
    ) {
        let Some(List { to: t, dir }) = self.lists.remove(&key) else { return };
        if dir.0 != 0 {
            close(dir, cx);
        }
        let Some(lookup) = self.guests.get_mut(t).and_then(|g| g.lookup.take()) else { return };
        let Lookup { wants, asked, path, .. } = &*lookup;
        match answer {
            Ok(Answer::List(mut entries)) => {
                let all = self.site.options.dotfiles;
                let takes = self.site.options.takes_uploads(path);
                entries.retain(|e| all || !e.name.starts_with('.'));
                let (media, text) = match listing::wants_json(bytes(&wants.accept)) {
                    true => ("application/json", listing::json(path, &entries)),
                    false => ("text/html; charset=utf-8", listing::html(path, &entries, takes)),
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
                let status = other.err().map_or(500, store::status);
                self.status(t, status, wants, asked.as_ref(), front, cx);
            }
        }
    }
}
