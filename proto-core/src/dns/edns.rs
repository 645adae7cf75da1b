//! EDNS(0): the OPT record (RFC 6891) and its options.
use super::{Record, Type, Value};
use alloc::vec::Vec;

/// What an OPT record says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Edns<'m> {
    /// Bytes of the largest datagram that its sender takes.
    pub size: u16,
    /// The upper eight bits of the response code.
    pub rcode_high: u8,
    /// Its version; 0 is the only one.
    pub version: u8,
    /// DNSSEC records are wanted (DO).
    pub dnssec: bool,
    /// Options in wire form.
    pub options: &'m [u8],
}

/// One option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdnsOption<'m> {
    /// Its number.
    pub code: u16,
    /// Its data.
    pub data: &'m [u8],
}

impl<'m> Edns<'m> {
    /// Without options.
    pub const fn new(size: u16) -> Self {
        Edns { size, rcode_high: 0, version: 0, dnssec: false, options: &[] }
    }
    pub(super) fn of(record: &Record<'m>) -> Option<Self> {
        let [rcode_high, version, flags, _] = record.ttl.to_be_bytes();
        (record.kind == Type::OPT).then(|| Edns {
            size: record.class.0,
            rcode_high,
            version,
            dnssec: flags & 0x80 != 0,
            options: record.data(),
        })
    }
    pub(super) fn ttl(&self) -> u32 {
        u32::from_be_bytes([self.rcode_high, self.version, u8::from(self.dnssec) << 7, 0])
    }
    /// Its options, up to the first that is malformed.
    pub fn options(&self) -> impl Iterator<Item = EdnsOption<'m>> + 'm {
        let fields = super::Fields::new(self.options, 0, self.options.len(), Type::OPT.layout());
        fields.map_while(Result::ok).filter_map(|v| if let Value::Option(o) = v { Some(o) } else { None })
    }
    /// The first extended error (RFC 8914): its code, and a text that may be empty.
    pub fn extended_error(&self) -> Option<(u16, &'m [u8])> {
        let option = self.options().find(|o| o.code == EdnsOption::ERROR)?;
        let (code, text) = option.data.split_first_chunk()?;
        Some((u16::from_be_bytes(*code), text))
    }
}

impl EdnsOption<'_> {
    /// Name of the server (RFC 5001).
    pub const NSID: u16 = 3;
    /// Subnet of the client (RFC 7871).
    pub const SUBNET: u16 = 8;
    /// Cookie (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// Extended error (RFC 8914).
    pub const ERROR: u16 = 15;

    /// Its name in the registry.
    pub fn name(&self) -> Option<&'static str> {
        Some(match self.code {
            1 => "LLQ",
            3 => "NSID",
            5 => "DAU",
            6 => "DHU",
            7 => "N3U",
            8 => "ECS",
            9 => "EXPIRE",
            10 => "COOKIE",
            11 => "KEEPALIVE",
            12 => "PADDING",
            13 => "CHAIN",
            14 => "KEYTAG",
            15 => "EDE",
            18 => "REPORT",
            19 => "ZONEVERSION",
            _ => return None,
        })
    }
    /// Adds it to options in wire form.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.to_be_bytes());
        out.extend_from_slice(&(self.data.len() as u16).to_be_bytes());
        out.extend_from_slice(self.data);
    }
}

/// What an extended error means (RFC 8914 5.2).
pub fn ede_name(code: u16) -> Option<&'static str> {
    const NAMES: [&str; 30] = [
        "Other",
        "Unsupported DNSKEY Algorithm",
        "Unsupported DS Digest Type",
        "Stale Answer",
        "Forged Answer",
        "DNSSEC Indeterminate",
        "DNSSEC Bogus",
        "Signature Expired",
        "Signature Not Yet Valid",
        "DNSKEY Missing",
        "RRSIGs Missing",
        "No Zone Key Bit Set",
        "NSEC Missing",
        "Cached Error",
        "Not Ready",
        "Blocked",
        "Censored",
        "Filtered",
        "Prohibited",
        "Stale NXDOMAIN Answer",
        "Not Authoritative",
        "Not Supported",
        "No Reachable Authority",
        "Network Error",
        "Invalid Data",
        "Signature Expired before Valid",
        "Too Early",
        "Unsupported NSEC3 Iterations Value",
        "Unable to conform to policy",
        "Synthesized",
    ];
    NAMES.get(usize::from(code)).copied()
}
