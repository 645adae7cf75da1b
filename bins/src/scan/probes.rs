//! What is sent to UDP ports: a question that the service of the port answers, nothing to others.

/// The payload for a port.
pub fn payload(port: u16) -> &'static [u8] {
    match port {
        53 => DNS,
        123 => NTP,
        161 => SNMP,
        1900 => SSDP,
        5353 => MDNS,
        _ => &[],
    }
}

/// A query for the version of the server: class CH, type TXT (RFC 4892).
const DNS: &[u8] = b"\x64\x77\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03";
/// Which services there are (RFC 6763 section 9), to be answered to us alone (RFC 6762 5.4).
const MDNS: &[u8] =
    b"\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09_services\x07_dns-sd\x04_udp\x05local\x00\x00\x0c\x80\x01";
/// A client's request of version 4 (RFC 5905 7.3).
const NTP: &[u8] = &{
    let mut packet = [0; 48];
    packet[0] = 0b00_100_011;
    packet
};
/// SNMPv1: get sysDescr.0 of community "public" (RFC 1157).
const SNMP: &[u8] =
    b"\x30\x26\x02\x01\x00\x04\x06public\xa0\x19\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x0e\x30\x0c\x06\x08\
                      \x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00";
/// UPnP 1.0: who is there.
const SSDP: &[u8] =
    b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use proto_core::dns::Message;

    #[test]
    fn questions_are_well_formed() {
        for port in [53, 5353] {
            let message = Message::parse(payload(port)).unwrap();
            assert_eq!(message.check().unwrap(), payload(port).len());
        }
        assert_eq!((payload(123).len(), payload(7).len()), (48, 0));
        // BER: every length covers exactly what follows.
        let snmp = payload(161);
        assert_eq!(usize::from(snmp[1]), snmp.len() - 2);
        let pdu = snmp.iter().position(|b| *b == 0xa0).unwrap();
        assert_eq!(usize::from(snmp[pdu + 1]), snmp.len() - pdu - 2);
    }
}
