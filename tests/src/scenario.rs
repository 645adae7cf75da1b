//! One script, run against a tool on any driver: what clients see must be the same bytes on each.
//!
//! ```text
//! run echo_server 0 --max-conns 10      the server; a driver is added
//! open a                                a client connects
//! a > Hello\n                           it sends (\n \r \\ \xNN)
//! a < Hello\n                           it must read exactly this; the time of `Date:` is 29 times D
//! a fin                                 it half-closes
//! a eof                                 it must read the end
//! a reset                               it closes with RST
//! a gone                                it must read an RST, or the end
//! log Client disconnected.              the server must print this line next
//! stop 0                                SIGINT; the server must end with this code
//! ```
use crate::process::{PATIENCE, Tool};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// What was seen, step by step, with what must differ (ports, descriptors, times) made equal.
pub type Seen = Vec<String>;

/// Runs a script on one driver. The first step that did not go as written is the last thing seen.
pub fn run(script: &str, driver: &str) -> Result<Seen, String> {
    let mut stage = Stage { tool: None, port: 0, clients: BTreeMap::new(), seen: Vec::new() };
    for (i, line) in script.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        stage.step(line, driver).map_err(|e| format!("line {}: {line}: {e}", i + 1))?;
    }
    Ok(stage.seen)
}

/// Runs a script on all drivers and prints the equality table; an error names the drivers that differ.
pub fn table(name: &str, script: &str, drivers: &[&str]) -> Result<String, String> {
    let mut text = format!("{name}\n  {:<9} {:<5} {}\n", "driver", "same", "first difference");
    let mut reference: Option<Seen> = None;
    let mut bad = Vec::new();
    for driver in drivers {
        let seen = run(script, driver);
        let difference = match (&seen, &reference) {
            (Err(e), _) => Some(e.clone()),
            (Ok(seen), Some(first)) => {
                let at = (0..seen.len().max(first.len())).find(|i| seen.get(*i) != first.get(*i));
                at.map(|i| format!("step {i}: {:?} instead of {:?}", seen.get(i), first.get(i)))
            }
            (Ok(_), None) => None,
        };
        if reference.is_none() {
            reference = seen.ok();
        }
        let same = if difference.is_none() { "yes" } else { "no" };
        text.push_str(&format!("  {driver:<9} {same:<5} {}\n", difference.as_deref().unwrap_or("-")));
        if difference.is_some() {
            bad.push(*driver);
        }
    }
    if bad.is_empty() { Ok(text) } else { Err(text) }
}

/// The names and scripts of all scenarios.
pub fn all() -> Vec<(String, String)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let files = std::fs::read_dir(dir).expect("scenarios").flatten().map(|e| e.path());
    let mut all: Vec<_> = files
        .map(|p| {
            let name = p.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&p).expect("a scenario"))
        })
        .collect();
    all.sort();
    all
}

/// The real drivers that this machine allows; the others are named on standard error.
pub fn drivers() -> Vec<&'static str> {
    let allowed = |k: &drivers::Kind| match drivers::available(*k) {
        Ok(()) => true,
        Err(why) => {
            eprintln!("passed over: {}: {why}", k.name());
            false
        }
    };
    drivers::Kind::REAL.into_iter().filter(allowed).map(drivers::Kind::name).collect()
}

struct Stage {
    tool: Option<Tool>,
    port: u16,
    clients: BTreeMap<String, TcpStream>,
    seen: Seen,
}

