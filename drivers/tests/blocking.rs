//! The driver with a thread per connection.
#![allow(clippy::unwrap_used)] // a test fails by panicking
mod common;

use common::apps::{Ctx, In, tell};
use common::{Seen, apps, start, start_with};
use drivers::{Config, Kind};
use proto_core::{Addr, Input, Op, Token};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::Sender;

scenarios!(Kind::Blocking);

#[test]
fn says_what_it_is() {
    let _alone = common::alone();
    let run = start(Kind::Blocking, apps::Echo);
    let Seen::Started { capacity, driver } = run.next() else { panic!("the app starts first") };
    assert_eq!(driver, "blocking");
    assert!((1..=drivers::listen::descriptor_capacity()).contains(&capacity));
    run.end();
}

/// Two clients have sent this much each before anybody is listened to.
const BACKLOG: usize = 150;

/// Who gets a turn: `go` lets both in at once, and at the end it is told how often the turn has changed.
struct Turns {
    tell: Sender<Seen>,
    sockets: Vec<Token>,
    turns: Vec<Token>,
}

impl Turns {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(_) => {
                for _ in 0..2 {
                    let (socket, at) = (cx.token(5), SocketAddr::from(([127, 0, 0, 1], 0)));
                    cx.op(Op::Udp { socket, bind: Some(Addr::Ip(at)), to: None });
                    cx.read(socket, false);
                    self.sockets.push(socket);
                }
            }
            Input::Bound { local: Addr::Ip(at), .. } => tell(&self.tell, Seen::Bound(at)),
            Input::Bytes(..) => self.sockets.iter().for_each(|s| cx.read(*s, true)),
            Input::Datagram { socket, data, .. } => {
                // Some work: the other thread goes to sleep over it.
                let sum = (0..20_000).fold(u64::from(data[0]), |a, b| std::hint::black_box(a ^ b));
                assert!(sum < 1 << 20);
                self.turns.push(socket);
                if self.turns.len() == 2 * BACKLOG {
                    let (changes, both) = changes(&self.turns);
                    tell(&self.tell, Seen::Said(format!("{changes} {both}")));
                }
            }
            _ => {}
        }
    }
}
plain_app!(Turns);

/// How often the turn changed while both were there, and out of how many turns.
fn changes(turns: &[Token]) -> (usize, usize) {
    let all = [turns[0], *turns.iter().find(|t| **t != turns[0]).unwrap()];
    let begin = all.map(|t| turns.iter().position(|u| *u == t).unwrap()).into_iter().max().unwrap();
    let end = all.map(|t| turns.iter().rposition(|u| *u == t).unwrap()).into_iter().min().unwrap();
    let both = turns.get(begin..=end).unwrap_or_default();
    (both.windows(2).filter(|w| w[0] != w[1]).count(), both.len())
}

/// The share of turns at which the turn changed.
fn share_of_changes(unfair_lock: bool) -> f64 {
    let config = Config { unfair_lock, ..Config::default() };
    let run = start_with(Kind::Blocking, config, |tell| Turns { tell, sockets: Vec::new(), turns: Vec::new() });
    let us = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..2 {
        let Seen::Bound(at) = run.next() else { panic!("a socket") };
        (0..BACKLOG).for_each(|_| assert_eq!(us.send_to(b"x", at).unwrap(), 1));
    }
    run.connect().write_all(b"go").unwrap();
    let Seen::Said(said) = run.next() else { panic!("the end") };
    run.end();
    eprintln!("unfair: {unfair_lock}, changes of turn and turns: {said}");
    let (changes, both) = said.split_once(' ').unwrap();
    match (changes.parse::<f64>().unwrap(), both.parse::<f64>().unwrap()) {
        (_, ..20.0) => share_of_changes(unfair_lock), // the other thread came late; again
        (changes, both) => changes / both,
    }
}

/// Whoever has much to say and works long on it does not keep the lock from others: they take turns. With a lock that
/// does not care, one has the turn again and again.
///
/// On a machine that is busy with other things, a thread may be late for its turn although nobody keeps the lock from
/// it. So the fair lock may try often; the other one does not come near in ten tries.
#[test]
fn a_client_that_floods_takes_turns_with_others() {
    let _alone = common::alone();
    assert!((0..200).any(|_| share_of_changes(false) > 0.7));
    let most = (0..10).map(|_| share_of_changes(true)).fold(0.0, f64::max);
    assert!(most < 0.5, "the control: {most}");
}
