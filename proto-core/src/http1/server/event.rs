//! What a server is told.
use super::super::fields::Fields;
use super::super::head::{Framing, Head, Method, Version};

/// What came.
#[derive(Debug)]
pub enum Event<'b> {
    /// A request's head. Without a body ([`Request::has_body`]) it is the whole request.
    Request(Request<'b>),
    /// Bytes of its body; never empty.
    Body(&'b mut [u8]),
    /// Trailers of its body. The first event behind the body, if there are any.
    Trailers(Fields<'b>),
    /// The end of its body.
    End,
    /// After [`super::Server::upgrade`] or [`super::Server::tunnel`]: the bytes that follow belong to another protocol.
    Upgraded,
}

/// A request's head.
#[derive(Clone, Debug)]
pub struct Request<'b> {
    pub(super) raw: &'b [u8],
    pub(super) head: Head,
}

impl<'b> Request<'b> {
    /// The method.
    pub fn method(&self) -> Method {
        self.head.method
    }
    /// The method as written.
    pub fn method_name(&self) -> &'b str {
        let end = self.head.target.start.saturating_sub(1);
        core::str::from_utf8(self.raw.get(..end).unwrap_or_default()).unwrap_or_default()
    }
    /// The target as written: visible ASCII characters.
    pub fn target(&self) -> &'b str {
        core::str::from_utf8(self.raw.get(self.head.target.clone()).unwrap_or_default()).unwrap_or_default()
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
    /// How the body ends.
    pub fn framing(&self) -> Framing {
        self.head.framing
    }
    /// [`Event::End`] will come, and perhaps body and trailers before it.
    pub fn has_body(&self) -> bool {
        self.head.framing != Framing::Length(0)
    }
    /// The client would send another request on this connection.
    pub fn keep_alive(&self) -> bool {
        self.head.keep_alive
    }
    /// The client waits for [`super::Server::continue_100`], or a final answer, before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.head.expects_continue && self.has_body()
    }
    /// The client offers to go on with the protocol that its `Upgrade` field names: [`super::Server::upgrade`].
    pub fn wants_upgrade(&self) -> bool {
        self.head.upgrade
    }
    /// The head byte for byte, with its empty line.
    pub fn raw(&self) -> &'b [u8] {
        self.raw
    }
}
