//! The result for programs: a JSON document, a JSON object per port, or a line per host as `nmap -oG` writes it.
use super::State;
use super::found::Row;
use super::options::Options;
use super::report::Sheet;
use super::targets::Targets;
use crate::text::Json;
use core::fmt::Write;
use core::net::IpAddr;
use core::time::Duration;

/// The name and version of the form.
pub const SCHEMA: &str = "drywire/portscan/1";

/// What a port is, as the members of an object.
fn port(o: &Options, row: &Row, banner: Option<&[u8]>) -> String {
    let (protocol, service) = (o.protocol.name(), Json(o.protocol.service(row.port)));
    let (n, state, why) = (row.port, row.state.name(), row.why);
    let mut text = format!(
        "\"port\":{n},\"protocol\":\"{protocol}\",\"state\":\"{state}\",\"reason\":\"{why}\",\"service\":{service}"
    );
    if let Some(banner) = banner {
        let _ = write!(text, ",\"banner\":{}", Json(&String::from_utf8_lossy(banner))); // a String takes everything
    }
    text
}

fn address(targets: &Targets, ip: IpAddr) -> String {
    let name = targets.name(ip).map(|n| format!(",\"name\":{}", Json(n))).unwrap_or_default();
    format!("\"address\":\"{ip}\"{name}")
}

/// One port as a line.
pub fn line(o: &Options, targets: &Targets, row: &Row, banner: Option<&[u8]>) -> String {
    let at = targets.nth(row.host.into()).map(|ip| address(targets, ip)).unwrap_or_default();
    format!("{{\"schema\":\"{SCHEMA}\",{at},{}}}\n", port(o, row, banner))
}

/// All in one document; `left` ports were not scanned.
pub fn document(s: &Sheet<'_>, unix_ms: i64, left: u64, took: Duration) -> String {
    let counts = State::ALL.map(|state| format!("\"{}\":{}", state.name(), s.found.count(state)));
    let hosts = s.found.rows().chunk_by(|a, b| a.host == b.host).filter_map(|rows| {
        let ip = s.targets.nth(rows.first()?.host.into())?;
        let ports = rows.iter().map(|r| format!("{{{}}}", port(s.options, r, s.found.banner(r.host, r.port))));
        Some(format!("{{{},\"ports\":[{}]}}", address(s.targets, ip), ports.collect::<Vec<_>>().join(",")))
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let (ports, seconds) = (&s.options.ports, took.as_secs_f64());
    format!(
        "{{\"schema\":\"{SCHEMA}\",\"targets\":{},\"addresses\":{},\"ports\":\"{ports}\",\"ended_ms\":{unix_ms},\
         \"seconds\":{seconds:.3},\"totals\":{{\"scanned\":{},\"not scanned\":{left},{}}},\"hosts\":[{hosts}]}}\n",
        Json(&s.targets.to_string()),
        s.targets.len(),
        s.found.total(),
        counts.join(","),
    )
}

/// A line per host that has something to show.
pub fn grepable(s: &Sheet<'_>) -> String {
    let mut text = String::new();
    for rows in s.found.rows().chunk_by(|a, b| a.host == b.host) {
        let Some(ip) = rows.first().and_then(|r| s.targets.nth(r.host.into())) else { continue };
        let protocol = s.options.protocol;
        let one =
            |r: &Row| format!("{}/{}/{}//{}///", r.port, r.state.name(), protocol.name(), protocol.service(r.port));
        let ports: Vec<String> = rows.iter().map(one).collect();
        let name = s.targets.name(ip).unwrap_or_default();
        let closed = match s.found.count(State::Closed) {
            n if n > 0 && s.targets.len() == 1 && !rows.iter().any(|r| r.state == State::Closed) => {
                format!("\tIgnored State: closed ({n})")
            }
            _ => String::new(),
        };
        let _ = writeln!(text, "Host: {ip} ({name})\tPorts: {}{closed}", ports.join(", ")); // a String takes everything
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Why;
    use super::super::found::{Found, Listed};
    use super::super::ports::Ports;
    use super::*;

    #[test]
    fn forms_for_programs() {
        let options = Options { ports: Ports::parse("1-1000").unwrap(), ..Options::default() };
        let mut targets = Targets::default();
        targets.add_name("web", [10, 0, 0, 7].into());
        let mut found = Found::new(Listed::NotClosed);
        for (port, state, why) in [(22, State::Open, Why::SynAck), (23, State::Closed, Why::Rst)] {
            found.add(Row { host: 0, port, state, why });
        }
        found.add_banner(0, 22, b"SSH\"\n".to_vec());
        let sheet = Sheet { options: &options, targets: &targets, found: &found };
        let row = r#""port":22,"protocol":"tcp","state":"open","reason":"syn-ack","service":"ssh""#;
        let at = r#""address":"10.0.0.7","name":"web""#;
        let first = found.rows().first().copied().unwrap();
        assert_eq!(
            line(&options, &targets, &first, None),
            format!("{{\"schema\":\"drywire/portscan/1\",{at},{row}}}\n")
        );
        let want = format!(
            "{{\"schema\":\"drywire/portscan/1\",\"targets\":\"web\",\"addresses\":1,\"ports\":\"1-1000\",\"ended_ms\":5,\
             \"seconds\":1.500,\"totals\":{{\"scanned\":2,\"not scanned\":0,\"open\":1,\"closed\":1,\"filtered\":0,\
             \"open|filtered\":0}},\"hosts\":[{{{at},\"ports\":[{{{row},\"banner\":\"SSH\\\"\\n\"}}]}}]}}\n"
        );
        assert_eq!(document(&sheet, 5, 0, Duration::from_millis(1500)), want);
        assert_eq!(grepable(&sheet), "Host: 10.0.0.7 (web)\tPorts: 22/open/tcp//ssh///\tIgnored State: closed (1)\n");
    }
}
