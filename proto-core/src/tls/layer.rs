//! One connection: the only file that names rustls' unbuffered interface.
//!
//! The known edges of that interface, and what is done about them:
//! - It remembers places in the input it was shown. So the unread input is kept here, and every call is shown the same.
//! - Received records come as vectors of their own: they are copied out once.
//! - Output that does not fit returns the size it needs; it is asked again with that.
//! - After an error it gives the alert that the peer is to be told, if it is asked only while it has something to send: it
//!   must not look at its input again.
//! - `PeerClosed` comes once, and writing stays possible after it.
//! - A goodbye during the handshake finds no state to be said in: it is left out. Every loop has a budget.
use super::faults::{self, Stage};
use super::{Found, Limits, SharedRef};
use crate::{Deadline, Fault, Grounds, Info, Instant, Layer, Next, Sealed, Secure, Tx, Wall};
use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, HandshakeKind, ServerConfig};

/// Plain bytes of a record (RFC 8446 section 5.1).
const RECORD: usize = 1 << 14;
/// What sealing adds at most, in all suites.
const OVERHEAD: usize = 64;
/// Bytes of a file that are asked for at once.
const FILE: usize = 64 << 10;
/// Input that does not make a whole message yet.
const PENDING: usize = 128 << 10;
/// The first bytes of the peer, to say what it speaks if it is not TLS.
const HEAD: usize = 32;

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// One connection under TLS.
pub struct Tls {
    side: Side,
    shared: SharedRef,
    limits: Limits,
    since: Option<Instant>,
    /// Input that makes no message yet, and how much of it is done with.
    inbox: Vec<u8>,
    at: usize,
    head: Vec<u8>,
    received: u64,
    wrote: bool,
    ready: bool,
    ended: bool,
    /// What the verifier found, and the name that the client asked for.
    found: Option<Found>,
    asked: Option<String>,
    /// The peer asked for a certificate of ours.
    wanted: bool,
    over: Option<Fault>,
    grounds: Option<Box<Grounds>>,
}

/// What is to be done when nothing of the peer's is left to do.
#[derive(Clone, Copy)]
enum Job<'a> {
    Read,
    Seal(&'a [u8]),
    Goodbye,
}

/// What a step has done.
enum Did {
    /// Something; there may be more.
    More,
    /// The peer has said goodbye.
    Ended,
    /// The job is done, or nothing can be done now.
    Done(bool),
    /// An error of the peer.
    Failed(Error),
}

/// Takes what rustls has reached. The first value is how much input is done with.
fn take<D>(status: UnbufferedStatus<'_, '_, D>, job: Job<'_>, plain: &mut Vec<u8>, wire: &mut Tx) -> (usize, Did) {
    let UnbufferedStatus { mut discard, state } = status;
    let did = match state {
        Err(e) => Did::Failed(e),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            while let Some(Ok(record)) = traffic.next_record() {
                discard += record.discard;
                plain.extend_from_slice(record.payload);
            }
            Did::More
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            put(wire, 0, |to| {
                data.encode(to).map_err(|e| match e {
                    EncodeError::InsufficientSize(need) => need.required_size,
                    EncodeError::AlreadyEncoded => 0,
                })
            });
            Did::More
        }
        Ok(ConnectionState::TransmitTlsData(sent)) => {
            sent.done();
            Did::More
        }
        Ok(ConnectionState::PeerClosed) => Did::Ended,
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match job {
            Job::Read => Did::Done(true),
            Job::Seal(piece) => {
                Did::Done(put(wire, piece.len() + OVERHEAD, |to| traffic.encrypt(piece, to).map_err(needed)))
            }
            Job::Goodbye => Did::Done(put(wire, OVERHEAD, |to| traffic.queue_close_notify(to).map_err(needed))),
        },
        // Early data is never accepted, and what is closed on both sides says nothing more.
        Ok(_) => Did::Done(false),
    };
    (discard, did)
}

fn needed(e: EncryptError) -> usize {
    match e {
        EncryptError::InsufficientSize(need) => need.required_size,
        EncryptError::EncryptExhausted => 0,
    }
}

/// Lets `f` write; it says how much it wrote, or how much room it needs, or 0 if it never will. False: nothing was written.
fn put(wire: &mut Tx, guess: usize, mut f: impl FnMut(&mut [u8]) -> Result<usize, usize>) -> bool {
    let mut room = guess;
    for _ in 0..2 {
        let mut need = None;
        wire.put_with(room, |to| {
            f(to).unwrap_or_else(|n| {
                need = Some(n);
                0
            })
        });
        match need {
            None => return true,
            Some(n) => room = n,
        }
    }
    false
}

