//! The two packets of a half-open scan: the SYN that is sent, and what may answer it (RFC 9293 section 3).
//!
//! The sequence number of a SYN is drawn from its addresses and a key, and whatever answers it must acknowledge the next one:
//! so an answer is known for what it is without a memory of what was sent, and nobody can make one up who has not seen it.
use core::net::{IpAddr, SocketAddr};

/// Flags of a segment.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// A header of 20 bytes and an option: the largest segment we would take, as every system sends it.
const SIZE: usize = 24;
const MSS: [u8; 4] = [2, 4, 0x05, 0xb4];

/// IANA's number of TCP.
pub const PROTOCOL: u8 = 6;

/// Makes SYNs and knows their answers.
#[derive(Clone, Copy, Debug)]
pub struct Prober {
    key: u64,
    /// Our port.
    port: u16,
}

/// What answered a SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The port that was asked.
    pub port: u16,
    /// SYN and ACK; if not, RST.
    pub open: bool,
}

impl Prober {
    /// With a key that nobody knows; our port is drawn from it, among those that systems choose themselves.
    pub fn new(key: u64) -> Self {
        Prober { key, port: 33_000 + (mix(key) % 27_000) as u16 }
    }
    fn sequence(&self, us: IpAddr, them: IpAddr, port: u16) -> u32 {
        let word = |h: u64, ip: IpAddr| match ip {
            IpAddr::V4(ip) => mix(h ^ u64::from(ip.to_bits())),
            IpAddr::V6(ip) => mix(mix(h ^ ip.to_bits() as u64) ^ (ip.to_bits() >> 64) as u64),
        };
        (word(word(self.key ^ u64::from(port) << 40, us), them) >> 16) as u32
    }
    /// A segment without its IP header.
    pub fn syn(&self, us: IpAddr, to: SocketAddr) -> [u8; SIZE] {
        let sequence = self.sequence(us, to.ip(), to.port());
        let mut s = [0; SIZE];
        let fields = [&self.port.to_be_bytes()[..], &to.port().to_be_bytes(), &sequence.to_be_bytes(), &[0; 4]];
        let window = 64_240u16.to_be_bytes();
        let rest = [&[(SIZE as u8 / 4) << 4, SYN][..], &window, &[0; 4], &MSS];
        for (place, byte) in s.iter_mut().zip(fields.into_iter().chain(rest).flatten()) {
            *place = *byte;
        }
        let sum = checksum(us, to.ip(), &s).to_be_bytes();
        if let Some(place) = s.get_mut(16..18) {
            place.copy_from_slice(&sum);
        }
        s
    }
    /// What a packet that `us` got from `them` answers: over IPv4 it begins with its IP header. `None`: nothing of ours.
    pub fn answer(&self, us: IpAddr, them: IpAddr, packet: &[u8]) -> Option<Answer> {
        let segment = match them {
            IpAddr::V4(_) => packet.get(usize::from(packet.first()? & 15) * 4..)?,
            IpAddr::V6(_) => packet,
        };
        let header: &[u8; 20] = segment.first_chunk()?;
        let [p0, p1, q0, q1, _, _, _, _, a0, a1, a2, a3, _, flags, ..] = *header;
        let (theirs, ours) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([q0, q1]));
        let acknowledged = u32::from_be_bytes([a0, a1, a2, a3]);
        let expected = self.sequence(us, them, theirs).wrapping_add(1);
        if ours != self.port || flags & ACK == 0 || acknowledged != expected {
            return None;
        }
        match (flags & SYN != 0, flags & RST != 0) {
            (true, false) => Some(Answer { port: theirs, open: true }),
            (_, true) => Some(Answer { port: theirs, open: false }),
            (false, false) => None,
        }
    }
}

