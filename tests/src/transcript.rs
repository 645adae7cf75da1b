//! Transcripts: a machine's behaviour in a file, and the runner that tries every way to cut it.
//!
//! ```text
//! # comment
//! = body 10              a setting of the machine
//! > GET / HTTP/1.1\r\n   bytes from the peer, exactly as written
//! > EOF                  the end of input
//! < HTTP/1.1 200 OK\r\n  bytes we send
//! ! request 18 GET       an event; `closed` and `fault ...` are the last
//! ? command              what the app asks of the machine
//! @ +200ms               time passes
//! ```
//! Escapes: `\r \n \t \\ \xNN`, and `\{300*text}` for many times the same text.
//!
//! As written, events and output must come between the lines where they stand. Cut in any other way, they must be the
//! same between two of `?` and `@`, which are the only things that stay where they are.
use crate::drive::{Log, Plan, Rng, Run, Said, Subject};
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
enum Item {
    In(Vec<u8>),
    Eof,
    Out(Vec<u8>),
    Event(String),
    Command(String),
    Wait(Duration),
}

/// One file.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// Its name.
    pub name: String,
    /// Settings of the machine.
    pub settings: Vec<(String, String)>,
    items: Vec<(usize, Item)>,
}

/// Seeds of random cuts tried.
pub const SEEDS: u64 = 64;
/// Inputs beyond this size are cut in two at some places, not at all.
const EVERY_CUT: usize = 2048;

/// Text with escapes as bytes.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(i) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..i]);
        let escape = &rest[i + 1..];
        let (bytes, used) = match escape.as_bytes().first() {
            Some(b'r') => (vec![b'\r'], 1),
            Some(b'n') => (vec![b'\n'], 1),
            Some(b't') => (vec![b'\t'], 1),
            Some(b'\\') => (vec![b'\\'], 1),
            Some(b'x') => {
                let hex = escape.get(1..3).ok_or("\\x needs two digits")?;
                (vec![u8::from_str_radix(hex, 16).map_err(|e| format!("\\x{hex}: {e}"))?], 3)
            }
            Some(b'{') => {
                let end = escape.find('}').ok_or("\\{ without }")?;
                let (count, what) = escape[1..end].split_once('*').ok_or("\\{count*text} expected")?;
                let count: usize = count.parse().map_err(|e| format!("{count}: {e}"))?;
                (unescape(what)?.repeat(count), end + 1)
            }
            _ => return Err(format!("unknown escape \\{}", escape.chars().next().unwrap_or(' '))),
        };
        out.extend(bytes);
        rest = &escape[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

fn span(text: &str) -> Result<Duration, String> {
    let text = text.strip_prefix('+').ok_or("time passes as in `@ +30s`")?;
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let n: u64 = number.parse().map_err(|e| format!("{text}: {e}"))?;
    match unit {
        "ns" => Ok(Duration::from_nanos(n)),
        "ms" => Ok(Duration::from_millis(n)),
        "s" => Ok(Duration::from_secs(n)),
        _ => Err(format!("{text}: ns, ms or s expected")),
    }
}

impl Transcript {
    /// From the text of a file.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut t = Transcript { name: name.into(), settings: Vec::new(), items: Vec::new() };
        for (i, line) in text.lines().enumerate() {
            t.line(i + 1, line).map_err(|e| format!("{name}:{}: {e}", i + 1))?;
        }
        let expects = t.items.iter().any(|(_, item)| matches!(item, Item::Out(_) | Item::Event(_)));
        if expects { Ok(t) } else { Err(format!("{name}: expects nothing")) }
    }
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        let item = match mark {
            ">" if rest == "EOF" => Item::Eof,
            ">" => Item::In(unescape(rest)?),
            "<" => Item::Out(unescape(rest)?),
            "!" => Item::Event(rest.into()),
            "?" => Item::Command(rest.into()),
            "@" => Item::Wait(span(rest)?),
            "=" => {
                let (key, value) = rest.split_once(' ').ok_or("`= name value` expected")?;
                self.settings.push((key.into(), value.into()));
                return Ok(());
            }
            _ => return Err(format!("a line begins with one of # = > < ! ? @, not with {mark}")),
        };
        self.items.push((number, item));
        Ok(())
    }
    /// All `*.txt` of a folder, by name.
    pub fn load(dir: &Path) -> Result<Vec<Self>, String> {
        let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        paths.retain(|p| p.extension().is_some_and(|x| x == "txt"));
        paths.sort();
        let read = |p: &std::path::PathBuf| {
            let text = std::fs::read_to_string(p).map_err(|e| format!("{}: {e}", p.display()))?;
            Transcript::parse(&p.file_stem().unwrap_or_default().to_string_lossy(), &text)
        };
        paths.iter().map(read).collect()
    }
    /// All bytes from the peer.
    pub fn input(&self) -> Vec<u8> {
        let bytes = |item: &(usize, Item)| if let Item::In(b) = &item.1 { b.clone() } else { Vec::new() };
        self.items.iter().flat_map(bytes).collect()
    }

    /// Runs it as written, byte by byte, cut at each place, and cut at random with random outputs.
    pub fn check<S: Subject>(&self) -> Result<(), String> {
        self.run::<S>(Cuts::AsWritten, Plan::simple())?;
        self.run::<S>(Cuts::Whole, Plan::simple())?;
        self.run::<S>(Cuts::Bytes, Plan::simple())?;
        self.run::<S>(Cuts::Bytes, Plan::random(1))?;
        let len = self.input().len();
        let mut rng = Rng(len as u64);
        for at in 1..len.min(EVERY_CUT) {
            self.run::<S>(Cuts::At(at), Plan::simple())?;
        }
        for _ in 0..if len > EVERY_CUT { 256 } else { 0 } {
            self.run::<S>(Cuts::At(1 + rng.below(len - 1)), Plan::simple())?;
        }
        for seed in 0..SEEDS {
            self.run::<S>(Cuts::Random(seed), Plan::random(seed))?;
        }
        Ok(())
    }
    fn run<S: Subject>(&self, cuts: Cuts, plan: Plan) -> Result<(), String> {
        let label = format!("{} ({cuts:?}, output limit {})", self.name, plan.limit);
        let mut run = Run::<S>::new(&self.settings, plan).map_err(|e| format!("{label}: {e}"))?;
        let mut begun = 0;
        for (line, part) in self.parts(matches!(cuts, Cuts::AsWritten)) {
            let fed = part.feed(&mut run, &cuts, &mut begun);
            fed.map_err(|e| format!("{label}, line {line}: {e}\n{}", run.log().text()))?;
            let (want, got) = (part.expected::<S>().map_err(|e| format!("{label}, line {line}: {e}"))?, run.log());
            if want != got {
                let (want, got) = (want.text(), got.text());
                return Err(format!("{label}, line {line}: expected\n{want}but it was\n{got}"));
            }
        }
        Ok(())
    }
    /// Cuts the items into parts that are compared one by one: before each command and wait; as written, also before
    /// each input that follows an expectation.
    fn parts(&self, as_written: bool) -> Vec<(usize, Part<'_>)> {
        let mut parts: Vec<(usize, Part<'_>)> = Vec::new();
        let mut expecting = false;
        for (line, item) in &self.items {
            let expectation = matches!(item, Item::Out(_) | Item::Event(_));
            let barrier = matches!(item, Item::Command(_) | Item::Wait(_));
            if parts.is_empty() || barrier || as_written && expecting && !expectation {
                parts.push((*line, Part(Vec::new())));
            }
            expecting = expectation;
            if let Some((_, part)) = parts.last_mut() {
                part.0.push(item);
            }
        }
        parts
    }
}

