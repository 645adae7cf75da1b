//! Content codings undone (RFC 9110 8.4.1), piece by piece: never more is made than there is room for, and a few bytes
//! that become very many are a bomb.
use flate2::{Decompress, FlushDecompress, Status};
use gzip::Gzip;
use zstd::Zstd;

mod gzip;
mod zstd;

/// Codings of one body. More than these nobody needs, and each multiplies.
const CODINGS: usize = 2;
/// From this size on, what is made is compared with what came.
const FREE: u64 = 16 << 20;
/// How many times larger it may be.
const RATIO: u64 = 100;
/// What is made at once, in bytes; and what may wait between two codings.
const STEP: usize = 16 << 10;

/// Why a body cannot be decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bad {
    /// It is not what it says to be.
    Broken(&'static str),
    /// A little becomes very much.
    Bomb(u64, u64),
}

impl core::fmt::Display for Bad {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Bad::Broken(what) => f.write_str(what),
            Bad::Bomb(from, to) => {
                let [from, to] = [*from, *to].map(crate::text::Thousands);
                write!(f, "a decompression bomb: {from} bytes became {to} (limit {RATIO} to 1)")
            }
        }
    }
}

enum Coding {
    Gzip(Gzip),
    /// With the wrapper that it should have, or without, as some send it: decided by its first two bytes.
    Deflate(Option<Decompress>),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

type Brotli = brotli_decompressor::BrotliState<
    brotli_decompressor::StandardAlloc,
    brotli_decompressor::StandardAlloc,
    brotli_decompressor::StandardAlloc,
>;

struct Stage {
    coding: Coding,
    input: Vec<u8>,
    ended: bool,
}

/// See the module.
pub struct Decoder {
    stages: Vec<Stage>,
    came: u64,
    made: u64,
    bounded: bool,
}

impl core::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decoder").field("came", &self.came).field("made", &self.made).finish()
    }
}

impl Decoder {
    /// For the values of `Content-Encoding`. `Ok(None)`: there is nothing to undo.
    ///
    /// # Errors
    /// The coding that is not known, or too many.
    pub fn new<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<Decoder>, String> {
        let mut stages = Vec::new();
        for value in values {
            for name in value.split(|b| *b == b',') {
                let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
                let coding = match name.as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Coding::Gzip(Gzip::default()),
                    "deflate" => Coding::Deflate(None),
                    "br" => Coding::Brotli(Box::new(brotli())),
                    "zstd" => Coding::Zstd(Zstd::default()),
                    _ => return Err(format!("unknown content coding '{}'", crate::text::Escaped(name.as_bytes()))),
                };
                if stages.len() == CODINGS {
                    return Err(format!("more than {CODINGS} content codings"));
                }
                stages.push(Stage { coding, input: Vec::new(), ended: false });
            }
        }
        stages.reverse(); // the last one that was applied is undone first
        Ok((!stages.is_empty()).then_some(Decoder { stages, came: 0, made: 0, bounded: true }))
    }
    /// Without the limit of a bomb, for tests.
    pub fn unbounded(self) -> Self {
        Decoder { bounded: false, ..self }
    }
    /// Takes bytes of the body; [`Decoder::pull`] until there is nothing more before the next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.came += bytes.len() as u64;
        if let Some(first) = self.stages.first_mut() {
            first.input.extend_from_slice(bytes);
        }
    }
    /// The next piece, at most 16 KiB of it; empty if more is needed.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn pull(&mut self) -> Result<Vec<u8>, Bad> {
        let mut out = Vec::new();
        while out.is_empty() {
            let mut moved = false;
            for i in 0..self.stages.len() {
                // Nothing is made that the next one has no room for.
                if self.stages.get(i + 1).is_some_and(|next| next.input.len() >= 16 * STEP) {
                    continue;
                }
                let Some(stage) = self.stages.get_mut(i) else { break };
                let before = stage.input.len();
                let made = stage.step()?;
                moved |= stage.input.len() != before || !made.is_empty();
                match self.stages.get_mut(i + 1) {
                    Some(next) => {
                        next.input.extend_from_slice(&made);
                        self.made = self.made.max(next.input.len() as u64);
                    }
                    None => out = made,
                }
            }
            if !moved {
                break;
            }
        }
        self.made += out.len() as u64;
        if self.bounded && self.made > FREE && self.made / RATIO > self.came {
            return Err(Bad::Bomb(self.came, self.made));
        }
        Ok(out)
    }
    /// The body has ended: is it whole?
    ///
    /// # Errors
    /// It is cut short.
    pub fn end(&self) -> Result<(), Bad> {
        // An empty body is taken for the coding of nothing, as servers send it with an error.
        let whole = self.came == 0 || self.stages.iter().all(|s| s.is_whole());
        if whole { Ok(()) } else { Err(Bad::Broken("compressed body ends too early")) }
    }
    /// Bytes made.
    pub fn made(&self) -> u64 {
        self.made
    }
}

