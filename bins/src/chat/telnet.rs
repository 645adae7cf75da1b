//! Telnet clients.

/// Telnet's negotiations (RFC 854: IAC and what belongs to it) are no text.
pub(super) fn without_telnet(line: &[u8]) -> Vec<u8> {
    const IAC: u8 = 255;
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line.iter().copied();
    while let Some(b) = rest.next() {
        if b != IAC {
            out.push(b);
            continue;
        }
        match rest.next() {
            Some(250) => while rest.by_ref().take_while(|b| *b != 240).next().is_some() {}, // SB ... SE
            Some(251..=254) => {
                rest.next(); // WILL, WONT, DO, DONT and their option
            }
            Some(IAC) => out.push(IAC),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiations_are_no_text() {
        assert_eq!(without_telnet(b"plain"), b"plain");
        assert_eq!(without_telnet(b"\xff\xfb\x01a\xff\xfe\x03b\xff\xf1c"), b"abc", "WILL, DONT, NOP");
        assert_eq!(without_telnet(b"a\xff\xfa\x18\x00xterm\xff\xf0b"), b"ab", "a subnegotiation");
        assert_eq!(without_telnet(b"\xff\xff"), b"\xff", "a doubled IAC is a byte");
        assert_eq!(without_telnet(b"a\xff"), b"a", "cut short");
        assert_eq!(without_telnet(b"a\xff\xfax"), b"a");
    }
}
