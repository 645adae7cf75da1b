//! How a client may show who it is.

/// A method of authentication (RFC 1928 section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// None.
    Open,
    /// A name and a password (RFC 1929).
    Password,
}

impl Method {
    /// The byte.
    pub const fn code(self) -> u8 {
        match self {
            Method::Open => 0,
            Method::Password => 2,
        }
    }
}

/// Methods that a side knows and accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offers {
    /// Without a login.
    pub open: bool,
    /// With a login.
    pub password: bool,
}

impl Offers {
    /// Everybody may come.
    pub const OPEN: Offers = Offers { open: true, password: false };
    /// Only who logs in may.
    pub const PASSWORD: Offers = Offers { open: false, password: true };

    /// What a server picks of what a client offers: a login if it can have one.
    pub(super) fn pick(self, offered: &[u8]) -> Option<Method> {
        let common = |on: bool, m: Method| (on && offered.contains(&m.code())).then_some(m);
        common(self.password, Method::Password).or(common(self.open, Method::Open))
    }
}
