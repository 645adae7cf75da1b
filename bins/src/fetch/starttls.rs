//! What is said in clear before TLS begins in protocols that begin without it, as a layer: SMTP (RFC 3207), IMAP and POP3
//! (RFC 2595), FTP (RFC 4217), XMPP (RFC 6120), PostgreSQL.
use core::time::Duration;
use proto_core::{Deadline, Fault, Info, Instant, Layer, Sealed, Tx};

/// Where its faults are from.
pub const RULE: &str = "STARTTLS";
/// Bytes of a server's answer.
const MOST: usize = 16 << 10;

/// A protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Protocol {
    /// Mail on its way.
    Smtp,
    /// A mailbox.
    Imap,
    /// A mailbox of the older kind.
    Pop3,
    /// Files.
    Ftp,
    /// Messages.
    Xmpp,
    /// A database.
    Postgres,
}

impl Protocol {
    /// Its port.
    pub fn port(self) -> u16 {
        match self {
            Protocol::Smtp => 25,
            Protocol::Imap => 143,
            Protocol::Pop3 => 110,
            Protocol::Ftp => 21,
            Protocol::Xmpp => 5222,
            Protocol::Postgres => 5432,
        }
    }
    /// What is said at each step, and what the answer to it begins with; nothing is said before a greeting.
    fn steps(self, host: &str) -> Vec<(Vec<u8>, &'static str)> {
        let steps: &[(&str, &'static str)] = match self {
            Protocol::Smtp => &[("", "220"), ("EHLO drywire.invalid\r\n", "250"), ("STARTTLS\r\n", "220")],
            Protocol::Imap => &[("", "* OK"), ("a STARTTLS\r\n", "a OK")],
            Protocol::Pop3 => &[("", "+OK"), ("STLS\r\n", "+OK")],
            Protocol::Ftp => &[("", "220"), ("AUTH TLS\r\n", "234")],
            Protocol::Xmpp => {
                let hello = format!(
                    "<?xml version='1.0'?><stream:stream to='{host}' xmlns='jabber:client' \
                     xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
                );
                let ask = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_vec();
                return vec![(hello.into_bytes(), "</stream:features>"), (ask, "<proceed")];
            }
            Protocol::Postgres => return vec![(vec![0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f], "S")],
        };
        steps.iter().map(|(say, hear)| (say.as_bytes().to_vec(), *hear)).collect()
    }
    /// How much of `input` is the answer that is waited for; `None`: there must be more.
    fn answer(self, input: &[u8], wanted: &str) -> Result<Option<usize>, &'static str> {
        const NO: &str = "the server does not offer TLS here";
        match self {
            Protocol::Postgres => match input.first() {
                None => Ok(None),
                Some(b'S') => Ok(Some(1)),
                Some(b'N') => Err(NO),
                Some(_) => Err("not an answer of PostgreSQL"),
            },
            Protocol::Xmpp => {
                let at = |text: &str| input.windows(text.len()).position(|w| w == text.as_bytes());
                if at("<failure").is_some() || at("</stream:stream>").is_some() {
                    return Err(NO);
                }
                let Some(from) = at(wanted) else { return Ok(None) };
                if wanted.starts_with("</") && at("urn:ietf:params:xml:ns:xmpp-tls").is_none() {
                    return Err(NO);
                }
                let rest = input.get(from..).unwrap_or_default();
                Ok(rest.iter().position(|b| *b == b'>').map(|end| from + end + 1))
            }
            Protocol::Smtp | Protocol::Imap | Protocol::Pop3 | Protocol::Ftp => {
                let mut at = 0;
                while let Some(end) = input.get(at..).and_then(|r| r.iter().position(|b| *b == b'\n')) {
                    let line = input.get(at..at + end).unwrap_or_default();
                    at += end + 1;
                    let goes_on = match self {
                        // More lines of the same answer (RFC 5321 4.2.1), and of something else.
                        Protocol::Smtp | Protocol::Ftp => line.get(3) == Some(&b'-'),
                        Protocol::Imap => wanted.starts_with("a ") && line.starts_with(b"* "),
                        _ => false,
                    };
                    if goes_on {
                        continue;
                    }
                    return if line.starts_with(wanted.as_bytes()) { Ok(Some(at)) } else { Err(NO) };
                }
                Ok(None)
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct StartTls {
    protocol: Protocol,
    /// What is left to be said and heard; the first has been said.
    steps: Vec<(Vec<u8>, &'static str)>,
    since: Instant,
    within: Duration,
}

fn fault(what: &'static str) -> Fault {
    Fault { rule: RULE, what, code: 0, offset: 0 }
}

impl StartTls {
    /// With a server that has `within` for all of it.
    pub fn new(protocol: Protocol, host: &str, within: Duration) -> Self {
        StartTls { protocol, steps: protocol.steps(host), since: Instant::default(), within }
    }
    fn is_open(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Layer for StartTls {
    fn start(&mut self, now: Instant, wire: &mut Tx) {
        self.since = now;
        if let Some((say, _)) = self.steps.first() {
            wire.put(say);
        }
    }
    fn open(
        &mut self,
        _: Instant,
        input: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        wire: &mut Tx,
    ) -> Result<Option<Info>, Fault> {
        while let Some((_, wanted)) = self.steps.first() {
            let Some(n) = self.protocol.answer(input, wanted).map_err(fault)? else {
                let long = input.len() > MOST;
                return if long { Err(fault("the server's answer never ends")) } else { Ok(None) };
            };
            input.drain(..n);
            self.steps.remove(0);
            // What was sent ahead of its question could have been put in by somebody between us.
            if !input.is_empty() {
                return Err(fault("the server said more than it was asked, before TLS began"));
            }
            match self.steps.first() {
                Some((say, _)) => wire.put(say),
                None => return Ok(Some(Info::default())),
            }
        }
        plain.append(input);
        Ok(None)
    }
    fn seal(&mut self, _: Instant, plain: &mut Tx, wire: &mut Tx) -> Result<Sealed, Fault> {
        if !self.is_open() {
            return Ok(Sealed::NotReady);
        }
        let room = wire.room();
        wire.append(plain, room);
        Ok(if plain.is_empty() { Sealed::All } else { Sealed::WireFull })
    }
    fn end_of_input(&mut self, _: &mut Tx) -> Result<(), Fault> {
        if self.is_open() { Ok(()) } else { Err(fault("the server closed the connection before TLS began")) }
    }
    fn close(&mut self, _: &mut Tx) {}
    fn deadline(&self) -> Option<Deadline> {
        (!self.is_open()).then(|| Deadline::new(self.since, self.within, "STARTTLS"))
    }
    fn on_deadline(&mut self, _: Instant, _: &mut Tx) -> Result<(), Fault> {
        if self.is_open() { Ok(()) } else { Err(fault("the server does not answer in time")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it said to a server that said this, cut at `cut`, and how it ended.
    fn play(protocol: Protocol, answers: &[&str], cut: usize) -> (String, Result<bool, &'static str>) {
        let (mut layer, mut wire, mut said) =
            (StartTls::new(protocol, "h", Duration::ZERO), Tx::default(), String::new());
        let (mut input, mut plain, now) = (Vec::new(), Vec::new(), Instant::default());
        layer.start(now, &mut wire);
        let mut ready = 0;
        for answer in answers {
            let cut = cut.min(answer.len());
            for part in [&answer[..cut], &answer[cut..]] {
                said.push_str(&String::from_utf8_lossy(wire.front()));
                wire.consume(wire.len(), None);
                input.extend_from_slice(part.as_bytes());
                match layer.open(now, &mut input, &mut plain, &mut wire) {
                    Ok(info) => ready += u32::from(info.is_some()),
                    Err(fault) => return (said, Err(fault.what)),
                }
            }
        }
        assert!(ready <= 1);
        (said, Ok(ready == 1 && layer.end_of_input(&mut wire).is_ok()))
    }

    #[test]
    fn servers_that_go_on_with_tls() {
        use Protocol::{Ftp, Imap, Pop3, Postgres, Smtp, Xmpp};
        for (protocol, answers, said) in [
            (
                Smtp,
                &["220-a\r\n220 b\r\n", "250-STARTTLS\r\n250 OK\r\n", "220 go\r\n"][..],
                "EHLO drywire.invalid\r\nSTARTTLS\r\n",
            ),
            (Imap, &["* OK hello\r\n", "* CAPABILITY x\r\na OK begin\r\n"], "a STARTTLS\r\n"),
            (Pop3, &["+OK hello\r\n", "+OK begin\r\n"], "STLS\r\n"),
            (Ftp, &["220 hello\r\n", "234 begin\r\n"], "AUTH TLS\r\n"),
            (Postgres, &["S"], "\0\0\0\u{8}\u{4}\u{fffd}\u{16}/"),
        ] {
            for cut in 0..30 {
                assert_eq!(play(protocol, answers, cut), (said.into(), Ok(true)), "{protocol:?} {cut}");
            }
        }
        let features = "<?xml?><stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
        for cut in 0..features.len() {
            let (said, open) = play(Xmpp, &[features, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"], cut);
            assert!(said.contains(" to='h' ") && said.ends_with("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
            assert_eq!(open, Ok(true), "{cut}");
        }
    }

    #[test]
    fn servers_that_do_not() {
        use Protocol::{Ftp, Imap, Pop3, Postgres, Smtp, Xmpp};
        const NO: &str = "the server does not offer TLS here";
        const MORE: &str = "the server said more than it was asked, before TLS began";
        let long = format!("220-{}\r\n", "x".repeat(MOST));
        for (protocol, answers, why) in [
            (Smtp, &["220 a\r\n", "250 OK\r\n", "502 no\r\n"][..], NO),
            (Smtp, &["554 no\r\n"], NO),
            (Smtp, &["220 a\r\n", "250 OK\r\n", "220 go\r\n250 injected\r\n"], MORE),
            (Smtp, &[&long], "the server's answer never ends"),
            (Imap, &["* OK\r\n", "a BAD no\r\n"], NO),
            (Imap, &["* OK\r\na OK\r\n"], MORE),
            (Pop3, &["-ERR\r\n"], NO),
            (Ftp, &["220 a\r\n", "530 log in\r\n"], NO),
            (Postgres, &["N"], NO),
            (Postgres, &["E"], "not an answer of PostgreSQL"),
            (Postgres, &["Sx"], MORE),
            (Xmpp, &["<stream:features></stream:features>"], NO),
            (Xmpp, &["<stream:error/></stream:stream>"], NO),
        ] {
            assert_eq!(play(protocol, answers, usize::MAX).1, Err(why), "{protocol:?} {answers:?}");
        }
        assert_eq!(play(Smtp, &["220 a\r\n"], 0).1, Ok(false), "the end of input is told");
    }
}
