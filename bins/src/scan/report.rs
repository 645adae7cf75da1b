//! The result as text for people, byte for byte as documented.
use super::found::{Found, Row};
use super::options::Options;
use super::targets::Targets;
use super::{State, sweep};
use crate::text::{Escaped, Thousands};
use core::fmt::Write;
use core::net::IpAddr;
use core::time::Duration;

/// All that a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    /// What was asked for.
    pub options: &'a Options,
    /// Of which hosts.
    pub targets: &'a Targets,
    /// What was found, sorted.
    pub found: &'a Found,
}

/// A host as people call it: `name (address)`, or the address.
pub fn host(targets: &Targets, ip: IpAddr) -> String {
    match targets.name(ip) {
        Some(name) => format!("{name} ({ip})"),
        None => ip.to_string(),
    }
}

impl Sheet<'_> {
    /// What is said before the scan.
    pub fn header(&self, window: u32) -> String {
        let o = self.options;
        let what = match self.targets.nth(0).filter(|_| self.targets.len() == 1) {
            Some(ip) => host(self.targets, ip),
            None => format!("{} ({} addresses)", self.targets, Thousands(self.targets.len())),
        };
        let (ports, shard) = (
            &o.ports,
            match o.shard {
                (_, 1) => String::new(),
                (share, of) => format!(", shard {}/{of}", share + 1),
            },
        );
        let timeout = match o.timeout.as_millis() {
            1000 => "1 second".into(),
            ms if ms % 1000 == 0 => format!("{} seconds", ms / 1000),
            _ => crate::text::span(o.timeout),
        };
        format!("Scanning {what} ports {ports}{shard}...\nConcurrent connections: {window}\nTimeout: {timeout}\n")
    }
    /// The tables, one per host that has something to show.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        for rows in self.found.rows().chunk_by(|a, b| a.host == b.host) {
            if self.targets.len() > 1
                && let Some(ip) = rows.first().and_then(|r| self.targets.nth(r.host.into()))
            {
                let _ = writeln!(text, "{}:", host(self.targets, ip)); // a String takes everything
            }
            self.table(rows, &mut text);
        }
        if self.targets.len() == 1 && self.found.rows().is_empty() {
            self.table(&[], &mut text);
        }
        text
    }
    fn table(&self, rows: &[Row], text: &mut String) {
        let o = self.options;
        let mut head = vec!["PORT", "STATE"];
        head.extend(o.has_service().then_some("SERVICE"));
        head.extend(o.reason.then_some("REASON"));
        head.extend(o.banner.then_some("BANNER"));
        let mut lines = vec![head.iter().map(|h| String::from(*h)).collect::<Vec<_>>()];
        for r in rows {
            let mut line = vec![format!("{}/{}", r.port, o.protocol.name()), r.state.name().into()];
            line.extend(o.has_service().then(|| o.protocol.service(r.port).into()));
            line.extend(o.reason.then(|| r.why.to_string()));
            let banner = self.found.banner(r.host, r.port).filter(|_| o.banner);
            line.extend(banner.map(|b| Escaped(b.trim_ascii_end()).to_string()));
            lines.push(line);
        }
        let width = |i: usize| lines.iter().filter_map(|l| l.get(i)).map(String::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..head.len()).map(|i| if o.aligned { width(i) } else { 0 }).collect();
        for line in &lines {
            let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
            text.push_str(cells.join(" ").trim_end());
            text.push('\n');
        }
    }
    /// The last lines: how many ports are what, and how long it took.
    pub fn totals(&self, left: u64, took: Duration) -> String {
        let count = |s| format!("{} {}", self.found.count(s), s.name());
        let mut all = vec![count(State::Closed), count(State::Open), count(State::Filtered)];
        if self.found.count(State::OpenFiltered) > 0 {
            all.push(count(State::OpenFiltered));
        }
        let how = if left > 0 { "interrupted" } else { "complete" };
        if left > 0 {
            all.push(format!("{left} not scanned"));
        }
        let mut text = format!("Scan {how}: {}\n", all.join(", "));
        if self.found.dropped() > 0 {
            let _ = writeln!(text, "Not listed: {} more", self.found.dropped()); // a String takes everything
        }
        let _ = writeln!(text, "Time: {:.1} seconds", took.as_secs_f64());
        text
    }
}

