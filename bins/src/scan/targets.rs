//! What is scanned: hosts, networks and ranges of addresses, less what is excluded, counted and never written out.
use super::mix;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;

/// Most targets of a run: pairs of an address and a port.
pub const MOST: u64 = 1 << 32;

/// Neighbouring addresses of one family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Block {
    v6: bool,
    first: u128,
    last: u128,
}

impl Block {
    /// One address. An IPv4 address in IPv6 clothes is the IPv4 address.
    pub fn single(ip: IpAddr) -> Self {
        let (v6, n) = number(ip);
        Block { v6, first: n, last: n }
    }
    /// How many addresses; saturates.
    pub fn len(&self) -> u64 {
        u64::try_from(self.last - self.first).unwrap_or(u64::MAX).saturating_add(1)
    }
    /// Never: a block has at least one address.
    pub fn is_empty(&self) -> bool {
        false
    }
    fn nth(&self, n: u64) -> IpAddr {
        let number = self.first + u128::from(n);
        match self.v6 {
            true => Ipv6Addr::from_bits(number).into(),
            false => Ipv4Addr::from_bits(number as u32).into(),
        }
    }
    /// Some of it may belong to others: it is not all private, link-local, shared, documentation or loopback.
    fn is_public(&self) -> bool {
        let inside = |(first, bits): (&str, u32)| {
            let Ok(ip) = first.parse::<IpAddr>() else { return false };
            let (v6, n) = number(ip);
            let size = if v6 { 128 } else { 32 } - bits;
            v6 == self.v6 && self.first >> size == n >> size && self.last >> size == n >> size
        };
        !OWN.into_iter().any(inside)
    }
}

/// Networks that one may take for one's own (RFC 1918, 5737, 6598, 4193, 3849; loopback and link-local).
const OWN: [(&str, u32); 14] = [
    ("10.0.0.0", 8),
    ("127.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("169.254.0.0", 16),
    ("100.64.0.0", 10),
    ("192.0.2.0", 24),
    ("198.51.100.0", 24),
    ("203.0.113.0", 24),
    ("198.18.0.0", 15),
    ("::1", 128),
    ("fc00::", 7),
    ("fe80::", 10),
    ("2001:db8::", 32),
];

fn number(ip: IpAddr) -> (bool, u128) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (false, ip.to_bits().into()),
        IpAddr::V6(ip) => (true, ip.to_bits()),
    }
}

/// One item of the command line or of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// Addresses.
    Block(Block),
    /// To be looked up.
    Name(String),
}

impl Item {
    /// `192.0.2.1`, `192.0.2.0/24`, `192.0.2.1-20`, `192.0.2.1-192.0.2.99`, `2001:db8::/120` or a name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("bad target: '{}' {why}", text.escape_debug());
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Item::Block(Block::single(ip)));
        }
        if let Some((ip, bits)) = text.split_once('/') {
            let ip: IpAddr = ip.parse().map_err(|_| bad("is not a network such as 192.0.2.0/24"))?;
            let (v6, n) = (ip.is_ipv6(), if let IpAddr::V6(ip) = ip { ip.to_bits() } else { number(ip).1 });
            let all = if v6 { 128 } else { 32 };
            let bits = bits.parse::<u32>().ok().filter(|b| *b <= all && bits_are_plain(bits));
            let host = all - bits.ok_or_else(|| bad(&format!("has a prefix that is not in 0-{all}")))?;
            let mask = 1u128.checked_shl(host).map_or(u128::MAX, |size| size - 1);
            return Ok(Item::Block(Block { v6, first: n & !mask, last: n | mask }));
        }
        if let Some((first, last)) = text.split_once('-')
            && let Ok(ip) = first.parse::<IpAddr>()
        {
            let (v6, from) = number(ip);
            let to = match (last.parse::<IpAddr>(), last.parse::<u8>()) {
                (Ok(ip), _) => Some(number(ip)).filter(|(six, _)| *six == v6).map(|(_, n)| n),
                (_, Ok(last)) if !v6 => Some(from & !0xff | u128::from(last)),
                _ => None,
            };
            let to = to.ok_or_else(|| bad("is not a range such as 192.0.2.1-20"))?;
            if to < from {
                return Err(bad("ends before it begins"));
            }
            return Ok(Item::Block(Block { v6, first: from, last: to }));
        }
        let known = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        let numeric = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        if text.is_empty() || text.len() > 255 || numeric || !text.chars().all(known) || text.starts_with('-') {
            return Err(bad("is neither an address nor a name"));
        }
        Ok(Item::Name(text.into()))
    }
}

