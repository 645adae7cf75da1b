//! Values on the command line: ports, addresses, durations, sizes.
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;

/// A port, 0 to 65535 in decimal.
pub fn port(s: &str) -> Result<u16, String> {
    let plain = !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let n = if plain { s.parse().ok() } else { None };
    n.ok_or_else(|| format!("port '{s}' is not in 0-65535"))
}

/// `500ms`, `10s`, `2m`, `1h`; a bare number is seconds.
pub fn duration(s: &str) -> Result<Duration, String> {
    let (n, unit) = split(s);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let seconds = n.parse::<f64>().map_or(f64::NAN, |n| n * scale);
    let d = if seconds >= 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None };
    d.ok_or_else(|| format!("'{s}' is not a duration such as 500ms, 10s, 2m or 1h"))
}

/// `64KiB`, `1MB`; a bare number is bytes.
pub fn size(s: &str) -> Result<usize, String> {
    let (n, unit) = split(s);
    let scale: usize = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" | "K" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" | "M" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" | "G" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "TiB" | "T" => 1 << 40,
        _ => 0,
    };
    let n = n.parse::<usize>().ok().filter(|_| scale > 0).and_then(|n| n.checked_mul(scale));
    n.ok_or_else(|| format!("'{s}' is not a size such as 100, 64KiB or 1MB"))
}

fn split(s: &str) -> (&str, &str) {
    let at = s.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(s.len());
    (&s[..at], s[at..].trim_start())
}

/// Where a server is to listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// An address, with the port to take from elsewhere if there is none.
    Ip(IpAddr, Option<u16>),
    /// A Unix socket.
    Unix(String),
    /// A descriptor that is open and listens already.
    Descriptor(u32),
}

impl Target {
    /// The socket address, if it is one and has a port, its own or the given one.
    pub fn address(&self, port: Option<u16>) -> Option<SocketAddr> {
        match self {
            Target::Ip(ip, own) => Some(SocketAddr::new(*ip, own.or(port)?)),
            Target::Unix(_) | Target::Descriptor(_) => None,
        }
    }
}

/// `ADDR`, `ADDR:PORT`, `[v6]:PORT`, `unix:/path` or `fd:3`.
pub fn listen_address(s: &str) -> Result<Target, String> {
    if let Some(path) = s.strip_prefix("unix:").filter(|p| !p.is_empty()) {
        return Ok(Target::Unix(path.into()));
    }
    if let Some(n) = s.strip_prefix("fd:").and_then(|n| n.parse().ok()) {
        return Ok(Target::Descriptor(n));
    }
    if let Ok(a) = SocketAddr::from_str(s) {
        return Ok(Target::Ip(a.ip(), Some(a.port())));
    }
    let bare = s.strip_prefix('[').and_then(|s| s.strip_suffix(']')).unwrap_or(s);
    if let Ok(ip) = IpAddr::from_str(bare) {
        return Ok(Target::Ip(ip, None));
    }
    if let Some((host, p)) = s.rsplit_once(':')
        && IpAddr::from_str(host.trim_matches(['[', ']'])).is_ok()
    {
        port(p)?;
    }
    Err(format!("'{s}' is not an address such as 0.0.0.0, 127.0.0.1:9000, [::1]:9000, unix:/path or fd:3"))
}

/// A block of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    ip: IpAddr,
    bits: u8,
}

impl FromStr for Cidr {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("'{s}' is not a block of addresses such as 10.0.0.0/8 or 2001:db8::/32");
        let (ip, bits) = s.split_once('/').map_or((s, None), |(ip, b)| (ip, Some(b)));
        let ip: IpAddr = ip.parse().map_err(|_| bad())?;
        let all = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), |b| b.parse().map_err(|_| bad()))?;
        if bits > all { Err(bad()) } else { Ok(Cidr { ip, bits }) }
    }
}

impl core::fmt::Display for Cidr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

impl Cidr {
    /// The address is in the block; an IPv4 address in IPv6 clothes counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let number = |ip: IpAddr| match ip.to_canonical() {
            IpAddr::V4(a) => (true, u128::from(a.to_bits()) << 96),
            IpAddr::V6(a) => (false, a.to_bits()),
        };
        let ((a4, a), (b4, b)) = (number(self.ip), number(ip));
        a4 == b4 && (self.bits == 0 || (a ^ b) >> (128 - u32::from(self.bits)) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_decimal_and_in_range() {
        assert_eq!(port("0"), Ok(0));
        assert_eq!(port("65535"), Ok(65535));
        for bad in ["99999", "-1", "9000x", "", "+80", "0x50", "65536", " 80"] {
            assert_eq!(port(bad), Err(format!("port '{bad}' is not in 0-65535")));
        }
    }

    #[test]
    fn durations_and_sizes_have_units() {
        let ms = |s: &str| duration(s).map(|d| d.as_millis());
        assert_eq!(
            [ms("500ms"), ms("10s"), ms("2m"), ms("1h"), ms("3"), ms("0.5")],
            [500, 10_000, 120_000, 3_600_000, 3000, 500].map(Ok)
        );
        for bad in ["", "s", "-1", "1d", "1 2", "nan", "inf", "1e99999"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!([size("64KiB"), size("1MB"), size("7")], [65536, 1_000_000, 7].map(Ok));
        for bad in ["", "KiB", "1XB", "99999999999999999999", "18446744073709551615G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn listen_addresses() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        assert_eq!(listen_address("0.0.0.0"), Ok(Target::Ip(ip("0.0.0.0"), None)));
        assert_eq!(listen_address("[::]:80"), Ok(Target::Ip(ip("::"), Some(80))));
        assert_eq!(listen_address("[::1]"), Ok(Target::Ip(ip("::1"), None)));
        assert_eq!(listen_address("unix:/tmp/x"), Ok(Target::Unix("/tmp/x".into())));
        assert_eq!(listen_address("fd:3"), Ok(Target::Descriptor(3)));
        assert_eq!(listen_address("1.2.3.4:99999"), Err("port '99999' is not in 0-65535".into()));
        assert!(listen_address("localhost").is_err());
    }

    #[test]
    fn blocks_contain_addresses() {
        let within = |block: &str, ip: &str| block.parse::<Cidr>().unwrap().contains(ip.parse().unwrap());
        assert!(within("10.0.0.0/8", "10.255.1.1") && !within("10.0.0.0/8", "11.0.0.0"));
        assert!(within("10.0.0.0/8", "::ffff:10.1.1.1") && within("::/0", "::1") && !within("::/0", "1.1.1.1"));
        assert!(within("127.0.0.1", "127.0.0.1") && !within("127.0.0.1", "127.0.0.2"));
        assert_eq!("10.0.0.1".parse::<Cidr>().map(|b| b.to_string()), Ok("10.0.0.1/32".into()));
        assert!("10.0.0.0/33".parse::<Cidr>().is_err() && "x".parse::<Cidr>().is_err());
    }
}
