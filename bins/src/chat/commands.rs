//! What a member's line does.
use super::core::{Chat, LOBBY};
use super::names::{clean, folded, is_nick, is_room};
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
            "join" => self.join(t, rest),
            "part" => self.part(t),
            "rooms" => self.list_rooms(t),
            "topic" => self.topic(t, rest),
            "ignore" => self.ignore(t, rest),
            _ => self.reply(t, &format!("! unknown command /{word} (try /help)")),
        }
        Done::Stay(None)
    }
    fn say(&mut self, t: Token, text: &str, now: Wall) -> Done {
        self.tell_room(t, now, |nick| format!("<{nick}> {text}"))
    }
    fn act(&mut self, t: Token, text: &str, now: Wall) -> Done {
        self.tell_room(t, now, |nick| format!("* {nick} {text}"))
    }
    fn tell_room(&mut self, t: Token, now: Wall, line: impl FnOnce(&str) -> String) -> Done {
        let Some(m) = self.members.get(t) else { return Done::Stay(None) };
        let (room, line, from) = (m.room.clone(), line(&m.nick), folded(&m.nick));
        let with_end = format!("{line}\n");
        self.broadcast(&room, Some(t), Some(&from), &with_end);
        self.remember(&room, &with_end, now);
        Done::Stay(Some(if room == LOBBY { line } else { format!("{room} {line}") }))
    }
    fn nick(&mut self, t: Token, name: &str) {
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
            self.out.push_back(super::core::Delivery { to: other, line, droppable: true });
        }
    }
    fn join(&mut self, t: Token, room: &str) {
        let room = folded(room);
        if !is_room(&room) {
            return self.reply(t, "! room must be # and 1-31 letters, digits, _ or -");
        }
        let Some(m) = self.members.get_mut(t) else { return };
        if m.rooms.contains(&room) {
            m.room = room.clone();
            return self.reply(t, &format!("* You are in {room}"));
        }
        if m.rooms.len() >= self.limits.rooms_each {
            return self.reply(t, &format!("! you are in {} rooms already", self.limits.rooms_each));
        }
        if !self.rooms.contains_key(&room) && self.rooms.len() >= self.limits.rooms {
            return self.reply(t, &format!("! there are {} rooms already", self.limits.rooms));
        }
        self.put_into(t, &room);
        self.reply(t, &format!("* You are in {room}"));
        self.topic(t, "");
        self.replay(t, &room);
    }
    fn part(&mut self, t: Token) {
        let Some(m) = self.members.get_mut(t) else { return };
        let (room, nick) = (m.room.clone(), m.nick.clone());
        if m.rooms.len() == 1 {
            return self.reply(t, "! this is your only room (try /quit)");
        }
        m.rooms.remove(&room);
        let next = m.rooms.first().cloned().unwrap_or_else(|| LOBBY.into());
        m.room = next.clone();
        self.take_out(t, &room);
        self.notice(&room, None, &format!("* {nick} left {room}\n"));
        self.reply(t, &format!("* You are in {next}"));
    }
    fn list_rooms(&mut self, t: Token) {
        let row = |(name, r): (&String, &super::core::Room)| {
            let topic = if r.topic.is_empty() { String::new() } else { format!(": {}", r.topic) };
            format!("* {name} ({}){topic}", r.members.len())
        };
        let rows: Vec<String> = self.rooms.iter().map(row).collect();
        self.reply(t, &rows.join("\n"));
    }
    fn topic(&mut self, t: Token, text: &str) {
        let Some((room, nick)) = self.members.get(t).map(|m| (m.room.clone(), m.nick.clone())) else { return };
        let Some(r) = self.rooms.get_mut(&room) else { return };
        if text.is_empty() {
            if !r.topic.is_empty() {
                let line = format!("* topic of {room}: {}", r.topic);
                self.reply(t, &line);
            }
            return;
        }
        if text.len() > self.limits.topic {
            return self.reply(t, &format!("! a topic has at most {} bytes", self.limits.topic));
        }
        r.topic = text.into();
        self.broadcast(&room, None, None, &format!("* {nick} set the topic of {room}: {text}\n"));
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
