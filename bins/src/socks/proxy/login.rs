//! Who a client is.
use super::{JUDGES, PENALTY, Proxy, ProxyCx};
use crate::service::Note;
use crate::socks::auth::Access;
use crate::socks::session::{Phase, Session};
use crate::text::Escaped;
use crate::users::Users;
use core::time::Duration;
use proto_core::{Deadline, Lost, Op, OpId, Token};

impl Proxy {
    pub(super) fn login(&mut self, t: Token, user: &[u8], password: &[u8], cx: &mut ProxyCx<'_>) {
        let Some(users) = &self.options.access.users else { return };
        let check = users.check(user, password);
        self.set(t, Phase::Judging { user: user.to_vec() }, cx);
        if !check.is_slow() {
            return self.judged(t, check.run(), cx);
        }
        self.jobs += 1;
        self.judged.insert(self.jobs, t);
        cx.op(Op::Job { id: OpId::new(JUDGES, self.jobs), job: check, hold: Duration::ZERO });
    }
    pub(super) fn verdict(&mut self, id: OpId, result: Result<Note, Lost>, cx: &mut ProxyCx<'_>) {
        let Some(t) = self.judged.remove(&id.key()) else { return };
        match result {
            Ok(Note::Made(b)) => self.judged(t, *b == [1], cx),
            Ok(_) | Err(Lost::Panicked | Lost::Cancelled | Lost::Full) => {
                // Nobody has failed: the proxy has no time to check.
                self.refused += 1;
                self.say_of_client(t, format_args!("too many logins at once"), cx);
                self.judge(t, false, cx);
            }
        }
    }
    /// Tells the client whether its login is good.
    pub(super) fn judge(&mut self, t: Token, good: bool, cx: &mut ProxyCx<'_>) {
        if let Some((server, tx)) = self.conns.machine(t, cx) {
            let told = server.judge(tx, good);
            debug_assert!(told.is_ok(), "{told:?}");
        }
        self.set(t, if good { Phase::Handshake } else { Phase::Over }, cx);
        let feed = self.conns.resume(t, cx);
        self.read(t, feed, cx);
    }
    pub(super) fn judged(&mut self, t: Token, good: bool, cx: &mut ProxyCx<'_>) {
        let Some(s) = self.sessions.get_mut(&t) else { return };
        let Phase::Judging { user } = &s.phase else { return };
        let user = user.clone();
        let (from, now) = (s.from, cx.now);
        if good {
            s.user = Some(user.clone());
            self.options.accounts.enter(&user);
            from.into_iter().for_each(|ip| self.guard.succeeded(ip, now));
            let text = format!("Client {} authenticated as '{}'", s.peer, Escaped(&user));
            self.say(t, format_args!("{text}"), cx);
            return self.judge(t, true, cx);
        }
        from.into_iter().for_each(|ip| self.guard.failed(ip, now));
        let text = format!("Client {} failed to authenticate as '{}'", s.peer, Escaped(&user));
        self.say(t, format_args!("{text}"), cx);
        self.set(t, Phase::Penalty(Deadline::new(now, PENALTY, "answer to a failed login")), cx);
    }
    pub(super) fn reloaded(&mut self, result: Result<Access, String>, cx: &mut ProxyCx<'_>) {
        let access = match result {
            Ok(access) => access,
            Err(why) => return self.service.warn(cx, format_args!("not reloaded: {why}; everything stays as it was")),
        };
        let before = std::mem::replace(&mut self.options.access, access);
        let users = &self.options.access.users;
        let gone = |s: &Session| match (&s.user, &before.users, users) {
            (Some(user), Some(before), Some(now)) => !now.is_same(before, user),
            (Some(_), _, None) => true,
            _ => false,
        };
        let gone: Vec<Token> = self.sessions.iter().filter(|(_, s)| gone(s)).map(|(t, _)| *t).collect();
        self.guard.forget();
        let (count, ended) = (users.as_ref().map_or(0, Users::len), gone.len());
        self.service.warn(cx, format_args!("reloaded: {count} users; {ended} sessions ended"));
        for t in gone {
            self.say_of_client(t, format_args!("the user is gone or changed"), cx);
            self.cut(t, cx);
        }
    }
}
