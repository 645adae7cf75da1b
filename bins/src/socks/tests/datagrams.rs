//! UDP ASSOCIATE in simulations with faults: a client that asks a name server through it.
use super::played::Stage;
use crate::socks::proxy::Options;
use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;
use drivers::sim::{NodeConfig, check_seeds};
use proto_core::dns::{Class, Flags, Message, Type, Writer};
use proto_core::socks5::datagram;
use proto_core::socks5::{Address, Host};
use proto_core::{Addr, App, Cx, Deadline, Input, Instant, Op, Signal, Token};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Questions that are asked.
const QUESTIONS: u16 = 20;

/// Asks for a relay, sends [`QUESTIONS`] through it, waits, and goes.
struct Asker {
    proxy: Addr,
    conn: Option<Token>,
    heard: Vec<u8>,
    relay: Option<SocketAddr>,
    answered: Arc<Mutex<BTreeSet<u16>>>,
    end: Option<Instant>,
}

type AskerCx<'a> = Cx<'a, Infallible, Infallible>;

impl Asker {
    fn ask(&self, socket: Token, cx: &mut AskerCx<'_>) {
        for id in 0..QUESTIONS {
            let mut w = Writer::new(id, Flags(1 << 8));
            w.question(&"target.example".parse().unwrap(), Type::A, Class::IN.0).unwrap();
            let host = if id % 2 == 0 { Host::Ip("10.0.0.3".parse().unwrap()) } else { Host::Name("ns") };
            let mut data = Vec::new();
            datagram::wrap(&Address { host, port: 53 }, &w.finish(), &mut data);
            cx.op(Op::SendTo { socket, to: self.relay.map(Addr::Ip), data });
        }
    }
}

impl App for Asker {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut AskerCx<'_>) {
        match input {
            Input::Start(_) => {
                self.end = Some(cx.now.after(Duration::from_secs(30)));
                self.conn = Some(cx.connect(0, self.proxy.clone()));
            }
            Input::Connected { conn, .. } => {
                if let Some(tx) = cx.tx(conn) {
                    tx.put(b"\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0");
                }
            }
            Input::Bytes(_, chunk) => {
                self.heard.extend_from_slice(&chunk);
                if let [5, 0, 5, 0, 0, 1, a, b, c, d, hi, lo] = self.heard[..] {
                    self.relay = Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([hi, lo]))));
                    let socket = cx.token(1);
                    cx.op(Op::Udp { socket, bind: None, to: None });
                }
            }
            Input::Bound { socket, .. } => self.ask(socket, cx),
            Input::Datagram { data, .. } => {
                let (address, payload) = datagram::parse(data).unwrap();
                assert_eq!(address.to_string(), "10.0.0.3:53");
                self.answered.lock().unwrap().insert(Message::parse(payload).unwrap().header().id);
            }
            Input::Closed(t, _) if Some(t) == self.conn => cx.exit(0),
            Input::Deadline => {
                self.end = None;
                self.conn.into_iter().for_each(|t| cx.close(t, Duration::from_secs(1)));
            }
            _ => {}
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        self.end.map(|at| Deadline { at, since: at, why: "the end" })
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

#[test]
fn associations_with_faults_are_clean() {
    check_seeds("associations_with_faults_are_clean", 0..1000, |seed| {
        let plan =
            ["delay=5ms±4ms,split=3", "delay=20ms±19ms,loss=5%", "reset=2%,loss=2%,short=10%"][seed as usize % 3];
        let mut s = Stage::new(seed, plan, Options { associations: 1, ..Options::default() });
        let proxy = s.sim.addr(s.proxy, 1080);
        let answered = Arc::new(Mutex::new(BTreeSet::new()));
        let told = answered.clone();
        let app = Asker { proxy, conn: None, heard: Vec::new(), relay: None, answered, end: None };
        let asker = s.sim.add("asker", app, NodeConfig::default()).unwrap();
        s.sim.run_until(Duration::from_secs(100), |sim| sim.exit(asker).is_some());
        let n = told.lock().unwrap().len();
        // Of eight that wait for the socket, and the eight for the name; the others find no room, as datagrams may.
        if seed % 3 == 0 && n < 16 {
            return Err(format!("{n} answers\n{}", s.log()));
        }
        s.sim.signal(s.proxy, Duration::from_secs(1), Signal::Interrupt);
        s.sim.run(Duration::from_secs(100));
        if s.sim.exit(s.proxy) != Some(0) {
            return Err(format!("the proxy did not stop\n{}", s.log()));
        }
        s.quiet()
    });
}
