//! `/etc/hosts` (hosts(5)) as text.
use super::Domain;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Names that are read; a file of block lists may have more.
const NAMES_MAX: usize = 100_000;
/// Addresses of one name.
const ADDRESSES_MAX: usize = 64;

/// Addresses by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hosts {
    names: BTreeMap<Domain, Vec<IpAddr>>,
}

impl Hosts {
    /// Reads a file. What is not understood is passed over.
    pub fn parse(text: &[u8]) -> Self {
        let mut hosts = Hosts::default();
        let mut names = 0;
        for line in text.split(|b| *b == b'\n') {
            let Ok(line) = core::str::from_utf8(line) else { continue };
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            let Some(Ok(ip)) = words.next().map(|w| w.parse::<IpAddr>()) else { continue };
            for name in words.filter_map(|w| w.parse::<Domain>().ok()) {
                names += 1;
                if names > NAMES_MAX {
                    return hosts;
                }
                let known = hosts.names.entry(name).or_default();
                if known.len() < ADDRESSES_MAX && !known.contains(&ip) {
                    known.push(ip);
                }
            }
        }
        hosts
    }
    /// The addresses of a name, in the file's order.
    pub fn get(&self, name: &Domain) -> &[IpAddr] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_as_they_are() {
        let text = b"127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # loopback\n# 10.0.0.1 no\n10.0.0.2  a.example a\n\
            10.0.0.3 A.EXAMPLE.\n10.0.0.2 a\nfe80::1%eth0 zone\n0177.0.0.1 octal\n10.0.0.4\n\0\xff nul\n10.0.0.5 bad..name good";
        let hosts = Hosts::parse(text);
        let get =
            |n: &str| hosts.get(&n.parse().unwrap()).iter().map(alloc::string::ToString::to_string).collect::<Vec<_>>();
        assert_eq!(get("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(get("A.example"), ["10.0.0.2", "10.0.0.3"]);
        assert_eq!(get("a"), ["10.0.0.2"]);
        assert_eq!(get("good"), ["10.0.0.5"]);
        for none in ["no", "zone", "octal", "nul", "b"] {
            assert_eq!(get(none), [""; 0], "{none}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes long, and is safe code")]
    fn it_is_bounded() {
        let many: Vec<u8> = (0..NAMES_MAX + 5).flat_map(|i| alloc::format!("10.0.0.1 n{i}\n").into_bytes()).collect();
        let hosts = Hosts::parse(&many);
        assert_eq!(hosts.names.len(), NAMES_MAX);
    }
}
