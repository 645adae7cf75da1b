//! The body of an answer: decoded, shown or saved, and no more of it taken than there is room for.
use super::app::Fetch;
use super::net::FetchCx;
use super::run::{Dest, Waits};
use super::show::Plain;
use crate::outcome::{Code, Failure};
use crate::text::Thousands;
use core::time::Duration;
use proto_core::http1::Framing;

/// Bytes that go to a terminal.
const TERMINAL_MAX: u64 = 100 << 20;

impl Fetch {
    pub(super) fn body(&mut self, bytes: &[u8], cx: &mut FetchCx<'_>) -> Result<(), Failure> {
        let Some(run) = &mut self.run else { return Ok(()) };
        run.got.body += bytes.len() as u64;
        if run.got.enough || run.got.dest == Dest::Drop {
            return Ok(());
        }
        if let Some(decoder) = &mut run.got.decoder {
            decoder.push(bytes);
            return self.decode(cx);
        }
        self.take(bytes, cx)?;
        self.slow_down(cx);
        Ok(())
    }
    /// Undoes as much as there is room for; holds the body while something is left.
    fn decode(&mut self, cx: &mut FetchCx<'_>) -> Result<(), Failure> {
        loop {
            if self.is_full(cx) {
                self.hold(true, cx);
                return Ok(());
            }
            let Some(decoder) = self.run.as_mut().and_then(|r| r.got.decoder.as_mut()) else { return Ok(()) };
            let piece = decoder.pull().map_err(|e| Failure::new(Code::Protocol, e.to_string()))?;
            if piece.is_empty() {
                return Ok(());
            }
            self.take(&piece, cx)?;
        }
    }
    /// Shows or saves bytes.
    fn take(&mut self, bytes: &[u8], cx: &mut FetchCx<'_>) -> Result<(), Failure> {
        let Some(run) = &mut self.run else { return Ok(()) };
        run.got.out += bytes.len() as u64;
        if run.got.out > self.o.max_body {
            return Err(too_large(self.o.max_body));
        }
        match (run.got.dest, &mut run.download) {
            (Dest::Save, Some(file)) => file.put(bytes, cx),
            (Dest::Show, _) => {
                run.shown = true;
                if self.screen.tty.is_none() {
                    self.screen.put(bytes, cx);
                } else if run.got.out > TERMINAL_MAX {
                    let most = Thousands(TERMINAL_MAX);
                    return Err(Failure::new(
                        Code::Local,
                        format!("more than {most} bytes for a terminal (use -o FILE)"),
                    ));
                } else if let Some(pretty) = &mut run.got.pretty {
                    let mut text = String::new();
                    pretty.push(&Plain(bytes).to_string(), &mut text);
                    self.screen.put(text.as_bytes(), cx);
                } else {
                    self.screen.put(Plain(bytes).to_string().as_bytes(), cx);
                }
            }
            _ => {}
        }
        if self.is_full(cx) {
            self.hold(true, cx);
        }
        Ok(())
    }
    fn is_full(&self, cx: &mut FetchCx<'_>) -> bool {
        let Some(run) = &self.run else { return false };
        match (run.got.dest, &run.download) {
            _ if run.slow_until.is_some() || run.waits == Waits::Named => true,
            (Dest::Save, Some(file)) => file.is_full(),
            (Dest::Show, _) => self.screen.is_full(cx),
            _ => false,
        }
    }
    pub(super) fn hold(&mut self, on: bool, cx: &mut FetchCx<'_>) {
        let Some(t) = self.run.as_ref().and_then(|r| r.link.as_ref()).map(|l| l.token) else { return };
        if let Some((http, _)) = self.net.conns.machine(t, cx) {
            http.hold(on);
        }
    }
    /// `--limit-rate`: what came early waits for its time.
    fn slow_down(&mut self, cx: &mut FetchCx<'_>) {
        let (Some(rate), Some(run)) = (self.o.rate, &mut self.run) else { return };
        let Some(began) = run.times.body else { return };
        let due = began.after(Duration::from_secs_f64(run.got.body as f64 / rate as f64));
        if due > cx.now {
            run.slow_until = Some(due);
            self.hold(true, cx);
        }
    }
    /// There is room again, or it is time: goes on with the body.
    pub(super) fn pump(&mut self, cx: &mut FetchCx<'_>) {
        if self.is_full(cx) {
            return;
        }
        let Some(t) = self.run.as_ref().and_then(|r| r.link.as_ref()).map(|l| l.token) else { return };
        if let Err(failure) = self.decode(cx) {
            return self.failed(failure, false, cx);
        }
        if self.is_full(cx) {
            return;
        }
        self.hold(false, cx);
        let feed = self.net.conns.resume(t, cx);
        self.read(feed, t, cx);
    }
    pub(super) fn ended(&mut self, cx: &mut FetchCx<'_>) -> Result<(), Failure> {
        let Some(run) = &mut self.run else { return Ok(()) };
        run.got.ended = true;
        if let Some(decoder) = &run.got.decoder {
            decoder.end().map_err(|e| Failure::new(Code::Protocol, e.to_string()))?;
        }
        if let Some(pretty) = run.got.pretty.as_mut().filter(|_| run.got.out > 0) {
            let mut text = String::new();
            pretty.end(&mut text);
            self.screen.put(text.as_bytes(), cx);
        }
        let (bytes, framing) = (Thousands(run.got.body), run.got.framing);
        if framing == Some(Framing::UntilClose) && self.o.show.verbose {
            self.screen.note("* body ends with the connection", cx);
        } else if self.o.explain {
            let why = match framing {
                Some(Framing::Chunked) => "by its last chunk (RFC 9112 7.1)",
                Some(Framing::UntilClose) => "with the connection (RFC 9112 6.3, rule 8)",
                _ => "by Content-Length (RFC 9112 6.2)",
            };
            self.screen.note(&format!("* body of {bytes} bytes ends {why}"), cx);
        }
        Ok(())
    }
}

/// A body is larger than the user wants it.
pub(super) fn too_large(most: u64) -> Failure {
    Failure::new(Code::Protocol, format!("body has more than {} bytes (--max-body)", Thousands(most)))
}
