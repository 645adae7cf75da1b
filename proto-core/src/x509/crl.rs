//! Revocation lists (RFC 5280 section 5), as far as one wants to know what is in them.
use super::{BITS, Date, Der, INTEGER, Malformed, Name, OCTETS, OID, SEQUENCE, Vec, date};

/// A revocation list.
#[derive(Clone, Debug)]
pub struct RevocationList<'a> {
    /// Who made it.
    pub issuer: Name<'a>,
    /// When.
    pub this_update: Date,
    /// When the next one is due.
    pub next_update: Option<Date>,
    /// What is revoked.
    pub revoked: Vec<Revoked<'a>>,
}

/// One certificate that is revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revoked<'a> {
    /// Its serial number, without a leading zero.
    pub serial: &'a [u8],
    /// Since when.
    pub at: Date,
    /// Why, by number (section 5.3.1); 0 if that is not told.
    pub reason: u8,
}

impl Revoked<'_> {
    /// Why, in a word.
    pub fn reason(&self) -> &'static str {
        match self.reason {
            1 => "key compromise",
            2 => "CA compromise",
            3 => "affiliation changed",
            4 => "superseded",
            5 => "cessation of operation",
            6 => "on hold",
            9 => "privilege withdrawn",
            10 => "AA compromise",
            _ => "unspecified",
        }
    }
}

/// A number's bytes without a leading zero.
pub(super) fn bare(serial: &[u8]) -> &[u8] {
    serial.strip_prefix(&[0]).filter(|s| !s.is_empty()).unwrap_or(serial)
}

impl<'a> RevocationList<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// What is missing, and where.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Der::new(der).take(SEQUENCE, "a revocation list")?.inner();
        let mut tbs = outer.take(SEQUENCE, "the signed part of a revocation list")?.inner();
        outer.take(SEQUENCE, "a signature algorithm")?;
        outer.take(BITS, "a signature")?;
        tbs.optional(INTEGER, "a version")?;
        tbs.take(SEQUENCE, "a signature algorithm")?;
        let issuer = Name::new(tbs.take(SEQUENCE, "an issuer")?);
        let this_update = date(&mut tbs)?;
        let next_update = if matches!(tbs.peek(), Some(0x17 | 0x18)) { Some(date(&mut tbs)?) } else { None };
        let mut revoked = Vec::new();
        if let Some(all) = tbs.optional(SEQUENCE, "revoked certificates")? {
            let mut all = all.inner();
            while !all.is_empty() {
                revoked.push(entry(all.take(SEQUENCE, "a revoked certificate")?.inner())?);
            }
        }
        Ok(RevocationList { issuer, this_update, next_update, revoked })
    }
    /// What it says of a certificate with this serial number.
    pub fn find(&self, serial: &[u8]) -> Option<&Revoked<'a>> {
        self.revoked.iter().find(|r| r.serial == serial)
    }
}

fn entry(mut one: Der<'_>) -> Result<Revoked<'_>, Malformed> {
    let serial = bare(one.take(INTEGER, "a serial number")?.body);
    let at = date(&mut one)?;
    let mut reason = 0;
    if let Some(extensions) = one.optional(SEQUENCE, "extensions")? {
        let mut all = extensions.inner();
        while !all.is_empty() {
            let mut one = all.take(SEQUENCE, "an extension")?.inner();
            let id = one.take(OID, "an extension's name")?.body;
            if id == [0x55, 0x1d, 0x15] && one.peek() == Some(OCTETS) {
                let mut value = one.take(OCTETS, "a reason")?.inner();
                reason = value.take(0x0a, "a reason")?.body.first().copied().unwrap_or(0);
            }
        }
    }
    Ok(Revoked { serial, at, reason })
}
