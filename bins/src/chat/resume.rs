//! The client's side of coming back: it counts what it has heard, and after a lost connection asks for the rest.
use super::core::{LOBBY, Limits};
use super::names::is_room;
use crate::text::Secret;
use core::fmt::Write;
use core::time::Duration;
use proto_core::{Deadline, Instant};
use std::collections::BTreeMap;

/// Longest line that is looked at; longer ones are passed on as they are.
const LINE: usize = 8192;
/// First and longest time between two attempts.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What a client says when it is connected, and what it remembers of a connection for the next one.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    password: Option<Secret>,
    reconnects: bool,
    nick: Option<String>,
    /// The room that lines go to.
    room: String,
    /// The last number heard of each room.
    rooms: BTreeMap<String, u64>,
    /// The beginning of a line.
    held: Vec<u8>,
    /// The rest of the line is passed on as it is.
    long: bool,
    /// Connected at least once.
    known: bool,
    /// Again connected, and the first number has not come yet: lines of rooms will come again.
    catching_up: bool,
    tries: u32,
    next: Option<Deadline>,
}

impl Resume {
    /// `reconnects`: a lost connection is made again.
    pub fn new(reconnects: bool, password: Option<Secret>) -> Self {
        Resume { reconnects, password, ..Resume::default() }
    }
    /// The first lines of a connection.
    pub fn hello(&mut self) -> String {
        self.known = true;
        self.catching_up = self.rooms.contains_key(LOBBY);
        self.held.clear();
        self.long = false;
        let mut text = String::new();
        let mut say = |line: core::fmt::Arguments<'_>| {
            let _ = writeln!(text, "{line}"); // a String takes everything
        };
        if let Some(Secret(password)) = &self.password {
            say(format_args!("/pass {password}"));
        }
        if !self.reconnects {
            return text;
        }
        // The lobby comes first: one is in it from the start, and lines that come before its answer come again with it.
        let number = |room: &str| self.rooms.get(room).map_or(String::new(), |n| format!(" {n}"));
        say(format_args!("/resume {LOBBY}{}", number(LOBBY)));
        for (room, number) in self.rooms.iter().filter(|(room, _)| **room != LOBBY && **room != self.room) {
            say(format_args!("/resume {room} {number}"));
        }
        // The room that was looked at comes last, and so is looked at again.
        if self.room != LOBBY && self.rooms.contains_key(&self.room) {
            say(format_args!("/resume {}{}", self.room, number(&self.room)));
        } else if self.rooms.len() > 1 {
            say(format_args!("/resume {LOBBY}"));
        }
        // The name comes after the rooms, so that nothing said to it alone is taken for something that comes again.
        if let Some(nick) = &self.nick {
            say(format_args!("/nick {nick}"));
        }
        text
    }
    /// Takes what the server sends; what is to be shown of it. A line that never ends is not shown: it comes again.
    pub fn heard(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        if !self.reconnects {
            shown.extend_from_slice(chunk);
            return shown;
        }
        for part in chunk.split_inclusive(|b| *b == b'\n') {
            let ended = part.ends_with(b"\n");
            if self.long {
                shown.extend_from_slice(part);
                self.long = !ended;
                continue;
            }
            self.held.extend_from_slice(part);
            if ended {
                let line = std::mem::take(&mut self.held);
                let from = self.line(&line);
                shown.extend_from_slice(line.get(from..).unwrap_or_default());
            } else if self.held.len() > LINE {
                self.long = true;
                shown.append(&mut self.held);
            }
        }
        shown
    }
    /// Learns from a line; where the part of it begins that is to be shown.
    fn line(&mut self, line: &[u8]) -> usize {
        let Ok(text) = core::str::from_utf8(line).map(|l| l.trim_end_matches(['\n', '\r'])) else { return 0 };
        if let Some(nick) = text.strip_prefix("* You are now known as ") {
            self.nick = Some(nick.into());
        } else if let Some(room) = text.strip_prefix("* You are in ").filter(|r| is_room(r)) {
            self.room = room.into();
        }
        let Some((number, room, from)) = tagged(text) else {
            let shown = !self.catching_up || text.starts_with('!') || text.starts_with("* missed ");
            return if shown { 0 } else { line.len() };
        };
        (self.tries, self.catching_up) = (0, false); // the server has taken us
        if number == 0 {
            self.rooms.remove(room);
        } else if self.rooms.contains_key(room) || self.rooms.len() < Limits::default().rooms_each {
            self.rooms.insert(room.into(), number);
        }
        from.unwrap_or(line.len())
    }
    /// The connection is lost, or was not made: when the next attempt is. `None` if there is to be none. `dice` spreads
    /// the clients of a server that comes back.
    pub fn lost(&mut self, now: Instant, dice: u32) -> Option<Duration> {
        if !self.reconnects || !self.known {
            return None;
        }
        let wait = WAIT.0.saturating_mul(1 << self.tries.min(5)).min(WAIT.1);
        let wait = wait.mul_f64(0.75 + f64::from(dice % 256) / 512.0);
        self.tries += 1;
        self.next = Some(Deadline::new(now, wait, "to connect again"));
        Some(wait)
    }
    /// When it wants to connect again.
    pub fn deadline(&self) -> Option<Deadline> {
        self.next
    }
    /// It is to connect now.
    pub fn due(&mut self, now: Instant) -> bool {
        self.next.take_if(|d| d.at <= now).is_some()
    }
}

