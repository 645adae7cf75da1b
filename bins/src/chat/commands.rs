//! What a member's line does.
use super::core::{Broadcast, Chat, Delivery, LOBBY, tag};
use super::events::Event;
use super::names::{clean, folded, is_nick};
use crate::text::Clock;
use proto_core::{Token, Wall};

/// What the server is to do after a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// Nothing more; `Some` is a line for the log.
    Stay(Option<String>),
    /// The member wants to go, with these last words.
    Quit(String),
}

const HELP: &str = "\
* /nick NAME      choose a nickname
* /who            who is here, since when, in which room
* /msg NICK TEXT  say something to one person
* /me TEXT        say what you do
* /join ROOM      go to a room (#name); /part leaves it, /rooms lists them
* /topic [TEXT]   show or set the room's topic
* /resume ROOM [N]  number the room's lines, and repeat those after number N
* /ignore [NICK]  do not hear somebody (again: hear them), or list whom you do not hear
* /quit [TEXT]    leave
* //text          say /text";

impl Chat {
    /// A line of text from a member, without its end.
    pub fn line(&mut self, t: Token, line: &str, now: Wall) -> Done {
        let line = clean(line);
        let Some(command) = line.strip_prefix('/') else { return self.say(t, &line, now) };
        if command.starts_with('/') {
            return self.say(t, command, now);
        }
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = rest.trim();
        match word {
            "nick" => self.nick(t, rest),
            "who" => self.who(t),
            "help" => self.reply(t, HELP),
            "quit" => return Done::Quit(rest.into()),
            "msg" => self.whisper(t, rest),
            "me" => return self.act(t, rest, now),
            "join" => self.join(t, rest, now),
            "resume" => self.resume(t, rest, now),
            "part" => self.part(t),
            "rooms" => self.list_rooms(t),
            "topic" => self.topic(t, rest),
            "ignore" => self.ignore(t, rest),
            _ => self.reply(t, &format!("! unknown command /{word} (try /help)")),
        }
        Done::Stay(None)
    }
    fn say(&mut self, t: Token, text: &str, now: Wall) -> Done {
        self.tell_room(t, now, text, false)
    }
    fn act(&mut self, t: Token, text: &str, now: Wall) -> Done {
        self.tell_room(t, now, text, true)
    }
    fn tell_room(&mut self, t: Token, now: Wall, text: &str, act: bool) -> Done {
        let Some(m) = self.members.get(t) else { return Done::Stay(None) };
        let (room, nick, numbered) = (m.room.clone(), m.nick.clone(), m.numbered);
        let line = if act { format!("* {nick} {text}") } else { format!("<{nick}> {text}") };
        let with_end = format!("{line}\n");
        let limits = self.limits;
        let Some(r) = self.rooms.get_mut(&room) else { return Done::Stay(None) };
        let number = r.past.push(with_end.clone().into(), now, &limits);
        let about = Broadcast { from: Some(&folded(&nick)), number: Some(number) };
        self.broadcast(&room, Some(t), &with_end, about);
        if numbered {
            self.reply(t, &tag(number, &room));
        }
        self.event(|| Event::Say { nick, room: room.clone(), text: text.into(), act });
        Done::Stay(Some(if room == LOBBY { line } else { format!("{room} {line}") }))
    }
    fn nick(&mut self, t: Token, name: &str) {
        if self.certified {
            return self.reply(t, "! your name comes from your certificate");
        }
        if !is_nick(name) {
            return self.reply(t, "! nickname must be 1-32 letters, digits, _ or -");
        }
        let key = folded(name);
        if self.nicks.get(&key).is_some_and(|owner| *owner != t) {
            return self.reply(t, &format!("! '{name}' is in use"));
        }
        let Some(m) = self.members.get_mut(t) else { return };
        let old = std::mem::replace(&mut m.nick, name.into());
        let room = m.room.clone();
        self.nicks.remove(&folded(&old));
        self.nicks.insert(key, t);
        self.reply(t, &format!("* You are now known as {name}"));
        self.event(|| Event::Nick { nick: old.clone(), to: name.into() });
        self.notice(&room, Some(t), &format!("* {old} is now known as {name}\n"));
    }
    fn who(&mut self, t: Token) {
        let clock = |wall| Clock { wall, utc: self.utc }.to_string().trim_matches(['[', ']']).to_string();
        let row = |nick: &str, since, room: &str| format!("* {nick} since {} in {room}", clock(since));
        let rows: Vec<String> =
            self.nicks.values().filter_map(|t| self.members.get(*t)).map(|m| row(&m.nick, m.since, &m.room)).collect();
        self.reply(t, &rows.join("\n"));
    }
    fn whisper(&mut self, t: Token, rest: &str) {
        let (to, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let Some(&other) = self.nicks.get(&folded(to)) else {
            return self.reply(t, &format!("! no such nick '{to}'"));
        };
        let Some(from) = self.members.get(t).map(|m| m.nick.clone()) else { return };
        if self.members.get(other).is_some_and(|m| !m.ignored.contains(&folded(&from))) {
            let line = format!("<{from}> (to you) {text}\n").into();
            self.out.push_back(Delivery { to: other, line, droppable: true });
        }
    }
    fn ignore(&mut self, t: Token, nick: &str) {
        let Some(m) = self.members.get_mut(t) else { return };
        if nick.is_empty() {
            let list = m.ignored.iter().cloned().collect::<Vec<_>>().join(", ");
            return self.reply(t, &format!("* ignored: {}", if list.is_empty() { "nobody" } else { &list }));
        }
        let key = folded(nick);
        if m.ignored.remove(&key) {
            return self.reply(t, &format!("* You hear {nick} again"));
        }
        if m.ignored.len() >= self.limits.ignored || !is_nick(nick) {
            return self.reply(t, &format!("! cannot ignore '{nick}'"));
        }
        m.ignored.insert(key);
        self.reply(t, &format!("* You do not hear {nick} any more"));
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