/// How far it is: `1,234 of 65,535 left, about 12 s`.
pub fn progress(sweep: &sweep::Sweep, before: u64, took: Duration) -> String {
    let (done, total) = (sweep.done(), sweep.total());
    let left = total.saturating_sub(done);
    let here = done.saturating_sub(before);
    let mut text = format!("{} of {} left", Thousands(left), Thousands(total));
    if here > 0 {
        let seconds = took.as_secs_f64() * left as f64 / here as f64;
        let _ = write!(text, ", about {} s", Thousands(seconds.ceil() as u64)); // a String takes everything
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Why;
    use super::super::found::Listed;
    use super::super::ports::Ports;
    use super::*;

    fn sheet(ports: &str, change: impl FnOnce(&mut Options), print: impl FnOnce(Sheet<'_>)) {
        let mut options = Options { ports: Ports::parse(ports).unwrap(), ..Options::default() };
        change(&mut options);
        let mut targets = Targets::default();
        targets.add_name("scanme.nmap.org", [45, 33, 32, 156].into());
        let mut found = Found::new(options.listed(1000));
        let filtered = (State::Filtered, Why::NoAnswer);
        let (closed, open) = ((State::Closed, Why::Rst), (State::Open, Why::SynAck));
        for (port, (state, why)) in
            [(135, filtered), (22, open), (443, closed), (80, open), (2, filtered), (3, filtered)]
        {
            found.add(Row { host: 0, port, state, why });
        }
        found.add_banner(0, 22, b"SSH-2.0-x\x1b[2J\r\n".to_vec());
        found.sort();
        print(Sheet { options: &options, targets: &targets, found: &found });
    }

    #[test]
    fn a_range_is_shown_as_documented() {
        sheet(
            "1-1000",
            |_| {},
            |s| {
                let took = Duration::from_millis(4230);
                let text = s.header(100) + &s.tables() + &s.totals(0, took);
                let want = "Scanning scanme.nmap.org (45.33.32.156) ports 1-1000...\nConcurrent connections: 100\n\
                        Timeout: 3 seconds\nPORT STATE SERVICE\n2/tcp filtered unknown\n3/tcp filtered unknown\n\
                        22/tcp open ssh\n80/tcp open http\n135/tcp filtered msrpc\n\
                        Scan complete: 1 closed, 2 open, 3 filtered\nTime: 4.2 seconds\n";
                assert_eq!(text, want);
                assert!(
                    s.totals(7, took).starts_with("Scan interrupted: 1 closed, 2 open, 3 filtered, 7 not scanned\n")
                );
            },
        );
    }

    #[test]
    fn a_list_shows_every_port() {
        let want =
            "PORT STATE\n2/tcp filtered\n3/tcp filtered\n22/tcp open\n80/tcp open\n135/tcp filtered\n443/tcp closed\n";
        sheet("22,80,443", |_| {}, |s| assert_eq!(s.tables(), want));
    }

    #[test]
    fn flags_choose_columns_and_rows() {
        let open = |o: &mut Options| {
            o.listed = Some(Listed::Open);
            (o.service, o.reason, o.banner, o.aligned) = (Some(true), true, true, true);
        };
        let want = "PORT   STATE SERVICE REASON  BANNER\n22/tcp open  ssh     syn-ack SSH-2.0-x\\x1b[2J\n80/tcp open  http    syn-ack\n";
        sheet("22,80", open, |s| assert_eq!(s.tables(), want));
    }
}
