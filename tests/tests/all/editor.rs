//! The line editor against a screen: what is drawn, in which order, under every cut and width.
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