fn brotli() -> Brotli {
    let new = brotli_decompressor::StandardAlloc::default;
    Brotli::new(new(), new(), new())
}

impl Stage {
    fn is_whole(&self) -> bool {
        let between = match &self.coding {
            Coding::Gzip(g) => g.is_between(),
            Coding::Zstd(z) => z.is_between(),
            Coding::Deflate(_) | Coding::Brotli(_) => self.ended,
        };
        between && self.input.is_empty()
    }
    fn step(&mut self) -> Result<Vec<u8>, Bad> {
        if self.input.is_empty() && (self.ended || !self.coding.holds()) {
            return Ok(Vec::new());
        }
        if self.ended {
            return Err(Bad::Broken("bytes follow the end of a compressed body"));
        }
        let mut out = vec![0; STEP];
        let (used, made) = match &mut self.coding {
            Coding::Gzip(g) => g.step(&self.input, &mut out)?,
            Coding::Deflate(d) => {
                if d.is_none() {
                    let [a, b, ..] = self.input[..] else { return Ok(Vec::new()) };
                    let zlib = a & 15 == 8 && (u16::from(a) << 8 | u16::from(b)).is_multiple_of(31);
                    *d = Some(Decompress::new(zlib));
                }
                let Some(d) = d else { return Ok(Vec::new()) };
                let (used, made, end) = inflate(d, &self.input, &mut out, "not a deflate body")?;
                self.ended = end;
                (used, made)
            }
            Coding::Brotli(state) => {
                let (mut left, mut used) = (self.input.len(), 0);
                let (mut room, mut made) = (out.len(), 0);
                let result = brotli_decompressor::BrotliDecompressStream(
                    &mut left,
                    &mut used,
                    &self.input,
                    &mut room,
                    &mut made,
                    &mut out,
                    &mut 0,
                    state,
                );
                match result {
                    brotli_decompressor::BrotliResult::ResultFailure => return Err(Bad::Broken("not a brotli body")),
                    brotli_decompressor::BrotliResult::ResultSuccess => self.ended = true,
                    _ => {}
                }
                (used, made)
            }
            Coding::Zstd(z) => z.step(&self.input, &mut out)?,
        };
        self.input.drain(..used);
        out.truncate(made);
        Ok(out)
    }
}

fn inflate(d: &mut Decompress, input: &[u8], out: &mut [u8], what: &'static str) -> Result<(usize, usize, bool), Bad> {
    let before = (d.total_in(), d.total_out());
    let status = d.decompress(input, out, FlushDecompress::None).map_err(|_| Bad::Broken(what))?;
    let used = usize::try_from(d.total_in() - before.0).unwrap_or(0);
    let made = usize::try_from(d.total_out() - before.1).unwrap_or(0);
    Ok((used, made, status == Status::StreamEnd))
}

impl Coding {
    /// There is output although no input is left.
    fn holds(&self) -> bool {
        match self {
            Coding::Zstd(z) => z.holds(),
            // What found no room comes out with the next call, whatever its input.
            Coding::Gzip(g) => g.is_inside(),
            Coding::Deflate(d) => d.is_some(),
            Coding::Brotli(_) => true,
        }
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
