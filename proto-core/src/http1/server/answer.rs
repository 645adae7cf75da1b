//! What the app says: answers, 1xx, and handing the connection over.
use super::super::send::Length;
use super::super::write::{DIGITS, FieldBlock, Role, Writer, check, reason};
use super::{Answer, Method, Phase, Reading, Server, Version};
use crate::{Bytes, FileId, Misuse, Tx};

/// An answer's head. `Content-Length`, `Transfer-Encoding` and `Connection` are the machine's to write.
///
/// On the wire: status line, `Content-Type`, framing, `Connection`, then `fields`, then `block`.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// From 200 to 599.
    pub status: u16,
    /// Empty for the usual one.
    pub reason: &'a str,
    /// `Content-Type`; empty for none.
    pub content_type: &'a str,
    /// Further fields: (name, value).
    pub fields: &'a [(&'a str, &'a [u8])],
    /// Fields that were checked before.
    pub block: Option<&'a FieldBlock>,
    /// The connection ends with this answer.
    pub close: bool,
}

impl<'a> Response<'a> {
    /// With the usual reason and no fields.
    pub fn new(status: u16) -> Self {
        Response { status, reason: "", content_type: "", fields: &[], block: None, close: false }
    }
    /// The same of this type.
    pub fn typed(self, content_type: &'a str) -> Self {
        Response { content_type, ..self }
    }
    /// The same with these fields.
    pub fn fields(self, fields: &'a [(&'a str, &'a [u8])]) -> Self {
        Response { fields, ..self }
    }
    /// The same with these fields behind the others.
    pub fn block(self, block: &'a FieldBlock) -> Self {
        Response { block: Some(block), ..self }
    }
    /// The same, as the connection's last.
    pub fn closing(self) -> Self {
        Response { close: true, ..self }
    }
    fn reason(&self) -> &'a str {
        if self.reason.is_empty() { reason(self.status) } else { self.reason }
    }
    /// Bytes of the head, at most.
    fn measure(&self) -> Result<usize, Misuse> {
        if !super::super::fields::is_value(self.reason.as_bytes()) {
            return Err(Misuse("a control character in a reason"));
        }
        if !super::super::fields::is_value(self.content_type.as_bytes()) {
            return Err(Misuse("a control character in a field value"));
        }
        let block = self.block.map_or(0, |b| b.as_bytes().len());
        let fields = check(self.fields, Role::Server)?;
        Ok(FIXED + self.reason().len() + self.content_type.len() + fields + block)
    }
}

/// Status line without reason, names of the machine's own fields, a length, the empty line: 15 + 16 + 28 + 26 + 2.
const FIXED: usize = 15 + 16 + (18 + DIGITS) + 26 + 2;

/// What the fields of a head say about its body and the connection.
#[derive(Clone, Copy)]
struct Framed {
    length: Length,
    keep: bool,
    say_keep: bool,
}

fn write_head(w: &mut Writer<'_>, response: &Response<'_>, framed: Framed) {
    status_line(w, response.status, response.reason());
    if !response.content_type.is_empty() {
        w.field("Content-Type", response.content_type.as_bytes());
    }
    match framed.length {
        Length::Known(n) => {
            w.put(b"Content-Length: ");
            w.number(n);
            w.put(b"\r\n");
        }
        Length::Chunked => w.put(b"Transfer-Encoding: chunked\r\n"),
        Length::None | Length::UntilClose => {}
    }
    if !framed.keep {
        w.put(b"Connection: close\r\n");
    } else if framed.say_keep {
        w.put(b"Connection: keep-alive\r\n");
    }
    response.fields.iter().for_each(|(name, value)| w.field(name, value));
    w.put(response.block.map_or(b"", |b| b.as_bytes()));
    w.put(b"\r\n");
}

fn status_line(w: &mut Writer<'_>, status: u16, reason: &str) {
    w.put(b"HTTP/1.1 ");
    w.number(u64::from(status));
    w.put(b" ");
    w.put(reason.as_bytes());
    w.put(b"\r\n");
}

