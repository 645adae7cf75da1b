//! Names of well-known ports (IANA's, and what is common where that says little).
use super::table::{TCP, UDP};

/// What usually listens on a TCP port; `unknown` if nobody is known for it.
pub fn tcp(port: u16) -> &'static str {
    find(TCP, port)
}

/// The same for UDP.
pub fn udp(port: u16) -> &'static str {
    match find(UDP, port) {
        "unknown" => find(TCP, port),
        name => name,
    }
}

fn find(table: &[(u16, &'static str)], port: u16) -> &'static str {
    let at = table.binary_search_by_key(&port, |(p, _)| *p).ok();
    at.and_then(|i| table.get(i)).map_or("unknown", |(_, name)| name)
}

/// The most common ports of servers, the most common first; then every other port that has a name.
pub fn top(n: usize) -> Option<Vec<u16>> {
    let others = TCP.iter().map(|(p, _)| *p).filter(|p| !TOP.contains(p));
    let all: Vec<u16> = TOP.iter().copied().chain(others).collect();
    all.get(..n).map(<[u16]>::to_vec)
}

/// How many [`top`] knows.
pub fn most() -> usize {
    TCP.len()
}

/// Web, remote login, mail, names, files, Windows, databases, then what is seen less.
const TOP: &[u16] = &[
    80, 443, 22, 21, 23, 25, 3389, 110, 445, 139, 143, 53, 135, 3306, 8080, 995, 993, 1723, 111, 5900, 587, 465, 8443,
    5432, 6379, 8000, 8888, 1433, 1521, 27017, 9200, 11211, 2049, 389, 636, 88, 113, 199, 1025, 554, 179, 5060, 5061,
    631, 873, 515, 514, 513, 512, 548, 2121, 2222, 3128, 1080, 8081, 8008, 8009, 8010, 9000, 9090, 9100, 10000, 5000,
    5001, 5222, 5269, 5357, 5672, 5984, 5985, 5986, 6000, 6443, 6667, 7070, 8086, 8088, 8200, 8333, 8500, 8834, 9042,
    9092, 9418, 15672, 1883, 2375, 2376, 2379, 2380, 3000, 3268, 3269, 4369, 4444, 8883, 10250, 27018, 50000, 61616,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn tables_are_sorted_and_names_are_plain() {
        for table in [TCP, UDP] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
            assert!(table.iter().all(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_graphic())));
        }
        for (port, name) in [(22, "ssh"), (80, "http"), (135, "msrpc"), (443, "https"), (3306, "mysql"), (2, "unknown")]
        {
            assert_eq!(tcp(port), name);
        }
        assert_eq!((udp(53), udp(67), udp(80)), ("domain", "dhcps", "http"));
    }

    #[test]
    fn the_most_common_ports_are_named_and_none_comes_twice() {
        let all = top(most()).unwrap();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), most());
        assert_eq!(all.first(), Some(&80));
        let unnamed: Vec<&u16> = TOP.iter().filter(|p| tcp(**p) == "unknown").collect();
        assert!(unnamed.is_empty(), "{unnamed:?}");
        assert_eq!((top(0), top(3), top(most() + 1)), (Some(vec![]), Some(vec![80, 443, 22]), None));
    }
}
