//! The PROXY protocol, versions 1 and 2 (HAProxy, `proxy-protocol.txt`), as a layer: a balancer in front of a server says
//! in the first bytes of a connection where that really comes from.
//!
//! ```text
//! PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n
//! 0D0A0D0A000D0A515549540A 21 11 000C  source  destination  ports    (and more, which is passed over)
//! ```
//! Only what comes from a balancer may be believed: put the layer beneath connections whose peer is one, and beneath TLS.
use crate::{Deadline, Fault, Info, Instant, Layer, Sealed, Tx};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

/// The longest header of version 1, with its line end (section 2.1).
const LINE: usize = 107;
/// The most that a header of version 2 may carry here. The addresses take 216 bytes at most; the rest is for extensions.
pub const MAX: usize = 4096;
/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The layer. It is ready when it has read the header; [`Info::from`] is what that says.
#[derive(Debug)]
pub struct ProxyHeader {
    within: Duration,
    deadline: Option<Deadline>,
    done: bool,
}

impl ProxyHeader {
    /// The header must be here after `within`.
    pub fn new(within: Duration) -> Self {
        ProxyHeader { within, deadline: None, done: false }
    }
}

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its length in bytes.
    pub len: usize,
    /// Where the connection comes from; `None`: from the balancer itself, or from where there are no addresses.
    pub from: Option<SocketAddr>,
}

/// Reads the header at the beginning of `input`; `None`: more bytes are needed.
///
/// # Errors
/// What is wrong with it.
pub fn parse(input: &[u8]) -> Result<Option<Header>, &'static str> {
    let begins = |with: &[u8]| input.iter().zip(with).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        return binary(input);
    }
    if !begins(b"PROXY ") {
        return Err("no PROXY header");
    }
    let line = input.get(..input.len().min(LINE)).unwrap_or_default();
    match line.windows(2).position(|w| w == b"\r\n") {
        Some(end) => Ok(Some(Header { len: end + 2, from: text(input.get(6..end).unwrap_or_default())? })),
        None if input.len() >= LINE => Err("a PROXY header that does not end"),
        None => Ok(None),
    }
}

/// Version 1, between `PROXY ` and the line end.
fn text(line: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    const WRONG: &str = "a PROXY header that cannot be read";
    let line = core::str::from_utf8(line).map_err(|_| WRONG)?;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or(WRONG);
    let (family, from, to, from_port, to_port) = (word()?, word()?, word()?, word()?, word()?);
    let port = |s: &str| match s {
        "0" => Ok(0),
        _ if s.starts_with(['0', '+']) => Err(WRONG),
        _ => s.parse::<u16>().map_err(|_| WRONG),
    };
    let ip = |s: &str| match family {
        "TCP4" => s.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| WRONG),
        "TCP6" => s.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| WRONG),
        _ => Err(WRONG),
    };
    let (from, _) = (SocketAddr::new(ip(from)?, port(from_port)?), (ip(to)?, port(to_port)?));
    if words.next().is_some() { Err(WRONG) } else { Ok(Some(from)) }
}

