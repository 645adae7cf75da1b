//! Where a server may connect to on a client's behalf: not to itself and its neighbours, which trust it.
use crate::cli::Cidr;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is allowed beyond the ordinary.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Blocks that may be reached all the same.
    pub allow: Vec<Cidr>,
}

impl Reach {
    /// Why an address may not be reached.
    ///
    /// # Errors
    /// What kind of address it is.
    pub fn check(&self, ip: IpAddr) -> Result<(), &'static str> {
        let ip = inner(ip);
        if self.allow.iter().any(|block| block.contains(ip)) {
            return Ok(());
        }
        kind(ip).map_or(Ok(()), Err)
    }
}

/// What is special about an address that was unwrapped ([`inner`]): loopback, link-local, metadata, multicast, unspecified
/// or reserved.
pub fn kind(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(a) => bad_v4(a),
        IpAddr::V6(a) => bad_v6(a),
    }
}

/// An IPv4 address in the clothes of an IPv6 one: mapped, for a NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), or Teredo
/// (RFC 4380, whose client's address is inverted).
pub fn inner(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip.to_canonical() else { return ip.to_canonical() };
    let [.., a, b, c, d] = v6.octets();
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        [0x2002, hi, lo, ..] => IpAddr::V4(Ipv4Addr::from_bits(u32::from(hi) << 16 | u32::from(lo))),
        [0x2001, 0, ..] => IpAddr::V4(Ipv4Addr::new(!a, !b, !c, !d)),
        _ => IpAddr::V6(v6),
    }
}

fn bad_v4(a: Ipv4Addr) -> Option<&'static str> {
    match a.octets() {
        [0, ..] => Some("unspecified"),
        [127, ..] => Some("loopback"),
        [169, 254, 169, 254] => Some("metadata"),
        [169, 254, ..] => Some("link-local"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn bad_v6(a: Ipv6Addr) -> Option<&'static str> {
    match a.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        // IPv4-compatible addresses (RFC 4291 2.5.5.1) are no more than a way around the rules.
        [0, 0, 0, 0, 0, 0, ..] => Some("reserved"),
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Some("metadata"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_out_of_reach() {
        let reach = Reach::default();
        for (ip, why) in [
            ("127.0.0.1", "loopback"),
            ("127.255.0.9", "loopback"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b:1::7f00:1", "loopback"),
            ("2002:7f00:1::", "loopback"),
            ("2002:a9fe:a9fe::1", "metadata"),
            ("2001:0:4136:e378:8000:63bf:80ff:fffe", "loopback"),
            ("::127.0.0.1", "reserved"),
            ("0.0.0.0", "unspecified"),
            ("::", "unspecified"),
            ("169.254.169.254", "metadata"),
            ("64:ff9b::a9fe:a9fe", "metadata"),
            ("fd00:ec2::254", "metadata"),
            ("169.254.1.1", "link-local"),
            ("fe80::1", "link-local"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
            ("255.255.255.255", "reserved"),
        ] {
            assert_eq!(reach.check(ip.parse().unwrap()), Err(why), "{ip}");
        }
        for ip in ["93.184.216.34", "10.0.0.1", "192.168.1.1", "2606:4700::1"] {
            assert_eq!(reach.check(ip.parse().unwrap()), Ok(()), "{ip}");
        }
        let local = Reach { allow: vec!["127.0.0.0/8".parse().unwrap()] };
        assert_eq!(local.check("127.0.0.1".parse().unwrap()), Ok(()));
        assert_eq!(local.check("::1".parse().unwrap()), Err("loopback"));
    }
}
