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

/// A time, so that a room's numbers begin at 1,000,000.
const LATER: Wall = Wall { unix_ns: 1_000_000_000, utc_offset_s: 0 };

fn talk_later(n: u32, limits: Limits) -> Talk {
    let mut t = Talk(Chat::new(limits, false, true));
    (0..n).for_each(|i| t.0.enter(Token::new(i, 0, 0), LATER));
    t
}

#[test]
fn who_asks_for_numbers_gets_them_and_nobody_else() {
    let mut t = talk_later(3, Limits::default());
    t.say(0, "/resume #lobby");
    assert_eq!(t.heard(), ["0: @1000000 #lobby"]);
    t.say(1, "hi");
    assert_eq!(t.heard(), ["0: @1000001 #lobby <guest2> hi", "2: <guest2> hi"]);
    t.say(0, "/me waves");
    assert_eq!(
        t.heard(),
        ["1: * guest1 waves", "2: * guest1 waves", "0: @1000002 #lobby"],
        "its own lines have numbers too, and do not come back"
    );
    t.say(0, "/join #b");
    t.say(1, "more");
    t.say(0, "/part");
    assert_eq!(
        t.heard(),
        [
            "0: * You are in #b",
            "0: @1 #b",
            "0: @1000003 #lobby #lobby <guest2> more",
            "2: <guest2> more",
            "0: @0 #b",
            "0: * You are in #lobby",
        ]
    );
}

#[test]
fn who_comes_back_hears_what_was_missed() {
    let mut t = talk_later(2, Limits { history: 3, ..Limits::default() });
    for line in ["one", "two", "three", "four"] {
        t.say(0, line);
    }
    t.heard();
    t.say(1, "/resume #lobby 1000002");
    assert_eq!(
        t.heard(),
        ["1: @1000003 #lobby <guest1> three", "1: @1000004 #lobby <guest1> four", "1: @1000004 #lobby"]
    );
    t.say(1, "/resume #lobby 1000004");
    assert_eq!(t.heard(), ["1: @1000004 #lobby"], "nothing was missed");
    t.say(1, "/resume #lobby 1000000");
    assert_eq!(t.heard()[..2], ["1: * missed at least 1 messages", "1: @1000002 #lobby <guest1> two"]);
}

#[test]
fn a_number_from_another_life_of_the_room_is_known_as_such() {
    for number in ["999999", "1000003", "18446744073709551615", "0"] {
        let mut t = talk_later(2, Limits::default());
        t.say(0, "one");
        t.say(0, "two");
        t.heard();
        t.say(1, &format!("/resume #lobby {number}"));
        assert_eq!(
            t.heard(),
            [
                "1: * missed at least 0 messages (the room was started anew)",
                "1: @1000001 #lobby <guest1> one",
                "1: @1000002 #lobby <guest1> two",
                "1: @1000002 #lobby",
            ]
        );
    }
    let mut t = talk_later(2, Limits { history: 0, ..Limits::default() });
    t.say(0, "one");
    t.heard();
    t.say(1, "/resume #lobby 1000000");
    assert_eq!(t.heard(), ["1: * missed at least 1 messages", "1: @1000001 #lobby"], "nothing is kept");
}

#[test]
fn resuming_goes_into_the_room_within_the_limits() {
    let mut t = talk_later(2, Limits { rooms_each: 2, ..Limits::default() });
    for bad in ["", "lobby", "#lobby x", "#lobby -1", "#a 5", "#b"] {
        t.say(0, &format!("/resume {bad}"));
    }
    let wrong = "0: ! room must be # and 1-31 letters, digits, _ or -";
    let missing = "0: ! the number of a line is missing (try /help)";
    assert_eq!(
        t.heard(),
        [
            wrong,
            wrong,
            missing,
            missing,
            "0: * missed at least 0 messages (the room was started anew)",
            "0: @1 #a",
            "0: ! you are in 2 rooms already",
        ]
    );
}

#[test]
fn ignored_people_are_not_heard_and_leave_a_gap() {
    let mut t = talk_later(3, Limits::default());
    t.say(0, "/resume #lobby");
    t.say(0, "/ignore guest2");
    t.heard();
    t.say(1, "noise");
    t.say(2, "signal");
    assert_eq!(t.heard(), ["2: <guest2> noise", "0: @1000002 #lobby <guest3> signal", "1: <guest3> signal"]);
}

#[test]
fn events_tell_who_comes_speaks_and_goes() {
    use crate::chat::events::Event;
    let mut t = talk_later(1, Limits::default());
    assert!(t.0.events.is_empty(), "nobody has asked");
    t.0.watch();
    t.0.enter(Token::new(1, 0, 0), LATER);
    for line in ["/nick Al", "hello", "/join #b", "/me waves", "/part"] {
        t.say(1, line);
    }
    t.0.leave(Token::new(1, 0, 0), "bye");
    let s = String::from;
    let join = |nick, room| Event::Join { nick: s(nick), room: s(room) };
    let say = |room, text, act| Event::Say { nick: s("Al"), room: s(room), text: s(text), act };
    let leave = |room, words| Event::Leave { nick: s("Al"), room: s(room), words: s(words) };
    let want = [
        join("guest2", "#lobby"),
        Event::Nick { nick: s("guest2"), to: s("Al") },
        say("#lobby", "hello", false),
        join("Al", "#b"),
        say("#b", "waves", true),
        leave("#b", ""),
        leave("#lobby", "bye"),
    ];
    assert!(t.0.events.iter().eq(&want), "{:?}", t.0.events);
}
