//! The line editor against a screen: what is drawn, in which order, under every cut and width.
use bins::dialer::{Family, Target};
use bins::echo::load::LoadEcho;
use bins::line_client::{LineClient, Options, Prompt};
use bins::service::Settings;
use drivers::Config;
use drivers::sim::{NodeConfig, NodeId, Sim};
use proto_core::echo::Mode;
use proto_core::{Signal, Tty};
use std::time::Duration;
use tests::desk::{Desk, play};
use tests::keys::steps;
use tests::screen::Screen;

#[test]
fn the_screen_is_right_after_every_step_however_keys_are_cut() {
    for seed in 0..400 {
        let data = steps(seed);
        let whole = play(&data, false).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let bytewise = play(&data, true).unwrap_or_else(|e| panic!("seed {seed}, byte by byte: {e}"));
        assert_eq!(whole.escape_ascii().to_string(), bytewise.escape_ascii().to_string(), "seed {seed}");
    }
}

#[test]
fn the_screen_itself_can_tell() {
    let mut screen = Screen::new(10, 3);
    screen.feed("0123456789ab\r\n世界\r\x1b[2Cx\r\ny\x1b[A\x1b[2C!".as_bytes());
    assert_eq!(screen.text(), ["0123456789", "ab", "世x!", "y"]);
    screen.feed(b"\x1b[2J\x1b[6n\x1bc\x05");
    assert_eq!(screen.text(), ["0123456789"], "what has scrolled off the top is not erased");
    assert_eq!(screen.strange.len(), 3, "{:?}", screen.strange);
}

/// The same text written past the editor destroys the screen: the defence is needed.
#[test]
fn printed_text_cannot_reach_the_terminal_raw() {
    let evil = "\x1b[2Jgone\x1b]0;title\x07\n";
    let mut desk = Desk::new(40, "> ");
    desk.keys(b"typing").expect("a good screen");
    desk.print("kept\n").expect("a good screen");
    desk.print(evil).expect("a good screen");
    assert_eq!(desk.screen.text(), ["kept", "\u{fffd}[2Jgone\u{fffd}]0;title\u{fffd}", "> typing"]);
    let mut screen = desk.screen.clone();
    screen.feed(evil.as_bytes());
    assert!(!screen.strange.is_empty() && !screen.text().contains(&"kept".to_string()), "{:?}", screen.text());
}

#[test]
fn lines_are_what_was_typed() {
    let mut desk = Desk::new(40, "> ");
    for (keys, line) in [
        ("Helo\x1b[Dl\r", "Hello"),
        ("\x1b[A!\r", "Hello!"),
        ("one two\x17\x19\x19\r", "one twotwo"),
        ("draft\x1b[A\x1b[A\x1b[B\x1b[B\r", "draft"),
        ("\x12Hel\x12\r", "Hello"),
        ("\x12Hel\x07nothing found\x01\x0b\x19\r", "nothing found"),
        ("gr\t\r", "größe "),
        ("al\tc\t!\r", "alice !"),
        ("\x1b[200~a\r\nb\x1b[201~c\r", "a\nbc"),
        ("世界\x1b[D\x7f\r", "界"),
        ("ab\x14\r", "ba"),
    ] {
        desk.keys(keys.as_bytes()).unwrap_or_else(|e| panic!("{keys:?}: {e}"));
        assert_eq!(desk.lines.last().map(String::as_str), Some(line), "{keys:?}");
    }
}

/// A line ends at its limit, whether it is typed or pasted, and the user hears of it.
#[test]
fn a_line_is_bounded() {
    for keys in ["x".repeat(1000), format!("\x1b[200~{}\x1b[201~", "x".repeat(1000)), "x\x15\x19\x19".repeat(300)] {
        let mut desk = Desk::new(40, "> ");
        desk.keys(keys.as_bytes()).expect("a good screen");
        desk.keys(b"\r").expect("a good screen");
        assert!(desk.lines.iter().all(|l| l.len() <= 200), "{:?}", desk.lines);
        assert!(desk.screen.bells > 0 || desk.lines[0].len() < 200);
    }
}

fn client(sim: &mut Sim, options: Options, keys: Vec<(Duration, Vec<u8>)>, out_buffer: usize) -> NodeId {
    let target = Target {
        host: "server".into(),
        port: Some(9000),
        family: Family::Any,
        timeout: Duration::from_secs(10),
        via: None,
    };
    let tty = Tty { stdin: true, stdout: true, columns: 60, rows: 24 };
    let config = Config { out_buffer, ..Config::default() };
    let node = NodeConfig { stdin: Some(keys), tty, config, ..NodeConfig::default() };
    sim.add("client", LineClient::new(target, options), node).expect("a client")
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_terminal_in_a_simulation() {
    let mut sim = Sim::new(1, "delay=5ms±4ms,split=3".parse().expect("a plan"));
    sim.add("server", LoadEcho::new(Settings::default(), Mode::Off), NodeConfig::server(9000)).expect("a server");
    let options = Options { prompt: Prompt::Terminal, prefix: "Server: ", ..Options::plain("echo_client") };
    // An arrow key that is cut in the middle, and a change of width while a line is open.
    let keys = [(100, "Hell!\x1b"), (200, "[Do\r"), (400, "second"), (600, " line\r"), (800, "rest\x03")];
    let keys = keys.map(|(at, keys)| (ms(at), keys.as_bytes().to_vec())).to_vec();
    let c = client(&mut sim, options, keys, 64 << 10);
    sim.signal(c, ms(500), Signal::Resize { columns: 12, rows: 24 });
    sim.signal(c, ms(550), Signal::Resize { columns: 60, rows: 24 });
    sim.signal(c, ms(560), Signal::Continue);
    sim.run(Duration::from_secs(5));
    assert_eq!(sim.exit(c), Some(130));
    let mut screen = Screen::new(60, 24);
    screen.feed(sim.stdout(c));
    assert_eq!(screen.strange, Vec::<String>::new());
    assert_eq!(
        screen.text(),
        ["> Hello!", "Server: Hello!", "> second line", "Server: second line", "> rest^C", "Disconnected."]
    );
}

/// Keys come faster than the server or the screen take what follows from them: none is lost, and little is kept.
#[test]
fn keys_wait_for_room() {
    const LINES: usize = 300;
    let mut sim = Sim::new(2, "delay=5ms,bw=20000,short=20%".parse().expect("a plan"));
    sim.add("server", LoadEcho::new(Settings::default(), Mode::Off), NodeConfig::server(9000)).expect("a server");
    let text: String = (0..LINES).map(|i| format!("line {i} {}\r", "x".repeat(70))).collect();
    let c = client(&mut sim, Options::plain("echo_client"), vec![(ms(100), text.into())], 1024);
    sim.run_until(Duration::from_secs(60), |s| s.stdout(c).ends_with(b"line 299\r\n"));
    let mut screen = Screen::new(60, 24);
    screen.feed(sim.stdout(c));
    let shown = screen.text().join("\n");
    let heard = (0..LINES).filter(|i| shown.matches(&format!("line {i} x")).count() == 2).count();
    assert_eq!(heard, LINES, "each line is seen as it was typed, and as it came back");
    assert!(sim.peak_queued(c) < 2048, "{} bytes were queued", sim.peak_queued(c));
}
