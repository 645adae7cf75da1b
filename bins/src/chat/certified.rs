//! Members that show who they are by a certificate: names from it, and the end of what is revoked.
use super::names::{clean, is_nick};
use super::server::{ChatCx, ChatServer};
use proto_core::tls::revocation_lists;
use proto_core::x509::{Certificate, RevocationList};
use proto_core::{Info, Token};

/// Characters of a common name that are shown.
const SHOWN: usize = 64;

/// What is remembered of a member's certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    /// The encoded name of who signed it.
    issuer: Vec<u8>,
    serial: Vec<u8>,
}

/// The name that a certificate gives: the local part of its common name, or its serial number if that is no nickname.
fn nick(cert: &Certificate<'_>) -> String {
    let cn = cert.subject.common().unwrap_or_default();
    let local = cn.split('@').next().unwrap_or_default();
    match is_nick(local) {
        true => local.into(),
        false => format!("user-{}", cert.serial_hex().get(..8).unwrap_or("0")),
    }
}

impl ChatServer {
    /// A member has shown its certificate.
    pub(super) fn identify(&mut self, t: Token, info: &Info, cx: &mut ChatCx<'_>) {
        let leaf = info.secure.as_ref().and_then(|s| s.chain.first());
        let Some(cert) = leaf.and_then(|c| Certificate::parse(c).ok()) else { return self.leave(t, "", cx) };
        let Some(c) = self.clients.get_mut(t) else { return };
        c.shaking = false;
        c.shown = Some(Shown { issuer: cert.issuer.raw().to_vec(), serial: cert.serial.to_vec() });
        self.service.log_at(cx, format_args!("TLS connection from {}", c.remote));
        self.service.log_at(cx, format_args!("Client certificate: {}", cert.subject.short()));
        self.service.log_at(cx, format_args!("Verified by CA: {}", cert.issuer.short()));
        let cn: String = clean(&cert.subject.common().unwrap_or_default()).chars().take(SHOWN).collect();
        let who = if cn.is_empty() { nick(&cert) } else { cn };
        self.chat.reply(t, &format!("Connected as {who} (verified by server)"));
        self.enter_as(t, Some(&nick(&cert)), cx);
    }
    /// The revocation lists are new: who is on them goes.
    pub(super) fn cut_revoked(&mut self, cx: &mut ChatCx<'_>) {
        let file = self.service.settings.guard.files().and_then(|f| f.crl.as_ref());
        let Some(lists) = file.and_then(|f| revocation_lists(&f.bytes).ok()) else { return };
        let lists: Vec<RevocationList<'_>> =
            lists.iter().filter_map(|l| RevocationList::parse(l.as_ref()).ok()).collect();
        for t in self.service.tokens() {
            let shown = self.clients.get(t).and_then(|c| c.shown.as_ref());
            let found =
                shown.and_then(|s| lists.iter().filter(|l| l.issuer.raw() == s.issuer).find_map(|l| l.find(&s.serial)));
            if let Some(revoked) = found {
                let (serial, why) = (proto_core::x509::hex(revoked.serial, ""), revoked.reason());
                let who = self.chat.member(t).map_or_else(String::new, |m| m.nick.clone());
                self.service.log_at(cx, format_args!("Revoked: {who} (serial {serial}, {why})"));
                self.chat.reply(t, "* certificate revoked");
                self.leave(t, "certificate revoked", cx);
            }
        }
    }
}
