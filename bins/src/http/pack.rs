//! Compressing what is sent, as a job.
use super::media::Coding;
use proto_core::Bytes;
use std::io::Write;

/// Smaller files gain nothing: they fit into one packet either way.
pub const MIN: u64 = 1 << 10;
/// Larger ones would keep a worker busy for long.
pub const MAX: u64 = 8 << 20;

/// What is compressed.
#[derive(Clone, Debug)]
pub struct Pack {
    /// What to compress.
    pub bytes: Bytes,
    /// How.
    pub coding: Coding,
}

impl Pack {
    /// The compressed bytes; none if they are no fewer.
    pub fn run(&self) -> Bytes {
        let packed = match self.coding {
            Coding::Gzip => gzip(&self.bytes),
            Coding::Brotli => brotli(&self.bytes),
            Coding::Zstd => {
                Some(ruzstd::encoding::compress_to_vec(&*self.bytes, ruzstd::encoding::CompressionLevel::Fastest))
            }
        };
        packed.filter(|p| p.len() < self.bytes.len()).map(Bytes::from).unwrap_or_default()
    }
}

/// What is worth compressing: text, and what is text in disguise.
pub fn is_text(media: &str) -> bool {
    let media = media.split(';').next().unwrap_or_default().trim();
    media.starts_with("text/")
        || media.ends_with("+xml")
        || media.ends_with("+json")
        || ["json", "javascript", "xml", "wasm", "manifest+json", "rtf"]
            .iter()
            .any(|kind| media.strip_prefix("application/") == Some(*kind))
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    // No time and no name in the header: the same file gives the same bytes.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).ok()?;
    packer.finish().ok()
}

fn brotli(bytes: &[u8]) -> Option<Vec<u8>> {
    // Quality 5 of 11 takes a tenth of the time for most of the gain.
    let mut packer = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    packer.write_all(bytes).ok()?;
    packer.flush().ok()?;
    Some(packer.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn packed_and_unpacked_it_is_the_same() {
        let text: String = (0..5000).map(|i| format!("line {}\n", i * i)).collect();
        for coding in Coding::ALL {
            let packed = Pack { bytes: text.clone().into(), coding }.run();
            assert!(!packed.is_empty() && packed.len() < text.len() / 2, "{coding:?}: {}", packed.len());
            let mut plain = Vec::new();
            match coding {
                Coding::Gzip => flate2::read::GzDecoder::new(&*packed).read_to_end(&mut plain).expect("gzip"),
                Coding::Brotli => brotli::Decompressor::new(&*packed, 4096).read_to_end(&mut plain).expect("brotli"),
                Coding::Zstd => ruzstd::decoding::StreamingDecoder::new(&*packed)
                    .expect("a frame")
                    .read_to_end(&mut plain)
                    .expect("zstd"),
            };
            assert!(plain == text.as_bytes(), "{coding:?}");
        }
    }

    #[test]
    fn what_does_not_shrink_is_left_alone() {
        let mut x = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 56) as u8
        })
        .take(10_000)
        .collect();
        for coding in Coding::ALL {
            assert!(Pack { bytes: noise.clone().into(), coding }.run().is_empty(), "{coding:?}");
        }
    }

    #[test]
    fn kinds() {
        for (media, want) in [
            ("text/html", true),
            ("text/html; charset=utf-8", true),
            ("image/svg+xml", true),
            ("application/json", true),
            ("application/manifest+json", true),
            ("application/wasm", true),
            ("image/png", false),
            ("application/zip", false),
            ("application/octet-stream", false),
            ("video/mp4", false),
        ] {
            assert_eq!(is_text(media), want, "{media}");
        }
    }
}