impl Server {
    /// Begins the answer. Put the body with [`Server::put`] or into [`Server::body`]; with [`Length::Known`] it ends by
    /// itself, else with [`Server::finish`]. What answers HEAD, 204 and 304 must not have is dropped, and they are
    /// complete at once.
    ///
    /// # Errors
    /// [`Misuse`], with nothing written: no request waits; a status beyond 200 to 599; text that would break the head.
    pub fn respond(&mut self, tx: &mut Tx, response: &Response<'_>, length: Length) -> Result<(), Misuse> {
        self.answer(tx, response, length, &[])
    }
    /// The whole answer, head and body, written at once.
    ///
    /// # Errors
    /// As [`Server::respond`].
    pub fn respond_whole(&mut self, tx: &mut Tx, response: &Response<'_>, body: &[u8]) -> Result<(), Misuse> {
        self.answer(tx, response, Length::Known(body.len() as u64), body)
    }
    fn answer(&mut self, tx: &mut Tx, response: &Response<'_>, length: Length, body: &[u8]) -> Result<(), Misuse> {
        if self.answer != Answer::Awaited {
            return Err(Misuse("no request waits for an answer"));
        }
        if !(200..=599).contains(&response.status) {
            return Err(Misuse("a status of a final answer is from 200 to 599"));
        }
        if self.asked.method == Method::Connect && response.status < 300 {
            return Err(Misuse("a request for a tunnel is granted with tunnel()"));
        }
        let head = response.measure()?;
        let mute = self.asked.method == Method::Head || matches!(response.status, 204 | 205 | 304);
        let length = match length {
            Length::Chunked if self.asked.version == Version::Http10 => Length::UntilClose,
            Length::None if !matches!(response.status, 204 | 304) => Length::Known(0),
            length => length,
        };
        let complete = mute || matches!(length, Length::Known(n) if n == body.len() as u64);
        let ends = response.close || length == Length::UntilClose && !mute || complete && self.is_stuck();
        let keep = self.keep && !ends;
        let framed = Framed {
            // 204 has no length (RFC 9110 8.6), and 205 no content at all (15.3.6).
            length: match response.status {
                204 => Length::None,
                205 => Length::Known(0),
                _ => length,
            },
            keep,
            say_keep: self.rules.config.say_keep_alive || self.asked.version == Version::Http10,
        };
        let before = tx.len();
        let body = if mute { &[] } else { body };
        tx.put_with(head + body.len(), |space| {
            let mut w = Writer::new(space);
            write_head(&mut w, response, framed);
            w.put(body);
            w.len()
        });
        self.keep = keep;
        self.sending.begin(if complete { Length::None } else { length }, mute);
        self.answer = Answer::Sending;
        self.sent();
        self.clock.wrote(before, tx);
        Ok(())
    }
    /// So much of the request's body is unread that the connection closes rather than drop it.
    fn is_stuck(&self) -> bool {
        match &self.reading {
            Reading::Body(incoming) => self.asked.continues || incoming.left() > self.rules.config.limits.drain,
            _ => false,
        }
    }
    /// Where the answer's body goes: memory with `put` and `share`, files with `file`, bytes of another connection with
    /// `forward`, while [`Server::room`] says so. It is framed as room appears. End it with [`Server::finish`] or `Tx::finish`.
    /// `None` if no body is under way.
    pub fn body(&mut self) -> Option<&mut Tx> {
        self.sending.body()
    }
    /// How much of the body `tx` has room for, what is waiting to be framed considered. Put while there is any; when there
    /// is none, the output is about to be full, and is told to be writable again later (`Input::Writable`).
    pub fn room(&self, tx: &Tx) -> usize {
        tx.room().saturating_sub(self.sending.queued())
    }
    /// Sends bytes of the answer's body.
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
    /// Sends shared bytes of the answer's body, not copied if they are many.
    ///
    /// # Errors
    /// As [`Server::put`].
    pub fn share(&mut self, tx: &mut Tx, bytes: Bytes) -> Result<(), Misuse> {
        self.push(tx, bytes.len() as u64, |to| to.share(bytes))
    }
    /// Sends a range of a file, all of it at once: it takes no memory, however long it is.
    ///
    /// # Errors
    /// As [`Server::put`].
    pub fn file(&mut self, tx: &mut Tx, file: FileId, offset: u64, len: u64) -> Result<(), Misuse> {
        let Ok(size) = usize::try_from(len) else { return Err(Misuse("a range larger than memory can be")) };
        self.push(tx, len, |to| to.file(file, offset, size))
    }
    fn push(&mut self, tx: &mut Tx, len: u64, put: impl FnOnce(&mut Tx)) -> Result<(), Misuse> {
        let before = tx.len();
        self.sending.push(tx, len, put)?;
        self.sent();
        self.clock.wrote(before, tx);
        Ok(())
    }
    /// Ends the answer's body; `trailers` follow it if it is chunked, else they are left out.
    ///
    /// # Errors
    /// [`Misuse`], with nothing written: no body is under way, it is shorter than announced, or a trailer that is not
    /// allowed. Who cannot go on aborts the connection: there is no other way to tell the client.
    pub fn finish(&mut self, tx: &mut Tx, trailers: &[(&str, &[u8])]) -> Result<(), Misuse> {
        let before = tx.len();
        self.sending.finish(tx, trailers)?;
        self.sent();
        self.clock.wrote(before, tx);
        Ok(())
    }
    /// Lets the client send the body that it holds back ([`super::Request::expects_continue`]).
    ///
    /// # Errors
    /// [`Misuse`] if the answer has begun.
    pub fn continue_100(&mut self, tx: &mut Tx) -> Result<(), Misuse> {
        if self.answer != Answer::Awaited {
            return Err(Misuse("no request waits for an answer"));
        }
        if core::mem::take(&mut self.asked.continues) {
            self.informational(tx, 100, &[])?;
            self.clock.enter(Phase::Body);
        }
        Ok(())
    }
    /// An answer ahead of the answer, such as 103. A client of HTTP/1.0 does not get it (RFC 9110 15.2).
    ///
    /// # Errors
    /// [`Misuse`], with nothing written: the answer has begun; a status other than 100 and 102 to 199; bad fields.
    pub fn informational(&mut self, tx: &mut Tx, status: u16, fields: &[(&str, &[u8])]) -> Result<(), Misuse> {
        if self.answer != Answer::Awaited {
            return Err(Misuse("no request waits for an answer"));
        }
        if !matches!(status, 100 | 102..=199) {
            return Err(Misuse("a status of an informational answer is 100 or from 102 to 199"));
        }
        let size = check(fields, Role::Server)?;
        if self.asked.version == Version::Http10 {
            return Ok(());
        }
        self.write_bare(tx, status, fields, size, &[]);
        Ok(())
    }
    /// 101: goes on with `protocol`, one of those that the request's `Upgrade` field names. The request must have been
    /// read to its end. [`super::Event::Upgraded`] comes next, and no byte behind the request was looked at before.
    ///
    /// # Errors
    /// [`Misuse`], with nothing written: no such request waits, or bad fields.
    pub fn upgrade(&mut self, tx: &mut Tx, protocol: &str, fields: &[(&str, &[u8])]) -> Result<(), Misuse> {
        if !self.asked.upgrade {
            return Err(Misuse("the client did not offer an upgrade"));
        }
        let upgrade = [("Connection", &b"Upgrade"[..]), ("Upgrade", protocol.as_bytes())];
        let own = check(&upgrade[1..], Role::Server)? + 64;
        self.hand_over(tx, 101, fields, own, &upgrade)
    }
    /// 200 to a CONNECT: what follows is the tunnel's. [`super::Event::Upgraded`] comes next.
    ///
    /// # Errors
    /// [`Misuse`], with nothing written: no such request waits, or bad fields.
    pub fn tunnel(&mut self, tx: &mut Tx, fields: &[(&str, &[u8])]) -> Result<(), Misuse> {
        if self.asked.method != Method::Connect {
            return Err(Misuse("the client did not ask for a tunnel"));
        }
        self.hand_over(tx, 200, fields, 0, &[])
    }
    fn hand_over(
        &mut self,
        tx: &mut Tx,
        status: u16,
        fields: &[(&str, &[u8])],
        own: usize,
        ours: &[(&str, &[u8])],
    ) -> Result<(), Misuse> {
        if self.answer != Answer::Awaited || !matches!(self.reading, Reading::Whole) {
            return Err(Misuse("no request that was read to its end waits for an answer"));
        }
        let size = check(fields, Role::Server)? + own;
        self.write_bare(tx, status, fields, size, ours);
        self.reading = Reading::Upgraded;
        (self.answer, self.upgraded, self.woken) = (Answer::Complete, true, true);
        Ok(())
    }
    fn write_bare(&mut self, tx: &mut Tx, status: u16, fields: &[(&str, &[u8])], size: usize, ours: &[(&str, &[u8])]) {
        let before = tx.len();
        tx.put_with(FIXED + 32 + size, |space| {
            let mut w = Writer::new(space);
            status_line(&mut w, status, reason(status));
            ours.iter().chain(fields).for_each(|(name, value)| w.field(name, value));
            w.put(b"\r\n");
            w.len()
        });
        self.clock.wrote(before, tx);
    }
}
