//! The directories that are served, and which of them a request is for.
use super::site::Options;
use super::store::{CacheLimits, Store};
use proto_core::{DirId, OpId};

/// The part byte of the first directory's questions; the others' follow.
const FIRST: u8 = 64;
/// Directories at most.
pub const MOST: usize = 64;

/// A directory under a name.
#[derive(Debug)]
pub struct Place {
    /// Hosts that it is for, such as `example.com` or `*.example.com`; empty for the one that serves all others.
    pub host: String,
    /// The directory, as it was named.
    pub dir: String,
    /// Its files.
    pub store: Store,
}

/// All of them, that for every other host first.
#[derive(Debug)]
pub struct Places(Vec<Place>);

impl Places {
    /// The directories of the options.
    pub fn new(options: &Options) -> Self {
        let all = core::iter::once((String::new(), options.root.clone())).chain(options.sites.iter().cloned());
        let all: Vec<(String, String)> = all.take(MOST).collect();
        let n = all.len();
        let cache = options.cache;
        let limits = CacheLimits { entries: cache.entries / n, bytes: cache.bytes / n, open: cache.open / n, ..cache };
        let place = |(part, (host, dir))| {
            let store = Store::new(part, limits, !options.follow_symlinks, options.types.clone());
            Place { host, dir, store }
        };
        Places((FIRST..).zip(all).map(place).collect())
    }
    /// Which is for a host (RFC 9110 7.2), given with its port or without: the one of that name, or else the one of the
    /// longest name that it is beneath, or else the first.
    #[inline]
    pub fn of(&self, host: Option<&[u8]>) -> usize {
        if self.0.len() == 1 { 0 } else { self.named(host.unwrap_or_default()) }
    }
    fn named(&self, host: &[u8]) -> usize {
        let host = String::from_utf8_lossy(host).to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => &host,
        };
        let name = name.trim_end_matches('.');
        let fits = |p: &Place| match p.host.strip_prefix('*') {
            Some(end) => name.len() > end.len() && name.ends_with(end),
            None => p.host == name,
        };
        let weight = |p: &Place| (!p.host.starts_with('*'), p.host.len());
        let found = self.0.iter().enumerate().skip(1).filter(|(_, p)| fits(p));
        found.max_by_key(|(_, p)| weight(p)).map_or(0, |(i, _)| i)
    }
    /// Whose question it was.
    pub fn by_part(&self, id: OpId) -> Option<usize> {
        let i = usize::from(id.part().checked_sub(FIRST)?);
        (i < self.0.len()).then_some(i)
    }
    /// One of them.
    #[inline]
    pub fn store(&mut self, i: usize) -> Option<&mut Store> {
        self.0.get_mut(i).map(|p| &mut p.store)
    }
    /// It is open.
    pub fn opened(&mut self, i: usize, dir: DirId) {
        if let Some(store) = self.store(i) {
            store.set_root(dir);
        }
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Place> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_fits_best() {
        let sites = [("a.example", "a"), ("*.example", "b"), ("*.c.example", "c"), ("::1", "d")];
        let sites = sites.map(|(h, d)| (h.to_string(), d.to_string())).to_vec();
        let places = Places::new(&Options { sites, ..Options::default() });
        for (host, want) in [
            ("a.example", 1),
            ("A.Example:8080", 1),
            ("a.example.", 1),
            ("x.a.example", 2),
            ("b.example", 2),
            ("x.c.example", 3),
            ("c.example", 2),
            ("example", 0),
            (".example", 0),
            ("a.example.org", 0),
            ("", 0),
            ("a.example:x", 0),
        ] {
            assert_eq!(places.of(Some(host.as_bytes())), want, "{host}");
        }
        assert_eq!(places.of(None), 0);
        assert_eq!(Places::new(&Options::default()).of(Some(b"a.example")), 0);
    }
}