impl Stage {
    fn step(&mut self, line: &str, driver: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "run" => self.start(rest, driver),
            "open" => {
                let s = TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| e.to_string())?;
                s.set_read_timeout(Some(PATIENCE)).and_then(|()| s.set_nodelay(true)).map_err(|e| e.to_string())?;
                self.clients.insert(rest.into(), s);
                Ok(())
            }
            "log" => {
                let tool = self.tool.as_mut().ok_or("nothing runs")?;
                let got = normal(&tool.line());
                self.seen.push(format!("log {got}"));
                same(rest, &got)
            }
            "stop" => {
                self.clients.clear();
                let ended = self.tool.take().ok_or("nothing runs")?.stop();
                self.seen.push(format!("stop {:?}", ended.code));
                same(rest, &ended.code.map_or("a signal".into(), |c| c.to_string()))
            }
            client => self.client(client, rest),
        }
    }
    fn start(&mut self, rest: &str, driver: &str) -> Result<(), String> {
        let mut args: Vec<&str> = rest.split(' ').collect();
        let name = args.remove(0);
        args.extend(["--driver", driver]);
        let mut tool = Tool::start(name, &args);
        self.port = tool.port();
        self.tool = Some(tool);
        Ok(())
    }
    fn client(&mut self, name: &str, action: &str) -> Result<(), String> {
        let s = self.clients.get_mut(name).ok_or("no such client")?;
        let (verb, text) = action.split_once(' ').unwrap_or((action, ""));
        match verb {
            ">" => s.write_all(&unescape(text)?).map_err(|e| e.to_string()),
            "<" => {
                let want = unescape(text)?;
                let mut got = vec![0; want.len()];
                let n = read_full(s, &mut got);
                got.truncate(n);
                undate(&mut got);
                self.seen.push(format!("{name} < {}", got.escape_ascii()));
                same(&want.escape_ascii().to_string(), &got.escape_ascii().to_string())
            }
            "fin" => s.shutdown(Shutdown::Write).map_err(|e| e.to_string()),
            "reset" => {
                rustix::net::sockopt::set_socket_linger(&*s, Some(std::time::Duration::ZERO))
                    .map_err(|e| e.to_string())?;
                self.clients.remove(name);
                Ok(())
            }
            "eof" | "gone" => {
                let got = match s.read(&mut [0; 64]) {
                    Ok(0) => "eof".to_string(),
                    Ok(n) => format!("{n} more bytes"),
                    Err(e) if e.kind() == ErrorKind::ConnectionReset && verb == "gone" => "eof".into(),
                    Err(e) => e.to_string(),
                };
                self.seen.push(format!("{name} {got}"));
                self.clients.remove(name);
                same("eof", &got)
            }
            _ => Err("unknown step".into()),
        }
    }
}

fn read_full(s: &mut TcpStream, into: &mut [u8]) -> usize {
    let mut n = 0;
    while let Some(rest) = into.get_mut(n..).filter(|r| !r.is_empty()) {
        match s.read(rest) {
            Ok(0) | Err(_) => break,
            Ok(k) => n += k,
        }
    }
    n
}

fn same(want: &str, got: &str) -> Result<(), String> {
    if want == got { Ok(()) } else { Err(format!("got {got:?}")) }
}

/// The time in a `Date:` field, always 29 characters, as that many `D`.
fn undate(bytes: &mut [u8]) {
    const NAME: &[u8] = b"\r\nDate: ";
    let found: Vec<usize> =
        bytes.windows(NAME.len()).enumerate().filter(|(_, w)| *w == NAME).map(|(at, _)| at).collect();
    for at in found {
        bytes.iter_mut().skip(at + NAME.len()).take(29).for_each(|b| *b = b'D');
    }
}

/// Ports, descriptors and times as placeholders.
pub fn normal(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
        if let Some(tail) = rest.strip_prefix("127.0.0.1:") {
            out.push_str("127.0.0.1:PORT");
            rest = tail.get(digits(tail)..).unwrap_or_default();
        } else if let Some(tail) = rest.strip_prefix("fd=") {
            out.push_str("fd=N");
            rest = tail.get(digits(tail)..).unwrap_or_default();
        } else if rest.len() >= 10 && rest.starts_with('[') && rest.as_bytes().get(9) == Some(&b']') {
            out.push_str("[HH:MM:SS]");
            rest = rest.get(10..).unwrap_or_default();
        } else {
            out.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

/// Reads `\n`, `\r`, `\\` and `\xNN`.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match rest.next() {
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b'\\') => out.push(b'\\'),
            Some(b'x') => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = String::from_utf8_lossy(&hex).into_owned();
                out.push(u8::from_str_radix(&hex, 16).map_err(|_| format!("bad escape \\x{hex}"))?);
            }
            other => return Err(format!("bad escape {other:?}")),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_differ_is_made_equal() {
        let line = "[12:00:01] Client connected from 127.0.0.1:52431 (fd=4)";
        assert_eq!(normal(line), "[HH:MM:SS] Client connected from 127.0.0.1:PORT (fd=N)");
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r"a\n\x00\\"), Ok(b"a\n\0\\".to_vec()));
        assert!(unescape(r"\q").is_err());
    }
}
