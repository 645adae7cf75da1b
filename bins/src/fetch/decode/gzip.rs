//! The wrapper of gzip (RFC 1952) around deflate; several members follow one another.
use super::{Bad, inflate};
use flate2::{Crc, Decompress};

/// See the module.
#[derive(Default)]
pub struct Gzip {
    state: State,
    crc: Crc,
    members: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Head,
    Body(Decompress),
    Tail,
}

/// Names, comments and extra fields of one member.
const HEAD_MAX: usize = 4 << 10;
const BROKEN: Bad = Bad::Broken("not a gzip body");

impl Gzip {
    /// One step: bytes used and made.
    pub fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), Bad> {
        match &mut self.state {
            State::Head => {
                let Some(len) = head(input)? else { return Ok((0, 0)) };
                (self.state, self.crc) = (State::Body(Decompress::new(false)), Crc::new());
                Ok((len, 0))
            }
            State::Body(d) => {
                let (used, made, end) = inflate(d, input, out, "not a gzip body")?;
                self.crc.update(out.get(..made).unwrap_or_default());
                if end {
                    self.state = State::Tail;
                    if used + made == 0 {
                        return self.step(input, out); // the end took no byte: whoever waits for movement must see some
                    }
                }
                Ok((used, made))
            }
            State::Tail => {
                let Some(tail) = input.first_chunk::<8>() else { return Ok((0, 0)) };
                let [a, b, c, d, e, f, g, h] = *tail;
                let (crc, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                if (crc, len) != (self.crc.sum(), self.crc.amount()) {
                    return Err(Bad::Broken("a gzip body with a wrong checksum"));
                }
                self.state = State::Head;
                self.members += 1;
                Ok((8, 0))
            }
        }
    }
    /// A member has ended and no other has begun.
    pub fn is_between(&self) -> bool {
        self.members > 0 && matches!(self.state, State::Head)
    }
    /// Output may wait.
    pub fn is_inside(&self) -> bool {
        matches!(self.state, State::Body(_))
    }
}

/// Where a member's head ends; `None` if more is needed.
fn head(input: &[u8]) -> Result<Option<usize>, Bad> {
    if input.iter().zip([0x1f, 0x8b, 8]).any(|(a, b)| *a != b) {
        return Err(BROKEN);
    }
    let more = |_| if input.len() > HEAD_MAX { Err(BROKEN) } else { Ok(None) };
    let Some(&flags) = input.get(3) else { return Ok(None) };
    let mut at = 10;
    if flags & 0xe0 != 0 {
        return Err(BROKEN);
    }
    if flags & 4 != 0 {
        let Some([a, b]) = input.get(at..).and_then(|r| r.first_chunk::<2>()) else { return Ok(None) };
        at += 2 + usize::from(u16::from_le_bytes([*a, *b]));
    }
    for text in [8, 16] {
        if flags & text != 0 {
            match input.get(at..).and_then(|r| r.iter().position(|b| *b == 0)) {
                Some(len) => at += len + 1,
                None => return more(()),
            }
        }
    }
    at += if flags & 2 != 0 { 2 } else { 0 };
    if input.len() < at { more(()) } else { Ok(Some(at)) }
}
