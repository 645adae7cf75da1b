//! The front by itself: its answers, who is turned away, and how it stops.
use super::scripted::{Client, Leave, Script, get, last, statuses};
use super::*;
use crate::outcome::Code;
use core::convert::Infallible;
use drivers::sim::{NodeConfig, NodeId, Sim};
use proto_core::{App, Signal};

/// Answers `/` at once, and never anything else.
struct Plain(Front);

struct Home;

impl Desk<Infallible> for Home {
    fn request(&mut self, t: Token, request: &Request<'_>, front: &mut Front, cx: &mut ServerCx<'_, Infallible>) {
        if request.target() == "/" {
            front.respond(t, &Response::new(200), b"home", cx);
        }
    }
    fn gone(&mut self, _: Token, _: &mut Front, _: &mut ServerCx<'_, Infallible>) {}
}

impl App for Plain {
    type Job = Infallible;
    type Msg = Note;
    fn handle(&mut self, input: Input<'_, Note>, cx: &mut ServerCx<'_, Infallible>) {
        if let Input::Start(start) = input {
            return self.0.start(start, "plain", cx);
        }
        self.0.handle(input, &mut Home, cx);
        self.0.settle(&mut Home, cx);
    }
    fn deadline(&self) -> Option<Deadline> {
        self.0.deadline()
    }
    fn work(job: Infallible) -> Note {
        match job {}
    }
}

fn server(args: &[&str]) -> (Sim, NodeId) {
    use clap::Parser;
    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        args: crate::cli::ServerArgs,
    }
    let args = Args::parse_from([&["server", "80"], args].concat());
    let mut sim = Sim::new(1, "".parse().unwrap());
    let app = Plain(Front::new(Settings::new(&args.args, None), Config::SERVER));
    let server = sim.add("server", app, NodeConfig::server(80)).unwrap();
    (sim, server)
}

fn client(sim: &mut Sim, send: &str, leave: Leave) -> super::scripted::Heard {
    let to = sim.addr(NodeId(0), 80);
    let (app, heard) = Client::new(Script { to, send: send.into(), leave });
    sim.add("client", app, NodeConfig::default()).unwrap();
    heard
}

fn text(heard: &super::scripted::Heard) -> String {
    String::from_utf8_lossy(&heard.lock().unwrap()).into_owned()
}

#[test]
fn an_answer_has_a_date() {
    let (mut sim, _) = server(&[]);
    let heard = client(&mut sim, &last("/"), Leave::Never);
    sim.run(Duration::from_secs(5));
    let want =
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nhome";
    assert_eq!(text(&heard), want);
}

#[test]
fn one_client_too_many_is_told() {
    let (mut sim, _) = server(&["--max-conns", "1"]);
    let first = client(&mut sim, &get("/"), Leave::Fin(Duration::from_secs(2)));
    sim.run(Duration::from_secs(1));
    let second = client(&mut sim, &get("/"), Leave::Never);
    sim.run(Duration::from_secs(9));
    assert_eq!((statuses(&text(&first)), statuses(&text(&second))), (vec!["200"], vec!["503"]));
    let head = text(&second);
    let body = head.split("\r\n\r\n").nth(1).unwrap();
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
}

#[test]
fn a_stop_waits_for_answers_and_for_nothing_else() {
    let (mut sim, server) = server(&["--drain", "10s"]);
    let idle = client(&mut sim, &get("/"), Leave::Never);
    sim.run(Duration::from_secs(1));
    sim.signal(server, Duration::ZERO, Signal::Terminate);
    sim.run(Duration::from_secs(1));
    assert_eq!(sim.exit(server), Some(Code::Ok as u8), "an idle connection does not hold it up");
    assert_eq!(statuses(&text(&idle)), ["200"]);

    let (mut sim, server) = self::server(&["--drain", "10s"]);
    client(&mut sim, &get("/never"), Leave::Never);
    sim.run(Duration::from_secs(1));
    sim.signal(server, Duration::ZERO, Signal::Terminate);
    sim.run(Duration::from_secs(9));
    assert_eq!(sim.exit(server), None, "a request that waits does");
    sim.run(Duration::from_secs(2));
    assert_eq!(sim.exit(server), Some(Code::Ok as u8), "for so long");
}