/// Over the segment and the addresses (RFC 9293 3.1, RFC 8200 8.1).
fn checksum(us: IpAddr, them: IpAddr, segment: &[u8]) -> u16 {
    let mut sum = u32::from(PROTOCOL) + segment.len() as u32;
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks(2) {
            let word = [pair.first().copied().unwrap_or_default(), pair.get(1).copied().unwrap_or_default()];
            sum += u32::from(u16::from_be_bytes(word));
        }
    };
    for ip in [us, them] {
        match ip {
            IpAddr::V4(ip) => add(&ip.octets()),
            IpAddr::V6(ip) => add(&ip.octets()),
        }
    }
    add(segment);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Mixes the bits of a number (the finalizer of SplitMix64), for numbers that only look random.
pub fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn pair(six: bool) -> (IpAddr, SocketAddr) {
        let text = if six { ("2001:db8::1", "[2001:db8::2]:443") } else { ("192.0.2.1", "192.0.2.2:443") };
        (text.0.parse().unwrap(), text.1.parse().unwrap())
    }

    /// What the other side would send back, with these flags.
    fn reply(syn: &[u8], flags: u8, six: bool) -> Vec<u8> {
        let mut r = syn.to_vec();
        r.swap(0, 2);
        r.swap(1, 3);
        let sequence = u32::from_be_bytes([syn[4], syn[5], syn[6], syn[7]]);
        r[8..12].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes());
        r[13] = flags;
        if six { r } else { [&[0x45; 20][..], &r].concat() }
    }

    #[test]
    fn a_syn_is_whole() {
        for six in [false, true] {
            let (us, to) = pair(six);
            let half = Prober::new(7);
            let syn = half.syn(us, to);
            assert_eq!((u16::from_be_bytes([syn[0], syn[1]]), &syn[2..4], syn[13]), (half.port, &[1, 187][..], SYN));
            assert_eq!(checksum(us, to.ip(), &syn), 0, "a sum over its own is nothing");
            assert_eq!(half.syn(us, to), syn, "the same again");
            assert_ne!(Prober::new(8).syn(us, to)[4..8], syn[4..8]);
        }
        // Worked out by hand: RFC 1071 over addresses 1.2.3.4 and 5.6.7.8 and an empty segment.
        let (a, b) = ([1, 2, 3, 4].into(), [5, 6, 7, 8].into());
        assert_eq!(checksum(a, b, &[]), !(0x0102 + 0x0304 + 0x0506 + 0x0708 + 6));
    }

    #[test]
    fn answers_are_known_and_nothing_else() {
        for six in [false, true] {
            let (us, to) = pair(six);
            let half = Prober::new(7);
            let syn = half.syn(us, to);
            for (flags, want) in [
                (SYN | ACK, Some(true)),
                (RST | ACK, Some(false)),
                (RST | ACK | SYN, Some(false)),
                (RST, None),
                (ACK, None),
                (SYN, None),
                (0, None),
            ] {
                let answer = half.answer(us, to.ip(), &reply(&syn, flags, six));
                assert_eq!(answer, want.map(|open| Answer { port: 443, open }), "{flags:x}");
            }
            let good = reply(&syn, SYN | ACK, six);
            assert_eq!(Prober::new(8).answer(us, to.ip(), &good), None, "of another scan");
            let elsewhere = if six { "2001:db8::3" } else { "192.0.2.3" };
            assert_eq!(half.answer(us, elsewhere.parse().unwrap(), &good), None, "of another host");
            let tcp = if six { 0 } else { 20 };
            for i in (tcp..tcp + 4).chain(tcp + 8..tcp + 12) {
                let mut bad = good.clone();
                bad[i] ^= 1;
                assert_eq!(half.answer(us, to.ip(), &bad), None, "byte {i} differs");
            }
            for cut in 0..tcp + 20 {
                assert_eq!(half.answer(us, to.ip(), &good[..cut]), None, "cut at {cut}");
            }
        }
    }

    #[test]
    fn any_bytes_are_looked_at_without_a_panic() {
        let (us, to) = pair(false);
        for n in 0..if cfg!(miri) { 200 } else { 20_000u64 } {
            let bytes: Vec<u8> = (0..mix(n) % 64).map(|i| mix(n ^ i << 32) as u8).collect();
            assert_eq!(Prober::new(7).answer(us, to.ip(), &bytes), None);
        }
    }
}
