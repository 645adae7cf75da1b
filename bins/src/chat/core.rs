//! The chat itself: who is here, which rooms there are, who hears what. It knows tokens and text, no bytes of a wire,
//! so that other ways in (WebSocket, TLS) share it.
use super::events::Event;
use super::names::folded;
use super::past::Past;
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
    /// Lines come with their numbers: it has said `/resume`.
    pub(super) numbered: bool,
}

#[derive(Debug)]
pub(super) struct Room {
    pub topic: String,
    pub members: BTreeSet<Token>,
    pub past: Past,
}

impl Room {
    fn new(now: Wall) -> Self {
        Room { topic: String::new(), members: BTreeSet::new(), past: Past::new(now) }
    }
}

/// The state of a chat. Commands are in `commands.rs`.
#[derive(Debug)]
pub struct Chat {
    /// Names come from certificates.
    pub certified: bool,
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
    /// What happened, if somebody wants to know.
    pub events: VecDeque<Event>,
    watched: bool,
}

impl Chat {
    /// An empty chat.
    pub fn new(limits: Limits, notices: bool, utc: bool) -> Self {
        Chat {
            certified: false,
            members: Slots::default(),
            nicks: BTreeMap::new(),
            rooms: BTreeMap::new(),
            limits,
            notices,
            utc,
            guests: 0,
            out: VecDeque::new(),
            events: VecDeque::new(),
            watched: false,
        }
    }
    /// From now on [`Chat::events`] is filled; the caller empties it.
    pub fn watch(&mut self) {
        self.watched = true;
    }
    /// Something happened.
    pub fn event(&mut self, event: impl FnOnce() -> Event) {
        if self.watched {
            self.events.push_back(event());
        }
    }
    /// Somebody comes in, as `guestN`, into the lobby.
    pub fn enter(&mut self, t: Token, now: Wall) {
        self.enter_as(t, None, now);
    }
    /// The same under a name that is given; a second one of that name gets a number behind it.
    pub fn enter_as(&mut self, t: Token, name: Option<&str>, now: Wall) {
        let numbered = name.into_iter().flat_map(|n| (2u64..).map(move |i| format!("{n}.{i}")));
        let mut given = name.map(String::from).into_iter().chain(numbered);
        let nick = loop {
            if let Some(nick) = given.next() {
                if !self.nicks.contains_key(&folded(&nick)) {
                    break nick;
                }
                continue;
            }
            self.guests += 1;
            let nick = format!("guest{}", self.guests);
            if !self.nicks.contains_key(&nick) {
                break nick;
            }
        };
        self.nicks.insert(folded(&nick), t);
        let (rooms, ignored) = (BTreeSet::new(), BTreeSet::new());
        let room = LOBBY.into();
        self.members.insert(t, Member { nick, since: now, room, rooms, ignored, numbered: false });
        self.put_into(t, LOBBY, now);
    }
    /// Somebody is gone; the nickname is free at once.
    pub fn leave(&mut self, t: Token, words: &str) {
        let Some(m) = self.members.get_mut(t) else { return };
        let (rooms, nick) = (std::mem::take(&mut m.rooms), m.nick.clone());
        for room in rooms {
            self.take_out(t, &room);
            self.event(|| Event::Leave { nick: nick.clone(), room: room.clone(), words: words.into() });
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

    /// Who has that nickname.
    pub fn find(&self, nick: &str) -> Option<Token> {
        self.nicks.get(&folded(nick)).copied()
    }

    pub(super) fn put_into(&mut self, t: Token, room: &str, now: Wall) {
        let nick = self.members.get_mut(t).map(|m| {
            m.rooms.insert(room.into());
            m.room = room.into();
            m.nick.clone()
        });
        self.rooms.entry(room.into()).or_insert_with(|| Room::new(now)).members.insert(t);
        if let Some(nick) = nick {
            self.event(|| Event::Join { nick: nick.clone(), room: room.into() });
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
            self.broadcast(room, but, line, Broadcast::default());
        }
    }
    /// A line to all others in a room. All of them get the room's lines in the same order.
    pub(super) fn broadcast(&mut self, room: &str, but: Option<Token>, line: &str, about: Broadcast<'_>) {
        let Some(r) = self.rooms.get(room) else { return };
        let mut copies = Copies { room, line, number: about.number, made: [const { None }; 4] };
        for &to in r.members.iter().filter(|t| Some(**t) != but) {
            let Some(m) = self.members.get(to) else { continue };
            if about.from.is_some_and(|from| m.ignored.contains(from)) {
                continue;
            }
            let line = copies.get(m.room != room, m.numbered);
            self.out.push_back(Delivery { to, line, droppable: true });
        }
    }
}

/// What else is known of a line to a room.
#[derive(Clone, Copy, Default)]
pub(super) struct Broadcast<'a> {
    /// The folded nickname of who said it, for those who ignore somebody.
    pub from: Option<&'a str>,
    /// Its number, for those who want to know.
    pub number: Option<u64>,
}

/// The forms of one line: made once each, and shared by all who get it.
struct Copies<'a> {
    room: &'a str,
    line: &'a str,
    number: Option<u64>,
    made: [Option<Bytes>; 4],
}

impl Copies<'_> {
    /// `elsewhere`: the reader looks at another room and sees this one's name before the line.
    fn get(&mut self, elsewhere: bool, numbered: bool) -> Bytes {
        let (room, line) = (self.room, self.line);
        let tag = self.number.filter(|_| numbered).map(|n| format!("{} ", tag(n, room)));
        let i = usize::from(elsewhere) + 2 * usize::from(tag.is_some());
        let make = || {
            let room = if elsewhere { format!("{room} ") } else { String::new() };
            Bytes::from(format!("{}{room}{line}", tag.unwrap_or_default()))
        };
        match self.made.get_mut(i) {
            Some(made) => made.get_or_insert_with(make).clone(),
            None => make(),
        }
    }
}

/// What comes before a line for those who said `/resume`; alone, it says that they know of everything up to there.
pub(super) fn tag(number: u64, room: &str) -> String {
    format!("@{number} {room}")
}
