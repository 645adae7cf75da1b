//! What the app says: requests.
use super::super::fields::{Fields, is_token, list};
use super::super::send::Length;
use super::super::write::{DIGITS, FieldBlock, Role, Writer, check};
use super::{Asked, Client, Phase, Reading};
use crate::{Misuse, Tx};

/// A request's head. `Content-Length` and `Transfer-Encoding` are the machine's to write; `Host` is the app's.
///
/// On the wire: request line, `fields`, framing, then `block`.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Any token. Case matters.
    pub method: &'a str,
    /// As it is to be written: `/path?query`, for proxies `http://host/path` or (CONNECT) `host:port`, or `*`.
    pub target: &'a str,
    /// Fields: (name, value). Exactly one `Host` here or in `block`.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// Fields that were checked before.
    pub block: Option<&'a FieldBlock>,
}

impl<'a> Request<'a> {
    /// With these fields.
    pub fn new(method: &'a str, target: &'a str, fields: &'a [(&'a str, &'a [u8])]) -> Self {
        Request { method, target, fields, block: None }
    }
    /// The same with these fields behind the others.
    pub fn block(self, block: &'a FieldBlock) -> Self {
        Request { block: Some(block), ..self }
    }
    /// All values of a field that is to be sent.
    fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let own = self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        own.chain(Fields::new(self.block.map_or(b"", |b| b.as_bytes())).values(name))
    }
    fn says(&self, option: &str) -> bool {
        self.values("connection").any(|v| list(v).any(|o| o.eq_ignore_ascii_case(option.as_bytes())))
    }
    /// Bytes of the head, at most.
    fn measure(&self) -> Result<usize, Misuse> {
        if !is_token(self.method.as_bytes()) {
            return Err(Misuse("a method that is not a token"));
        }
        if self.target.is_empty() || !self.target.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'#') {
            return Err(Misuse("a request target with characters that are not allowed"));
        }
        let fields = check(self.fields, Role::Client)? + self.block.map_or(0, |b| b.as_bytes().len());
        let mut hosts = self.values("host");
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if host.is_empty() || super::super::fields::is_host(host) => {}
            (Some(_), None) => return Err(Misuse("a malformed Host")),
            _ => return Err(Misuse("a request has exactly one Host")),
        }
        Ok(FIXED + self.method.len() + self.target.len() + fields)
    }
}

/// Request line without method and target, the longest framing field (a length), the empty line.
const FIXED: usize = 12 + (18 + DIGITS) + 2;

fn write_head(w: &mut Writer<'_>, request: &Request<'_>, length: Length) {
    w.put(request.method.as_bytes());
    w.put(b" ");
    w.put(request.target.as_bytes());
    w.put(b" HTTP/1.1\r\n");
    request.fields.iter().for_each(|(name, value)| w.field(name, value));
    match length {
        Length::Known(n) => {
            w.put(b"Content-Length: ");
            w.number(n);
            w.put(b"\r\n");
        }
        Length::Chunked => w.put(b"Transfer-Encoding: chunked\r\n"),
        Length::None | Length::UntilClose => {}
    }
    w.put(request.block.map_or(b"", |b| b.as_bytes()));
    w.put(b"\r\n");
}

impl Client {
    /// Begins a request. Put its body with [`Client::put`] or into [`Client::body`]; with [`Length::Known`] it ends by
    /// itself, else with [`Client::finish`]. After `Expect: 100-continue`, put when 100 came or was waited for enough.
    ///
    /// # Errors
    /// [`Misuse`], with nothing written: the connection takes no request now ([`Client::is_ready`]), text that would
    /// break the head, not exactly one `Host`, or a body that ends with the connection.
    pub fn request(&mut self, tx: &mut Tx, request: &Request<'_>, length: Length) -> Result<(), Misuse> {
        self.ask(tx, request, length, &[])
    }
    /// The whole request, head and body, written at once.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn request_whole(&mut self, tx: &mut Tx, request: &Request<'_>, body: &[u8]) -> Result<(), Misuse> {
        self.ask(tx, request, Length::Known(body.len() as u64), body)
    }
    fn ask(&mut self, tx: &mut Tx, request: &Request<'_>, length: Length, body: &[u8]) -> Result<(), Misuse> {
        if !self.is_ready() {
            return Err(Misuse("the connection takes no request now"));
        }
        if length == Length::UntilClose {
            return Err(Misuse("a request's body cannot end with the connection"));
        }
        let head = request.measure()?;
        let connect = request.method == "CONNECT";
        if connect && length != Length::None {
            return Err(Misuse("a request for a tunnel has no body"));
        }
        let asked = Asked {
            head: request.method == "HEAD",
            connect,
            upgrade: request.says("upgrade") && request.values("upgrade").next().is_some(),
            close: request.says("close"),
        };
        let before = tx.len();
        tx.put_with(head + body.len(), |space| {
            let mut w = Writer::new(space);
            write_head(&mut w, request, length);
            w.put(body);
            w.len()
        });
        let whole = matches!(length, Length::Known(n) if n == body.len() as u64);
        self.sending.begin(if whole { Length::None } else { length }, false);
        self.busy = true;
        self.asked.push_back(asked);
        self.keep &= !asked.close;
        self.sent();
        self.clock.wrote(before, tx);
        Ok(())
    }
    /// Where the request's body goes: memory with `put` and `share`, files with `file`, bytes of another connection with
    /// `forward`, while [`Client::room`] says so. It is framed as room appears. End it with [`Client::finish`] or `Tx::finish`.
    /// `None` if no body is under way.
    pub fn body(&mut self) -> Option<&mut Tx> {
        self.sending.body()
    }
    /// How much of the body `tx` has room for, what is waiting to be framed considered. Put while there is any; when there
    /// is none, the output is about to be full, and is told to be writable again later (`Input::Writable`).
    pub fn room(&self, tx: &Tx) -> usize {
        tx.room().saturating_sub(self.sending.queued())
    }
    /// Sends bytes of the request's body.
    ///
    /// # Errors
    /// [`Misuse`], with nothing written: no body is under way, or it would be longer than announced.
    pub fn put(&mut self, tx: &mut Tx, bytes: &[u8]) -> Result<(), Misuse> {
        let before = tx.len();
        self.sending.put(tx, bytes)?;
        self.sent();
        self.clock.wrote(before, tx);
        Ok(())
    }
    /// Ends the request's body; `trailers` follow it if it is chunked, else they are left out.
    ///
    /// # Errors
    /// [`Misuse`], with nothing written: no body is under way, it is shorter than announced, or a trailer that is not
    /// allowed.
    pub fn finish(&mut self, tx: &mut Tx, trailers: &[(&str, &[u8])]) -> Result<(), Misuse> {
        let before = tx.len();
        self.sending.finish(tx, trailers)?;
        self.sent();
        self.clock.wrote(before, tx);
        Ok(())
    }
    /// Sends no more of the request's body, since the answer makes it needless. The connection ends with the answer.
    pub fn stop_sending(&mut self) {
        if self.busy {
            self.sending.abandon();
            (self.busy, self.keep) = (false, false);
            if matches!(&self.reading, Reading::Head(r) if r.is_fresh()) {
                self.clock.enter(Phase::Answer);
            }
        }
    }
}
