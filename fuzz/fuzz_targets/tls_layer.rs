//! Bytes of a peer into a server's and a client's layer, cut anyhow: nothing panics or loops, a fault stays the same, and a
//! stranger's bytes never become plain ones.
#![no_main]
use libfuzzer_sys::fuzz_target;
use proto_core::tls::{ClientAuth, ClientSetup, Common, Identity, Peers, Roots, ServerSetup};
use proto_core::{Fault, Instant, Layer, Tx};
use std::sync::OnceLock;

const CERT: &[u8] = include_bytes!("tls_layer/server.crt");
const KEY: &[u8] = include_bytes!("tls_layer/server.key");

fn setups() -> &'static (ServerSetup, ClientSetup) {
    static SETUPS: OnceLock<(ServerSetup, ClientSetup)> = OnceLock::new();
    SETUPS.get_or_init(|| {
        let identity = Identity::new(CERT, KEY).expect("they fit");
        let common = Common { identity: Some(identity), alpn: vec![b"http/1.1".to_vec()], ..Common::default() };
        let server = ServerSetup::new(common.clone(), ClientAuth::No).expect("a setup");
        let roots = Some(Roots::pem(CERT).expect("a root"));
        (server, ClientSetup::new(common, Peers { roots, ..Peers::default() }).expect("a setup"))
    })
}

fn run(mut layer: Box<dyn Layer>, cut: usize, data: &[u8]) {
    let (now, mut wire, mut plain) = (Instant::from_nanos(1), Tx::with_limit(1 << 20), Vec::new());
    layer.start(now, &mut wire);
    let mut fault: Option<Fault> = None;
    for piece in data.chunks(cut) {
        let mut input = piece.to_vec();
        let opened = layer.open(now, &mut input, &mut plain, &mut wire);
        assert!(input.is_empty(), "the layer keeps its input itself");
        match (opened, fault) {
            (Ok(info), None) => assert!(info.is_none(), "nobody becomes ready by chance"),
            (Ok(_), Some(_)) => panic!("a fault is for good"),
            (Err(f), before) => {
                assert!(before.is_none_or(|b| b == f) && layer.grounds().is_some_and(|g| !g.defects.is_empty()));
                fault = Some(f);
            }
        }
    }
    assert!(plain.is_empty() && wire.len() < 64 << 10);
    let mut out = Tx::default();
    out.put(b"secret");
    let _ = layer.seal(now, &mut out, &mut wire);
    assert_eq!(out.len(), 6, "nothing is sealed without a handshake");
    assert!(layer.end_of_input(&mut wire).is_err());
    layer.close(&mut wire);
    assert!(!wire.chunks().any(|c| c.windows(6).any(|w| w == b"secret")));
}

fuzz_target!(|data: &[u8]| {
    let [first, data @ ..] = data else { return };
    let (server, client) = setups();
    let cut = usize::from(first >> 1).max(1);
    match first & 1 {
        0 => run(server.layer().expect("a layer"), cut, data),
        _ => run(client.layer("localhost").expect("a layer"), cut, data),
    }
});
