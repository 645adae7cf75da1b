use super::*;
use crate::chat::core::Limits;

const NOW: Wall = Wall { unix_ns: 0, utc_offset_s: 0 };

struct Talk(Chat);

impl Talk {
    /// A chat with `n` members, whose tokens are 0 to n-1.
    fn new(n: u32, notices: bool, limits: Limits) -> Self {
        let mut c = Chat::new(limits, notices, true);
        for i in 0..n {
            c.enter(Token::new(i, 0, 0), NOW);
        }
        c.out.clear();
        Talk(c)
    }
    fn say(&mut self, who: u32, line: &str) -> Done {
        self.0.line(Token::new(who, 0, 0), line, NOW)
    }
    /// What was to be delivered, as "index: line".
    fn heard(&mut self) -> Vec<String> {
        let line = |d: crate::chat::core::Delivery| {
            format!("{}: {}", d.to.index(), String::from_utf8_lossy(&d.line).trim_end())
        };
        self.0.out.drain(..).map(line).collect()
    }
}

#[test]
fn a_line_goes_to_all_others_and_never_back() {
    let mut t = Talk::new(3, false, Limits::default());
    assert_eq!(t.say(1, "Hello"), Done::Stay(Some("<guest2> Hello".into())));
    assert_eq!(t.heard(), ["0: <guest2> Hello", "2: <guest2> Hello"]);
    t.say(0, "//not a command");
    assert_eq!(t.heard(), ["1: <guest1> /not a command", "2: <guest1> /not a command"]);
}

#[test]
fn nicknames_are_unique_after_folding_and_free_at_once() {
    let mut t = Talk::new(2, false, Limits::default());
    t.say(0, "/nick Alice");
    t.say(1, "/nick ＡLICE");
    t.say(1, "/nick a b");
    t.say(0, "/nick alice");
    assert_eq!(
        t.heard(),
        [
            "0: * You are now known as Alice",
            "1: ! 'ＡLICE' is in use",
            "1: ! nickname must be 1-32 letters, digits, _ or -",
            "0: * You are now known as alice",
        ]
    );
    t.0.leave(Token::new(0, 0, 0), "");
    t.say(1, "/nick Alice");
    assert_eq!(t.heard(), ["1: * You are now known as Alice"]);
}

#[test]
fn rooms_have_members_topics_and_history() {
    let mut t = Talk::new(3, false, Limits { history: 2, ..Limits::default() });
    t.say(0, "/join #Rust");
    for line in ["one", "two", "three", "/topic lifetimes"] {
        t.say(0, line);
    }
    assert_eq!(t.heard(), ["0: * You are in #rust", "0: * guest1 set the topic of #rust: lifetimes"]);
    t.say(1, "/join #rust");
    assert_eq!(
        t.heard(),
        [
            "1: * You are in #rust",
            "1: * topic of #rust: lifetimes",
            "1: * history [00:00:00] <guest1> two",
            "1: * history [00:00:00] <guest1> three",
        ]
    );
    t.say(1, "/part");
    t.say(0, "alone");
    assert_eq!(t.heard(), ["1: * You are in #lobby"]);
    t.say(2, "hi"); // guest1 is in the lobby too, and looks at #rust
    assert_eq!(t.heard(), ["0: #lobby <guest3> hi", "1: <guest3> hi"]);
    t.say(2, "/join lobby");
    assert_eq!(t.heard(), ["2: ! room must be # and 1-31 letters, digits, _ or -"]);
}

#[test]
fn rooms_and_their_number_are_bounded() {
    let mut t = Talk::new(2, false, Limits { rooms: 3, rooms_each: 2, ..Limits::default() });
    for room in ["#a", "#b"] {
        t.say(0, &format!("/join {room}"));
    }
    assert_eq!(t.heard(), ["0: * You are in #a", "0: ! you are in 2 rooms already"]);
    t.say(1, "/join #b");
    t.say(0, "/part");
    t.say(0, "/join #c");
    assert_eq!(t.heard(), ["1: * You are in #b", "0: * You are in #lobby", "0: * You are in #c"]);
    let mut t = Talk::new(2, false, Limits { rooms: 2, ..Limits::default() });
    t.say(0, "/join #a");
    t.say(1, "/join #b");
    assert_eq!(t.heard(), ["0: * You are in #a", "1: ! there are 2 rooms already"]);
}

#[test]
fn people_can_be_ignored_and_whispered_to() {
    let mut t = Talk::new(3, false, Limits::default());
    t.say(0, "/ignore guest2");
    t.say(1, "noise");
    t.say(1, "/msg guest1 psst");
    t.say(2, "/msg guest1 psst");
    t.say(2, "/msg Zed hi");
    assert_eq!(
        t.heard(),
        [
            "0: * You do not hear guest2 any more",
            "2: <guest2> noise",
            "0: <guest3> (to you) psst",
            "2: ! no such nick 'Zed'",
        ]
    );
}

#[test]
fn notices_are_told_when_asked_for() {
    let mut t = Talk::new(2, true, Limits::default());
    t.say(0, "/nick Al");
    t.0.leave(Token::new(0, 0, 0), "bye");
    assert_eq!(t.heard(), ["0: * You are now known as Al", "1: * guest1 is now known as Al", "1: * Al left (bye)"]);
}

#[test]
fn terminal_escapes_do_not_reach_others() {
    let mut t = Talk::new(2, false, Limits::default());
    t.say(0, "a\x1b[2Jb\u{202e}c");
    assert_eq!(t.heard(), ["1: <guest1> a[2Jbc"]);
    t.say(0, "/x\x07");
    assert_eq!(t.heard(), ["0: ! unknown command /x (try /help)"]);
    assert_eq!(t.say(0, "/quit so long"), Done::Quit("so long".into()));
}
