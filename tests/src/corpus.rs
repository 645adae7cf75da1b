//! Tables of inputs in files: what must come of each is written by hand in one word, and in full by the machine.
//!
//! ```text
//! [section]              the rows that follow belong to it; names of RELIABILITY cases and the like
//! # comment
//! = name value           a setting of the machine, for the rest of the section
//! verdict | input | events in full
//! ```
//! Escapes are those of transcripts; `\z` at the end of an input is its end. With `UPDATE_CORPORA=1` the last column is
//! written anew; verdicts never are.
use crate::drive::{Log, Plan, Rng, Said, Subject, over};
use crate::transcript::unescape;
use std::collections::BTreeMap;
use std::path::Path;

/// One line of a table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Line in the file, from 1.
    pub line: usize,
    /// Its section.
    pub section: String,
    /// Settings of the machine.
    pub settings: Vec<(String, String)>,
    /// What must come of it, in short.
    pub verdict: String,
    /// What the peer sends.
    pub input: Vec<u8>,
    /// And then nothing more.
    pub eof: bool,
    /// What must come of it, in full.
    pub events: String,
}

/// Reads a table.
pub fn load(path: &Path) -> Result<Vec<Row>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (mut rows, mut section, mut settings) = (Vec::new(), String::new(), Vec::new());
    for (i, line) in text.lines().enumerate() {
        let at = |what: String| format!("{}:{}: {what}", path.display(), i + 1);
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').into();
            settings.clear();
        } else if let Some(setting) = line.strip_prefix("= ") {
            let (name, value) = setting.split_once(' ').ok_or_else(|| at("= name value".into()))?;
            settings.push((name.into(), value.into()));
        } else if !line.is_empty() && !line.starts_with('#') {
            let mut columns = line.splitn(3, " | ");
            let (verdict, input) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
            let (input, eof) = input.strip_suffix("\\z").map_or((input, false), |i| (i, true));
            rows.push(Row {
                line: i + 1,
                section: section.clone(),
                settings: settings.clone(),
                verdict: verdict.trim().into(),
                input: unescape(input).map_err(at)?,
                eof,
                events: columns.next().unwrap_or_default().into(),
            });
        }
    }
    Ok(rows)
}

/// How many rows each section has.
pub fn sections(rows: &[Row]) -> BTreeMap<&str, usize> {
    let mut all = BTreeMap::new();
    rows.iter().for_each(|r| *all.entry(r.section.as_str()).or_default() += 1);
    all
}

/// Events in one line; long pieces and long runs of the same event are shortened.
pub fn line_of(log: &Log) -> String {
    let mut parts: Vec<(String, usize)> = Vec::new();
    for event in &log.events {
        let text = match event {
            Said::Event(e) => e.clone(),
            Said::Piece(name, b) if b.len() > 40 => format!("{name} {}... ({})", b[..30].escape_ascii(), b.len()),
            Said::Piece(name, b) => format!("{name} {}", b.escape_ascii()),
        };
        match parts.last_mut() {
            Some((last, n)) if *last == text => *n += 1,
            _ => parts.push((text, 1)),
        }
    }
    let part = |(text, n): &(String, usize)| if *n > 1 { format!("{n} times {text}") } else { text.clone() };
    parts.iter().map(part).collect::<Vec<_>>().join("; ")
}

/// Runs one row in every cut; what it did when it came whole.
pub fn run<S: Subject>(row: &Row, extra: &[(String, String)], before: &[u8]) -> Result<Log, String> {
    let settings = [extra, &row.settings[..]].concat();
    let input = [before, &row.input].concat();
    let once = |cuts: &[usize], plan: Plan| over::<S>(&settings, &input, cuts, row.eof, plan);
    let whole = once(&[], Plan::simple())?;
    let same = |how: String, log: Log| {
        let what = || format!("{how}: expected\n{}but it was\n{}", whole.text(), log.text());
        if log == whole { Ok(()) } else { Err(what()) }
    };
    let every: Vec<usize> = (1..input.len()).collect();
    same("byte by byte".into(), once(&every, Plan::simple())?)?;
    let mut rng = Rng(row.line as u64);
    // Large inputs are cut at some places only: near the start, where the head is, and anywhere.
    let all = every.iter().copied().take(400);
    let places: Vec<usize> = all.chain((400..input.len()).step_by(1 + input.len() / 50)).collect();
    for at in places {
        same(format!("cut at {at}"), once(&[at], Plan::simple())?)?;
    }
    for seed in 0..4 {
        let mut cuts: Vec<usize> = (0..rng.below(6)).map(|_| rng.below(input.len() + 1)).collect();
        cuts.sort_unstable();
        same(format!("cut at {cuts:?}, plan {seed}"), once(&cuts, Plan::random(seed))?)?;
    }
    Ok(whole)
}

/// Checks a whole table; `verdict` says in short what a log amounts to, and may find fault with the output.
pub fn check<S: Subject>(
    path: &Path,
    extra: &[(String, String)],
    before: &[u8],
    verdict: impl Fn(&Row, &Log) -> Result<String, String>,
) -> Vec<String> {
    let rows = load(path).unwrap_or_else(|e| panic!("{e}"));
    let update = std::env::var_os("UPDATE_CORPORA").is_some();
    let mut text: Vec<String> = std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_string).collect();
    let mut wrong = Vec::new();
    for row in &rows {
        let label = format!("{}:{} [{}]", path.display(), row.line, row.section);
        match run::<S>(row, extra, before).and_then(|log| verdict(row, &log).map(|v| (v, line_of(&log)))) {
            Err(e) => wrong.push(format!("{label}: {e}")),
            Ok((got, events)) if got != row.verdict => {
                wrong.push(format!("{label}: `{}` expected, it is `{got}`: {events}", row.verdict));
            }
            Ok((_, events)) if update => {
                if let Some(line) = text.get_mut(row.line - 1) {
                    let two: Vec<&str> = line.splitn(3, " | ").take(2).collect();
                    *line = format!("{} | {events}", two.join(" | "));
                }
            }
            Ok((_, events)) if events != row.events => {
                wrong.push(format!("{label}: expected\n{}\nbut it was\n{events}", row.events));
            }
            Ok(_) => {}
        }
    }
    if update && wrong.is_empty() {
        std::fs::write(path, text.join("\n") + "\n").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    wrong
}
