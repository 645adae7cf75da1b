//! Small apps, modelled on the echo example.
use super::Seen;
use core::convert::Infallible;
use proto_core::{Cx, Input, Token};
use std::sync::mpsc::Sender;
use std::time::Duration;

pub type Ctx<'a, 'b> = &'a mut Cx<'b, Infallible, Infallible>;
pub type In<'a> = Input<'a, Infallible>;

/// Implements `App` for apps without jobs.
#[macro_export]
macro_rules! plain_app {
    ($name:ty) => {
        $crate::plain_app!($name, |_| None);
    };
    ($name:ty, $deadline:expr) => {
        impl proto_core::App for $name {
            type Job = core::convert::Infallible;
            type Msg = core::convert::Infallible;
            fn handle(
                &mut self,
                input: proto_core::Input<'_, Self::Msg>,
                cx: &mut proto_core::Cx<'_, Self::Job, Self::Msg>,
            ) {
                self.on(input, cx);
            }
            fn deadline(&self) -> Option<proto_core::Deadline> {
                let deadline: fn(&Self) -> Option<proto_core::Deadline> = $deadline;
                deadline(self)
            }
            fn work(job: Self::Job) -> Self::Msg {
                job
            }
        }
    };
}

pub fn tell(to: &Sender<Seen>, seen: Seen) {
    let _ = to.send(seen); // the test may have ended
}

/// Sends back what it gets; a peer that does not read is not read from.
pub struct Echo(pub Sender<Seen>);

impl Echo {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(start) => {
                tell(&self.0, Seen::Started { capacity: start.capacity, driver: start.driver.clone() });
            }
            Input::Accepted { .. } => tell(&self.0, Seen::Accepted),
            Input::Bytes(t, chunk) => {
                let Some(tx) = cx.tx(t) else { return };
                tx.forward(chunk);
                if tx.room() == 0 {
                    tell(&self.0, Seen::Paused(tx.len()));
                    cx.read(t, false);
                }
            }
            Input::Writable(t) => cx.read(t, true),
            Input::Eof(t) => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Closed(_, why) => tell(&self.0, Seen::Closed(why)),
            _ => {}
        }
    }
}
plain_app!(Echo);

/// Whoever comes on part 0 gets bytes without end; part 1 is an echo.
pub struct Spring;

impl Spring {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Accepted { conn: t, .. } | Input::Writable(t) if t.part() == 0 => {
                if let Some(tx) = cx.tx(t) {
                    tx.put(&[b's'; 64][..tx.room().min(64)]);
                }
            }
            Input::Bytes(t, chunk) if t.part() == 1 => {
                if let Some(tx) = cx.tx(t) {
                    tx.forward(chunk);
                }
            }
            _ => {}
        }
    }
}
plain_app!(Spring);

/// Obeys words: `abort`, `abort others`, `close`, `close soon` (lingers 20 ms), `fill` (8 MiB), `wait` (input off), `go` (input of
/// all on). Each is one read of the peer's making.
pub struct Obedient {
    pub tell: Sender<Seen>,
    pub all: Vec<Token>,
}

impl Obedient {
    pub fn new(tell: Sender<Seen>) -> Self {
        Obedient { tell, all: Vec::new() }
    }
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Accepted { conn, .. } => {
                self.all.push(conn);
                tell(&self.tell, Seen::Accepted);
            }
            Input::Bytes(t, word) => self.obey(t, &String::from_utf8_lossy(&word), cx),
            Input::Closed(t, why) => {
                self.all.retain(|a| *a != t);
                tell(&self.tell, Seen::Closed(why));
            }
            _ => {}
        }
    }
    fn obey(&mut self, t: Token, word: &str, cx: Ctx<'_, '_>) {
        match word {
            "abort" => cx.abort(t),
            "abort others" => self.all.iter().filter(|a| **a != t).for_each(|a| cx.abort(*a)),
            "close" => cx.close(t, Duration::from_secs(60)),
            "close soon" => cx.close(t, Duration::from_millis(20)),
            "wait" => cx.read(t, false),
            "go" => self.all.iter().for_each(|a| cx.read(*a, true)),
            "fill" => {
                if let Some(tx) = cx.tx(t) {
                    tx.put(&vec![b'f'; 8 << 20]);
                }
            }
            _ => {}
        }
        tell(&self.tell, Seen::Said(word.into()));
    }
}
plain_app!(Obedient);

/// Serves one client at a time, whichever listener it comes to.
pub struct Single {
    pub tell: Sender<Seen>,
    pub listeners: Vec<Token>,
}

impl Single {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(start) => {
                self.listeners.extend(start.listeners.iter().map(|l| l.token).filter(|t| t.part() < 2));
            }
            Input::Accepted { .. } => {
                self.listeners.iter().for_each(|l| cx.accept(*l, false));
                tell(&self.tell, Seen::Accepted);
            }
            Input::Bytes(t, chunk) => {
                if let Some(tx) = cx.tx(t) {
                    tx.put(&chunk);
                }
            }
            Input::Eof(t) => {
                if let Some(tx) = cx.tx(t) {
                    tx.finish();
                }
            }
            Input::Closed(_, why) => {
                tell(&self.tell, Seen::Closed(why));
                self.listeners.iter().for_each(|l| cx.accept(*l, true));
            }
            _ => {}
        }
    }
}
plain_app!(Single);

/// Tells everybody what anybody says, except those who do not listen.
pub struct Chat {
    pub tell: Sender<Seen>,
    pub all: Vec<Token>,
}

impl Chat {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Accepted { conn, .. } => {
                self.all.push(conn);
                tell(&self.tell, Seen::Accepted);
            }
            Input::Bytes(_, chunk) => {
                for t in &self.all {
                    match cx.tx(*t) {
                        Some(tx) if tx.room() > 0 => tx.put(&chunk),
                        Some(_) => tell(&self.tell, Seen::Dropped),
                        None => {}
                    }
                }
            }
            Input::Closed(t, _) => self.all.retain(|a| *a != t),
            _ => {}
        }
    }
}
plain_app!(Chat);
