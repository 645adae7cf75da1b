//! What users may use.
use super::{Proxy, ProxyCx};
use crate::socks::account::Grant;
use crate::socks::association::Dropped;
use crate::socks::session::{Phase, Session};
use proto_core::{RelayEnd, Token};

/// Why a user who has limits gets nothing.
pub const USED_UP: &str = "the user has used up the bytes of this month";

impl Proxy {
    /// Lets bytes go one way (0: to the target) as the user's limits have it; `over`: by how much the last grant was exceeded.
    pub(super) fn permit(&mut self, t: Token, way: usize, over: u64, cx: &mut ProxyCx<'_>) {
        let Some(Session { user, phase: Phase::Relaying(flow), .. }) = self.sessions.get_mut(&t) else { return };
        let accounts = &mut self.options.accounts;
        match user.as_ref().map_or(Grant::All, |user| accounts.grant(user, over, cx.now, cx.wall())) {
            Grant::All => flow.open(t, way, None, cx),
            Grant::Some(bytes, at) if at <= cx.now => flow.open(t, way, Some(bytes), cx),
            Grant::Some(bytes, at) => {
                flow.hold(t, way, (at, bytes), cx);
                self.rearm(t);
            }
            Grant::None => {
                self.say_of_client(t, format_args!("{USED_UP}"), cx);
                self.cut(t, cx);
            }
        }
    }
    /// A relay has ended: one direction is over, or what was granted has passed.
    pub(super) fn relayed(&mut self, from: Token, total: u64, end: RelayEnd, cx: &mut ProxyCx<'_>) {
        let t = self.clients.get(from).copied().unwrap_or(from);
        if end == RelayEnd::Quota {
            self.charge(t, cx);
        }
        let Some(Phase::Relaying(flow)) = self.sessions.get_mut(&t).map(|s| &mut s.phase) else { return };
        match end {
            RelayEnd::Eof => {
                flow.half = flow.half.or(Some(cx.now));
                self.rearm(t);
            }
            RelayEnd::Quota => {
                let way = usize::from(from != t);
                let granted = flow.granted.get(way).copied().unwrap_or_default();
                self.permit(t, way, total.saturating_sub(granted), cx);
            }
        }
    }
    /// Puts what has passed since last time into the user's account.
    pub(super) fn charge(&mut self, t: Token, cx: &mut ProxyCx<'_>) {
        let Some((up, down)) = self.moved(t, cx).filter(|_| self.options.accounts.counts()) else { return };
        let Some(Session { user: Some(user), phase: Phase::Relaying(flow), .. }) = self.sessions.get_mut(&t) else {
            return;
        };
        let before = std::mem::replace(&mut flow.charged, up + down);
        self.options.accounts.used(user, flow.charged.saturating_sub(before), cx.wall());
        self.ledger.note(cx);
    }
    /// Somebody asks for metrics: what users use is part of them.
    pub(super) fn tell_users(&mut self, cx: &mut ProxyCx<'_>) {
        if self.options.access.users.is_none() || !self.options.accounts.counts() {
            return;
        }
        let relaying = self.sessions.iter().filter(|(_, s)| matches!(s.phase, Phase::Relaying(_)));
        let relaying: Vec<Token> = relaying.map(|(t, _)| *t).collect();
        relaying.into_iter().for_each(|t| self.charge(t, cx));
        self.service.tell_more(self.options.accounts.metrics());
    }
    /// A datagram of `bytes` goes or comes: true if the user may have it.
    pub(super) fn may_pass(&mut self, t: Token, bytes: usize, cx: &mut ProxyCx<'_>) -> bool {
        let Some(Session { user: Some(user), phase: Phase::Associated(a), .. }) = self.sessions.get_mut(&t) else {
            return true;
        };
        let may = self.options.accounts.datagram(user, bytes as u64, cx.now, cx.wall());
        if may {
            self.ledger.note(cx);
        } else {
            a.drops.count(Dropped::Limit);
        }
        may
    }
    /// All sessions are over and the proxy ends: the accounts are written first.
    pub(super) fn close_books(&mut self, cx: &mut ProxyCx<'_>) {
        if !self.ledger.write(&mut self.options.accounts, cx) {
            self.service.let_go(cx);
        }
    }
}
