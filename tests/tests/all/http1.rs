//! HTTP/1: tables of requests, answers and chunked bodies, in every cut.
use std::path::{Path, PathBuf};
use tests::corpus::{Row, check, load, sections};
use tests::drive::{Log, Said, Subject};
use tests::http1::{ClientSubject, ServerSubject};
use tests::transcript::Transcript;

fn table(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/http1").join(name)
}

fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn passes(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} failed:\n{}", wrong.len(), wrong.join("\n"));
}

fn events(log: &Log) -> impl Iterator<Item = &str> {
    log.events.iter().filter_map(|e| if let Said::Event(text) = e { Some(text.as_str()) } else { None })
}

/// The status of the fault that ends it, if one does.
fn fault(log: &Log) -> Option<&str> {
    events(log).last()?.strip_prefix("fault ")?.split(':').next()
}

/// How many requests were taken, and the status of the refusal; the output must fit.
fn request_verdict(_: &Row, log: &Log) -> Result<String, String> {
    let taken = events(log).filter(|e| e.starts_with("request ")).count();
    let last_words = b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    match fault(log) {
        Some(status) => {
            let begins = format!("HTTP/1.1 {status} ");
            let answer = log.output.strip_suffix(last_words).ok_or("a refusal without last words")?;
            let at = answer.windows(begins.len()).rposition(|w| w == begins.as_bytes()).ok_or("another status")?;
            if answer[at..].contains(&b'\n') {
                return Err(format!("not the last answer: {}", log.output.escape_ascii()));
            }
            Ok(if taken > 0 { format!("{taken} {status}") } else { status.into() })
        }
        None if log.output.ends_with(last_words) => Err("last words without a refusal".into()),
        None => Ok(taken.to_string()),
    }
}

#[test]
fn requests() {
    let path = table("requests.txt");
    let rows = load(&path).unwrap_or_else(|e| panic!("{e}"));
    assert!(rows.len() >= 400, "{} rows", rows.len());
    let sections = sections(&rows);
    for id in [1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18] {
        let n = sections.get(format!("H1-{id:02}").as_str());
        assert!(n.is_some_and(|n| *n >= 9), "H1-{id:02}: {n:?} rows");
    }
    passes(&check::<ServerSubject>(&path, &settings(&[("answer", "late")]), b"", request_verdict));
}

/// The statuses that were taken, and `fault`.
fn response_verdict(_: &Row, log: &Log) -> Result<String, String> {
    let taken = events(log).filter_map(|e| {
        let (kind, rest) = e.split_once(' ')?;
        let status = rest.split(' ').next()?;
        match kind {
            "response" | "informational" | "upgraded" => Some(status),
            "fault" => Some("fault"),
            _ => None,
        }
    });
    let words: Vec<&str> = taken.collect();
    if !log.output.is_empty() {
        return Err("a client has nothing to say to an answer".into());
    }
    Ok(if words.is_empty() { "wait".into() } else { words.join(" ") })
}

#[test]
fn responses() {
    let path = table("responses.txt");
    let rows = load(&path).unwrap_or_else(|e| panic!("{e}"));
    assert!(rows.len() >= 150, "{} rows", rows.len());
    passes(&check::<ClientSubject>(&path, &[], b"", response_verdict));
}

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn chunks() {
    let path = table("chunks.txt");
    let rows = load(&path).unwrap_or_else(|e| panic!("{e}"));
    assert!(rows.len() >= 120, "{} rows", rows.len());
    for id in ["H1-06", "H1-07", "H1-08", "H1-09"] {
        assert!(sections(&rows).get(id).is_some_and(|n| *n >= 30), "{id}");
    }
    let verdict = |_: &Row, log: &Log| {
        let ended = events(log).any(|e| e == "end");
        Ok(match fault(log) {
            Some(_) if ended => return Err("an end and a fault".into()),
            Some(status) => status.to_string(),
            None => if ended { "ok" } else { "wait" }.into(),
        })
    };
    passes(&check::<ServerSubject>(&path, &settings(&[("answer", "late")]), CHUNKED, verdict));
}

fn transcripts<S: Subject>(machine: &str, at_least: usize) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts").join(machine);
    let all = Transcript::load(&dir).unwrap_or_else(|e| panic!("{e}"));
    assert!(all.len() >= at_least, "{} transcripts of {machine}", all.len());
    let wrong: Vec<String> = all.iter().filter_map(|t| t.check::<S>().err()).collect();
    passes(&wrong);
}

#[test]
fn server_transcripts() {
    transcripts::<ServerSubject>("http1_server", 50);
}

#[test]
fn client_transcripts() {
    transcripts::<ClientSubject>("http1_client", 25);
}
