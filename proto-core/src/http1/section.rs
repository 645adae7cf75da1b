//! What heads of requests and answers have in common: where their lines end, and the fields that decide.
use super::Refusal;
use super::fields::{self, Field};
use super::head::{Framing, Version};
use super::lines::{Bad, Lines};
use super::rules::{MAX_FIELDS, Rules};
use core::ops::Range;

const TOO_LARGE: &str = "RFC 6585 5";
const FOLD: &str = "RFC 9112 5.2";

/// Finds a head's lines in bytes that are shown again and again as they grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section {
    lines: Lines,
    fields: usize,
    folded: bool,
}

impl Section {
    /// Nothing was searched yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.lines.is_fresh()
    }
    /// The first byte behind the last line.
    pub(crate) fn at(&self) -> usize {
        self.lines.at()
    }
    /// Lines of fields.
    pub(crate) fn count(&self) -> usize {
        self.fields
    }
    /// The first line.
    pub(crate) fn first(&mut self, input: &[u8], rules: &mut Rules) -> Result<Option<Range<usize>>, Refusal> {
        // Within the head's limit, so that a line that breaks both is refused for the same reason however it is cut.
        let bound = rules.config.limits.request_line.saturating_add(2).min(rules.config.limits.head);
        match self.lines.next(input, bound) {
            Ok(line) => Ok(line),
            Err(Bad::TooLong) => Err(Refusal::new(414, "RFC 9110 15.5.15", "a request line that is too long", bound)),
            Err(Bad::BareLf(at)) => self.bare(at, rules).map(Some),
        }
    }
    /// The lines up to the empty one. The head's length.
    pub(crate) fn rest(&mut self, input: &[u8], rules: &mut Rules) -> Result<Option<usize>, Refusal> {
        let most = rules.config.limits.head;
        loop {
            let line = match self.lines.next(input, most) {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(None),
                Err(Bad::TooLong) => return Err(Refusal::new(431, TOO_LARGE, "a head that is too large", most)),
                Err(Bad::BareLf(at)) => self.bare(at, rules)?,
            };
            if line.is_empty() {
                return Ok(Some(self.lines.at()));
            }
            if rules.config.lenient.fold && matches!(input.get(line.start), Some(b' ' | b'\t')) && self.fields > 0 {
                self.folded = true;
                rules.forgive(true, Refusal::new(400, FOLD, "a folded field", line.start))?;
                continue;
            }
            self.fields += 1;
            if self.fields > rules.config.limits.fields.min(MAX_FIELDS) {
                return Err(Refusal::new(431, TOO_LARGE, "too many fields", line.start));
            }
        }
    }
    fn bare(&mut self, at: usize, rules: &mut Rules) -> Result<Range<usize>, Refusal> {
        let refusal = Refusal::new(400, "RFC 9112 2.2", "a line that ends in LF without CR", at);
        rules.forgive(rules.config.lenient.bare_lf, refusal)?;
        Ok(self.lines.take_bare(at))
    }
    /// Overwrites the line ends of folded fields with spaces.
    pub(crate) fn unfold(&self, head: &mut [u8]) {
        if !self.folded {
            return;
        }
        for at in 1..head.len() {
            if head.get(at - 1) == Some(&b'\n') && matches!(head.get(at), Some(b' ' | b'\t')) {
                let from = if at >= 2 && head.get(at - 2) == Some(&b'\r') { at - 2 } else { at - 1 };
                head.get_mut(from..at).unwrap_or_default().fill(b' ');
            }
        }
    }
}

/// What the fields that decide have said.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) upgrade: bool,
    pub(crate) says_upgrade: bool,
}

impl<'a> Said<'a> {
    /// Reads `section`, the lines of `count` fields that begin at `begin`, of a request or an answer.
    pub(crate) fn read(
        section: &'a [u8],
        count: usize,
        begin: usize,
        request: bool,
        rules: &mut Rules,
    ) -> Result<Self, Refusal> {
        let mut said = Said::default();
        let at = begin + section.len(); // fields are judged when the head is whole
        fields::each(section, count, begin, rules, |field, rules| said.hear(field, request, at, rules))?;
        Ok(said)
    }
    fn hear(&mut self, field: Field<'a>, request: bool, at: usize, rules: &mut Rules) -> Result<(), Refusal> {
        let Field { name, value } = field;
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let refuse = |status, rule, what| Err(Refusal::new(status, rule, what, at));
        // By length first: most fields are none of these.
        match name.len() {
            14 if is("content-length") => self.length(value, at, rules)?,
            17 if is("transfer-encoding") => {
                if self.chunked {
                    return refuse(400, "RFC 9112 6.1", "Transfer-Encoding given twice");
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return refuse(501, "RFC 9112 6.1", "a transfer coding other than chunked");
                }
                self.chunked = true;
            }
            4 if request && is("host") => {
                if self.host.is_some() {
                    return refuse(400, "RFC 9112 3.2", "Host given twice");
                }
                if !fields::is_host(value) {
                    return refuse(400, "RFC 9112 3.2", "a malformed Host");
                }
                self.host = Some(value);
            }
            10 if is("connection") => {
                for option in fields::list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    self.says_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                }
            }
            6 if request && is("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return refuse(417, "RFC 9110 10.1.1", "an expectation other than 100-continue");
                }
                self.expects_continue = true;
            }
            7 if is("upgrade") => self.upgrade = true,
            _ => {}
        }
        Ok(())
    }
    fn length(&mut self, value: &[u8], at: usize, rules: &mut Rules) -> Result<(), Refusal> {
        let Some(n) = fields::length(value) else {
            return Err(Refusal::new(400, "RFC 9110 8.6", "a malformed Content-Length", at));
        };
        if let Some(first) = self.length {
            let twice = Refusal::new(400, "RFC 9112 6.3", "Content-Length given twice", at);
            rules.forgive(rules.config.lenient.same_lengths && first == n, twice)?;
        }
        self.length = Some(n);
        Ok(())
    }
    /// Where the body ends, if a field says so.
    pub(crate) fn framing(
        &mut self,
        version: Version,
        at: usize,
        rules: &mut Rules,
    ) -> Result<Option<Framing>, Refusal> {
        if self.chunked && self.length.is_some() {
            let both = Refusal::new(400, "RFC 9112 6.3", "both Content-Length and Transfer-Encoding", at);
            rules.forgive(rules.config.lenient.coding_wins, both)?;
            self.close = true;
        }
        if self.chunked && version == Version::Http10 {
            return Err(Refusal::new(400, "RFC 9112 6.1", "Transfer-Encoding in HTTP/1.0", at));
        }
        Ok(if self.chunked { Some(Framing::Chunked) } else { self.length.map(Framing::Length) })
    }
    /// The connection may be used again.
    pub(crate) fn keeps(&self, version: Version) -> bool {
        !self.close && (version >= Version::Http11 || self.keep_alive)
    }
}