/// Number, room, and where the text begins, of a line such as `@17 #lobby <Bob> hi`; no text if it is the tag alone.
fn tagged(line: &str) -> Option<(u64, &str, Option<usize>)> {
    let rest = line.strip_prefix('@')?;
    let (number, rest) = rest.split_once(' ')?;
    let (room, text) = rest.split_once(' ').map_or((rest, None), |(room, text)| (room, Some(text)));
    let number = if number.bytes().all(|b| b.is_ascii_digit()) { number.parse().ok()? } else { return None };
    is_room(room).then_some((number, room, text.map(|t| line.len() - t.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(r: &mut Resume, text: &str) -> String {
        String::from_utf8_lossy(&r.heard(text.as_bytes())).into_owned()
    }

    #[test]
    fn numbers_are_remembered_and_not_shown() {
        let mut r = Resume::new(true, None);
        assert_eq!(r.hello(), "/resume #lobby\n");
        let lines = "@7 #lobby\n* You are now known as Alice\n@8 #lobby <Bob> hi\n* You are in #b\n@3 #b\n@9 #lobby #lobby <Bob> x\n";
        let want = "* You are now known as Alice\n<Bob> hi\n* You are in #b\n#lobby <Bob> x\n";
        for cut in 0..=lines.len() {
            let mut r = Resume::new(true, None);
            r.hello();
            let (a, b) = lines.split_at(cut);
            assert_eq!(show(&mut r, a) + &show(&mut r, b), want, "{cut}");
            assert_eq!(r.hello(), "/resume #lobby 9\n/resume #b 3\n/nick Alice\n", "{cut}");
        }
    }

    #[test]
    fn a_room_that_was_left_is_forgotten() {
        let mut r = Resume::new(true, None);
        show(&mut r, "@7 #lobby\n@3 #b\n@0 #b\n* You are in #lobby\n");
        assert_eq!(r.hello(), "/resume #lobby 7\n");
    }

    #[test]
    fn lines_that_will_come_again_are_not_shown_twice() {
        let mut r = Resume::new(true, None);
        r.hello();
        assert_eq!(show(&mut r, "<Bob> a\n@7 #lobby\n@8 #lobby <Bob> b\n"), "<Bob> a\n<Bob> b\n");
        assert_eq!(r.hello(), "/resume #lobby 8\n");
        let text = "* Welcome!\n<Bob> d\n! slow down\n* missed at least 1 messages\n@10 #lobby <Bob> d\n@10 #lobby\n* Bob left\n";
        assert_eq!(show(&mut r, text), "! slow down\n* missed at least 1 messages\n<Bob> d\n* Bob left\n");
    }

    #[test]
    fn the_room_that_was_looked_at_is_looked_at_again() {
        let mut r = Resume::new(true, None);
        show(&mut r, "@7 #lobby\n* You are in #a\n@3 #a\n* You are in #b\n@4 #b\n");
        assert_eq!(r.hello(), "/resume #lobby 7\n/resume #a 3\n/resume #b 4\n");
        show(&mut r, "@7 #lobby\n* You are in #a\n");
        assert_eq!(r.hello(), "/resume #lobby 7\n/resume #b 4\n/resume #a 3\n");
        show(&mut r, "@7 #lobby\n* You are in #lobby\n");
        assert_eq!(r.hello(), "/resume #lobby 7\n/resume #a 3\n/resume #b 4\n/resume #lobby\n");
    }

    #[test]
    fn what_is_no_tag_is_text() {
        let mut r = Resume::new(true, None);
        for text in
            ["@home\n", "@ #lobby x\n", "@+1 #lobby x\n", "@1 lobby x\n", "@99999999999999999999 #a x\n", "@1\n"]
        {
            assert_eq!(show(&mut r, text), text);
        }
        assert_eq!(r.hello(), "/resume #lobby\n");
    }

    #[test]
    fn a_hostile_server_costs_little() {
        let mut r = Resume::new(true, None);
        assert_eq!(show(&mut r, &"x".repeat(LINE)), "");
        assert_eq!(show(&mut r, "yz").len(), LINE + 2);
        assert!(r.held.is_empty() && r.long);
        assert_eq!(show(&mut r, "more\n@1 #a\nb\n"), "more\nb\n");
        for i in 0..1000 {
            show(&mut r, &format!("@1 #r{i}\n"));
        }
        assert_eq!(r.rooms.len(), Limits::default().rooms_each);
    }

    #[test]
    fn it_waits_longer_and_longer_but_for_half_a_minute_at_most() {
        let now = Instant::default();
        let mut r = Resume::new(true, None);
        assert_eq!(r.lost(now, 128), None, "the first connection has not been made yet");
        r.hello();
        let waits: Vec<u64> = (0..7).filter_map(|_| r.lost(now, 128)).map(|d| d.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert!(!r.due(now) && r.deadline().is_some());
        assert!(r.due(now.after(Duration::from_secs(30))) && r.deadline().is_none());
        show(&mut r, "@1 #lobby\n");
        assert_eq!(r.lost(now, 0), Some(Duration::from_millis(750)), "a good connection begins anew");
        assert_eq!(Resume::new(false, None).lost(now, 0), None);
    }

    #[test]
    fn the_password_comes_first() {
        let mut r = Resume::new(false, Some(Secret("s3cret".into())));
        assert_eq!((r.hello().as_str(), show(&mut r, "@1 #a\n").as_str()), ("/pass s3cret\n", "@1 #a\n"));
    }
}
