//! Commands about rooms, and coming back to them.
use super::core::{Broadcast, Chat, Delivery, LOBBY, Room, tag};
use super::events::Event;
use super::names::{folded, is_room};
use proto_core::{Token, Wall};

impl Chat {
    pub(super) fn join(&mut self, t: Token, room: &str, now: Wall) {
        let room = folded(room);
        let Some(joined) = self.go_into(t, &room, now) else { return };
        self.reply(t, &format!("* You are in {room}"));
        if let Some(r) = self.rooms.get(&room).filter(|_| self.members.get(t).is_some_and(|m| m.numbered)) {
            let up_to_here = tag(r.past.last(), &room);
            self.reply(t, &up_to_here);
        }
        if joined {
            self.topic(t, "");
            let Some(r) = self.rooms.get(&room) else { return };
            self.out.extend(r.past.history(self.utc).map(|line| Delivery { to: t, line, droppable: true }));
        }
    }
    /// Makes a room the one that is looked at, and joins it if need be: then `Some(true)`. `None`: it was refused.
    fn go_into(&mut self, t: Token, room: &str, now: Wall) -> Option<bool> {
        let m = self.members.get_mut(t)?;
        let here = m.rooms.contains(room);
        let no = if !is_room(room) {
            "! room must be # and 1-31 letters, digits, _ or -".into()
        } else if !here && m.rooms.len() >= self.limits.rooms_each {
            format!("! you are in {} rooms already", self.limits.rooms_each)
        } else if !self.rooms.contains_key(room) && self.rooms.len() >= self.limits.rooms {
            format!("! there are {} rooms already", self.limits.rooms)
        } else {
            m.room = room.into();
            if !here {
                self.put_into(t, room, now);
            }
            return Some(!here);
        };
        self.reply(t, &no);
        None
    }
    /// `/resume ROOM` asks for numbers; `/resume ROOM N` as well for what was said after number N.
    pub(super) fn resume(&mut self, t: Token, rest: &str, now: Wall) {
        let (room, number) = rest.split_once(' ').map_or((rest, None), |(room, n)| (room, Some(n.trim())));
        let room = folded(room);
        let number = match number.map(str::parse::<u64>) {
            Some(Err(_)) => return self.reply(t, "! the number of a line is missing (try /help)"),
            Some(Ok(n)) => Some(n),
            None => None,
        };
        if self.go_into(t, &room, now).is_none() {
            return;
        }
        let (Some(m), Some(r)) = (self.members.get_mut(t), self.rooms.get(&room)) else { return };
        m.numbered = true;
        let missed = number.map(|n| r.past.since(n));
        let reply = |line: String| Delivery { to: t, line: line.into(), droppable: false };
        if let Some(missed) = missed {
            let why = if missed.anew { " (the room was started anew)" } else { "" };
            if missed.lost > 0 || missed.anew {
                self.out.push_back(reply(format!("* missed at least {} messages{why}\n", missed.lost)));
            }
            for (n, line) in missed.lines {
                let line = format!("{} {}", tag(n, &room), String::from_utf8_lossy(line)).into();
                self.out.push_back(Delivery { to: t, line, droppable: true });
            }
        }
        self.out.push_back(reply(format!("{}\n", tag(r.past.last(), &room))));
    }
    pub(super) fn part(&mut self, t: Token) {
        let Some(m) = self.members.get_mut(t) else { return };
        let (room, nick) = (m.room.clone(), m.nick.clone());
        if m.rooms.len() == 1 {
            return self.reply(t, "! this is your only room (try /quit)");
        }
        m.rooms.remove(&room);
        let next = m.rooms.first().cloned().unwrap_or_else(|| LOBBY.into());
        m.room = next.clone();
        if m.numbered {
            self.reply(t, &tag(0, &room)); // no number: it has left
        }
        self.take_out(t, &room);
        self.event(|| Event::Leave { nick: nick.clone(), room: room.clone(), words: String::new() });
        self.notice(&room, None, &format!("* {nick} left {room}\n"));
        self.reply(t, &format!("* You are in {next}"));
    }
    pub(super) fn list_rooms(&mut self, t: Token) {
        let row = |(name, r): (&String, &Room)| {
            let topic = if r.topic.is_empty() { String::new() } else { format!(": {}", r.topic) };
            format!("* {name} ({}){topic}", r.members.len())
        };
        let rows: Vec<String> = self.rooms.iter().map(row).collect();
        self.reply(t, &rows.join("\n"));
    }
    pub(super) fn topic(&mut self, t: Token, text: &str) {
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
        let line = format!("* {nick} set the topic of {room}: {text}\n");
        self.broadcast(&room, None, &line, Broadcast::default());
    }
}
