//! Clients for tests of servers in a simulation: they send bytes, and leave when and how they are told.
use core::convert::Infallible;
use core::time::Duration;
use proto_core::{Addr, App, Cx, Deadline, Input, Instant, Token};
use std::sync::{Arc, Mutex};

/// Sends bytes, then leaves after some time or when so many answers came, in one of several ways.
#[derive(Clone)]
pub(crate) struct Script {
    pub to: Addr,
    pub send: Vec<u8>,
    pub leave: Leave,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Leave {
    /// When the server closes.
    Never,
    Reset(Duration),
    Fin(Duration),
}

/// The app.
pub(crate) struct Client {
    script: Script,
    conn: Option<Token>,
    at: Option<Instant>,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// What a client has heard.
pub(crate) type Heard = Arc<Mutex<Vec<u8>>>;

impl Client {
    /// With its script, and where it writes what it hears.
    pub(crate) fn new(script: Script) -> (Client, Heard) {
        let heard = Heard::default();
        (Client { script, conn: None, at: None, heard: heard.clone() }, heard)
    }
}

impl App for Client {
    type Job = Infallible;
    type Msg = Infallible;
    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cx<'_, Infallible, Infallible>) {
        match input {
            Input::Start(_) => {
                self.conn = Some(cx.connect(0, self.script.to.clone()));
            }
            Input::Connected { conn, .. } => {
                if let Some(tx) = cx.tx(conn) {
                    tx.put(&self.script.send);
                }
                self.at = match self.script.leave {
                    Leave::Never => None,
                    Leave::Reset(d) | Leave::Fin(d) => Some(cx.now.after(d)),
                };
            }
            Input::Bytes(_, chunk) => self.heard.lock().unwrap().extend_from_slice(&chunk),
            Input::Eof(t) => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Closed(..) => self.at = None,
            Input::Deadline if self.at.is_some_and(|at| at <= cx.now) => {
                self.at = None;
                match (self.script.leave, self.conn) {
                    (Leave::Reset(_), Some(t)) => cx.abort(t),
                    (Leave::Fin(_), Some(t)) => cx.close(t, Duration::from_secs(1)),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        self.at.map(|at| Deadline { at, since: at, why: "leave" })
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

/// A request.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A request after which the server closes.
pub(crate) fn last(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

/// The status lines, in order.
pub(crate) fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).filter_map(|t| t.get(..3)).collect()
}
