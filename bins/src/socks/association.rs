//! UDP ASSOCIATE: one client's datagrams to many targets and back (RFC 1928 section 7).
//!
//! Two kinds of sockets: one *inside*, which only the client talks to, and one per address family *outside*, which only
//! targets that the client has sent to are heard on. So nobody is answered who was not asked, and nobody's datagrams are sent
//! on but the client's.
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use proto_core::socks5::datagram::{self, Bad};
use proto_core::{Addr, Cx, Op, Slots, Token};
use std::collections::BTreeMap;

/// The part byte of the sockets of associations, and of listeners for BIND.
pub const SOCKETS: u8 = 5;
/// Targets of one client that may answer; who was longest not sent to makes room for another.
pub const TARGETS: usize = 1024;
/// Names of one client that are looked up at once.
const NAMES: usize = 16;
/// Datagrams that wait for one name, or for a socket.
const WAITING: usize = 8;

/// Why a datagram is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// It came from somebody else than the client, or than the targets that it has sent to.
    Stranger,
    /// It has no whole header, or reserved bytes that are not 0.
    Short,
    /// It is a fragment.
    Fragment,
    /// Its address is none.
    Address,
    /// A rule forbids it.
    Denied,
    /// Its name has no address.
    Name,
    /// Too many wait already.
    Full,
    /// The user has limits.
    Limit,
}

impl Dropped {
    const ALL: [(Dropped, &'static str); 8] = [
        (Dropped::Stranger, "from strangers"),
        (Dropped::Short, "too short"),
        (Dropped::Fragment, "fragments"),
        (Dropped::Address, "without an address"),
        (Dropped::Denied, "denied by rules"),
        (Dropped::Name, "without a known name"),
        (Dropped::Full, "too many at once"),
        (Dropped::Limit, "above the user's limits"),
    ];
}

impl From<Bad> for Dropped {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Short | Bad::Reserved => Dropped::Short,
            Bad::Fragment => Dropped::Fragment,
            Bad::Address => Dropped::Address,
        }
    }
}

/// What was dropped, by its reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drops([u64; 8]);

impl Drops {
    /// One more.
    pub fn count(&mut self, why: Dropped) {
        if let Some(n) = self.0.get_mut(why as usize) {
            *n += 1;
        }
    }
    /// All together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        for ((_, text), n) in Dropped::ALL.iter().zip(self.0).filter(|(_, n)| *n > 0) {
            write!(f, "{sep}{n} {text}")?;
            sep = ", ";
        }
        Ok(())
    }
}

/// Whom the client has sent to, in bounded memory.
#[derive(Debug, Default)]
struct Targets {
    last: BTreeMap<IpAddr, u64>,
    order: BTreeMap<u64, IpAddr>,
    turn: u64,
}

impl Targets {
    fn sent(&mut self, ip: IpAddr) {
        self.turn += 1;
        if let Some(before) = self.last.insert(ip, self.turn) {
            self.order.remove(&before);
        } else if self.last.len() > TARGETS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.last.remove(&oldest);
        }
        self.order.insert(self.turn, ip);
    }
    fn has(&self, ip: IpAddr) -> bool {
        self.last.contains_key(&ip)
    }
}

/// A socket for targets of one family.
#[derive(Debug)]
struct Outside {
    socket: Token,
    /// What waits for it to be there; `None` when it is.
    waiting: Option<Vec<(SocketAddr, Vec<u8>)>>,
}

/// A name that is being looked up for datagrams.
#[derive(Debug)]
struct Question {
    name: String,
    port: u16,
    waiting: Vec<Vec<u8>>,
}

/// The client's sockets, and what is known of its targets.
#[derive(Debug)]
pub struct Association {
    ip: IpAddr,
    /// Learned from its first datagram, unless it has said so before.
    port: Option<u16>,
    inside: Token,
    outside: [Option<Outside>; 2],
    targets: Targets,
    questions: BTreeMap<u64, Question>,
    /// Payload of datagrams to targets, and to the client, in bytes.
    pub moved: [u64; 2],
    /// What was dropped.
    pub drops: Drops,
}

/// What is needed to open a socket: its client, our own address there, and whose sockets are whose.
pub struct Door<'a> {
    /// The client.
    pub client: Token,
    /// Our address on sockets to targets.
    pub bind: Option<IpAddr>,
    /// The client of each socket.
    pub clients: &'a mut Slots<Token>,
}

