//! Files, parts of files, and pages as answers.
use super::conditional::{Outcome, Version, decide, range_counts};
use super::media::Coding;
use super::range::{Ranges, parse};
use super::site::Site;
use super::store::{Body, File};
use super::wants::{Wants, bytes};
use core::ops::Range;
use proto_core::http1::server::Response;
use proto_core::http1::{FieldBlock, Length, Server, reason};
use proto_core::{COPY_MAX, Misuse, Tx};

/// What was answered, for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Given {
    /// Status.
    pub status: u16,
    /// Bytes of the body, as announced; none for HEAD.
    pub bytes: u64,
}

/// The methods there are.
pub const ALLOW: &[u8] = b"GET, HEAD, OPTIONS";

/// The body of an answer that has only a status: `<h1>404 Not Found</h1>` and a line end.
pub fn page(status: u16) -> String {
    format!("<h1>{status} {}</h1>\n", reason(status))
}

/// A machine that waits for an answer, and where it writes.
pub struct To<'a> {
    /// The machine.
    pub http: &'a mut Server,
    /// Its output.
    pub tx: &'a mut Tx,
    /// What the request wants; only whether it is HEAD matters for pages.
    pub head: bool,
}

impl To<'_> {
    fn given(&self, status: u16, bytes: u64) -> Given {
        Given { status, bytes: if self.head { 0 } else { bytes } }
    }
    /// A status with fields and a page of one line.
    pub fn status(&mut self, status: u16, fields: &[(&str, &[u8])], site: &Site) -> Result<Given, Misuse> {
        let closing = matches!(status, 400 | 408 | 413 | 500);
        self.text(status, "text/html", &page(status), fields, closing, site)
    }
    /// A text of our own.
    pub fn text(
        &mut self,
        status: u16,
        media: &str,
        text: &str,
        fields: &[(&str, &[u8])],
        closing: bool,
        site: &Site,
    ) -> Result<Given, Misuse> {
        let head = Response { close: closing, ..Response::new(status) };
        let head = head.typed(media).fields(fields).block(site.common());
        self.http.respond_whole(self.tx, &head, text.as_bytes())?;
        Ok(self.given(status, text.len() as u64))
    }
    /// No body at all.
    pub fn empty(&mut self, status: u16, fields: &[(&str, &[u8])], site: &Site) -> Result<Given, Misuse> {
        let head = Response::new(status).fields(fields).block(site.common());
        self.http.respond(self.tx, &head, Length::None)?;
        Ok(self.given(status, 0))
    }
    /// All of a file as it is: what a hit of the cache costs.
    #[inline]
    pub fn whole(&mut self, status: u16, file: &mut File, vary: bool, site: &Site) -> Result<Given, Misuse> {
        file.block(site, vary); // brought up to date
        let file: &File = file;
        self.send(status, &file.media, &[], file, file.block_now(), 0..file.meta.len)
    }
    /// A file, as the request's conditions and ranges have it. `coding`: it is the coded form of what `media` says.
    pub fn file(
        &mut self,
        file: &mut File,
        wants: &Wants<'_>,
        coded: Option<(Coding, &str)>,
        vary: bool,
        boundary: u64,
        site: &Site,
    ) -> Result<Given, Misuse> {
        let Some((coding, media)) = coded else {
            file.block(site, vary);
            let file: &File = file;
            return self.conditional(file, &file.etag, &file.media, file.block_now(), wants, boundary, site);
        };
        let etag = format!("{}-{}\"", file.etag.trim_end_matches('"'), coding.name());
        let block = site.block(&[
            ("Last-Modified", file.last_modified().as_bytes()),
            ("ETag", etag.as_bytes()),
            ("Accept-Ranges", b"bytes"),
            ("Content-Encoding", coding.name().as_bytes()),
            ("Vary", b"Accept-Encoding"),
        ])?;
        self.conditional(file, &etag, media, &block, wants, boundary, site)
    }
    #[allow(clippy::too_many_arguments)] // what a version of a file is, and what was asked of it
    fn conditional(
        &mut self,
        file: &File,
        etag: &str,
        media: &str,
        block: &FieldBlock,
        wants: &Wants<'_>,
        boundary: u64,
        site: &Site,
    ) -> Result<Given, Misuse> {
        let version = Version { etag, modified_s: file.modified_s() };
        match decide(wants, version, site.now_s()) {
            Outcome::Go => {}
            Outcome::NotModified => {
                self.http.respond(self.tx, &Response::new(304).block(block), Length::None)?;
                return Ok(self.given(304, 0));
            }
            Outcome::Failed => return self.status(412, &[], site),
        }
        let len = file.meta.len;
        // Ranges are of GET only (RFC 9110 14.2).
        let range = bytes(&wants.range).filter(|_| !self.head && range_counts(wants, version, site.now_s()));
        match range.map_or(Ranges::Whole, |field| parse(field, len)) {
            Ranges::Whole => self.send(200, media, &[], file, block, 0..len),
            Ranges::Unsatisfiable => self.status(416, &[("Content-Range", format!("bytes */{len}").as_bytes())], site),
            Ranges::Parts(parts) => match parts.as_slice() {
                [part] => {
                    let range = content_range(part, len);
                    self.send(206, media, &[("Content-Range", range.as_bytes())], file, block, part.clone())
                }
                parts => self.multipart(file, media, block, parts, boundary),
            },
        }
    }
    /// RFC 9110 14.6.
    fn multipart(
        &mut self,
        file: &File,
        media: &str,
        block: &FieldBlock,
        parts: &[Range<u64>],
        boundary: u64,
    ) -> Result<Given, Misuse> {
        let len = file.meta.len;
        let head = |part: &Range<u64>| {
            let range = content_range(part, len);
            format!("\r\n--{boundary:016x}\r\nContent-Type: {media}\r\nContent-Range: {range}\r\n\r\n")
        };
        let end = format!("\r\n--{boundary:016x}--\r\n");
        let sized = |n: u64, part: &Range<u64>| n + head(part).len() as u64 + (part.end - part.start);
        let total = parts.iter().fold(end.len() as u64, sized);
        let media = format!("multipart/byteranges; boundary={boundary:016x}");
        self.http.respond(self.tx, &Response::new(206).typed(&media).block(block), Length::Known(total))?;
        for part in parts {
            self.http.put(self.tx, head(part).as_bytes())?;
            self.put(file, part.clone())?;
        }
        self.http.put(self.tx, end.as_bytes())?;
        Ok(self.given(206, total))
    }
    fn send(
        &mut self,
        status: u16,
        media: &str,
        fields: &[(&str, &[u8])],
        file: &File,
        block: &FieldBlock,
        part: Range<u64>,
    ) -> Result<Given, Misuse> {
        let head = Response::new(status).typed(media).fields(fields).block(block);
        let len = part.end - part.start;
        match &file.body {
            Body::Memory(bytes) if bytes.len() <= COPY_MAX => {
                self.http.respond_whole(self.tx, &head, slice(bytes, &part))?;
            }
            _ => {
                self.http.respond(self.tx, &head, Length::Known(len))?;
                if !self.head {
                    self.put(file, part)?;
                }
            }
        }
        Ok(self.given(status, len))
    }
    fn put(&mut self, file: &File, part: Range<u64>) -> Result<(), Misuse> {
        if part.is_empty() {
            return Ok(());
        }
        match &file.body {
            Body::Memory(all) => {
                let piece = slice(all, &part);
                if piece.len() <= COPY_MAX {
                    self.http.put(self.tx, piece)
                } else {
                    self.http.share(self.tx, all.slice_ref(piece))
                }
            }
            Body::Disk(id) => self.http.file(self.tx, *id, part.start, part.end - part.start),
        }
    }
}

fn content_range(part: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", part.start, part.end.saturating_sub(1))
}

fn slice<'b>(bytes: &'b [u8], part: &Range<u64>) -> &'b [u8] {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    bytes.get(at(part.start)..at(part.end)).unwrap_or_default()
}
