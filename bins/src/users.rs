//! Who may log in: a file of `user:password` and `user:$argon2id$...` lines.
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use core::fmt;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What proves that somebody is a user.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// The SHA-256 of a password that was given in clear text.
    Plain([u8; 32]),
    /// A hash as argon2 writes it.
    Argon2(Arc<str>),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The users of a proxy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Users {
    by_name: BTreeMap<Vec<u8>, Proof>,
    /// The most expensive hash in the file: unknown users cost as much.
    dummy: Option<Arc<str>>,
}

/// The longest name and password that the protocol can carry, in bytes.
const LONGEST: usize = 255;
/// Users at most, in one file.
const MOST: usize = 100_000;
/// What a hash may cost: one attempt must not stop a worker for long, nor take more memory than a machine has to spare.
const MAX_MEMORY_KIB: u32 = 256 << 10;
const MAX_PASSES: u32 = 16;

impl Users {
    /// From the text of a file.
    ///
    /// # Errors
    /// The line and what is wrong with it; or that there is none.
    pub fn parse(text: &str) -> Result<Users, (usize, &'static str)> {
        let mut users = Users::default();
        let mut cost = (0, 0);
        for (n, line) in text.lines().enumerate() {
            let wrong = |what| (n + 1, what);
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, password) = line.split_once(':').ok_or(wrong("expected user:password"))?;
            if name.is_empty() || password.is_empty() {
                return Err(wrong("expected user:password"));
            }
            if name.len() > LONGEST {
                return Err(wrong("a user has at most 255 bytes"));
            }
            let proof = if password.starts_with("$argon2") {
                let this = check_hash(password).map_err(wrong)?;
                let hash: Arc<str> = password.into();
                if this > cost || users.dummy.is_none() {
                    (cost, users.dummy) = (this, Some(hash.clone()));
                }
                Proof::Argon2(hash)
            } else if password.len() > LONGEST {
                return Err(wrong("a password has at most 255 bytes"));
            } else {
                Proof::Plain(digest(password.as_bytes()))
            };
            if users.by_name.insert(name.as_bytes().to_vec(), proof).is_some() {
                return Err(wrong("the user is there already"));
            }
            if users.by_name.len() > MOST {
                return Err(wrong("more than 100,000 users"));
            }
        }
        if users.by_name.is_empty() { Err((0, "no users")) } else { Ok(users) }
    }
    /// The same, with the file's name in what is wrong: `users.txt:3: expected user:password`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse_file(path: &str, text: &str) -> Result<Users, String> {
        Users::parse(text).map_err(|(line, what)| match line {
            0 => format!("{path}: {what}"),
            line => format!("{path}:{line}: {what}"),
        })
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
    /// Somebody has that name.
    pub fn has(&self, name: &[u8]) -> bool {
        self.by_name.contains_key(name)
    }
    /// The user is the same in another file: its sessions may go on.
    pub fn is_same(&self, other: &Users, name: &[u8]) -> bool {
        self.by_name.get(name) == other.by_name.get(name)
    }
    /// What has to be done to check a login. It takes as long for those who are not there.
    pub fn check(&self, name: &[u8], password: &[u8]) -> Check {
        let proof = self.by_name.get(name);
        let hash = match proof {
            Some(Proof::Argon2(hash)) => Some(hash.clone()),
            _ => self.dummy.clone(),
        };
        let plain = match proof {
            Some(Proof::Plain(digest)) => *digest,
            _ => [0; 32],
        };
        let kind = match proof {
            None => Kind::Unknown,
            Some(Proof::Plain(_)) => Kind::Plain,
            Some(Proof::Argon2(_)) => Kind::Hashed,
        };
        Check { hash, plain, kind, password: password.to_vec() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    Plain,
    Hashed,
}

/// A login to be checked: work for a worker.
#[derive(Clone)]
pub struct Check {
    hash: Option<Arc<str>>,
    plain: [u8; 32],
    kind: Kind,
    password: Vec<u8>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Check {
    /// It is expensive: it belongs on a worker.
    pub fn is_slow(&self) -> bool {
        self.hash.is_some()
    }
    /// Whether the login is good. Every step is taken whoever asks: the clear-text comparison in constant time, and the hash
    /// of the same cost.
    pub fn run(&self) -> bool {
        self.run_and_count().0
    }
    fn run_and_count(&self) -> (bool, Work) {
        let mut work = Work::default();
        let digest = digest(&self.password);
        work.digested = self.password.len();
        let differ = digest.iter().zip(self.plain).fold(0, |d, (a, b)| {
            work.compared += 1;
            d | (a ^ b)
        });
        let plain = core::hint::black_box(differ) == 0;
        let hashed = self.hash.as_deref().is_some_and(|h| {
            work.hashed = check_hash(h).unwrap_or_default();
            verify(h, &self.password)
        });
        // Without a branch on who it is.
        let good = plain & (self.kind == Kind::Plain) | hashed & (self.kind == Kind::Hashed);
        (good, work)
    }
}

/// What was done to check a login: it must not tell who is a user, nor how much of a password is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Work {
    /// Bytes of the password.
    digested: usize,
    /// Bytes of digests.
    compared: usize,
    /// The cost of the hash: passes times memory, and memory.
    hashed: (u64, u32),
}

fn digest(b: &[u8]) -> [u8; 32] {
    Sha256::digest(b).into()
}

fn verify(hash: &str, password: &[u8]) -> bool {
    PasswordHash::new(hash).is_ok_and(|h| Argon2::default().verify_password(password, &h).is_ok())
}

/// What to say of a file that everybody on the machine can read.
pub fn too_open(path: &str) -> Option<String> {
    let open = std::fs::metadata(path).is_ok_and(|m| std::os::unix::fs::MetadataExt::mode(&m) & 0o004 != 0);
    open.then(|| format!("{path} can be read by everybody on this machine; chmod 600 {path}"))
}

/// The cost of a hash: passes times memory, and memory.
fn check_hash(text: &str) -> Result<(u64, u32), &'static str> {
    const WRONG: &str = "not a hash such as --hash-password makes";
    let hash = PasswordHash::new(text).map_err(|_| WRONG)?;
    let whole = hash.hash.is_some() && hash.salt.is_some();
    if hash.algorithm != Algorithm::Argon2id.ident() || !whole {
        return Err(WRONG);
    }
    let params = Params::try_from(&hash).map_err(|_| WRONG)?;
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES {
        return Err("a hash that costs too much (at most 256 MiB and 16 passes)");
    }
    Ok((u64::from(params.t_cost()) * u64::from(params.m_cost()), params.m_cost()))
}