impl Association {
    /// For the client at `ip` (and `port`, if it has told), whose socket is `inside`.
    pub fn new(ip: IpAddr, port: Option<u16>, inside: Token) -> Self {
        let (targets, questions, drops) = (Targets::default(), BTreeMap::new(), Drops::default());
        Association { ip, port, inside, outside: [None, None], targets, questions, moved: [0; 2], drops }
    }
    /// The socket is that for the client.
    pub fn is_inside(&self, socket: Token) -> bool {
        socket == self.inside
    }
    /// A datagram came from the client's side: it is the client's, or nobody's.
    ///
    /// # Errors
    /// It is to be dropped.
    pub fn accept<'b>(
        &mut self,
        from: SocketAddr,
        data: &'b [u8],
    ) -> Result<(proto_core::socks5::Address<'b>, &'b [u8]), Dropped> {
        if from.ip().to_canonical() != self.ip || self.port.is_some_and(|p| p != from.port()) {
            return Err(Dropped::Stranger);
        }
        let parsed = datagram::parse(data)?;
        self.port = Some(from.port());
        Ok(parsed)
    }
    /// Sends to a target that was checked.
    pub fn send<J, M>(&mut self, to: SocketAddr, payload: &[u8], door: &mut Door<'_>, cx: &mut Cx<'_, J, M>) {
        self.targets.sent(to.ip().to_canonical());
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let Some(way) = self.outside.get_mut(usize::from(to.is_ipv6())) else { return };
        let way = way.get_or_insert_with(|| {
            let socket = cx.token(SOCKETS);
            let ip = door.bind.filter(|ip| ip.is_ipv4() == to.is_ipv4()).unwrap_or(any);
            cx.op(Op::Udp { socket, bind: Some(SocketAddr::new(ip, 0).into()), to: None });
            door.clients.insert(socket, door.client);
            Outside { socket, waiting: Some(Vec::new()) }
        });
        match &mut way.waiting {
            Some(waiting) if waiting.len() >= WAITING => return self.drops.count(Dropped::Full),
            Some(waiting) => waiting.push((to, payload.to_vec())),
            None => cx.send_to(way.socket, Some(to.into()), payload),
        }
        self.moved[0] += payload.len() as u64;
    }
    /// A socket is there: what waits for it goes out.
    pub fn bound<J, M>(&mut self, socket: Token, cx: &mut Cx<'_, J, M>) {
        for way in self.outside.iter_mut().flatten().filter(|w| w.socket == socket) {
            for (to, payload) in way.waiting.take().unwrap_or_default() {
                cx.op(Op::SendTo { socket, to: Some(to.into()), data: payload });
            }
        }
    }
    /// A datagram came from a target.
    pub fn heard<J, M>(&mut self, from: SocketAddr, payload: &[u8], cx: &mut Cx<'_, J, M>) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let Some(port) = self.port.filter(|_| self.targets.has(from.ip())) else {
            return self.drops.count(Dropped::Stranger);
        };
        let mut data = Vec::with_capacity(datagram::HEADER_MAX.min(32) + payload.len());
        datagram::wrap_from(from, payload, &mut data);
        self.moved[1] += payload.len() as u64;
        cx.op(Op::SendTo { socket: self.inside, to: Some(Addr::Ip(SocketAddr::new(self.ip, port))), data });
    }
    /// A datagram waits for a name that is looked up already: true if it is.
    pub fn join(&mut self, name: &str, port: u16, payload: &[u8]) -> bool {
        let Some(q) = self.questions.values_mut().find(|q| q.port == port && q.name == name) else { return false };
        if q.waiting.len() >= WAITING {
            self.drops.count(Dropped::Full);
        } else {
            q.waiting.push(payload.to_vec());
        }
        true
    }
    /// One more name may be looked up.
    pub fn may_ask(&self) -> bool {
        self.questions.len() < NAMES
    }
    /// A datagram waits for a name.
    pub fn ask(&mut self, key: u64, name: &str, port: u16, payload: &[u8]) {
        self.questions.insert(key, Question { name: name.into(), port, waiting: vec![payload.to_vec()] });
    }
    /// The name is known, or not: what waited for it.
    pub fn answered(&mut self, key: u64) -> Option<(String, u16, Vec<Vec<u8>>)> {
        self.questions.remove(&key).map(|q| (q.name, q.port, q.waiting))
    }
    /// All its sockets.
    pub fn sockets(&self) -> impl Iterator<Item = Token> {
        [self.inside].into_iter().chain(self.outside.iter().flatten().map(|w| w.socket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_bounded_and_the_oldest_goes() {
        let ip = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        let mut t = Targets::default();
        for n in 0..TARGETS as u32 {
            t.sent(ip(n));
        }
        t.sent(ip(0)); // again: it is the youngest now
        t.sent(ip(5000));
        assert!(t.has(ip(0)) && !t.has(ip(1)) && t.has(ip(2)) && t.has(ip(5000)));
        for n in 0..100_000 {
            t.sent(ip(n % 3000));
        }
        assert_eq!((t.last.len(), t.order.len()), (TARGETS, TARGETS));
    }

    #[test]
    fn drops_are_told_by_their_reasons() {
        let mut d = Drops::default();
        assert_eq!(d.to_string(), "");
        for (why, _) in Dropped::ALL {
            assert_eq!(Dropped::ALL[why as usize].0, why, "the table is in the order of the reasons");
        }
        [Dropped::Fragment, Dropped::Denied, Dropped::Fragment].into_iter().for_each(|why| d.count(why));
        assert_eq!((d.to_string().as_str(), d.total()), ("2 fragments, 1 denied by rules", 3));
    }
}
