//! What proxies say of whom they ask for: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Everybody can write these fields, and each proxy adds to their end. So they are read from there, and the first address
//! that is not a proxy of ours is the client's, as far as anybody we trust has seen it.
use crate::cli::Cidr;
use core::net::{IpAddr, SocketAddr};

/// The client's address, of a request that a trusted proxy has brought. `Forwarded` counts if both fields are there.
pub fn client(forwarded: Option<&[u8]>, for_: Option<&[u8]>, trusted: &[Cidr]) -> Option<IpAddr> {
    let list = forwarded.or(for_)?;
    let mut last = None;
    for element in list.rsplit(|b| *b == b',') {
        let text = core::str::from_utf8(element).ok()?.trim();
        let node = if forwarded.is_some() { parameter(text)? } else { text };
        let Some(ip) = address(node) else { break }; // "unknown", or a name of their own
        last = Some(ip);
        if !trusted.iter().any(|block| block.contains(ip)) {
            break;
        }
    }
    last
}

/// `for` of one element: `for="[2001:db8::1]:4711";proto=http`.
fn parameter(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

fn address(node: &str) -> Option<IpAddr> {
    let ip = || node.trim_matches(['[', ']']).parse().ok();
    let with_port = || node.parse::<SocketAddr>().ok().map(|a| a.ip());
    with_port().or_else(ip).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_is_not_ours() {
        let trusted: Vec<Cidr> = ["10.0.0.0/8", "2001:db8:1::/48"].map(|s| s.parse().expect("a block")).to_vec();
        let ask = |forwarded: &str, for_: &str| {
            let field = |s: &str| (!s.is_empty()).then(|| s.as_bytes().to_vec());
            let (a, b) = (field(forwarded), field(for_));
            client(a.as_deref(), b.as_deref(), &trusted).map_or("-".into(), |ip| ip.to_string())
        };
        for (forwarded, for_, want) in [
            ("", "", "-"),
            ("", "203.0.113.7", "203.0.113.7"),
            ("", "1.2.3.4, 203.0.113.7", "203.0.113.7"),
            ("", "1.2.3.4, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
            ("", "10.0.0.2, 10.0.0.1", "10.0.0.2"),
            ("", "203.0.113.7, unknown", "-"),
            ("", "unknown, 10.0.0.1", "10.0.0.1"),
            ("", "::ffff:203.0.113.7", "203.0.113.7"),
            ("for=203.0.113.7", "1.2.3.4", "203.0.113.7"),
            ("For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1", "", "2001:db8::7"),
            ("for=1.2.3.4, for=\"203.0.113.7:80\";proto=http, for=10.0.0.1", "", "203.0.113.7"),
            ("for=_hidden, for=10.0.0.1", "", "10.0.0.1"),
            ("proto=http", "", "-"),
            ("for=203.0.113.7, \u{e4}", "", "-"),
        ] {
            assert_eq!(ask(forwarded, for_), want, "{forwarded} | {for_}");
        }
    }
}