fn bits_are_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// The items of a file: a line or a word each, `#` begins a comment. The error names the line.
pub fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut all = Vec::new();
    for (line, n) in text.lines().zip(1..) {
        let line = line.split('#').next().unwrap_or_default();
        for word in line.split([' ', '\t', ',']).filter(|w| !w.is_empty()) {
            all.push(Item::parse(word).map_err(|why| format!("line {n}: {why}"))?);
        }
    }
    Ok(all)
}

/// All addresses of a run, none twice.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Targets {
    blocks: Vec<Block>,
    /// For each block, how many addresses come before it.
    before: Vec<u64>,
    len: u64,
    /// Of each block by its first address: the last one, and how many addresses come before.
    index: BTreeMap<(bool, u128), (u128, u64)>,
    /// Taken already or excluded: the last address of each run by its first.
    seen: BTreeMap<(bool, u128), u128>,
    names: BTreeMap<IpAddr, String>,
}

impl Targets {
    /// These are not scanned; to be called before [`Targets::add`].
    pub fn exclude(&mut self, block: Block) {
        let mut whole = block;
        // What touches or overlaps becomes one run.
        while let Some((first, last)) = self.overlap(&whole) {
            self.seen.remove(&(whole.v6, first));
            whole = Block { first: first.min(whole.first), last: last.max(whole.last), ..whole };
        }
        self.seen.insert((whole.v6, whole.first), whole.last);
    }
    /// A run that shares an address with the block: the last one, and then the one before it.
    fn overlap(&self, block: &Block) -> Option<(u128, u128)> {
        let found = self.seen.range((block.v6, 0)..=(block.v6, block.last)).next_back();
        found.map(|((_, first), last)| (*first, *last)).filter(|(_, last)| *last >= block.first)
    }
    /// Adds what is new in the block.
    pub fn add(&mut self, block: Block) {
        let mut pieces = Vec::new();
        let mut rest = Some(block);
        while let Some(piece) = rest {
            let Some((first, last)) = self.overlap(&piece) else {
                pieces.push(piece);
                break;
            };
            if last < piece.last {
                pieces.push(Block { first: last + 1, ..piece });
            }
            rest = (first > piece.first).then(|| Block { last: first - 1, ..piece });
        }
        for piece in pieces.into_iter().rev() {
            self.before.push(self.len);
            self.index.insert((piece.v6, piece.first), (piece.last, self.len));
            self.len = self.len.saturating_add(piece.len());
            self.blocks.push(piece);
        }
        self.exclude(block);
    }
    /// Adds the address of a name.
    pub fn add_name(&mut self, name: &str, ip: IpAddr) {
        let ip = ip.to_canonical();
        self.names.entry(ip).or_insert_with(|| name.into());
        self.add(Block::single(ip));
    }
    /// How many addresses.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// None.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The `n`-th address, in the order in which they were added.
    pub fn nth(&self, n: u64) -> Option<IpAddr> {
        let i = self.before.partition_point(|before| *before <= n).checked_sub(1)?;
        let (block, before) = (self.blocks.get(i)?, self.before.get(i)?);
        (n < self.len).then(|| block.nth(n - before))
    }
    /// Which one the address is: the reverse of [`Targets::nth`].
    pub fn place(&self, ip: IpAddr) -> Option<u64> {
        let (v6, n) = number(ip);
        let ((_, first), (last, before)) = self.index.range((v6, 0)..=(v6, n)).next_back()?;
        (n <= *last).then(|| before.saturating_add(u64::try_from(n - first).unwrap_or(u64::MAX)))
    }
    /// There are addresses of IPv6, or of IPv4, among them.
    pub fn has_family(&self, v6: bool) -> bool {
        self.blocks.iter().any(|b| b.v6 == v6)
    }
    /// What an address was called.
    pub fn name(&self, ip: IpAddr) -> Option<&str> {
        self.names.get(&ip).map(String::as_str)
    }
    /// There is a public network larger than a /24 (or, of IPv6, a /120) in it.
    pub fn has_large_public(&self) -> bool {
        self.blocks.iter().any(|b| b.len() > 256 && b.is_public())
    }
    /// Tells these targets from others.
    pub fn digest(&self) -> u64 {
        let word = |h: u64, n: u128| mix(mix(h ^ n as u64) ^ (n >> 64) as u64);
        self.blocks.iter().fold(0, |h, b| word(word(h ^ u64::from(b.v6), b.first), b.last))
    }
}