/// The line of a user with a hashed password; `salt` is random.
///
/// # Errors
/// They do not fit the protocol, or a line.
pub fn line(name: &str, password: &str, salt: &[u8; 16]) -> Result<String, String> {
    let fits = |what: &str, s: &str| match s.len() {
        1..=LONGEST => Ok(()),
        n => Err(format!("a {what} has 1 to 255 bytes, not {n}")),
    };
    fits("user", name)?;
    fits("password", password)?;
    if name.contains([':', '\n', '\r']) || name.starts_with('#') {
        return Err(format!("a user name cannot contain ':' or begin with '#': '{}'", name.escape_debug()));
    }
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
    let hash: PasswordHash = argon2.hash_password_with_salt(password.as_bytes(), salt).map_err(|e| e.to_string())?;
    Ok(format!("{name}:{hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_what_is_wrong_with_them() {
        let ok = Users::parse("# people\nalice:secret\n\nbob:pass:word\r\ncarol: x \n").unwrap();
        assert_eq!((ok.len(), ok.has(b"bob"), ok.has(b"dave")), (3, true, false));
        assert!(ok.check(b"bob", b"pass:word").run() && ok.check(b"carol", b" x ").run());
        let long = "u".repeat(256);
        for (text, line, what) in [
            ("", 0, "no users"),
            ("# nobody\n", 0, "no users"),
            ("a:b\nc:d\nnobody", 3, "expected user:password"),
            (":b", 1, "expected user:password"),
            ("a:", 1, "expected user:password"),
            ("a:b\na:c", 2, "the user is there already"),
            (&format!("{long}:b"), 1, "a user has at most 255 bytes"),
            (&format!("a:{long}"), 1, "a password has at most 255 bytes"),
            ("a:$argon2id$v=19$rubbish", 1, "not a hash such as --hash-password makes"),
            ("a:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ", 1, "not a hash such as --hash-password makes"),
            (
                "a:$argon2id$v=19$m=4000000,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                1,
                "a hash that costs too much (at most 256 MiB and 16 passes)",
            ),
        ] {
            assert_eq!(Users::parse(text), Err((line, what)), "{text}");
        }
    }

    #[test]
    fn logins_in_clear_and_hashed() {
        let hashed = line("eve", "open sesame", &[7; 16]).unwrap();
        assert!(hashed.starts_with("eve:$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        let users = Users::parse(&format!("bob:word\n{hashed}")).unwrap();
        let check = |n: &str, p: &str| users.check(n.as_bytes(), p.as_bytes());
        assert!(check("bob", "word").run() && check("eve", "open sesame").run());
        for (name, wrong) in [("bob", "wor"), ("bob", "word "), ("eve", "word"), ("mallory", "word"), ("eve", "")] {
            assert!(!check(name, wrong).run(), "{name} {wrong}");
        }
        assert!(["bob", "eve", "mallory"].iter().all(|n| check(n, "x").is_slow()), "as long for everybody");
        assert!(!Users::parse("bob:word").unwrap().check(b"bob", b"word").is_slow());
        assert_eq!(
            format!("{:?} {:?}", check("bob", "word"), users.by_name.get(&b"bob"[..])),
            "(secret) Some((secret))"
        );
        for (name, password) in [("", "x"), ("a:b", "x"), ("#a", "x"), ("a", ""), ("a\n", "x")] {
            assert!(line(name, password, &[0; 16]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn sk_04_a_check_is_the_same_work_for_everybody() {
        let hashed = line("eve", "open sesame", &[7; 16]).unwrap();
        for (file, slow) in [("bob:word".into(), false), (hashed.clone(), true), (format!("bob:word\n{hashed}"), true)]
        {
            let users = Users::parse(&file).unwrap();
            // As long as each other, and as long as what is right.
            for words in [["word", "worx", "xord"], ["open sesame", "open sesamx", "xpen sesame"]] {
                let mut works = Vec::new();
                for name in ["bob", "eve", "mallory"] {
                    works.extend(words.map(|w| users.check(name.as_bytes(), w.as_bytes()).run_and_count().1));
                }
                assert!(works.iter().all(|w| *w == works[0]), "{file}: {works:?}");
                assert_eq!((works[0].hashed.0 > 0, works[0].compared), (slow, 32), "{file}");
            }
            // What stands in for the hash of who is not there is what makes it so.
            let mut check = users.check(b"mallory", b"word");
            check.hash = None;
            assert_eq!(check.run_and_count().1 != users.check(b"eve", b"word").run_and_count().1, slow, "{file}");
        }
    }

    #[test]
    fn nobody_is_let_in_by_a_zero_digest() {
        // What an unknown user's password is compared with must not be a password.
        let users = Users::parse("bob:word").unwrap();
        let mut check = users.check(b"mallory", b"x");
        check.plain = digest(b"x");
        assert!(!check.run());
    }
}
