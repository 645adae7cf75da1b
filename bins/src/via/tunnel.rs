//! A tunnel through an HTTP proxy (RFC 9110 9.3.6), as a layer: CONNECT, its answer, then whatever the two ends say.
use core::time::Duration;
use proto_core::http1::{Client, Config, Length, Times, client};
use proto_core::{Deadline, Fault, Info, Instant, Layer, Machine, Rx, Sealed, Step, Tx};

/// See the module.
#[derive(Debug)]
pub struct Tunnel {
    http: Client,
    to: String,
    auth: Option<String>,
    open: bool,
}

impl Tunnel {
    /// To `host:port`; `auth` is the value of `Proxy-Authorization`, and the proxy has `within` for its answer.
    pub fn new(to: String, auth: Option<String>, within: Duration) -> Self {
        let times = Times { idle: within, head: within, ..Times::CLIENT };
        Tunnel { http: Client::new(Config { times, ..Config::CLIENT }), to, auth, open: false }
    }
}

/// What its faults are against.
pub const RULE: &str = "RFC 9110 9.3.6";

fn refused(what: &'static str, code: u32) -> Fault {
    Fault { rule: RULE, what, code, offset: 0 }
}

impl Layer for Tunnel {
    fn start(&mut self, now: Instant, wire: &mut Tx) {
        let mut fields: Vec<(&str, &[u8])> = vec![("Host", self.to.as_bytes())];
        if let Some(auth) = &self.auth {
            fields.push(("Proxy-Authorization", auth.as_bytes()));
        }
        let request = client::Request::new("CONNECT", &self.to, &fields);
        let asked = self.http.request(wire, &request, Length::None);
        debug_assert!(asked.is_ok(), "{asked:?}");
        self.http.fill(now, wire); // so that its clock runs
    }
    fn open(
        &mut self,
        now: Instant,
        input: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        wire: &mut Tx,
    ) -> Result<Option<Info>, Fault> {
        if self.open {
            plain.append(input);
            return Ok(None);
        }
        let shown = input.len();
        let mut rx = Rx::new(input, false);
        let said = loop {
            match self.http.poll(now, &mut rx, wire)? {
                Step::Event(client::Event::Upgraded(_)) => break true,
                Step::Event(client::Event::Response(r)) => return Err(refused("the proxy refused", r.status().into())),
                Step::Event(_) => {}
                Step::NeedMore => break false,
                Step::Paused | Step::Closed => return Err(refused("the proxy gave up", 502)),
            }
        };
        let used = shown - rx.len();
        input.drain(..used);
        self.open = said;
        Ok(said.then(Info::default))
    }
    fn seal(&mut self, _: Instant, plain: &mut Tx, wire: &mut Tx) -> Result<Sealed, Fault> {
        if !self.open {
            return Ok(Sealed::NotReady);
        }
        let room = wire.room();
        wire.append(plain, room);
        Ok(if plain.is_empty() { Sealed::All } else { Sealed::WireFull })
    }
    fn end_of_input(&mut self, _: &mut Tx) -> Result<(), Fault> {
        if self.open { Ok(()) } else { Err(refused("the proxy closed the connection", 502)) }
    }
    fn close(&mut self, _: &mut Tx) {}
    fn deadline(&self) -> Option<Deadline> {
        if self.open { None } else { self.http.deadline() }
    }
    fn on_deadline(&mut self, now: Instant, wire: &mut Tx) -> Result<(), Fault> {
        if self.open { Ok(()) } else { self.http.on_deadline(now, wire) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Tunnel, Tx) {
        let (mut t, mut wire) =
            (Tunnel::new("a:443".into(), Some("Basic eDp5".into()), Duration::from_secs(9)), Tx::default());
        t.start(Instant::default(), &mut wire);
        (t, wire)
    }

    #[test]
    fn it_opens_at_every_cut_and_is_then_transparent() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello";
        for cut in 0..=answer.len() {
            let (mut t, mut wire) = pair();
            assert_eq!(
                wire.front(),
                b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
            );
            wire.consume(wire.len(), None);
            let (mut input, mut plain, mut ready) = (Vec::new(), Vec::new(), 0);
            for part in [&answer[..cut], &answer[cut..]] {
                input.extend_from_slice(part);
                while t.open(Instant::default(), &mut input, &mut plain, &mut wire).expect("it opens").is_some() {
                    ready += 1;
                }
            }
            assert_eq!((ready, plain.as_slice()), (1, &b"hello"[..]), "{cut}");
            let mut out = Tx::default();
            out.put(b"over");
            assert_eq!(t.seal(Instant::default(), &mut out, &mut wire), Ok(Sealed::All));
            assert_eq!(wire.front(), b"over");
        }
    }

    #[test]
    fn a_proxy_that_says_no_or_hangs_up_is_a_fault() {
        for (answer, code) in
            [("HTTP/1.1 407 Auth\r\n\r\n", 407), ("HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno!", 403)]
        {
            let (mut t, mut wire) = pair();
            let mut input = answer.as_bytes().to_vec();
            let fault = t.open(Instant::default(), &mut input, &mut Vec::new(), &mut wire).expect_err(answer);
            assert_eq!(fault.code, code);
        }
        let (mut t, mut wire) = pair();
        assert!(t.end_of_input(&mut wire).is_err());
        assert!(t.open(Instant::default(), &mut b"SSH-2.0-x\r\n".to_vec(), &mut Vec::new(), &mut wire).is_err());
    }
}
