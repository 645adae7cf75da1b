//! Logins: who is let in, how those who are not are slowed down, and users that change.
use super::policy::{Policy, Rule};
use crate::users::Users;
use proto_core::{Answer, Ask, Cx, FileId, How, OpId, Reason};

/// What a proxy lets clients do, and whom.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Who may log in; `None`: nobody has to.
    pub users: Option<Users>,
    /// Where to.
    pub policy: Policy,
}

/// Files that access comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The users.
    pub users: Option<String>,
    /// Rules, after those of the command line.
    pub rules: Option<String>,
    /// Rules of the command line.
    pub flags: Vec<Rule>,
}

impl Sources {
    /// The access that the texts of the files mean.
    ///
    /// # Errors
    /// File, line, and what is wrong.
    pub fn read(&self, users: Option<&str>, rules: Option<&str>) -> Result<Access, String> {
        let at = |path: &Option<String>, line: usize| {
            let path = path.as_deref().unwrap_or_default();
            if line == 0 { path.to_string() } else { format!("{path}:{line}") }
        };
        let users =
            users.map(Users::parse).transpose().map_err(|(n, what)| format!("{}: {what}", at(&self.users, n)))?;
        let more =
            rules.map(Rule::parse_all).transpose().map_err(|(n, what)| format!("{}: {what}", at(&self.rules, n)))?;
        let rules = self.flags.iter().cloned().chain(more.unwrap_or_default()).collect();
        Ok(Access { users, policy: Policy::new(rules) })
    }
}

/// What is read again on SIGHUP, one file after the other.
#[derive(Debug)]
pub struct Reload {
    part: u8,
    round: u64,
    state: State,
    texts: [Option<String>; 2],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    Opening(usize),
    Reading(usize, FileId),
}

/// A file of users or rules at most, in bytes.
const LARGEST: u32 = 16 << 20;

impl Reload {
    /// Questions carry `part`.
    pub fn new(part: u8) -> Self {
        Reload { part, round: 0, state: State::Idle, texts: [None, None] }
    }
    /// Begins, unless it is under way.
    pub fn start<J, M>(&mut self, sources: &Sources, cx: &mut Cx<'_, J, M>) -> Option<Result<Access, String>> {
        if self.state != State::Idle {
            return None;
        }
        self.texts = [None, None];
        self.next(0, sources, cx)
    }
    fn path(sources: &Sources, i: usize) -> Option<&String> {
        if i == 0 { sources.users.as_ref() } else { sources.rules.as_ref() }
    }
    fn next<J, M>(&mut self, from: usize, sources: &Sources, cx: &mut Cx<'_, J, M>) -> Option<Result<Access, String>> {
        for i in from..2 {
            if let Some(path) = Reload::path(sources, i) {
                self.state = State::Opening(i);
                self.round += 1;
                let how = How { read: true, ..How::default() };
                cx.ask(OpId::new(self.part, self.round), Ask::Open { dir: None, path: path.clone(), how });
                return None;
            }
        }
        self.state = State::Idle;
        let [users, rules] = std::mem::take(&mut self.texts);
        Some(sources.read(users.as_deref(), rules.as_deref()))
    }
    /// An answer; `Some` at the end.
    pub fn answered<J, M>(
        &mut self,
        id: OpId,
        answer: Result<Answer, Reason>,
        sources: &Sources,
        cx: &mut Cx<'_, J, M>,
    ) -> Option<Result<Access, String>> {
        if id.key() != self.round {
            return None; // a file that was closed
        }
        let failed = |i: usize, why: &dyn core::fmt::Display| {
            Some(Err(format!("{}: {why}", Reload::path(sources, i).map_or("", String::as_str))))
        };
        match (self.state, answer) {
            (State::Opening(i), Ok(Answer::Opened { file, .. })) => {
                self.state = State::Reading(i, file);
                self.round += 1;
                cx.ask(OpId::new(self.part, self.round), Ask::Read { file, offset: 0, len: LARGEST });
                None
            }
            (State::Reading(i, file), answer) => {
                cx.ask(OpId::new(self.part, 0), Ask::CloseFile(file));
                self.state = State::Idle;
                let text = match answer {
                    Ok(Answer::Read(bytes)) if bytes.len() >= LARGEST as usize => {
                        return failed(i, &"larger than 16 MiB");
                    }
                    Ok(Answer::Read(bytes)) => String::from_utf8(bytes.to_vec()),
                    Ok(_) => return failed(i, &"cannot be read"),
                    Err(why) => return failed(i, &why),
                };
                let Ok(text) = text else { return failed(i, &"not UTF-8") };
                if let Some(slot) = self.texts.get_mut(i) {
                    *slot = Some(text);
                }
                self.next(i + 1, sources, cx)
            }
            (State::Opening(i), answer) => {
                self.state = State::Idle;
                match answer {
                    Err(why) => failed(i, &why),
                    Ok(_) => failed(i, &"cannot be opened"),
                }
            }
            (State::Idle, _) => None,
        }
    }
}
