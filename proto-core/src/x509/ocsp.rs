//! OCSP responses (RFC 6960), as they are stapled to a handshake: what the first answer in one says. Its signature is not
//! looked at: a fact, no proof.
use super::{BITS, Date, Der, INTEGER, Malformed, OCTETS, OID, SEQUENCE, date};

/// What a response says of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Staple<'a> {
    /// `good`, `revoked`, `unknown`; or why there is no answer, such as `try later`.
    pub status: &'static str,
    /// The certificate's serial number, without a leading zero; empty without an answer.
    pub serial: &'a [u8],
    /// Since when that is known.
    pub from: Date,
    /// When there will be more to know.
    pub until: Option<Date>,
}

const ENUMERATED: u8 = 0x0a;
/// `id-pkix-ocsp-basic`.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

impl<'a> Staple<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// What is missing, and where.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Der::new(der).take(SEQUENCE, "an OCSP response")?.inner();
        let status = outer.take(ENUMERATED, "a response status")?;
        let failed = match status.body {
            [0] => None,
            [1] => Some("malformed request"),
            [2] => Some("internal error"),
            [3] => Some("try later"),
            [5] => Some("signature required"),
            [6] => Some("unauthorized"),
            _ => return Err(status.wrong("a response status")),
        };
        if let Some(status) = failed {
            return Ok(Staple { status, serial: &[], from: Date::default(), until: None });
        }
        let mut bytes = outer.take(0xa0, "response bytes")?.inner().take(SEQUENCE, "response bytes")?.inner();
        let kind = bytes.take(OID, "a response type")?;
        if kind.body != BASIC {
            return Err(kind.wrong("a basic response"));
        }
        let basic = bytes.take(OCTETS, "a response")?.inner().take(SEQUENCE, "a basic response")?;
        let mut basic = basic.inner();
        let mut data = basic.take(SEQUENCE, "response data")?.inner();
        basic.take(SEQUENCE, "a signature algorithm")?;
        basic.take(BITS, "a signature")?;
        data.optional(0xa0, "a version")?;
        data.any("a responder")?;
        date(&mut data)?;
        let mut all = data.take(SEQUENCE, "responses")?.inner();
        Staple::single(all.take(SEQUENCE, "a response")?.inner())
    }
    fn single(mut one: Der<'a>) -> Result<Self, Malformed> {
        let mut id = one.take(SEQUENCE, "a certificate's id")?.inner();
        id.take(SEQUENCE, "a hash algorithm")?;
        id.take(OCTETS, "a name's hash")?;
        id.take(OCTETS, "a key's hash")?;
        let serial = super::crl::bare(id.take(INTEGER, "a serial number")?.body);
        let status = one.any("a certificate's status")?;
        let status = match status.tag {
            0x80 => "good",
            0xa1 => "revoked",
            0x82 => "unknown",
            _ => return Err(status.wrong("a certificate's status")),
        };
        let from = date(&mut one)?;
        let until = match one.optional(0xa0, "a next update")? {
            Some(next) => Some(date(&mut next.inner())?),
            None => None,
        };
        Ok(Staple { status, serial, from, until })
    }
}
