//! What happens in a chat, for programs: one JSON object a line.
use crate::text::Json;
use core::fmt::Write;
use proto_core::Wall;

/// The name and version of the stream, in its first line.
pub const SCHEMA: &str = "drywire/chat_server/1";

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Somebody is in a room now.
    Join {
        /// Who.
        nick: String,
        /// Where.
        room: String,
    },
    /// Somebody said something to a room.
    Say {
        /// Who.
        nick: String,
        /// Where.
        room: String,
        /// What, without markup.
        text: String,
        /// It was `/me`.
        act: bool,
    },
    /// Somebody has another name.
    Nick {
        /// The old one.
        nick: String,
        /// The new one.
        to: String,
    },
    /// Somebody is in a room no more.
    Leave {
        /// Who.
        nick: String,
        /// Where.
        room: String,
        /// Last words; empty if there were none.
        words: String,
    },
    /// The server ended a connection; the leaves follow.
    Drop {
        /// Who.
        nick: String,
        /// Why: `slow`, `flood`, `long lines`, `idle`, `kicked` or `banned`.
        reason: &'static str,
    },
}

impl Event {
    /// As JSON, without the line end.
    pub fn json(&self, at: Wall) -> String {
        let (name, fields): (_, Vec<(&str, &str)>) = match self {
            Event::Join { nick, room } => ("join", vec![("nick", nick), ("room", room)]),
            Event::Say { nick, room, text, act } => {
                let name = if *act { "act" } else { "say" };
                ("say", vec![("nick", nick), ("room", room), ("kind", name), ("text", text)])
            }
            Event::Nick { nick, to } => ("nick", vec![("nick", nick), ("to", to)]),
            Event::Leave { nick, room, words } => ("leave", vec![("nick", nick), ("room", room), ("words", words)]),
            Event::Drop { nick, reason } => ("drop", vec![("nick", nick), ("reason", reason)]),
        };
        let mut out = format!("{{\"event\":\"{name}\",\"time_ms\":{}", at.unix_ns / 1_000_000);
        for (key, value) in fields {
            let _ = write!(out, ",\"{key}\":{}", Json(value)); // a String takes everything
        }
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema() {
        let (nick, room) = (String::from("Zoë"), String::from("#lobby"));
        let at = Wall { unix_ns: 1_700_000_000_123_456_789, utc_offset_s: 3600 };
        let all = [
            Event::Join { nick: nick.clone(), room: room.clone() },
            Event::Say { nick: nick.clone(), room: room.clone(), text: "a \"quote\" \\ \u{1}".into(), act: false },
            Event::Say { nick: nick.clone(), room: room.clone(), text: "waves".into(), act: true },
            Event::Nick { nick: nick.clone(), to: "Zoe".into() },
            Event::Leave { nick: nick.clone(), room, words: String::new() },
            Event::Drop { nick, reason: "slow" },
        ];
        let start = |name| format!("{{\"event\":\"{name}\",\"time_ms\":1700000000123,\"nick\":\"Zoë\",");
        let want = [
            ("join", "\"room\":\"#lobby\"}"),
            ("say", "\"room\":\"#lobby\",\"kind\":\"say\",\"text\":\"a \\\"quote\\\" \\\\ \\u0001\"}"),
            ("say", "\"room\":\"#lobby\",\"kind\":\"act\",\"text\":\"waves\"}"),
            ("nick", "\"to\":\"Zoe\"}"),
            ("leave", "\"room\":\"#lobby\",\"words\":\"\"}"),
            ("drop", "\"reason\":\"slow\"}"),
        ];
        for (event, (name, rest)) in all.iter().zip(want) {
            assert_eq!(event.json(at), start(name) + rest);
        }
    }
}
