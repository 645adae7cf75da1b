//! Packets on a raw socket: any bytes are looked at, and an answer is only what acknowledges a SYN of ours.
#![no_main]
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use libfuzzer_sys::fuzz_target;
use proto_core::half_open::Prober;

fuzz_target!(|data: &[u8]| {
    let Some((six, packet)) = data.split_first() else { return };
    let (us, them): (IpAddr, IpAddr) = match six & 1 {
        0 => (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 2).into()),
        _ => (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
    };
    let prober = Prober::new(7);
    if let Some(answer) = prober.answer(us, them, packet) {
        let header = if six & 1 == 0 { usize::from(packet[0] & 15) * 4 } else { 0 };
        let syn = prober.syn(us, SocketAddr::new(them, answer.port));
        let sequence = u32::from_be_bytes([syn[4], syn[5], syn[6], syn[7]]);
        assert_eq!(packet[header..header + 4], [syn[2], syn[3], syn[0], syn[1]]);
        assert_eq!(packet[header + 8..header + 12], sequence.wrapping_add(1).to_be_bytes());
    }
});
