use super::*;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write;

fn hex(text: &str) -> Vec<u8> {
    let digit = |b: &u8| char::from(*b).to_digit(16).expect("a digit") as u8;
    text.as_bytes().chunks(2).map(|p| digit(&p[0]) << 4 | digit(&p[1])).collect()
}

/// 64 MiB of zeros in brotli, and a line of text.
const BROTLI_BOMB: &str = "cbffff3ff82700e2b14020f7fe8fffff7ff04f00c4611180eefd1fffffffe09f0088c30200ddfb3ffeffffc13f01\
    10870500baf77ffcffff837f02200e0b0074effff8ffff07ff04401c1600e8defff1ffff0ffe0980382c00d0bdffcbffff3ffc1300715800a07bff07";
const BROTLI_TEXT: (&str, &str) =
    ("0b0c8068656c6c6f2068656c6c6f2068656c6c6f2062726f746c690a03", "hello hello hello brotli\n");

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut e = GzEncoder::new(Vec::new(), Compression::best());
    e.write_all(plain).expect("memory");
    e.finish().expect("memory")
}
fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut e = ZlibEncoder::new(Vec::new(), Compression::default());
    e.write_all(plain).expect("memory");
    e.finish().expect("memory")
}
fn raw(plain: &[u8]) -> Vec<u8> {
    let mut e = DeflateEncoder::new(Vec::new(), Compression::default());
    e.write_all(plain).expect("memory");
    e.finish().expect("memory")
}
fn zstd(plain: &[u8]) -> Vec<u8> {
    compress_to_vec(plain, CompressionLevel::Fastest)
}

fn decoder(coding: &str) -> Decoder {
    Decoder::new([coding.as_bytes()].into_iter()).expect("known").expect("something to do")
}
fn run(mut d: Decoder, coded: &[u8], piece: usize) -> Result<Vec<u8>, Bad> {
    let mut out = Vec::new();
    for part in coded.chunks(piece.max(1)) {
        d.push(part);
        loop {
            let made = d.pull()?;
            if made.is_empty() {
                break;
            }
            assert!(made.len() <= STEP);
            out.extend_from_slice(&made);
        }
    }
    d.end()?;
    Ok(out)
}
fn decoded(coding: &str, coded: &[u8], piece: usize) -> Result<Vec<u8>, Bad> {
    run(decoder(coding), coded, piece)
}

fn noise(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8 & 15).collect()
}

fn all(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let twice = gzip(&zlib(plain));
    let members = [gzip(&plain[..plain.len() / 2]), gzip(&plain[plain.len() / 2..])].concat();
    let frames = [zstd(&plain[..plain.len() / 2]), zstd(&plain[plain.len() / 2..])].concat();
    vec![
        ("gzip", gzip(plain)),
        ("x-gzip", members),
        ("deflate", zlib(plain)),
        ("DEFLATE", raw(plain)),
        ("zstd", zstd(plain)),
        ("zstd", frames),
        ("deflate, gzip", twice),
        ("identity, gzip", gzip(plain)),
    ]
}

#[test]
fn every_coding_in_every_cut() {
    for plain in [Vec::new(), b"hello hello hello".to_vec(), noise(200_000), vec![0; 300_000]] {
        for (coding, coded) in all(&plain) {
            for piece in [1, 2, 3, 7, 1000, usize::MAX] {
                if piece > 3 || coded.len() < 5000 {
                    assert!(decoded(coding, &coded, piece).as_deref() == Ok(&plain), "{coding} by {piece}");
                }
            }
        }
    }
    let (coded, plain) = (hex(BROTLI_TEXT.0), BROTLI_TEXT.1);
    for piece in 1..=coded.len() {
        assert_eq!(decoded("br", &coded, piece).as_deref(), Ok(plain.as_bytes()));
    }
}

