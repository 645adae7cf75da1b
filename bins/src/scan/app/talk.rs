//! What open ports say first, or answer to the greeting of TLS.
use super::{Scan, ScanCx};
use crate::scan::{State, Why};
use core::fmt;
use core::time::Duration;
use proto_core::tls::{BadSetup, ClientSetup, Common, Peers, Skip, alert};
use proto_core::{Grounds, Info, Instant, Layer, Slots, Token, x509};
use std::collections::BTreeSet;

/// How long a port may take to say something.
pub const WAIT: Duration = Duration::from_secs(2);
/// Bytes that are kept of it.
const BYTES: usize = 256;

struct Talk {
    target: u64,
    until: Instant,
    /// The first it said.
    bytes: Vec<u8>,
    /// TLS, if that is tried, and what it has not understood yet.
    tls: Option<(Box<dyn Layer>, Vec<u8>)>,
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talk").field("target", &self.target).field("until", &self.until).finish_non_exhaustive()
    }
}

/// Asks everybody, believes nobody: a certificate is told, not judged.
pub fn curious() -> Result<ClientSetup, BadSetup> {
    let common = Common { alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], ..Common::default() };
    ClientSetup::new(common, Peers { skip: Skip { chain: true, name: true }, ..Peers::default() })
}

/// Whose certificate came, and which protocol was agreed on.
fn described(info: &Info) -> String {
    let Some(secure) = &info.secure else { return String::new() };
    let leaf = secure.chain.first().and_then(|der| x509::Certificate::parse(der).ok());
    let mut text = secure.version.to_string();
    if let Some(leaf) = leaf {
        text.push_str(&format!(" {}", leaf.subject));
    }
    if !info.alpn.is_empty() {
        text.push_str(&format!(" ALPN={}", String::from_utf8_lossy(&info.alpn)));
    }
    text
}

/// The connections that are being listened to.
#[derive(Debug, Default)]
pub struct Talks {
    open: Slots<Talk>,
    due: BTreeSet<(Instant, Token)>,
}

impl Talks {
    /// How many.
    pub fn len(&self) -> usize {
        self.open.len()
    }
    /// None.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
    /// When the next one has had its time.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
    /// One that has.
    pub fn expired(&self, now: Instant) -> Option<Token> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, t)| *t)
    }
    /// Whom they are with.
    pub fn targets(&self) -> impl Iterator<Item = u64> {
        self.open.iter().map(|(_, talk)| talk.target)
    }
    fn end(&mut self, conn: Token) -> Option<Talk> {
        let talk = self.open.remove(conn)?;
        self.due.remove(&(talk.until, conn));
        Some(talk)
    }
}

impl Scan {
    /// Listens to one more; with `--tls` it is greeted.
    pub(super) fn listen_to(&mut self, conn: Token, target: u64, cx: &mut ScanCx<'_>) {
        let until = cx.now.after(WAIT.min(self.o.timeout));
        let mut tls = self.tls.as_ref().zip(self.place(target)).and_then(|(setup, (ip, ..))| {
            let name = self.targets.name(ip).map_or_else(|| ip.to_string(), String::from);
            setup.layer(&name).ok()
        });
        let (now, wall) = (cx.now, cx.wall());
        if let (Some(layer), Some(tx)) = (&mut tls, cx.tx(conn)) {
            layer.tell_time(wall);
            layer.start(now, tx);
        }
        let tls = tls.map(|layer| (layer, Vec::new()));
        self.talks.open.insert(conn, Talk { target, until, bytes: Vec::new(), tls });
        self.talks.due.insert((until, conn));
    }
    pub(super) fn heard_bytes(&mut self, conn: Token, bytes: &[u8], cx: &mut ScanCx<'_>) {
        let Some(talk) = self.talks.open.get_mut(conn) else { return };
        let room = BYTES.saturating_sub(talk.bytes.len());
        talk.bytes.extend(bytes.iter().take(room));
        let Some((layer, inbox)) = &mut talk.tls else {
            // A line is what servers greet with.
            if talk.bytes.len() >= BYTES || talk.bytes.ends_with(b"\n") {
                self.said(conn, cx);
            }
            return;
        };
        let (now, Some(tx)) = (cx.now, cx.tx(conn)) else { return };
        inbox.extend_from_slice(bytes);
        match layer.open(now, inbox, &mut Vec::new(), tx) {
            Ok(None) => return,
            Ok(Some(info)) => talk.bytes = described(&info).into_bytes(),
            Err(_) => {
                // Without an alert this is another protocol, and its words are the banner.
                if let Some(n) = layer.grounds().and_then(|g: &Grounds| g.alert) {
                    talk.bytes = format!("TLS alert: {}", alert(n)).into_bytes();
                }
            }
        }
        self.said(conn, cx);
    }
    /// That is all it says: the connection is not needed any more.
    pub(super) fn said(&mut self, conn: Token, cx: &mut ScanCx<'_>) {
        if let Some(mut talk) = self.talks.end(conn) {
            talk.bytes.truncate(BYTES);
            cx.abort(conn);
            self.known(talk.target, State::Open, Why::SynAck, Some(talk.bytes), cx);
        }
    }
    /// The peer has closed it.
    pub(super) fn hung_up(&mut self, conn: Token, cx: &mut ScanCx<'_>) {
        self.said(conn, cx);
    }
}