#[derive(Debug)]
enum Cuts {
    AsWritten,
    Whole,
    Bytes,
    At(usize),
    Random(u64),
}

/// Items that are compared together.
struct Part<'t>(Vec<&'t Item>);

impl Part<'_> {
    /// Feeds it, cut anew; `begun` counts bytes of the whole transcript.
    fn feed<S: Subject>(&self, run: &mut Run<S>, cuts: &Cuts, begun: &mut usize) -> Result<(), String> {
        let mut bytes = Vec::new();
        let mut eof = false;
        for item in &self.0 {
            match item {
                Item::In(_) if eof => return Err("input after EOF".into()),
                Item::In(b) if matches!(cuts, Cuts::AsWritten) => run.input(b, false)?,
                Item::In(b) => bytes.extend_from_slice(b),
                Item::Eof => eof = true,
                Item::Command(text) => run.command(text)?,
                Item::Wait(span) => run.wait(*span)?,
                Item::Out(_) | Item::Event(_) => {}
            }
        }
        let mut rng = Rng(if let Cuts::Random(seed) = cuts { *seed } else { 0 });
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let n = match cuts {
                Cuts::AsWritten | Cuts::Whole => rest.len(),
                Cuts::Bytes => 1,
                Cuts::At(at) => at.checked_sub(*begun).filter(|n| *n > 0).unwrap_or(rest.len()),
                Cuts::Random(seed) => 1 + rng.below(if seed % 2 == 0 { 8 } else { 600 }),
            };
            let (now, later) = rest.split_at(n.min(rest.len()));
            // The end may be told together with the last bytes, which only a resumed connection sees.
            run.input(now, eof && later.is_empty() && rng.below(2) == 1)?;
            *begun += now.len();
            rest = later;
        }
        if eof { run.input(&[], true) } else { Ok(()) }
    }
    fn expected<S: Subject>(&self) -> Result<Log, String> {
        let mut log = Log::default();
        for item in &self.0 {
            match item {
                Item::Out(b) => log.output.extend_from_slice(b),
                Item::Event(text) => {
                    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
                    match S::PIECES.iter().find(|name| **name == first) {
                        Some(name) => log.push(Said::Piece(name, unescape(rest)?)),
                        None => log.push(Said::Event(text.clone())),
                    }
                }
                Item::In(_) | Item::Eof | Item::Command(_) | Item::Wait(_) => {}
            }
        }
        Ok(log)
    }
}
