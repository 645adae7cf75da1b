//! What a request says that decides about the answer, gathered in one look at its fields.
use proto_core::http1::Method;
use proto_core::http1::server::Request;
use std::borrow::Cow;

/// A field's value: borrowed from the request, or kept while a file is looked up.
pub type Value<'r> = Option<Cow<'r, [u8]>>;

macro_rules! wants {
    ($($(#[$doc:meta])* $name:ident: $field:literal,)*) => {
        /// See the module. A field that comes several times is one list (RFC 9110 5.3).
        #[derive(Clone, Debug, Default)]
        pub struct Wants<'r> {
            /// Without a body: HEAD.
            pub head: bool,
            $($(#[$doc])* pub $name: Value<'r>,)*
        }
        impl<'r> Wants<'r> {
            fn slot(&mut self, name: &str) -> Option<&mut Value<'r>> {
                match name.len() {
                    $(n if n == $field.len() && name.eq_ignore_ascii_case($field) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
            /// The same, independent of the request.
            pub fn into_owned(self) -> Wants<'static> {
                Wants { head: self.head, $($name: self.$name.map(|v| Cow::Owned(v.into_owned())),)* }
            }
        }
    };
}

wants! {
    /// `Range`.
    range: "range",
    /// `If-Range`.
    if_range: "if-range",
    /// `If-Match`.
    if_match: "if-match",
    /// `If-None-Match`.
    if_none_match: "if-none-match",
    /// `If-Modified-Since`.
    if_modified_since: "if-modified-since",
    /// `If-Unmodified-Since`.
    if_unmodified_since: "if-unmodified-since",
    /// `Accept-Encoding`.
    accept_encoding: "accept-encoding",
    /// `Accept`.
    accept: "accept",
    /// `Origin`.
    origin: "origin",
    /// `Host`.
    host: "host",
    /// `Authorization`.
    authorization: "authorization",
}

impl<'r> Wants<'r> {
    /// Gathers it.
    pub fn of(request: &Request<'r>) -> Self {
        let mut wants = Wants { head: request.method() == Method::Head, ..Wants::default() };
        for field in request.fields() {
            let Some(slot) = wants.slot(field.name) else { continue };
            *slot = Some(match slot.take() {
                None => Cow::Borrowed(field.value),
                Some(before) => Cow::Owned([&before, field.value].join(&b", "[..])),
            });
        }
        wants
    }
    /// It may be answered with something else than the whole file.
    pub fn is_special(&self) -> bool {
        self.range.is_some()
            || self.if_match.is_some()
            || self.if_none_match.is_some()
            || self.if_modified_since.is_some()
            || self.if_unmodified_since.is_some()
    }
}

/// A value, if there is one.
pub fn bytes<'v>(value: &'v Value<'_>) -> Option<&'v [u8]> {
    value.as_deref()
}
