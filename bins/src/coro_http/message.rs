//! Requests, answers and errors as handlers see them.
use super::line::{BodyWriter, Line};
use super::{File, Handle};
use crate::coro::BoxFuture;
use core::fmt;
use core::str::FromStr;
use proto_core::http1::{Fields, Method, reason};
use proto_core::{Bytes, Lost, Reason};

/// What a machine heard of a request.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub method: Method,
    pub target: String,
    pub fields: Vec<(String, Vec<u8>)>,
    pub has_body: bool,
}

impl Head {
    pub fn copy(fields: Fields<'_>) -> Vec<(String, Vec<u8>)> {
        fields.map(|f| (f.name.to_string(), f.value.to_vec())).collect()
    }
}

/// A request.
pub struct Request {
    pub(super) head: Head,
    pub(super) line: Line,
    pub(super) handle: Handle,
    /// What the route's `:name` parts stand for.
    pub(super) params: Vec<(&'static str, String)>,
    pub(super) body_max: usize,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("head", &self.head).finish()
    }
}

impl Request {
    /// What to ask and wait with.
    pub fn cx(&self) -> &Handle {
        &self.handle
    }
    /// The method.
    pub fn method(&self) -> Method {
        self.head.method
    }
    /// The path as written, without the query.
    pub fn path(&self) -> &str {
        self.head.target.split('?').next().unwrap_or_default()
    }
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.head.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_slice())
    }
    /// A part of the path, as the route names it.
    ///
    /// # Errors
    /// 400 with its name, if it is not what is wanted.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, Error> {
        let text = self.params.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v);
        text.parse().map_err(|_| Error::new(400, format!("'{name}' in the path is not right")))
    }
    /// A parameter of the query, decoded. `None` if it is not there.
    ///
    /// # Errors
    /// 400 with its name, if it is not what is wanted.
    pub fn query<T: FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let query = self.head.target.split_once('?').map_or("", |(_, q)| q);
        let mut pairs = query.split('&').map(|p| p.split_once('=').unwrap_or((p, "")));
        let Some((_, value)) = pairs.find(|(n, _)| *n == name) else { return Ok(None) };
        let wrong = || Error::new(400, format!("'{name}' in the query is not right"));
        let text = decode(value, true).ok_or_else(wrong)?;
        text.parse().map(Some).map_err(|_| wrong())
    }
    /// The next bytes of the body; `None` at its end. With the first call the client is told to send it.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.head.has_body {
            return Ok(None);
        }
        self.line.body().await
    }
    /// The whole body.
    ///
    /// # Errors
    /// 413 beyond the limit.
    pub async fn body(&mut self) -> Result<Bytes, Error> {
        let mut all = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            if all.len() + bytes.len() > self.body_max {
                return Err(Error::status(413));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.into())
    }
}

/// Percent-decoded text; `plus` stands for a space in queries. `None` if it is no UTF-8, or an escape is broken.
pub(super) fn decode(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                (digit(bytes.next())? * 16 + digit(bytes.next())?) as u8
            }
            b'+' if plus => b' ',
            b => b,
        });
    }
    String::from_utf8(out).ok()
}

/// The body of an answer.
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// A file, sent without being copied through memory where the driver can.
    File(File),
    /// Written by a future while it is sent; with its length, if it is known.
    Stream(Option<u64>, Box<dyn FnOnce(BodyWriter) -> BoxFuture<Result<(), Error>> + Send>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Whole(b) => write!(f, "{} bytes", b.len()),
            Body::File(file) => write!(f, "{file:?}"),
            Body::Stream(length, _) => write!(f, "a stream of {length:?}"),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// From 200 to 599.
    pub status: u16,
    /// `Content-Type`; empty for none.
    pub content_type: String,
    /// Further fields.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The connection ends with it.
    pub close: bool,
    /// The body.
    pub body: Body,
}

impl Response {
    /// With a body.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Response {
            status,
            content_type: String::new(),
            fields: Vec::new(),
            close: false,
            body: Body::Whole(body.into()),
        }
    }
    /// 200 with a text.
    pub fn text(text: impl Into<String>) -> Self {
        Response::new(200, text.into()).typed("text/plain")
    }
    /// 200 with a file.
    pub fn file(file: File) -> Self {
        Response { body: Body::File(file), ..Response::new(200, Bytes::new()) }
    }
    /// 200 with a body that `write` makes while it is sent.
    pub fn stream<F>(length: Option<u64>, write: impl FnOnce(BodyWriter) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let body = Body::Stream(length, Box::new(move |out| Box::pin(write(out))));
        Response { body, ..Response::new(200, Bytes::new()) }
    }
    /// The same of this type.
    pub fn typed(self, content_type: &str) -> Self {
        Response { content_type: content_type.into(), ..self }
    }
    /// The same with another field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }
    /// A page that says a status.
    pub fn page(status: u16) -> Self {
        Response::new(status, crate::front::page_of(status)).typed("text/html")
    }
}

/// Why there is no answer: a status, and what only the log says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// The status of the answer.
    pub status: u16,
    /// What the client is told: 4xx only.
    pub text: String,
}

impl Error {
    /// With a text; what is said with a 5xx stays in the log.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Error { status, text: text.into() }
    }
    /// Without more to say.
    pub fn status(status: u16) -> Self {
        Error::new(status, reason(status))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.text)
    }
}

impl core::error::Error for Error {}

/// Numbers of Linux for paths that cannot exist.
const NOT_A_DIRECTORY: i32 = 20;
const NAME_TOO_LONG: i32 = 36;

impl From<Reason> for Error {
    /// Of files; what goes wrong on the network has meanings of its own.
    fn from(why: Reason) -> Self {
        let status = match why {
            Reason::NotFound | Reason::Io(NOT_A_DIRECTORY | NAME_TOO_LONG) => 404,
            Reason::Denied | Reason::Prohibited | Reason::Escapes => 403,
            Reason::Capacity => 503,
            _ => 500,
        };
        if status < 500 { Error::status(status) } else { Error::new(status, why.to_string()) }
    }
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Full => Error::new(503, "the queue of jobs is full"),
            Lost::Panicked => Error::new(500, "a job panicked"),
            Lost::Cancelled => Error::new(500, "a job was cancelled"),
        }
    }
}