#[test]
fn what_is_cut_short_or_changed_is_noticed() {
    let plain = noise(3000);
    for (coding, coded) in all(&plain) {
        for cut in 1..coded.len() {
            // Between two members the first is a whole body.
            let whole = decoded(coding, &coded[..cut], usize::MAX);
            assert!(whole.is_err() || whole.as_deref() == Ok(&plain[..plain.len() / 2]), "{coding} cut at {cut}");
        }
        let longer = [&coded[..], b"x"].concat();
        assert!(decoded(coding, &longer, 1000).is_err(), "{coding}: something follows");
    }
    for coding in ["gzip", "br", "zstd", "deflate"] {
        assert!(decoded(coding, b"<html>this is no such thing</html>", 5).is_err(), "{coding}");
        assert!(decoded(coding, b"", 1).is_ok(), "an empty body needs no coding");
    }
    // A checksum is looked at.
    let mut coded = gzip(&plain);
    let at = coded.len() - 6;
    coded[at] ^= 1;
    assert_eq!(decoded("gzip", &coded, 100), Err(Bad::Broken("a gzip body with a wrong checksum")));
}

#[test]
fn heads_of_gzip_with_everything() {
    let plain = gzip(b"x");
    let mut coded = vec![0x1f, 0x8b, 8, 4 | 8 | 16 | 2, 0, 0, 0, 0, 0, 3, 2, 0, b'e', b'x'];
    coded.extend_from_slice(b"name\0comment\0\x12\x34");
    coded.extend_from_slice(&plain[10..]);
    for piece in 1..40 {
        assert_eq!(decoded("gzip", &coded, piece).as_deref(), Ok(&b"x"[..]));
    }
    let mut endless = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
    endless.resize(100_000, b'a');
    assert!(decoded("gzip", &endless, 1000).is_err());
}

#[test]
fn bombs_are_defused() {
    let plain = vec![0; 64 << 20];
    let zstd_bomb = {
        // A frame of blocks that say "128 KiB of zeros" in four bytes each.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
        (0..1000).for_each(|_| frame.extend_from_slice(&[2, 0, 0x10, 0]));
        frame.extend_from_slice(&[3, 0, 0x10, 0]);
        frame
    };
    for (coding, coded) in
        [("gzip", gzip(&plain)), ("deflate", zlib(&plain)), ("br", hex(BROTLI_BOMB)), ("zstd", zstd_bomb)]
    {
        let got = decoded(coding, &coded, 65_536);
        assert!(matches!(got, Err(Bad::Bomb(..))), "{coding}: {:?}", got.map(|v| v.len()));
        // The control: without the limit the same bytes become what they say.
        let made = run(decoder(coding).unbounded(), &coded, 65_536).expect(coding);
        assert!(made.len() >= 64 << 20 && made.iter().all(|b| *b == 0), "{coding}");
    }
    let nested = gzip(&gzip(&plain));
    assert!(matches!(decoded("gzip, gzip", &nested, 65_536), Err(Bad::Bomb(..))));
    // Far below the size nobody minds the ratio.
    let small = gzip(&vec![0; 8 << 20]);
    assert!(decoded("gzip", &small, 65_536).is_ok_and(|v| v.len() == 8 << 20));
}

#[test]
fn what_is_not_known_or_too_much() {
    let new = |v: &str| Decoder::new([v.as_bytes()].into_iter()).map(|d| d.is_some());
    assert_eq!(new("identity"), Ok(false));
    assert_eq!(new(""), Ok(false));
    assert!(new("compress").is_err_and(|e| e.contains("unknown content coding 'compress'")));
    assert!(new("gzip, gzip, gzip").is_err());
    assert!(new("gz\x1bip").is_err_and(|e| !e.contains('\x1b')));
    // A window of 2 GiB is not reserved because a head asks for it.
    let huge = [0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8, 1, 0, 0];
    assert_eq!(decoded("zstd", &huge, 100), Err(Bad::Broken("a zstd window of more than 8 MiB")));
}
