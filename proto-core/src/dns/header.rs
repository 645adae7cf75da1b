//! The header's second word: flags, opcode and response code (RFC 1035 4.1.1, RFC 2535, RFC 6891).
use core::fmt;

/// Flags, opcode and the lower bits of the response code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(pub u16);

/// The flags by name, as dig prints them.
const NAMES: [(&str, u16); 7] =
    [("qr", 1 << 15), ("aa", 1 << 10), ("tc", 1 << 9), ("rd", 1 << 8), ("ra", 1 << 7), ("ad", 1 << 5), ("cd", 1 << 4)];

impl Flags {
    /// A query without any flag.
    pub const QUERY: Flags = Flags(0);
    /// A response without any other flag.
    pub const RESPONSE: Flags = Flags(1 << 15);

    /// It is a response (QR).
    pub fn is_response(self) -> bool {
        self.0 & 1 << 15 != 0
    }
    /// The answer is authoritative (AA).
    pub fn is_authoritative(self) -> bool {
        self.0 & 1 << 10 != 0
    }
    /// It was cut to fit (TC).
    pub fn is_truncated(self) -> bool {
        self.0 & 1 << 9 != 0
    }
    /// Recursion is desired (RD).
    pub fn wants_recursion(self) -> bool {
        self.0 & 1 << 8 != 0
    }
    /// The kind of question.
    pub fn opcode(self) -> Opcode {
        Opcode((self.0 >> 11) as u8 & 15)
    }
    /// The lower four bits of the response code; the OPT record may have eight more.
    pub fn rcode(self) -> Rcode {
        Rcode(self.0 & 15)
    }
    /// With RD.
    pub const fn with_recursion(self) -> Self {
        Flags(self.0 | 1 << 8)
    }
    /// With TC.
    pub const fn with_truncation(self) -> Self {
        Flags(self.0 | 1 << 9)
    }
    /// With AD: "tell me whether you have validated it" (RFC 6840 5.7).
    pub const fn with_authentic(self) -> Self {
        Flags(self.0 | 1 << 5)
    }
    /// With CD: "do not validate".
    pub const fn with_checking_disabled(self) -> Self {
        Flags(self.0 | 1 << 4)
    }
    /// With another response code; only its lower four bits are here.
    pub const fn with_rcode(self, rcode: Rcode) -> Self {
        Flags(self.0 & !15 | rcode.0 & 15)
    }
    /// The names of the flags that are set: `qr rd ra`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(_, bit)| self.0 & bit != 0).map(|(name, _)| name)
    }
}

/// The kind of question; 0 is the ordinary one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Opcode(pub u8);

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("QUERY"),
            1 => f.write_str("IQUERY"),
            2 => f.write_str("STATUS"),
            4 => f.write_str("NOTIFY"),
            5 => f.write_str("UPDATE"),
            6 => f.write_str("DSO"),
            n => write!(f, "OPCODE{n}"),
        }
    }
}

/// What a server says about the question as a whole: 12 bits with EDNS, 16 in TSIG.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Rcode(pub u16);

macro_rules! rcodes {
    ($($(#[$doc:meta])* $constant:ident = $n:literal, $short:literal, $long:literal;)*) => {
        impl Rcode {
            $($(#[$doc])* pub const $constant: Rcode = Rcode($n);)*
            /// In words: `Name Error`.
            pub fn words(self) -> Option<&'static str> {
                match self.0 { $($n => Some($long),)* _ => None }
            }
            /// The mnemonic of the registry: `NXDOMAIN`.
            pub fn mnemonic(self) -> Option<&'static str> {
                match self.0 { $($n => Some($short),)* _ => None }
            }
        }
    };
}

rcodes! {
    /// All is well; there may be no records all the same.
    NO_ERROR = 0, "NOERROR", "No Error";
    /// The server could not read the question.
    FORMAT_ERROR = 1, "FORMERR", "Format Error";
    /// The server failed.
    SERVER_FAILURE = 2, "SERVFAIL", "Server Failure";
    /// There is no such name.
    NAME_ERROR = 3, "NXDOMAIN", "Name Error";
    /// The server does not do that.
    NOT_IMPLEMENTED = 4, "NOTIMP", "Not Implemented";
    /// The server does not want to.
    REFUSED = 5, "REFUSED", "Refused";
    /// RFC 2136.
    NAME_EXISTS = 6, "YXDOMAIN", "Name Exists";
    /// RFC 2136.
    SET_EXISTS = 7, "YXRRSET", "Set Exists";
    /// RFC 2136.
    NO_SET = 8, "NXRRSET", "No Such Set";
    /// RFC 2136, RFC 8945.
    NOT_AUTHORITATIVE = 9, "NOTAUTH", "Not Authoritative";
    /// RFC 2136.
    NOT_IN_ZONE = 10, "NOTZONE", "Not In Zone";
    /// RFC 8490.
    NO_DSO = 11, "DSOTYPENI", "DSO Type Not Implemented";
    /// RFC 6891: a version of EDNS that the server does not know.
    BAD_VERSION = 16, "BADVERS", "Bad Version";
    /// RFC 7873.
    BAD_COOKIE = 23, "BADCOOKIE", "Bad Cookie";
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}
