//! The house style, checked: what crates may name, how long files are, where `unsafe` lives.
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(dir: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(dir)];
    while let Some(dir) = todo.pop() {
        for e in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).flatten() {
            let path = e.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|x| x == "rs") {
                let text = std::fs::read_to_string(&path).expect("source");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {dir}");
    found
}

/// Code lines: without comments, and without tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|l| !l.trim_start().starts_with("//"))
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("tests"))
}

/// The first line that names something of the outside world.
fn impurity(text: &str) -> Option<&str> {
    let banned = ["std::", "extern crate std", "Instant::now", "SystemTime", "println!", "eprintln!", "unsafe "];
    code(text).find(|l| banned.iter().any(|b| l.contains(b)))
}

/// What TLS alone may name.
fn without_locks(text: &str) -> String {
    text.replace("use std::sync::", "")
}

#[test]
fn proto_core_names_nothing_of_the_outside_world() {
    for (path, text) in rust_files("proto-core/src") {
        // TLS is built with a feature and needs std; clocks, files and sockets it does not see either.
        let text = if path.components().any(|c| c.as_os_str() == "tls") { without_locks(&text) } else { text };
        let text = if path.ends_with("src/lib.rs") { text.replacen("extern crate std", "", 1) } else { text };
        let found = if is_test(&path) { None } else { impurity(&text) };
        assert_eq!(found, None, "{}", path.display());
    }
    assert!(impurity("use std::net::TcpStream;").is_some(), "the check itself must be able to fail");
    assert!(impurity("// std::net in a comment").is_none());
    assert!(
        impurity(&without_locks("use std::fs;")).is_some()
            && impurity(&without_locks("use std::sync::Mutex;")).is_none()
    );
}

#[test]
fn proto_core_depends_on_little() {
    let manifest = std::fs::read_to_string(root().join("proto-core/Cargo.toml")).expect("manifest");
    let section = manifest.split("[dependencies]").nth(1).and_then(|s| s.split("\n[").next()).expect("dependencies");
    let names: Vec<&str> = section
        .lines()
        .filter(|l| !l.contains("optional = true"))
        .filter_map(|l| l.split(['.', ' ', '=']).next())
        .filter(|n| !n.is_empty())
        .collect();
    assert_eq!(
        names,
        ["bytes", "memchr", "base64", "httparse", "rand_core", "rand_chacha", "unicode-segmentation", "unicode-width"]
    );
}

#[test]
fn files_are_short_enough_to_be_read() {
    const CAP: usize = 500;
    for dir in ["proto-core/src", "drivers/src", "bins/src", "tests/src"] {
        for (path, text) in rust_files(dir) {
            let lines = text.lines().count();
            assert!(is_test(&path) || lines <= CAP, "{}: {lines} lines, more than {CAP}", path.display());
        }
    }
}

#[test]
fn unsafe_code_is_where_it_must_be_and_argued() {
    let allowed = ["poll.rs", "select.rs", "sock.rs", "icmp.rs", "listen.rs", "tokio_loop.rs", "uring"];
    // The test bed counts allocations.
    let allowed = [&allowed[..], &["tests/src/alloc.rs"]].concat();
    let all = ["drivers/src", "bins/src", "tests/src"].map(rust_files);
    for (path, text) in all.into_iter().flatten() {
        let blocks = code(&text).filter(|l| l.contains("unsafe {") || l.contains("unsafe impl")).count();
        let arguments = text.matches("SAFETY:").count();
        let name = path.to_string_lossy();
        assert!(blocks == 0 || allowed.iter().any(|a| name.contains(a)), "{name} has unsafe code");
        assert!(arguments >= blocks, "{name}: {blocks} unsafe blocks, {arguments} SAFETY comments");
    }
}

#[test]
fn mains_are_wiring() {
    for (path, text) in rust_files("bins/src/bin") {
        assert!(text.lines().count() <= 40, "{}", path.display());
    }
}

#[test]
fn every_crate_has_the_lints() {
    for dir in ["proto-core", "drivers", "bins"] {
        let manifest = std::fs::read_to_string(root().join(dir).join("Cargo.toml")).expect("manifest");
        for lint in ["unsafe_code", "missing_docs", "unwrap_used"] {
            assert!(manifest.contains(lint), "{dir}: {lint}");
        }
    }
}