impl fmt::Display for Targets {
    /// The one address, the first and how many more, or a network.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.nth(0) else { return f.write_str("nothing") };
        match self.names.get(&first) {
            Some(name) => f.write_str(name)?,
            None => first.fmt(f)?,
        }
        match (self.len, self.blocks.len()) {
            (1, _) => Ok(()),
            (n, 1) => write!(f, "-{}", self.nth(n - 1).unwrap_or(first)),
            (n, _) => write!(f, " and {} more", crate::text::Thousands(n - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Block {
        match Item::parse(text) {
            Ok(Item::Block(block)) => block,
            other => panic!("{text}: {other:?}"),
        }
    }
    fn all(t: &Targets) -> Vec<String> {
        (0..t.len()).filter_map(|n| t.nth(n)).map(|ip| ip.to_string()).collect()
    }
    fn targets(items: &[&str], without: &[&str]) -> Targets {
        let mut t = Targets::default();
        without.iter().for_each(|text| t.exclude(block(text)));
        items.iter().for_each(|text| t.add(block(text)));
        t
    }

    #[test]
    fn networks_and_ranges_are_counted() {
        for (text, len, first, last) in [
            ("192.0.2.7", 1, "192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/30", 4, "192.0.2.4", "192.0.2.7"),
            ("0.0.0.0/0", 1 << 32, "0.0.0.0", "255.255.255.255"),
            ("192.0.2.250-253", 4, "192.0.2.250", "192.0.2.253"),
            ("192.0.2.250-192.0.3.1", 8, "192.0.2.250", "192.0.3.1"),
            ("2001:db8::/96", 1 << 32, "2001:db8::", "2001:db8::ffff:ffff"),
            ("::/0", u64::MAX, "::", "::ffff:ffff:ffff:fffe"),
            ("[::1]", 1, "::1", "::1"),
            ("::ffff:192.0.2.1", 1, "192.0.2.1", "192.0.2.1"),
        ] {
            let t = targets(&[text], &[]);
            let ends = [t.nth(0), t.nth(len - 1)].map(|ip| ip.map(|ip| ip.to_string()).unwrap_or_default());
            assert_eq!((t.len(), ends[0].as_str(), ends[1].as_str()), (len, first, last), "{text}");
            assert_eq!(t.nth(len), None, "{text}");
        }
        assert_eq!(Item::parse("scanme.nmap.org"), Ok(Item::Name("scanme.nmap.org".into())));
        assert_eq!(Item::parse("my-host"), Ok(Item::Name("my-host".into())));
    }

    #[test]
    fn nothing_is_scanned_twice_or_though_excluded() {
        let t = targets(&["10.0.0.0/29", "10.0.0.4-10.0.0.9", "10.0.0.1"], &["10.0.0.2-3", "10.0.0.6"]);
        let last = ["10.0.0.0", "10.0.0.1", "10.0.0.4", "10.0.0.5", "10.0.0.7", "10.0.0.8", "10.0.0.9"];
        assert_eq!(all(&t), last);
        assert!(targets(&["10.0.0.1"], &["10.0.0.0/8"]).is_empty());
        // Against a set, with blocks of every overlap.
        for seed in 0..500u64 {
            let pick = |i: u64| {
                let (a, b) = (mix(seed * 64 + i) % 60, mix(seed * 64 + i + 32) % 60);
                block(&format!("10.0.0.{}-{}", a.min(b), a.max(b)))
            };
            let (mut t, mut gone, mut want) = (Targets::default(), Vec::new(), Vec::new());
            let hosts = |b: Block| (b.first as u64 & 0xff)..=(b.last as u64 & 0xff);
            for i in 0..3 {
                t.exclude(pick(i));
                gone.extend(hosts(pick(i)));
            }
            for i in 3..9 {
                t.add(pick(i));
                for host in hosts(pick(i)) {
                    if !gone.contains(&host) && !want.contains(&host) {
                        want.push(host);
                    }
                }
            }
            let got: Vec<u64> = (0..t.len()).filter_map(|n| t.nth(n)).map(|ip| (number(ip).1 & 0xff) as u64).collect();
            assert_eq!(got, want, "seed {seed}");
            for n in 0..t.len() {
                assert_eq!(t.nth(n).and_then(|ip| t.place(ip)), Some(n), "seed {seed}");
            }
            assert!(gone.iter().all(|g| t.place([10, 0, 0, *g as u8].into()).is_none()), "seed {seed}");
        }
    }

    #[test]
    fn bad_targets_are_named() {
        for (text, why) in [
            ("10.0.0.0/33", "has a prefix that is not in 0-32"),
            ("10.0.0.0/+8", "has a prefix that is not in 0-32"),
            ("::/129", "has a prefix that is not in 0-128"),
            ("host/24", "is not a network such as 192.0.2.0/24"),
            ("10.0.0.9-1", "ends before it begins"),
            ("10.0.0.1-300", "is not a range such as 192.0.2.1-20"),
            ("::1-::zz", "is not a range such as 192.0.2.1-20"),
            ("300.1.1.1", "is neither an address nor a name"),
            ("", "is neither an address nor a name"),
            ("a b", "is neither an address nor a name"),
        ] {
            assert_eq!(Item::parse(text), Err(format!("bad target: '{text}' {why}")));
        }
        assert_eq!(items("a # b\n\n10.0.0.1, c\n").map(|i| i.len()), Ok(3));
        assert_eq!(items("a\n1/2"), Err("line 2: bad target: '1/2' is not a network such as 192.0.2.0/24".into()));
    }

    #[test]
    fn large_public_networks_are_known() {
        for (text, large) in [
            ("8.8.8.0/24", false),
            ("8.8.8.0/23", true),
            ("10.0.0.0/8", false),
            ("10.0.0.0/7", true),
            ("172.16.0.0/12", false),
            ("2001:db8::/100", false),
            ("2001:db9::/100", true),
        ] {
            assert_eq!(targets(&[text], &[]).has_large_public(), large, "{text}");
        }
    }

    #[test]
    fn it_says_what_it_is() {
        assert_eq!(targets(&["10.0.0.0/30"], &[]).to_string(), "10.0.0.0-10.0.0.3");
        assert_eq!(targets(&["10.0.0.1", "10.0.0.9"], &[]).to_string(), "10.0.0.1 and 1 more");
        let mut named = Targets::default();
        named.add_name("web", [10, 0, 0, 7].into());
        assert_eq!((named.to_string().as_str(), named.name([10, 0, 0, 7].into())), ("web", Some("web")));
        assert_ne!(targets(&["10.0.0.1"], &[]).digest(), targets(&["10.0.0.2"], &[]).digest());
    }
}
