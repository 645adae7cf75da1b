//! What may be ordered over the control socket.
use super::server::{ChatCx, ChatServer};
use crate::cli::Cidr;
use crate::text::{Clock, Escaped};
use proto_core::Token;

const HELP: &str = "\
* /who            nickname, descriptor, address, room of everybody
* /kick NICK      end somebody's connection
* /ban ADDR       refuse an address or block from now on, and end the connections from there
* /unban ADDR     take that back
* /bans           addresses that are refused
* /say TEXT       tell everybody
* stats           statistics, then the connection ends; stats json";

impl ChatServer {
    /// Carries out what operators have ordered.
    pub(super) fn orders(&mut self, cx: &mut ChatCx<'_>) {
        while let Some((from, order)) = self.service.next_order() {
            let order = order.trim();
            let (word, rest) = order.split_once(' ').unwrap_or((order, ""));
            let rest = rest.trim();
            let answer = match word {
                "/who" => self.who_is_where(),
                "/kick" => self.kick(rest, cx),
                "/ban" => self.ban(rest, cx),
                "/unban" => self.unban(rest),
                "/bans" => self.bans(),
                "/say" => {
                    self.chat.announce(&format!("* operator: {}", super::names::clean(rest)));
                    "* said".into()
                }
                "/help" => HELP.into(),
                _ => format!("! unknown order {} (try /help)", Escaped(word.as_bytes())),
            };
            self.service.answer_order(from, &answer, cx);
        }
    }
    fn who_is_where(&self) -> String {
        let row = |t: &Token| {
            let (m, c) = (self.chat.member(*t)?, self.clients.get(*t)?);
            let since = Clock { wall: m.since, utc: self.service.settings.utc };
            Some(format!("* {} fd={} {} since {since} in {}", m.nick, c.fd, c.remote, m.room))
        };
        let rows: Vec<String> = self.service.tokens().iter().filter_map(row).collect();
        if rows.is_empty() { "* nobody is here".into() } else { rows.join("\n") }
    }
    fn kick(&mut self, nick: &str, cx: &mut ChatCx<'_>) -> String {
        let Some(t) = self.chat.find(nick) else {
            return format!("! no such nick '{}'", Escaped(nick.as_bytes()));
        };
        let nick = self.chat.member(t).map(|m| m.nick.clone()).unwrap_or_default();
        self.remove(t, "kicked", cx);
        format!("* kicked {nick}")
    }
    fn ban(&mut self, block: &str, cx: &mut ChatCx<'_>) -> String {
        let block: Cidr = match block.parse() {
            Ok(block) => block,
            Err(why) => return format!("! {}", Escaped(String::as_bytes(&why))),
        };
        let Some(theirs) = self.service.ban(block) else { return "! too many addresses are refused already".into() };
        let here = |t: &Token| self.clients.get(*t).is_some_and(|c| !c.leaving);
        let theirs: Vec<Token> = theirs.into_iter().filter(here).collect();
        let n = theirs.len();
        theirs.into_iter().for_each(|t| self.remove(t, "banned", cx));
        format!("* banned {block}: {n} connections ended")
    }
    fn unban(&mut self, block: &str) -> String {
        match block.parse::<Cidr>() {
            Ok(block) if self.service.unban(block) => format!("* {block} is not banned any more"),
            Ok(block) => format!("! {block} is not banned"),
            Err(why) => format!("! {}", Escaped(why.as_bytes())),
        }
    }
    fn bans(&self) -> String {
        let rows: Vec<String> = self.service.bans().iter().map(|b| format!("* {b}")).collect();
        if rows.is_empty() { "* nobody is banned".into() } else { rows.join("\n") }
    }
    /// Ends a client's connection, and tells it and the log why.
    pub(super) fn remove(&mut self, t: Token, why: &'static str, cx: &mut ChatCx<'_>) {
        if let Some(c) = self.clients.get(t).filter(|c| !c.leaving) {
            self.service.log_at(cx, format_args!("Client {why} (fd={})", c.fd));
        }
        self.chat.reply(t, &format!("! you have been {why}"));
        self.drop_event(t, why);
        self.leave(t, why, cx);
    }
}
