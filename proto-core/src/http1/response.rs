//! Heads of answers: the status line, the fields, and where the body ends.
use super::Refusal;
use super::head::{Framing, Version};
use super::rules::Rules;
use super::section::{Said, Section};
use core::ops::Range;

/// What an answer's head says. Ranges count from its first byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) reason: Range<usize>,
    pub(crate) fields: Range<usize>,
    pub(crate) version: Version,
    /// As the fields say; whether there is a body at all depends on the request and the status too.
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

/// Reads one head from bytes that are shown again and again as they grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseReader {
    section: Section,
    first: Option<StatusLine>,
}

#[derive(Clone, Debug)]
struct StatusLine {
    version: Version,
    status: u16,
    reason: Range<usize>,
    end: usize,
}

impl ResponseReader {
    /// Goes on with `input`, which begins with the answer's first byte. The head's length, `None` while it is unfinished.
    pub(crate) fn read(&mut self, input: &[u8], rules: &mut Rules) -> Result<Option<usize>, Refusal> {
        if self.first.is_none() {
            // Who speaks something else may never end a line.
            if input.iter().zip(b"HTTP/").any(|(a, b)| a != b) {
                return Err(Refusal::new(502, RULE, "an answer that is not HTTP", 0));
            }
            let line = self.section.first(input, rules).map_err(|r| {
                let what = if r.status == 414 { "a status line that is too long" } else { r.what };
                Refusal { what, ..r }
            })?;
            let Some(line) = line else { return Ok(None) };
            self.first = Some(status_line(input.get(line).unwrap_or_default(), self.section.at(), rules)?);
        }
        self.section.rest(input, rules)
    }
    /// Not a byte was read yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.section.is_fresh()
    }
    /// Makes one line of each folded one. Before [`ResponseReader::judge`].
    pub(crate) fn unfold(&self, head: &mut [u8]) {
        self.section.unfold(head);
    }
    /// What the whole head says.
    pub(crate) fn judge(&self, head: &[u8], rules: &mut Rules) -> Result<ResponseHead, Refusal> {
        let Some(first) = &self.first else { return Err(Refusal::new(502, RULE, "no status line", 0)) };
        let section = head.get(first.end..).unwrap_or_default();
        let mut said = Said::read(section, self.section.count(), first.end, false, rules)?;
        let framing = said.framing(first.version, head.len(), rules)?.unwrap_or(Framing::UntilClose);
        Ok(ResponseHead {
            status: first.status,
            reason: first.reason.clone(),
            fields: first.end..head.len(),
            version: first.version,
            framing,
            keep_alive: said.keeps(first.version),
            upgrade: said.upgrade && said.says_upgrade,
        })
    }
}

const RULE: &str = "RFC 9112 4";

/// HTTP-version SP status-code SP [ reason-phrase ]
fn status_line(line: &[u8], end: usize, rules: &mut Rules) -> Result<StatusLine, Refusal> {
    let bad = |what, at| Err(Refusal::new(502, RULE, what, at));
    let Some((version, rest)) = line.split_at_checked(8) else { return bad("an answer that is not HTTP", 0) };
    let version = match version {
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Version::Http11,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return bad("a version other than HTTP/1.x", 0);
        }
        _ => return bad("an answer that is not HTTP", 0),
    };
    let (status, reason) = match rest {
        [b' ', a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] => {
            let digit = |d: &u8| u16::from(d - b'0');
            (digit(a) * 100 + digit(b) * 10 + digit(c), reason)
        }
        _ => return bad("a status that is not three digits from 100 to 599", 8),
    };
    let reason = match reason {
        [b' ', reason @ ..] => reason,
        [] => {
            let missing = Refusal::new(502, RULE, "a status line without a space behind the status", 12);
            rules.forgive(rules.config.lenient.no_space_after_status, missing)?;
            reason
        }
        _ => return bad("a status that is not three digits from 100 to 599", 8),
    };
    if !super::fields::is_value(reason) {
        return bad("a control character in a reason", 13);
    }
    Ok(StatusLine { version, status, reason: line.len() - reason.len()..line.len(), end })
}
