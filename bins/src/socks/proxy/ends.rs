//! How sessions go on and end.
use super::{Proxy, ProxyCx};
use crate::socks::association::SOCKETS;
use crate::socks::connector::OUT;
use crate::socks::session::{Listening, Opening, Phase, Session};
use crate::socks::text::Volume;
use proto_core::socks5::Reply;
use proto_core::{Reason, Token};

impl Proxy {
    /// Bytes that have passed: to the target, to the client.
    pub(super) fn moved(&self, t: Token, cx: &ProxyCx<'_>) -> Option<(u64, u64)> {
        let Phase::Relaying(flow) = &self.sessions.get(&t)?.phase else { return None };
        let [up, down] = flow.moved;
        let up = up.unwrap_or_else(|| cx.stat(flow.out).sent);
        Some((up, down.unwrap_or_else(|| cx.stat(t).sent.saturating_sub(flow.base))))
    }
    pub(super) fn report(&mut self, t: Token, cx: &mut ProxyCx<'_>) {
        self.charge(t, cx);
        if let Some((up, down)) = self.moved(t, cx) {
            self.say(t, format_args!("Transferred: {} up, {} down", Volume(up), Volume(down)), cx);
        }
    }
    /// A connection is gone: a client's, or one to a target.
    pub(super) fn closed(&mut self, t: Token, why: Reason, cx: &mut ProxyCx<'_>) {
        match t.part() {
            OUT => {
                let Some(client) = self.clients.remove(t) else { return };
                return self.out_closed(client, t, why, cx);
            }
            SOCKETS => return self.socket_closed(t, why, cx),
            _ => {}
        }
        self.conns.remove(t);
        self.service.closed(t, cx);
        let moved = self.moved(t, cx);
        let Some(s) = self.sessions.get_mut(&t) else { return };
        if let Phase::Relaying(flow) = &mut s.phase {
            flow.moved[1] = moved.map(|m| m.1);
            let out = flow.out;
            if flow.is_over() {
                return self.end(t, cx);
            }
            if why != Reason::Finished {
                cx.abort(out);
            }
            return;
        }
        if s.phase.is_waited_for() {
            self.say_of_client(t, format_args!("closed before the answer: {why}"), cx);
        } else if matches!(s.phase, Phase::Handshake) && why != Reason::Finished {
            self.say_of_client(t, format_args!("closed during handshake: {why}"), cx);
        }
        self.leave(t, cx);
        self.forget(t, cx);
    }
    pub(super) fn out_closed(&mut self, t: Token, out: Token, why: Reason, cx: &mut ProxyCx<'_>) {
        let moved = self.moved(t, cx);
        let Some(s) = self.sessions.get_mut(&t) else { return };
        match &mut s.phase {
            Phase::Relaying(flow) if flow.out == out => {
                // Its numbers are still to be had, as the client's are when that closes.
                flow.moved[0] = moved.map(|_| cx.stat(out).sent);
                if flow.is_over() {
                    return self.end(t, cx);
                }
                if why != Reason::Finished {
                    cx.abort(t);
                }
            }
            Phase::Asking { out: upstream, .. } if *upstream == out => {
                self.ups.remove(out);
                self.refuse(t, Reply::GeneralFailure, format_args!("upstream: {why}"), cx);
            }
            Phase::Connecting(attempts) => {
                let was_tried = attempts.failed(out, why);
                if was_tried {
                    self.next_attempt(t, cx);
                }
            }
            _ => {}
        }
    }
    /// Both sides of a relay have closed.
    pub(super) fn end(&mut self, t: Token, cx: &mut ProxyCx<'_>) {
        self.report(t, cx);
        self.say(t, format_args!("Connection closed"), cx);
        self.leave(t, cx);
        self.forget(t, cx);
    }
    /// The session wants nothing more: what was asked for it is given up.
    pub(super) fn leave(&mut self, t: Token, cx: &mut ProxyCx<'_>) {
        self.lookups.give_up(t);
        let mut socket = None;
        match self.sessions.get_mut(&t).map(|s| &mut s.phase) {
            Some(Phase::Connecting(attempts)) => attempts.abort(cx),
            Some(Phase::Opening(Opening { socket: s, .. }) | Phase::Listening(Listening { socket: s, .. })) => {
                socket = Some(*s);
            }
            Some(Phase::Asking { out, .. }) => {
                let out = *out;
                self.leave_upstream(out, cx);
            }
            Some(Phase::Associated(_)) => self.dissociate(t, cx),
            _ => {}
        }
        if let Some(socket) = socket {
            self.clients.remove(socket);
            cx.abort(socket);
        }
        self.set(t, Phase::Over, cx);
    }
    pub(super) fn forget(&mut self, t: Token, cx: &ProxyCx<'_>) {
        self.timers.disarm(t);
        if let Some(Session { user: Some(user), .. }) = self.sessions.remove(&t) {
            self.options.accounts.leave(&user, cx.now);
        }
    }
    /// Ends a session at once.
    pub(super) fn cut(&mut self, t: Token, cx: &mut ProxyCx<'_>) {
        if let Some(Phase::Relaying(flow)) = self.sessions.get(&t).map(|s| &s.phase) {
            cx.abort(flow.out);
        }
        cx.abort(t);
    }
    /// No new sessions; those that relay may finish.
    pub(super) fn drain(&mut self, cx: &mut ProxyCx<'_>) {
        self.stopping = true;
        let waiting: Vec<Token> = self
            .sessions
            .iter()
            .filter(|(_, s)| !matches!(s.phase, Phase::Relaying(_) | Phase::Associated(_)))
            .map(|(t, _)| *t)
            .collect();
        for t in waiting {
            self.leave(t, cx);
            self.conns.close(t);
        }
    }
}
