//! Who was heard in a chat, as far as a client can tell from the lines it is shown: for completion, and nothing else.
use super::names::{folded, is_nick};

/// Names that are remembered; who was not heard for longest is forgotten first.
const NAMES: usize = 256;
/// What begins a line with `/`.
const COMMANDS: [&str; 12] =
    ["/help", "/ignore", "/join", "/me", "/msg", "/nick", "/part", "/quit", "/resume", "/rooms", "/topic", "/who"];

/// See the module.
#[derive(Debug, Default)]
pub struct Nicks {
    /// The last one was heard last.
    names: Vec<String>,
}

impl Nicks {
    /// A line of the server, without its end.
    pub fn hear(&mut self, line: &str) {
        // A line of another room begins with the room's name, one of the past with its time.
        let line = match line.strip_prefix("* history ").and_then(|l| l.split_once(' ')) {
            Some((_, line)) => line,
            None => line,
        };
        let line = line.strip_prefix('#').and_then(|l| l.split_once(' ')).map_or(line, |(_, line)| line);
        if let Some((nick, _)) = line.strip_prefix('<').and_then(|l| l.split_once("> ")) {
            return self.add(nick);
        }
        let mut words = line.strip_prefix("* ").unwrap_or_default().split(' ');
        match (words.next(), words.next()) {
            (Some(nick), Some("joined" | "since")) => self.add(nick),
            (Some(nick), Some("left")) => self.forget(nick),
            (Some(nick), Some("is")) if line.contains(" is now known as ") => {
                self.forget(nick);
                self.add(words.next_back().unwrap_or_default());
            }
            _ => {}
        }
    }
    fn add(&mut self, nick: &str) {
        if !is_nick(nick) {
            return;
        }
        self.forget(nick);
        if self.names.len() == NAMES {
            self.names.remove(0);
        }
        self.names.push(nick.into());
    }
    fn forget(&mut self, nick: &str) {
        self.names.retain(|n| n != nick);
    }
    /// What a word may become, in order; `first`: it begins the line.
    pub fn matching(&self, word: &str, first: bool) -> Vec<String> {
        if first && word.starts_with('/') {
            return COMMANDS.iter().filter(|c| c.starts_with(word)).map(|c| c.to_string()).collect();
        }
        let start = folded(word);
        let mut found: Vec<String> = self.names.iter().filter(|n| folded(n).starts_with(&start)).cloned().collect();
        found.sort();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_heard_is_known() {
        let mut n = Nicks::default();
        for line in [
            "<Bob> hey",
            "#rust <Carla> hi",
            "* history [12:00:01] <Bert> old",
            "* Dora joined #lobby",
            "* Eve since 12:00:01 in #lobby",
            "* server is going down",
            "! no such nick 'Zed'",
            "<not a nick> x",
            "* Dora left",
            "* Eve is now known as Eva",
        ] {
            n.hear(line);
        }
        assert_eq!(n.matching("", false), ["Bert", "Bob", "Carla", "Eva"]);
        assert_eq!(n.matching("b", true), ["Bert", "Bob"], "as nicknames are compared");
        assert_eq!(n.matching("/m", true), ["/me", "/msg"]);
        assert!(n.matching("/m", false).is_empty());
    }

    #[test]
    fn bounded() {
        let mut n = Nicks::default();
        (0..1000).for_each(|i| n.hear(&format!("<u{i}> x")));
        assert_eq!((n.names.len(), n.names.last().map(String::as_str)), (NAMES, Some("u999")));
    }
}
