//! TLS between clients and the app: the layer of each connection, what is said of failures, and new files on SIGHUP.
use super::{Life, Note, ServerCx, Service};
use crate::tls::Guard;
use core::time::Duration;
use proto_core::proxy_header::ProxyHeader;
use proto_core::x509::{Certificate, Date};
use proto_core::{About, Addr, Conn, Conns, Grounds, Input, Layer, Machine, Token};

/// How long a balancer may take for its header: it has all of it when it connects.
const HEADER: Duration = Duration::from_secs(5);

impl Service {
    /// Puts the machine of an admitted client on its connection, under TLS if the server has that. False: it cannot be
    /// served, and is closed.
    pub fn enrol<J, M: Machine>(
        &self,
        conns: &mut Conns<M>,
        conn: Token,
        machine: M,
        cx: &mut ServerCx<'_, J>,
    ) -> bool {
        self.enrol_on(Vec::new(), conns, conn, machine, cx)
    }
    /// The same, with layers beneath those of the server.
    pub fn enrol_on<J, M: Machine>(
        &self,
        mut beneath: Vec<Box<dyn Layer>>,
        conns: &mut Conns<M>,
        conn: Token,
        machine: M,
        cx: &mut ServerCx<'_, J>,
    ) -> bool {
        let layers = self.settings.guard.layers();
        let served = layers.is_some();
        match layers {
            Some(layers) => {
                beneath.extend(layers);
                conns.insert(conn, machine, beneath, cx);
            }
            None => cx.close(conn, Duration::ZERO),
        }
        served
    }
    /// The layer that reads what a balancer says first.
    pub fn header(&self, from: &Addr) -> Option<Box<dyn Layer>> {
        let headed = self.settings.headed && self.settings.trusts(from);
        headed.then(|| Box::new(ProxyHeader::new(HEADER)) as Box<dyn Layer>)
    }
    /// Clients are heard of when their handshake is over, and not when they connect.
    pub fn is_guarded(&self) -> bool {
        self.settings.guard.is_on()
    }
    /// Logs why a connection's handshake has failed, if that is what ended it.
    pub fn log_failure<J, M: Machine>(&self, conn: Option<&Conn<M>>, from: &Addr, cx: &mut ServerCx<'_, J>) {
        if let Some(text) = conn.and_then(Conn::grounds).and_then(rejection) {
            self.log_at(cx, format_args!("Rejected {from}: {text}"));
        }
    }
    pub(super) fn begin_reload<J>(&mut self, cx: &mut ServerCx<'_, J>) {
        if let Some(files) = self.settings.guard.files() {
            self.reload.start(files, cx);
        }
    }
    /// Answers to questions about files. All that were asked for, or everything stays.
    pub(super) fn reloading<J>(&mut self, input: &Input<'_, Note>, cx: &mut ServerCx<'_, J>) -> Life {
        let Guard::Tls(now) = &self.settings.guard else { return Life::On };
        let Some(read) = self.reload.handle(input, &now.1, cx) else { return Life::On };
        match read.and_then(|files| Ok((files.setup()?, files))) {
            Ok(new) => {
                self.settings.guard = Guard::Tls(Box::new(new));
                self.log_at(cx, format_args!("Certificates reloaded"));
                Life::Reloaded
            }
            Err(failure) => {
                self.warn(cx, format_args!("not reloaded: {failure}; the old certificates stay"));
                Life::On
            }
        }
    }
}

/// Who was rejected, and why. `None`: it is not about the handshake.
fn rejection(grounds: &Grounds) -> Option<String> {
    let first = grounds.defects.first()?;
    let leaf = grounds.chain.first().and_then(|c| Certificate::parse(c).ok());
    let (who, issuer) = leaf.as_ref().map_or(Default::default(), |c| (c.subject.short(), c.issuer.short()));
    Some(match (grounds.about, first.word) {
        (About::Certificate, "unknown_issuer" | "self_signed_in_chain" | "bad_signature") => {
            format!("{who} signed by unknown CA '{issuer}'")
        }
        (About::Certificate, "self_signed") => format!("{who} signed by itself"),
        (About::Certificate, "no_certificate") => first.reason.clone(),
        (About::Certificate, _) if first.detail.is_empty() => format!("{who}: {}", first.reason),
        (About::Certificate, _) => format!("{who}: {} ({})", first.reason, first.detail),
        (About::Cut, "truncated") => return None, // the connection was served
        _ => first.reason.clone(),
    })
}

/// How long a certificate is good, as of now.
pub fn days_left(cert: &Certificate<'_>, unix_ns: i64) -> i64 {
    let Date(end) = cert.not_after;
    (end - unix_ns.div_euclid(1_000_000_000)).div_euclid(86_400)
}
