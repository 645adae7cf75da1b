//! What has changed since an earlier scan, and whether the open ports are those that ought to be.
use super::State;
use super::options::Protocol;
use super::report::Sheet;
use super::{json, ports::Ports};
use core::fmt::Write;
use core::net::IpAddr;
use serde_json::Value;
use std::collections::BTreeSet;

/// Size of such a file that is read.
pub const MOST: u32 = 256 << 20;

/// The open ports of an earlier `--json` or `--ndjson`; the error says what is wrong with the text.
pub fn open_ports(text: &[u8], protocol: Protocol) -> Result<BTreeSet<(IpAddr, u16)>, String> {
    let mut open = BTreeSet::new();
    for value in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
        let value = value.map_err(|e| format!("is not JSON: {e}"))?;
        if value.get("schema").and_then(Value::as_str) != Some(json::SCHEMA) {
            return Err(format!("is no result of portscan (schema {})", json::SCHEMA));
        }
        let Some(hosts) = value.get("hosts") else {
            open.extend(open_port(&value, &value, protocol)?);
            continue;
        };
        for host in hosts.as_array().ok_or("has no list of hosts")? {
            for port in host.get("ports").and_then(Value::as_array).ok_or("has a host without ports")? {
                open.extend(open_port(host, port, protocol)?);
            }
        }
    }
    Ok(open)
}

fn open_port(host: &Value, port: &Value, protocol: Protocol) -> Result<Option<(IpAddr, u16)>, String> {
    let text = |from: &Value, key: &str| from.get(key).and_then(Value::as_str).map(String::from);
    let ip = text(host, "address").and_then(|a| a.parse().ok()).ok_or("has a host without an address")?;
    let n = port.get("port").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok());
    let n = n.ok_or("has a port without a number")?;
    let open = text(port, "state").as_deref() == Some(State::Open.name());
    let same = text(port, "protocol").as_deref() == Some(protocol.name());
    Ok((open && same).then_some((ip, n)))
}

fn open_now(s: &Sheet<'_>) -> BTreeSet<(IpAddr, u16)> {
    let open = s.found.rows().iter().filter(|r| r.state == State::Open);
    open.filter_map(|r| Some((s.targets.nth(r.host.into())?, r.port))).collect()
}

/// What opened and closed since `old`, of what was scanned now; `None` if nothing did.
pub fn changes(s: &Sheet<'_>, old: &BTreeSet<(IpAddr, u16)>) -> Option<String> {
    let now = open_now(s);
    let hosts: BTreeSet<IpAddr> = match s.targets.len() {
        n if n <= old.len() as u64 => (0..n).filter_map(|n| s.targets.nth(n)).collect(),
        _ => old.iter().map(|(ip, _)| *ip).filter(|ip| s.targets.place(*ip).is_some()).collect(),
    };
    let mut text = String::new();
    let mut say = |what: &str, (ip, port): &(IpAddr, u16)| {
        let (protocol, service) = (s.options.protocol.name(), s.options.protocol.service(*port));
        let _ = writeln!(text, "{what}: {ip} {port}/{protocol} {service}"); // a String takes everything
    };
    now.difference(old).for_each(|p| say("opened", p));
    let scanned = |(ip, port): &&(IpAddr, u16)| hosts.contains(ip) && s.options.ports.contains(*port);
    old.difference(&now).filter(scanned).for_each(|p| say("closed", p));
    (!text.is_empty()).then_some(text)
}

/// How the open ports differ from those that are expected on every host; `None` if they do not.
pub fn unexpected(s: &Sheet<'_>, expected: &Ports) -> Option<String> {
    let open = open_now(s);
    let mut text = String::new();
    for ip in (0..s.targets.len()).filter_map(|n| s.targets.nth(n)) {
        let here = open.range((ip, 0)..=(ip, u16::MAX)).map(|(_, port)| *port);
        let more: Vec<String> = here.filter(|p| !expected.contains(*p)).map(|p| p.to_string()).collect();
        let less = expected.iter().filter(|p| !open.contains(&(ip, *p))).map(|p| p.to_string());
        let less: Vec<String> = less.collect();
        for (what, ports) in [("open but not expected", more), ("expected but not open", less)] {
            if !ports.is_empty() {
                let _ = writeln!(text, "{ip} {what}: {}", ports.join(",")); // a String takes everything
            }
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::Why;
    use super::super::found::{Found, Listed, Row};
    use super::super::options::Options;
    use super::super::targets::Targets;
    use super::*;
    use core::time::Duration;

    fn with(open: &[u16], f: impl FnOnce(Sheet<'_>)) {
        let options = Options { ports: Ports::parse("1-1000").unwrap(), ..Options::default() };
        let mut targets = Targets::default();
        targets.add_name("web", [10, 0, 0, 7].into());
        let mut found = Found::new(Listed::Open);
        open.iter().for_each(|port| {
            found.add(Row { host: 0, port: *port, state: State::Open, why: Why::SynAck });
        });
        f(Sheet { options: &options, targets: &targets, found: &found });
    }

    #[test]
    fn what_opened_and_closed() {
        let mut old = String::new();
        with(&[22, 443], |s| old = json::document(&s, 0, 0, Duration::ZERO));
        with(&[22, 80], |s| {
            let old = open_ports(old.as_bytes(), Protocol::Tcp).unwrap();
            let want = "opened: 10.0.0.7 80/tcp http\nclosed: 10.0.0.7 443/tcp https\n";
            assert_eq!(changes(&s, &old).as_deref(), Some(want));
            // As lines, the same.
            let lines: String = s.found.rows().iter().map(|r| json::line(s.options, s.targets, r, None)).collect();
            let same = open_ports(lines.as_bytes(), Protocol::Tcp).unwrap();
            assert_eq!((same.len(), changes(&s, &same)), (2, None));
            assert!(open_ports(lines.as_bytes(), Protocol::Udp).unwrap().is_empty());
            // What was not scanned now has not closed.
            let elsewhere = [([10, 0, 0, 8].into(), 22), ([10, 0, 0, 7].into(), 5000)];
            assert_eq!(changes(&s, &same.into_iter().chain(elsewhere).collect()), None);
        });
    }

    #[test]
    fn what_is_expected() {
        with(&[22, 80], |s| {
            let differ = |text: &str| unexpected(&s, &Ports::parse(text).unwrap());
            assert_eq!(differ("22,80"), None);
            let want = "10.0.0.7 open but not expected: 80\n10.0.0.7 expected but not open: 443\n";
            assert_eq!(differ("22,443").as_deref(), Some(want));
        });
    }

    #[test]
    fn other_files_are_refused() {
        let nested = "[".repeat(100_000);
        for (text, why) in [
            ("{", "is not JSON"),
            (nested.as_str(), "is not JSON"),
            ("{}", "is no result of portscan"),
            (r#"{"schema":"drywire/portscan/1","hosts":7}"#, "has no list of hosts"),
            (r#"{"schema":"drywire/portscan/1","hosts":[{}]}"#, "has a host without ports"),
            (r#"{"schema":"drywire/portscan/1","hosts":[{"ports":[{}]}]}"#, "has a host without an address"),
            (r#"{"schema":"drywire/portscan/1","address":"::1","port":65536}"#, "has a port without a number"),
        ] {
            let error = open_ports(text.as_bytes(), Protocol::Tcp).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
