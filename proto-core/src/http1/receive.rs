//! A body that comes in, piece by piece, without copying.
use super::Refusal;
use super::chunked::{Decoder, Part};
use super::fields::Fields;
use super::head::Framing;
use super::rules::Rules;
use crate::Rx;

/// What is left of a body.
#[derive(Clone, Debug)]
pub(crate) enum Incoming {
    Length(u64),
    Chunked(Decoder),
    /// How much has come.
    UntilClose(u64),
    Over,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Piece<'b> {
    NeedMore,
    /// Never empty.
    Data(&'b mut [u8]),
    /// Before the end, unless there are none.
    Trailers(Fields<'b>),
    End,
}

impl Incoming {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(n) => Incoming::Length(n),
            Framing::Chunked => Incoming::Chunked(Decoder::default()),
            Framing::UntilClose => Incoming::UntilClose(0),
        }
    }
    /// Bytes that are known to be left.
    pub(crate) fn left(&self) -> u64 {
        match self {
            Incoming::Length(n) => *n,
            _ => 0,
        }
    }
    /// The next piece. `rules.base` is moved along with what is taken.
    pub(crate) fn next<'b>(&mut self, rx: &mut Rx<'b>, rules: &mut Rules) -> Result<Piece<'b>, Refusal> {
        let n = match self {
            Incoming::Length(0) | Incoming::Over => return Ok(Piece::End),
            Incoming::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(rx.len());
                *left -= n as u64;
                n
            }
            Incoming::UntilClose(got) => {
                let most = usize::try_from(rules.config.limits.body.saturating_sub(*got)).unwrap_or(usize::MAX);
                let n = rx.len().min(most);
                if n == 0 && !rx.is_empty() {
                    return Err(Refusal::new(413, "RFC 9110 15.5.14", "a body that is too large", 0));
                }
                *got += n as u64;
                n
            }
            Incoming::Chunked(_) => return self.chunk(rx, rules),
        };
        if n > 0 {
            rules.base += n as u64;
            return Ok(Piece::Data(rx.take(n)));
        }
        match self {
            _ if !rx.is_last() => Ok(Piece::NeedMore),
            Incoming::UntilClose(_) => {
                *self = Incoming::Over;
                Ok(Piece::End)
            }
            _ => Err(cut_short(rx)),
        }
    }
    fn chunk<'b>(&mut self, rx: &mut Rx<'b>, rules: &mut Rules) -> Result<Piece<'b>, Refusal> {
        loop {
            let Incoming::Chunked(decoder) = self else { return Ok(Piece::End) };
            let part = decoder.next(rx.peek(), rules)?;
            match part {
                Part::NeedMore if rx.is_last() => return Err(cut_short(rx)),
                Part::NeedMore => return Ok(Piece::NeedMore),
                Part::Framing(n) => {
                    rx.take(n);
                    rules.base += n as u64;
                }
                Part::Data(n) => {
                    rules.base += n as u64;
                    return Ok(Piece::Data(rx.take(n)));
                }
                Part::End(n) => {
                    rules.base += n as u64;
                    *self = Incoming::Over;
                    let lines = rx.take(n);
                    return Ok(if lines.len() > 2 { Piece::Trailers(Fields::new(lines)) } else { Piece::End });
                }
            }
        }
    }
}

fn cut_short(rx: &Rx<'_>) -> Refusal {
    Refusal::new(400, "RFC 9112 8", "a body that was cut short", rx.len())
}
