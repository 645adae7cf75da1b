//! What becomes of a question that is over, in each mode.
use super::super::trace::Next;
use super::super::{Form, Mode, Wanted, explain, json, show};
use super::{Asking, DnsQuery, QueryCx};
use crate::dnsquery::trace::Trace;
use crate::outcome::{Code, network};
use core::net::{IpAddr, SocketAddr};
use proto_core::dns::{Asked, Failed, Family, Known, Message, Policy, QueryId, Rcode, Record, Reply, Section};
use proto_core::{Deadline, Instant};
use std::sync::Arc;

impl DnsQuery {
    pub(super) fn finished(&mut self, id: QueryId, result: Result<Reply, Failed>, cx: &mut QueryCx<'_>) {
        let Some(Asking { wanted, mut others }) = self.asking.remove(&id) else { return };
        if let Ok(reply) = &result
            && let Some(next) = others.pop_if(|_| is_none(reply, &wanted.asked))
            && let Some(policy) = self.policy.clone()
        {
            let wanted = Wanted { asked: Asked { name: next, ..wanted.asked }, ..wanted };
            return self.ask(wanted, others, &policy, cx);
        }
        match self.options.mode {
            Mode::Plain | Mode::Batch(_) => match result {
                Ok(reply) => self.show(&wanted, &reply, cx),
                Err(failed) => self.failed(&wanted, failed, cx),
            },
            Mode::Loop { times, .. } => self.looped(&wanted, result, times, cx),
            Mode::Race => match result {
                Ok(reply) => match self.race.add(&reply) {
                    None => self.show(&wanted, &reply, cx),
                    Some(text) if self.options.form == Form::Text => self.print(&text, cx),
                    Some(_) => {}
                },
                // Nobody else's silence matters once there is an answer.
                Err(failed) if self.asking.is_empty() && !self.race.is_won() => self.failed(&wanted, failed, cx),
                Err(failed) => {
                    let (_, text) = self.reason(&failed);
                    self.complain(&text, cx);
                }
            },
            Mode::Trace => match result {
                Ok(reply) => self.traced(wanted, &reply, cx),
                Err(failed) => self.failed(&wanted, failed, cx),
            },
        }
        self.go_on(cx);
    }
    pub(super) fn is_array(&self) -> bool {
        self.options.wanted.len() != 1 || matches!(self.options.mode, Mode::Batch(_))
    }
    fn document(&mut self, line: &str, cx: &mut QueryCx<'_>) {
        let text = match (self.options.form, self.is_array(), self.printed) {
            (Form::Json, true, 0) => format!("[\n{line}"),
            (Form::Json, true, _) => format!(",\n{line}"),
            _ => format!("{line}\n"),
        };
        self.printed += 1;
        self.print(&text, cx);
    }
    fn show(&mut self, wanted: &Wanted, reply: &Reply, cx: &mut QueryCx<'_>) {
        let Ok(m) = Message::parse(&reply.bytes) else { return };
        match self.options.form {
            Form::Json | Form::Lines => self.document(&json::message(&m, Some(reply)), cx),
            Form::Short => {
                let answers = m.records().into_iter().flatten().flatten().filter(|r| r.section == Section::Answer);
                let lines: String =
                    answers.take(self.options.style.max_records).map(|r| format!("{}\n", show::data(&r))).collect();
                self.print(&lines, cx);
            }
            Form::Text => {
                let mut text = show::message(&m, Some(&wanted.asked), &self.options.style);
                if self.options.style.verbose {
                    text.push_str(&show::about(reply));
                }
                self.print(&text, cx);
            }
        }
        if self.options.explain {
            let text = explain::message(&m);
            self.err.and_then(|t| cx.tx(t)).into_iter().for_each(|tx| tx.put(text.as_bytes()));
        }
        let extra = reply.bytes.len().saturating_sub(reply.len);
        if extra > 0 {
            self.complain(&format!("warning: {extra} bytes after the message"), cx);
        }
        match reply.rcode {
            Rcode::NO_ERROR => {}
            Rcode::NAME_ERROR if self.options.dig_exit => {}
            _ => self.note(Code::Answered),
        }
    }
    fn reason(&mut self, failed: &Failed) -> (Code, String) {
        if let Some(failure) = self.wire.streams.take_failure() {
            return (failure.code, failure.text); // it says more than that there was no reply
        }
        let each = self.policy.as_ref().map_or_else(String::new, |p| show::seconds(p.timeout));
        match failed {
            Failed::NoReply { server, sent, dropped } => {
                let dropped = if dropped.total() > 0 && self.options.style.verbose {
                    format!("; {}", show::dropped(dropped).trim_end().to_lowercase())
                } else {
                    String::new()
                };
                let tries = if *sent == 1 { "1 try".into() } else { format!("{sent} tries") };
                (Code::Timeout, format!("no reply from {server} after {tries} ({each} each){dropped}"))
            }
            Failed::Unreachable { server, why } => (network(*why), format!("{server}: {why}")),
            Failed::Malformed { fault, .. } => {
                (Code::Protocol, format!("malformed reply: at byte {}: {}", fault.offset, fault.what))
            }
            Failed::NoServer => (Code::Usage, "no server to ask".into()),
        }
    }
    fn failed(&mut self, wanted: &Wanted, failed: Failed, cx: &mut QueryCx<'_>) {
        let (code, text) = self.reason(&failed);
        self.note(code);
        if matches!(self.options.form, Form::Json | Form::Lines) {
            let name = wanted.asked.name.to_string();
            self.document(&json::failure(&name, wanted.asked.kind, &text, code as u8), cx);
        }
        let what = if matches!(self.options.mode, Mode::Batch(_)) {
            format!("{}: ", wanted.asked.name)
        } else {
            String::new()
        };
        self.complain(&format!("{what}{text}"), cx);
        if let Failed::Malformed { bytes, .. } = failed
            && (self.options.style.verbose || self.options.explain)
            && let Ok(m) = Message::parse(&bytes)
        {
            let text = explain::message(&m);
            self.err.and_then(|t| cx.tx(t)).into_iter().for_each(|tx| tx.put(text.as_bytes()));
        }
    }
    fn looped(&mut self, wanted: &Wanted, result: Result<Reply, Failed>, times: u32, cx: &mut QueryCx<'_>) {
        let n = self.times.count() + 1;
        match result {
            Ok(reply) => {
                self.times.add(Some(reply.took));
                let answers = Message::parse(&reply.bytes).map_or(0, |m| m.header().counts[1]);
                let code = reply.rcode;
                let (from, ms) = (show::server(&reply.server), reply.took.as_secs_f64() * 1000.0);
                self.print(&format!("{n}: {code}, answers: {answers}, from {from} in {ms:.2} ms\n"), cx);
            }
            Err(failed) => {
                self.times.add(None);
                let (_, text) = self.reason(&failed);
                self.print(&format!("{n}: {text}\n"), cx);
            }
        }
        let Mode::Loop { every, .. } = self.options.mode else { return };
        if n < times {
            self.todo.push_front(wanted.clone());
            self.again = Some(Deadline::new(cx.now, every, "next question"));
        } else {
            self.end_loop(cx);
        }
    }
    fn end_loop(&mut self, cx: &mut QueryCx<'_>) {
        if self.times.all_lost() {
            self.note(Code::Timeout);
        }
        self.print(&self.times.summary(), cx);
    }
    fn traced(&mut self, wanted: Wanted, reply: &Reply, cx: &mut QueryCx<'_>) {
        let (text, next) = self.trace.step(reply, &wanted.asked, &self.options.style);
        self.print(&text, cx);
        match next {
            Next::Answer => {
                let code = reply.rcode;
                if code != Rcode::NO_ERROR && !(code == Rcode::NAME_ERROR && self.options.dig_exit) {
                    self.note(Code::Answered);
                }
                self.trace = Trace::default();
            }
            Next::Servers(ips) => self.trace_to(&ips, wanted, cx),
            Next::Name(name) => {
                self.todo.push_front(wanted);
                self.again =
                    Some(Deadline { at: Instant::from_nanos(u64::MAX), since: cx.now, why: "a server's name" });
                self.names.lookup(u64::MAX, &name.to_string(), Family::Any, cx);
                self.named(cx);
            }
            Next::Lame(why) => {
                self.complain(&format!("{}: {why}", show::server(&reply.server)), cx);
                self.note(Code::Protocol);
            }
        }
    }
    fn trace_to(&mut self, ips: &[IpAddr], wanted: Wanted, cx: &mut QueryCx<'_>) {
        let Some(policy) = self.policy.as_deref().cloned() else { return };
        // IPv4 first: a host without IPv6 would otherwise try many addresses in vain.
        let (v4, v6): (Vec<&IpAddr>, Vec<&IpAddr>) = ips.iter().partition(|ip| ip.is_ipv4());
        let servers = v4.into_iter().chain(v6).map(|ip| SocketAddr::new(*ip, self.options.port)).collect();
        self.ask(wanted, Vec::new(), &Arc::new(Policy { servers, ..policy }), cx);
    }
    /// The addresses of a server that a referral named.
    pub(super) fn trace_named(&mut self, known: Known, cx: &mut QueryCx<'_>) {
        self.again = None;
        let Some(wanted) = self.todo.pop_front() else { return };
        match known {
            Ok(ips) => self.trace_to(&ips, wanted, cx),
            Err(why) => {
                self.complain(&format!("cannot resolve the name of a server: {why}"), cx);
                self.note(Code::Name);
                self.go_on(cx);
            }
        }
    }
}

/// It says that there is no such name, or nothing of the type.
fn is_none(reply: &Reply, asked: &Asked) -> bool {
    let Ok(m) = Message::parse(&reply.bytes) else { return false };
    let has = |r: Record<'_>| r.section == Section::Answer && r.kind == asked.kind;
    m.rcode() == Rcode::NAME_ERROR
        || m.rcode() == Rcode::NO_ERROR && !m.records().into_iter().flatten().flatten().any(has)
}
