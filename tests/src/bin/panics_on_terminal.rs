//! Asks for a raw terminal and panics at the first key.
use drivers::{Config, Kind};
use proto_core::{App, Cx, Input, Op};

struct Panics;

impl App for Panics {
    type Job = ();
    type Msg = ();
    fn handle(&mut self, input: Input<'_, ()>, cx: &mut Cx<'_, (), ()>) {
        match input {
            Input::Start(start) => {
                cx.op(Op::Terminal { raw: true });
                if let Some(tx) = cx.tx(start.stdout) {
                    tx.put(b"ready\n");
                }
            }
            Input::Bytes(..) => panic!("as asked"),
            _ => {}
        }
    }
    fn work(_: ()) {}
}

fn main() {
    bins::cli::catch_panics("panics_on_terminal");
    let config = Config { stdin: true, ..Config::default() };
    let code = drivers::run(Kind::Poll, |_| Panics, Vec::new(), &config).expect("it runs");
    std::process::exit(code.into());
}
