//! The chat itself: who is here, which rooms there are, who hears what. It knows tokens and text, no bytes of a wire,
//! so that other ways in (WebSocket, TLS) share it.
use super::names::folded;
use crate::text::Clock;
use proto_core::{Bytes, Slots, Token, Wall};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is bounded, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Rooms at once.
    pub rooms: usize,
    /// Rooms a member may be in.
    pub rooms_each: usize,
    /// Lines of a room's history; 0 for none.
    pub history: usize,
    /// Bytes of a room's history.
    pub history_bytes: usize,
    /// Bytes of a topic.
    pub topic: usize,
    /// Nicknames a member may ignore.
    pub ignored: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { rooms: 1024, rooms_each: 64, history: 100, history_bytes: 64 << 10, topic: 256, ignored: 64 }
    }
}

/// The room everyone starts in.
pub const LOBBY: &str = "#lobby";

/// A line on its way to one member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Who.
    pub to: Token,
    /// The line, with its LF.
    pub line: Bytes,
    /// A slow reader may lose it; replies to own commands may not be lost.
    pub droppable: bool,
}

/// Somebody who is here.
#[derive(Debug)]
pub struct Member {
    /// The nickname.
    pub nick: String,
    /// Since when.
    pub since: Wall,
    /// The room that lines go to.
    pub room: String,
    pub(super) rooms: BTreeSet<String>,
    pub(super) ignored: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    pub topic: String,
    pub members: BTreeSet<Token>,
    history: VecDeque<Bytes>,
    history_bytes: usize,
}

/// The state of a chat. Commands are in `commands.rs`.
#[derive(Debug)]
pub struct Chat {
    pub(super) members: Slots<Member>,
    pub(super) nicks: BTreeMap<String, Token>,
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) limits: Limits,
    /// Others are told who joins and leaves.
    pub(super) notices: bool,
    pub(super) utc: bool,
    guests: u64,
    /// Lines to be delivered, in order.
    pub out: VecDeque<Delivery>,
}

impl Chat {
    /// An empty chat.
    pub fn new(limits: Limits, notices: bool, utc: bool) -> Self {
        Chat {
            members: Slots::default(),
            nicks: BTreeMap::new(),
            rooms: BTreeMap::new(),
            limits,
            notices,
            utc,
            guests: 0,
            out: VecDeque::new(),
        }
    }
    /// Somebody comes in, as `guestN`, into the lobby.
    pub fn enter(&mut self, t: Token, now: Wall) {
        let nick = loop {
            self.guests += 1;
            let nick = format!("guest{}", self.guests);
            if !self.nicks.contains_key(&nick) {
                break nick;
            }
        };
        self.nicks.insert(nick.clone(), t);
        let (rooms, ignored) = (BTreeSet::new(), BTreeSet::new());
        self.members.insert(t, Member { nick, since: now, room: LOBBY.into(), rooms, ignored });
        self.put_into(t, LOBBY);
    }
    /// Somebody is gone; the nickname is free at once.
    pub fn leave(&mut self, t: Token, words: &str) {
        let Some(m) = self.members.get_mut(t) else { return };
        let (rooms, nick) = (std::mem::take(&mut m.rooms), m.nick.clone());
        for room in rooms {
            self.take_out(t, &room);
            let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
            self.notice(&room, Some(t), &format!("* {nick} left{words}\n"));
        }
        self.members.remove(t);
        self.nicks.remove(&folded(&nick));
    }
    /// Somebody who is here.
    pub fn member(&self, t: Token) -> Option<&Member> {
        self.members.get(t)
    }
    /// How many are here.
    pub fn len(&self) -> usize {
        self.members.len()
    }
    /// Nobody is here.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn put_into(&mut self, t: Token, room: &str) {
        let nick = self.members.get_mut(t).map(|m| {
            m.rooms.insert(room.into());
            m.room = room.into();
            m.nick.clone()
        });
        self.rooms.entry(room.into()).or_default().members.insert(t);
        if let Some(nick) = nick {
            self.notice(room, Some(t), &format!("* {nick} joined {room}\n"));
        }
    }
    pub(super) fn take_out(&mut self, t: Token, room: &str) {
        let Some(r) = self.rooms.get_mut(room) else { return };
        r.members.remove(&t);
        if r.members.is_empty() && room != LOBBY {
            self.rooms.remove(room);
        }
    }

    /// A reply to `t`'s own doing: never dropped.
    pub fn reply(&mut self, t: Token, line: &str) {
        self.out.push_back(Delivery { to: t, line: Bytes::from(format!("{line}\n")), droppable: false });
    }
    /// A line to everybody who is here.
    pub fn announce(&mut self, line: &str) {
        let line = Bytes::from(format!("{line}\n"));
        let to_all = self.members.iter().map(|(to, _)| Delivery { to, line: line.clone(), droppable: false });
        self.out.extend(to_all);
    }
    /// A line to all others in a room, if notices are on.
    pub(super) fn notice(&mut self, room: &str, but: Option<Token>, line: &str) {
        if self.notices {
            self.broadcast(room, but, None, line);
        }
    }
    /// A line to all others in a room. All of them get the room's lines in the same order. One allocation serves those
    /// who are in the room, a second those who look at another one and see the room's name before it.
    pub(super) fn broadcast(&mut self, room: &str, but: Option<Token>, from: Option<&str>, line: &str) {
        let Some(r) = self.rooms.get_mut(room) else { return };
        let here = Bytes::from(line.to_string());
        let elsewhere = Bytes::from(format!("{room} {line}"));
        for &to in r.members.iter().filter(|t| Some(**t) != but) {
            let Some(m) = self.members.get(to) else { continue };
            if from.is_some_and(|from| m.ignored.contains(from)) {
                continue;
            }
            let line = if m.room == room { here.clone() } else { elsewhere.clone() };
            self.out.push_back(Delivery { to, line, droppable: true });
        }
    }
    /// A line for those who come later.
    pub(super) fn remember(&mut self, room: &str, line: &str, now: Wall) {
        let (limits, utc) = (self.limits, self.utc);
        let Some(r) = self.rooms.get_mut(room).filter(|_| limits.history > 0) else { return };
        let line = Bytes::from(format!("* history {} {line}", Clock { wall: now, utc }));
        r.history_bytes += line.len();
        r.history.push_back(line);
        while r.history.len() > limits.history || r.history_bytes > limits.history_bytes {
            let Some(old) = r.history.pop_front() else { break };
            r.history_bytes -= old.len();
        }
    }
    pub(super) fn replay(&mut self, t: Token, room: &str) {
        let Some(r) = self.rooms.get(room) else { return };
        self.out.extend(r.history.iter().map(|line| Delivery { to: t, line: line.clone(), droppable: true }));
    }
}
