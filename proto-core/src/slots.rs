//! State by token: an array, not a map.
use crate::Token;
use alloc::vec::Vec;

/// What an app or driver knows about each token. A stale token finds nothing.
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Option<(Token, T)>>,
    len: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { slots: Vec::new(), len: 0 }
    }
}

impl<T> Slots<T> {
    /// Remembers `v` for `t`, and forgets what an earlier life of the slot left.
    pub fn insert(&mut self, t: Token, v: T) {
        if self.slots.len() <= t.index() {
            self.slots.resize_with(t.index() + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(t.index()) {
            self.len += usize::from(slot.is_none());
            *slot = Some((t, v));
        }
    }
    /// What is known about `t`.
    #[inline]
    pub fn get(&self, t: Token) -> Option<&T> {
        match self.slots.get(t.index()) {
            Some(Some((own, v))) if *own == t => Some(v),
            _ => None,
        }
    }
    /// What is known about `t`, to change.
    #[inline]
    pub fn get_mut(&mut self, t: Token) -> Option<&mut T> {
        match self.slots.get_mut(t.index()) {
            Some(Some((own, v))) if *own == t => Some(v),
            _ => None,
        }
    }
    /// Forgets `t`.
    pub fn remove(&mut self, t: Token) -> Option<T> {
        self.get(t)?;
        self.len -= 1;
        self.slots.get_mut(t.index())?.take().map(|(_, v)| v)
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
        self.slots.iter().flatten().map(|(t, v)| (*t, v))
    }
    /// All, in slot order, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Token, &mut T)> {
        self.slots.iter_mut().flatten().map(|(t, v)| (*t, v))
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