impl Tls {
    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        shared: SharedRef,
        limits: Limits,
    ) -> Result<Self, Error> {
        let conn = UnbufferedClientConnection::new(config, name)?;
        Ok(Tls::new(Side::Client(Box::new(conn)), shared, limits))
    }
    pub(super) fn server(config: Arc<ServerConfig>, shared: SharedRef, limits: Limits) -> Result<Self, Error> {
        Ok(Tls::new(Side::Server(Box::new(UnbufferedServerConnection::new(config)?)), shared, limits))
    }
    fn new(side: Side, shared: SharedRef, limits: Limits) -> Self {
        Tls {
            side,
            shared,
            limits,
            since: None,
            inbox: Vec::new(),
            at: 0,
            head: Vec::new(),
            received: 0,
            wrote: false,
            ready: false,
            ended: false,
            found: None,
            asked: None,
            wanted: false,
            over: None,
            grounds: None,
        }
    }
    fn state(&self) -> &CommonState {
        match &self.side {
            Side::Client(c) => c,
            Side::Server(s) => s,
        }
    }
    fn step(&mut self, job: Job<'_>, plain: &mut Vec<u8>, wire: &mut Tx) -> Did {
        let unread = self.inbox.get_mut(self.at..).unwrap_or_default();
        let before = wire.len();
        let (discard, did) = match &mut self.side {
            Side::Client(c) => take(c.process_tls_records(unread), job, plain, wire),
            Side::Server(s) => take(s.process_tls_records(unread), job, plain, wire),
        };
        self.at = (self.at + discard).min(self.inbox.len());
        self.wrote |= wire.len() > before;
        if !self.ready {
            // At once: the next connection's will lie in the same place.
            self.found = self.shared.found().or(self.found.take());
            self.asked = self.shared.asked().or(self.asked.take());
            self.wanted |= self.shared.wanted.swap(false, Ordering::Relaxed);
        }
        did
    }
    /// Goes on until the job is done, or the connection becomes ready. True if the job was done.
    fn pump(&mut self, job: Job<'_>, plain: &mut Vec<u8>, wire: &mut Tx) -> Result<bool, Fault> {
        // Each step reads a record or writes a message: more than these there cannot be.
        let budget = 64 + self.inbox.len().saturating_sub(self.at);
        for _ in 0..budget {
            match self.step(job, plain, wire) {
                Did::More => {}
                Did::Ended => self.ended = true,
                Did::Done(done) => return Ok(done),
                Did::Failed(e) => return Err(self.fail(&e, wire)),
            }
            if !self.ready && !self.state().is_handshaking() {
                return Ok(false);
            }
        }
        Err(self.give_up(faults::stuck()))
    }
    /// The alert goes out, and everything after this is the same fault.
    fn fail(&mut self, e: &Error, wire: &mut Tx) -> Fault {
        let mut nothing = Vec::new();
        // Only what waits to be sent: it must not look at its input again.
        while self.state().wants_write() && matches!(self.step(Job::Read, &mut nothing, wire), Did::More) {}
        let found = self.found.take().unwrap_or_default();
        let client = matches!(self.side, Side::Client(_));
        let at = Stage { client, ready: self.ready, offset: self.offset(), head: &self.head };
        let (fault, grounds) = faults::of(e, found, &at);
        self.give_up((fault, Grounds { wanted: self.wanted, ..grounds }))
    }
    fn give_up(&mut self, (fault, grounds): (Fault, Grounds)) -> Fault {
        let fault = Fault { offset: self.offset(), ..fault };
        (self.over, self.grounds) = (Some(fault), Some(Box::new(grounds)));
        (self.inbox, self.at) = (Vec::new(), 0);
        fault
    }
    fn offset(&self) -> u64 {
        self.received - (self.inbox.len() - self.at) as u64
    }
    /// How far a handshake has come, in words.
    fn stage(&self) -> &'static str {
        match (&self.side, self.received, self.wrote) {
            (Side::Client(_), 0, _) => "after ClientHello",
            (Side::Client(_), ..) => "after ServerHello",
            (_, 0, _) => "before ClientHello",
            (_, _, false) => "within ClientHello",
            _ => "after ServerHello",
        }
    }
    fn info(&mut self) -> Info {
        let (found, server_name) = (self.found.take().unwrap_or_default(), self.asked.take());
        let state = self.state();
        let chain = state.peer_certificates().unwrap_or_default();
        let chain: Vec<_> = chain.iter().map(|c| crate::Bytes::copy_from_slice(c)).collect();
        let peer = chain.first().and_then(|c| crate::x509::Certificate::parse(c).ok()?.subject.common());
        let secure = Secure {
            version: super::names::version(state.protocol_version()),
            suite: super::names::suite(state.negotiated_cipher_suite()),
            group: state.negotiated_key_exchange_group().map(|g| format!("{:?}", g.name())).unwrap_or_default(),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            server_name,
            chain,
            staple: found.staple,
            ignored: found.defects,
            wanted: self.wanted,
        };
        Info {
            alpn: state.alpn_protocol().unwrap_or_default().to_vec(),
            peer: peer.unwrap_or_default(),
            secure: Some(Box::new(secure)),
            ..Info::default()
        }
    }
    /// Takes over new input.
    fn swallow(&mut self, input: &mut Vec<u8>) {
        self.received += input.len() as u64;
        if self.head.len() < HEAD && !self.ready {
            let room = HEAD - self.head.len();
            self.head.extend(input.iter().take(room));
        }
        if self.at == self.inbox.len() {
            (self.inbox, self.at) = (core::mem::take(input), 0);
        } else {
            self.inbox.drain(..core::mem::take(&mut self.at));
            self.inbox.append(&mut core::mem::take(input)); // whose storage is not kept either
        }
    }
}

