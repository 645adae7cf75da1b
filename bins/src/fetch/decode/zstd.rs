//! Zstandard (RFC 8878), a block at a time, so that blocks of four bytes that stand for 128 KiB cannot pile up.
use super::Bad;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// See the module.
#[derive(Default)]
pub struct Zstd {
    frame: Option<Frame>,
    frames: u64,
}

struct Frame {
    decoder: Box<FrameDecoder>,
    checksum: usize,
}

/// The largest window, of which a decoder keeps as much: what RFC 9659 allows for this content coding.
const WINDOW: u64 = 8 << 20;
const BLOCK: usize = 128 << 10;
const BROKEN: Bad = Bad::Broken("not a zstd body");

impl Zstd {
    /// One step: bytes used and made.
    pub fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), Bad> {
        let Some(frame) = &mut self.frame else {
            let Some(len) = self.begin(input)? else { return Ok((0, 0)) };
            return Ok((len, 0));
        };
        if frame.decoder.can_collect() > 0 {
            let made = std::io::Read::read(&mut frame.decoder, out).map_err(|_| BROKEN)?;
            return Ok((0, made));
        }
        if frame.decoder.is_finished() {
            if frame.checksum > 0 && frame.decoder.get_checksum_from_data() != frame.decoder.get_calculated_checksum() {
                return Err(Bad::Broken("a zstd body with a wrong checksum"));
            }
            (self.frame, self.frames) = (None, self.frames + 1);
            return if input.is_empty() { Ok((0, 0)) } else { self.step(input, out) };
        }
        let Some(len) = block(input, frame.checksum)? else { return Ok((0, 0)) };
        let one = input.get(..len).unwrap_or_default();
        frame.decoder.decode_blocks(one, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| BROKEN)?;
        Ok((len, 0))
    }
    fn begin(&mut self, input: &[u8]) -> Result<Option<usize>, Bad> {
        if input.iter().zip([0x28, 0xb5, 0x2f, 0xfd]).any(|(a, b)| *a != b) {
            return Err(BROKEN);
        }
        let Some(&flags) = input.get(4) else { return Ok(None) };
        let single = flags & 32 != 0;
        let dictionary = [0, 1, 2, 4].get(usize::from(flags & 3)).copied().unwrap_or(0);
        let size = match flags >> 6 {
            0 => usize::from(single),
            n => 1 << n,
        };
        let at = 5 + usize::from(!single) + dictionary;
        let len = at + size;
        let Some(head) = input.get(..len) else { return Ok(None) };
        let window = if single {
            let bytes = head.get(at..).unwrap_or_default();
            let n = bytes.iter().rev().fold(0, |n: u64, b| n << 8 | u64::from(*b));
            n + if size == 2 { 256 } else { 0 }
        } else {
            let b = u64::from(head.get(5).copied().unwrap_or(u8::MAX));
            let base = 1u64 << (10 + (b >> 3));
            base + base / 8 * (b & 7)
        };
        if window > WINDOW {
            return Err(Bad::Broken("a zstd window of more than 8 MiB"));
        }
        let mut decoder = Box::new(FrameDecoder::new());
        decoder.init(head).map_err(|_| BROKEN)?;
        self.frame = Some(Frame { decoder, checksum: if flags & 4 != 0 { 4 } else { 0 } });
        Ok(Some(len))
    }
    /// A frame has ended and no other has begun.
    pub fn is_between(&self) -> bool {
        self.frames > 0 && self.frame.is_none()
    }
    /// Output waits, or an end to be noted.
    pub fn holds(&self) -> bool {
        self.frame.as_ref().is_some_and(|f| f.decoder.can_collect() > 0 || f.decoder.is_finished())
    }
}

/// The length of the block at the front, with the checksum that follows the last one; `None` if more is needed.
fn block(input: &[u8], checksum: usize) -> Result<Option<usize>, Bad> {
    let Some(&[a, b, c]) = input.first_chunk::<3>() else { return Ok(None) };
    let word = u32::from_le_bytes([a, b, c, 0]) as usize;
    let content = if word >> 1 & 3 == 1 { 1 } else { word >> 3 };
    if word >> 3 > BLOCK {
        return Err(BROKEN);
    }
    let len = 3 + content + if word & 1 == 1 { checksum } else { 0 };
    Ok((input.len() >= len).then_some(len))
}