fn binary(input: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some(&[command, family, high, low]) = input.get(12..16).and_then(|b| b.first_chunk::<4>()) else {
        return match input.get(12) {
            Some(command) if !matches!(command, 0x20 | 0x21) => Err("an unknown version or command in a PROXY header"),
            _ => Ok(None),
        };
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) {
        return Err("an unknown version or command in a PROXY header");
    }
    if len > MAX {
        return Err("a PROXY header that is too long");
    }
    let Some(body) = input.get(16..16 + len) else { return Ok(None) };
    const SHORT: &str = "a PROXY header that is too short for its addresses";
    let port = |at: usize| body.get(at..).and_then(|b| b.first_chunk()).map(|b| u16::from_be_bytes(*b)).ok_or(SHORT);
    let from = match (command, family) {
        (0x20, _) => None, // LOCAL: a check of the balancer's own
        (_, 0x11) => {
            let ip = *body.first_chunk::<4>().ok_or(SHORT)?;
            port(10)?;
            Some(SocketAddr::new(IpAddr::from(ip), port(8)?))
        }
        (_, 0x21) => {
            let ip = *body.first_chunk::<16>().ok_or(SHORT)?;
            port(34)?;
            Some(SocketAddr::new(IpAddr::from(ip), port(32)?))
        }
        (_, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None, // nothing that could be the address of a TCP client
        _ => return Err("an unknown family in a PROXY header"),
    };
    Ok(Some(Header { len: 16 + len, from }))
}

fn fault(what: &'static str, offset: u64) -> Fault {
    Fault { rule: "proxy-protocol 2", what, code: 400, offset }
}

impl Layer for ProxyHeader {
    fn start(&mut self, now: Instant, _: &mut Tx) {
        self.deadline = Some(Deadline::new(now, self.within, "PROXY header"));
    }
    fn open(
        &mut self,
        _: Instant,
        input: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        _: &mut Tx,
    ) -> Result<Option<Info>, Fault> {
        if self.done {
            plain.append(input);
            return Ok(None);
        }
        let Some(header) = parse(input).map_err(|what| fault(what, 0))? else { return Ok(None) };
        input.drain(..header.len);
        (self.done, self.deadline) = (true, None);
        Ok(Some(Info { from: header.from.map(Box::new), ..Info::default() }))
    }
    fn seal(&mut self, _: Instant, plain: &mut Tx, wire: &mut Tx) -> Result<Sealed, Fault> {
        if !self.done {
            return Ok(Sealed::NotReady);
        }
        wire.append(plain, wire.room());
        Ok(if plain.is_empty() { Sealed::All } else { Sealed::WireFull })
    }
    fn end_of_input(&mut self, _: &mut Tx) -> Result<(), Fault> {
        if self.done { Ok(()) } else { Err(fault("closed before the PROXY header was complete", 0)) }
    }
    fn close(&mut self, _: &mut Tx) {}
    fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }
    fn on_deadline(&mut self, now: Instant, _: &mut Tx) -> Result<(), Fault> {
        match self.deadline.filter(|d| d.at <= now) {
            Some(_) => Err(fault("no PROXY header in time", 0)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use alloc::{format, vec};

    type Said = Result<Option<&'static str>, &'static str>;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, body].concat()
    }
    fn said(input: &[u8]) -> Result<Option<String>, &'static str> {
        // Every prefix waits, and what follows the header does not matter.
        let whole = [input, b"GET /"].concat();
        for n in 0..input.len() {
            let got = parse(&whole[..n]);
            assert!(got == Ok(None) || got.is_err() && parse(&whole).is_err(), "{n} bytes: {got:?}");
        }
        parse(&whole).map(|h| {
            let h = h.expect("a header");
            assert_eq!(h.len, input.len());
            h.from.map(|a| a.to_string())
        })
    }

    #[test]
    fn what_headers_say() {
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0x12, 0x67, 1, 0xbb]].concat();
        let v4 = [203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 1, 0xbb];
        let rows: Vec<(Vec<u8>, Said)> = vec![
            (b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n".to_vec(), Ok(Some("203.0.113.7:4711"))),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n".to_vec(), Ok(Some("[2001:db8::7]:4711"))),
            (b"PROXY UNKNOWN\r\n".to_vec(), Ok(None)),
            (b"PROXY UNKNOWN ffff:: ffff:: 1 2\r\n".to_vec(), Ok(None)),
            (v2(0x21, 0x11, &v4), Ok(Some("203.0.113.7:4711"))),
            (v2(0x21, 0x11, &[&v4[..], b"\x03\0\x04abcd"].concat()), Ok(Some("203.0.113.7:4711"))),
            (v2(0x21, 0x21, &v6), Ok(Some("[2001:db8::7]:4711"))),
            (v2(0x21, 0x31, &[0; 216]), Ok(None)),
            (v2(0x21, 0x00, b""), Ok(None)),
            (v2(0x20, 0x00, b""), Ok(None)),
            (v2(0x20, 0x11, &v4), Ok(None)),
        ];
        for (input, want) in rows {
            assert_eq!(said(&input), want.map(|w| w.map(String::from)), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_header() {
        let bad = |input: &[u8]| parse(input).expect_err("wrong");
        for line in [
            "PROXY TCP4 203.0.113.7 192.0.2.1 4711\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443 1\r\n",
            "PROXY TCP4 2001:db8::7 192.0.2.1 4711 443\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 04711 443\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 4711 65536\r\n",
            "PROXY TCP4  203.0.113.7 192.0.2.1 4711 443\r\n",
            "PROXY UDP4 203.0.113.7 192.0.2.1 4711 443\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(bad(line.as_bytes()), "a PROXY header that cannot be read", "{line}");
        }
        assert_eq!(bad(b"GET / HTTP/1.1\r\n"), "no PROXY header");
        assert_eq!(bad(format!("PROXY TCP4 {}", "1".repeat(200)).as_bytes()), "a PROXY header that does not end");
        assert_eq!(bad(&v2(0x31, 0x11, &[0; 12])), "an unknown version or command in a PROXY header");
        assert_eq!(bad(&v2(0x21, 0x13, &[0; 12])), "an unknown family in a PROXY header");
        assert_eq!(bad(&v2(0x21, 0x11, &[0; 11])), "a PROXY header that is too short for its addresses");
        assert_eq!(bad(&v2(0x21, 0x21, &[0; 35])), "a PROXY header that is too short for its addresses");
        assert_eq!(bad(&v2(0x21, 0x11, &[0; MAX + 1])[..16]), "a PROXY header that is too long");
        assert!(parse(&v2(0x21, 0x11, &[0; MAX])).is_ok());
    }

    #[test]
    fn bytes_pass_after_it_and_nothing_before() {
        let (mut tx, now) = (Tx::default(), Instant::default());
        let (mut layer, mut plain) = (ProxyHeader::new(Duration::from_secs(5)), Vec::new());
        layer.start(now, &mut tx);
        let mut out = Tx::default();
        out.put(b"hello");
        assert_eq!(layer.seal(now, &mut out, &mut tx), Ok(Sealed::NotReady));
        let mut input = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\nGET".to_vec();
        let info = layer.open(now, &mut input, &mut plain, &mut tx).expect("a header").expect("it is ready");
        assert_eq!(info.from.map(|a| a.to_string()).as_deref(), Some("203.0.113.7:4711"));
        assert_eq!(layer.open(now, &mut input, &mut plain, &mut tx), Ok(None));
        assert_eq!((plain.as_slice(), layer.deadline()), (&b"GET"[..], None));
        assert_eq!(layer.seal(now, &mut out, &mut tx), Ok(Sealed::All));
        assert!(layer.end_of_input(&mut tx).is_ok());
    }

    #[test]
    fn who_says_nothing_is_not_waited_for() {
        let (mut tx, now) = (Tx::default(), Instant::default());
        let mut layer = ProxyHeader::new(Duration::from_secs(5));
        layer.start(now, &mut tx);
        assert!(layer.on_deadline(now.after(Duration::from_secs(4)), &mut tx).is_ok());
        assert!(layer.on_deadline(now.after(Duration::from_secs(5)), &mut tx).is_err());
        assert!(layer.end_of_input(&mut tx).is_err());
    }
}
