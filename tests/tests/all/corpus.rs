//! The corpus of the fuzz targets begins with the transcripts. `UPDATE_CORPUS=1 cargo test -p tests corpus` writes it;
//! files that fuzzing has added stay.
use std::path::{Path, PathBuf};
use tests::corpus::load;
use tests::drive::Rng;
use tests::keys::steps;
use tests::transcript::Transcript;

/// Files per target.
const FILES: usize = 16;
/// Larger inputs slow fuzzing down.
const LARGEST: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Inputs of transcripts, spread evenly, behind four bytes that choose how they are cut.
fn from_transcripts(machine: &str) -> Vec<(String, Vec<u8>)> {
    let dir = root().join("tests/transcripts").join(machine);
    let mut all = Transcript::load(&dir).unwrap_or_else(|e| panic!("{e}"));
    all.retain(|t| (1..LARGEST).contains(&t.input().len()));
    let picked = FILES.min(all.len());
    let file = |(i, t): (usize, &Transcript)| {
        let mut rng = Rng(i as u64);
        let mut bytes: Vec<u8> = (0..4).map(|_| rng.below(256) as u8).collect();
        bytes.extend(t.input());
        (t.name.clone(), bytes)
    };
    (0..picked).filter_map(|i| all.get(i * all.len() / picked)).enumerate().map(file).collect()
}

/// Inputs of tables, one of each section and more.
fn from_tables(names: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for name in names {
        let rows = load(&root().join("tests/corpora/http1").join(name)).unwrap_or_else(|e| panic!("{e}"));
        let head = if *name == "chunks.txt" { CHUNKED } else { b"" };
        for row in rows.iter().filter(|r| r.input.len() < LARGEST).step_by(5) {
            let mut rng = Rng(row.line as u64);
            let mut bytes: Vec<u8> = (0..4).map(|_| rng.below(256) as u8).collect();
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(&row.input);
            files.push((format!("{}_{}", name.trim_end_matches(".txt"), files.len()), bytes));
        }
    }
    files
}

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Operations at random.
fn operations() -> Vec<(String, Vec<u8>)> {
    let file = |seed: usize| {
        let mut rng = Rng(seed as u64);
        (format!("random_{seed}"), (0..40 + 10 * seed).map(|_| rng.below(256) as u8).collect())
    };
    (0..FILES).map(file).collect()
}

#[test]
fn the_corpus_begins_with_the_transcripts() {
    let update = std::env::var_os("UPDATE_CORPUS").is_some();
    for (target, files) in [
        ("line", from_transcripts("line")),
        ("http1_requests", from_transcripts("http1")),
        ("http1_server", from_tables(&["requests.txt", "chunks.txt"])),
        ("http1_client", from_tables(&["responses.txt"])),
        ("echo_detect", from_transcripts("echo")),
        ("conns_layer", from_transcripts("echo")),
        ("tx_ops", operations()),
        ("terminal", (0..FILES).map(|n| (format!("random_{n}"), steps(n as u64))).collect()),
    ] {
        let dir = root().join("fuzz/corpus").join(target);
        assert!(files.len() >= 10, "{target}: {} files", files.len());
        for (name, bytes) in files {
            let path = dir.join(name);
            if update {
                std::fs::create_dir_all(&dir).expect("a folder");
                std::fs::write(&path, &bytes).expect("a file");
            }
            let there = std::fs::read(&path).unwrap_or_default();
            assert_eq!(there, bytes, "{}: run with UPDATE_CORPUS=1", path.display());
        }
    }
}
