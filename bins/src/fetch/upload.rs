//! Bodies that are sent: pieces of memory and of files, whose bytes nobody reads before they leave.
use core::fmt::Write;
use proto_core::{Bytes, FileId, Tx};

/// What a body is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// These bytes.
    Text(Bytes),
    /// A whole file, by its path.
    File(String),
}

/// A body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Upload {
    /// There is a body, be it empty.
    pub some: bool,
    /// In this order.
    pub pieces: Vec<Piece>,
    /// `Content-Type`.
    pub media: String,
    /// `Accept`, for JSON.
    pub accept: Option<&'static str>,
}

/// Files of a body that are open: which, and how long they were then.
pub type Opened = Vec<(FileId, u64)>;

impl Upload {
    /// The paths of its files, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|p| if let Piece::File(path) = p { Some(path.as_str()) } else { None })
    }
    /// Its length.
    pub fn len(&self, files: &Opened) -> u64 {
        let text = |p: &Piece| if let Piece::Text(b) = p { b.len() as u64 } else { 0 };
        let files: u64 = files.iter().map(|f| f.1).fold(0, u64::saturating_add);
        self.pieces.iter().map(text).fold(files, u64::saturating_add)
    }
    /// Queues it whole: files by name, so that it takes no memory.
    pub fn put(&self, files: &Opened, tx: &mut Tx) {
        let mut files = files.iter();
        for piece in &self.pieces {
            match piece {
                Piece::Text(bytes) => tx.share(bytes.clone()),
                Piece::File(_) => {
                    if let Some((file, len)) = files.next() {
                        tx.file(*file, 0, usize::try_from(*len).unwrap_or(usize::MAX));
                    }
                }
            }
        }
    }
    /// Adds to a form that is urlencoded: pieces are joined with `&`.
    pub fn join(&mut self, piece: Piece) {
        if !self.pieces.is_empty() {
            self.pieces.push(Piece::Text(Bytes::from_static(b"&")));
        }
        self.some = true;
        self.pieces.push(piece);
    }
}

/// The media type of urlencoded forms.
pub const URLENCODED: &str = "application/x-www-form-urlencoded";

/// A value as forms write it: all but the unreserved characters is encoded.
pub fn urlencode(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(*b)),
            b => {
                let _ = write!(out, "%{b:02X}"); // a String takes everything
            }
        }
    }
    out
}

/// A field of a multipart form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Its `Content-Type`, if it is to have one.
    pub media: Option<String>,
}

/// What a part holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A file; with a name it is sent as one, else its contents are the value.
    File {
        /// Where it is.
        path: String,
        /// How it is called in the form.
        name: Option<String>,
    },
}

impl Part {
    /// `name=value`, `name=@path;type=text/plain;filename=x` or `name=<path`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(s: &str) -> Result<Part, String> {
        let bad = |why: &str| format!("'{}': {why}", crate::text::Escaped(s.as_bytes()));
        let (name, value) = s.split_once('=').ok_or_else(|| bad("a field is NAME=VALUE, NAME=@FILE or NAME=<FILE"))?;
        if name.is_empty() {
            return Err(bad("a field has a name"));
        }
        let (kind, rest) = match value.as_bytes().first() {
            Some(kind @ (b'@' | b'<')) => (*kind, value.get(1..).unwrap_or_default()),
            _ => (0, value),
        };
        let (mut media, mut called) = (None, None);
        let mut body = rest;
        while let Some((before, option)) = body.rsplit_once(';') {
            match option.trim().split_once('=') {
                Some(("type", m)) if m.contains('/') && m.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
                    media = Some(m.to_string());
                }
                Some(("filename", n)) if kind == b'@' => called = Some(n.trim_matches('"').to_string()),
                _ => break,
            }
            body = before;
        }
        let last = body.rsplit('/').next().unwrap_or_default();
        let value = match kind {
            0 => Value::Text(body.into()),
            _ if body.is_empty() => return Err(bad("the file has no name")),
            b'@' => Value::File { path: body.into(), name: called.or(Some(last.into())) },
            _ => Value::File { path: body.into(), name: None },
        };
        if media.is_none() && matches!(value, Value::File { name: Some(_), .. }) {
            let guess = mime_guess::from_path(last).first_raw();
            media = Some(guess.unwrap_or("application/octet-stream").into());
        }
        Ok(Part { name: name.into(), value, media })
    }
}

/// A multipart form (RFC 7578). The boundary must not occur in a part; a random one does not.
pub fn multipart(parts: &[Part], boundary: &str) -> Upload {
    let mut upload =
        Upload { some: true, media: format!("multipart/form-data; boundary={boundary}"), ..Upload::default() };
    let mut text = String::new();
    for part in parts {
        let _ = write!(text, "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quoted(&part.name));
        if let Value::File { name: Some(name), .. } = &part.value {
            let _ = write!(text, "; filename=\"{}\"", quoted(name));
        }
        text.push_str("\r\n");
        if let Some(media) = &part.media {
            let _ = write!(text, "Content-Type: {media}\r\n");
        }
        text.push_str("\r\n");
        match &part.value {
            Value::Text(value) => text.push_str(value),
            Value::File { path, .. } => {
                upload.pieces.push(Piece::Text(core::mem::take(&mut text).into()));
                upload.pieces.push(Piece::File(path.clone()));
            }
        }
        text.push_str("\r\n");
    }
    let _ = write!(text, "--{boundary}--\r\n");
    upload.pieces.push(Piece::Text(text.into()));
    upload
}

/// Names within quotes, as browsers write them: what would end the quotes or the line is encoded.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(upload: &Upload) -> String {
        let piece = |p: &Piece| match p {
            Piece::Text(b) => String::from_utf8_lossy(b).into_owned(),
            Piece::File(path) => format!("<{path}>"),
        };
        upload.pieces.iter().map(piece).collect()
    }

    #[test]
    fn forms() {
        let parts = ["a=1", "f=@dir/x.txt", "g=@y;type=image/png;filename=\"z\r\nX: y", "h=<body", "i=a;b=c"];
        let parts: Vec<Part> = parts.iter().map(|p| Part::parse(p).expect("a part")).collect();
        let want = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
            --B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\n<dir/x.txt>\r\n\
            --B\r\nContent-Disposition: form-data; name=\"g\"; filename=\"z%0D%0AX: y\"\r\nContent-Type: image/png\r\n\r\n<y>\r\n\
            --B\r\nContent-Disposition: form-data; name=\"h\"\r\n\r\n<body>\r\n\
            --B\r\nContent-Disposition: form-data; name=\"i\"\r\n\r\na;b=c\r\n--B--\r\n";
        assert_eq!(text(&multipart(&parts, "B")), want);
        for bad in ["a", "=x", "a=@", "a=<"] {
            assert!(Part::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_of_forms_are_encoded() {
        assert_eq!(urlencode("a b&c=ü/~".as_bytes()), "a%20b%26c%3D%C3%BC%2F~");
        let mut form = Upload::default();
        form.join(Piece::Text("a=1".into()));
        form.join(Piece::File("f".into()));
        assert_eq!(text(&form), "a=1&<f>");
    }
}