impl Layer for Tls {
    fn tell_time(&mut self, wall: Wall) {
        self.shared.tell_time(wall);
    }
    fn start(&mut self, now: Instant, wire: &mut Tx) {
        self.since = Some(now);
        // A client's hello; an error here would be an error of `open`, which comes to the same state.
        let _ = self.pump(Job::Read, &mut Vec::new(), wire);
    }
    fn open(
        &mut self,
        _: Instant,
        input: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        wire: &mut Tx,
    ) -> Result<Option<Info>, Fault> {
        if let Some(fault) = self.over {
            input.clear();
            return Err(fault);
        }
        self.swallow(input);
        if self.ended {
            (self.inbox, self.at) = (Vec::new(), 0); // nothing after a goodbye means anything (RFC 8446 section 6.1)
        }
        self.pump(Job::Read, plain, wire)?;
        if !self.ready && !self.state().is_handshaking() {
            self.ready = true;
            self.head = Vec::new();
            return Ok(Some(self.info()));
        }
        if !self.ready && self.received > self.limits.handshake_bytes as u64 {
            return Err(self.give_up(faults::long_handshake(self.limits.handshake_bytes)));
        }
        if self.at == self.inbox.len() {
            (self.inbox, self.at) = (Vec::new(), 0); // an idle connection keeps no storage
        } else if self.inbox.len() - self.at > PENDING {
            return Err(self.give_up(faults::stuck()));
        }
        Ok(None)
    }
    fn seal(&mut self, _: Instant, plain: &mut Tx, wire: &mut Tx) -> Result<Sealed, Fault> {
        if let Some(fault) = self.over {
            return Err(fault);
        }
        if !self.ready {
            return Ok(Sealed::NotReady);
        }
        let mut joined = Vec::new();
        while wire.room() > 0 {
            match plain.next() {
                Next::Empty => return Ok(Sealed::All),
                Next::File { file, offset, len } => {
                    return Ok(Sealed::NeedFile { file, offset, len: len.min(FILE) as u32 });
                }
                Next::Bytes => {
                    let n = self.seal_one(plain, &mut joined, wire)?;
                    plain.consume(n, None);
                }
            }
        }
        Ok(Sealed::WireFull)
    }
    fn end_of_input(&mut self, _: &mut Tx) -> Result<(), Fault> {
        match self.over {
            Some(fault) => Err(fault),
            None if self.ended => Ok(()),
            None => {
                let told = if self.ready { faults::truncated() } else { faults::cut_handshake(self.stage()) };
                Err(self.give_up(told))
            }
        }
    }
    fn is_ended(&self) -> bool {
        self.ended
    }
    fn close(&mut self, wire: &mut Tx) {
        if self.over.is_none() && self.ready {
            let _ = self.pump(Job::Goodbye, &mut Vec::new(), wire); // what fails here fails in `open` too
        }
    }
    fn grounds(&self) -> Option<&Grounds> {
        self.grounds.as_deref()
    }
    fn deadline(&self) -> Option<Deadline> {
        let since = self.since.filter(|_| !self.ready && self.over.is_none())?;
        Some(Deadline::new(since, self.limits.handshake, "TLS handshake"))
    }
    fn on_deadline(&mut self, _: Instant, _: &mut Tx) -> Result<(), Fault> {
        let told = faults::slow_handshake(self.limits.handshake, self.stage());
        Err(self.give_up(told))
    }
}

impl Tls {
    /// Seals what fits into a record: a segment as it is, small ones together. How many bytes that were.
    fn seal_one(&mut self, plain: &Tx, joined: &mut Vec<u8>, wire: &mut Tx) -> Result<usize, Fault> {
        let mut chunks = plain.chunks().filter(|c| !c.is_empty());
        let first = chunks.next().unwrap_or_default();
        let piece = match chunks.next() {
            Some(_) if first.len() < RECORD => {
                joined.clear();
                for c in plain.chunks() {
                    let room = RECORD - joined.len();
                    joined.extend_from_slice(c.get(..room.min(c.len())).unwrap_or_default());
                    if joined.len() == RECORD {
                        break;
                    }
                }
                joined.as_slice()
            }
            _ => first.get(..RECORD.min(first.len())).unwrap_or_default(),
        };
        let mut late = Vec::new();
        let sealed = self.pump(Job::Seal(piece), &mut late, wire)?;
        debug_assert!(late.is_empty(), "`open` has read everything that was there");
        if sealed { Ok(piece.len()) } else { Err(self.give_up(faults::exhausted())) }
    }
}

impl core::fmt::Debug for Tls {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let side = if matches!(self.side, Side::Client(_)) { "client" } else { "server" };
        f.debug_struct("Tls").field("side", &side).field("ready", &self.ready).finish_non_exhaustive()
    }
}
