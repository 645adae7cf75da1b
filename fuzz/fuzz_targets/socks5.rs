//! Both sides of a proxy's connection, in all that it speaks, and datagrams: the same however cut, never an answer to what was
//! not asked, nobody gets by a login, and what is understood can be written again.
#![no_main]
mod bed;
use bed::socks5;
use bed::drive::{Said, Subject};
use libfuzzer_sys::fuzz_target;
use proto_core::proxy::{Event, Server};
use proto_core::socks5::{Client, ClientEvent, datagram};
use proto_core::{Instant, Machine, Rx, Step, Tx};

/// A proxy with these settings.
struct With<const N: usize>;
struct Asker;

fn yes(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| (name.to_string(), "yes".into())).collect()
}

fn settings(n: usize) -> Vec<(String, String)> {
    let locked = ("open".to_string(), "no".to_string());
    match n {
        0 => Vec::new(),
        1 => [yes(&["password"]), vec![locked]].concat(),
        2 => yes(&["v4", "http"]),
        _ => [yes(&["v4", "http", "password"]), vec![locked]].concat(),
    }
}

impl<const N: usize> Subject for With<N> {
    type Machine = Server;
    fn new(_: &[(String, String)]) -> Result<Server, String> {
        socks5::Proxy::new(&settings(N))
    }
    fn said(event: Event<'_>, tx: &mut Tx) -> Said {
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
    let (Ok(mut server), mut tx) = (With::<3>::new(&[]), Tx::default()) else { return };
    let mut input = bytes.to_vec();
    let mut rx = Rx::new(&mut input, false);
    let mut logins = 0;
    loop {
        match server.poll(Instant::default(), &mut rx, &mut tx) {
            Ok(Step::Event(Event::Login { user, password })) => {
                assert!(!user.is_empty() && !password.is_empty());
                logins += 1;
                server.judge(&mut tx, true).expect("it was asked");
            }
            Ok(Step::Event(Event::Request { .. })) => return assert_eq!(logins, 1, "nobody gets by the login"),
            // Whoever speaks HTTP is told to log in as often as it asks.
            _ => return assert!(logins <= 1 && tx.len() <= 256 + 8 * bytes.len()),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let (seed, bytes) = bed::split(data);
    match seed % 5 {
        0 => drop(bed::same_however_cut::<With<0>>(&[], seed >> 3, bytes)),
        1 => drop(bed::same_however_cut::<With<1>>(&[], seed >> 3, bytes)),
        2 => drop(bed::same_however_cut::<With<2>>(&[], seed >> 3, bytes)),
        3 => drop(bed::same_however_cut::<With<3>>(&[], seed >> 3, bytes)),
        _ => drop(bed::same_however_cut::<Asker>(&[], seed >> 3, bytes)),
    }
    all_the_way(bytes);
    if let Ok((address, payload)) = datagram::parse(bytes) {
        let mut again = Vec::new();
        datagram::wrap(&address, payload, &mut again);
        assert_eq!(again, bytes);
    }
});
