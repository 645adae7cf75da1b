//! Who may ask: passwords by Basic authentication (RFC 7617), as a part.
//!
//! A password that was right is remembered for a while by a digest, so that the requests of a page cost one check and not
//! twenty: argon2 is meant to be slow. Who fails too often is refused for a minute, by address.
use super::job::{Job, RIGHT};
use crate::lockout::Lockout;
use crate::service::Note;
use crate::users::Users;
use base64::prelude::{BASE64_STANDARD, Engine};
use core::net::IpAddr;
use core::time::Duration;
use proto_core::{Cx, Instant, Lost, Op, OpId, Token};
use rand_core::RngCore;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// For so long a right password is not checked again.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Passwords that are remembered.
const MOST: usize = 1024;
/// Checks under way at once: each keeps a worker busy, and its memory, for a while.
const AT_ONCE: usize = 16;

/// What becomes of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is answered; the user it comes from, if anybody is asked.
    Pass(Option<String>),
    /// It is refused with this status.
    Refuse(u16),
    /// [`Gate::checked`] tells.
    Wait,
}

#[derive(Debug)]
struct Waiting {
    conn: Token,
    ip: Option<IpAddr>,
    digest: [u8; 32],
    user: String,
    /// Whose users it was checked with.
    epoch: u32,
}

/// The part.
#[derive(Debug, Default)]
pub struct Gate {
    part: u8,
    users: Option<Users>,
    /// Makes digests useless to whoever reads them in a core dump of another run.
    salt: Option<[u8; 16]>,
    right: BTreeMap<[u8; 32], Instant>,
    lockout: Lockout,
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    epoch: u32,
}

impl Gate {
    /// Without users everybody passes. Its jobs carry `part`.
    pub fn new(part: u8, users: Option<Users>) -> Self {
        Gate { part, users, ..Gate::default() }
    }
    /// Nobody is asked.
    pub fn is_open(&self) -> bool {
        self.users.is_none()
    }
    /// Other users from now on: nobody is remembered.
    pub fn replace(&mut self, users: Users) {
        self.users = Some(users);
        self.epoch += 1;
        self.right.clear();
    }
    /// Judges a request by its `Authorization`.
    pub fn ask<M>(
        &mut self,
        conn: Token,
        ip: Option<IpAddr>,
        authorization: Option<&[u8]>,
        cx: &mut Cx<'_, Job, M>,
    ) -> Verdict {
        let Some(users) = &self.users else { return Verdict::Pass(None) };
        if ip.is_some_and(|ip| self.lockout.is_refused(ip, cx.now)) {
            return Verdict::Refuse(429);
        }
        let Some((user, password)) = authorization.and_then(basic) else { return Verdict::Refuse(401) };
        let name = String::from_utf8_lossy(&user).into_owned();
        let digest = digest(self.salt.get_or_insert_with(|| salt(cx)), &user, &password);
        if self.right.get(&digest).is_some_and(|until| *until > cx.now) {
            return Verdict::Pass(Some(name));
        }
        let check = users.check(&user, &password);
        let waiting = Waiting { conn, ip, digest, user: name, epoch: self.epoch };
        if !check.is_slow() {
            return self.judged(waiting, check.run(), cx.now);
        }
        if self.waiting.len() >= AT_ONCE {
            return Verdict::Refuse(503);
        }
        self.next += 1;
        self.waiting.insert(self.next, waiting);
        cx.op(Op::Job { id: OpId::new(self.part, self.next), job: Job::Check(check), hold: Duration::ZERO });
        Verdict::Wait
    }
    /// The end of a check: whose request it was about, and what becomes of that.
    pub fn checked(&mut self, id: OpId, made: &Result<Note, Lost>, now: Instant) -> Option<(Token, Verdict)> {
        let waiting = self.waiting.remove(&id.key())?;
        let conn = waiting.conn;
        Some((
            conn,
            match made {
                Ok(Note::Made(answer)) if waiting.epoch == self.epoch => self.judged(waiting, answer == RIGHT, now),
                _ => Verdict::Refuse(503), // no time to check it, or other users since
            },
        ))
    }
    fn judged(&mut self, waiting: Waiting, right: bool, now: Instant) -> Verdict {
        if !right {
            waiting.ip.into_iter().for_each(|ip| self.lockout.failed(ip, now));
            return Verdict::Refuse(401);
        }
        if self.right.len() >= MOST {
            self.right.retain(|_, until| *until > now);
        }
        if self.right.len() < MOST {
            self.right.insert(waiting.digest, now.after(REMEMBERED));
        }
        Verdict::Pass(Some(waiting.user))
    }
}

fn salt<M>(cx: &mut Cx<'_, Job, M>) -> [u8; 16] {
    let mut salt = [0; 16];
    cx.rng().fill_bytes(&mut salt);
    salt
}

fn digest(salt: &[u8; 16], user: &[u8], password: &[u8]) -> [u8; 32] {
    // No user has a colon in it.
    Sha256::new().chain_update(salt).chain_update(user).chain_update(b":").chain_update(password).finalize().into()
}

/// User and password of a field's value.
fn basic(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = BASE64_STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = user.iter().position(|b| *b == b':')?;
    let password = user.split_off(colon + 1);
    user.pop();
    Some((user, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_field_says() {
        let ok = |s: &str| basic(s.as_bytes()).map(|(u, p)| format!("{} / {}", u.escape_ascii(), p.escape_ascii()));
        assert_eq!(ok("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").as_deref(), Some("Aladdin / open sesame"));
        assert_eq!(ok("bASIC  dTpwOnE= ").as_deref(), Some("u / p:q"));
        assert_eq!(ok("Basic Og==").as_deref(), Some(" / "));
        for bad in ["", "Basic", "Basic ", "Basic !!!!", "Basic dXNlcg==", "Bearer dTpw", "BasicdTpw"] {
            assert_eq!(ok(bad), None, "{bad}");
        }
    }
}
