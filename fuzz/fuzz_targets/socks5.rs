//! SOCKS 5, both sides and datagrams: the same however cut, never an answer to what was not asked, and what is understood can be
//! written again.
#![no_main]
mod bed;
use bed::socks5;
use bed::drive::{Said, Subject};
use libfuzzer_sys::fuzz_target;
use proto_core::socks5::{Client, ClientEvent, Server, ServerEvent, datagram};
use proto_core::{Instant, Machine, Rx, Step, Tx};

struct OpenProxy;
struct LockedProxy;
struct Asker;

impl Subject for OpenProxy {
    type Machine = Server;
    fn new(_: &[(String, String)]) -> Result<Server, String> {
        socks5::Proxy::new(&[])
    }
    fn said(event: ServerEvent<'_>, tx: &mut Tx) -> Said {
        socks5::Proxy::said(event, tx)
    }
    fn waits(machine: &Server) -> bool {
        socks5::Proxy::waits(machine)
    }
}

impl Subject for LockedProxy {
    type Machine = Server;
    fn new(_: &[(String, String)]) -> Result<Server, String> {
        socks5::Proxy::new(&[("open".into(), "no".into()), ("password".into(), "yes".into())])
    }
    fn said(event: ServerEvent<'_>, tx: &mut Tx) -> Said {
        socks5::Proxy::said(event, tx)
    }
    fn waits(machine: &Server) -> bool {
        socks5::Proxy::waits(machine)
    }
}

impl Subject for Asker {
    type Machine = Client;
    fn new(_: &[(String, String)]) -> Result<Client, String> {
        socks5::Asker::new(&[("login".into(), "u:p".into())])
    }
    fn said(event: ClientEvent<'_>, tx: &mut Tx) -> Said {
        socks5::Asker::said(event, tx)
    }
    fn waits(machine: &Client) -> bool {
        socks5::Asker::waits(machine)
    }
}

/// A client that logs in whatever it says: what follows is read too.
fn all_the_way(bytes: &[u8]) {
    let (Ok(mut server), mut tx) = (LockedProxy::new(&[]), Tx::default()) else { return };
    let mut input = bytes.to_vec();
    let mut rx = Rx::new(&mut input, false);
    let mut logins = 0;
    loop {
        match server.poll(Instant::default(), &mut rx, &mut tx) {
            Ok(Step::Event(ServerEvent::Login { user, password })) => {
                assert!(!user.is_empty() && !password.is_empty());
                logins += 1;
                server.judge(&mut tx, true).expect("it was asked");
            }
            Ok(Step::Event(ServerEvent::Request { .. })) => return assert_eq!(logins, 1, "nobody gets by the login"),
            _ => return assert!(logins <= 1 && tx.len() <= 2 + 2 + 10),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let (seed, bytes) = bed::split(data);
    match seed % 4 {
        0 => drop(bed::same_however_cut::<OpenProxy>(&[], seed >> 2, bytes)),
        1 => drop(bed::same_however_cut::<LockedProxy>(&[], seed >> 2, bytes)),
        2 => drop(bed::same_however_cut::<Asker>(&[], seed >> 2, bytes)),
        _ => {}
    }
    all_the_way(bytes);
    if let Ok((address, payload)) = datagram::parse(bytes) {
        let mut again = Vec::new();
        datagram::wrap(&address, payload, &mut again);
        assert_eq!(again, bytes);
    }
});
