//! What a client is told.
use super::super::fields::Fields;
use super::super::head::{Framing, Version};
use super::super::response::ResponseHead;

/// What came.
#[derive(Debug)]
pub enum Event<'b> {
    /// An answer ahead of the answer (1xx), such as 100 or 103.
    Informational(Response<'b>),
    /// The answer's head. Without a body ([`Response::has_body`]) it is the whole answer.
    Response(Response<'b>),
    /// Bytes of its body; never empty.
    Body(&'b mut [u8]),
    /// Trailers of its body. The first event behind the body, if there are any.
    Trailers(Fields<'b>),
    /// The end of its body.
    End,
    /// 101, or 2xx to CONNECT: the bytes that follow belong to another protocol.
    Upgraded(Response<'b>),
}

/// An answer's head.
#[derive(Clone, Debug)]
pub struct Response<'b> {
    pub(super) raw: &'b [u8],
    pub(super) head: ResponseHead,
}

impl<'b> Response<'b> {
    /// The status, from 100 to 599.
    pub fn status(&self) -> u16 {
        self.head.status
    }
    /// The reason as written; any bytes but control characters.
    pub fn reason(&self) -> &'b [u8] {
        self.raw.get(self.head.reason.clone()).unwrap_or_default()
    }
    /// The version.
    pub fn version(&self) -> Version {
        self.head.version
    }
    /// The fields.
    pub fn fields(&self) -> Fields<'b> {
        Fields::new(self.raw.get(self.head.fields.clone()).unwrap_or_default())
    }
    /// The value of the first field of this name, in any case of letters.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        self.fields().get(name)
    }
    /// How the body ends, request and status considered.
    pub fn framing(&self) -> Framing {
        self.head.framing
    }
    /// [`Event::End`] will come, and perhaps body and trailers before it.
    pub fn has_body(&self) -> bool {
        self.head.framing != Framing::Length(0)
    }
    /// The connection may be used for another request after this answer, as far as the server is concerned.
    pub fn keep_alive(&self) -> bool {
        self.head.keep_alive && self.head.framing != Framing::UntilClose
    }
    /// The head byte for byte, with its empty line.
    pub fn raw(&self) -> &'b [u8] {
        self.raw
    }
}
