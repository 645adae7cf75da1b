//! How lines reach their readers: through a backlog for those who read slowly.
use super::client::{HARD, PATIENCE};
use super::member::{Backlog, Slow};
use super::server::{ChatCx, ChatServer};
use crate::text::size;
use proto_core::Token;

impl ChatServer {
    /// Hands the chat's lines to their readers, or to their backlogs.
    pub(super) fn deliver(&mut self, cx: &mut ChatCx<'_>) {
        while let Some(d) = self.chat.out.pop_front() {
            let Some(c) = self.clients.get_mut(d.to).filter(|c| !c.leaving) else { continue };
            c.backlog.push(d.line, d.droppable);
            self.top_up(d.to, cx);
        }
    }
    pub(super) fn top_up(&mut self, t: Token, cx: &mut ChatCx<'_>) {
        let Some(c) = self.clients.get_mut(t) else { return };
        let Some(out) = self.conns.out(t, cx) else { return };
        while out.room() > 0 {
            let Some(line) = c.backlog.pop() else { break };
            out.share(line);
        }
        let mark = self.options.queue;
        if c.backlog.len() <= mark {
            c.backlog.over = None;
            return;
        }
        if self.options.slow == Slow::DropOldest {
            c.backlog.shrink(mark);
        } else if c.backlog.len() > mark.saturating_mul(HARD) {
            self.drop_slow(t, cx);
        } else {
            let since = *c.backlog.over.get_or_insert(cx.now);
            self.timers.arm(t, since.after(PATIENCE));
        }
    }
    pub(super) fn drop_slow(&mut self, t: Token, cx: &mut ChatCx<'_>) {
        let Some(c) = self.clients.get_mut(t).filter(|c| !c.leaving) else { return };
        c.leaving = true;
        let (fd, queued) = (c.fd, size(c.backlog.len() >> 10 << 10));
        c.backlog = Backlog::default();
        self.service.log_at(cx, format_args!("Client dropped (fd={fd}): too slow, {queued} queued"));
        self.drop_event(t, "slow");
        self.chat.leave(t, "");
        cx.abort(t);
    }
}
