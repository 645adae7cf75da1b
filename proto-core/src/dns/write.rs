//! Writing messages, with names compressed in linear time.
use super::{Class, Domain, Edns, Field, Flags, HEADER, LABELS_MAX, MESSAGE_MAX, Name, Section, Type, Value};
use alloc::{vec, vec::Vec};
use core::fmt;

/// The message would be longer than it may be; what did not fit was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("message too long")
    }
}

impl core::error::Error for TooLong {}

/// Places of the table of names that may be pointed to.
const PLACES: usize = 1024;
/// Places that one suffix may be in.
const PROBES: usize = 4;
/// Pointers have 14 bits.
const POINTER_MAX: usize = 0x3fff;

/// Writes one message.
///
/// Each suffix of a name that was written is in a table by its hash, in one of a few places; a newer one takes the place of
/// an older. So the work per name is linear in the name, whatever the message holds, and a suffix that lost its place costs
/// bytes, not time. The table is made when a second name comes: a question alone needs none.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    limit: usize,
    counts: [u16; 4],
    /// Offsets of suffixes, 0 for none.
    places: Vec<u16>,
}

impl Writer {
    /// An empty message.
    pub fn new(id: u16, flags: Flags) -> Self {
        Writer::reuse(Vec::with_capacity(64), id, flags)
    }
    /// The same, in storage that was used before.
    pub fn reuse(mut out: Vec<u8>, id: u16, flags: Flags) -> Self {
        out.clear();
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&flags.0.to_be_bytes());
        out.resize(HEADER, 0);
        Writer { out, limit: MESSAGE_MAX, counts: [0; 4], places: Vec::new() }
    }
    /// No longer than `limit` bytes, at least those of a header.
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(HEADER, MESSAGE_MAX);
        self
    }
    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }
    /// It holds neither questions nor records.
    pub fn is_empty(&self) -> bool {
        self.counts == [0; 4]
    }
    /// Adds a question.
    ///
    /// # Errors
    /// It does not fit.
    pub fn question(&mut self, name: &Domain, kind: Type, class: u16) -> Result<(), TooLong> {
        self.whole(0, |w| {
            w.name(&name.name(), true);
            w.out.extend_from_slice(&kind.0.to_be_bytes());
            w.out.extend_from_slice(&class.to_be_bytes());
        })
    }
    /// Adds a record. `data` is wire form without compression; data that does not have its type's form is written as it is.
    ///
    /// # Errors
    /// It does not fit.
    pub fn record(
        &mut self,
        section: Section,
        name: &Name<'_>,
        kind: Type,
        class: Class,
        ttl: u32,
        data: &[u8],
    ) -> Result<(), TooLong> {
        self.whole(1 + section as usize, |w| {
            w.name(name, true);
            for half in [kind.0, class.0] {
                w.out.extend_from_slice(&half.to_be_bytes());
            }
            w.out.extend_from_slice(&ttl.to_be_bytes());
            w.out.extend_from_slice(&[0, 0]);
            let start = w.out.len();
            w.data(kind, data);
            let n = (w.out.len() - start) as u16; // more than that does not fit the message
            if let Some(len) = w.out.get_mut(start - 2..start) {
                len.copy_from_slice(&n.to_be_bytes());
            }
        })
    }
    /// Adds an OPT record.
    ///
    /// # Errors
    /// It does not fit.
    pub fn edns(&mut self, edns: &Edns<'_>) -> Result<(), TooLong> {
        let (class, ttl) = (Class(edns.size), edns.ttl());
        self.record(Section::Additional, &Name::ROOT, Type::OPT, class, ttl, edns.options)
    }
    /// The message.
    pub fn finish(mut self) -> Vec<u8> {
        for (i, n) in self.counts.into_iter().enumerate() {
            if let Some(word) = self.out.get_mut(4 + 2 * i..6 + 2 * i) {
                word.copy_from_slice(&n.to_be_bytes());
            }
        }
        self.out
    }
    /// Writes all of an entry or nothing of it.
    fn whole(&mut self, section: usize, write: impl FnOnce(&mut Self)) -> Result<(), TooLong> {
        let before = self.out.len();
        write(self);
        let count = self.counts.get_mut(section).filter(|n| **n < u16::MAX);
        match count {
            Some(n) if self.out.len() <= self.limit => {
                *n += 1;
                Ok(())
            }
            _ => {
                self.out.truncate(before);
                // What the table knows of the part that is gone must not be found.
                self.places.iter_mut().filter(|p| usize::from(**p) >= before).for_each(|p| *p = 0);
                Err(TooLong)
            }
        }
    }
    /// Data with the names compressed that may be.
    fn data(&mut self, kind: Type, data: &[u8]) {
        let compressible = |f: &Field| *f == Field::Name;
        if !kind.layout().iter().any(compressible) {
            return self.out.extend_from_slice(data);
        }
        let mut fields = super::Fields::new(data, 0, data.len(), kind.layout());
        if fields.clone().any(|f| f.is_err()) {
            return self.out.extend_from_slice(data);
        }
        loop {
            let from = fields.offset();
            match fields.next() {
                Some(Ok(Value::Name(name))) => self.name(&name, true),
                Some(_) => self.out.extend_from_slice(data.get(from..fields.offset()).unwrap_or_default()),
                None => return,
            }
        }
    }
    fn name(&mut self, name: &Name<'_>, compress: bool) {
        if name.is_root() {
            return self.out.push(0);
        }
        if self.out.len() == HEADER {
            for label in name.labels() {
                self.out.push(label.len() as u8);
                self.out.extend_from_slice(label);
            }
            return self.out.push(0);
        }
        if self.places.is_empty() {
            self.begin();
        }
        let mut labels = [NO_LABEL; LABELS_MAX];
        let labels = suffixes(name, &mut labels);
        let (mut known, mut target) = (labels.len(), 0);
        let mut looking = compress;
        for (i, (label, hash)) in labels.iter().enumerate().rev() {
            looking = looking && self.find(*hash, label, target).map(|at| (known, target) = (i, at)).is_some();
        }
        for (label, hash) in labels.iter().take(known) {
            self.remember(*hash, self.out.len());
            self.out.push(label.len() as u8);
            self.out.extend_from_slice(label);
        }
        match target {
            0 => self.out.push(0),
            at => self.out.extend_from_slice(&(0xc000 | at as u16).to_be_bytes()),
        }
    }
    /// Makes the table, with the name that the message begins with: it was written before there was one.
    #[cold]
    fn begin(&mut self) {
        self.places = vec![0; PLACES + PROBES];
        let Ok((first, _)) = Name::read(&self.out, HEADER) else { return };
        let first = first.to_domain();
        let (mut labels, mut at) = ([NO_LABEL; LABELS_MAX], HEADER);
        for (label, hash) in suffixes(&first.name(), &mut labels) {
            self.remember(*hash, at);
            at += 1 + label.len();
        }
    }
    /// Where `label` stands with the suffix at `parent` after it; 0 is the root.
    fn find(&self, hash: u32, label: &[u8], parent: usize) -> Option<usize> {
        let places = self.places.get(place(hash)..)?.get(..PROBES)?;
        places.iter().map(|p| usize::from(*p)).find(|at| {
            let head = self.out.get(*at..).and_then(|b| b.split_first());
            let Some((_, rest)) = head.filter(|(n, _)| *at > 0 && usize::from(**n) == label.len()) else {
                return false;
            };
            let after = at + 1 + label.len();
            let follows = match rest.get(label.len()) {
                Some(0) => parent == 0,
                Some(n) if *n >= 192 => rest
                    .get(label.len() + 1)
                    .is_some_and(|low| usize::from(n & 0x3f) << 8 | usize::from(*low) == parent),
                _ => after == parent,
            };
            follows && rest.starts_with(label)
        })
    }
    /// A suffix begins at `at`.
    fn remember(&mut self, hash: u32, at: usize) {
        if at > POINTER_MAX {
            return;
        }
        let Some(places) = self.places.get_mut(place(hash)..).and_then(|p| p.get_mut(..PROBES)) else { return };
        let free = places.iter().position(|p| *p == 0).unwrap_or(hash as usize / PLACES % PROBES);
        if let Some(p) = places.get_mut(free) {
            *p = at as u16;
        }
    }
}

/// A label, and the hash of it and all that follow.
type Suffix<'n> = (&'n [u8], u32);
const NO_LABEL: Suffix<'static> = (&[], 0);

/// The labels of a name with their hashes.
fn suffixes<'n, 's>(name: &Name<'n>, all: &'s mut [Suffix<'n>; LABELS_MAX]) -> &'s [Suffix<'n>] {
    let mut n = 0;
    for (slot, label) in all.iter_mut().zip(name.labels()) {
        *slot = (label, 0);
        n += 1;
    }
    let all = all.get_mut(..n).unwrap_or_default();
    let mut state = 0x811c_9dc5u32;
    for (label, hash) in all.iter_mut().rev() {
        for b in [label.len() as u8].iter().chain(label.iter()) {
            state = (state ^ u32::from(*b)).wrapping_mul(0x0100_0193);
        }
        *hash = state;
    }
    all
}

fn place(hash: u32) -> usize {
    hash as usize % PLACES
}
