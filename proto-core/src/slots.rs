//! State by token: an array, not a map.
use crate::Token;
use alloc::vec::Vec;

/// What an app or driver knows about each token. A stale token finds nothing.
///
/// The tokens lie apart from the values, side by side: a look for a token that is not there touches no value, and
/// with thousands of connections each value is a miss of the cache.
#[derive(Debug)]
pub struct Slots<T> {
    /// Whose the value is, as bits; [`NOBODY`] where there is none.
    owners: Vec<u64>,
    values: Vec<Option<T>>,
    len: usize,
}

/// No token of an app: its index and part are the last ones.
const NOBODY: u64 = u64::MAX;

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { owners: Vec::new(), values: Vec::new(), len: 0 }
    }
}

impl<T> Slots<T> {
    /// Remembers `v` for `t`, and forgets what an earlier life of the slot left.
    pub fn insert(&mut self, t: Token, v: T) {
        if self.owners.len() <= t.index() {
            self.owners.resize(t.index() + 1, NOBODY);
            self.values.resize_with(t.index() + 1, || None);
        }
        if let (Some(owner), Some(value)) = (self.owners.get_mut(t.index()), self.values.get_mut(t.index())) {
            self.len += usize::from(*owner == NOBODY);
            (*owner, *value) = (t.to_bits(), Some(v));
        }
    }
    #[inline]
    fn has(&self, t: Token) -> bool {
        self.owners.get(t.index()) == Some(&t.to_bits())
    }
    /// What is known about `t`.
    #[inline]
    pub fn get(&self, t: Token) -> Option<&T> {
        if self.has(t) { self.values.get(t.index())?.as_ref() } else { None }
    }
    /// What is known about `t`, to change.
    #[inline]
    pub fn get_mut(&mut self, t: Token) -> Option<&mut T> {
        if self.has(t) { self.values.get_mut(t.index())?.as_mut() } else { None }
    }
    /// Forgets `t`.
    pub fn remove(&mut self, t: Token) -> Option<T> {
        if !self.has(t) {
            return None;
        }
        self.len -= 1;
        *self.owners.get_mut(t.index())? = NOBODY;
        self.values.get_mut(t.index())?.take()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// All, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        let all = self.owners.iter().zip(&self.values);
        all.filter_map(|(bits, v)| Some((Token::from_bits(*bits), v.as_ref()?)))
    }
    /// All, in slot order, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Token, &mut T)> {
        let all = self.owners.iter().zip(&mut self.values);
        all.filter_map(|(bits, v)| Some((Token::from_bits(*bits), v.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_an_earlier_life_finds_nothing() {
        let (old, new) = (Token::new(3, 1, 0), Token::new(3, 1, 1));
        let mut s = Slots::default();
        s.insert(old, 'a');
        s.insert(new, 'b');
        assert_eq!((s.len(), s.get(old), s.get(new)), (1, None, Some(&'b')));
        assert_eq!((s.remove(old), s.remove(new), s.len()), (None, Some('b'), 0));
    }
}
