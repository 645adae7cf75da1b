//! Heads that we write: nothing gets in that would end a line early or frame the message differently.
use super::fields::{is_token, is_value};
use crate::Misuse;
use alloc::vec::Vec;

/// Fields that were checked once and may be written any number of times: what every answer carries, such as `Server` and
/// `Date`. An app makes a new one when the second changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FieldBlock(Vec<u8>);

impl FieldBlock {
    /// Checks and formats `fields`: (name, value).
    ///
    /// # Errors
    /// [`Misuse`] for a name that is no token, a value with control characters, and for `Content-Length`,
    /// `Transfer-Encoding` and `Connection`, which the machines write.
    pub fn new(fields: &[(&str, &[u8])]) -> Result<Self, Misuse> {
        let mut block = alloc::vec![0; check(fields, Role::Server)?];
        let mut w = Writer::new(&mut block);
        fields.iter().for_each(|(name, value)| w.field(name, value));
        Ok(FieldBlock(block))
    }
    /// The lines, each with its CRLF.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whose fields they are: a client may write `Connection` itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
    Trailers,
}

/// Bytes that the fields take as lines.
pub(crate) fn check(fields: &[(&str, &[u8])], role: Role) -> Result<usize, Misuse> {
    fields.iter().try_fold(0, |n, (name, value)| {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if !is_token(name.as_bytes()) {
            return Err(Misuse("a field name that is not a token"));
        }
        if !is_value(value) {
            return Err(Misuse("a control character in a field value"));
        }
        if is("content-length") || is("transfer-encoding") || role != Role::Client && is("connection") {
            return Err(Misuse("a field that the machine writes itself"));
        }
        if role == Role::Trailers && super::chunked::NOT_IN_TRAILERS.iter().any(|n| is(n)) {
            return Err(Misuse("a field that may not be a trailer"));
        }
        Ok(n + name.len() + value.len() + 4)
    })
}

/// Writes into space that was measured before; what does not fit is left out, which the measuring rules out.
pub(crate) struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buf: &'a mut [u8]) -> Self {
        Writer { buf, at: 0 }
    }
    /// Bytes written.
    pub(crate) fn len(&self) -> usize {
        self.at
    }
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let to = self.buf.get_mut(self.at..self.at + bytes.len());
        debug_assert!(to.is_some(), "a head was measured too small");
        if let Some(to) = to {
            to.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }
    pub(crate) fn field(&mut self, name: &str, value: &[u8]) {
        self.put(name.as_bytes());
        self.put(b": ");
        self.put(value);
        self.put(b"\r\n");
    }
    /// In decimal.
    pub(crate) fn number(&mut self, n: u64) {
        digits(n, 10, |d| self.put(d));
    }
}

/// Largest text of a number.
pub(crate) const DIGITS: usize = 20;

/// Hands `f` the digits of `n` to the base 10 or 16.
pub(crate) fn digits<R>(mut n: u64, base: u64, f: impl FnOnce(&[u8]) -> R) -> R {
    let mut text = [0; DIGITS];
    let mut used = 0;
    for d in text.iter_mut().rev() {
        *d = b"0123456789abcdef".get((n % base) as usize).copied().unwrap_or(b'0');
        used += 1;
        n /= base;
        if n == 0 {
            break;
        }
    }
    f(text.get(DIGITS - used..).unwrap_or_default())
}

/// Puts `n` in decimal.
pub(crate) fn put_number(n: u64, tx: &mut crate::Tx) {
    digits(n, 10, |d| tx.put(d));
}

/// The usual reason of a status (RFC 9110 15, RFC 6585); empty for one that is not known.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for n in [0, 9, 10, 255, 256, 1_048_576, u64::MAX] {
            digits(n, 10, |d| assert_eq!(d, alloc::format!("{n}").as_bytes()));
            digits(n, 16, |d| assert_eq!(d, alloc::format!("{n:x}").as_bytes()));
        }
    }

    #[test]
    fn fields_that_would_break_a_head_are_refused() {
        for value in ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\x7fb", "\x1b[0m"] {
            assert!(FieldBlock::new(&[("X", value.as_bytes())]).is_err(), "{value:?}");
        }
        for name in ["", "a b", "a:", "a\r\n", "a\0", "\u{e4}", "Content-Length", "transfer-encoding", "CONNECTION"] {
            assert!(FieldBlock::new(&[(name, b"x")]).is_err(), "{name:?}");
        }
        let block = FieldBlock::new(&[("Server", b"drywire"), ("X", "\t\u{e4}".as_bytes())]).expect("both are good");
        assert_eq!(block.as_bytes(), "Server: drywire\r\nX: \t\u{e4}\r\n".as_bytes());
    }
}
