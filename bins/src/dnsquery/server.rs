//! A server as the command line names it: an address or a name, perhaps with a port, or a URL that also says what carries the
//! question.
use clap::ValueEnum;
use core::net::{IpAddr, Ipv6Addr};

/// What carries a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Over {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// A connection under TLS (RFC 7858).
    Tls,
    /// A request of HTTP under TLS (RFC 8484).
    Https,
}

impl Over {
    /// Where servers listen for it.
    pub fn port(self) -> u16 {
        match self {
            Over::Udp | Over::Tcp => 53,
            Over::Tls => 853,
            Over::Https => 443,
        }
    }
}

/// Whom to ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// An address without brackets, or a name.
    pub host: String,
    /// Its own port.
    pub port: Option<u16>,
    /// What it is asked over, if it is a URL.
    pub over: Option<Over>,
    /// The path of an HTTPS URL.
    pub path: Option<String>,
}

impl Server {
    /// What stands behind the `@`.
    ///
    /// # Errors
    /// It is none of these forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("@ needs the address or name of a server after it".into());
        }
        let bad = || {
            let forms = "9.9.9.9, [2620:fe::fe]:53, ns.example, tls://ns.example or https://ns.example/dns-query";
            format!("'@{}' is not a server such as {forms}", text.escape_debug())
        };
        let (over, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(Over::from_str(scheme, true).map_err(|_| bad())?), rest),
            None => (None, text),
        };
        let (at, path) = rest.find('/').map_or((rest, ""), |i| rest.split_at(i));
        if !path.is_empty() && over != Some(Over::Https) {
            return Err(bad());
        }
        let (host, port) = host_and_port(at).filter(|(host, _)| !host.is_empty()).ok_or_else(bad)?;
        let path = if path.is_empty() { None } else { Some(web_path(path)?) };
        Ok(Server { host: host.into(), port, over, path })
    }
}

fn host_and_port(at: &str) -> Option<(&str, Option<u16>)> {
    let some_port = |text: &str| text.parse().ok().filter(|port| *port != 0).map(Some);
    if at.parse::<IpAddr>().is_ok() {
        return Some((at, None));
    }
    let (host, port) = match at.strip_prefix('[') {
        Some(rest) => {
            let (ip, rest) = rest.split_once(']')?;
            ip.parse::<Ipv6Addr>().ok()?;
            (ip, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => at.split_once(':').map_or((at, None), |(host, port)| (host, Some(port))),
    };
    Some((host, port.map_or(Some(None), some_port)?))
}

/// A path for HTTP.
///
/// # Errors
/// It is none.
pub fn web_path(s: &str) -> Result<String, String> {
    let ok = s.starts_with('/') && s.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'#');
    if ok { Ok(s.into()) } else { Err(format!("'{}' is not a path such as /dns-query", s.escape_debug())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_servers() {
        let parse = |text: &str| {
            let s = Server::parse(text).ok()?;
            Some((s.host, s.port, s.over, s.path))
        };
        let plain = |host: &str, port| Some((host.to_string(), port, None, None));
        assert_eq!(parse("9.9.9.9"), plain("9.9.9.9", None));
        assert_eq!(parse("9.9.9.9:5300"), plain("9.9.9.9", Some(5300)));
        assert_eq!(parse("2620:fe::fe"), plain("2620:fe::fe", None));
        assert_eq!(parse("[2620:fe::fe]"), plain("2620:fe::fe", None));
        assert_eq!(parse("[2620:fe::fe]:5300"), plain("2620:fe::fe", Some(5300)));
        assert_eq!(parse("ns.example"), plain("ns.example", None));
        assert_eq!(parse("ns.example:5300"), plain("ns.example", Some(5300)));
        let url =
            |host: &str, port, over, path: Option<&str>| Some((host.into(), port, Some(over), path.map(Into::into)));
        assert_eq!(parse("udp://9.9.9.9"), url("9.9.9.9", None, Over::Udp, None));
        assert_eq!(parse("TCP://[::1]:54"), url("::1", Some(54), Over::Tcp, None));
        assert_eq!(parse("tls://ns.example:8853"), url("ns.example", Some(8853), Over::Tls, None));
        assert_eq!(parse("https://ns.example"), url("ns.example", None, Over::Https, None));
        assert_eq!(parse("https://::1/"), url("::1", None, Over::Https, Some("/")));
        let doh = "https://ns.example:8443/a/dns-query?x=y";
        assert_eq!(parse(doh), url("ns.example", Some(8443), Over::Https, Some("/a/dns-query?x=y")));
        for bad in [
            "",
            ":53",
            "ns:",
            "ns:0",
            "ns:65536",
            "ns:x",
            "[::1",
            "[::1]53",
            "[9.9.9.9]",
            "[ns]:53",
            "a:b:c",
            "tls://",
            "tls://ns/",
            "tls://ns/path",
            "h3://ns",
            "https://",
            "https:///dns-query",
            "https://ns/a b",
            "https://ns/#a",
            "https://ns:x/",
            "9.9.9.9/24",
        ] {
            assert!(Server::parse(bad).is_err(), "{bad}");
        }
    }
}
