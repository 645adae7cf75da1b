//! The smallest server: sends back what it gets, on the driver named by the first argument.
//!
//! `cargo run --release -p drivers --example echo -- epoll 9000`
use core::convert::Infallible;
use drivers::{Bound, Config, Kind};
use proto_core::{App, Cx, Input};

struct Echo;

impl App for Echo {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cx<'_, Infallible, Infallible>) {
        match input {
            Input::Bytes(t, chunk) => {
                let Some(tx) = cx.tx(t) else { return };
                tx.forward(chunk);
                if tx.room() == 0 {
                    cx.read(t, false); // back-pressure: a peer that does not read is not read from
                }
            }
            Input::Writable(t) => cx.read(t, true),
            Input::Eof(t) => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Signal(_) => cx.exit(0),
            _ => {}
        }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let kind: Kind = args.next().unwrap_or("auto".into()).parse()?;
    let (listeners, _) = Bound::local(args.next().unwrap_or("9000".into()).parse()?, 0, 1024, false)?;
    std::process::exit(drivers::run(kind, |_| Echo, listeners, &Config::default())?.into())
}
